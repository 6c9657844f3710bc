"""The hot path: what a mail leaves in the store, and when what goes; plain SQL on the writer's connection."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
import zstandard

from gatepost.model.envelope import Body
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.store.schema import LIVE, table

_MESSAGE, _COPY, _DELIVERY = table(Message), table(Copy), table(Delivery)
_SETTLE = (
    "UPDATE delivery SET state = ?, attempts = ?, due = ?, expires = ?, delay_told = ?, last_reply = ?, remote_id = ?,"
    " done_at = ?, log = ?, tag = ?, proven = ?, platform_id = ? WHERE id = ?"
)
_NEEDED = (
    f"EXISTS (SELECT 1 FROM copy WHERE mail_id = ?1) OR EXISTS (SELECT 1 FROM delivery WHERE mail_id = ?1 AND {LIVE})"
)
_DROP = f"DELETE FROM body WHERE mail_id = ?1 AND data IS NOT NULL AND NOT ({_NEEDED})"
_PACK = msgspec.json.Encoder(enc_hook=str)


class Kept(msgspec.Struct, frozen=True):
    """The ids that the rows of a mail were given, in the order of what was handed in."""

    copies: list[int]
    deliveries: list[int]


class Mail:
    """The mail verbs over one connection; `dropped` collects the files to remove once it has committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._compressor = zstandard.ZstdCompressor(level=1)
        self.dropped: list[str] = []  # mails whose spool file goes with the commit

    def insert(self, sql: str, values: Sequence[Any]) -> int:
        """Insert a row and return its row id; text that is no Unicode is mended, for a mail must not fail of it."""
        try:
            return self._connection.execute(sql, values).lastrowid or 0
        except UnicodeEncodeError:
            return self._connection.execute(sql, [_mended(value) for value in values]).lastrowid or 0

    def keep(
        self,
        message: Message,
        body: Body,
        copies: Sequence[Copy],
        deliveries: Sequence[Delivery],
        trace: Sequence[TraceEvent],
        until: int,
    ) -> Kept:
        self.add_message(message)
        if copies or any(delivery.state in (State.QUEUED, State.HELD) for delivery in deliveries):
            sql = "INSERT INTO body (mail_id, size, data) VALUES (?, ?, ?)"
            self._connection.execute(sql, (message.id, body.size, body.data))
        elif body.data is None:
            self.dropped.append(message.id)
        # In the order of the hidden columns.
        listed = (message.received if message.sent is None else message.sent, message.header_from, message.subject)
        held = [self.insert(_COPY.insert_all, [*_COPY.values(copy), *listed]) for copy in copies]
        kept = Kept(held, self.enqueue(deliveries))
        self.note(message.id, trace, until)
        return kept

    def enqueue(self, deliveries: Sequence[Delivery]) -> list[int]:
        return [self.insert(_DELIVERY.insert, _DELIVERY.values(delivery)) for delivery in deliveries]

    def add_message(self, message: Message) -> None:
        self.insert(_MESSAGE.insert, _MESSAGE.values(message))

    def note(
        self, mail_id: str, trace: Sequence[TraceEvent], until: int, *, refused: bool = False, more: int = 0
    ) -> int:
        """Append events; return what they count towards the budget of refused mail."""
        data = self._compressor.compress(_packed(trace))
        size = len(data) + more
        sql = "INSERT INTO trace (mail_id, until, refused, size, data) VALUES (?, ?, ?, ?, ?)"
        self._connection.execute(sql, (mail_id, until, refused, size, data))
        return size

    def settle(self, delivery: Delivery) -> None:
        self._connection.execute(
            _SETTLE,
            (
                delivery.state,
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
                delivery.id,
            ),
        )
        if delivery.state not in (State.QUEUED, State.HELD):
            self.release(delivery.mail_id)

    def release(self, mail_id: str) -> bool:
        """Drop what nobody needs of a mail any more; True when its bytes went.

        The bytes stay for copies and deliveries not done; message and done deliveries as long as a trace or these.
        """
        connection = self._connection
        gone = connection.execute(_DROP, (mail_id,)).rowcount > 0
        if not gone:
            if connection.execute(f"SELECT {_NEEDED}", (mail_id,)).fetchone()[0]:
                return False
            gone = connection.execute("DELETE FROM body WHERE mail_id = ?", (mail_id,)).rowcount > 0
            if gone:  # no row's bytes, so a file's
                self.dropped.append(mail_id)
        if not connection.execute("SELECT 1 FROM trace WHERE mail_id = ? LIMIT 1", (mail_id,)).fetchone():
            connection.execute("DELETE FROM delivery WHERE mail_id = ?", (mail_id,))
            connection.execute("DELETE FROM message WHERE id = ?", (mail_id,))
        return gone


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
