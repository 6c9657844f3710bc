"""Background loops that end are told of, and faults outside."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gatepost.events import Alarms, Metrics, briefly, keep

pytestmark = pytest.mark.anyio


async def test_a_loop_that_ends_by_itself_is_told_of_and_begins_again_and_a_stopped_one_does_not() -> None:
    begun = 0
    third = asyncio.Event()

    async def fails() -> None:
        nonlocal begun
        begun += 1
        if begun == 3:
            third.set()
            await asyncio.Event().wait()
        raise OSError("of its own making")

    with capture_logs() as logs:
        failing = keep(fails, "failing", again=0.0)
        waiting = keep(asyncio.Event().wait, "waiting")
        await third.wait()
        for task in (failing, waiting):
            task.cancel()
        await asyncio.wait([failing, waiting])
    assert failing.cancelled() and waiting.cancelled() and begun == 3
    assert [(line["event"], line["loop"]) for line in logs] == [("a background loop ended", "failing")] * 2


async def test_a_loop_begins_again_where_what_it_waited_for_was_broken_off() -> None:
    shared = asyncio.get_running_loop().create_future()
    begun, again = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        if not begun.is_set():
            begun.set()
            await shared
        again.set()
        await asyncio.Event().wait()

    with capture_logs() as logs:
        waiting = keep(waits, "waiting", again=0.0)
        await begun.wait()
        shared.cancel()
        await asyncio.wait([waiting, asyncio.create_task(again.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert again.is_set()
        waiting.cancel()
        await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert [line["event"] for line in logs] == ["a background loop ended"]


async def test_what_takes_too_long_is_broken_off_and_told_of() -> None:
    done: list[str] = []

    async def lasts(*, ends: bool) -> None:
        if not ends:
            await asyncio.Event().wait()
        done.append("ended")

    with capture_logs() as logs:
        await briefly(lasts(ends=True), 5.0)
        await briefly(lasts(ends=False), 0.0)
    assert done == ["ended"]
    assert [line["event"] for line in logs] == ["broken off"]


async def test_an_alarm_counts_each_time_and_is_logged_once_in_a_while() -> None:
    times = iter((1_000_000, 1_000_001, 1_700_000, 1_700_001))
    metrics = Metrics()
    alarms = Alarms(metrics, lambda: next(times))
    with capture_logs() as lines:
        for _ in range(3):
            alarms.tell("zen.test", "refused", "it refuses")
        alarms.tell("zen.test", "foreign", "it is parked")
    assert [(line["source"], line["why"]) for line in lines] == [
        ("zen.test", "refused"),
        ("zen.test", "refused"),
        ("zen.test", "foreign"),
    ]
    labels = {"source": "zen.test", "why": "refused"}
    assert metrics.registry.get_sample_value("gatepost_alarms_total", labels) == 3


async def test_86_an_alarm_is_logged_when_the_clock_was_set_back() -> None:
    times = iter((1_700_000_000, 1_000_000))
    alarms = Alarms(Metrics(), lambda: next(times))
    with capture_logs() as lines:
        for _ in range(2):
            alarms.tell("zen.test", "refused", "it refuses")
    assert len(lines) == 2


def test_durations_are_counted_up_to_each_bound_and_summed_up() -> None:
    metrics = Metrics()
    seconds = metrics.scan_seconds.labels("score")
    for each in (0.0, 0.005, 0.006, 0.5, 11.0):
        seconds.observe(each)
    assert metrics.scan_seconds.labels("score") is seconds

    def counted(name: str, **labels: str) -> float | None:
        labels["filter"] = "score"
        return metrics.registry.get_sample_value(f"gatepost_scan_duration_seconds_{name}", labels)

    bounds = {"0.005": 2, "0.01": 3, "0.25": 3, "0.5": 4, "10.0": 4, "+Inf": 5}
    assert {bound: counted("bucket", le=bound) for bound in bounds} == bounds
    assert (counted("count"), counted("sum")) == (5, 11.511)
