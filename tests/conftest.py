"""What every test may use."""

import contextlib
import gc
import os
import resource
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from tests.memory import has_room

from gatepost.events import log

# Random texts are the same at each run, which so tells of the code alone, and none comes too late on a busy machine;
# `make soak` takes others each time, and all of them (examples.py).
settings.register_profile("same", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("others", deadline=None, max_examples=100)
settings.load_profile("same")


# Each of thousands of stores waits for its disc at each commit. No test cuts the power, and what is in memory outlives
# the kill of a process as well as what is on a disc.
if "TMPDIR" not in os.environ and has_room("/dev/shm"):
    tempfile.tempdir = "/dev/shm"
# A Unix socket's path has at most 107 octets, and those of tests lie in their folders.
if len(os.fsencode(tempfile.gettempdir())) > len("/var/tmp") and os.access("/tmp", os.W_OK):
    tempfile.tempdir = "/tmp"

# Tracebacks in coloured frames, as structlog draws them where it finds rich, take longer than most tests.
PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure([structlog.processors.add_log_level, PLAIN])
LOG = structlog.get_config()

os.environ.pop("PYTHONUNBUFFERED", None)  # some machines set it, and what is held back fails otherwise

# Stores, doors and peers of many tests are open at once; some systems allow 256 files where nobody asks for more.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

gc.disable()  # while tests are collected, nearly all of which stays


def pytest_collection(session: pytest.Session) -> None:
    """Have each worker load the files from another one on.

    Where nothing is compiled yet, each so finds most of them rewritten by the others, and not all of them by none.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker and session.config.args == session.config.getini("testpaths"):
        files = sorted(Path(__file__).parent.rglob("test_*.py"))
        first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
        for file in (*files[first:], *files[:first]):
            with contextlib.suppress(Exception):  # is met again, and told, where the file is collected
                import_module(".".join(file.relative_to(session.config.rootpath).with_suffix("").parts))


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
    structlog.configure(**LOG)
    vars(log).pop("bind", None)  # kept there by `cache_logger_on_first_use`
