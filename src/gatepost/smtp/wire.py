"""Reads command lines strictly: CR LF ends them, nothing else; no NUL, no broken UTF-8, no endless line."""

import asyncio
from collections.abc import Callable

from gatepost.smtp import replies
from gatepost.smtp.replies import Reply

COMMAND_MAX = 2048  # octets of a command line with its CR LF
RESPONSE_MAX = 12_288 + 2  # RFC 4954 4: what a client answers a challenge, with its CR LF
BUFFER = 65_536  # octets that a reader takes before it stops its transport (asyncio takes up to twice as many)
CHUNK = 1 << 20  # more than a reader ever holds: one read takes everything
TURN = 50  # lines that came together are read in one turn of the loop; then it is the others' turn

HTTP_VERBS = frozenset(b"GET POST PUT HEAD DELETE OPTIONS PATCH CONNECT TRACE PRI".split())
TLS_HANDSHAKE = b"\x16"


class Reader(asyncio.StreamReader):
    """A StreamReader that tells what it holds, takes octets back and can move to another transport."""

    # asyncio.StreamReader keeps what it holds in `_buffer`, and what ended it in these two (3.11 to 3.14). Its
    # `_maybe_resume_transport` goes on to read where so much was held that it had stopped.
    _buffer: bytearray
    _eof: bool
    _exception: Exception | None
    _transport: asyncio.BaseTransport | None
    _loop: asyncio.AbstractEventLoop
    _maybe_resume_transport: Callable[[], None]
    _waiting: asyncio.Future[bytes] | None = None  # who waits for what comes next
    _lines = 0  # read out of the buffer

    @property
    def pending(self) -> bytes:
        return bytes(self._buffer)

    @property
    def holds(self) -> bool:
        return bool(self._buffer)

    def unread(self, data: bytes) -> None:
        self._buffer[:0] = data

    def drop(self) -> bytes:
        """Forget what it holds, and return it; there is room again for what comes."""
        held = bytes(self._buffer)
        self._buffer.clear()
        self._maybe_resume_transport()
        return held

    def move(self, transport: asyncio.BaseTransport) -> None:
        """Read from another transport from now on; nothing that came before is kept."""
        self.drop()
        self._transport = transport

    def take(self, data: bytes) -> None:
        """Take what came: for who waits for it, else into the buffer."""
        if not self._hand_over(data):
            self.feed_data(data)

    def feed_eof(self) -> None:
        super().feed_eof()
        self._hand_over(b"")

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self._hand_over(b"")

    def _hand_over(self, data: bytes) -> bool:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return False
        waiting.set_result(data)
        return True

    async def chunk(self) -> bytes:
        """Return what has come, or what comes next, which is not copied; b"" at the end. Raises what ended it."""
        coming = self._coming()
        data = await coming if coming else b""
        return data or await self.read(CHUNK)

    def _coming(self) -> asyncio.Future[bytes] | None:
        """Return what comes next as it comes; None where something is held already, or nothing comes any more."""
        if self._buffer or self._eof or self._exception:
            return None
        self._waiting = self._loop.create_future()
        return self._waiting

    async def line(self) -> bytes:
        """Return the next line with its end, b"" when the peer has gone; of an endless one (swallowed) a part."""
        coming = self._coming()
        data = await coming if coming else b""
        if data and data.find(b"\n") == len(data) - 1:  # a command in a segment of its own, as most are
            return data
        self.unread(data)
        self._lines += 1
        if self._lines % TURN == 0:
            await asyncio.sleep(0)
        try:
            return await self.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError as error:
            part = await self.read(error.consumed)
            return part if await self._swallow() else b""

    async def _swallow(self) -> bool:
        while True:
            try:
                await self.readuntil(b"\n")
                return True
            except asyncio.IncompleteReadError:
                return False
            except asyncio.LimitOverrunError as error:
                await self.read(error.consumed)


def flaw(line: bytes, most: int = COMMAND_MAX) -> Reply | None:
    """Return the reply to a line that is none, whatever it says; it may have `most` octets."""
    if len(line) > most:
        return replies.LINE_TOO_LONG
    if 0 in line:  # an integer is looked for at once, a NUL of bytes after it was tried as one
        return replies.NUL_IN_COMMAND
    if line[-2:] != b"\r\n" or line.count(b"\r") != 1:
        return replies.BARE_NEWLINE
    return None


def read_command(line: bytes) -> tuple[bytes, str] | Reply:
    """Return the verb in upper case and its argument, or the reply to a line that is none."""
    wrong = flaw(line)
    if wrong is not None:
        return wrong
    verb, _, argument = line[:-2].partition(b" ")
    try:
        return verb.upper(), argument.decode("utf-8").strip(" ")
    except UnicodeDecodeError:
        return replies.NOT_UTF8


def foreign(data: bytes) -> bool:
    """Tell whether the first octets of a client are TLS or HTTP."""
    return data.startswith(TLS_HANDSHAKE) or data.partition(b" ")[0] in HTTP_VERBS
