"""How a process of ours runs: on the fastest loop at hand, with few collections of garbage and a heap that is kept."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

GARBAGE = 20_000  # objects after which cycles are looked for; Python's own 700 are made by every mail

# What glibc is told (mallopt(3)): by its own lights it gives the top of the heap back after most mails, and takes it
# again for the next one, page by page.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_HEAP = {_TRIM_THRESHOLD: 32 << 20, _TOP_PAD: 1 << 20, _MMAP_THRESHOLD: 1 << 20}


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes uvloop's loops, where it is installed."""
    try:
        import uvloop
    except ImportError:  # no wheel for this system; asyncio's own loop does the same, slower
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def hold_the_standard_files() -> None:
    """Open the null device in the place of those that whoever started us has closed.

    Else a connection or a file of the store got such a number: a word that is printed would go into it, and libuv ends
    the process where it is closed.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def loaded(name: str) -> ModuleType:
    """Import a module, and look for no garbage meanwhile, nor ever in what it made: nearly all of that stays."""
    if name not in sys.modules and gc.isenabled():
        gc.disable()
        try:
            import_module(name)
        finally:
            gc.freeze()
            gc.enable()
    return import_module(name)


def spare_the_collector() -> None:
    """Leave what was made at the start out of garbage collection, and collect less often: mails make few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


def keep_the_heap() -> None:
    """Let up to 32 MB of free heap stay with the process; larger blocks go back at once. Without glibc: nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _HEAP.items():
            mallopt(option, value)
