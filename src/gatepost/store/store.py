"""The store's face: open, read, write, close; one for each directory, held by one process."""

import asyncio
import hashlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from gatepost.events import Clock, Metrics, log
from gatepost.lookout import Lookout
from gatepost.model.audit import ACTOR
from gatepost.model.problem import Problem
from gatepost.settings import StoreSettings
from gatepost.store import opening
from gatepost.store.backup import Copied, backup
from gatepost.store.blobs import Spool
from gatepost.store.bulk import KINDS
from gatepost.store.coming import Coming
from gatepost.store.connection import connect
from gatepost.store.health import Health, StoreProblem
from gatepost.store.item import Item, Pace
from gatepost.store.orders import Listed, Orders
from gatepost.store.reader import FolderCount, Reader, Refusals
from gatepost.store.remembering import Remembering
from gatepost.store.secrets import Secrets
from gatepost.store.sqlite import Committer
from gatepost.store.writer import Writer

__all__ = ["Copied", "FolderCount", "Listed", "Pace", "Reader", "Refusals", "Store", "StoreProblem", "Writer"]

T = TypeVar("T")

SLOW = 5.0  # seconds after which a change that was not begun is given up (threat 81)
REFUSED_BYTES = 1_000_000_000


class Store:
    """What lasts. Reads never wait for writes; all writes go through one thread, in groups, each durable on return."""

    def __init__(
        self, opened: opening.Opened, *, clock: Clock, metrics: Metrics, settings: StoreSettings, refused_bytes: int
    ) -> None:
        self.path = opened.directory
        self.secrets: Secrets = opened.secrets
        self._salt = opened.salt  # random, made with the store
        self._opened = opened
        self._clock = clock
        self._settings = settings
        self._health = opened.health
        self._space = (0, True)  # when it was looked at, and what was seen
        self.spool: Spool = opened.spool
        self.spool.reclaim = self._reclaim
        writer = Writer(opened.connection, self._spooled, clock=clock, refused_bytes=refused_bytes)
        self._waiting: dict[Item[Any], float] = {}  # changes, each with the time by when it must have begun
        self._patience: Lookout | None = None
        self._committer = Committer(opened.connection, writer, self.spool, self._health, metrics, opened.wal)
        self.reader: Reader = Remembering(*self._reading(), changes=self._committer)
        self._copying = asyncio.Lock()
        self._copier = ThreadPoolExecutor(1, "copy")
        self._ending = threading.Event()
        self._local = threading.local()
        self._orders = Orders()
        self._readers: list[Reader] = [self.reader]
        self._threads = ThreadPoolExecutor(max(settings.readers, 1), "read")
        self._look = self._threads.submit(self._look_again) if opened.suspect else None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock: Clock,
        metrics: Metrics,
        settings: StoreSettings,
        refused_bytes: int = REFUSED_BYTES,
    ) -> "Store":
        """Open or make the store in a directory; raise StoreProblem for what is locked, damaged or of another key."""
        opened = opening.open_directory(directory, settings, Health(metrics))
        return cls(opened, clock=clock, metrics=metrics, settings=settings, refused_bytes=refused_bytes)

    async def close(self) -> None:
        """Commit what is queued, then let go of everything; the write-ahead log goes into the database."""
        thread = ThreadPoolExecutor(1, "close")
        try:
            closing = asyncio.get_running_loop().run_in_executor(thread, self.close_sync)
        except RuntimeError:  # there can be no further thread
            self.close_sync()
        else:
            await closing
        finally:
            thread.shutdown(wait=False)

    def close_sync(self) -> None:
        """`close` for who has no loop; may be called twice. A backup that runs is given up."""
        self._ending.set()
        self._committer.stop()
        while wait([self._look] if self._look else [], timeout=0.05).not_done:
            for reader in self._readers:
                reader.interrupt()  # a check of the whole database must not hold up the stop
        self._threads.shutdown()
        self._copier.shutdown()
        self.spool.close()
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._opened.close()

    @property
    def database(self) -> Path:
        """The file that another process of ours may read meanwhile."""
        return self._opened.database

    # How it is.

    @property
    def generation(self) -> int:
        """Grows with each commit that changed configuration; what was read at an equal one is still true."""
        return self._committer.generation

    @property
    def revision(self) -> int:
        """Grows with each commit that changed a row of configuration, be it in a quiet column, or one that `stirs`."""
        return self._committer.revision

    @property
    def healthy(self) -> bool:
        """False after a failed write: until space returns, or for good after an I/O error (a restart looks again)."""
        return self._health.ok

    @property
    def trouble(self) -> Problem | None:
        """Why the store takes no writes now; None while it is healthy."""
        return self._health.trouble

    def derived(self, what: str) -> bytes:
        """Return 32 octets that are this store's alone, for what must differ from store to store; always the same."""
        return hashlib.sha256(self._salt + what.encode()).digest()

    def unusable(self, problem: Problem) -> Exception:
        """Return what a Problem means to who has just opened the store: what can't be read is named by its file."""
        error = problem.__cause__
        return opening.refusal(self.database, error) if isinstance(error, sqlite3.Error) else problem

    @property
    def faults(self) -> list[str]:
        """What the start found missing: rows whose spool file is gone."""
        return self._opened.faults

    def fresh_space(self) -> bool:
        """Tell whether the file system has more room than the reserve; looked at once a second (threat 79)."""
        now = self._clock()
        if abs(now - self._space[0]) >= 1000:
            self._space = (now, opening.room(self.path, self._settings) >= 0)
        return self._space[1]

    # Reading and writing.

    async def read(self, ask: Callable[[Reader], T]) -> T:
        """Ask in a thread with a connection of its own: for what takes longer than a point look-up."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: ask(self._thread_reader()))

    async def write(self, change: Callable[[Writer], T], *, pace: Pace = Pace.NOW) -> T:
        """Run a change in the writer thread; return what it returned, after the COMMIT that made it durable.

        It runs in a SAVEPOINT of its own: what it raises rolls back it alone and is raised here. Raises
        Problem(CONFLICT) for a key that exists, Problem(FULL) without space, Problem(UNAVAILABLE) after an I/O error,
        when stopped, or when not begun within 5 s. Changes of which many come at once go TOGETHER, in one commit. One
        that nobody waits for goes SOON: another's commit takes it along. SLOW ones (purges) wait until no other do.
        What it does to configuration is audited where somebody acts; changes that are made together with their like do
        nothing to it.
        """
        actor = ACTOR.get()
        if actor is None or type(change) in KINDS:
            return await self._write(change, pace)
        return await self._write(lambda writer: writer.answered(actor, change), pace)

    async def prepare(self, change: Callable[[Writer], T]) -> T:
        """`write` without a word in the audit: for rows that don't count yet, or no longer."""
        return await self._write(change, Pace.NOW)

    async def record(
        self, act: str, about: Any, *, before: dict[str, Any] | None = None, after: dict[str, Any] | None = None
    ) -> None:
        """Note an act that changes no row (a release, a mail that was read); where nobody acts, nothing."""
        if ACTOR.get() is not None:
            await self.write(lambda writer: writer.record(act, about, before=before, after=after))

    async def _write(self, change: Callable[[Writer], T], pace: Pace) -> T:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        item = Item(change, waiter, loop, pace=pace)
        if pace is not Pace.SLOW:
            self._waiting[item] = due = loop.time() + SLOW
            self._watched(loop).by(due)
        try:
            self._committer.submit(item)  # last of all: the writer needs the interpreter's lock as soon as it is awake
            return await waiter
        except asyncio.CancelledError:
            item.take()
            raise
        finally:
            self._waiting.pop(item, None)

    def _watched(self, loop: asyncio.AbstractEventLoop) -> Lookout:
        if self._patience is None or self._patience.loop is not loop:
            self._patience = Lookout(loop, self._give_up)
        return self._patience

    def _give_up(self, now: float) -> float:
        """Withdraw what was not begun in time; return when the next one is due."""
        for item, due in list(self._waiting.items()):
            if due > now:
                return due
            del self._waiting[item]
            if item.take():
                item.error = self._health.unavailable()
                item.settle()
        return inf

    @property
    def coming(self) -> Coming:
        """Where who judges mails announces them, so that several share a commit."""
        return self._committer.coming

    def meanwhile(self, act: Callable[[], None]) -> None:
        """Call `act` once, in this loop: while the next commit is on its way to the disc, or a moment later."""
        self._committer.meanwhile.wait(act)

    async def lull(self) -> None:
        """Return when the loop has time, as `meanwhile`, but behind what was to be called then."""
        await self._committer.meanwhile.lull()

    def write_sync(self, change: Callable[[Writer], T]) -> T:
        """`write` for who has no loop (first set-up, tools); blocks."""
        waiter: Future[T] = Future()
        self._committer.submit(Item(change, waiter))
        return waiter.result()

    async def examine(self) -> list[str]:
        """Check the whole database while it works (rules 24: daily); what is found makes the store unhealthy."""
        async with self._copying:
            self._look = self._threads.submit(self._look_again)
            return await asyncio.wrap_future(self._look)

    async def backup(self, target: Path, *, with_key: bool = False) -> Copied:
        """Copy the store into a new directory while it works; raise Problem. One at a time (rules 19).

        Who cancels it waits until what was copied is removed.
        """
        given_up = threading.Event()
        async with self._copying:
            key = self._opened.key if with_key else None
            room = partial(opening.room, self.path, self._settings)

            def ending() -> bool:
                return self._ending.is_set() or given_up.is_set()

            work = partial(backup, self.path, self.spool, target, key, room, ending)
            copying = asyncio.get_running_loop().run_in_executor(self._copier, work)
            try:
                await asyncio.wait((copying,))
            except asyncio.CancelledError:
                given_up.set()
                await asyncio.gather(copying, return_exceptions=True)
                raise
            return copying.result()

    def _reclaim(self, mail_id: str) -> None:
        self._committer.submit(Item(lambda writer: writer.reclaim(mail_id), Future(), pace=Pace.SLOW))

    def _reading(self) -> tuple[sqlite3.Connection, Callable[[str], str], Callable[[sqlite3.Error], Exception]]:
        """What a new reader is made of."""
        return connect(self._opened.database, reading=True), self._spooled, self._health.unreadable

    def _thread_reader(self) -> Reader:
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            try:
                reader = self._local.reader = Reader(*self._reading(), orders=self._orders)
            except sqlite3.Error as error:
                raise self._health.unreadable(error) from error
            self._readers.append(reader)
        return reader

    def _spooled(self, mail_id: str) -> str:
        return str(self.spool.path(mail_id))

    def _look_again(self) -> list[str]:
        try:
            found = self._thread_reader().quick_check()
        except Problem as problem:  # unreadable, or the store is being closed
            return [problem.context["error"]]
        for fault in found:
            log.error("the database is damaged", file=str(self._opened.database), fault=fault)
            self._health.spoiled()
        return found
