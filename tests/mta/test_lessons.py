"""Lessons and what lasts of a filter's memory, over a real store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import NOW, StillClock, open_store

from gatepost.message import tokens
from gatepost.message.mail import Opener
from gatepost.message.parse import dissect
from gatepost.model.envelope import Body
from gatepost.model.memory import DAY, Memory, Room
from gatepost.model.problem import Kind, Problem
from gatepost.mta.lessons import Lessons
from gatepost.mta.memory import Keeper
from gatepost.settings import Filters, Limits, MemorySettings
from gatepost.store.store import Store

pytestmark = pytest.mark.anyio

MAIL = b"From: a@b.test\r\nSubject: cheap\r\n\r\nbuy cheap pills\r\n"
OTHER = b"From: a@b.test\r\nSubject: lunch\r\n\r\nsee you at lunch\r\n"


class Mind:
    """A store with a memory and its teacher, which may be opened again."""

    def __init__(self, directory: Path, *, share: bool = False) -> None:
        self.directory = directory
        self.share = share
        self.clock = StillClock()
        self.opener = Opener(Filters(), Limits())

    async def open(self) -> None:
        self.store: Store = open_store(self.directory, self.clock, reserve_bytes=0, reserve_percent=0.0)
        self.memory = Memory()
        self.tallies = self.memory.counts(Room.REPUTATION, 30 * DAY)
        settings = MemorySettings(token_days=100, share_lessons=self.share)
        self.keeper = Keeper(self.store, self.memory, settings, clock=self.clock)
        await self.keeper.start()
        self.lessons = Lessons(self.store, self.opener, self.memory.tokens, settings, clock=self.clock)

    async def close(self) -> None:
        await self.keeper.stop()
        await self.opener.close()
        await self.store.close()

    async def learn(self, data: bytes, *, spam: bool, scope: int = 0) -> bool:
        return await self.lessons.learn(Body(len(data), data), scope, spam=spam)

    def counts(self, data: bytes = MAIL, scope: int = 0) -> set[tuple[int, int]]:
        """Return how often the mail's tokens were seen in spam and in ham."""
        keys = tokens.keys_for(tokens.keys(tokens.gist(dissect(data, Limits()))), scope)
        return {(packed >> 16, packed & 0xFFFF) for packed in self.memory.tokens.get(keys)}


@pytest.fixture
async def mind(tmp_path: Path) -> AsyncIterator[Mind]:
    made = Mind(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_a_mail_is_learnt_once_and_moved_when_it_is_learnt_the_other_way(mind: Mind) -> None:
    for spam, news, counts in (
        (True, True, (1, 0)),
        (True, False, (1, 0)),
        (False, True, (0, 1)),
        (False, False, (0, 1)),
    ):
        assert await mind.learn(MAIL, spam=spam) is news
        assert mind.counts() == {counts}
        assert mind.lessons.learnt(0) == counts


@pytest.mark.parametrize("chunk", [2, 5000])
async def test_what_was_learnt_and_counted_is_there_after_a_restart_in_whatever_chunks_it_is_read(
    mind: Mind, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.mta.memory.CHUNK", chunk)
    await mind.learn(MAIL, spam=True)
    await mind.learn(MAIL, spam=True, scope=3)
    await mind.learn(MAIL, spam=False, scope=3)
    for key in range(6):
        mind.tallies.count(key, NOW, first=2.5)
    await mind.close()
    await mind.open()
    assert mind.counts() == {(1, 0)}
    assert mind.counts(scope=3) == {(0, 1)}
    assert (mind.lessons.learnt(0), mind.lessons.learnt(3)) == ((1, 0), (0, 1))
    assert await mind.learn(MAIL, spam=True) is False
    kept = [mind.tallies.get(key, NOW) for key in range(6)]
    assert [each and each.first for each in kept] == [2.5] * 6


async def test_a_lesson_is_durable_when_it_is_answered(mind: Mind) -> None:
    await mind.learn(MAIL, spam=True)
    again = open_rows(mind.store)
    assert len(again) == len(tokens.keys(tokens.gist(dissect(MAIL, Limits()))))


def open_rows(store: Store) -> list[tuple[int, int, int]]:
    return [(row.key, row.first, row.second) for row in store.reader.recall(Room.TOKENS)]


async def test_shared_lessons_count_for_all_domains(tmp_path: Path) -> None:
    mind = Mind(tmp_path, share=True)
    await mind.open()
    assert await mind.learn(MAIL, spam=True, scope=3)
    assert mind.counts() == mind.counts(scope=3) == {(1, 0)}
    await mind.close()


async def test_what_was_of_no_use_for_long_is_forgotten(mind: Mind) -> None:
    await mind.learn(MAIL, spam=True)
    await mind.learn(OTHER, spam=False)
    mind.tallies.count(5, NOW, first=1)
    await mind.keeper.write()
    mind.clock.now += 60 * DAY
    mind.memory.tokens.use(tokens.keys(tokens.gist(dissect(OTHER, Limits()))), mind.clock.now)
    await mind.keeper.write()
    mind.clock.now += 60 * DAY
    assert await mind.keeper.purge() > 0
    shared = (0, 1)  # the tokens that both have
    assert mind.counts(OTHER) <= {(0, 1), (1, 1)}
    assert (1, 0) not in mind.counts() and shared not in mind.counts()
    assert mind.store.reader.recall(Room.REPUTATION) == []
    assert mind.store.reader.recall(Room.LESSONS) == []
    assert await mind.keeper.purge() == 0


async def test_86_a_clock_that_leapt_ahead_and_is_set_right_forgets_on_as_before(mind: Mind) -> None:
    mind.clock.now += 400 * DAY
    assert not mind.keeper._is_due()
    mind.clock.now -= 399 * DAY
    assert mind.keeper._is_due()
    assert not mind.keeper._is_due()


async def test_86_a_start_by_a_clock_that_is_ahead_forgets_nothing_on_that_day(mind: Mind) -> None:
    await mind.store.write(lambda writer: writer.purge(mind.clock()))
    await mind.close()
    mind.clock.now += 400 * DAY
    await mind.open()
    mind.clock.now += DAY - 1
    assert not mind.keeper._is_due()
    mind.clock.now += 1
    assert mind.keeper._is_due()


async def test_what_cannot_be_learnt_says_why(mind: Mind) -> None:
    with pytest.raises(Problem) as refused:
        await mind.lessons.learn_kept("0" * 32, 0, spam=True)
    assert refused.value.kind is Kind.NOT_FOUND
    mind.lessons.learn_later("0" * 32, 0, spam=True)
    await mind.lessons.settle()
    assert mind.lessons.learnt(0) == (0, 0)


async def test_it_forgets_daily_and_never_right_after_a_leap_of_the_clock(mind: Mind) -> None:
    steps = [
        (0, False),
        (11, True),
        (5, False),
        (23 * 60, False),
        (60, True),
        (25 * 60, False),
        (60, False),
        (23 * 60, True),
    ]
    for minutes, due in steps:
        mind.clock.now += minutes * 60_000
        assert mind.keeper._is_due() is due
