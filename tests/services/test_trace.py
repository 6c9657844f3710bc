"""Traces over a real store: how a mail is found, and that nobody learns of recipients outside his scope."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from tests.house import NOW, StillClock, World, open_store

from gatepost.model.access import Caller, Reach
from gatepost.model.address import parse_address
from gatepost.model.audit import Actor, acting
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Pattern, eq
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.model.tenant import Domain, DomainAlias, User
from gatepost.services import tracking
from gatepost.services.life import Life
from gatepost.services.relocations import SLICE
from gatepost.services.status import Status
from gatepost.services.trace import Traces
from gatepost.services.tracking import HOUR, Found, Search
from gatepost.settings import Filters
from gatepost.store.journal import MANY
from gatepost.store.store import Writer

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

    async def keep(self, *mailboxes: str, user_id: int | None = None, **fields: object) -> str:
        """Store a mail with a verdict, a copy and a delivery for each mailbox; `user_id` is whose the copies are."""
        message = self.message(**fields)
        events = [TraceEvent(at=NOW, event="received", data={"client": "192.0.2.7"})]
        for mailbox in mailboxes:
            events.append(TraceEvent(at=NOW + 1, event="verdict", mailbox=mailbox, text=f"for {mailbox}"))
        copies = [self.copy(message, mailbox, user_id) for mailbox in mailboxes]
        ways = [self.delivery(message, mailbox) for mailbox in mailboxes]
        body = Body(4, b"Hi\r\n")
        await self.world.store.write(lambda w: w.keep(message, body, copies, ways, events, LATER))
        return message.id

    async def rename(self, user_id: int | None, old: str, new: str) -> None:
        """Change an account's address, as an administrator does."""

        def change(writer: Writer) -> None:
            writer.change(User, user_id or 0, email=new)
            writer.move_copies(old, new, writer.newest_copy(), SLICE)

        with acting(Actor(login="root")):
            await self.world.store.write(change)

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

    def copy(self, message: Message, mailbox: str, user_id: int | None = None) -> Copy:
        return Copy(
            mail_id=message.id,
            mailbox=mailbox.lower(),
            domain_id=self.domains.get(mailbox.rpartition("@")[2], 0),
            user_id=user_id,
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


async def test_mail_to_an_address_is_none_of_his_who_got_the_address_later(ground: Ground) -> None:
    domain_id = ground.domains["served.example"]
    await ground.world.store.write(lambda writer: writer.change(Domain, domain_id, creation_date=NOW - 1))
    came = [await ground.keep("ada@served.example", received=NOW + each) for each in (-1, 0)]
    left = {"direction": "out", "login": "ada@served.example", "received": NOW - 1}
    came.append(await ground.keep("x@far.example", **left))
    assert await refused(ground, ground.ada, came[0]) is Kind.NOT_FOUND
    assert await refused(ground, ground.ada, came[2]) is Kind.NOT_FOUND
    assert (await ground.traces.find(ground.ada, came[1])).copies
    reach = Reach(domains=frozenset({ground.domains["served.example"]}))
    keeper = Caller(admin_id=9, login="keeper", rights={"MAILS_READ": reach})
    assert [len((await ground.traces.find(keeper, each)).copies) for each in came] == [1, 1, 1]


async def test_what_is_kept_says_whose_a_mail_is(ground: Ground) -> None:
    """An account's first mails may come at once, a clock be set back, an address change hands by a new one for both."""
    early = await ground.keep("ada@served.example", user_id=ground.ada.user_id, received=NOW - 1)
    former = await ground.keep("ada@served.example", user_id=ground.eve.user_id, received=NOW + 1)
    assert (await ground.traces.find(ground.ada, early)).copies
    assert await refused(ground, ground.ada, former) is Kind.NOT_FOUND


async def test_mail_is_none_of_his_whose_account_came_to_its_address_later(ground: Ground) -> None:
    """What is kept goes along with the former holder, to his new address."""
    bea = await ground.world.user("bea@served.example")
    came = await ground.keep("ada@served.example", user_id=ground.ada.user_id)
    left = await ground.keep("x@far.example", direction="out", login="ada@served.example")
    assert [(await ground.traces.find(ground.ada, each)).message.id for each in (came, left)] == [came, left]
    ground.world.clock.now += 1
    for user_id, old, new in ((ground.ada.user_id, "ada", "eva"), (bea.id, "bea", "ada")):
        await ground.rename(user_id, f"{old}@served.example", f"{new}@served.example")
    taker = ground.world.owner(bea)
    for each in (came, left):
        assert await refused(ground, taker, each) is Kind.NOT_FOUND
    assert (await ground.traces.find(ground.ada, came)).copies
    later = await ground.keep("ada@served.example", received=NOW + 1)
    assert (await ground.traces.find(taker, later)).copies


async def renamed(ground: Ground, name: str) -> Domain:
    """A domain that gets a name from another one."""
    domain = await ground.world.domain("elder.example")
    ground.world.clock.now += 1
    with acting(Actor(login="root")):
        await ground.world.store.write(lambda writer: writer.change(Domain, domain.id, name=name))
    return domain


async def remade(ground: Ground, name: str) -> Domain:
    """A domain that is made under the name of another one."""
    ground.world.clock.now += 1
    return await ground.world.domain(name)


async def named_too(ground: Ground, name: str, *others: str) -> Domain:
    """A domain of which that name becomes an alias."""
    domain = await ground.world.domain("elder.example")
    ground.world.clock.now += 1

    def add(writer: Writer) -> None:
        for each in (*others, name):
            writer.add(DomainAlias(domain_id=domain.id, name=each))

    with acting(Actor(login="root")):
        await ground.world.store.write(add)
    return domain


async def named_many(ground: Ground, name: str) -> Domain:
    """The same among so many that the audit has one entry for all."""
    return await named_too(ground, name, *(f"{number}.example" for number in range(MANY)))


@pytest.mark.parametrize("taken", [remade, renamed, named_too, named_many])
async def test_mail_of_a_domain_that_was_erased_is_none_of_the_next_one_of_its_name(
    ground: Ground, taken: Callable[[Ground, str], Awaitable[Domain]]
) -> None:
    kept, under_way = await ground.keep("ada@served.example"), await ground.keep("x@served.example")
    sent = await ground.keep("x@far.example", direction="out", sender="ada@served.example")
    refusal = await refuse(ground, "550 5.1.1 no such mailbox", "no@served.example")
    old = ground.domains["served.example"]

    def erase(writer: Writer) -> None:
        writer.remove(Copy, eq("mail_id", kept))
        writer.remove(Delivery, eq("mail_id", under_way))
        writer.remove(User, eq("domain_id", old))
        writer.remove(Domain, eq("id", old))

    await ground.world.store.write(erase)
    next_one = await taken(ground, "served.example")
    reach = Reach(domains=frozenset({next_one.id}))
    keeper = Caller(admin_id=9, login="keeper", rights={"MAILS_READ": reach})
    for mail_id in (kept, under_way, sent, refusal):
        assert (await ground.traces.find(ROOT, mail_id)).message.id == mail_id
        assert await refused(ground, keeper, mail_id) is Kind.NOT_FOUND
    ground.domains["served.example"] = next_one.id
    later = await ground.keep("new@served.example", received=ground.world.clock.now)
    refusal = await refuse(ground, "450 4.2.1 later", "no@served.example", received=ground.world.clock.now)
    for mail_id in (later, refusal):
        assert (await ground.traces.find(keeper, mail_id)).message.id == mail_id


async def test_an_administrators_look_at_a_mail_to_hundreds_is_one_at_each_recipient(ground: Ground) -> None:
    names = [f"u{number}@served.example" for number in range(200)]
    mail_id = await ground.keep(*names)
    reach = Reach(domains=frozenset({ground.domains["served.example"]}))
    keeper = Caller(admin_id=9, login="keeper", rights={"MAILS_READ": reach})
    before = parse_address.cache_info()
    assert len((await ground.traces.find(keeper, mail_id)).deliveries) == len(names)
    after = parse_address.cache_info()
    assert after.hits + after.misses - before.hits - before.misses < 20 * len(names)


async def test_a_look_at_mails_to_hundreds_leaves_the_loop_to_others(ground: Ground) -> None:
    """What is on many rows is done beside it: twenty mails to a thousand each took seconds of it."""
    names = [f"u{number}@served.example" for number in range(100)]
    for _ in range(4):
        await ground.keep(*names, message_id="<same@world.example>")
    keeper = Caller(admin_id=9, login="keeper", rights={"MAILS_READ": Reach(domains=frozenset({1}))})
    loop, all_threads = time.thread_time(), time.process_time()
    life = await ground.traces.find(keeper, "same@world.example")
    loop, all_threads = time.thread_time() - loop, time.process_time() - all_threads
    assert len(life.others) == 3 and loop < all_threads / 3


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


# Mails tracked down.


async def refuse(ground: Ground, text: str, mailbox: str | None, **fields: object) -> str:
    """Store a mail that was refused before DATA."""
    message = ground.message(**fields)
    events = [TraceEvent(at=NOW, event="rejected", mailbox=mailbox, text=text)]
    await ground.world.store.write(lambda writer: writer.refuse(message, events, LATER))
    return message.id


async def tracked(ground: Ground, **asked: object) -> Found:
    return await ground.traces.track(ROOT, Search(**asked))  # type: ignore[arg-type]


def ids(found: Found) -> list[str]:
    return [each.message.id for each in found.mails]


async def settle(ground: Ground, mail_id: str, **fields: object) -> None:
    """Let all deliveries of a mail stand so."""
    for row in ground.world.store.reader.live():
        if row.mail_id == mail_id:
            await ground.world.store.write(lambda writer, id=row.id: writer.change(Delivery, id, **fields))  # type: ignore[misc]


async def test_mails_are_tracked_down_by_all_that_is_asked_the_newest_first(ground: Ground) -> None:
    first = await ground.keep("ada@served.example")
    second = await ground.keep("ada@served.example", "eve@other.example", sender="ann@world.example", client_ip="::1")
    third = await refuse(ground, "550 5.1.1 no such mailbox", "no@served.example", subject="Offer")
    null = await ground.keep("eve@other.example", sender="", header_from="")
    assert ids(await tracked(ground)) == [null, third, second, first]
    for asked, wanted in (
        ({"sender": Pattern.read("BOB@world.example")}, [third, second, first]),  # in From, too
        ({"sender": Pattern.read("ann@*")}, [second]),
        ({"sender": Pattern("")}, [null]),
        ({"recipient": Pattern.read("*@other.example")}, [null, second]),
        ({"recipient": Pattern.read("No@served.example")}, [third]),
        ({"recipient": Pattern("ada")}, []),
        ({"subject": Pattern.read("*ffe*")}, [third]),
        ({"client": Pattern("::1")}, [second]),
        ({"status": Status.REFUSED}, [third]),
        ({"sender": Pattern.read("ann@*"), "recipient": Pattern("ada@served.example")}, [second]),
        ({"sender": Pattern.read("ann@*"), "status": Status.REFUSED}, []),
        ({"since": NOW + 2}, [null, third, second]),
        ({"until": NOW + 2}, [first]),
        ({"since": NOW + 2, "until": NOW + 3}, [second]),
    ):
        found = await tracked(ground, **asked)
        assert (ids(found), found.after) == (wanted, None), asked


async def test_a_search_that_ends_with_its_last_mail_is_complete(ground: Ground) -> None:
    mails = [await ground.keep("ada@served.example") for _ in range(3)]
    whole, part = await tracked(ground, limit=3), await tracked(ground, limit=2)
    assert (ids(whole), whole.after) == (mails[::-1], None)
    assert (ids(part), part.after) == (mails[:0:-1], mails[1])


async def test_a_search_that_goes_on_keeps_to_its_time(ground: Ground) -> None:
    mails = [await ground.keep("ada@served.example") for _ in range(3)]
    assert ids(await tracked(ground, until=NOW + 2, after=mails[2])) == [mails[0]]


async def test_of_a_mail_only_the_recipients_that_were_asked_about_are_told(ground: Ground) -> None:
    await ground.keep("ada@served.example", "eve@other.example")
    (mail,) = (await tracked(ground, recipient=Pattern("eve@other.example"))).mails
    assert [each.recipient for each in mail.standings] == ["eve@other.example"]


async def test_a_recipient_is_found_by_an_alias_of_his_domain(ground: Ground) -> None:
    await ground.world.add(DomainAlias(domain_id=ground.domains["served.example"], name="alias.example"))
    mail_id = await ground.keep("ada@served.example")
    assert ids(await tracked(ground, recipient=Pattern("Ada@alias.example"))) == [mail_id]


async def test_a_search_goes_on_where_it_was_cut_and_leaves_none_out(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "STRETCH", 3)
    monkeypatch.setattr(tracking, "LIVES", 2)
    kept = [await ground.keep("ada@served.example", sender=f"{n % 3}@world.example") for n in range(12)]
    for asked, wanted in (({}, kept), ({"sender": Pattern("1@world.example")}, kept[1::3]), ({"limit": 1}, kept)):
        seen, after, rounds = [], None, 0
        while rounds == 0 or after is not None:
            found = await tracked(ground, after=after, **asked)
            seen += ids(found)
            after, rounds = found.after, rounds + 1
        assert seen == wanted[::-1]
        assert rounds > 2


async def test_each_recipient_stands_as_he_was_served(ground: Ground) -> None:
    queued = await ground.keep("ada@served.example")
    deferred = await ground.keep("ada@served.example")
    done = await ground.keep("ada@served.example")
    await settle(ground, deferred, attempts=2, last_reply="451 4.3.2 later")
    await settle(ground, done, state=State.BOUNCED, attempts=1, last_reply="550 5.1.1 unknown")
    finding = {"symbol": "GTUBE", "category": "SPAM", "reason": "the test pattern"}
    points = {"symbol": "POINTS", "category": "SCORE", "reason": "shouting", "score": 9.0}
    held, split = ground.message(), ground.message()
    events = [
        TraceEvent(at=NOW, event="found", data={"findings": [finding, points]}),
        TraceEvent(at=NOW, event="verdict", mailbox="ada@served.example", data={"action": "hold", "category": "SPAM"}),
    ]
    copy = msgspec.structs.replace(ground.copy(held, "ada@served.example"), folder="Quarantine")
    await ground.world.store.write(lambda w: w.keep(held, Body(1, b"x"), [copy], [], events, LATER))
    answer = [  # one recipient's verdict defers the mail for both
        TraceEvent(at=NOW, event="verdict", mailbox="ada@served.example", data={"action": "deliver"}),
        TraceEvent(at=NOW, event="verdict", mailbox="eve@other.example", text="later", data={"action": "defer"}),
        TraceEvent(at=NOW, event="deferred"),
    ]
    await ground.world.store.write(lambda w: w.refuse(split, answer, LATER))
    nobody = await refuse(ground, "550 5.7.1 go away", None)
    grey = await refuse(ground, "451 4.7.1 greylisted", "ada@served.example")
    told = {
        each.message.id: [(one.recipient, one.status, one.why) for one in each.standings]
        for each in (await tracked(ground)).mails
    }
    ada = "ada@served.example"
    assert told == {
        queued: [(ada, "queued", "it was not tried yet")],
        deferred: [(ada, "deferred", "451 4.3.2 later")],
        done: [(ada, "bounced", "550 5.1.1 unknown")],
        held.id: [(ada, "quarantined", "the test pattern; shouting")],
        split.id: [(ada, "deferred", ""), ("eve@other.example", "deferred", "later")],
        nobody: [("", "refused", "550 5.7.1 go away")],
        grey: [(ada, "deferred", "451 4.7.1 greylisted")],
    }


async def test_what_was_held_on_its_way_out_stands_under_whom_it_was_for(
    ground: Ground,
) -> None:
    ada, bob = "ada@served.example", "Bob@world.example"
    message = ground.message(direction="out", sender=ada)
    verdict = TraceEvent(at=NOW, event="verdict", mailbox=bob, data={"action": "hold", "category": "SPAM"})
    copy = msgspec.structs.replace(ground.copy(message, ada), folder="Quarantine", held_for=[bob])

    async def stands() -> list[tuple[str, str]]:
        (found,) = (await tracked(ground)).mails
        return [(one.recipient, one.status) for one in found.standings]

    await ground.world.store.write(lambda w: w.keep(message, Body(1, b"x"), [copy], [], [verdict], LATER))
    assert await stands() == [(bob.lower(), "quarantined")]
    gone = TraceEvent(at=NOW + 1, event="deleted", mailbox=ada)
    await ground.world.store.write(lambda w: (w.remove(Copy, All(())), w.note(message.id, [gone], LATER)))
    assert await stands() == [(bob.lower(), "deleted")]


async def test_refusals_that_were_only_counted_are_told_of(ground: Ground) -> None:
    for hour in (NOW // HOUR - 2, NOW // HOUR):
        await ground.world.store.write(lambda w, hour=hour: w.tally(hour, "192.0.2.0/24", "550 5.7.1", 7))  # type: ignore[misc]
    assert (await tracked(ground)).counted == 14
    assert (await tracked(ground, since=NOW)).counted == 7
    assert (await tracked(ground, until=NOW - HOUR)).counted == 7
    assert (await tracked(ground, status=Status.DELIVERED)).counted == 0


async def test_only_who_may_read_all_mails_tracks_them(ground: Ground) -> None:
    """Rules 12: an answer tells of everybody's recipients."""
    for caller in (ground.ada, Caller(admin_id=9, login="nobody")):
        with pytest.raises(Problem) as caught:
            await ground.traces.track(caller, Search())
        assert caught.value.kind is Kind.FORBIDDEN
