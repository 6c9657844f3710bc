"""Joins the head of an answer and its body, which uvicorn writes one by one, into one packet and one system call."""

import asyncio

SMALL = 65_536  # octets of a piece that waits for the next one


class Outlet:
    """What an answer is written to. A piece waits for the next one, for the end, or for the loop's next round."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        elif len(data) < SMALL:
            self._held = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Write what waits, unless the connection is closed."""
        if self._held:
            held, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()
