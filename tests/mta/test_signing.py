"""What leaves a domain with a key is signed, after every edit, and only in the name of an author who proved himself."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dkim
import msgspec
import pytest
from prometheus_client import generate_latest
from tests.house import House, client, living
from tests.mailauth.pairs import PAIRS
from tests.peers.sink import Mail, Sink

from gatepost.message.compose import Party
from gatepost.model.address import parse_address
from gatepost.model.dkim import Algorithm, DkimKey
from gatepost.model.envelope import Client, Direction, Envelope, Login, Role
from gatepost.model.policy import Policy
from gatepost.model.query import All
from gatepost.model.tenant import Domain, DomainAlias, Group, GroupMember
from gatepost.services.sending import Notice, Sending

pytestmark = pytest.mark.anyio

OUTSIDE = "zoe@far.example"
FAILED = 'gatepost_dkim_signatures_total{result="failed"} 1.0'


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as house:
        yield house


async def believe(house: House) -> None:
    """Let mail in that names served.example and proves nothing."""
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    await house.store.write(lambda writer: writer.change(Domain, domain.id, sender_verify_on=False))


async def key(house: House, name: str = "served.example", algorithm: Algorithm = Algorithm.RSA, **fields: Any) -> None:
    domain = house.store.reader.domain(name)
    assert domain is not None
    pair = PAIRS[algorithm]
    row = DkimKey(
        domain_id=domain.id,
        selector=algorithm.value,
        algorithm=algorithm,
        public=pair.public,
        private=house.store.secrets.seal(pair.private),
        created_at=house.clock(),
    )
    await house.add(msgspec.structs.replace(row, **fields))


async def open_gate(house: House) -> None:
    """Let served.example send from loopback."""
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
    await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))


def written(author: str, text: str = "Hello\r\n", **more: str) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    return (
        f"From: {author}\r\nTo: {OUTSIDE}\r\nSubject: Hi\r\nDate: Fri, 20 Nov 2026 09:00:00 +0000\r\n"
        f"Message-ID: <1@x>\r\n{fields}\r\n{text}"
    ).encode()


async def leave(house: House, raw: bytes, sender: str = "bob@served.example") -> Mail:
    """Send a mail out through the trusted listener; return what the smarthost got."""
    reply = await house.send(raw, OUTSIDE, sender=sender, role=Role.TRUSTED)
    assert reply.code == 250, reply
    (mail,) = await house.sink.wait(1)
    await house.gatepost.queue.idle()
    return mail


def record(name: bytes, timeout: int = 5) -> bytes:
    algorithm = Algorithm(name.partition(b".")[0].decode())
    return f"v=DKIM1; k={algorithm.value}; p={PAIRS[algorithm].public}".encode()


def domains(mail: Mail) -> list[str]:
    """Return whose signatures a mail bears; each must hold."""
    found = re.findall(r"^DKIM-Signature:.*?;\s+d=([^;]+);", mail.data.decode("utf-8", "replace"), re.M | re.S)
    for index in range(len(found)):
        assert dkim.DKIM(mail.data).verify(index, dnsfunc=record)
    return found


async def test_mail_of_a_network_of_ours_is_signed_after_every_edit(house: House) -> None:
    await key(house)
    await open_gate(house)
    forged = {"X-Spam-Status": "No", "Authentication-Results": "gate.example; dkim=pass"}
    mail = await leave(house, written("Bob <bob@served.example>", **forged))
    assert domains(mail) == ["served.example"]
    assert mail.data.startswith(b"DKIM-Signature: ") and b"X-Spam-Status" not in mail.data


async def test_both_keys_sign_and_the_clock_says_when(house: House) -> None:
    await key(house)
    await key(house, algorithm=Algorithm.ED25519)
    await open_gate(house)
    mail = await leave(house, written("bob@served.example"))
    assert domains(mail) == ["served.example"] * 2
    assert f"t={house.clock() // 1000};".encode() in mail.data


async def test_the_name_in_from_signs_though_it_is_an_alias(house: House) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    await house.add(DomainAlias(domain_id=domain.id, name="also.example"))
    await key(house)
    await open_gate(house)
    assert domains(await leave(house, written("bob@Also.Example"))) == ["also.example"]


async def test_a_spooled_mail_is_signed(house: House) -> None:
    await key(house)
    await open_gate(house)
    text = "".join(f"line {number} of  many \r\n" for number in range(20_000))
    assert domains(await leave(house, written("bob@served.example", text))) == ["served.example"]


async def test_a_domain_without_a_key_sends_as_ever(house: House) -> None:
    await open_gate(house)
    assert b"DKIM" not in (await leave(house, written("bob@served.example"))).data


async def test_a_key_made_while_we_run_is_used_at_once_and_a_deleted_one_no_more(house: House) -> None:
    await open_gate(house)
    assert domains(await leave(house, written("bob@served.example"))) == []
    await key(house)
    house.sink.mails.clear()
    assert domains(await leave(house, written("bob@served.example"))) == ["served.example"]
    await house.store.write(lambda writer: writer.remove(DkimKey, All(())))
    house.sink.mails.clear()
    assert domains(await leave(house, written("bob@served.example"))) == []


# In whose name.


async def receive(house: House, who: Client, sender: str, to: str, author: str) -> Mail:
    intake = house.gatepost.intake
    origin = parse_address(sender)
    recipients = await house.gatepost.directory.resolve(parse_address(to), who, origin)
    draft = intake.draft()
    draft.write(written(author))
    envelope = Envelope(
        id=intake.new_id(),
        client=who,
        sender=origin,
        recipients=recipients,
        direction=Direction.IN,
        received=house.clock(),
    )
    await intake.receive(envelope, draft)
    (mail,) = await house.sink.wait(1)
    return mail


async def test_a_login_is_signed_to_a_colleague_too(house: House) -> None:
    await key(house)
    user = await house.user("eve@served.example")
    eve = client(role=Role.SUBMISSION, login=Login(user.id, user.domain_id, user.email))
    mail = await receive(house, eve, "eve@served.example", "bob@served.example", "eve@served.example")
    assert domains(mail) == ["served.example"]


async def test_a_stranger_in_our_name_gets_no_signature(house: House) -> None:
    await believe(house)
    await key(house)
    mail = await receive(house, client(), "bob@served.example", "bob@served.example", "bob@served.example")
    assert b"DKIM" not in mail.data


async def test_what_a_group_passes_on_is_not_ours_to_sign(house: House) -> None:
    await believe(house)
    await key(house)
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    group = await house.add(Group(domain_id=domain.id, email="team@served.example"))
    assert isinstance(group, Group)
    await house.add(GroupMember(group_id=group.id, email=OUTSIDE))
    mail = await receive(house, client(), "ada@world.example", "team@served.example", "bob@served.example")
    assert mail.recipients == [OUTSIDE] and b"DKIM" not in mail.data


async def test_our_own_reports_are_signed_by_the_domain_that_our_name_lies_in(tmp_path: Path) -> None:
    sink = Sink({f"RCPT <{OUTSIDE}>": "550 5.1.1 unknown"})
    async with living(tmp_path, sink=sink, smtp={"hostname": "mx.served.example"}) as house:
        await key(house)
        await open_gate(house)
        reply = await house.send(written("bob@served.example"), OUTSIDE, sender="bob@served.example", role=Role.TRUSTED)
        assert reply.code == 250
        (report,) = await sink.wait(1)
        assert report.sender == "" and b"From: Mail Delivery System <MAILER-DAEMON@mx.served.example>" in report.data
        assert domains(report) == ["served.example"]


async def test_a_report_of_the_domains_mail_server_is_signed_though_it_names_its_host(house: House) -> None:
    await key(house)
    await open_gate(house)
    report = written("MAILER-DAEMON@mail.served.example")
    assert (await house.send(report, OUTSIDE, sender="", role=Role.TRUSTED)).code == 250
    (got,) = await house.sink.wait(1)
    assert domains(got) == ["served.example"]


async def test_a_notice_is_signed_too(tmp_path: Path) -> None:
    async with living(tmp_path, smtp={"hostname": "served.example"}) as house:
        await key(house)
        notice = Notice(to=Party("bob@served.example"), subject="Hi", text="Hello.\n")
        await house.gatepost.services.of(Sending).notify(notice)
        (mail,) = await house.sink.wait(1)
        assert domains(mail) == ["served.example"]


# Nothing is lost.


async def test_a_key_that_cannot_be_used_costs_the_signature_not_the_mail(house: House) -> None:
    other = base64.urlsafe_b64encode(hashlib.sha256(b"another store").digest()).decode()
    await key(house, private=other)
    await open_gate(house)
    mail = await leave(house, written("bob@served.example"))
    assert mail.data.endswith(b"\r\nHello\r\n") and b"DKIM" not in mail.data
    assert FAILED in generate_latest(house.gatepost.metrics.registry).decode()
