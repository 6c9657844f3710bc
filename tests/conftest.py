"""What every test may use."""

import gc
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from gatepost.events import log

ROOM = 4_000_000_000  # octets, many times what the tests have at once

# Random texts are the same at each run, which so tells of the code alone, and none comes too late on a busy machine;
# `make soak` takes others each time.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("others", deadline=None)
settings.load_profile("same")


def quick(folder: str) -> bool:
    """Tell whether a folder lies in memory that has room for all tests, and programs in it may be run."""
    try:
        there = os.statvfs(folder)
        told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        free = int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # another system
        return False
    room = min(free, there.f_bavail * there.f_frsize)
    return room >= ROOM and not there.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


# Each of thousands of stores waits for its disc at each commit. No test cuts the power, and what is in memory outlives
# the kill of a process as well as what is on a disc.
if "TMPDIR" not in os.environ and quick("/dev/shm"):
    tempfile.tempdir = "/dev/shm"
# A Unix socket's path has at most 107 octets, and those of tests lie in their folders.
if len(os.fsencode(tempfile.gettempdir())) > len("/var/tmp") and os.access("/tmp", os.W_OK):
    tempfile.tempdir = "/tmp"

os.environ.pop("PYTHONUNBUFFERED", None)  # some machines set it, and what is held back fails otherwise

# Stores, doors and peers of many tests are open at once; some systems allow 256 files where nobody asks for more.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

gc.disable()  # while tests are collected, nearly all of which stays


def pytest_collection_finish() -> None:
    """Leave what was loaded for the tests out of the search for garbage, which would go through all of it each time."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def unbound_log() -> Iterator[None]:
    """A command run in-process binds the log to the stream of its test, which is closed for the next one."""
    yield
    structlog.reset_defaults()
    vars(log).pop("bind", None)  # kept there by `cache_logger_on_first_use`
