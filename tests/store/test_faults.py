"""79, 80: a disc that is full, or that fails, costs new mail and nothing else."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.ready import lay_store
from tests.store import crash
from tests.store.samples import keep, mail_id, open_store, user

from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import every
from gatepost.model.tenant import User
from gatepost.store import sqlite
from gatepost.store.store import Store

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]  # strace, and root for a small tmpfs

MEGABYTE = 1 << 20


@pytest.fixture
def small_disc(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB, with ballast that can be thrown off."""
    place = tmp_path / "disc"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    assert mounted.returncode == 0, f"these tests mount a small tmpfs and need root: {mounted.stderr}"
    (place / "ballast").write_bytes(b"x" * 3 * MEGABYTE)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Store]:
    store = open_store(directory)
    try:
        yield store
    finally:
        await store.close()


async def fill(store: Store, first: int = 1) -> list[int]:
    """Keep mails of 100 KB until the disc is full; return the numbers of those that were kept."""
    kept = []
    for number in range(first, first + 1000):
        try:
            await store.write(lambda writer, n=number: keep(writer, n, copies=1, body=Body(100_000, bytes(100_000))))
        except Problem as problem:
            assert problem.kind is Kind.FULL
            return kept
        kept.append(number)
    raise AssertionError("the disc was never full")


async def test_79_a_full_disc_refuses_mail_and_takes_it_again_when_space_returns(small_disc: Path) -> None:
    async with opened(small_disc / "state") as store:
        kept = await fill(store)
        assert kept and not store.healthy
        assert all(store.reader.body(mail_id(number)).data == bytes(100_000) for number in kept)
        with pytest.raises(Problem) as raised:
            await store.write(lambda writer: keep(writer, 2000, body=Body(200_000, bytes(200_000))))
        assert raised.value.kind is Kind.FULL
        (small_disc / "ballast").unlink()
        again = await fill(store, 3000)
        assert again
    async with opened(small_disc / "state") as store:
        assert all(store.reader.body(mail_id(number)) for number in (*kept, *again))
        assert store.reader.body(mail_id(2000)) is None


async def test_79_the_store_notices_by_itself_that_space_returned(
    small_disc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PROBE", 0.02)
    async with opened(small_disc / "state") as store:
        await fill(store)
        healed = asyncio.Event()
        loop = asyncio.get_running_loop()
        recovered = store._health.recovered

        def told() -> None:
            recovered()
            loop.call_soon_threadsafe(healed.set)

        monkeypatch.setattr(store._health, "recovered", told)
        (small_disc / "ballast").unlink()
        await asyncio.wait_for(healed.wait(), 60)
        assert store.healthy


async def test_79_a_large_mail_finds_no_room_and_leaves_no_file(small_disc: Path) -> None:
    async with opened(small_disc / "state") as store:
        draft = store.spool.draft()
        with pytest.raises(Problem) as raised:
            for _ in range(100):
                draft.write(bytes(MEGABYTE))
        assert raised.value.kind is Kind.FULL
        assert [path for path in (small_disc / "state" / "spool").glob("**/*") if path.is_file()] == []
        assert await fill(store)  # what it had taken is free again


async def test_79_a_full_disc_at_the_start_is_named(small_disc: Path) -> None:
    (small_disc / "more").write_bytes(b"")
    with (small_disc / "more").open("wb") as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(MEGABYTE))
            file.flush()
    with pytest.raises(Exception, match="state") as raised:
        open_store(small_disc / "state")
    assert type(raised.value).__name__ == "StoreProblem"


# Faults of the disc, injected into a process of its own.


def story(directory: Path, inject: str, tmp_path: Path) -> tuple[crash.Story, str, list[str]]:
    log = tmp_path / "calls"
    code, said = crash.under_strace(directory, inject, log=log)
    assert "closed" in said and code == 0, said
    return crash.Story(said), said, log.read_text().splitlines()


@pytest.mark.parametrize(("call", "number"), [("fdatasync", 10), ("pwrite64", 150), ("pwrite64", 260)])
def test_80_after_an_i_o_error_no_mail_is_taken_and_no_sync_is_tried_again(
    directory: Path, tmp_path: Path, call: str, number: int
) -> None:
    lay_store(directory)  # the fault is to meet mail, not the making of tables
    told, said, calls = story(directory, f"{call}:error=EIO:when={number}", tmp_path)
    failed = [line for lines in told.failed.values() for line in lines]
    assert failed and set(failed) == {"unavailable False"}
    before, after = said.split("failed", 1)
    assert "done" not in after, "something was acknowledged after the error"
    assert before.count("done keep") >= 1 and "readable True" in after
    if call == "fdatasync":
        at = next(index for index, line in enumerate(calls) if "INJECTED" in line)
        assert [line for line in calls[at + 1 :] if "fdatasync(" in line] == []
    crash.compare(directory, said)  # a restart looks again, and goes on


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_80_an_error_on_a_file_of_the_spool_does_the_same(directory: Path, tmp_path: Path, call: str) -> None:
    number = {"fsync": 5, "rename": 2}[call]  # the first ones make the master key
    told, said, _ = story(directory, f"{call}:error=EIO:when={number}", tmp_path)
    assert set(told.failed["keep"]) == {"unavailable False"}
    failed = min(told.begun["keep"] - told.done["keep"])
    assert failed % 3 == 0, "only a spooled mail has a file to fail on"
    assert told.done["keep"] == set(range(1, failed)) != set()
    crash.compare(directory, said)


def test_79_a_disc_full_for_a_while_costs_what_came_meanwhile(directory: Path, tmp_path: Path) -> None:
    lay_store(directory)
    told, said, _ = story(directory, "pwrite64:error=ENOSPC:when=150..156", tmp_path)
    assert set(told.failed["keep"]) == {"full False"}
    assert 12 in told.done["keep"], "it did not recover"
    crash.compare(directory, said)


def test_without_a_fault_the_worker_does_all_it_says(directory: Path, tmp_path: Path) -> None:
    told, said, _ = story(directory, "pwrite64:error=EIO:when=60000", tmp_path)
    assert told.done["keep"] == set(range(1, 13)) and not told.failed
    assert told.done["settle"] == set(range(1, 11)) and told.done["release"] == {2, 6, 10}
    assert crash.compare(directory, said) == 12


async def test_80_a_broken_store_answers_at_once_and_reads_on(directory: Path) -> None:
    store = open_store(directory)
    await store.write(lambda writer: writer.add(user()))
    store._health.broken = True
    for _ in range(2):
        with pytest.raises(Problem) as raised:
            await store.write(lambda writer: writer.add(user("next@in.test")))
        assert raised.value.kind is Kind.UNAVAILABLE
    assert not store.healthy and store.reader.count(User, every()) == 1
    await store.close()
    async with opened(directory) as again:
        assert again.healthy and again.reader.count(User, every()) == 1


async def test_79_a_list_for_which_there_is_no_room_to_be_sorted_says_so(small_disc: Path, tmp_path: Path) -> None:
    async with opened(tmp_path / "state") as store:
        reader = store.reader
        reader._rows(f"PRAGMA temp_store_directory = '{small_disc}'")
        numbers = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < ?)"
        try:
            with pytest.raises(Problem) as raised:
                reader._rows(f"{numbers} SELECT x, hex(randomblob(100)) AS y FROM n ORDER BY y", [100_000])
            assert raised.value.kind is Kind.FULL
        finally:
            reader._rows("PRAGMA temp_store_directory = ''")
        assert store.healthy
        await store.write(lambda writer: writer.add(user()))


async def test_79_a_backup_for_which_there_is_no_room_says_so_and_leaves_nothing(
    small_disc: Path, tmp_path: Path
) -> None:
    async with opened(tmp_path / "state") as store:
        for number in range(1, 80):
            await store.write(lambda writer, n=number: keep(writer, n, copies=1, body=Body(100_000, bytes(100_000))))
        with pytest.raises(Problem) as raised:
            await store.backup(small_disc / "copy")
        assert raised.value.kind is Kind.FULL
        assert store.healthy
        assert not (small_disc / "copy").exists() and not (small_disc / "copy.unfinished").exists()
        await store.write(lambda writer: keep(writer, 100, copies=1))
