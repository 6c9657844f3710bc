"""What would have changed a verdict: the smallest change, and none that would not."""

import itertools
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from tests.filters.mails import ask, make, plain
from tests.filters.test_senders import ADDRESS, DOMAIN
from tests.filters.test_senders import rule as sender_rule
from tests.mta.test_judge import RECEIVED, finding, policy

from gatepost.model.rules import RuleSet, SenderRule, SenderType
from gatepost.model.verdict import Action, Category, Finding, OnError
from gatepost.mta.judge import Case, judge
from gatepost.mta.nearest import weighed

POLICY = policy(relay={"relay_spam": True, "spam_score_limit": 10.0}, quarantine={"store_spam": True})
CASE = Case(policy=POLICY, received=RECEIVED)


def score(symbol: str, points: float) -> Finding:
    return msgspec.structs.replace(finding(Category.SCORE, points), symbol=symbol)


def told(*findings: Finding, case: Case = CASE) -> list[str]:
    return [change.told["text"] for change in weighed(findings, case)[1]]


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ([], ["with 5 points more it would be delivered as SPAM"]),
        ([score("A", 1.5)], ["with 3.5 points more it would be delivered as SPAM"]),
        (
            [score("A", 1.0), score("B", 4.2)],
            [
                "without A (+1 points) it would be delivered as CLEAN",
                "with 0.201 points fewer it would be delivered as CLEAN",
            ],
        ),
        (
            [score("A", 5.0), score("B", 4.9)],
            ["without A (+5 points) it would be delivered as CLEAN", "with 0.1 points more it would be held as SPAM"],
        ),
        (
            [score("A", 12.0), score("WELCOME", -100.0)],
            ["with 93 points more it would be delivered as SPAM", "without WELCOME"],
        ),
        ([finding(Category.BLOCKED)], ["without BLOCKED it would be delivered as CLEAN"]),
        (
            [finding(Category.BLOCKED), finding(Category.BLOCKED)],
            ["without all 2 of BLOCKED it would be delivered as CLEAN"],
        ),
        ([finding(Category.BLOCKED), finding(Category.ALLOWED)], ["without ALLOWED it would be refused as BLOCKED"]),
        ([finding(Category.VIRUS), finding(Category.BLOCKED)], ["without VIRUS it would be refused as BLOCKED"]),
        ([finding(Category.UNSURE, on_error=OnError.DEFER)], ["without UNSURE it would be delivered as CLEAN"]),
        ([finding(Category.NOTE)], ["with 5 points more it would be delivered as SPAM"]),
        ([finding(Category.OVERSIZE)], ["without OVERSIZE it would be delivered as CLEAN"]),
    ],
)
def test_the_nearest_other_outcome_is_named(findings: list[Finding], said: list[str]) -> None:
    found = told(*findings)
    assert len(found) == len(said)
    for text in said:
        assert any(each.startswith(text) for each in found), found


def test_every_change_that_is_told_gives_another_verdict() -> None:
    findings = [score("A", 3.0), score("B", 2.5), finding(Category.BAD_HEADERS), finding(Category.ADVERT)]
    verdict, changes = weighed(findings, CASE)
    assert changes
    for change in changes:
        more = [score("MORE", change.points)] if change.points else []
        other = judge([each for each in findings if each not in change.without] + more, CASE)
        assert (other.action, other.category) == (change.action, change.category)
        assert (other.action, other.category) != (verdict.action, verdict.category)


@pytest.mark.parametrize("category", Category)
@pytest.mark.parametrize("on_error", [None, *OnError])
def test_a_mail_that_is_like_the_one_before_is_judged_alike_and_kept_by_its_own_time(
    category: Category, on_error: OnError | None
) -> None:
    keeps = policy(
        relay={}, quarantine={"store_spam": True, "store_virus": True}, retention={}, archive={"store_spam": True}
    )
    findings = [finding(category, 6.0, on_error=on_error)]
    for after in (0, 1, 86_400_000):
        for owner in (POLICY, keeps):
            case = Case(policy=owner, received=RECEIVED + after)
            assert weighed(findings, case)[0] == judge(findings, case)
    assert weighed([], case)[0] == judge([], case)


def kept(ask: Callable[[list[Finding]], object]) -> int:
    """Return the octets that stay behind of mails in each of which a thousand other things are found."""
    tracemalloc.start()
    try:
        for mail in range(10):
            ask([msgspec.structs.replace(finding(Category.ADVERT), reason=f"{mail} {n}") for n in range(1000)])
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_of_mails_of_which_thousands_of_things_are_found_nothing_stays() -> None:
    assert kept(lambda findings: weighed(findings, CASE)) < 500_000


def test_of_a_mail_of_which_thousands_of_things_are_found_no_change_is_sought() -> None:
    findings = [msgspec.structs.replace(finding(Category.BLOCKED), reason=str(n)) for n in range(201)]
    assert weighed(findings[:200], CASE)[1]
    assert weighed(findings, CASE) == (judge(findings, CASE), ())


def test_rules_that_would_have_changed_it_are_named_by_their_ids() -> None:
    rule = finding(Category.BLOCKED, rule_id=7)
    (change,) = weighed([rule], CASE)[1]
    assert change.told == {
        "action": Action.DELIVER,
        "category": "CLEAN",
        "without": ["BLOCKED"],
        "rules": [7],
        "text": "without BLOCKED it would be delivered as CLEAN",
    }


def with_rules(*rules: SenderRule) -> list[Finding]:
    return ask(make("senders"), plain(), RuleSet(senders=rules, wblist_priority="USER"))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_what_is_said_of_rules_comes_true_when_they_are_taken_away(order: tuple[int, ...]) -> None:
    every = [
        sender_rule(SenderType.BLOCK, ADDRESS),
        sender_rule(SenderType.BLOCK, DOMAIN),
        sender_rule(SenderType.ALLOW, ADDRESS, mine=False),
        sender_rule(SenderType.BLOCK, DOMAIN, mine=False),
    ]
    for count in range(1, 5):
        rules = [every[at] for at in order[:count]]
        findings = with_rules(*rules)
        changes = weighed(findings, CASE)[1]
        changed = [change for change in changes if change.without]
        for change in changed:
            gone = change.told["rules"]
            left = with_rules(*(rule for rule in rules if rule.id not in gone))
            verdict = judge(left, CASE)
            assert (verdict.action, verdict.category) == (change.action, change.category)
        assert changed or judge(findings, CASE).category is Category.CLEAN


def test_a_rule_is_left_out_with_all_that_it_did() -> None:
    both = [msgspec.structs.replace(finding(Category.BAD_ATTACHMENT), rule_id=7) for _ in range(2)]
    (change,) = [each for each in weighed(both, CASE)[1] if each.without]
    assert change.told["rules"] == [7]
    assert change.category is Category.CLEAN
