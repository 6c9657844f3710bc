"""A new master key: every secret sealed anew, slice by slice; the old key goes when nothing needs it any more."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet

from gatepost.store.health import StoreProblem
from gatepost.store.opening import Opened
from gatepost.store.schema import TABLES
from gatepost.store.secrets import SEALED, Secrets, Unsealable, fingerprint, read_keys, write_keys

SLICE = 500  # rows of one commit


def old_keys(path: Path) -> Path:
    """Return where the keys lie that only backups need."""
    return path.with_name(f"{path.name}.old")


def renew_key(opened: Opened) -> Iterator[int]:
    """Put a new key on top of the old one, seal every secret with it, and take the old one out of the file.

    Yields how many secrets were sealed anew so far, after each commit. Wherever it is broken off, the store opens with
    its key file as it is then, and the next renewal goes on: a file that holds several keys gets no further one, its
    first counts. Old keys are kept in `old_keys`. Raises StoreProblem where something can't be written, and before
    anything is where a file of old keys can't be read, which would be lost.
    """
    try:
        yield from _renew(opened)
    except sqlite3.Error as error:
        text = f"not everything could be sealed anew ({error}); run it again"
        raise StoreProblem(opened.database, text, StoreProblem.BROKEN) from error


def _renew(opened: Opened) -> Iterator[int]:
    path = opened.key.resolve()
    old = old_keys(path)
    keys, kept = read_keys(path), read_keys(old) if old.exists() else []
    if len(keys) == 1:
        keys.insert(0, Fernet.generate_key())
        _write(path, keys, "a new key can't be put on top of the old one")
    _know(opened.connection, keys)
    secrets, done = Secrets(keys), 0
    for table in TABLES.values():
        for column in table.columns.values():
            if column.type == "TEXT":
                for count in _sealed_anew(opened.connection, secrets, table.name, column.name):
                    done += count
                    yield done
    _know(opened.connection, keys[:1])
    trouble = "all is sealed with the first key, but the others can't be kept here, nor taken out"
    _write(old, [*kept, *(key for key in keys[1:] if key not in kept)], trouble)
    _write(path, keys[:1], "all is sealed with its first key, but the others can't be taken out")


def _sealed_anew(connection: sqlite3.Connection, secrets: Secrets, table: str, column: str) -> Iterator[int]:
    """Seal the secrets of one column anew; what only looks like one is left alone."""
    asked = f'SELECT rowid, "{column}" FROM "{table}" WHERE rowid > ? AND "{column}" GLOB ? ORDER BY rowid LIMIT ?'
    last = 0
    while rows := connection.execute(asked, (last, f"{SEALED}*", SLICE)).fetchall():
        last = rows[-1][0]
        renewed = []
        for number, sealed in rows:
            with suppress(Unsealable):
                renewed.append((secrets.renew(sealed), number))
        connection.execute("BEGIN")
        connection.executemany(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', renewed)
        connection.execute("COMMIT")
        yield len(renewed)


def _know(connection: sqlite3.Connection, keys: Sequence[bytes]) -> None:
    """Have the store ask for these keys at its next start."""
    prints = msgspec.json.encode(sorted(map(fingerprint, keys))).decode()
    connection.execute("UPDATE meta SET value = ? WHERE key = 'keys'", (prints,))


def _write(path: Path, keys: Sequence[bytes], trouble: str) -> None:
    try:
        write_keys(path, keys)
    except OSError as error:
        raise StoreProblem(path, f"{trouble}: {error.strerror}", StoreProblem.DENIED) from error
