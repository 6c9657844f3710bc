"""Turns: what takes long gives way to mail again and again, in the loop and in threads that share a lock with it."""

import asyncio
import ctypes
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TypeVar

from gatepost.model.query import Page

T = TypeVar("T")
V = TypeVar("V")

TURN = 0.00003  # seconds after which another has his turn
REST = 0.00005  # seconds that a thread lets go of the interpreter's lock: shorter, nobody wakes in time to take it

_SET_TIMERSLACK = 29  # prctl(2)
_SLACK = 1000  # nanoseconds
_prctl = getattr(ctypes.CDLL(None), "prctl", None)
_thread = threading.local()


def _be_punctual() -> None:
    """Have this thread's rests end when they are over; Linux else draws them out by up to 50 us. No prctl: nothing."""
    if not hasattr(_thread, "punctual"):
        _thread.punctual = _prctl is not None and _prctl(_SET_TIMERSLACK, ctypes.c_ulong(_SLACK), 0, 0, 0) == 0


def hurry() -> None:
    """Have nothing give way any more: for a process in which nobody waits for another."""
    global TURN
    TURN = math.inf


def paced(items: Iterable[T]) -> Iterator[T]:
    """Yield items in a thread beside the loop, which without the pauses would wait 5 ms for each turn of its own."""
    _be_punctual()
    end = time.perf_counter() + TURN
    for item in items:
        if time.perf_counter() >= end:
            time.sleep(REST)
            end = time.perf_counter() + TURN
        yield item


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield items in the loop, to whose other work each turn gives way."""
    end = time.perf_counter() + TURN
    for item in items:
        if time.perf_counter() >= end:
            await asyncio.sleep(0)
            end = time.perf_counter() + TURN
        yield item


async def shown(page: Page[T], show: Callable[[T], V]) -> Page[V]:
    """Return what callers see of a page, made in turns in the loop."""
    return Page([show(item) async for item in in_turns(page.items)], page.total)
