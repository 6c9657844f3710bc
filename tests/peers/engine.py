"""A scanner for tests, on a real socket: it hears a mail as clamd, Rspamd, spamd or ICAP do, and answers as told."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

Hear = Callable[[asyncio.StreamReader], Awaitable[tuple[bytes, bytes]]]
PING = b"ping"


async def clamd(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return what was asked (PING, or the command), and the mail."""
    command = await reader.readuntil(b"\0")
    if command == b"zPING\0":
        return PING, b""
    mail = b""
    while size := struct.unpack(">I", await reader.readexactly(4))[0]:
        mail += await reader.readexactly(size)
    return command, mail


async def http(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    return PING if head.startswith(b"GET /ping") else head, await reader.readexactly(_length(head))


async def spamd(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    return PING if head.startswith(b"PING") else head, await reader.readexactly(_length(head))


async def icap(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"OPTIONS"):
        return PING, b""
    await reader.readuntil(b"\r\n\r\n")  # the request
    await reader.readuntil(b"\r\n\r\n")  # the answer's head
    mail = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        mail += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return head, mail


def _length(head: bytes) -> int:
    lines = [line.partition(b":") for line in head.lower().split(b"\r\n")]
    return next((int(value) for name, _, value in lines if name == b"content-length"), 0)


def http_answer(text: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text)


PONGS = {
    clamd: b"PONG\0",
    http: http_answer(b"pong\r\n"),
    spamd: b"SPAMD/1.5 0 PONG\r\n",
    icap: b"ICAP/1.0 200 OK\r\n\r\n",
}


@dataclass
class Scanner:
    """`async with Scanner(clamd, b"stream: OK\\0") as scanner`, then `scanner.address`; all may be changed at any time.

    `said` None never answers, "" hangs up. `early` answers before anything is heard, `hung` hears nothing at all,
    `reset` breaks the connection off in the middle.
    """

    hear: Hear
    said: bytes | None = b""
    path: str = ""
    port: int = 0
    early: bool = False
    hung: bool = False
    reset: bool = False
    heard: list[tuple[bytes, bytes]] = field(default_factory=list)
    pings: int = 0
    connections: int = 0
    most: int = 0  # at once
    _open: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def address(self) -> str:
        return self.path or f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        if self.path:  # in the place of what one that was killed left behind
            self._server = await asyncio.start_unix_server(self._converse, self.path)
        else:
            self._server = await asyncio.start_server(self._converse, "127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        self._open += 1
        self.most = max(self.most, self._open)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Hear and answer once; tell whether to go on, as HTTP does."""
        if self.hung:
            await asyncio.Event().wait()
        if self.reset:
            await reader.read(100)
            writer.transport.abort()
            return False
        asked, mail = (b"", b"") if self.early else await self.hear(reader)
        if asked == PING:
            self.pings += 1
            writer.write(PONGS[self.hear])
        elif self.said is None:
            await asyncio.Event().wait()
        else:
            self.heard.append((asked, mail))
            writer.write(self.said)
        await writer.drain()
        return self.hear is http and bool(self.said)
