"""The queue: tries deliveries when they are due, and again until they are done or their life ends."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress

import msgspec

from gatepost.events import Clock, Metrics, keep, log
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Route
from gatepost.model.stored import Delivery, Message, State
from gatepost.mta.bounce import Bounces, Settled
from gatepost.mta.freight import Freight, Load
from gatepost.mta.ledger import Ledger
from gatepost.mta.outcome import Outcome, Reply, Result, own
from gatepost.mta.relay import TRANSACTION_MAX, Relay
from gatepost.mta.rows import fresh_id
from gatepost.mta.schedule import Entry, Lane, Schedule
from gatepost.mta.settle import settled
from gatepost.mta.signing import Signing
from gatepost.settings import Settings
from gatepost.store.store import Store
from gatepost.store.writer import Writer

LOOK_AGAIN = 15.0  # seconds between two looks at the clock, whatever is due
LOOK_SOON = 1.0  # the same while the store takes no writes
CROWDED = 2_000  # milliseconds until a destination that was full is tried again
SET_BACK = 60_000  # milliseconds by which a clock must go back to count as set anew

RouteOf = Callable[[Delivery], Route]
"""Says where a delivery goes as things stand now; raises Problem where it can't go anywhere yet."""


class Queue:
    """Owns every delivery that is not done. Claims live in memory, rows hold what must outlive the process (rules 18).

    A delivery is tried only after its commit. What became of it goes into the done log, then into the row, and only
    then is it forgotten. Its route is asked for at each try.
    """

    def __init__(
        self,
        store: Store,
        relay: Relay,
        route_of: RouteOf,
        settings: Settings,
        hostname: str,
        *,
        clock: Clock,
        metrics: Metrics,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._store = store
        self._relay = relay
        self._route_of = route_of
        self._settings = settings
        self._clock = clock
        self._waiting = metrics.queued.labels("queued")
        self._held = metrics.queued.labels("held")
        self._schedule = Schedule()
        signing = Signing(store, clock=clock, metrics=metrics)
        self._freight = Freight(store, signing, hostname, settings.queue.memory_bytes)
        bounces = Bounces(
            hostname,
            life=settings.queue.life,
            system_days=settings.quarantine.system_days,
            new_id=new_id or (lambda: fresh_id(clock())),
        )
        self._ledger = Ledger(store, self._freight, bounces, settings, clock)
        self._tasks: dict[asyncio.Task[None], list[Entry]] = {}
        self._wake = asyncio.Event()
        self._clockwork: asyncio.Task[None] | None = None
        self._running = False
        self._seen = 0  # the time when it was last read

    async def idle(self) -> None:
        """Wait until no delivery is under way; what waits for its time may stay."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    # Its life.

    async def start(self) -> None:
        """Settle what the done log tells, take up every delivery that is not done, and begin."""
        await self._ledger.replay()
        after = held = 0
        while chunk := self._store.reader.live(after):
            for delivery in chunk:
                if delivery.state is State.QUEUED:
                    self._admit(delivery, row=False)
                else:
                    held += 1
            after = chunk[-1].id
            await asyncio.sleep(0)
        self._held.set(held)
        self._running = True
        self._clockwork = keep(self._run(), "queue")

    async def stop(self, grace: float) -> None:
        """Begin nothing new; wait `grace` seconds for what is on the wire. The rest waits in the store."""
        self._running = False
        if self._clockwork is not None:
            self._clockwork.cancel()
            await asyncio.gather(self._clockwork, return_exceptions=True)
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks), timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._ledger.close()

    def push(self, mail: Message, deliveries: Sequence[Delivery], body: Body) -> None:
        """Take up deliveries right after their commit; the body stays in memory for the first try where it fits."""
        self._freight.load(mail, body, [delivery.id for delivery in deliveries])
        for delivery in deliveries:
            self._admit(delivery, row=True)
        self._dispatch()

    def wake(self) -> None:
        """Look at the clock and the store now, and begin what may go."""
        self._dispatch()
        self._wake.set()

    def __len__(self) -> int:
        """How many deliveries wait or are under way."""
        return len(self._schedule)

    @property
    def under_way(self) -> int:
        """How many deliveries are being tried or settled."""
        return self._schedule.claimed

    # What an administrator may ask. A delivery under way: Problem(CONFLICT), and nothing is changed.

    async def hold(self, ids: Sequence[int]) -> int:
        """Keep deliveries from being tried; return how many were waiting."""
        return await self._take_out(ids, State.HELD)

    async def delete(self, ids: Sequence[int]) -> int:
        """Give deliveries up, held ones too, without a word to the sender; return how many."""
        return await self._take_out(ids, State.DELETED)

    async def release(self, ids: Sequence[int]) -> int:
        """Let held deliveries go, at once; return how many were held."""
        self._check(ids)
        now = self._clock()

        def change(writer: Writer) -> list[Delivery]:
            held = [row for row in _live(writer, ids) if row.state is State.HELD]
            freed = [msgspec.structs.replace(row, state=State.QUEUED, due=now) for row in held]
            for row in freed:
                writer.settle(row)
            return freed

        freed = await self._store.write(change)
        self._held.dec(len(freed))
        for row in freed:
            self._admit(row, row=False)  # it may have been held or deleted since that commit
        self._dispatch()
        return len(freed)

    async def retry(self, ids: Sequence[int]) -> int:
        """Try waiting deliveries now; return how many."""
        self._check(ids)
        known = [each for each in ids if each in self._schedule]
        self._relay.pool.wake()
        self._schedule.hasten(known, self._clock())
        self._dispatch()
        return len(known)

    async def flush(self) -> int:
        """Try everything that waits now; what is under way or held stays as it is. Return how many."""
        return await self.retry([entry.id for entry in self._schedule if not self._schedule.is_claimed(entry.id)])

    def _check(self, ids: Sequence[int]) -> None:
        if busy := [each for each in ids if self._schedule.is_claimed(each)]:
            raise Problem(Kind.CONFLICT, "the delivery is under way just now", deliveries=busy)

    async def _take_out(self, ids: Sequence[int], state: State) -> int:
        self._check(ids)
        out = [entry for each in ids if (entry := self._schedule.forget(each))]
        now = self._clock()

        def change(writer: Writer) -> list[Delivery]:
            rows = [row for row in _live(writer, ids) if row.state is not state]
            for row in rows:
                done_at = now if state is State.DELETED else None
                writer.settle(msgspec.structs.replace(row, state=state, done_at=done_at))
            return rows

        try:
            changed = await self._store.write(change)
        except BaseException:
            for entry in out:
                entry.delivery = None  # who gave up waiting does not know whether it was written
                self._schedule.add(entry, now)
            raise
        for entry in out:
            self._freight.unload(entry.mail_id, entry.id)
        held = sum(row.state is State.HELD for row in changed)
        self._held.inc(len(changed) if state is State.HELD else -held)
        for row in changed:
            log.info("queue changed", id=row.mail_id, to=row.recipient, state=state.value)
        return len(changed)

    # What is due.

    async def _run(self) -> None:
        while True:
            self._dispatch()
            longest = LOOK_AGAIN if self._store.healthy else LOOK_SOON
            due = self._schedule.next_due()
            wait = longest if due is None else min(max(0.0, (due - self._clock()) / 1000), longest)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            self._wake.clear()

    def _dispatch(self) -> None:
        """Begin as much as may go now. While the store takes no writes nothing goes: it could not be remembered."""
        now = self._now()
        self._waiting.set(len(self._schedule))
        while self._running and self._store.healthy and len(self._tasks) < self._settings.queue.concurrency:
            found = self._schedule.next(now, TRANSACTION_MAX)
            if found is None:
                return
            lane, entries = found
            self._begin(self._deliver(lane, entries), entries)

    def _begin(self, work: Coroutine[None, None, None], entries: list[Entry]) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = entries
        task.add_done_callback(self._landed)

    def _now(self) -> int:
        now = self._clock()
        if now < self._seen - SET_BACK:
            self._schedule.clamp(now + self._settings.queue.max_retry * 1000)
        self._seen = now
        return now

    def _admit(self, delivery: Delivery, *, row: bool) -> None:
        now = self._clock()
        self._schedule.add(Entry(delivery, self._lane(delivery), self._due(delivery, now), row=row), now)

    def _due(self, delivery: Delivery, now: int) -> int:
        """No honest wait is longer than the longest: else the clock was set back meanwhile (threat 86)."""
        return min(delivery.due, now + self._settings.queue.max_retry * 1000)

    def _lane(self, delivery: Delivery) -> Lane:
        limit = self._settings.relay.connections
        try:
            route = self._route_of(delivery)
        except Problem:
            return self._schedule.lane("nowhere", limit)
        return self._schedule.lane(_destination(route), route.max_connections or limit)

    # One transaction.

    async def _deliver(self, lane: Lane, entries: list[Entry]) -> None:
        try:
            tried = await self._attempt(lane, entries)
            if tried is not None:
                lane.learn(
                    refused=any(outcome.busy or outcome.unreachable for outcome in tried[1]),
                    succeeded=any(outcome.result is Result.DELIVERED for outcome in tried[1]),
                )
        finally:
            self._schedule.free(lane)
        self._dispatch()
        if tried is not None:
            await self._settle(*tried)

    async def _attempt(self, lane: Lane, entries: list[Entry]) -> tuple[Load, list[Outcome]] | None:
        """Hand one mail on for all whom it can go to in one transaction; None where there is none now."""
        load = self._freight.gather(entries)
        self._return(load.others)
        for entry in load.gone:
            self._drop(entry)
        entries[:] = load.entries  # what this transaction answers for
        if not load.deliveries:
            return None
        if self._lane(load.deliveries[0]) is not lane:  # its way has changed since it was lined up
            self._return(load.entries)
            return None
        outcomes = await self._hand_on(load)
        for delivery, outcome in zip(load.deliveries, outcomes, strict=True):
            if outcome.result is Result.DELIVERED:
                self._ledger.taken(delivery, outcome)
        return load, outcomes

    async def _hand_on(self, load: Load) -> list[Outcome]:
        try:
            route = self._route_of(load.deliveries[0])
        except Problem as problem:
            return self._deferred(load, own("4.3.5", problem.detail))
        parcel = await self._freight.parcel(load)
        if parcel is None:
            return self._deferred(load, own("4.3.0", "the mail's text can't be read"))
        return await self._relay.deliver(route, parcel)

    def _deferred(self, load: Load, reply: Reply) -> list[Outcome]:
        return [Outcome(result=Result.DEFERRED, reply=reply, at=self._clock())] * len(load.deliveries)

    async def _settle(self, load: Load, outcomes: Sequence[Outcome]) -> None:
        """Have it written what became of each; then line up what goes on, and send the reports."""
        now = self._clock()
        done: list[tuple[Entry, Settled]] = []
        for entry, delivery, outcome in zip(load.entries, load.deliveries, outcomes, strict=True):
            if outcome.crowded:
                self._schedule.back(entry, entry.lane, now + CROWDED, now)
            else:
                done.append((entry, settled(delivery, outcome, now, self._settings.queue)))
        sent = await self._ledger.settle(load, [each for _, each in done], now) if done else []
        for entry, each in done:
            self._go_on(entry, each.delivery)
        for report, way in sent:
            self.push(report.message, [way], report.body)

    def _go_on(self, entry: Entry, delivery: Delivery) -> None:
        self._freight.unload(delivery.mail_id, delivery.id)
        entry.delivery = None
        if delivery.state is State.QUEUED:
            now = self._clock()
            self._schedule.back(entry, self._lane(delivery), self._due(delivery, now), now)
        else:
            self._schedule.forget(delivery.id)

    def _drop(self, entry: Entry) -> None:
        self._schedule.forget(entry.id)
        self._freight.unload(entry.mail_id, entry.id)

    def _return(self, entries: Sequence[Entry]) -> None:
        """Let claimed deliveries wait again, by their way as it is now."""
        now = self._clock()
        for entry in entries:
            row = self._store.reader.get(Delivery, entry.id)
            if row is None or row.state is not State.QUEUED:
                self._drop(entry)
            elif self._schedule.is_claimed(entry.id):
                self._schedule.back(entry, self._lane(row), now, now)

    def _put_off(self, entries: Sequence[Entry]) -> None:
        """Let what is still claimed be tried later. Asks nothing of the store, which may be what failed."""
        now = self._clock()
        for entry in entries:
            if self._schedule.is_claimed(entry.id):
                entry.delivery = None
                self._schedule.back(entry, entry.lane, now + self._settings.queue.first_retry * 1000, now)

    def _landed(self, task: asyncio.Task[None]) -> None:
        """A transaction is over. What an internal error left claimed is tried again, or settled if it was taken."""
        entries = self._tasks.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("delivery failed inside", why=repr(error), exc_info=error)
            taken = [entry for entry in entries if self._ledger.was_taken(entry.id)]
            if taken:
                self._begin(self._settle_plainly(taken), [])
            self._put_off([entry for entry in entries if entry not in taken])
        self._dispatch()

    async def _settle_plainly(self, entries: Sequence[Entry]) -> None:
        await self._ledger.settle_plainly([entry.id for entry in entries])
        for entry in entries:
            self._drop(entry)


def _destination(route: Route) -> str:
    """One text for each place that mail may go to."""
    hops = [f"{hop.host}:{hop.port}/{hop.transport.value}" for hop in route.hops]
    hops += [hop.terms.name for hop in route.hops if hop.terms]
    return ",".join(hops) or f"@{(route.domain or '').lower()}"


def _live(writer: Writer, ids: Sequence[int]) -> list[Delivery]:
    found = (writer.get(Delivery, each) for each in ids)
    return [row for row in found if row is not None and row.state in (State.QUEUED, State.HELD)]
