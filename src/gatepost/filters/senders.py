"""Asks whether the domain or the mailbox has allowed, blocked or protected who sent the mail."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from enum import Enum
from typing import ClassVar, Literal

import msgspec

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.problem import Kind
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.tenant import Priority
from gatepost.model.verdict import Category, Finding, OnError

BEHIND = 20  # rules behind the one that decides of which is told what they would come to


class Senders:
    """Which sender rule decides?

    Of one owner's rules an address beats a domain, and BLOCK beats ALLOW for the same value. Where the domain and the
    mailbox differ, wblistPriority says whose rule decides. PROTECTED blocks, and ALLOW with spfOn does nothing, unless
    who the rule names is proven by SPF or DKIM (rules 4). Where nobody looked for proofs, both change nothing.
    PROTECTED holds too where From shows the protected person, or the address, beside another address.
    """

    name = "senders"
    cost = Cost.MEMORY

    class Options(registry.Options, frozen=True):
        DOC: ClassVar[dict[str, str]] = {
            **registry.Options.DOC,
            "protected_names": "who may bear a protected person's name: proven (who is proven) or own (his address)",
        }
        protected_names: Literal["proven", "own"] = "proven"

    def __init__(self, options: Options, tools: Tools) -> None:
        self._own = options.protected_names == "own"

    def key(self, recipient: Recipient) -> Hashable:
        rules = recipient.rules
        return rules.senders, rules.persons, rules.wblist_priority

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        rules = recipient.rules
        if not rules.senders and not rules.persons:
            return ()
        matches = [_Match(rule, _standing(rule, mail)) for rule in rules.senders]
        matches += [_Match(rule, _person_standing(mail, own=self._own), by_name=True) for rule in rules.persons]
        living = [each for each in matches if _lives(each.rule, mail.envelope.received)]
        return list(_weigh(living, rules.wblist_priority))


class _Standing(Enum):
    """What a rule comes to for this mail."""

    ACTS = "acts"
    PROVEN = "nothing stands against a sender that is proven"
    NOT_PROVEN = "the sender is not proven"
    NOT_ASKED = "nobody looked for a proof of the sender"
    UNSURE = "whether the sender is proven could not be found out now"
    DOUBTFUL = "whether the sender is proven, and so let pass, could not be found out now"


class _Match(msgspec.Struct, frozen=True):
    """A rule that bears on the mail; `by_name`: by what From shows beside another address."""

    rule: SenderRule
    standing: _Standing
    by_name: bool = False


def _lives(rule: SenderRule, now: int) -> bool:
    return rule.expire_at is None or rule.expire_at > now


def _standing(rule: SenderRule, mail: Mail) -> _Standing:
    protects = rule.type is SenderType.PROTECTED
    if not protects and (rule.type is SenderType.BLOCK or rule.spf_on is False):
        return _Standing.ACTS
    if mail.envelope.client.login is not None:  # who signed in writes as himself alone (rules 11)
        return _Standing.PROVEN if protects else _Standing.ACTS
    if mail.auth is None:
        return _Standing.NOT_ASKED
    named = any(rule.value in (author, author.rpartition("@")[2]) for author in mail.auth.authors)
    if mail.auth.proven if named else mail.auth.sender_proven:
        return _Standing.PROVEN if protects else _Standing.ACTS
    if mail.auth.unsure:
        return _Standing.UNSURE if protects else _Standing.DOUBTFUL
    return _Standing.ACTS if protects else _Standing.NOT_PROVEN


def _person_standing(mail: Mail, *, own: bool) -> _Standing:
    """Judge mail that shows a protected person beside another address; `own`: nobody else may bear the name."""
    if mail.envelope.client.login is not None:
        return _Standing.PROVEN
    if mail.auth is None:
        return _Standing.NOT_ASKED
    if mail.auth.proven and not own:
        return _Standing.PROVEN
    return _Standing.UNSURE if mail.auth.unsure and not own else _Standing.ACTS


def _weigh(matches: Sequence[_Match], priority: str) -> Iterator[Finding]:
    deciding = [each for each in reversed(matches) if each.standing in (_Standing.ACTS, _Standing.UNSURE)]
    deciding.sort(key=lambda each: _rank(each, priority))  # of equals the first comes last
    winner = deciding[-1] if deciding else None
    for each in matches:
        if each.standing is _Standing.DOUBTFUL and (winner is None or _rank(each, priority) > _rank(winner, priority)):
            yield _doubtful(each.rule)
        elif each is winner:
            yield _stated(deciding[-BEHIND:])
        elif each.standing in (_Standing.ACTS, _Standing.UNSURE, _Standing.DOUBTFUL):
            yield _note(each.rule, "SENDER_RULE_OUTWEIGHED", "another rule goes before it")
        else:
            symbol = "SENDER_PROVEN" if each.standing is _Standing.PROVEN else "SENDER_NOT_PROVEN"
            yield _note(each.rule, symbol, each.standing.value)


def _stated(deciding: Sequence[_Match]) -> Finding:
    """State what the last of some rules comes to, and what the one before it would come to in its place."""
    found: Finding | None = None
    for each in deciding:
        stated = _unsure(each.rule) if each.standing is _Standing.UNSURE else _decision(each)
        found = msgspec.structs.replace(stated, instead=found)
    assert found is not None
    return found


def _rank(match: _Match, priority: str) -> tuple[bool, bool, bool]:
    """Order rules: whose it is, how narrow it is, and what blocks before ALLOW.

    A name is no narrow ground: who allows the very address knows that it is the person's other one.
    """
    rule = match.rule
    first = (rule.user_id is None) == (priority == Priority.DOMAIN)
    return first, "@" in rule.value and not match.by_name, rule.type is not SenderType.ALLOW


def _decision(match: _Match) -> Finding:
    rule = match.rule
    category, symbol, why = _DECISIONS[rule.type] if not match.by_name else _SHOWN
    return Finding(
        category=category,
        symbol=symbol,
        reason=plain(_said(rule) + why),
        by=Senders.name,
        rule_id=rule.id,
        owner=rule.owner,
    )


_DECISIONS = {
    SenderType.ALLOW: (Category.ALLOWED, "SENDER_ALLOWED", ""),
    SenderType.BLOCK: (Category.BLOCKED, "SENDER_BLOCKED", ""),
    SenderType.PROTECTED: (Category.BLOCKED, "SENDER_FORGED", "; the sender is not proven"),
}
_SHOWN = (Category.BLOCKED, "PERSON_FORGED", "; From shows that name beside another address")


def _why(rule: SenderRule, standing: _Standing) -> str:
    return plain(f"{_said(rule)}; {standing.value}")


def _unsure(rule: SenderRule) -> Finding:
    """A forged mail must not pass while DNS is silent, nor a true one be refused: it may come again (threat 66)."""
    return Finding(
        category=Category.UNSURE,
        symbol="SENDER_UNSURE",
        reason=_why(rule, _Standing.UNSURE),
        by=Senders.name,
        rule_id=rule.id,
        owner=rule.owner,
        on_error=OnError.DEFER,
        kind=Kind.SENDER_UNSURE,
    )


def _doubtful(rule: SenderRule) -> Finding:
    """Nobody can say whether a rule lets the mail pass: what it would outweigh is not refused for good (threat 66)."""
    return msgspec.structs.replace(_unsure(rule), category=Category.ALLOWED, reason=_why(rule, _Standing.DOUBTFUL))


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
