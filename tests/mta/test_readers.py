"""Readers: what they tell of a mail is what the daemon would have found itself; how they begin, fail and end."""

import asyncio
import base64
import contextlib
import os
import select
import signal
import socket
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.house import NOW, StillClock, World, client, open_store, settings
from tests.mailauth.post import long_txt
from tests.modern.mails import mails
from tests.mta.test_proofs import ZONE
from tests.peers.names import Names

from gatepost.dns import Resolver
from gatepost.events import Metrics, Trail, wall_clock
from gatepost.filters import registry
from gatepost.filters.score import GTUBE
from gatepost.filters.virus import EICAR
from gatepost.message.mail import Mail, Opener, Unscannable
from gatepost.message.worker import installed
from gatepost.model.address import parse_address
from gatepost.model.envelope import Body, Client, Direction, Envelope, Login, Recipient, Role
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.stored import TraceEvent
from gatepost.model.verdict import Category, Finding, OnError
from gatepost.mta import readers as daemon_side
from gatepost.mta.directory import Directory
from gatepost.mta.pipeline import Pipeline, Report
from gatepost.mta.reader import Reader, serve
from gatepost.mta.readers import CROWD, Readers
from gatepost.mta.reading import (
    TOGETHER,
    Answer,
    Frames,
    Job,
    Outbox,
    Setup,
    answer_decoder,
    bare,
    frame,
    job_decoder,
)
from gatepost.settings import Auth, Dns, Filters, Limits

pytestmark = pytest.mark.anyio

PLAIN = (
    b"From: Ada <ada@world.example>\r\nTo: bob@served.example\r\nSubject: x\r\n"
    b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@world.example>\r\n\r\nHello\r\n"
)


def zipped() -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("run.exe", b"MZ")
    return packed.getvalue()


def attached(content: bytes, kind: str, name: str) -> bytes:
    """Return a mail with a file."""
    return (
        PLAIN.partition(b"\r\n\r\n")[0]
        + b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee.\r\n--b\r\n"
        + f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n".encode()
        + f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode()
        + base64.encodebytes(content).replace(b"\n", b"\r\n")
        + b"--b--\r\n"
    )


ODD = {
    "nothing": b"",
    "no header": b"\r\nno header\r\n",
    "8bit": PLAIN.replace(b"Hello", b"H\xe9llo \x00\xff"),
    "half a pair": PLAIN.replace(b"Subject: x", b"Subject: =?utf-7?Q?a+2AA-b?="),
    "8bit header": PLAIN.replace(b"Subject: x", "Subject: Grüße".encode()),
    "open boundary": PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n", 1),
    "bad base64": attached(b"x" * 90, "application/octet-stream", "x.bin").replace(b"eHh4", b"e$$4", 1),
    "gtube": PLAIN.replace(b"Hello", GTUBE),
    "eicar": attached(EICAR, "application/octet-stream", "test.com"),
    "newsletter": PLAIN.replace(
        b"Subject", b"List-Unsubscribe: <https://world.example/u>\r\nFeedback-ID: 1\r\nSubject"
    ),
    "bad header": PLAIN.replace(b"To:", b"no field\r\nTo:").replace(b"Date:", b"Dote:"),
    "archive": attached(zipped(), "application/zip", "a.zip"),
    "pdf": attached(
        b"%PDF-1.7\n1 0 obj <</S /URI /URI (https://elsewhere.example/)>> endobj\n", "application/pdf", "a.pdf"
    ),
}


class Bench:
    """The same pipeline twice over, with a name server of its own: one asks everything itself, one has readers."""

    def __init__(self, world: World, names: Names, tmp_path: Path, **readers: Any) -> None:
        dns = Dns(servers=[names.address], timeout=5.0)
        sections = {"dns": {"servers": [names.address], "timeout": 5.0}}
        self.settings = settings(tmp_path, **sections)
        self.world = world
        self.opener = Opener(Filters(), Limits())
        self.directory = Directory(
            world.store, self.settings, clock=world.clock, srs_key=b"k", verify=None, has_mail=None
        )
        resolver = Resolver(dns, wall_clock)
        self.filters = filters = registry.load(Filters(), registry.Tools(limits=Limits(), resolver=resolver))
        self.readers = Readers(self.settings, filters, **{"most": 1, **readers})
        self.here, self.there = Metrics(), Metrics()
        rooms = (filters, self.directory, resolver, self.settings)
        self.asks_itself = Pipeline(*rooms, metrics=self.here)
        self.has_readers = Pipeline(*rooms, metrics=self.there, readers=self.readers)

    async def mail(self, raw: bytes = PLAIN, sender: str = "ada@world.example", **about: Any) -> Mail:
        by = about.pop("client", client(ip="127.0.0.1", helo="out.world.example"))
        names = about.pop("names", ("bob",))
        found: list[Recipient] = []
        for name in names:
            found += await self.directory.resolve(parse_address(f"{name}@served.example"), by, None)
        about = {"id": "0" * 32, "direction": Direction.IN, "received": NOW, **about}
        envelope = Envelope(
            client=by, sender=parse_address(sender) if sender else None, recipients=tuple(found), **about
        )
        return Mail(envelope, Body(len(raw), raw), self.opener)

    async def judged(self, pipeline: Pipeline, mail: Mail) -> tuple[Report, list[TraceEvent]]:
        again = Mail(mail.envelope, mail.body, self.opener)
        trail = Trail(self.world.clock)
        return await pipeline.run(again, trail, crowd=CROWD), trail.events

    async def read(self, mail: Mail) -> tuple[Report, list[TraceEvent]]:
        return await self.judged(self.has_readers, mail)

    async def ready(self) -> int:
        """Wait until a reader takes mails, after the rest that follows a fault; return its process."""
        readers = self.readers
        if not readers.pids:
            await asyncio.gather(*readers._lives)
            await asyncio.sleep(readers._rest_until - asyncio.get_running_loop().time())
            assert await readers.read(await self.mail(), CROWD) is None
            await asyncio.sleep(0)  # its life begins
            (link,) = readers._links
            await asyncio.wait_for(link.ready, 60)
        return readers.pids[0]

    async def close(self) -> None:
        await self.readers.close()
        await self.opener.close()


@contextlib.asynccontextmanager
async def benches(tmp_path: Path) -> AsyncIterator[Any]:
    """Return what makes such a bench; all are closed."""
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    world = World(store, clock)
    await world.domain("served.example")
    zone = {**ZONE, "_dmarc.a.test": [long_txt("v=DMARC1; p=quarantine")]}
    made: list[Bench] = []
    async with Names(zone) as names:

        def make(**readers: Any) -> Bench:
            made.append(Bench(world, names, tmp_path, **readers))
            return made[-1]

        yield make
        for bench in made:
            await bench.close()
    await store.close()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Any]:
    async with benches(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Bench]:
    """A bench whose reader is ready, for tests after which it still is."""
    async with benches(tmp_path_factory.mktemp("bench")) as make:
        bench = make()
        await bench.ready()
        yield bench


def timeless(events: list[TraceEvent]) -> list[TraceEvent]:
    """Return a trace with the names of those whose times it gives, and without the times."""
    return [
        msgspec.structs.replace(each, data={**each.data, "ms": sorted(each.data.get("ms", ()))})  # type: ignore[call-overload]
        for each in events
    ]


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return how often each was timed, and of how many mails a filter could not say."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        if family.name in ("gatepost_scan_duration_seconds", "gatepost_filter_unsure")
        for sample in family.samples
        if sample.name.endswith(("_count", "_total"))
    }


async def same(bench: Bench, mail: Mail, about: str = "") -> Report:
    """Return what comes of a mail, which must be the same read here or there."""
    expected, trace = await bench.judged(bench.asks_itself, mail)
    report, events = await bench.read(mail)
    assert report == expected, about
    assert timeless(events) == timeless(trace), about
    return report


@pytest.mark.parametrize(
    "step", [pytest.param(8, marks=pytest.mark.conformance), pytest.param(1, marks=pytest.mark.soak)]
)
async def test_what_comes_of_a_mail_is_the_same_wherever_it_is_read(bench: Bench, step: int) -> None:
    for made in mails(step=step):
        sender = f"someone@{made.auth.mail_from.domain}" if made.auth.mail_from.domain else ""
        await same(bench, await bench.mail(made.data, sender, received=made.received), made.name)
    assert counted(bench.there) == counted(bench.here)
    assert counted(bench.there)["gatepost_scan_duration_seconds_count", "score"] > 100


async def test_odd_mails_and_work_for_a_worker_come_to_the_same(bench: Bench) -> None:
    for name, raw in ODD.items():
        report = await same(bench, await bench.mail(raw), name)
        assert report.anatomy is not None, name
    assert counted(bench.there) == counted(bench.here)


async def test_whoever_brings_it_and_for_whomever_it_is_a_mail_comes_to_the_same(bench: Bench) -> None:
    domain = bench.world.store.reader.domain("served.example")
    user = await bench.world.user("ann@served.example")
    rule = SenderRule(
        domain_id=domain.id, user_id=user.id, owner="ann@served.example", value="ada@world.example",
        type=SenderType.BLOCK, created_date=NOW,
    )  # fmt: skip
    await bench.world.add(rule)
    signed_in = Login(user_id=user.id, domain_id=domain.id, email="ann@served.example")
    ours = [client(role=Role.SUBMISSION, login=signed_in), client(role=Role.TRUSTED)]
    stranger = client(ip="192.0.2.9", helo="no name")
    raw = ODD["gtube"]
    for by in (*ours, stranger):
        await same(bench, await bench.mail(raw, client=by))
    await same(bench, await bench.mail(raw, ""))
    await same(bench, await bench.mail(raw, smtputf8=True))
    report = await same(bench, await bench.mail(raw, names=("bob", "ann")))
    assert len(report.found) == 2
    assert report.found[0].findings != report.found[1].findings


async def test_a_name_server_that_is_silent_holds_up_no_other_mail(bench: Bench) -> None:
    mail = await bench.mail()
    reports = await asyncio.gather(*(bench.read(mail) for _ in range(12)))
    assert all(report == reports[0][0] for report, _ in reports)


async def test_no_reader_is_started_for_mails_that_it_could_not_take(make: Any, tmp_path: Path) -> None:
    for most, body in ((0, Body(5, b"Hello")), (1, Body(300_000, bytes(300_000))), (1, Body(5, None, "/dev/null"))):
        bench = make(most=most)
        mail = Mail((await bench.mail()).envelope, body, bench.opener)
        assert await bench.readers.read(mail, CROWD) is None
        assert not bench.readers._lives


async def test_eight_mails_start_one_which_helps_from_the_second_on_until_it_is_busy(make: Any) -> None:
    bench = make(pending=2)
    mail = await bench.mail()
    assert await bench.readers.read(mail, 7) is None
    assert not bench.readers._lives
    pid = await bench.ready()
    assert await bench.readers.read(mail, 1) is None
    assert await bench.readers.read(mail, 2)
    os.kill(pid, signal.SIGSTOP)
    asked = [asyncio.create_task(bench.readers.read(mail, CROWD)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await bench.readers.read(mail, CROWD) is None, "the daemon reads it itself"
    os.kill(pid, signal.SIGCONT)
    assert all(await asyncio.gather(*asked))
    assert bench.readers.pids == [pid]
    await close_at_work(bench)


async def close_at_work(bench: Bench) -> None:
    """Close it while its reader is at a mail: both end with that, and nobody is asked any more."""
    (pid,) = bench.readers.pids
    os.kill(pid, signal.SIGSTOP)
    reading = asyncio.create_task(bench.readers.read(await bench.mail(), CROWD))
    await asyncio.sleep(0)
    await bench.readers.close()
    with pytest.raises(Unscannable, match="stopped"):
        await reading
    await ended(pid)
    assert await bench.readers.read(await bench.mail(), CROWD) is None
    assert bench.readers.pids == []
    await bench.readers.close()


async def test_there_are_no_more_than_the_settings_and_the_processors_allow(tmp_path: Path) -> None:
    filters: list[registry.Filter] = []
    kept = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(kept)})
        assert Readers(settings(tmp_path), filters).most == 0
    finally:
        os.sched_setaffinity(0, kept)
    assert Readers(settings(tmp_path, filters={"readers": 0}), filters).most == 0
    assert Readers(settings(tmp_path), filters).most == min(4, len(kept) - 1)


@pytest.mark.conformance
async def test_mails_over_which_a_reader_dies_are_deferred_and_held_after_some_tries(make: Any) -> None:
    bench = make()
    mail = await bench.mail(ODD["gtube"])
    for on_error in (OnError.DEFER, OnError.DEFER, OnError.QUARANTINE):
        pid = await bench.ready()
        os.kill(pid, signal.SIGSTOP)
        reading = asyncio.create_task(bench.read(mail))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        report, events = await reading
        assert report.anatomy is None
        (finding,) = [each for each in report.found[0].findings if each.symbol == "UNSCANNABLE"]
        assert finding.on_error is on_error
        assert ("scanned", "Unscannable") in [(each.event, each.data.get("error")) for each in events]
    await bench.ready()
    await same(bench, mail)


async def test_one_that_takes_too_long_is_killed_and_one_without_mails_ends_as_others_take_their_place(
    make: Any,
) -> None:
    bench = make(patience=0.05, look=0.01)
    first = await bench.ready()
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(Unscannable, match=r"took longer than 0\.05 s"):
        await bench.readers.read(await bench.mail(), CROWD)
    await ended(first)
    second = await bench.ready()
    assert second != first
    bench.readers._idle = 0.05
    await ended(second)
    await asyncio.gather(*bench.readers._lives)
    assert await bench.readers.read(await bench.mail(), CROWD) is None
    assert bench.readers._lives, "another one comes, without a rest"


async def test_closing_while_one_starts_leaves_no_process(make: Any) -> None:
    before = children()
    bench = make()
    await bench.readers.read(await bench.mail(), CROWD)
    await asyncio.sleep(0)
    await bench.readers.close()
    assert bench.readers.pids == []
    assert children() == before


async def test_a_reader_ends_with_the_daemon_and_not_before() -> None:
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert daemon.stdout is not None and daemon.stdin is not None
    pid = int(await daemon.stdout.readline())
    os.kill(pid, signal.SIGTERM)  # as a manager of services sends to all
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGQUIT)
    daemon.stdin.write(b"\n")
    assert await daemon.stdout.readline() == b"it reads\n"
    daemon.kill()
    await ended(pid)
    await daemon.wait()


DAEMON = """
import asyncio, sys
from gatepost.filters.registry import alone
from gatepost.message.mail import Mail, Opener
from gatepost.message.worker import installed
from gatepost.model.envelope import Body, Client, Direction, Envelope
from gatepost.mta.readers import Link
from gatepost.mta.reading import Setup
from gatepost.settings import Auth, Dns, Filters, Limits
async def main():
    link, filters = Link(), alone(Filters(), ["headers"])
    await link.start(Setup(installed(), "gate.example", filters, Limits(), Dns(), Auth(enabled=False)))
    await link.ready
    print(link.pid, flush=True)
    sys.stdin.readline()
    envelope = Envelope(
        id="0" * 32, client=Client(ip="192.0.2.1"), sender=None, recipients=(), direction=Direction.IN, received=0
    )
    assert await link.ask(Mail(envelope, Body(5, b"Hello"), Opener(Filters(), Limits())))
    print("it reads", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_one_of_another_version_reads_nothing(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_side, "installed", lambda: "0.0.0")
    bench = make()
    mail = await bench.mail()
    assert await bench.readers.read(mail, CROWD) is None
    (life,) = bench.readers._lives
    await asyncio.wait_for(life, 60)
    assert bench.readers.pids == []
    assert await bench.readers.read(mail, CROWD) is None
    assert not bench.readers._lives, "it rests before the next one"


async def test_one_that_cannot_be_told_how_to_read_is_not_started_for_each_mail(make: Any) -> None:
    bench = make()
    options = {"headers": {"a number that no frame holds": 1 << 70}}
    bench.readers = Readers(
        msgspec.structs.replace(bench.settings, filters=Filters(options=options)), bench.filters, most=1
    )
    mail = await bench.mail()
    assert await bench.readers.read(mail, CROWD) is None
    await asyncio.gather(*bench.readers._lives)
    assert await bench.readers.read(mail, CROWD) is None
    assert not bench.readers._lives, "it rests before the next one"


async def test_what_can_be_told_to_nobody_is_found_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_found", lambda: (Odd,))
    setup = Setup(installed(), "gate.example", Filters(), Limits(), Dns(), Auth(enabled=False))
    one = parse_address("bob@served.example")
    envelope = Envelope(
        id="0" * 32,
        client=Client(ip="192.0.2.1"),
        sender=None,
        recipients=(Recipient(address=one, given=one),),
        direction=Direction.IN,
        received=NOW,
    )
    ours, theirs = socket.socketpair()
    serving = asyncio.create_task(serve(theirs))
    source, sink = await asyncio.open_connection(sock=ours)
    sink.write(frame(setup) + frame(Job(1, envelope, PLAIN)))
    answers: list[Answer] = []
    frames = Frames()
    while len(answers) < 2:
        answers += map(answer_decoder.decode, frames.take(await source.read(65_536)))
    sink.close()
    await serving
    assert answers == [Answer(0), Answer(1)]


class Odd:
    """A filter whose words are no Unicode."""

    name = "odd"
    cost = registry.Cost.PARSE
    anywhere = True
    Options = registry.Options
    on_error = OnError.DEFER

    def __init__(self, options: registry.Options, tools: registry.Tools) -> None: ...

    def key(self, recipient: Recipient) -> None: ...

    async def examine(self, mail: Mail, recipient: Recipient) -> list[Finding]:
        return [Finding(category=Category.SCORE, symbol="ODD", reason="\ud800", by="odd")]


async def test_what_fails_in_a_reader_is_asked_here(tmp_path: Path) -> None:
    setup = Setup("", "", registry.alone(Filters(), ["headers", "score"]), Limits(), Dns(), Auth(enabled=False))
    nobody = Envelope(
        id="0" * 32, client=Client(ip="192.0.2.1"), sender=None, recipients=(), direction=Direction.IN, received=NOW
    )
    reading = await Reader(setup).read(Job(1, nobody, PLAIN))
    assert reading is not None
    assert reading.anatomy is not None
    assert reading.said == {}, "filters that fail say nothing"
    impossible = msgspec.structs.replace(nobody, client=None)
    proving = msgspec.structs.replace(setup, auth=Auth())
    assert await Reader(proving).read(Job(1, impossible, PLAIN)) is None


async def test_a_reader_is_told_nothing_that_it_need_not_know(make: Any) -> None:
    bench = make()
    login = Login(user_id=1, domain_id=1, email="bob@served.example", mark="of a password", token_id=7)
    mail = await bench.mail(client=client(login=login))
    told = bare(mail.envelope)
    assert mail.envelope.recipients[0].policy is not None
    assert [(each.address.text, each.policy, each.domain_id) for each in told.recipients] == [
        ("bob@served.example", None, None)
    ]
    assert told.client.login == Login(user_id=1, domain_id=1, email="bob@served.example")


async def test_a_reader_asks_only_what_hangs_on_the_mail_alone(tmp_path: Path) -> None:
    table = tmp_path / "own.toml"
    table.write_text("")
    own = {"score": {"file": str(table)}, "virus": {"sums_file": str(table)}, "icap": {"servers": ["127.0.0.1:1"]}}
    for options, names in (
        ({}, ["advert", "encoding", "headers", "score", "virus"]),
        (own, ["advert", "encoding", "headers"]),
    ):
        chosen = Filters(options=options)
        tools = registry.Tools(limits=Limits(), resolver=Resolver(Dns(), wall_clock))
        loaded = registry.load(chosen, tools)
        assert sorted(registry.anywhere(loaded)) == names
        assert sorted(one.name for one in registry.load(registry.alone(chosen, names), tools)) == names


def test_frames_come_whole_however_they_are_cut() -> None:
    job = Job(7, Envelope(id="0" * 32, client=Client(ip="192.0.2.1"), sender=None, recipients=(),
                          direction=Direction.IN, received=NOW), PLAIN)  # fmt: skip
    octets = frame(job) * 3
    for size in (1, 3, 100, len(octets)):
        frames = Frames()
        taken = [body for at in range(0, len(octets), size) for body in frames.take(octets[at : at + size])]
        assert [job_decoder.decode(body) for body in taken] == [job] * 3


async def test_what_is_sent_in_one_turn_of_the_loop_goes_together() -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    transport, _ = await loop.create_unix_connection(asyncio.Protocol, sock=ours)
    outbox = Outbox(transport)
    with theirs:
        theirs.setblocking(False)
        for number in range(1, TOGETHER):
            outbox.send(Answer(number))
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        outbox.send(Answer(TOGETHER))
        assert theirs.recv(65_536) == b"".join(frame(Answer(number)) for number in range(1, TOGETHER + 1))
        with pytest.raises(TypeError):
            outbox.send(Answer(1, object()))  # type: ignore[arg-type]
        outbox.send(Answer(1))
        outbox.send(Answer(2))
        await asyncio.sleep(0)
        assert theirs.recv(65_536) == frame(Answer(1)) + frame(Answer(2))
        outbox.send(Answer(3))
        transport.abort()  # before the turn ends: nobody hears it any more
        await asyncio.sleep(0)
        assert await loop.sock_recv(theirs, 1) == b""
    assert faults == []


async def ended(pid: int) -> None:
    """Wait until a process is no more."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            assert await asyncio.to_thread(select.select, [process], [], [], 60) != ([], [], [])
        finally:
            os.close(process)


def children() -> list[int]:
    """Return the readers that this process has."""
    return list(_children())


def _children() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"gatepost.mta.reader" in (stat.parent / "cmdline").read_bytes():
                yield int(stat.parent.name)
