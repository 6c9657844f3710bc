"""Says what would have changed a verdict: the finding without which, and the points with which, it were another.

Pure, beside the judge, who is asked again with one thing changed; nothing here knows how he weighs.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from gatepost.model.policy import Policy
from gatepost.model.verdict import Action, Category, Finding, OnError, Verdict
from gatepost.mta.judge import Case, judge

STEP = 0.001  # points: the judge rounds to thousandths
DECIDING = 50  # findings, of those that may decide, that are tried one by one
RULES = 20  # that are left out one after the other, each because the one before it is gone
USUAL = 200  # findings of a mail that has its verdict remembered and changed; a stranger may make it thousands


class Change(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A change, and what becomes of the mail with it: `without` these findings, or with `points` more (or fewer)."""

    without: tuple[Finding, ...] = ()
    points: float = 0.0
    action: Action
    category: Category

    @cached_property
    def told(self) -> dict[str, Any]:
        """What the trace tells of it."""
        told: dict[str, Any] = {"action": self.action.value, "category": self.category.name}
        if self.without:
            told["without"] = list(dict.fromkeys(finding.symbol for finding in self.without))
            rules = list(dict.fromkeys(one.rule_id for one in self.without if one.rule_id is not None))
            told |= {"rules": rules} if rules else {}
        else:
            told["points"] = self.points
        return {**told, "text": f"{self._said()} it would be {_OUTCOMES[self.action]} as {self.category.name}"}

    def _said(self) -> str:
        if not self.without:
            return f"with {abs(self.points):g} points {'more' if self.points > 0 else 'fewer'}"
        first = self.without[0]
        if len(self.without) > 1:
            return f"without all {len(self.without)} of {', '.join(dict.fromkeys(map(_symbol, self.without)))}"
        points = f" ({first.score:+g} points)" if first.score else ""
        return f"without {first.symbol}{points}"


_OUTCOMES = {
    Action.DELIVER: "delivered",
    Action.HOLD: "held",
    Action.REJECT: "refused",
    Action.DEFER: "deferred",
}


def weighed(findings: Sequence[Finding], case: Case) -> tuple[Verdict, tuple[Change, ...]]:
    """Return the verdict, and the smallest changes that give another: of findings, of points; none where there is none.

    A rule is left out with all that it did, and with those behind it that would do the same in its place. Of single
    findings the one with the least points counts; where neither one of them nor points would do, all that
    speak for the category that decided. Of a mail of which more is found than is usual none is sought: it would take
    seconds for each recipient.
    """
    if len(findings) > USUAL:
        return judge(findings, case), ()
    timeless = msgspec.structs.replace(case, received=0)  # which nothing hangs on but how long a mail is kept
    verdict, near = _weighed(tuple(findings), timeless)
    return (judge(findings, case) if verdict.keep else verdict), near


@lru_cache(maxsize=256)  # of most mails nothing is found, or what was found of the one before
def _weighed(findings: tuple[Finding, ...], case: Case) -> tuple[Verdict, tuple[Change, ...]]:
    verdict = judge(findings, case)
    tried = _Trial(findings, case, (verdict.action, verdict.category), verdict.score)
    found = [tried.without_one(), tried.with_points()]
    if found == [None, None]:
        found = [tried.without_the_case()]
    return verdict, tuple(change for change in found if change is not None)


class _Trial:
    def __init__(self, findings: Sequence[Finding], case: Case, outcome: tuple[Action, Category], score: float) -> None:
        self.findings = findings
        self.case = case
        self.outcome = outcome
        self.score = score
        self.bounds = _bounds(case.policy)
        self.side = self._side(0.0)

    def without_one(self) -> Change | None:
        """The verdict without one of the findings, by ascending points; scores only where they cross a bound."""
        deciding = [finding for finding in self.findings if self._may_decide(finding)][:DECIDING]
        for finding in sorted(deciding, key=lambda each: abs(each.score)):
            change = self._without(self._of_its_rule(finding))
            if change:
                return change
        return None

    def _of_its_rule(self, finding: Finding) -> tuple[Finding, ...]:
        """Return all that the rule of a finding led to; the finding alone where it is of no rule."""
        if finding.rule_id is None:
            return (finding,)
        return tuple(each for each in self.findings if (each.by, each.rule_id) == (finding.by, finding.rule_id))

    def without_the_case(self) -> Change | None:
        """The verdict without anything of the category that decided."""
        decided = tuple(finding for finding in self.findings if _speaks_for(finding, self.outcome[1]))
        return self._without(decided) if len(decided) > 1 else None

    def with_points(self) -> Change | None:
        """The verdict with the fewest points more or less."""
        for points in sorted(self._steps(), key=abs):
            more = Finding(category=Category.SCORE, symbol="POINTS", reason="", by="nearest", score=points)
            verdict = judge((*self.findings, more), self.case)
            if self._differs(verdict):
                return Change(points=points, action=verdict.action, category=verdict.category)
        return None

    def _without(self, left_out: tuple[Finding, ...]) -> Change | None:
        """The verdict without some findings, then without those, too, that come in their place."""
        rest = [finding for finding in self.findings if not any(finding is each for each in left_out)]
        gone, places = list(left_out), left_out
        for _ in range(RULES):
            rules = {(each.by, each.rule_id) for each in gone}
            places = tuple(filter(None, (_behind(each, rules) for each in places)))
            verdict = judge((*rest, *places), self.case)
            if self._differs(verdict):
                return Change(without=tuple(gone), action=verdict.action, category=verdict.category)
            if not places:
                break
            gone += places
        return None

    def _may_decide(self, finding: Finding) -> bool:
        if finding.category is Category.NOTE:
            return finding.instead is not None
        return finding.category is not Category.SCORE or self._side(finding.score) != self.side

    def _side(self, less: float) -> tuple[bool, ...]:
        return tuple(self.score - less >= bound for bound in self.bounds)

    def _steps(self) -> Iterator[float]:
        """Yield the points that lead to each bound from below, or just under it from above."""
        for bound in self.bounds:
            score = self.score
            yield round(bound - score if score < bound else bound - score - STEP, 3)

    def _differs(self, verdict: Verdict) -> bool:
        return (verdict.action, verdict.category) != self.outcome


def _behind(finding: Finding, rules: Collection[tuple[str, int | None]]) -> Finding | None:
    """Return what comes in the place of a finding while some rules are gone."""
    found = finding.instead
    while found is not None and (found.by, found.rule_id) in rules:
        found = found.instead
    return found


def _symbol(finding: Finding) -> str:
    return finding.symbol


def _bounds(policy: Policy) -> tuple[float, ...]:
    return policy.spam_score, policy.relay_props.spam_score_limit


def _speaks_for(finding: Finding, category: Category) -> bool:
    if category is Category.BAD_ATTACHMENT and finding.on_error is OnError.QUARANTINE:
        return True
    return finding.category is category or (category is Category.SPAM and finding.score > 0)
