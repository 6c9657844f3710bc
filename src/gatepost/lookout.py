"""Looks at the clock for those who wait: one timer, seldom set, where each wait would set its own and take it back."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Hashable
from itertools import takewhile
from math import inf
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what some work comes to; raise TimeoutError after `seconds`. What waits for nothing has no timer."""
    try:
        awaited = work.send(None)
    except StopIteration as ended:
        return cast("T", ended.value)
    async with asyncio.timeout(seconds):
        return await _Begun(work, awaited)


class _Begun(Generator[Any, Any, T]):
    """Work that waits for something already, to go on with as `await` does."""

    def __init__(self, work: Coroutine[Any, Any, T], awaited: object) -> None:
        self._work = work
        self._awaited = [awaited]

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: object) -> Any:
        return self._awaited.pop() if self._awaited else self._work.send(value)

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)


class Lookout:
    """Calls `look` with the time, when it was asked to at the latest; it returns when to look again, `inf` for never.

    It may be called too early, for what was asked before: it sees for itself whose time is over. Times are the loop's,
    in seconds.
    """

    __slots__ = ("_look", "_next", "_timer", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, look: Callable[[float], float]) -> None:
        self.loop = loop
        self._look = look
        self._next = inf
        self._timer: asyncio.TimerHandle | None = None

    def by(self, due: float) -> None:
        """See to it that somebody looks by then."""
        if due < self._next:
            self._stop()
            self._next = due
            self._timer = self.loop.call_at(due, self._wake)

    def end(self) -> None:
        """Look no more, whoever asks, and let go of who looked: where he holds this, he needs no collector to go."""
        self._stop()
        self._next = -inf
        self._look = _never

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self._next = inf
        self.by(self._look(self.loop.time()))


class Term(Generic[K]):
    """Calls `over` with each of those who were added and are still there after `seconds`, as the loop counts them.

    The same time for all: they stand in the order in which it ends.
    """

    __slots__ = ("_lookout", "_over", "_seconds", "_there")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, over: Callable[[K], object]) -> None:
        self._seconds = seconds
        self._over = over
        self._there: dict[K, float] = {}  # until when
        self._lookout = Lookout(loop, self._look)

    def add(self, who: K) -> None:
        self._there[who] = due = self._lookout.loop.time() + self._seconds
        self._lookout.by(due)

    def drop(self, who: K) -> None:
        """Forget somebody; he may be gone already."""
        self._there.pop(who, None)

    def _look(self, now: float) -> float:
        for who, _ in list(takewhile(lambda each: each[1] <= now, self._there.items())):
            if self._there.pop(who, None) is not None:
                self._over(who)
        return next(iter(self._there.values()), inf)


def _never(now: float) -> float:
    return inf
