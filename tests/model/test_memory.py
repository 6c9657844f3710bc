"""What filters remember: tokens in a table of fixed size, tallies that age."""

import pytest

from gatepost.model.memory import DAY, MOST, WEEK, Row, Tallies, Tokens

NOW = 1_763_985_600_000
ONE, OTHER = 0x123456789ABCDE1, 0x923456789ABCDE1 & (1 << 60) - 1  # of one slot in any table


def counts(tokens: Tokens, *keys: int) -> list[tuple[int, int]]:
    return [(packed >> 16, packed & 0xFFFF) for packed in tokens.get(keys)]


def test_tokens_are_counted_by_class_and_counted_back() -> None:
    tokens = Tokens(1 << 16)
    tokens.learn(0, [1, 2, 3], 1, 0, NOW)
    tokens.learn(0, [2, 3, 4], 0, 1, NOW)
    assert counts(tokens, 1, 2, 4, 5) == [(1, 0), (1, 1), (0, 1), (0, 0)]
    assert tokens.totals(0) == (1, 1)
    tokens.learn(0, [1, 2, 3], -1, 1, NOW)
    assert counts(tokens, 1, 2, 4) == [(0, 1), (0, 2), (0, 1)]
    assert tokens.totals(0) == (0, 2)
    assert counts(tokens, 1) == [(0, 1)]


@pytest.mark.parametrize(("first", "second", "left"), [(3, 2, ONE), (2, 3, OTHER)])
def test_of_two_tokens_on_one_slot_the_one_seen_more_often_stays(first: int, second: int, left: int) -> None:
    tokens = Tokens(1 << 13)
    tokens.set(ONE, first, 0, NOW)
    tokens.set(OTHER, second, 0, NOW)
    assert [key for key in (ONE, OTHER) if tokens.get([key, 7])[0]] == [left]


def test_counts_end_at_what_a_slot_holds_and_at_nothing() -> None:
    tokens = Tokens(1 << 13)
    tokens.set(1, MOST, 5, NOW)
    tokens.learn(0, [1], 1, -9, NOW)
    assert counts(tokens, 1, 2) == [(MOST, 0), (0, 0)]


def test_use_is_told_once_a_week_and_of_known_tokens_alone() -> None:
    tokens = Tokens(1 << 13)
    tokens.set(1, 1, 0, NOW)
    for at, told in (
        (NOW, {}),
        (NOW + WEEK, {1: NOW + WEEK}),
        (NOW + WEEK + 1, {}),
        (NOW + 3 * WEEK, {1: NOW + 3 * WEEK}),
    ):
        tokens.use([1, 2], at)
        assert tokens.dirty() == told
    assert counts(tokens, 1) == [(1, 0)]


def test_tallies_fade_and_end_with_their_term() -> None:
    tallies = Tallies(1 << 16, term=30 * DAY, half_life=10 * DAY)
    tallies.count(1, NOW, first=8)
    made = tallies.count(1, NOW + 10 * DAY, second=2)
    assert (made.first, made.second, made.since, made.at) == (4, 2, NOW, NOW + 10 * DAY)
    later = tallies.get(1, NOW + 20 * DAY)
    assert later is not None and (later.first, later.second) == (2, 1)
    assert tallies.get(1, NOW + 41 * DAY) is None
    assert tallies.count(1, NOW + 41 * DAY, first=1).since == NOW + 41 * DAY


def test_tallies_stay_within_their_budget_and_tell_what_is_not_kept() -> None:
    tallies = Tallies(16 * 400, term=DAY)
    for key in range(20):
        tallies.count(key, NOW + key, first=key)
    assert len(tallies) == 16
    assert tallies.get(3, NOW) is None and tallies.get(4, NOW) is not None
    first, rest = tallies.dirty(6), tallies.dirty(100)
    assert sorted(row.key for row in first + rest) == list(range(4, 20))
    assert tallies.dirty(100) == []
    tallies.spoil([19])
    assert tallies.dirty(100) == [Row(19, 19_000, 0, NOW + 19, NOW + 19)]
    again = Tallies(1 << 16, term=DAY)
    again.set(Row(19, 19_000, 0, NOW, NOW))
    kept = again.get(19, NOW)
    assert kept is not None and kept.first == 19
    assert again.dirty(1) == []
