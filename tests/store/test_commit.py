"""Writes commit in groups, each item for itself; failures of one are the others' business only when the disc fails."""

import asyncio
import errno
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.store.samples import domain, keep, open_store, user

from gatepost.events import Metrics
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.tenant import Broker, Domain, User
from gatepost.store import coming, sqlite
from gatepost.store import store as face
from gatepost.store.connection import BUSY
from gatepost.store.health import Health
from gatepost.store.store import Pace, Store, Writer

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def busy(store: Store) -> AsyncIterator[None]:
    """Hold the writer inside an item, so that what is written meanwhile makes one batch."""
    inside, go = threading.Event(), threading.Event()

    def wait(_: Writer) -> None:
        inside.set()
        go.wait(30)

    task = asyncio.ensure_future(store.write(wait))
    await asyncio.to_thread(inside.wait, 30)
    try:
        yield
    finally:
        go.set()
        await task


async def together(store: Store, *changes: Callable[[Writer], Any]) -> list[Any]:
    """Write changes in one batch; return results and exceptions."""
    async with busy(store):
        tasks = [asyncio.ensure_future(store.write(change)) for change in changes]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_change_is_told_what_generation_those_before_it_in_its_batch_have_made(store: Store) -> None:
    seen = store.generation
    before, _, after = await together(store, lambda writer: writer.generation, adds(domain()), lambda w: w.generation)
    assert (before, after, store.generation) == (seen, seen + 1, seen + 1)


def commits(store: Store) -> float:
    return store._committer._metrics.commits._value.get()


def adds(item: Any) -> Callable[[Writer], Any]:
    return lambda writer: writer.add(item)


async def test_what_waits_is_committed_at_once(store: Store) -> None:
    before = commits(store)
    kept = await together(store, *(lambda writer, n=n: keep(writer, n) for n in range(100)))
    assert sorted(each.deliveries[0] for each in kept) == list(range(1, 101))
    assert commits(store) - before == 2  # the one that waited, and all the others


async def test_what_may_wait_a_moment_goes_with_the_next_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 60.0)
    before = commits(store)
    soon = asyncio.ensure_future(store.write(lambda writer: keep(writer, 1), pace=Pace.SOON))
    await asyncio.sleep(0)
    await store.write(lambda writer: keep(writer, 2))
    assert (await soon).deliveries
    assert commits(store) - before == 1


async def test_what_may_wait_a_moment_waits_no_longer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = commits(store)
    await store.write(lambda writer: keep(writer, 1), pace=Pace.SOON)  # its time has come
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 60.0)
    monkeypatch.setattr("gatepost.store.sqlite.CROWD", 3)
    crowd = [store.write(lambda writer, n=n: keep(writer, n), pace=Pace.SOON) for n in (2, 3, 4)]
    assert len(await asyncio.gather(*crowd)) == 3  # they are many
    assert commits(store) - before == 2


async def test_what_may_wait_a_moment_is_written_before_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 60.0)
    soon = asyncio.ensure_future(store.write(lambda writer: keep(writer, 1), pace=Pace.SOON))
    await asyncio.sleep(0)
    await store.close()
    assert (await soon).deliveries


async def test_what_may_wait_a_moment_is_written_though_its_time_comes_while_the_end_does(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 60.0)
    async with busy(store):
        soon = asyncio.ensure_future(store.write(lambda writer: keep(writer, 1), pace=Pace.SOON))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(store.close())
        while not store._committer._stopped:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0)
        store._committer._hurry(store._committer._soon)
    assert (await soon).deliveries
    await closing


async def crowded(store: Store) -> None:
    """Have the last commit be one of several mails that came at once."""
    async with busy(store):
        mails = [asyncio.ensure_future(store.write(lambda writer: None, pace=Pace.TOGETHER)) for _ in range(2)]
        await asyncio.sleep(0)
    await asyncio.gather(*mails)


async def test_changes_that_come_at_once_share_a_commit_as_soon_as_no_other_is_near(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 60.0)
    await crowded(store)
    before = commits(store)
    mails = [store.write(lambda writer, n=n: keep(writer, n), pace=Pace.TOGETHER) for n in range(10)]
    assert len(await asyncio.gather(*mails)) == 10
    assert commits(store) - before == 1


async def test_changes_wait_for_those_that_come_within_a_few_rounds_of_the_loop(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 60.0)
    monkeypatch.setattr("gatepost.store.sqlite.LAPS", 10)
    await crowded(store)
    before = commits(store)
    mails = []
    for number in range(5):
        mails.append(asyncio.ensure_future(store.write(lambda writer, n=number: keep(writer, n), pace=Pace.TOGETHER)))
        for _ in range(5):
            await asyncio.sleep(0)
    await asyncio.gather(*mails)
    assert commits(store) - before == 1


async def test_a_change_that_comes_alone_waits_for_no_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.store.sqlite.LINGER", 60.0)
    monkeypatch.setattr("gatepost.store.sqlite.LAPS", 1 << 30)
    for number in range(3):
        assert (await store.write(lambda writer, n=number: keep(writer, n), pace=Pace.TOGETHER)).deliveries


def patience(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Have mails wait for ever but for what is named."""
    places = {"LINGER": "sqlite", "STIR": "coming", "LONG": "coming"}
    for name, place in places.items():
        monkeypatch.setattr(f"gatepost.store.{place}.{name}", seconds.get(name, 60.0))


async def laps() -> None:
    """More than the loop goes round before what waits is committed."""
    for _ in range(5 * sqlite.LAPS):
        await asyncio.sleep(0)


def mail(store: Store, number: int) -> asyncio.Task[Any]:
    return asyncio.ensure_future(store.write(lambda writer: keep(writer, number), pace=Pace.TOGETHER))


async def test_a_few_mails_wait_for_others_that_are_judged_until_as_many_wait(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch)
    await crowded(store)
    before = commits(store)
    for number in range(7):
        store.coming.begins(str(number))
    mails = []
    for number in range(4):
        store.coming.ends(str(number))
        mails.append(mail(store, number))
        await laps()
        if number < 3:
            assert not any(each.done() for each in mails)
            assert len(store._committer._soon) == number + 1
    assert not store._committer._soon  # four waited, three are judged: they are on their way, or there already
    await asyncio.gather(*mails)
    assert commits(store) - before == 1


async def test_a_crowd_of_mails_waits_for_none_that_is_judged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch)
    monkeypatch.setattr(sqlite, "ENOUGH", 2)
    await crowded(store)
    for number in range(50):
        store.coming.begins(str(number))
    await asyncio.gather(mail(store, 1), mail(store, 2))


async def test_a_mail_that_comes_alone_waits_for_none_that_is_judged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch)
    store.coming.begins("another")
    store.coming.begins("a third")
    for number in range(3):
        assert (await mail(store, number)).deliveries


@pytest.mark.parametrize("bound", ["LINGER", "STIR", "LONG"])
async def test_mails_wait_for_a_moment_at_most_for_those_that_are_judged(
    store: Store, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """For one that a server or a scanner keeps, that is; and no longer than they would wait for anything."""
    patience(monkeypatch, **{bound: 0.02})
    await crowded(store)
    store.coming.begins("another")
    store.coming.begins("a third")
    assert (await mail(store, 1)).deliveries


async def test_mails_wait_for_none_that_is_kept_for_long_though_others_are_judged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("gatepost.store.coming.time.monotonic", lambda: now)
    for number in range(20):
        store.coming.begins(f"kept by a scanner {number}")
    assert store.coming.count() == 20
    now += 2 * coming.LONG
    store.coming.begins("young")
    assert store.coming.count() == 1
    store.coming.begins("younger")
    store.coming.ends("young")
    assert store.coming.count() == 1
    now += 2 * coming.STIR
    assert store.coming.count() == 0


async def test_mails_wait_no_longer_for_those_that_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch)
    await crowded(store)
    for name in ("another", "a third"):
        store.coming.begins(name)
    waiting = mail(store, 1)
    await laps()
    assert not waiting.done()
    for name in ("another", "a third", "a third"):
        store.coming.ends(name)
    assert (await waiting).deliveries and store.coming.count() == 0


async def test_changes_that_are_never_alone_wait_for_a_moment_at_most(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.store.sqlite.LAPS", 1 << 30)
    await crowded(store)
    assert (await store.write(lambda writer: keep(writer, 1), pace=Pace.TOGETHER)).deliveries


async def test_what_can_be_done_meanwhile_is_done_once_while_a_commit_is_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.store.meanwhile.PATIENCE", 60.0)
    done: list[str] = []
    work = lambda: done.append("work")  # noqa: E731 - one and the same, asked for twice
    store.meanwhile(work)
    store.meanwhile(work)
    assert not done
    for number in (1, 2):
        await store.write(lambda writer, n=number: keep(writer, n))
        done.append(f"write {number}")
    assert done == ["work", "write 1", "write 2"]


async def test_what_can_be_done_meanwhile_is_done_though_nothing_is_written(store: Store) -> None:
    done = asyncio.Event()
    store.meanwhile(done.set)
    await done.wait()


async def test_a_lull_comes_behind_what_is_done_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.store.meanwhile.PATIENCE", 60.0)
    done: list[str] = []

    async def wait() -> None:
        await store.lull()
        done.append("lull")

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    store.meanwhile(lambda: done.append("work"))
    await store.write(lambda writer: keep(writer, 1))
    await waiting
    assert done == ["work", "lull"]


async def test_work_that_fails_keeps_nobody_else_from_his_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.store.meanwhile.PATIENCE", 60.0)
    done: list[str] = []
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(repr(context["exception"])))
    store.meanwhile(lambda: done.remove("what is not there"))
    store.meanwhile(lambda: done.append("work"))
    waiting = asyncio.ensure_future(store.lull())
    await asyncio.sleep(0)
    await store.write(lambda writer: keep(writer, 1))
    await waiting
    assert done == ["work"]
    assert [each.partition("(")[0] for each in told] == ["ValueError"]


async def test_a_lull_comes_though_nothing_is_written(store: Store) -> None:
    await store.lull()


async def test_who_waits_for_a_commit_is_told_before_those_who_have_time(store: Store) -> None:
    told: list[str] = []

    async def write(name: str, number: int, pace: Pace) -> None:
        await store.write(lambda writer: keep(writer, number), pace=pace)
        told.append(name)

    await asyncio.gather(write("soon", 1, Pace.SOON), write("together", 2, Pace.TOGETHER))
    assert told == ["together", "soon"]


async def test_a_hundred_writers_need_few_commits(store: Store) -> None:
    async def mails(first: int) -> None:
        for number in range(first, first + 10):
            await store.write(lambda writer, n=number: keep(writer, n))

    before = commits(store)
    await asyncio.gather(*(mails(first * 10) for first in range(50)))
    assert store.reader.count(Domain, every()) == 0
    assert sum(len(chunk) for chunk in store.reader.queued()) == 500
    assert commits(store) - before <= 50


async def test_a_conflict_fails_its_item_alone(store: Store) -> None:
    results = await together(store, adds(domain("a.test")), adds(domain("a.test")), adds(domain("b.test")))
    assert [getattr(each, "name", None) for each in results] == ["a.test", None, "b.test"]
    assert isinstance(results[1], Problem) and results[1].kind is Kind.CONFLICT
    assert [each.name for each in store.reader.find(Domain, Query()).items] == ["a.test", "b.test"]


async def test_what_an_item_raises_takes_back_all_of_it_and_nothing_else(store: Store) -> None:
    def half(writer: Writer) -> None:
        writer.add(user("half@in.test"))
        raise error

    for error in (Problem(Kind.NOT_FOUND, "no such thing"), ValueError("a fault")):
        results = await together(
            store, adds(Broker(name="before", created_at=1)), half, adds(Broker(name="after", created_at=1))
        )
        assert results[1] is error
        assert store.reader.count(User, every()) == 0
    assert store.reader.count(Broker, every()) == 4


async def test_an_item_that_stops_an_iteration_is_answered_too(store: Store) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await store.write(lambda writer: next(iter(())))


async def test_an_item_sees_what_the_batch_wrote_before_it(store: Store) -> None:
    results = await together(
        store, adds(user("u@in.test")), lambda writer: writer.first(User, eq("email", "u@in.test")).id
    )
    assert results[1] == results[0].id


async def test_readers_see_nothing_of_a_batch_before_its_commit(store: Store) -> None:
    seen = []

    def change(writer: Writer) -> None:
        writer.add(user())
        seen.append(writer.count(User, every()))

    async with busy(store):
        task = asyncio.ensure_future(store.write(change))
        await asyncio.sleep(0)
        seen.append(store.reader.count(User, every()))
        seen.append(await store.read(lambda reader: reader.count(User, every())))
    await task
    assert seen == [0, 0, 1]
    assert store.reader.count(User, every()) == 1


async def test_slow_changes_step_aside_for_the_others(store: Store) -> None:
    order: list[str] = []
    async with busy(store):
        slow = [
            asyncio.ensure_future(store.write(lambda _, n=n: order.append(f"slow{n}"), pace=Pace.SLOW))
            for n in range(3)
        ]
        await asyncio.sleep(0)
        quick = asyncio.ensure_future(store.write(lambda _: order.append("quick")))
        await asyncio.sleep(0)
    await asyncio.gather(quick, *slow)
    assert order == ["quick", "slow0", "slow1", "slow2"]


async def test_a_cancelled_change_that_was_not_begun_never_happens(store: Store) -> None:
    async with busy(store):
        task = asyncio.ensure_future(store.write(adds(user())))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.write(lambda writer: None)
    assert store.reader.count(User, every()) == 0


async def test_81_a_change_not_begun_in_time_is_unavailable_and_never_happens(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face, "SLOW", 0.05)
    async with busy(store):
        with pytest.raises(Problem) as raised:
            await store.write(adds(user()))
    assert raised.value.kind is Kind.UNAVAILABLE
    await store.write(lambda writer: None)
    assert store.reader.count(User, every()) == 0


async def test_81_a_database_locked_by_another_is_unavailable(store: Store) -> None:
    store._committer._connection.execute("PRAGMA busy_timeout=50")
    intruder = sqlite3.connect(store.path / "gatepost.db", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    with capture_logs() as lines, pytest.raises(Problem) as raised:
        await store.write(adds(user()))
    assert raised.value.kind is Kind.UNAVAILABLE
    assert store.trouble and store.trouble.kind is Kind.UNAVAILABLE  # so that newcomers are turned away at once
    told = [(line["log_level"], line["event"], line["state"]) for line in lines]
    assert told == [("error", "the store takes no writes", "locked")]
    intruder.execute("ROLLBACK")
    intruder.close()
    assert (await store.write(adds(user()))).id == 1
    assert store.healthy


async def test_81_a_database_that_was_locked_is_tried_until_it_is_free(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PROBE", 0.01)
    monkeypatch.setattr(sqlite, "KNOWN", 10)
    writing = store._committer._connection
    writing.execute("PRAGMA busy_timeout=20")
    intruder = sqlite3.connect(store.path / "gatepost.db", isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    for _ in range(2):  # the second is refused sooner
        with pytest.raises(Problem):
            await store.write(adds(user()))
    assert writing.execute("PRAGMA busy_timeout").fetchone() == (10,)
    intruder.execute("ROLLBACK")
    intruder.close()
    while not store.healthy:  # noqa: ASYNC110  # the writer's thread finds out
        await asyncio.sleep(0.001)
    await store.write(adds(user()))
    assert writing.execute("PRAGMA busy_timeout").fetchone() == (BUSY,)


@pytest.mark.parametrize("state", ["full", "locked"])
def test_80_a_broken_store_is_not_tried_again_though_it_was_full_or_locked_before(state: str) -> None:
    health = Health(Metrics())
    setattr(health, state, True)
    assert health.passing
    health.blame(OSError(errno.EIO, "failed"))
    assert not health.passing and not health.ok


async def test_after_the_end_every_change_is_unavailable(directory: Path) -> None:
    store = open_store(directory)
    async with busy(store):
        waiting = asyncio.ensure_future(store.write(adds(user())))
        slow = asyncio.ensure_future(store.write(adds(domain()), pace=Pace.SLOW))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(store.close())
        await asyncio.sleep(0)
    assert (await waiting).id == 1  # what was queued before is committed
    await closing
    outcome = (await asyncio.gather(slow, return_exceptions=True))[0]
    assert isinstance(outcome, (Domain, Problem))
    with pytest.raises(Problem) as raised:
        await store.write(adds(user("late@in.test")))
    assert raised.value.kind is Kind.UNAVAILABLE
    again = open_store(directory)
    assert again.reader.count(User, every()) == 1
    again.close_sync()


def test_the_synchronous_door_waits_for_the_commit(store: Store) -> None:
    assert store.write_sync(adds(user())).id == 1
    with pytest.raises(Problem):
        store.write_sync(adds(user()))
    assert store.reader.count(User, every()) == 1


async def test_a_loop_that_is_gone_does_not_stop_the_writer(store: Store) -> None:
    inside, go = threading.Event(), threading.Event()
    left: list[asyncio.Future[None]] = []

    def wait(writer: Writer) -> None:
        inside.set()
        go.wait(30)
        writer.add(user())

    async def leave() -> None:
        left.append(asyncio.ensure_future(store.write(wait)))
        await asyncio.to_thread(inside.wait, 30)

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    await asyncio.to_thread(elsewhere)
    go.set()
    assert (await store.write(adds(user("next@in.test")))).id == 2


async def test_many_values_in_one_question(store: Store) -> None:
    for number in range(3):
        await store.write(adds(user(f"u{number}@in.test")))
    wanted = Where("email", Op.IN, [f"U{number}@in.test" for number in range(1000)])
    assert store.reader.count(User, wanted) == 3


async def test_a_batch_has_an_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BATCH", 10)
    before = commits(store)
    await together(store, *(adds(user(f"u{number}@in.test")) for number in range(25)))
    assert commits(store) - before == 1 + 3
    assert store.reader.count(User, every()) == 25


async def test_a_batch_that_sqlite_took_back_fails_whole(store: Store) -> None:
    def lose(writer: Writer) -> None:
        writer._connection.execute("ROLLBACK")
        raise MemoryError

    results = await together(store, adds(user()), lose, adds(domain()))
    assert [each.kind for each in results if isinstance(each, Problem)] == [Kind.UNAVAILABLE] * 2
    assert isinstance(results[1], MemoryError)
    assert store.healthy and store.reader.count(User, every()) == store.reader.count(Domain, every()) == 0
    assert (await store.write(adds(user()))).id == 1


async def test_a_log_that_grows_too_large_is_told_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(sqlite, "WAL_ALARM", 1)
    monkeypatch.setattr(sqlite.log, "warning", lambda text, **_: told.append(text), raising=False)
    for number in range(3):
        await store.write(adds(user(f"u{number}@in.test")))
    await store.write(lambda writer: None)
    assert told == ["the write-ahead log is large: a long reader holds it"]
    assert store._committer._metrics.wal_bytes._value.get() > 0
