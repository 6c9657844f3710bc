"""Readers killed under load: no acknowledged mail is lost, and none that nobody looked into is passed on."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.daemon import Served
from tests.faults.test_serve_kill import loaded
from tests.faults.traced import attach
from tests.pace import PATIENCE

pytestmark = pytest.mark.anyio

ANSWERS = "write,writev,sendto,sendmsg"  # the calls by which a reader answers; the first says that it is ready


def readers(pid: int) -> Iterator[int]:
    """Yield the processes of a daemon's readers."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"gatepost.mta.reader" in (stat.parent / "cmdline").read_bytes():
                yield int(stat.parent.name)


async def another(served: Served, killed: set[int]) -> int:
    """Wait for the next reader."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if found := set(readers(served.pid)) - killed:
                return found.pop()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "points",
    [
        pytest.param((1, 40), marks=pytest.mark.conformance),
        pytest.param((1, 2, 10, 40, 150), marks=pytest.mark.soak),
    ],
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one processor there are no readers")
async def test_readers_that_are_killed_under_load_cost_no_mail_and_let_none_pass_unseen(
    tmp_path: Path, points: tuple[int, ...]
) -> None:
    killed: set[int] = set()
    async with loaded(tmp_path, clients=40, more="[filters]\nreaders = 1\n") as (served, house, load):
        for number in points:
            pid = await another(served, killed)
            tracer = attach(pid, f"{ANSWERS}:signal=SIGKILL:when={number}")
            await asyncio.to_thread(tracer.communicate, timeout=PATIENCE)
            killed.add(pid)
        await another(served, killed)
        assert await asyncio.to_thread(served.stop) == 0
        await load.end()
        said = served.log_text()
        assert said.count("reader failed") == len(points)
        assert "the reader died over the mail" in said
        assert await house.compare() == 0
