"""77, 95: killed at any moment, at any call that writes, no acknowledged mail is lost and few come twice."""

import random
import shutil
from pathlib import Path

import pytest
from tests.faults.killer import CALLS, DRAIN, NUMBERS, House, script
from tests.faults.small import Line
from tests.pace import slowness
from tests.peers.sink import Sink

pytestmark = pytest.mark.anyio

# At each of these calls, counted by each thread for itself. A run makes twice as many, or more: how many it is depends
# on what is committed together.
POINTS = {
    "pwrite64": range(1, 481, 3),
    "write": range(1, 106),
    "fdatasync": range(1, 23),
    "fsync": range(1, 8),
    "rename": range(1, 3),
    "unlink": range(1, 3),
    "ftruncate": range(1, 3),
}
EVERY = [(call, number) for call in CALLS for number in POINTS[call]]
TRIES = 5


def long(turn: int) -> list[Line]:
    """A script twice as long; its numbers differ from turn to turn."""
    return [*script(2 * turn * NUMBERS), *script((2 * turn + 1) * NUMBERS)]


def test_the_points_are_300_and_every_call_is_among_them() -> None:
    """Rules 31."""
    assert len(EVERY) == 300
    assert {call for call, _ in EVERY} == set(CALLS)


@pytest.mark.conformance  # strace
@pytest.mark.parametrize(("call", "number"), EVERY)
async def test_77_a_kill_at_each_of_many_calls_loses_nothing(house: House, call: str, number: int) -> None:
    for turn in range(TRIES):  # now and then much is committed together, and no thread makes so many
        if await house.walk(long(turn), inject=f"{call}:signal=SIGKILL:when={number}") == -9:
            break
    assert house.kills == 1, f"no thread of {TRIES} runs makes {number} calls of {call}"
    await house.compare()


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", CALLS)
async def test_77_a_kill_at_every_single_call_loses_nothing(furnished: Path, tmp_path: Path, call: str) -> None:
    for number in range(1, 2000):
        directory = tmp_path / str(number)
        shutil.copytree(furnished, directory)
        async with Sink() as sink:
            house = House(directory, sink)
            code = await house.walk(script(), inject=f"{call}:signal=SIGKILL:when={number}")
            await house.compare()
        shutil.rmtree(directory)
        if code == 0:
            assert number > max(POINTS[call]) / 2
            return
    raise AssertionError("it never came to its end")


@pytest.mark.conformance  # strace
@pytest.mark.parametrize("call", ["pwrite64", "write", "fdatasync"])
async def test_77_a_kill_in_the_restart_after_a_kill_loses_nothing(house: House, call: str) -> None:
    assert await house.walk(script(), inject="pwrite64:signal=SIGKILL:when=150") == -9
    assert await house.walk(DRAIN, inject=f"{call}:signal=SIGKILL:when=2") == -9
    await house.compare()


@pytest.mark.parametrize(
    "kills", [3, pytest.param(30, marks=pytest.mark.conformance), pytest.param(300, marks=pytest.mark.soak)]
)
async def test_77_killed_again_and_again_at_any_moment_it_goes_on_where_it_was(house: House, kills: int) -> None:
    chance = random.Random(kills)
    for turn in range(kills):
        await house.walk(script(turn * NUMBERS), after=chance.uniform(0.03, 0.5))
    again = await house.compare()
    assert house.kills > 0
    assert again <= house.kills * NUMBERS


async def test_without_a_kill_every_mail_comes_once_and_nothing_is_left_over(house: House) -> None:
    assert await house.walk(script()) == 0
    assert house.story.closed and not house.story.failed
    assert len(house.story.done["accept"]) == 15 and len(house.story.done["release"]) == 4
    assert await house.compare() == 0


@pytest.mark.conformance
async def test_the_small_process_starts_within_three_tenths_of_a_second(house: House) -> None:
    """Rules 31: of a processor's time, the best of a few."""
    starts = []
    for _ in range(3):
        assert await house.walk(()) == 0
        starts.append(house.story.started)
    assert min(starts) < 0.3 * slowness()
