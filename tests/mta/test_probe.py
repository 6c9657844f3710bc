"""The probe of a next hop: what it asks, what it tells of each answer, and that it takes nobody's place."""

from collections.abc import AsyncIterator

import pytest
from tests.peers.sink import Act, Sink, authority, server_tls

from gatepost.model.route import Transport
from gatepost.mta.probe import Probed, Prober
from gatepost.mta.routing import Target
from gatepost.settings import Relay

pytestmark = pytest.mark.anyio

QUICK = Relay(connect_timeout=2.0, command_timeout=1.5)
WHO = "postmaster@got.example"


async def probe(sink: Sink, transport: Transport = Transport.SMTP, settings: Relay = QUICK, to: str = WHO) -> Probed:
    return await Prober(settings, "gate.example").probe(Target("localhost", "127.0.0.1", sink.port, transport), to)


@pytest.fixture
async def sink(anyio_backend: str) -> AsyncIterator[Sink]:
    async with Sink() as sink:
        yield sink


async def test_each_step_is_told(sink: Sink) -> None:
    found = await probe(sink)
    assert found.ok
    assert found.lines == (
        f"Connecting to localhost[127.0.0.1]:{sink.port}",
        found.lines[1],
        "EHLO offers: 8BITMIME DSN ENHANCEDSTATUSCODES PIPELINING SIZE SMTPUTF8",
        "TLS: none",
        "MAIL FROM:<>: 250 2.1.0 Ok",
        f"RCPT TO:<{WHO}>: 250 2.1.5 Ok",
        "Passed",
    )
    assert found.lines[1].startswith("Banner: ")
    assert sink.commands[0] == "EHLO gate.example" and sink.commands[-1] == "QUIT"


async def test_tls_is_told_and_an_untrusted_certificate_is_a_failure_where_it_is_required() -> None:
    ca = authority()
    async with Sink(tls=server_tls(ca, "localhost")) as sink:
        may = await probe(sink, Transport.SMTPS_MAY)
        assert may.ok and any(line.startswith("TLS: TLSv1.") for line in may.lines)
        must = await probe(sink, Transport.SMTPS_ENCRYPT)
    assert not must.ok and "is not trusted" in must.lines[-1]


@pytest.mark.parametrize(
    ("script", "ok", "last"),
    [
        ({"RCPT": "550 5.1.1 no such user"}, True, "Passed"),
        ({"RCPT": "550 5.7.1 relaying denied"}, False, "Fail: mail is refused"),
        ({"RCPT": "451 4.7.1 greylisted"}, False, "Fail: mail is refused"),
        ({"MAIL": "550 5.7.1 no bounces here"}, False, "Fail: mail is refused"),
        ({"banner": "554 5.3.2 closed"}, False, "Fail: 554 5.3.2 closed"),
        ({"banner": "SSH-2.0-OpenSSH_9.2"}, False, "does not speak SMTP"),
        ({"EHLO": Act.DROP}, False, "closed the connection"),
        ({"MAIL": Act.HANG}, False, "does not answer in time"),
        ({"RCPT": "550 5.7.1 \x1b[2J" + "x" * 5000}, False, "Fail: mail is refused"),
    ],
)
async def test_what_goes_wrong_is_told_in_one_short_printable_line(script: dict[str, str], ok: bool, last: str) -> None:
    async with Sink(script) as sink:  # type: ignore[arg-type]
        found = await probe(sink)
    assert found.ok is ok
    assert last in found.lines[-1]
    assert all(line.isprintable() and len(line) < 300 for line in found.lines)


async def test_a_closed_port_is_told() -> None:
    async with Sink() as sink:
        pass
    found = await probe(sink)
    assert not found.ok and "no connection to localhost[127.0.0.1]" in found.lines[-1]


async def test_without_a_recipient_the_null_sender_alone_is_tried(sink: Sink) -> None:
    found = await probe(sink, to="")
    assert found.ok and sink.commands == ["EHLO gate.example", "MAIL FROM:<>", "QUIT"]
