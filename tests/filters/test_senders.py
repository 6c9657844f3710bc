"""Which sender rule decides: the whole table, and what only leaves a note."""

import itertools
from typing import Any

import pytest
from tests.filters.mails import NOW, ask, make, plain, recipient

from gatepost.model.auth import AuthResults, Dmarc, Result, Spf
from gatepost.model.envelope import Client, Login
from gatepost.model.rules import RuleSet, SenderRule, SenderType
from gatepost.model.verdict import Category, Finding, OnError

ALLOW, BLOCK, PROTECTED = SenderType.ALLOW, SenderType.BLOCK, SenderType.PROTECTED
ADDRESS, DOMAIN = "ann@a.test", "a.test"
_ids = itertools.count(1)


def rule(kind: SenderType, value: str = ADDRESS, *, mine: bool = True, **members: Any) -> SenderRule:
    """Return a rule of the mailbox (`mine`) or of its domain; ALLOW without a proof unless said otherwise."""
    return SenderRule(
        id=next(_ids),
        domain_id=1,
        user_id=5 if mine else None,
        owner="bob@ours.test" if mine else "ours.test",
        value=value,
        type=kind,
        created_date=NOW - 1,
        **{"spf_on": False if kind is ALLOW else None, **members},
    )


def found(*rules: SenderRule, priority: str = "USER") -> list[Finding]:
    return ask(make("senders"), plain(), RuleSet(senders=rules, wblist_priority=priority))


def decided(*rules: SenderRule, priority: str = "USER") -> Category | None:
    """Return what the rules come to, whatever order they are in."""
    outcomes = set()
    for order in itertools.permutations(rules):
        said = [one.category for one in found(*order, priority=priority) if one.category is not Category.NOTE]
        assert len(said) <= 1, "one rule decides"
        outcomes.add(said[0] if said else None)
    assert len(outcomes) == 1, "the order of the rules is no ground"
    return outcomes.pop()


def test_of_equal_rules_the_first_decides_and_the_next_stands_behind_it() -> None:
    one, two = rule(BLOCK), rule(BLOCK)
    deciding = next(each for each in found(one, two) if each.category is Category.BLOCKED)
    assert deciding.rule_id == one.id
    assert deciding.instead is not None
    assert deciding.instead.rule_id == two.id


def test_without_a_rule_there_is_nothing_to_say() -> None:
    assert found() == []


@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("value", [ADDRESS, DOMAIN])
@pytest.mark.parametrize(
    ("kind", "category"), [(ALLOW, Category.ALLOWED), (BLOCK, Category.BLOCKED), (PROTECTED, None)]
)
def test_a_single_rule_does_what_it_says(kind: SenderType, category: Category | None, value: str, mine: bool) -> None:
    assert decided(rule(kind, value, mine=mine)) is category


@pytest.mark.parametrize("priority", ["USER", "DOMAIN"])
@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize(
    ("narrow", "wide", "category"), [(ALLOW, BLOCK, Category.ALLOWED), (BLOCK, ALLOW, Category.BLOCKED)]
)
def test_an_address_goes_before_a_domain_of_the_same_owner(
    narrow: SenderType, wide: SenderType, category: Category, mine: bool, priority: str
) -> None:
    rules = rule(narrow, ADDRESS, mine=mine), rule(wide, DOMAIN, mine=mine)
    assert decided(*rules, priority=priority) is category


@pytest.mark.parametrize(("of_user", "of_domain"), [(ALLOW, BLOCK), (BLOCK, ALLOW)])
@pytest.mark.parametrize("user_value", [ADDRESS, DOMAIN])
@pytest.mark.parametrize("domain_value", [ADDRESS, DOMAIN])
def test_wblist_priority_decides_between_mailbox_and_domain_however_narrow(
    of_user: SenderType, of_domain: SenderType, user_value: str, domain_value: str
) -> None:
    says = {ALLOW: Category.ALLOWED, BLOCK: Category.BLOCKED}
    rules = rule(of_user, user_value), rule(of_domain, domain_value, mine=False)
    assert decided(*rules, priority="USER") is says[of_user]
    assert decided(*rules, priority="DOMAIN") is says[of_domain]


@pytest.mark.parametrize("priority", ["USER", "DOMAIN"])
def test_the_other_owners_rule_counts_where_the_first_has_none(priority: str) -> None:
    assert decided(rule(BLOCK, mine=True), priority=priority) is Category.BLOCKED
    assert decided(rule(BLOCK, mine=False), priority=priority) is Category.BLOCKED


def test_block_goes_before_allow_for_the_same_value() -> None:
    assert decided(rule(ALLOW), rule(BLOCK)) is Category.BLOCKED


@pytest.mark.parametrize("kind", [ALLOW, BLOCK, PROTECTED])
def test_an_expired_rule_is_as_if_it_were_not_there(kind: SenderType) -> None:
    assert found(rule(kind, expire_at=NOW)) == []
    assert found(rule(kind, expire_at=NOW - 1)) == []
    assert found(rule(kind, expire_at=NOW + 1)) != []


@pytest.mark.parametrize(
    "needs_proof", [{"kind": ALLOW, "spf_on": True}, {"kind": ALLOW, "spf_on": None}, {"kind": PROTECTED}]
)
def test_where_nobody_looked_rules_that_need_a_proof_are_noted_and_change_nothing(needs_proof: dict[str, Any]) -> None:
    waiting = rule(**needs_proof)
    assert [(one.category, one.symbol) for one in found(waiting)] == [(Category.NOTE, "SENDER_NOT_PROVEN")]
    assert decided(waiting, rule(BLOCK, DOMAIN, mine=False)) is Category.BLOCKED
    assert decided(waiting, rule(ALLOW, DOMAIN, mine=False)) is Category.ALLOWED


def test_threat_44_an_allowed_address_that_must_be_proven_does_not_open_the_gate() -> None:
    assert decided(rule(ALLOW, spf_on=True), rule(BLOCK, DOMAIN)) is Category.BLOCKED


def auth(*, authors: tuple[str, ...] = (ADDRESS,), **members: bool) -> AuthResults:
    none = Spf(result=Result.NONE, domain="")
    return AuthResults(authors=authors, mail_from=none, helo=none, dmarc=Dmarc(result=Result.NONE), **members)


def symbols_with(results: AuthResults, *rules: SenderRule, **members: Any) -> list[str]:
    found = ask(make("senders"), plain(), RuleSet(senders=rules), auth=results, **members)
    return [one.symbol for one in found]


FORGED = auth()
PROVEN = auth(proven=True, sender_proven=True)
UNSURE = auth(unsure=True)


@pytest.mark.parametrize("value", [ADDRESS, DOMAIN])
@pytest.mark.parametrize(
    ("kind", "results", "symbol"),
    [
        (ALLOW, PROVEN, "SENDER_ALLOWED"),
        (ALLOW, FORGED, "SENDER_NOT_PROVEN"),
        (ALLOW, UNSURE, "SENDER_UNSURE"),
        (PROTECTED, PROVEN, "SENDER_PROVEN"),
        (PROTECTED, FORGED, "SENDER_FORGED"),
        (PROTECTED, UNSURE, "SENDER_UNSURE"),
    ],
)
def test_rules_4_a_rule_that_needs_a_proof_follows_it(
    kind: SenderType, results: AuthResults, symbol: str, value: str
) -> None:
    assert symbols_with(results, rule(kind, value, spf_on=True)) == [symbol]


def test_a_forged_protected_sender_is_blocked_and_an_unsure_one_comes_again() -> None:
    (blocked,) = ask(make("senders"), plain(), RuleSet(senders=(rule(PROTECTED),)), auth=FORGED)
    assert blocked.category is Category.BLOCKED
    (unsure,) = ask(make("senders"), plain(), RuleSet(senders=(rule(PROTECTED),)), auth=UNSURE)
    assert (unsure.category, unsure.on_error) == (Category.UNSURE, OnError.DEFER)


def test_whether_an_allow_rule_holds_is_left_open_beside_what_it_would_go_before() -> None:
    narrow, wide = rule(ALLOW, ADDRESS, spf_on=True), rule(BLOCK, DOMAIN)
    found = ask(make("senders"), plain(), RuleSet(senders=(narrow, wide)), auth=UNSURE)
    assert {(one.category, one.on_error) for one in found} == {
        (Category.ALLOWED, OnError.DEFER),
        (Category.BLOCKED, None),
    }
    assert symbols_with(UNSURE, rule(ALLOW, DOMAIN, spf_on=True), rule(BLOCK, ADDRESS)) == [
        "SENDER_RULE_OUTWEIGHED",
        "SENDER_BLOCKED",
    ]


def test_a_forged_mail_from_is_not_proven_by_an_author_who_is() -> None:
    """An author with a good signature of his own must not borrow the name of an allowed sender."""
    stranger = auth(authors=("eve@evil.test",), proven=True)
    assert symbols_with(stranger, rule(ALLOW, spf_on=True)) == ["SENDER_NOT_PROVEN"]
    assert symbols_with(stranger, rule(PROTECTED)) == ["SENDER_FORGED"]
    both = auth(authors=("eve@evil.test",), proven=True, sender_proven=True)
    assert symbols_with(both, rule(ALLOW, spf_on=True)) == ["SENDER_ALLOWED"]


def test_a_forged_author_is_not_proven_by_a_mail_from_that_is() -> None:
    assert symbols_with(auth(sender_proven=True), rule(PROTECTED)) == ["SENDER_FORGED"]


def test_who_signed_in_needs_no_proof() -> None:
    login = Client(ip="192.0.2.1", login=Login(1, 1, ADDRESS))
    (finding,) = ask(make("senders"), plain(), RuleSet(senders=(rule(PROTECTED),)), client=login)
    assert finding.symbol == "SENDER_PROVEN"


def test_protected_ranks_as_a_block() -> None:
    """A domain's protection stands against a mailbox's ALLOW where the domain goes first, and gives way where not."""
    rules = rule(ALLOW), rule(PROTECTED, mine=False)
    for priority, symbol in (("DOMAIN", "SENDER_FORGED"), ("USER", "SENDER_ALLOWED")):
        found = ask(make("senders"), plain(), RuleSet(senders=rules, wblist_priority=priority), auth=FORGED)
        assert sorted(one.symbol for one in found) == sorted([symbol, "SENDER_RULE_OUTWEIGHED"])


@pytest.mark.parametrize(
    ("results", "option", "symbol"),
    [
        (FORGED, "proven", "PERSON_FORGED"),
        (UNSURE, "proven", "SENDER_UNSURE"),
        (PROVEN, "proven", "SENDER_PROVEN"),
        (PROVEN, "own", "PERSON_FORGED"),
        (UNSURE, "own", "PERSON_FORGED"),
        (None, "own", "SENDER_NOT_PROVEN"),
    ],
)
def test_who_bears_a_protected_persons_name_is_proven_or_blocked(
    results: AuthResults | None, option: str, symbol: str
) -> None:
    rules = RuleSet(persons=(rule(PROTECTED, "ceo@ours.test"),))
    (finding,) = ask(make("senders", protected_names=option), plain(), rules, auth=results)
    assert finding.symbol == symbol
    assert (finding.category is Category.BLOCKED) == (symbol == "PERSON_FORGED")


def test_who_allows_the_very_address_knows_that_it_is_the_persons_other_one() -> None:
    shown = rule(PROTECTED, "ceo@ours.test", mine=False)
    for other, category in ((rule(ALLOW), Category.ALLOWED), (rule(ALLOW, DOMAIN, mine=False), Category.BLOCKED)):
        rules = RuleSet(senders=(other,), persons=(shown,), wblist_priority="DOMAIN" if not other.user_id else "USER")
        found = ask(make("senders"), plain(), rules, auth=FORGED)
        assert [one.category for one in found if one.category is not Category.NOTE] == [category]


def test_a_finding_names_the_rule_and_its_owner() -> None:
    blocked = rule(BLOCK, DOMAIN, mine=False)
    (finding,) = found(blocked)
    assert (finding.rule_id, finding.owner, finding.reason) == (blocked.id, "ours.test", "ours.test blocks a.test")


def test_a_rule_that_loses_is_noted() -> None:
    assert [one.symbol for one in found(rule(BLOCK), rule(ALLOW, mine=False))] == [
        "SENDER_BLOCKED",
        "SENDER_RULE_OUTWEIGHED",
    ]


def test_recipients_with_the_same_rules_and_priority_share_a_run() -> None:
    senders, one = make("senders"), rule(BLOCK)
    keys = {
        senders.key(recipient(RuleSet(senders=rules, wblist_priority=priority)))
        for rules in [(), (one,)]
        for priority in ["USER", "DOMAIN", "USER"]
    }
    assert len(keys) == 4


def test_hostile_values_are_escaped_and_short() -> None:
    (finding,) = found(rule(BLOCK, "x\r\n\u202e" * 99 + "@a.test"))
    assert finding.reason.isprintable()
    assert len(finding.reason) <= 200
