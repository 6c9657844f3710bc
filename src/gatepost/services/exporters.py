"""The exporters: processes that make files of long lists, so that no mail waits while rows become lines.

They are started when such a list is asked for, and end when none was for a while. Where none is to be had the daemon
makes the file itself.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from gatepost import beside
from gatepost.events import log
from gatepost.message.worker import LENGTH, installed
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.services.exporting import Ask, End, Go, Order, Piece, Refusal, Said, Setup, Size, frame, said_decoder
from gatepost.services.scratch import Scratch

_BUFFER = 262_144  # octets that wait for the client here, and about as many again in the socket
_START = 60.0  # seconds until one must be ready
_IDLE = 60.0  # seconds without a file after which it ends
_PAUSE = 60.0  # seconds until there is another one in the place of one that could not be started

Prove = Callable[[], Awaitable[Caller]]
"""Finds out who asks; raises Problem where nobody may any more."""


class Link:
    """One exporter, as the daemon sees it."""

    def __init__(self, scratch: Scratch) -> None:
        self.idle: asyncio.TimerHandle | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._scratch = scratch
        self._folder: TemporaryDirectory[str] | None = None  # what it writes to the disc lies there
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def start(self, setup: Setup) -> None:
        """Start the process, and wait until it is of use. Raises OSError, EOFError or TimeoutError."""
        self._folder = self._scratch.folder()
        async with beside.linked("gatepost.exporter", TMPDIR=self._folder.name) as (self._process, ours):
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=_BUFFER)
        self.send(setup)
        async with asyncio.timeout(_START):
            await self.heard()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def send(self, message: Setup | Order | Go) -> None:
        assert self._writer is not None  # it was started
        self._writer.write(frame(message))

    async def heard(self) -> Said:
        """Return what it says next; raise EOFError or OSError where it is gone."""
        head = await self._reader.readexactly(LENGTH.size)
        return said_decoder.decode(await self._reader.readexactly(LENGTH.unpack(head)[0]))

    async def stop(self) -> None:
        """Kill the process, whatever it is at, wait for its end, and take away what it wrote. Twice is harmless."""
        if self.idle is not None:
            self.idle.cancel()
        if self._writer is not None:
            self._writer.transport.abort()
        await beside.end(self._process)
        if self._folder is not None:
            await asyncio.to_thread(self._folder.cleanup)


class Run:
    """One file that an exporter makes, to be gone through piece by piece.

    It must be closed, unless it was gone through; before the end that ends the exporter, too. Raises what the exporter
    met and what finding out who asks does, and UNAVAILABLE where it died.
    """

    def __init__(self, link: Link, prove: Prove, over: Callable[[Link, bool], None]) -> None:
        self._link = link
        self._prove = prove
        self._over = over
        self._open = True

    @property
    def pid(self) -> int | None:
        """The process that makes it."""
        return self._link.pid

    async def size(self) -> int:
        """Return how many octets the file has: first of all, for what is made as a whole."""
        said = await self._next()
        assert isinstance(said, Size)
        return said.octets

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        said = await self._next()
        if isinstance(said, Piece):
            return said.data
        raise StopAsyncIteration

    async def _next(self) -> Piece | Size | End:
        ended = failed = True
        try:
            while isinstance(said := await self._link.heard(), Ask):
                self._link.send(Go(await self._prove()))
            ended, failed = isinstance(said, End | Refusal), False
        except (OSError, EOFError) as error:
            log.error("exporter failed", error=repr(error))
            raise Problem(Kind.UNAVAILABLE, "The file could not be made: ask for it again.") from error
        finally:
            if ended:
                self._close(whole=not failed)
        if isinstance(said, Refusal):
            raise Problem(said.kind, said.detail)
        return said

    async def aclose(self) -> None:
        """Let go of the exporter. Twice is harmless."""
        self._close(whole=False)

    def _close(self, *, whole: bool) -> None:
        if self._open:
            self._open = False
            self._over(self._link, whole)


class Exporters:
    """At most so many exporters, each with one file; `database` is the store's, `seed` decides how ids look."""

    def __init__(self, database: Path, seed: bytes, most: int, *, idle: float = _IDLE) -> None:
        self._setup = Setup(installed(), str(database), seed)
        self._scratch = Scratch(database.parent)
        self._most = most
        self._idle = idle
        self._links: set[Link] = set()
        self._free: list[Link] = []
        self._ends: set[asyncio.Task[None]] = set()
        self._rest_until = 0.0
        self._closed = False

    async def begin(self, order: Order, prove: Prove) -> Run | None:
        """Have a file made; None where no exporter is to be had now. `prove` is asked before each reading of rows."""
        while self._free:
            link = self._free.pop()
            if link.idle is not None:
                link.idle.cancel()
            if link.alive:
                break
            self._end(link)
        else:
            started = await self._started()
            if started is None:
                return None
            link = started
        link.send(order)
        return Run(link, prove, self._over)

    async def _started(self) -> Link | None:
        resting = asyncio.get_running_loop().time() < self._rest_until
        if len(self._links) >= self._most or resting or self._closed:
            return None
        link = Link(self._scratch)
        self._links.add(link)
        ready = False
        try:
            await link.start(self._setup)
            ready = not self._closed
        except (OSError, EOFError) as error:
            if not self._closed:
                self._rest_until = asyncio.get_running_loop().time() + _PAUSE
                log.error("exporter failed", error=f"it can't be started: {error!r}", pause=_PAUSE)
        finally:
            if not ready:
                self._end(link)
        return link if ready else None

    def _over(self, link: Link, ended: bool) -> None:
        """Keep an exporter for the next file, or end it where it is in the midst of one."""
        if not ended or self._closed:
            self._end(link)
            return
        self._free.append(link)
        link.idle = asyncio.get_running_loop().call_later(self._idle, self._retire, link)

    def _retire(self, link: Link) -> None:
        if link in self._free:  # and not closed in the same turn of the loop
            self._free.remove(link)
            self._end(link)

    def _end(self, link: Link) -> None:
        end = asyncio.create_task(self._stop(link), name="exporter")
        self._ends.add(end)
        end.add_done_callback(self._ends.discard)

    async def _stop(self, link: Link) -> None:
        try:
            await link.stop()
        finally:
            self._links.discard(link)

    @property
    def pids(self) -> list[int]:
        """The processes that are there now."""
        return [link.pid for link in self._links if link.alive and link.pid is not None]

    async def close(self) -> None:
        """End the processes, whatever they are at; until then the store must stay open. Twice is harmless."""
        self._closed = True
        self._free.clear()
        await asyncio.gather(*(link.stop() for link in [*self._links]))
        await asyncio.gather(*self._ends)
