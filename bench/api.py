"""How fast the API is over a full store, beside bare Starlette that answers with the same octets.

.venv/bin/python -m bench.api [--domains 10000] [--users 1000000] [--mails 1000000] [--runs 5] [--keep DIR]

Requests per second over 16 kept connections, and how much of the processor each takes, the two servers in turn, so that
the machine's moods fall on both; then how long one page takes, from the request to the last octet of the answer,
wherever in the list it lies.
"""

import argparse
import json
import multiprocessing
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.rig import GATEPOST, cpu_seconds
from tests.peers.postfix import free_port

from gatepost.events import Metrics, wall_clock
from gatepost.model.policy import default_policy
from gatepost.model.route import Platform, Transport
from gatepost.model.stored import Copy
from gatepost.model.tenant import Domain, Language
from gatepost.settings import StoreSettings
from gatepost.store.schema import table
from gatepost.store.store import Store, Writer

# The store.

SPREAD = "printf('%08x', ({0} * 2654435761) % 4294967296)"  # so that no index is filled in its order
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end)"
USERS = f"""{NUMBERS}, p(i, place) AS (SELECT i, iif(i < :large, 0, i % :domains) FROM n)
INSERT INTO user (domain_id, email, firstname, lastname, language, creation_date)
SELECT place + 1, 'u' || {SPREAD.format("i")} || '@d' || {SPREAD.format("place")} || '.example',
'Name' || (i % 977), 'Name' || (i % 977), 'EN', :now FROM p"""
OWNED = f"""{NUMBERS}, o(i, owner) AS (SELECT i, iif(i % 10 = 0, 0, i % :users) FROM n),
p(i, owner, place) AS (SELECT i, owner, iif(owner < :large, 0, owner % :domains) FROM o),
m(i, id, owner, place, at, box) AS (SELECT i, printf('%012x%020x', :now - i * 1000, i), owner, place, :now - i * 1000,
'u' || {SPREAD.format("owner")} || '@d' || {SPREAD.format("place")} || '.example' FROM p)"""
MAILS = (
    f"""{OWNED} INSERT INTO message (id, received, size, direction, sender, client_ip, helo, message_id, subject,
header_from, header_to, header_cc, sent) SELECT id, at, 100, 'in', 'author' || (i % 977) || '@world.example',
'192.0.2.1', 'mx.world.example', '<' || id || '@world.example>', 'Letter ' || i,
'Author <author' || (i % 977) || '@world.example>', box, '', at FROM m""",
    f"{OWNED} INSERT INTO body SELECT id, 4, x'0d0a0d0a' FROM m",
    f"""{OWNED} INSERT INTO copy (mail_id, mailbox, domain_id, user_id, folder, category, score, infected, stored_at,
expires_at, COLUMNS) SELECT id, box, place + 1, owner + 1, :folder, 'SPAM', 9.0, 0, at, :now + 2678400000, VALUES
FROM m""",
)
LARGE = 0.1  # of all users are in the first domain, of all mails in its first mailbox
SLICE = 20_000  # rows of one transaction
FOLDER = "Quarantine"
CUSTOMER = 1
CONNECTIONS = 16
PAGES = 300
MANY = 4_000  # users, of whom no server remembers one until he is asked for again


def fill(directory: Path, *, domains: int, users: int, mails: int) -> None:
    """Put domains, users and mails into a store that is not running: by SQL, since one row a call takes an hour."""
    store = Store.open(directory, clock=wall_clock, metrics=Metrics(), settings=StoreSettings())
    facts = {"domains": domains, "users": users, "large": int(users * LARGE), "now": wall_clock(), "folder": FOLDER}

    def run(count: int, *statements: str) -> None:
        for first in range(0, count, SLICE):
            some = {**facts, "first": first, "end": min(first + SLICE, count)}
            for sql in statements:
                store.write_sync(lambda writer, sql=sql, some=some: writer._connection.execute(sql, some))

    store.write_sync(lambda writer: [add_domain(writer, number, facts["now"]) for number in range(domains)])
    run(users, USERS)
    hidden = table(Copy).hidden
    values = {
        "sent": "at",
        "received": "at",
        "header_from": "'Author'",
        "subject": "'Letter ' || i",
        "size": "100",
        "header_to": "box",
        "header_cc": "''",
    }
    copies = (
        MAILS[2].replace("COLUMNS", ", ".join(hidden)).replace("VALUES", ", ".join(values[name] for name in hidden))
    )
    run(mails, *MAILS[:2], copies)
    store.close_sync()


def add_domain(writer: Writer, number: int, now: int) -> None:
    name = f"d{spread(number)}.example"
    row = writer.add(Domain(customer_id=CUSTOMER, name=name, default_language=Language.EN, creation_date=now))
    policy = writer.add(default_policy(row.id, name, quarantine=True, retention=True, archive=False))
    writer.add(
        Platform(
            domain_id=row.id,
            name="main",
            transport_dest="192.0.2.25",
            transport_type=Transport.SMTP,
            transport_port=25,
            default=True,
        )
    )
    writer.change(Domain, row.id, policy_id=policy.id)


def spread(number: int) -> str:
    return f"{number * 2_654_435_761 % 2**32:08x}"


# The servers.


@contextmanager
def gatepost(folder: Path, port: int) -> Iterator[int]:
    """Serve the store of a folder; yield the process's id."""
    process = subprocess.Popen([GATEPOST, "serve", "--config", folder / "gatepost.toml"])
    try:
        wait_for(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def bare(port: int, status: int, answer: bytes) -> Iterator[int]:
    """Serve the same octets by Starlette alone, in a process of its own; yield its id."""
    process = multiprocessing.get_context("spawn").Process(target=serve_bare, args=(port, status, answer), daemon=True)
    process.start()
    try:
        wait_for(port)
        assert process.pid
        yield process.pid
    finally:
        process.terminate()
        process.join()


def serve_bare(port: int, status: int, body: bytes) -> None:
    """Answer every request with that, found by the one route that there is; what it sends is read."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, status, media_type="application/json")

    app = Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nobody listens on {port}")


# The client.


class Client:
    """One kept connection that asks and waits."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._token = token

    def ask(self, method: str, target: str, body: object = None) -> tuple[int, bytes, float]:
        """Return the status, the body and the seconds until it was there."""
        head, rest, took = self.send(request(method, target, self._token, body))
        return int(head[9:12]), rest, took

    def send(self, data: bytes) -> tuple[bytes, bytes, float]:
        start = time.perf_counter()
        self._socket.sendall(data)
        head, _, body = self._receive().partition(b"\r\n\r\n")
        wanted = length(head)
        while len(body) < wanted:
            body += self._receive()
        return head, body, time.perf_counter() - start

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 20)
        if not data:
            raise SystemExit("the server closed the connection")
        return data


def request(method: str, target: str, token: str, body: object = None) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


def length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def rate(port: int, pid: int, seconds: float, requests: Iterator[bytes]) -> tuple[float, float]:
    """Return the answers a second over the connections, and the processor's microseconds that the server took for one.

    Every answer must be a success.
    """
    import selectors

    chosen = selectors.DefaultSelector()
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    got: dict[int, bytes] = {}
    for peer in peers:
        chosen.register(peer, selectors.EVENT_READ)
        peer.sendall(next(requests))
        got[peer.fileno()] = b""
    count, start, spent = 0, time.perf_counter(), cpu_seconds(pid)
    while time.perf_counter() - start < seconds:
        for key, _ in chosen.select(1):
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            data = got[key.fd] + peer.recv(1 << 18)
            head, blank, body = data.partition(b"\r\n\r\n")
            if not blank or len(body) < length(head):
                got[key.fd] = data
                continue
            assert head[9:10] == b"2", data[:500]
            count += 1
            got[key.fd] = b""
            peer.sendall(next(requests))
    took = time.perf_counter() - start
    spent = cpu_seconds(pid) - spent
    for peer in peers:
        peer.close()
    return count / took, spent / count * 1e6


# What is measured.


class Bench:
    """The full store served, asked as its administrator."""

    def __init__(self, port: int, pid: int, other: int, token: str, given: argparse.Namespace) -> None:
        self.port = port
        self.pid = pid
        self.other = other
        self.token = token
        self.given = given
        self.client = Client(port, token)
        self.random = random.Random(1)

    def get(self, target: str) -> Any:
        status, body, _ = self.client.ask("GET", target)
        assert status == 200, body
        return json.loads(body)

    def rates(self) -> None:
        """Print requests a second of list, read and create, and their share of the bare ones."""
        (domain,) = self.get(f"/domains?name=d{spread(1)}.example")
        users = [each["id"] for each in self.get(f"/domains/{domain['id']}/users?pageSize=40")]
        many = [each["id"] for at in range(0, MANY, 500) for each in self.get(f"/users?pageSize=500&offset={at}")]
        made = {"email": f"bench-{time.time_ns()}@{domain['name']}", "domainId": domain["id"], "status": "ENABLED"}
        status, body, _ = self.client.ask("POST", "/users", made)
        assert status == 201, body
        page = self.client.ask("GET", f"/domains/{domain['id']}/users")[1]
        kinds: dict[str, tuple[Callable[[int], tuple[str, str, object]], bytes, int]] = {
            "read a user": (lambda n: ("GET", f"/users/{users[n % len(users)]}", None), self.one(users[0]), 200),
            "read a user not asked for lately": (
                lambda n: ("GET", f"/users/{many[n % len(many)]}", None),
                self.one(users[0]),
                200,
            ),
            "list 40 users": (lambda _: ("GET", f"/domains/{domain['id']}/users", None), page, 200),
            "read a domain": (
                lambda _: ("GET", f"/domains/{domain['id']}", None),
                json.dumps(domain).encode(),
                200,
            ),
            "create a user": (
                lambda n: ("POST", "/users", {**made, "email": f"n{n}-{time.time_ns()}@{domain['name']}"}),
                body,
                201,
            ),
        }
        for name, (make, answer, status) in kinds.items():
            ours, bares = self.compare(make, answer, status)
            rates = f"{ours[0]:,.0f} | {bares[0]:,.0f} | {ours[0] / bares[0]:.2f}"
            print(f"| {name} | {rates} | {ours[1]:,.0f} | {bares[1]:,.0f} | {bares[1] / ours[1]:.2f} |", flush=True)

    def one(self, user: str) -> bytes:
        return self.client.ask("GET", f"/users/{user}")[1]

    def compare(
        self, make: Callable[[int], tuple[str, str, object]], answer: bytes, status: int
    ) -> tuple[list[float], list[float]]:
        """Return the rate and the processor's time of the two servers: the middle of some runs."""

        def requests() -> Iterator[bytes]:
            number = 0
            while True:
                yield request(*make(number)[:2], self.token, make(number)[2])
                number += 1

        ours, bares = [], []
        with bare(self.other, status, answer) as pid:
            for _ in range(self.given.runs):
                ours.append(rate(self.port, self.pid, self.given.seconds, requests()))
                bares.append(rate(self.other, pid, self.given.seconds, requests()))
        return [statistics.median(each) for each in zip(*ours, strict=True)], [
            statistics.median(each) for each in zip(*bares, strict=True)
        ]

    def pages(self) -> None:
        """Print how long a page takes, wherever it lies, and a search anywhere in a text."""
        self.client = Client(self.port, self.token)  # the last one was left waiting too long
        (large,) = self.get(f"/domains?name=d{spread(0)}.example")
        box = f"u{spread(0)}@{large['name']}"
        lists = {
            "/domains": self.given.domains,
            "/users": self.given.users,
            f"/domains/{large['id']}/users": round(self.given.users * LARGE),
            **{
                f"/users?sort={order}": self.given.users
                for order in ("-lastname", "firstname", "status", "-creationDate")
            },
            **{
                f"/domains/{large['id']}/users?sort={order}": round(self.given.users * LARGE)
                for order in ("firstname", "language")
            },
            f"/users/{box}/emails/{FOLDER}": self.given.mails // 10,
            f"/users/{box}/emails/{FOLDER}?sort=subject": self.given.mails // 10,
        }
        for target, count in lists.items():
            mark = "&" if "?" in target else "?"
            offsets = [self.random.randrange(count) for _ in range(PAGES)]
            self.told(f"page of {target.replace(large['id'], 'LARGE')}", [f"{target}{mark}offset={n}" for n in offsets])
        digits = [f"{self.random.randrange(4096):03x}" for _ in range(PAGES // 3)]
        self.told("GET /domains?name=*x*", [f"/domains?name=*{text}*" for text in digits])
        self.told("GET /users?email=*x*", [f"/users?email=*{text}*" for text in digits])
        of_domain = [f"/domains/{large['id']}/users?email=*{text}*" for text in digits]
        self.told("GET /domains/LARGE/users?email=*x*", of_domain)
        self.told(f"search subject in {FOLDER}", [f"/users/{box}/emails/{FOLDER}?subject={text}" for text in digits])

    def told(self, name: str, targets: list[str]) -> None:
        times, spent = [], cpu_seconds(self.pid)
        for target in targets:
            status, body, took = self.client.ask("GET", target)
            assert status == 200, body
            times.append(took * 1000)
        p99 = statistics.quantiles(times, n=100)[98]
        spent = (cpu_seconds(self.pid) - spent) / len(times) * 1000
        print(f"| {name} | {statistics.median(times):.1f} | {p99:.1f} | {spent:.1f} |", flush=True)


def prepare(folder: Path, port: int, given: argparse.Namespace) -> str:
    """Make the store, unless the folder has one; return a token."""
    config = folder / "gatepost.toml"
    config.write_text(
        f'[store]\ndirectory = "state"\n[http]\nlisten = ["127.0.0.1:{port}"]\n[log]\nlevel = "warning"\n'
        f'[[smtp.listener]]\nrole = "mx"\nlisten = "127.0.0.1:{free_port()}"\n'
    )
    kept = folder / "token"
    if not kept.exists():
        command = [GATEPOST, "init", "--config", config, "--json"]
        made = subprocess.run(command, check=True, capture_output=True, text=True)
        fill(folder / "state", domains=given.domains, users=given.users, mails=given.mails)
        kept.write_text(json.loads(made.stdout)["token"])
    return kept.read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--mails", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="a folder for the store, to be filled once")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="gatepost-bench-"))
    folder.mkdir(exist_ok=True)
    port = free_port()
    try:
        token = prepare(folder, port, given)
        with gatepost(folder, port) as pid:
            bench = Bench(port, pid, free_port(), token, given)
            print("| what | requests/s | bare Starlette | share | CPU us | bare | share |")
            print(f"|{' --- |' * 7}")
            bench.rates()
            print("\n| what | median ms | p99 ms | CPU ms |\n| --- | --- | --- | --- |")
            bench.pages()
    finally:
        if given.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
