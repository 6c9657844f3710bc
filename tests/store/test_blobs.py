"""Drafts, files, and what happens to them when the disc does not play along."""

import asyncio
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.store.samples import mail_id, open_store

from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.store.store import Store

pytestmark = pytest.mark.anyio


def files(store: Store) -> list[Path]:
    return [path for path in (store.path / "spool").glob("**/*") if path.is_file()]


async def test_a_small_body_stays_in_memory(store: Store) -> None:
    draft = store.spool.draft()
    for part in (b"From: a\r\n", b"\r\n", b"text\r\n"):
        draft.write(part)
    assert await store.spool.finish(draft) == Body(17, b"From: a\r\n\r\ntext\r\n")
    assert files(store) == []


@pytest.mark.parametrize("parts", [[b"x" * 262_144], [b"ab"] * 131_072, [b"x" * 262_143, b"yz", b""]])
async def test_from_the_cut_on_a_body_is_a_file(store: Store, parts: list[bytes]) -> None:
    draft = store.spool.draft()
    for part in parts:
        draft.write(part)
    body = await store.spool.finish(draft)
    assert body.data is None and body.size == draft.size == sum(map(len, parts))
    adopted = await store.spool.adopt(body, mail_id(0xAB))
    assert files(store) == [store.path / "spool" / "ab" / mail_id(0xAB)] == [Path(str(adopted.path))]
    assert files(store)[0].read_bytes() == b"".join(parts)
    assert adopted.start == b"".join(parts)[:32_768]


async def test_a_draft_may_become_a_file_before_the_cut(store: Store) -> None:
    draft = store.spool.draft()
    parts = [b"head", b"x" * 40_000, b"tail"]
    draft.spill()
    for part in parts:
        draft.write(part)
        draft.spill()
    body = await store.spool.finish(draft)
    whole = b"".join(parts)
    assert files(store) == [Path(str(body.path))] and files(store)[0].read_bytes() == whole
    assert (body.size, body.start) == (len(whole), whole[:32_768])


async def test_just_below_the_cut_it_is_none(store: Store) -> None:
    draft = store.spool.draft()
    draft.write(b"x" * 262_143)
    assert (await store.spool.finish(draft)).path is None


async def test_bytes_are_adopted_as_they_are(store: Store) -> None:
    body = Body(1, b"x")
    assert await store.spool.adopt(body, mail_id(1)) is body
    store.spool.forget(body)


async def test_a_discarded_draft_leaves_nothing(store: Store) -> None:
    for size in (10, 300_000):
        draft = store.spool.draft()
        draft.write(b"x" * size)
        draft.discard()
        draft.discard()
    assert files(store) == []


async def test_a_forgotten_body_leaves_nothing(store: Store) -> None:
    draft = store.spool.draft()
    draft.write(b"x" * 300_000)
    body = await store.spool.finish(draft)
    assert len(files(store)) == 1
    store.spool.forget(body)
    store.spool.forget(body)
    assert files(store) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 31, "A" * 32, "g" * 32, "a" * 33, "/" * 32])
async def test_120_only_a_mail_id_becomes_a_path(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="no mail id"):
        store.spool.path(name)


async def test_89_a_body_forgotten_before_it_is_adopted_is_no_fault_of_the_disc(store: Store) -> None:
    """A stop may cancel the one who keeps a mail while a thread is about to move its file."""
    draft = store.spool.draft()
    draft.write(b"x" * 300_000)
    body = await store.spool.finish(draft)
    store.spool.forget(body)
    with pytest.raises(Problem) as caught:
        await store.spool.adopt(body, mail_id(0xAB))
    assert caught.value.kind is Kind.UNAVAILABLE
    assert store.healthy
    assert files(store) == []


async def test_removals_wait_while_files_are_held(store: Store) -> None:
    for number in (1, 2):
        draft = store.spool.draft()
        draft.write(b"x" * 300_000)
        await store.spool.adopt(await store.spool.finish(draft), mail_id(number))
    with store.spool.hold():
        with store.spool.hold():
            store.spool.remove(mail_id(1))
        store.spool.remove(mail_id(2))
        assert len(files(store)) == 2
    assert files(store) == []
    store.spool.remove(mail_id(3))  # one that is not there is as good as removed


async def test_92_files_and_folders_are_the_owner_s_alone(store: Store) -> None:
    draft = store.spool.draft()
    draft.write(b"x" * 300_000)
    await store.spool.adopt(await store.spool.finish(draft), mail_id(1))
    held = store.spool.draft()
    held.write(b"x" * 300_000)
    for path in (store.path, *store.path.glob("**/*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    held.discard()


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Let every write beyond so many octets of a file fail (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_80_a_draft_that_can_not_be_written_is_unavailable_and_stays_so(directory: Path) -> None:
    store = open_store(directory)
    draft = store.spool.draft()
    with small_files(100_000), pytest.raises(Problem) as raised:
        draft.write(b"x" * 300_000)
        draft.sync()
    assert raised.value.kind is Kind.UNAVAILABLE
    assert not store.healthy
    for _ in range(2):
        with pytest.raises(Problem):
            draft.write(b"more")
        with pytest.raises(Problem):
            await store.spool.finish(draft)
    assert files(store) == []
    store.close_sync()


async def test_91_without_file_descriptors_a_draft_is_unavailable_and_the_store_stays_sound(store: Store) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    os.close(spare)
    draft = store.spool.draft()
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, before[1]))
    try:
        with pytest.raises(Problem) as raised:
            draft.write(b"x" * 300_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert raised.value.kind is Kind.UNAVAILABLE and raised.value.context["error"].startswith(f"[Errno {errno.EMFILE}]")
    assert store.healthy
    again = store.spool.draft()
    again.write(b"x" * 300_000)
    again.discard()


async def test_many_drafts_at_once_keep_apart(store: Store) -> None:
    async def one(number: int) -> None:
        draft = store.spool.draft()
        for _ in range(5):
            draft.write(bytes([number]) * 60_000)
            await asyncio.sleep(0)
        body = await store.spool.adopt(await store.spool.finish(draft), mail_id(number))
        found = await asyncio.to_thread(Path(str(body.path)).read_bytes)
        assert found == bytes([number]) * 300_000

    await asyncio.gather(*(one(number) for number in range(20)))
