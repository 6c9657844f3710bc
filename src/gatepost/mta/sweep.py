"""The sweep: removes what is past its day, in small slices (rules 17), and has the store checked daily (rules 24)."""

import asyncio
import time
from collections.abc import Callable

from gatepost.events import Clock, Metrics, keep, log
from gatepost.model.problem import Problem
from gatepost.store.purge import Purged
from gatepost.store.store import Pace, Store

SLICE = 200
SLICES = 10_000  # of one pass; what is left waits for the next
CHECK = 86_400.0  # seconds between two checks of the whole store
DAY = 86_400_000
JUMP = DAY  # a clock that leaps a day away from the monotonic one is not believed at once (threat 86)
# Seconds for which such a clock must stand until it is: a server without one of its own gets the time by the network.
DOUBT = 3600.0


class Sweep:
    """Purges on a period, checks the store daily; `run` does one whole purge.

    A clock that leapt, since the last look or since the last purge before the start, purges nothing for an hour.
    """

    def __init__(
        self,
        store: Store,
        *,
        period: float,
        audit_days: int,
        clock: Clock,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._period = period
        self._audit_term = audit_days * DAY
        self._clock = clock
        self._metrics = metrics
        self._monotonic = monotonic
        self._trusted: tuple[int, float] | None = None  # the clocks when they were last believed
        self._doubted: float | None = None  # since when they are not
        self._checked = monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, from the time that the last purge before this start went by."""
        if known := self._store.reader.noted("purged"):
            self._trusted = known, self._monotonic()
        self._task = keep(self._forever, "sweep")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self) -> int:
        """Remove all that is due; return how many copies went. A slice that fails is left for the next pass."""
        if self._is_doubtful():
            return 0
        gone = spared = 0
        for _ in range(SLICES):
            purged = await self._purge(spared)
            spared = purged.spared
            for folder, count in purged.folders.items():
                self._metrics.purged.labels(folder).inc(count)
                gone += count
            if not purged.more:
                break
        await self._forget_audit()
        return gone

    async def _purge(self, spared: int) -> Purged:
        return await self._store.write(lambda writer: writer.purge(self._clock(), SLICE, spared), pace=Pace.SLOW)

    async def _forget_audit(self) -> None:
        before = self._clock() - self._audit_term
        for _ in range(SLICES):
            if await self._store.write(lambda writer: writer.forget_audit(before, SLICE), pace=Pace.SLOW) < SLICE:
                return

    async def check(self) -> None:
        """Look at the whole store where the last look is a day ago; damage makes the store unhealthy."""
        if self._monotonic() - self._checked >= CHECK:
            self._checked = self._monotonic()
            await self._store.examine()

    async def _forever(self) -> None:
        while True:
            try:
                gone = await self.run()
                if gone:
                    log.info("purged", copies=gone)
                await self.check()
            except Problem as problem:
                log.warning("purge put off", why=problem.detail)
            await asyncio.sleep(self._period)

    def _is_doubtful(self) -> bool:
        """Tell whether the clock is too far from where it must be to be believed by now; the log hears it once."""
        now, ticks = self._clock(), self._monotonic()
        known, then = self._trusted or (now, ticks)
        ahead = now - known - (ticks - then) * 1000
        if abs(ahead) > JUMP:
            if self._doubted is None:
                self._doubted = ticks
                _warn(ahead)
            if ticks - self._doubted < DOUBT:
                return True
        self._trusted, self._doubted = (now, ticks), None
        return False


def _warn(ahead: float) -> None:
    if ahead > 0:
        log.warning(
            "the clock is ahead of what is known of it; nothing is purged until it has stood so for a while",
            days_ahead=round(ahead / DAY, 1),
            seconds=DOUBT,
        )
    else:
        log.warning(
            "the clock was set back; what is kept from now on ends so much the earlier once it is set right",
            days_back=round(-ahead / DAY, 1),
        )
