"""Searches mean what they say: against a plain model of AND, OR and NOT over real mails, index and all."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.house import NOW, StillClock, World, open_store
from tests.store.samples import DAY, copy, message

from gatepost.events import Metrics
from gatepost.model.envelope import Body
from gatepost.model.query import Query
from gatepost.model.stored import Message
from gatepost.mta.indexer import Indexer
from gatepost.services.mailbox import Mailboxes
from gatepost.services.search import Operator, Search
from gatepost.settings import Limits
from gatepost.store.search import SearchIndex
from gatepost.store.store import Writer

BOB = "bob@in.test"
WORDS = ["red", "Green", "50%", "a_b", "o'neil", "Äpfel", "red green"]
SORTS = ["sent", "subject", "header_from", "size", "received"]
MAILS = 40


class Kept(msgspec.Struct, frozen=True):
    """A mail of the model."""

    message: Message
    text: str
    folder: str


def kept(number: int) -> Kept:
    """Mails that differ in everything, with the same few words everywhere."""
    pick = [WORDS[(number * step + step // 2) % len(WORDS)] for step in (1, 2, 3, 5, 8)]
    row = message(
        number,
        subject=pick[0],
        header_from=f"{pick[1]} <x@out.test>",
        header_to=pick[2],
        header_cc=pick[3] if number % 2 else "",
        message_id=f"<{number % 7}@out.test>",
        received=NOW + number // 3,
        sent=None if number % 5 == 0 else NOW - number % 11,
        size=100 + number % 4,
    )
    return Kept(row, f"{pick[4]} and {pick[0]}.", "Archive" if number % 9 == 0 else "INBOX")


MODEL = [kept(number) for number in range(1, MAILS + 1)]


class Ground:
    """A mailbox with the model's mails."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.store = open_store(directory, StillClock(), reserve_bytes=0, reserve_percent=0.0)
        self.index = SearchIndex(directory)
        indexer = Indexer(self.store, self.index, Limits(), Metrics())
        self.mailboxes = Mailboxes(self.store, None, indexer, None)  # type: ignore[arg-type]
        self.loop.run_until_complete(self._fill())

    async def _fill(self) -> None:
        world = World(self.store, StillClock())
        await world.domain("in.test")
        user = await world.user(BOB)
        self.bob = world.owner(user)
        for each in MODEL:
            await self.store.write(lambda writer, each=each: _keep(writer, each))

    def find(self, search: Search, query: Query) -> tuple[list[str], int | None]:
        found = self.mailboxes.find(self.bob, BOB, "INBOX", search, query)
        _, page = self.loop.run_until_complete(found)
        return [letter.message.id for letter in page.items], page.total

    def close(self) -> None:
        self.loop.run_until_complete(self.index.close())
        self.store.close_sync()
        self.loop.close()


def _keep(writer: Writer, each: Kept) -> None:
    raw = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{each.text}\r\n".encode()
    held = [copy(int(each.message.id, 16), folder=each.folder)]
    writer.keep(each.message, Body(len(raw), raw), held, [], [], NOW + DAY)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    ground = Ground(tmp_path_factory.mktemp("search") / "state")
    yield ground
    ground.close()


# What a search means.


def holds(each: Kept, search: Search) -> bool:
    row = each.message
    texts = ((search.from_, row.header_from), (search.to, row.header_to), (search.cc, row.header_cc))
    said = [asked.casefold() in text.casefold() for asked, text in (*texts, (search.subject, row.subject)) if asked]
    if search.id:
        said.append(search.id in (row.id, row.message_id, row.message_id.strip("<>")))
    if search.body:
        said.append(search.body.casefold() in each.text.casefold())
    if search.received_after is not None:
        said.append(row.received >= search.received_after)
    if search.received_before is not None:
        said.append(row.received <= search.received_before)
    if search.operator is Operator.NOT:
        return not any(said)
    return (any(said) or not said) if search.operator is Operator.OR else all(said)


def place(each: Kept, sort: str) -> tuple[object, str]:
    row = each.message
    value = row.sent or row.received if sort == "sent" else getattr(row, sort)
    return (value.encode().lower() if isinstance(value, str) else value, row.id)


TEXT = st.none() | st.sampled_from([*WORDS, "e", "nowhere", "%", "_", "'", "x@out.test"])
MOMENT = st.none() | st.integers(NOW, NOW + MAILS // 3 + 1)


@settings(deadline=None)
@given(
    search=st.builds(
        Search,
        id=st.none() | st.sampled_from(["3@out.test", "<4@out.test>", MODEL[0].message.id, "nothing"]),
        from_=TEXT,
        to=TEXT,
        cc=TEXT,
        subject=TEXT,
        body=st.none() | st.sampled_from([*WORDS, "and", "red green and", "nowhere"]),
        received_after=MOMENT,
        received_before=MOMENT,
        operator=st.sampled_from(Operator),
    ),
    sort=st.sampled_from(SORTS),
    back=st.booleans(),
    offset=st.integers(0, MAILS),
    limit=st.integers(1, MAILS),
)
def test_a_search_finds_what_its_criteria_say_and_nothing_else(
    ground: Ground, search: Search, sort: str, offset: int, limit: int, *, back: bool
) -> None:
    """Contract 5.7.8, A39, A40; threats 125, 126."""
    matching = [each for each in MODEL if each.folder == "INBOX" and holds(each, search)]
    ordered = [each.message.id for each in sorted(matching, key=lambda each: place(each, sort), reverse=back)]
    query = Query(sort=f"-{sort}" if back else sort, offset=offset, limit=limit, total=True)
    assert ground.find(search, query) == (ordered[offset : offset + limit], len(ordered))
