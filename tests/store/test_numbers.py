"""Ids of deliveries are reserved in blocks, and none comes twice: the done log knows them longer than the rows live."""

from pathlib import Path

import pytest
from tests.store.samples import mail_id, open_store
from tests.store.test_bulk import arrival
from tests.store.test_commit import together

from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.model.stored import Delivery
from gatepost.store.numbers import BLOCK
from gatepost.store.store import Store
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio


def highest(store: Store) -> int:
    return store.reader._number("SELECT seq FROM sqlite_sequence WHERE name = 'delivery'", [])


async def kept(store: Store, number: int, deliveries: int = 1) -> list[int]:
    return (await store.write(arrival(number, deliveries=deliveries))).deliveries


async def test_the_highest_number_is_written_once_for_many_deliveries(store: Store) -> None:
    assert [await kept(store, number) for number in (1, 2, 3)] == [[1], [2], [3]]
    assert highest(store) == BLOCK


async def test_a_block_that_is_too_small_is_followed_by_the_next(store: Store) -> None:
    assert await kept(store, 1, BLOCK - 1) == list(range(1, BLOCK))
    assert await kept(store, 2, 3) == [BLOCK + 1, BLOCK + 2, BLOCK + 3]
    assert await kept(store, 3, 2 * BLOCK) == list(range(2 * BLOCK + 1, 4 * BLOCK + 1))


async def test_after_a_start_no_number_comes_again_even_of_deliveries_that_are_gone(directory: Path) -> None:
    store = open_store(directory)
    assert await kept(store, 1, 2) == [1, 2]
    await store.write(lambda writer: writer.remove(Delivery, eq("mail_id", mail_id(1))))
    await store.close()
    store = open_store(directory)
    assert await kept(store, 2) == [BLOCK + 1]
    await store.close()


async def test_a_reservation_that_was_taken_back_is_not_used(store: Store) -> None:
    def fails(writer: Writer) -> None:
        writer.mail.keep([arrival(1)])
        raise Problem(Kind.CONFLICT, "on second thoughts")

    with pytest.raises(Problem):
        await store.write(fails)
    assert await kept(store, 2) == [1] and highest(store) == BLOCK


async def test_nor_is_that_of_a_batch_whose_changes_are_made_one_by_one(store: Store) -> None:
    await store.write(arrival(1, deliveries=0, copies=1))
    first, again, third = await together(store, arrival(2), arrival(1), arrival(3))
    assert isinstance(again, Problem)
    assert first.deliveries + third.deliveries == [1, BLOCK + 1] and highest(store) == 2 * BLOCK
