"""The trace of a mail: what befell it, as far as it concerns recipients in the caller's scope."""

from collections import defaultdict
from functools import partial

import msgspec

from gatepost.model.access import Caller
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.audit import ADD, CHANGE, Audit
from gatepost.model.envelope import Direction
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.stored import Message
from gatepost.model.tenant import Domain, DomainAlias, User
from gatepost.mta.home import bore
from gatepost.services.access import Scope, may, require
from gatepost.services.descriptions import Descriptions
from gatepost.services.life import Life, life_of
from gatepost.services.makers import with_makers
from gatepost.services.status import address_key
from gatepost.services.tracking import Found, Search, stretch
from gatepost.settings import Filters
from gatepost.store.store import Reader, Store

CANDIDATES = 20  # mails of one Message-ID that are looked at, the newest first


class Whose(msgspec.Struct, frozen=True):
    """When a mail came, and what is kept of it, and what was on its way, says: whose it is, by the addresses.

    Made once for a mail, which may have a thousand recipients.
    """

    came: int
    users: dict[str, set[int]]
    domains: dict[str, set[int]]


class Traces:
    """Finds a mail by our id, Message-ID or a next hop's queue id; recipients out of scope do not exist (rules 12)."""

    def __init__(self, store: Store, filters: Filters) -> None:
        self._store = store
        self._descriptions = Descriptions(filters)

    async def find(self, caller: Caller, text: str) -> Life:
        """Return the life of the newest mail that `text` names and the caller may see; raise NOT_FOUND."""
        shown = await self._store.read(partial(_found, caller, text)) if text.strip(" <>") else []
        if not shown:
            raise Problem(Kind.NOT_FOUND, "There is no such mail.")
        first, *others = shown
        return msgspec.structs.replace(
            first,
            events=self._descriptions.beside(with_makers(self._store.reader, caller, first.events)),
            others=tuple(life.message.id for life in others),
        )

    async def track(self, caller: Caller, search: Search) -> Found:
        """Return the matching mails of one stretch, the newest first; raise FORBIDDEN.

        It looks through the mails of everybody, so that only who may read them all may ask (rules 12).
        """
        require(caller, "MAILS_READ")
        return await self._store.read(partial(stretch, search))


def _found(caller: Caller, text: str, reader: Reader) -> list[Life]:
    """Return the mails that a text names, the newest first, as far as the caller may see them."""
    lives = (life_of(reader, message) for message in reader.messages(text, CANDIDATES))
    return [shown for each in lives if (shown := _shown(reader, caller, each)) is not None]


def _shown(reader: Reader, caller: Caller, life: Life) -> Life | None:
    """The life as this caller may see it; None when nothing of it is in his scope."""
    if may(caller, "MAILS_READ"):
        return life
    names, whose = _mailboxes(life), _whose(life)
    mine = {name for name in reader.paced(names) if sees(reader, caller, name, whose)}
    if _is_sender(reader, caller, life.message, whose):
        mine |= {name for name in reader.paced(names - _members(life)) if scope_of(reader, name) is None}
    elif not mine:
        return None
    return msgspec.structs.replace(
        life,
        events=tuple(event for event in life.events if event.mailbox is None or address_key(event.mailbox) in mine),
        deliveries=tuple(each for each in life.deliveries if address_key(each.recipient) in mine),
        copies=tuple(each for each in life.copies if address_key(each.mailbox) in mine),
    )


def _is_sender(reader: Reader, caller: Caller, message: Message, whose: Whose) -> bool:
    """Tell whether the mail left on account of the caller's scope; those outside to whom it went are then his to
    see, but not who is served here for others, nor the members of a group (rules 9).
    """
    return message.direction == Direction.OUT and sees(reader, caller, message.login or message.sender, whose)


def sees(reader: Reader, caller: Caller, mailbox: str, whose: Whose | None = None) -> bool:
    """Tell whether a caller may know what befell a mail at a mailbox; without `whose`, what would befall one now."""
    scope = scope_of(reader, mailbox)
    if scope is None or not may(caller, "MAILS_READ", scope):
        return False
    if whose is None:
        return True
    user = scope if isinstance(scope, User) else None
    domain = reader.get(Domain, user.domain_id) if user else scope
    if isinstance(domain, Domain) and may(caller, "MAILS_READ", domain) and _is_its(reader, whose, domain, mailbox):
        return True
    return user is not None and _is_his(reader, whose, user)


def _whose(life: Life) -> Whose:
    whose = Whose(life.message.received, defaultdict(set), defaultdict(set))
    for copy in life.copies:
        whose.domains[copy.mailbox].add(copy.domain_id)
        if copy.user_id is not None:
            whose.users[copy.mailbox].add(copy.user_id)
    for each in life.deliveries:
        if each.domain_id:
            whose.domains[address_key(each.recipient)].add(each.domain_id)
    return whose


def _is_his(reader: Reader, whose: Whose, user: User) -> bool:
    """Tell whether a mail at an account's address was this account's: the address may have been another's.

    What is kept says whose it is. Else it is none of his whose account was made, or came to its address, later.
    """
    owners, came = whose.users.get(user.email), whose.came
    return user.id in owners if owners else bore(reader, user, came)


def _is_its(reader: Reader, whose: Whose, domain: Domain, mailbox: str) -> bool:
    """Tell whether a mail at an address was this domain's: another may have borne the name, and be erased by now.

    What is kept, and what was on its way, says whose it is. Else it is none of one that was made, or got the name,
    later.
    """
    owners, came = whose.domains.get(address_key(mailbox)), whose.came
    if owners:
        return domain.id in owners
    name = parse_address(mailbox).domain
    if name != domain.name:
        alias = reader.first(DomainAlias, eq("name", name))
        return alias is not None and not _is_added_since(reader, alias, came)
    renamed = any("name" in (each.before or {}) for each in _acts(reader, CHANGE, "domain", domain.id, came))
    return came >= domain.creation_date and not renamed


def _is_added_since(reader: Reader, alias: DomainAlias, at: int) -> bool:
    """Tell whether a domain has got an alias since; of many that it got at once the audit tells as of one act."""
    with_others = (each.after or {} for each in _acts(reader, ADD, "domain_alias", "", at))
    return bool(_acts(reader, ADD, "domain_alias", alias.id, at)) or any(
        each.get("first_id", 0) <= alias.id <= each.get("last_id", 0) for each in with_others
    )


def _acts(reader: Reader, act: str, kind: str, object_id: int | str, since: int) -> list[Audit]:
    where = every(eq("object_id", str(object_id)), eq("kind", kind), eq("act", act), Where("at", Op.GT, since))
    return reader.find(Audit, Query(where=where)).items


def scope_of(reader: Reader, mailbox: str) -> Scope | None:
    """The account of an address, else its domain; None for an address that we do not serve."""
    try:
        address = parse_address(mailbox)
    except BadAddress:
        return None
    domain = reader.domain(address.domain)
    if domain is None:
        return None
    return reader.first(User, eq("email", Address(address.local, domain.name).key)) or domain


def _mailboxes(life: Life) -> set[str]:
    """Every mailbox that the mail concerns, in the one form."""
    named = {event.mailbox for event in life.events if event.mailbox is not None}
    named |= {delivery.recipient for delivery in life.deliveries} | {copy.mailbox for copy in life.copies}
    return {address_key(name) for name in named}


def _members(life: Life) -> set[str]:
    """Every mailbox that the mail reaches through a group alone, be it let go, held or refused."""
    through = {each.recipient for each in life.deliveries if each.group is not None}
    through |= {each.mailbox for each in life.events if each.mailbox and "group" in each.data}
    return {address_key(name) for name in through}
