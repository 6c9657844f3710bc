"""How the store's database is connected to, for writing and for reading, and what SQL may ask of Python."""

import sqlite3
from functools import lru_cache
from pathlib import Path

import msgspec

from gatepost.model.likeness import Likeness, likes

PAGE = 8_192  # octets, of a store that is made; the log has each page that a commit touches as a whole
LOG = 65_536_000  # octets of the write-ahead log after which it goes into the database
BUSY = 5_000  # milliseconds that a transaction waits for another process that holds the database locked

# Values of other types than int, float and str are asked three ways whether they adapt, unless an adapter is known. The
# table is the whole process's: what a program that embeds this one has put there stays.
for _kind, _adapter in ((type(None), lambda none: none), (bool, int), (bytes, bytes)):
    sqlite3.adapters.setdefault((_kind, sqlite3.PrepareProtocol), _adapter)


def connect(path: Path, *, reading: bool) -> sqlite3.Connection:
    """Open a connection; only the writing one may check-point (two that do can corrupt a WAL before SQLite 3.51.3)."""
    connection = bare(path, reading=reading)
    dress(connection, reading=reading)
    return connection


def bare(path: Path, *, reading: bool) -> sqlite3.Connection:
    """Open a connection by which nothing has been said to the database yet."""
    # One that reads makes no file in the place of a database that was taken away.
    name = f"{path.absolute().as_uri()}?mode=rw" if reading else str(path)
    return sqlite3.connect(
        name, uri=reading, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=BUSY / 1000
    )


def dress(connection: sqlite3.Connection, *, reading: bool) -> None:
    """Have a bare connection work as all of ours do."""
    for pragma in (_READING if reading else _WRITING).split(";"):
        connection.execute(pragma).fetchall()
    if not reading:
        (page,) = connection.execute("PRAGMA page_size").fetchone()  # as it was when the store was made
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG // page}")
    connection.create_function("fold", 1, _fold, deterministic=True)
    connection.create_function("likes", 2, _likes, deterministic=True)


_READING = "PRAGMA query_only=1; PRAGMA wal_autocheckpoint=0"
_WRITING = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
    f"PRAGMA journal_size_limit={LOG}; PRAGMA cache_size=-65536;"
    # What is deleted is wiped in pages that are written anyway, and stays in those that become free: else a large body
    # would be written twice.
    "PRAGMA temp_store=MEMORY; PRAGMA secure_delete=FAST"
)


def _fold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _likes(likeness: str, text: str | None) -> bool | None:
    return None if text is None else likes(_likeness(likeness), text)


@lru_cache(maxsize=256)
def _likeness(text: str) -> Likeness:
    return msgspec.json.decode(text, type=Likeness)
