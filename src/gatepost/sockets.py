"""Listening sockets by the texts of the settings: `address:port`, `[::1]:25`, `fd:NAME` from systemd."""

import errno
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

BACKLOG = 512
_REMEDIES = {
    errno.EADDRINUSE: " (`ss -ltnp` shows by whom)",
    errno.EADDRNOTAVAIL: " (`ip address` shows those of this machine)",
    errno.EACCES: " (a port below 1024 takes CAP_NET_BIND_SERVICE)",
}
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
        raise OSError(error.errno, f"{text}: {error.strerror}{_REMEDIES.get(error.errno or 0, '')}") from error
    return [sock]


def _inherited(name: str, environ: Mapping[str, str]) -> list[socket.socket]:
    fds = [FIRST_FD + index for index, given in enumerate(_handed_over(environ)) if given == name]
    if not fds:
        raise BadEndpoint(f"fd:{name}: systemd handed over no socket of that name (is its socket unit enabled?)")
    try:
        sockets = [socket.socket(fileno=fd) for fd in fds]
    except OSError as error:
        raise BadEndpoint(f"fd:{name}: what was handed over is no socket ({error.strerror})") from error
    for sock in sockets:
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise BadEndpoint(f"fd:{name}: that socket takes no connections (ListenStream= and Accept=no make one)")
        sock.setblocking(False)
        sock.set_inheritable(False)  # no worker of ours could take connections
    return sockets


def _handed_over(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the sockets that systemd handed over to this process, the first one's first."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    return environ.get("LISTEN_FDNAMES", "").split(":")[: int(count)]


def left_over(texts: Iterable[str], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of sockets that systemd handed over and none of the `texts` takes: who connects there waits."""
    return sorted({*_handed_over(environ)} - {text.removeprefix("fd:") for text in texts if text.startswith("fd:")})


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
