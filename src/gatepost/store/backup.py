"""A consistent copy of a store while it works: files linked, the database as of one moment, the key only on demand."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gatepost.store.blobs import Spool, sync_folder
from gatepost.store.health import StoreProblem
from gatepost.store.opening import DATABASE
from gatepost.store.sqlite import connect


def backup(directory: Path, spool: Spool, target: Path, key: Path | None) -> None:
    """Copy a store into `target`, a new directory; with `key` its master key too. Raises StoreProblem.

    Removals of files wait while it runs (rules 25), so that the files of every row in the database's moment are
    there to be linked. A file that comes later than that moment is swept by the first start of the copy.
    """
    try:
        target.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StoreProblem(target, f"can't be made for the backup: {error.strerror}", StoreProblem.DENIED) from error
    try:
        with spool.hold():
            _copy_files(spool, target / "spool")
            _copy_database(directory / DATABASE, target / DATABASE)
            _copy_files(spool, target / "spool")
        if key is not None:
            _copy(key, target / "master.key")
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise StoreProblem(target, f"the backup failed ({error})", StoreProblem.BROKEN) from error
    for folder in _folders(target):
        sync_folder(folder)


def _copy_database(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(connect(source, reading=True)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)


def _copy_files(spool: Spool, target: Path) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    for name, path in spool.files():
        folder = target / path.parent.name
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / name).exists():
            _link(path, folder / name)


def _link(source: Path, target: Path) -> None:
    """Link a file, which never changes; copy it where the target is another file system."""
    try:
        target.hardlink_to(source)
    except OSError:
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as here, os.fdopen(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as there:
        shutil.copyfileobj(here, there, 1 << 20)
        there.flush()
        os.fsync(there.fileno())


def _folders(target: Path) -> Iterator[Path]:
    yield from (path for path in target.glob("**/") if path.is_dir())
    yield target.parent
