"""A store opens whole or not at all, and says which file is at fault."""

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.ready import lay_store
from tests.store.samples import NOW, domain, full, keep, mail_id, message, open_store, settings, user

from gatepost.model.email import Email
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Query, eq, every
from gatepost.model.stored import Copy, Pause, State
from gatepost.model.suppression import Cause, Suppression
from gatepost.model.tenant import Domain, DomainStatus, GroupMember, User
from gatepost.model.webhook import HookCall, Webhook
from gatepost.store import opening
from gatepost.store.check import verify
from gatepost.store.connection import PAGE, connect
from gatepost.store.health import StoreProblem
from gatepost.store.migrations import APPLICATION_ID, VERSION, migrate
from gatepost.store.reader import Reader
from gatepost.store.schema import TABLES
from gatepost.store.store import Store
from gatepost.store.writer import Writer

FIRST = Path(__file__).with_name("first.sql")
SECOND = Path(__file__).with_name("second.sql")


def filled(directory: Path) -> None:
    lay_store(directory)
    store = open_store(directory)
    for number in range(50):
        store.write_sync(lambda writer, n=number: keep(writer, n, copies=1))
    store.close_sync()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a process that wrote a mail and was killed, so that the write-ahead log stays; to be copied."""
    directory = tmp_path_factory.mktemp("killed") / "state"
    lay_store(directory)
    script = (
        "import os, sys, signal; from pathlib import Path; from tests.store.samples import *\n"
        "store = open_store(Path(sys.argv[1])); store.write_sync(lambda w: keep(w, 1000, copies=1))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(directory)], check=False, timeout=60)
    return directory


def test_a_new_store_is_made_with_its_folders(directory: Path) -> None:
    store = open_store(directory / "deep")
    assert store.path.stat().st_mode & 0o777 == 0o700
    assert store.healthy and store.faults == [] and store.generation > 0
    store.close_sync()
    store.close_sync()
    assert sorted(path.name for path in store.path.iterdir()) == ["gatepost.db", "lock", "master.key", "spool"]


def test_its_pragmas_are_those_of_the_design(store: Store) -> None:
    asked = {"journal_mode": "wal", "synchronous": 2, "page_size": 8_192, "wal_autocheckpoint": 8_000}
    for name, wanted in asked.items():
        assert store._committer._connection.execute(f"PRAGMA {name}").fetchone()[0] == wanted
    reading = store.reader._connection
    assert reading.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reading.execute("DELETE FROM user")
    assert reading.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    assert reading.execute("PRAGMA user_version").fetchone()[0] == VERSION


def test_a_store_of_larger_pages_has_as_large_a_log(tmp_path: Path) -> None:
    made = sqlite3.connect(tmp_path / "one.db")
    made.executescript("PRAGMA page_size = 16384; CREATE TABLE one (id)")
    made.close()
    connection = connect(tmp_path / "one.db", reading=False)
    assert connection.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == 4_000
    connection.close()


def test_every_table_has_the_members_of_its_struct_and_is_strict(store: Store) -> None:
    rows = store.reader._connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE type = 'table'"
    ).fetchall()
    strict = dict(rows)
    for table in TABLES.values():
        assert strict[table.name] == 1
        columns = {row[1] for row in store.reader._connection.execute(f'PRAGMA table_info("{table.name}")')}
        assert columns == {*table.kind.__struct_fields__, *table.hidden}


def test_mail_tables_have_few_indexes_with_random_keys(store: Store) -> None:
    """Each costs a page of its own for every row (performance 2): message_id, remote_id, the folder."""
    random = {"message_id", "remote_id", "mailbox", "recipient", "sender", "client_ip"}
    found = [
        keys
        for table in TABLES.values()
        if not table.config
        for keys in (*table.unique, *table.indexes)
        if random & set(keys.replace("(", " ").replace(")", " ").replace(",", " ").split())
    ]
    assert len(found) == 3


def test_83_a_second_process_is_refused(store: Store) -> None:
    with pytest.raises(StoreProblem, match="lock: another process uses this store") as raised:
        open_store(store.path)
    assert raised.value.code == StoreProblem.LOCKED
    script = "import sys, pathlib, tests.store.samples as s; s.open_store(pathlib.Path(sys.argv[1]))"
    other = subprocess.run(
        [sys.executable, "-c", script, str(store.path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert other.returncode != 0 and "another process uses this store" in other.stderr
    assert store.write_sync(lambda writer: writer.add(user())).id == 1


@pytest.mark.parametrize("name", ["gatepost.db", "lock", "spool/tmp", "master.key"])
def test_what_is_no_file_of_a_store_is_named(directory: Path, name: str) -> None:
    lay_store(directory)
    path = directory / name
    path.rmdir() if path.is_dir() else path.unlink()
    path.write_bytes(b"") if name == "spool/tmp" else path.mkdir()
    with pytest.raises(StoreProblem, match=f"^{path}: .*(Is a directory|Not a directory)$") as raised:
        open_store(directory)
    assert raised.value.code == StoreProblem.BROKEN


def test_a_directory_may_be_linked_and_a_database_alone_may_not(directory: Path, tmp_path: Path) -> None:
    lay_store(directory)
    (tmp_path / "linked").symlink_to(directory)
    open_store(tmp_path / "linked").close_sync()
    database = (directory / "gatepost.db").rename(tmp_path / "moved.db")
    (directory / "gatepost.db").symlink_to(database)
    with pytest.raises(StoreProblem, match="is a symbolic link") as raised:
        open_store(directory)
    assert raised.value.code == StoreProblem.CONFIG


@pytest.mark.skipif(os.geteuid() != 0, reason="not root, who can give a folder away")
def test_whose_a_store_is_that_may_not_be_used_is_told(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    denied = PermissionError(errno.EACCES, "Permission denied", f"{tmp_path}/state/lock")
    problem = StoreProblem.of(tmp_path / "state", denied)
    assert problem.code == StoreProblem.DENIED
    owned = f"({tmp_path} belongs to user 12345: run this as user 12345, or give it to root by chown)"
    assert str(problem) == f"{tmp_path}/state/lock: can't be used: Permission denied {owned}"
    os.chown(tmp_path, os.geteuid(), os.getegid())
    assert str(StoreProblem.of(tmp_path, denied)).endswith("Permission denied")


def test_83_the_lock_falls_with_its_process(killed: Path) -> None:
    with (killed / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_was_committed_before_a_kill_is_there(killed: Path, directory: Path) -> None:
    shutil.copytree(killed, directory)
    assert (directory / "gatepost.db-wal").stat().st_size > 0
    store = open_store(directory)
    assert store.reader.body(mail_id(1000)) is not None
    store.close_sync()
    assert not (directory / "gatepost.db-wal").exists()


@pytest.mark.parametrize("content", [b"garbage " * 5000, b"SQLite format 3\0" + b"\xff" * 40_000, b"\0" * 20_000])
def test_82_a_file_that_is_no_database_is_refused_by_its_name(directory: Path, content: bytes) -> None:
    directory.mkdir()
    (directory / "gatepost.db").write_bytes(content)
    with pytest.raises(StoreProblem, match=r"gatepost\.db: the database is damaged") as raised:
        open_store(directory)
    assert raised.value.code == StoreProblem.CORRUPT
    assert (directory / "gatepost.db").read_bytes() == content


def test_82_a_damaged_root_is_found_at_any_start(directory: Path) -> None:
    filled(directory)
    connection = sqlite3.connect(directory / "gatepost.db")
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'message'").fetchone()
    connection.close()
    overwrite(directory / "gatepost.db", (root - 1) * PAGE)
    with pytest.raises(StoreProblem, match=r"gatepost\.db: the database is damaged"):
        open_store(directory)


def test_82_damage_anywhere_is_found_after_an_unclean_stop(directory: Path) -> None:
    filled(directory)
    damage_index(directory)
    (directory / "gatepost.db-wal").write_bytes(b"what a crash left")
    with pytest.raises(StoreProblem, match=r"gatepost\.db: the database is damaged") as raised:
        open_store(directory)
    assert raised.value.code == StoreProblem.CORRUPT


def test_82_a_large_store_is_checked_while_it_works(
    killed: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SMALL", 0)
    shutil.copytree(killed, directory)
    store = open_store(directory)
    ThreadPoolExecutor.shutdown(store._threads)
    assert store.healthy
    store.close_sync()


def damage_index(directory: Path) -> None:
    connection = sqlite3.connect(directory / "gatepost.db")
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'copy_by0'").fetchone()
    connection.close()
    overwrite(directory / "gatepost.db", (root - 1) * PAGE)


def test_82_damage_found_while_it_works_stops_the_writing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SMALL", 0)
    filled(directory)
    damage_index(directory)
    (directory / "gatepost.db-wal").write_bytes(b"what a crash left")
    store = open_store(directory)
    ThreadPoolExecutor.shutdown(store._threads)
    assert not store.healthy
    store.close_sync()


@pytest.mark.anyio
async def test_82_the_daily_look_finds_damage(directory: Path) -> None:
    filled(directory)
    store = open_store(directory)
    assert await store.examine() == [] and store.healthy
    await store.close()
    damage_index(directory)
    store = open_store(directory)
    assert await store.examine() != [] and not store.healthy
    with pytest.raises(Problem) as raised:
        store.reader.folders("bob@in.test")
        store.reader.letters(Query(where=eq("mailbox", "bob@in.test"), sort="sent"))
    assert raised.value.kind is Kind.UNAVAILABLE
    await store.close()


def test_89_a_look_at_the_whole_database_does_not_hold_up_the_stop(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(directory)
    without_end = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    monkeypatch.setattr(Reader, "quick_check", lambda reader: reader._number(without_end, []))
    store._look = store._threads.submit(store._look_again)
    store.close_sync()
    assert store._look.result() == ["interrupted"]


def overwrite(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xee" * 4096)


def test_another_program_s_database_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    with sqlite3.connect(directory / "gatepost.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = (directory / "gatepost.db").read_bytes()
    with pytest.raises(StoreProblem, match="none of Gatepost") as raised:
        open_store(directory)
    assert raised.value.code == StoreProblem.CONFIG
    assert (directory / "gatepost.db").read_bytes() == before


def test_a_later_version_is_refused(directory: Path) -> None:
    filled(directory)
    with sqlite3.connect(directory / "gatepost.db") as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreProblem, match="later version"):
        open_store(directory)


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreProblem, match="file/state"):
        open_store(tmp_path / "file" / "state")


def test_92_rights_are_tightened_but_never_those_of_someone_else_s_directory(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)  # whatever the umask
    (shared / "other.txt").write_text("")
    open_store(shared).close_sync()
    assert shared.stat().st_mode & 0o777 == 0o755
    own = tmp_path / "own"
    own.mkdir()
    own.chmod(0o755)
    open_store(own).close_sync()
    (own / "gatepost.db").chmod(0o644)
    open_store(own).close_sync()
    assert own.stat().st_mode & 0o777 == 0o700
    assert (own / "gatepost.db").stat().st_mode & 0o777 == 0o600


def test_85_files_without_a_row_are_swept_at_the_start(directory: Path) -> None:
    filled(directory)
    spool = directory / "spool"
    (spool / "07").mkdir()
    (spool / "07" / mail_id(7)).write_bytes(b"its row holds the bytes")
    (spool / "ff").mkdir()
    (spool / "ff" / mail_id(0xFF)).write_bytes(b"no row")
    (spool / "tmp" / "draft").write_bytes(b"half")
    store = open_store(directory)
    assert [path for path in spool.glob("**/*") if path.is_file()] == []
    assert store.faults == []
    store.close_sync()


def test_85_a_row_without_its_file_is_reported(directory: Path) -> None:
    store = open_store(directory)
    adopt(store, 1)
    store.close_sync()
    (directory / "spool" / "01" / mail_id(1)).unlink()
    again = open_store(directory)
    assert len(again.faults) == 1 and mail_id(1) in again.faults[0]
    again.close_sync()


def adopt(store: Store, number: int) -> None:
    """Keep a mail whose body is a file."""
    from gatepost.model.envelope import Body

    path = store.spool.path(number and mail_id(number))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(b"x" * 9)
    path.chmod(0o600)
    store.write_sync(lambda writer: keep(writer, number, body=Body(9, path=str(path))))


# Versions.


def test_a_new_member_of_a_struct_becomes_a_column(directory: Path) -> None:
    filled(directory)
    with sqlite3.connect(directory / "gatepost.db") as connection:
        connection.execute("ALTER TABLE message DROP COLUMN has_attachments")
        connection.execute("ALTER TABLE domain DROP COLUMN description")
    connection.close()
    store = open_store(directory)
    assert store.reader.messages(mail_id(3)) == [message(3)]
    store.close_sync()


def test_84_a_new_table_comes_with_its_keys_or_not_at_all(directory: Path) -> None:
    filled(directory)
    connection = connect(directory / "gatepost.db", reading=False)
    connection.execute("DROP TABLE submission")

    def broken_off(action: int, name: str | None, *_: str | None) -> int:
        key = action == sqlite3.SQLITE_CREATE_INDEX and name == "submission_key0"
        return sqlite3.SQLITE_DENY if key else sqlite3.SQLITE_OK

    connection.set_authorizer(broken_off)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        migrate(connection)
    connection.close()
    open_store(directory).close_sync()
    connection = connect(directory / "gatepost.db", reading=False)
    keys = [row[1] for row in connection.execute("PRAGMA index_list(submission)") if row[2]]
    assert "submission_key0" in keys
    connection.close()


def test_a_store_of_the_first_form_is_brought_to_the_present_one(directory: Path) -> None:
    """`first.sql` is what the first build wrote."""
    written(directory, FIRST)
    store = open_store(directory)
    kept = [(c.mail_id[-1], c.mailbox, c.folder) for c in store.reader.find(Copy, Query()).items]
    assert kept == [
        ("1", "bob@in.test", "Quarantine"),
        ("1", "bob@in.test", "Archive"),
        ("2", "bob@in.test", "INBOX"),
        ("2", "ann@in.test", "INBOX"),
        ("3", "bob@in.test", "Sent"),
        ("4", "bob@in.test", "System"),
        ("5", "bob@in.test", "Quarantine"),
    ]
    late = eq("received", NOW + 5), eq("size", 5)
    assert [len(store.reader.letters(Query(where=each)).items) for each in late] == [1, 7]
    store.close_sync()
    assert [flaw for flaw in verify(directory, settings()) if flaw.grave] == []
    assert_of_today(directory)


def test_a_store_of_the_second_form_lives_on_in_the_present_one(directory: Path) -> None:
    """`second.sql` is what a build wrote before connections, memory, records of applications and webhooks."""
    written(directory, SECOND)
    with closing(sqlite3.connect(directory / "gatepost.db", isolation_level=None)) as connection:
        connection.execute("UPDATE copy SET user_id = iif(mailbox = 'bob@in.test', 7, 2)")  # 7 had the address before
        connection.execute("UPDATE copy SET mailbox = 'all@in.test', user_id = NULL WHERE id = 2")
    store = open_store(directory)
    reader = store.reader
    assert [row.email for row in reader.find(User, Query(where=eq("heir", True))).items] == ["bob@in.test"]
    assert [row.id for row in reader.find(Copy, Query(where=eq("group_id", 1))).items] == [2]
    assert [domain.name for domain in reader.find(Domain, Query()).items] == ["in.test", "other.test"]
    assert [row.lastname for row in reader.find(User, Query(sort="-lastname")).items] == ["L3", "L2", "L1", "L0"]
    assert reader.active_users([1, 2]) == {1: 2, 2: 1}
    assert [row.email for row in reader.find(GroupMember, Query()).items] == ["bob@in.test"]
    letters = reader.letters(Query(where=eq("header_cc", "Cc <cc@out.test>"))).items
    assert [(each.copy.mailbox, each.message.id) for each in letters] == [("bob@in.test", mail_id(2))]
    live = reader.live(0)
    assert [(row.state, row.attempts, row.connection_id, row.via, row.marks) for row in live] == [
        (State.QUEUED, 2, None, "", []),
        (State.HELD, 0, None, "", []),
    ]

    def go_on(writer: Writer) -> None:
        keep(writer, 9, copies=1)
        for row in live:
            writer.settle(msgspec.structs.replace(row, state=State.DELIVERED, done_at=NOW))
        writer.remove(User, eq("email", "ann@in.test"))
        for kind in (Webhook, HookCall, Suppression, Email, Pause):
            writer.add(full(kind))

    store.write_sync(go_on)
    assert (reader.active_users([1]), reader.body(mail_id(3))) == ({1: 1}, None)
    purged = []
    store.write_sync(lambda writer: writer.change(Domain, 1, status=DomainStatus.DELETED, purge_date=NOW))
    while not purged or purged[-1].more:
        purged.append(store.write_sync(lambda writer: writer.purge(NOW)))
    assert [reader.count(kind, every()) for kind in (Domain, User, Copy)] == [1, 1, 0]
    store.close_sync()
    assert [flaw for flaw in verify(directory, settings()) if flaw.grave] == []
    assert_of_today(directory)


def test_what_belonged_to_a_domain_goes_with_it_and_what_is_past_its_day_goes(store: Store) -> None:
    def fill(writer: Writer) -> None:
        gone = writer.add(domain(status=DomainStatus.DELETED, purge_date=NOW)).id
        other = writer.add(domain("other.test")).id
        for number, (of, until) in enumerate(((gone, None), (other, None), (other, NOW), (other, NOW + 1))):
            row = Suppression(domain_id=of, address=f"{number}@out.test", cause=Cause.BOUNCE, created_at=NOW)
            writer.add(msgspec.structs.replace(row, expires_at=until))
        for of in (gone, other):
            writer.add(msgspec.structs.replace(full(Webhook), domain_id=of))

    store.write_sync(fill)
    while store.write_sync(lambda writer: writer.purge(NOW)).more:
        pass
    assert [row.address for row in store.reader.find(Suppression, Query()).items] == ["1@out.test", "3@out.test"]
    assert store.reader.count(Webhook, every()) == 1


def written(directory: Path, form: Path) -> None:
    """Make the database that stands in a file as statements."""
    directory.mkdir()
    with sqlite3.connect(directory / "gatepost.db") as connection:
        connection.executescript(form.read_text())
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.close()


def assert_of_today(directory: Path) -> None:
    """An old store that was opened has the indexes and triggers of a new one."""
    fresh, grown = sqlite3.connect(":memory:", isolation_level=None), sqlite3.connect(directory / "gatepost.db")
    migrate(fresh)
    for kind in ("index", "trigger"):
        forms = [set(each.execute("SELECT sql FROM sqlite_master WHERE type = ?", [kind])) for each in (fresh, grown)]
        assert forms[0] == forms[1]
    fresh.close()
    grown.close()


def test_migrating_twice_changes_nothing(directory: Path) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    before = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    migrate(connection)
    assert connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before


def test_a_store_of_before_gets_the_tables_that_it_lacks(directory: Path) -> None:
    filled(directory)
    with sqlite3.connect(directory / "gatepost.db") as connection:
        fresh = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        for name in ("domain_dkim_removed", "domain_checkup_removed", "platform_checkup_removed"):
            connection.execute(f"DROP TRIGGER {name}")
        for name in ("dkim_key", "checkup"):
            connection.execute(f"DROP TABLE {name}")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name IN ('0003_dkim', '0006_health')")
    connection.close()
    open_store(directory).close_sync()
    with sqlite3.connect(directory / "gatepost.db") as connection:
        assert connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == fresh
    connection.close()


# Space.


def test_79_the_reserve_is_kept_in_octets_and_in_share(directory: Path) -> None:
    directory.mkdir()
    assert opening.room(directory, settings()) >= 0
    space = os.statvfs(directory)
    free = space.f_bavail * space.f_frsize
    assert opening.room(directory, settings(reserve_bytes=free * 2)) < 0
    assert opening.room(directory, settings(reserve_percent=100.0)) < 0


def test_79_space_is_looked_at_once_a_second(directory: Path) -> None:
    now = [1_000_000]
    store = open_store(directory, clock=lambda: now[0], reserve_percent=100.0)
    assert not store.fresh_space()
    store._settings = settings()
    assert not store.fresh_space()
    now[0] += 1000
    assert store.fresh_space()
    store.close_sync()


def test_a_reader_closed_with_the_store_is_not_asked_again(store: Store) -> None:
    assert store.reader.count(User, every()) == 0
    store.close_sync()
    with pytest.raises(sqlite3.ProgrammingError):
        store.reader.first(User, eq("id", 1))


@pytest.mark.anyio
async def test_a_database_that_was_taken_away_is_said_to_be_so_and_none_is_made_in_its_place(tmp_path: Path) -> None:
    """Who reads by a new connection: as many threads do as ask at once."""
    directory = tmp_path / "state"
    store = open_store(directory)
    database = store.path / "gatepost.db"
    database.rename(tmp_path / "away")
    with pytest.raises(Problem) as refused:
        await store.read(lambda reader: reader.count(Domain, All(())))
    assert refused.value.kind is Kind.UNAVAILABLE
    assert not database.exists()
    (tmp_path / "away").rename(database)
    assert await store.read(lambda reader: reader.count(Domain, All(()))) == 0
    await store.close()
