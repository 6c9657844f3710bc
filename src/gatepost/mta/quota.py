"""How much is kept for each domain, and which has no room left for copies of clean mail and the archive (rules 27)."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from gatepost.events import Alarms, keep
from gatepost.model.problem import Problem
from gatepost.model.stored import Copy
from gatepost.model.tenant import Domain
from gatepost.store.store import Store

PERIOD = 3600.0  # seconds between two counts
NAMED = 20  # domains without room that an alarm names


class Quota:
    """Knows the octets of the copies of each domain, where `[limits] domain_bytes` bounds them (0: it does not).

    They are counted at the start and every hour; in between only what comes is added. Until the first count is over,
    there is room for all.
    """

    def __init__(self, store: Store, most: int, alarms: Alarms) -> None:
        self._store = store
        self._most = most
        self._alarms = alarms
        self._octets: dict[int, int] = {}
        self._came: dict[int, int] = {}  # since the last slice was asked for
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._most:
            self._task = keep(self._forever, "quota")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def is_full(self, domain_id: int | None) -> bool:
        """Tell whether a domain has used up its room."""
        return 0 < self._most <= self._octets.get(domain_id or 0, 0)

    def took(self, copies: Iterable[Copy], size: int) -> None:
        """Add the copies that a mail has left; the administrator is told of a domain that is full by them."""
        for copy in copies if self._most else ():
            was_full = self.is_full(copy.domain_id)
            for counts in (self._octets, self._came):
                counts[copy.domain_id] = counts.get(copy.domain_id, 0) + size
            if self.is_full(copy.domain_id) and not was_full:
                self._tell([copy.domain_id])

    async def count(self) -> None:
        """Count all copies anew, a slice at a time; what comes meanwhile lies behind the slices that were read."""
        found: dict[int, int] = defaultdict(int)
        last, rows = 0, await self._slice(0)
        while rows:
            for domain_id, octets, newest in rows:
                found[domain_id] += octets
                last = max(last, newest)
            rows = await self._slice(last)
        for domain_id, octets in self._came.items():
            found[domain_id] += octets
        self._octets = found
        if full := [domain_id for domain_id in found if self.is_full(domain_id)]:
            self._tell(full)

    async def _slice(self, after: int) -> list[tuple[int, int, int]]:
        self._came = {}
        return await self._store.read(lambda reader: reader.octets(after))

    def _tell(self, domain_ids: list[int]) -> None:
        domains = [self._store.reader.get(Domain, each) for each in domain_ids[:NAMED]]
        names = ", ".join(domain.name for domain in domains if domain)
        more = f" and {len(domain_ids) - NAMED} more" if len(domain_ids) > NAMED else ""
        what = f"no room left for retention and archive ([limits] domain_bytes): {names}{more}"
        self._alarms.tell("quota", "full", what)

    async def _forever(self) -> None:
        while True:
            try:
                await self.count()
            except Problem as problem:
                self._alarms.tell("quota", "uncounted", f"what domains keep was not counted: {problem.detail}")
            await asyncio.sleep(PERIOD)
