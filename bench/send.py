"""Sending: mails a second over HTTP beside Postfix, and a queue for many destinations, some of them dead.

    .venv/bin/python -m bench.send [--mails 2000] [--queued 10000] [--runs 3]

Needs Debian's postfix package. `POST /email`, one mail a request over 20 connections, each answered when it is durable,
against 20 `sendmail` side by side and `smtp-source` with 20 sessions into a Postfix, in turns. Then mails to 1,000
domains are queued while nothing may leave, and let go: with every destination alive, with one in twenty silent, with a
third of them silent.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.rig import Gateway, Load, message, names, send, sink
from tests.peers.names import Zone
from tests.peers.postfix import Postfix, running
from tests.peers.sink import Sink

from gatepost.app import Gatepost
from gatepost.cli.logs import configure
from gatepost.configuration import load
from gatepost.model.envelope import Body
from gatepost.model.stored import Delivery, Message
from gatepost.settings import Log
from gatepost.store.store import Writer

CONNECTIONS = 20
DOMAINS = 1000
OURS = "Gatepost, POST /email"
LOAD = Load("4K", 4_000, 0, CONNECTIONS, True)


def over_http(folder: Path, mails: int, *, signed: bool = False) -> float:
    """Mails a second by POST /email, `signed` by a key of the domain (RSA, 2048 bits)."""
    with sink() as hop, names() as server:
        gateway = Gateway(folder, hop, server, rules=1)
        try:
            domain = gateway.ask("GET", "/domains")[0]
            for policy in gateway.ask("GET", f"/domains/{domain['id']}/policies"):
                gateway.ask("PATCH", f"/policies/{policy['id']}", {"outgoing": True})
            if signed:
                gateway.ask("POST", f"/domains/{domain['id']}/dkim", {})
            return asyncio.run(_post(gateway, mails))
        finally:
            gateway.stop()


async def _post(gateway: Gateway, mails: int) -> float:
    text = message(LOAD).partition(b"\n\n")[2].decode()[:3000]
    left = iter(range(mails))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.http)
        for number in left:
            writer.write(_request(gateway.token, number, text))
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            said = await reader.readexactly(int(length[1])) if length else b""
            if not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"{head!r} {said!r}")
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return mails / (time.perf_counter() - started)


def _request(token: str, number: int, text: str) -> bytes:
    """One request as it stands on the wire: a whole HTTP client would take as much of the machine as the server."""
    mail = {
        "notificationId": str(number),
        "from": "bob@served.example",
        "to": "zoe@far.example",
        "header": f"Mail {number}",
        "body": text,
    }
    body = json.dumps(mail).encode()
    head = (
        f"POST /email HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def by_sendmail(folder: Path, mails: int) -> float:
    """Mails a second by Postfix's sendmail, as many processes side by side as there are connections."""
    with sink() as hop, running(Postfix(folder / "postfix", f"[127.0.0.1]:{hop}")) as peer:
        sample = folder / "sample"
        sample.write_bytes(message(LOAD))
        one = f"sendmail -C {peer.config} -f bob@served.example zoe@far.example < {sample}"
        started = time.perf_counter()
        command = f"seq {mails} | xargs -P {CONNECTIONS} -n 1 sh -c '{one}' sh"
        subprocess.run(command, shell=True, check=True, timeout=600)
        return mails / (time.perf_counter() - started)


def by_smtp(folder: Path, mails: int) -> float:
    """Mails a second by smtp-source into Postfix."""
    with sink() as hop, running(Postfix(folder / "postfix", f"[127.0.0.1]:{hop}")) as peer:
        started = time.perf_counter()
        send(Load("4K", 4_000, mails, CONNECTIONS, True), peer.port, folder)
        return mails / (time.perf_counter() - started)


async def queue(folder: Path, mails: int, *, dead: int) -> list[float]:
    """Seconds from the start until each mail to a live destination was delivered; `dead` of 1,000 never answer."""
    async with Sink(host="127.0.0.2") as alive, Silent("127.0.0.3", alive.port):
        zone: Zone = {}
        for number in range(DOMAINS):
            zone[f"d{number}.example"] = [f"MX 10 mx{number}.example."]
            zone[f"mx{number}.example"] = [f"A 127.0.0.{3 if number < dead else 2}"]
        with names(zone) as server:  # in a thread: one in this loop would answer too late to many at once
            config = folder / "gatepost.toml"
            config.write_text(
                f'[store]\ndirectory = "{folder}/state"\n[http]\nlisten = []\n\n'
                f'[dns]\nservers = ["{server}"]\n[relay]\nallow_private_destinations = true\n'
                f"mx_port = {alive.port}\n[health]\nperiod = 0\n"
                '[[smtp.listener]]\nrole = "mx"\nlisten = "127.0.0.1:0"\n'
            )
            await _fill(Gatepost(load(config).settings), mails)
            started = time.perf_counter()
            async with Gatepost(load(config).settings), asyncio.timeout(600):
                return await _arrivals(alive, sum(number % DOMAINS >= dead for number in range(mails)), started)


async def _arrivals(alive: Sink, count: int, started: float) -> list[float]:
    times: list[float] = []
    while len(times) < count:
        await asyncio.sleep(0.02)
        times += [time.perf_counter() - started] * (len(alive.mails) - len(times))
    return times


async def _fill(gatepost: Gatepost, mails: int) -> None:
    """Queue mails in a store that nobody delivers from."""
    gatepost.build()
    raw, now = message(LOAD), gatepost.clock()
    for first in range(0, mails, 200):
        await gatepost.store.write(partial(_keep, range(first, min(first + 200, mails)), raw, now))
    await gatepost.stop()


def _keep(numbers: range, raw: bytes, now: int, writer: Writer) -> None:
    for number in numbers:
        mail, way = _mail(number, len(raw), now)
        writer.keep(mail, Body(len(raw), raw), [], [way], [], now)


class Silent:
    """Takes connections and says nothing."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port
        self._open: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Silent":
        self._server = await asyncio.start_server(self._take, *self._where, backlog=1000)
        return self

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()


def _mail(number: int, size: int, now: int) -> tuple[Message, Delivery]:
    mail_id = f"{number:032x}"
    row = Message(
        id=mail_id,
        received=now,
        size=size,
        direction="out",
        sender="bob@served.example",
        client_ip="127.0.0.1",
        helo="bench",
        message_id=f"<{number}@served.example>",
        subject="",
        header_from="",
        header_to="",
        header_cc="",
        sent=None,
    )
    to = f"zoe@d{number % DOMAINS}.example"
    way = Delivery(
        mail_id=mail_id, recipient=to, sender=row.sender, due=now, expires=now + 86_400_000, created=now, proven=True
    )
    return row, way


def compare(mails: int, runs: int) -> None:
    """Print a table of medians, and the ratios run by run."""
    ways: dict[str, Callable[[Path, int], float]] = {
        "Postfix, sendmail": by_sendmail,
        "Postfix, smtp-source": by_smtp,
        OURS: over_http,
        f"{OURS}, DKIM-signed": partial(over_http, signed=True),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                Path(folder).chmod(0o755)
                found[name].append(way(Path(folder), mails))
    ours = found[OURS]
    print("| way | mails/s | Gatepost's share of it |\n| --- | --- | --- |")
    for name, rates in found.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, rates, strict=True))
        print(f"| {name} | {statistics.median(rates):,.0f} | {ratio:.2f} |")


def stall(mails: int) -> None:
    """Print when the live destinations had their mail."""
    print(f"\n{mails:,} mails to {DOMAINS:,} destinations, seconds until the live ones have theirs:\n")
    print("| destinations | median | p99 | last |\n| --- | --- | --- | --- |")
    for name, dead in (("all alive", 0), ("one in twenty silent", DOMAINS // 20), ("a third silent", DOMAINS // 3)):
        with tempfile.TemporaryDirectory() as folder:
            times = sorted(asyncio.run(queue(Path(folder), mails, dead=dead)))
        late = times[int(len(times) * 0.99)]
        print(f"| {name} | {statistics.median(times):.1f} | {late:.1f} | {times[-1]:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mails", type=int, default=2000)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    configure(Log(level="error"))
    compare(given.mails, given.runs)
    stall(given.queued)


if __name__ == "__main__":
    main()
