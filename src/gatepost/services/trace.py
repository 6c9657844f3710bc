"""The trace of a mail: what befell it, as far as it concerns recipients in the caller's scope."""

from functools import partial

import msgspec

from gatepost.model.access import Caller
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.envelope import Direction
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Delivery, Message, TraceEvent
from gatepost.model.tenant import User
from gatepost.services.access import Scope, may
from gatepost.services.descriptions import Descriptions
from gatepost.services.makers import with_makers
from gatepost.settings import Filters
from gatepost.store.store import Reader, Store

CANDIDATES = 20  # mails of one Message-ID that are looked at, the newest first


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A mail with what befell it. `others` are further mails in scope that the same text names, newest first."""

    message: Message
    events: tuple[TraceEvent, ...]
    deliveries: tuple[Delivery, ...]
    copies: tuple[Copy, ...]
    others: tuple[str, ...] = ()


class Traces:
    """Finds a mail by our id, Message-ID or a next hop's queue id; recipients out of scope do not exist (rules 12)."""

    def __init__(self, store: Store, filters: Filters) -> None:
        self._store = store
        self._descriptions = Descriptions(filters)

    async def find(self, caller: Caller, text: str) -> Life:
        """Return the life of the newest mail that `text` names and the caller may see; raise NOT_FOUND."""
        lives = await self._store.read(partial(_lives, text)) if text.strip(" <>") else []
        shown = [life for life in (self._shown(caller, each) for each in lives) if life is not None]
        if not shown:
            raise Problem(Kind.NOT_FOUND, "There is no such mail.")
        first, *others = shown
        return msgspec.structs.replace(
            first,
            events=self._descriptions.beside(with_makers(self._store.reader, caller, first.events)),
            others=tuple(life.message.id for life in others),
        )

    def _shown(self, caller: Caller, life: Life) -> Life | None:
        """The life as this caller may see it; None when nothing of it is in his scope."""
        if may(caller, "MAILS_READ") or self._is_sender(caller, life.message):
            return life
        mine = {name for name in _mailboxes(life) if self._sees(caller, name)}
        if not mine:
            return None
        return msgspec.structs.replace(
            life,
            events=tuple(event for event in life.events if event.mailbox is None or _key(event.mailbox) in mine),
            deliveries=tuple(each for each in life.deliveries if _key(each.recipient) in mine),
            copies=tuple(each for each in life.copies if _key(each.mailbox) in mine),
        )

    def _is_sender(self, caller: Caller, message: Message) -> bool:
        """Tell whether the mail left on account of the caller's scope; its recipients are then his to see."""
        return message.direction == Direction.OUT and self._sees(caller, message.login or message.sender)

    def _sees(self, caller: Caller, mailbox: str) -> bool:
        return sees(self._store.reader, caller, mailbox)


def sees(reader: Reader, caller: Caller, mailbox: str) -> bool:
    """Tell whether a caller may know what befalls a mailbox's mail."""
    scope = scope_of(reader, mailbox)
    return scope is not None and may(caller, "MAILS_READ", scope)


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


def _lives(text: str, reader: Reader) -> list[Life]:
    return [_life(reader, message) for message in reader.messages(text, CANDIDATES)]


def _life(reader: Reader, message: Message) -> Life:
    of_mail = Query(where=eq("mail_id", message.id))
    return Life(
        message=message,
        events=tuple(reader.trace(message.id)),
        deliveries=tuple(reader.find(Delivery, of_mail).items),
        copies=tuple(reader.find(Copy, of_mail).items),
    )


def _mailboxes(life: Life) -> set[str]:
    """Every mailbox that the mail concerns, in the one form."""
    named = {event.mailbox for event in life.events if event.mailbox is not None}
    named |= {delivery.recipient for delivery in life.deliveries} | {copy.mailbox for copy in life.copies}
    return {_key(name) for name in named}


def _key(mailbox: str) -> str:
    """The address in the one form; a text that is no address stands for itself."""
    try:
        return parse_address(mailbox).key
    except BadAddress:
        return mailbox
