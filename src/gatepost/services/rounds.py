"""The rounds: what is looked after beside the mail, one thing at a time: records of new DKIM keys, and health."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from gatepost.events import Clock, keep, log
from gatepost.model.health import Entity
from gatepost.model.problem import Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.route import Platform
from gatepost.model.tenant import Domain, DomainStatus
from gatepost.services.dkim import Dkim
from gatepost.services.health import CHUNK, SYSTEM, Health, last_checkup
from gatepost.settings import Settings
from gatepost.store.store import Reader, Store

LONGEST = 3600.0  # seconds between two looks for what is due


class Visit(msgspec.Struct, frozen=True):
    """A domain or a platform that is due."""

    entity: Entity
    id: int


class Rounds:
    """Looks for new DKIM records and diagnoses everything, as often as `[dkim]` and `[health]` say; 0 is never."""

    def __init__(self, store: Store, dkim: Dkim, health: Health, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._dkim = dkim
        self._health = health
        self._look_seconds = settings.dkim.look_seconds
        self._period = settings.health.period
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; returns at once."""
        if self._look_seconds:
            self._tasks.append(keep(partial(_forever, self._look), "dkim"))
        if self._period:
            self._tasks.append(keep(partial(_forever, self._visit_due), "health"))

    async def stop(self) -> None:
        """Break off what is under way; it has changed nothing by halves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _look(self) -> float:
        try:
            await self._dkim.look_for_waiting()
        except Problem as problem:
            log.warning("DKIM records not looked for", why=problem.detail)
        return self._look_seconds

    async def _visit_due(self) -> float:
        """Diagnose what is due, one after another in equal steps of the period; return how long to wait then."""
        due = await self.due()
        gap = min(self._period / (len(due) + 1), LONGEST)
        for visit in due:
            await asyncio.sleep(gap)
            await self.visit(visit)
        return gap

    async def due(self) -> list[Visit]:
        """Return the enabled domains and their platforms that were not diagnosed within the period."""
        found: list[Visit] = []
        after = 0
        while True:
            more, after = await self._store.read(partial(self._due, after=after))
            found += more
            if not after:
                return found

    def _due(self, reader: Reader, after: int) -> tuple[list[Visit], int]:
        where = every(eq("status", DomainStatus.ENABLED), Where("id", Op.GT, after))
        domains = reader.find(Domain, Query(where=where, limit=CHUNK)).items
        now = self._clock()
        since = now - int(self._period * 1000)
        found = []
        for domain in domains:
            platforms = reader.find(Platform, Query(where=eq("domain_id", domain.id))).items
            found.append(Visit(Entity.DOMAIN, domain.id))
            found += [Visit(Entity.PLATFORM, platform.id) for platform in platforms]
        return [each for each in found if not _fresh(reader, each, since, now)], domains[-1].id if domains else 0

    async def visit(self, visit: Visit) -> None:
        """Diagnose one domain or platform; what can't be asked now is left for the next round."""
        reader = self._store.reader
        try:
            if visit.entity is Entity.DOMAIN:
                domain = reader.get(Domain, visit.id)
                if domain is not None:
                    await self._health.examine_domain(domain)
            else:
                platform = reader.get(Platform, visit.id)
                if platform is not None:
                    await self._health.examine_platform(SYSTEM, platform)
        except Problem as problem:
            log.info("not diagnosed", entity=visit.entity.value, id=visit.id, why=problem.detail)


async def _forever(act: Callable[[], Awaitable[float]]) -> None:
    """Do something again and again; it tells how many seconds to wait."""
    while True:
        seconds = await act()
        await asyncio.sleep(seconds)


def _fresh(reader: Reader, visit: Visit, since: int, now: int) -> bool:
    last = last_checkup(reader, visit.entity, visit.id)
    return last is not None and since < last.performed_at <= now  # later than now: the clock was set back
