"""Large bodies as files: written in spool/tmp, synced, then renamed to the mail's id before its row is committed."""

import asyncio
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gatepost.events import log
from gatepost.model.envelope import Body
from gatepost.model.problem import Problem
from gatepost.store.health import Health

_REMEMBERED = 1000
_START = 32_768  # octets of a file that stay in memory while its mail is judged and sent: few headers are longer
_HEX = frozenset("0123456789abcdef")


class Draft:
    """A body while it comes in: in memory up to the cut, then a file. Not safe for several tasks at once."""

    def __init__(self, spool: "Spool", cut: int) -> None:
        self._spool = spool
        self._cut = cut
        self._parts: list[bytes] = []
        self._file: BinaryIO | None = None
        self._failure: Problem | None = None
        self.path: Path | None = None
        self.start = b""  # of the file
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append octets; raise Problem(FULL) or Problem(UNAVAILABLE), after which nothing of the draft is kept."""
        self.size += len(data)
        if self._file is None and self.size < self._cut and self._failure is None:
            self._parts.append(data)
            return
        with self.guarded():
            if self._file is None:
                self._parts.append(data)
                self._open()
            else:
                self._file.write(data)
                self.start += data[: _START - len(self.start)]

    def spill(self) -> None:
        """Go on in a file, though it may be below the cut; raise as `write`."""
        if self._file is None:
            with self.guarded():
                self._open()

    def _open(self) -> None:
        self.path = self._spool.fresh()
        self._file = open(self.path, "xb", opener=_private)  # noqa: SIM115 - lives as long as the draft
        data = b"".join(self._parts)
        self.start = data[:_START]
        self._file.write(data)
        self._parts.clear()

    def data(self) -> bytes:
        """Return what is in memory, as one; raise what a write failed by."""
        if self._failure is not None:
            raise self._failure
        return b"".join(self._parts)

    def sync(self) -> None:
        """Make the file durable and close it (blocking)."""
        with self.guarded():
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()

    def discard(self) -> None:
        """Forget the draft and remove its file; may be called twice."""
        self._parts.clear()
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what it still holds back is not wanted any more
                file.close()
        if self.path is not None:
            _unlink(self.path)
            self.path = None

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn a failed write into a Problem, and every later one into the same: nothing of the draft is kept."""
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except OSError as error:
            self._failure = self._spool.blame(error)
            self.discard()
            raise self._failure from error


class Spool:
    """The files of one store, 256 folders by the last two digits of the id. Removals wait while a backup runs."""

    def __init__(self, directory: Path, cut: int, health: Health) -> None:
        self.directory = directory
        self._tmp = directory / "tmp"
        self._cut = cut
        self.blame = health.blame
        self._unavailable = health.unavailable
        self._holds = 0
        self._waiting: deque[str] = deque()
        self._moved: dict[str, str] = {}  # the last adopted: path of the draft -> mail id
        self.reclaim: Callable[[str], None] = self.remove
        self._threads = ThreadPoolExecutor(4, "spool")
        for folder in (directory, self._tmp):
            folder.mkdir(mode=0o700, exist_ok=True)

    def draft(self) -> Draft:
        """Return a place to write a body to."""
        return Draft(self, self._cut)

    async def finish(self, draft: Draft) -> Body:
        """Close a draft: its octets, or its file once that is on disc. Raises Problem(FULL | UNAVAILABLE)."""
        if draft.path is None:
            return Body(draft.size, draft.data())
        await self._off_loop(draft.sync)
        return Body(draft.size, path=str(draft.path), start=draft.start)

    async def adopt(self, body: Body, mail_id: str) -> Body:
        """Give a finished file its mail's name, durably; call it before the row's commit. Bytes pass as they are.

        A crash after it leaves a file without a row, which the next start sweeps.
        """
        if body.path is None:
            return body
        source, target = Path(body.path), self.path(mail_id)
        await self._off_loop(lambda: self._move(source, target))
        while len(self._moved) > _REMEMBERED:
            self._moved.pop(next(iter(self._moved)))
        return Body(body.size, path=str(target), start=body.start)

    def forget(self, body: Body) -> None:
        """Remove the file of a finished body whose mail is not kept after all, adopted (under either path) or not.

        An adopted file goes only if no row needs it: the writer looks, so that a late commit wins.
        """
        if body.path is None:
            return
        path = Path(body.path)
        mail_id = path.name if path.parent != self._tmp else self._moved.pop(body.path, None)
        if mail_id is None:
            _unlink(path)
        else:
            self.reclaim(mail_id)

    def path(self, mail_id: str) -> Path:
        """Return where a mail's file lies; raise ValueError for what is no mail id."""
        if len(mail_id) != 32 or not _HEX.issuperset(mail_id):
            raise ValueError(f"no mail id: {mail_id!r}")
        return self.directory / mail_id[-2:] / mail_id

    def remove(self, mail_id: str) -> None:
        """Remove a mail's file, now or when the last hold ends; what can't be removed the next start sweeps."""
        self._waiting.append(mail_id)
        if not self._holds:
            self._drain()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every file in its place as long as the block runs."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._drain()

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the mail id and the path of each adopted file."""
        for folder in sorted(self.directory.iterdir()):
            if folder != self._tmp and folder.is_dir():
                for file in sorted(folder.iterdir()):
                    yield file.name, file

    def clear(self) -> int:
        """Remove the drafts that a crash left; return their number."""
        left = list(self._tmp.iterdir())
        for file in left:
            file.unlink(missing_ok=True)
        return len(left)

    def fresh(self) -> Path:
        """Return an unused path for a draft."""
        return self._tmp / secrets.token_hex(16)

    def close(self) -> None:
        self._threads.shutdown()

    def _move(self, source: Path, target: Path) -> None:
        try:
            self._enter(target.parent)
            source.rename(target)
            self._moved[str(source)] = target.name
            sync_folder(target.parent)
        except FileNotFoundError as error:  # forgotten meanwhile, by one who waits no longer: the disc is well
            raise self._unavailable(error) from error
        except OSError as error:
            raise self.blame(error) from error

    def _enter(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self.directory)

    def _drain(self) -> None:
        while self._waiting:
            try:
                mail_id = self._waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            _unlink(self.path(mail_id))

    async def _off_loop(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _unlink(path: Path) -> None:
    """Remove a file that nobody needs. Where the disc refuses, the next start sweeps it: no answer depends on it."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a spool file was not removed", file=str(path), error=str(error))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
