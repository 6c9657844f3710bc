"""The mail that an address bears, whatever becomes of the address, or of this program, while it is moved."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import StillClock, World, open_store
from tests.store.samples import DAY, NOW, copy, event, message

from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Relocation
from gatepost.model.tenant import Domain, DomainStatus, Group, User
from gatepost.services import relocations
from gatepost.services.members import rename
from gatepost.services.relocations import Relocations, finish
from gatepost.services.users import own_address
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

BOB, ROB, ROBERT = "bob@served.example", "rob@served.example", "robert@served.example"


@pytest.fixture(autouse=True)
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocations, "SLICE", 2)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = StillClock(NOW)
    store = open_store(tmp_path / "state", clock)
    yield World(store, clock)
    await store.close()


@pytest.fixture
async def bob(world: World) -> User:
    await world.domain("served.example")
    return await world.user(BOB)


async def keep_mail(world: World, mailbox: str, *numbers: int) -> None:
    body = Body(5, b"mail\n")

    def change(writer: Writer) -> None:
        for number in numbers:
            writer.keep(message(number), body, [copy(number, mailbox=mailbox)], [], [event()], NOW + DAY)

    await world.store.write(change)


async def move(world: World, owner: User, email: str) -> None:
    """Give an account another address, and be killed before the rest of its mail is moved."""

    def change(writer: Writer) -> None:
        domain, user = writer.get(Domain, owner.domain_id), writer.get(User, owner.id)
        assert domain and user
        own_address(writer, domain, email, but=user)
        writer.change(User, owner.id, email=email)
        rename(writer, user, email)

    await world.store.write(change)


def mailboxes(world: World) -> dict[str, str]:
    """Whose copy there is of each mail."""
    return {each.mail_id[-1]: each.mailbox for each in world.store.reader.find(Copy, Query()).items}


def under_way(world: World) -> dict[str, str]:
    return {each.old: each.new for each in world.store.reader.find(Relocation, Query()).items}


async def test_a_few_mails_change_hands_with_the_address_at_once(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1)
    await move(world, bob, ROBERT)
    assert (mailboxes(world), under_way(world)) == ({"1": ROBERT}, {})


async def test_many_mails_go_along_a_slice_at_a_time(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1, 2, 3, 4, 5)
    await move(world, bob, ROBERT)
    assert list(mailboxes(world).values()).count(ROBERT) == 2
    await finish(world.store, BOB)
    assert (set(mailboxes(world).values()), len(mailboxes(world)), under_way(world)) == ({ROBERT}, 5, {})


async def test_what_a_crash_left_goes_on_after_the_next_start(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1, 2, 3, 4, 5)
    await move(world, bob, ROBERT)
    await world.store.close()
    world.store = open_store(world.store.path, world.clock)
    rooms = Relocations(world.store)
    await rooms.start()
    while under_way(world):
        await world.store.write(lambda writer: None)
    await rooms.stop()
    assert set(mailboxes(world).values()) == {ROBERT}
    await world.store.close()


async def test_what_the_store_does_not_take_now_is_moved_later(
    world: World, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep_mail(world, BOB, 1, 2, 3)
    await move(world, bob, ROBERT)
    begun, go = threading.Event(), threading.Event()
    monkeypatch.setattr("gatepost.store.store.SLOW", 0.01)
    stalled = asyncio.create_task(world.store.write(lambda writer: (begun.set(), go.wait(5))))
    assert await asyncio.to_thread(begun.wait, 5)
    await finish(world.store, BOB)
    assert under_way(world) == {BOB: ROBERT}
    monkeypatch.setattr("gatepost.store.store.SLOW", 5.0)
    go.set()
    await stalled
    await Relocations(world.store).run()
    assert set(mailboxes(world).values()) == {ROBERT}


async def test_nobody_else_gets_an_address_from_which_mail_is_on_its_way(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1, 2, 3)
    ann = await world.user("ann@served.example")
    await move(world, bob, ROBERT)
    domain = world.store.reader.domain("served.example")
    assert domain
    group = await world.add(Group(domain_id=domain.id, email="all@served.example"))
    for other in (ann, group, None):
        with pytest.raises(Problem) as caught:
            own_address(world.store.reader, domain, BOB, but=other)  # type: ignore[arg-type]
        assert caught.value.kind is Kind.CONFLICT
    await finish(world.store, BOB)
    await move(world, ann, BOB)
    await keep_mail(world, BOB, 4)
    await Relocations(world.store).run()
    assert mailboxes(world) == {"1": ROBERT, "2": ROBERT, "3": ROBERT, "4": BOB}


async def test_what_comes_to_an_address_after_its_holder_left_is_not_his(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1, 2, 3)
    await move(world, bob, ROBERT)
    await keep_mail(world, BOB, 4)
    await finish(world.store, BOB)
    assert mailboxes(world) == {"1": ROBERT, "2": ROBERT, "3": ROBERT, "4": BOB}


async def test_mail_follows_an_address_that_changes_again_while_it_is_moved(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1, 2, 3, 4, 5)
    await move(world, bob, ROB)
    await keep_mail(world, ROB, 6, 7, 8)
    await move(world, bob, ROBERT)
    assert under_way(world) == {BOB: ROBERT, ROB: ROBERT}
    await Relocations(world.store).run()
    assert (set(mailboxes(world).values()), len(mailboxes(world))) == ({ROBERT}, 8)
    assert under_way(world) == {}


async def test_mail_comes_back_to_an_address_that_is_given_back_while_it_is_moved(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1, 2, 3, 4, 5)
    await move(world, bob, ROB)
    await move(world, bob, BOB)
    await Relocations(world.store).run()
    assert (set(mailboxes(world).values()), under_way(world)) == ({BOB}, {})
    await move(world, bob, ROB)
    await Relocations(world.store).run()
    assert (set(mailboxes(world).values()), len(mailboxes(world))) == ({ROB}, 5)


async def test_mail_of_an_account_that_is_deleted_while_it_is_moved_is_found_under_its_last_address(
    world: World, bob: User
) -> None:
    await keep_mail(world, BOB, 1, 2, 3)
    await move(world, bob, ROBERT)
    await world.store.write(lambda writer: writer.remove(User, eq("id", bob.id)))
    domain = world.store.reader.domain("served.example")
    assert domain
    for address in (BOB, ROBERT):
        with pytest.raises(Problem) as caught:
            own_address(world.store.reader, domain, address)
        assert caught.value.kind is Kind.CONFLICT
    await Relocations(world.store).run()
    assert (set(mailboxes(world).values()), under_way(world)) == ({ROBERT}, {})
    assert own_address(world.store.reader, domain, ROBERT) == ROBERT


async def test_of_a_domain_that_is_erased_while_mail_is_moved_nothing_is_left(world: World, bob: User) -> None:
    await keep_mail(world, BOB, 1, 2, 3, 4, 5)
    await move(world, bob, ROBERT)
    gone = {"status": DomainStatus.DELETED, "purge_date": NOW}
    await world.store.write(lambda writer: writer.change(Domain, bob.domain_id, **gone))
    await world.store.write(lambda writer: writer.purge(NOW, 1))
    await finish(world.store, BOB)
    while (await world.store.write(lambda writer: writer.purge(NOW, 1))).more:
        pass
    assert (mailboxes(world), under_way(world), world.store.reader.get(Domain, bob.domain_id)) == ({}, {}, None)
