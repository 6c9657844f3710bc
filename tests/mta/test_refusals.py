"""Refusals before DATA: the first are told in full, the rest counted, and a flood leaves one row (rules 21)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import StillClock, client, open_store

from gatepost.model.address import parse_address
from gatepost.model.envelope import Login, Role
from gatepost.model.query import All
from gatepost.model.stored import Message
from gatepost.mta.refusals import TOLD, Refusals
from gatepost.settings import Trace
from gatepost.store.store import Store

pytestmark = pytest.mark.anyio
BOB = parse_address("bob@served.example")
ADA = parse_address("ada@world.example")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = open_store(tmp_path / "state", StillClock())
    yield store
    await store.close()


def refusals(store: Store) -> Refusals:
    ids = iter(f"{number:032x}" for number in range(1000))
    return Refusals(store, Trace(), clock=StillClock(), new_id=lambda: next(ids))


async def test_the_first_refusals_of_a_network_are_told_and_the_rest_counted(store: Store) -> None:
    book = refusals(store)
    for number in range(50):
        book.note(client(ip=f"192.0.2.{number}"), ADA, BOB, "550 5.7.1", "relaying denied")
    book.note(client(ip="198.51.100.1"), ADA, None, "550 5.7.27", "the sender's domain takes no mail")
    await book.stop()
    assert store.reader.count(Message, All(())) == TOLD + 1
    (row,) = store.reader.refusals()
    assert (row.net, row.code, row.count) == ("192.0.2.0/24", "550 5.7.1", 50 - TOLD)


async def test_a_refusal_is_found_by_its_trace(store: Store) -> None:
    book = refusals(store)
    book.note(client(ip="2001:db8::1"), None, BOB, "550 5.1.1", "no such mailbox")
    await book.write()
    (event,) = store.reader.trace("0" * 32)
    assert (event.event, event.mailbox, event.text) == ("rejected", BOB.key, "550 5.1.1 no such mailbox")


async def test_it_tells_who_had_signed_in_and_what_the_client_was_not_told(store: Store) -> None:
    book = refusals(store)
    ann = Login(user_id=1, domain_id=1, email="ann@served.example")
    book.note(
        client(login=ann, role=Role.SUBMISSION), BOB, None, "553 5.7.1", "this login may not send as that address"
    )
    book.note(client(), ADA, BOB, "550 5.1.1", "no such mailbox", "mail.served.example does not know it")
    await book.write()
    first, second = (store.reader.trace(f"{number:032x}")[0].data for number in range(2))
    assert (first["login"], first["sender"]) == ("ann@served.example", "bob@served.example")
    assert "why" not in first and "login" not in second
    assert second["why"] == "mail.served.example does not know it"


async def test_nothing_is_written_where_nothing_was_refused(store: Store) -> None:
    book = refusals(store)
    await book.start()
    await book.stop()
    assert store.reader.count(Message, All(())) == 0
