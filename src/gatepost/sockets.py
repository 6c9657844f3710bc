"""Listening sockets by the texts of the settings: `address:port`, `[::1]:25`, `fd:NAME` from systemd."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

BACKLOG = 512
FIRST_FD = 3  # sd_listen_fds(3)


class BadEndpoint(ValueError):
    """The text names no endpoint; `str()` says why."""


def split_endpoint(text: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[v6]:port`; raise BadEndpoint."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise BadEndpoint(f"{text}: expected address:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadEndpoint(f"{text}: an IPv6 address stands in brackets")
    return host, int(port)


def join_endpoint(host: str, port: int) -> str:
    """Write an endpoint as `split_endpoint` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(text: str, environ: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """Open what `text` names, non-blocking; `fd:NAME` may give several sockets. Raises BadEndpoint or OSError."""
    if text.startswith("fd:"):
        return _inherited(text[3:], environ)
    host, port = split_endpoint(text)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"{text}: {error.strerror}") from error
    return [sock]


def _inherited(name: str, environ: Mapping[str, str]) -> list[socket.socket]:
    if environ.get("LISTEN_PID") != str(os.getpid()):
        raise BadEndpoint(f"fd:{name}: no sockets were handed to this process (LISTEN_PID)")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    count = int(environ.get("LISTEN_FDS", "0"))
    fds = [FIRST_FD + index for index in range(count) if index < len(names) and names[index] == name]
    if not fds:
        raise BadEndpoint(f"fd:{name}: systemd handed over no socket of that name")
    sockets = [socket.socket(fileno=fd) for fd in fds]
    for sock in sockets:
        sock.setblocking(False)
    return sockets


def listen_local(path: Path) -> socket.socket:
    """Open a Unix socket that its owner alone can reach, in the place of one that a crash left behind."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        # The directory may have a longer path than AF_UNIX takes; through its descriptor it is short.
        sock.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o600)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.close(folder)
    return sock


def forget_local(path: Path) -> None:
    """Take a Unix socket's name away; connections under way are not touched."""
    path.unlink(missing_ok=True)
