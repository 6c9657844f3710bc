"""86: the clock leaps ahead or is set back under a running relay."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.faults import mails
from tests.house import House, living
from tests.peers.sink import Sink

from gatepost.model.query import All, Query
from gatepost.model.stored import Copy, Delivery, State
from gatepost.model.tls_reports import PolicyType, TlsResult
from gatepost.mta.sweep import DOUBT, Sweep

pytestmark = pytest.mark.anyio

DAY = 86_400_000
HOUR = DAY // 24
LEAP = 400 * DAY


def states(house: House) -> set[State]:
    return {row.state for row in house.store.reader.find(Delivery, Query()).items}


def kept(house: House) -> int:
    return house.store.reader.count(Copy, All(()))


async def try_all(house: House) -> None:
    """Have everything tried now, and wait until it was."""
    await house.gatepost.queue.moves.flush()
    await house.gatepost.queue.idle()


async def test_86_a_leap_ahead_purges_nothing_in_the_pass_that_sees_it(tmp_path: Path) -> None:
    async with living(tmp_path) as house:
        assert (await house.send(mails.raw(4), mails.BOB)).code == 250
        assert await house.gatepost.sweep.run() == 0
        before = kept(house)
        house.clock.now += LEAP
        assert await house.gatepost.sweep.run() == 0
        assert kept(house) == before > 0
        house.clock.now -= LEAP
        assert await house.gatepost.sweep.run() == 0
        assert kept(house) == before


class Timer:
    """The clock that never leaps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@contextlib.asynccontextmanager
async def sweeping(house: House, timer: Timer) -> AsyncIterator[Sweep]:
    """Begin a sweep as a start of the relay does; it purges when it is asked to."""
    metrics = house.gatepost.metrics
    sweep = Sweep(house.store, period=1e9, audit_days=9999, clock=house.clock, metrics=metrics, monotonic=timer)
    await sweep.start()
    try:
        yield sweep
    finally:
        await sweep.stop()


async def test_86_a_clock_set_right_late_purges_what_is_due_by_its_stored_time(tmp_path: Path) -> None:
    timer = Timer()
    async with living(tmp_path) as house, sweeping(house, timer) as sweep:
        assert (await house.send(mails.raw(4), mails.BOB)).code == 250
        folders = {copy.folder: copy.expires_at for copy in house.copies()}
        await sweep.run()
        house.clock.now = folders["Quarantine"]
        assert await sweep.run() == 0
        timer.seconds += DOUBT - 1
        assert await sweep.run() == 0
        timer.seconds += 1
        await sweep.run()  # the clock has stayed where it is: it is believed
        assert {copy.folder for copy in house.copies()} == {"Archive"}
        house.clock.now += HOUR
        assert await sweep.run() == 0


async def test_86_a_start_by_a_clock_that_is_ahead_purges_nothing(tmp_path: Path) -> None:
    """A server whose clock has no battery gets the time by the network, after the services have begun."""
    async with living(tmp_path) as house:
        assert (await house.send(mails.raw(4), mails.BOB)).code == 250
        await house.gatepost.sweep.run()
        before = kept(house)
        for leap in (LEAP, -LEAP):
            house.clock.now += leap
            async with sweeping(house, Timer()) as sweep:
                assert await sweep.run() == 0
                assert kept(house) == before > 0


async def test_86_a_start_by_a_clock_that_is_behind_is_not_remembered(tmp_path: Path) -> None:
    """Else the right time, when it comes, is the one that is not believed, and what TLS came to lately is gone."""
    async with living(tmp_path) as house:
        today = house.clock.now // DAY
        await house.add(TlsResult(day=today, domain="far.example", policy_type=PolicyType.STS, count=1))
        await house.gatepost.sweep.run()
        right = house.store.reader.noted("purged")
        house.clock.now -= LEAP
        async with sweeping(house, Timer()) as sweep:
            await sweep.run()
        assert house.store.reader.noted("purged") == right
        assert house.store.reader.count(TlsResult, All(())) == 1


async def test_86_a_mail_that_came_by_a_clock_that_was_ahead_has_no_longer_a_life(tmp_path: Path) -> None:
    sink = Sink({"MAIL": "451 4.3.0 later"})
    async with living(tmp_path, sink=sink) as house:
        house.clock.now += LEAP
        assert (await house.send(mails.raw(1), mails.BOB)).code == 250
        await try_all(house)
        house.clock.now -= LEAP
        await try_all(house)
        (row,) = house.store.reader.find(Delivery, Query()).items
        assert row.expires <= house.clock.now + house.gatepost.settings.queue.life * 1000


async def test_86_a_life_is_not_shortened_by_a_clock_that_leaps_and_stays(tmp_path: Path) -> None:
    sink = Sink({"MAIL": "451 4.3.0 later"})
    async with living(tmp_path, sink=sink) as house:
        assert (await house.send(mails.raw(1), mails.BOB)).code == 250
        await try_all(house)
        house.clock.now += LEAP
        for _ in range(5):
            await try_all(house)
            assert states(house) == {State.QUEUED}
            house.clock.now += DAY
        await try_all(house)
        assert states(house) == {State.EXPIRED}


@pytest.mark.parametrize("leap", [LEAP, -DAY, HOUR], ids=["400 days", "a day back", "an hour"])
async def test_86_a_leap_gives_no_queued_mail_up(tmp_path: Path, leap: int) -> None:
    sink = Sink({"MAIL": "451 4.3.0 later"})
    async with living(tmp_path, sink=sink) as house:
        assert (await house.send(mails.raw(1), mails.BOB)).code == 250
        await try_all(house)
        house.clock.now += leap
        await try_all(house)
        assert states(house) == {State.QUEUED}
        sink.script.clear()
        await try_all(house)
        assert states(house) == {State.DELIVERED}
        assert len(sink.mails) == 1
