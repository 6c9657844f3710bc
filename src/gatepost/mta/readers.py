"""The readers: processes that read small mails while many come at once, so that further processors are of use.

They are started when mails come in numbers, and end when none came for a while. A mail that none of them can take at
once is read by the daemon itself, as all are as long as it is quiet.
"""

import asyncio
import os
from collections.abc import Iterable
from typing import cast

from gatepost import beside
from gatepost.events import log
from gatepost.filters import registry
from gatepost.filters.registry import Filter
from gatepost.message.mail import INLINE_MAX, Mail, Unscannable
from gatepost.message.worker import installed
from gatepost.mta.reading import Answer, Frames, Job, Outbox, Reading, Setup, answer_decoder, bare
from gatepost.settings import Settings

PENDING = 32
"""Mails that wait for one reader; the daemon reads the others meanwhile."""

COMPANY = 2
"""Mails under way from which on a reader that is there helps."""

CROWD = 8
"""Mails under way from which on one is started."""

_GRACE = 5.0  # seconds beyond the limits until a silent reader is killed
_START = 60.0  # seconds until it must be ready
_IDLE = 60.0  # seconds without a mail after which it ends
_LOOK = 1.0  # seconds between two looks at it
_PAUSE_MAX = 60.0  # seconds, at most, until there is another one in the place of one that died


class Link(asyncio.Protocol):
    """One reader, as the daemon sees it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._new_future = loop.create_future
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._frames = Frames()
        self._asked = 0
        self._pending: dict[int, tuple[float, asyncio.Future[Reading | None]]] = {}  # the oldest first
        self._used = self._now()
        self._stopping = False
        self._fault = "the reader died over the mail"
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._outbox: Outbox | None = None

    async def start(self, setup: Setup) -> None:
        """Start the process; it is of use when `ready`. Raises OSError."""
        async with beside.linked("gatepost.mta.reader") as (self._process, ours):
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        assert self._outbox is not None  # connection_made was called
        self._outbox.send(setup)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def load(self) -> int:
        """Mails that wait for it."""
        return len(self._pending)

    @property
    def usable(self) -> bool:
        return self.ready.done() and not self._stopping and not self.ended.done()

    def waits(self) -> float:
        """Seconds that the oldest mail has waited."""
        return next((self._now() - since for since, _ in self._pending.values()), 0.0)

    def idles(self) -> float:
        """Seconds without any mail."""
        return 0.0 if self._pending else self._now() - self._used

    def ask(self, mail: Mail) -> "asyncio.Future[Reading | None]":
        """Have a mail read. It comes to None where it could not be, to Unscannable when the process ends over it."""
        assert self._outbox is not None and mail.body.data is not None  # it is usable, and the mail small
        self._asked += 1
        self._outbox.send(Job(self._asked, bare(mail.envelope), mail.body.data))
        self._used = self._now()
        future: asyncio.Future[Reading | None] = self._new_future()
        self._pending[self._asked] = self._used, future
        return future

    async def stop(self, fault: str = "") -> None:
        """Kill the process and wait for its end; what waited for it is Unscannable. Twice is harmless."""
        self._stopping = True
        self._fault = fault or self._fault
        if self._transport is not None:
            self._transport.abort()
        await beside.end(self._process)

    # What comes from it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._outbox = Outbox(self._transport)

    def data_received(self, data: bytes) -> None:
        for body in self._frames.take(data):
            self._heard(answer_decoder.decode(body))

    def _heard(self, answer: Answer) -> None:
        if answer.number == 0:
            self.ready.set_result(None)
            return
        _, future = self._pending.pop(answer.number)
        if not future.done():  # else nobody waits for it any more
            future.set_result(answer.reading)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set_result(None)
        for _, future in self._pending.values():
            if not future.done():
                future.set_exception(Unscannable(self._fault))
        self._pending.clear()


class Readers:
    """At most so many readers, each with `PENDING` mails; none where only one processor may be used."""

    def __init__(
        self,
        settings: Settings,
        filters: Iterable[Filter],
        *,
        most: int | None = None,
        pending: int = PENDING,
        idle: float = _IDLE,
        patience: float | None = None,
        look: float = _LOOK,
    ) -> None:
        self._setup = Setup(
            installed(),
            settings.hostname,
            registry.alone(settings.filters, registry.anywhere(filters)),
            settings.limits,
            settings.dns,
            settings.auth,
        )
        self.most = min(settings.filters.readers, len(os.sched_getaffinity(0)) - 1) if most is None else most
        self._pending = pending
        self._idle = idle
        limits = settings.auth.timeout + settings.filters.timeout + settings.limits.scan_seconds
        self._patience = limits + _GRACE if patience is None else patience
        self._look = look
        self._links: list[Link] = []
        self._lives: set[asyncio.Task[None]] = set()
        self._deaths = 0  # in a row, without an answer between them
        self._rest_until = 0.0
        self._closed = False

    async def read(self, mail: Mail, crowd: int) -> Reading | None:
        """Have a small mail read by the reader with the fewest; None: nobody can now, or nobody could.

        `crowd`: how many mails are under way.

        Raises Unscannable when the reader dies over it or takes too long.
        """
        if crowd < COMPANY or self.most < 1 or mail.body.data is None or mail.body.size >= INLINE_MAX:
            return None
        usable = [link for link in self._links if link.usable and link.load < self._pending]
        if not usable:
            if crowd >= CROWD:
                self._call_another()
            return None
        reading = await min(usable, key=_load).ask(mail)
        self._deaths = 0
        return reading

    def _call_another(self) -> None:
        """Start one more reader, unless there are enough, or one is about to be ready."""
        coming = any(not link.usable for link in self._links) or len(self._lives) > len(self._links)
        resting = asyncio.get_running_loop().time() < self._rest_until
        if len(self._lives) < self.most and not coming and not resting and not self._closed:
            life = asyncio.create_task(self._live(), name="reader")
            self._lives.add(life)
            life.add_done_callback(self._lives.discard)

    async def _live(self) -> None:
        """The life of one reader."""
        link = Link()
        self._links.append(link)
        fault = ""
        try:
            await link.start(self._setup)
            fault = await self._watch(link)
        except (OSError, TypeError, ValueError, OverflowError) as error:  # or what a frame can't hold
            fault = f"it can't be started: {error!r}"
        finally:
            await link.stop(fault)
            self._links.remove(link)
        if fault and not self._closed:
            self._rest(fault)

    async def _watch(self, link: Link) -> str:
        """Wait until a reader is no longer of use; return why it must not have ended, "" if it was idle."""
        await asyncio.wait((link.ready, link.ended), timeout=_START, return_when=asyncio.FIRST_COMPLETED)
        if not link.ready.done():
            return "the reader ended before it was ready" if link.ended.done() else "the reader is not ready in time"
        while not link.ended.done():
            await asyncio.wait((link.ended,), timeout=self._look)
            if link.waits() > self._patience:
                return f"the reader took longer than {self._patience:g} s"
            if link.idles() > self._idle:
                return ""
        return "the reader died over the mail"

    def _rest(self, fault: str) -> None:
        """Tell of a reader that failed, and wait a while with the next one, longer where each fails."""
        self._deaths += 1
        pause = min(2.0 ** (self._deaths - 1), _PAUSE_MAX)
        self._rest_until = asyncio.get_running_loop().time() + pause
        log.error("reader failed", error=fault, pause=pause)

    @property
    def pids(self) -> list[int]:
        """The processes that are of use now."""
        return [link.pid for link in self._links if link.usable and link.pid is not None]

    async def close(self) -> None:
        """End the processes; what they were at is Unscannable. Twice is harmless."""
        self._closed = True
        links = [*self._links]
        await asyncio.gather(*(link.stop("the readers are stopped") for link in links))
        for life in (lives := [*self._lives]):
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        await asyncio.gather(*(link.stop() for link in links))  # and of those that were about to start


def _load(link: Link) -> int:
    return link.load
