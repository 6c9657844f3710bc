"""One timer for many waits."""

import asyncio
import gc
import weakref
from math import inf

import pytest

from gatepost.lookout import Lookout

pytestmark = pytest.mark.anyio


async def test_it_looks_by_the_nearest_time_and_again_when_it_is_told() -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    asked = [loop.time() + 0.03, loop.time() + 0.01]
    seen: list[float] = []

    def look(now: float) -> float:
        seen.append(now)
        late = [due for due in asked if now < due]
        if not late:
            over.set()
        return min(late, default=inf)

    lookout = Lookout(loop, look)
    for due in asked:
        lookout.by(due)
    await over.wait()
    assert len(seen) >= 2
    assert seen[-1] >= max(asked)


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
