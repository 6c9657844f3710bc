"""TLS reports (RFC 8460): what is counted of real sessions, and what a domain that asks for it gets, once a day."""

import asyncio
import email
import email.policy
import gzip
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from tests.house import House, living
from tests.mta.test_security import CA, GOOD, HOST, OWN, POLICY, Far
from tests.mta.test_signing import key
from tests.peers.names import Fault, Names
from tests.peers.sink import Mail, Sink, authority, server_tls
from tests.peers.web import Web, answer

from gatepost.model.envelope import Role, TlsWish
from gatepost.model.policy import Policy
from gatepost.model.query import Query
from gatepost.model.stored import Message, StsPolicy
from gatepost.model.tenant import Domain
from gatepost.model.tls_reports import PolicyType, TlsReport, TlsResult
from gatepost.mta.outcome import Result
from gatepost.mta.tls_reports import PATIENCE
from gatepost.mta.tls_results import DAY, TlsResults
from gatepost.settings import SettingsError

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


@pytest.fixture
async def far(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Far]:
    async with AsyncExitStack() as stack:
        far = Far(tmp_path, stack)
        await far.open()
        far.results = TlsResults(far.store, far.clock)
        yield far


async def counted(far: Far) -> dict[tuple[str, str], int]:
    """What the store holds, by policy type and result."""
    assert far.results is not None
    await far.results.flush()
    return {(row.policy_type.value, row.result): row.count for row in rows(far.store.reader)}


def rows(reader: Any) -> list[TlsResult]:
    found: list[TlsResult] = reader.find(TlsResult, Query(sort="id")).items
    return found


# What is counted.


async def test_sessions_are_counted_by_the_policy_that_was_applied(far: Far) -> None:
    async with Sink(tls=GOOD) as sink:
        await far.deliver(sink)
        far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
        await far.deliver(sink)
        await far.deliver(sink)
        far.tlsa(sink)
        far.tell_policy()
        await far.deliver(sink)
    assert await counted(far) == {("no-policy-found", ""): 1, ("tlsa", ""): 2, ("sts", ""): 1}
    by_type = {row.policy_type: row for row in rows(far.store.reader)}
    assert by_type[PolicyType.TLSA].policy == [f"3 0 1 {OWN}"]
    assert by_type[PolicyType.STS].policy == ["version: STSv1", "mode: enforce", f"mx: {HOST}", "max_age: 86400"]
    assert by_type[PolicyType.STS].mx == [HOST]
    assert {row.domain for row in by_type.values()} == {"far.example"}


async def test_the_age_of_a_policy_is_told_where_it_is_known(far: Far) -> None:
    """Policies that an older version fetched came without one."""
    far.tell_policy()
    async with Sink(tls=GOOD) as sink:
        await far.deliver(sink)
        (known,) = far.kept()
        await far.store.write(lambda writer: writer.change(StsPolicy, known.id, max_age=0))
        await far.deliver(sink)
    told = ["version: STSv1", "mode: enforce", f"mx: {HOST}"]
    assert [row.policy for row in rows(far.store.reader)] == [[*told, "max_age: 86400"], told]


async def test_further_counts_of_a_day_are_added_and_the_next_day_stands_apart(far: Far) -> None:
    async with Sink(tls=GOOD) as sink:
        for days in (0, 0, 1):
            far.clock.now += days * DAY
            await far.deliver(sink)
            await counted(far)
    day = far.clock.now // DAY
    assert [(row.day, row.count) for row in rows(far.store.reader)] == [(day - 1, 2), (day, 1)]


async def test_many_results_are_written_behind_everything_else(far: Far) -> None:
    assert far.results is not None
    for number in range(1000):
        far.results.note(f"d{number}.example", PolicyType.NONE)
    flush = asyncio.create_task(far.results.flush())
    await asyncio.sleep(0)
    await far.store.write(lambda writer: None)
    assert not flush.done()
    await flush
    assert sum(row.count for row in rows(far.store.reader)) == 1000


async def test_what_a_flush_has_not_written_is_written_by_the_next(far: Far) -> None:
    assert far.results is not None
    for number in range(1000):
        far.results.note(f"d{number}.example", PolicyType.NONE)
    flush = asyncio.create_task(far.results.flush())
    await asyncio.sleep(0)
    flush.cancel()  # before anything is written
    await asyncio.gather(flush, return_exceptions=True)
    await far.results.flush()
    assert len(rows(far.store.reader)) >= 800


@pytest.mark.parametrize(
    ("tls", "result"),
    [
        (None, "starttls-not-supported"),
        (server_tls(authority(), HOST), "certificate-not-trusted"),
        (server_tls(CA, "else.example"), "certificate-host-mismatch"),
    ],
)
async def test_a_policy_in_testing_is_tried_and_its_faults_counted_but_mail_goes(
    far: Far, tls: ssl.SSLContext | None, result: str
) -> None:
    """RFC 8461 5."""
    far.tell_policy()
    far.web.said = answer(POLICY.replace("enforce", "testing"))
    async with Sink(tls=tls) as sink:
        outcome = await far.deliver(sink)
        assert (outcome.result, sink.mails[0].tls) == (Result.DELIVERED, tls is not None)
        assert not (outcome.tls or "").endswith("MTA-STS")
        assert await counted(far) == {("sts", result): 1}
        far.web.said = answer(POLICY)
        far.tell_policy(2)
        assert (await far.deliver(sink)).result is Result.DEFERRED
    assert await counted(far) == {("sts", result): 1}
    testing, enforced = rows(far.store.reader)
    assert (testing.policy[1], enforced.policy[1]) == ("mode: testing", "mode: enforce")
    assert (testing.host, testing.ip) == (HOST, "127.0.0.1")


async def test_a_host_that_a_policy_in_testing_does_not_name_is_one_fault_for_a_session(far: Far) -> None:
    far.tell_policy()
    far.web.said = answer(POLICY.replace("enforce", "testing").replace(HOST, "else.far.example"))
    async with Sink(tls=GOOD) as sink:
        outcome = await far.deliver(sink)
    assert outcome.result is Result.DELIVERED
    assert not (outcome.tls or "").endswith("MTA-STS")
    assert await counted(far) == {("sts", "validation-failure"): 1}


async def test_faults_before_there_is_a_session_are_counted_too(far: Far) -> None:
    async with Sink(tls=GOOD) as sink:
        far.tlsa(sink, Fault.SERVFAIL)
        await far.deliver(sink)
        far.tlsa(sink)
        far.tell_policy()
        far.web.said = answer("nothing")
        await far.deliver(sink)
        far.clock.now += HOUR
        far.web.said = answer(POLICY, status="404 Not Found")
        await far.deliver(sink)
        far.clock.now += HOUR
        far.web.said = answer(POLICY.replace("mx.far", "other.far"))
        await far.deliver(sink)
    assert await counted(far) == {
        ("tlsa", "dnssec-invalid"): 1,
        ("sts", "sts-policy-invalid"): 1,
        ("sts", "sts-policy-fetch-error"): 1,
        ("sts", "validation-failure"): 1,
        ("no-policy-found", ""): 2,  # without a policy mail goes
    }


async def test_a_policy_served_with_a_certificate_that_nobody_trusts_is_told_apart(far: Far) -> None:
    far.tell_policy()
    far.web.tls.load_cert_chain(*stranger(far.directory))
    async with Sink(tls=GOOD) as sink:
        await far.deliver(sink)
    assert ("sts", "sts-webpki-invalid") in await counted(far)


def stranger(folder: Path) -> tuple[str]:
    path = str(folder / "stranger.pem")
    authority().issue_cert("mta-sts.far.example").private_key_and_cert_chain_pem.write_to_path(path)
    return (path,)


async def test_what_a_sender_wished_is_no_word_on_the_domain(far: Far) -> None:
    async with Sink() as sink:
        await far.deliver(sink, tls=TlsWish.WAIVED)
        await far.deliver(sink, tls=TlsWish.REQUIRED)
    assert await counted(far) == {}


# What is sent.


class Desk:
    """A gateway that sends reports, the domain's name server, and who gets the reports."""

    def __init__(self, house: House, names: Names, web: Web) -> None:
        self.house = house
        self.names = names
        self.web = web

    async def counts(self) -> None:
        """Have results of today in the store."""
        day = self.house.clock.now // DAY
        for result, count in (("", 5), ("certificate-expired", 2)):
            row = TlsResult(
                day=day,
                domain="far.example",
                policy_type=PolicyType.STS,
                policy=["version: STSv1"],
                mx=["*.far.example"],
                result=result,
                host=HOST if result else "",
                ip="192.0.2.9" if result else "",
                count=count,
            )
            await self.house.add(row)

    async def round(self, hours: int = 0) -> None:
        self.house.clock.now += hours * HOUR
        await self.house.gatepost.tls_reports.round()
        await self.house.gatepost.queue.idle()

    def ask(self, *uris: str) -> None:
        self.names.zone["_smtp._tls.far.example"] = [f'TXT "v=TLSRPTv1; rua={",".join(uris)}"']

    def left(self) -> tuple[int, int]:
        """How many results, and reports, the store holds."""
        reader = self.house.store.reader
        return len(rows(reader)), len(reader.find(TlsReport, Query()).items)


@asynccontextmanager
async def opened(tmp_path: Path, **more: dict[str, Any]) -> AsyncIterator[Desk]:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    zone = {"reports.far.example": ["A 127.0.0.1"]}
    async with Names(zone, ttl=0) as names, Web(server_tls(CA, "reports.far.example"), answer("thanks")) as web:  # type: ignore[arg-type]
        sections = {
            "dns": {"servers": [names.address], "cache": 0},
            "tls_reports": {"sender": "tls@served.example", "organization": "Served"},
            "mta_sts": {"ca_file": str(tmp_path / "ca.pem")},
            **more,
        }
        async with living(tmp_path, **sections) as house:
            yield Desk(house, names, web)


@pytest.fixture
async def desk(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as desk:
        yield desk


def parsed(mail: Mail) -> tuple[EmailMessage, dict[str, Any]]:
    found = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    _, packed = found.iter_parts()
    assert packed.get_content_type() == "application/tlsrpt+gzip"
    return found, json.loads(gzip.decompress(packed.get_payload(decode=True)))  # type: ignore[arg-type]


async def test_a_domain_that_asks_for_it_gets_a_report_on_the_day_that_is_over(desk: Desk) -> None:
    desk.ask("mailto:reports@far.example")
    await desk.counts()
    await desk.round()
    assert desk.left() == (2, 0)  # the day is not over
    day = desk.house.clock.now // DAY
    await desk.round(24 + 4)
    (got,) = await desk.house.sink.wait(1)
    assert (got.sender, got.recipients) == ("", ["reports@far.example"])
    mail, report = parsed(got)
    date = report["date-range"]["start-datetime"][:10]
    report_id = f"{date}.far.example@gate.example"
    assert mail["Subject"] == f"Report Domain: far.example Submitter: gate.example Report-ID: <{report_id}>"
    assert (mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]) == ("far.example", "gate.example")
    assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt"
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == f"gate.example!far.example!{day * 86_400}!{day * 86_400 + 86_399}.json.gz"
    assert report == {
        "organization-name": "Served",
        "date-range": {"start-datetime": f"{date}T00:00:00Z", "end-datetime": f"{date}T23:59:59Z"},
        "contact-info": "tls@served.example",
        "report-id": report_id,
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-domain": "far.example",
                    "policy-string": ["version: STSv1"],
                    "mx-host": ["*.far.example"],
                },
                "summary": {"total-successful-session-count": 5, "total-failure-session-count": 2},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "receiving-mx-hostname": HOST,
                        "receiving-ip": "192.0.2.9",
                        "failed-session-count": 2,
                    }
                ],
            }
        ],
    }


async def test_a_report_is_sent_once_and_past_the_faults_that_it_tells_of(desk: Desk) -> None:
    desk.ask("mailto:reports@far.example")
    await desk.counts()
    await desk.round(28)
    await desk.round(1)
    assert len(await desk.house.sink.wait(1)) == 1
    assert desk.left() == (0, 0)
    (message,) = desk.house.store.reader.find(Message, Query()).items
    assert (message.tls_wish, message.signer) == (TlsWish.WAIVED, "served.example")


async def test_a_report_is_signed_by_the_domain_of_its_sender(desk: Desk) -> None:
    """RFC 8460 3: receivers believe no other."""
    await key(desk.house)
    desk.ask("mailto:reports@far.example")
    await desk.counts()
    await desk.round(28)
    (got,) = await desk.house.sink.wait(1)
    mail, _ = parsed(got)
    assert "d=served.example;" in mail["DKIM-Signature"].replace(" ", "")


async def test_a_report_is_posted_and_again_until_it_is_taken(desk: Desk) -> None:
    desk.ask(f"https://reports.far.example:{desk.web.port}/v1", "mailto:reports@far.example")
    desk.web.said = answer("no", status="503 Later")
    await desk.counts()
    await desk.round(28)
    assert desk.left() == (0, 1)  # the mail has gone
    desk.web.said = answer("thanks")
    await desk.round(1)
    assert desk.left() == (0, 0)
    assert [head.splitlines()[0] for head in desk.web.asked] == ["POST /v1 HTTP/1.1"] * 2
    assert "Content-Type: application/tlsrpt+gzip" in desk.web.asked[1]
    assert json.loads(gzip.decompress(desk.web.bodies[1]))["organization-name"] == "Served"
    assert len(desk.house.sink.mails) == 1


async def test_who_does_not_answer_a_post_holds_up_no_other_report(desk: Desk) -> None:
    desk.web.said = None
    desk.ask(*(f"https://reports.far.example:{desk.web.port}/{number}" for number in range(3)))
    await desk.counts()
    desk.house.clock.now += 28 * HOUR
    async with asyncio.TaskGroup() as tasks:
        waits = tasks.create_task(desk.house.gatepost.tls_reports.round())
        await desk.web.wait(3, PATIENCE)
        waits.cancel()
    assert desk.left() == (0, 3)


async def test_a_post_that_nobody_takes_is_given_up_after_a_day(desk: Desk) -> None:
    desk.ask(f"https://reports.far.example:{desk.web.port}/v1")
    desk.web.said = answer("no", status="500 No")
    await desk.counts()
    await desk.round(28)
    await desk.round(25)
    assert desk.left() == (0, 0)


async def test_a_stranger_s_url_on_a_private_address_is_not_called_though_webhooks_may_be_there(tmp_path: Path) -> None:
    hooks = {"private": True, "ca_file": str(tmp_path / "ca.pem")}
    async with opened(tmp_path, webhooks=hooks, relay={"allow_private_destinations": False}) as desk:
        desk.ask(f"https://reports.far.example:{desk.web.port}/v1")
        await desk.counts()
        await desk.round(28)
        assert desk.left() == (0, 1) and desk.web.asked == []


@pytest.mark.parametrize(
    "record",
    [
        [],
        ['TXT "x"'],
        *([f'TXT "v=TLSRPTv1; rua={uri}"'] for uri in ("ftp://x", "mailto:@", "mailto://[x", "mailto:a%0d%0ab@x")),
    ],
)
async def test_who_asks_for_nothing_gets_nothing_and_the_counts_go(desk: Desk, record: list[str]) -> None:
    desk.names.zone["_smtp._tls.far.example"] = record
    await desk.counts()
    await desk.round(28)
    assert desk.left() == (0, 0) and desk.house.sink.mails == []


async def test_while_dns_is_silent_the_counts_wait_but_not_for_ever(desk: Desk) -> None:
    desk.names.zone["_smtp._tls.far.example"] = [Fault.SERVFAIL]
    await desk.counts()
    await desk.round(28)
    assert desk.left() == (2, 0)
    await desk.round(4 * 24)
    assert desk.left() == (0, 0)


async def test_a_restart_neither_doubles_nor_loses_a_day(tmp_path: Path) -> None:
    zone = {
        "far.example": ["MX 10 mx.far.example."],
        HOST: ["A 127.0.0.1"],
        "_smtp._tls.far.example": ['TXT "v=TLSRPTv1; rua=mailto:reports@far.example"'],
    }
    fields = (
        "From: bob@served.example",
        "Date: Fri, 20 Nov 2026 09:00:00 +0000",
        "Message-ID: <1@served.example>",
    )
    text = "\r\n".join((*fields, "", "Hi", "")).encode()
    async with Names(zone) as names, Sink(tls=GOOD) as sink:  # type: ignore[arg-type]
        sections = {
            "dns": {"servers": [names.address], "cache": 0},
            "relay": {"smarthost": "", "mx_port": sink.port},
            "tls_reports": {"sender": "tls@served.example"},
        }
        async with living(tmp_path, **sections) as house:
            domain = house.store.reader.domain("served.example")
            assert domain is not None
            await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
            await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))
            await house.send(text, "zoe@far.example", sender="bob@served.example", role=Role.TRUSTED)
            await sink.wait(1)
        for _ in range(2):
            async with living(tmp_path, **sections) as house:
                house.clock.now += 28 * HOUR
                await house.gatepost.tls_reports.round()
                await sink.wait(2)
                await house.gatepost.queue.idle()
        _, report = parsed(sink.mails[-1])
        assert report["policies"][0]["summary"]["total-successful-session-count"] == 1
        assert len(sink.mails) == 2


async def test_a_sender_that_is_no_address_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tls_reports\.sender"):
        async with living(tmp_path, tls_reports={"sender": "nobody"}):
            pass


async def test_a_report_put_off_by_a_clock_that_was_ahead_goes_when_it_is_set_back(desk: Desk) -> None:
    desk.ask(f"https://reports.far.example:{desk.web.port}/tls")
    desk.web.said = answer("no", status="500 Sorry")
    await desk.counts()
    await desk.round(28)
    assert desk.left() == (0, 1)
    (report,) = desk.house.store.reader.find(TlsReport, Query()).items
    ahead = 400 * DAY
    await desk.house.store.write(
        lambda writer: writer.change(TlsReport, report.id, due=report.due + ahead, created_at=report.created_at + ahead)
    )
    desk.web.said = answer("thanks")
    await desk.round()
    assert desk.left() == (0, 0)


async def test_what_was_counted_by_a_clock_that_was_ahead_is_told_to_nobody(desk: Desk) -> None:
    desk.house.clock.now += 400 * DAY
    await desk.counts()
    desk.house.clock.now -= 400 * DAY
    await desk.house.store.write(lambda writer: writer.purge(desk.house.clock()))
    assert desk.left() == (0, 0)
