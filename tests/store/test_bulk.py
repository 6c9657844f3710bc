"""Changes that many ask for at once are made together; each has its own answer all the same."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from tests.store.samples import DAY, NOW, copy, delivery, domain, event, mail_id, message
from tests.store.test_commit import adds, together

from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq
from gatepost.model.stored import Copy, Delivery, Message, State
from gatepost.model.suppression import Cause, Suppression
from gatepost.store.bulk import Keep, Settle
from gatepost.store.store import Store
from gatepost.store.wide import MOST, Wide
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio


def arrival(
    number: int,
    *,
    copies: int = 0,
    deliveries: int = 1,
    body: Body | None = None,
    beside: Sequence[Callable[[Writer], object]] = (),
    **changes: Any,
) -> Keep:
    body = body or Body(5, b"mail\n")
    row = message(number, size=body.size, spooled=body.path is not None, **changes)
    held = [copy(number, mailbox=f"bob{each}@in.test") for each in range(copies)]
    return Keep(row, body, held, [delivery(number)] * deliveries, [event(f"mail {number}")], NOW + 30 * DAY, beside)


def settled(number: int, delivery_id: int, state: State = State.DELIVERED) -> Settle:
    row = delivery(number, id=delivery_id, state=state, attempts=1, last_reply=f"250 ok {number}", done_at=NOW)
    return Settle([row])


def statements(store: Store) -> list[str]:
    """What the writer runs from now on."""
    said: list[str] = []
    store._opened.connection.set_trace_callback(said.append)
    return said


async def test_mails_kept_together_get_each_its_own_rows(store: Store) -> None:
    mails = [arrival(number, copies=number % 3, deliveries=1 + number % 2) for number in range(1, 76)]
    kept = await together(store, *mails)
    for number, ids in enumerate(kept, 1):
        assert len(ids.copies) == number % 3 and len(ids.deliveries) == 1 + number % 2
        rows = [store.reader.get(Delivery, each) for each in ids.deliveries]
        copies = [store.reader.get(Copy, each) for each in ids.copies]
        assert {row.mail_id for row in (*rows, *copies) if row} == {mail_id(number)}
        assert [row.mailbox for row in copies if row] == [f"bob{each}@in.test" for each in range(number % 3)]
        assert store.reader.body(mail_id(number)) == Body(5, b"mail\n")
        assert [each.text for each in store.reader.trace(mail_id(number))] == [f"mail {number}"]


async def test_many_mails_take_few_statements(store: Store) -> None:
    await store.write(arrival(1000))  # it has numbers of deliveries reserved
    count = 2 * MOST
    said = statements(store)
    await together(store, *(arrival(number) for number in range(1, count + 1)))
    inserts = {each for each in said if each.startswith("INSERT")}  # a trigger says its statement's text again
    assert len(inserts) == 4 * 2  # message, body, delivery, trace
    said.clear()
    news = [arrival(count + number) for number in range(1, MOST + 1)]
    await together(store, *(settled(number, number + 1) for number in range(1, count + 1)), *news)
    kinds = [each.lstrip().split()[0] for each in said if not each.startswith("INSERT")]
    # How they stand, what is told of them, which bodies nobody needs, and those that new ones come over and that go.
    assert (kinds.count("UPDATE"), kinds.count("SELECT"), kinds.count("DELETE")) == (2 + 2 + 1, 2, 1)
    assert sorted(places(store)) == sorted(mail_id(number) for number in (*range(count + 1, count + MOST + 1), 1000))


async def test_for_a_mail_that_comes_alone_sqlite_makes_no_table_of_its_ids(store: Store) -> None:
    said = statements(store)
    await store.write(arrival(1))
    await store.write(settled(1, 1))
    (settles,) = (each for each in said if each.startswith("UPDATE OR FAIL delivery"))
    made = store._opened.connection.execute(f"EXPLAIN {settles}").fetchall()
    assert "OpenEphemeral" not in [step[1] for step in made]


async def test_a_large_body_that_goes_is_not_written_once_more(store: Store) -> None:
    await store.write(arrival(1, body=Body(200_000, bytes(200_000))))
    store._opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    await store.write(settled(1, 1))
    assert store.reader.body(mail_id(1)) is None
    assert store._opened.wal.stat().st_size < 200_000


async def test_a_mail_that_is_there_already_fails_alone(store: Store) -> None:
    await store.write(arrival(2))
    one, two, three, name = await together(store, arrival(1), arrival(2), arrival(3), adds(domain()))
    assert isinstance(two, Problem) and two.kind is Kind.CONFLICT
    rows = [store.reader.get(Delivery, id) for kept in (one, three) for id in kept.deliveries]
    assert [row and row.mail_id for row in rows] == [mail_id(1), mail_id(3)] and name.id == 1
    assert [store.reader.get(Message, mail_id(number)) for number in (1, 3)] == [message(1), message(3)]


async def test_one_mail_twice_in_a_batch_is_kept_once(store: Store) -> None:
    answers = await together(store, arrival(1), arrival(1))
    assert sorted(type(each).__name__ for each in answers) == ["Kept", "Problem"]
    assert store.reader.count(Delivery, eq("mail_id", mail_id(1))) == 1


async def test_no_unicode_in_one_mail_is_mended_for_all(store: Store) -> None:
    await together(store, arrival(1), arrival(2, subject="a\udcff"), arrival(3, subject="\u00e9"))
    subjects = [row.subject for number in (1, 2, 3) if (row := store.reader.get(Message, mail_id(number)))]
    assert subjects == [message(1).subject, "a?", "\u00e9"]


async def test_deliveries_settled_together_stand_each_for_itself(store: Store) -> None:
    await together(store, *(arrival(number, copies=number == 3) for number in range(1, 5)))
    states = {1: State.DELIVERED, 2: State.QUEUED, 3: State.BOUNCED, 4: State.HELD}
    await together(store, *(settled(number, number, state) for number, state in states.items()))
    for number, state in states.items():
        row = store.reader.get(Delivery, number)
        assert row == msgspec.structs.replace(settled(number, number, state).deliveries[0])
    there = [number for number in states if store.reader.body(mail_id(number)) is not None]
    assert there == [2, 3, 4]  # what waits, and what a folder holds


async def test_the_last_of_several_deliveries_takes_the_bytes_along(store: Store) -> None:
    kept = await store.write(arrival(1, deliveries=3))
    first, second, third = kept.deliveries
    await together(store, settled(1, first), settled(1, second))
    assert store.reader.body(mail_id(1)) is not None
    await store.write(settled(1, third))
    assert store.reader.body(mail_id(1)) is None
    done = store.reader.find(Delivery, Query(where=Where("state", Op.EQ, State.DELIVERED)))
    assert len(done.items) == 3 and store.reader.get(Message, mail_id(1)) is not None


def places(store: Store) -> dict[str, int]:
    """The row of each body."""
    rows = store._opened.connection.execute("SELECT mail_id, rowid FROM body").fetchall()
    return dict(rows)


def small(number: int) -> Body:
    data = bytes([number]) * 6000  # one to a page
    return Body(len(data), data)


async def test_new_bytes_are_written_over_those_that_nobody_needs(store: Store) -> None:
    await together(store, *(arrival(number, body=small(number), copies=number == 4) for number in range(1, 7)))
    before = places(store)
    pages = store._opened.connection.execute("PRAGMA page_count").fetchone()
    await together(
        store, arrival(7, body=small(7)), settled(2, 2), settled(4, 4), settled(5, 5), arrival(8, body=small(8))
    )
    after = places(store)
    assert sorted(after) == [mail_id(number) for number in (1, 3, 4, 6, 7, 8)]  # a folder holds the fourth
    assert {after[mail_id(7)], after[mail_id(8)]} == {before[mail_id(2)], before[mail_id(5)]}
    for number in (1, 3, 4, 6, 7, 8):
        assert store.reader.body(mail_id(number)) == small(number)
    assert store._opened.connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    assert store._opened.connection.execute("PRAGMA page_count").fetchone() == pages


async def test_bytes_go_though_fewer_come_and_come_though_fewer_go(store: Store) -> None:
    await together(store, *(arrival(number) for number in range(1, 5)))
    await together(store, arrival(5), *(settled(number, number) for number in (1, 2, 3)))
    assert sorted(places(store)) == [mail_id(4), mail_id(5)]
    await together(store, *(arrival(number) for number in (6, 7, 8)), settled(4, 4))
    assert sorted(places(store)) == [mail_id(number) for number in (5, 6, 7, 8)]
    await together(store, *(settled(number, number) for number in (5, 6)), arrival(9, deliveries=0))
    assert sorted(places(store)) == [mail_id(7), mail_id(8)]


async def test_bytes_that_nobody_needs_go_though_the_mail_that_comes_in_their_place_fails(store: Store) -> None:
    await together(store, arrival(1), arrival(2, body=small(2)))
    twice, _ = await together(store, arrival(2, body=small(9)), settled(1, 1))
    assert isinstance(twice, Problem) and twice.kind is Kind.CONFLICT
    assert sorted(places(store)) == [mail_id(2)] and store.reader.body(mail_id(2)) == small(2)
    await store.write(arrival(3))
    assert sorted(places(store)) == [mail_id(2), mail_id(3)]


async def test_bytes_of_a_file_and_of_a_row_come_in_each_others_place(store: Store) -> None:
    draft = store.spool.draft()
    draft.write(b"x" * 300_000)
    file = await store.spool.adopt(await store.spool.finish(draft), mail_id(2))
    await together(store, arrival(1))
    await together(store, settled(1, 1), arrival(2, body=file))
    path = store.spool.path(mail_id(2))
    assert store.reader.body(mail_id(2)) == Body(300_000, path=str(path)) and path.exists()
    await together(store, settled(2, 2), arrival(3))
    assert store.reader.body(mail_id(3)) == Body(5, b"mail\n") and sorted(places(store)) == [mail_id(3)]
    await asyncio.to_thread(store.close_sync)
    assert not path.exists()


async def test_files_go_with_the_last_of_those_settled_together(store: Store) -> None:
    for number in (1, 2):
        draft = store.spool.draft()
        draft.write(b"x" * 300_000)
        body = await store.spool.adopt(await store.spool.finish(draft), mail_id(number))
        await store.write(arrival(number, body=body, copies=number - 1))
    await together(store, settled(1, 1), settled(2, 2))
    await asyncio.to_thread(store.close_sync)
    assert [store.spool.path(mail_id(number)).exists() for number in (1, 2)] == [False, True]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 200])
async def test_statements_are_over_all_rows_in_order(count: int) -> None:
    rows = [(number, str(number)) for number in range(count)]
    bound = []
    for sql, values in Wide("INSERT INTO t VALUES {rows}", 2).over(rows):
        assert sql.count("?") == len(values) <= 2 * MOST
        bound += values
    assert bound == [each for row in rows for each in row]


async def test_what_goes_beside_a_mail_shares_its_fate(store: Store) -> None:
    def refuse(_: Writer) -> None:
        raise Problem(Kind.TOO_LARGE, "too much")

    said = statements(store)
    beside = [arrival(each, beside=[adds(suppression(each))]) for each in (1, 2, 3)]
    answers = await together(store, *beside, arrival(4, beside=[adds(suppression(4)), refuse]))
    assert [type(each).__name__ for each in answers] == ["Kept", "Kept", "Kept", "Problem"]
    kept = [number for number in (1, 2, 3, 4) if store.reader.get(Message, mail_id(number))]
    listed = [row.address for row in store.reader.find(Suppression, Query()).items]
    assert (kept, listed) == ([1, 2, 3], [f"u{number}@far.test" for number in kept])
    said.clear()
    await together(store, *(arrival(n, beside=[adds(suppression(n))]) for n in (5, 6)))
    assert sum(each.startswith('INSERT OR FAIL INTO "message"') for each in said) == 1


async def test_what_goes_beside_a_mail_counts_as_a_change_of_configuration_where_it_is_one(store: Store) -> None:
    before = store.generation
    await together(store, arrival(1), arrival(2, beside=[adds(domain())]))
    assert store.generation == before + 1


def suppression(number: int) -> Suppression:
    return Suppression(domain_id=1, address=f"u{number}@far.test", cause=Cause.BOUNCE, created_at=NOW)
