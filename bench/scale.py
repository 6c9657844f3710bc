"""What a full store costs: throughput beside an empty one, and how fast SMTP answers while the API lists all of it.

.venv/bin/python -m bench.scale [--rules 100000] [--domains 10000] [--mails 1000000] [--count 2000] [--runs 3]
"""

import argparse
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from bench.rig import Gateway, Load, cpu_seconds, names, send, sink

from gatepost.events import Metrics, wall_clock
from gatepost.model.envelope import Body
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.stored import Copy, Message
from gatepost.model.tenant import Domain, Language, User
from gatepost.settings import StoreSettings
from gatepost.store.bulk import Keep
from gatepost.store.store import Store, Writer

DAY = 86_400_000
SLICE = 2000  # rows of one transaction
CUSTOMER = 1
ROWS = 100_000
SECONDS = 10.0  # of one turn


def fill(directory: Path, *, rules: int, domains: int, mails: int) -> None:
    """Put a domain with rules and a mailbox full of mail, and many other domains, into a store that is not running."""
    store = Store.open(directory, clock=wall_clock, metrics=Metrics(), settings=StoreSettings())
    now = wall_clock()

    def in_slices(count: int, add: Callable[[Writer, range], object]) -> None:
        for first in range(0, count, SLICE):
            some = range(first, min(first + SLICE, count))
            store.write_sync(lambda writer, some=some: add(writer, some))

    def domain(writer: Writer, number: int) -> Domain:
        name = f"full{number}.example"
        return writer.add(Domain(customer_id=CUSTOMER, name=name, default_language=Language.EN, creation_date=now))

    full = store.write_sync(lambda writer: domain(writer, -1))
    email = f"reader@{full.name}"
    reader = User(domain_id=full.id, email=email, language=Language.EN, creation_date=now)
    user = store.write_sync(lambda writer: writer.add(reader))

    def rule(writer: Writer, number: int) -> None:
        value = f"bad{number}.example"
        writer.add(SenderRule(domain_id=full.id, owner=full.name, value=value, type=SenderType.BLOCK, created_date=now))

    def mail(number: int) -> Keep:
        mail_id = f"{now - number * 1000:012x}{number:020x}"
        message = Message(
            id=mail_id,
            received=now - number * 1000,
            size=100,
            direction="in",
            sender=f"author{number % 977}@world.example",
            client_ip="192.0.2.1",
            helo="mx.world.example",
            message_id=f"<{mail_id}@world.example>",
            subject=f"Letter {number}",
            header_from=f"Author <author{number % 977}@world.example>",
            header_to=email,
            header_cc="",
            sent=now - number * 1000,
        )
        copy = Copy(
            mail_id=mail_id,
            mailbox=email,
            domain_id=full.id,
            user_id=user.id,
            folder="Quarantine",
            category="SPAM",
            score=9.0,
            infected=False,
            stored_at=now,
            expires_at=now + 31 * DAY,
        )
        return Keep(message, Body(4, b"\r\n\r\n"), [copy], [], [], now + DAY)

    in_slices(domains, lambda writer, some: [domain(writer, number) for number in some])
    in_slices(rules, lambda writer, some: [rule(writer, number) for number in some])
    in_slices(mails, lambda writer, some: writer.mail.keep([mail(number) for number in some]))
    store.close_sync()


class Reply(NamedTuple):
    """The milliseconds that a reply took, and those among them in which neither side waited for a processor."""

    took: float
    busy: float


class Subject:
    """One relay under measurement; the same load again and again."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway = gateway
        self._folder = folder

    def run(self, load: Load) -> tuple[float, float]:
        """Return mails a second and CPU seconds for 1,000."""
        done, cpu, start = self.gateway.delivered(), cpu_seconds(self.gateway.pid), time.perf_counter()
        send(load, self.gateway.port, self._folder)
        while self.gateway.delivered() - done < load.count:
            time.sleep(0.02)
        took = time.perf_counter() - start
        return load.count / took, (cpu_seconds(self.gateway.pid) - cpu) * 1000 / load.count

    def answers(self, seconds: float) -> list[Reply]:
        """Return how long each reply to a command took, one after another."""
        found: list[Reply] = []
        with (
            socket.create_connection(("127.0.0.1", self.gateway.port)) as peer,
            waited(os.getpid()) as ours,
            waited(self.gateway.pid) as theirs,
        ):
            peer.recv(512)
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                for command in (
                    b"EHLO probe.example",
                    b"MAIL FROM:<ada@world.example>",
                    b"RCPT TO:<bob@served.example>",
                ):
                    before = ours() + theirs()
                    start = time.perf_counter()
                    peer.sendall(command + b"\r\n")
                    assert peer.recv(1024)[:3] == b"250"
                    took = (time.perf_counter() - start) * 1000
                    found.append(Reply(took, took - (ours() + theirs() - before) / 1e6))
        return found


@contextmanager
def waited(pid: int) -> Iterator[Callable[[], int]]:
    """Tell how many nanoseconds a process's first thread has waited for a processor that others had."""
    file = os.open(f"/proc/{pid}/task/{pid}/schedstat", os.O_RDONLY)
    try:
        yield lambda: int(os.pread(file, 64, 0).split()[1])
    finally:
        os.close(file)


class Asking:
    """A client of the API, in a process of its own: what it does with answers must not keep the probe waiting."""

    def __init__(self, port: int, token: str) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self._token = token
        self._offset = 0

    def get(self, path: str, media: str = "application/json") -> bytes:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": media}
        with urllib.request.urlopen(urllib.request.Request(self._root + path, headers=headers), timeout=600) as answer:
            data: bytes = answer.read()
        return data

    def page(self) -> None:
        """Read the next 500 of the large mailbox's first mails."""
        self.get(f"/users/reader@full-1.example/emails/Quarantine?offset={self._offset}&pageSize=500")
        self._offset = (self._offset + 500) % ROWS

    def export(self, media: str) -> None:
        """Fetch the sender rules of the full domain as one file."""
        (domain,) = json.loads(self.get("/domains?name=full-1.example"))
        self.get(f"/domains/{domain['id']}/wblist", media)

    def go_on(self, name: str, ended: Event) -> None:
        while not ended.is_set():
            ACTS[name](self)


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ACTS: dict[str, Callable[[Asking], None]] = {
    "the API lists 500 mails a page": Asking.page,
    "it exports the sender rules as CSV": lambda asking: asking.export("text/csv"),
    "it exports them as a workbook": lambda asking: asking.export(XLSX),
}


@contextmanager
def asked(gateway: Gateway, name: str) -> Iterator[None]:
    """Have a client do something all the while; what it has begun it sees to its end."""
    context = multiprocessing.get_context("spawn")
    ended = context.Event()
    asking = Asking(gateway.http, gateway.token)
    process = context.Process(target=asking.go_on, args=(name, ended), daemon=True)
    process.start()
    try:
        yield
    finally:
        ended.set()
        process.join()


@contextmanager
def loaded(subject: Subject, load: Load | None) -> Iterator[None]:
    """Send a load again and again, if there is one."""
    ended = threading.Event()

    def go() -> None:
        while load is not None and not ended.is_set():
            subject.run(load)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def answering(subject: Subject, load: Load | None, runs: int) -> None:
    """Print how fast SMTP answers while the API does this or that, in turns; with a load, mail comes in as well."""
    alone: list[Reply] = []
    beside: dict[str, list[Reply]] = {name: [] for name in ACTS}
    with loaded(subject, load):
        for _ in range(runs):
            alone += subject.answers(SECONDS)
            for name, times in beside.items():
                with asked(subject.gateway, name):
                    times += subject.answers(SECONDS)
    print(f"SMTP replies {'while mail comes in' if load else 'without mail'}:")
    for name, replies in {"alone": alone, **beside}.items():
        took, busy = (
            told(times, base) for times, base in zip(zip(*replies, strict=True), zip(*alone, strict=True), strict=True)
        )
        print(f"  {name}: {took}; without what was waited for a processor: {busy}", flush=True)


def told(times: Sequence[float], alone: Sequence[float]) -> str:
    return f"median {statistics.median(times):.3f} ms, p99 {p99(times):.3f} ms, {p99(times) / p99(alone):.2f}"


def p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@contextmanager
def running(folder: Path, hop: int, server: str, fill: Callable[[Path], None] | None) -> Iterator[Subject]:
    folder.mkdir()
    gateway = Gateway(folder, hop, server, fill=fill)
    try:
        yield Subject(gateway, folder)
    finally:
        gateway.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=100_000)
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--mails", type=int, default=1_000_000)
    parser.add_argument("--count", type=int, default=2000, help="mails of one run")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    load = Load("4K reused", 4_000, given.count, 50, True)
    folder = Path(tempfile.mkdtemp(prefix="gatepost-bench-"))
    folder.chmod(0o755)
    much = partial(fill, rules=given.rules, domains=given.domains, mails=given.mails)
    try:
        with (
            sink() as hop,
            names() as server,
            running(folder / "empty", hop, server, None) as empty,
            running(folder / "full", hop, server, much) as full,
        ):
            results = {name: [] for name in ("empty", "full")}
            for _ in range(given.runs):
                for name, subject in (("empty", empty), ("full", full)):
                    results[name].append(subject.run(load))
            for name, runs in results.items():
                rate, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
                print(f"{name} store: {rate:,.0f} mails/s, {cpu:.2f} CPU s/1,000", flush=True)
            answering(full, None, given.runs)
            answering(full, load, given.runs)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
