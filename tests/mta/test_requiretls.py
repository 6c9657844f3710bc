"""REQUIRETLS and `TLS-Required: No` on the way out (RFC 8689): proven hosts that pass the wish on, or none."""

import contextlib
import email
import email.policy
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.house import House, living, queued_as
from tests.mta.road import TEXT, Road
from tests.mta.test_relay import parcel
from tests.mta.test_security import CA, GOOD, HOST, OWN, POLICY, Far, far  # noqa: F401 - a fixture
from tests.peers.names import Fault
from tests.peers.sink import EXTENSIONS, Act, Script, Sink, authority, server_tls
from tests.peers.web import answer

from gatepost.dns import Resolver
from gatepost.events import Metrics
from gatepost.filters.score import GTUBE
from gatepost.model.envelope import TlsWish
from gatepost.model.query import Query
from gatepost.model.route import Hop, Route, Terms, Transport
from gatepost.model.stored import Message, State
from gatepost.mta.outcome import Outcome, Result
from gatepost.mta.relay import Relay
from gatepost.settings import Dns
from gatepost.settings import Relay as RelaySettings

pytestmark = pytest.mark.anyio

OFFERS = (*EXTENSIONS, "REQUIRETLS")
REQUIRED, WAIVED = TlsWish.REQUIRED, TlsWish.WAIVED


def keen(tls: ssl.SSLContext | None = GOOD, script: Script | None = None, **more: object) -> Sink:
    """A next hop that offers REQUIRETLS."""
    return Sink(script, tls=tls, extensions=OFFERS, **more)  # type: ignore[arg-type]


def came(outcome: Outcome) -> tuple[str, str]:
    return outcome.result.value, outcome.reply.status


def unmet(metrics: Metrics, status: str) -> float:
    return metrics.requiretls.labels(status)._value.get()


# By MX.


async def test_a_proven_host_that_passes_it_on_gets_the_mail(far: Far) -> None:  # noqa: F811
    async with keen() as sink:
        outcome = await far.deliver(sink, tls=REQUIRED, ret="HDRS")
        assert outcome.result is Result.DELIVERED
        assert (outcome.tls or "").endswith(", REQUIRETLS")
        assert sink.mails[0].tls
        assert {"REQUIRETLS", "RET=HDRS"} < set(sink.mails[0].sender_params)
        await far.deliver(sink)
        assert "REQUIRETLS" not in sink.mails[1].sender_params
    assert far.counted("REQUIRETLS", "success") == 1


async def test_dane_proves_a_certificate_that_nobody_else_trusts(far: Far) -> None:  # noqa: F811
    leaf = authority().issue_cert(HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    shown = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).public_bytes(Encoding.DER)
    async with keen(context) as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {hashlib.sha256(shown).hexdigest()}")
        outcome = await far.deliver(sink, tls=REQUIRED)
        assert (outcome.result, (outcome.tls or "")[-6:]) == (Result.DELIVERED, ", DANE")


async def test_a_host_that_does_not_offer_it_gets_nothing(far: Far) -> None:  # noqa: F811
    async with Sink(tls=GOOD) as sink:
        outcome = await far.deliver(sink, tls=REQUIRED)
        assert came(outcome) == ("failed", "5.7.30")
        assert outcome.reply.text.startswith("REQUIRETLS support required: mx.far.example[127.0.0.1]")
        assert outcome.skipped == (outcome.reply.text,)
        assert not [line for line in sink.sessions[0].commands if line.startswith("MAIL")]
        assert (await far.deliver(sink)).result is Result.DELIVERED
    assert unmet(far.metrics, "5.7.30") == 1


@pytest.mark.parametrize(
    "tls",
    [server_tls(authority(), HOST), server_tls(CA, "else.example"), None],
    ids=["unknown authority", "other name", "plain"],
)
async def test_a_host_that_can_not_prove_itself_gets_nothing(far: Far, tls: ssl.SSLContext | None) -> None:  # noqa: F811
    async with keen(tls) as sink:
        outcome = await far.deliver(sink, tls=REQUIRED)
        assert came(outcome) == ("failed", "5.7.10")
        assert outcome.reply.text.startswith("Encryption needed: ")
        assert (await far.deliver(sink)).result is Result.DELIVERED
        assert len(sink.mails) == 1
    assert unmet(far.metrics, "5.7.10") == 1


async def test_records_that_can_not_be_used_prove_nothing(far: Far) -> None:  # noqa: F811
    async with keen(server_tls(authority(), HOST)) as sink:
        far.tlsa(sink, f"TLSA 1 0 1 {OWN}")
        assert came(await far.deliver(sink, tls=REQUIRED)) == ("failed", "5.7.10")
        assert (await far.deliver(sink)).result is Result.DELIVERED


@pytest.mark.parametrize("mode", ["none", None])
async def test_an_mx_record_that_nothing_proves_leads_nowhere(far: Far, mode: str | None) -> None:  # noqa: F811
    far.names.unsigned.add("far.example")
    if mode:
        far.tell_policy()
        far.web.said = answer(POLICY.replace("enforce", mode))
    async with keen() as sink:
        outcome = await far.deliver(sink, tls=REQUIRED)
        assert came(outcome) == ("failed", "5.7.10")
        assert "neither DNSSEC nor an MTA-STS policy proves" in outcome.reply.text
        assert sink.sessions == []


@pytest.mark.parametrize("mode", ["enforce", "testing"])
async def test_an_mta_sts_policy_proves_the_hosts_that_it_names(far: Far, mode: str) -> None:  # noqa: F811
    far.names.unsigned.add("far.example")
    far.tell_policy()
    far.web.said = answer(POLICY.replace("enforce", mode))
    async with keen() as sink:
        assert (await far.deliver(sink, tls=REQUIRED)).result is Result.DELIVERED
    far.tell_policy(2)
    far.web.said = answer(POLICY.replace("enforce", mode).replace("mx.far", "other.far"))
    async with keen() as sink:
        outcome = await far.deliver(sink, tls=REQUIRED)
        assert came(outcome) == ("failed", "5.7.10")
        assert "is not named by the domain's MTA-STS policy" in outcome.reply.text
        assert sink.sessions == []


async def test_what_can_not_be_told_now_is_asked_again_later(far: Far) -> None:  # noqa: F811
    async with keen() as sink:
        far.tlsa(sink, Fault.SERVFAIL)
        assert came(await far.deliver(sink, tls=REQUIRED)) == ("deferred", "4.7.5")
        far.tlsa(sink)
        far.names.unsigned.add("far.example")
        far.names.zone["_mta-sts.far.example"] = [Fault.SERVFAIL]
        assert came(await far.deliver(sink, tls=REQUIRED)) == ("deferred", "4.7.5")
        far.tell_policy()
        far.web.said = None  # type: ignore[assignment]
        assert came(await far.deliver(sink, tls=REQUIRED)) == ("deferred", "4.7.5")
        assert sink.sessions == []


async def test_a_domain_without_mx_is_proven_by_its_own_name(far: Far) -> None:  # noqa: F811
    far.names.zone["far.example"] = ["A 127.0.0.1"]
    far.names.unsigned.add("far.example")
    async with keen(server_tls(CA, "far.example")) as sink:
        assert (await far.deliver(sink, tls=REQUIRED)).result is Result.DELIVERED
    async with keen() as sink:
        assert came(await far.deliver(sink, tls=REQUIRED)) == ("failed", "5.7.10")


def two_hosts(far: Far) -> None:  # noqa: F811
    far.names.zone["far.example"] = ["MX 10 mx.far.example.", "MX 20 mx2.far.example."]
    far.names.zone["mx2.far.example"] = ["A 127.0.0.2"]


async def test_the_next_host_gets_what_the_first_can_not_be_given(far: Far) -> None:  # noqa: F811
    two_hosts(far)
    async with (
        Sink(tls=GOOD) as first,
        keen(server_tls(CA, "mx2.far.example"), host="127.0.0.2", port=first.port) as second,
    ):
        outcome = await far.deliver(first, tls=REQUIRED)
        assert (outcome.result, outcome.hop) == (Result.DELIVERED, f"mx2.far.example[127.0.0.2]:{first.port}")
        assert len(outcome.skipped) == 1 and "mx.far.example[127.0.0.1]" in outcome.skipped[0]
        assert (len(first.mails), len(second.mails)) == (0, 1)


@pytest.mark.parametrize(
    "script", [{"banner": "421 4.3.2 later"}, {"STARTTLS": "454 4.7.0 later"}, {"STARTTLS": Act.DROP}]
)
async def test_a_host_that_may_answer_later_is_waited_for(far: Far, script: Script) -> None:  # noqa: F811
    two_hosts(far)
    async with (
        keen(script=script) as first,
        Sink(tls=server_tls(CA, "mx2.far.example"), host="127.0.0.2", port=first.port),
    ):
        outcome = await far.deliver(first, tls=REQUIRED)
        assert (outcome.result, outcome.hop) == (Result.DEFERRED, f"mx.far.example[127.0.0.1]:{first.port}")
        assert "mx2.far.example" in outcome.skipped[0]


# The null sender (RFC 8689 5).


async def test_a_report_goes_with_it_where_it_can_and_without_where_not(far: Far) -> None:  # noqa: F811
    async with keen() as sink:
        assert (await far.deliver(sink, tls=REQUIRED, sender="")).result is Result.DELIVERED
        assert "REQUIRETLS" in sink.mails[0].sender_params
    for sink in (Sink(tls=GOOD), Sink(), keen(server_tls(authority(), HOST))):
        async with sink:
            outcome = await far.deliver(sink, tls=REQUIRED, sender="")
            assert (outcome.result, len(outcome.skipped)) == (Result.DELIVERED, 1)
            assert "REQUIRETLS" not in sink.mails[0].sender_params
    far.names.unsigned.add("far.example")
    async with keen() as sink:
        assert (await far.deliver(sink, tls=REQUIRED, sender="")).result is Result.DELIVERED


# TLS-Required: No.


@pytest.mark.parametrize("by", ["DANE", "MTA-STS"])
async def test_who_waives_tls_goes_past_dane_and_mta_sts(far: Far, by: str) -> None:  # noqa: F811
    if by == "MTA-STS":
        far.tell_policy()
    for context in (None, server_tls(authority(), "else.example")):
        async with Sink(tls=context) as sink:
            if by == "DANE":
                far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
            assert (await far.deliver(sink)).result is Result.DEFERRED
            assert (await far.deliver(sink, tls=WAIVED)).result is Result.DELIVERED
            assert sink.mails[0].tls is (context is not None)  # TLS is used where it is there


# By what somebody configured.


async def by_hop(sink: Sink, ca_file: Path, hop: Hop) -> Outcome:
    settings = RelaySettings(connect_timeout=20.0, command_timeout=20.0, ca_file=str(ca_file))
    resolver = Resolver(Dns(servers=["127.0.0.1:1"], timeout=0.3), lambda: 0)
    relay = Relay(settings, "gate.test", resolver, metrics=Metrics(), clock=lambda: 0)
    (outcome,) = await relay.deliver(Route(hops=(hop,)), parcel(tls=REQUIRED))
    await relay.close()
    return outcome


@pytest.mark.parametrize("transport", Transport)
async def test_a_configured_server_is_held_to_its_name_whatever_its_transport(
    tmp_path: Path, transport: Transport
) -> None:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    careless = Terms("careless", trust=("*",), check_name=False)
    for tls, terms, status in (
        (server_tls(CA, "127.0.0.1"), None, "2.0.0"),
        (server_tls(CA, "127.0.0.1"), careless, "2.0.0"),
        (server_tls(CA, "127.0.0.9"), careless, "5.7.10"),
        (server_tls(authority(), "127.0.0.1"), careless, "5.7.10"),
        (None, None, "5.7.10"),
    ):
        async with keen(tls) as sink:
            outcome = await by_hop(sink, tmp_path / "ca.pem", Hop("127.0.0.1", sink.port, transport, terms))
            assert outcome.reply.status == status
            assert [mail.tls for mail in sink.mails] == ([True] if status == "2.0.0" else [])


# Through the queue.


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = await Road(tmp_path / "state", relay={"ca_file": str(tmp_path / "ca.pem")}).open()
    yield made
    await made.close(0.1)


async def test_who_required_tls_is_told_at_once_by_a_report_that_requires_it_too(road: Road) -> None:
    async with Sink(tls=server_tls(CA, "127.0.0.1")) as there, keen(server_tls(CA, "127.0.0.1")) as back:
        road.to("to.test", there)
        road.to("from.test", back)
        (way,) = await road.send("b@to.test", data=TEXT * 3, tls_wish="required", ret="HDRS")
        (mail,) = await back.wait(1)
        await road.until(lambda: len(road.queue) == 0)
        assert there.mails == []
    row = road.row(way)
    assert row.state is State.BOUNCED
    assert row.log[0].skipped == [row.last_reply]
    assert (mail.sender, mail.tls, "REQUIRETLS" in mail.sender_params) == ("", True, True)
    report = email.message_from_bytes(mail.data, policy=email.policy.SMTP)
    assert "Status: 5.7.30" in report.as_string()
    assert [part.get_content_type() for part in report.iter_parts()][-1] == "text/rfc822-headers"  # type: ignore[attr-defined]
    wishes = {each.sender: each.tls_wish for each in road.store.reader.find(Message, Query()).items}
    assert wishes == {"a@from.test": REQUIRED, "": REQUIRED}


# Through the whole house.


@contextlib.asynccontextmanager
async def secure_house(folder: Path, sink: Sink) -> AsyncIterator[tuple[House, ssl.SSLContext]]:
    """A gateway with a certificate whose platform is a sink; and what a client trusts it by."""
    CA.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    CA.cert_pem.write_to_path(str(folder / "ca.pem"))
    own, ca = str(folder / "own.pem"), str(folder / "ca.pem")
    async with living(folder, sink=sink, smtp={"certificate": own, "key": own}, relay={"ca_file": ca}) as house:
        yield house, ssl.create_default_context(cafile=ca)


def mail(*fields: str) -> bytes:
    usual = ("From: ada@world.example", "To: bob@served.example", "Date: Fri, 20 Nov 2026 09:00:00 +0000")
    return "\r\n".join((*usual, "Subject: Hi", "Message-ID: <1@x>", *fields, "", "Hello", "")).encode()


def wish(house: House, mail_id: str) -> TlsWish:
    message = house.store.reader.get(Message, mail_id)
    assert message is not None
    return message.tls_wish


@pytest.mark.parametrize("fields", [(), ("TLS-Required: No",)], ids=["plain", "field is ignored"])
async def test_what_came_with_it_goes_on_with_it(tmp_path: Path, fields: tuple[str, ...]) -> None:
    async with secure_house(tmp_path, keen(server_tls(CA, "127.0.0.1"))) as (house, trust):
        reply = await house.send(mail(*fields), "bob@served.example", tls=trust, options="REQUIRETLS RET=FULL")
        (got,) = await house.sink.wait(1)
        mail_id = queued_as(reply)
        assert (got.tls, {"REQUIRETLS", "RET=HDRS"} <= set(got.sender_params)) == (True, True)
        assert wish(house, mail_id) is REQUIRED
        (queued,) = [event for event in house.trace(mail_id) if event.event == "queued"]
        assert queued.data == {"tls": "required"}


async def test_what_was_held_is_released_with_it(tmp_path: Path) -> None:
    async with secure_house(tmp_path, keen(server_tls(CA, "127.0.0.1"))) as (house, trust):
        await house.send(mail() + GTUBE, "bob@served.example", tls=trust, options="REQUIRETLS")
        (copy,) = house.copies("Quarantine")
        message = house.store.reader.get(Message, copy.mail_id)
        assert message is not None and house.sink.mails == []
        assert await house.gatepost.releases.requeue(copy, message)
        (got,) = await house.sink.wait(1)
        assert "REQUIRETLS" in got.sender_params


@pytest.mark.parametrize(
    ("field", "found"), [("TLS-Required: No", WAIVED), ("tls-required:\r\n no ", WAIVED), ("TLS-Required: Yes", "")]
)
async def test_the_field_is_read_in_any_spelling(tmp_path: Path, field: str, found: TlsWish) -> None:
    async with secure_house(tmp_path, keen(server_tls(CA, "127.0.0.1"))) as (house, _):
        reply = await house.send(mail(field), "bob@served.example")
        (got,) = await house.sink.wait(1)
        assert wish(house, queued_as(reply)) == found
        assert field.encode() in got.data
