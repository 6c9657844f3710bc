"""A real `gatepost serve` of the test's own: its settings, store, ports and log in a folder of the test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.pace import PATIENCE
from tests.peers.leash import Leashed

SETTINGS = """\
[store]
directory = "state"
reserve_bytes = 0
reserve_percent = 0.0
[http]
listen = ["127.0.0.1:0"]
[smtp]
hostname = "gate.example"
[[smtp.listener]]
role = "mx"
listen = "127.0.0.1:0"
[[smtp.listener]]
role = "trusted"
listen = "127.0.0.1:0"
[log]
format = "json"
"""


class Daemon:
    """`Daemon(folder, more_toml)`, then `start()`; `ask` speaks to its API as the first administrator."""

    def __init__(self, folder: Path, more: str = "", *, settings: str = SETTINGS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "gatepost.toml"
        self.config.write_text(settings + more)
        self.state = folder / "state"
        self.log = folder / "log"
        self.url = ""
        self.ports: list[int] = []  # of the SMTP listeners, in the order of the settings
        self.process: Leashed | None = None
        self.token: str = json.loads(self.run("init", "--json"))["token"]

    def run(self, *args: str) -> str:
        """Run a command with these settings; return what it printed, raise RuntimeError where it fails."""
        return self.command(*args, "--config", str(self.config))

    def command(self, *args: str) -> str:
        """Run a command that needs no settings."""
        done = subprocess.run(
            [sys.executable, "-m", "gatepost", *args], capture_output=True, text=True, timeout=PATIENCE
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def launch(self) -> None:
        """Start it, and do not wait; the log is written on."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "gatepost", "serve", "--config", str(self.config)]
            self.process = Leashed(command, stderr=log)

    def until_ready(self, url: str) -> None:
        """Wait until `/readyz` says so."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=PATIENCE):
                return
            time.sleep(0.02)
        raise RuntimeError(f"it did not start: {self.log.read_text()}")

    def start(self) -> None:
        """Start it, and return when it is ready."""
        began = self.log.stat().st_size if self.log.exists() else 0
        self.launch()
        ready = self._ready(began)
        self.ports = [int(each.rpartition(":")[2]) for each in ready["smtp"]]
        self.url = ready["http"][0]

    def _ready(self, began: int) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self.events(began):
                if line["event"] == "ready":
                    return line
            assert self.process
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"it did not start: {self.log.read_text()}")

    def until_told(self, event: str, **fields: object) -> dict[str, Any]:
        """Return the first line of that event in its log, and with these fields, as soon as it stands there."""
        wanted = {"event": event, **fields}.items()
        command = ["tail", "--lines=+1", "--follow", str(self.log)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as tail:
            assert tail.stdout
            try:
                return next(line for line in map(json.loads, tail.stdout) if wanted <= line.items())
            finally:
                tail.kill()

    def events(self, began: int = 0) -> list[dict[str, Any]]:
        """Return the whole lines of its log."""
        whole = self.log.read_bytes()[began:].rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def complaints(self) -> list[dict[str, Any]]:
        """Return what it logged as an error, with or without a traceback."""
        return [line for line in self.events() if line["level"] in ("error", "critical") or "exception" in line]

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it by SIGTERM; return its exit code."""
        if self.process is None or self.process.poll() is not None:
            return os.EX_OK
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    # Its API.

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer's JSON; raise HTTPError with the answer's text for a refusal."""
        return self.call(method, path, body)[1]

    def call(self, method: str, path: str, body: object = None) -> tuple[dict[str, str], Any]:
        """Return the answer's headers (names in lower case) and its JSON."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                text = answer.read()
                head = {name.lower(): value for name, value in answer.headers.items()}
        except urllib.error.HTTPError as refused:
            refused.add_note(refused.read().decode(errors="replace"))
            raise
        return head, json.loads(text) if text else None

    def every(self, path: str) -> list[Any]:
        """Return all items of a list, page by page."""
        items: list[Any] = []
        while True:
            page = self.ask("GET", f"{path}{'&' if '?' in path else '?'}offset={len(items)}&pageSize=200")
            items += page
            if len(page) < 200:
                return items

    def serve(self, name: str, hop: int, *users: str, **fields: object) -> Any:
        """Serve a domain whose mail goes to a port of this machine; return it as the API shows it."""
        platform = {
            "name": "main",
            "transportDest": "127.0.0.1",
            "transportType": "SMTP",
            "transportPort": hop,
            "default": True,
        }
        domain = {
            "name": name,
            "status": "ENABLED",
            "incoming": True,
            "outgoing": True,
            "quarantine": True,
            "retention": False,
            "archive": False,
            "defaultLanguage": "EN",
            "autoProvisioningOn": False,
            "platforms": [platform],
            **fields,
        }
        made = self.ask("POST", "/domains", domain)
        for user in users:
            account = {"email": f"{user}@{name}", "status": "ENABLED", "domainId": made["id"]}
            self.ask("POST", "/users", account)
        return made


@contextlib.contextmanager
def running(daemon: Daemon) -> Iterator[Daemon]:
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
