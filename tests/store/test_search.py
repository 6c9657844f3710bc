"""The body search's index: what it finds, for whom, and that it comes back from any loss."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gatepost.model.problem import Kind, Problem
from gatepost.store.search import NAME, Entry, SearchIndex

pytestmark = pytest.mark.anyio

BOB, EVE = "bob@in.test", "eve@in.test"


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SearchIndex]:
    index = SearchIndex(tmp_path)
    yield index
    await index.close()


async def put(index: SearchIndex, mail: str, text: str, mailbox: str = BOB, reached: int | None = None) -> None:
    await index.add([Entry(mail, mailbox, text.split())], reached)


async def test_words_are_found_one_after_the_other_in_the_mailbox_that_is_asked(index: SearchIndex) -> None:
    await put(index, "1", "the red house")
    await put(index, "2", "house red the")
    await put(index, "3", "the red house", EVE)
    assert await index.find(BOB, ["red", "house"]) == ["1"]
    assert sorted(await index.find("BOB@in.test", ["red"])) == ["1", "2"]
    assert await index.find(EVE, ["house"]) == ["3"]
    assert await index.find(BOB, ["hous"]) == await index.find(BOB, []) == []


async def test_a_word_may_be_begun_only(index: SearchIndex) -> None:
    await put(index, "1", "an invoice for you")
    assert await index.find(BOB, ["an", "invo"], begun=True) == ["1"]
    assert await index.find(BOB, ["in"], begun=True) == []  # of so few characters there are too many
    assert await index.find(BOB, ["invo"]) == []


async def test_a_text_can_not_pretend_to_be_another_mailboxs(index: SearchIndex) -> None:
    await put(index, "1", "x", EVE)
    with closing(sqlite3.connect(index.path)) as there:
        (token,) = there.execute("SELECT mailbox FROM text").fetchone()
    await put(index, "2", f"secret {token}", BOB)
    assert await index.find(EVE, ["secret"]) == []
    for words in (["secret", "OR"], ["a", "NOT"], ["near"], ["words"]):
        assert await index.find(BOB, words) == []


async def test_a_mail_is_taken_in_once_and_let_go_for_one_mailbox(index: SearchIndex) -> None:
    for text in ("first", "second"):
        await put(index, "1", text)
    await put(index, "1", "first", EVE)
    assert await index.lacking([Entry("1", BOB), Entry("2", BOB)]) == [Entry("2", BOB)]
    assert (await index.find(BOB, ["first"]), await index.find(BOB, ["second"])) == (["1"], [])
    await index.forget([Entry("1", BOB), Entry("9", BOB)])
    assert (await index.find(BOB, ["first"]), await index.find(EVE, ["first"])) == ([], ["1"])
    with closing(sqlite3.connect(index.path)) as there:
        assert there.execute("SELECT count(*) FROM text").fetchone() == (1,)


async def test_it_stays_over_a_restart_and_is_its_owners_alone(index: SearchIndex, tmp_path: Path) -> None:
    await put(index, "1", "word", reached=7)
    await index.close()
    again = SearchIndex(tmp_path)
    assert (await again.reached(9), await again.find(BOB, ["word"])) == (7, ["1"])
    assert {file.stat().st_mode & 0o077 for file in files(tmp_path)} == {0}
    await again.close()


def files(directory: Path) -> list[Path]:
    found = list(directory.iterdir())
    assert found
    return found


@pytest.mark.parametrize("loss", ["missing", "no database", "other version", "other tables", "half a file", "ahead"])
async def test_it_begins_anew_after_any_loss(index: SearchIndex, tmp_path: Path, loss: str) -> None:
    for number in range(200):
        await put(index, str(number), "word " * 200, reached=number)
    await index.close()
    file = tmp_path / NAME
    match loss:
        case "missing":
            file.unlink()
        case "no database":
            file.write_bytes(b"no database at all" * 1000)
        case "half a file":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        case "ahead":
            pass
        case _:
            with closing(sqlite3.connect(file)) as there:
                there.execute("PRAGMA user_version = 99" if loss == "other version" else "DROP TABLE doc")
    again = SearchIndex(tmp_path)
    reached = await until_it_works(again, newest=100)
    assert reached == 0
    await put(again, "1", "fresh", reached=1)
    assert (await again.find(BOB, ["fresh"]), await again.find(BOB, ["word"])) == (["1"], [])
    await again.close()


async def until_it_works(index: SearchIndex, newest: int) -> int:
    """Damage is told once to who met it, then mended."""
    for _ in range(3):
        try:
            reached = await index.reached(newest)
            await index.find(BOB, ["word"])
        except Problem as problem:
            assert problem.kind is Kind.UNAVAILABLE
        else:
            return reached
    raise AssertionError("it stays unusable")


async def test_damage_that_shows_while_it_works_is_mended(index: SearchIndex) -> None:
    for number in range(50):
        await put(index, str(number), f"word {number} " * 300, reached=number)
    with closing(sqlite3.connect(index.path)) as there:
        there.execute("PRAGMA writable_schema=1")
        there.execute("UPDATE text_data SET block = x'00ff00ff' WHERE id > 10")
        there.commit()
    with pytest.raises(Problem) as caught:
        await index.find(BOB, ["word"])
    assert caught.value.kind is Kind.UNAVAILABLE
    assert await index.reached(100) == 0


async def test_a_place_that_can_not_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    index = SearchIndex(tmp_path / "later")
    with pytest.raises(Problem) as caught:
        await index.reached(0)
    assert caught.value.kind is Kind.UNAVAILABLE
    (tmp_path / "later").mkdir()
    assert await index.reached(0) == 0
    await index.close()


async def test_nothing_is_asked_of_one_that_is_being_closed(index: SearchIndex) -> None:
    await put(index, "1", "an invoice")
    closing = asyncio.create_task(index.close())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="after shutdown"):
        await index.find(BOB, ["invoice"])
    await closing
    assert not index.path.with_name(f"{NAME}-wal").exists()
