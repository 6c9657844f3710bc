"""`gatepost check` says what is wrong, all of it, and nothing else; a backup has nothing wrong."""

import asyncio
import shutil
import sqlite3
import threading
from contextlib import closing
from itertools import chain, repeat
from math import inf
from pathlib import Path

import msgspec
import pytest
from tests.ready import lay_store
from tests.store.samples import DAY, NOW, copy, event, keep, mail_id, message, open_store, settings, user

from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, every
from gatepost.model.stored import Copy, Delivery, State
from gatepost.store.backup import backup
from gatepost.store.check import Flaw, verify
from gatepost.store.connection import PAGE
from gatepost.store.health import StoreProblem
from gatepost.store.store import Store


def copies(folder: Path) -> list[Path]:
    """Return what there is of a backup, whole or not."""
    return list(folder.glob("copy*"))


def plenty() -> float:
    return inf


def flaws(directory: Path) -> list[Flaw]:
    return verify(directory, settings())


def texts(directory: Path) -> str:
    return "\n".join(f"{flaw.file}: {flaw.text}" for flaw in flaws(directory))


def large(store: Store, number: int) -> Path:
    path = store.spool.path(mail_id(number))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(b"x" * 9)
    path.chmod(0o600)
    store.write_sync(lambda writer: keep(writer, number, body=Body(9, path=str(path))))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with mails, a large one among them, and accounts, to be copied."""
    directory = tmp_path_factory.mktemp("made") / "state"
    lay_store(directory)
    store = open_store(directory)
    for number in range(1, 20):
        store.write_sync(lambda writer, n=number: keep(writer, n, copies=n % 3))
    store.write_sync(lambda writer: writer.refuse(message(50), [event()], 1))
    large(store, 0xAB)
    for name in ("ann@in.test", "bob@in.test", "eve@in.test"):
        store.write_sync(lambda writer, name=name: writer.add(user(name)))
    store.close_sync()
    return directory


@pytest.fixture
def filled(made: Path, directory: Path) -> Path:
    return shutil.copytree(made, directory)


def break_(directory: Path, *statements: str) -> None:
    with closing(sqlite3.connect(directory / "gatepost.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_sound_store_has_no_flaws_at_rest_and_in_use(filled: Path) -> None:
    assert flaws(filled) == []
    store = open_store(filled)
    assert flaws(filled) == []
    store.close_sync()
    assert flaws(filled) == []


BROKEN = {
    "UPDATE message SET subject = CAST(x'62ff' AS TEXT) WHERE id = '{1}'": "a text of the table message is none",
    "DELETE FROM body WHERE mail_id = '{1}'": "a kept copy has no body",
    "DELETE FROM body WHERE mail_id = '{3}'": "a delivery under way has no body",
    "DELETE FROM message WHERE id = '{4}'": "a body has no message",
    "UPDATE body SET size = 6 WHERE mail_id = '{5}'": "the size of a body is wrong",
    "UPDATE folder SET total = 99": "the counts of a folder are wrong",
    "UPDATE folder SET unseen = unseen - 1": "the counts of a folder are wrong",
    "UPDATE user_total SET total = 2": "the users of a domain are counted wrong",
    "INSERT INTO user_total VALUES (9, 'ENABLED', 1)": "the users of a domain are counted wrong",
    "INSERT INTO folder VALUES ('no@in.test', 'Archive', 'SPAM', 1, 1, 0, 0)": "a folder is counted that is empty",
    "UPDATE delivery SET state = 'delivered' WHERE mail_id = '{6}'": "a body is needed by nobody",
    "UPDATE meta SET value = '[\"00\"]' WHERE key = 'keys'": "not the key that this store was sealed with",
    "UPDATE meta SET value = 7 WHERE key = 'refused'": "the octets of refused mail are counted wrong",
    "PRAGMA user_version = 0": "of version 0",
    "PRAGMA application_id = 1": "no database of Gatepost",
    "UPDATE body SET size = 8 WHERE data IS NULL": "has not the 8 octets",
    "DELETE FROM body WHERE data IS NULL": "belongs to no mail",
}


@pytest.mark.parametrize("statement", BROKEN)
def test_each_thing_wrong_is_told(filled: Path, statement: str) -> None:
    wanted = BROKEN[statement]
    for number in range(1, 7):
        statement = statement.replace(f"{{{number}}}", mail_id(number))
    break_(filled, statement)
    assert wanted in texts(filled)


def test_85_a_missing_file_is_told(filled: Path) -> None:
    (filled / "spool" / "ab" / mail_id(0xAB)).unlink()
    assert [flaw.text for flaw in flaws(filled)] == ["the body of this mail is missing"]


def test_85_a_file_too_many_is_told_only_of_a_store_at_rest(filled: Path) -> None:
    stray = filled / "spool" / "tmp" / "draft"
    stray.write_bytes(b"")
    stray.chmod(0o600)
    assert [(flaw.file, flaw.grave) for flaw in flaws(filled)] == [(str(stray), False)]
    store = open_store(filled)
    stray.write_bytes(b"")
    stray.chmod(0o600)
    assert flaws(filled) == []
    store.close_sync()


def test_92_loose_rights_are_told(filled: Path) -> None:
    (filled / "gatepost.db").chmod(0o644)
    (filled / "spool").chmod(0o755)
    assert sorted(flaw.text for flaw in flaws(filled)) == [
        "is open to others (mode 0644)",
        "is open to others (mode 0755)",
    ]


def test_82_damage_is_told_with_the_file(filled: Path) -> None:
    with (filled / "gatepost.db").open("r+b") as file:
        file.seek(PAGE * 8)
        file.write(b"\xee" * PAGE * 4)
    assert "gatepost.db: the database is damaged" in texts(filled)
    (filled / "gatepost.db").write_bytes(b"garbage" * 1000)
    assert "gatepost.db: the database is damaged" in texts(filled)


def test_where_nothing_is_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="there is no store here"):
        flaws(tmp_path)


def test_a_start_without_an_end_is_no_flaw(filled: Path) -> None:
    break_(filled, "DELETE FROM meta WHERE key = 'keys'")
    (filled / "lock").unlink()
    assert flaws(filled) == []


@pytest.mark.anyio
async def test_88_a_backup_under_load_is_a_working_store_of_one_moment(directory: Path, tmp_path: Path) -> None:
    lay_store(directory)
    store = open_store(directory)
    target = tmp_path / "copy"
    stop, enough = asyncio.Event(), asyncio.Event()
    written: list[int] = []

    async def load() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            draft = store.spool.draft()
            draft.write(b"x" * (300_000 if number % 7 == 0 else 100))
            body = await store.spool.adopt(await store.spool.finish(draft), mail_id(number))
            await store.write(lambda writer, n=number, b=body: keep(writer, n, copies=1, body=b))
            written.append(number)
            if number == 60:
                enough.set()
            if number > 30:  # what goes meanwhile goes with its file
                (row,) = await store.read(lambda reader: reader.live(limit=1))
                done = msgspec.structs.replace(row, state=State.DELIVERED)
                await store.write(lambda writer, d=done: writer.settle(d))
                await store.write(lambda writer: writer.purge(NOW + 400 * DAY, 3))

    task = asyncio.ensure_future(load())
    await enough.wait()
    before = len(written)
    await store.backup(target)
    after = len(written)
    stop.set()
    await task
    await store.close()
    assert not (target / "master.key").exists()
    (target / "master.key").write_bytes((directory / "master.key").read_bytes())
    again = open_store(target)
    assert again.faults == []
    kept = again.reader._number("SELECT max(id) FROM delivery", [])
    assert before <= kept <= after + 1
    for row in again.reader.find(Copy, Query()).items:
        body = again.reader.body(row.mail_id)
        assert body is not None
        if body.path is not None:
            assert len(await asyncio.to_thread(Path(body.path).read_bytes)) == body.size
    await again.close()
    (target / "master.key").chmod(0o600)
    assert [flaw for flaw in flaws(target) if flaw.grave] == []


@pytest.mark.anyio
async def test_a_backup_takes_the_key_only_on_demand_and_never_overwrites(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    await store.backup(tmp_path / "with", with_key=True)
    with pytest.raises(Problem, match=f"Make the directory first .* too: {tmp_path}/no/such$") as missing:
        await store.backup(tmp_path / "no" / "such" / "copy")
    assert (missing.value.kind, missing.value.pointer) == (Kind.UNPROCESSABLE, "/directory")
    with pytest.raises(Problem, match="something of this name already") as refused:
        await store.backup(tmp_path / "with")
    assert (refused.value.kind, refused.value.pointer) == (Kind.CONFLICT, "/directory")
    await store.close()
    assert flaws(tmp_path / "with") == []
    again = open_store(tmp_path / "with")
    assert again.reader.count(Delivery, every()) == 20
    assert again.reader.body(mail_id(0xAB)).size == 9
    assert again.write_sync(lambda writer: writer.add(copy(1))).id > 0
    await again.close()


@pytest.mark.anyio
async def test_a_backup_that_fails_leaves_nothing_behind(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    (filled / "master.key").unlink()
    with pytest.raises(Problem, match="The backup failed"):
        await store.backup(tmp_path / "copy", with_key=True)
    assert not (tmp_path / "copy").exists() and not (tmp_path / "copy.unfinished").exists()
    await store.close()


def test_a_backup_is_given_up_when_the_store_is_closed(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    for ending in (iter([True]), chain([False], repeat(True))):  # before the first file, within the database
        with pytest.raises(Problem, match="broken off"):
            backup(filled, store.spool, tmp_path / "copy", None, plenty, ending.__next__)
        assert list(tmp_path.glob("copy*")) == []
    store.close_sync()


@pytest.mark.anyio
async def test_a_backup_that_nobody_waits_for_ends_and_leaves_nothing(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    busy = threading.Event()
    store._copier.submit(busy.wait)  # so that it has not ended before it is given up
    copying = asyncio.create_task(store.backup(tmp_path / "copy"))
    await asyncio.sleep(0)
    copying.cancel()
    await asyncio.sleep(0)
    assert not copying.done(), "what was copied is still to be removed"
    busy.set()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert copies(tmp_path) == []
    await store.backup(tmp_path / "copy")
    await store.close()


@pytest.mark.anyio
async def test_a_backup_beside_the_store_leaves_the_reserve_alone(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled, reserve_percent=100.0)
    with pytest.raises(Problem, match="has 0 beyond the store's reserve") as refused:
        await store.backup(tmp_path / "copy")
    assert (refused.value.kind, refused.value.pointer) == (Kind.FULL, "/directory")
    assert copies(tmp_path) == []
    await store.close()


def test_a_backup_that_ends_last_does_not_check_point_the_database(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    newest = store.write_sync(lambda writer: writer.add(copy(1))).id
    left = tmp_path / "left"
    left.mkdir()
    for name in ("gatepost.db", "gatepost.db-wal"):  # as a kill leaves them: no writer, and a log full of pages
        shutil.copy(filled / name, left)
    before = {path.name: path.read_bytes() for path in left.iterdir()}
    assert len(before["gatepost.db-wal"]) > 0
    backup(left, store.spool, tmp_path / "copy", None, plenty, lambda: False)
    assert {name: (left / name).read_bytes() for name in before} == before
    with closing(sqlite3.connect(tmp_path / "copy/gatepost.db")) as copied:
        assert copied.execute("SELECT max(id) FROM copy").fetchone() == (newest,)
    store.close_sync()


@pytest.mark.anyio
async def test_a_backup_laid_over_a_killed_store_is_what_is_read(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    await store.backup(tmp_path / "copy", with_key=True)
    before = store.reader.count(Copy, every())
    await store.write(lambda writer: writer.add(copy(1)))
    left = tmp_path / "left"
    left.mkdir()
    for name in ("gatepost.db", "gatepost.db-wal"):  # as a kill leaves them
        shutil.copy(filled / name, left)
    await store.close()
    shutil.copytree(tmp_path / "copy", left, dirs_exist_ok=True)
    again = open_store(left)
    assert again.reader.count(Copy, every()) == before
    await again.close()
    assert flaws(left) == []


def test_a_file_whose_removal_began_before_the_backup_does_not_end_it(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    going = store.spool.path(mail_id(0xCD))  # its row is gone already
    going.parent.mkdir(mode=0o700)
    going.write_bytes(b"x")

    def goes() -> bool:  # after the files of its folder were listed
        going.unlink(missing_ok=True)
        return False

    assert backup(filled, store.spool, tmp_path / "copy", filled / "master.key", plenty, goes).bodies == 1
    store.close_sync()
    assert flaws(tmp_path / "copy") == []


def test_a_backup_is_not_made_where_the_next_start_would_sweep_it(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    (tmp_path / "link").symlink_to(filled / "spool")
    for place in (filled / "spool/copy", tmp_path / "link/copy", tmp_path / ("x" * 250)):
        with pytest.raises(Problem) as refused:
            backup(filled, store.spool, place, None, plenty, lambda: False)
        assert (refused.value.kind, refused.value.pointer) == (Kind.UNPROCESSABLE, "/directory")
    store.close_sync()
    open_store(filled).close_sync()


@pytest.mark.anyio
async def test_a_backup_knows_what_the_done_log_knew(filled: Path, tmp_path: Path) -> None:
    store = open_store(filled)
    (filled / "done.log").write_bytes(b"what was delivered")
    copied = await store.backup(tmp_path / "copy")
    await store.close()
    assert (tmp_path / "copy/done.log").read_bytes() == b"what was delivered"
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert copied.octets == sum(path.stat().st_size for path in files)
    assert copied.bodies == len(files) - 3  # the database, its empty log, the done log
