"""The queue: tries deliveries when they are due, and again until they are done or their life ends."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress

import msgspec

from gatepost.events import Clock, Metrics, keep, log
from gatepost.model.envelope import Body
from gatepost.model.problem import Problem
from gatepost.model.query import Query
from gatepost.model.stored import Delivery, Message, Pause, State
from gatepost.mta.bounce import Bounces, Settled, Step, step
from gatepost.mta.freight import Freight, Load
from gatepost.mta.gathering import Gathering, Told
from gatepost.mta.hooks import Hooks
from gatepost.mta.ledger import Ledger, Sent
from gatepost.mta.line import Line, RouteOf
from gatepost.mta.moves import Moves
from gatepost.mta.outcome import Outcome, Reply, Result, own
from gatepost.mta.relay import Relay
from gatepost.mta.rows import fresh_id
from gatepost.mta.schedule import Entry, Lane, shares
from gatepost.mta.settle import settled
from gatepost.mta.signing import Signing
from gatepost.mta.transaction import TRANSACTION_MAX
from gatepost.settings import Settings
from gatepost.store.store import Store

LOOK_AGAIN = 15.0  # seconds between two looks at the clock, whatever is due
LOOK_SOON = 1.0  # the same while the store takes no writes
FAR = 1 << 62  # a time that never comes
CROWDED = 2_000  # milliseconds until a destination that was full is tried again
SET_BACK = 60_000  # milliseconds by which a clock must go back to count as set anew
ROUND_MAX = 200  # deliveries whose rows are written in one go, so that the writer is not held up (rules 17)


class _Round:
    """What was delivered just now, to be written in one go: the entries, how they stand, in how many transactions."""

    __slots__ = ("done", "entries", "size")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.done: list[Settled] = []
        self.size = 0


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
        hooks: Hooks | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._store = store
        self._relay = relay
        self._settings = settings
        self._clock = clock
        signing = Signing(store, clock=clock, metrics=metrics)
        self._freight = Freight(store, signing, hostname, settings.queue.memory_bytes)
        self.line = Line(store, self._freight, route_of, settings, clock=clock, metrics=metrics)
        bounces = Bounces(
            hostname,
            life=settings.queue.life,
            system_days=settings.quarantine.system_days,
            new_id=new_id or (lambda: fresh_id(clock())),
        )
        self._ledger = Ledger(store, self._freight, bounces, hooks or Hooks(store, clock), settings, clock)
        self.moves = Moves(
            store,
            self.line,
            self._freight,
            self._ledger,
            relay.pool,
            settings.queue,
            clock=clock,
            go=self._dispatch,
            send=self._send,
        )
        self._gathering = Gathering(self._still_waiting, self._tell)
        self._most = sum(shares(settings.queue.concurrency).values())
        self._tasks: dict[asyncio.Task[None], list[Entry]] = {}
        self._round: _Round | None = None  # the one that takes more
        self._closing = 0  # transactions in rounds that are not written yet
        self._wake = asyncio.Event()
        self._clockwork: asyncio.Task[None] | None = None
        self._running = False
        self._rests = False  # what was taken up just now waits for a moment, in which `_dispatch` comes
        self._seen = 0  # the time when it was last read
        self._looks = 0  # the time when the clockwork looks again

    async def idle(self) -> None:
        """Wait until no delivery is under way; what waits for its time may stay."""
        self._dispatch()
        while self._tasks or self._gathering:
            if not self._tasks:
                self._gathering.end()
            await asyncio.wait(list(self._tasks))
            self._dispatch()

    # Its life.

    async def start(self) -> None:
        """Take up every delivery that is not done, settle what the done log tells, and begin."""
        for pause in self._store.reader.find(Pause, Query()).items:
            self.line.schedule.pause(pause.destination)
        noted, recalled = self._ledger.noted(), []
        after = held = 0
        while chunk := await self.line.live(after):
            for delivery in chunk:
                if note := noted.get(delivery.id):
                    self._ledger.recall(delivery, note)
                    recalled.append(delivery.id)
                if note or delivery.state is State.QUEUED:
                    self.line.admit(delivery, row=False)
                else:
                    held += 1
            after = chunk[-1].id
            await asyncio.sleep(0)
        self.line.held.set(held)
        await self._settle_recalled(recalled)
        self._running = True
        self._clockwork = keep(self._run, "queue")

    async def _settle_recalled(self, ids: list[int]) -> None:
        """Settle what was taken before a kill; where the store has no room, beside all else, and under way as long."""
        replay = self._begin(self._replay(ids), self.line.schedule.claim(ids))
        waits = asyncio.create_task(self._ledger.waits.wait())
        await asyncio.wait((replay, waits), return_when=asyncio.FIRST_COMPLETED)
        waits.cancel()

    async def _replay(self, ids: list[int]) -> None:
        for each in ids:
            self._send(await self._ledger.replay(each))
            self.line.schedule.forget(each)
        self._ledger.trim()

    async def stop(self, grace: float) -> None:
        """Begin nothing new; wait `grace` seconds for what is on the wire. The rest waits in the store."""
        self._running = False
        if self._clockwork is not None:
            self._clockwork.cancel()
            await asyncio.gather(self._clockwork, return_exceptions=True)
        self._gathering.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._tasks:  # one that ends may have its outcome written by another
                    await asyncio.wait(list(self._tasks))
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._ledger.close()

    def push(self, mail: Message, deliveries: Sequence[Delivery], body: Body) -> None:
        """Take up deliveries right after their commit; the body stays in memory for the first try where it fits.

        They begin when the loop has time for them: its answer to who sent the mail goes first.
        """
        self._freight.load(mail, body, [delivery.id for delivery in deliveries])
        self.line.welcome(deliveries)
        self._rests = True
        self._store.meanwhile(self._dispatch)

    def wake(self) -> None:
        """Look at the clock and the store now, and begin what may go."""
        self._dispatch()
        self._wake.set()

    def __len__(self) -> int:
        """How many deliveries wait or are under way."""
        return len(self.line.schedule)

    @property
    def under_way(self) -> int:
        """How many deliveries are being tried or settled."""
        return self.line.schedule.claimed

    # What is due.

    async def _run(self) -> None:
        while True:
            self._begin_due()
            self._looks = self._next_look()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, (self._looks - self._clock()) / 1000)):
                    await self._wake.wait()
            self._wake.clear()

    def _next_look(self) -> int:
        """When the clockwork looks again: when the next delivery comes due, or soon while the store takes no writes."""
        longest = LOOK_AGAIN if self._store.healthy else LOOK_SOON
        return min(self._next_due() or FAR, self._seen + int(longest * 1000))

    def _next_due(self) -> int | None:
        """When the next delivery comes due. What was due at the last look and could not go waits for its chance."""
        due = self.line.schedule.next_due()
        return due if due is not None and due > self._seen else None

    def _dispatch(self) -> None:
        """Begin as much as may go now, and have the clockwork look again in time for the rest."""
        self._rests = False
        self._begin_due()
        if self._next_look() < self._looks:
            self._wake.set()

    def _begin_due(self) -> None:
        """Begin as much as may go now. While the store takes no writes nothing goes: it could not be remembered."""
        now = self._now()
        while self._running and self._store.healthy and not self._full:
            found = self.line.schedule.next(now, TRANSACTION_MAX)
            if found is None:
                return
            lane, entries = found
            self._begin(self._deliver(lane, entries), entries)

    @property
    def _full(self) -> bool:
        """Whether as much is being tried, or settled, as may be at once."""
        return len(self._tasks) + self._closing >= self._most

    def _begin(self, work: Coroutine[None, None, None], entries: list[Entry]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks[task] = entries
        task.add_done_callback(self._landed)
        return task

    def _now(self) -> int:
        now = self._clock()
        if now < self._seen - SET_BACK:
            self.line.schedule.clamp(now + self._settings.queue.max_retry * 1000)
        self._seen = now
        return now

    # One transaction.

    async def _deliver(self, lane: Lane, entries: list[Entry]) -> None:
        try:
            tried = await self._attempt(lane, entries)
            if tried is not None:
                self._learn(lane, tried[1])
        finally:
            self.line.schedule.free(lane)
        if self.line.schedule.offers:
            self._dispatch()
        if tried is not None and not self._ends(entries, *tried):
            await self._store.lull()
            await self._settle(*tried)

    def _learn(self, lane: Lane, outcomes: Sequence[Outcome]) -> None:
        told = answered = refused = succeeded = False
        for outcome in outcomes:
            if outcome.answered or outcome.unreachable or outcome.doubtful:
                told = True
                answered |= outcome.answered
                refused |= outcome.busy or not outcome.answered
                succeeded |= outcome.result is Result.DELIVERED
        if told:
            self.line.schedule.learn(lane, answered=answered, refused=refused, succeeded=succeeded)

    async def _attempt(self, lane: Lane, entries: list[Entry]) -> tuple[Load, list[Outcome]] | None:
        """Hand one mail on for all whom it can go to in one transaction; None where there is none now."""
        load = self._freight.gather(entries)
        self.line.give_back(load.others)
        for entry in load.gone:
            self.line.drop(entry)
        entries[:] = load.entries  # what this transaction answers for
        if not load.deliveries:
            return None
        way = self.line.way(load.deliveries[0])
        if self.line.lane_of(way) is not lane:  # it has changed since the mail was lined up
            self.line.give_back(load.entries)
            return None
        if isinstance(way, Problem):
            outcomes = self._deferred(load, own("4.3.5", way.detail))
        elif (parcel := await self._freight.parcel(load)) is None:
            outcomes = self._deferred(load, own("4.3.0", "the mail's text can't be read"))
        else:
            outcomes = await self._relay.deliver(way, parcel)
        for delivery, outcome in zip(load.deliveries, outcomes, strict=True):
            if outcome.result is Result.DELIVERED:
                self._ledger.taken(delivery, outcome)
        return load, outcomes

    def _deferred(self, load: Load, reply: Reply) -> list[Outcome]:
        return [Outcome(result=Result.DEFERRED, reply=reply, at=self._clock())] * len(load.deliveries)

    async def _settle(self, load: Load, outcomes: Sequence[Outcome]) -> None:
        """Have it written what became of each; what its sender is to hear of waits for the rest of the mail."""
        now = self._clock()
        done: list[Told] = []
        told: list[Told] = []
        for entry, delivery, outcome in zip(load.entries, load.deliveries, outcomes, strict=True):
            if outcome.crowded:
                self.line.schedule.back(entry, entry.lane, now + CROWDED, now)
            else:
                each = settled(delivery, outcome, now, self._settings.queue)
                (told if step(each) is Step.REPORT else done).append(Told(entry, each))
        if done:
            await self._write(load, done)
        if told:
            self._gathering.add(load.entries[0].mail_id, told)

    async def _write(self, load: Load, done: Sequence[Told]) -> None:
        """Have it written how deliveries of a mail stand; then line up what goes on, and send the reports."""
        sent = await self._ledger.settle(load, [each for _, each in done], self._clock())
        self._go_on(done)
        self._send(sent)

    def _tell(self, told: Sequence[Told]) -> None:
        self._begin(self._report(told), [each.entry for each in told])

    async def _report(self, told: Sequence[Told]) -> None:
        await self._write(self._freight.reload(told[0].settled.delivery), told)

    def _still_waiting(self, mail_id: str) -> int:
        """How many deliveries of a mail may soon be done; at a stop no others are waited for."""
        return self.line.schedule.of_mail(mail_id) if self._running else 0

    def _go_on(self, done: Iterable[tuple[Entry, Settled]]) -> None:
        for entry, each in done:
            self.line.go_on(entry, each.delivery)
            if self._gathering:
                self._gathering.look(entry.mail_id)

    def _ends(self, entries: list[Entry], load: Load, outcomes: Sequence[Outcome]) -> bool:
        """Let what was delivered be written with its like where nothing follows from it; else say False."""
        if any(outcome.result is not Result.DELIVERED for outcome in outcomes):
            return False
        now = self._clock()
        done = [
            settled(delivery, outcome, now, self._settings.queue)
            for delivery, outcome in zip(load.deliveries, outcomes, strict=True)
        ]
        if not all(map(self._ledger.ends, done)):
            return False
        if self._round is None or len(self._round.done) + len(done) > ROUND_MAX:
            self._round = _Round()
            self._begin(self._close(self._round), self._round.entries)
        self._round.entries += load.entries
        self._round.done += done
        self._round.size += 1
        self._closing += 1
        entries.clear()  # it is the round that answers for them now
        return True

    async def _close(self, this: _Round) -> None:
        try:
            await self._store.lull()
            if self._round is this:
                self._round = None
            await self._ledger.end(this.done)
            self._go_on(zip(this.entries, this.done, strict=True))
        finally:
            full = self._full
            self._closing -= this.size
            if full:
                self._dispatch()

    def _send(self, reports: Sequence[Sent]) -> None:
        for report, way in reports:
            self.push(report.message, [way], report.body)

    def _landed(self, task: asyncio.Task[None]) -> None:
        """A transaction is over. What an internal error left claimed is tried again, or settled if it was taken."""
        full = self._full
        entries = self._tasks.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("delivery failed inside", why=repr(error), exc_info=error)
            taken = [entry for entry in entries if self._ledger.was_taken(entry.id)]
            for entry in taken:
                self._begin(self._settle_plainly(entry), [])
            self.line.put_off([entry for entry in entries if entry not in taken])
            if isinstance(error, msgspec.DecodeError):
                self._begin(self.line.set_aside(lambda _: [entry.id for entry in entries]), [])
        left = any(entry.id in self.line.schedule for entry in entries)  # else all is as `_deliver` left it
        if full or (left and not self._rests):
            self._dispatch()

    async def _settle_plainly(self, entry: Entry) -> None:
        await self._ledger.settle_plainly(entry.id)
        self.line.drop(entry)
