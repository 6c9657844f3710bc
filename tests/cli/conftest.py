"""What the tests of commands share: a port that nobody listens on, and a daemon as systemd would run it."""

import json
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.peers.forked import Forked
from tests.peers.leash import Leashed
from tests.peers.ports import free_port

from gatepost.cli.main import main

SETTINGS = """
[smtp]
hostname = "gatepost.test"
verify_recipients = false
[[smtp.listener]]
listen = "127.0.0.1:0"
[http]
listen = ["127.0.0.1:0"]
[store]
directory = "state"
reserve_bytes = 0
reserve_percent = 0.0
[dns]
servers = ["127.0.0.1:9"]
timeout = 0.2
[log]
format = "json"
[limits]
shutdown = 3.0
[filters.spamassassin]
servers = ["127.0.0.1:9"]
max_bytes = 1
"""


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    return free_port()


class Daemon:
    """`gatepost serve` in a process of its own; its messages to the service manager are read by `told`."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "gatepost.toml"
        self.config.write_text(SETTINGS)
        self.state = directory / "state"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(directory / "notify"))
        self._messages: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._notify = str(directory / "notify")
        self._log = directory / "log"
        self.process: Forked | Leashed | None = None
        self.smtp = self.url = ""
        self.afresh = False  # loads all by itself, so that its memory is its own

    def start(self) -> None:
        """Start it and wait until it is ready."""
        environ = {**os.environ, "NOTIFY_SOCKET": self._notify, "WATCHDOG_USEC": "200000"}
        command = ["serve", "--config", str(self.config)]
        with self._log.open("wb") as log:
            if self.afresh:
                self.process = Leashed([sys.executable, "-m", "gatepost", *command], env=environ, stderr=log)
            else:
                self.process = Forked(command, env=environ, stderr=log)
        assert self.told("READY=1")
        ready = next(line for line in self.log() if line["event"] == "ready")
        self.smtp, self.url = ready["smtp"][0], ready["http"][0]

    def told(self, wanted: str) -> list[str]:
        """Return the lines of the first message that holds `wanted`."""
        while True:
            lines = self._messages.get(timeout=60).split("\n")
            if wanted in lines:
                return lines

    def forget(self) -> None:
        """Pass over what was told until now."""
        while not self._messages.empty():
            self._messages.get()

    def _listen(self) -> None:
        """Read what the manager is told, as systemd does at once: a full queue would hold the daemon up."""
        while message := self._manager.recv(4096):
            self._messages.put(message.decode())

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it by SIGTERM and return its exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(timeout=60)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._manager.shutdown(socket.SHUT_RDWR)  # ends the thread that reads
        self._listener.join()
        self._manager.close()

    def run(self, *args: str) -> int:
        """Run a command against it, in this process."""
        return main([*args, "--config", str(self.config)])


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for the tests of one file, its store made by `gatepost init`."""
    made = Daemon(tmp_path_factory.mktemp("daemon"))
    assert made.run("init", "--json") == os.EX_OK
    try:
        made.start()
        yield made
    finally:
        made.close()
