"""The sweep: removes what is past its day, in small slices, so that no mail waits behind it (rules 17)."""

import asyncio
import time
from collections.abc import Callable

from gatepost.events import Clock, Metrics, keep, log
from gatepost.model.problem import Problem
from gatepost.store.store import Pace, Store

SLICE = 200
SLICES = 10_000  # of one pass; what is left waits for the next
JUMP = 86_400_000  # a clock that leaps a day ahead of the monotonic one is not believed at once (threat 86)


class Sweep:
    """Purges on a period; `run` does one whole pass."""

    def __init__(
        self,
        store: Store,
        *,
        period: float,
        clock: Clock,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._period = period
        self._clock = clock
        self._metrics = metrics
        self._monotonic = monotonic
        self._last: tuple[int, float] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = keep(self._forever(), "sweep")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self) -> int:
        """Remove all that is due; return how many copies went. A slice that fails is left for the next pass."""
        if self._leapt():
            log.warning("the clock leapt ahead; nothing is purged in this pass")
            return 0
        gone = 0
        for _ in range(SLICES):
            purged = await self._store.write(lambda writer: writer.purge(self._clock(), SLICE), pace=Pace.SLOW)
            for folder, count in purged.folders.items():
                self._metrics.purged.labels(folder).inc(count)
                gone += count
            if not purged.more:
                break
        return gone

    async def _forever(self) -> None:
        while True:
            try:
                gone = await self.run()
                if gone:
                    log.info("purged", copies=gone)
            except Problem as problem:
                log.warning("purge put off", why=problem.detail)
            await asyncio.sleep(self._period)

    def _leapt(self) -> bool:
        now, ticks = self._clock(), self._monotonic()
        last, self._last = self._last, (now, ticks)
        return last is not None and now - last[0] - (ticks - last[1]) * 1000 > JUMP
