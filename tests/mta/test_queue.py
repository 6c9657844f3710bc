"""The queue over a real store and real next hops: outcomes, back-off, fairness, restart, the administrator's verbs."""

import asyncio
import contextlib
import socket
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs
from tests.mta.road import MINUTE, NOW, TEXT, Road
from tests.peers.sink import Act, Late, Sink

from gatepost.events import wall_clock
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Hop, Route, Transport
from gatepost.model.stored import Delivery, State
from gatepost.mta import donelog
from gatepost.mta.line import DAMAGED
from gatepost.mta.queue import LOOK_AGAIN
from gatepost.mta.settle import wait
from gatepost.store.opening import DATABASE
from gatepost.store.store import Store
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio

Make = Callable[..., Awaitable[Road]]
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Road] = []

    async def build(to: tuple[str, Sink] | None = None, **sections: object) -> Road:
        road = Road(tmp_path / "state", **sections)
        if to:
            road.to(*to, limit=1)
        made.append(await road.open())
        return road

    yield build
    for road in made:
        await road.close(0.1)


@pytest.fixture
async def road(make: Make) -> Road:
    return await make()


# Outcomes.


async def test_a_mail_goes_out_at_once_with_its_trace_fields(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await sink.wait(1)
        await road.quiet()
    mail = sink.mails[0].data
    assert mail.endswith(TEXT)
    assert mail.startswith(b"Received: from client.test (unknown [192.0.2.1])\r\n\tby gate.test (Gatepost) with ESMTP")
    assert b"for <b@to.test>" in mail
    row = road.row(way)
    assert b"X-Gatepost-Id: " + row.mail_id.encode() in mail
    assert (row.state, row.attempts, row.remote_id, row.done_at) == (State.DELIVERED, 1, "SINK000001", NOW)
    assert row.last_reply == "250 2.0.0 Ok: queued as SINK000001"
    assert [(each.hop, each.code) for each in row.log] == [(f"127.0.0.1[127.0.0.1]:{sink.port}", 250)]
    assert road.store.reader.body(row.mail_id) is None
    assert len(road.queue) == 0


@pytest.mark.parametrize("length", [10, 40_000])
async def test_a_spooled_mail_goes_out_whole_however_long_its_header_and_whenever(road: Road, length: int) -> None:
    head = b"Subject: hello\r\nX-Long: " + b"x" * length + b"\r\n"
    rest = b"\r\n" + b".a line of the body\r\n" * 20_000
    async with Sink({"dot": [Act.DROP]}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test", data=head + b"X-Spam: no\r\n" + rest)
        await road.until(lambda: road.row(way).attempts == 1)
        assert sink.mails[0].data.endswith(head + rest)
        await road.later(5)  # from the store by now
        assert road.state(way) == "delivered"
    assert sink.mails[1].data.endswith(head + rest)


async def test_recipients_of_one_mail_at_one_server_share_a_transaction(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        await road.send(*(f"u{number}@to.test" for number in range(130)))
        await sink.until(lambda: sum(len(mail.recipients) for mail in sink.mails) == 130)
    assert sorted(len(mail.recipients) for mail in sink.mails) == [30, 100]
    assert b"for <" not in sink.mails[0].data  # several recipients don't learn of each other


async def test_what_differs_in_its_tag_goes_by_itself(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        message, ways, body = await road.keep("plain@to.test", "tagged@to.test", "also@to.test")
        tagged = [
            msgspec.structs.replace(way, tag="[SPAM]" if way.recipient != "plain@to.test" else "") for way in ways
        ]
        await road.store.write(lambda writer: [writer.settle(way) for way in tagged])
        road.queue.push(message, tagged, body)
        await sink.wait(2)
    by_first = {mail.recipients[0]: mail for mail in sink.mails}
    assert by_first["tagged@to.test"].recipients == ["tagged@to.test", "also@to.test"]
    assert b"Subject: [SPAM] hello" in by_first["tagged@to.test"].data
    assert b"Subject: hello" in by_first["plain@to.test"].data


async def test_each_recipient_has_its_own_state_and_nobody_gets_a_second_copy_96(road: Road) -> None:
    script = {"RCPT <no@to.test>": "550 5.1.1 unknown", "RCPT <later@to.test>": ["450 4.2.1 later"]}
    async with Sink(script) as sink:
        road.to("to.test", sink)
        yes, no, later = await road.send("yes@to.test", "no@to.test", "later@to.test", notify="NEVER")
        await road.until(lambda: road.state(yes) == "delivered")
        await road.quiet()
        assert [road.state(each) for each in (yes, no, later)] == ["delivered", "bounced", "queued"]
        assert road.row(later).last_reply == "450 4.2.1 later"
        await road.later(5)
        assert road.state(later) == "delivered"
    assert [mail.recipients for mail in sink.mails] == [["yes@to.test"], ["later@to.test"]]


async def test_a_mail_lost_after_the_dot_is_sent_again_with_the_same_ids_94(road: Road) -> None:
    async with Sink({"dot": [Act.DROP]}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await sink.wait(1)
        await road.quiet()
        assert road.state(way) == "queued"
        await road.later(5)
        first, second = await sink.wait(2)
    assert first.data == second.data
    assert road.state(way) == "delivered"


# Time.


async def test_the_waits_grow_to_66_minutes_93(road: Road) -> None:
    minutes = [wait(attempts, road.settings.queue) / MINUTE for attempts in range(1, 8)]
    assert [round(each, 1) for each in minutes] == [5, 10, 20, 40, 66.7, 66.7, 66.7]
    assert wait(1_000, road.settings.queue) == 4_000_000


async def test_a_deferred_mail_is_tried_when_it_is_due_and_not_before_93(road: Road) -> None:
    async with Sink({"MAIL": ["451 4.3.0 later"] * 3}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        for minutes, tries in ((5, 2), (10, 3), (20, 4)):
            assert road.row(way).due == road.clock.now + minutes * MINUTE
            await road.later(minutes - 0.1)
            assert road.row(way).attempts == tries - 1
            await road.later(0.1)
            assert road.row(way).attempts == tries
        assert road.state(way) == "delivered"
        assert [each.code for each in road.row(way).log] == [451, 451, 451, 250]


async def test_a_mail_is_tried_by_itself_when_its_time_has_come(make: Make) -> None:
    road = await make(queue={"first_retry": 1})
    async with Sink({"MAIL": ["451 4.3.0 later"]}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        road.clock.now += 1000
        await sink.wait(1)


async def test_a_retry_is_not_late_where_nothing_was_due_when_the_mail_came(tmp_path: Path) -> None:
    """The clockwork looks at the next time at which something is due, not only when it had planned to."""
    road = Road(tmp_path / "state", queue={"first_retry": 1})
    road.clock = wall_clock  # type: ignore[assignment]
    await road.open()
    try:
        async with Sink({"MAIL": ["451 4.3.0 later"]}) as sink:
            road.to("to.test", sink)
            await road.send("b@to.test")
            assert LOOK_AGAIN > 10
            await sink.wait(1, seconds=10)
    finally:
        await road.close()


async def test_what_is_due_does_not_keep_the_clockwork_turning_while_it_cannot_go(road: Road) -> None:
    async with Sink({"MAIL": ["451 4.3.0 later"]}) as sink:
        road.to("to.test", sink)
        await road.send("b@to.test")
        await road.until(lambda: bool(road.rows()[0].attempts))
        road.store._health.full = True
        road.clock.now += 5 * MINUTE
        looks = 0

        def look() -> int:
            nonlocal looks
            looks += 1
            return road.clock.now

        road.queue._clock = look
        road.queue.wake()
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert looks < 10
        road.store._health.recovered()


async def test_at_the_end_of_its_life_a_mail_expires_once_102(road: Road) -> None:
    async with Sink({"MAIL": "451 4.3.0 later"}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        for _ in range(6):
            await road.later(23 * 60)
        row = road.row(way)
        assert row.state is State.EXPIRED
        assert row.last_reply == "451 4.3.0 later"
        (report,) = road.reports()
        assert report.recipient == "a@from.test"
        await road.later(23 * 60)
        assert len(road.reports()) == 1


async def test_a_clock_that_leaps_ahead_does_not_end_everything_86(road: Road) -> None:
    async with Sink({"MAIL": "451 4.3.0 later"}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        await road.later(400 * 24 * 60)
        assert road.state(way) == "queued"
        await road.later(20)
        assert road.state(way) == "queued"  # of its life no more is over than was
        for _ in range(6):
            await road.later(23 * 60)
        assert road.state(way) == "expired"


async def test_waits_of_more_than_a_day_are_no_leap_of_the_clock_86(make: Make) -> None:
    """Each was taken for one: the mail was tried for ever, and its sender never told."""
    days = 2 * 24 * 60
    road = await make(queue={"first_retry": days * 60, "max_retry": days * 60})
    async with Sink({"MAIL": "451 4.3.0 later"}) as sink:
        road.to("to.test", sink)
        road.to("from.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        for _ in range(2):
            await road.later(days)
            assert road.state(way) == "queued"
        await road.later(days)
        assert road.state(way) == "expired"


async def test_a_clock_that_is_set_back_does_not_stop_the_queue_86(road: Road) -> None:
    async with Sink({"MAIL": ["451 4.3.0 later"]}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        await road.later(-30 * 24 * 60)
        await road.later(67)
        assert road.state(way) == "delivered"


# Many.


async def test_a_dead_destination_does_not_delay_others_100(make: Make) -> None:
    road = await make(relay={"command_timeout": 2.0, "connect_timeout": 2.0})
    async with Sink({"banner": Act.HANG}) as dead, Sink() as live:
        road.to("dead.test", dead)
        road.to("live.test", live)
        for number in range(0, 800, 100):
            await asyncio.gather(*(road.send(f"u{each}@dead.test") for each in range(number, number + 100)))
        await road.send("b@live.test")
        await live.wait(1)
        assert len(dead.sessions) < 200  # most of what was asked for before it has not had its turn


@pytest.mark.parametrize(("count", "concurrency"), [(100, 70), pytest.param(300, 200, marks=pytest.mark.soak)])
async def test_hundreds_of_silent_destinations_do_not_delay_the_others_100(
    make: Make, count: int, concurrency: int
) -> None:
    """They are more than may be under way with those who answer."""
    timeouts = {"command_timeout": 60.0, "connect_timeout": 60.0, "data_timeout": 60.0}
    road = await make(relay=timeouts, queue={"concurrency": concurrency})
    with socket.create_server(("0.0.0.0", 0), backlog=1000) as silent:  # takes connections and says nothing
        port = silent.getsockname()[1]
        async with Sink() as live:
            dead = []
            for number in range(count):
                road.domains[f"dead{number}.test"] = Route(
                    hops=(Hop(f"127.0.{number // 200 + 1}.{number % 200 + 1}", port, Transport.SMTP),)
                )
                dead += await road.send(f"u@dead{number}.test") + await road.send(f"v@dead{number}.test")
            for number in range(20):
                road.to(f"live{number}.test", live)
                await road.send(f"u@live{number}.test")
            await live.wait(20)
            await road.until(lambda: len(road.queue) == len(dead))  # of these none has timed out
            assert not any(road.row(each).attempts for each in dead)
            assert road.queue.under_way == count  # one to each


async def test_a_destination_that_fell_silent_is_tried_by_one_mail_at_a_time_100(make: Make) -> None:
    road = await make()
    async with Sink({"banner": [Act.DROP] * 4}) as sink:
        road.to("to.test", sink, limit=10)
        for number in range(4):
            await road.send(f"u{number}@to.test")
        await road.until(lambda: all(row.attempts for row in road.rows()))
        await road.later(5)
    assert sorted(row.attempts for row in road.rows()) == [2, 2, 2, 2]
    assert sink.most_open == 1


async def test_mail_of_one_destination_goes_in_the_order_it_came(make: Make) -> None:
    road = await make()
    async with Sink() as sink:
        road.to("to.test", sink, limit=1)
        for number in range(20):
            await road.send(f"u{number}@to.test")
        await sink.wait(20)
    assert [mail.recipients[0] for mail in sink.mails] == [f"u{number}@to.test" for number in range(20)]


async def test_a_destination_gets_no_more_at_once_than_its_limit_103(road: Road) -> None:
    async with Sink({"dot": [Late("250 2.0.0 Ok", 0.02)] * 6}) as sink:
        road.to("to.test", sink, limit=2)
        for number in range(6):
            await road.send(f"u{number}@to.test")
        await sink.wait(6)
        assert sink.most_open == 2


async def test_421_halves_what_goes_at_once_103(road: Road) -> None:
    async with Sink({"MAIL": ["421 4.7.0 slow down"] * 8}) as sink:
        road.to("to.test", sink, limit=8)
        for number in range(8):
            await road.send(f"u{number}@to.test")
        await road.until(lambda: all(row.attempts for row in road.rows()))
        before = len(sink.sessions)
        sink.script["MAIL"] = [Late("250 2.1.0 Ok", 0.05)]
        await road.later(5)
        await sink.wait(8)
        at_first = [session for session in sink.sessions[before:] if session.commands]
        assert len(at_first) < 8


async def test_all_deliveries_together_keep_to_the_limit(make: Make) -> None:
    road = await make(queue={"concurrency": 3})
    async with Sink({"dot": [Late("250 2.0.0 Ok", 0.02)] * 15}) as sink:
        for number in range(15):
            road.to(f"d{number}.test", sink)
            await road.send(f"u@d{number}.test")
        await sink.wait(15)
        assert sink.most_open <= 6  # twice as many with those who have not answered before


async def test_bodies_beyond_the_budget_come_from_the_store(make: Make) -> None:
    road = await make(queue={"memory_bytes": 2 * len(TEXT)})
    async with Sink({"dot": [Late("250 2.0.0 Ok", 0.05)] * 2}) as sink:
        road.to("to.test", sink)
        for number in range(5):
            await road.send(f"u{number}@to.test")
        assert road.queue._freight.held <= 2 * len(TEXT)
        await sink.wait(5)
        await road.quiet()
        assert road.queue._freight.held == 0
    assert all(mail.data.endswith(TEXT) for mail in sink.mails)


# Restart.


async def test_what_was_not_sent_is_sent_after_a_restart_in_its_order_104(road: Road, make: Make) -> None:
    kept = [await road.keep(f"u{number}@to.test") for number in range(50)]
    await road.close()
    async with Sink() as sink:
        again = await make(to=("to.test", sink))
        await sink.wait(50)
        await again.until(lambda: len(again.queue) == 0)
    assert [mail.recipients[0] for mail in sink.mails] == [ways[0].recipient for _, ways, _ in kept]


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.soak)])
async def test_a_long_queue_is_taken_up_whole_104(make: Make, count: int) -> None:
    road = await make()
    _, ways, _ = await road.keep("u@to.test")
    later = msgspec.structs.replace(ways[0], id=0, due=NOW + HOUR)
    for _ in range(count // 5_000):
        await road.store.write(lambda writer: writer.enqueue([later] * 5_000))
    await road.close()
    again = await make()
    assert len(again.queue) == count + 1


async def killed(make: Make, sink: Sink) -> tuple[Road, int]:
    """Have a next hop take a mail of which nothing could be written any more; return its delivery."""
    road = await make(to=("to.test", sink))
    message, ways, body = await road.keep("b@to.test")

    async def broken_off(change: object, **_: object) -> object:
        raise asyncio.CancelledError

    with pytest.MonkeyPatch.context() as fault:
        fault.setattr(road.store, "write", broken_off)
        road.queue.push(message, ways, body)
        await sink.wait(1)
        await road.until(lambda: not road.queue._tasks)
    assert road.state(ways[0].id) == "queued"
    await road.close()
    return road, ways[0].id


def alter(road: Road, statement: str, values: tuple[object, ...] = ()) -> None:
    with contextlib.closing(sqlite3.connect(road.directory / DATABASE)) as database, database:
        database.execute(statement, values)


@pytest.mark.parametrize("kept", ["[]", "[1]", "[{"])
async def test_a_mail_taken_just_before_a_kill_is_not_sent_again_be_its_row_damaged_95(make: Make, kept: str) -> None:
    async with Sink() as sink:
        road, way = await killed(make, sink)
        alter(road, "UPDATE delivery SET log = ? WHERE id = ?", (kept, way))
        again = await make(to=("to.test", sink))
        row = again.row(way)
        assert (row.state, row.remote_id, row.attempts) == (State.DELIVERED, "SINK000001", 1)
        assert len(again.queue) == again.metrics.queued.labels("held")._value.get() == 0
        assert (again.directory / "done.log").stat().st_size == 0
    assert len(sink.mails) == 1


async def test_no_damage_of_what_the_done_log_names_stops_the_start_or_leaves_it_held_95(make: Make) -> None:
    async with Sink() as sink:
        road, way = await killed(make, sink)
        alter(road, "UPDATE delivery SET log = '[1]'")
        alter(road, "UPDATE message SET proofs = '[{'")
        again = await make(to=("to.test", sink))
        await again.queue.idle()
        assert again.state(way) == "delivered" and len(again.queue) == 0
        await again.close()
        alter(road, "UPDATE delivery SET log = '[1]'")
        last = await make(to=("to.test", sink))
        assert len(last.queue) == 0
    assert len(sink.mails) == 1


@pytest.mark.parametrize("state", ["queued", "held"])  # held, as its row was damaged
async def test_a_start_without_room_goes_on_and_what_was_taken_is_under_way_until_there_is_some_79(
    make: Make, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr("gatepost.mta.ledger.PATIENCE", 0.01)

    async def full(store: Store, change: object, **_: object) -> object:
        raise Problem(Kind.FULL, "no space left for mail")

    async with Sink() as sink:
        road, way = await killed(make, sink)
        alter(road, "UPDATE delivery SET state = ?", (state,))
        with monkeypatch.context() as patch:
            patch.setattr(Store, "write", full)
            again = await make(to=("to.test", sink))
            assert (again.state(way), len(again.queue), again.queue.under_way) == (state, 1, 1)
            for move in (again.queue.moves.retry, again.queue.moves.release):
                with pytest.raises(Problem) as caught:
                    await move([way])
                assert caught.value.kind is Kind.CONFLICT
            await again.close(0.0)
            last = await make(to=("to.test", sink))
            assert (last.state(way), last.queue.under_way) == (state, 1)
        await last.until(lambda: last.state(way) == "delivered" and len(last.queue) == 0)
        await last.queue.idle()
        assert (last.directory / "done.log").stat().st_size == 0
    assert len(sink.mails) == 1


async def test_a_stop_waits_for_what_is_on_the_wire_and_leaves_the_rest_89(make: Make) -> None:
    road = await make()
    async with Sink({"dot": [Late("250 2.0.0 Ok", 0.2)]}) as sink:
        road.to("to.test", sink, limit=1)
        first, second = (await road.send("b@to.test"))[0], (await road.send("c@to.test"))[0]
        await sink.until(lambda: "DATA" in sink.commands)
        await road.queue.stop(30)
        assert [road.state(first), road.state(second)] == ["delivered", "queued"]


async def test_a_stop_does_not_wait_for_ever_89(make: Make) -> None:
    road = await make()
    async with Sink({"dot": Act.HANG}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await sink.until(lambda: "DATA" in sink.commands)
        async with asyncio.timeout(10):
            await road.queue.stop(0.1)
        assert road.state(way) == "queued"


# The store is ill.


async def test_nothing_is_sent_while_the_store_takes_no_writes_80(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        message, ways, body = await road.keep("b@to.test")
        road.store._health.full = True
        road.queue.push(message, ways, body)
        assert road.queue.under_way == 0
        road.store._health.recovered()
        road.queue.wake()
        await sink.wait(1)


async def test_what_waited_for_the_store_goes_soon_after_it_takes_writes_again_79(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.mta.queue.LOOK_AGAIN", 3600.0)
    monkeypatch.setattr("gatepost.mta.queue.LOOK_SOON", 0.02)
    road = await make()
    async with Sink() as sink:
        road.to("to.test", sink)
        message, ways, body = await road.keep("b@to.test")
        road.store._health.full = True
        road.queue.push(message, ways, body)
        await road.until(lambda: not road.queue._rests)  # it was looked at, and could not go
        road.store._health.recovered()
        await asyncio.wait_for(sink.wait(1), 20)


async def test_an_outcome_is_written_as_soon_as_there_is_room_again_79(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.mta.ledger.PATIENCE", 0.01)
    async with Sink() as sink:
        road.to("to.test", sink)
        message, ways, body = await road.keep("b@to.test")
        refused = 0

        async def full(change: object, **_: object) -> object:
            nonlocal refused
            refused += 1
            raise Problem(Kind.FULL, "no space left for mail")

        with capture_logs() as logs, pytest.MonkeyPatch.context() as fault:
            fault.setattr(road.store, "write", full)
            road.queue.push(message, ways, body)
            await road.until(lambda: refused > 2)
            assert road.state(ways[0].id) == "queued"
        waiting = "what became of mails can't be written yet"
        assert [line["why"] for line in logs if line["event"] == waiting] == ["no space left for mail"]
        await road.until(lambda: road.state(ways[0].id) == "delivered")
    assert len(sink.mails) == 1


async def test_a_mail_whose_file_is_gone_waits_and_is_told(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        message, ways, body = await road.keep("b@to.test")
        gone = msgspec.structs.replace(body, data=None, path="/nonexistent/body")
        road.queue.push(message, ways, gone)
        await road.until(lambda: road.row(ways[0].id).attempts == 1)
        assert road.row(ways[0].id).last_reply == "the mail's text can't be read"
        assert sink.mails == []


# Errors inside.


async def test_an_error_inside_defers(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        deliver = road.relay.deliver

        async def broken(route: Route, parcel: object) -> list[object]:
            raise RuntimeError("a fault of ours")

        road.relay.deliver = broken  # type: ignore[method-assign,assignment]
        (way,) = await road.send("b@to.test")
        await road.quiet()
        assert road.state(way) == "queued"
        road.relay.deliver = deliver  # type: ignore[method-assign]
        await road.later(5)
        await sink.wait(1)
        await road.until(lambda: road.state(way) == "delivered")


async def test_a_mail_whose_way_cannot_be_read_as_it_comes_is_tried_again(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        message, ways, body = await road.keep("b@to.test", "c@to.test")
        reading = road.queue.line._route_of

        def broken(delivery: Delivery) -> Route:
            raise RuntimeError("a fault of ours")

        road.queue.line._route_of = broken
        road.queue.push(message, ways, body)
        assert len(road.queue) == 2
        await road.later(0)
        road.queue.line._route_of = reading
        await road.later(5)
        await sink.wait(1)
        await road.until(lambda: {road.state(way.id) for way in ways} == {"delivered"})


async def test_an_error_after_the_delivery_does_not_repeat_it(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("gatepost.mta.bounce.dsn.write", broken)
    async with Sink(extensions=("PIPELINING",)) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test", notify="SUCCESS")
        await road.until(lambda: road.state(way) == "delivered")
        await road.until(lambda: len(road.queue) == 0)
    assert len(sink.mails) == 1


async def test_an_outcome_that_cannot_be_written_keeps_no_other_from_it_16(make: Make) -> None:
    """They are written in one go; the one that fails is left to the done log."""
    road = await make()
    async with Sink() as sink:
        road.to("to.test", sink)
        mails = [await road.keep(f"u{number}@to.test") for number in range(3)]
        ids = [way.id for _, ways, _ in mails for way in ways]
        refusing = f"BEFORE UPDATE ON delivery WHEN new.id = {ids[1]} BEGIN SELECT RAISE(ABORT, 'no'); END"
        await road.store.write(lambda writer: writer.mail._connection.execute(f"CREATE TEMP TRIGGER no {refusing}"))
        for message, ways, body in mails:
            road.queue.push(message, ways, body)
        await sink.wait(3)
        await road.queue.idle()
        assert [road.state(each) for each in ids] == ["delivered", "queued", "delivered"]
        assert road.queue.under_way == 1  # it is not sent again
        await road.close()
        again = await make(to=("to.test", sink))
        assert again.state(ids[1]) == "delivered"
    assert len(sink.mails) == 3


async def test_of_many_outcomes_only_so_many_are_written_in_one_go(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 17: an item that writes more would hold the writer up."""
    monkeypatch.setattr("gatepost.mta.queue.ROUND_MAX", 2)
    monkeypatch.setattr("gatepost.store.meanwhile.PATIENCE", 60.0)

    registry = road.store._committer._metrics.registry

    def items() -> float:
        return registry.get_sample_value("gatepost_store_commit_items_total") or 0.0

    async with Sink() as sink:
        road.to("to.test", sink)
        mails = [await road.keep(f"u{number}@to.test") for number in range(5)]
        for message, ways, body in mails:
            road.queue.push(message, ways, body)
        road.queue.wake()
        await road.until(lambda: road.queue._closing == len(mails))  # they wait for a commit that takes them along
        before = items()
        await road.store.write(lambda _: None)
        await road.queue.idle()
    assert {road.state(way.id) for _, ways, _ in mails for way in ways} == {"delivered"}
    assert items() - before == 1 + 3


async def test_outcomes_are_written_whatever_logger_the_embedding_program_has_chosen(road: Road) -> None:
    """structlog's plain logger knows the levels' names and nothing else."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.BoundLogger)
    try:
        async with Sink({"RCPT <no@to.test>": "550 5.1.1 unknown"}) as sink:
            road.to("to.test", sink)
            (yes,) = await road.send("yes@to.test", notify="NEVER")
            (no,) = await road.send("no@to.test", notify="NEVER")
            await road.queue.idle()
    finally:
        structlog.configure(**before)
    assert [(road.state(each), road.row(each).attempts) for each in (yes, no)] == [("delivered", 1), ("bounced", 1)]


async def test_a_done_log_that_cannot_be_trimmed_leaves_nothing_under_way(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(donelog, "TRIM_BYTES", 0)
    (road.directory / "done.new").mkdir()
    async with Sink() as sink:
        road.to("to.test", sink)
        ids = [await road.send(f"a{number}@to.test", f"b{number}@to.test") for number in range(3)]
        await road.queue.idle()
    assert {road.state(each) for pair in ids for each in pair} == {"delivered"}
    assert (len(sink.mails), len(road.queue), road.queue.under_way) == (3, 0, 0)


async def test_a_row_that_cannot_be_read_now_is_tried_again(road: Road) -> None:
    async with Sink({"MAIL": ["451 4.3.0 later"]}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        await road.quiet()
        connection = road.store.reader._connection
        connection.set_progress_handler(lambda: 1, 1)  # every question is broken off
        await road.later(5)
        connection.set_progress_handler(None, 0)
        assert road.state(way) == "queued"
        await road.later(5)
        await sink.wait(1)
        await road.until(lambda: road.state(way) == "delivered")


# Administrators.


class Stall:
    """A change that keeps the writer busy until `end`: what is asked of it meanwhile comes into one commit."""

    def __init__(self, road: Road) -> None:
        self._begun, self._go = threading.Event(), threading.Event()
        self._task = asyncio.create_task(road.store.write(self._change))

    def _change(self, writer: Writer) -> None:
        self._begun.set()
        self._go.wait(5)

    async def begun(self) -> "Stall":
        assert await asyncio.to_thread(self._begun.wait, 5)
        return self

    async def end(self) -> None:
        self._go.set()
        await self._task


async def test_of_a_release_and_a_deletion_at_once_the_deletion_stands(road: Road) -> None:
    (way,) = await road.send("b@nowhere.test")
    await road.until(lambda: road.row(way).attempts == 1)
    await road.quiet()
    await road.queue.moves.hold([way])
    async with Sink() as sink:
        road.to("nowhere.test", sink)
        stall = await Stall(road).begun()
        released = asyncio.create_task(road.queue.moves.release([way]))
        await asyncio.sleep(0)
        deleted = asyncio.create_task(road.queue.moves.delete([way]))
        await asyncio.sleep(0)
        await stall.end()
        assert (await released, await deleted) == (1, 1)
        await road.until(lambda: len(road.queue) == 0)
        assert (road.state(way), sink.mails) == ("deleted", [])


async def test_what_is_released_while_it_is_in_another_hand_goes_out_when_that_lets_it_go(road: Road) -> None:
    (way,) = await road.send("b@nowhere.test")
    await road.until(lambda: road.row(way).attempts == 1)
    await road.quiet()
    await road.queue.moves.hold([way])
    async with Sink() as sink:
        road.to("nowhere.test", sink)
        stall = await Stall(road).begun()
        released = asyncio.create_task(road.queue.moves.release([way]))
        await asyncio.sleep(0)
        rerouted = asyncio.create_task(road.queue.moves.reroute([way], None))
        await asyncio.sleep(0)
        released.cancel()  # who asked has left
        await stall.end()
        assert await rerouted == 1
        await sink.wait(1)
        await road.until(lambda: len(road.queue) == 0)
        assert (road.state(way), len(sink.mails)) == ("delivered", 1)


async def test_a_deletion_whose_caller_left_is_not_undone(road: Road) -> None:
    async with Sink({"dot": [Late("250 2.0.0 Ok", 0.5)]}) as sink:
        road.to("to.test", sink, limit=1)
        (first,) = await road.send("a@to.test")
        (second,) = await road.send("b@to.test")  # waits for its turn
        before, beside = await Stall(road).begun(), Stall(road)
        await asyncio.sleep(0)
        leaving = asyncio.create_task(road.queue.moves.delete([second]))
        await asyncio.sleep(0)
        await before.end()
        await beside.begun()  # with the deletion in its commit
        leaving.cancel()
        await beside.end()
        await road.until(lambda: len(road.queue) == 0)
        assert (road.state(first), road.state(second)) == ("delivered", "deleted")
        assert [mail.recipients for mail in sink.mails] == [["a@to.test"]]


async def test_a_held_mail_waits_until_it_is_released(road: Road) -> None:
    async with Sink({"MAIL": ["451 4.3.0 later"]}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        await road.quiet()
        assert await road.queue.moves.hold([way]) == 1
        assert await road.queue.moves.hold([way]) == 0
        await road.later(60)
        assert road.state(way) == "held"
        assert sink.mails == []
        assert await road.queue.moves.release([way]) == 1
        await sink.wait(1)
        await road.until(lambda: road.state(way) == "delivered")


async def test_a_mail_that_is_held_as_soon_as_it_came_stays(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        message, ways, body = await road.keep("b@to.test")
        road.queue.push(message, ways, body)
        assert len(road.queue) == 1
        assert await road.queue.moves.hold([ways[0].id]) == 1  # in the same round of the loop
        await road.later(0)
    assert sink.mails == []
    assert road.state(ways[0].id) == "held"


async def test_a_held_mail_stays_held_over_a_restart(make: Make) -> None:
    road = await make()
    (way,) = await road.send("b@nowhere.test")
    await road.until(lambda: road.row(way).attempts == 1)
    await road.quiet()
    await road.queue.moves.hold([way])
    await road.close()
    again = await make()
    assert len(again.queue) == 0
    assert again.state(way) == "held"
    assert again.metrics.queued.labels("held")._value.get() == 1
    assert await again.queue.moves.delete([way]) == 1
    assert again.metrics.queued.labels("held")._value.get() == 0


async def test_a_deleted_mail_is_gone_without_a_word(road: Road) -> None:
    (way,) = await road.send("b@nowhere.test")
    await road.until(lambda: road.row(way).attempts == 1)
    await road.quiet()
    assert await road.queue.moves.delete([way]) == 1
    assert await road.queue.moves.delete([way]) == 0
    row = road.row(way)
    assert (row.state, row.done_at) == (State.DELETED, NOW)
    assert road.store.reader.body(row.mail_id) is None
    assert road.reports() == []
    assert len(road.queue) == 0


async def test_a_mail_given_up_by_hand_is_told_to_its_sender(road: Road) -> None:
    async with Sink() as sink:
        road.to("from.test", sink)
        waiting, held = (await road.send("b@nowhere.test"))[0], (await road.send("c@nowhere.test"))[0]
        await road.until(lambda: road.row(waiting).attempts == road.row(held).attempts == 1)
        await road.quiet()
        await road.queue.moves.hold([held])
        assert await road.queue.moves.bounce([waiting, held], "the address is closed") == 2
        assert await road.queue.moves.bounce([waiting, held], "again") == 0
        await sink.wait(2)
        assert all(b"the address is closed" in mail.data for mail in sink.mails)
        assert {road.state(waiting), road.state(held)} == {"bounced"}
        assert [report.recipient for report in road.reports()] == ["a@from.test"] * 2
        assert road.metrics.queued.labels("held")._value.get() == 0


async def test_deliveries_of_one_mail_that_are_given_up_by_hand_are_told_in_one_report(road: Road) -> None:
    async with Sink() as sink:
        road.to("from.test", sink)
        ways = [*await road.send("b@nowhere.test", "c@nowhere.test"), *await road.send("d@nowhere.test")]
        await road.until(lambda: all(road.row(way).attempts == 1 for way in ways))
        await road.quiet()
        assert await road.queue.moves.bounce(ways, "the address is closed") == 3
        await sink.wait(2)
        named = [[word for word in (b"b@", b"c@", b"d@") if word + b"nowhere.test" in each.data] for each in sink.mails]
        assert sorted(named) == [[b"b@", b"c@"], [b"d@"]]


@pytest.mark.parametrize(("stopped", "kept"), [(False, "[{"), (True, "[{"), (False, "[1]"), (True, '{"a": 1}')])
async def test_a_delivery_whose_row_is_damaged_is_held_and_stops_no_other(make: Make, stopped: bool, kept: str) -> None:
    road = await make()
    way, other = await road.send("b@nowhere.test", "c@elsewhere.test")
    await road.until(lambda: road.row(way).attempts == road.row(other).attempts == 1)
    await road.quiet()
    if stopped:
        await road.close()
    alter(road, "UPDATE delivery SET log = ? WHERE id = ?", (kept, way))
    async with Sink() as sink:
        if stopped:
            road = await make(("elsewhere.test", sink))
        road.to("elsewhere.test", sink)
        await road.queue.moves.flush()
        await road.until(lambda: road.metrics.queued.labels("held")._value.get() == 1)
        await road.queue.moves.flush()
        await sink.wait(1)
        await road.quiet()
    assert (road.state(way), road.state(other)) == ("held", "delivered")
    assert road.row(way).last_reply == DAMAGED
    assert (len(road.queue), road.metrics.queued.labels("held")._value.get()) == (0, 1)


async def test_what_is_in_one_hand_is_out_of_reach_of_others(road: Road) -> None:
    (way,) = await road.send("b@nowhere.test")
    await road.until(lambda: road.row(way).attempts == 1)
    await road.quiet()
    stall = await Stall(road).begun()
    rerouted = asyncio.create_task(road.queue.moves.reroute([way], None))
    await asyncio.sleep(0)
    for verb in (road.queue.moves.hold, road.queue.moves.release, road.queue.moves.delete):
        with pytest.raises(Problem) as caught:
            await verb([way])
        assert caught.value.kind is Kind.CONFLICT
    await stall.end()
    assert await rerouted == 1


async def test_a_mail_under_way_cannot_be_touched_18(road: Road) -> None:
    async with Sink({"dot": [Late("250 2.0.0 Ok", 0.3)]}) as sink:
        road.to("to.test", sink)
        (way,) = await road.send("b@to.test")
        await sink.until(lambda: "DATA" in sink.commands)
        for verb in (road.queue.moves.hold, road.queue.moves.release, road.queue.moves.retry, road.queue.moves.delete):
            with pytest.raises(Problem) as caught:
                await verb([way])
            assert caught.value.kind is Kind.CONFLICT
        assert await road.queue.moves.flush() == (0, 1)
        await road.until(lambda: road.state(way) == "delivered")


async def test_flush_and_retry_try_at_once_what_waits(road: Road) -> None:
    async with Sink({"MAIL": ["451 4.3.0 later"] * 3}) as sink:
        road.to("to.test", sink)
        first, second = (await road.send("b@to.test"))[0], (await road.send("c@to.test"))[0]
        await road.until(lambda: road.row(first).attempts == road.row(second).attempts == 1)
        await road.quiet()
        assert await road.queue.moves.retry([first]) == 1
        await road.until(lambda: road.row(first).attempts == 2)
        assert road.row(second).attempts == 1
        await road.quiet()
        assert await road.queue.moves.flush() == (2, 0)
        await sink.wait(2)
        await road.quiet()


async def test_an_administrators_change_that_cannot_be_written_changes_nothing(road: Road) -> None:
    (way,) = await road.send("b@nowhere.test")
    await road.until(lambda: road.row(way).attempts == 1)
    await road.quiet()

    async def full(change: object) -> object:
        raise Problem(Kind.FULL, "no space left for mail")

    with pytest.MonkeyPatch.context() as fault, pytest.raises(Problem):
        fault.setattr(road.store, "write", full)
        await road.queue.moves.hold([way])
    assert len(road.queue) == 1
    async with Sink() as sink:
        road.to("nowhere.test", sink)
        await road.later(5)
        await sink.wait(1)


# Routes.


async def test_a_route_that_changed_is_the_one_that_is_taken(road: Road) -> None:
    async with Sink({"MAIL": "451 4.3.0 later"}) as old, Sink() as new:
        road.to("to.test", old)
        (way,) = await road.send("b@to.test")
        await road.until(lambda: road.row(way).attempts == 1)
        road.to("to.test", new)
        await road.later(5)
        await new.wait(1)


async def test_a_mail_without_a_way_waits_for_one(road: Road) -> None:
    (way,) = await road.send("b@nowhere.test")
    await road.until(lambda: road.row(way).attempts == 1)
    assert road.row(way).last_reply == "no way to nowhere.test"
    async with Sink() as sink:
        road.to("nowhere.test", sink)
        await road.later(5)
        await sink.wait(1)


async def test_a_fallback_takes_over_when_the_main_server_is_down(road: Road) -> None:
    async with Sink() as main:
        pass
    async with Sink() as second:
        road.to("to.test", main, second)
        (way,) = await road.send("b@to.test")
        await second.wait(1)
        await road.until(lambda: road.state(way) == "delivered")


async def test_rows_that_are_gone_are_forgotten(road: Road) -> None:
    message, ways, body = await road.keep("b@to.test")
    done = msgspec.structs.replace(ways[0], state=State.DELETED)
    await road.store.write(lambda writer: writer.settle(done))
    async with Sink() as sink:
        road.to("to.test", sink)
        stale = [msgspec.structs.replace(way, state=State.DELETED) for way in ways]
        road.queue.push(message, stale, body)
        await road.until(lambda: len(road.queue) == 0)
        assert sink.mails == []


async def test_a_commit_is_shared_by_many_outcomes(road: Road) -> None:
    async with Sink() as sink:
        road.to("to.test", sink)
        mails = [await road.keep(f"u{number}@to.test") for number in range(40)]
        commits = _commits(road)
        for message, ways, body in mails:
            road.queue.push(message, ways, body)
        await sink.wait(40)
        await road.until(lambda: len(road.queue) == 0)
        assert _commits(road) - commits < 40


def _commits(road: Road) -> float:
    metrics = road.store._committer._metrics
    return float(metrics.commits._value.get())
