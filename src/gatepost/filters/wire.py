"""How engines are spoken to: places, connections, and a mail's octets piece by piece, a spooled one never whole."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gatepost.model.envelope import Body

CHUNK = 65_536
T = TypeVar("T")


class Garbled(Exception):
    """A server answered what its protocol does not know; the text quotes it."""


class Unreachable(OSError):
    """A server could not be connected to: it has seen nothing of the mail."""


class Unreadable(Exception):
    """The mail's own file can't be read; no server is to blame."""


class Place(NamedTuple):
    """Where a server listens: a Unix socket (`path`), else host and port."""

    host: str
    port: int
    path: str = ""


def place(text: str, port: int) -> Place:
    """Read `/path/to/socket`, `host`, `host:port` or `[v6]:port`; raise ValueError."""
    if text.startswith("/"):
        return Place("", 0, text)
    host, colon, number = text.rpartition(":")
    if not colon or number.endswith("]"):
        host, number = text, str(port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text}: an IPv6 address stands in brackets")
    if not host or not (number.isascii() and number.isdigit() and 0 < int(number) < 65_536):
        raise ValueError(f"{text}: expected host:port or the path of a socket")
    return Place(host, int(number))


class Wire(NamedTuple):
    """A connection to a server: the stream listens, and what is said goes by the socket itself.

    A stream whose write fails forgets what it has not read: the answer of a server that has heard enough and hung up.
    """

    reader: asyncio.StreamReader
    mouth: socket.socket

    async def line(self) -> str:
        """Return the next line without its end; raise Garbled where it is too long, EOFError where there is none."""
        return (await self.until(b"\n")).decode("utf-8", "replace").rstrip("\r\n")

    async def until(self, end: bytes) -> bytes:
        """Return what comes up to `end` and with it; raise Garbled where that is too long, EOFError at the end."""
        try:
            return await self.reader.readuntil(end)
        except asyncio.LimitOverrunError as error:
            raise Garbled("an endless answer") from error

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.mouth, data)


@asynccontextmanager
async def connected(where: Place, seconds: float) -> AsyncIterator[Wire]:
    """Connect within `seconds`, and hang up at the end; raise Unreachable."""
    try:
        async with asyncio.timeout(seconds):
            if where.path:
                reader, writer = await asyncio.open_unix_connection(where.path, limit=CHUNK)
            else:
                reader, writer = await asyncio.open_connection(where.host, where.port, limit=CHUNK)
    except TimeoutError as error:
        raise Unreachable(f"no connection within {seconds:g} s") from error
    except OSError as error:
        raise Unreachable(_cause(error)) from error
    try:
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as mouth:
            mouth.setblocking(False)
            yield Wire(reader, mouth)
    finally:
        writer.transport.abort()  # all is said; what is not is not wanted any more


def _cause(error: OSError) -> str:
    """Return the system's words for an error, not asyncio's, which name the address once more."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


async def exchange(send: Coroutine[Any, Any, None], hear: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Send and listen at once; return what was heard, and whether all was sent before.

    A server that has heard enough answers and hangs up while we still send: its answer counts, not our broken pipe.
    """
    hearing = asyncio.create_task(hear)
    sending = asyncio.create_task(send)
    try:
        await asyncio.wait((hearing, sending), return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done() and isinstance(sending.exception(), Unreadable):
            await sending
        answer = await hearing
        return answer, sending.done() and sending.exception() is None
    finally:
        sending.cancel()
        hearing.cancel()
        await asyncio.gather(sending, hearing, return_exceptions=True)


async def pieces(body: Body) -> AsyncIterator[bytes]:
    """Yield a mail's octets; raise Unreadable."""
    if body.data is not None:
        for start in range(0, len(body.data), CHUNK):
            yield body.data[start : start + CHUNK]
        return
    try:
        file = await asyncio.to_thread(Path(body.path or "").open, "rb")
        with file:
            while piece := await asyncio.to_thread(file.read, CHUNK):
                yield piece
    except OSError as error:
        raise Unreadable(f"the mail's file can't be read ({error.strerror})") from error
