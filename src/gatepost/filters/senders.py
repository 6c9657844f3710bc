"""Asks whether the domain or the mailbox has allowed, blocked or protected who sent the mail."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

from gatepost.filters import registry
from gatepost.filters.registry import Cost
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.tenant import Priority
from gatepost.model.verdict import Category, Finding
from gatepost.settings import Limits


class Senders:
    """Which sender rule decides?

    Of one owner's rules an address beats a domain, and BLOCK beats ALLOW for the same value. Where the domain and the
    mailbox differ, wblistPriority says whose rule decides. Rules that need a proof of the sender (PROTECTED, and ALLOW
    with spfOn) are noted and change nothing until there are proofs (rules 4).
    """

    name = "senders"
    cost = Cost.MEMORY
    Options = registry.Options

    def __init__(self, options: registry.Options, limits: Limits) -> None:
        pass

    def key(self, recipient: Recipient) -> Hashable:
        return recipient.rules.senders, recipient.rules.wblist_priority

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        rules = [rule for rule in recipient.rules.senders if _lives(rule, mail.envelope.received)]
        return list(_weigh(rules, recipient.rules.wblist_priority)) if rules else ()


def _lives(rule: SenderRule, now: int) -> bool:
    return rule.expire_at is None or rule.expire_at > now


def _weigh(rules: Sequence[SenderRule], priority: str) -> Iterator[Finding]:
    deciding = [rule for rule in rules if not _needs_proof(rule)]
    winner = max(deciding, key=lambda rule: _rank(rule, priority), default=None)
    for rule in rules:
        if rule is winner:
            yield _decision(rule)
        elif _needs_proof(rule):
            yield _note(rule, "SENDER_NOT_PROVEN", "no proof of the sender is asked for yet")
        else:
            yield _note(rule, "SENDER_RULE_OUTWEIGHED", "another rule goes before it")


def _needs_proof(rule: SenderRule) -> bool:
    return rule.type is SenderType.PROTECTED or (rule.type is SenderType.ALLOW and rule.spf_on is not False)


def _rank(rule: SenderRule, priority: str) -> tuple[bool, bool, bool]:
    """Order rules: whose it is, how narrow it is, and BLOCK before ALLOW."""
    first = (rule.user_id is None) == (priority == Priority.DOMAIN)
    return first, "@" in rule.value, rule.type is SenderType.BLOCK


def _decision(rule: SenderRule) -> Finding:
    blocked = rule.type is SenderType.BLOCK
    return Finding(
        category=Category.BLOCKED if blocked else Category.ALLOWED,
        symbol="SENDER_BLOCKED" if blocked else "SENDER_ALLOWED",
        reason=_said(rule),
        by=Senders.name,
        rule_id=rule.id,
        owner=rule.owner,
    )


def _note(rule: SenderRule, symbol: str, why: str) -> Finding:
    return Finding(
        category=Category.NOTE,
        symbol=symbol,
        reason=plain(f"{_said(rule)}; {why}"),
        by=Senders.name,
        rule_id=rule.id,
        owner=rule.owner,
    )


_VERBS = {SenderType.ALLOW: "allows", SenderType.BLOCK: "blocks", SenderType.PROTECTED: "protects"}


def _said(rule: SenderRule) -> str:
    return plain(f"{plain(rule.owner, 70)} {_VERBS[rule.type]} {plain(rule.value, 70)}")


FILTER = Senders
