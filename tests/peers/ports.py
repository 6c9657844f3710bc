"""Ports for servers that must be told theirs before they start."""

import random
import socket

BELOW = range(20_000, 30_000)  # what the kernel gives to those who ask for any port lies above
_held: list[socket.socket] = []


def free_port() -> int:
    """Return a loopback port on which nobody listens; no other test is given it while this process lives.

    A socket of ours is bound to it and never listens: a server that allows the reuse of its address may still take it.
    """
    for port in random.sample(BELOW, 1000):
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            sock.close()
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.append(sock)
        return port
    raise OSError("no port is free")
