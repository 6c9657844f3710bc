"""The hot path: what a mail leaves in the store, and when what goes; plain SQL on the writer's connection."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
import threading
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import zstandard

from gatepost.model.envelope import Body
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.store import emails
from gatepost.store.numbers import Numbers
from gatepost.store.schema import LIVE, table
from gatepost.store.wide import Wide

_MESSAGE, _COPY, _DELIVERY = table(Message), table(Copy), table(Delivery)
_MESSAGES = Wide(_MESSAGE.insert_rows, len(_MESSAGE.columns))
_COPIES = Wide(_COPY.insert_rows, len(_COPY.columns) + len(_COPY.hidden))
_DELIVERIES = Wide(_DELIVERY.insert_rows, len(_DELIVERY.columns))
_BODIES = Wide("INSERT OR FAIL INTO body (mail_id, size, data) VALUES {rows}", 3)
_TRACES = Wide("INSERT OR FAIL INTO trace (mail_id, until, refused, size, data) VALUES {rows}", 5)

_OPEN = (State.QUEUED, State.HELD)
# A new delivery has room for what its first try will say: a row that grows in a full page has that shared out anew
# among three. The blanks go with the try.
_LOG = list(_DELIVERY.columns).index("log") - 1  # without the id
_UNTRIED = "[]" + " " * 300
# What a try, or an administrator, changes in a delivery.
_STANDING = (
    *("state", "attempts", "due", "expires", "delay_told", "last_reply", "remote_id", "done_at", "log", "tag"),
    *("proven", "platform_id"),
)


def _settling(values: Sequence[str]) -> str:
    """Update a delivery by such values; what fails is taken back as a whole."""
    members = ", ".join(f"{name} = {value}" for name, value in zip(_STANDING, values, strict=True))
    return f"UPDATE OR FAIL delivery SET {members}"


*_MEMBERS, _ID = (f"column{at}" for at in range(1, len(_STANDING) + 2))
_SETTLE = Wide(
    f"{_settling(_MEMBERS)} FROM (VALUES {{rows}}) WHERE id = {_ID}",
    len(_STANDING) + 1,
    one=f"{_settling('?' * len(_STANDING))} WHERE id = ?",
)
_NEEDED = (
    "(EXISTS (SELECT 1 FROM copy WHERE copy.mail_id = {id})"
    f" OR EXISTS (SELECT 1 FROM delivery WHERE delivery.mail_id = {{id}} AND {LIVE}))"
)
# `data IS NULL` would be answered wrongly there by SQLite 3.40, in STRICT tables.
_TOLD = "mail_id, typeof(data), EXISTS (SELECT 1 FROM trace WHERE trace.mail_id = body.mail_id)"
_UNNEEDED = f"mail_id IN ({{rows}}) AND NOT {_NEEDED.format(id='body.mail_id')}"
_DROP = Wide(f"DELETE FROM body WHERE {_UNNEEDED} RETURNING {_TOLD}", 1)
_SPARE = Wide(f"SELECT json_group_array(json_array({_TOLD})) FROM body WHERE {_UNNEEDED}", 1)  # each row is a call
_REMOVE = Wide("DELETE FROM body WHERE mail_id IN ({rows})", 1)
_REPLACE = Wide(
    "UPDATE OR FAIL body SET mail_id = column1, size = column2, data = column3 FROM (VALUES {rows})"
    " WHERE mail_id = column4",
    4,
    one="UPDATE OR FAIL body SET mail_id = ?, size = ?, data = ? WHERE mail_id = ?",
)
_SMALL = 16_384  # octets of a body; SQLite copies those that one statement is over, and holds the copies until its end
_UNTOLD = Wide(
    "SELECT column1 FROM (VALUES {rows}) WHERE NOT EXISTS (SELECT 1 FROM trace WHERE mail_id = column1)"
    f" AND NOT {_NEEDED.format(id='column1')}",
    1,
)
_SPARED = msgspec.json.Decoder(list[tuple[str, str, int]])
_PACK = msgspec.json.Encoder(enc_hook=str)  # this may be used by several threads


class Kept(msgspec.Struct, frozen=True):
    """The ids that the rows of a mail were given, in the order of what was handed in."""

    copies: list[int]
    deliveries: list[int]


class _Thread(threading.local):
    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=1).compress  # not to be used by two threads at once


_thread = _Thread()


class Arrival:
    """A mail to keep with all that follows from it, made into rows by who asks: his thread has it all at hand.

    Its trace is kept until `until`. Raises what a member can't be encoded by.
    """

    def __init__(
        self,
        message: Message,
        body: Body,
        copies: Sequence[Copy],
        deliveries: Sequence[Delivery],
        trace: Sequence[TraceEvent],
        until: int,
    ) -> None:
        self.id = message.id
        self.message = _MESSAGE.values(message)
        self.body = message.id, body.size, body.data
        self.copies = _copy_rows(message, copies)
        self.ways = [_way(each) for each in deliveries]
        self.trace = _told(message.id, trace, until)
        self.needs_body = bool(copies) or any(delivery.state in _OPEN for delivery in deliveries)
        self.spooled = body.data is None


class Mail:
    """The mail verbs over one connection, each over many mails at once: a statement costs more than what it does.

    `dropped` collects the files to remove once it has committed.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers = Numbers(connection, _DELIVERY.name)
        self.dropped: list[str] = []  # mails whose spool file goes with the commit

    def keep(self, arrivals: Sequence[Arrival]) -> list[Kept]:
        """Store mails; a body with a path must have been adopted by the spool."""
        return self.exchange((), arrivals)

    def exchange(self, deliveries: Sequence[Delivery], arrivals: Sequence[Arrival]) -> list[Kept]:
        """`settle` and `keep` at once: new bodies are written over those that nobody needs any more.

        To remove one and to add another changes up to six pages of their table and the list of free ones; this, one.
        """
        done = self._write_down(deliveries)
        bodies = [each.body for each in arrivals if each.needs_body]
        if bodies:
            self._insert(_BODIES, self._write_over(done, bodies))
        else:
            self.release(done)
        self._insert(_MESSAGES, [each.message for each in arrivals])
        self.dropped += [each.id for each in arrivals if each.spooled and not each.needs_body]
        copies = iter(self._insert(_COPIES, [row for each in arrivals for row in each.copies]))
        ways = iter(self._enqueue([row for each in arrivals for row in each.ways]))
        self._insert(_TRACES, [each.trace for each in arrivals])
        return [Kept([next(copies) for _ in each.copies], [next(ways) for _ in each.ways]) for each in arrivals]

    def enqueue(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Insert new deliveries and return their ids."""
        return list(self._enqueue([_way(each) for each in deliveries]))

    def _enqueue(self, rows: Sequence[Sequence[Any]]) -> range:
        ids = self._numbers.take(len(rows))
        self._insert(_DELIVERIES, [(id, *row) for id, row in zip(ids, rows, strict=True)])
        return ids

    def add_message(self, message: Message) -> None:
        self._insert(_MESSAGES, [_MESSAGE.values(message)])

    def note(
        self, mail_id: str, trace: Sequence[TraceEvent], until: int, *, refused: bool = False, more: int = 0
    ) -> None:
        """Append events; `more` counts towards the budget of refused mail beside them."""
        self._insert(_TRACES, [_told(mail_id, trace, until, refused=refused, more=more)])

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Write how deliveries stand; what nobody needs of their mails goes."""
        self.release(self._write_down(deliveries))

    def _write_down(self, deliveries: Sequence[Delivery]) -> Collection[str]:
        """Write how deliveries stand; return the mails of those that are done."""
        for sql, values in _SETTLE.over([_standing(delivery) for delivery in deliveries]):
            self._connection.execute(sql, values)
        emails.tell(self._connection, {delivery.mail_id for delivery in deliveries})
        return dict.fromkeys(delivery.mail_id for delivery in deliveries if delivery.state not in _OPEN)

    def release(self, mail_ids: Collection[str]) -> int:
        """Drop what nobody needs of mails any more; return how many lost their bytes.

        The bytes stay for copies and deliveries not done; message and done deliveries as long as a trace or these.
        """
        return self._follow(self._over(_DROP, [(mail_id,) for mail_id in mail_ids]))

    def _write_over(self, mail_ids: Collection[str], bodies: Sequence[Any]) -> Sequence[Any]:
        """`release`, by which new bodies come into the rows of the old ones; return those that found none."""
        found = self._over(_SPARE, [(mail_id,) for mail_id in mail_ids])
        spare = [each for (rows,) in found for each in _SPARED.decode(rows)]
        rows = [(*body, mail_id) for body, (mail_id, _, _) in zip(bodies, spare, strict=False)]
        self._over(_REPLACE, [row for row in rows if row[1] <= _SMALL])
        for row in rows:
            if row[1] > _SMALL:
                self._over(_REPLACE, [row])
        self._over(_REMOVE, [(mail_id,) for mail_id, _, _ in spare[len(bodies) :]])
        self._follow(spare)
        return bodies[len(spare) :]

    def _follow(self, gone: Sequence[Any]) -> int:
        """Have the rest go with bytes that are gone; return their number."""
        self.dropped += [mail_id for mail_id, kind, _ in gone if kind == "null"]
        self._forget([mail_id for mail_id, _, told in gone if not told])
        return len(gone)

    def untold(self, mail_ids: Collection[str]) -> int:
        """`release` for mails that lost a trace: their bytes may have gone long before."""
        gone = self.release(mail_ids)
        self._forget([mail_id for (mail_id,) in self._over(_UNTOLD, [(mail_id,) for mail_id in mail_ids])])
        return gone

    def undone(self, dropped: int = 0) -> None:
        """Forget what was to follow from changes that were taken back, but for so many files."""
        del self.dropped[dropped:]
        self._numbers.forget()

    def _over(self, wide: Wide, rows: Sequence[Sequence[Any]]) -> list[Any]:
        return [row for sql, values in wide.over(rows) for row in self._connection.execute(sql, values).fetchall()]

    def _forget(self, mail_ids: Sequence[str]) -> None:
        for mail_id in mail_ids:
            self._connection.execute("DELETE FROM delivery WHERE mail_id = ?", (mail_id,))
            self._connection.execute("DELETE FROM message WHERE id = ?", (mail_id,))

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


def move_copies(connection: sqlite3.Connection, old: str, new: str, upto: int, limit: int) -> int:
    """Give so many copies of one mailbox, the newest being `upto`, to another, under new ids; return their number.

    What is held for the one is held for the other, and what was released goes there, where it still waits. To the body
    search the new ones have come and the old ones are gone.
    """
    rows = connection.execute(
        "SELECT id FROM copy WHERE mailbox = ? AND id <= ? ORDER BY folder, sent, id LIMIT ?", (old, upto, limit)
    ).fetchall()
    chosen = f"copy WHERE id IN ({', '.join(str(row[0]) for row in rows)})"
    told = emails.standing(connection, f"SELECT mail_id FROM {chosen}")
    others = [name for name in [*_COPY.columns, *_COPY.hidden] if name not in ("id", "mailbox", "held_for")]
    names = ", ".join(f'"{name}"' for name in others)
    moved = (
        f"INSERT INTO copy (mailbox, held_for, {names}) SELECT ?, replace(held_for, ?, ?), {names} FROM {chosen}"
        " ORDER BY folder, sent, id"
    )
    quoted = [msgspec.json.encode(address).decode() for address in (old, new)]
    connection.execute(moved, (new, *quoted))
    released = f"mail_id IN (SELECT mail_id FROM {chosen}) AND release AND {LIVE}"
    connection.execute(f"UPDATE delivery SET recipient = ? WHERE {released} AND recipient = ?", (new, old))
    connection.execute(f"DELETE FROM {chosen}")
    emails.restore(connection, told)
    return len(rows)


def _copy_rows(message: Message, copies: Sequence[Copy]) -> list[list[Any]]:
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
    return [[*_COPY.values(copy), *listed] for copy in copies]


def _way(delivery: Delivery) -> list[Any]:
    """Return what a new delivery binds but for its id."""
    row = _DELIVERY.values(delivery)[1:]
    if not delivery.log:
        row[_LOG] = _UNTRIED
    return row


def _told(
    mail_id: str, trace: Sequence[TraceEvent], until: int, *, refused: bool = False, more: int = 0
) -> tuple[Any, ...]:
    data = _thread.compress(_packed(trace))
    return mail_id, until, int(refused), len(data) + more, data


def _standing(delivery: Delivery) -> tuple[Any, ...]:
    return (
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
        delivery.id,
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
