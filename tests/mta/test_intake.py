"""The intake: what a whole mail comes to, where its recipients or its author make a difference."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.house import House, client, living, queued_as
from tests.peers.names import Names, Zone
from tests.peers.sink import Script, Sink

from gatepost.model.address import Address, parse_address
from gatepost.model.envelope import Client, Direction, Dsn, Envelope, Login, Recipient, Role
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Query, eq
from gatepost.model.route import Platform
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.stored import Delivery, Message, Relocation, State
from gatepost.model.tenant import Domain, Group, GroupMember, Language, User
from gatepost.mta.intake import Answer, Receipt
from gatepost.mta.pipeline import Report
from gatepost.mta.readers import CROWD
from gatepost.services.members import rename
from gatepost.smtp import replies
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

WORLD = "ada@world.example"
BOB = "bob@served.example"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as house:
        yield house


def written(author: str = WORLD, text: str = "Hello") -> bytes:
    return (
        f"From: {author}\r\nTo: {BOB}\r\nSubject: Hi\r\n"
        f"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@x>\r\n\r\n{text}\r\n"
    ).encode()


async def group(house: House, name: str, *members: str) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    made = await house.add(Group(domain_id=domain.id, email=name))
    assert isinstance(made, Group)
    for member in members:
        await house.add(GroupMember(group_id=made.id, email=member))


async def login(house: House, name: str) -> Client:
    user = await house.user(name)
    return client(role=Role.SUBMISSION, login=Login(user.id, user.domain_id, user.email))


async def receive(
    house: House,
    who: Client,
    sender: Address | None,
    to: str | tuple[str, ...],
    raw: bytes,
    dsn: Dsn = Dsn(),
    *,
    meanwhile: Callable[[Writer], object] | None = None,
    late: bool = False,
) -> Receipt:
    """Hand a mail in; `meanwhile` is written once its recipient was named, or (`late`) once it was judged."""
    intake = house.gatepost.intake
    recipients: tuple[Recipient, ...] = ()
    for each in (to,) if isinstance(to, str) else to:
        recipients += await house.gatepost.directory.resolve(parse_address(each), who, sender, dsn)
    if meanwhile is not None and not late:
        await house.store.write(meanwhile)
    draft = intake.draft()
    draft.write(raw)
    envelope = Envelope(
        id=intake.new_id(),
        client=who,
        sender=sender,
        recipients=recipients,
        direction=Direction.IN,
        received=house.clock(),
        dsn=Dsn(ret=dsn.ret, envid=dsn.envid),
    )
    receiving = intake.receive(envelope, draft)
    return await (_under(house, meanwhile, receiving) if meanwhile is not None and late else receiving)


async def _under(house: House, change: Callable[[Writer], object], receiving: Coroutine[Any, Any, Receipt]) -> Receipt:
    """Have a mail judged while a change is on its way to the disc, behind which it is written."""
    loop, begun, end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slowly(writer: Writer) -> None:
        change(writer)
        loop.call_soon_threadsafe(begun.set)
        assert end.wait(60)

    changing = asyncio.create_task(house.store.write(slowly))
    await begun.wait()
    task = asyncio.create_task(receiving)
    while len(house.store._waiting) < 2 and not task.done():  # noqa: ASYNC110 - nothing tells when a mail waits
        await asyncio.sleep(0)
    end.set()
    await changing
    return await task


def deliveries(house: House, mail_id: str) -> list[Delivery]:
    return house.store.reader.find(Delivery, Query(where=eq("mail_id", mail_id))).items


async def test_a_mail_is_answered_before_it_is_handed_on(house: House) -> None:
    receipt = await receive(house, client(), parse_address(WORLD), BOB, written())
    assert receipt.answer is Answer.ACCEPTED
    assert not house.gatepost.queue.under_way
    await house.sink.wait(1)


# Many at once.


async def test_mails_that_come_at_once_are_answered_when_no_other_is_near(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them waits for a moment to pass in which others might come: whoever sends waits for the answers."""
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 600.0)
    for _ in range(2):
        mails = [receive(house, client(), parse_address(WORLD), BOB, written()) for _ in range(CROWD - 1)]
        assert {receipt.answer for receipt in await asyncio.gather(*mails)} == {Answer.ACCEPTED}


async def test_a_mail_is_announced_to_the_store_as_long_as_it_is_judged(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STIR", "LONG"):
        monkeypatch.setattr(f"gatepost.store.coming.{name}", 600.0)
    coming, pipeline = house.store.coming, house.gatepost.intake._pipeline
    seen: list[int] = []
    run = pipeline.run

    async def watched(*given: Any, **more: Any) -> Report:
        seen.append(coming.count())
        if len(seen) == 3:
            raise OSError("judging fails")
        return await run(*given, **more)

    monkeypatch.setattr(pipeline, "run", watched)
    eve = await login(house, "eve@served.example")
    for who, author, answer in ((client(), WORLD, Answer.ACCEPTED), (eve, WORLD, Answer.REJECTED)):
        assert (await receive(house, who, parse_address(author), BOB, written(author))).answer is answer
        assert coming.count() == 0
    with pytest.raises(OSError, match="judging fails"):
        await receive(house, client(), parse_address(WORLD), BOB, written())
    assert seen == [1, 1, 1] and coming.count() == 0


# Who wrote it.


@pytest.mark.parametrize("sender", ["eve@served.example", None])
async def test_a_login_writes_only_in_its_own_name_to_colleagues_too(house: House, sender: str | None) -> None:
    """Rules 11: MAIL FROM and From, else 553 5.7.1."""
    eve = await login(house, "eve@served.example")
    origin = parse_address(sender) if sender else None
    forged = await receive(house, eve, origin, BOB, written("Boss <boss@served.example>"))
    assert (forged.answer, forged.kind) == (Answer.REJECTED, Kind.SENDER_REFUSED)
    reply = replies.rejected(forged.category, forged.reason, forged.id, forged.kind)
    assert reply.text.startswith("553 5.7.1 ")
    assert house.store.reader.count(Delivery, All(())) == 0
    honest = await receive(house, eve, origin, BOB, written("Eve <eve@served.example>"))
    assert honest.answer is Answer.ACCEPTED


@pytest.mark.parametrize(
    ("sender", "kind"),
    [
        ("Boss <boss@served.example>", Kind.SENDER_REFUSED),
        ("boss@bank.example", Kind.SENDER_REFUSED),
        ("boss@bank..example", Kind.SENDER_REFUSED),
        ("Eve <eve@served.example>", None),
        ("Eve", None),
    ],
)
async def test_a_login_names_nobody_else_as_who_sent_it(house: House, sender: str, kind: Kind | None) -> None:
    eve = await login(house, "eve@served.example")
    mail = f"Sender: {sender}\r\n".encode() + written("Eve <eve@served.example>")
    assert (await receive(house, eve, parse_address("eve@served.example"), BOB, mail)).kind is kind


@pytest.mark.parametrize(
    ("author", "answer"),
    [
        ("eve@served.example, boss@bank..example", Answer.REJECTED),
        ('eve@served.example, "boss@bank.example', Answer.REJECTED),
        ("eve@served.example" + "," * 9000 + " boss@bank.example", Answer.REJECTED),
        ("nobody in particular", Answer.REJECTED),
        ("Doe, Eve <eve@served.example>", Answer.ACCEPTED),
    ],
)
async def test_an_author_that_cannot_be_read_is_not_passed_over(house: House, author: str, answer: Answer) -> None:
    eve = await login(house, "eve@served.example")
    receipt = await receive(house, eve, parse_address("eve@served.example"), BOB, written(author))
    assert receipt.answer is answer


async def test_a_login_is_told_when_its_mail_to_a_colleague_fails(tmp_path: Path) -> None:
    """Rules 8: who signed in is proven."""
    async with living(tmp_path, sink=Sink({f"RCPT <{BOB}>": "550 5.1.1 unknown"})) as house:
        eve = await login(house, "eve@served.example")
        raw = written("eve@served.example")
        receipt = await receive(house, eve, parse_address("eve@served.example"), BOB, raw)
        (report,) = await house.sink.wait(1)
        assert (report.sender, report.recipients) == ("", ["eve@served.example"])
        await house.gatepost.queue.idle()
        assert [way.state for way in deliveries(house, receipt.id)] == [State.BOUNCED]
        assert house.copies("System") == []


@pytest.mark.parametrize("signs_in", [True, False])
async def test_a_receipt_that_no_server_takes_is_held_though_it_is_proven(tmp_path: Path, signs_in: bool) -> None:
    """Rules 8: nobody can be told of it; of who was not proven it was held, of others it ended without a word."""
    zone: Zone = {"client.example": ["A 127.0.0.1", 'TXT "v=spf1 ip4:127.0.0.1 -all"']}
    sink = Sink({"RCPT": "550 5.2.2 full"})
    async with Names(zone) as names, living(tmp_path, sink=sink, dns={"servers": [names.address]}) as house:
        if signs_in:
            eve = await login(house, "eve@served.example")
            await receive(house, eve, None, BOB, written("eve@served.example"))
        else:
            assert (await house.send(written("absent@client.example"), BOB, sender="")).code == 250
        await house.gatepost.queue.idle()
        (held,) = house.copies("System")
        assert (held.mailbox, held.reason) == (BOB, "the mail server did not take it: 550 5.2.2 full")


# Groups (rules 9).


async def test_what_an_outside_member_does_not_take_is_held_for_the_group_and_nobody_is_told(tmp_path: Path) -> None:
    """Rules 8, 9, threat 42: the sender is not proven, and a report would name the member."""
    async with living(tmp_path, sink=Sink({"RCPT <out@far.example>": "550 5.1.1 unknown"})) as house:
        await group(house, "team@served.example", "out@far.example")
        reply = await house.send(written(), "team@served.example")
        mail_id = queued_as(reply)
        await house.gatepost.queue.idle()
        (way,) = deliveries(house, mail_id)
        assert (way.state, way.proven) == (State.BOUNCED, False)
        assert house.store.reader.count(Delivery, All(())) == 1
        (held,) = house.copies("System")
        assert (held.mail_id, held.mailbox, held.held_for) == (mail_id, "team@served.example", ["out@far.example"])


async def test_what_outside_members_did_not_take_is_released_to_them_from_an_address_of_ours(tmp_path: Path) -> None:
    """Rules 9: one copy in the group's folder, however many and whenever they refuse it; its author learns nothing."""
    script: Script = {"RCPT <out@far.example>": "550 5.1.1 unknown", "RCPT <late@far.example>": "450 4.2.0 later"}
    async with living(tmp_path, sink=Sink(script)) as house:
        await group(house, "team@served.example", "out@far.example", "late@far.example", BOB)
        mail_id = queued_as(await house.send(written(), "team@served.example"))
        await house.gatepost.queue.idle()
        late = next(way for way in deliveries(house, mail_id) if way.state is State.QUEUED)
        await house.gatepost.queue.moves.bounce([late.id], "the address is closed")
        (held,) = house.copies("System")
        assert (held.mailbox, held.held_for) == ("team@served.example", ["out@far.example", "late@far.example"])

        script.clear()
        message = house.store.reader.get(Message, mail_id)
        assert message is not None
        assert await house.gatepost.releases.requeue(held, message)
        mails = await house.sink.wait(2)
        assert mails[-1].sender.startswith("SRS0=")
        assert mails[-1].sender.endswith("@served.example")
        assert mails[-1].recipients == ["out@far.example", "late@far.example"]


async def test_a_release_to_an_outside_member_that_fails_tells_nobody_of_him(tmp_path: Path) -> None:
    script: Script = {"RCPT <out@far.example>": "550 5.1.1 unknown"}
    async with living(tmp_path, sink=Sink(script)) as house:
        await group(house, "team@served.example", "out@far.example")
        eve = await login(house, "eve@served.example")
        await receive(
            house, eve, parse_address("eve@served.example"), "team@served.example", written("eve@served.example")
        )
        await house.gatepost.queue.idle()
        (held,) = house.copies("System")
        message = house.store.reader.get(Message, held.mail_id)
        assert message is not None
        assert await house.gatepost.releases.requeue(held, message)
        await house.gatepost.queue.idle()
        assert [way.proven for way in deliveries(house, held.mail_id)] == [False, False]
        assert house.store.reader.count(Delivery, All(())) == 2
        assert house.copies("System") == [msgspec.structs.replace(held, released_at=house.clock())]


@pytest.mark.parametrize("stays", [True, False])
async def test_what_is_held_of_a_group_is_released_to_its_outside_members(house: House, stays: bool) -> None:
    """Rules 9: from an address of ours, and nobody is told of them, also when the group is gone by then."""
    await group(house, "team@served.example", "out@far.example", "also@far.example")
    mail_id = queued_as(await house.send(written(text=GTUBE), "team@served.example"))
    if not stays:
        await house.store.write(lambda writer: writer.remove(Group, eq("email", "team@served.example")))
    (held,) = house.copies("Quarantine")
    assert (held.mailbox, held.held_for) == ("team@served.example", ["out@far.example", "also@far.example"])
    message = house.store.reader.get(Message, mail_id)
    assert message is not None
    assert await house.gatepost.releases.requeue(held, message)
    (mail,) = await house.sink.wait(1)
    assert (mail.sender[:5], mail.recipients) == ("SRS0=", ["out@far.example", "also@far.example"])
    assert not any(way.proven for way in deliveries(house, mail_id))


@pytest.mark.parametrize("names", [("team@served.example", BOB), (BOB, "team@served.example")])
async def test_who_is_named_beside_his_group_gets_the_mail_in_his_own_name(
    house: House, names: tuple[str, str]
) -> None:
    """Else no report would tell of him, as of any member (rules 9)."""
    await group(house, "team@served.example", BOB)
    mail_id = queued_as(await house.send(written(), *names))
    assert [(way.recipient, way.group) for way in deliveries(house, mail_id)] == [(BOB, None)]


async def test_a_mail_with_smtputf8_is_released_with_it(house: House) -> None:
    """RFC 6531 3.4: what came with it, and uses it, goes on with it."""
    raw = f"From: Zoë <{WORLD}>\r\n".encode() + written(text=GTUBE).partition(b"\r\n")[2]
    mail_id = queued_as(await house.send(raw, BOB, options="SMTPUTF8"))
    (held,) = house.copies("Quarantine")
    message = house.store.reader.get(Message, mail_id)
    assert message is not None
    assert await house.gatepost.releases.requeue(held, message)
    (mail,) = await house.sink.wait(1)
    assert "SMTPUTF8" in mail.sender_params
    assert b"with UTF8SMTP id" in mail.data


async def test_of_a_group_even_a_login_is_told_nothing(tmp_path: Path) -> None:
    async with living(tmp_path, sink=Sink({f"RCPT <{BOB}>": "550 5.1.1 unknown"})) as house:
        await group(house, "team@served.example", BOB)
        eve = await login(house, "eve@served.example")
        raw = written("eve@served.example")
        await receive(house, eve, parse_address("eve@served.example"), "team@served.example", raw)
        await house.gatepost.queue.idle()
        assert house.sink.mails == []
        assert [copy.mailbox for copy in house.copies("System")] == [BOB]


async def test_the_copies_of_an_outside_member_are_the_groups_not_the_authors(house: House) -> None:
    await group(house, "team@served.example", "out@far.example", "also@far.example")
    reply = await house.send(written(), "team@served.example")
    assert reply.code == 250
    kept = sorted((copy.folder, copy.mailbox) for copy in house.copies())
    assert kept == [("Archive", "team@served.example"), ("INBOX", "team@served.example")]


@pytest.mark.parametrize("folded", [False, True], ids=["in memory", "spooled"])
async def test_who_asks_is_told_that_a_group_was_reached_and_nothing_of_its_members(
    tmp_path: Path, folded: bool
) -> None:
    """RFC 3461 5.2.7.1: delivered, for that is the last word on the mail."""
    async with living(tmp_path, store={"spool_cut": 100 if folded else 262_144}, sink=Sink(extensions=())) as house:
        await group(house, "team@served.example", BOB, "out@far.example")
        eve = parse_address("eve@served.example")
        client = await login(house, eve.text)
        asked = Dsn(frozenset({"SUCCESS"}), orcpt="rfc822;team+2B1@x", envid="e1", ret="HDRS")
        receipt = await receive(house, client, eve, "team@served.example", written(eve.text), asked)
        await house.gatepost.queue.idle()
        reports = [mail for mail in house.sink.mails if mail.sender == ""]
        assert [mail.recipients for mail in reports] == [[eve.text]]
        text = reports[0].data.decode()
        for line in (
            "Original-Envelope-Id: e1",
            "Original-Recipient: rfc822; team+1@x",
            "Final-Recipient: rfc822; team@served.example",
            "Action: delivered",
            "Subject: Hi",
        ):
            assert f"\r\n{line}\r\n" in text
        assert "bob" not in text.replace(f"To: {BOB}", "")
        assert "far.example" not in text
        told = [event.mailbox for event in house.trace(receipt.id) if event.event == "reported"]
        assert told == ["team@served.example"]


@pytest.mark.parametrize("notify", ["NEVER", "FAILURE", ""])
async def test_who_does_not_ask_is_not_told_that_a_group_was_reached(house: House, notify: str) -> None:
    await group(house, "team@served.example", BOB)
    eve = parse_address("eve@served.example")
    client = await login(house, eve.text)
    asked = Dsn(frozenset(filter(None, [notify])))
    receipt = await receive(house, client, eve, "team@served.example", written(eve.text), asked)
    assert house.store.reader.count(Delivery, All(())) == len(deliveries(house, receipt.id)) == 1


async def test_a_stranger_who_is_not_proven_is_not_told_that_a_group_was_reached(house: House) -> None:
    await group(house, "team@served.example", BOB)
    address, sender = parse_address("team@served.example"), parse_address(WORLD)
    receipt = await receive(house, client(), sender, address.text, written(), Dsn(frozenset({"SUCCESS"})))
    assert house.store.reader.count(Delivery, All(())) == len(deliveries(house, receipt.id)) == 1


async def test_a_groups_author_does_not_learn_whose_rule_refuses_him(house: House) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    user = await house.user("carol@served.example")
    await house.add(
        SenderRule(
            domain_id=domain.id,
            user_id=user.id,
            owner=user.email,
            value=WORLD,
            type=SenderType.BLOCK,
            created_date=house.clock(),
        )
    )
    await group(house, "team@served.example", user.email)
    reply = await house.send(written(), "team@served.example")
    assert reply.code == 550
    assert "carol" not in reply.message
    direct = await house.send(written(), user.email)
    assert (direct.code, "carol" in direct.message) == (550, True)


def _newcomer(domain_id: int, email: str) -> User:
    return User(domain_id=domain_id, email=email, language=Language.EN, creation_date=0)


def _in_his_place(writer: Writer, user: User) -> None:
    writer.remove(User, eq("id", user.id))
    writer.add(_newcomer(user.domain_id, user.email))


CHANGES: dict[str, tuple[str, Callable[[Writer, User], object]]] = {
    "the domain has another name": ("new", lambda w, user: w.change(Domain, user.domain_id, name="other.example")),
    "the domain is gone": ("new", lambda w, user: w.remove(Domain, eq("id", user.domain_id))),
    "the account has another address": (
        "bob",
        lambda w, user: w.change(User, user.id, email="rob@served.example"),
    ),
    "the account is gone": ("bob", lambda w, user: w.remove(User, eq("id", user.id))),
    "the address is another account's": ("bob", _in_his_place),
    "the address is a group's": (
        "new",
        lambda w, user: w.add(Group(domain_id=user.domain_id, email="new@served.example")),
    ),
}


@pytest.mark.parametrize(
    ("text", "late"), [("Hello", False), (GTUBE, False), (GTUBE, True)], ids=["clean", "held", "written behind it"]
)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_mail_whose_recipient_was_changed_meanwhile_comes_again(
    house: House, change: str, text: str, late: bool
) -> None:
    """What is kept under an address is its next holder's to see."""
    local, alter = CHANGES[change]
    user = house.store.reader.first(User, eq("email", BOB))
    assert user is not None
    await house.store.write(lambda writer: writer.change(Domain, user.domain_id, auto_provisioning_on=True))
    with pytest.raises(Problem) as caught:
        await receive(
            house,
            client(),
            parse_address(WORLD),
            f"{local}@served.example",
            written(text=text),
            meanwhile=lambda writer: alter(writer, user),
            late=late,
        )
    assert caught.value.kind is Kind.UNAVAILABLE
    reader = house.store.reader
    assert (house.copies(), reader.find(Delivery, Query()).items, reader.find(Message, Query()).items) == ([], [], [])


async def test_what_was_held_goes_where_it_was_to_go_though_its_author_has_another_address(house: House) -> None:
    """His own copy to him, and to those outside from him, not as from a group."""
    who = await login(house, "ann@served.example")
    ann = house.store.reader.first(User, eq("email", "ann@served.example"))
    domain = house.store.reader.domain("served.example")
    assert ann and domain
    await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True, archive=False))
    sender, raw = parse_address(ann.email), written(author=ann.email, text=GTUBE)
    mail_id = (await receive(house, who, sender, (ann.email, "x@far.example"), raw)).id
    (copy,) = house.copies()
    assert (copy.mailbox, sorted(copy.held_for)) == (ann.email, [ann.email, "x@far.example"])

    def change(writer: Writer) -> None:
        rename(writer, ann, "eve@served.example")
        writer.change(User, ann.id, email="eve@served.example")

    await house.store.write(change)
    (copy,), message = house.copies(), house.store.reader.get(Message, mail_id)
    assert message is not None
    assert await house.gatepost.releases.requeue(copy, message)
    ways = {each.recipient: (each.group, each.proven, each.platform_id) for each in deliveries(house, mail_id)}
    platform = house.store.reader.first(Platform, eq("domain_id", domain.id))
    assert platform is not None
    assert ways == {"eve@served.example": (None, False, platform.id), "x@far.example": (None, True, None)}


async def test_no_mail_makes_an_account_at_an_address_from_which_mail_is_still_moved(house: House) -> None:
    user = house.store.reader.first(User, eq("email", BOB))
    assert user is not None
    await house.store.write(lambda writer: writer.change(Domain, user.domain_id, auto_provisioning_on=True))
    left = Relocation(old="new@served.example", new=BOB, upto=0)
    await house.add(left)
    for count in (0, 1):
        receipt = await receive(house, client(), parse_address(WORLD), left.old, written())
        assert receipt.answer is Answer.ACCEPTED
        assert house.store.reader.count(User, eq("email", left.old)) == count
        await house.store.write(lambda writer: writer.remove(Relocation, eq("old", left.old)))


async def test_a_mail_of_who_got_another_address_meanwhile_is_not_kept_under_the_former_one(house: House) -> None:
    ada = await login(house, "ada@served.example")
    who = ada.login
    assert who is not None
    with pytest.raises(Problem) as caught:
        await receive(
            house,
            ada,
            parse_address(who.email),
            BOB,
            written(author=who.email),
            meanwhile=lambda writer: writer.change(User, who.user_id, email="eva@served.example"),
            late=True,
        )
    assert caught.value.detail.startswith("the account was changed ")
    assert (caught.value.kind, house.copies()) == (Kind.UNAVAILABLE, [])


async def test_what_a_group_s_outside_member_does_not_take_is_not_kept_under_its_former_address(house: House) -> None:
    await group(house, "team@served.example", "out@far.example")
    (team,) = house.store.reader.find(Group, Query()).items
    with pytest.raises(Problem) as caught:
        await receive(
            house,
            client(),
            parse_address(WORLD),
            team.email,
            written(text=GTUBE),
            meanwhile=lambda writer: writer.change(Group, team.id, email="crew@served.example"),
        )
    assert (caught.value.kind, house.copies()) == (Kind.UNAVAILABLE, [])


async def test_a_mail_is_kept_though_something_else_changed_meanwhile(house: House) -> None:
    user = house.store.reader.first(User, eq("email", BOB))
    assert user is not None
    receipt = await receive(
        house,
        client(),
        parse_address(WORLD),
        BOB,
        written(),
        meanwhile=lambda writer: writer.change(Domain, user.domain_id, description="ours"),
        late=True,
    )
    assert receipt.answer is Answer.ACCEPTED and house.copies()


async def test_an_account_that_another_mail_made_meanwhile_gets_the_mail(house: House) -> None:
    user = house.store.reader.first(User, eq("email", BOB))
    assert user is not None
    await house.store.write(lambda writer: writer.change(Domain, user.domain_id, auto_provisioning_on=True))
    made = _newcomer(user.domain_id, "new@served.example")
    raw, sender = written(), parse_address(WORLD)
    receipt = await receive(house, client(), sender, made.email, raw, meanwhile=lambda writer: writer.add(made))
    assert receipt.answer is Answer.ACCEPTED
    (account,) = house.store.reader.find(User, Query(where=eq("email", made.email))).items
    assert {copy.user_id for copy in house.copies()} == {account.id}
