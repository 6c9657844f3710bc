"""What can be asked of the store: rows by id or Query, and the named questions that Query is too weak or slow for."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec
import zstandard

from gatepost.model.email import Email
from gatepost.model.envelope import Body
from gatepost.model.memory import Room, Row
from gatepost.model.outgoing import Share, Upload
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Condition, Page, Query
from gatepost.model.rules import SenderRule
from gatepost.model.stored import Copy, Delivery, Letter, Message, TraceEvent
from gatepost.model.tenant import Domain, DomainStatus, UserStatus
from gatepost.store import current
from gatepost.store import query as compiler
from gatepost.store.memory import RECALL
from gatepost.store.orders import Listed, Orders
from gatepost.store.schema import LIVE, PROTECTED, table
from gatepost.turns import paced

T = TypeVar("T")

PATIENCE = 5.0  # seconds for a question that people put in words of their own
STEPS = 1000  # of SQLite's machine between two looks at the clock
CHUNK = 500  # rows read at once by what walks through a table (rules 19)
FEW = 8  # rows fetched at once: within a turn
INDEXED = "sent"  # the order that the index of copies has

_EVENTS = msgspec.json.Decoder(list[TraceEvent])


class FolderCount(msgspec.Struct, frozen=True):
    """How much of one category lies in a folder of a mailbox. `mark`: another whenever a copy came or went."""

    folder: str
    category: str
    total: int
    unseen: int
    mark: int


class Uncopied(msgspec.Struct, frozen=True):
    """A mail of which a mailbox had no copy left at some moment; `back`: it has one again."""

    id: int
    mail_id: str
    mailbox: str
    back: bool


class Refusals(msgspec.Struct, frozen=True):
    """Refusals before DATA that were only counted; `hour` in hours since the epoch."""

    hour: int
    net: str
    code: str
    count: int


class Reader:
    """Reads by one connection, used by one thread at a time. Each question sees the store as it is at that moment.

    With `orders`, which threads beside the loop share, it gives way to the loop while it makes something of many rows.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        spooled: Callable[[str], str],
        blame: Callable[[sqlite3.Error], Exception] | None = None,
        *,
        orders: Orders | None = None,
    ) -> None:
        self._connection = connection
        self._spooled = spooled
        self._blame = blame
        self._orders = orders
        self._unpack = zstandard.ZstdDecompressor()

    # Any struct.

    def get(self, kind: type[T], id: int | str) -> T | None:
        """Return the row of that id; None where there is none."""
        known = table(kind)
        rows = self._rows(f'SELECT {known.fields} FROM "{known.name}" WHERE id = ?', [compiler.bind(id)])
        return known.row(rows[0]) if rows else None

    def first(self, kind: type[T], where: Condition) -> T | None:
        """Return the matching row of the lowest id."""
        items = self.find(kind, Query(where=where, limit=1)).items
        return items[0] if items else None

    def find(self, kind: type[T], query: Query) -> Page[T]:
        """Return the window of a query, and the count of all matches where it asks for one."""
        known = table(kind)
        columns = compiler.Columns.of(known)
        rows, total = self._page(f'"{known.name}"', known.fields, columns, query)
        return Page([known.row(row) for row in self.paced(rows)], total)

    def ids(self, kind: type[Any], where: Condition) -> list[int]:
        """Return the ids of all matching rows, which an index alone may tell."""
        known = table(kind)
        found = compiler.where(compiler.Columns.of(known), where)
        return [row[0] for row in self._rows(f'SELECT id FROM "{known.name}" WHERE {found.sql}', found.values)]

    def count(self, kind: type[Any], where: Condition) -> int:
        """Return how many rows match."""
        known = table(kind)
        found = compiler.where(compiler.Columns.of(known), where)
        return self._number(f'SELECT count(*) FROM "{known.name}" WHERE {found.sql}', found.values)

    # Mail.

    def body(self, mail_id: str) -> Body | None:
        """Return a mail's bytes, or the path of their file; None where they are no longer kept."""
        rows = self._rows("SELECT size, data FROM body WHERE mail_id = ?", [mail_id])
        if not rows:
            return None
        size, data = rows[0]
        return Body(size, data) if data is not None else Body(size, path=self._spooled(mail_id))

    def trace(self, mail_id: str) -> list[TraceEvent]:
        """Return what befell a mail, by time; [] where nothing is known of it."""
        rows = self._rows("SELECT data FROM trace WHERE mail_id = ? ORDER BY id", [mail_id])
        events = [event for (data,) in rows for event in _EVENTS.decode(self._unpack.decompress(data))]
        return sorted(events, key=lambda event: event.at)

    def messages(self, key: str, limit: int = 100) -> list[Message]:
        """Return the mails that a text names: our id, a Message-ID (with or without <>) or a next hop's queue id."""
        bare = key.strip().removeprefix("<").removesuffix(">")
        known = table(Message)
        sql = (
            f"SELECT {known.fields} FROM message WHERE id IN (SELECT id FROM message WHERE id = ?"
            " UNION SELECT id FROM message WHERE message_id IN (?, ?)"
            " UNION SELECT mail_id FROM delivery WHERE remote_id = ?) ORDER BY id DESC LIMIT ?"
        )
        found = [compiler.bind(each) for each in (bare.lower(), bare, f"<{bare}>", bare, limit)]
        return [known.row(row) for row in self._rows(sql, found)]

    def letters(self, query: Query, listed: Listed | None = None) -> Page[Letter]:
        """Return copies with their mails. The query may name every member of Copy and Message (`id` is the copy's).

        `listed` is the list's state where that is known: it is not counted, and may be sorted once for all its pages.
        """
        copies, messages = table(Copy), table(Message)
        columns = compiler.Columns.of_letters(copies, messages)
        tables = "copy c JOIN message m ON m.id = c.mail_id"
        fields = ", ".join([*(f'c."{name}"' for name in copies.columns), *(f'm."{name}"' for name in messages.columns)])
        rows, total = self._page(tables, fields, columns, query, key="c.id", least="copy c", listed=listed)
        cut = len(copies.columns)
        return Page([Letter(copies.row(row[:cut]), messages.row(row[cut:])) for row in self.paced(rows)], total)

    def copies_of(self, mailbox: str, mail_ids: Sequence[str]) -> list[int]:
        """Return the ids of a mailbox's copies of some mails: by these, which are few, not by the mailbox."""
        sql = "SELECT id FROM copy WHERE mail_id IN (SELECT value FROM json_each(?)) AND +mailbox = ?"
        return [id for (id,) in self._rows(sql, [msgspec.json.encode(mail_ids).decode(), compiler.bind(mailbox)])]

    def folders(self, mailbox: str, user_id: int | None = None) -> list[FolderCount]:
        """Return the folders of a mailbox that hold mail, with their counts by category.

        With `user_id` without what was kept for another account, or a group (counted one by one, and of no mark).
        """
        whose = " AND (user_id = ? OR coalesce(user_id, group_id) IS NULL) GROUP BY folder, category"
        own = whose if user_id is not None else ""
        counts = "count(*), sum(NOT seen), 0 FROM copy" if own else "total, unseen, mark FROM folder"
        sql = f"SELECT folder, category, {counts} WHERE mailbox = ?{own} ORDER BY folder, category"
        return [FolderCount(*row) for row in self._rows(sql, [compiler.bind(mailbox), *([user_id] if own else [])])]

    def keeps_mail(self, domain_id: int) -> bool:
        """Tell whether any mail is kept for the addresses of a domain."""
        return bool(self._rows("SELECT 1 FROM folder WHERE domain_id = ? LIMIT 1", [domain_id]))

    def may_keep_for_another(self, mailbox: str, user_id: int | None, look: int = 200) -> bool:
        """Tell whether an address may hold mail of another account, or of a group; of more than `look` mails it may."""
        some = "SELECT user_id, group_id FROM copy WHERE mailbox = ? LIMIT ?"
        owners = self._rows(some, [compiler.bind(mailbox), look + 1])
        return len(owners) > look or any(owner not in ((None, None), (user_id, None)) for owner in owners)

    def newest_copy(self) -> int:
        """Return the id of the newest copy that there ever was; 0 before the first."""
        return self._number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'copy'", [])

    def uncopied(self, limit: int) -> list[Uncopied]:
        """Return mails that left a mailbox and may be searchable there still, the oldest first."""
        sql = (
            "SELECT id, mail_id, mailbox, EXISTS (SELECT 1 FROM copy c WHERE c.mail_id = u.mail_id AND c.mailbox ="
            " u.mailbox) FROM uncopied u ORDER BY id LIMIT ?"
        )
        return [Uncopied(id, mail_id, mailbox, bool(back)) for id, mail_id, mailbox, back in self._rows(sql, [limit])]

    def uploaded(self, user_id: int | None = None, kind: type[Upload] | type[Share] = Upload) -> tuple[int, int]:
        """Return how many files are uploaded, or shared, and their octets: a user's, or all."""
        sql = f"SELECT count(*), coalesce(sum(size), 0) FROM {table(kind).name} WHERE ? IS NULL OR user_id = ?"
        count, octets = self._rows(sql, [user_id, user_id])[0]
        return count, octets

    def emails(self, query: Query, octets: int, *, seconds: float = PATIENCE) -> Page[Email]:
        """Return what applications handed in: of the window as many as stay below so many octets, one at least.

        Raises UNPROCESSABLE for a question that takes longer than `seconds`.
        """
        with self._within(seconds):
            rows, total = self._page('"email"', "id, size", compiler.Columns.of(table(Email)), query)
        found: list[Email] = []
        room = octets
        for number, size in rows:
            room -= size
            if room < 0 and found:
                break
            row = self.get(Email, number)
            found += [row] if row is not None else []
        return Page(found, total)

    # Deliveries.

    def queued(self) -> Iterator[list[Delivery]]:
        """Yield all deliveries that are not done, in chunks by id; what is added meanwhile may come too."""
        after = 0
        while chunk := self.live(after):
            yield chunk
            after = chunk[-1].id

    def live(self, after: int = 0, limit: int = CHUNK) -> list[Delivery]:
        """Return the deliveries not done whose id is greater than `after`, by id."""
        known = table(Delivery)
        sql = f"SELECT {known.fields} FROM delivery WHERE {LIVE} AND id > ? ORDER BY id LIMIT ?"
        return [known.row(row) for row in self._rows(sql, [after, limit])]

    def octets(self, after: int = 0, limit: int = CHUNK) -> list[tuple[int, int, int]]:
        """Return of each domain the octets of the next copies behind an id, with the last of their ids."""
        next_ones = "SELECT id, domain_id, size FROM copy WHERE id > ? ORDER BY id LIMIT ?"
        return self._rows(f"SELECT domain_id, sum(size), max(id) FROM ({next_ones}) GROUP BY domain_id", [after, limit])

    def states(self) -> dict[str, int]:
        """Return how many deliveries are queued and how many held."""
        return dict(self._rows(f"SELECT state, count(*) FROM delivery WHERE {LIVE} GROUP BY state"))

    # Configuration.

    def domain(self, name: str) -> Domain | None:
        """Return the domain that bears a name, be it as an alias."""
        known = table(Domain)
        sql = (
            f"SELECT {known.fields} FROM domain WHERE id = coalesce((SELECT id FROM domain WHERE name = ?),"
            " (SELECT domain_id FROM domain_alias WHERE name = ?))"
        )
        rows = self._rows(sql, [compiler.bind(name)] * 2)
        return known.row(rows[0]) if rows else None

    def active_users(self, domain_ids: Collection[int]) -> dict[int, int]:
        """Return how many accounts of each domain are enabled; a domain without any is left out."""
        sql = (
            "SELECT domain_id, total FROM user_total WHERE status = ? AND domain_id IN (SELECT value FROM json_each(?))"
        )
        return dict(self._rows(sql, [UserStatus.ENABLED.value, msgspec.json.encode(list(domain_ids)).decode()]))

    def naming(self, column: Literal["outgoing_subnets", "outgoing_provider_ids"]) -> list[Domain]:
        """Return the domains that name outgoing subnets, or providers."""
        known = table(Domain)
        rows = self._rows(f"SELECT {known.fields} FROM domain WHERE {column} != '[]' ORDER BY id")
        return [known.row(row) for row in rows]

    def trusted_subnets(self) -> list[str]:
        """Return the outgoing subnets of enabled domains."""
        subnets = "domain, json_each(outgoing_subnets) WHERE outgoing_subnets != '[]'"
        sql = f"SELECT DISTINCT value FROM {subnets} AND status = ?"
        return [text for (text,) in self._rows(sql, [DomainStatus.ENABLED.value])]

    def names_provider(self, provider_id: int) -> bool:
        """Tell whether a domain names an outgoing provider."""
        sql = (
            "SELECT 1 FROM domain WHERE outgoing_provider_ids != '[]'"
            " AND EXISTS (SELECT 1 FROM json_each(outgoing_provider_ids) WHERE value = ?) LIMIT 1"
        )
        return bool(self._rows(sql, [provider_id]))

    def sender_rules(self, owners: Collection[str], values: Collection[str], now: int) -> list[SenderRule]:
        """Return the owners' rules that name one of `values`, are not expired, and are of the current generation."""
        known = table(SenderRule)
        sql = current.naming(known, len(owners), len(values))
        rows = self._rows(sql, [*map(compiler.bind, owners), *map(compiler.bind, values), now])
        return [known.row(row) for row in rows]

    def protected(self, owner: str, now: int, most: int) -> list[SenderRule]:
        """Return an owner's PROTECTED rules that are not expired and are of the current generation, the first ones."""
        known = table(SenderRule)
        rows = self._rows(current.rules(known, f"r.owner = ? AND r.{PROTECTED}") + " LIMIT ?", [owner, now, most])
        return [known.row(row) for row in rows]

    def recall(self, room: Room, after: int = -1, limit: int = CHUNK) -> list[Row]:
        """Return what a filter remembers, behind a key, in the order of keys."""
        return [Row(*row) for row in self._rows(RECALL, [room, after, limit])]

    def refusals(self, since: int = 0) -> list[Refusals]:
        """Return the counted refusals from an hour on."""
        sql = "SELECT hour, net, code, count FROM refusal WHERE hour >= ? ORDER BY hour, net, code"
        return [Refusals(*row) for row in self._rows(sql, [since])]

    def noted(self, key: str) -> int:
        """Return a number of the store's own, 0 where it has none: octets of refused traces, the last "purged" time."""
        return self._number("SELECT coalesce(max(value), 0) FROM meta WHERE key = ?", [key])

    def quick_check(self) -> list[str]:
        """Return what SQLite finds damaged; [] for a sound database. Reads all of it."""
        return [text for (text,) in self._rows("PRAGMA quick_check") if text != "ok"]

    def interrupt(self) -> None:
        """Break off what another thread is asking."""
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()

    # How it is asked.

    def paced(self, items: Iterable[T]) -> Iterable[T]:
        """Return items at the pace at which something may be made of them here."""
        return paced(items) if self._orders else items

    def _page(
        self,
        tables: str,
        fields: str,
        columns: compiler.Columns,
        query: Query,
        key: str = "id",
        least: str = "",
        listed: Listed | None = None,
    ) -> tuple[list[Any], int | None]:
        """Return the rows of the window and the total; `least` are the tables that hold where nothing asks for `m`."""
        where, window = compiler.where(columns, query.where), compiler.window(columns, query)
        enough = least if least and 'm."' not in where.sql + window.sql else tables
        total, inside = listed.total if listed else None, window
        if query.total and total is None:
            total = self._number(f"SELECT count(*) FROM {enough} WHERE {where.sql}", where.values)
        if total is not None:
            if total <= query.offset:
                return [], total
            inside = compiler.nearer(columns, query, total)
        sql = f"SELECT {fields} FROM {tables} WHERE {where.sql} {window.sql}"
        if query.offset or (query.limit is not None and (query.keys or query.sort != "id")):
            # Sorted and skipped by as little as can be, an index at best; only the rows of the window are opened.
            inner = f"SELECT {key} FROM {enough} WHERE {where.sql} "
            order, values, ids = compiler.order(columns, query), where.values, None
            if listed and self._orders and query.sort.removeprefix("-") != INDEXED:
                name = (inner + order, *values)
                ids = self._orders.window(name, listed, query, lambda: self._rows(inner + order, values))
            if ids is None:
                inner, values = inner + inside.sql, [*values, *inside.values]
            else:
                inner, values = "SELECT value FROM json_each(?)", [msgspec.json.encode(ids).decode()]
            sql = f"SELECT {fields} FROM {tables} WHERE {key} IN ({inner}) {order}"
            return self._rows(sql, values), total
        return self._rows(sql, [*where.values, *window.values]), total

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let several questions see the store as it is at one moment."""
        self._rows("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Break off what takes too long."""
        end = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > end, STEPS)
        try:
            yield
        except (sqlite3.Error, Problem) as error:
            if time.monotonic() <= end:
                raise
            raise Problem(Kind.UNPROCESSABLE, "The query takes too long: ask for less at once.") from error
        finally:
            self._connection.set_progress_handler(None, STEPS)

    def _number(self, sql: str, values: Sequence[Any]) -> int:
        return int(self._rows(sql, values)[0][0])

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            found = self._connection.execute(sql, values)
            return [row for some in self.paced(iter(partial(found.fetchmany, FEW), [])) for row in some]
        except sqlite3.Error as error:
            problem = self._blame(error) if self._blame else error
            if problem is error:
                raise
            raise problem from error
