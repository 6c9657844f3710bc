"""Writes what became of deliveries: done log first, then rows and reports in one commit; until it is written."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

import msgspec

from gatepost.events import Clock, log
from gatepost.model.problem import Kind, Problem
from gatepost.model.stored import Delivery, State
from gatepost.model.webhook import HookCall
from gatepost.mta import bounce
from gatepost.mta.bounce import Aftermath, Bounces, Report, Settled, Step
from gatepost.mta.donelog import Done, DoneLog
from gatepost.mta.freight import Freight, Load
from gatepost.mta.hooks import Hooks
from gatepost.mta.outcome import Outcome
from gatepost.mta.settle import settled
from gatepost.mta.suppress import enter, hard
from gatepost.settings import Settings
from gatepost.store.bulk import Settle
from gatepost.store.store import Pace, Store
from gatepost.store.writer import Writer

T = TypeVar("T")

DAY = 86_400_000
_NOTHING = Aftermath()
PATIENCE = 1.0  # seconds between two attempts to write


class Sent(NamedTuple):
    """A report that was stored, and its delivery."""

    report: Report
    way: Delivery


class Ledger:
    """The only place where the queue's rows change after an attempt."""

    def __init__(
        self, store: Store, freight: Freight, bounces: Bounces, hooks: Hooks, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._freight = freight
        self._bounces = bounces
        self._hooks = hooks
        self._settings = settings
        self._clock = clock
        self._done = DoneLog(store.path)
        self._taken: dict[int, tuple[Delivery, Outcome]] = {}  # delivered, the row not settled yet
        self.waits = asyncio.Event()  # for the store to take writes again

    def taken(self, delivery: Delivery, outcome: Outcome) -> None:
        """Note at once that a next hop has taken a mail."""
        self._taken[delivery.id] = delivery, outcome
        with suppress(OSError):  # it only spares a repetition after a kill
            self._done.note(delivery.id, outcome)

    def was_taken(self, delivery_id: int) -> bool:
        """Tell whether a next hop has a mail whose row doesn't say so yet."""
        return delivery_id in self._taken

    async def settle(self, load: Load, done: Sequence[Settled], now: int, *, pace: Pace = Pace.SOON) -> list[Sent]:
        """Write how deliveries stand, with what follows from it; return the reports that are to be sent."""
        for each in done:
            _tell(each)
        aftermath = await self._aftermath(load, done, now)
        calls = [call for each in done for call in self._hooks.of_delivery(load.message, each.delivery)]
        for report in aftermath.reports:
            calls += self._hooks.of_mail(report.message, [report.delivery], [])
        rows = [each.delivery for each in done]
        if aftermath == _NOTHING and not calls:
            await self._persist(Settle(rows), pace)
            ways = []
        else:
            ways = await self._persist(lambda writer: self._change(writer, rows, aftermath, calls, now), pace)
        for each in done:
            self._forget(each.delivery.id)
        return [Sent(report, way) for report, way in zip(aftermath.reports, ways, strict=True)]

    def ends(self, each: Settled) -> bool:
        """Tell whether a delivery is done and nothing follows from it but that its row is written."""
        delivery = each.delivery
        if delivery.state is not State.DELIVERED or self._hooks.listen(delivery.domain_id):
            return False
        return bounce.step(each) is Step.NOTHING

    async def end(self, done: Sequence[Settled]) -> None:
        """Write how deliveries of any mails stand which `ends` was told of."""
        for each in done:
            _tell(each)
        await self._persist(Settle([each.delivery for each in done]), Pace.SOON)
        for each in done:
            self._forget(each.delivery.id)

    async def settle_plainly(self, delivery_id: int) -> None:
        """Settle mail that a next hop has, without what follows: that could not be made."""
        taken = settled(*self._taken[delivery_id], self._clock(), self._settings.queue)
        await self._persist(Settle([taken.delivery]))
        self._forget(delivery_id)

    def noted(self) -> dict[int, Done]:
        """Return what the done log names: settled or not, and of rows that there may be no more."""
        return {note.id: note for note in self._done.read()}

    def recall(self, delivery: Delivery, note: Done) -> None:
        """Note that a next hop had taken a mail when the process was killed, be it held as its row is damaged."""
        self._done.keep(note)
        self._taken[delivery.id] = delivery, note.outcome

    async def replay(self, delivery_id: int) -> list[Sent]:
        """Settle what was recalled (threat 95)."""
        row, outcome = self._taken[delivery_id]
        now = self._clock()
        each = settled(row, outcome, now, self._settings.queue)
        sent = await self.settle(self._freight.reload(row), [each], now, pace=Pace.NOW)
        log.info("delivered before the stop", id=row.mail_id, to=row.recipient, reply=outcome.reply.line)
        return sent

    def trim(self) -> None:
        """Let the done log be as short as it may."""
        self._done.trim()

    def close(self) -> None:
        self._done.close()

    async def _aftermath(self, load: Load, done: Sequence[Settled], now: int) -> Aftermath:
        entries = tuple(hard(load.message, done, now, self._settings.sending.suppress_days))
        if load.message is None or all(bounce.step(each) is Step.NOTHING for each in done):
            return Aftermath(suppressions=entries)
        aftermath = self._bounces.follow(load.message, await self._freight.original(load), done, now)
        return msgspec.structs.replace(aftermath, suppressions=entries)

    def _change(
        self, writer: Writer, rows: Sequence[Delivery], aftermath: Aftermath, calls: Sequence[HookCall], now: int
    ) -> list[Delivery]:
        until = now + self._settings.trace.days * DAY
        ways = bounce.store(writer, aftermath, until)
        if aftermath.events:
            writer.note(rows[0].mail_id, aftermath.events, until)
        enter(writer, aftermath.suppressions)
        for call in calls:
            writer.add(call)
        Settle(rows)(writer)
        return ways

    async def _persist(self, change: Callable[[Writer], T], pace: Pace = Pace.NOW) -> T:
        """Write until it is written: what a next hop has said must not be forgotten. The log hears of it once."""
        while True:
            try:
                written = await self._store.write(change, pace=pace)
            except Problem as problem:
                if problem.kind not in (Kind.FULL, Kind.UNAVAILABLE):
                    raise
                if not self.waits.is_set():
                    self.waits.set()
                    log.error("what became of mails can't be written yet", why=problem.detail)
                await asyncio.sleep(PATIENCE)
            else:
                self.waits.clear()
                return written

    def _forget(self, delivery_id: int) -> None:
        self._taken.pop(delivery_id, None)
        self._done.forget(delivery_id)


def _tell(each: Settled) -> None:
    """One line for each recipient and attempt; its words are Postfix's, so that old tools read it."""
    delivery, outcome = each.delivery, each.outcome
    log.info(
        "delivery",
        id=delivery.mail_id,
        to=delivery.recipient,
        sender=delivery.sender,
        relay=outcome.hop or "none",
        delay=round(max(0, outcome.at + outcome.took - delivery.created) / 1000, 2),
        took=round(outcome.took / 1000, 2),
        dsn=outcome.reply.status,
        status=_STATUS[delivery.state],
        reply=outcome.reply.line,
        **({"doubtful": True} if outcome.doubtful else {}),
    )


_STATUS = {
    State.DELIVERED: "sent",
    State.QUEUED: "deferred",
    State.BOUNCED: "bounced",
    State.EXPIRED: "expired",
}
