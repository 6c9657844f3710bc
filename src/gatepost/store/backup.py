"""A consistent copy of a store while it works: files linked, the database as of one moment, the key only on demand."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from gatepost.model.problem import Kind, Problem
from gatepost.store.blobs import Spool, sync_folder
from gatepost.store.health import is_full
from gatepost.store.opening import DATABASE, DONE_LOG, WAL

PAGES = 1000  # of the database that are copied at once: 16 MB
UNFINISHED = ".unfinished"  # behind the name of a copy that is being made

_DENIED = Kind.FORBIDDEN, "The daemon may not write there"
_REFUSED = {
    errno.EEXIST: (Kind.CONFLICT, "There is something of this name already"),
    errno.ENOENT: (Kind.UNPROCESSABLE, "Make the directory first that it is to lie in, where the daemon sees it, too"),
    errno.ENOTDIR: (Kind.UNPROCESSABLE, "What it is to lie in is no directory"),
    errno.ENAMETOOLONG: (Kind.UNPROCESSABLE, "Its name is too long"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _DENIED,
}


class Copied(msgspec.Struct, frozen=True):
    """What a backup holds: octets in all, and files of large bodies."""

    octets: int
    bodies: int


def backup(
    directory: Path,
    spool: Spool,
    target: Path,
    key: Path | None,
    room: Callable[[], float],
    ending: Callable[[], bool],
) -> Copied:
    """Copy a store into `target`, a new directory; with `key` its master key too. Raises Problem.

    `room` says how many octets the store's file system has beyond the reserve: a copy there takes no more.

    It bears its name only when it is whole and on the disc. Removals of files wait while it runs (rules 25), so that
    the files of every row in the database's moment are there to be linked. A file that comes later than that moment is
    swept by the first start of the copy. Once `ending` says so, the copy is given up.
    """
    unfinished = _begin(spool, target)
    try:
        _require_room(directory, unfinished, room)
        with spool.hold():
            _copy_files(spool, unfinished / "spool", ending)
            _copy_rows(directory, unfinished, ending)
            _copy_files(spool, unfinished / "spool", ending)
        if key is not None:
            _copy(key, unfinished / "master.key")
        return _finish(unfinished, target)
    except (OSError, sqlite3.Error) as error:
        kind = Kind.FULL if is_full(error) else Kind.UNAVAILABLE
        raise Problem(kind, f"The backup failed: {error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _begin(spool: Spool, target: Path) -> Path:
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(spool.directory)):
        raise Problem(Kind.UNPROCESSABLE, "The next start would sweep it out of the spool.", pointer="/directory")
    try:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "", str(target))
        unfinished = target.with_name(target.name + UNFINISHED)
        unfinished.mkdir(mode=0o700)
    except OSError as error:
        kind, text = _REFUSED.get(error.errno or 0, (Kind.UNAVAILABLE, f"The backup failed ({error.strerror})"))
        where = target.parent if error.errno in (errno.ENOENT, errno.ENOTDIR) else target
        raise Problem(kind, f"{text}: {where}", pointer="/directory") from error
    return unfinished


def _require_room(source: Path, target: Path, room: Callable[[], float]) -> None:
    """Raise FULL where a copy beside the store would eat into its reserve; files of large bodies are links there."""
    if target.stat().st_dev != source.stat().st_dev:
        return
    files = (source / name for name in (DATABASE, WAL, DONE_LOG))
    needed, left = sum(path.stat().st_size for path in files if path.exists()), max(room(), 0)
    if needed > left:
        text = f"The copy takes {needed} octets, and its file system has {left:.0f} beyond the store's reserve."
        raise Problem(Kind.FULL, text, pointer="/directory")


def _finish(unfinished: Path, target: Path) -> Copied:
    """Give a copy its name, once all of it is on the disc."""
    for folder in unfinished.glob("**/"):
        sync_folder(folder)
    sizes = [path.stat().st_size for path in unfinished.rglob("*") if path.is_file()]
    unfinished.rename(target)
    sync_folder(target.parent)
    return Copied(sum(sizes), sum(1 for _ in (target / "spool").glob("*/*")))


def _copy_rows(source: Path, target: Path, ending: Callable[[], bool]) -> None:
    """Copy the database, and with it, first, what the done log knows and the database does not know yet."""

    def go_on(*_: int) -> None:
        _unless(ending)

    os.close(os.open(target / DATABASE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(_reading(source / DATABASE)) as here, closing(sqlite3.connect(target / DATABASE)) as there:
        with suppress(FileNotFoundError):
            _copy(source / DONE_LOG, target / DONE_LOG)
        here.backup(there, pages=PAGES, progress=go_on)
    _copy_no_log(target)


def _copy_no_log(target: Path) -> None:
    """Let a copy have an empty write-ahead log, in place of what a killed store has where it is laid over that one.

    SQLite takes any whole log beside a database for its own, and would write the pages of the other one into it.
    """
    handle = os.open(target / WAL, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.fsync(handle)
    os.close(handle)


def _reading(database: Path) -> sqlite3.Connection:
    """Return a connection at the database's present moment, which can neither write nor check-point.

    Not even when it is the last one that closes: then any other would put the write-ahead log into the database.
    """
    here = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    here.execute("BEGIN")
    here.execute("SELECT count(*) FROM meta").fetchone()  # the moment is that of the first row read
    return here


def _copy_files(spool: Spool, target: Path, ending: Callable[[], bool]) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    for name, path in spool.files():
        _unless(ending)
        folder = target / path.parent.name
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / name).exists():
            with suppress(FileNotFoundError):  # its removal had begun before, and its row is gone
                _link(path, folder / name)


def _unless(ending: Callable[[], bool]) -> None:
    if ending():
        raise Problem(Kind.UNAVAILABLE, "The backup was broken off.")


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
