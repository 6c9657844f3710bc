"""DANE and MTA-STS on the way out: real name servers, a real web server, real next hops with true and false proofs."""

import hashlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.house import StillClock, open_store
from tests.mta.test_relay import parcel
from tests.peers.names import Fault, Names
from tests.peers.sink import Sink, authority, server_tls
from tests.peers.web import Web, answer

from gatepost.dns import Resolver
from gatepost.events import Metrics
from gatepost.model.query import Query
from gatepost.model.route import Route
from gatepost.model.stored import StsPolicy
from gatepost.mta.outcome import Outcome, Result
from gatepost.mta.relay import Relay
from gatepost.mta.security import Security
from gatepost.mta.sts import Fetcher, NoPolicy
from gatepost.mta.sts_policies import StsPolicies
from gatepost.mta.tls_results import TlsResults
from gatepost.settings import Dns, MtaSts
from gatepost.settings import Relay as RelaySettings
from gatepost.store.store import Store

pytestmark = pytest.mark.anyio

HOST = "mx.far.example"
POLICY = "version: STSv1\nmode: enforce\nmx: mx.far.example\nmax_age: 86400\n"
CA = authority()
LEAF = CA.issue_cert(HOST)
GOOD = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
LEAF.configure_cert(GOOD)
OWN = hashlib.sha256(
    x509.load_pem_x509_certificate(LEAF.cert_chain_pems[0].bytes()).public_bytes(Encoding.DER)
).hexdigest()


class Far:
    """The domain `far.example`, its DNS and web server; and a relay that sends to it."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.clock = StillClock()
        self.metrics = Metrics()
        self.names: Names
        self.web: Web
        self.store: Store
        self.results: TlsResults | None = None  # counts for TLS reports

    async def open(self) -> None:
        zone = {
            "far.example": ["MX 10 mx.far.example."],
            HOST: ["A 127.0.0.1"],
            "mta-sts.far.example": ["A 127.0.0.1"],
        }
        self.names = await self.stack.enter_async_context(Names(zone, ttl=0, validated=True))  # type: ignore[arg-type]
        self.web = await self.stack.enter_async_context(Web(server_tls(CA, "mta-sts.far.example"), answer(POLICY)))
        CA.cert_pem.write_to_path(str(self.directory / "ca.pem"))
        self.store = open_store(self.directory / "state", self.clock)
        self.stack.push_async_callback(self.store.close)

    async def deliver(self, sink: Sink, *, dane: bool = True, trust_ad: str = "local", **asked: object) -> Outcome:
        """Send one mail by a relay that starts now; `asked` is put into its parcel."""
        resolver = self.resolver(trust_ad)
        policies = self.policies(resolver)
        relay = Relay(
            RelaySettings(
                allow_private_destinations=True,
                mx_port=sink.port,
                ca_file=str(self.directory / "ca.pem"),
                connect_timeout=20.0,
                command_timeout=20.0,
            ),
            "gate.test",
            resolver,
            metrics=self.metrics,
            clock=self.clock,
            security=Security(resolver, policies, use_dane=dane, port=sink.port, results=self.results),
            results=self.results,
        )
        (outcome,) = await relay.deliver(Route(domain="far.example"), parcel("b@far.example", **asked))
        await relay.close()
        return outcome

    def resolver(self, trust_ad: str = "local") -> Resolver:
        return Resolver(Dns(servers=[self.names.address], timeout=10.0, trust_ad=trust_ad), self.clock)

    def policies(self, resolver: Resolver) -> StsPolicies:
        settings = MtaSts(port=self.web.port, ca_file=str(self.directory / "ca.pem"))
        return StsPolicies(self.store, Fetcher(resolver, settings, private=True), resolver, self.clock)

    def tlsa(self, sink: Sink, *records: str | Fault) -> None:
        self.names.zone[f"_{sink.port}._tcp.{HOST}"] = list(records)

    def tell_policy(self, number: int = 1) -> None:
        self.names.zone["_mta-sts.far.example"] = [f'TXT "v=STSv1; id={number}"']

    def counted(self, by: str, result: str) -> float:
        return self.metrics.tls_demands.labels(by, result)._value.get()

    def kept(self) -> list[StsPolicy]:
        return self.store.reader.find(StsPolicy, Query()).items


@pytest.fixture
async def far(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Far]:
    async with AsyncExitStack() as stack:
        far = Far(tmp_path, stack)
        await far.open()
        yield far


@pytest.mark.parametrize("tls", [GOOD, None], ids=["tls", "plain"])
async def test_where_nothing_is_published_tls_is_used_if_it_is_offered(far: Far, tls: ssl.SSLContext | None) -> None:
    async with Sink(tls=tls) as sink:
        assert (await far.deliver(sink)).result is Result.DELIVERED


# DANE.


async def test_a_proven_tlsa_record_is_enough_for_a_certificate_that_nobody_else_trusts(far: Far) -> None:
    async with Sink(tls=GOOD) as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
        outcome = await far.deliver(sink)
    assert outcome.result is Result.DELIVERED
    assert (outcome.tls or "").endswith(", DANE")
    assert far.counted("DANE", "success") == 1


@pytest.mark.parametrize(("name", "kind"), [("far.example", "MX"), (HOST, "A")])
async def test_what_was_answered_and_then_is_not_holds_the_mail_back(
    far: Far, monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    """Who may cut lives of answers short, and then keep answers away, gets no mail in the clear."""
    respond = far.names.respond

    def respond_once(request: bytes, via: str) -> Sequence[bytes]:
        packets = respond(request, via)
        if far.names.count(name, kind):
            far.names.zone[name] = [Fault.SERVFAIL]
        return packets

    monkeypatch.setattr(far.names, "respond", respond_once)
    async with Sink() as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
        assert (await far.deliver(sink)).result is Result.DEFERRED
        assert sink.mails == []


async def test_records_and_their_proof_are_one_answer_however_short_its_life(far: Far) -> None:
    """Were the proof asked for again, an answer that fails then would let the mail go in the clear."""
    async with Sink(tls=GOOD) as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
        assert (await far.deliver(sink)).result is Result.DELIVERED
        assert far.names.ttl == 0
        assert far.names.count(f"_{sink.port}._tcp.{HOST}", "TLSA") == 1
        assert far.names.count(HOST, "A") == 2  # for the proof, and for the way


@pytest.mark.parametrize("tls", [server_tls(authority(), HOST), None], ids=["other", "plain"])
async def test_a_server_that_does_not_fit_its_tlsa_record_gets_nothing_99(far: Far, tls: ssl.SSLContext | None) -> None:
    async with Sink(tls=tls) as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
        outcome = await far.deliver(sink)
        assert (outcome.result, outcome.reply.status[:3]) == (Result.DEFERRED, "4.7")
        assert sink.mails == []
    assert far.counted("DANE", "validation-failure") + far.counted("DANE", "starttls-not-supported") == 1


async def test_records_that_can_not_be_used_ask_for_encryption_alone(far: Far) -> None:
    """RFC 7672 2.2: unusable records still forbid plain text."""
    async with Sink(tls=server_tls(authority(), "else.example")) as sink:
        far.tlsa(sink, f"TLSA 1 0 1 {OWN}")
        assert (await far.deliver(sink)).result is Result.DELIVERED
        assert sink.mails[0].tls
    async with Sink() as sink:
        far.tlsa(sink, f"TLSA 1 0 1 {OWN}")
        assert (await far.deliver(sink)).result is Result.DEFERRED


async def test_without_an_answer_about_tlsa_no_mail_goes_out(far: Far) -> None:
    async with Sink(tls=GOOD) as sink:
        far.tlsa(sink, Fault.SERVFAIL)
        outcome = await far.deliver(sink)
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.7.5")
        assert "no answer from DNS" in outcome.reply.text


@pytest.mark.parametrize("unsigned", ["far.example", HOST, "tlsa"])
async def test_what_dnssec_does_not_prove_is_no_demand(far: Far, unsigned: str) -> None:
    async with Sink() as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
        far.names.unsigned.add(f"_{sink.port}._tcp.{HOST}" if unsigned == "tlsa" else unsigned)
        assert (await far.deliver(sink)).result is Result.DELIVERED


@pytest.mark.parametrize(
    ("end", "own", "result"),
    [
        (f"TLSA 3 0 1 {OWN}", None, Result.DELIVERED),
        (f"TLSA 3 0 1 {'0' * 64}", None, Result.DEFERRED),
        (f"TLSA 3 0 1 {OWN}", f"TLSA 3 0 1 {'0' * 64}", Result.DELIVERED),
        (None, f"TLSA 3 0 1 {OWN}", Result.DELIVERED),
        (None, f"TLSA 3 0 1 {'0' * 64}", Result.DEFERRED),
    ],
    ids=["its own", "another's", "its own before another's", "its own at the host", "another's at the host"],
)
async def test_records_where_the_aliases_of_a_host_lead_to_come_first(
    far: Far, end: str | None, own: str | None, result: Result
) -> None:
    """RFC 7672 2.2.3, 8.1."""
    asked: list[str | None] = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    LEAF.configure_cert(tls)
    tls.sni_callback = lambda _secured, name, _context: asked.append(name)
    async with Sink(tls=tls) as sink:
        far.names.zone |= {HOST: ["CNAME host.far.example."], "host.far.example": ["A 127.0.0.1"]}
        for host, record in (("host.far.example", end), (HOST, own)):
            if record:
                far.names.zone[f"_{sink.port}._tcp.{host}"] = [record]
        assert (await far.deliver(sink)).result is result
    assert asked == ["host.far.example" if end else HOST]


async def test_dane_can_be_switched_off_and_needs_a_resolver_that_is_trusted(far: Far) -> None:
    async with Sink() as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {OWN}")
        assert (await far.deliver(sink, dane=False)).result is Result.DELIVERED
        assert (await far.deliver(sink, trust_ad="never")).result is Result.DELIVERED
        assert (await far.deliver(sink)).result is Result.DEFERRED


# MTA-STS.


async def test_an_enforced_policy_asks_for_a_certificate_that_is_trusted(far: Far) -> None:
    far.tell_policy()
    async with Sink(tls=GOOD) as sink:
        outcome = await far.deliver(sink)
    assert (outcome.result, (outcome.tls or "")[-9:]) == (Result.DELIVERED, ", MTA-STS")
    for tls, fault in (
        (server_tls(authority(), HOST), "certificate-not-trusted"),
        (server_tls(CA, "else.example"), "certificate-host-mismatch"),
        (None, "starttls-not-supported"),
    ):
        async with Sink(tls=tls) as sink:
            assert (await far.deliver(sink)).result is Result.DEFERRED
            assert sink.mails == []
        assert far.counted("MTA-STS", fault) == 1


async def test_a_host_that_the_policy_does_not_name_gets_nothing(far: Far) -> None:
    far.tell_policy()
    far.web.said = answer(POLICY.replace("mx.far", "other.far"))
    async with Sink(tls=GOOD) as sink:
        outcome = await far.deliver(sink)
        assert (outcome.result, outcome.reply.status) == (Result.DEFERRED, "4.7.5")
        assert "not named by the domain's MTA-STS policy" in outcome.reply.text


async def test_a_policy_in_testing_asks_for_nothing(far: Far) -> None:
    far.tell_policy()
    far.web.said = answer(POLICY.replace("enforce", "testing"))
    async with Sink() as sink:
        assert (await far.deliver(sink)).result is Result.DELIVERED


async def test_86_a_policy_that_could_not_be_fetched_is_asked_for_when_the_clock_is_set_back(far: Far) -> None:
    """Until the old time came again its domain's mail would go without: to whoever cuts TLS off, in the clear."""
    far.tell_policy()
    policies = far.policies(far.resolver())
    far.web.said = answer("", status="500 Oops")
    with pytest.raises(NoPolicy):
        await policies.find("far.example")
    far.web.said = answer(POLICY)
    far.clock.now -= 86_400_000
    found = await policies.find("far.example")
    assert found is not None and found.mode == "enforce"


async def test_a_known_policy_holds_over_restarts_and_silence_until_it_expires(far: Far) -> None:
    """RFC 8461 5.1, 10.2: nobody who cuts off DNS or the web server gets rid of it."""
    far.tell_policy()
    async with Sink() as sink:
        assert (await far.deliver(sink)).result is Result.DEFERRED
        far.web.said = None  # type: ignore[assignment]
        assert (await far.deliver(sink)).result is Result.DEFERRED
        assert len(far.web.asked) == 1  # it is fetched once
        far.names.zone["_mta-sts.far.example"] = [Fault.SERVFAIL]
        assert (await far.deliver(sink)).result is Result.DEFERRED
        far.clock.now += 86_400_001
        assert (await far.deliver(sink)).result is Result.DELIVERED


async def test_a_new_policy_takes_the_place_of_the_old_one(far: Far) -> None:
    far.tell_policy(1)
    async with Sink() as sink:
        assert (await far.deliver(sink)).result is Result.DEFERRED
        far.tell_policy(2)
        far.web.said = answer(POLICY.replace("enforce", "none"))
        assert (await far.deliver(sink)).result is Result.DELIVERED
    assert [(each.policy_id, each.mode) for each in far.kept()] == [("2", "none")]


async def test_dane_goes_before_mta_sts(far: Far) -> None:
    """RFC 8461 2: a host that DANE vouches for needs no authority."""
    far.tell_policy()
    stranger = authority()
    leaf = stranger.issue_cert(HOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    shown = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).public_bytes(Encoding.DER)
    async with Sink(tls=context) as sink:
        far.tlsa(sink, f"TLSA 3 0 1 {hashlib.sha256(shown).hexdigest()}")
        assert (await far.deliver(sink)).result is Result.DELIVERED
