"""Looks through a whole store for `gatepost check`: damage, rows without bodies, bodies without rows, loose rights."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import fcntl
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from gatepost.settings import StoreSettings
from gatepost.store import search
from gatepost.store.connection import connect
from gatepost.store.health import StoreProblem, is_damage
from gatepost.store.migrations import APPLICATION_ID, VERSION
from gatepost.store.opening import DATABASE, key_path
from gatepost.store.schema import LIVE, TABLES
from gatepost.store.secrets import open_secrets


class Flaw(msgspec.Struct, frozen=True):
    """One thing that is not as it should be. `grave` ones lose mail or secrets; the others the next start mends."""

    file: str
    text: str
    grave: bool = True


# What must be empty, and how it is told.
_RELATIONS = {
    "a kept copy has no body": "SELECT mail_id FROM copy WHERE mail_id NOT IN (SELECT mail_id FROM body)",
    "a delivery under way has no body": (
        f"SELECT mail_id FROM delivery WHERE {LIVE} AND mail_id NOT IN (SELECT mail_id FROM body)"
    ),
    "a kept copy has no message": "SELECT mail_id FROM copy WHERE mail_id NOT IN (SELECT id FROM message)",
    "a delivery has no message": "SELECT mail_id FROM delivery WHERE mail_id NOT IN (SELECT id FROM message)",
    "a body has no message": (
        "SELECT mail_id FROM body WHERE mail_id NOT IN (SELECT id FROM message)"
        " AND mail_id NOT IN (SELECT id FROM upload UNION ALL SELECT id FROM share)"
    ),
    "a body is needed by nobody": (
        "SELECT mail_id FROM body WHERE mail_id NOT IN (SELECT mail_id FROM copy)"
        " AND mail_id NOT IN (SELECT id FROM upload UNION ALL SELECT id FROM share)"
        f" AND mail_id NOT IN (SELECT mail_id FROM delivery WHERE {LIVE})"
    ),
    "a file has no octets": (
        "SELECT id FROM (SELECT id FROM upload UNION ALL SELECT id FROM share)"
        " WHERE id NOT IN (SELECT mail_id FROM body)"
    ),
    "the size of a body is wrong": "SELECT mail_id FROM body WHERE data IS NOT NULL AND length(data) != size",
    "the counts of a folder are wrong": (
        "SELECT mailbox || ' ' || folder FROM (SELECT mailbox, folder, category, count(*) AS t, sum(NOT seen) AS u"
        " FROM copy GROUP BY mailbox, folder, category) c WHERE NOT EXISTS (SELECT 1 FROM folder f WHERE"
        " f.mailbox = c.mailbox AND f.folder = c.folder AND f.category = c.category AND f.total = t AND f.unseen = u)"
    ),
    "the users of a domain are counted wrong": (
        "SELECT domain_id FROM (SELECT domain_id, status, 1 AS n FROM user UNION ALL"
        " SELECT domain_id, status, -total FROM user_total) GROUP BY domain_id, status HAVING sum(n) != 0"
    ),
    "a folder is counted that is empty": (
        "SELECT mailbox || ' ' || folder FROM folder f WHERE NOT EXISTS"
        " (SELECT 1 FROM copy c WHERE c.mailbox = f.mailbox AND c.folder = f.folder AND c.category = f.category)"
    ),
    "the octets of refused mail are counted wrong": (
        "SELECT value FROM meta WHERE key = 'refused'"
        " AND value != (SELECT coalesce(sum(size), 0) FROM trace WHERE refused = 1)"
    ),
}
_SHOWN = 10  # examples of one sort


def verify(directory: Path, settings: StoreSettings) -> list[Flaw]:
    """Return what is wrong with a store. Nothing is changed.

    A store in use may be looked at too; files without a row are judged only while it is not. Raises StoreProblem only
    where there is no store.
    """
    database = directory / DATABASE
    if not database.is_file():
        raise StoreProblem(database, "there is no store here", StoreProblem.CONFIG)
    flaws = list(_rights(directory))
    with _alone(directory / "lock") as alone:
        try:
            with closing(connect(database, reading=True)) as connection:
                flaws += _database(connection, database)
                flaws += _key(connection, directory, settings)
                flaws += _spool(connection, directory / "spool", alone=alone)
        except sqlite3.Error as error:
            flaws.append(Flaw(str(database), f"the database is damaged ({error})"))
    return flaws


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold the store's lock for the block where no process has it, and tell so."""
    if not path.exists():
        yield True
        return
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _database(connection: sqlite3.Connection, database: Path) -> Iterator[Flaw]:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        yield Flaw(str(database), "is no database of Gatepost")
        return
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        yield Flaw(str(database), f"is of version {version}, this program of {VERSION}", grave=version > VERSION)
    for (text,) in connection.execute("PRAGMA quick_check"):
        if text != "ok":
            yield Flaw(str(database), f"the database is damaged ({text})")
    for name in _illegible(connection):
        yield Flaw(str(database), f"the database is damaged (a text of the table {name} is none any more)")
    for text, sql in _RELATIONS.items():
        for (name,) in connection.execute(f"{sql} LIMIT {_SHOWN}"):
            yield Flaw(str(database), f"{text}: {name}")


def _illegible(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the tables that have a text which can't be read, which SQLite's own check passes over."""
    for table in TABLES.values():
        try:
            for _ in connection.execute(f'SELECT * FROM "{table.name}"'):
                pass
        except sqlite3.Error as error:  # a table may lack as yet that the next start makes
            if is_damage(error):
                yield table.name


def _key(connection: sqlite3.Connection, directory: Path, settings: StoreSettings) -> Iterator[Flaw]:
    found = connection.execute("SELECT value FROM meta WHERE key = 'keys'").fetchone()
    path = key_path(directory, settings)
    if found is None:  # never opened to its end: the next start makes or takes a key
        return
    try:
        open_secrets(path, msgspec.json.decode(found[0], type=list[str]))
    except StoreProblem as problem:
        yield Flaw(str(path), str(problem).removeprefix(f"{path}: "))


def _spool(connection: sqlite3.Connection, spool: Path, *, alone: bool) -> Iterator[Flaw]:
    sizes: dict[str, int] = dict(connection.execute("SELECT mail_id, size FROM body WHERE data IS NULL"))
    for path in sorted(spool.glob("*/*")):
        size = sizes.pop(path.name, None) if path.parent.name != "tmp" else None
        if size is None:
            if alone:
                yield Flaw(str(path), "belongs to no mail; the next start removes it", grave=False)
        elif path.stat().st_size != size:
            yield Flaw(str(path), f"has not the {size} octets of its mail")
    for mail_id in sizes:
        if _spooled(connection, mail_id):
            yield Flaw(str(spool / mail_id[-2:] / mail_id), "the body of this mail is missing")


def _spooled(connection: sqlite3.Connection, mail_id: str) -> bool:
    """Tell whether the row is there still: a running daemon removes row and file while we look."""
    sql = "SELECT 1 FROM body WHERE mail_id = ? AND data IS NULL"
    return connection.execute(sql, (mail_id,)).fetchone() is not None


def _rights(directory: Path) -> Iterator[Flaw]:
    paths = [
        directory,
        *directory.glob(f"{DATABASE}*"),
        *directory.glob(f"{search.NAME}*"),
        directory / "lock",
        directory / "master.key",
    ]
    paths += [directory / "spool", *(directory / "spool").glob("**/*")]
    for path in paths:
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                yield Flaw(str(path), f"is open to others (mode {mode:04o})", grave=False)
