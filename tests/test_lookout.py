"""One timer for many waits."""

import asyncio
import gc
import weakref
from math import inf
from typing import Any

import pytest

from gatepost.lookout import Lookout, Term, within

pytestmark = pytest.mark.anyio


async def test_it_looks_by_the_nearest_time_and_again_when_it_is_told() -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    seen: list[float] = []

    def look(now: float) -> float:
        seen.append(now)
        if len(seen) == 1:
            return now + 0.01
        over.set()
        return inf

    lookout = Lookout(loop, look)
    soon = loop.time() + 0.01
    for due in (soon + 3600, soon, soon + 1800):
        lookout.by(due)
    await over.wait()
    assert len(seen) == 2


async def test_it_looks_no_more_after_its_end() -> None:
    loop = asyncio.get_running_loop()
    seen: list[float] = []

    def look(now: float) -> float:
        seen.append(now)
        ending.end()
        over.set()
        return now

    over = asyncio.Event()
    ended = Lookout(loop, look)
    ended.by(loop.time())
    ended.end()
    ended.by(loop.time())
    ending = Lookout(loop, look)
    ending.by(loop.time())
    await over.wait()
    ending.by(loop.time())
    after = asyncio.Event()
    loop.call_later(0.01, after.set)
    await after.wait()
    assert len(seen) == 1


async def test_who_looked_goes_without_the_collector_once_it_ended() -> None:
    """A session holds its lookout, and the lookout the session's method: each mail would leave a circle behind."""

    class Waiting:
        def __init__(self) -> None:
            self.lookout = Lookout(asyncio.get_running_loop(), self.look)

        def look(self, now: float) -> float:
            return inf

    waiting = Waiting()
    waiting.lookout.by(asyncio.get_running_loop().time() + 60)
    gone = weakref.ref(waiting)
    gc.disable()
    try:
        waiting.lookout.end()
        del waiting
        assert gone() is None
    finally:
        gc.enable()


class Loop(asyncio.SelectorEventLoop):
    """Counts the timers that are set."""

    timers = 0

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **kwargs)


def test_work_that_waits_for_nothing_has_no_timer() -> None:
    async def work() -> str:
        return "done"

    async def failing() -> str:
        raise ValueError("no")

    async def ask(loop: Loop) -> None:
        assert await within(9.0, work()) == "done"
        with pytest.raises(ValueError, match="no"):
            await within(9.0, failing())
        assert loop.timers == 0

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(ask(runner.get_loop()))  # type: ignore[arg-type]  # it is ours


async def test_work_that_waits_goes_on_to_its_end() -> None:
    async def work(queue: asyncio.Queue[int]) -> list[int]:
        found = [await queue.get(), await queue.get()]
        try:
            await asyncio.wait_for(queue.get(), 0.001)
        except TimeoutError:
            return found
        return []

    queue: asyncio.Queue[int] = asyncio.Queue()
    asked = asyncio.create_task(within(30.0, work(queue)))
    await asyncio.sleep(0)
    queue.put_nowait(1)
    await asyncio.sleep(0)
    queue.put_nowait(2)
    assert await asked == [1, 2]


async def test_work_that_takes_too_long_is_broken_off_where_it_waits() -> None:
    met: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            met.append("broken off")
            raise

    with pytest.raises(TimeoutError):
        await within(0.001, work())
    task = asyncio.create_task(within(30.0, work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert met == ["broken off"] * 2


async def test_a_term_ends_for_who_is_still_there_in_the_order_in_which_they_came() -> None:
    loop = asyncio.get_running_loop()
    over: list[str] = []
    last = asyncio.Event()

    def ended(who: str) -> None:
        over.append(who)
        term.drop("fourth")
        if who == "sixth":
            last.set()
        elif who == "fifth":
            term.add("sixth")

    term = Term(loop, 0.01, ended)
    for who in ("first", "second", "third", "fourth", "fifth"):
        term.add(who)
    term.drop("second")
    term.drop("nobody")
    await last.wait()
    assert over == ["first", "third", "fifth", "sixth"]
