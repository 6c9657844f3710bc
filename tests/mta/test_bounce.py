"""What follows when a delivery ends or tarries: reports, holds, silence; through the real queue."""

import asyncio
import contextlib
import email
import email.policy
import sqlite3
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest
from tests.house import World, open_store
from tests.mta.road import NOW, TEXT, Road
from tests.peers.sink import Act, Mail, Sink

from gatepost.model.audit import Actor, acting
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Delivery, State, TraceEvent
from gatepost.model.tenant import User
from gatepost.model.verdict import Folder
from gatepost.mta.bounce import Settled
from gatepost.mta.gathering import Gathering, Told
from gatepost.mta.outcome import Outcome, Result, own
from gatepost.mta.schedule import Entry, Schedule

pytestmark = pytest.mark.anyio

DAY = 86_400_000
REFUSED = "550 5.1.1 <b@to.test>: unknown"


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    made = await Road(tmp_path / "state").open()
    yield made
    await made.close(0.1)


def parsed(mail: Mail) -> EmailMessage:
    found = email.message_from_bytes(mail.data, policy=email.policy.SMTP)
    assert isinstance(found, EmailMessage)
    return found


def facts(mail: Mail) -> str:
    """The machine's part of a report, as text."""
    part = next(part for part in parsed(mail).walk() if part.get_content_type() == "message/delivery-status")
    return "\n".join(str(block) for block in part.get_payload())  # type: ignore[union-attr]


def trace(road: Road, mail_id: str) -> list[TraceEvent]:
    return road.store.reader.trace(mail_id)


# Failures.


async def test_a_refusal_makes_one_report_to_the_sender_93(road: Road) -> None:
    async with Sink({"RCPT <b@to.test>": REFUSED}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        (way,) = await road.send("b@to.test", sender="a@from.test")
        (mail,) = await sink.wait(1)
        await road.until(lambda: len(road.queue) == 0)
    row = road.row(way)
    assert (row.state, row.done_at) == (State.BOUNCED, NOW)
    assert (mail.sender, mail.recipients) == ("", ["a@from.test"])
    report = parsed(mail)
    assert report["From"] == "Mail Delivery System <MAILER-DAEMON@gate.test>"
    assert report["Auto-Submitted"] == "auto-replied"
    assert "Action: failed" in facts(mail) and "Status: 5.1.1" in facts(mail)
    assert "550 5.1.1 <b@to.test>: unknown" in facts(mail)
    assert "dns; [127.0.0.1]" in facts(mail)
    assert not mail.data.startswith(b"Received:")
    assert road.store.reader.body(row.mail_id) is None
    (event,) = [event for event in trace(road, row.mail_id) if event.event == "reported"]
    (told,) = road.reports()
    assert event.data["report"] == told.mail_id


async def test_several_refusals_of_one_mail_are_told_in_one_report_93(road: Road) -> None:
    async with Sink({"RCPT": ["550 5.1.1 unknown", "551 5.1.6 moved"]}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        await road.send("b@to.test", "c@to.test")
        (mail,) = await sink.wait(1)
        await road.until(lambda: len(road.queue) == 0)
    assert "rfc822; b@to.test" in facts(mail) and "rfc822; c@to.test" in facts(mail)


async def test_refusals_of_one_mail_at_many_destinations_are_told_in_one_report(road: Road) -> None:
    async with contextlib.AsyncExitStack() as stack:
        back, takes = await stack.enter_async_context(Sink()), await stack.enter_async_context(Sink())
        for number in range(30):
            road.to(f"to{number}.test", await stack.enter_async_context(Sink({"RCPT": REFUSED})))
        road.to("to.test", takes)
        road.to("from.test", back)
        await road.send("b@to.test", *(f"b@to{number}.test" for number in range(30)))
        await road.until(lambda: len(road.queue) == 0)
    (mail,) = back.mails
    assert facts(mail).count("Action: failed") == 30
    assert len(takes.mails) == 1


async def test_a_report_waits_no_longer_than_a_moment_for_the_rest_of_its_mail() -> None:
    told: asyncio.Queue[list[Told]] = asyncio.Queue()
    schedule = Schedule(1)
    row = Delivery(mail_id="m", recipient="b@to.test", sender="a@from.test", due=0, expires=1, created=0)
    each = Told(
        Entry(row, schedule.lane("@to.test", 1), 0, row=True),
        Settled(row, Outcome(result=Result.FAILED, reply=own("5.1.1", "unknown"))),
    )
    gathering = Gathering(lambda _: 2, told.put_nowait, patience=0.01)
    gathering.add("m", [each])
    assert await told.get() == [each]
    assert not gathering


async def test_each_sender_has_his_own_report_on_a_mail_that_has_several(road: Road) -> None:
    """As a group's mail to outside members has, whose sender stands for the author."""
    async with Sink({"RCPT": [REFUSED, REFUSED]}) as sink, Sink() as back:
        road.to("to.test", sink)
        road.to("from.test", back)
        message, (first, second), body = await road.keep("b@to.test", "c@to.test")
        second = msgspec.structs.replace(second, sender="SRS0=x@from.test")
        await road.store.write(lambda writer: writer.change(Delivery, second.id, sender=second.sender))
        road.queue.push(message, [first, second], body)
        await road.until(lambda: len(road.queue) == 0)
    assert {(mail.recipients[0], facts(mail).count("Action: failed")) for mail in back.mails} == {
        ("a@from.test", 1),
        ("SRS0=x@from.test", 1),
    }


async def test_a_stop_waits_for_nothing_else_of_a_mail_that_failed(road: Road) -> None:
    async with Sink({"RCPT": REFUSED}) as sink, Sink({"banner": Act.HANG}) as silent:
        road.to("to.test", sink)
        road.to("silent.test", silent)
        failed, waits = await road.send("b@to.test", "b@silent.test")
        await road.until(lambda: bool(road.queue._gathering))
        assert road.state(failed) == "queued"
        await road.close(0.1)
        store = open_store(road.directory, road.clock)
        assert [store.reader.get(Delivery, each).state for each in (failed, waits)] == [State.BOUNCED, State.QUEUED]
        assert [row.recipient for row in store.reader.find(Delivery, Query(where=eq("sender", ""))).items] == [
            "a@from.test"
        ]
        await store.close()


async def test_a_report_that_can_not_be_made_now_is_made_later(road: Road) -> None:
    async with Sink({"RCPT": REFUSED}) as sink, Sink({"banner": Act.HANG}) as silent:
        road.to("to.test", sink)
        road.to("silent.test", silent)
        failed, _ = await road.send("b@to.test", "b@silent.test")
        await road.until(lambda: bool(road.queue._gathering))
        road.queue._freight._mails.clear()  # as for a mail from before a start
        with contextlib.closing(sqlite3.connect(road.store.database, isolation_level=None)) as other:
            other.execute("UPDATE message SET sender = CAST(x'ff' AS TEXT)")
        road.queue._gathering.end()
        await road.until(lambda: not road.queue.line.schedule.is_claimed(failed))
        assert road.state(failed) == "queued"


async def test_a_mail_that_has_no_way_for_good_is_told_with_our_words_43(road: Road) -> None:
    async with Sink(extensions=("PIPELINING", "SIZE 10")) as small, Sink() as sink:
        road.to("to.test", small)
        road.to("from.test", sink)
        await road.send("b@to.test")
        (mail,) = await sink.wait(1)
    assert "Status: 5.3.4" in facts(mail)
    assert "Diagnostic-Code" not in facts(mail)


async def test_the_bounce_of_a_bounce_is_dropped_and_told_101(road: Road) -> None:
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: len(road.rows()) == 2)
        await road.until(lambda: len(road.queue) == 0)
    assert [row.state for row in road.rows()] == [State.BOUNCED, State.BOUNCED]
    (report,) = road.reports()
    assert trace(road, report.mail_id)[-1].event == "dropped"
    assert road.held() == []
    assert road.row(way).state is State.BOUNCED


async def test_the_null_sender_is_never_told_93(road: Road) -> None:
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test", sender="")
        await road.until(lambda: road.state(way) == "bounced")
        await road.until(lambda: len(road.queue) == 0)
    assert len(road.rows()) == 1


@pytest.mark.parametrize("notify", ["NEVER", "SUCCESS", "DELAY", "DELAY,SUCCESS"])
async def test_a_sender_who_did_not_ask_for_failures_is_not_told(road: Road, notify: str) -> None:
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test", notify=notify)
        await road.until(lambda: road.state(way) == "bounced")
        await road.until(lambda: len(road.queue) == 0)
    assert road.reports() == []


async def test_what_the_sender_gave_comes_back_to_him(road: Road) -> None:
    async with Sink({"RCPT <b@to.test>": REFUSED}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        await road.send(
            "b@to.test", notify="FAILURE", orcpt="rfc822;old+40to.test", ret="FULL", envid="QQ+2B1", data=TEXT
        )
        (mail,) = await sink.wait(1)
    assert "Original-Recipient: rfc822; old@to.test" in facts(mail)
    assert "Original-Envelope-Id: QQ+1" in facts(mail)
    assert TEXT in mail.data


async def test_only_the_header_comes_back_unless_all_was_asked_for(road: Road) -> None:
    async with Sink({"RCPT <b@to.test>": REFUSED}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        await road.send("b@to.test")
        (mail,) = await sink.wait(1)
    assert b"Subject: hello" in mail.data
    assert b"Body." not in mail.data


async def test_an_expired_mail_is_told_as_4_4_7_102(road: Road) -> None:
    async with Sink({"RCPT <b@to.test>": "451 4.2.0 later"}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        for _ in range(6):
            await road.later(23 * 60)
        (mail,) = await sink.wait(1)
    assert "Action: failed" in facts(mail) and "Status: 4.4.7" in facts(mail)
    assert "within 5 days" in parsed(mail).as_string()


@pytest.mark.parametrize(
    ("life", "said"),
    [
        (86_400, "1 day"),
        (14_400, "4 hours"),
        (5_400, "1.5 hours"),
        (3_600, "1 hour"),
        (90, "1.5 minutes"),
        (9, "a minute"),
    ],
)
async def test_a_life_of_less_than_days_is_told_in_hours_or_minutes(tmp_path: Path, life: int, said: str) -> None:
    road = await Road(tmp_path / "state", queue={"life": life, "first_retry": life}).open()
    async with Sink({"RCPT <b@to.test>": "451 4.2.0 later"}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        road.clock.now += life * 1000
        await road.queue.moves.flush()
        (mail,) = await sink.wait(1)
    await road.close()
    assert f"could not be delivered within {said}." in mail.data.decode()


# Delays and successes.


async def test_a_delay_is_told_once_to_a_sender_who_asked(road: Road) -> None:
    async with Sink({"RCPT <b@to.test>": "451 4.2.0 later"}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        (way,) = await road.send("b@to.test", notify="DELAY,FAILURE")
        await road.until(lambda: road.row(way).attempts == 1)
        await road.later(3 * 60)
        assert road.reports() == []
        await road.later(67)
        (mail,) = await sink.wait(1)
        await road.later(67)
        await road.later(67)
        assert len(road.reports()) == 1
    assert "Action: delayed" in facts(mail) and "Status: 4.2.0" in facts(mail)
    assert "Will-Retry-Until:" in facts(mail)
    assert road.row(way).delay_told


async def test_a_delay_is_told_as_one_whatever_a_server_says_at_its_door(road: Road) -> None:
    async with Sink({"banner": "554 5.3.2 no service"}) as shut, Sink() as home:
        road.to("to.test", shut)
        road.to("from.test", home)
        (way,) = await road.send("b@to.test", notify="DELAY")
        await road.until(lambda: road.row(way).attempts == 1)
        await road.later(3 * 60)
        await road.later(67)
        (mail,) = await home.wait(1)
    assert "Action: delayed" in facts(mail) and "Status: 4.3.2" in facts(mail)


async def test_a_delay_is_not_told_to_one_who_did_not_ask(road: Road) -> None:
    async with Sink({"RCPT <b@to.test>": "451 4.2.0 later"}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        await road.later(10 * 60)
        assert road.row(way).attempts == 2
    assert road.reports() == []


async def test_a_success_is_told_as_relayed_where_the_next_server_tells_nothing(road: Road) -> None:
    async with Sink(extensions=("PIPELINING",)) as sink, Sink() as home:
        road.to("to.test", sink)
        road.to("from.test", home)
        (way,) = await road.send("b@to.test", notify="SUCCESS")
        (mail,) = await home.wait(1)
    assert road.state(way) == "delivered"
    assert "Action: relayed" in facts(mail) and "Status: 2.0.0" in facts(mail)


async def test_a_success_is_told_without_waiting_for_what_is_put_off(road: Road) -> None:
    road.queue._gathering._patience = 3600.0
    async with Sink({"RCPT <c@to.test>": "451 4.2.0 later"}, extensions=("PIPELINING",)) as sink, Sink() as home:
        road.to("to.test", sink)
        road.to("from.test", home)
        ways = await road.send("b@to.test", "c@to.test", notify="SUCCESS")
        (mail,) = await home.wait(1)
    assert [road.state(way) for way in ways] == ["delivered", "queued"]
    assert "b@to.test" in str(facts(mail)) and "c@to.test" not in str(facts(mail))


async def test_a_success_is_left_to_a_server_that_will_tell(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        await road.send("b@to.test", notify="SUCCESS")
        await sink.wait(1)
        await road.until(lambda: len(road.queue) == 0)
    assert sink.mails[0].recipient_params == {"b@to.test": ["NOTIFY=SUCCESS"]}
    assert road.reports() == []


async def test_a_delivery_nobody_asked_about_is_not_told(road: Road) -> None:
    async with Sink(extensions=()) as sink:
        road.to("to.test", sink)
        await road.send("b@to.test")
        await sink.wait(1)
        await road.until(lambda: len(road.queue) == 0)
    assert road.reports() == []


# Mail that came from outside: no backscatter.


async def test_an_incoming_mail_that_its_server_refuses_is_held_not_returned_8_42(road: Road) -> None:
    world = World(road.store, road.clock)
    domain = await world.domain("to.test")
    user = await world.user("b@to.test")
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("B@to.test", proven=False, domain_id=domain.id, platform_id=1, tag="[SPAM]")
        await road.until(lambda: len(road.queue) == 0)
    assert road.state(way) == "bounced"
    assert road.reports() == []
    (copy,) = road.held()
    assert (copy.mailbox, copy.user_id, copy.domain_id) == ("b@to.test", user.id, domain.id)
    assert (copy.folder, copy.stored_at, copy.expires_at) == (Folder.SYSTEM.value, NOW, NOW + 31 * DAY)
    assert "550 5.1.1" in copy.reason
    body = road.store.reader.body(copy.mail_id)
    assert body is not None and body.data == TEXT
    assert [event.event for event in trace(road, copy.mail_id)] == ["kept"]


async def test_an_incoming_mail_that_expires_is_held_too_8(road: Road) -> None:
    domain = await World(road.store, road.clock).domain("to.test")
    async with Sink({"RCPT": "450 4.2.0 full"}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test", proven=False, domain_id=domain.id, platform_id=1, notify="FAILURE,DELAY")
        await road.until(lambda: road.row(way).attempts == 1)
        for _ in range(6):
            await road.later(23 * 60)
    assert road.state(way) == "expired"
    assert len(road.held()) == 1
    assert road.reports() == []


async def test_an_incoming_mail_is_held_even_where_nothing_was_to_be_told_8(road: Road) -> None:
    domain = await World(road.store, road.clock).domain("to.test")
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("to.test", sink)
        await road.send("b@to.test", proven=False, domain_id=domain.id, platform_id=1, notify="NEVER", sender="")
        await road.until(lambda: len(road.held()) == 1)


async def test_an_incoming_mail_of_a_proven_sender_is_returned_8(road: Road) -> None:
    domain = await World(road.store, road.clock).domain("to.test")
    async with Sink({"RCPT <b@to.test>": REFUSED}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        await road.send("b@to.test", proven=True, domain_id=domain.id, platform_id=1)
        (mail,) = await sink.wait(1)
    assert mail.recipients == ["a@from.test"]
    assert road.held() == []


async def test_a_bounce_that_leaves_for_a_foreign_sender_and_comes_back_is_dropped_101(road: Road) -> None:
    """No mailbox of ours was meant, so that nobody could look at it."""
    domain = await World(road.store, road.clock).domain("to.test")
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("far.test", sink)
        (way,) = await road.send("a@far.test", proven=False, domain_id=domain.id, sender="")
        await road.until(lambda: len(road.queue) == 0)
    assert road.held() == []
    assert [event.event for event in trace(road, road.row(way).mail_id)] == ["dropped"]


async def test_success_is_not_told_to_a_sender_who_is_not_proven_42(road: Road) -> None:
    domain = await World(road.store, road.clock).domain("to.test")
    async with Sink(extensions=()) as sink:
        road.to("to.test", sink)
        await road.send("b@to.test", proven=False, domain_id=domain.id, platform_id=1, notify="SUCCESS")
        await road.until(lambda: len(road.queue) == 0)
    assert road.reports() == []


async def test_a_released_mail_that_is_refused_stays_in_its_folder(road: Road) -> None:
    domain = await World(road.store, road.clock).domain("to.test")
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test", proven=False, domain_id=domain.id, platform_id=1, release=True)
        await road.until(lambda: len(road.queue) == 0)
    assert road.state(way) == "bounced"
    assert road.held() == []
    assert road.reports() == []


async def test_a_report_to_a_sender_of_ours_goes_to_his_own_server(road: Road) -> None:
    world = World(road.store, road.clock)
    domain = await world.domain("from.test")
    async with Sink({"RCPT <b@to.test>": REFUSED}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        await road.send("b@to.test", domain_id=domain.id)
        await sink.wait(1)
    (report,) = road.reports()
    assert (report.domain_id, report.platform_id) == (domain.id, 1)


@pytest.mark.parametrize("holder", ["from before", "made meanwhile", "renamed meanwhile"])
async def test_what_is_held_is_only_his_who_had_the_address_when_it_came(road: Road, holder: str) -> None:
    """By what is kept of a mail its trace tells whose it is: that of another is none of his."""
    world = World(road.store, road.clock)
    domain = await world.domain("to.test")
    user = await world.user("b@to.test") if holder == "from before" else None
    other = await world.user("c@to.test") if holder == "renamed meanwhile" else None
    (way,) = await road.send("b@to.test", proven=False, domain_id=domain.id, platform_id=1)
    await road.until(lambda: road.row(way).attempts == 1)
    road.clock.now += 1
    if holder == "made meanwhile":
        await world.user("b@to.test")
    if other is not None:
        with acting(Actor(login="root")):
            await road.store.write(lambda writer: writer.change(User, other.id, email="b@to.test"))
    async with Sink({"RCPT": REFUSED}) as sink:
        road.to("to.test", sink)
        await road.later(5)
    (held,) = road.held()
    assert held.user_id == (user.id if user else None)


async def test_a_hold_outlives_the_mail_of_others(road: Road) -> None:
    """One body for the held copy and for a delivery that goes on."""
    domain = await World(road.store, road.clock).domain("to.test")
    async with Sink({"RCPT <no@to.test>": REFUSED}) as sink:
        road.to("to.test", sink)
        await road.send("no@to.test", "yes@to.test", proven=False, domain_id=domain.id, platform_id=1)
        await sink.wait(1)
        await road.until(lambda: len(road.queue) == 0)
    copies = road.store.reader.find(Copy, Query(where=eq("mailbox", "no@to.test"))).items
    assert len(copies) == 1
    assert road.store.reader.body(copies[0].mail_id) is not None
