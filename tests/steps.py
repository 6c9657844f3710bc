"""Counts work instead of time: a busy machine does not change how many lines of Python are run."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from gatepost.message.hosts import has_suffix


def steps(act: Callable[[], object]) -> int:
    """Return how many lines an act runs in this thread, those of all that it calls included."""
    has_suffix("any.example")  # reads the list of public suffixes, which each process does once
    count = 0

    def trace(frame: FrameType, event: str, value: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count
