"""Greylisting: who is asked to come again, who is not, and what is remembered."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.filters.mails import NO_RULES, NOW, TOOLS, mail, plain, recipient, run
from tests.house import living, queued_as

from gatepost.filters.registry import load
from gatepost.model.address import Address
from gatepost.model.auth import AuthResults, Dmarc, Result, Spf
from gatepost.model.envelope import Client, Login, Role
from gatepost.model.memory import Memory
from gatepost.model.rules import RuleSet, SenderRule, SenderType
from gatepost.model.verdict import Category, Finding, OnError
from gatepost.settings import Filters, SettingsError

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SPF = Spf(result=Result.PASS, domain="a.test")


class Gate:
    def __init__(self, **options: Any) -> None:
        given = {"enabled": True, **options}
        made = load(Filters(options={"greylist": given}), msgspec.structs.replace(TOOLS, memory=Memory()))
        self.filter = next(one for one in made if one.name == "greylist")

    def ask(
        self, at: int, ip: str = "192.0.2.1", to: str = "bob", rules: RuleSet = NO_RULES, **members: Any
    ) -> list[Finding]:
        client = members.pop("client", Client(ip=ip))
        letter = mail(plain(), client=client, received=NOW + at, **members)
        one = recipient(rules, address=Address(to, "ours.test"))

        async def examine() -> list[Finding]:
            return list(await self.filter.examine(letter, one))

        return run(examine())


def rule(kind: SenderType, *, spf_on: bool | None, **members: Any) -> RuleSet:
    made = SenderRule(
        domain_id=1, owner="ours.test", value="a.test", type=kind, created_date=0, spf_on=spf_on, **members
    )
    return RuleSet(senders=(made,))


def test_a_stranger_is_asked_to_come_again_and_then_passes_for_good() -> None:
    gate = Gate()
    (finding,) = gate.ask(0)
    assert (finding.category, finding.symbol, finding.on_error) == (Category.UNSURE, "GREYLISTED", OnError.DEFER)
    assert finding.reason == "greylisted; please try again in 5 minutes"
    assert gate.ask(4 * MINUTE)[0].reason == "greylisted; please try again in 1 minute"
    assert gate.ask(5 * MINUTE, ip="192.0.2.99") == []  # of the same network
    assert gate.ask(5 * MINUTE + 1) == gate.ask(35 * DAY) == []
    assert gate.ask(35 * DAY + 37 * DAY)


@pytest.mark.parametrize(
    "other",
    [{"ip": "192.0.3.1"}, {"to": "eve"}, {"sender": Address("ann", "b.test")}, {"sender": None}],
    ids=["network", "recipient", "domain", "report"],
)
def test_a_pass_is_for_one_network_domain_and_recipient(other: dict[str, Any]) -> None:
    gate = Gate()
    gate.ask(0)
    assert gate.ask(HOUR) == []
    assert gate.ask(HOUR, **other)


def test_of_a_mail_that_is_only_tried_nothing_is_remembered() -> None:
    gate = Gate()
    (note,) = gate.ask(0, trial=True)
    assert (note.category, note.symbol) == (Category.NOTE, "GREYLIST_LEFT_OUT")
    assert gate.ask(HOUR)[0].symbol == "GREYLISTED", "the first one of this sender"


def test_a_mail_on_trial_leaves_nothing() -> None:
    gate = Gate()
    assert gate.ask(0, on_trial=True)
    assert gate.ask(HOUR)
    assert gate.ask(2 * HOUR, on_trial=True) == []
    assert gate.ask(50 * HOUR)


def test_nobody_waits_for_a_clock_that_was_set_back_86() -> None:
    gate = Gate()
    gate.ask(0)
    assert gate.ask(-DAY)[0].reason == "greylisted; please try again in 5 minutes"
    assert gate.ask(5 * MINUTE - DAY) == []


def test_who_comes_again_too_late_is_new() -> None:
    gate = Gate()
    gate.ask(0)
    assert gate.ask(49 * HOUR)
    assert gate.ask(50 * HOUR) == []


def test_a_network_that_passed_often_with_a_domain_is_known() -> None:
    gate = Gate(known_after=3)
    for name in ("bob", "eve", "joe"):
        assert gate.ask(0, to=name)
        assert gate.ask(HOUR, to=name) == []
    assert gate.ask(HOUR, to="new") == []
    assert gate.ask(HOUR, to="new", sender=Address("x", "sub.a.test")) == []
    assert gate.ask(HOUR, to="new", sender=Address("x", "b.test"))


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({"client": Client(ip="192.0.2.1", login=Login(1, 1, "a@a.test"))}, False),
        ({"client": Client(ip="192.0.2.1", role=Role.TRUSTED)}, False),
        ({"auth": AuthResults(mail_from=SPF, helo=SPF, dmarc=Dmarc(result=Result.PASS), proven=True)}, False),
        ({"auth": AuthResults(mail_from=SPF, helo=SPF, dmarc=Dmarc(result=Result.NONE), sender_proven=True)}, False),
        ({"auth": AuthResults(mail_from=SPF, helo=SPF, dmarc=Dmarc(result=Result.NONE))}, True),
        ({"ip": "198.51.100.7"}, False),
        ({"ip": "2001:db8:0:1::1"}, False),
        ({"ip": "2001:db8:1::1"}, True),
        ({"rules": rule(SenderType.ALLOW, spf_on=False)}, False),
        ({"rules": rule(SenderType.ALLOW, spf_on=False, expire_at=NOW + 1)}, False),
        ({"rules": rule(SenderType.ALLOW, spf_on=False, expire_at=NOW)}, True),
        ({"rules": rule(SenderType.ALLOW, spf_on=True)}, True),
        ({"rules": rule(SenderType.PROTECTED, spf_on=None)}, True),
    ],
)
def test_who_is_known_is_not_asked(members: dict[str, Any], asked: bool) -> None:
    gate = Gate(networks=["198.51.100.0/24", "2001:db8::/48"])
    assert bool(gate.ask(0, **members)) is asked


def test_options_are_checked_and_it_is_off_unless_asked_for() -> None:
    with pytest.raises(SettingsError, match=r"filters\.greylist\.networks: "):
        Gate(networks=["nowhere"])
    assert "greylist" not in {one.name for one in load(Filters(), TOOLS)}
    assert Gate(proven_pass=False).ask(
        0, auth=AuthResults(mail_from=SPF, helo=SPF, dmarc=Dmarc(result=Result.PASS), proven=True)
    )


@pytest.mark.anyio
async def test_its_answer_at_the_door_is_to_come_again(tmp_path: Path) -> None:
    options = {"greylist": {"enabled": True}, "sender_verify": {"enabled": False}}
    async with living(tmp_path, filters={"options": options}) as house:
        reply = await house.send(plain(), "bob@served.example")
        assert (reply.code, reply.message[:36]) == (451, "4.7.1 greylisted; please try again i")
        assert [event.event for event in house.trace(queued_as(reply))][-1] == "deferred"
        house.clock.now += 6 * MINUTE
        assert (await house.send(plain(), "bob@served.example")).code == 250
