"""The pipeline over real mails: failing filters never let one pass by accident; equal recipients share a run."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Hashable, Iterable
from pathlib import Path

import msgspec
import pytest
from tests.house import NOW, StillClock, World, client, open_store, settings
from tests.peers.names import Names

from gatepost.dns import Resolver
from gatepost.events import Metrics, Trail, wall_clock
from gatepost.filters import registry
from gatepost.filters.registry import Cost
from gatepost.message.anatomy import Anatomy
from gatepost.message.mail import Mail, Opener
from gatepost.model.address import parse_address
from gatepost.model.auth import Policy, Result
from gatepost.model.envelope import Body, Direction, Envelope, Recipient
from gatepost.model.verdict import Category, Finding, OnError
from gatepost.mta.directory import Directory
from gatepost.mta.pipeline import Pipeline, Report
from gatepost.settings import Dns, Filters, Limits, Settings

pytestmark = pytest.mark.anyio
RAW = b"From: ada@world.example\r\nTo: bob@served.example\r\nSubject: x\r\n\r\nHello\r\n"


class Asked:
    """A filter of somebody's own package: it does what a test tells it, and counts."""

    name = "asked"
    Options = registry.Options

    def __init__(self, act: str, *, cost: Cost = Cost.MEMORY, on_error: OnError = OnError.DEFER) -> None:
        self.act = act
        self.cost = cost
        self.on_error = on_error
        self.runs = 0

    def key(self, recipient: Recipient) -> Hashable:
        return recipient.policy.mail_size_limit if recipient.policy else None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        self.runs += 1
        if self.act == "fail":
            raise RuntimeError("of its own making")
        if self.act == "hang":
            await asyncio.Event().wait()
        return [Finding(category=Category.SPAM, symbol="SEEN", reason="seen", by=self.name)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    yield World(store, clock)
    await store.close()


@pytest.fixture
async def opener() -> AsyncIterator[Opener]:
    opener = Opener(Filters(), Limits())
    yield opener
    await opener.close()


def make(filters: list[Asked], directory: Directory, *, timeout: float, servers: tuple[str, ...] = ()) -> Pipeline:
    """Make a pipeline that looks at senders where there is a name server to ask."""
    resolver = Resolver(Dns(servers=list(servers), timeout=0.5), wall_clock)
    chosen = msgspec.convert({"auth": {"enabled": bool(servers)}, "filters": {"timeout": timeout}}, Settings)
    return Pipeline(filters, directory, resolver, chosen, metrics=Metrics())


async def run(
    world: World, opener: Opener, tmp_path: Path, *filters: Asked, raw: bytes = RAW, names: tuple[str, ...] = ("bob",)
) -> Report:
    directory = Directory(world.store, settings(tmp_path), clock=world.clock, srs_key=b"k", verify=None, has_mail=None)
    if world.store.reader.domain("served.example") is None:
        await world.domain("served.example")
    found = []
    for name in names:
        found += await directory.resolve(parse_address(f"{name}@served.example"), client(), None)
    envelope = Envelope(
        id="0" * 32, client=client(), sender=None, recipients=tuple(found), direction=Direction.IN, received=NOW
    )
    pipeline = make(list(filters), directory, timeout=1.0)
    return await pipeline.run(Mail(envelope, Body(len(raw), raw), opener), Trail(world.clock))


async def test_a_filter_that_fails_is_unsure_and_says_what_follows(
    world: World, opener: Opener, tmp_path: Path
) -> None:
    for on_error in OnError:
        report = await run(world, opener, tmp_path, Asked("fail", on_error=on_error))
        (finding,) = report.found[0].findings
        assert (finding.category, finding.symbol, finding.on_error) == (Category.UNSURE, "FILTER_FAILED", on_error)
        assert "of its own making" not in finding.reason


async def test_a_sender_whom_the_examination_fails_on_is_neither_proven_nor_let_off(
    world: World, opener: Opener, tmp_path: Path
) -> None:
    mail = Mail(
        Envelope(
            id="0" * 32,
            client=client(),
            sender=parse_address("ada@world.example"),
            recipients=(),
            direction=Direction.IN,
            received=NOW,
        ),
        Body(len(RAW), RAW),
        opener,
    )
    mail.envelope = msgspec.structs.replace(mail.envelope, received=None)  # what no caller does
    directory = Directory(world.store, settings(tmp_path), clock=world.clock, srs_key=b"k", verify=None, has_mail=None)
    async with Names({"_dmarc.world.example": ['TXT "v=DMARC1; p=reject"']}) as names:
        await make([], directory, timeout=5.0, servers=(names.address,)).run(mail, Trail(world.clock))
    assert mail.auth is not None
    assert (mail.auth.authors, mail.auth.proven, mail.auth.unsure) == (("ada@world.example",), False, True)
    # It waits, as its author's domain asks for proof: else who finds such a fault could write in anybody's name.
    assert (mail.auth.dmarc.result, mail.auth.dmarc.policy) == (Result.TEMPERROR, Policy.REJECT)


async def test_a_filter_that_hangs_is_cut_off_and_the_others_are_heard(
    world: World, opener: Opener, tmp_path: Path
) -> None:
    report = await run(world, opener, tmp_path, Asked("hang", cost=Cost.DNS), Asked("find", cost=Cost.DNS))
    assert {finding.symbol for finding in report.found[0].findings} == {"FILTER_FAILED", "SEEN"}


async def test_equal_recipients_share_one_run_and_unlike_ones_do_not(
    world: World, opener: Opener, tmp_path: Path
) -> None:
    domain = await world.domain("served.example")
    small = await world.policy(domain, mail_size_limit=1)
    await world.user("eve@served.example", policy_id=small.id)
    asked = Asked("find")
    report = await run(world, opener, tmp_path, asked, names=("bob", "carol", "eve"))
    assert asked.runs == 2
    assert [[finding.symbol for finding in each.findings] for each in report.found] == [["SEEN"]] * 3


async def test_76_a_mail_that_cannot_be_opened_is_deferred_twice_and_then_held(
    world: World, opener: Opener, tmp_path: Path
) -> None:
    await opener.close()  # no worker will open it
    directory = Directory(world.store, settings(tmp_path), clock=world.clock, srs_key=b"k", verify=None, has_mail=None)
    await world.domain("served.example")
    found = await directory.resolve(parse_address("bob@served.example"), client(), None)
    asked = Asked("find", cost=Cost.PARSE)
    pipeline = make([asked], directory, timeout=1.0)
    raw = RAW + b"x" * 76 * 4000  # too large for the loop
    seen = []
    for number in range(3):
        envelope = Envelope(
            id=f"{number:032x}", client=client(), sender=None, recipients=found, direction=Direction.IN, received=NOW
        )
        report = await pipeline.run(Mail(envelope, Body(len(raw), raw), opener), Trail(world.clock))
        (finding,) = report.found[0].findings
        seen.append(finding.on_error)
    assert seen == [OnError.DEFER, OnError.DEFER, OnError.QUARANTINE]
    assert asked.runs == 0


class OutOfFiles(Opener):
    """Reads a mail whose charset was not read before, where no more files may be opened."""

    def glance(self, body: Body) -> Anatomy | None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_76_where_the_system_lacks_files_a_mail_is_deferred_and_no_try_is_counted(
    world: World, tmp_path: Path
) -> None:
    """Else the third try within seconds had it held, for no fault of its own."""
    report = await run(world, OutOfFiles(Filters(), Limits()), tmp_path, Asked("find", cost=Cost.PARSE))
    (finding,) = report.found[0].findings
    assert (finding.on_error, finding.reason) == (OnError.DEFER, "it can't be opened now (Too many open files)")


async def try_spooled(world: World, opener: Opener, tmp_path: Path, texts: list[bytes]) -> list[Finding]:
    """Run mails of one sender and size, each a file, through one pipeline; return what is found in each."""
    directory = Directory(world.store, settings(tmp_path), clock=world.clock, srs_key=b"k", verify=None, has_mail=None)
    await world.domain("served.example")
    found = await directory.resolve(parse_address("bob@served.example"), client(), None)
    pipeline = make([], directory, timeout=1.0)
    findings = []
    for number, text in enumerate(texts):
        path = tmp_path / str(number)
        path.write_bytes(RAW + text)
        envelope = Envelope(
            id=f"{number:032x}", client=client(), sender=None, recipients=found, direction=Direction.IN, received=NOW
        )
        mail = Mail(envelope, Body(path.stat().st_size, path=str(path)), opener)
        report = await pipeline.run(mail, Trail(world.clock))
        findings += report.found[0].findings
    return findings


async def test_76_a_mail_whose_turn_does_not_come_is_deferred_and_not_blamed(world: World, tmp_path: Path) -> None:
    opener = Opener(Filters(), Limits(), turn=0.01)
    await opener._turns.acquire()  # the only worker is at another mail
    findings = await try_spooled(world, opener, tmp_path, [b"same"] * 4)
    assert [(each.category, each.on_error) for each in findings] == [(Category.UNSURE, OnError.DEFER)] * 4
    await opener.close()


async def test_76_spooled_mails_of_one_size_and_sender_are_not_taken_for_one(
    world: World, opener: Opener, tmp_path: Path
) -> None:
    await opener.close()  # no worker will open them
    unlike = await try_spooled(world, opener, tmp_path, [b"1", b"2", b"3", b"4"])
    assert [each.on_error for each in unlike] == [OnError.DEFER] * 4
