"""`gatepost` in processes of their own, forked from one that has loaded it: the loading is most of what a start takes.

A process so begun shares its memory with that one. Who measures memory starts one afresh.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import BinaryIO, NamedTuple

import gatepost
from gatepost.process import loop_factory

LONGEST = 1 << 17  # octets of a command line with its environment


class Forked:
    """A command in a process of its own, as `subprocess.Popen` shows one; what it prints goes into files."""

    def __init__(
        self, args: list[str], *, env: Mapping[str, str], stderr: BinaryIO, stdout: BinaryIO | None = None
    ) -> None:
        self.returncode: int | None = None
        self._life, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = json.dumps([args, {**env}, str(Path.cwd())]).encode()
        with theirs:
            files = [stdout.fileno() if stdout else 1, stderr.fileno(), theirs.fileno()]
            socket.send_fds(_nursery().orders, [order], files)
        self.pid = int(self._life.recv(64))

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it ends; raise TimeoutExpired."""
        if self.returncode is None:
            self._life.settimeout(timeout)
            try:
                status = self._life.recv(64)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(["gatepost"], timeout or 0) from None
            self._life.close()
            self.returncode = os.waitstatus_to_exitcode(int(status))
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Nursery(NamedTuple):
    """The process that loads and forks; it ends when its orders do, with this one."""

    orders: socket.socket
    process: subprocess.Popen[bytes]


@cache
def _nursery() -> _Nursery:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        return _Nursery(ours, subprocess.Popen([sys.executable, "-P", __file__], stdin=theirs.fileno()))


def _serve(asks: socket.socket) -> None:
    """Begin a process for each order, until nobody is there to give one."""
    while True:
        order, files, _, _ = socket.recv_fds(asks, LONGEST, 3)
        if not order:
            return
        if not os.fork():
            asks.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(order, *files)
        for file in files:
            os.close(file)


def _keep(order: bytes, out: int, err: int, life: int) -> None:
    """Run the command in a process; tell its number, and at its end its status. Who hears nothing any more ends it."""
    pid = os.fork()
    if pid:
        with socket.socket(fileno=life) as told:
            told.send(b"%d" % pid)
            ended = os.pidfd_open(pid)
            if ended not in select.select([ended, told], [], [])[0]:
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
            with contextlib.suppress(BrokenPipeError):
                told.send(b"%d" % status)
        os._exit(os.EX_OK)
    args, environ, directory = json.loads(order)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for file in (out, err, life):
        os.close(file)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["gatepost", *args]
    sys.exit(import_module("gatepost.cli.main").main())


def main() -> None:
    asks = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for the commands
    for module in walk_packages(gatepost.__path__, "gatepost."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    loop_factory()  # loads uvloop
    gc.freeze()
    _serve(asks)


if __name__ == "__main__":
    main()
