"""Mailbox accounts: made in the domain of their address, changed in part, deleted with what is theirs alone."""

from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from gatepost.events import Clock, log
from gatepost.model.access import Caller, Token
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query, eq, every
from gatepost.model.route import Platform
from gatepost.model.rules import SenderRule
from gatepost.model.tenant import Domain, DomainStatus, Group, Language, User, UserStatus
from gatepost.model.values import CLEARED, Id
from gatepost.services.access import found, require, require_lasting, require_sign_in, visible
from gatepost.services.letters import WELCOME, Letters
from gatepost.services.members import leave, rename
from gatepost.services.passwords import Passwords
from gatepost.services.platforms import Platforms
from gatepost.services.records import Line, Text, emptied, given, read_address, unprocessable
from gatepost.services.relocations import check_left, finish
from gatepost.services.rules import Owner, check_forgotten, forget_superseded
from gatepost.services.scram import Verifiers
from gatepost.services.shown import (
    REMEMBERED,
    Home,
    UserItem,
    UserView,
    narrow_users,
    read_homes,
    show_user,
    show_users,
)
from gatepost.store.remembered import Remembered
from gatepost.store.store import Reader, Store, Writer

RULES_MOVED = 1000  # sender rules that a change of address rewrites in one go (rules 17)


class GivenStatus(StrEnum):
    """The states that an account can be given (contract A5)."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


class UserUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of what an account can be given. An empty id gives back the domain's."""

    email: Line | None = None
    firstname: Line | None = None
    lastname: Line | None = None
    status: GivenStatus | None = None
    language: Language | None = None
    password: str | None = None
    domain_id: Id | None = None
    policy_id: Id | None = None
    platform_id: Id | None = None
    auth_id: Id | None = None
    sender_verify_on: bool | None = None
    send_notification: bool | None = None
    sign: Text | None = None
    mfa_type: str | None = None


class UserAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A new account; policy, platform and sign-in default to the domain's."""

    email: Line
    firstname: Line | None = None
    lastname: Line | None = None
    status: GivenStatus
    language: Language | None = None
    password: str | None = None
    domain_id: Id
    policy_id: Id | None = None
    platform_id: Id | None = None
    auth_id: Id | None = None
    sender_verify_on: bool | None = None
    send_notification: bool | None = None
    sign: Text | None = None


class UserLists:
    """The lists of mailbox accounts."""

    def __init__(self, store: Store, platforms: Platforms) -> None:
        self._store = store
        self._platforms = platforms

    async def find(self, caller: Caller, query: Query) -> Page[UserItem]:
        """Return a page of the accounts that the caller may see; the others are left out."""

        def ask(reader: Reader) -> Page[UserItem]:
            return self._page(reader, query, visible(caller, "USERS_READ", own="id"))

        return await self._store.read(ask)

    async def find_in(self, caller: Caller, domain_id: int, query: Query) -> Page[UserItem]:
        """Return a page of a domain's accounts."""

        def ask(reader: Reader) -> Page[UserItem]:
            found(caller, "USERS_READ", reader.get(Domain, domain_id), "domain")
            return self._page(reader, query, eq("domain_id", domain_id))

        return await self._store.read(ask)

    def _page(self, reader: Reader, query: Query, mine: Any) -> Page[UserItem]:
        where = every(mine, narrow_users(reader, query.where))
        page = reader.find(User, msgspec.structs.replace(query, where=where))
        return Page(show_users(reader, self._platforms, page.items, UserItem), page.total)


class Users:
    """The mailbox accounts of all domains."""

    def __init__(
        self, store: Store, platforms: Platforms, passwords: Passwords, letters: Letters, clock: Clock
    ) -> None:
        self._store = store
        self._platforms = platforms
        self._verifiers = Verifiers(store, passwords)
        self._letters = letters
        self._clock = clock
        memory, common = Remembered(store, most=REMEMBERED, exact=True), Remembered(store, most=REMEMBERED)
        self._known, self._in_common = memory.known, common.known
        self._shown: dict[int, tuple[User, UserView] | None] = memory.cache()
        self._homes: dict[int, Home | None] = common.cache()

    async def get(self, caller: Caller, user_id: int) -> UserView:
        """Return an account."""
        user, view = self._known(self._shown, user_id, lambda: self._show(user_id)) or (None, None)
        found(caller, "USERS_READ", user, "user")
        assert view is not None
        return view

    def _show(self, user_id: int) -> tuple[User, UserView] | None:
        reader = self._store.reader  # a few look-ups by key: quicker than to have a thread ask
        user = reader.get(User, user_id)
        return (user, show_user(user, self._home(user.domain_id), UserView)) if user else None

    def _home(self, domain_id: int) -> Home | None:
        read = partial(read_homes, self._store.reader, self._platforms, [domain_id])
        return self._in_common(self._homes, domain_id, lambda: read().get(domain_id))

    async def create(self, caller: Caller, draft: UserAdd, base: str) -> UserView:
        """Make an account; raise MALFORMED for an unknown domain (contract A29), CONFLICT for an address in use.

        `base` begins the link of the notification, as in `Letters.send`.
        """
        domain = self._store.reader.get(Domain, draft.domain_id)
        require(caller, "USERS_WRITE", domain)
        if draft.password:
            require_lasting(caller)
        if domain is None:
            raise Problem(Kind.MALFORMED, "There is no such domain.", pointer="/domainId")
        password = await self._verifiers.members(User, draft.password) if draft.password else {}
        view = await self._store.write(lambda writer: self._create(writer, caller, draft, password))
        if draft.send_notification:
            await self._welcome(view.id, base)
        return view

    def _create(self, writer: Writer, caller: Caller, draft: UserAdd, password: dict[str, Any]) -> UserView:
        domain = found(caller, "USERS_WRITE", writer.get(Domain, draft.domain_id), "domain")
        if domain.status is DomainStatus.DELETED:
            raise unprocessable("The domain is deleted.", "/domainId")
        email = own_address(writer, domain, draft.email)
        user = writer.add(
            User(
                domain_id=domain.id,
                email=email,
                firstname=emptied(draft.firstname),
                lastname=emptied(draft.lastname),
                status=UserStatus(draft.status.value),
                language=draft.language or domain.default_language,
                creation_date=self._clock(),
                sender_verify_on=draft.sender_verify_on is not False,
                sign=emptied(draft.sign),
                heir=writer.may_keep_for_another(email, None),
                **password,
                **_references(writer, domain, draft),
            )
        )
        return show_users(writer, self._platforms, [user], UserView)[0]

    async def update(self, caller: Caller, user_id: int, change: UserUpdate, base: str) -> None:
        """Change what is given; raise CONFLICT for an address in use. `base` as in `create`."""
        user = found(caller, "USERS_WRITE", self._store.reader.get(User, user_id), "user")
        if change.mfa_type not in (None, "NONE"):
            raise unprocessable("The second factor can only be switched off here.", "/mfaType")
        fields = given(change, "language", "sender_verify_on", "mfa_type")
        fields |= {name: emptied(text) for name, text in given(change, "firstname", "lastname", "sign").items()}
        if change.mfa_type == "NONE":
            fields["totp_secret"] = None
        if change.status is not None:
            fields["status"] = UserStatus(change.status.value)
        if change.password:
            fields |= await self._verifiers.members(User, change.password)
        elif change.password is not None:
            fields |= {"password_hash": None, "scram": None}
        domain = self._store.reader.get(Domain, user.domain_id)
        if domain is not None and change.email is not None:
            await forget_superseded(self._store, Owner(domain, user))
        before = await self._store.write(lambda writer: _update(writer, caller, user_id, change, fields))
        await finish(self._store, before.email)
        if change.send_notification:
            await self._welcome(user_id, base)

    async def _welcome(self, user_id: int, base: str) -> None:
        """Mail an account about itself; what was written stands whether or not there is a way to it."""
        user = self._store.reader.get(User, user_id)
        try:
            if user:
                await self._letters.send(WELCOME, user, base)
        except Problem as problem:
            log.warning("account not notified", user=user_id, problem=problem.detail)

    async def delete(self, caller: Caller, user_id: int) -> None:
        """Delete an account with its sender rules, its tokens and its membership in groups; stored mail stays."""
        await self._store.write(lambda writer: _delete(writer, caller, user_id))


def own_address(reader: Reader, domain: Domain, email: str, *, but: User | Group | None = None) -> str:
    """Return an address in a domain (under an alias, too) as it is stored: under the domain's own name.

    Raises MALFORMED for one elsewhere, CONFLICT when an account or a group other than `but` has it, or mail there yet.
    """
    address = read_address(email, "/email")
    served = reader.domain(address.domain)
    if served is None or served.id != domain.id:
        raise Problem(Kind.MALFORMED, f"The address does not lie in {domain.name}.", pointer="/email")
    key = f"{address.key.rpartition('@')[0]}@{domain.name}"
    taken = (reader.first(User, eq("email", key)), reader.first(Group, eq("email", key)))
    if any(each is not None and each != but for each in taken):
        raise Problem(Kind.CONFLICT, "The address is taken by an account or a group.", pointer="/email")
    check_left(reader, key, but.email if but else None)
    return key


def _references(reader: Reader, domain: Domain, part: UserAdd | UserUpdate) -> dict[str, Any]:
    """Return what an account points to; raise UNPROCESSABLE for what the domain does not have."""
    fields: dict[str, Any] = {}
    for name, number in given(part, "policy_id", "platform_id", "auth_id").items():
        row = reader.get(Policy, number) if name == "policy_id" else reader.get(Platform, number)
        if number != CLEARED and (row is None or row.domain_id != domain.id):
            word = name.removesuffix("_id")
            raise unprocessable(f"The domain has no such {word}.", f"/{word}Id")
        fields[name] = row.id if row else None
    return fields


def _update(writer: Writer, caller: Caller, user_id: int, change: UserUpdate, fields: dict[str, Any]) -> User:
    """Return the account as it was."""
    user = found(caller, "USERS_WRITE", writer.get(User, user_id), "user")
    domain = writer.get(Domain, user.domain_id)
    assert domain
    if change.domain_id is not None and change.domain_id != user.domain_id:
        raise unprocessable("An account stays in its domain.", "/domainId")
    fields = fields | _references(writer, domain, change)
    if change.email is not None:
        fields["email"] = own_address(writer, domain, change.email, but=user)
        if fields["email"] != user.email:
            fields["heir"] = user.heir or writer.may_keep_for_another(fields["email"], user.id)
    require_sign_in(caller, user, fields)
    if fields.get("status") is UserStatus.ENABLED and user.status is not UserStatus.ENABLED:
        require_lasting(caller)
    _move(writer, domain, user, fields.get("email", user.email))
    writer.change(User, user.id, **fields)
    return user


def _move(writer: Writer, domain: Domain, user: User, email: str) -> None:
    """Take an account's sender rules, its places in groups of the domain and its mail along to its new address."""
    if email == user.email:
        return
    check_forgotten(writer, Owner(domain, user))
    mine = every(eq("user_id", user.id), eq("generation", user.sender_generation))
    rules = writer.find(SenderRule, Query(where=mine, limit=RULES_MOVED + 1)).items
    if len(rules) > RULES_MOVED:
        text = f"An address with more than {RULES_MOVED} sender rules can't be changed; take them away first."
        raise unprocessable(text, "/email")
    for rule in rules:
        writer.change(SenderRule, rule.id, owner=email)
    rename(writer, user, email)


def _delete(writer: Writer, caller: Caller, user_id: int) -> None:
    user = found(caller, "USERS_WRITE", writer.get(User, user_id), "user")
    leave(writer, user)
    writer.remove(Token, eq("user_id", user.id))
    writer.remove(User, eq("id", user.id))
