"""One change on its way into the store: how long it may wait, who waits for it, and what came of it."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum, auto
from types import TracebackType
from typing import Generic, TypeVar

from gatepost.store.writer import Writer

T = TypeVar("T")


class Pace(Enum):
    """How long a change may wait."""

    NOW = auto()
    TOGETHER = auto()  # until no other of its kind is near, where the last commit had several of them
    SOON = auto()  # somebody else's commit takes it along, or its own a moment later
    SLOW = auto()  # until no other change waits


class Caught:
    """`with caught:` keeps what is raised, however bad."""

    error: BaseException | None = None

    def __enter__(self) -> "Caught":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self.error = error
        return error is not None


GATHERED = frozenset({Pace.TOGETHER, Pace.SOON})


class Item(Caught, Generic[T]):
    """One change on its way; what it raises is for who waits."""

    def __init__(
        self,
        change: Callable[[Writer], T],
        waiter: "asyncio.Future[T] | Future[T]",
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        pace: Pace = Pace.NOW,
    ) -> None:
        self.change = change
        self.waiter = waiter
        self.loop = loop  # whose thread the waiter must be settled in; None: any
        self.pace = pace
        self.result: T | None = None
        self.touched = False
        self.stirred = False
        self._taken = threading.Lock()

    def take(self) -> bool:
        """Claim the item: True for the first who asks, be it the writer or one who won't wait any longer."""
        return self._taken.acquire(blocking=False)

    def settle(self) -> None:
        """Hand over the outcome."""
        if self.waiter.cancelled():
            return
        if self.error is not None:
            self.waiter.set_exception(self.error)
        else:
            self.waiter.set_result(self.result)  # type: ignore[arg-type]
