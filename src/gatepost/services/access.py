"""Who is calling and what he may do: sign-in, tokens, and the one check that every act goes through."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import msgspec

from gatepost.events import Clock, Metrics
from gatepost.model.access import PERMISSIONS, Caller, Purpose, Ticket, Token
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Op, Where, eq, every
from gatepost.model.query import Any as AnyOf
from gatepost.model.rights import NOWHERE, covers
from gatepost.model.tenant import Broker, Customer, Domain, User
from gatepost.services.accounts import Account, acts_for, mark, owner
from gatepost.services.jwt import Claims, Jwts
from gatepost.services.rights import Book
from gatepost.services.throttle import Guesses, Throttle
from gatepost.services.uses import Uses
from gatepost.settings import Settings
from gatepost.store.remembered import Remembered
from gatepost.store.store import Store

S = TypeVar("S", Broker, Customer, Domain, User)
Node = type[Broker] | type[Customer] | type[Domain]

TOKEN = re.compile(r"[0-9a-f]{32}\Z")
REMEMBERED = 10_000  # tokens
SIGN_IN = ("email", "password_hash", "totp", "totp_secret", "mfa_type")  # members of accounts; not each has all
UNPROVEN = "A valid bearer token is required."  # said whatever is wrong with the one given


class Platform(msgspec.Struct, frozen=True):
    """The root of the tree: what belongs to no broker."""


PLATFORM = Platform()
Scope = Platform | Broker | Customer | Domain | User
"""The object that a right is asked for on."""


def require(caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> None:
    """Raise FORBIDDEN unless the caller holds the permission on the scope.

    Ask before telling whether an object exists: None (no such object) needs the right on the whole platform, so that
    strangers learn nothing from the answer.
    """
    if not may(caller, permission, scope):
        raise forbidden(caller, permission)


def require_somewhere(caller: Caller, permission: str) -> None:
    """Raise FORBIDDEN to who holds the permission (or is SYSADMIN, if that is asked for) on no object at all.

    Asked before a request's body is read, so that nobody sends us megabytes without any right; whether the right
    reaches the object is asked by `require`.
    """
    held = caller.rights.get(permission, NOWHERE)
    if not (caller.sys_admin or held != NOWHERE):
        raise forbidden(caller, permission)
    if caller.maker is not None:
        require_somewhere(caller.maker, permission)


def require_sysadmin(caller: Caller) -> None:
    """Raise FORBIDDEN unless the caller is a sysadmin, whom the contract keeps some acts for (semantics 1)."""
    if not caller.sys_admin:
        raise forbidden(caller, "SYSADMIN")


def require_local(caller: Caller) -> None:
    """Raise FORBIDDEN unless the caller asks over the control socket: what touches files is for this machine's user."""
    if not caller.local:
        raise forbidden(caller, "local")


def forbidden(caller: Caller, permission: str) -> Problem:
    """Return the refusal, the same whether or not there is such an object (threat 107)."""
    return Problem(Kind.FORBIDDEN, "This account may not do that.", permission=permission, login=caller.login)


def may(caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> bool:
    """Tell whether the caller holds the permission on the scope, or on a node above it."""
    assert permission in PERMISSIONS, permission
    if caller.maker is not None and not may(caller.maker, permission, scope):
        return False
    return caller.sys_admin or covers(caller.rights.get(permission, NOWHERE), scope)


def found(caller: Caller, permission: str, scope: S | None, what: str) -> S:
    """Return the object once the caller proved his right on it; raise FORBIDDEN, then NOT_FOUND."""
    require(caller, permission, scope)
    if scope is None:
        raise Problem(Kind.NOT_FOUND, f"There is no such {what}.")
    return scope


def visible(
    caller: Caller, permission: str, column: str = "domain_id", *, of: Node = Domain, own: str = ""
) -> Condition:
    """Return the condition that leaves in a list only what the caller may see; raise FORBIDDEN when he may nowhere.

    `column` tells which domain a row belongs to, or with `of` which customer or broker; `own`, where the list has
    one, tells which mailbox user.
    """
    assert permission in PERMISSIONS, permission
    if caller.maker is not None:
        alone = msgspec.structs.replace(caller, maker=None)
        both = (visible(each, permission, column, of=of, own=own) for each in (alone, caller.maker))
        return every(*both)
    reach = caller.rights.get(permission, NOWHERE)
    if caller.sys_admin or reach.everywhere:
        return All(())
    if not (reach.brokers or reach.customers or reach.domains or (own and reach.users)):
        require(caller, permission)
    ids = {Broker: reach.brokers, Customer: reach.customers, Domain: reach.domains}[of]
    mine = Where(column, Op.IN, sorted(ids))
    return AnyOf((mine, Where(own, Op.IN, sorted(reach.users)))) if own and reach.users else mine


def require_account(caller: Caller, *, admin_id: int | None = None, user_id: int | None = None) -> None:
    """Raise FORBIDDEN unless the caller is a sysadmin or that very account (contract A69), not by a temporary token."""
    mine = caller.admin_id == admin_id and caller.user_id == user_id and (admin_id, user_id) != (None, None)
    if caller.temporary or not (caller.sys_admin or mine):
        raise Problem(Kind.FORBIDDEN, "Tokens belong to their account.", login=caller.login)


def require_own(caller: Caller, account: Account | None) -> Account:
    """Return the caller's own account; raise FORBIDDEN for whoever has none or acts by a temporary token (rules 13)."""
    if account is None or caller.temporary:
        raise Problem(Kind.FORBIDDEN, "Only the account itself may do that.", login=caller.login)
    return account


def require_lasting(caller: Caller) -> None:
    """Raise FORBIDDEN to a temporary token, which opens no way in that outlives it (rules 13)."""
    if caller.temporary:
        raise Problem(Kind.FORBIDDEN, "A temporary token opens no lasting way in.", login=caller.login)


def require_sign_in(caller: Caller, account: Account, change: Mapping[str, Any]) -> None:
    """Raise FORBIDDEN where a temporary token would change by what an account signs in, or where its links go."""
    if any(name in change and not _same(change[name], getattr(account, name)) for name in SIGN_IN):
        require_lasting(caller)


def _same(new: Any, old: Any) -> bool:
    """Tell whether nothing changes; there are two words for no second factor."""
    return bool(new == old or {new, old} == {None, "NONE"})


def digest(token: str) -> str:
    """Return what is stored of a token's value."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Proven(msgspec.Struct, frozen=True):
    """What a bearer token was found to prove, all but the time at which it is shown."""

    caller: Caller
    token: Token | None = None
    claims: Claims | None = None


class Access:
    """Finds out who is calling. What a token proves is remembered until configuration changes.

    So a right that is withdrawn, a token or an account that is taken away, and a new password act at once.
    """

    def __init__(self, store: Store, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self.book = Book(store)
        self._clock = clock
        self.jwts = Jwts(store.secrets.derive("jwt"), clock)
        self.guesses = Guesses("http", Throttle(settings.http.guesses_per_minute, 60_000, clock), metrics)
        self._uses = Uses(store, clock)
        memory = Remembered(store, most=REMEMBERED)
        self._known = memory.known
        self._proven: dict[str, Proven | None] = memory.cache()  # by the token's digest

    def require(self, caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> None:
        """Raise FORBIDDEN unless the caller holds the permission on the scope."""
        require(caller, permission, scope)

    def may(self, caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> bool:
        """Tell whether the caller holds the permission on the scope."""
        return may(caller, permission, scope)

    def domain(self, caller: Caller, domain_id: int, permission: str) -> Domain:
        """Return a domain on which the caller holds the permission; raise FORBIDDEN, then NOT_FOUND."""
        return found(caller, permission, self._store.reader.get(Domain, domain_id), "domain")

    def user(self, caller: Caller, user_id: int, permission: str) -> User:
        """Return an account on which the caller holds the permission; raise FORBIDDEN, then NOT_FOUND."""
        return found(caller, permission, self._store.reader.get(User, user_id), "user")

    async def caller(self, token: str, ip: str) -> Caller:
        """Return whose token it is; raise UNAUTHENTICATED (always in the same words), or TOO_MANY after many guesses.

        A true token is let in whatever others at its address did.
        """
        caller = self._by_jwt(token) if "." in token else self.by_token(token) or self._by_ticket(token)
        if caller is None:
            self._refuse_guess(token, ip)
        return caller

    def by_token(self, value: str, account: Account | None = None) -> Caller | None:
        """Return whose personal token it is; with an account, only where it is that one's."""
        if not TOKEN.match(value):  # a password, of which nothing is remembered
            return None
        key = digest(value)
        found = self._known(self._proven, key, lambda: self._read_token(key))
        if found is None or found.token is None or lapsed(found.token, self._clock()):
            return None
        if account is not None and not acts_for(found.caller, account):
            return None
        self._uses.note(found.token)
        return found.caller

    def _read_token(self, key: str) -> Proven | None:
        token = self._store.reader.first(Token, eq("digest", key))
        if token is None or not hmac.compare_digest(token.digest, key):
            return None
        account = owner(self._store.reader, token.admin_id, token.user_id)
        return Proven(self.book.caller(account, token_id=token.id), token=token) if account else None

    def _by_jwt(self, value: str) -> Caller | None:
        found = self._known(self._proven, digest(value), lambda: self._read_jwt(value))
        return found.caller if found and found.claims and self.jwts.holds(found.claims) else None

    def _read_jwt(self, value: str) -> Proven | None:
        claims = self.jwts.read(value)
        account = claims and owner(self._store.reader, claims.admin_id, claims.user_id)
        if not (claims and account) or mark(account) != claims.mark:
            return None
        return Proven(self.book.caller(account), claims=claims)

    def _by_ticket(self, value: str) -> Caller | None:
        found = self.ticket(value, Purpose.API)
        return self.acting(*found) if found else None

    def ticket(self, value: str, purpose: Purpose) -> tuple[Ticket, Account] | None:
        """Return a ticket for that purpose with its account; None unless it holds now. It is not used up."""
        reader = self._store.reader
        found = reader.first(Ticket, eq("digest", digest(value)))
        if found is None or found.purpose is not purpose or found.expires_at <= self._clock():
            return None
        account = owner(reader, found.admin_id, found.user_id)
        return (found, account) if account and mark(account) == found.mark else None

    def acting(self, ticket: Ticket, account: Account) -> Caller | None:
        """Return who acts by a ticket; None once its maker's account is out of use."""
        if ticket.maker_id is None:
            return self.book.caller(account, temporary=True)
        maker = owner(self._store.reader, ticket.maker_id, None)
        return self.book.caller(account, temporary=True, maker=self.book.caller(maker)) if maker else None

    def _refuse_guess(self, token: str, ip: str) -> NoReturn:
        if token:  # else nothing was guessed
            self.guesses.check(ip)
            self.guesses.refuse(ip)
        raise Problem(Kind.UNAUTHENTICATED, UNPROVEN)

    async def settle(self) -> None:
        """Write down which tokens were used, and wait until that is done."""
        await self._uses.settle()


def lapsed(token: Token, now: int) -> bool:
    return token.expiration is not None and token.expiration <= now
