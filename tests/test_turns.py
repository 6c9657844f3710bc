"""What takes long gives way, in the loop and in a thread beside it; nothing is left out or put elsewhere by that."""

import asyncio
import ctypes
import itertools
import sys
import threading

import pytest

from gatepost.model.query import Page
from gatepost.turns import in_turns, paced, shown

pytestmark = pytest.mark.anyio

SET_TIMERSLACK, GET_TIMERSLACK = 29, 30  # prctl(2)


def test_pacing_changes_neither_items_nor_order() -> None:
    assert list(paced(range(20_000))) == list(range(20_000))
    assert list(paced([])) == []


def test_a_thread_lets_go_of_the_interpreters_lock() -> None:
    """Where the interpreter itself would take the lock away after an hour alone."""
    started, ended = threading.Event(), threading.Event()

    def work() -> None:
        for number in paced(itertools.count()):
            if number == 1000:
                started.set()
            if ended.is_set():
                return

    before = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        ended.set()
        thread.join()
    finally:
        sys.setswitchinterval(before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux draws sleeps out")
def test_a_thread_that_rests_is_woken_in_time() -> None:
    libc, found = ctypes.CDLL(None), []

    def work() -> None:
        libc.prctl(SET_TIMERSLACK, ctypes.c_ulong(50_000), 0, 0, 0)  # as each thread has it, which may inherit another
        found.append(libc.prctl(GET_TIMERSLACK, 0, 0, 0, 0))
        list(paced(range(2)))
        found.append(libc.prctl(GET_TIMERSLACK, 0, 0, 0, 0))

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [50_000, 1000] * 2


async def test_the_loop_does_other_work_between_turns() -> None:
    other = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(other.set_result, None)
    async for _ in in_turns(itertools.count()):
        if other.done():
            return


async def test_a_page_is_shown_whole() -> None:
    page = await shown(Page(list(range(10_000)), 70_000), str)
    assert page.items == [str(number) for number in range(10_000)]
    assert page.total == 70_000
