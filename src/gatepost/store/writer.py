"""What can be changed in the store: rows of any struct, and the verbs of the mail road; used inside `Store.write`."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from gatepost.events import Clock
from gatepost.model.audit import Actor
from gatepost.model.envelope import Body
from gatepost.model.memory import Room, Row
from gatepost.model.outgoing import Upload
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Condition, Op, Query, Where, eq, every
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.model.verdict import Folder
from gatepost.store import memory, uploads
from gatepost.store import query as compiler
from gatepost.store.journal import Journal
from gatepost.store.mail import Arrival, Kept, Mail, move_copies
from gatepost.store.purge import Purged, forget_audit, forget_refused, purge
from gatepost.store.reader import CHUNK, Reader
from gatepost.store.schema import LIVE, Column, Table, table

T = TypeVar("T")

_ROW = 400  # about what a message row takes beside its texts, for the budget of refused mail


class Writer(Reader):
    """A Reader that also writes. It lives in the writer thread; what it reads includes earlier writes of the batch."""

    def __init__(
        self, connection: sqlite3.Connection, spooled: Callable[[str], str], *, clock: Clock, refused_bytes: int
    ) -> None:
        super().__init__(connection, spooled)
        self._clock = clock
        self._refused_bytes = refused_bytes
        self.mail = Mail(connection)
        self.touched = False  # a configuration table was changed
        self.stirred = False  # the same, or quiet columns of one, or what else stirs
        self.generation = 0  # what the store's will be if nothing more is changed
        self._journal: Journal | None = None  # of the write at hand, where somebody answers for it

    # Any struct.

    def add(self, item: T) -> T:
        """Insert a row; return it with its id. Raises Problem(CONFLICT) where its key exists already."""
        known = table(type(item))
        values = [compiler.storable(value) for value in known.values(item)]
        cursor = self._connection.execute(known.insert, values)
        self._touch(known)
        if known.numbered:
            item = msgspec.structs.replace(item, id=cursor.lastrowid)  # type: ignore[type-var]
        if self._journal and known.config:
            self._journal.saw(None, item)
        return item

    def change(self, kind: type[T], id: int | str, /, **fields: Any) -> T | None:
        """Set members of a row and return it; None where there is no such row."""
        known = table(kind)
        seen = self._journal and known.config and not known.quiet.issuperset(fields)
        before = self.get(kind, id) if seen else None
        if fields:
            names = ", ".join(f'"{known.columns[name].name}" = ?' for name in fields)
            values = [_dumped(known.columns[name], value) for name, value in fields.items()]
            sql = f'UPDATE "{known.name}" SET {names} WHERE id = ?'
            self._connection.execute(sql, [*map(compiler.storable, values), id])
            self._touch(known, quietly=known.quiet.issuperset(fields))
        after = self.get(kind, id)
        if self._journal and before is not None:
            self._journal.saw(before, after)
        return after

    def remove(self, kind: type[Any], where: Condition) -> int:
        """Delete the matching rows and return their number.

        A copy takes its mail's bytes along when nobody else needs them; one of the archive whose term is not over
        raises Problem(UNPROCESSABLE).
        """
        if kind is Copy:
            return self._remove_copies(where)
        known = table(kind)
        if self._journal and known.config:
            for row in self.find(kind, Query(where=where)).items:
                self._journal.saw(row, None)
        found = compiler.where(compiler.Columns.of(known), where)
        cursor = self._connection.execute(f'DELETE FROM "{known.name}" WHERE {found.sql}', found.values)
        if cursor.rowcount > 0:
            self._touch(known)
        return cursor.rowcount

    def _touch(self, changed: Table[Any], *, quietly: bool = False) -> None:
        self.touched |= changed.config and not quietly
        self.stirred |= changed.stirs

    def _remove_copies(self, where: Condition) -> int:
        kept = every(where, eq("folder", Folder.ARCHIVE.value), Where("expires_at", Op.GT, self._clock()))
        if self.count(Copy, kept):
            raise Problem(Kind.UNPROCESSABLE, "the archive keeps its mail until the end of its term")
        found = compiler.where(compiler.Columns.of(table(Copy)), where)
        gone = self._connection.execute(
            f"DELETE FROM copy WHERE {found.sql} RETURNING mail_id", found.values
        ).fetchall()
        self.mail.release({row[0] for row in gone})
        return len(gone)

    # The audit.

    def answered(self, actor: Actor, change: Callable[["Writer"], T]) -> T:
        """Run a change for which somebody answers; what it did to configuration is kept with it."""
        self._journal = journal = Journal(actor, self._clock())
        try:
            result = change(self)
            self._journal = None
            for entry in journal.entries(self):
                self.add(entry)
            return result
        finally:
            self._journal = None

    def record(
        self, act: str, about: Any, *, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
    ) -> None:
        """Note an act that the rows don't show (a sign-in, a mail that was read); where nobody answers, nothing.

        `about` is the row that it concerns, or a word for what has none.
        """
        if self._journal:
            self._journal.note(self, act, about, before, after)

    # Mail.

    def keep(
        self,
        message: Message,
        body: Body,
        copies: Sequence[Copy],
        deliveries: Sequence[Delivery],
        trace: Sequence[TraceEvent],
        trace_until: int,
    ) -> Kept:
        """Store a mail with all that follows from it; a body with a path must have been adopted by the spool."""
        return self.mail.keep([Arrival(message, body, copies, deliveries, trace, trace_until)])[0]

    def enqueue(self, deliveries: Sequence[Delivery]) -> list[int]:
        """Add deliveries of a stored mail (release, retry); return their ids. NOT_FOUND when its body is gone."""
        for mail_id in {delivery.mail_id for delivery in deliveries}:
            if not self._rows("SELECT 1 FROM body WHERE mail_id = ?", [mail_id]):
                raise Problem(Kind.NOT_FOUND, "the mail is no longer kept", mail_id=mail_id)
        return self.mail.enqueue(deliveries)

    def settle(self, delivery: Delivery) -> None:
        """Write how a delivery stands; once nothing else needs the mail's bytes they go."""
        self.mail.settle([delivery])

    def live_ids(self, after: int) -> list[int]:
        """Return the ids of what `live` returns, whether or not it can be read."""
        sql = f"SELECT id FROM delivery WHERE {LIVE} AND id > ? ORDER BY id LIMIT ?"
        return [id for (id,) in self._rows(sql, [after, CHUNK])]

    def set_aside(self, ids: Iterable[int], why: str) -> list[int]:
        """Hold those deliveries a list of whose can't be read any more, without it; return their ids."""
        damaged = [each for each in ids if not self._can_be_read(each)]
        for each in damaged:
            self.change(Delivery, each, state=State.HELD, marks=[], log=[], last_reply=why)
        return damaged

    def _can_be_read(self, delivery_id: int) -> bool:
        try:
            self.get(Delivery, delivery_id)
        except msgspec.DecodeError:
            return False
        return True

    def note(self, mail_id: str, trace: Sequence[TraceEvent], until: int) -> None:
        """Append events to a mail's trace, to be kept until `until`."""
        self.mail.note(mail_id, trace, until)

    def refuse(self, message: Message, trace: Sequence[TraceEvent], until: int) -> None:
        """Store the trace of a refused mail, without its bytes; the oldest such traces make room (rules 21)."""
        if self._refused_bytes <= 0:
            return
        self.mail.add_message(msgspec.structs.replace(message, spooled=False))
        self.mail.note(message.id, trace, until, refused=True, more=_weight(message))
        while self.noted("refused") > self._refused_bytes:
            forget_refused(self._connection, self.mail)

    def tally(self, hour: int, net: str, code: str, count: int = 1) -> None:
        """Count refusals before DATA of one network, code and hour (hours since the epoch) in one row (rules 21)."""
        sql = "INSERT INTO refusal VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
        self._connection.execute(sql, (hour, net, code, count))

    def remember(self, room: Room, rows: Sequence[Row]) -> None:
        """Write what a filter counted, as it stands."""
        memory.remember(self._connection, room, rows)

    def learn(self, lesson: int, keys: Sequence[int], scope: int, *, spam: bool) -> tuple[int, int]:
        """Learn a mail's tokens, once; return what that added to the counts of spam and ham."""
        return memory.learn(self._connection, lesson, keys, scope, spam=spam, now=self._clock())

    def use(self, room: Room, used: Mapping[int, int]) -> None:
        """Note when rows of a filter's memory were last of use."""
        memory.use(self._connection, room, used)

    def forget(self, room: Room, keys: Collection[int], before: int) -> None:
        """Remove rows of a filter's memory that were of no use since."""
        memory.forget(self._connection, room, keys, before)

    def move_copies(self, old: str, new: str, upto: int, limit: int) -> int:
        """Give so many of a mailbox's copies, those of the archive too, to another mailbox; return their number.

        `upto` is the newest that goes along.
        """
        return move_copies(self._connection, old, new, upto, limit)

    def forget_uncopied(self, upto: int) -> None:
        """Note that the mails up to that one of `uncopied` can't be searched for any more."""
        self._connection.execute("DELETE FROM uncopied WHERE id <= ?", (upto,))

    def keep_upload(self, upload: Upload, body: Body) -> None:
        """Store an uploaded file; a body with a path must have been adopted by the spool under the upload's id."""
        uploads.keep(self._connection, upload, body)

    def drop_uploads(self, ids: Collection[str]) -> int:
        """Remove uploaded files; return how many there were."""
        return uploads.drop(self._connection, self.mail, ids)

    def reclaim(self, mail_id: str) -> None:
        """Remove an adopted spool file whose row never came."""
        if not self._rows("SELECT 1 FROM body WHERE mail_id = ? AND data IS NULL", [mail_id]):
            self.mail.dropped.append(mail_id)

    def purge(self, now: int, limit: int = 200, spared: int = 0) -> Purged:
        """Remove one slice of what is past its term: at most about `limit` rows of each sort.

        `spared`: what the slice before it said.
        """
        purged = purge(self._connection, self.mail, now, limit, spared)
        self.touched |= purged.domains > 0
        self.stirred |= purged.more  # of a domain, rows go slice by slice
        return purged

    def forget_audit(self, before: int, limit: int = 200) -> int:
        """Remove one slice of the audit's entries from before a moment; return their number."""
        return forget_audit(self._connection, before, limit)


def _dumped(column: Column, value: Any) -> Any:
    return column.dump(value) if column.dump else value


def _weight(message: Message) -> int:
    """About what a message's row takes."""
    texts = (message.message_id, message.subject, message.header_from, message.header_to, message.header_cc)
    return _ROW + sum(map(len, texts))
