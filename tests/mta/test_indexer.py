"""The indexer over a real store: what is committed can be found, what is gone can't, and no loss lasts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import NOW, StillClock, open_store
from tests.store.samples import DAY, copy, mail_id, message

from gatepost.events import Metrics
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.model.stored import Copy
from gatepost.mta import indexer
from gatepost.mta.indexer import Indexer
from gatepost.settings import Limits
from gatepost.store.search import SearchIndex
from gatepost.store.store import Store, Writer

pytestmark = pytest.mark.anyio

BOB, EVE = "bob@in.test", "eve@in.test"


class Shelves:
    """A store with an index of it, both of which may be opened again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.open()

    def open(self) -> None:
        self.store: Store = open_store(self.directory, StillClock(), reserve_bytes=0, reserve_percent=0.0)
        self.index = SearchIndex(self.directory)
        self.metrics = Metrics()
        self.indexer = Indexer(self.store, self.index, Limits(), self.metrics)

    async def close(self) -> None:
        await self.index.close()
        await self.store.close()

    async def keep(self, number: int, text: str, *mailboxes: str, folders: tuple[str, ...] = ("INBOX",)) -> None:
        raw = f"Subject: x\r\n\r\n{text}\r\n".encode()
        held = [copy(number, mailbox=each, folder=folder) for each in mailboxes or (BOB,) for folder in folders]

        def change(writer: Writer) -> None:
            writer.keep(message(number, size=len(raw)), Body(len(raw), raw), held, [], [], NOW + 900 * DAY)

        await self.store.write(change)

    async def found(self, text: str, mailbox: str = BOB) -> list[int]:
        return sorted(int(each, 16) for each in await self.indexer.matching(mailbox, text))

    def behind(self) -> float | None:
        return self.metrics.registry.get_sample_value("gatepost_search_behind")


@pytest.fixture
async def shelves(tmp_path: Path) -> AsyncIterator[Shelves]:
    shelves = Shelves(tmp_path / "state")
    yield shelves
    await shelves.close()


async def test_what_is_committed_is_found_whether_it_was_taken_in_or_not(shelves: Shelves) -> None:
    await shelves.keep(1, "The Needle, in a haystack")
    await shelves.indexer.run()
    await shelves.keep(2, "another needle")
    await shelves.keep(3, "needle of another", EVE)
    assert await shelves.found("needle") == [1, 2]
    assert await shelves.found("NEEDLE in a hay*") == [1]
    assert await shelves.found("needle", EVE) == [3]
    for text in ("hay", "nee dle", "*", "...", "", "a needle"):
        assert await shelves.found(text) == []


async def test_a_restart_goes_on_where_it_was(shelves: Shelves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "SLICE", 3)
    for number in range(1, 11):
        await shelves.keep(number, f"word number{number}", BOB, EVE)
    await shelves.indexer._step()
    await shelves.close()
    shelves.open()
    await shelves.indexer.run()
    assert shelves.behind() == 0
    assert await shelves.found("word") == await shelves.found("word", EVE) == list(range(1, 11))


async def test_a_mail_that_cannot_be_read_keeps_no_other_from_being_found(shelves: Shelves) -> None:
    for number in (1, 2):
        await shelves.keep(number, "word")
    shelves.store.spool.path(mail_id(1)).mkdir(parents=True)  # in the place of its file
    gone = "UPDATE body SET data = NULL WHERE mail_id = ?"
    await shelves.store.write(lambda writer: writer._connection.execute(gone, [mail_id(1)]).rowcount)
    await shelves.indexer.run()
    assert (shelves.behind(), await shelves.found("word")) == (0, [2])


@pytest.mark.parametrize("while_open", [False, True])
async def test_an_index_that_is_lost_is_filled_again(shelves: Shelves, *, while_open: bool) -> None:
    await shelves.keep(1, "word")
    await shelves.indexer.run()
    if while_open:
        await shelves.index._run(lambda connection: connection.execute("DROP TABLE doc"))
        with pytest.raises(Problem):
            await shelves.found("word")
    else:
        await shelves.close()
        shelves.index.path.unlink()
        shelves.open()
    await shelves.indexer.run()
    assert await shelves.found("word") == [1]
    await shelves.keep(2, "word")  # and mail is kept all the while
    assert await shelves.found("word") == [1, 2]


async def test_it_goes_on_by_itself_once_its_file_can_be_used(
    shelves: Shelves, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "PERIOD", 0.01)
    await shelves.keep(1, "word")
    shelves.index.path.mkdir()
    await shelves.indexer.start()
    with pytest.raises(Problem):
        await shelves.found("word")
    await shelves.keep(2, "word")
    shelves.index.path.rmdir()
    async with asyncio.timeout(60):
        while await reached(shelves.index) < 2 or shelves.behind():
            await shelves.store.write(lambda writer: None)
    await shelves.indexer.stop()
    assert await texts(shelves.index) == 2


async def reached(index: SearchIndex) -> int:
    try:
        return await index.reached(9)
    except Problem:
        return 0


async def test_text_goes_with_the_last_copy_of_its_mailbox(shelves: Shelves) -> None:
    await shelves.keep(1, "word", BOB, EVE, folders=("INBOX", "Quarantine"))
    await shelves.indexer.run()
    remove = shelves.store.write
    await remove(lambda writer: writer.remove(Copy, eq("id", 1)))
    await shelves.indexer.run()
    assert await texts(shelves.index) == 2
    await remove(lambda writer: writer.remove(Copy, eq("mailbox", BOB)))
    await shelves.indexer.run()
    assert (await texts(shelves.index), await shelves.found("word"), await shelves.found("word", EVE)) == (1, [], [1])
    assert shelves.store.reader.uncopied(9) == []
    await remove(lambda writer: writer.purge(NOW + 9999 * DAY))
    await shelves.indexer.run()
    assert await texts(shelves.index) == 0


async def test_a_copy_that_came_back_before_its_text_went_stays_searchable(shelves: Shelves) -> None:
    await shelves.keep(1, "word", BOB, EVE)
    await shelves.indexer.run()
    await shelves.store.write(lambda writer: writer.remove(Copy, eq("mailbox", BOB)))
    await shelves.store.write(lambda writer: writer.add(copy(1, mailbox=BOB)))
    await shelves.indexer.run()
    assert await shelves.found("word") == [1]


async def texts(index: SearchIndex) -> int:
    return int(await index._run(lambda connection: connection.execute("SELECT count(*) FROM text").fetchone()[0]))


async def test_a_search_that_would_have_to_wait_for_too_many_says_so(
    shelves: Shelves, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "BEHIND", 3)
    for number in range(1, 5):
        await shelves.keep(number, "word")
    await shelves.keep(9, "word", EVE)
    with pytest.raises(Problem) as caught:
        await shelves.found("word")
    assert caught.value.kind is Kind.UNAVAILABLE
    assert await shelves.found("word", EVE) == [9]
    await shelves.indexer.run()
    assert await shelves.found("word") == [1, 2, 3, 4]


async def test_only_the_beginning_of_a_long_text_is_searched(shelves: Shelves) -> None:
    await shelves.keep(1, "first " + "filler " * (indexer.TEXT_BYTES // 7) + "last")
    assert (await shelves.found("first"), await shelves.found("last")) == ([1], [])


async def test_without_room_nothing_is_taken_in(tmp_path: Path) -> None:
    shelves = Shelves(tmp_path / "state")
    await shelves.keep(1, "word")
    shelves.store._settings = shelves.store._settings.__class__(reserve_percent=100.0)
    shelves.store._space = (0, False)
    await shelves.indexer.run()
    assert await texts(shelves.index) == 0
    await shelves.close()


async def test_mail_whose_bytes_are_gone_says_nothing(shelves: Shelves) -> None:
    await shelves.keep(1, "word")
    await shelves.store.write(lambda writer: writer._connection.execute("DELETE FROM body"))
    await shelves.keep(2, "word")
    await shelves.indexer.run()
    assert await shelves.found("word") == [2]
    assert mail_id(2) in await shelves.indexer.matching("BOB@in.test", "Wörd")
