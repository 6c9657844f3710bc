"""DANE over a zone that Knot signs and Unbound validates: the AD bit is a real one."""

import hashlib
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.mta.test_relay import parcel
from tests.peers.signed import signed_zone
from tests.peers.sink import Sink, authority

from gatepost.dns import Resolver
from gatepost.events import Metrics, wall_clock
from gatepost.model.route import Route
from gatepost.mta.outcome import Result
from gatepost.mta.relay import Relay
from gatepost.mta.security import Security
from gatepost.settings import Dns
from gatepost.settings import Relay as RelaySettings

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]


async def test_a_signed_tlsa_record_decides_who_gets_the_mail(tmp_path: Path) -> None:
    hosts = ("good", "bad", "bare")
    leaf = authority().issue_cert(*(f"{name}.far.example" for name in hosts))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    own = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).public_bytes(Encoding.DER)
    digest = hashlib.sha256(own).hexdigest()
    async with Sink(tls=context) as sink:
        where = f"_{sink.port}._tcp"
        records = [f"{name}.far.example. 60 {rest}" for name in hosts for rest in ("MX 10 @", "A 127.0.0.1")]
        records = [record.replace("@", f"{record.split(' ', 1)[0]}") for record in records]
        records += [
            f"{where}.good.far.example. 60 TLSA 3 0 1 {digest}",
            f"{where}.bad.far.example. 60 TLSA 3 0 1 {'0' * 64}",
        ]
        with signed_zone(tmp_path, "far.example", records) as resolver:
            names = Resolver(Dns(servers=[resolver], timeout=3.0), wall_clock)
            assert await names.is_secure("good.far.example", "MX")
            security = Security(names, None, use_dane=True, port=sink.port)
            settings = RelaySettings(allow_private_destinations=True, mx_port=sink.port)
            relay = Relay(settings, "gate.test", names, metrics=Metrics(), clock=wall_clock, security=security)
            found = {}
            for name in hosts:
                (outcome,) = await relay.deliver(Route(domain=f"{name}.far.example"), parcel(f"b@{name}.far.example"))
                found[name] = (outcome.result, (outcome.tls or "").endswith(", DANE"))
            await relay.close()
    assert found == {
        "good": (Result.DELIVERED, True),
        "bad": (Result.DEFERRED, False),
        "bare": (Result.DELIVERED, False),
    }
