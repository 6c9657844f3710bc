"""Waits for what comes next, and goes on in the very call that brings it."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context


class Arrival:
    """What one task awaits, again and again. A future would have it go on a turn of the loop later, by a handle more.

    A task asks these things of whatever it awaits (asyncio-extending): `_asyncio_future_blocking`, `_loop`,
    `add_done_callback`, `result` and `cancel`. All the rest is the task's own doing, as ever: whose turn it is, its
    context, its errors, its cancelling.
    """

    __slots__ = ("_asyncio_future_blocking", "_came", "_context", "_go_on", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._go_on: Callable[[Arrival], object] | None = None
        self._context: Context
        self._came = b""

    def __await__(self) -> Generator["Arrival", None, bytes]:
        self._asyncio_future_blocking = True
        yield self
        came, self._came = self._came, b""  # as large as what a read brings: kept no longer than it is used
        return came

    def bring(self, data: bytes) -> bool:
        """Have the task go on with `data`, up to what it awaits next; False where it doesn't wait.

        To be called by the loop, never within a task: one can't go on inside another.
        """
        go_on, self._go_on = self._go_on, None
        if go_on is None:
            return False
        self._came = data
        self._context.run(go_on, self)
        return True

    def end(self) -> None:
        """Have the task go on with nothing, in the loop's next turn; may be called anywhere."""
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            self._came = b""
            self._loop.call_soon(go_on, self, context=self._context)

    # What its task asks.

    def add_done_callback(self, callback: "Callable[[Arrival], object]", *, context: Context) -> None:
        """Take what has the task go on."""
        self._go_on, self._context = callback, context

    def result(self) -> bytes:
        """Return what has come; it is never an error."""
        return self._came

    def cancel(self, msg: object = None) -> bool:
        """Have the task go on, which raises its CancelledError then: nothing is cancelled here, hence False."""
        self.end()
        return False
