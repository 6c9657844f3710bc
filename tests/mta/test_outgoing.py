"""Accounts that send spam or far too much: slowed, reported, and free again after a while."""

from pathlib import Path
from typing import Any

import pytest
from tests.filters.mails import mail, plain, recipient
from tests.house import StillClock, living
from tests.mta.test_standing import CLEAN, SPAM, VIRUS

from gatepost.events import Alarms, Metrics
from gatepost.filters.score import GTUBE
from gatepost.model.address import Address
from gatepost.model.envelope import Client, Login, Role
from gatepost.model.memory import Memory
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import Domain, Language
from gatepost.model.verdict import Verdict
from gatepost.mta.keeping import Judged
from gatepost.mta.outgoing import Outgoing
from gatepost.mta.served import DomainView
from gatepost.settings import Outgoing as Settings

MINUTE = 60_000
ANN = Client(ip="198.51.100.1", role=Role.SUBMISSION, login=Login(1, 1, "ann@a.test"))
HOST = Client(ip="192.0.2.1", role=Role.TRUSTED)
STRANGER = Client(ip="192.0.2.1")
VIEW = DomainView(
    Domain(customer_id=1, name="a.test", default_language=Language.EN, creation_date=0), None, None, (), ()
)


class Watch:
    def __init__(self, **settings: Any) -> None:
        self.clock = StillClock()
        self.memory = Memory()
        self.metrics = Metrics()
        self.settings = Settings(**settings)
        self.reports: list[tuple[str, str]] = []
        self.open()

    def open(self) -> None:
        self.outgoing = Outgoing(
            self.settings,
            self.memory,
            may_relay=lambda client, sender: VIEW if client.ip == HOST.ip else None,
            alarms=Alarms(self.metrics, self.clock),
            metrics=self.metrics,
            clock=self.clock,
        )
        self.outgoing.report = lambda account, why: self.reports.append((account, why))

    def send(self, count: int, verdict: Verdict = CLEAN, client: Client = ANN, *, to: int = 1, who: str = "ann") -> int:
        """Send mails; return how many were let in."""
        for number in range(count):
            sender = Address(who, "a.test")
            try:
                self.outgoing.check(client, sender)
            except Problem as problem:
                assert problem.kind is Kind.SLOWED
                return number
            letter = mail(plain(), client=client, sender=sender)
            self.outgoing.saw(letter, [Judged(recipient(), verdict)] * to)
        return count

    def after(self, minutes: int) -> "Watch":
        self.clock.now += minutes * MINUTE
        return self


@pytest.mark.parametrize(("verdict", "client"), [(SPAM, ANN), (VIRUS, ANN), (SPAM, HOST)])
def test_an_account_whose_mail_is_spam_is_slowed_and_reported_once(verdict: Verdict, client: Client) -> None:
    watch = Watch(spam_per_hour=3, slow_mails=5)
    assert watch.send(2, verdict, client) == 2
    assert not watch.outgoing.slowed("ann@a.test")
    assert watch.send(20, verdict, client) == 3  # five in this hour with the two before
    assert watch.outgoing.slowed("ann@a.test")
    assert watch.reports == [("ann@a.test", "3 of its mails within an hour were judged spam or infected")]
    assert watch.send(3, client=client, who="bob") == (0 if client is ANN else 3)
    watch.open()  # a restart: what is kept says that it is slowed
    assert watch.send(20, client=client) == 5
    assert watch.after(61).send(20, client=client) == 20
    assert len(watch.reports) == 1


def test_spam_that_is_spread_over_hours_and_mail_of_strangers_slow_nobody() -> None:
    watch = Watch(spam_per_hour=3)
    for _ in range(6):
        assert watch.after(31).send(1, SPAM) == 1
    assert watch.send(50, SPAM, STRANGER) == 50
    assert watch.reports == []
    assert Watch(spam_per_hour=0).send(50, SPAM) == 50


def test_a_clock_that_is_set_back_slows_nobody_until_it_has_caught_up_86() -> None:
    watch = Watch(spam_per_hour=3, slow_mails=5, burst=100)
    assert watch.send(6, SPAM) == 5
    assert watch.after(-24 * 60).send(20) == 20
    assert watch.after(120).send(81) == 81, "the hour has ended all the same"
    assert len(watch.reports) == 1
    watch.send(6, SPAM)
    assert len(watch.reports) == 2, "the first report is to come yet, by that clock"


def test_a_burst_is_held_against_the_largest_hour_so_far() -> None:
    watch = Watch(burst=100, burst_factor=5.0, slow_mails=2, slow_minutes=30)
    assert watch.send(4, to=25) == 4
    assert watch.send(9, to=25) == 1
    assert watch.reports == [("ann@a.test", "it sent to 125 recipients within an hour; 100 are its most")]
    assert watch.after(61).send(24, to=25) == 24  # five times its hour before
    assert watch.send(9, to=100) == 1
    assert len(watch.reports) == 1  # told six hours ago at most
    assert Watch(burst=0).send(50, to=1000) == 50
    assert Watch(burst=100).send(50, client=HOST, to=1000) == 50


def test_the_hours_of_any_number_of_accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.mta.outgoing.ACCOUNTS", 10)
    watch = Watch()
    for number in range(50):
        watch.send(1, SPAM, HOST, who=f"u{number}")
        watch.clock.now += 1
    assert len(watch.outgoing._hours) == 10
    assert len(watch.outgoing._spam) <= 10
    assert "u49@a.test" in watch.outgoing._hours


@pytest.mark.anyio
async def test_a_slowed_account_is_answered_later_and_its_administrator_gets_a_mail(tmp_path: Path) -> None:
    outgoing = {"spam_per_hour": 2, "slow_mails": 2, "report_to": "admin@served.example"}
    async with living(tmp_path, outgoing=outgoing) as house:
        await house.domain("sender.example", outgoing_subnets=["127.0.0.0/24"], policy={"outgoing": True})
        header = b"From: eve@sender.example\r\nDate: Mon, 24 Nov 2025 12:00:00 +0000\r\n\r\n"
        for raw, code in ((header + GTUBE + b"\r\n", 250), (header + GTUBE + b"\r\n", 250), (header, 450)):
            reply = await house.send(raw, "x@out.example", sender="eve@sender.example", role=Role.TRUSTED)
            assert reply.code == code, reply
        (got,) = await house.sink.wait(1)
        assert got.recipients == ["admin@served.example"]
        assert b"Subject: eve@sender.example is slowed" in got.data
