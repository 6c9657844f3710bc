"""The done log: one unsynced line for each delivered recipient, before its row; so that a kill repeats few mails."""

import errno
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from gatepost.mta.outcome import Outcome, Reply, Result
from gatepost.store.health import StoreProblem
from gatepost.store.opening import DONE_LOG

TRIM_BYTES = 1_000_000


class Done(msgspec.Struct, frozen=True):
    """A delivery that a next hop has taken. `at` in epoch milliseconds."""

    id: int
    at: int
    code: int
    status: str
    text: str
    hop: str
    tls: str | None
    remote_id: str | None
    takes_dsn: bool
    took: int

    @property
    def outcome(self) -> Outcome:
        return Outcome(
            result=Result.DELIVERED,
            reply=Reply(self.code, self.status, self.text),
            hop=self.hop,
            tls=self.tls,
            remote_id=self.remote_id,
            takes_dsn=self.takes_dsn,
            at=self.at,
            took=self.took,
        )


class DoneLog:
    """`<directory>/done.log`. What a kill of the process leaves is whole but for a last line that broke off.

    A line goes to the kernel by one write and is not synced: it outlives the process, not the machine (threat 95).
    """

    def __init__(self, directory: Path) -> None:
        """Open the log, or make it; raise StoreProblem."""
        self._path = directory / DONE_LOG
        try:
            self._file = self._open(self._path)
        except OSError as error:
            raise StoreProblem.of(self._path, error) from error
        self._size = os.fstat(self._file).st_size
        self._pending: dict[int, bytes] = {}

    def read(self) -> list[Done]:
        """Return what is in the log; lines that can't be read are passed over, their mails go out again."""
        found = []
        for line in self._path.read_bytes().split(b"\n")[:-1]:
            try:
                found.append(msgspec.json.decode(line, type=Done))
            except msgspec.MsgspecError:
                continue
        return found

    def note(self, delivery_id: int, outcome: Outcome) -> None:
        """Write that a delivery was taken; raises OSError where that can't be written, which harms nothing."""
        reply = outcome.reply
        done = Done(
            delivery_id,
            outcome.at,
            reply.code,
            reply.status,
            reply.text,
            outcome.hop,
            outcome.tls,
            outcome.remote_id,
            outcome.takes_dsn,
            outcome.took,
        )
        line = self.keep(done)
        os.write(self._file, line)
        self._size += len(line)

    def keep(self, done: Done) -> bytes:
        """Let what stands in the log stay there until the delivery's row is settled; return its line."""
        line = self._pending[done.id] = msgspec.json.encode(done) + b"\n"
        return line

    def forget(self, delivery_id: int) -> None:
        """Note that a delivery's row is settled."""
        self._pending.pop(delivery_id, None)
        if self._size > TRIM_BYTES:
            self.trim()

    def trim(self) -> None:
        """Keep only what is not settled, where there is room; a kill meanwhile leaves the old log or the new one."""
        with suppress(OSError):  # a long log harms nothing, and the next delivery tries again
            file = self._rewritten()
            os.close(self._file)
            self._file = file
            self._size = os.fstat(file).st_size

    def _rewritten(self) -> int:
        fresh = self._path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        file = self._open(fresh)
        try:
            rest = b"".join(self._pending.values())
            if os.write(file, rest) < len(rest):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fresh.rename(self._path)
        except OSError:
            os.close(file)
            raise
        return file

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
