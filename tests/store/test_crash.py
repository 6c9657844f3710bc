"""77, 84: killed at any moment, at any call that writes, the store opens whole and holds all that was acknowledged."""

import os
import random
import select
import subprocess
from pathlib import Path

import pytest
from tests.store import crash
from tests.store.samples import open_store

# At each of these calls, so many of them by one thread: while a store is made, and while one that is there works. How
# many a run makes is measured below.
MAKING = {"pwrite64": [1, 8, 60, 140, 300, 450], "fdatasync": [1, 10, 20], "fsync": [1, 2], "mkdir": [2, 4]}
WORK = {
    "pwrite64": [1, 8, 30, 60, 100, 150, 200, 260, 300, 340, 380, 420],
    "fdatasync": [1, 3, 6, 10, 15, 17, 19, 21, 23],
    "write": [1, 4, 9, 14, 30],
    "fsync": [1, 2, 3, 5, 8],
    "rename": [1, 3],
    "unlink": [1, 2],
    "ftruncate": [1],
}
POINTS = {False: MAKING, True: WORK}  # by whether the store is there already
EVERY = [
    (there, call, number) for there, calls in POINTS.items() for call, numbers in calls.items() for number in numbers
]
TRIES = 5
KILLS = int(os.environ.get("GATEPOST_KILLS", "1"))  # random kills of the fast suite; `make soak` asks for more


@pytest.mark.conformance  # strace
@pytest.mark.parametrize(("there", "call", "number"), EVERY)
def test_77_a_kill_at_a_call_that_writes_loses_nothing(tmp_path: Path, call: str, number: int, *, there: bool) -> None:
    directory, said = killed_at(tmp_path, call, number, there=there)
    crash.compare(directory, said)
    crash.compare(directory, said)  # and once more after the first restart


def killed_at(folder: Path, call: str, number: int, *, there: bool) -> tuple[Path, str]:
    """Kill a worker at a call; return its store and what it said.

    The spool's threads share their calls out among them as it falls, now and then so that none of them makes so many.
    """
    for attempt in range(TRIES):
        directory = folder / str(attempt)
        if there:
            open_store(directory).close_sync()
        code, said = crash.under_strace(directory, f"{call}:signal=SIGKILL:when={number}")
        if "closed" not in said:
            assert code != 0
            return directory, said
        crash.compare(directory, said)
    raise AssertionError(f"no thread of {TRIES} runs makes {number} calls of {call}")


@pytest.mark.parametrize("seed", range(KILLS))
def test_77_killed_again_and_again_it_goes_on_where_it_was(directory: Path, seed: int) -> None:
    chance = random.Random(seed)
    said = ""
    for first in (1, 1001, 2001):
        said += killed_after(directory, first, chance.randint(0, 60))
        kept = crash.compare(directory, said)
    assert kept > 0


def killed_after(directory: Path, first: int, lines: int) -> str:
    """Run the worker, kill it a moment after so many lines."""
    worker = subprocess.Popen(
        crash.command(directory, first, 1000), stdout=subprocess.PIPE, cwd=crash.ROOT, env=crash.environment()
    )
    assert worker.stdout is not None
    said = b"".join(worker.stdout.readline() for _ in range(lines + 2))
    select.select([worker.stdout], [], [], (lines % 7) / 1000)
    worker.kill()
    said += worker.stdout.read()
    worker.wait()
    return said.decode()[: said.decode().rfind("\n") + 1]


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("there", [False, True])
def test_77_a_kill_at_every_call_that_writes_loses_nothing(tmp_path: Path, *, there: bool) -> None:
    for call in POINTS[there]:
        number = 0
        while True:
            number += 1
            directory = tmp_path / f"{call}{number}"
            if there:
                open_store(directory).close_sync()
            _, said = crash.under_strace(directory, f"{call}:signal=SIGKILL:when={number}")
            crash.compare(directory, said)
            if "closed" in said:
                break
