"""Whether the store takes writes, and what a failed one means: full and locked heal, broken stays until a restart."""

import errno
import os
import pwd
import sqlite3
import tempfile
from pathlib import Path

from gatepost.events import Metrics, log
from gatepost.model.problem import Kind, Problem

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TIRED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BROKEN = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL})
_UNSAID = frozenset({sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE})  # SQLite knows no quota by name
_UNTIL = {
    "full": "there is room again",
    "locked": "the other process lets go of the database",
    "broken": "the service is started again",
}
_TRIAL, _TRIALS = 1 << 20, 16  # octets of one write, and writes
_AWAY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT})


class StoreProblem(Exception):
    """The store can't be opened; the text names the file, `code` is the exit code (sysexits.h)."""

    CONFIG = 78
    CORRUPT = 65
    LOCKED = 75
    DENIED = 77
    BROKEN = 74

    def __init__(self, path: Path, text: str, code: int) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path
        self.code = code

    @classmethod
    def of(cls, path: Path, error: OSError, trouble: str = "can't be used") -> "StoreProblem":
        """Return what an error of the system means to a store; it is told of the file that the error names, if any."""
        file = Path(error.filename) if isinstance(error.filename, str) else path
        if isinstance(error, PermissionError):
            return cls(file, f"{trouble}: {error.strerror}{_whose(file)}", cls.DENIED)
        said = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror
        return cls(file, f"{trouble}: {said}", cls.BROKEN)


def _whose(file: Path) -> str:
    """Say whose a file is, or the first of its folders that can be looked at; nothing where it is ours."""
    for path in (file, *file.parents):
        try:
            owner = path.stat().st_uid
        except OSError:
            continue
        if owner == os.geteuid():
            return ""
        ours, theirs = _user(os.geteuid()), _user(owner)
        return f" ({path} belongs to {theirs}: run this as {theirs}, or give it to {ours} by chown)"
    return ""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


class Health:
    """One for each store: `ok` is what the doors ask before they take mail."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.store_healthy
        self.full = False
        self.locked = False  # by another process
        self.broken = False  # never unset: after a failed sync nobody knows what the disc holds (threat 80)
        self._gauge.set(1)

    @property
    def ok(self) -> bool:
        return not (self.full or self.locked or self.broken)

    @property
    def passing(self) -> bool:
        """Whether writes fail for what may be over soon: it is tried again and again. Nothing is where it is broken."""
        return (self.full or self.locked) and not self.broken

    @property
    def trouble(self) -> Problem | None:
        """Why nothing can be kept now; None while all is well."""
        if self.full and not self.broken:
            return Problem(Kind.FULL, "no space left")
        return None if self.ok else self.unavailable()

    def recovered(self) -> None:
        """Note that a write succeeded."""
        if self.full or self.locked:
            log.info("the store has room again" if self.full else "the database is no longer locked")
            self.full = self.locked = False
            self._gauge.set(int(self.ok))

    def spoiled(self) -> None:
        """Note that the database is damaged: nothing more is written to it."""
        self.broken = True
        self._gauge.set(0)

    def blame(self, error: sqlite3.Error | OSError | MemoryError) -> Problem:
        """Judge a failure to write: note what it says of the disc, return the Problem for who asked."""
        if is_full(error):
            self._mark("full", error)
            return Problem(Kind.FULL, "no space left", error=str(error))
        if is_broken(error):
            self._mark("broken", error)
        elif isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_BUSY:
            self._mark("locked", error)
        return self.unavailable(error)

    def unreadable(self, error: sqlite3.Error) -> Exception:
        """Judge a failure to read: damage and I/O errors are the store's, a list that finds no room in the temporary
        directory to be sorted is too long now, the rest is a fault of who asked."""
        if is_full(error):
            return Problem(Kind.FULL, "There is no room to sort so much: ask for less.", error=str(error))
        if not is_broken(error) and primary_code(error) not in _AWAY:
            return error
        log.error("the store can't be read", error=str(error))
        return self.unavailable(error)

    def unavailable(self, error: Exception | None = None) -> Problem:
        """Return the Problem for who asks while the store can't answer."""
        return Problem(Kind.UNAVAILABLE, "the store is not available, try later", error=str(error) if error else "")

    def _mark(self, what: str, error: Exception) -> None:
        if not getattr(self, what):
            setattr(self, what, True)
            log.error("the store takes no writes", state=what, until=_UNTIL[what], error=str(error))
            self._gauge.set(0)


def primary_code(error: sqlite3.Error) -> int:
    """Return the primary result code of an SQLite error; 0 where it has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error says that the database is damaged: a text that is none any more has no code of its own."""
    return primary_code(error) in _DAMAGED or str(error).startswith("Could not decode to UTF-8")


def is_full(error: Exception) -> bool:
    """Tell whether an error says that the disc, or what its owner may take of it, is full."""
    if isinstance(error, sqlite3.Error):
        return primary_code(error) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL


def cause(error: sqlite3.Error, directory: Path) -> sqlite3.Error | OSError:
    """Return what the system says of a directory that has no room where SQLite speaks of an I/O error; else that.

    So it calls a quota that is used up. Nothing but a file that is gone at once is written here.
    """
    if getattr(error, "sqlite_errorcode", 0) not in _UNSAID:
        return error
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            for number in range(_TRIALS):
                os.pwrite(file.fileno(), bytes(_TRIAL), number * _TRIAL)
    except OSError as refusal:
        return refusal if is_full(refusal) else error
    return error


def is_broken(error: Exception) -> bool:
    """Tell whether an error says that the disc, or what lies there, can't be used: not that this process can't now."""
    if isinstance(error, sqlite3.Error):
        return primary_code(error) in _BROKEN or is_damage(error)
    return isinstance(error, OSError) and error.errno not in _TIRED
