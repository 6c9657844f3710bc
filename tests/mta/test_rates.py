"""Hourly limits: counted in hours that begin with a first mail, over restarts; reported once in each."""

import pytest
from tests.house import StillClock

from gatepost.events import Alarms, Metrics
from gatepost.model.memory import Memory, Room
from gatepost.model.problem import Kind, Problem
from gatepost.mta.rates import HOUR, Limit, Payer, Rates

ANN = Limit(Payer.USER, "ann@a.test", mails=3)
DOMAIN = Limit(Payer.DOMAIN, "a.test", recipients=10)


class Desk:
    def __init__(self) -> None:
        self.clock = StillClock()
        self.memory = Memory()
        self.metrics = Metrics()
        self.told: list[tuple[str, str]] = []
        self.open()

    def open(self) -> None:
        alarms = Alarms(self.metrics, self.clock)
        self.rates = Rates(self.memory, alarms=alarms, metrics=self.metrics, clock=self.clock)
        self.rates.reached = lambda limit, what, most: self.told.append((limit.name, f"{most} {what}"))

    def restart(self) -> None:
        """Begin anew with what the store would have kept."""
        rows = self.memory.tallies[Room.RATES].dirty(1000)
        self.memory = Memory()
        self.open()
        for row in rows:
            self.memory.tallies[Room.RATES].set(row)

    def hand_in(self, *limits: Limit, to: int = 1) -> Problem | None:
        """Hand one mail in; return why it was not taken."""
        try:
            self.rates.check(limits, to)
        except Problem as problem:
            return problem
        self.rates.count(limits, to)
        return None


def test_an_hour_begins_with_its_first_mail_and_a_restart_does_not_end_it() -> None:
    desk = Desk()
    for _ in range(3):
        assert desk.hand_in(ANN) is None
        desk.clock.now += 60_000
    desk.restart()
    over = desk.hand_in(ANN)
    assert over and (over.kind, over.context["retry_after"]) == (Kind.SLOWED, 57 * 60)
    assert over.detail == "the account's limit of mails an hour (3) is reached; try later"
    desk.clock.now += HOUR - 180_000 - 1
    assert (over := desk.hand_in(ANN)) and over.context["retry_after"] == 1
    desk.clock.now += 1
    assert desk.hand_in(ANN) is None


def test_all_limits_count_and_what_one_refuses_counts_for_none() -> None:
    desk = Desk()
    assert desk.hand_in(ANN, DOMAIN, to=8) is None
    for _ in range(5):
        over = desk.hand_in(ANN, DOMAIN, to=3)
        assert over and over.detail == "the domain's limit of recipients an hour (10) is reached; try later"
    assert desk.hand_in(ANN, DOMAIN, to=1) is None
    assert desk.hand_in(ANN, DOMAIN, to=1) is None
    assert (over := desk.hand_in(ANN, DOMAIN)) and over.context["limited"] == "ann@a.test"
    labels = {"payer": "domain", "what": "recipients"}
    assert desk.metrics.registry.get_sample_value("gatepost_limited_total", labels) == 5
    assert desk.hand_in(Limit(Payer.USER, "bob@a.test"), to=100_000) is None


def test_more_at_once_than_any_hour_has_is_never_taken() -> None:
    over = Desk().hand_in(DOMAIN, to=11)
    assert over and over.kind is Kind.UNPROCESSABLE
    assert over.detail == "the domain may write to 10 recipients within an hour, and this would be more at once"


def test_recipients_that_a_mail_has_already_count_with_those_to_come() -> None:
    desk = Desk()
    desk.rates.check([DOMAIN], 4, before=6)
    with pytest.raises(Problem) as raised:
        desk.rates.check([DOMAIN], 5, before=6)
    assert raised.value.kind is Kind.SLOWED


def test_what_is_taken_back_was_not_handed_in() -> None:
    desk = Desk()
    for _ in range(10):
        assert desk.hand_in(ANN, DOMAIN, to=10) is None
        desk.rates.count([ANN, DOMAIN], -10, -1)


def test_what_is_taken_back_once_its_hour_is_over_makes_no_room_in_the_next() -> None:
    desk = Desk()
    desk.hand_in(ANN)
    desk.clock.now += HOUR
    desk.rates.count([ANN], -1, -1)
    assert [desk.hand_in(ANN) is None for _ in range(4)] == [True, True, True, False]


def test_a_limit_is_told_of_once_in_its_hour_over_restarts_too() -> None:
    desk = Desk()
    for hour in range(1, 3):
        for _ in range(6):
            desk.hand_in(ANN)
        desk.restart()
        desk.hand_in(ANN)
        assert desk.told == [("ann@a.test", "3 mails")] * hour
        desk.clock.now += HOUR
    desk.hand_in(DOMAIN, to=10)
    desk.hand_in(DOMAIN)
    assert desk.told[2:] == [("a.test", "10 recipients")]


def test_it_is_told_of_no_more_often_while_nothing_is_taken_and_no_hour_begins() -> None:
    """Else who tries and tries fills the administrator's mailbox."""
    desk = Desk()
    for _ in range(62):
        desk.hand_in(DOMAIN, to=11)
        with pytest.raises(Problem):
            desk.rates.check([DOMAIN], 1, before=10)
        desk.clock.now += 60_000
    assert desk.told == [("a.test", "10 recipients")] * 2
    desk.hand_in(DOMAIN, to=10)
    desk.clock.now += 1
    assert desk.hand_in(DOMAIN) and len(desk.told) == 3


def test_a_clock_that_is_set_back_ends_the_hour_threat_86() -> None:
    desk = Desk()
    for _ in range(4):
        desk.hand_in(ANN)
    desk.clock.now -= 24 * HOUR
    assert desk.hand_in(ANN) is None
