"""Traces over a real store: how a mail is found, and that nobody learns of recipients outside his scope."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import NOW, StillClock, World, open_store

from gatepost.model.access import Caller
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.services.trace import Life, Traces
from gatepost.settings import Filters

pytestmark = pytest.mark.anyio

ROOT = Caller(admin_id=1, login="root", sys_admin=True)
LATER = NOW + 86_400_000


class Ground:
    """A mail to two mailboxes of two domains and one of an unknown place, and who may ask."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.traces = Traces(world.store, Filters())
        self.count = 0

    async def build(self) -> None:
        domain = await self.world.domain("served.example")
        other = await self.world.domain("other.example")
        ada = await self.world.user("ada@served.example")
        eve = await self.world.user("eve@other.example")
        self.domains = {"served.example": domain.id, "other.example": other.id}
        self.ada = self.world.owner(ada)
        self.eve = self.world.owner(eve)

    async def keep(self, *mailboxes: str, **fields: object) -> str:
        """Store a mail with a verdict, a copy and a delivery for each mailbox."""
        message = self.message(**fields)
        events = [TraceEvent(at=NOW, event="received", data={"client": "192.0.2.7"})]
        for mailbox in mailboxes:
            events.append(TraceEvent(at=NOW + 1, event="verdict", mailbox=mailbox, text=f"for {mailbox}"))
        copies = [self.copy(message, mailbox) for mailbox in mailboxes]
        ways = [self.delivery(message, mailbox) for mailbox in mailboxes]
        body = Body(4, b"Hi\r\n")
        await self.world.store.write(lambda w: w.keep(message, body, copies, ways, events, LATER))
        return message.id

    def message(self, **fields: object) -> Message:
        self.count += 1
        base: dict[str, object] = {
            "id": f"{NOW + self.count:012x}{self.count:020x}",
            "received": NOW,
            "size": 4,
            "direction": "in",
            "sender": "bob@world.example",
            "client_ip": "192.0.2.7",
            "helo": "client.example",
            "message_id": f"<{self.count}@world.example>",
            "subject": "Hello",
            "header_from": "Bob <bob@world.example>",
            "header_to": "all",
            "header_cc": "",
            "sent": NOW,
        }
        return Message(**{**base, **fields})  # type: ignore[arg-type]

    def copy(self, message: Message, mailbox: str) -> Copy:
        return Copy(
            mail_id=message.id,
            mailbox=mailbox.lower(),
            domain_id=self.domains.get(mailbox.rpartition("@")[2], 0),
            user_id=None,
            folder="INBOX",
            category="CLEAN",
            score=0.0,
            infected=False,
            stored_at=NOW,
            expires_at=LATER,
        )

    def delivery(self, message: Message, mailbox: str) -> Delivery:
        return Delivery(
            mail_id=message.id,
            recipient=mailbox,
            sender=message.sender,
            domain_id=self.domains.get(mailbox.rpartition("@")[2]),
            due=NOW,
            expires=LATER,
            created=NOW,
        )


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    ground = Ground(World(store, clock))
    await ground.build()
    yield ground
    await store.close()


async def refused(ground: Ground, caller: Caller, text: str) -> Kind:
    with pytest.raises(Problem) as caught:
        await ground.traces.find(caller, text)
    return caught.value.kind


def named(life: Life) -> set[str]:
    """Every mailbox that an answer names."""
    events = {event.mailbox for event in life.events if event.mailbox}
    return events | {each.recipient for each in life.deliveries} | {each.mailbox for each in life.copies}


async def test_a_mail_is_found_by_our_id_its_message_id_or_a_next_hops_queue_id(ground: Ground) -> None:
    mail_id = await ground.keep("ada@served.example")
    (row,) = ground.world.store.reader.live()
    done = {"state": State.DELIVERED, "remote_id": "4XyZ12", "done_at": NOW}
    await ground.world.store.write(lambda writer: writer.change(Delivery, row.id, **done))
    for text in (mail_id, mail_id.upper(), "<1@world.example>", "1@world.example", "4XyZ12"):
        life = await ground.traces.find(ROOT, text)
        assert life.message.id == mail_id
        assert [event.event for event in life.events] == ["received", "verdict"]
        assert life.others == ()


@pytest.mark.parametrize("text", ["", "<>", " ", "f" * 32, "<no@where.example>", "' OR 1=1 --", "%", "*"])
async def test_what_names_no_mail_is_not_found(ground: Ground, text: str) -> None:
    await ground.keep("ada@served.example", message_id="")
    assert await refused(ground, ROOT, text) is Kind.NOT_FOUND


async def test_of_several_mails_with_one_message_id_the_newest_is_told_and_the_others_named(ground: Ground) -> None:
    ids = [await ground.keep("ada@served.example", message_id="<same@world.example>") for _ in range(3)]
    life = await ground.traces.find(ROOT, "same@world.example")
    assert (life.message.id, life.others) == (ids[2], (ids[1], ids[0]))


async def test_a_refused_mail_is_found_too(ground: Ground) -> None:
    message = ground.message()
    events = [TraceEvent(at=NOW, event="rejected", mailbox="ada@served.example", text="blocked")]
    await ground.world.store.write(lambda writer: writer.refuse(message, events, LATER))
    for caller in (ROOT, ground.ada):
        life = await ground.traces.find(caller, message.id)
        assert [event.text for event in life.events] == ["blocked"]
        assert (life.deliveries, life.copies) == ((), ())
    assert await refused(ground, ground.eve, message.id) is Kind.NOT_FOUND


async def test_other_recipients_are_neither_named_nor_counted(ground: Ground) -> None:
    """Rules 12."""
    mail_id = await ground.keep("ada@served.example", "eve@other.example", "Bob@served.example")
    assert named(await ground.traces.find(ROOT, mail_id)) >= {"ada@served.example", "eve@other.example"}
    for caller in (ground.ada, ground.eve):
        life = await ground.traces.find(caller, mail_id)
        assert named(life) == {caller.login}
        assert [event.event for event in life.events] == ["received", "verdict"]
        assert (len(life.deliveries), len(life.copies)) == (1, 1)


async def test_a_mail_with_nobody_in_scope_is_as_if_it_were_not_there(ground: Ground) -> None:
    """Threat 107."""
    mail_id = await ground.keep("eve@other.example")
    assert await refused(ground, ground.ada, mail_id) is Kind.NOT_FOUND
    assert await refused(ground, ground.ada, "<1@world.example>") is Kind.NOT_FOUND
    assert await refused(ground, Caller(admin_id=9, login="nobody"), mail_id) is Kind.NOT_FOUND


async def test_others_are_named_only_within_scope(ground: Ground) -> None:
    same = {"message_id": "<same@world.example>"}
    mine = await ground.keep("ada@served.example", **same)
    await ground.keep("eve@other.example", **same)
    life = await ground.traces.find(ground.ada, "same@world.example")
    assert (life.message.id, life.others) == (mine, ())


async def test_a_recipient_is_one_however_it_is_spelled(ground: Ground) -> None:
    mail_id = await ground.keep('"Ada"@served.example')
    life = await ground.traces.find(ground.ada, mail_id)
    assert len(life.events) == 2


async def test_who_sent_a_mail_sees_all_its_recipients_but_not_who_only_claims_to_have(ground: Ground) -> None:
    away = ("x@far.example", "y@far.example")
    sent = await ground.keep(*away, direction="out", sender="ada@served.example", login="ada@served.example")
    life = await ground.traces.find(ground.ada, sent)
    assert named(life) == set(away)
    forged = await ground.keep("eve@other.example", direction="in", sender="ada@served.example")
    assert await refused(ground, ground.ada, forged) is Kind.NOT_FOUND
