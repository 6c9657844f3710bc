"""Notices of the gateway over a real store, a real queue and a real next hop: where they go and how they look."""

import asyncio
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from tests.house import House, living
from tests.peers.sink import Sink

from gatepost.message.compose import Party
from gatepost.model.envelope import Direction
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Query, eq
from gatepost.model.route import Platform
from gatepost.model.stored import Delivery, Message, State
from gatepost.model.tenant import Group, GroupMember, UserStatus
from gatepost.services.sending import Notice, Sending

pytestmark = pytest.mark.anyio


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as house:
        yield house


async def notify(house: House, to: str, **more: Any) -> str:
    notice = Notice(**{"to": Party(to, "Bob"), "subject": "Grüße", "text": "Hello.\n", **more})
    return await house.gatepost.services.of(Sending).notify(notice)


async def refused(act: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await act
    return caught.value


async def test_a_notice_arrives_with_the_null_sender_and_as_automatic(house: House) -> None:
    mail_id = await notify(house, "bob@served.example", html="<p>Hello.</p>")
    (sent,) = await house.sink.wait(1)
    assert (sent.sender, sent.recipients) == ("", ["bob@served.example"])
    mail = message_from_bytes(sent.data, policy=policy.default)
    assert mail["From"] == "postmaster@gate.example"
    assert mail["To"] == "Bob <bob@served.example>"
    assert mail["Subject"] == "Grüße"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{mail_id}@gate.example>"
    assert mail["X-Gatepost-Id"] == mail_id
    assert mail["Received"] is None
    assert mail.get_content_type() == "multipart/alternative"


async def test_a_notice_is_traced_and_listed_as_outgoing_but_leaves_no_copy(house: House) -> None:
    mail_id = await notify(house, "bob@served.example")
    await house.sink.wait(1)
    await house.gatepost.queue.idle()
    message = house.store.reader.get(Message, mail_id)
    assert message is not None
    assert (message.direction, message.subject, message.sender) == (Direction.OUT, "Grüße", "")
    assert [event.event for event in house.trace(mail_id)][:2] == ["received", "queued"]
    assert house.copies() == []


async def test_a_notice_is_durable_before_it_is_sent(tmp_path: Path) -> None:
    async with living(tmp_path, sink=Sink({"MAIL": ["451 4.3.0 not now"] * 50})) as house:
        mail_id = await notify(house, "bob@served.example")
        (way,) = house.store.reader.find(Delivery, Query()).items
        assert (way.mail_id, way.state, way.sender) == (mail_id, State.QUEUED, "")
        assert house.store.reader.body(mail_id) is not None


async def test_no_filter_reads_a_notice(house: House) -> None:
    gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    await notify(house, "bob@served.example", text=gtube)
    (sent,) = await house.sink.wait(1)
    assert gtube.encode() in sent.data


async def test_a_served_address_is_reached_at_its_own_mail_server(house: House) -> None:
    async with Sink() as other:
        await house.domain("other.example", hop=("127.0.0.1", other.port))
        await notify(house, "ann@Other.Example")
        (sent,) = await other.wait(1)
    assert sent.recipients == ["ann@other.example"]
    assert house.sink.mails == []


async def test_an_address_elsewhere_leaves_by_the_smarthost(house: House) -> None:
    await notify(house, "ann@world.example", sender=Party("help@served.example", "Help"))
    (sent,) = await house.sink.wait(1)
    assert sent.recipients == ["ann@world.example"]
    assert b"From: Help <help@served.example>\r\n" in sent.data


async def test_a_group_is_told_by_its_members(house: House) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    group = await house.add(Group(domain_id=domain.id, email="team@served.example"))
    assert isinstance(group, Group)
    await house.add(GroupMember(group_id=group.id, email="bob@served.example"))
    await notify(house, "team@served.example")
    (sent,) = await house.sink.wait(1)
    assert sent.recipients == ["bob@served.example"]


async def test_a_policy_that_takes_no_mail_still_lets_notices_through(house: House) -> None:
    domain = await house.domain("out.example", hop=("127.0.0.1", house.sink.port), policy={"incoming": False})
    assert domain.name == "out.example"
    await notify(house, "ann@out.example")
    assert len(await house.sink.wait(1)) == 1


async def test_what_can_not_be_sent_is_said_at_once(house: House) -> None:
    domain = await house.domain("bare.example")
    await house.store.write(lambda writer: writer.remove(Platform, eq("domain_id", domain.id)))
    assert (await refused(notify(house, "ann@bare.example"))).kind is Kind.UNPROCESSABLE
    assert (await refused(notify(house, "bob"))).kind is Kind.MALFORMED
    assert (await refused(notify(house, "bob@served.example", subject="a\r\nBcc: b@c.de"))).pointer == "/subject"
    await house.user("gone@served.example", status=UserStatus.DISABLED)
    group = await house.add(Group(domain_id=domain.id, email="empty@served.example"))
    assert isinstance(group, Group)
    await house.add(GroupMember(group_id=group.id, email="gone@served.example"))
    assert (await refused(notify(house, "empty@served.example"))).kind is Kind.UNPROCESSABLE
    assert house.store.reader.find(Delivery, Query()).items == []


async def test_the_bounce_of_a_notice_ends_in_the_log(tmp_path: Path) -> None:
    async with living(tmp_path, sink=Sink({"RCPT": ["550 5.1.1 no such user"]})) as house:
        mail_id = await notify(house, "bob@served.example")
        async with asyncio.timeout(60):
            while house.store.reader.first(Delivery, eq("state", State.BOUNCED)) is None:
                await house.gatepost.queue.idle()
        assert "dropped" in [event.event for event in house.trace(mail_id)]
        assert house.store.reader.count(Message, All(())) == 1
