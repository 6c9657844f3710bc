"""Proofs on the road: what is proven of a sender stands in the trace and on top of the mail, and never loses one."""

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.house import NOW, House, living, queued_as
from tests.mailauth.post import long_txt
from tests.peers.names import Fault, Names, Zone
from tests.peers.sink import Sink

from gatepost.mailauth import keys, sign
from gatepost.message.edit import head_end
from gatepost.model.dkim import Algorithm, DkimKey
from gatepost.model.envelope import Body, Role
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.tenant import Domain, DomainStatus

pytestmark = pytest.mark.anyio

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
ZONE: Zone = {
    "world.example": ['TXT "v=spf1 ip4:127.0.0.1 -all"', "MX 10 mx.world.example."],
    "_dmarc.world.example": ['TXT "v=DMARC1; p=reject"'],
    "1.0.0.127.in-addr.arpa": ["PTR out.world.example."],
    "out.world.example": ["A 127.0.0.1"],
    "client.example": ['TXT "v=spf1 -all"'],
}


def mail(*before: str) -> bytes:
    made = EmailMessage()
    made["From"] = "Ada <ada@world.example>"
    made["To"] = "bob@served.example"
    made["Subject"] = "Hi"
    made["Date"] = "Fri, 20 Nov 2026 09:00:00 +0000"
    made["Message-ID"] = "<one@world.example>"
    made.set_content("Hello Bob")
    return "".join(f"{line}\r\n" for line in before).encode() + made.as_bytes().replace(b"\n", b"\r\n")


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    async with Names(dict(ZONE)) as names:
        yield names


@pytest.fixture
async def house(tmp_path: Path, names: Names) -> AsyncIterator[House]:
    async with living(tmp_path, dns={"servers": [names.address], "timeout": 5.0}) as house:
        yield house


async def test_what_is_proven_stands_on_top_of_the_mail(house: House) -> None:
    """RFC 8601 5, RFC 7208 9.1."""
    await house.send(mail(), "bob@served.example")
    (got,) = await house.sink.wait(1)
    assert got.data.startswith(
        b"Authentication-Results: gate.example;\r\n\tspf=pass smtp.mailfrom=ada@world.example;\r\n\tspf=fail "
    )
    head = got.data.partition(b"\r\nReceived: ")[0]
    assert b"\tdmarc=pass policy.dmarc=reject header.from=world.example" in head
    assert b"\tiprev=pass policy.iprev=127.0.0.1" in head
    assert b"\r\nReceived-SPF: pass (gate.example: " in head
    assert b"(out.world.example [127.0.0.1])" in got.data
    assert got.data.endswith(mail())


async def test_forged_results_with_our_name_are_gone(house: House) -> None:
    """Threat 63."""
    forged = "Authentication-Results: gate.example; dkim=pass header.d=bank.example"
    await house.send(mail(forged), "bob@served.example")
    (got,) = await house.sink.wait(1)
    assert b"bank.example" not in got.data
    assert got.data.endswith(mail())


async def test_the_trace_tells_the_steps_and_the_answers(house: House) -> None:
    reply = await house.send(mail(), "bob@served.example")
    (told,) = [event.data for event in house.trace(queued_as(reply)) if event.event == "examined"]
    assert told["proven"] is True
    assert told["spf"]["dns"] == ["world.example TXT: v=spf1 ip4:127.0.0.1 -all"]
    assert told["spf"]["steps"][-1] == "ip4:127.0.0.1 matches: pass"
    assert told["dmarc"]["by"] == ["spf"]


async def test_a_name_server_that_fails_holds_nothing_up_unless_the_policy_needs_its_answer(
    house: House, names: Names
) -> None:
    """Threat 66."""
    names.zone["world.example"] = [Fault.SERVFAIL]
    names.zone["_dmarc.other.example"] = ['TXT "v=DMARC1; p=reject"']
    names.zone["other.example"] = [Fault.SERVFAIL]
    deferred = await house.send(mail().replace(b"world", b"other"), "bob@served.example", sender="ada@other.example")
    assert (deferred.code, deferred.message.split()[0]) == (451, "4.7.24")
    names.zone["_dmarc.world.example"] = ['TXT "v=DMARC1; p=none"']
    reply = await house.send(mail(), "bob@served.example")
    assert reply.code == 250
    (got,) = await house.sink.wait(1)
    assert b"spf=temperror" in got.data
    assert b"dmarc=temperror" in got.data


async def test_a_mail_from_a_network_of_ours_is_not_examined(house: House) -> None:
    await house.domain("app.example", outgoing_subnets=["127.0.0.0/8"])
    reply = await house.send(mail(), "bob@served.example", role=Role.TRUSTED)
    assert reply.code == 250
    (got,) = await house.sink.wait(1)
    assert b"Authentication-Results" not in got.data
    assert "examined" not in {event.event for event in house.trace(queued_as(reply))}


async def test_a_stranger_is_one_at_a_trusted_listener_too(house: House) -> None:
    named = await house.domain("app.example", outgoing_subnets=["192.0.2.0/24"])
    reply = await house.send(mail(), "bob@served.example", role=Role.TRUSTED)
    (got,) = await house.sink.wait(1)
    assert b"Authentication-Results" in got.data
    assert "examined" in {event.event for event in house.trace(queued_as(reply))}
    await house.store.write(lambda writer: writer.change(Domain, named.id, outgoing_subnets=["127.0.0.1/32"]))
    reply = await house.send(mail(), "bob@served.example", role=Role.TRUSTED)
    assert "examined" not in {event.event for event in house.trace(queued_as(reply))}
    await house.store.write(lambda writer: writer.change(Domain, named.id, status=DomainStatus.DISABLED))
    reply = await house.send(mail(), "bob@served.example", role=Role.TRUSTED)
    assert "examined" in {event.event for event in house.trace(queued_as(reply))}


async def test_with_auth_off_nobody_asks(tmp_path: Path, names: Names) -> None:
    dns = {"servers": [names.address], "timeout": 5.0}
    async with living(tmp_path, dns=dns, auth={"enabled": False}) as house:
        await house.send(mail(), "bob@served.example")
        (got,) = await house.sink.wait(1)
        assert b"Authentication-Results" not in got.data
        assert not [name for name, kind, _ in names.asked if kind == "TXT"]


async def test_what_takes_too_long_is_a_temporary_error(tmp_path: Path, names: Names) -> None:
    names.zone["world.example"] = [Fault.ELSE_TIMEOUT, "MX 10 mx.world.example."]
    names.zone["_dmarc.world.example"] = ['TXT "v=DMARC1; p=none"']
    dns = {"servers": [names.address], "timeout": 5.0}
    async with living(tmp_path, dns=dns, auth={"timeout": 0.2}) as house:
        reply = await house.send(mail(), "bob@served.example")
        assert reply.code == 250
        (got,) = await house.sink.wait(1)
        assert b"spf=temperror" in got.data


async def rule(house: House, kind: SenderType, **members: object) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    owner = {"domain_id": domain.id, "owner": domain.name, "created_date": NOW}
    await house.add(SenderRule(**{**owner, "value": "world.example", "type": kind, **members}))  # type: ignore[arg-type]


async def test_a_protected_sender_passes_proven_and_is_refused_forged(house: House, names: Names) -> None:
    """Rules 4."""
    await rule(house, SenderType.PROTECTED)
    assert (await house.send(mail(), "bob@served.example")).code == 250
    names.zone["liar.example"] = ['TXT "v=spf1 +all"', "MX 10 mx.world.example."]
    forged = await house.send(mail(), "bob@served.example", sender="x@liar.example")
    assert (forged.code, forged.message.split()[0]) == (550, "5.7.1")


async def test_a_protected_persons_name_is_not_borne_by_who_proves_nothing(house: House, names: Names) -> None:
    names.zone["_dmarc.world.example"] = ['TXT "v=DMARC1; p=none"']
    await house.user("ceo@served.example", firstname="Åda", lastname="Lovelace")
    await rule(house, SenderType.PROTECTED, value="ceo@served.example")
    shown = mail().replace(b"From: Ada ", b"From: =?utf-8?q?LOVELACE=2C_=C3=85da?= ")
    assert (await house.send(shown, "bob@served.example")).code == 250
    names.zone["world.example"] = ['TXT "v=spf1 -all"', "MX 10 mx.world.example."]
    house.clock.now += 400_000  # what DNS said is forgotten
    for forged in (shown, mail().replace(b"From: Ada ", b'From: "Ada <CEO@served.example>" ')):
        reply = await house.send(forged, "bob@served.example")
        assert (reply.code, reply.message.split()[0]) == (550, "5.7.1")


async def test_a_protected_sender_whose_proof_does_not_come_may_come_again(house: House, names: Names) -> None:
    """Threat 66."""
    await rule(house, SenderType.PROTECTED)
    names.zone["world.example"] = [Fault.SERVFAIL]
    names.zone["_dmarc.world.example"] = ['TXT "v=DMARC1; p=none"']
    reply = await house.send(mail(), "bob@served.example")
    assert (reply.code, reply.message.split()[0]) == (451, "4.7.24")


async def test_an_allowed_sender_passes_with_gtube_only_if_proven(house: House, names: Names) -> None:
    """Rules 4, threat 44."""
    await rule(house, SenderType.ALLOW, spf_on=True)
    names.zone["_dmarc.world.example"] = ['TXT "v=DMARC1; p=none"']
    spam = mail() + GTUBE + b"\r\n"
    await house.send(spam, "bob@served.example")
    await house.sink.wait(1)
    assert house.copies("Quarantine") == []
    names.zone["liar.example"] = ['TXT "v=spf1 -all"', "MX 10 mx.world.example."]
    await house.send(spam, "bob@served.example", sender="x@liar.example")
    assert [copy.category for copy in house.copies("Quarantine")] == ["SPAM"]


@pytest.mark.parametrize(("record", "told"), [("v=spf1 ip4:127.0.0.1 -all", True), ("v=spf1 ?all", False)])
async def test_only_a_proven_sender_is_told_that_his_mail_bounced(
    tmp_path: Path, names: Names, record: str, told: bool
) -> None:
    """Rules 8: a stranger's report would hit whoever he named."""
    names.zone["world.example"] = [f'TXT "{record}"', "MX 10 mx.world.example."]
    names.zone["_dmarc.world.example"] = ['TXT "v=DMARC1; p=none"']
    dns = {"servers": [names.address], "timeout": 5.0}
    async with living(tmp_path, sink=Sink({"RCPT <bob@served.example>": "550 5.1.1 nobody"}), dns=dns) as house:
        await house.send(mail(), "bob@served.example")
        await house.gatepost.queue.idle()
        reports = [each for each in house.sink.mails if each.recipients == ["ada@world.example"]]
        assert (len(reports) == 1, house.copies("System") == []) == (told, told)


async def test_a_signed_mail_that_is_changed_here_is_sealed_and_an_unchanged_or_broken_one_is_not(
    house: House, names: Names
) -> None:
    """RFC 8617 5.1, threat 70."""
    pair = keys.generate(Algorithm.RSA)
    names.zone["k._domainkey.world.example"] = names.zone["k._domainkey.served.example"] = [
        long_txt(f"v=DKIM1; p={pair.public}")
    ]
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    sealed = house.store.secrets.seal(pair.private)
    key = DkimKey(domain_id=domain.id, selector="k", public=pair.public, private=sealed, created_at=NOW)
    await house.add(key)

    async def passed_on(raw: bytes) -> bytes:
        house.sink.mails.clear()
        await house.send(raw, "bob@served.example")
        (got,) = await house.sink.wait(1)
        return got.data

    raw = mail("X-Fuglu-Suspect: no")
    signer = sign.Signer("world.example", "k", keys.load(pair.private))
    signed = sign.sign(raw[: head_end(raw)], Body(len(raw), raw), head_end(raw), [signer], NOW // 1000) + raw
    changed = await passed_on(signed)
    assert changed.startswith(b"ARC-Seal: ") and b"\r\nARC-Authentication-Results: i=1; gate.example;" in changed
    assert b"X-Fuglu-Suspect" not in changed
    again = await passed_on(changed.replace(b"Subject: ", b"X-Fuglu-Suspect: no\r\nSubject: "))
    assert again.count(b"cv=pass; ") + again.count(b"cv=pass;\r\n") == 1 and b"arc=pass" in again
    assert not (await passed_on(again.replace(b"Hello", b"Hullo"))).startswith(b"ARC-Seal: ")
    assert not (await passed_on(mail("X-Fuglu-Suspect: no"))).startswith(b"ARC-Seal: ")
    assert not (await passed_on(mail())).startswith(b"ARC-Seal: ")


async def test_a_forged_sender_is_refused_unless_the_mailbox_or_its_domain_does_not_mind(
    house: House, names: Names
) -> None:
    """senderVerifyOn of both (contract 4)."""
    names.zone["world.example"] = ['TXT "v=spf1 -all"', "MX 10 mx.world.example."]
    await house.user("eve@served.example", sender_verify_on=False)
    refused = await house.send(mail(), "bob@served.example")
    assert (refused.code, refused.message.split()[0]) == (550, "5.7.26")
    claimed = await house.send(
        mail().replace(b"ada@world.example", b"ann@served.example"), "bob@served.example", sender="ann@served.example"
    )
    assert (claimed.code, claimed.message.split()[0]) == (550, "5.7.26")
    assert (await house.send(mail(), "eve@served.example")).code == 250
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    await house.store.write(lambda writer: writer.change(Domain, domain.id, sender_verify_on=False))
    assert (await house.send(mail(), "bob@served.example")).code == 250
