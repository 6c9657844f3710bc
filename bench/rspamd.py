"""Debian's Rspamd as Postfix's milter, on its good day: its own rules and settings, no lists in DNS, no Redis."""

import os
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.postfix import Postfix, free_port, running

from gatepost.filters.score import GTUBE

OFF = (
    "rbl",
    "surbl",
    "fuzzy_check",
    "url_redirector",
    "greylist",
    "ratelimit",
    "neural",
    "asn",
    "rspamd_update",
    "phishing",
)
OVERRIDES = {
    "options.inc": 'dns { nameserver = ["%(names)s"]; timeout = 0.5s; retransmits = 1; }\n',
    "logging.inc": 'type = "file"; filename = "%(folder)s/log"; level = "error";\n',
    "worker-normal.inc": "enabled = false;\n",
    "worker-controller.inc": "enabled = false;\n",
    "worker-proxy.inc": 'bind_socket = "127.0.0.1:%(port)d"; milter = yes; count = 2;\n'
    'upstream "local" { self_scan = yes; default = yes; }\n',
}


class Milter:
    """`port` is where Postfix finds it, `pid` its main process."""

    def __init__(self, folder: Path, names: str) -> None:
        self.port = free_port()
        for part in ("override.d", "local.d", "db", "run"):
            (folder / part).mkdir(parents=True)
        told = {"names": names, "folder": folder, "port": self.port}
        for name, text in OVERRIDES.items():
            (folder / "override.d" / name).write_text(text % told)
        for name in OFF:
            (folder / "override.d" / f"{name}.conf").write_text("enabled = false;\n")
        places = {"LOCAL_CONFDIR": folder, "DBDIR": folder / "db", "RUNDIR": folder / "run", "LOGDIR": folder}
        command = ["rspamd", "--insecure", "--no-fork", "--config", "/etc/rspamd/rspamd.conf"]
        self._process = subprocess.Popen(
            [*command, *(f"--var={name}={path}" for name, path in places.items())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def stop(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def filtered(folder: Path, hop: int, names: str) -> Iterator[tuple[Postfix, Milter]]:
    """A Postfix whose mail Rspamd judges; it is ready once spam is refused."""
    milter = Milter(folder / "rspamd", names)
    more = f"smtpd_milters = inet:127.0.0.1:{milter.port}\nmilter_default_action = tempfail\n"
    try:
        with running(Postfix(folder / "postfix", f"[127.0.0.1]:{hop}", more=more)) as postfix:
            _until_spam_is_refused(postfix.port)
            yield postfix, milter
    finally:
        milter.stop()


def _until_spam_is_refused(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            try:
                client.sendmail("ada@world.example", "bob@served.example", b"Subject: x\r\n\r\n" + GTUBE + b"\r\n")
            except smtplib.SMTPResponseException as refused:
                if refused.smtp_code >= 500:
                    return
        time.sleep(0.2)
    raise TimeoutError("Rspamd refuses no spam")
