"""Work that can wait for a moment when the loop has little to do: while a change goes to the disc, mail goes out."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

PATIENCE = 0.005  # seconds that such work waits at most


class Meanwhile:
    """Calls back when the writer's thread begins to write its commit out, or after PATIENCE if none comes.

    All but `begins` belongs to one loop. A client that sends one mail after another waits for the commit, and the
    loop with it; what is done before that is added to the time of its next mail.
    """

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._behind: list[asyncio.Future[None]] = []

    def wait(self, act: Callable[[], None]) -> None:
        """Have `act` called once, soon."""
        self._watch()
        if act not in self._waiting:
            self._waiting.append(act)

    async def lull(self) -> None:
        """Return soon, behind what is called then."""
        self._watch()
        waiter = asyncio.get_running_loop().create_future()
        self._behind.append(waiter)
        await waiter

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(PATIENCE, self._over)

    def begins(self) -> None:
        """Say, from any thread, that the loop has nothing to do for now."""
        if (self._waiting or self._behind) and self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._over)

    def _over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        behind, self._behind = self._behind, []
        loop = asyncio.get_running_loop()
        for act in waiting:
            loop.call_soon(act)  # each by itself: one that fails keeps nobody else from his turn
        loop.call_soon(_wake, behind)


def _wake(waiters: Sequence[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
