"""A real Postfix of the test's own: its configuration, queue and port in a folder of the test."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.pace import PATIENCE
from tests.peers.leash import Leash
from tests.peers.ports import free_port

MAIN = """\
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = {hostname}
mydestination =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
relayhost = {relayhost}
smtp_host_lookup = native
smtp_dns_support_level = disabled
maillog_file = {log}
maillog_file_prefixes = {folder}
message_size_limit = 60000000
mailbox_size_limit = 0
alias_maps =
alias_database =
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
smtputf8_enable = yes
{more}
"""

MASTER = """\
127.0.0.1:{port} inet n - n - 200 smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - 200 smtp
relay unix - - n - 200 smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


class Postfix:
    """Takes mail on `port` and sends all of it to `relayhost` ("[127.0.0.1]:2525")."""

    def __init__(self, folder: Path, relayhost: str, *, hostname: str = "postfix.example", more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "etc"
        self.queue = folder / "queue"
        self.log = folder / "log"
        for path in (self.config, self.queue, folder / "data"):
            path.mkdir(parents=True)
        shutil.chown(folder / "data", "postfix", "postfix")
        folder.chmod(0o755)
        text = MAIN.format(
            folder=folder,
            queue=self.queue,
            data=folder / "data",
            log=self.log,
            hostname=hostname,
            relayhost=relayhost,
            more=more,
        )
        (self.config / "main.cf").write_text(text)
        (self.config / "master.cf").write_text(MASTER.format(port=self.port))

    def start(self) -> None:
        """Return once the port takes connections."""
        self._run("postfix", "-c", str(self.config), "start")
        self._leash = Leash(self.pid)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as peer:
                if peer.recv(3) == b"220":
                    return
        raise TimeoutError(f"postfix did not answer: {self.log.read_text() if self.log.exists() else 'no log'}")

    @property
    def pid(self) -> int:
        """Its main process, while it runs."""
        return int((self.queue / "pid" / "master.pid").read_text())

    def stop(self) -> None:
        self._run("postfix", "-c", str(self.config), "abort", check=False)
        self._leash.loose()

    def flush(self) -> None:
        self._run("postqueue", "-c", str(self.config), "-f", check=False)

    def queued(self) -> int:
        """Return how many mails its queue holds."""
        names = ("incoming", "active", "deferred", "maildrop", "hold")
        return sum(1 for name in names for path in (self.queue / name).rglob("*") if path.is_file())

    def _run(self, *command: str, check: bool = True) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


@contextlib.contextmanager
def running(postfix: Postfix) -> Iterator[Postfix]:
    postfix.start()
    try:
        yield postfix
    finally:
        postfix.stop()
