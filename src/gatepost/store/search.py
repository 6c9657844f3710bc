"""The body search's index: an FTS5 file of its own beside the store, made anew whenever it is missing or damaged.

Nothing else depends on it. It holds, for each mail and each mailbox with a copy of it, the words of the mail's text.
One thread owns the file (rules 22).
"""

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from gatepost.events import log
from gatepost.model.problem import Kind, Problem
from gatepost.store.health import is_damage

T = TypeVar("T")

NAME = "search.db"
APPLICATION_ID = 0x67617473  # "gats"
VERSION = 1  # one of another version is made anew
BEGUN_MIN = 3  # characters of which the beginning of a word has at least: of fewer there are too many

# `doc` numbers the pairs of mail and mailbox; `text` has the words under that number. The words come folded, so that
# the plain ASCII tokenizer takes each as it is.
_SCHEMA = """
CREATE TABLE reached (copy INTEGER NOT NULL) STRICT;
INSERT INTO reached VALUES (0);
CREATE TABLE doc (
  id INTEGER PRIMARY KEY, mail_id TEXT NOT NULL, mailbox TEXT NOT NULL, UNIQUE (mail_id, mailbox)
) STRICT;
CREATE VIRTUAL TABLE text USING fts5(mailbox, words, tokenize = 'ascii');
"""
_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=16000000; PRAGMA cache_size=-8192;"
    "PRAGMA temp_store=MEMORY"
)


class Entry(msgspec.Struct, frozen=True):
    """A mail in a mailbox, with the words of its text."""

    mail_id: str
    mailbox: str
    words: Sequence[str] = ()


class SearchIndex:
    """Finds mails of a mailbox by words. Each verb raises Problem(UNAVAILABLE) while the file can't be used."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._connection: sqlite3.Connection | None = None
        self._begun = False  # something was asked of it
        self._failing = False  # it was told
        self._thread = ThreadPoolExecutor(1, "search")

    async def reached(self, newest: int) -> int:
        """Return the copy up to which all are in; 0 after a new beginning.

        An index that is ahead of `newest`, the newest copy there ever was, is another store's and begins anew.
        """

        def look(connection: sqlite3.Connection) -> int:
            return int(connection.execute("SELECT copy FROM reached").fetchone()[0])

        found = await self._run(look)
        if found <= newest:
            return found
        await self._run(lambda _: self._start_anew("it is ahead of the store"))
        return 0

    async def lacking(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return those that are not in."""

        def look(connection: sqlite3.Connection) -> list[Entry]:
            sql = "SELECT 1 FROM doc WHERE mail_id = ? AND mailbox = ?"
            return [each for each in entries if not connection.execute(sql, _key(each)).fetchone()]

        return await self._run(look)

    async def add(self, entries: Sequence[Entry], reached: int | None = None) -> None:
        """Take mails in, and note up to which copy all are; what is in already stays as it is."""

        def change(connection: sqlite3.Connection) -> None:
            for each in entries:
                added = connection.execute("INSERT OR IGNORE INTO doc (mail_id, mailbox) VALUES (?, ?)", _key(each))
                if added.rowcount:
                    row = (added.lastrowid, _token(each.mailbox), " ".join(each.words))
                    connection.execute("INSERT INTO text (rowid, mailbox, words) VALUES (?, ?, ?)", row)
            if reached is not None:
                connection.execute("UPDATE reached SET copy = ?", (reached,))

        await self._run(lambda connection: _transact(connection, change))

    async def forget(self, entries: Sequence[Entry]) -> None:
        """Let mails go, words and all."""

        def change(connection: sqlite3.Connection) -> None:
            for each in entries:
                sql = "DELETE FROM doc WHERE mail_id = ? AND mailbox = ? RETURNING id"
                for (number,) in connection.execute(sql, _key(each)).fetchall():
                    connection.execute("DELETE FROM text WHERE rowid = ?", (number,))

        await self._run(lambda connection: _transact(connection, change))

    async def find(self, mailbox: str, words: Sequence[str], *, begun: bool = False) -> list[str]:
        """Return the ids of a mailbox's mails in which the words follow each other; the last may be only `begun`."""
        if not words:
            return []
        star = "*" if begun and len(words[-1]) >= BEGUN_MIN else ""
        asked = f'mailbox : {_token(mailbox)} AND words : "{" ".join(words)}" {star}'
        sql = "SELECT d.mail_id FROM text t JOIN doc d ON d.id = t.rowid WHERE text MATCH ?"
        return await self._run(lambda connection: [row[0] for row in connection.execute(sql, (asked,))])

    async def close(self) -> None:
        """Finish what was begun and let go of the file; may be called twice."""
        last = [asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)] if self._begun else []
        self._begun = False
        self._thread.shutdown(wait=False)  # what is asked from here on would open the file again
        await asyncio.gather(*last)

    # In the thread.

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        asked = asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)
        self._begun = True
        return await asked

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            done = work(self._open())
        except (sqlite3.Error, OSError) as error:
            self._let_go()
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self._remove(str(error))
            if not self._failing:
                log.warning("the body search can't be used now", file=str(self.path), error=str(error))
            self._failing = True
            raise Problem(Kind.UNAVAILABLE, "Bodies can't be searched now; try later.", error=str(error)) from error
        self._failing = False
        return done

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            fresh = not (self.path.exists() and self.path.stat().st_size)
            connection = self._connect()
            if not _is_sound(connection):
                connection.close()
                self._remove("" if fresh else "it is none of this version")
                connection = self._connect()
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            self._connection = connection
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS.split(";"):
                connection.execute(pragma).fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _start_anew(self, why: str) -> None:
        self._let_go()
        self._remove(why)

    def _remove(self, why: str) -> None:
        if why:
            log.warning("the body search is made anew", file=str(self.path), why=why)
        for end in ("", "-wal", "-shm"):
            self.path.with_name(NAME + end).unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _transact(connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], None]) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        change(connection)


def _is_sound(connection: sqlite3.Connection) -> bool:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    ours = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return ours == [APPLICATION_ID, VERSION] and tables >= {"reached", "doc", "text"}


def _key(entry: Entry) -> tuple[str, str]:
    return entry.mail_id, entry.mailbox.lower()


def _token(mailbox: str) -> str:
    """One word for a mailbox, which no text of a mail can imitate: columns are searched apart."""
    return hashlib.blake2b(mailbox.lower().encode("utf-8", "replace"), digest_size=10).hexdigest()
