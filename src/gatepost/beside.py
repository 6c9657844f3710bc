"""Starts and ends the processes that work beside the daemon: with nothing secret, and no word of whoever started it."""

import contextlib
import os
import socket
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gatepost

_FILES = 16  # which the start of a process takes, and some more
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "MAGIC")


async def piped(module: str) -> Process:
    """Start a module that is asked and answers through pipes; raises OSError."""
    return await _start(module, {}, stdin=PIPE, stdout=PIPE)


@contextlib.asynccontextmanager
async def linked(module: str, **environment: str) -> AsyncIterator[tuple[Process, socket.socket]]:
    """Start a module whose standard input is a socket; give it with our end, which a block that fails closes.

    Raises OSError.
    """
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as made:
        made.callback(ours.close)
        with theirs:
            process = await _start(module, environment, stdin=theirs.fileno())
        yield process, ours
        made.pop_all()


async def end(process: Process | None) -> None:
    """Kill a process and wait for its end; harmless where there is none, or it is dead."""
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _start(module: str, environment: dict[str, str], **files: Any) -> Process:
    _require_files()
    return await create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),  # what lies in the working directory is not taken for a module
        env={**_environment(), **environment},
        start_new_session=True,  # a Ctrl-C at the terminal is the daemon's business
        **files,
    )


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return {**kept, "PYTHONPATH": str(Path(gatepost.__file__).parent.parent)}


def _require_files() -> None:
    """Raise OSError where no more files may be opened than the start of a process takes.

    Where those run out in the midst of it uvloop leaves open what it has opened, each time, until nothing is left.
    """
    held: list[int] = []
    try:
        for _ in range(_FILES):
            held.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for file in held:
            os.close(file)
