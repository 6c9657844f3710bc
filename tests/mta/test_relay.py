"""The relay against real servers that obey, refuse, fall silent, drop the line and speak TLS."""

import asyncio
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme
from aiosmtplib import SMTPResponse, SMTPResponseException
from dnslib import MX, DNSLabel
from tests.loops import LOOPS, on_each_loop
from tests.peers.names import Names
from tests.peers.sink import EXTENSIONS, Act, Drip, Late, Script, Sink, authority, server_tls

from gatepost.dns import Resolver
from gatepost.events import Metrics
from gatepost.model.address import parse_address
from gatepost.model.envelope import Body
from gatepost.model.route import Hop, Route, Terms, Transport
from gatepost.mta.dots import stuffed
from gatepost.mta.outcome import Outcome, Result, printable, remote_id, said
from gatepost.mta.relay import Relay
from gatepost.mta.replies import Replies
from gatepost.mta.transaction import Parcel, Taker
from gatepost.settings import Dns, SettingsError
from gatepost.settings import Relay as RelaySettings

pytestmark = pytest.mark.anyio

TEXT = b"Subject: hello\r\n\r\nBody.\r\n"
HEAD = b"Received: by gate.test\r\n"

Make = Callable[..., Relay]


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Relay] = []

    def build(resolver: Resolver | None = None, **options: object) -> Relay:
        times = {"connect_timeout": 20.0, "command_timeout": 20.0, "data_timeout": 20.0, **options}
        settings = RelaySettings(allow_private_destinations=True, **times)  # type: ignore[arg-type]
        names = resolver or Resolver(Dns(servers=["127.0.0.1:1"], timeout=0.3), lambda: 0)
        relay = Relay(settings, "gate.test", names, metrics=Metrics(), clock=lambda: 5_000, chance=random.Random(1))
        made.append(relay)
        return relay

    yield build
    for relay in made:
        await relay.close()


def parcel(*takers: str, data: bytes = TEXT, sender: str = "a@from.test", **more: object) -> Parcel:
    given = tuple(Taker(taker) for taker in takers or ("b@to.test",))
    body = Body(size=len(data), data=data)
    return Parcel(sender=sender, **{"takers": given, "head": HEAD, "body": body, "offset": 0, **more})  # type: ignore[arg-type]


def spooled(tmp_path: Path, data: bytes, *takers: str, offset: int = 0) -> Parcel:
    path = tmp_path / "body"
    path.write_bytes(data)
    given = tuple(Taker(taker) for taker in takers or ("b@to.test",))
    body = Body(size=len(data), path=str(path))
    return Parcel(sender="a@from.test", takers=given, head=HEAD, body=body, offset=offset)


def to(*sinks: Sink, transport: Transport = Transport.SMTP, host: str = "127.0.0.1") -> Route:
    return Route(hops=tuple(Hop(host, sink.port, transport) for sink in sinks))


def results(outcomes: list[Outcome]) -> list[str]:
    return [f"{outcome.result.value} {outcome.reply.code} {outcome.reply.status}" for outcome in outcomes]


# What arrives.


@on_each_loop
async def test_a_mail_arrives_with_its_octets_25(make: Make) -> None:
    async with Sink() as sink:
        (outcome,) = await make().deliver(to(sink), parcel())
    assert sink.mails[0].data == HEAD + TEXT
    assert (sink.mails[0].sender, sink.mails[0].recipients) == ("a@from.test", ["b@to.test"])
    assert outcome.result is Result.DELIVERED
    assert outcome.remote_id == "SINK000001"
    assert outcome.hop == f"127.0.0.1[127.0.0.1]:{sink.port}"
    assert outcome.at == 5_000


BODIES = [
    b"",
    b".\r\n",
    b"..\r\n",
    b".\r\n.\r\n.\r\n",
    b".leading\r\nmiddle\r\n.again\r\n",
    b"text\r\n.\r\nMAIL FROM:<evil@x.test>\r\nQUIT\r\n",
    b"\r\n\r\n.\r\n\r\n",
    bytes(range(1, 10)) + bytes(range(14, 256)) + b"\r\n",
    b"x" * 70_000 + b"\r\n",
]


@on_each_loop
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_every_body_arrives_octet_by_octet_3_25(make: Make, body: bytes, extensions: tuple[str, ...]) -> None:
    text = b"Subject: x\r\n\r\n" + body
    async with Sink(extensions=extensions) as sink:
        assert results(await make().deliver(to(sink), parcel(data=text))) == ["delivered 250 2.0.0"]
    assert sink.mails[0].data == HEAD + text


@pytest.mark.parametrize("seed", range(6))
async def test_a_spooled_body_is_stuffed_across_the_borders_of_chunks(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("gatepost.mta.dots.CHUNK", 7)
    chance = random.Random(seed)
    text = b"".join(chance.choice([b".", b"\r\n", b"\r\n.\r\n", b"..", b"abc"]) for _ in range(400)) + b"\r\n"
    async with Sink() as sink:
        assert results(await make().deliver(to(sink), spooled(tmp_path, text))) == ["delivered 250 2.0.0"]
    assert sink.mails[0].data == HEAD + text


@on_each_loop
async def test_a_large_spooled_body_is_streamed_from_the_offset_on(make: Make, tmp_path: Path) -> None:
    text = b"Subject: forged\r\n\r\n" + b"\r\n".join(b".%d" % number * 9 for number in range(120_000)) + b"\r\n"
    async with Sink() as sink:
        (outcome,) = await make().deliver(to(sink), spooled(tmp_path, text, offset=17))
    assert outcome.result is Result.DELIVERED
    assert sink.mails[0].data == HEAD + text[17:]
    assert f"SIZE={len(HEAD) + len(text) - 17}" in sink.mails[0].sender_params


async def test_nothing_is_missed_where_the_system_says_there_is_no_more(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.preadv", lambda *given: 0)  # as Linux 5.10 may say of what is not in memory
    text = b"Subject: x\r\n\r\n" + b"." * 600_000 + b"\r\n"
    async with Sink() as sink:
        assert results(await make().deliver(to(sink), spooled(tmp_path, text))) == ["delivered 250 2.0.0"]
    assert sink.mails[0].data == HEAD + text


@on_each_loop
async def test_a_mail_whose_file_ends_too_early_is_not_sent_in_part(make: Make, tmp_path: Path) -> None:
    text = b"Subject: x\r\n\r\n" + b"line\r\n" * 100_000
    damaged = spooled(tmp_path, text)
    os.truncate(tmp_path / "body", 400_000)
    async with Sink() as sink:
        assert results(await make().deliver(to(sink), damaged)) == ["deferred 0 4.3.0"]
        assert not sink.mails


async def test_a_last_line_without_end_gets_one_25(make: Make, tmp_path: Path) -> None:
    async with Sink() as sink:
        await make().deliver(to(sink), parcel(data=b"Subject: x\r\n\r\nend"))
        await make().deliver(to(sink), spooled(tmp_path, b"Subject: x\r\n\r\nend"))
    assert [mail.data for mail in sink.mails] == [HEAD + b"Subject: x\r\n\r\nend\r\n"] * 2


@pytest.mark.parametrize("end", [b"\n.\r\n", b"\n.\n", b"\r\n.\n", b"\n..\r\n"])
def test_no_dot_after_a_bare_line_feed_can_be_taken_for_the_end_3(end: bytes) -> None:
    wire = stuffed(b"text" + end + b"MAIL FROM:<evil@x.test>\r\n")
    assert b"\n.\r\n" not in wire[:-5]
    assert b"\n.\n" not in wire


# Extensions.


async def test_commands_are_pipelined_where_the_server_takes_that(make: Make) -> None:
    async with Sink() as sink:
        await make().deliver(to(sink), parcel("b@to.test", "c@to.test"))
        assert [command.split(":")[0] for command in sink.commands] == [
            "EHLO gate.test",
            "MAIL FROM",
            "RCPT TO",
            "RCPT TO",
            "DATA",
        ]


async def test_nothing_is_asked_that_was_not_offered(make: Make) -> None:
    whole = parcel(
        data="Subject: x\r\n\r\nä\r\n".encode(), ret="FULL", envid="id", takers=(Taker("b@to.test", "SUCCESS"),)
    )
    async with Sink(extensions=()) as sink:
        (outcome,) = await make().deliver(to(sink), whole)
    assert sink.commands[1:] == ["MAIL FROM:<a@from.test>", "RCPT TO:<b@to.test>", "DATA"]
    assert sink.mails[0].data.endswith("ä\r\n".encode())  # eight bits all the same
    assert not outcome.takes_dsn


async def test_what_a_sender_asked_for_is_passed_on_to_a_server_that_knows_dsn(make: Make) -> None:
    takers = (Taker("b@to.test", "FAILURE,SUCCESS", "rfc822;b+40x"), Taker("c@to.test"))
    async with Sink() as sink:
        outcomes = await make().deliver(to(sink), parcel(takers=takers, ret="HDRS", envid="QQ314"))
    mail = sink.mails[0]
    assert {"RET=HDRS", "ENVID=QQ314"} <= set(mail.sender_params)
    assert mail.recipient_params == {
        "b@to.test": ["NOTIFY=FAILURE,SUCCESS", "ORCPT=rfc822;b+40x"],
        "c@to.test": [],
    }
    assert all(outcome.takes_dsn for outcome in outcomes)


@pytest.mark.parametrize(
    ("recipient", "orcpt"), [("b@to.test", "utf-8;j\\x{F6}rg@\\x{5B57}.test"), ("jörg@to.test", "utf-8;jörg@字.test")]
)
async def test_an_international_orcpt_goes_on_as_the_mail_does(make: Make, recipient: str, orcpt: str) -> None:
    """RFC 6533 3: a mail that needs no SMTPUTF8 and goes without has an ASCII form of it."""
    async with Sink() as sink:
        takers = (Taker(recipient, "SUCCESS", "utf-8;jörg@字.test"),)
        await make().deliver(to(sink), parcel(takers=takers, smtputf8=True))
    assert sink.mails[0].recipient_params == {recipient: ["NOTIFY=SUCCESS", f"ORCPT={orcpt}"]}


async def test_eight_bits_are_declared_where_they_are(make: Make) -> None:
    async with Sink() as sink:
        await make().deliver(to(sink), parcel(data="Subject: x\r\n\r\nä\r\n".encode()))
        await make().deliver(to(sink), parcel())
    assert "BODY=8BITMIME" in sink.mails[0].sender_params
    assert "BODY=8BITMIME" not in sink.mails[1].sender_params


async def test_a_mail_too_large_for_the_server_fails_without_being_sent(make: Make) -> None:
    async with Sink(extensions=("PIPELINING", "SIZE 20")) as sink:
        assert results(await make().deliver(to(sink), parcel())) == ["failed 0 5.3.4"]
        assert sink.commands == ["EHLO gate.test"]


@pytest.mark.parametrize("size", ["0", "-5", "a lot", "\u00b2", "\u0661\u0660", "9" * 5000, ""])
async def test_a_size_that_is_no_number_says_nothing(make: Make, size: str) -> None:
    async with Sink(extensions=("PIPELINING", f"SIZE {size}")) as sink:
        assert results(await make().deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]


async def test_an_international_address_needs_smtputf8_20(make: Make) -> None:
    async with Sink(extensions=("PIPELINING",)) as sink, Sink() as able:
        assert results(await make().deliver(to(sink), parcel("jörg@to.test"))) == ["failed 0 5.6.7"]
        assert results(await make().deliver(to(able), parcel("jörg@to.test"))) == ["delivered 250 2.0.0"]
    assert able.mails[0].recipients == ["jörg@to.test"]
    assert "SMTPUTF8" in able.mails[0].sender_params


async def test_an_international_recipient_keeps_no_mail_from_the_others_20(make: Make) -> None:
    async with Sink(extensions=("PIPELINING",)) as sink:
        outcomes = await make().deliver(to(sink), parcel("b@to.test", "jörg@to.test", "c@to.test"))
        assert results(outcomes) == ["delivered 250 2.0.0", "failed 0 5.6.7", "delivered 250 2.0.0"]
        strange = parcel("b@to.test", "jörg@to.test", head="Subject: ä\r\n\r\n".encode(), smtputf8=True)
        assert results(await make().deliver(to(sink), strange)) == ["failed 0 5.6.7"] * 2
    assert [mail.recipients for mail in sink.mails] == [["b@to.test", "c@to.test"]]


async def test_an_international_header_needs_smtputf8_and_a_plain_mail_does_not_20(make: Make) -> None:
    async with Sink(extensions=("PIPELINING",)) as sink:
        strange = parcel(head="Subject: ä\r\n\r\n".encode(), smtputf8=True)
        assert results(await make().deliver(to(sink), strange)) == ["failed 0 5.6.7"]
        assert results(await make().deliver(to(sink), parcel(smtputf8=True))) == ["delivered 250 2.0.0"]


async def test_helo_is_said_to_a_server_that_knows_no_ehlo(make: Make) -> None:
    async with Sink({"EHLO": "502 5.5.1 what?"}) as sink:
        assert results(await make().deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
    assert sink.commands[:2] == ["EHLO gate.test", "HELO gate.test"]


# Refusals.


@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_each_recipient_has_its_own_outcome_96(make: Make, extensions: tuple[str, ...]) -> None:
    script = {"RCPT <no@to.test>": "550 5.1.1 unknown", "RCPT <later@to.test>": "450 4.2.1 busy"}
    async with Sink(script, extensions=extensions) as sink:
        outcomes = await make().deliver(to(sink), parcel("yes@to.test", "no@to.test", "later@to.test", "too@to.test"))
    assert results(outcomes) == [
        "delivered 250 2.0.0",
        "failed 550 5.1.1",
        "deferred 450 4.2.1",
        "delivered 250 2.0.0",
    ]
    assert [mail.recipients for mail in sink.mails] == [["yes@to.test", "too@to.test"]]


@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_a_connection_serves_again_after_every_recipient_was_refused(
    make: Make, extensions: tuple[str, ...]
) -> None:
    relay = make()
    async with Sink({"RCPT": ["550 5.1.1 unknown"] * 2}, extensions=extensions) as sink:
        assert results(await relay.deliver(to(sink), parcel("a@to.test", "b@to.test"))) == ["failed 550 5.1.1"] * 2
        assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
    assert len(sink.sessions) == 1
    assert "RSET" in sink.commands


async def test_a_server_that_says_354_without_a_recipient_gets_a_lone_dot(make: Make) -> None:
    relay = make()
    script = {"RCPT": ["550 5.1.1 unknown"], "DATA": ["354 go on"], "dot": ["554 5.5.1 no recipients"]}
    async with Sink(script) as sink:
        assert results(await relay.deliver(to(sink), parcel())) == ["failed 550 5.1.1"]
        assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
    assert [mail.data for mail in sink.mails] == [HEAD + TEXT]


async def test_a_refused_sender_is_the_outcome_of_all_and_354_is_dotted(make: Make) -> None:
    relay = make()
    script = {"MAIL": ["550 5.7.1 not you"], "DATA": ["354 go on"]}
    async with Sink(script) as sink:
        assert results(await relay.deliver(to(sink), parcel("a@to.test", "b@to.test"))) == ["failed 550 5.7.1"] * 2
        assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
    assert len(sink.mails) == 1


@pytest.mark.parametrize("key", ["DATA", "dot"])
@pytest.mark.parametrize(
    ("reply", "expected"), [("554 5.7.0 no", "failed 554 5.7.0"), ("451 later", "deferred 451 4.0.0")]
)
async def test_a_refused_mail_is_the_outcome_of_those_that_were_taken(
    make: Make, key: str, reply: str, expected: str
) -> None:
    async with Sink({key: reply, "RCPT <no@to.test>": "550 5.1.1 unknown"}) as sink:
        outcomes = await make().deliver(to(sink), parcel("b@to.test", "no@to.test"))
    assert results(outcomes) == [expected, "failed 550 5.1.1"]
    assert sink.mails == []


@pytest.mark.parametrize("extensions", [EXTENSIONS, ()])
async def test_a_mail_is_delivered_though_its_recipient_was_answered_in_the_same_words(
    make: Make, extensions: tuple[str, ...]
) -> None:
    async with Sink({"MAIL": "250 OK", "RCPT": "250 OK", "dot": "250 OK"}, extensions=extensions) as sink:
        outcomes = await make().deliver(to(sink), parcel("a@t.test", "b@t.test"))
    assert results(outcomes) == ["delivered 250 2.0.0"] * 2


@pytest.mark.parametrize("full", ["452 4.5.3 too many", "552 Too many recipients", "451 4.5.3 Too many recipients"])
async def test_recipients_too_many_for_one_transaction_follow_in_the_next(make: Make, full: str) -> None:
    """RFC 5321 4.5.3.1.10: by 452, or by 552, as RFC 821 had it; OpenSMTPD says it by 451."""
    script: Script = {"RCPT": ["250 Ok", "250 Ok", full, full, "250 Ok", full]}
    async with Sink(script) as sink:
        outcomes = await make().deliver(to(sink), parcel(*["a@t.test", "b@t.test", "c@t.test", "d@t.test"]))
    assert results(outcomes) == ["delivered 250 2.0.0"] * 4
    assert [mail.recipients for mail in sink.mails] == [["a@t.test", "b@t.test"], ["c@t.test"], ["d@t.test"]]


async def test_a_mailbox_that_stays_full_fails_beside_others_that_take_the_mail(make: Make) -> None:
    async with Sink({"RCPT <full@t.test>": "552 5.2.2 mailbox full"}) as sink:
        outcomes = await make().deliver(to(sink), parcel("a@t.test", "full@t.test"))
    assert results(outcomes) == ["delivered 250 2.0.0", "failed 552 5.2.2"]
    assert [mail.recipients for mail in sink.mails] == [["a@t.test"]]


@pytest.mark.parametrize("used", [0, 1], ids=["new session", "used session"])
@pytest.mark.parametrize(
    ("fault", "result"),
    [
        ({"MAIL": Act.DROP}, "deferred 0 4.4.2"),
        ({"MAIL": "421 4.3.2 enough"}, "deferred 421 4.3.2"),
        ({"dot": Act.DROP}, "deferred 0 4.4.2"),
    ],
    ids=["dropped", "421", "dropped after the dot"],
)
async def test_what_was_taken_stays_taken_when_a_further_transaction_breaks_off(
    make: Make, fault: Script, result: str, used: int
) -> None:
    """Else who got the mail would get it twice (threat 96)."""
    good = ["250 Ok"] * used
    script: Script = {"RCPT": [*good, "250 Ok", "452 4.5.3 too many"]}
    for verb, reply in fault.items():
        script[verb] = [*good, "250 2.0.0 Ok", reply]  # type: ignore[list-item]
    async with Sink(script) as sink:
        relay = make()
        for _ in range(used):
            await relay.deliver(to(sink), parcel("z@t.test"))
        outcomes = await relay.deliver(to(sink), parcel("a@t.test", "b@t.test"))
        assert results(outcomes) == ["delivered 250 2.0.0", result]
        assert (outcomes[1].doubtful, outcomes[1].busy) == ("dot" in fault, "421" in result)
        await relay.deliver(to(sink), parcel("b@t.test"))
    assert [mail.recipients for mail in sink.mails].count(["a@t.test"]) == 1
    assert not [mail for mail in sink.mails if {"a@t.test", "b@t.test"} <= set(mail.recipients)]


async def test_what_was_taken_stays_taken_when_the_next_server_can_not_be_tried(make: Make) -> None:
    """Threat 96, for an error of ours: a name that no EHLO may have."""
    script: Script = {"RCPT": ["250 Ok", "452 4.5.3 too many"], "MAIL": ["250 Ok", Act.DROP]}
    async with Sink(script) as sink, Sink() as other:
        broken = Terms("broken", local_name="no\nname")
        hops = (*to(sink).hops, Hop("127.0.0.1", other.port, Transport.SMTP, broken))
        outcomes = await make().deliver(Route(hops=hops), parcel("a@t.test", "b@t.test"))
    assert results(outcomes) == ["delivered 250 2.0.0", "deferred 0 4.3.0"]


async def test_a_server_that_is_full_is_not_asked_for_ever(make: Make) -> None:
    async with Sink({"RCPT": "452 4.3.1 full"}) as sink:
        assert results(await make().deliver(to(sink), parcel("a@t.test", "b@t.test"))) == ["deferred 452 4.3.1"] * 2
        assert sum(command == "DATA" for command in sink.commands) == 1


# Servers that break off, fall silent or talk nonsense.

BROKEN_DOORS = {
    "421 at the banner": {"banner": "421 4.3.2 not now"},
    "554 at the banner": {"banner": "554 5.7.1 go away"},
    "no banner": {"banner": Act.HANG},
    "a banner that drips": {"banner": Drip("220 " + "x" * 400, gap=0.02)},
    "a closed door": {"banner": Act.DROP},
    "a reset": {"banner": Act.RESET},
    "garbage": {"banner": b"\x00\xff\x80 HTTP/1.1 400 Bad Request\r\n\r\n"},
    "a code out of range": {"banner": "999 hello"},
    "a reply line of 100 kB": {"banner": "220 " + "x" * 100_000},
    "a reply of endless lines": {"banner": b"220-hello\r\n" * 20_000},
    "EHLO and HELO refused": {"EHLO": "554 5.7.1 no", "HELO": "554 5.7.1 no"},
    "EHLO unanswered": {"EHLO": Act.HANG},
    "421 at EHLO": {"EHLO": "421 4.3.2 not now"},
    "421 at MAIL": {"MAIL": "421 4.3.2 not now"},
    "dropped at MAIL": {"MAIL": Act.DROP},
    "dropped at DATA": {"DATA": Act.DROP},
    "garbage at RCPT": {"RCPT": b"hello there\r\n"},
    "silence at MAIL": {"MAIL": Act.HANG},
    "250 to DATA": {"DATA": "250 2.0.0 done already"},
    "421 after the dot": {"dot": "421 4.3.2 not now"},
}


@pytest.mark.parametrize("script", BROKEN_DOORS.values(), ids=BROKEN_DOORS.keys())
async def test_the_next_server_takes_what_the_first_one_cannot_97(make: Make, script: dict[str, object]) -> None:
    relay = make(connect_timeout=1.0, command_timeout=1.0)
    async with Sink(script) as first, Sink() as second, asyncio.timeout(60):  # type: ignore[arg-type]
        assert results(await relay.deliver(to(first, second), parcel())) == ["delivered 250 2.0.0"]
    assert len(second.mails) == 1
    assert first.mails == []


@pytest.mark.parametrize("script", BROKEN_DOORS.values(), ids=BROKEN_DOORS.keys())
async def test_a_lonely_server_that_cannot_be_used_defers_97(make: Make, script: dict[str, object]) -> None:
    relay = make(connect_timeout=1.0, command_timeout=1.0)
    async with Sink(script) as sink, asyncio.timeout(60):  # type: ignore[arg-type]
        (outcome,) = await relay.deliver(to(sink), parcel())
    assert outcome.result is Result.DEFERRED
    assert outcome.unreachable
    assert len(outcome.reply.text) <= 512


async def test_a_delivery_does_not_wait_for_each_of_many_servers_that_hang_97(make: Make) -> None:
    relay = make(connect_timeout=0.02, command_timeout=0.02)
    with socket.create_server(("0.0.0.0", 0), backlog=32) as silent:
        port = silent.getsockname()[1]
        hops = tuple(Hop(f"127.0.0.{last}", port, Transport.SMTP) for last in range(2, 22))
        (outcome,) = await relay.deliver(Route(hops=hops), parcel())
        assert outcome.result is Result.DEFERRED and outcome.unreachable
        assert outcome.hop != f"127.0.0.21[127.0.0.21]:{port}"
        (outcome,) = await relay.deliver(Route(hops=hops[-2:]), parcel())
        assert outcome.hop == f"127.0.0.21[127.0.0.21]:{port}"


async def test_a_server_behind_others_that_hang_has_its_turn_at_a_later_try_97(make: Make) -> None:
    relay = make(connect_timeout=0.02, command_timeout=0.02)
    with socket.create_server(("0.0.0.0", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        hanging = [Hop(f"127.0.0.{last}", port, Transport.SMTP) for last in range(2, 14)]
        async with Sink() as sink:
            route = Route(hops=(*hanging, *to(sink).hops))
            (outcome,) = await relay.deliver(route, parcel())
            assert outcome.result is Result.DEFERRED
            for _ in hanging:  # on a busy machine a try may come to one of them alone
                (outcome,) = await relay.deliver(route, parcel())
            assert outcome.result is Result.DELIVERED


async def test_a_server_that_never_takes_mail_fails_it(make: Make) -> None:
    async with Sink({"banner": "521 5.3.2 no mail here"}) as sink:
        assert results(await make().deliver(to(sink), parcel())) == ["failed 521 5.3.2"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_server_that_never_takes_mail_fails_none_that_another_may_take_later(
    make: Make, order: tuple[int, int]
) -> None:
    async with Sink({"banner": "421 4.3.2 down"}) as down, Sink({"banner": "521 5.3.2 no mail here"}) as never:
        tried = [(down, never)[index] for index in order]
        assert results(await make().deliver(to(*tried), parcel())) == ["deferred 421 4.3.2"]


@on_each_loop
async def test_a_refused_connection_goes_to_the_fallback(make: Make) -> None:
    async with Sink() as gone:
        pass
    async with Sink() as sink:
        assert results(await make().deliver(to(gone, sink), parcel())) == ["delivered 250 2.0.0"]
        (outcome,) = await make().deliver(to(gone), parcel())
        assert outcome.reply.status == "4.4.1"


async def test_the_main_server_is_used_as_soon_as_it_is_back_whatever_stands_open_to_the_fallback(make: Make) -> None:
    relay = make()
    async with Sink() as main, Sink() as second:
        await main.stop()
        await relay.deliver(to(main, second), parcel())
        await main.start()
        await relay.deliver(to(main, second), parcel())  # it rests: nobody knows yet
        assert (len(main.mails), len(second.mails), relay.pool.idle) == (0, 2, 1)
        relay.pool.wake()
        await relay.deliver(to(main, second), parcel())
        assert (len(main.mails), len(second.mails)) == (1, 2)


@on_each_loop
async def test_who_is_gone_while_a_connection_is_made_ready_leaves_none_open(make: Make) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while await reader.readline() != b"RSET\r\n":
            writer.write(b"250 ok\r\n")
        asked.set()
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(door, "127.0.0.1", 0)
    route = Route(hops=(Hop("127.0.0.1", server.sockets[0].getsockname()[1], Transport.SMTP),))
    relay = make()
    await relay.probe(route, parse_address("b@to.test"))
    delivery = asyncio.ensure_future(relay.deliver(route, parcel()))
    async with asyncio.timeout(60):
        await asked.wait()
        delivery.cancel()
        await left.wait()
    server.close()


async def test_places_at_a_server_go_in_turn_and_past_those_who_left(make: Make) -> None:
    relay = make(connections=1)
    async with Sink() as sink, asyncio.timeout(60):
        await relay.deliver(to(sink), parcel())
        (target,) = await relay._router.targets(to(sink))
        session = relay.pool.at_hand(target)
        assert session is not None
        assert relay.pool.at_hand(target) is None
        gone = asyncio.ensure_future(relay.deliver(to(sink), parcel("gone@to.test")))
        await asyncio.sleep(0)
        assert results(await relay.deliver(to(sink), parcel())) == ["deferred 0 4.4.5"]  # another one waits
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        late = asyncio.ensure_future(relay.deliver(to(sink), parcel("late@to.test")))
        await asyncio.sleep(0)
        relay.pool.give(session)
        late.cancel()  # its place has come, but it has not heard of that
        await asyncio.gather(late, return_exceptions=True)
        assert gone.cancelled()
        assert late.cancelled()
        assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
    assert len(sink.mails) == 2


@on_each_loop
@pytest.mark.parametrize("act", [Act.DROP, Act.RESET, Act.HANG])
async def test_a_mail_lost_after_the_dot_is_tried_again_later_and_nowhere_else_94(make: Make, act: Act) -> None:
    relay = make(data_timeout=1.0)
    async with Sink({"dot": act}) as sink, Sink() as second:
        (outcome,) = await relay.deliver(to(sink, second), parcel())
        assert (outcome.result, outcome.doubtful, outcome.unreachable) == (Result.DEFERRED, True, False)
        assert len(sink.dropped) == 1
        assert second.mails == []


@on_each_loop
async def test_a_refusal_in_the_midst_of_the_data_counts(make: Make, tmp_path: Path) -> None:
    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        for reply in (b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readline()
            writer.write(reply)
        await reader.read(1000)
        writer.write(b"552 5.3.4 too much\r\n")
        while await reader.read(100_000):
            pass
        writer.close()

    server = await asyncio.start_server(door, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    route = Route(hops=(Hop("127.0.0.1", port, Transport.SMTP),))
    (outcome,) = await make().deliver(route, spooled(tmp_path, b"Subject: x\r\n\r\n" + b"y" * 9_000_000 + b"\r\n"))
    server.close()
    assert results([outcome]) == ["failed 552 5.3.4"]


@on_each_loop
async def test_a_refusal_counts_at_once_where_the_server_takes_no_more_of_the_data() -> None:
    async with Sink() as sink, asyncio.timeout(60):
        pipe = Replies(lambda lost: None)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: pipe, "127.0.0.1", sink.port)
        await pipe.read_response(20)
        pipe.expect(1)
        pipe.pause_writing()
        waiting = asyncio.ensure_future(pipe.drain())
        await asyncio.sleep(0)
        assert not (waiting.done() or pipe.answered)
        pipe.data_received(b"552 5.3.4 too much\r\n")
        await waiting
        assert pipe.answered
        transport.close()


@on_each_loop
async def test_nothing_is_left_open_to_a_server_that_takes_no_more_of_the_data(make: Make, tmp_path: Path) -> None:
    over = asyncio.Event()

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in (b"220 x\r\n", b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            writer.write(reply)
            await reader.readline()
        await over.wait()
        writer.close()

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async with asyncio.timeout(60):
        server = await asyncio.start_server(door, "127.0.0.1", 0, limit=1000)
        relay = make()
        terms = Terms("slow", write_timeout=0.1)
        port = server.sockets[0].getsockname()[1]
        before = open_files()
        mail = spooled(tmp_path, b"Subject: x\r\n\r\n" + b"y" * 20_000_000 + b"\r\n")
        (outcome,) = await relay.deliver(Route(hops=(Hop("127.0.0.1", port, Transport.SMTP, terms),)), mail)
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.4.2")
        for _ in range(10):  # turns of the loop, in which what is let go of goes
            await asyncio.sleep(0)
        assert open_files() <= before + 1, "more than the server's own end is open"
        over.set()
        server.close()


async def test_a_body_that_is_gone_defers_and_is_told(make: Make, tmp_path: Path) -> None:
    lost = spooled(tmp_path, TEXT)
    (tmp_path / "body").unlink()
    async with Sink() as sink:
        assert results(await make().deliver(to(sink), lost)) == ["deferred 0 4.3.0"]
        assert sink.mails == []


async def test_a_command_never_carries_a_control_character(make: Make) -> None:
    async with Sink() as sink:
        (outcome,) = await make().deliver(to(sink), parcel("b@to.test>\r\nRCPT TO:<evil@to.test"))
    assert outcome.result is Result.DEFERRED
    assert [command for command in sink.commands if command.startswith("RCPT")] == []


# Connections.


@on_each_loop
async def test_a_connection_is_used_again_and_closed_after_its_number_of_mails(make: Make) -> None:
    relay = make(reuse=3)
    async with Sink() as sink:
        for _ in range(4):
            await relay.deliver(to(sink), parcel())
        await sink.until(lambda: "QUIT" in sink.sessions[0].commands)
        assert [sum(c == "DATA" for c in session.commands) for session in sink.sessions] == [3, 1]
        assert "RSET" not in sink.commands


@on_each_loop
async def test_an_idle_connection_is_closed_with_quit(make: Make) -> None:
    relay = make(idle=0.05)
    async with Sink() as sink:
        await relay.deliver(to(sink), parcel())
        assert relay.pool.idle == 1
        await sink.until(lambda: sink.sessions[0].commands[-1] == "QUIT")
        assert relay.pool.idle == 0


async def test_the_connection_used_last_is_used_next(make: Make) -> None:
    relay = make()
    async with Sink({"dot": [Late("250 Ok", 0.1)]}) as sink:
        await asyncio.gather(relay.deliver(to(sink), parcel()), relay.deliver(to(sink), parcel()))
        last = sink.mails[0].session  # whose answer came late
        await relay.deliver(to(sink), parcel())
        assert [mail.session for mail in sink.mails][-1] == last


async def test_connections_to_one_server_are_limited_103(make: Make) -> None:
    relay = make(connections=3)
    async with Sink({"dot": [Late("250 2.0.0 Ok", 0.02)] * 5}) as sink:
        outcomes = await asyncio.gather(*(relay.deliver(to(sink), parcel()) for _ in range(6)))
        assert {outcome.result for (outcome,) in outcomes} == {Result.DELIVERED}
        assert sink.most_open == 3


async def test_a_crowd_is_sent_away_without_being_counted_as_refused_103(make: Make) -> None:
    relay = make(connections=1)
    async with Sink({"dot": Late("250 2.0.0 Ok", 0.05)}) as sink:
        outcomes = [each for (each,) in await asyncio.gather(*(relay.deliver(to(sink), parcel()) for _ in range(5)))]
        assert sorted(outcome.crowded for outcome in outcomes) == [False, False, True, True, True]


@on_each_loop
async def test_a_connection_gone_stale_is_replaced_without_a_word(make: Make) -> None:
    relay = make()
    async with Sink() as sink:
        await relay.deliver(to(sink), parcel())
        port = sink.port
    async with Sink(port=port) as sink:
        assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]


@on_each_loop
async def test_a_server_that_takes_leave_between_mails_is_not_misread(make: Make) -> None:
    relay = make()
    async with Sink({"dot": [b"250 2.0.0 Ok\r\n421 4.4.2 idle too long\r\n"]}) as sink:
        first = await relay.deliver(to(sink), parcel())
        second = await relay.deliver(to(sink), parcel())
        assert results(first + second) == ["delivered 250 2.0.0"] * 2
        assert len(sink.sessions) == 2


@pytest.mark.parametrize("leave", ["421 4.4.2 idle too long", "421 4.7.0 too many mails in a session"])
async def test_a_kept_session_that_is_sent_away_is_followed_by_a_new_one(make: Make, leave: str) -> None:
    relay = make()
    async with Sink({"MAIL": ["250 2.1.0 Ok", leave]}) as sink:
        for _ in range(2):
            assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
        assert len(sink.sessions) == 2


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
async def test_a_kept_session_that_had_its_number_of_mails_is_followed_by_a_new_one(
    make: Make, extensions: tuple[str, ...]
) -> None:
    """OpenSMTPD refuses each further mail of the session by 452 and keeps it open."""
    relay = make()
    async with Sink({"MAIL": ["250 2.1.0 Ok", "452 4.5.3 Too many messages sent"] * 2}, extensions=extensions) as sink:
        for _ in range(2):
            assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
        assert (await relay.probe(to(sink), parse_address("bob@far.example"))).code == 250
        assert len(sink.sessions) == 3


async def test_a_new_session_that_takes_no_mail_now_is_not_followed_by_another(make: Make) -> None:
    async with Sink({"MAIL": ["452 4.5.3 Too many messages sent"] * 9}) as sink:
        (outcome,) = await make().deliver(to(sink), parcel())
        assert (outcome.result, outcome.reply.line) == (Result.DEFERRED, "452 4.5.3 Too many messages sent")
        assert len(sink.sessions) == 1


async def test_who_is_sent_away_in_a_new_session_too_waits(make: Make) -> None:
    relay = make()
    async with Sink({"MAIL": ["250 2.1.0 Ok", *["421 4.3.2 enough"] * 9]}) as sink:
        assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]
        (outcome,) = await relay.deliver(to(sink), parcel())
        assert (outcome.result, outcome.busy, len(sink.sessions)) == (Result.DEFERRED, True, 2)


async def test_a_reply_too_many_is_never_the_word_on_a_mail(make: Make) -> None:
    for key in ("MAIL", "RCPT", "DATA"):
        usual = "354 go" if key == "DATA" else "250 2.0.0 Ok"
        async with Sink({key: f"{usual}\r\n250 2.0.0 Ok"}) as sink:
            (outcome,) = await make().deliver(to(sink), parcel())
            assert outcome.result is Result.DEFERRED
            assert sink.mails == []


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (b"550 \t5.7.1  no \t\r\n", "550 5.7.1  no"),
        (b"550\r\n", "550 "),
        (b"550 5.7.1 bare\n", "550 5.7.1 bare"),
        (b"550x5.7.1 no\r\n", "550 5.7.1 no"),
        (b"550-5.7.1 no\r\n550-\r\n550 5.7.1 never\r\n", "550 5.7.1 no  5.7.1 never"),
        (b"550-5.7.1 no\r\n551 moved\r\n", "551 5.7.1 no moved"),
        (b"550 5.7.1 caf\xe9\r\n", r"550 5.7.1 caf\xe9"),
    ],
    ids=["padded", "code alone", "bare line feed", "no blank", "many lines", "two codes", "no UTF-8"],
)
async def test_a_reply_is_read_whatever_its_form(make: Make, reply: bytes, line: str) -> None:
    async with Sink({"dot": reply}) as sink:
        (outcome,) = await make().deliver(to(sink), parcel())
    assert (outcome.result, outcome.reply.line) == (Result.FAILED, line)


async def test_what_is_neither_yes_nor_no_is_a_delay_and_ends_the_session(make: Make) -> None:
    relay = make()
    async with Sink({"dot": ["354 go on"], "RCPT": ["354 go on"]}) as sink:
        (outcome,) = await relay.deliver(to(sink), parcel())
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.0.0")
        (outcome,) = await relay.deliver(to(sink), parcel())
        assert (outcome.result, outcome.reply.status, outcome.doubtful) == (Result.DEFERRED, "4.5.0", True)
        assert relay.pool.idle == 0  # whether it waits for more of the mail, nobody knows
    async with Sink({"banner": "250 sink.test"}) as sink:
        (outcome,) = await relay.deliver(to(sink), parcel())
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.5.0")


@pytest.mark.parametrize(
    "script",
    [{"MAIL": "354 eh", "RCPT": "250 2.1.5 Ok"}, {"RCPT": "354 eh", "DATA": "354 go"}],
    ids=["MAIL", "RCPT"],
)
async def test_nobody_gets_an_empty_mail_where_a_server_goes_on_after_its_refusal(
    make: Make, script: dict[str, object]
) -> None:
    relay = make()
    async with Sink(script) as sink:  # type: ignore[arg-type]
        (outcome,) = await relay.deliver(to(sink), parcel())
        assert (outcome.result, outcome.reply.code, relay.pool.idle) == (Result.DEFERRED, 354, 0)
        await sink.until(lambda: not sink.open_sessions)
        assert sink.mails == []


async def test_a_reply_that_comes_octet_by_octet_is_read_through_once() -> None:
    class Counting(Replies):
        read = 0

        def _read_response_from_buffer(self) -> SMTPResponse | None:
            self.read += 1
            return super()._read_response_from_buffer()

    async with Sink({"banner": b"220-sink\r\n220 test\r\n"}) as sink:
        pipe = Counting(lambda lost: None)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: pipe, "127.0.0.1", sink.port)
        assert (await pipe.read_response(20)).message == "sink\ntest"
        for reply, code in ((b"250-a\r\n" * 2000 + b"250 b\r\n", 250), (b"550-\n551 no\n", 551)):
            pipe.expect(1)
            for octet in reply:
                pipe.data_received(bytes([octet]))
            assert (await pipe.read_response(20)).code == code
        assert (pipe.read, pipe.clean) == (3, True)
        transport.close()


async def test_replies_beyond_what_was_asked_are_not_even_read() -> None:
    async with Sink() as sink:
        pipe = Replies(lambda lost: None)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: pipe, "127.0.0.1", sink.port)
        await pipe.read_response(20)
        pipe.expect(2)
        for _ in range(9):
            pipe.data_received(b"250 Ok\r\n" * 1000)
        assert [(await pipe.read_response(20)).code for _ in range(3)] == [250] * 3
        with pytest.raises(SMTPResponseException, match="nobody asked"):
            await pipe.read_response(20)
        assert not pipe.clean
        transport.close()


async def test_a_dead_server_rests_and_is_woken_100(make: Make) -> None:
    relay = make()
    async with Sink({"banner": ["421 4.3.2 down"]}) as sink:
        for _ in range(5):
            (outcome,) = await relay.deliver(to(sink), parcel())
            assert outcome.reply.line == "421 4.3.2 down"
        assert len(sink.sessions) == 1
        relay.pool.wake()
        assert results(await relay.deliver(to(sink), parcel())) == ["delivered 250 2.0.0"]


async def test_421_asks_for_less_103(make: Make) -> None:
    async with Sink({"MAIL": "421 4.7.0 too fast"}) as sink:
        (outcome,) = await make().deliver(to(sink), parcel())
        assert outcome.busy


# TLS.


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def good(ca: trustme.CA) -> ssl.SSLContext:
    return server_tls(ca, "127.0.0.1", "localhost")


@on_each_loop
async def test_required_tls_is_used_and_told_99(make: Make, ca_file: str, good: ssl.SSLContext) -> None:
    async with Sink(tls=good) as sink:
        (outcome,) = await make(ca_file=ca_file).deliver(to(sink, transport=Transport.SMTPS_ENCRYPT), parcel())
    assert outcome.result is Result.DELIVERED
    assert outcome.tls is not None and outcome.tls.startswith("TLSv1.3 with cipher TLS_")
    assert sink.mails[0].tls
    assert sink.commands[:3] == ["EHLO gate.test", "STARTTLS", "EHLO gate.test"]


async def test_required_tls_checks_the_name_of_the_host_99(make: Make, ca: trustme.CA, ca_file: str) -> None:
    async with Sink(tls=server_tls(ca, "other.test")) as sink:
        (outcome,) = await make(ca_file=ca_file).deliver(to(sink, transport=Transport.SMTPS_ENCRYPT), parcel())
    assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.7.5")
    assert sink.mails == []


@on_each_loop
async def test_required_tls_does_not_trust_a_strange_authority_99(make: Make, ca_file: str) -> None:
    async with Sink(tls=server_tls(authority(), "127.0.0.1")) as sink:
        (outcome,) = await make(ca_file=ca_file).deliver(to(sink, transport=Transport.SMTPS_ENCRYPT), parcel())
    assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.7.5")
    assert "certificate" in outcome.reply.text


async def test_required_tls_that_is_not_offered_is_tried_again_never_in_plain_text_99(make: Make, ca_file: str) -> None:
    relay = make(ca_file=ca_file)
    async with Sink() as sink:
        (outcome,) = await relay.deliver(to(sink, transport=Transport.SMTPS_ENCRYPT), parcel())
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.7.4")
        assert not any(command.startswith("MAIL") for command in sink.commands)


async def test_required_tls_that_the_server_refuses_is_tried_again_99(
    make: Make, ca_file: str, good: ssl.SSLContext
) -> None:
    async with Sink({"STARTTLS": "454 4.7.0 not now"}, tls=good) as sink:
        (outcome,) = await make(ca_file=ca_file).deliver(to(sink, transport=Transport.SMTPS_ENCRYPT), parcel())
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.7.5")
        assert outcome.reply.text.endswith("answers 454 4.7.0 not now")


async def test_opportunistic_tls_takes_any_certificate(make: Make) -> None:
    async with Sink(tls=server_tls(authority(), "other.test")) as sink:
        (outcome,) = await make().deliver(to(sink, transport=Transport.SMTPS_MAY), parcel())
    assert outcome.result is Result.DELIVERED
    assert sink.mails[0].tls


@on_each_loop
@pytest.mark.parametrize("script", [{"STARTTLS": "454 4.7.0 broken"}, {"STARTTLS": b"220 go\r\ngarbage\r\n"}])
async def test_opportunistic_tls_falls_back_to_plain_text_once(
    make: Make, good: ssl.SSLContext, script: dict[str, object]
) -> None:
    async with Sink(script, tls=good) as sink:  # type: ignore[arg-type]
        assert results(await make().deliver(to(sink, transport=Transport.SMTPS_MAY), parcel())) == [
            "delivered 250 2.0.0"
        ]
        assert not sink.mails[0].tls
        assert len(sink.sessions) == 2


@on_each_loop
async def test_opportunistic_tls_falls_back_where_a_server_leaves_right_after_it(
    make: Make, ca: trustme.CA, ca_file: str
) -> None:
    """By TLS 1.3 a client whose certificate was asked for learns only then that it is refused."""
    relay = make(ca_file=ca_file)
    strict = server_tls(ca, "127.0.0.1")
    strict.verify_mode = ssl.CERT_REQUIRED
    async with Sink(tls=strict) as sink:
        (outcome,) = await relay.deliver(to(sink, transport=Transport.SMTPS_MAY), parcel())
        assert (outcome.result, sink.mails[0].tls, len(sink.sessions)) == (Result.DELIVERED, False, 2)
        (outcome,) = await relay.deliver(to(sink, transport=Transport.SMTPS_ENCRYPT), parcel())
        assert (outcome.result, outcome.reply.status, len(sink.mails)) == (Result.DEFERRED, "4.7.5", 1)


@on_each_loop
@pytest.mark.parametrize("more", [b"250-evil\r\n250 SIZE 1\r\n", b"550 5.1.1 no such host\r\n", b"250-ev"])
async def test_what_is_said_in_the_clear_after_starttls_is_no_answer_to_what_follows_99(
    make: Make, ca_file: str, good: ssl.SSLContext, more: bytes
) -> None:
    async with Sink({"STARTTLS": b"220 go\r\n" + more}, tls=good) as sink:
        (outcome,) = await make(ca_file=ca_file).deliver(to(sink, transport=Transport.SMTPS_ENCRYPT), parcel())
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.7.5")
        assert sink.mails == []


async def test_opportunistic_tls_is_not_needed(make: Make) -> None:
    async with Sink() as sink:
        assert results(await make().deliver(to(sink, transport=Transport.SMTPS_MAY), parcel())) == [
            "delivered 250 2.0.0"
        ]


@on_each_loop
async def test_port_465_speaks_tls_from_the_first_octet(
    make: Make, ca_file: str, good: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sink(tls=good, implicit=True) as sink:
        monkeypatch.setattr("gatepost.mta.routing.IMPLICIT_TLS_PORT", sink.port)
        for transport in (Transport.SMTPS_ENCRYPT, Transport.SMTPS_MAY):
            (outcome,) = await make(ca_file=ca_file).deliver(to(sink, transport=transport), parcel())
            assert outcome.result is Result.DELIVERED
            assert outcome.tls
        assert "STARTTLS" not in sink.commands


async def test_an_authority_file_that_cannot_be_read_is_told_at_the_start(make: Make, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(SettingsError, match=r"relay\.ca_file"):
            make(ca_file=str(tmp_path / name))


# Routes.


async def test_mail_goes_to_the_next_mx_when_the_first_is_dead_97_98(make: Make) -> None:
    async with Sink() as gone:
        pass
    async with Sink() as sink:
        zone = {
            "to.test": ["MX 10 dead.to.test.", "MX 20 live.to.test."],
            "dead.to.test": ["A 127.0.0.2"],
            "live.to.test": ["A 127.0.0.1"],
        }
        async with Names(zone) as names:
            relay = make(Resolver(Dns(servers=[names.address]), lambda: 0), mx_port=sink.port)
            (outcome,) = await relay.deliver(Route(domain="to.test"), parcel())
    assert gone.port
    assert outcome.hop == f"live.to.test[127.0.0.1]:{sink.port}"
    assert outcome.result is Result.DELIVERED


async def test_a_host_whose_name_no_certificate_can_bear_keeps_no_mail_from_the_next(
    make: Make, ca: trustme.CA, ca_file: str
) -> None:
    odd = " " * 40  # a label; spelled out it is longer than one may be
    zone = {
        "far.test": [MX(DNSLabel([odd.encode(), b"far", b"test"]), 10), "MX 20 near.test."],
        f"{odd}.far.test": ["A 127.0.0.1"],
        "near.test": ["A 127.0.0.1"],
    }
    async with Sink(tls=server_tls(ca, "near.test")) as sink, Names(zone) as names:
        resolver = Resolver(Dns(servers=[names.address]), lambda: 0)
        relay = make(resolver, mx_port=sink.port, mx_transport="SMTPS_ENCRYPT", ca_file=ca_file)
        (outcome,) = await relay.deliver(Route(domain="far.test"), parcel())
    assert (outcome.result, outcome.hop) == (Result.DELIVERED, f"near.test[127.0.0.1]:{sink.port}")


async def test_a_route_without_servers_says_so(make: Make) -> None:
    async with Names({"null.test": ["MX 0 ."]}) as names:
        relay = make(Resolver(Dns(servers=[names.address]), lambda: 0))
        assert results(await relay.deliver(Route(domain="null.test"), parcel())) == ["failed 0 5.1.10"]


@on_each_loop
async def test_a_source_address_is_used(make: Make) -> None:
    async with Sink() as sink:
        await make(source_address="127.0.0.7").deliver(to(sink), parcel())
        await make(source_address="192.0.2.1").deliver(to(sink), parcel())
    assert len(sink.mails) == 1
    assert sink.sessions[0].peer == "127.0.0.7"


async def test_a_source_address_binds_what_goes_by_its_kind_of_address(make: Make) -> None:
    async with Sink(host="::1") as sink:
        relay = make(source_address="127.0.0.7")
        assert results(await relay.deliver(to(sink, host="::1"), parcel())) == ["delivered 250 2.0.0"]
    assert sink.sessions[0].peer == "::1"


# What a server wants of us before it takes any mail.


@pytest.mark.parametrize("pipelined", [True, False])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
async def test_a_configured_server_that_wants_a_sign_in_delays_mail_and_the_next_one_has_it(
    make: Make, verb: str, pipelined: bool
) -> None:
    offered = EXTENSIONS if pipelined else ()
    async with Sink({verb: "530 5.7.0 Authentication required"}, extensions=offered) as shut, Sink() as spare:
        assert results(await make().deliver(to(shut), parcel())) == ["deferred 530 5.7.0"]
        assert results(await make().deliver(to(shut, spare), parcel())) == ["delivered 250 2.0.0"]
        assert (await make().probe(to(shut), parse_address("b@to.test"))).status.startswith("4")


async def test_530_to_one_recipient_is_the_word_on_him_alone(make: Make) -> None:
    async with Sink({"RCPT": ["530 5.7.0 not relayed", "250 Ok"]}) as sink:
        outcomes = await make().deliver(to(sink), parcel("b@to.test", "c@to.test"))
    assert results(outcomes) == ["failed 530 5.7.0", "delivered 250 2.0.0"]


async def test_530_of_a_server_that_dns_leads_to_is_its_word_on_the_mail(make: Make) -> None:
    async with (
        Sink({"MAIL": "530 5.7.0 Authentication required"}) as sink,
        Names({"far.test": ["A 127.0.0.1"]}) as names,
    ):
        relay = make(Resolver(Dns(servers=[names.address]), lambda: 0), mx_port=sink.port)
        assert results(await relay.deliver(Route(domain="far.test"), parcel())) == ["failed 530 5.7.0"]


async def test_a_server_that_wants_tls_gets_the_mail_later_where_tls_failed(make: Make) -> None:
    script: Script = {"STARTTLS": "454 4.7.0 not now", "MAIL": "530 5.7.0 Must issue a STARTTLS command first"}
    zone = {"far.test": ["A 127.0.0.1"]}
    async with Sink(script, tls=server_tls(authority(), "far.test")) as sink, Names(zone) as names:
        relay = make(Resolver(Dns(servers=[names.address]), lambda: 0), mx_port=sink.port)
        assert results(await relay.deliver(Route(domain="far.test"), parcel())) == ["deferred 530 5.7.0"]


@pytest.mark.parametrize(
    ("said", "tried"),
    [
        ("421 4.7.0 too many failures", ["CRAM-MD5"]),
        ("454 4.7.0 the directory is down", ["CRAM-MD5"]),
        ("535 5.7.8 no", ["CRAM-MD5", "PLAIN", "LOGIN"]),
    ],
)
async def test_a_refused_sign_in_delays_mail_in_the_words_of_the_server(
    make: Make, said: str, tried: list[str]
) -> None:
    terms = Terms("relay", username="me", password="secret")
    async with Sink({"AUTH": said}, extensions=["AUTH LOGIN PLAIN CRAM-MD5"], login=("me", "secret")) as sink:
        route = Route(hops=(Hop("127.0.0.1", sink.port, Transport.SMTP, terms),))
        (outcome,) = await make().deliver(route, parcel())
    assert (outcome.result, outcome.reply.line, outcome.busy) == (Result.DEFERRED, said, said.startswith("421"))
    assert [line.split()[1] for line in sink.commands if line.startswith("AUTH")] == tried


async def test_a_sign_in_that_is_not_known_here_delays_mail(make: Make) -> None:
    terms = Terms("relay", username="me", password="secret")
    async with Sink(extensions=["AUTH GSSAPI"]) as sink:
        route = Route(hops=(Hop("127.0.0.1", sink.port, Transport.SMTP, terms),))
        assert results(await make().deliver(route, parcel())) == ["deferred 0 4.7.0"]


# Asking about an address.


async def test_a_probe_asks_without_sending(make: Make) -> None:
    relay = make()
    async with Sink({"RCPT <no@to.test>": "550 5.1.1 unknown"}) as sink:
        assert (await relay.probe(to(sink), parse_address("yes@to.test"))).code == 250
        assert (await relay.probe(to(sink), parse_address("no@to.test"))).code == 550
        assert sink.mails == []
        assert len(sink.sessions) == 1


# Words.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2.0.0 Ok: queued as 4XyZ12", "4XyZ12"),
        ("OK id=1tAbCd-0001xY-2Z", "1tAbCd-0001xY-2Z"),
        ("2.6.0 <a@b> [InternalId=8765432109, Hostname=EX1] Queued mail for delivery", "8765432109"),
        ("2.0.0 5AKCmX1k012345 Message accepted for delivery", "5AKCmX1k012345"),
        ("2.0.0 OK  1700000000 d2e1a72fcca58-6c - gsmtp", "d2e1a72fcca58-6c"),
        ("ok 1700000000 qp 12345", "12345"),
        ("Ok. 000000006B0EB502.00002026", "000000006B0EB502.00002026"),
        ("2.0.0 Message queued with id 217700302698266624", "217700302698266624"),
        ("2.0.0 Ok", None),
        ("accepted", None),
    ],
)
def test_the_queue_id_of_the_next_hop_is_read(text: str, found: str | None) -> None:
    assert remote_id(text) == found


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 unknown", "5.1.1"),
        (550, "unknown", "5.0.0"),
        (450, "5.1.1 liar", "4.0.0"),
        (250, "2.1.5", "2.1.5"),
        (550, "5.1.12345 odd", "5.0.0"),
        (354, "go on", "4.0.0"),
    ],
)
def test_a_reply_has_a_status_that_fits_its_code(code: int, text: str, status: str) -> None:
    assert said(code, text).status == status


def test_the_words_of_a_server_are_shown_without_controls_and_cut_29() -> None:
    shown = printable("a\x1b[31m\r\nb\u202e" + "x" * 1000)
    assert shown.startswith("a\\x1b[31m\\x0d b\\x202e")
    assert len(shown) == 512
    assert shown.isprintable()


async def test_an_octet_of_a_reply_that_is_no_utf_8_is_shown_as_it_came(make: Make) -> None:
    async with Sink({"RCPT": b"550 5.1.1 caf\xe9 \xff\r\n"}) as sink:
        (outcome,) = await make().deliver(to(sink), parcel())
    assert outcome.reply.text == "5.1.1 caf\\xe9 \\xff"
