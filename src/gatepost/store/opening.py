"""How a store is opened: its directory, its lock, its database at the present schema, its key, its spool in order."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import ctypes
import fcntl
import os
import secrets as chance
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from gatepost.events import log
from gatepost.settings import StoreSettings
from gatepost.store.blobs import Spool
from gatepost.store.connection import PAGE, bare, dress
from gatepost.store.health import Health, StoreProblem, cause, is_damage, is_full
from gatepost.store.migrations import APPLICATION_ID, VERSION, migrate
from gatepost.store.secrets import Secrets, open_secrets

DATABASE = "gatepost.db"
WAL = f"{DATABASE}-wal"
DONE_LOG = "done.log"
SMALL = 256_000_000  # octets up to which a start after an unclean stop checks the whole database (rules 24)


class Opened:
    """What an open store stands on; `close` lets go of it in the right order."""

    def __init__(
        self, directory: Path, lock: int, connection: sqlite3.Connection, spool: Spool, health: Health, suspect: bool
    ) -> None:
        self.directory = directory
        self.database = directory / DATABASE
        self.wal = directory / WAL
        self.connection = connection
        self.spool = spool
        self.health = health
        self.suspect = suspect  # stopped uncleanly and too large to be checked at once
        self.key: Path
        self.secrets: Secrets
        self.salt = b""
        self.faults: list[str] = []
        self._lock: int | None = lock

    def close(self) -> None:
        if self._lock is None:
            return
        if self.health.broken:
            abandon(self.connection)
        else:
            self.connection.close()
        os.close(self._lock)
        self._lock = None


def abandon(connection: sqlite3.Connection) -> None:
    """Never close a connection: that would check-point, which is to try a failed sync again (threat 80).

    Python 3.11 can't ask SQLite to leave that out, so the object is kept from being freed even at the exit.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def open_directory(directory: Path, settings: StoreSettings, health: Health) -> Opened:
    """Open the store of a directory, making what is missing; raise StoreProblem."""
    try:
        _prepare(directory)
        lock = _lock(directory / "lock")
        try:
            return _open(directory, lock, settings, health)
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise StoreProblem.of(directory, error) from error
    except sqlite3.Error as error:
        raise refusal(directory / DATABASE, error) from error


def room(directory: Path, settings: StoreSettings) -> float:
    """Return how many octets the file system of the store has beyond the reserve; fewer than none where it is eaten."""
    space = os.statvfs(directory)
    free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    return free - max(settings.reserve_bytes, total * settings.reserve_percent / 100)


def key_path(directory: Path, settings: StoreSettings) -> Path:
    """Return where the master key lies: beside the database unless set otherwise (rules 25)."""
    return Path(settings.key_file) if settings.key_file else directory / "master.key"


def _prepare(directory: Path) -> None:
    database = directory / DATABASE
    if database.is_symlink():  # SQLite's log would lie beside its target, where no restore and no look at it expects it
        text = "is a symbolic link; have the whole directory elsewhere instead, by a link or by [store] directory"
        raise StoreProblem(database, text, StoreProblem.CONFIG)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if database.exists() or not any(directory.iterdir()):
        directory.chmod(0o700)  # never that of a directory which holds something else
    os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for file in directory.glob(f"{DATABASE}*"):
        file.chmod(0o600)


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        text = "another process uses this store (a daemon, or a command that works on it)"
        raise StoreProblem(path, text, StoreProblem.LOCKED) from None
    return handle


def _open(directory: Path, lock: int, settings: StoreSettings, health: Health) -> Opened:
    database, wal = directory / DATABASE, directory / WAL
    unclean = wal.exists() and wal.stat().st_size > 0
    if not (unclean or database.stat().st_size):
        check_fresh(directory)
    large = database.stat().st_size > SMALL
    if unclean:
        with closing(bare(database, reading=False)) as first:  # its end takes the log into the database
            _recognise(first, database)
    connection = _connect(database, check=unclean and not large)
    try:
        spool = Spool(directory / "spool", settings.spool_cut, health)
        opened = Opened(directory, lock, connection, spool, health, suspect=unclean and large)
        opened.key = key_path(directory, settings)
        opened.secrets, opened.salt = _unlock(connection, opened.key)
        opened.faults = _sweep(connection, spool)
    except BaseException:
        connection.close()
        raise
    return opened


def check_fresh(directory: Path) -> None:
    """Refuse to begin a new database where one has been lost: its mails would be swept, and its domains refused."""
    remains = [name for name in (DONE_LOG, "search.db") if (directory / name).exists()]
    if remains or any(path.is_file() for path in (directory / "spool").rglob("*")):
        lost = f"the database is lost: here is the rest of a store ({', '.join([*remains, 'spool'])}); put it back"
        raise StoreProblem(directory / DATABASE, lost, StoreProblem.CORRUPT)


def require_store(directory: Path) -> None:
    """Raise StoreProblem where `init` has made no store: a new one would refuse all mail for good.

    So it would where the store's file system is not mounted. What else may be wrong is told when the store is opened.
    """
    try:
        octets = (directory / DATABASE).stat().st_size
    except FileNotFoundError:
        octets = 0
    except OSError:
        return
    if not octets:
        check_fresh(directory)
        text = "holds no store; `gatepost init` makes one (is its file system mounted?)"
        raise StoreProblem(directory, text, StoreProblem.CONFIG)


def _connect(database: Path, *, check: bool) -> sqlite3.Connection:
    connection = bare(database, reading=False)
    try:
        _recognise(connection, database)
        dress(connection, reading=False)
        migrate(connection)
        _touch(connection, database, check=check)
    except BaseException:
        connection.close()
        raise
    return connection


def refusal(database: Path, error: sqlite3.Error) -> StoreProblem:
    """Return what an error of SQLite means to who opens a store."""
    if is_damage(error):
        return StoreProblem(database, f"the database is damaged ({error})", StoreProblem.CORRUPT)
    if is_full(cause(error, database.parent)):
        return StoreProblem(database, "the database can't be opened: no room is left on its disc", StoreProblem.BROKEN)
    return StoreProblem(database, f"the database can't be opened ({error})", StoreProblem.BROKEN)


def _recognise(connection: sqlite3.Connection, database: Path) -> None:
    """Refuse a file of something else, or of a later version, before anything is written to it."""
    (kind,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if kind != APPLICATION_ID and tables:
        raise StoreProblem(database, "is a database, but none of Gatepost", StoreProblem.CONFIG)
    if version > VERSION:
        text = f"is of a later version ({version}) than this program; install that one, or restore an earlier backup"
        raise StoreProblem(database, text, StoreProblem.CONFIG)
    if kind != APPLICATION_ID:
        connection.execute(f"PRAGMA page_size = {PAGE}")  # stands from the first write on
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _touch(connection: sqlite3.Connection, database: Path, *, check: bool) -> None:
    """Read the root of every table; the whole file where it was not closed properly (threat 82)."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    looks = [f'EXISTS (SELECT 1 FROM "{name}" NOT INDEXED)' for (name,) in names]
    connection.execute(f"SELECT {', '.join(looks)}").fetchall()
    if check:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreProblem(database, f"the database is damaged ({found})", StoreProblem.CORRUPT)


def _unlock(connection: sqlite3.Connection, key: Path) -> tuple[Secrets, bytes]:
    """Open the key that the store knows; a fresh store gets to know it here."""
    known = dict(connection.execute("SELECT key, value FROM meta WHERE key IN ('keys', 'salt')").fetchall())
    prints = msgspec.json.decode(known["keys"], type=list[str]) if "keys" in known else []
    secrets = open_secrets(key, prints)
    salt = known.get("salt") or chance.token_bytes(32)
    if "salt" not in known or secrets.fingerprints[0] not in prints:
        prints = sorted({*prints, secrets.fingerprints[0]})
        rows = [("keys", msgspec.json.encode(prints).decode()), ("salt", salt)]
        connection.execute("BEGIN")
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    return secrets, salt


def _sweep(connection: sqlite3.Connection, spool: Spool) -> list[str]:
    """Remove files without a row (what a crash left); return the rows without a file, which are faults (threat 85)."""
    spooled = {row[0] for row in connection.execute("SELECT mail_id FROM body WHERE data IS NULL")}
    drafts, orphans = spool.clear(), 0
    for name, path in spool.files():
        if name in spooled:
            spooled.remove(name)
        else:
            path.unlink()
            orphans += 1
    if drafts or orphans:
        log.info("swept the spool", drafts=drafts, orphans=orphans)
    faults = [f"{spool.path(mail_id)}: the body of this mail is missing" for mail_id in sorted(spooled)]
    for fault in faults:
        log.error(fault)
    return faults
