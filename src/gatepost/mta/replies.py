"""What a next hop says: aiosmtplib's protocol, for several replies at once, each bounded in length and time."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from math import inf

import aiosmtplib
from aiosmtplib.protocol import MAX_RESPONSE_LENGTH, SMTPProtocol

from gatepost.lookout import Lookout

SHORT = 512  # octets in which replies are looked for that were heard before


class Replies(SMTPProtocol):
    """Takes several replies at once, as PIPELINING needs. What nobody asked for makes the connection unfit for more."""

    def __init__(self, lost: Callable[[SMTPProtocol], None]) -> None:
        super().__init__(loop=asyncio.get_running_loop(), connection_lost_callback=lost)
        self._ready: deque[aiosmtplib.SMTPResponse] = deque()
        self._owed = 0
        self._waits = False  # somebody waits for a reply
        self._due = inf  # until then
        self._clock = Lookout(self._loop, self._look)
        self._stray = False
        self._looked = 0  # so far into the buffer no reply ends

    @property
    def clean(self) -> bool:
        """Nothing is left over from what was asked."""
        return not (self._stray or self._ready or self._buffer or self._owed)

    @property
    def standing(self) -> bool:
        """Connected, and nothing is left over."""
        return self.transport is not None and not self.transport.is_closing() and self.clean

    @property
    def answered(self) -> bool:
        """A reply, or the end, is there to be read."""
        return bool(self._ready) or self._response_waiter is None or self._response_waiter.done()

    def expect(self, count: int) -> None:
        """Say that so many replies will come; each is fetched by `read_response`.

        One that is there already answers nothing: it must not be taken for the word on a mail.
        """
        if not self.clean:
            raise aiosmtplib.SMTPResponseException(-1, "a reply that nobody asked for")
        self._owed = count
        self._response_pending = True

    def data_received(self, data: bytes) -> None:
        if self._response_waiter is None or self._stray:
            return
        if not (self._response_pending or self._owed):
            self._stray = True
            return
        if not self._buffer and len(data) <= SHORT and (replies := _whole(data)):
            self._ready += replies
        else:
            self._read(data, self._response_waiter)
        if self._waits and self._ready and not self._response_waiter.done():
            self._response_waiter.set_result(self._ready.popleft())
        if self.answered:
            for waiter in self._drain_waiters:  # the peer may take no more
                if not waiter.done():
                    waiter.set_result(None)

    def _read(self, data: bytes, waiter: asyncio.Future[aiosmtplib.SMTPResponse]) -> None:
        """Read replies of any length, which may come in pieces; no line is looked at for each of them."""
        if not self._buffer:
            self._looked = 0
        self._buffer.extend(data)
        try:
            while self._ends() and (reply := self._read_response_from_buffer()) is not None:
                self._ready.append(reply)
                if len(self._ready) > max(self._owed, 1):  # of what follows nothing is believed: nor need it be read
                    self._stray = True
                    return
            if len(self._buffer) > MAX_RESPONSE_LENGTH:
                raise aiosmtplib.SMTPResponseException(-1, "Response too long")
        except aiosmtplib.SMTPResponseException as error:
            self._stray = True
            if not waiter.done():
                self._set_response_exception(waiter, error)

    def _ends(self) -> bool:
        """Tell whether the buffer holds the last line of a reply, or one that is none of any."""
        while (end := self._buffer.find(b"\n", self._looked)) >= 0:
            line = self._buffer[self._looked : min(end, self._looked + 4)]
            self._looked = end + 1
            if line[3:] != b"-" or not line[:3].isdigit():
                self._looked = 0
                return True
        return False

    async def read_response(self, timeout: float | None = None) -> aiosmtplib.SMTPResponse:  # noqa: ASYNC109
        """What aiosmtplib's does, by one clock for all replies: `wait_for` costs as much as all the rest of one."""
        self._owed = max(self._owed, 1)
        if self._ready:
            return self._fetched(self._ready.popleft())
        waiter = self._response_waiter
        if waiter is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        if self._stray and not waiter.done():
            raise aiosmtplib.SMTPResponseException(-1, "a reply that nobody asked for")
        self._due = inf if timeout is None else self._loop.time() + timeout
        self._clock.by(self._due)
        self._waits = True
        try:
            return self._fetched(await waiter)
        finally:
            self._waits = False
            self._response_waiter = None if self.transport is None else self._loop.create_future()

    def at_hand(self) -> aiosmtplib.SMTPResponse | None:
        """Return the next reply if it is there already."""
        return self._fetched(self._ready.popleft()) if self._ready else None

    def _fetched(self, response: aiosmtplib.SMTPResponse) -> aiosmtplib.SMTPResponse:
        self._owed -= 1
        self._response_pending = False
        if self._owed <= 0 and (self._ready or self._buffer):
            self._stray = True  # remembered, as aiosmtplib empties the buffer before TLS begins
        return response

    def _look(self, now: float) -> float:
        waiter = self._response_waiter
        if not self._waits or waiter is None or waiter.done():
            return inf
        if now < self._due:
            return self._due
        self._set_response_exception(waiter, aiosmtplib.SMTPReadTimeoutError("no reply in time"))
        return inf

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._clock.end()

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written, or is gone."""
        with contextlib.suppress(ConnectionError):
            await self._drain_helper()


@lru_cache(maxsize=64)  # to the commands of most mails the same is said, in one piece
def _whole(data: bytes) -> tuple[aiosmtplib.SMTPResponse, ...]:
    """Return the replies that some octets are, each of a single line; () where they are anything else."""
    *lines, rest = data.split(b"\n")
    if rest or not all(line[:3].isdigit() and line[3:4] != b"-" for line in lines):
        return ()
    return tuple(aiosmtplib.SMTPResponse(int(line[:3]), _text(line[4:])) for line in lines)


def _text(octets: bytes) -> str:
    return octets.strip(b" \t\r").decode("utf-8", "surrogateescape")
