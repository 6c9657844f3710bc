"""The mail that an address bears, whatever becomes of the address while it is moved."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import StillClock, World, open_store
from tests.store.samples import DAY, NOW, copy, event, message

from gatepost.model.envelope import Body
from gatepost.model.query import Query
from gatepost.model.stored import Copy
from gatepost.model.tenant import User
from gatepost.services import members
from gatepost.services.members import move_first, move_mail

pytestmark = pytest.mark.anyio

BOB, ROB, ROBERT = "bob@served.example", "rob@served.example", "robert@served.example"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    yield World(store, clock)
    await store.close()


@pytest.fixture
async def bob(world: World) -> User:
    await world.domain("served.example")
    return await world.user(BOB)


async def keep_mail(world: World, number: int, mailbox: str) -> None:
    body, copies = Body(5, b"mail\n"), [copy(number, mailbox=mailbox)]
    await world.store.write(lambda writer: writer.keep(message(number), body, copies, [], [event()], NOW + DAY))


async def rename(world: World, user: User, email: str) -> int:
    """Give an account another address; return the newest copy then."""
    await world.store.write(lambda writer: writer.change(User, user.id, email=email))
    return world.store.reader.newest_copy()


def mailboxes(world: World) -> dict[str, str]:
    """Whose copy there is of each mail."""
    return {each.mail_id[-1]: each.mailbox for each in world.store.reader.find(Copy, Query()).items}


async def test_a_few_mails_change_hands_with_the_address_at_once(world: World, bob: User) -> None:
    await keep_mail(world, 1, BOB)
    assert await world.store.write(lambda writer: move_first(writer, bob, ROBERT)) == 0, "nothing is left"
    assert mailboxes(world) == {"1": ROBERT}
    assert await world.store.write(lambda writer: move_first(writer, bob, BOB)) == 0


async def test_many_mails_go_along_a_slice_at_a_time(world: World, bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SLICE", 2)
    for number in range(1, 6):
        await keep_mail(world, number, BOB)
    await rename(world, bob, ROBERT)
    upto = await world.store.write(lambda writer: move_first(writer, bob, ROBERT))
    assert list(mailboxes(world).values()).count(ROBERT) == 2
    await move_mail(world.store, bob, upto)
    assert set(mailboxes(world).values()) == {ROBERT} and len(mailboxes(world)) == 5


async def test_what_comes_for_the_next_holder_of_an_address_is_not_the_former_ones(world: World, bob: User) -> None:
    await keep_mail(world, 1, BOB)
    upto = await rename(world, bob, ROBERT)
    await world.user(BOB)
    await keep_mail(world, 2, BOB)
    await move_mail(world.store, bob, upto)
    assert mailboxes(world) == {"1": ROBERT, "2": BOB}


async def test_mail_follows_an_address_that_changes_again_while_it_is_moved(world: World, bob: User) -> None:
    await keep_mail(world, 1, BOB)
    first = await rename(world, bob, ROB)
    rob = world.store.reader.get(User, bob.id)
    assert rob
    await keep_mail(world, 2, ROB)
    second = await rename(world, bob, ROBERT)
    await move_mail(world.store, rob, second)
    await move_mail(world.store, bob, first)
    assert mailboxes(world) == {"1": ROBERT, "2": ROBERT}


async def test_mail_stays_with_an_address_that_is_given_back_while_it_is_moved(world: World, bob: User) -> None:
    await keep_mail(world, 1, BOB)
    upto = await rename(world, bob, ROB)
    await rename(world, bob, BOB)
    await move_mail(world.store, bob, upto)
    assert mailboxes(world) == {"1": BOB}
