"""A file that an administrator keeps up, read again when it changes; one that goes bad leaves its last good state."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class Watched(Generic[T]):
    """What a file says now. `read` runs in a thread; it raises OSError or ValueError, as does the constructor."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.path = path
        self._read = read
        self._reading = asyncio.Lock()
        self._seen: tuple[int, int, int] | None = _stamp(path)
        self.value = read(path)
        self.trouble = ""

    async def refresh(self) -> None:
        """Read the file where it has changed; who comes while it is read goes by its last state.

        `trouble` says why it can't be read, "" while it can.
        """
        if self._reading.locked():
            return
        async with self._reading:
            try:
                await self._read_again()
            except OSError as error:
                self._seen = None
                self.trouble = str(error)
            except ValueError as error:  # not tried again before the file has changed
                self.trouble = str(error)

    async def _read_again(self) -> None:
        stamp = _stamp(self.path)
        if stamp != self._seen:
            self._seen = stamp
            self.value = await asyncio.to_thread(self._read, self.path)
            self.trouble = ""


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what tells a file from its earlier states."""
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
