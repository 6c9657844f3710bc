"""Tells whether a folder lies in memory that has room for all tests."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOM = 4_000_000_000  # octets, many times what the tests have at once

_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # cgroups 2 and 1


def has_room(folder: str, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> bool:
    """Tell whether a folder in memory has room for all tests, and programs in it may be run."""
    try:
        there = os.statvfs(folder)
        told = dict(line.split(":", 1) for line in (proc / "meminfo").read_text(encoding="ascii").splitlines())
        free = int(told["MemAvailable"].split()[0]) * 1024
        room = min(free, there.f_bavail * there.f_frsize, *_allowed(proc, groups))
    except (OSError, KeyError):  # another system
        return False
    return room >= ROOM and not there.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


def _allowed(proc: Path, groups: Path) -> Iterator[int]:
    """Yield how many octets more each control group lets its processes have, of those that limit them.

    What lies in memory counts for who wrote it; `MemAvailable` tells of the whole machine, in a container too.
    """
    for line in (proc / "self/cgroup").read_text(encoding="utf-8").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        folder = (groups / kinds if kinds else groups) / path.lstrip("/")
        for each in (folder, *folder.parents):
            for most, used in _LIMITS:
                with suppress(OSError, ValueError):  # none there, or "max"
                    yield int((each / most).read_text(encoding="ascii")) - int(
                        (each / used).read_text(encoding="ascii")
                    )
