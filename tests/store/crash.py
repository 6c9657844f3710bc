"""Runs the worker under fire and compares what it said with what the store holds."""

import os
import sys
from collections import defaultdict
from pathlib import Path

from tests.faults.traced import attach, forks
from tests.pace import PATIENCE
from tests.store import worker
from tests.store.samples import mail_id, open_store, settings
from tests.store.worker import CUT, ends_soon, has_copy, text

from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Delivery, State
from gatepost.store.check import verify
from gatepost.store.store import Store

ROOT = Path(__file__).parents[2]


def command(directory: Path, first: int, count: int) -> list[str]:
    return [sys.executable, "-m", "tests.store.worker", str(directory), str(first), str(count)]


def environment() -> dict[str, str]:
    """Return what the worker runs in: it compiles no code to files, whose calls would be counted with the store's."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def under_strace(
    directory: Path, inject: str, *, log: Path | str = os.devnull, first: int = 1, count: int = 12
) -> tuple[int, str]:
    """Run the worker with a fault injected; return its exit code and what it said."""
    mine, its = forks().Pipe()
    process = forks().Process(target=worker.forked, args=(its, directory, first, count), daemon=True)
    process.start()
    its.close()
    tracer = attach(process.pid or 0, inject, log)
    mine.send("go")
    with open(mine.fileno(), closefd=False) as said:
        told = said.read()
    mine.close()
    process.join(PATIENCE)
    tracer.communicate(timeout=PATIENCE)
    assert process.exitcode is not None, "the worker hung"
    return process.exitcode, told


class Story:
    """What the worker said of each mail."""

    def __init__(self, said: str) -> None:
        self.begun: dict[str, set[int]] = defaultdict(set)
        self.done: dict[str, set[int]] = defaultdict(set)
        self.failed: dict[str, list[str]] = defaultdict(list)
        for line in said.splitlines():
            verb, *rest = line.split()
            if verb in ("begin", "done"):
                (self.begun if verb == "begin" else self.done)[rest[0]].add(int(rest[1]))
            elif verb == "failed":
                self.failed[rest[0]].append(" ".join(rest[2:]))


def compare(directory: Path, said: str) -> int:
    """Open the store as after a restart; assert that what was said is so. Return how many mails it was said of."""
    story = Story(said)
    store = open_store(directory, spool_cut=CUT)
    try:
        assert store.faults == []
        for number in story.begun["keep"]:
            _compare(store, story, number)
        assert {row.mail_id for row in store.reader.find(Delivery, Query()).items} <= {
            mail_id(number) for number in story.begun["keep"]
        }
    finally:
        store.close_sync()
    assert verify(directory, settings()) == []
    return len(story.done["keep"])


def _compare(store: Store, story: Story, number: int) -> None:
    ways = store.reader.find(Delivery, Query(where=eq("mail_id", mail_id(number)))).items
    copies = store.reader.find(Copy, Query(where=eq("mail_id", mail_id(number)))).items
    purged = ends_soon(number) and any(at >= number for at in story.begun["purge"])
    if number not in story.done["keep"]:
        # Its acknowledgement was lost; a later run may have purged its copy.
        whole = len(ways) == 1 and (purged or len(copies) == has_copy(number))
        assert whole or (not ways and not copies), f"mail {number} is there by half"
        if whole:
            assert _bytes(store, number) == text(number)
        return
    first = [way for way in ways if not way.release]
    assert len(first) == 1, f"mail {number} is lost"
    if number in story.done["settle"]:
        assert first[0].state is State.DELIVERED
    elif number not in story.begun["settle"]:
        assert first[0].state is State.QUEUED
    if number in story.done["release"]:
        assert sum(way.release for way in ways) == 1
    if has_copy(number) and not purged:
        assert len(copies) == 1, f"the copy of mail {number} is lost"
    if copies or any(way.state is State.QUEUED for way in ways):
        assert _bytes(store, number) == text(number)


def _bytes(store: Store, number: int) -> bytes | None:
    body = store.reader.body(mail_id(number))
    if body is None or body.path is None:
        return body.data if body else None
    return Path(body.path).read_bytes()
