"""The queue's counter over a real store and a real queue: who may look, who may move, and what is not there."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.house import House, living
from tests.peers.names import Names, Zone
from tests.peers.sink import Sink

from gatepost.model.access import Caller, Reach
from gatepost.model.audit import Actor, Audit, acting
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Op, Pattern, Query, Where
from gatepost.model.route import Hop, Transport
from gatepost.model.stored import Delivery, State
from gatepost.services.queue import Deliveries, Move, Moved, Verb

pytestmark = pytest.mark.anyio

ROOT = Caller(admin_id=1, login="root", sys_admin=True)
MAIL = (
    b"From: ada@world.example\r\nTo: bob@served.example\r\nSubject: Hi\r\nMessage-ID: <1@world.example>\r\n"
    b"Date: Thu, 19 Nov 2026 10:00:00 +0000\r\n\r\nHi\r\n"
)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Everything that is sent stays queued: its next hop says 451."""
    sink = Sink({"MAIL": ["451 4.3.0 not now"] * 50})
    zone: Zone = {"world.example": ["MX 10 mx.world.example."], "near.example": ["A 127.0.0.1"]}
    async with Names(zone) as names, living(tmp_path, sink=sink, dns={"servers": [names.address]}) as house:
        yield house


@pytest.fixture
def deliveries(house: House) -> Deliveries:
    return house.gatepost.services.of(Deliveries)


async def queued(house: House, deliveries: Deliveries, count: int = 1) -> list[Delivery]:
    """Send mails and wait until each was tried once."""
    for _ in range(count):
        await house.send(MAIL, "bob@served.example")
    async with asyncio.timeout(60):
        while True:
            rows = (await deliveries.find(ROOT, Query())).items
            if len(rows) == count and all(row.attempts for row in rows) and not house.gatepost.queue.under_way:
                return rows


async def refused(act: object) -> Kind:
    with pytest.raises(Problem) as caught:
        await act  # type: ignore[misc]
    return caught.value.kind


async def test_what_waits_is_listed_with_why(house: House, deliveries: Deliveries) -> None:
    (row,) = await queued(house, deliveries)
    assert (row.state, row.attempts, row.recipient) == (State.QUEUED, 1, "bob@served.example")
    assert "451" in (row.last_reply or "")


async def test_a_long_queue_is_read_behind_the_last_id(house: House, deliveries: Deliveries) -> None:
    rows = await queued(house, deliveries, 5)
    first = await deliveries.find(ROOT, Query(limit=2))
    rest = await deliveries.find(ROOT, Query(limit=9), after=first.items[-1].id)
    assert [row.id for row in first.items + rest.items] == [row.id for row in rows]
    assert first.total == rest.total == 5


async def test_only_the_deliveries_of_a_domain_are_listed_where_one_is_named(
    house: House, deliveries: Deliveries
) -> None:
    (row,) = await queued(house, deliveries)
    other = await house.domain("other.example")
    assert row.domain_id is not None
    assert len((await deliveries.find(ROOT, Query(), domain_id=row.domain_id)).items) == 1
    assert (await deliveries.find(ROOT, Query(), domain_id=other.id)).items == []
    assert await refused(deliveries.find(ROOT, Query(), domain_id=999)) is Kind.NOT_FOUND


async def test_what_waits_for_one_destination_is_listed_by_id(house: House, deliveries: Deliveries) -> None:
    rows = await queued(house, deliveries, 5)
    (place,) = await deliveries.destinations(ROOT)
    await deliveries.move(ROOT, rows[1].id, Move(verb=Verb.HOLD))
    await deliveries.move(ROOT, rows[2].id, Move(verb=Verb.REROUTE, hop=Hop("192.0.2.9", 25, Transport.SMTP)))
    there = [row.id for row in rows if row.id != rows[2].id]
    first = await deliveries.find(ROOT, Query(limit=2), destination=place.name)
    rest = await deliveries.find(ROOT, Query(limit=9), destination=place.name, after=first.items[-1].id)
    by_offset = await deliveries.find(ROOT, Query(offset=1, limit=2), destination=place.name)
    assert [row.id for row in first.items + rest.items] == there
    assert [row.id for row in by_offset.items] == there[1:3]
    assert (first.total, by_offset.total, rest.total) == (4, 4, None)
    moved = await deliveries.find(ROOT, Query(), destination="192.0.2.9:25/SMTP")
    assert [row.id for row in moved.items] == [rows[2].id]
    assert (await deliveries.find(ROOT, Query(), destination="@served.example")).total == 0
    assert await refused(deliveries.find(ROOT, Query(sort="-due"), destination=place.name)) is Kind.MALFORMED


async def test_a_held_delivery_waits_until_it_is_released(house: House, deliveries: Deliveries) -> None:
    (row,) = await queued(house, deliveries)
    await deliveries.move(ROOT, row.id, Move(verb=Verb.HOLD))
    await deliveries.flush(ROOT)
    (held,) = (await deliveries.find(ROOT, Query())).items
    assert (held.state, held.attempts) == (State.HELD, 1)
    house.sink.script.clear()
    await deliveries.move(ROOT, row.id, Move(verb=Verb.RELEASE))
    await house.sink.wait(1)
    assert house.sink.mails[0].recipients == ["bob@served.example"]


async def test_a_flush_tries_what_waits_now(house: House, deliveries: Deliveries) -> None:
    await queued(house, deliveries, 2)
    house.sink.script.clear()
    await deliveries.flush(ROOT)
    await house.sink.wait(2)


async def test_a_retry_tries_one_now(house: House, deliveries: Deliveries) -> None:
    (row,) = await queued(house, deliveries)
    house.sink.script.clear()
    await deliveries.move(ROOT, row.id, Move(verb=Verb.RETRY))
    await house.sink.wait(1)


async def test_a_deleted_delivery_is_gone_for_good(house: House, deliveries: Deliveries) -> None:
    (row,) = await queued(house, deliveries)
    await deliveries.move(ROOT, row.id, Move(verb=Verb.DELETE))
    assert (await deliveries.find(ROOT, Query())).items == []
    for verb in Verb:
        assert await refused(deliveries.move(ROOT, row.id, Move(verb=verb))) is Kind.NOT_FOUND


async def test_nobody_else_looks_or_moves_and_nothing_tells_him_what_is_there(
    house: House, deliveries: Deliveries
) -> None:
    """Threat 107."""
    (row,) = await queued(house, deliveries)
    for caller in (Caller(user_id=1, login="bob@served.example"), Caller(admin_id=7, login="other")):
        assert await refused(deliveries.find(caller, Query())) is Kind.FORBIDDEN
        assert await refused(deliveries.find(caller, Query(), domain_id=row.domain_id)) is Kind.FORBIDDEN
        assert await refused(deliveries.find(caller, Query(), domain_id=999)) is Kind.FORBIDDEN
        assert await refused(deliveries.flush(caller)) is Kind.FORBIDDEN
        for each in (row.id, 999):
            for verb in Verb:
                assert await refused(deliveries.move(caller, each, Move(verb=verb))) is Kind.FORBIDDEN
        for act in (deliveries.destinations(caller), deliveries.pause(caller, "x"), deliveries.resume(caller, "x")):
            assert await refused(act) is Kind.FORBIDDEN
        assert await refused(deliveries.move_all(caller, Move(verb=Verb.DELETE), All(()))) is Kind.FORBIDDEN


async def test_a_rerouted_delivery_goes_to_the_other_server_over_a_restart_too(
    house: House, deliveries: Deliveries
) -> None:
    (row,) = await queued(house, deliveries)
    async with Sink() as other:
        hop = Hop("127.0.0.1", other.port, Transport.SMTP)
        await deliveries.move(ROOT, row.id, Move(verb=Verb.REROUTE, hop=hop))
        await other.wait(1)
    stored = house.store.reader.get(Delivery, row.id)
    assert stored is not None
    assert stored.via == hop.text


async def test_a_rerouted_delivery_can_be_given_its_own_way_back(house: House, deliveries: Deliveries) -> None:
    (row,) = await queued(house, deliveries)
    await deliveries.move(ROOT, row.id, Move(verb=Verb.HOLD))
    own = deliveries.get(ROOT, row.id)
    await deliveries.move(ROOT, row.id, Move(verb=Verb.REROUTE, hop=Hop("127.0.0.1", 9, Transport.SMTP)))
    assert (await deliveries.get(ROOT, row.id))[1] == "127.0.0.1:9/SMTP"
    await deliveries.move(ROOT, row.id, Move(verb=Verb.REROUTE))
    assert (await deliveries.get(ROOT, row.id))[1] == (await own)[1]


async def test_mail_is_never_rerouted_to_where_it_may_not_go(house: House, deliveries: Deliveries) -> None:
    """Threat 122."""
    (row,) = await queued(house, deliveries)
    for host in ("169.254.169.254", "0.0.0.0", "a b"):
        hop = Hop(host, 25, Transport.SMTP)
        refusal = await refused(deliveries.move(ROOT, row.id, Move(verb=Verb.REROUTE, hop=hop)))
        assert refusal in (Kind.UNPROCESSABLE, Kind.MALFORMED)


async def test_a_name_leads_to_private_ground_only_for_who_may_name_that_threat_122(
    house: House, deliveries: Deliveries
) -> None:
    (row,) = await queued(house, deliveries)
    reach = {permission: Reach(everywhere=True) for permission in ("QUEUE_READ", "QUEUE_WRITE")}
    clerk = Caller(admin_id=7, login="clerk", rights=reach)
    async with Sink() as other:
        reroute = Move(verb=Verb.REROUTE, hop=Hop("near.example", other.port, Transport.SMTP))
        await deliveries.move(clerk, row.id, Move(verb=Verb.HOLD))
        await deliveries.move(clerk, row.id, reroute)
        place = f"near.example:{other.port}/SMTP,public"
        (stored, named) = await deliveries.get(clerk, row.id)
        assert (stored.via, named) == (place, place)
        await deliveries.move(clerk, row.id, Move(verb=Verb.RELEASE))
        await house.gatepost.queue.idle()
        assert not other.sessions
        await deliveries.move(ROOT, row.id, reroute)
        await other.wait(1)


async def test_many_are_moved_by_what_they_have_in_common(house: House, deliveries: Deliveries) -> None:
    rows = await queued(house, deliveries, 3)
    (place,) = await deliveries.destinations(ROOT)
    assert (place.waiting, place.under_way, place.paused) == (3, 0, False)
    hold = Move(verb=Verb.HOLD)
    nobody = Where("recipient", Op.LIKE, Pattern("nobody@", open_end=True))
    assert await deliveries.move_all(ROOT, hold, nobody) == Moved(done=0)
    assert await deliveries.move_all(ROOT, hold, All(()), destination="@elsewhere.example") == Moved(done=0)
    two = Where("id", Op.IN, [rows[0].id, rows[1].id])
    with acting(Actor(login="root")):
        assert await deliveries.move_all(ROOT, hold, two, destination=place.name) == Moved(done=2)
        await deliveries.move(ROOT, rows[0].id, Move(verb=Verb.REROUTE, hop=Hop("192.0.2.9", 25, Transport.SMTP)))
    (many, one) = house.store.reader.find(Audit, Query(sort="id")).items[-2:]
    assert (many.act, many.after) == ("hold", {"done": 2, "mails": [row.mail_id for row in rows[:2]]})
    assert (one.act, one.after) == ("reroute", {"via": "192.0.2.9:25/SMTP"})
    assert await deliveries.move_all(ROOT, Move(verb=Verb.DELETE), All(()), domain_id=rows[0].domain_id) == Moved(
        done=3
    )
    assert await deliveries.destinations(ROOT) == []


async def test_a_queue_that_can_not_be_written_says_so_and_what_is_under_way_is_counted(
    deliveries: Deliveries,
) -> None:
    async def busy(given: Sequence[int]) -> int:
        if 1 in given:
            raise Problem(Kind.CONFLICT, "under way")
        return len(given)

    async def broken(given: Sequence[int]) -> int:
        raise Problem(Kind.UNAVAILABLE, "no")

    assert await deliveries._at_once_or_singly(busy, [1, 2]) == Moved(done=1, busy=1)
    assert await refused(deliveries._at_once_or_singly(broken, [1, 2])) is Kind.UNAVAILABLE


async def test_nothing_goes_to_a_paused_destination_until_it_is_resumed(house: House, deliveries: Deliveries) -> None:
    await queued(house, deliveries, 1)
    (place,) = await deliveries.destinations(ROOT)
    await deliveries.pause(ROOT, place.name)
    house.sink.script.clear()
    await deliveries.flush(ROOT)
    await house.send(MAIL, "bob@served.example")
    await house.gatepost.queue.idle()
    (place,) = await deliveries.destinations(ROOT)
    assert (place.waiting, place.paused) == (2, True)
    await deliveries.resume(ROOT, place.name)
    await house.sink.wait(2)


FORMS = [
    ("@FAR.Example.", "@far.example"),
    ("@bücher.example", "@xn--bcher-kva.example"),
    ("@[IPv6:2001:DB8::1]", "@[ipv6:2001:db8::1]"),
    ("mail.example:25/SMTP,public", "mail.example:25/SMTP,public"),
]


async def test_a_destination_may_be_written_in_any_of_its_forms(deliveries: Deliveries) -> None:
    for typed, name in FORMS:
        await deliveries.pause(ROOT, typed)
        (place,) = await deliveries.destinations(ROOT)
        assert place.name == name
        await deliveries.resume(ROOT, typed)
        assert await deliveries.destinations(ROOT) == []


async def test_what_is_no_destination_is_not_paused(deliveries: Deliveries) -> None:
    for typed in ("", "@", "@@", "@a b", "a@b.example", "mail.example", "mail.example:25/ESMTP"):
        assert await refused(deliveries.pause(ROOT, typed)) is Kind.MALFORMED, typed


async def test_two_who_pause_a_destination_at_once_are_both_right(house: House, deliveries: Deliveries) -> None:
    await asyncio.gather(*(deliveries.pause(ROOT, "@far.example") for _ in range(5)))
    (place,) = await deliveries.destinations(ROOT)
    assert (place.name, place.paused) == ("@far.example", True)
    await deliveries.resume(ROOT, "@far.example")
    assert await deliveries.destinations(ROOT) == []


async def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    async with living(tmp_path) as house:
        await house.gatepost.services.of(Deliveries).pause(ROOT, "@far.example")
    async with living(tmp_path) as house:
        (place,) = await house.gatepost.services.of(Deliveries).destinations(ROOT)
        assert (place.name, place.waiting, place.paused) == ("@far.example", 0, True)
