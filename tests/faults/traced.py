"""Processes that start in hundredths of a second, and faults laid on the system calls of any process."""

import multiprocessing
import os
import shutil
import subprocess
from multiprocessing.context import ForkServerContext
from pathlib import Path

ROOT = Path(__file__).parents[2]


def forks() -> ForkServerContext:
    """Return what makes processes from one that has the code loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "tests.faults.loaded"])
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    return context


def attach(pid: int, inject: str, log: Path | str = os.devnull) -> subprocess.Popen[str]:
    """Lay a fault on the system calls that a running process makes from now on, in each of its threads."""
    strace = shutil.which("strace")
    assert strace, "these tests need strace (apt-get install strace)"
    traced = inject.partition(":")[0]
    options = ["-f", "-o", str(log), "-e", f"trace={traced}", "-e", f"inject={inject}", "-p", str(pid)]
    tracer = subprocess.Popen([strace, *options], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, f"strace can't trace here (it needs CAP_SYS_PTRACE): {said}"
    return tracer
