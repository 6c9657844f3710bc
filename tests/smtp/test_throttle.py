"""The counters behind the limits, by themselves."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.house import StillClock

from gatepost.settings import Limits
from gatepost.smtp import replies
from gatepost.smtp.throttle import TEN_MINUTES, Awaits, Budget, Share, Throttle, Watch, Window, bare_ip, peer_key

pytestmark = pytest.mark.anyio


def limits(**fields: object) -> Limits:
    return msgspec.convert(fields, Limits)


def test_an_address_counts_in_one_form() -> None:
    assert bare_ip("::ffff:192.0.2.1") == "192.0.2.1"
    assert bare_ip("fe80::1%eth0") == "fe80::1"
    assert peer_key("192.0.2.1") == "192.0.2.1"
    assert peer_key("2001:db8::1") == peer_key("2001:db8::ffff:1") != peer_key("2001:db8:0:1::1")


def test_connections_of_one_peer_are_counted_and_forgotten() -> None:
    """Threat 16: an IPv6 network is one peer."""
    throttle = Throttle(limits(connections_per_ip=2), StillClock())
    assert throttle.claim("2001:db8::1") is None
    assert throttle.claim("2001:db8::2") is None
    assert throttle.claim("2001:db8::3") is replies.TOO_MANY_OF_YOU
    assert throttle.claim("192.0.2.1") is None
    throttle.release("2001:db8::2")
    assert throttle.claim("2001:db8::3") is None
    for ip in ("2001:db8::1", "2001:db8::3", "192.0.2.1"):
        throttle.release(ip)
    assert throttle._here == {}


def test_new_connections_of_one_peer_within_a_minute_are_counted_though_the_former_ones_are_closed() -> None:
    clock = StillClock()
    throttle = Throttle(limits(connections_per_minute=2), clock)
    for _ in range(2):
        assert throttle.claim("192.0.2.1") is None
        throttle.release("192.0.2.1")
    assert throttle.claim("192.0.2.1") is replies.TOO_MANY_OF_YOU
    assert throttle.claim("192.0.2.2") is None
    clock.now += 60_000
    assert throttle.claim("192.0.2.1") is None


def test_a_harvest_is_remembered_for_ten_minutes() -> None:
    """Threat 39."""
    clock = StillClock()
    throttle = Throttle(limits(), clock)
    assert throttle.drag("192.0.2.1") == 0
    for _ in range(9):
        throttle.harvested("192.0.2.1")
    assert throttle.drag("192.0.2.1") == 5.0
    assert throttle.drag("192.0.2.2") == 0
    clock.now += TEN_MINUTES
    assert throttle.drag("192.0.2.1") == 0


def test_a_clock_that_is_set_back_ends_a_window_86() -> None:
    """Else who had guessed too often would be locked out until the clock has caught up."""
    clock = StillClock()
    window = Window(clock)
    for _ in range(10):
        window.add("192.0.2.1")
    clock.now -= 86_400_000
    assert window.count("192.0.2.1") == 0
    window.add("192.0.2.1")
    assert window.count("192.0.2.1") == 1


def test_a_window_forgets_the_oldest_peer_first() -> None:
    window = Window(StillClock(), peers=2)
    for key in ("a", "b", "a", "c"):
        window.add(key)
    assert [window.count(key) for key in ("a", "b", "c")] == [2, 0, 1]


async def test_the_budget_serves_in_order() -> None:
    """Threat 90."""
    budget = Budget(10)
    assert await budget.take(6, 1) == 6
    first = asyncio.create_task(budget.take(8, 1))
    second = asyncio.create_task(budget.take(2, 1))
    await asyncio.sleep(0)
    assert not budget.more(1)  # nobody overtakes
    budget.give(6)
    assert (await first, await second) == (8, 2)
    assert budget.free == 0


async def test_who_gives_up_waiting_takes_nothing() -> None:
    budget = Budget(10)
    await budget.take(10, 1)
    with pytest.raises(TimeoutError):
        await budget.take(5, 0.01)
    waiting = asyncio.create_task(budget.take(10, 1))
    await asyncio.sleep(0)
    budget.give(10)
    waiting.cancel()  # in the very turn in which it was served
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.free == 10


async def test_nobody_asks_for_more_than_there_is() -> None:
    budget = Budget(10)
    assert await budget.take(1000, 1) == 10


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=20))
def test_a_budget_is_whole_again_when_all_shares_are_given_back(mails: list[tuple[int, int]]) -> None:
    async def run() -> None:
        budget = Budget(100)
        for declared, size in mails:
            share = Share(budget, 20)
            await share.claim(declared, 1)
            for reached in range(0, size, 7):
                assert share.grow(reached) or reached > 20
                assert reached > 20 or 100 - budget.free >= reached
                assert 80 <= budget.free <= 100
            share.release()
            share.release()
        assert budget.free == 100

    asyncio.run(run())


def test_patience_with_commands_data_and_the_house() -> None:
    """Threat 15."""
    watch = Watch(limits(idle=300, session=3600, min_data_rate=500), 60.0, 0.0)
    assert watch.late(299.9) is None
    assert watch.late(300.0) is replies.TOO_IDLE
    watch.turn(Awaits.DATA, 3500.0)
    watch.heard(30_000)
    assert watch.late(3560.0) is None  # enough
    watch.heard(29_999)
    assert watch.late(3620.0) is replies.TOO_SLOW
    watch.rest()
    assert watch.late(10_000.0) is None
    watch.turn(Awaits.COMMAND, 10_001.0)
    assert watch.late(10_001.0) is replies.TOO_LONG_HERE
