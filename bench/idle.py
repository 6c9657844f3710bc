"""Measures what an idle SMTP connection costs: resident memory of the daemon for each, and its CPU while they wait.

    .venv/bin/python -m bench.idle [--connections 9900] [--loop uvloop|asyncio] [--tls]

The listener runs in a child process over a real store; the connections are opened here, each says EHLO and waits.
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import socket
import ssl
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
from tests.smtp.front import front

LOOPS = ("uvloop", "asyncio")


def memory(pid: int) -> int:
    """Return the resident octets of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(pipe: Connection, loop: str, tls: bool) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

    async def run() -> None:
        limits = {"connections": 20_000, "connections_per_ip": 20_000}
        listener = {"tls": "implicit"} if tls else {}
        with tempfile.TemporaryDirectory() as directory:
            async with front(Path(directory), limits=limits, listeners=[listener], certificate=tls) as opened:
                pipe.send(opened.listeners.addresses[0][1:])
                await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    if loop == "uvloop":
        import uvloop

        uvloop.run(run())
    else:
        asyncio.run(run())


def connect(address: tuple[str, int], tls: ssl.SSLContext | None) -> socket.socket:
    sock = socket.create_connection(address)
    if tls is not None:
        sock = tls.wrap_socket(sock)
    sock.recv(512)
    sock.sendall(b"EHLO client.example\r\n")
    sock.recv(1024)
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=9900)
    parser.add_argument("--loop", choices=LOOPS, default="uvloop")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--wait", type=float, default=10.0, help="seconds over which idle CPU is taken")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=listen, args=(theirs, asked.loop, asked.tls))
    child.start()
    address = ours.recv()
    context = ssl._create_unverified_context() if asked.tls else None  # the cost of a connection, not its trust
    warm = [connect(address, context) for _ in range(100)]
    before = memory(child.pid or 0)
    open_ = [connect(address, context) for _ in range(asked.connections)]
    each = (memory(child.pid or 0) - before) / len(open_)
    began = cpu(child.pid or 0)
    time.sleep(asked.wait)
    idle = (cpu(child.pid or 0) - began) / asked.wait
    print(
        f"{asked.loop}{' tls' if asked.tls else ''}: {len(open_)} idle connections, {each / 1024:.1f} KB each, "
        f"{memory(child.pid or 0) / 1e6:.0f} MB in all, {idle:.1%} CPU"
    )
    for sock in [*warm, *open_]:
        sock.close()
    ours.send(None)
    child.join()


if __name__ == "__main__":
    main()
