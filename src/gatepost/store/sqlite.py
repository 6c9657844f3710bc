"""The writing connection and its one thread: group commit, items that fail alone, an answer after the COMMIT."""

import asyncio
import queue
import shutil
import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from gatepost.events import Metrics, log
from gatepost.model.problem import Kind, Problem
from gatepost.store.blobs import Spool
from gatepost.store.bulk import KINDS, together
from gatepost.store.coming import Coming
from gatepost.store.connection import BUSY
from gatepost.store.health import Health, cause, primary_code
from gatepost.store.item import GATHERED, Caught, Item, Pace
from gatepost.store.meanwhile import Meanwhile
from gatepost.store.writer import Writer

BATCH = 500  # items of one transaction
WAL_ALARM = 1_000_000_000  # octets (rules 19)
WAL_LOOK = 1.0  # seconds between two looks at it
KNOWN = 500  # the same once that has been in vain, so that answers, and the stop, come soon
PROBE = 1.0  # seconds between trials whether a full disc has room again, a locked database is free
LINGER = 0.03  # seconds that an item waits for others to be committed with
LAPS = 3  # of a loop that bring nothing more to be waited for: then nobody is near
REST = 0.003  # seconds until the next look whether mails that are judged are still near
ENOUGH = 16  # mails that wait for none that is judged
CROWD = 50  # items that wait for nothing more
_PROBE_BYTES = 65_536
_DISC = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Committer:
    """Owns the writing connection. `submit` may be called from any thread; items of one batch commit together."""

    def __init__(
        self, connection: sqlite3.Connection, writer: Writer, spool: Spool, health: Health, metrics: Metrics, wal: Path
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._spool = spool
        self._health = health
        self._metrics = metrics
        self._wal = wal
        self._wal_large = False
        self._wal_due = 0.0  # when to look at it again, by time.monotonic
        self._queue: queue.SimpleQueue[list[Item[Any]] | None] = queue.SimpleQueue()
        self._slow: deque[Item[Any]] = deque()
        self._soon: list[Item[Any]] = []  # the next commit takes them along; nobody is woken for them
        self._near = 0  # items of pace TOGETHER among them
        self._crowded = False  # the last commit had several such items
        self._door = threading.Lock()  # nothing is queued behind the end
        self._rest: asyncio.TimerHandle | None = None  # while they wait for mails that are being judged
        self.meanwhile = Meanwhile()
        self.coming = Coming()
        self._stopped = False
        self._busy = BUSY
        self.generation = 1
        self.revision = 1
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def submit(self, item: Item[Any]) -> None:
        """Queue an item; it is settled after the COMMIT, or with what kept it from that."""
        with self._door:
            if not self._stopped:
                if item.pace in GATHERED and item.loop is not None:
                    self._join(item, item.loop)
                else:
                    self._queue.put([item])
                return
        item.error = self._health.unavailable()
        self._settle([item])

    def _join(self, item: Item[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Let an item wait for others, the first of them for so long at most; `_door` is held."""
        self._soon.append(item)
        self._near += item.pace is Pace.TOGETHER
        if len(self._soon) >= CROWD or (item.pace is Pace.TOGETHER and not self._crowded):
            self._queue.put(self._take_soon())
            return
        if len(self._soon) == 1:
            loop.call_later(LINGER, self._hurry, self._soon)
        if item.pace is Pace.TOGETHER and self._near == 1:
            loop.call_soon(self._lull, loop, self._soon, 1, 0)
        elif item.pace is Pace.TOGETHER and self._rest is not None and self._enough():
            self._rest.cancel()
            self._rest = None
            loop.call_soon(self._lull, loop, self._soon, self._near, 0)

    def _lull(self, loop: asyncio.AbstractEventLoop, waiting: list[Item[Any]], near: int, laps: int) -> None:
        """Have these committed once the loop has gone round a few times and brought no more that are waited for.

        It may bring none because readers are at them: then a few wait for those, but never more wait than are judged.
        """
        if waiting is not self._soon:
            return
        laps = laps + 1 if self._near == near else 0
        if laps < LAPS:
            loop.call_soon(self._lull, loop, waiting, self._near, laps)
        elif self._enough():
            self._hurry(waiting)
        else:
            self._rest = loop.call_later(REST, self._lull, loop, waiting, self._near, LAPS)

    def _enough(self) -> bool:
        return self._near >= min(ENOUGH, self.coming.count())

    def _hurry(self, waiting: list[Item[Any]]) -> None:
        """Have these committed, if nobody's commit has taken them along, nor the end will."""
        with self._door:
            if waiting is self._soon and not self._stopped:
                self._queue.put(self._take_soon())

    def _take_soon(self) -> list[Item[Any]]:
        soon, self._soon, self._near, self._rest = self._soon, [], 0, None
        return soon

    def stop(self) -> None:
        """Commit what is queued, then end the thread; slow items not begun are refused."""
        with self._door:
            if not self._stopped:
                self._stopped = True
                self._queue.put(None)
        self._thread.join()

    # The thread.

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._next()
            self._heed_lock()
            if batch:
                self._commit(batch)
            elif self._slow and not self._soon:
                self._commit([self._slow.popleft()])
            elif self._health.passing:
                self._probe()
        for item in self._slow:
            item.error = self._health.unavailable()
        self._settle([*self._slow])

    def _next(self) -> tuple[list[Item[Any]], bool]:
        """Return what is to be committed now, and False at the end; slow ones step aside."""
        batch: list[Item[Any]] = []
        items: list[Item[Any]] | None = []
        with suppress(queue.Empty):
            items = self._queue.get(timeout=self._patience())
            while items is not None:
                self._claim(items, batch)
                if len(batch) >= BATCH or self._queue.empty():  # nobody else takes from it
                    break
                items = self._queue.get()
        going = items is not None
        if batch or not going:
            with self._door:
                soon = self._take_soon()
            self._claim(soon, batch)
        return batch, going

    def _claim(self, items: list[Item[Any]], batch: list[Item[Any]]) -> None:
        for item in items:
            if item.take():
                (self._slow if item.pace is Pace.SLOW else batch).append(item)

    def _patience(self) -> float | None:
        if self._slow:
            return LINGER if self._soon else 0.0
        return PROBE if self._health.passing else None

    def _heed_lock(self) -> None:
        busy = KNOWN if self._health.locked else BUSY
        if busy != self._busy:
            self._busy = busy
            self._connection.execute(f"PRAGMA busy_timeout = {busy}")

    def _commit(self, batch: list[Item[Any]]) -> None:
        try:
            if self._health.broken:
                raise self._health.unavailable()
            self._transact(batch)
        except (Problem, sqlite3.Error, MemoryError) as error:
            self._fail(batch, error)
        else:
            self._succeed(batch)

    def _transact(self, batch: list[Item[Any]]) -> None:
        self._crowded = sum(item.pace is Pace.TOGETHER for item in batch) > 1
        self._writer.generation = self.generation
        self._connection.execute("BEGIN IMMEDIATE")
        made = self._together(batch)
        for item in batch:
            if not made or type(item.change) not in KINDS:
                self._alone(item)
        self.meanwhile.begins()
        self._connection.execute("COMMIT")

    def _together(self, batch: list[Item[Any]]) -> bool:
        """Make the changes of KINDS at once; False, and nothing is done, where one of them can't be made.

        They are the first in the transaction: it is what is taken back. A savepoint copies each page that changes.
        """
        self._writer.touched = self._writer.stirred = False
        with Caught() as caught:
            alike = [item for item in batch if type(item.change) in KINDS]
            results = together([item.change for item in alike], self._writer) if alike else ()
            for item, result in zip(alike, results, strict=True):
                item.result = result
                self._mark(item)
        if caught.error is None:
            return True
        self._check(caught.error)
        self._writer.mail.undone()
        self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")
        return False

    def _alone(self, item: Item[Any]) -> None:
        self._writer.touched = self._writer.stirred = False
        self._connection.execute("SAVEPOINT item")
        dropped = len(self._writer.mail.dropped)
        with item:
            item.result = item.change(self._writer)
        if item.error is None:
            self._mark(item)
        else:
            self._check(item.error)
            self._connection.execute("ROLLBACK TO item")
            self._writer.mail.undone(dropped)
            item.error = _meaning(item.error)
        self._connection.execute("RELEASE item")

    def _mark(self, item: Item[Any]) -> None:
        item.touched, item.stirred = self._writer.touched, self._writer.stirred
        if item.touched:
            self._writer.generation = self.generation + 1

    def _check(self, error: BaseException) -> None:
        """Raise what fails more than the change that it befell."""
        if isinstance(error, sqlite3.Error) and primary_code(error) in _DISC:
            raise error
        if not self._connection.in_transaction:
            # SQLite has rolled the whole batch back (memory, disc).
            raise sqlite3.OperationalError("the transaction was rolled back") from error

    def _fail(self, batch: list[Item[Any]], error: Problem | sqlite3.Error | MemoryError) -> None:
        self._writer.mail.undone()
        if isinstance(error, sqlite3.Error):
            problem = self._health.blame(cause(error, self._wal.parent))
        else:
            problem = error if isinstance(error, Problem) else self._health.blame(error)
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # it writes nothing, so nothing is lost if it fails
                self._connection.execute("ROLLBACK")
        for item in batch:
            if item.error is None or isinstance(item.error, sqlite3.Error):
                item.error = Problem(problem.kind, problem.detail, **problem.context)
        self._settle(batch)

    def _succeed(self, batch: list[Item[Any]]) -> None:
        self._health.recovered()
        # The revision first: rows are kept by it, and what is made of them by the generation.
        self.revision += any(item.stirred or item.touched for item in batch)
        self.generation += any(item.touched for item in batch)
        self._metrics.commits.inc()
        self._metrics.commit_items.inc(len(batch))
        self._settle(batch)
        dropped, self._writer.mail.dropped = self._writer.mail.dropped, []
        for mail_id in dropped:
            self._spool.remove(mail_id)
        self._watch_wal()

    def _settle(self, batch: list[Item[Any]]) -> None:
        """Wake who waits, the most pressing first: one call into each loop for the whole batch."""
        loops: dict[asyncio.AbstractEventLoop | None, list[Item[Any]]] = {}
        for item in sorted(batch, key=_unhurried):
            loops.setdefault(item.loop, []).append(item)
        for loop, items in loops.items():
            if loop is None:
                _hand_over(items)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(_hand_over, items)

    def _probe(self) -> None:
        """See whether a full disc, or a locked database, takes a write again; nothing is kept of it.

        The write alone says nothing: the log has room of its own, in which a mail's file finds none.
        """
        try:
            if shutil.disk_usage(self._wal.parent).free < _PROBE_BYTES:
                return
            for value in (bytes(_PROBE_BYTES), b""):
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', ?)", (value,))
        except sqlite3.Error as error:
            self._health.blame(cause(error, self._wal.parent))
        except OSError as error:
            self._health.blame(error)
        else:
            self._health.recovered()

    def _watch_wal(self) -> None:
        now = time.monotonic()
        if now < self._wal_due:
            return
        self._wal_due = now + WAL_LOOK
        try:
            size = self._wal.stat().st_size
        except OSError:
            return
        self._metrics.wal_bytes.set(size)
        if (size >= WAL_ALARM) != self._wal_large:
            self._wal_large = not self._wal_large
            if self._wal_large:
                log.warning("the write-ahead log is large: a long reader holds it", bytes=size)


def _unhurried(item: Item[Any]) -> bool:
    return item.pace is Pace.SOON


def _hand_over(items: list[Item[Any]]) -> None:
    for item in items:
        item.settle()


def _meaning(error: BaseException) -> BaseException:
    """Return what an item's own failure means to who asked: a key that exists is a CONFLICT, the rest a fault."""
    if isinstance(error, sqlite3.IntegrityError) and str(error).startswith("UNIQUE constraint failed: "):
        keys = str(error).removeprefix("UNIQUE constraint failed: ")
        name, column = keys.split(",")[0].rpartition(".")[::2]
        what = f"a {name.replace('_', ' ')} with this {column.replace('_', ' ')}" if column else "an equal one"
        return Problem(Kind.CONFLICT, f"{what} exists already", keys=keys)
    if isinstance(error, sqlite3.IntegrityError) and "write-once" in str(error):
        return Problem(Kind.UNPROCESSABLE, "the archive is write-once")
    return RuntimeError(repr(error)) if isinstance(error, StopIteration) else error  # no Future takes that one
