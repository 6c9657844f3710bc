"""A real HTTPS server for tests: answers every request with the same octets, and remembers what was asked."""

import asyncio
import re
import ssl
from types import TracebackType
from typing import Self


def answer(text: str, *, status: str = "200 OK") -> bytes:
    """Return a whole answer with a text."""
    size = len(text.encode())
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return (head + text).encode()


class Web:
    """`async with Web(context) as web:` then `web.port`; `said` may be changed at any time, None never answers."""

    def __init__(self, tls: ssl.SSLContext, said: bytes | None = None) -> None:
        self.tls = tls
        self.said = said
        self.port = 0
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self._heard = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self, count: int, seconds: float = 60.0) -> None:
        """Wait until so many requests have come in."""
        async with asyncio.timeout(seconds), self._heard:
            await self._heard.wait_for(lambda: len(self.asked) >= count)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = re.search(r"^content-length: (\d+)", head, re.IGNORECASE | re.MULTILINE)
            self.bodies.append(await reader.readexactly(int(size[1]) if size else 0))
            self.asked.append(head)
            async with self._heard:
                self._heard.notify_all()
            if self.said is None:
                await asyncio.Event().wait()
            writer.write(self.said or b"")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
