"""What comes out of an outgoing provider's network leaves for a domain that names the provider, once it is shown to be
that domain's: by an aligned DKIM signature, or by the secret of its connector (rules 10)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosmtplib
import dkim
import pytest
from tests.house import House, living, queued_as
from tests.mailauth.pairs import PAIRS
from tests.mailauth.post import long_txt
from tests.peers.names import Fault, Names
from tests.peers.sink import Sink

from gatepost.model.address import parse_address
from gatepost.model.dkim import Algorithm
from gatepost.model.envelope import Role
from gatepost.model.options import CONNECTOR_SECRET, OptionValue, Scope
from gatepost.model.policy import Policy
from gatepost.model.stored import Message
from gatepost.model.tenant import Domain, DomainStatus, Provider

pytestmark = pytest.mark.anyio

OUTSIDE = "zoe@far.example"
SECRET = "a-word-of-sixteen-letters-or-more"
NETWORK = "spf.cloud.example"


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    zone: dict[str, Any] = {
        NETWORK: ['TXT "v=spf1 ip4:127.0.0.1 -all"'],
        "spf.elsewhere.example": ['TXT "v=spf1 ip4:192.0.2.1 -all"'],
        "far.example": ["MX 10 mx.far.example."],
        "key._domainkey.served.example": [long_txt(f"v=DKIM1; k=rsa; p={PAIRS[Algorithm.RSA].public}")],
        "key._domainkey.else.example": [long_txt(f"v=DKIM1; k=rsa; p={PAIRS[Algorithm.RSA].public}")],
    }
    async with Names(zone) as names:
        yield names


@pytest.fixture
async def house(tmp_path: Path, names: Names) -> AsyncIterator[House]:
    async with living(tmp_path, dns={"servers": [names.address], "timeout": 5.0}) as house:
        yield house


async def provide(house: House, *domains: str, spf: str = NETWORK, active: bool = True) -> None:
    """Have domains send through a provider."""
    provider = await house.add(Provider(name="Cloud", spf_provider=spf, active=active))
    assert isinstance(provider, Provider)
    for name in domains or ("served.example",):
        domain = domain_of(house, name)
        ids = [*domain.outgoing_provider_ids, provider.id]
        await house.store.write(
            lambda writer, at=domain.id, ids=ids: writer.change(Domain, at, outgoing_provider_ids=ids)
        )
        await house.store.write(lambda writer, at=domain.policy_id: writer.change(Policy, at, outgoing=True))


def domain_of(house: House, name: str) -> Domain:
    found = house.store.reader.domain(name)
    assert found is not None
    return found


async def connect(house: House, name: str = "served.example", secret: str = SECRET) -> None:
    """Give a domain's connector its secret."""
    sealed = house.store.secrets.seal(secret)
    at = domain_of(house, name).id
    await house.add(OptionValue(scope=Scope.DOMAIN, owner_id=at, name=CONNECTOR_SECRET, value=sealed))


def written(author: str = "Bob <bob@served.example>", connector: str = "") -> bytes:
    said = f"X-Gatepost-Connector: {connector}\r\n" if connector else ""
    return (
        f"{said}From: {author}\r\nTo: {OUTSIDE}\r\nSubject: Hi\r\nDate: Fri, 20 Nov 2026 09:00:00 +0000\r\n"
        "Message-ID: <1@x>\r\n\r\nHello\r\n"
    ).encode()


def signed(raw: bytes, domain: str = "served.example") -> bytes:
    pem = PAIRS[Algorithm.RSA].private.encode()
    signature: bytes = dkim.sign(raw, b"key", domain.encode(), pem, include_headers=[b"from", b"subject"])
    return signature + raw


async def leave(house: House, raw: bytes, sender: str = "bob@served.example") -> aiosmtplib.SMTPResponse:
    return await house.send(raw, OUTSIDE, sender=sender, role=Role.TRUSTED)


async def test_an_aligned_signature_lets_a_mail_out(house: House) -> None:
    await provide(house)
    reply = await leave(house, signed(written()))
    assert reply.code == 250, reply
    (got,) = await house.sink.wait(1)
    assert got.recipients == [OUTSIDE]
    (came,) = (event for event in house.trace(queued_as(reply)) if event.event == "received")
    assert came.data["provider"] == "Cloud"


async def test_the_connectors_secret_lets_a_mail_out_and_stays_here(house: House) -> None:
    await provide(house)
    await connect(house)
    reply = await leave(house, written(connector=SECRET))
    assert reply.code == 250, reply
    (got,) = await house.sink.wait(1)
    assert SECRET.encode() not in got.data and b"onnector" not in got.data


UNPROVEN = {
    "nothing": written(),
    "a wrong secret": written(connector=SECRET.upper()),
    "an empty secret": written(connector=" "),
    "somebody else's signature": signed(written(), "else.example"),
    "a broken signature": signed(written()).replace(b"Hello", b"Hallo"),
}


@pytest.mark.parametrize("raw", UNPROVEN.values(), ids=UNPROVEN.keys())
async def test_a_network_alone_proves_no_customer(house: House, raw: bytes) -> None:
    await provide(house)
    await connect(house)
    reply = await leave(house, raw)
    assert (reply.code, reply.message[:5]) == (550, "5.7.1")
    (why,) = (event for event in house.trace(queued_as(reply)) if event.event == "verdict")
    assert "the provider sends for many" in str(why)


async def test_without_a_secret_of_its_own_no_connector_holds(house: House) -> None:
    await house.domain("other.example", policy={"outgoing": True})
    await provide(house, "served.example", "other.example")
    await connect(house, "other.example")
    assert (await leave(house, written(connector=SECRET))).code == 550
    theirs = await leave(house, written("eve@other.example", connector=SECRET), sender="eve@other.example")
    assert theirs.code == 250


async def test_a_signature_that_cant_be_looked_at_puts_a_mail_off(house: House, names: Names) -> None:
    await provide(house)
    names.zone["key._domainkey.served.example"] = [Fault.SERVFAIL]
    reply = await leave(house, signed(written()))
    assert reply.code == 451, reply


async def test_a_mail_that_nobody_can_open_now_is_put_off(house: House) -> None:
    await provide(house)
    await house.gatepost.intake._opener.close()  # no worker will open it
    large = written() + b"Hello\r\n" * 50_000
    assert (await leave(house, signed(large))).code == 451


async def test_from_must_be_the_domains_too(house: House) -> None:
    await provide(house)
    await connect(house)
    reply = await leave(house, written("Ada <ada@world.example>", connector=SECRET))
    assert (reply.code, reply.message[:5]) == (550, "5.7.1")


async def refused(house: House, sender: str = "bob@served.example") -> None:
    """Expect that nobody may relay here."""
    reply = await leave(house, signed(written()), sender=sender)
    assert (reply.code, reply.message) == (550, "5.7.1 relaying denied")


async def test_another_network_is_a_strangers(house: House) -> None:
    await provide(house, spf="spf.elsewhere.example")
    await refused(house)


async def test_a_provider_without_a_record_is_nobodys_network(house: House) -> None:
    await provide(house, spf="spf.nowhere.example")
    await refused(house)


async def test_a_provider_that_is_switched_off_lets_nobody_out(house: House) -> None:
    await provide(house, active=False)
    await refused(house)


async def test_a_domain_that_names_no_provider_sends_through_none(house: House) -> None:
    await house.domain("other.example", policy={"outgoing": True})
    await provide(house, "other.example")
    await refused(house)


async def test_a_policy_without_outgoing_lets_nobody_out(house: House) -> None:
    await provide(house)
    at = domain_of(house, "served.example").policy_id
    await house.store.write(lambda writer: writer.change(Policy, at, outgoing=False))
    await refused(house)


async def test_a_disabled_domain_sends_through_no_provider(house: House) -> None:
    await provide(house)
    at = domain_of(house, "served.example").id
    await house.store.write(lambda writer: writer.change(Domain, at, status=DomainStatus.DISABLED))
    await refused(house)


async def test_an_mx_listener_knows_no_providers(house: House) -> None:
    await provide(house)
    reply = await house.send(signed(written()), OUTSIDE, sender="bob@served.example")
    assert reply.code == 550


async def test_a_network_that_cant_be_looked_up_puts_a_mail_off(house: House, names: Names) -> None:
    await provide(house)
    names.zone[NETWORK] = [Fault.SERVFAIL]
    reply = await leave(house, signed(written()))
    assert reply.code == 451, reply


async def test_a_subnet_that_a_domain_names_needs_no_more(house: House, names: Names) -> None:
    await provide(house)
    names.zone[NETWORK] = [Fault.SERVFAIL]
    at = domain_of(house, "served.example").id
    await house.store.write(lambda writer: writer.change(Domain, at, outgoing_subnets=["127.0.0.1/32"]))
    assert (await leave(house, written())).code == 250


async def test_another_domains_subnet_does_not_hide_the_provider(house: House) -> None:
    await house.domain("other.example", outgoing_subnets=["127.0.0.1/32"], policy={"outgoing": True})
    await provide(house)
    assert (await leave(house, written())).code == 550
    assert (await leave(house, signed(written()))).code == 250


async def test_the_null_sender_leaves_for_the_only_domain_of_a_provider(house: House) -> None:
    await provide(house)
    assert (await leave(house, signed(written()), sender="")).code == 250
    assert (await leave(house, written(), sender="")).code == 550


async def test_the_null_sender_of_a_shared_provider_is_nobodys(house: House) -> None:
    await house.domain("other.example", policy={"outgoing": True})
    await provide(house, "served.example", "other.example")
    await refused(house, sender="")


async def test_what_proves_nothing_costs_the_account_nothing(tmp_path: Path, names: Names) -> None:
    """Anybody who is with that provider could use up the hour of another's account."""
    outgoing = {"domain_mails_per_hour": 1}
    async with living(tmp_path, dns={"servers": [names.address], "timeout": 5.0}, outgoing=outgoing) as house:
        await provide(house)
        assert (await leave(house, written())).code == 550
        assert (await leave(house, written())).code == 550
        assert (await leave(house, signed(written()))).code == 250
        assert (await leave(house, signed(written()))).code == 450


async def inside(house: House, *more: str) -> aiosmtplib.SMTPResponse:
    """Send a mail that shows nothing to an address of ours, and to `more`."""
    return await house.send(written(), "amy@served.example", *more, sender="bob@served.example", role=Role.TRUSTED)


async def test_what_proves_nothing_goes_to_nobody_once_it_is_to_leave(house: House, names: Names) -> None:
    """Inside it would pass for a mail of ours: signed, by some engines unasked, and kept in its sender's mailbox."""
    names.zone["served.example"] = [f'TXT "v=spf1 include:{NETWORK} -all"']
    await provide(house)
    assert (await inside(house)).code == 250
    await house.sink.wait(1)
    both = await inside(house, OUTSIDE)
    assert (both.code, both.message[:5]) == (550, "5.7.1")
    assert {each.mailbox for each in house.copies()} == {"amy@served.example"}


async def test_a_bounce_that_goes_back_by_a_provider_is_not_signed(house: House) -> None:
    await provide(house)
    back = house.gatepost.directory.stand_in(parse_address(OUTSIDE), "served.example")
    reply = await house.send(written(), str(back), sender="", role=Role.TRUSTED)
    assert reply.code == 250, reply
    mail = house.store.reader.get(Message, queued_as(reply))
    assert mail is not None
    assert (mail.signer, mail.direction) == ("", "in")


async def test_the_null_sender_writes_for_no_other_domain_of_the_provider(house: House) -> None:
    """Eve's is the only domain that sends by its own policy; at the other one a single account may."""
    other = await house.domain("other.example")
    policy = await house.policy(other, outgoing=True)
    await house.user("amy@other.example", policy_id=policy.id)
    await provide(house, "served.example", "other.example")
    await house.store.write(lambda writer: writer.change(Policy, other.policy_id, outgoing=False))
    await connect(house)
    mine = await leave(house, written(connector=SECRET), sender="")
    assert mine.code == 250, mine
    hers = await leave(house, written("amy@other.example", connector=SECRET), sender="")
    assert (hers.code, hers.message[:5]) == (550, "5.7.1")


async def test_what_stays_inside_costs_the_account_nothing(tmp_path: Path, names: Names) -> None:
    outgoing = {"domain_mails_per_hour": 1}
    names.zone["served.example"] = [f'TXT "v=spf1 include:{NETWORK} -all"']
    async with living(tmp_path, dns={"servers": [names.address], "timeout": 5.0}, outgoing=outgoing) as house:
        await provide(house)
        assert (await inside(house)).code == 250
        assert (await leave(house, signed(written("Ada <ada@else.example>"), "else.example"))).code == 550
        assert (await leave(house, signed(written()))).code == 250
        assert (await leave(house, signed(written()))).code == 450


@pytest.mark.parametrize("ret", ["HDRS", "FULL"])
async def test_a_report_gives_the_secret_to_nobody(tmp_path: Path, names: Names, ret: str) -> None:
    sink = Sink({f"RCPT <{OUTSIDE}>": "550 5.1.1 no such user"})
    async with living(tmp_path, dns={"servers": [names.address], "timeout": 5.0}, sink=sink) as house:
        await provide(house)
        await connect(house)
        raw = written(connector=SECRET)
        reply = await house.send(raw, OUTSIDE, sender="bob@served.example", role=Role.TRUSTED, options=f"RET={ret}")
        assert reply.code == 250, reply
        (report,) = await house.sink.wait(1)
        assert report.recipients == ["bob@served.example"]
        assert b"Subject: Hi" in report.data
        assert SECRET.encode() not in report.data and b"onnector" not in report.data


async def test_a_fault_in_the_connectors_field_is_told_without_the_secret(house: House) -> None:
    await provide(house)
    await connect(house)
    reply = await leave(house, written(connector=f"\v{SECRET}"))
    told = str(house.trace(queued_as(reply)))
    assert "control characters: x-gatepost-connector" in told.lower()
    assert SECRET not in told
    assert not any(SECRET in copy.reason for copy in house.copies())
