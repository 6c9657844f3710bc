"""Reputation: what is counted of each verdict, and the points that come of it."""

from typing import Any

import msgspec
import pytest
from tests.filters.mails import NOW, TOOLS, mail, plain, recipient, run

from gatepost.filters.registry import load
from gatepost.model.address import Address
from gatepost.model.auth import AuthResults, Dmarc, Result, Spf
from gatepost.model.envelope import Client, Role
from gatepost.model.memory import DAY, Memory
from gatepost.model.verdict import Action, Category, Finding, Verdict
from gatepost.mta.keeping import Judged
from gatepost.mta.standing import Standing
from gatepost.settings import Filters

AT = Client(ip="1.1.1.1")
SPF = Spf(result=Result.PASS, domain="a.test")
PROVEN = AuthResults(mail_from=SPF, helo=SPF, dmarc=Dmarc(result=Result.NONE), sender_proven=True)


class World:
    def __init__(self, **options: Any) -> None:
        memory = Memory()
        tools = msgspec.structs.replace(TOOLS, memory=memory)
        made = load(Filters(options={"reputation": options}), tools)
        self.filter = next((one for one in made if one.name == "reputation"), None)
        self.standing = Standing(memory)

    def came(self, count: int, *verdicts: Verdict, at: int = 0, **members: Any) -> None:
        for _ in range(count):
            letter = mail(plain(), received=NOW + at, **{"client": AT, **members})
            self.standing.saw(letter, [Judged(recipient(), each) for each in verdicts])

    def points(self, at: int = 0, **members: Any) -> dict[str, float]:
        assert self.filter is not None
        letter = mail(plain(), received=NOW + at, **{"client": AT, **members})

        async def examine() -> list[Finding]:
            assert self.filter is not None
            return list(await self.filter.examine(letter, recipient()))

        return {finding.symbol: finding.score for finding in run(examine())}


def verdict(
    score: float = 0.0, *, category: Category = Category.CLEAN, by: str = "score", action: Action = Action.DELIVER
) -> Verdict:
    kind = category if category is Category.VIRUS else Category.SCORE
    finding = Finding(category=kind, symbol="X", reason="x", by=by, score=score)
    return Verdict(action=action, category=category, score=score, because=(finding,))


CLEAN, SPAM, VIRUS = verdict(), verdict(9.0, category=Category.SPAM), verdict(category=Category.VIRUS)


@pytest.mark.parametrize(
    ("verdicts", "points"),
    [
        ([(10, CLEAN)], -0.5),
        ([(10, SPAM)], 1.0),
        ([(90, SPAM)], 1.8),
        ([(10, VIRUS)], 1.5),
        ([(10, SPAM), (10, CLEAN)], 0.0),
        ([(10, verdict(3.0))], 0.0),  # neither spam nor clean
        ([(10, verdict(6.0, category=Category.SPAM, by="reputation"))], 0.0),  # it does not feed itself
        ([(10, verdict(6.0, category=Category.SPAM, action=Action.DEFER))], 0.0),
        ([(10, verdict(category=Category.BAD_HEADERS))], 0.0),
    ],
)
def test_points_follow_what_came_of_earlier_mail(verdicts: list[tuple[int, Verdict]], points: float) -> None:
    world = World()
    for count, one in verdicts:
        world.came(count, one)
    assert world.points().get("REPUTATION_NETWORK_BAD", world.points().get("REPUTATION_NETWORK_GOOD", 0)) == points


def test_a_mail_counts_once_by_the_gravest_of_its_verdicts() -> None:
    world = World()
    world.came(10, CLEAN, SPAM, CLEAN)
    assert world.points() == {"REPUTATION_NETWORK_BAD": 1.0}


def test_a_domain_is_counted_only_where_it_is_proven_and_networks_are_kept_apart() -> None:
    world = World()
    world.came(10, SPAM)
    assert world.points(auth=PROVEN) == {"REPUTATION_NETWORK_BAD": 1.0}
    world.came(10, CLEAN, auth=PROVEN, client=Client(ip="9.9.9.1"), sender=Address("x", "news.a.test"))
    assert world.points(client=Client(ip="9.9.9.9")) == {"REPUTATION_NETWORK_GOOD": -0.5}
    assert world.points(client=Client(ip="8.8.8.1"), auth=PROVEN) == {"REPUTATION_SENDER_GOOD": -0.5}
    assert world.points(client=Client(ip="8.8.8.1")) == {}
    trusted = Client(ip=AT.ip, role=Role.TRUSTED)
    world.came(50, CLEAN, client=trusted)
    assert world.points(client=trusted) == {}
    assert world.points() == {"REPUTATION_NETWORK_BAD": 1.0}
    for inside in ("127.0.0.1", "10.1.2.3", "fd00::1", ""):
        world.came(50, SPAM, client=Client(ip=inside))
        assert world.points(client=Client(ip=inside)) == {}


def test_reputations_fade_within_bounds_that_can_be_set() -> None:
    world = World(bad=4.0, least=1, half_life_days=10)
    world.came(31, SPAM)
    assert world.points() == {"REPUTATION_NETWORK_BAD": 3.88}
    assert world.points(at=50 * DAY)["REPUTATION_NETWORK_BAD"] == pytest.approx(1.97, abs=0.02)
    assert world.points(at=91 * DAY) == {}


def test_nothing_is_counted_where_the_filter_is_off() -> None:
    world = World(enabled=False)
    world.came(3, SPAM)
    assert world.filter is None
