"""The hot path: what a mail leaves in the store, and when what goes; plain SQL on the writer's connection."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import zstandard

from gatepost.model.envelope import Body
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.store import emails
from gatepost.store.schema import LIVE, table
from gatepost.store.wide import Wide

_MESSAGE, _COPY, _DELIVERY = table(Message), table(Copy), table(Delivery)
_MESSAGES = Wide(_MESSAGE.insert_rows, len(_MESSAGE.columns))
_COPIES = Wide(_COPY.insert_rows, len(_COPY.columns) + len(_COPY.hidden))
_DELIVERIES = Wide(_DELIVERY.insert_rows, len(_DELIVERY.columns))
_BODIES = Wide("INSERT INTO body (mail_id, size, data) VALUES {rows}", 3)
_TRACES = Wide("INSERT INTO trace (mail_id, until, refused, size, data) VALUES {rows}", 5)

_OPEN = (State.QUEUED, State.HELD)
# What a try, or an administrator, changes in a delivery.
_STANDING = (
    *("state", "attempts", "due", "expires", "delay_told", "last_reply", "remote_id", "done_at", "log", "tag"),
    *("proven", "platform_id"),
)
_SETTLE = Wide(
    f"UPDATE delivery SET {', '.join(f'{name} = column{at}' for at, name in enumerate(_STANDING, 2))}"
    " FROM (VALUES {rows}) WHERE id = column1",
    len(_STANDING) + 1,
)
_NEEDED = (
    "(EXISTS (SELECT 1 FROM copy WHERE copy.mail_id = {id})"
    f" OR EXISTS (SELECT 1 FROM delivery WHERE delivery.mail_id = {{id}} AND {LIVE}))"
)
# `data IS NULL` would be answered wrongly there by SQLite 3.40, in STRICT tables.
_DROP = Wide(
    "DELETE FROM body WHERE mail_id IN (VALUES {rows})"
    f" AND NOT {_NEEDED.format(id='body.mail_id')} RETURNING mail_id, typeof(data)",
    1,
)
_UNTOLD = Wide(
    "SELECT column1 FROM (VALUES {rows}) WHERE NOT EXISTS (SELECT 1 FROM trace WHERE mail_id = column1)"
    f" AND NOT {_NEEDED.format(id='column1')}",
    1,
)
_PACK = msgspec.json.Encoder(enc_hook=str)


class Kept(msgspec.Struct, frozen=True):
    """The ids that the rows of a mail were given, in the order of what was handed in."""

    copies: list[int]
    deliveries: list[int]


class Arrival(msgspec.Struct, frozen=True):
    """A mail to keep with all that follows from it; its trace is kept until `until`."""

    message: Message
    body: Body
    copies: Sequence[Copy]
    deliveries: Sequence[Delivery]
    trace: Sequence[TraceEvent]
    until: int

    @property
    def needs_body(self) -> bool:
        return bool(self.copies) or any(delivery.state in _OPEN for delivery in self.deliveries)


class Mail:
    """The mail verbs over one connection, each over many mails at once: a statement costs more than what it does.

    `dropped` collects the files to remove once it has committed.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._compressor = zstandard.ZstdCompressor(level=1)
        self.dropped: list[str] = []  # mails whose spool file goes with the commit

    def keep(self, arrivals: Sequence[Arrival]) -> list[Kept]:
        """Store mails; a body with a path must have been adopted by the spool."""
        self._insert(_MESSAGES, [_MESSAGE.values(each.message) for each in arrivals])
        needed = [each for each in arrivals if each.needs_body]
        self._insert(_BODIES, [(each.message.id, each.body.size, each.body.data) for each in needed])
        self.dropped += [each.message.id for each in arrivals if each.body.data is None and not each.needs_body]
        copies = iter(self._insert(_COPIES, [row for each in arrivals for row in _copy_rows(each)]))
        deliveries = iter(self.enqueue([delivery for each in arrivals for delivery in each.deliveries]))
        self._insert(_TRACES, [self._told(each.message.id, each.trace, each.until) for each in arrivals])
        return [
            Kept([next(copies) for _ in each.copies], [next(deliveries) for _ in each.deliveries]) for each in arrivals
        ]

    def enqueue(self, deliveries: Sequence[Delivery]) -> list[int]:
        return self._insert(_DELIVERIES, [_DELIVERY.values(delivery) for delivery in deliveries])

    def add_message(self, message: Message) -> None:
        self._insert(_MESSAGES, [_MESSAGE.values(message)])

    def note(
        self, mail_id: str, trace: Sequence[TraceEvent], until: int, *, refused: bool = False, more: int = 0
    ) -> None:
        """Append events; `more` counts towards the budget of refused mail beside them."""
        self._insert(_TRACES, [self._told(mail_id, trace, until, refused, more)])

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Write how deliveries stand; what nobody needs of their mails goes."""
        for sql, values in _SETTLE.over([_standing(delivery) for delivery in deliveries]):
            self._connection.execute(sql, values)
        emails.tell(self._connection, {delivery.mail_id for delivery in deliveries})
        done = [delivery.mail_id for delivery in deliveries if delivery.state not in _OPEN]
        if done:
            self.release(dict.fromkeys(done))

    def release(self, mail_ids: Collection[str]) -> int:
        """Drop what nobody needs of mails any more; return how many lost their bytes.

        The bytes stay for copies and deliveries not done; message and done deliveries as long as a trace or these.
        """
        ids = [(mail_id,) for mail_id in mail_ids]
        gone = [row for sql, values in _DROP.over(ids) for row in self._connection.execute(sql, values).fetchall()]
        self.dropped += [mail_id for mail_id, kind in gone if kind == "null"]
        for sql, values in _UNTOLD.over(ids):
            for untold in self._connection.execute(sql, values).fetchall():
                self._connection.execute("DELETE FROM delivery WHERE mail_id = ?", untold)
                self._connection.execute("DELETE FROM message WHERE id = ?", untold)
        return len(gone)

    def _insert(self, into: Wide, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert rows and return their row ids; text that is no Unicode is mended, for a mail must not fail of it."""
        ids: list[int] = []
        for sql, values in into.over(rows):
            try:
                last = self._connection.execute(sql, values).lastrowid or 0
            except UnicodeEncodeError:
                last = self._connection.execute(sql, [_mended(value) for value in values]).lastrowid or 0
            ids += range(last - len(values) // into.columns + 1, last + 1)
        return ids

    def _told(
        self, mail_id: str, trace: Sequence[TraceEvent], until: int, refused: bool = False, more: int = 0
    ) -> tuple[Any, ...]:
        data = self._compressor.compress(_packed(trace))
        return mail_id, until, int(refused), len(data) + more, data


def _copy_rows(arrival: Arrival) -> list[list[Any]]:
    message = arrival.message
    # In the order of the hidden columns.
    sent = message.received if message.sent is None else message.sent
    listed = (
        sent,
        message.header_from,
        message.subject,
        message.received,
        message.size,
        message.header_to,
        message.header_cc,
    )
    return [[*_COPY.values(copy), *listed] for copy in arrival.copies]


def _standing(delivery: Delivery) -> tuple[Any, ...]:
    return (
        delivery.id,
        delivery.state.value,
        delivery.attempts,
        delivery.due,
        delivery.expires,
        delivery.delay_told,
        delivery.last_reply,
        delivery.remote_id,
        delivery.done_at,
        _PACK.encode(delivery.log).decode(),
        delivery.tag,
        delivery.proven,
        delivery.platform_id,
    )


def _packed(trace: Sequence[TraceEvent]) -> bytes:
    try:
        return _PACK.encode(trace)
    except UnicodeEncodeError:
        return _PACK.encode(_mended(msgspec.to_builtins(trace, enc_hook=str)))


def _mended(value: Any) -> Any:
    """Replace what is no Unicode (lone surrogates) in texts, however deep."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_mended(key): _mended(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mended(each) for each in value]
    return value
