"""REQUIRETLS from hop to hop: two gateways pass it on; a Postfix, which does not know it, is passed over."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from tests.conformance.chain import open_folder
from tests.house import House, living
from tests.peers.postfix import Postfix, running
from tests.peers.sink import EXTENSIONS, Sink, authority, server_tls

from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.tenant import Domain

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

TEXT = (
    b"From: bob@served.example\r\nTo: zoe@far.example\r\nSubject: Hi\r\nMessage-ID: <1@served.example>\r\n"
    b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\n\r\nHello\r\n"
)


def keen(ca: trustme.CA) -> Sink:
    return Sink(tls=server_tls(ca, "127.0.0.1"), extensions=(*EXTENSIONS, "REQUIRETLS"))


@contextlib.asynccontextmanager
async def gateway(folder: Path, ca: trustme.CA, sink: Sink, smarthost: int) -> AsyncIterator[House]:
    """A gateway whose users behind `sink` send by a smarthost."""
    certificate(folder, ca)
    own, trust = str(folder / "own.pem"), str(folder / "ca.pem")
    given = {"certificate": own, "key": own}
    relay = {"ca_file": trust, "smarthost": f"127.0.0.1:{smarthost}"}
    async with living(folder, sink=sink, smtp=given, relay=relay) as house:
        domain = house.store.reader.domain("served.example")
        assert domain is not None
        await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
        await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))
        yield house


def certificate(folder: Path, ca: trustme.CA) -> None:
    folder.mkdir(exist_ok=True)
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))


async def send(house: House, ca_file: Path, options: str) -> int:
    trust = ssl.create_default_context(cafile=str(ca_file))
    sender, role = "bob@served.example", Role.TRUSTED
    return (await house.send(TEXT, "zoe@far.example", sender=sender, role=role, tls=trust, options=options)).code


async def test_a_gateway_passes_on_to_the_next_what_requires_tls(tmp_path: Path) -> None:
    ca = authority()
    async with gateway(tmp_path / "far", ca, keen(ca), 1) as far:
        await far.domain("far.example", hop=("127.0.0.1", far.sink.port))
        await far.user("zoe@far.example")
        async with gateway(tmp_path / "here", ca, keen(ca), far.port) as here:
            assert await send(here, tmp_path / "here" / "ca.pem", "REQUIRETLS") == 250
            (got,) = await far.sink.wait(1)
            assert (got.recipients, got.tls) == (["zoe@far.example"], True)
            assert "REQUIRETLS" in got.sender_params
            assert b"TLSv1.3" in got.data


async def test_a_postfix_is_passed_over_and_the_sender_told(tmp_path: Path) -> None:
    ca = authority()
    with open_folder() as folder:
        certificate(folder, ca)
        own = folder / "own.pem"
        more = f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {own}\nsmtpd_tls_key_file = {own}"
        async with Sink() as world:
            with running(Postfix(folder / "postfix", f"[127.0.0.1]:{world.port}", more=more)) as postfix:
                async with gateway(tmp_path, ca, keen(ca), postfix.port) as here:
                    await told_of_postfix(here, world, folder / "ca.pem")


async def told_of_postfix(here: House, world: Sink, ca_file: Path) -> None:
    assert await send(here, ca_file, "REQUIRETLS") == 250
    (report,) = await here.sink.wait(1)
    assert (report.sender, report.recipients) == ("", ["bob@served.example"])
    assert "REQUIRETLS" in report.sender_params
    assert b"Status: 5.7.30" in report.data and b"REQUIRETLS support required" in report.data
    assert world.mails == []
    assert await send(here, ca_file, "") == 250
    (got,) = await world.wait(1)
    assert got.recipients == ["zoe@far.example"]
