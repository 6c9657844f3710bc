"""A mail on its way through the filters: the envelope, the body, and an anatomy that is made once, where it is safe.

Small mails are taken apart in the loop; large ones, archives and spooled bodies in a worker process.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from gatepost import beside
from gatepost.message import qr
from gatepost.message.anatomy import Anatomy
from gatepost.message.meter import BROKEN
from gatepost.message.octets import octets
from gatepost.message.parse import dissect
from gatepost.message.prose import Prose, prose
from gatepost.message.table import Heavy
from gatepost.message.worker import LENGTH, Failure, Job, Result, frame, installed, result_decoder
from gatepost.model.auth import AuthResults
from gatepost.model.envelope import Body, Envelope
from gatepost.model.problem import Kind, Problem
from gatepost.settings import Filters, Limits, SettingsError

INLINE_MAX = 262_144
"""Octets of a mail that is taken apart in the loop, if it holds no archive."""

_HEAVY = octets(b"UEsDB")  # a ZIP's first octets in base64: nothing need be begun here in vain
_BUSY = 3  # times as long as the limit, which counts the processor's seconds, on a machine with other work
_GRACE = 5.0  # seconds beyond that until a silent worker is killed
_TURN = 60.0  # seconds that a mail waits while all workers are at others; its client waits ten minutes


T = TypeVar("T")


class Unscannable(Exception):
    """The worker died or took too long over a mail. The text says which."""


class Busy(Exception):
    """No worker is to be had now: all are at other mails for too long, none can be started, or they are not alike.

    Nothing is said of this mail.
    """


class Worker:
    """One worker process, for one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "Worker":
        """Start a process; raises Busy where the system gives none now."""
        try:
            return cls(await beside.piped("gatepost.message.worker"))
        except OSError as error:
            raise Busy(f"no worker can be started ({sys.executable}: {error.strerror})") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it runs: the system is asked, as the loop hears of an end only in its next turn."""
        if self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:  # the loop has its exit code, and tells of it soon
            return False

    async def ask(self, job: Job) -> Result:
        """Send a job and wait for its answer.

        Raises Unscannable when the process dies over it, Busy when it is of another version.
        """
        source, sink = self._process.stdout, self._process.stdin
        assert source is not None and sink is not None  # both are pipes
        try:
            sink.write(frame(job))
            await sink.drain()
            size = LENGTH.unpack(await source.readexactly(LENGTH.size))[0]
            return result_decoder.decode(await source.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await self._process.wait()
            with contextlib.suppress(ConnectionError):
                await sink.wait_closed()  # else asyncio tells the log that nobody heard of it
            if code == os.EX_CONFIG:
                raise Busy("another version was installed since the service began: it has to be restarted") from error
            raise Unscannable(f"the worker died over the mail (exit {code})") from error

    async def stop(self) -> None:
        """Kill the process and wait for its end; harmless when it is dead."""
        await beside.end(self._process)


class Opener:
    """Takes mails apart: in the loop, or in at most `[filters] workers` processes, which are started when needed."""

    def __init__(self, filters: Filters, limits: Limits, *, grace: float = _GRACE, turn: float = _TURN) -> None:
        if limits.qr_images and not qr.available():
            raise SettingsError("limits.qr_images: zxing-cpp and Pillow are missing; install gatepost[qr]")
        self._version = installed()
        self._limits = limits
        self._turn = turn
        self._patience = _BUSY * limits.scan_seconds + grace
        self._turns = asyncio.Semaphore(max(1, filters.workers))
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._closed = False

    async def open(self, body: Body) -> Anatomy:
        """Take a body apart; raises Unscannable when a worker died or took too long over it, or Busy."""
        return self.glance(body) or await self.delegate(body)

    async def opened(self, body: Body) -> Anatomy:
        """`open` for who answers to people; raises Problem: UNPROCESSABLE for Unscannable, UNAVAILABLE for Busy."""
        try:
            return await self.open(body)
        except Unscannable as error:
            raise Problem(Kind.UNPROCESSABLE, "The mail could not be taken apart.", reason=str(error)) from error
        except Busy as error:
            raise Problem(
                Kind.UNAVAILABLE, "The mail can't be taken apart now; try later.", reason=str(error)
            ) from error

    def glance(self, body: Body) -> Anatomy | None:
        """Take a small body without archives apart, at once; None: it is work for a worker."""
        if body.data is None or body.size >= INLINE_MAX:
            return None
        if _HEAVY.search(body.data) is not None:
            return None
        try:
            return dissect(body.data, self._limits)
        except (Heavy, *BROKEN):  # what may fail once more fails in a worker, and not for ever
            return None

    async def delegate(self, body: Body) -> Anatomy:
        """Let a worker take a body apart; raises Unscannable or Busy."""
        return await self._delegate(Job(self._version, self._limits, body.data, body.path))

    async def _delegate(self, job: Job) -> Anatomy:
        await self._take_turn()
        try:
            result = await self._ask(await self._worker(), job)
        finally:
            self._turns.release()
        if isinstance(result, Failure):
            raise Unscannable(f"the worker could not open the mail ({result.text})")
        return result.anatomy

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(self._turn):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Busy(f"no worker was free for {self._turn:g} s") from error

    async def _ask(self, worker: Worker, job: Job) -> Result:
        """Ask a worker; one that gave no answer is killed, as its pipe may hold half of one.

        So is one that ran out of memory: it may lack it with the next mail, too.
        """
        self._busy.add(worker)
        try:
            async with asyncio.timeout(self._patience):
                result = await worker.ask(job)
        except TimeoutError as error:
            await worker.stop()
            raise Unscannable(f"the work on the mail took longer than {self._limits.scan_seconds:g} s") from error
        except BaseException:
            await asyncio.shield(worker.stop())
            raise
        finally:
            self._busy.discard(worker)
        if self._closed or (isinstance(result, Failure) and result.spent):
            await worker.stop()
        else:
            self._idle.append(worker)
        return result

    async def _worker(self) -> Worker:
        if self._closed:
            raise Unscannable("the workers are stopped")
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        worker = await Worker.start()
        if self._closed:  # meanwhile
            await worker.stop()
            raise Unscannable("the workers are stopped")
        return worker

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [worker.pid for worker in (*self._idle, *self._busy) if worker.alive]

    async def close(self) -> None:
        """End the processes; what they were at is Unscannable. Twice is harmless."""
        self._closed = True
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(worker.stop() for worker in workers))


def _heard(task: "asyncio.Task[Anatomy]") -> None:
    """Take note of how it ended: all who asked may have given up."""
    if not task.cancelled():
        task.exception()


class Mail:
    """One mail in the pipeline. Of one `on_trial` nothing is learnt or counted: it did not come in."""

    def __init__(self, envelope: Envelope, body: Body, opener: Opener, *, on_trial: bool = False) -> None:
        self.envelope = envelope
        self.body = body
        self.on_trial = on_trial
        self.auth: AuthResults | None = None  # what is proven of its sender; None: nobody looked
        self._opener = opener
        self._anatomy: Anatomy | None = None
        self._heavy = False
        self._prose: Prose | None = None
        self._opening: asyncio.Task[Anatomy] | None = None
        self._made: dict[Hashable, Any] = {}

    def take(self, anatomy: Anatomy | None) -> None:
        """Take what another process made of the mail; None: it is work for a worker, as was found there."""
        self._anatomy, self._heavy = anatomy, anatomy is None

    def glance(self) -> Anatomy | None:
        """Return a small mail taken apart, at once; None: it is work for a worker."""
        if self._anatomy is None and self._opening is None and not self._heavy:
            self._anatomy = self._opener.glance(self.body)
        return self._anatomy

    async def anatomy(self) -> Anatomy:
        """Return the mail taken apart, by whoever asks first; raises Unscannable or Busy.

        All who ask share one run, which goes on when one of them gives up.
        """
        if (known := self._anatomy or self.glance()) is not None:
            return known
        if self._opening is None:
            self._opening = asyncio.create_task(self._opener.delegate(self.body))
            self._opening.add_done_callback(_heard)
        return await asyncio.shield(self._opening)

    def prose(self, anatomy: Anatomy) -> Prose:
        """Return what a reader sees of the mail, given its anatomy; read once, by whoever asks first."""
        if self._prose is None:
            self._prose = prose(anatomy)
        return self._prose

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is made of this mail under a key; made by whoever asks first."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made
