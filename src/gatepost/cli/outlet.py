"""Where log lines leave the process. Whoever reads them may be gone, stuck or full: no mail fails for it."""

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

PATIENCE = 1.0  # seconds that lines wait, one after the other, for a reader who has fallen behind
RESPITE = 60.0  # seconds until they wait as long again
PIECE = select.PIPE_BUF  # octets that a pipe takes without waiting once it says that it takes any


class Outlet:
    """A text file for log lines over a descriptor; it never raises, and holds its writer up only that long.

    What it can't pass on is lost, and the next line that gets through is told how much that was.
    """

    def __init__(self, fd: int, told: Callable[[int], str]) -> None:
        """`told` makes the line that says how many before it were lost."""
        self._fd = _that_never_waits(fd)
        self._told = told
        self._lost = 0
        self._torn = False  # the last line ends in its midst
        self._left = 0.0  # seconds that lines may wait still
        self._renewed = 0.0  # when they may wait as long again
        self._lock = threading.RLock()  # a finaliser may log while garbage is collected within a line
        self._ready = select.poll()
        self._ready.register(self._fd, select.POLLOUT)

    def write(self, text: str) -> int:
        """Pass a whole line on, or lose it."""
        with self._lock:
            before = "\n" if self._torn else ""
            if self._lost:
                before += self._told(self._lost) + "\n"
            if self._pass_on((before + text).encode("utf-8", "backslashreplace")):
                self._lost = 0
            else:
                self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _pass_on(self, line: bytes) -> bool:
        rest = line
        try:
            while rest:
                if not self._takes():
                    break
                rest = rest[os.write(self._fd, rest[:PIECE]) :]
        except OSError:  # nobody reads, or the disc is full
            pass
        self._torn = (self._torn and rest == line) or 0 < len(rest) < len(line)
        return not rest

    def _takes(self) -> bool:
        if self._ready.poll(0):
            return True
        now = time.monotonic()
        if now >= self._renewed:
            self._left, self._renewed = PATIENCE, now + RESPITE
        if self._left <= 0:
            return False
        ready = bool(self._ready.poll(self._left * 1000))
        self._left -= time.monotonic() - now  # a reader who is only late costs little of it, each time
        return ready


def _that_never_waits(fd: int) -> int:
    """Open a terminal anew: one that is stopped (Ctrl-S) says that it takes words, and has who writes them wait.

    Only so is that no affair of the other programs there. What else may stand behind the descriptor keeps its word.
    """
    if os.isatty(fd):
        with suppress(OSError):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return fd
