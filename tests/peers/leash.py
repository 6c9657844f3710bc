"""Keeps the daemons of tests from outliving them: whoever started them may be killed, and they end all the same."""

import subprocess
from collections.abc import Sequence
from typing import Any


class Leash:
    """Kills a process group as soon as this process is gone, whatever ended it; `loose` it when the group has ended."""

    def __init__(self, group: int) -> None:
        command = ["sh", "-c", f"read -r word || kill -s KILL -- -{group}"]
        self._holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def loose(self) -> None:
        if self._holder.poll() is None:
            self._holder.communicate(b"loose\n")


class Leashed(subprocess.Popen[bytes]):
    """A process with a group of its own on a leash, until its end was waited for."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(command, start_new_session=True, **options)
        self._leash = Leash(self.pid)

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        self._leash.loose()
        return code

    def poll(self) -> int | None:
        code = super().poll()
        if code is not None:
            self._leash.loose()
        return code
