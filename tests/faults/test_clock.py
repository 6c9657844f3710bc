"""86: the clock leaps ahead or is set back under a running relay."""

from pathlib import Path

import pytest
from tests.faults import mails
from tests.house import House, living
from tests.peers.sink import Sink

from gatepost.model.query import All, Query
from gatepost.model.stored import Copy, Delivery, State

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


async def test_86_a_clock_set_right_late_purges_what_is_due_by_its_stored_time(tmp_path: Path) -> None:
    async with living(tmp_path) as house:
        assert (await house.send(mails.raw(4), mails.BOB)).code == 250
        folders = {copy.folder: copy.expires_at for copy in house.copies()}
        house.clock.now = folders["Quarantine"]
        await house.gatepost.sweep.run()
        await house.gatepost.sweep.run()  # the clock stays where it is: it is believed
        assert {copy.folder for copy in house.copies()} == {"Archive"}


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
