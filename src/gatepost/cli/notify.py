"""Tells systemd how the service fares: the protocol of sd_notify(3), one datagram a message."""

import os
import socket
from collections.abc import Mapping

PATIENCE = 1.0  # seconds that a manager which does not read may hold this process up


def notify(*lines: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send "KEY=value" lines to the service manager; False when there is none that listens."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE)
        try:
            sender.connect(address)
            sender.sendall("\n".join(lines).encode())
        except OSError:
            return False
    return True


def watchdog_seconds(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return how often the manager wants to hear of this process, halved for safety; None when it does not."""
    micros = environ.get("WATCHDOG_USEC", "")
    whose = environ.get("WATCHDOG_PID") or str(pid or os.getpid())
    if not micros.isdigit() or whose != str(pid or os.getpid()) or int(micros) <= 0:
        return None
    return int(micros) / 2_000_000
