"""What an administrator may do to the queue by hand; never to a delivery that is under way."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from gatepost.events import Clock, log
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.model.route import Hop, write_hop
from gatepost.model.stored import Delivery, Pause, State
from gatepost.mta.freight import Freight
from gatepost.mta.gathering import in_one_report
from gatepost.mta.ledger import Ledger, Sent
from gatepost.mta.line import Destination, Line
from gatepost.mta.outcome import Outcome, Result, own
from gatepost.mta.pool import Pool
from gatepost.mta.schedule import Entry
from gatepost.mta.settle import settled
from gatepost.settings import Queue as QueueSettings
from gatepost.store.store import Reader, Store
from gatepost.store.writer import Writer


class Moves:
    """The verbs of the queue. A delivery under way: Problem(CONFLICT), and nothing is changed (rules 18)."""

    def __init__(
        self,
        store: Store,
        line: Line,
        freight: Freight,
        ledger: Ledger,
        pool: Pool,
        settings: QueueSettings,
        *,
        clock: Clock,
        go: Callable[[], None],
        send: Callable[[Sequence[Sent]], None],
    ) -> None:
        """`go` begins what may go now; `send` takes up reports that were written."""
        self._store = store
        self._line = line
        self._freight = freight
        self._ledger = ledger
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._go = go
        self._send = send
        self._busy: set[int] = set()

    async def hold(self, ids: Sequence[int]) -> int:
        """Keep deliveries from being tried; return how many were waiting."""
        return await self._take_out(ids, State.HELD)

    async def delete(self, ids: Sequence[int]) -> int:
        """Give deliveries up, held ones too, without a word to the sender; return how many."""
        return await self._take_out(ids, State.DELETED)

    async def release(self, ids: Sequence[int]) -> int:
        """Let held deliveries go, at once; return how many were held."""
        self._check(ids)
        return await asyncio.shield(self._release(ids))  # else who leaves now lets them lie until the next start

    async def _release(self, ids: Sequence[int]) -> int:
        now = self._clock()

        def change(writer: Writer) -> list[Delivery]:
            held = [row for row in _live(writer, ids) if row.state is State.HELD]
            freed = [msgspec.structs.replace(row, state=State.QUEUED, due=now) for row in held]
            for row in freed:
                writer.settle(row)
            return freed

        freed = await self._store.write(change)
        self._line.held.dec(len(freed))
        for row in freed:
            if row.id not in self._busy:  # else it is lined up by whose hand it is in
                self._line.admit(row, row=False)  # it may have been held or deleted since that commit
        self._go()
        return len(freed)

    async def retry(self, ids: Sequence[int]) -> int:
        """Try waiting deliveries now; return how many."""
        self._check(ids)
        known = [each for each in ids if each in self._line.schedule]
        self._pool.wake()
        self._line.schedule.hasten(known, self._clock())
        self._go()
        return len(known)

    async def flush(self) -> tuple[int, int]:
        """Try everything that waits now; what is under way or held stays as it is. Return how many, and under way."""
        schedule = self._line.schedule
        waiting = [entry.id for entry in schedule if not self.is_under_way(entry.id)]
        busy = len(schedule) - len(waiting)
        return await self.retry(waiting), busy

    async def bounce(self, ids: Sequence[int], reason: str) -> int:
        """Give deliveries up, held ones too; their senders are told `reason` where they may be. Return how many."""
        with self._in_hand(ids):
            rows = _live(self._store.reader, ids)
            for told in in_one_report(rows, lambda row: row):
                await self._end(told, reason)
                self._line.held.dec(sum(row.state is State.HELD for row in told))
        return len(rows)

    async def reroute(self, ids: Sequence[int], hop: Hop | None) -> int:
        """Send deliveries to another server, or (None) by their own way again; return how many."""
        via = write_hop(hop) if hop else ""

        def change(writer: Writer) -> int:
            rows = _live(writer, ids)
            for row in rows:
                writer.change(Delivery, row.id, via=via)
            return len(rows)

        with self._in_hand(ids):
            return await self._store.write(change)

    async def pause(self, destination: str) -> None:
        """Let nothing go to a destination until it is resumed; what is under way ends."""

        def change(writer: Writer) -> None:
            if writer.first(Pause, eq("destination", destination)) is None:
                writer.add(Pause(destination=destination, since=self._clock()))

        await self._store.write(change)
        self._line.schedule.pause(destination)

    async def resume(self, destination: str) -> None:
        """Let mail go to a destination again."""
        await self._store.write(lambda writer: writer.remove(Pause, eq("destination", destination)))
        self._line.schedule.resume(destination)
        self._go()

    def destinations(self) -> list[Destination]:
        """Tell what waits for each destination, the fullest first."""
        return self._line.destinations()

    def destination(self, delivery: Delivery) -> str:
        """Name the destination of a delivery."""
        return self._line.name_of(delivery)

    def is_under_way(self, delivery_id: int) -> bool:
        """Tell whether a delivery is being tried, or moved by somebody else, just now."""
        return self._line.schedule.is_claimed(delivery_id) or delivery_id in self._busy

    @contextmanager
    def _in_hand(self, ids: Sequence[int]) -> Iterator[None]:
        """Keep deliveries from being tried, and from other hands, for as long as the block lasts."""
        self._check(ids)
        entries = self._line.schedule.claim(ids)
        self._busy.update(ids)
        try:
            yield
        finally:
            self._busy.difference_update(ids)
            self._line.give_back(entries)  # by their way as it is now; what is done is forgotten
            known = {entry.id for entry in entries}
            for row in _live(self._store.reader, [each for each in ids if each not in known]):
                if row.state is State.QUEUED:  # released meanwhile
                    self._line.admit(row, row=False)
            self._go()

    async def _end(self, rows: Sequence[Delivery], reason: str) -> None:
        now = self._clock()
        given_up = Outcome(result=Result.FAILED, reply=own("5.7.0", reason), at=now)
        ended = [settled(row, given_up, now, self._settings) for row in rows]
        self._send(await self._ledger.settle(self._freight.reload(rows[0]), ended, now))

    def _check(self, ids: Sequence[int]) -> None:
        if busy := [each for each in ids if self.is_under_way(each)]:
            raise Problem(Kind.CONFLICT, "the delivery is under way just now", deliveries=busy)

    async def _take_out(self, ids: Sequence[int], state: State) -> int:
        self._check(ids)
        out = [entry for each in ids if (entry := self._line.schedule.forget(each))]
        try:
            changed = await self._store.write(lambda writer: _end_as(writer, ids, state, self._clock()))
        except BaseException:
            self._take_back(out)
            raise
        for entry in out:
            self._freight.unload(entry.mail_id, entry.id)
        held = sum(row.state is State.HELD for row in changed)
        self._line.held.inc(len(changed) if state is State.HELD else -held)
        for row in changed:
            log.info("queue changed", id=row.mail_id, to=row.recipient, state=state.value)
        return len(changed)

    def _take_back(self, out: Sequence[Entry]) -> None:
        """Line up again what was taken out: who gave up waiting does not know whether it was written."""
        for entry in out:
            entry.delivery = None
            self._line.schedule.add(entry, self._clock())


def _end_as(writer: Writer, ids: Sequence[int], state: State, now: int) -> list[Delivery]:
    """Change the state of live deliveries; return them as they were."""
    rows = [row for row in _live(writer, ids) if row.state is not state]
    for row in rows:
        done_at = now if state is State.DELETED else None
        writer.settle(msgspec.structs.replace(row, state=state, done_at=done_at))
    return rows


def _live(source: Reader | Writer, ids: Sequence[int]) -> list[Delivery]:
    found = (source.get(Delivery, each) for each in ids)
    return [row for row in found if row is not None and row.state in (State.QUEUED, State.HELD)]
