"""The rounds: what is looked after beside the mail, little by little: records that new DKIM keys wait for."""

import asyncio

from gatepost.events import keep, log
from gatepost.model.problem import Problem
from gatepost.services.dkim import Dkim


class Rounds:
    """Asks DNS every `look_seconds` (0: never) for the records of DKIM keys that replace others."""

    def __init__(self, dkim: Dkim, *, look_seconds: float) -> None:
        self._dkim = dkim
        self._look_seconds = look_seconds
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; returns at once."""
        if self._look_seconds:
            self._tasks.append(keep(self._look(), "dkim"))

    async def stop(self) -> None:
        """Break off what is under way; it has changed nothing by halves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _look(self) -> None:
        while True:
            try:
                await self._dkim.look_for_waiting()
            except Problem as problem:
                log.warning("DKIM records not looked for", why=problem.detail)
            await asyncio.sleep(self._look_seconds)
