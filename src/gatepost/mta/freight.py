"""What is sent: the rows, head and body of the mails under way; bodies fresh from their commit stay in memory."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gatepost.events import log
from gatepost.message.dsn import FULL_BYTES
from gatepost.message.edit import ID_FIELDS, completing, head_end, outgoing, trace_fields
from gatepost.model.address import BadAddress, parse_address
from gatepost.model.envelope import Body
from gatepost.model.stored import Delivery, Message, State
from gatepost.mta.schedule import Entry
from gatepost.mta.signing import Signing
from gatepost.mta.transaction import Parcel, Taker
from gatepost.store.store import Store

HEAD_USUAL = 32_768  # of a spooled mail, what is read first: few headers are longer
HEAD_MAX = 1_048_576  # and what is looked through for its header at most


class Load(msgspec.Struct, frozen=True):
    """Deliveries that can go in one transaction, with their entries. `others` of the same mail can't join them,
    `gone` are no longer to be sent."""

    entries: list[Entry]
    deliveries: list[Delivery]
    message: Message | None
    body: Body | None
    others: list[Entry] = []
    gone: list[Entry] = []


class _Kept:
    """A mail in memory until each of its deliveries has had its first try."""

    __slots__ = ("body", "message", "waiting")

    def __init__(self, message: Message, body: Body, waiting: set[int]) -> None:
        self.message = message
        self.body = body
        self.waiting = waiting


class Freight:
    """Fetches mails for the road, from memory where they are (at most `budget` octets), else from the store."""

    def __init__(self, store: Store, signing: Signing, host: str, budget: int) -> None:
        self._store = store
        self._signing = signing
        self._host = host
        self._budget = budget
        self._held = 0
        self._mails: dict[str, _Kept] = {}

    @property
    def held(self) -> int:
        """Octets of bodies in memory."""
        return self._held

    def load(self, message: Message, body: Body, ids: Sequence[int]) -> None:
        """Keep a mail in memory for the first try of these deliveries, if it fits."""
        kept = self._mails.get(message.id)
        if kept is not None:
            kept.waiting.update(ids)
        elif self._held + _weight(body) <= self._budget:
            self._held += _weight(body)
            self._mails[message.id] = _Kept(message, body, set(ids))

    def unload(self, mail_id: str, delivery_id: int) -> None:
        """Note that a delivery has had its first try, or will have none."""
        kept = self._mails.get(mail_id)
        if kept is None:
            return
        kept.waiting.discard(delivery_id)
        if not kept.waiting:
            self._held -= _weight(kept.body)
            del self._mails[mail_id]

    def gather(self, entries: Sequence[Entry]) -> Load:
        """Read the rows of one mail's deliveries, and sort out those that differ from the first in what is sent."""
        together: list[Entry] = []
        rows: list[Delivery] = []
        others: list[Entry] = []
        gone: list[Entry] = []
        for entry in entries:
            row = entry.delivery or self._store.reader.get(Delivery, entry.id)
            if row is None or row.state is not State.QUEUED:
                gone.append(entry)
            elif not rows or _sent(row) == _sent(rows[0]):
                together.append(entry)
                rows.append(row)
            else:
                others.append(entry)
        message, body = self._mail(entries[0].mail_id)
        return Load(together, rows, message, body, others, gone)

    def reload(self, delivery: Delivery) -> Load:
        """Return a single delivery's mail, for what is left to say of it."""
        message, body = self._mail(delivery.mail_id)
        return Load([], [delivery], message, body)

    async def parcel(self, load: Load) -> Parcel | None:
        """Return what goes on the wire, signed and sealed last of all; None where the mail's text can't be read."""
        message, body = load.message, load.body
        start = body.data if body is not None and body.data is not None else await _header(body)
        if message is None or body is None or start is None:
            return None
        first = load.deliveries[0]
        fields = self._fields(message, load.deliveries)
        if message.login:
            fields += completing(start, message)
        head = outgoing(start, fields, tag=first.tag, authserv_id=self._host, authored=message.login is not None)
        signatures = b""
        if message.signer:
            signatures = await self._signing.fields(message, head.data, body, head.offset)
        if head.changed:
            signed = signatures + head.data
            signatures = await self._signing.seal(message, first.domain_id, signed, body, head.offset) + signatures
        return Parcel(
            sender=first.sender,
            takers=tuple(Taker(row.recipient, row.notify, row.orcpt) for row in load.deliveries),
            head=signatures + head.data,
            body=body,
            offset=head.offset,
            smtputf8=first.smtputf8,
            ret=first.ret,
            envid=first.envid,
            tls=message.tls_wish,
        )

    async def original(self, load: Load) -> Body:
        """Return the mail for a report: whole, or the start of a large one."""
        data = await _start(load.body, FULL_BYTES) or b""
        return Body(len(data), data)

    def _mail(self, mail_id: str) -> tuple[Message | None, Body | None]:
        kept = self._mails.get(mail_id)
        if kept is not None:
            return kept.message, kept.body
        return self._store.reader.get(Message, mail_id), self._store.reader.body(mail_id)

    def _fields(self, message: Message, rows: Sequence[Delivery]) -> list[tuple[str, str]]:
        if not message.client_ip:
            return self._own_fields(message)
        recipient = None
        if len(rows) == 1:
            try:
                recipient = parse_address(rows[0].recipient)
            except BadAddress:
                recipient = None
        trace = trace_fields(message, host=self._host, recipient=recipient, smtputf8=rows[0].smtputf8)
        return [*message.proofs, *rows[0].marks, *trace]

    def _own_fields(self, message: Message) -> list[tuple[str, str]]:
        """What a mail gets that was written here: by a user over HTTP, else by us, and then it came in by no door.

        It names no recipient: that may be one whom only the envelope knows (threat 114).
        """
        if message.login:
            return trace_fields(message, host=self._host, protocol="HTTP")
        return [(name, message.id) for name in ID_FIELDS]


def _sent(row: Delivery) -> tuple[object, ...]:
    """What must be equal in all deliveries of one transaction."""
    return row.sender, row.tag, row.marks, row.smtputf8, row.ret, row.envid, row.platform_id, row.via


def _weight(body: Body) -> int:
    return len(body.data or body.start)


async def _header(body: Body | None) -> bytes | None:
    """The mail, or so much of a file that its header is in it."""
    start = body.start if body is not None and body.start else await _start(body, HEAD_USUAL)
    if body is None or body.path is None or start is None or head_end(start) >= 0:
        return start
    return await _start(body, HEAD_MAX)


async def _start(body: Body | None, most: int) -> bytes | None:
    """The mail, or its first octets where it is a file; None where neither can be read."""
    if body is None or body.data is not None:
        return body.data if body else None
    try:
        return await asyncio.to_thread(_read, body.path or "", most)
    except OSError as error:
        log.error("a queued mail can't be read", file=body.path, why=str(error))
        return None


def _read(path: str, most: int) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(most)
