"""The line: what waits for each destination, and by which way it will go."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from gatepost.events import Clock, Metrics, log
from gatepost.model.problem import Problem
from gatepost.model.route import Route
from gatepost.model.stored import Delivery, State
from gatepost.mta.freight import Freight
from gatepost.mta.relay import way_of
from gatepost.mta.schedule import Entry, Lane, Schedule
from gatepost.settings import Settings
from gatepost.store.store import Store
from gatepost.store.writer import Writer

DAMAGED = "its row in the store was damaged"
NOWHERE = "nowhere"  # the destination of what has no way at present

RouteOf = Callable[[Delivery], Route]
"""Says where a delivery goes as things stand now; raises Problem where it can't go anywhere yet."""


class Destination(msgspec.Struct, frozen=True):
    """One place that mail waits for: how much waits and goes, how many transactions at once it is given just now."""

    name: str
    waiting: int
    under_way: int
    window: int
    limit: int
    paused: bool


class Line:
    """The schedule with what is needed to line deliveries up: their rows, their routes, the time."""

    def __init__(
        self,
        store: Store,
        freight: Freight,
        route_of: RouteOf,
        settings: Settings,
        *,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._schedule = Schedule(settings.queue.concurrency)
        self._fresh: deque[Delivery] = deque()  # just committed, and not lined up yet
        self._route_of = route_of
        metrics.queued.labels("queued").set_function(lambda: len(self.schedule))
        self.held = metrics.queued.labels("held")
        self._store = store
        self._freight = freight
        self._settings = settings
        self._clock = clock

    @property
    def schedule(self) -> Schedule:
        """What waits, and what is under way."""
        if self._fresh:
            self._line_up()
        return self._schedule

    def welcome(self, deliveries: Sequence[Delivery]) -> None:
        """Let new deliveries wait, with their rows at hand; they are lined up when somebody looks, or in a moment."""
        if not self._fresh:
            asyncio.get_running_loop().call_soon(self._line_up)
        self._fresh += deliveries

    def _line_up(self) -> None:
        while self._fresh:
            delivery = self._fresh.popleft()
            self.admit(delivery, row=not delivery.release)  # a released mail may get another address before it goes

    def admit(self, delivery: Delivery, *, row: bool) -> None:
        """Let a delivery wait; `row` keeps its row at hand."""
        now = self._clock()
        self._schedule.add(Entry(delivery, self.lane(delivery), self._due(delivery, now), row=row), now)

    def lane(self, delivery: Delivery) -> Lane:
        """Return the lane of a delivery's destination, as its way is now."""
        return self.lane_of(self.way(delivery))

    def lane_of(self, way: Route | Problem) -> Lane:
        """Return the lane of a way's destination."""
        if isinstance(way, Problem):
            return self._schedule.lane(NOWHERE, self._settings.relay.connections)
        return self._schedule.lane(way.destination, way.max_connections or self._settings.relay.connections)

    def way(self, delivery: Delivery) -> Route | Problem:
        """Return a delivery's way as things stand now, or why it has none."""
        return way_of(self._route_of, delivery)

    def name_of(self, delivery: Delivery) -> str:
        """Return the name of a delivery's destination."""
        way = self.way(delivery)
        return NOWHERE if isinstance(way, Problem) else way.destination

    def go_on(self, entry: Entry, delivery: Delivery) -> None:
        """Line up again what was tried, or forget what is done."""
        self._freight.unload(delivery.mail_id, delivery.id)
        entry.delivery = None
        if delivery.state is State.QUEUED:
            now = self._clock()
            self.schedule.back(entry, self.lane(delivery), self._due(delivery, now), now)
        else:
            self.schedule.forget(delivery.id)

    def drop(self, entry: Entry) -> None:
        self.schedule.forget(entry.id)
        self._freight.unload(entry.mail_id, entry.id)

    def give_back(self, entries: Sequence[Entry]) -> None:
        """Let claimed deliveries wait again, by their way as it is now."""
        now = self._clock()
        for entry in entries:
            row = self._store.reader.get(Delivery, entry.id)
            if row is None or row.state is not State.QUEUED:
                self.drop(entry)
            elif self.schedule.is_claimed(entry.id):
                entry.delivery = None
                self.schedule.back(entry, self.lane(row), now, now)

    def put_off(self, entries: Sequence[Entry]) -> None:
        """Let what is still claimed be tried later. Asks nothing of the store, which may be what failed."""
        now = self._clock()
        for entry in entries:
            if self.schedule.is_claimed(entry.id):
                entry.delivery = None
                self.schedule.back(entry, entry.lane, now + self._settings.queue.first_retry * 1000, now)

    async def set_aside(self, among: Callable[[Writer], Iterable[int]]) -> None:
        """Hold those of some whose rows are damaged, for an administrator: what can't be read of them is lost."""
        ids = await self._store.write(lambda writer: writer.set_aside(among(writer), DAMAGED))
        known = [each for each in ids if each in self.schedule]
        self.held.inc(len(known))
        for each in known:
            if not self.schedule.is_claimed(each):  # else it is dropped by whoever tries it
                self.schedule.forget(each)
        if ids:
            log.error("deliveries are held, their rows are damaged", deliveries=ids)

    async def live(self, after: int) -> list[Delivery]:
        """Return the next deliveries that are not done, by id."""
        try:
            return self._store.reader.live(after)
        except msgspec.DecodeError:
            await self.set_aside(lambda writer: writer.live_ids(after))
            return self._store.reader.live(after)

    def destinations(self) -> list[Destination]:
        """Tell what waits for each destination, the fullest first."""
        counts = Counter(entry.lane for entry in self.schedule)
        going = Counter(entry.lane for entry in self.schedule if self.schedule.is_claimed(entry.id))
        told = [
            Destination(lane.key, count - going[lane], going[lane], lane.window, lane.limit, lane.paused)
            for lane, count in counts.most_common()
        ]
        empty = sorted(self.schedule.paused - {lane.key for lane in counts})
        limit = self._settings.relay.connections
        return told + [Destination(name, 0, 0, limit, limit, paused=True) for name in empty]

    def _due(self, delivery: Delivery, now: int) -> int:
        """No honest wait is longer than the longest: else the clock was set back meanwhile (threat 86)."""
        return min(delivery.due, now + self._settings.queue.max_retry * 1000)
