"""Addresses that bounced or complained: entered by real bounces and reports, refused afterwards, until their day."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import House, living, queued_as
from tests.message.test_returns import ABUSE
from tests.message.test_returns import mail as report
from tests.peers.names import Names, Zone
from tests.peers.sink import Sink

from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.query import Query, eq
from gatepost.model.stored import Delivery, State
from gatepost.model.suppression import Cause, Suppression
from gatepost.model.tenant import Domain
from gatepost.model.webhook import HookCall, HookEvent, Webhook

pytestmark = pytest.mark.anyio

MAIL = (
    b"From: bob@served.example\r\nTo: zoe@far.example\r\nSubject: Hi\r\nMessage-ID: <1@served.example>\r\n"
    b"Date: Thu, 19 Nov 2026 10:00:00 +0000\r\n\r\nHi\r\n"
)
DAY = 86_400_000


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with sending(tmp_path, Sink()) as house:
        yield house


@contextlib.asynccontextmanager
async def sending(directory: Path, sink: Sink, **sections: object) -> AsyncIterator[House]:
    """A house whose trusted network may send mail out by way of a sink."""
    async with living(directory, sink=sink, **sections) as house:
        domain = house.store.reader.domain("served.example")
        assert domain is not None
        await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
        await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))
        yield house


async def send(house: House, to: str = "zoe@far.example") -> str:
    """Send a mail out and wait until it was tried; return its id, or the refusal."""
    reply = await house.send(MAIL, to, sender="bob@served.example", role=Role.TRUSTED)
    if reply.code != 250:
        return f"{reply.code} {reply.message}"
    await house.gatepost.queue.idle()
    return queued_as(reply)


def listed(house: House) -> list[Suppression]:
    return house.store.reader.find(Suppression, Query()).items


async def test_an_address_that_does_not_exist_gets_no_second_mail_until_its_term_is_over(house: House) -> None:
    house.sink.script["RCPT <zoe@far.example>"] = "550 5.1.1 no such user"
    mail_id = await send(house)
    (entry,) = listed(house)
    assert (entry.address, entry.cause, entry.mail_id) == ("zoe@far.example", Cause.BOUNCE, mail_id)
    assert "no such user" in entry.reason
    refusal = await send(house, "Zoe@FAR.example")
    assert refusal.startswith("550 5.1.1")
    assert "no such user" in refusal
    house.sink.script.clear()
    assert len(await send(house, "kim@far.example")) == 32  # nobody else is concerned
    house.clock.now += 91 * DAY
    assert len(await send(house)) == 32


@pytest.mark.parametrize("reply", ["552 5.2.2 mailbox full", "554 5.7.1 we do not like it", "550 5.6.0 bad content"])
async def test_what_is_no_word_on_the_address_enters_nobody(house: House, reply: str) -> None:
    house.sink.script["RCPT <zoe@far.example>"] = reply
    await send(house)
    assert listed(house) == []


async def test_a_mailbox_of_the_house_that_is_gone_is_not_listed(house: House) -> None:
    house.sink.script["RCPT <bob@served.example>"] = "550 5.1.1 gone"
    recipients = ("zoe@far.example", "bob@served.example")
    assert (await house.send(MAIL, *recipients, sender="bob@served.example", role=Role.TRUSTED)).code == 250
    await house.gatepost.queue.idle()
    rows = house.store.reader.find(Delivery, Query(where=eq("state", State.BOUNCED))).items
    assert "bob@served.example" in [row.recipient for row in rows]
    assert listed(house) == []


@pytest.mark.parametrize(("days", "cause"), [(None, Cause.MANUAL), (1000, Cause.MANUAL), (1, Cause.BOUNCE)])
async def test_what_bounces_while_its_address_is_listed_makes_its_term_no_shorter(
    house: House, days: int | None, cause: Cause
) -> None:
    house.sink.script["RCPT <zoe@far.example>"] = ["451 4.3.0 later", "550 5.1.1 no such user"]
    await send(house)
    until = None if days is None else house.clock() + days * DAY
    await house.add(
        Suppression(domain_id=1, address="zoe@far.example", cause=Cause.MANUAL, created_at=0, expires_at=until)
    )
    house.clock.now += 400_000
    await house.gatepost.queue.idle()
    assert [entry.cause for entry in listed(house)] == [cause]


@pytest.mark.parametrize("said_to", ["MAIL", "DATA", "dot"])
async def test_what_is_said_of_the_sender_or_of_a_mail_to_several_enters_nobody(house: House, said_to: str) -> None:
    house.sink.script[said_to] = ["550 5.1.1 unknown"]
    recipients = ("zoe@far.example", "kim@far.example")
    assert (await house.send(MAIL, *recipients, sender="bob@served.example", role=Role.TRUSTED)).code == 250
    await house.gatepost.queue.idle()
    assert listed(house) == []


async def test_a_server_may_say_of_its_only_recipient_once_it_has_the_mail_that_he_does_not_exist(house: House) -> None:
    house.sink.script["dot"] = ["550 5.1.10 recipient not found"]
    house.sink.script["RCPT <kim@far.example>"] = "450 4.2.0 later"
    recipients = ("zoe@far.example", "kim@far.example")
    assert (await house.send(MAIL, *recipients, sender="bob@served.example", role=Role.TRUSTED)).code == 250
    await house.gatepost.queue.idle()
    assert [entry.address for entry in listed(house)] == ["zoe@far.example"]


@pytest.mark.parametrize(
    ("cause", "reason", "words"),
    [
        (Cause.MANUAL, "", "suppressed, listed by hand"),
        (Cause.MANUAL, "asked us to", "suppressed, listed by hand: asked us to"),
        (Cause.COMPLAINT, "complaint (abuse)", "suppressed, its reader complained: complaint (abuse)"),
        (Cause.BOUNCE, "550 no such user", "suppressed, mail to it bounced: 550 no such user"),
    ],
)
async def test_who_would_send_is_told_why_there_is_no_mail_to_the_address(
    house: House, cause: Cause, reason: str, words: str
) -> None:
    entry = Suppression(domain_id=1, address="zoe@far.example", cause=cause, reason=reason, created_at=0)
    await house.store.write(lambda writer: writer.add(entry))
    assert await send(house) == f"550 5.1.1 {words}"


async def test_whether_an_address_is_listed_is_remembered_until_the_list_changes(house: House) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    asked: list[str] = []
    house.store.reader._connection.set_trace_callback(lambda sql: asked.append(sql) if "suppression" in sql else None)
    entry = Suppression(domain_id=domain.id, address="zoe@far.example", cause=Cause.MANUAL, created_at=0)
    assert len(await send(house)) == len(await send(house)) == 32
    assert len(asked) == 1
    row = await house.add(entry)
    assert isinstance(row, Suppression)
    assert (await send(house)).startswith("550 ")
    assert (await send(house)).startswith("550 ")
    await house.store.write(lambda writer: writer.change(Suppression, row.id, expires_at=house.clock() + DAY))
    assert (await send(house)).startswith("550 ")
    await house.store.write(lambda writer: writer.remove(Suppression, eq("id", row.id)))
    assert len(await send(house)) == 32
    assert len(asked) == 4


async def test_a_report_that_comes_back_changes_what_is_known_of_the_mail(house: House) -> None:
    hook = Webhook(domain_id=1, url="https://127.0.0.1:9/", secret="", events=[HookEvent.BOUNCED], created_at=0)
    await house.store.write(lambda writer: writer.add(hook))
    mail_id = await send(house)
    status = b"Final-Recipient: rfc822; zoe@far.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    back = report("message/delivery-status", status, head=f"X-Gatepost-Id: {mail_id}\r\n\r\n".encode())
    await house.send(back, "bob@served.example", sender="")
    row = next(row for row in house.store.reader.find(Delivery, Query()).items if row.mail_id == mail_id)
    assert (row.state, row.last_reply) == (State.BOUNCED, "5.1.1")
    assert [event.event for event in house.trace(mail_id)][-1] == "bounced"
    assert [entry.cause for entry in listed(house)] == [Cause.BOUNCE]
    assert [call.event for call in house.store.reader.find(HookCall, Query()).items] == [HookEvent.BOUNCED]


@pytest.mark.parametrize(
    ("status", "told", "suppressed"),
    [
        (b"Status: 5.0.0\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user", "5.1.1 550 5.1.1 no such user", True),
        (b"Status: 5.0.0\r\nDiagnostic-Code: smtp; 550 5.7.1 not you", "5.7.1 550 5.7.1 not you", False),
    ],
)
async def test_a_report_of_exim_says_in_its_diagnostic_code_what_happened(
    house: House, status: bytes, told: str, suppressed: bool
) -> None:
    mail_id = await send(house)
    about = b"Action: failed\r\nFinal-Recipient: rfc822;zoe@far.example\r\n" + status + b"\r\n"
    back = report("message/delivery-status", about, head=f"X-Gatepost-Id: {mail_id}\r\n\r\n".encode())
    await house.send(back, "bob@served.example", sender="")
    (row,) = (row for row in house.store.reader.find(Delivery, Query()).items if row.mail_id == mail_id)
    assert (row.state, row.last_reply) == (State.BOUNCED, told)
    assert bool(listed(house)) is suppressed


@pytest.mark.parametrize("original", ["zoe+2042@far.example", "zoe+2B2042@far.example"])  # as Postfix and sendmail do
async def test_mail_that_its_reader_has_sent_on_and_that_fails_there_bounced_and_the_reader_gets_more(
    house: House, original: str
) -> None:
    mail_id = await send(house, "zoe+2042@far.example")
    about = f"Original-Recipient: rfc822;{original}\r\nFinal-Recipient: RFC822; zoe@old.example\r\n".encode()
    about += b"Action: failed\r\nStatus: 5.1.1\r\n"
    back = report("message/delivery-status", about, head=f"X-Gatepost-Id: {mail_id}\r\n\r\n".encode())
    await house.send(back, "bob@served.example", sender="")
    (row,) = (row for row in house.store.reader.find(Delivery, Query()).items if row.mail_id == mail_id)
    assert (row.state, row.last_reply) == (State.BOUNCED, "5.1.1 (zoe@old.example)")
    assert listed(house) == []


async def test_a_complaint_ends_the_mail_to_who_complained(house: House) -> None:
    mail_id = await send(house)
    back = report("message/feedback-report", ABUSE, head=f"X-Gatepost-Id: {mail_id}\r\n\r\n".encode())
    await house.send(back, "bob@served.example", sender="fbl@far.example")
    assert [(entry.address, entry.cause) for entry in listed(house)] == [("zoe@far.example", Cause.COMPLAINT)]
    assert [event.event for event in house.trace(mail_id)][-1] == "complained"
    assert (await send(house)).startswith("550 5.1.1")


async def test_a_report_of_a_mail_that_never_left_here_changes_nothing(house: House) -> None:
    came_in = queued_as(await house.send(MAIL, "bob@served.example", sender="ada@world.example"))
    await house.gatepost.queue.idle()
    status = b"Final-Recipient: rfc822; bob@served.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    for mail_id in (came_in, "f" * 32):
        back = report("message/delivery-status", status, head=f"X-Gatepost-Id: {mail_id}\r\n\r\n".encode())
        await house.send(back, "bob@served.example", sender="")
    assert listed(house) == []
    assert all(row.state is not State.BOUNCED for row in house.store.reader.find(Delivery, Query()).items)


async def bounced(house: House, sender: str = "") -> list[str]:
    """Send a mail to zoe@client.example, and a report from 127.0.0.1 that it failed; return who is suppressed."""
    mail_id = await send(house, "zoe@client.example")
    status = b"Final-Recipient: rfc822; zoe@client.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    back = report("message/delivery-status", status, head=f"X-Gatepost-Id: {mail_id}\r\n\r\n".encode())
    reply = await house.send(back, "bob@served.example", sender=sender)
    assert reply.code == 250
    row = next(row for row in house.store.reader.find(Delivery, Query()).items if row.mail_id == mail_id)
    assert (row.state is State.BOUNCED) == bool(listed(house))
    return [entry.address for entry in listed(house)]


async def test_a_report_has_the_null_sender(house: House) -> None:
    assert await bounced(house, "ada@world.example") == []
    assert await bounced(house) == ["zoe@client.example"]


PROOFS: dict[str, tuple[Zone, list[str]]] = {
    "nothing is proven": ({"client.example": ['TXT "v=spf1 -all"']}, []),
    "the host is of the recipient's domain": (
        {"client.example": ['TXT "v=spf1 ip4:127.0.0.1 -all"']},
        ["zoe@client.example"],
    ),
    "the client's name is of a stranger": (
        {"1.0.0.127.in-addr.arpa": ["PTR a.other.example."], "a.other.example": ["A 127.0.0.1"]},
        [],
    ),
    "the client's name is beside the recipient's": (
        {"1.0.0.127.in-addr.arpa": ["PTR b.client.example."], "b.client.example": ["A 127.0.0.1"]},
        ["zoe@client.example"],
    ),
}


@pytest.mark.parametrize("case", PROOFS)
async def test_a_report_is_believed_from_who_had_the_mail_or_speaks_for_its_recipient(
    tmp_path: Path, case: str
) -> None:
    zone, found = PROOFS[case]
    async with Names(zone) as names, Sink(host="127.0.0.2") as far:
        relay = {"smarthost": f"127.0.0.2:{far.port}"}
        async with sending(tmp_path, Sink(), dns={"servers": [names.address]}, relay=relay) as house:
            assert await bounced(house) == found
