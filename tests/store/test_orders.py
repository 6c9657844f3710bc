"""A long list is sorted once for all its pages, and never shown as it was before it changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache

import pytest
from tests.store.samples import NOW, copy, message

from gatepost.model.envelope import Body
from gatepost.model.query import Query, eq, every
from gatepost.store import orders
from gatepost.store.mail import Arrival, Mail
from gatepost.store.migrations import migrate
from gatepost.store.orders import Listed, Orders
from gatepost.store.reader import Reader

BOX = "u@d1.test"
INSIDE = every(eq("mailbox", BOX), eq("folder", "Quarantine"))
NEAR = 100
MANY = 2 * NEAR + 100
SORTS = ("subject", "-subject", "size", "-header_from", "received", "-sent")


@cache
def _folder() -> bytes:
    """Make a database with a folder of more mails than lie near an end; some share a subject and all a size."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        migrate(made)
        made.execute("BEGIN")
        mail = Mail(made)
        for number in range(1, MANY + 1):
            row = message(number, subject=f"{'aBc'[number % 3]}{number % 70}")
            mail.keep([Arrival(row, Body(1, b"x"), [copy(number, mailbox=BOX)], [], [], NOW)])
        made.execute("COMMIT")
        return made.serialize()


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "NEAR", NEAR)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """The folder, for this test alone."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.deserialize(_folder())
        yield made


def listed(reader: Reader) -> Listed:
    (count,) = [each for each in reader.folders(BOX) if each.folder == "Quarantine"]
    return Listed(count.total, count.mark)


@pytest.mark.parametrize("sort", SORTS)
def test_pages_are_the_same_whether_or_not_the_list_was_sorted_as_a_whole(
    connection: sqlite3.Connection, sort: str
) -> None:
    alone, beside = Reader(connection, str), Reader(connection, str, orders=Orders())
    whole = alone.letters(Query(where=INSIDE, sort=sort)).items
    for offset in (0, 40, NEAR - 1, NEAR, MANY // 2, MANY - NEAR - 40, MANY - 40, MANY, 0, 40):
        for limit in (1, 40, None) if offset in (0, MANY // 2) else (40,):
            query = Query(where=INSIDE, sort=sort, offset=offset, limit=limit)
            page = beside.letters(query, listed(beside))
            assert page.items == alone.letters(query, listed(alone)).items == whole[offset:][:limit]
            assert page.total == MANY


def test_a_list_is_sorted_once_and_anew_when_it_changed(connection: sqlite3.Connection) -> None:
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    reader = Reader(connection, str, orders=Orders())
    middle = Query(where=INSIDE, sort="subject", offset=MANY // 2, limit=40)

    def sortings() -> int:
        reader.letters(middle, listed(reader))
        found = [sql for sql in asked if sql.startswith("SELECT c.id") and "LIMIT" not in sql]
        asked.clear()
        return len(found)

    assert [sortings(), sortings(), sortings()] == [1, 0, 0]
    connection.execute("DELETE FROM copy WHERE id = 7")
    assert [sortings(), sortings()] == [1, 0]
    after = reader.letters(middle, listed(reader)).items
    assert after == Reader(connection, str).letters(Query(where=INSIDE, sort="subject")).items[MANY // 2 :][:40]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM copy WHERE id = 7",
        "UPDATE copy SET mailbox = 'v@d1.test' WHERE id = 7",
        "UPDATE copy SET folder = 'INBOX' WHERE id = 7",
        f"UPDATE copy SET mailbox = '{BOX}' WHERE mailbox = 'other@d1.test'",
        "UPDATE copy SET seen = 1",
        f"UPDATE copy SET released_at = {NOW} WHERE id % 2",
    ],
)
def test_no_change_of_a_folder_is_missed(connection: sqlite3.Connection, change: str) -> None:
    arrival = Arrival(message(MANY + 1), Body(1, b"x"), [copy(MANY + 1, mailbox="other@d1.test")], [], [], NOW)
    Mail(connection).keep([arrival])
    reader, middle = (
        Reader(connection, str, orders=Orders()),
        Query(where=INSIDE, sort="subject", offset=MANY // 2, limit=40),
    )
    reader.letters(middle, listed(reader))
    before = connection.total_changes
    connection.execute(change)
    assert connection.total_changes > before
    page = reader.letters(middle, listed(reader))
    whole = Reader(connection, str).letters(Query(where=INSIDE, sort="subject"))
    assert page.items == whole.items[MANY // 2 :][:40]
    assert page.total == len(whole.items)


def test_a_list_that_is_too_long_to_be_kept_is_not_sorted_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "KEPT", MANY - 1)
    middle = Query(offset=NEAR, limit=2)
    assert Orders().window("a", Listed(MANY, 1), middle, lambda: pytest.fail("it was sorted")) is None


def test_what_was_not_asked_for_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "KEPT", 3 * MANY)
    kept, sorted_ = Orders(), []

    def ask(name: str) -> None:
        def sort() -> list[tuple[int]]:
            sorted_.append(name)
            return [(number,) for number in range(MANY)]

        found = kept.window(name, Listed(MANY, 1), Query(offset=NEAR, limit=2), sort)
        assert found == [NEAR, NEAR + 1]

    for name in ("a", "b", "c", "a", "d", "a", "c", "b"):
        ask(name)
    assert sorted_ == ["a", "b", "c", "d", "b"]
