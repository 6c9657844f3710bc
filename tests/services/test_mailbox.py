"""Mailboxes over a real store: who finds what, and what a release needs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import NOW, StillClock, World, open_store

from gatepost.events import Metrics
from gatepost.model.access import Caller
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Message
from gatepost.mta.indexer import Indexer
from gatepost.services import search
from gatepost.services.mailbox import Mailboxes
from gatepost.services.search import Operator, Search
from gatepost.settings import Limits
from gatepost.store import orders
from gatepost.store.search import SearchIndex

pytestmark = pytest.mark.anyio

ROOT = Caller(admin_id=1, login="root", sys_admin=True)
LATER = NOW + 86_400_000
BOB = "bob@served.example"


class Postbox:
    """Takes what is released; the road behind it has its own tests."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.lessons: list[tuple[str, int, bool]] = []

    async def requeue(self, copy: Copy, message: Message) -> bool:
        self.released.append(copy.mailbox)
        return True

    def learn_later(self, mail_id: str, scope: int, *, spam: bool) -> None:
        self.lessons.append((mail_id, scope, spam))


class Ground:
    """A mailbox with mails, and its counter."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.index = SearchIndex(world.store.path)
        self.road = Postbox()
        indexer = Indexer(world.store, self.index, Limits(), Metrics())
        self.mailboxes = Mailboxes(world.store, self.road, indexer, self.road)
        self.bob = Caller()
        self.domain_id = 0
        self.count = 0

    async def build(self) -> None:
        self.domain_id = (await self.world.domain("served.example")).id
        user = await self.world.user(BOB)
        self.bob = self.world.owner(user)

    async def keep(self, subject: str, text: str, *, mailbox: str = BOB, folder: str = "INBOX") -> str:
        self.count += 1
        raw = f"Subject: {subject}\r\n\r\n{text}\r\n".encode()
        message = Message(
            id=f"{NOW + self.count:012x}{self.count:020x}",
            received=NOW + self.count,
            size=len(raw),
            direction="in",
            sender="ada@world.example",
            client_ip="192.0.2.7",
            helo="client.example",
            message_id="",
            subject=subject,
            header_from="Ada <ada@world.example>",
            header_to=BOB,
            header_cc="",
            sent=None,
        )
        copy = Copy(
            mail_id=message.id,
            mailbox=mailbox,
            domain_id=self.domain_id,
            user_id=None,
            folder=folder,
            category="CLEAN",
            score=0.0,
            infected=False,
            stored_at=NOW,
            expires_at=LATER,
        )
        await self.world.store.write(lambda w: w.keep(message, Body(len(raw), raw), [copy], [], [], LATER))
        return message.id

    async def subjects(self, search: Search, caller: Caller | None = None) -> list[str]:
        query = Query(sort="subject", total=True)
        _, page = await self.mailboxes.find(caller or self.bob, BOB, "INBOX", search, query)
        assert page.total == len(page.items)
        return [letter.message.subject for letter in page.items]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    ground = Ground(World(store, clock))
    await ground.build()
    yield ground
    await ground.index.close()
    await store.close()


async def test_a_search_stays_in_its_mailbox_and_folder(ground: Ground) -> None:
    """Rules 12."""
    await ground.keep("mine", "needle")
    await ground.keep("elsewhere", "needle", folder="Archive")
    await ground.keep("another's", "needle", mailbox="eve@served.example")
    assert await ground.subjects(Search(body="needle")) == ["mine"]
    assert await ground.subjects(Search(from_="ada")) == ["mine"]
    assert await ground.subjects(Search(from_="nobody", operator=Operator.NOT)) == ["mine"]


async def test_who_may_not_read_bodies_finds_nothing_out_about_them(ground: Ground) -> None:
    """Rules 12: not even whether a mail with such a text is there."""
    await ground.keep("mine", "needle")
    for text in ("needle", "nowhere"):
        with pytest.raises(Problem) as caught:
            await ground.subjects(Search(body=text), ROOT)
        assert caught.value.kind is Kind.FORBIDDEN


async def test_a_date_that_a_mail_lacks_is_the_day_it_came(ground: Ground) -> None:
    await ground.keep("a", "x")
    await ground.keep("b", "x")
    _, page = await ground.mailboxes.find(ROOT, BOB, "INBOX", Search(), Query(sort="-sent"))
    assert [letter.message.subject for letter in page.items] == ["b", "a"]


async def test_a_folder_far_down_is_shown_as_it_is_now(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "NEAR", 2)

    async def subjects() -> list[str]:
        query = Query(sort="subject", offset=3, limit=3, total=True)
        _, page = await ground.mailboxes.find(ground.bob, BOB, "INBOX", Search(), query)
        assert page.total == total
        return [letter.message.subject for letter in page.items]

    total = len("habcdefg")
    for letter in "habcdefg":
        await ground.keep(letter, "")
    assert await subjects() == await subjects() == ["d", "e", "f"]
    await ground.keep("aa", "")
    await ground.keep("x", "", folder="Quarantine")
    total += 1
    assert await subjects() == ["c", "d", "e"]
    await ground.world.store.write(lambda writer: writer.remove(Copy, eq("id", 1)))  # "h", behind them all
    await ground.world.store.write(lambda writer: writer.remove(Copy, eq("id", 3)))  # "b"
    total -= 2
    assert await subjects() == ["d", "e", "f"]


async def test_a_release_that_is_refused_never_reaches_the_road(ground: Ground) -> None:
    mail_id = await ground.keep("a", "x")
    eve = Caller(user_id=99, login="eve@served.example")
    for caller, lover, kind in (
        (ROOT, True, Kind.PRECONDITION),
        (ground.bob, True, Kind.PRECONDITION),
        (eve, False, Kind.FORBIDDEN),
        (eve, True, Kind.FORBIDDEN),
    ):
        with pytest.raises(Problem) as caught:
            await ground.mailboxes.release(caller, BOB, "INBOX", mail_id, virus_lover=lover)
        assert caught.value.kind is kind
    assert ground.road.released == []
    await ground.mailboxes.release(ground.bob, BOB, "INBOX", mail_id, virus_lover=False)
    assert ground.road.released == [BOB]


async def test_a_mail_is_found_among_any_number_that_bear_its_name(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = "<same@world.example>"
    mine = [await ground.keep("mine", "x") for _ in range(2)]
    others = [await ground.keep("another's", "x", mailbox="eve@served.example") for _ in range(3)]
    for mail_id in (*mine, *others):
        await ground.world.store.write(lambda w, mail_id=mail_id: w.change(Message, mail_id, message_id=same))
    for number in (2, 10):
        monkeypatch.setattr(search, "NAMESAKES", number)
        for name in (same, "same@world.example"):
            _, letter = await ground.mailboxes.get(ROOT, BOB, "INBOX", name)
            assert letter.message.id == mine[1]
        for name in ("<>", "", "<other@world.example>", others[0]):
            with pytest.raises(Problem) as caught:
                await ground.mailboxes.get(ROOT, BOB, "INBOX", name)
            assert caught.value.kind is Kind.NOT_FOUND
