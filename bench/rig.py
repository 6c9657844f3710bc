"""What the benchmarks stand on: loads, realistic mails, `smtp-source` and `smtp-sink`, a gateway, and what it uses."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from random import Random
from typing import Any

from tests.peers.names import Names, Zone
from tests.peers.postfix import free_port

GATEPOST = Path(sys.executable).with_name("gatepost")
TICKS = os.sysconf("SC_CLK_TCK")
LIMIT = ("timeout", "600")  # of seconds; a limit of `subprocess`'s own would look for the end every 50 ms only


@dataclass(frozen=True)
class Load:
    """One kind of traffic: size, how many, over how many sessions, a new connection for each or reused ones.

    `unlike`: no two mails have the same text; else all have.
    """

    name: str
    size: int
    count: int
    sessions: int
    reuse: bool
    attached: str = "photo"
    unlike: bool = False


DATE = "Fri, 20 Nov 2026 09:00:00 +0000"
ATTACHED = {
    "photo": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg", "photo.jpg"),
    "pdf": (b"%PDF-1.7\n", "application/pdf", "minutes.pdf"),
}

WORDS = ("meeting", "budget", "review", "deliver", "shipment", "invoice", "schedule", "project", "notes", "team")
LINK = "https://docs.world.example/minutes/42"


def message(load: "Load") -> bytes:
    """A realistic mail: text and HTML with links; a larger one has an attachment that fills it up to its size."""
    random = Random(load.size)
    mail = EmailMessage()
    mail["Received"] = "from relay.world.example (relay.world.example [192.0.2.1]) by mx.world.example; " + DATE
    mail["From"] = "Ada Sender <ada@world.example>"
    mail["To"] = "Bob Reader <bob@served.example>"
    mail["Subject"] = "Minutes of the weekly meeting"
    mail["Date"] = DATE
    mail["Message-ID"] = f"<bench-{load.size}@world.example>"
    words = min((load.size - 1000) // 2, 4000) // 8
    text = textwrap.fill(" ".join(random.choice(WORDS) for _ in range(words)))
    mail.set_content(f"Hello Bob,\n\n{text}\n\nSee {LINK}\n", cte="7bit")
    mail.add_alternative(f'<p>Hello Bob,</p>\n<p>{text}</p>\n<a href="{LINK}">See</a>\n', "html", cte="7bit")
    left = (load.size - len(mail.as_bytes())) * 72 // 100
    if left > 1000:
        start, kind, name = ATTACHED[load.attached]
        mail.add_attachment(start + random.randbytes(left), *kind.split("/"), filename=name)
    return mail.as_bytes()


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and its descendants so far."""
    total = 0
    for each in [pid, *_descendants(pid)]:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def peak_rss(pid: int) -> float:
    """Peak resident megabytes of a process with its descendants."""
    total = 0
    for each in [pid, *_descendants(pid)]:
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
    return total / 1024


def pss(pid: int) -> float:
    """Megabytes that a process and its descendants hold now, shared ones counted by their share."""
    total = 0
    for each in [pid, *_descendants(pid)]:
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


@contextmanager
def names(zone: Zone | None = None) -> Iterator[str]:
    """A name server in a thread. Without a zone it knows the sender's domain: each mail's MAIL FROM is asked for."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = Names(zone or {"world.example": ["MX 10 mx.world.example."]})
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        yield server.address
    finally:
        asyncio.run_coroutine_threadsafe(_hang_up(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _hang_up(server: Names) -> None:
    """Close the name server, and the connections that its clients have kept."""
    await server.__aexit__(None, None, None)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@contextmanager
def sink() -> Iterator[int]:
    """A next hop that takes everything at once."""
    port = free_port()
    process = subprocess.Popen(["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "1000"], stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
                if peer.recv(3) == b"220":
                    return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"nothing answers on port {port}")


def send(load: Load, port: int, folder: Path) -> None:
    """Send the load with smtp-source, or as mails that are unlike, and return when all of it was acknowledged."""
    sample = folder / "mail"
    if not sample.exists():
        sample.write_bytes(message(load))
    if load.unlike:
        command = [
            *LIMIT,
            sys.executable,
            "-m",
            "bench.unlike",
            str(port),
            str(load.count),
            str(load.sessions),
            str(sample),
        ]
        subprocess.run([*command, *(["--reuse"] if load.reuse else [])], check=True)
        return
    command = [*LIMIT, "smtp-source", "-s", str(load.sessions), "-m", str(load.count), "-F", str(sample)]
    command += ["-f", "ada@world.example", "-t", "bob@served.example", *(["-d"] if load.reuse else [])]
    subprocess.run([*command, f"127.0.0.1:{port}"], check=True)


class Gateway:
    """A `gatepost serve` of the benchmark's own, with a domain, rules, and the sink as its platform."""

    def __init__(
        self,
        folder: Path,
        hop: int,
        names: str,
        *,
        rules: int = 100,
        fill: Callable[[Path], None] | None = None,
        more: str = "",
    ) -> None:
        self.port, self.http = free_port(), free_port()
        self.folder = folder
        self.config = folder / "gatepost.toml"
        self.config.write_text(
            f'[store]\ndirectory = "state"\n[http]\nlisten = ["127.0.0.1:{self.http}"]\n[log]\nlevel = "warning"\n'
            f'[[smtp.listener]]\nrole = "mx"\nlisten = "127.0.0.1:{self.port}"\n'
            f'[limits]\nconnections_per_ip = 10000\n[relay]\nsmarthost = "127.0.0.1:{hop}"\n'
            f'allow_private_destinations = true\n[dns]\nservers = ["{names}"]\n[outgoing]\nburst = 0\n{more}'
        )
        made = subprocess.run(
            [GATEPOST, "init", "--config", self.config, "--json"], check=True, capture_output=True, text=True
        )
        self.token = json.loads(made.stdout)["token"]
        if fill is not None:
            fill(folder / "state")
        self.process = subprocess.Popen([GATEPOST, "serve", "--config", self.config])
        self.pid = self.process.pid
        _wait_for_port(self.port)
        self._fill(hop, rules)

    def _fill(self, hop: int, rules: int) -> None:
        domain = self.ask("POST", "/domains", self._domain("served.example", hop))
        for policy in self.ask("GET", f"/domains/{domain['id']}/policies"):
            self.ask("PATCH", f"/policies/{policy['id']}", {"mailSizeLimit": 50})
        self.ask("POST", "/users", {"email": "bob@served.example", "status": "ENABLED", "domainId": domain["id"]})
        senders = [{"value": f"bad{index}.example", "type": "BLOCK"} for index in range(rules)]
        self.ask("PUT", f"/domains/{domain['id']}/wblist", senders)
        for name in ("exe", "js", "vbs", "scr", "bat"):
            rule = {"action": "DENY", "checkType": "FILENAME", "filter": rf"\.{name}$"}
            self.ask("POST", f"/domains/{domain['id']}/filters/attachments", rule)
            self.ask(
                "POST",
                f"/domains/{domain['id']}/filters/attachments",
                {**rule, "checkType": "ARCHIVE_FILENAME"},
            )
        for index in range(10):
            rule = {"action": "BLACKLIST_URI_HOST", "filter": f"bad{index}.example"}
            self.ask("POST", f"/domains/{domain['id']}/filters/uris", rule)

    def _domain(self, name: str, hop: int) -> dict[str, object]:
        platform = {"name": "main", "transportDest": "127.0.0.1", "transportType": "SMTP", "transportPort": hop}
        return {
            "name": name,
            "status": "ENABLED",
            "incoming": True,
            "quarantine": True,
            "retention": False,
            "archive": False,
            "defaultLanguage": "EN",
            "platforms": [{**platform, "authType": "local", "default": True}],
        }

    def ask(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            data = answer.read()
        return json.loads(data) if data else None

    def metric(self, name: str, **labels: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        key = f"{name}{{{wanted}}}" if wanted else name
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == key), 0.0)

    def delivered(self) -> float:
        return self.metric("gatepost_deliveries_total", result="delivered")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)
