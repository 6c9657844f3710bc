"""When tokens were last used: noted beside the requests, gathered, and written together."""

import asyncio
from contextlib import suppress
from functools import partial

from gatepost.events import Clock, log
from gatepost.model.access import Token
from gatepost.model.problem import Problem
from gatepost.store.store import Store, Writer

USE_EVERY = 60_000  # milliseconds between two notes of a token's use (rules 17)
GATHER = 5.0  # seconds after which what was noted is written


class Uses:
    """Notes the use of tokens, each at most once a minute."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[int, int] = {}  # token -> when its use was noted last
        self._waiting: dict[int, int] = {}  # of these, what is not on its way to the store yet
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def note(self, token: Token) -> None:
        """Have it written down that a token is used now."""
        now = self._clock()
        if 0 <= now - self._noted.get(token.id, token.last_use or 0) < USE_EVERY:  # the clock may go back
            return
        self._noted[token.id] = self._waiting[token.id] = now
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def settle(self) -> None:
        """Write what was noted, and wait until it is."""
        self._hurry.set()
        if self._task is not None:
            await self._task
        self._hurry.clear()

    async def _write(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), GATHER)
            used, self._waiting = self._waiting, {}
            try:
                await self._store.write(partial(_note, used))
            except Problem as problem:
                log.warning("use of tokens not noted", tokens=len(used), problem=problem.detail)


def _note(used: dict[int, int], writer: Writer) -> None:
    for token_id, at in used.items():
        writer.change(Token, token_id, last_use=at)
