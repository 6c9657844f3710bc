"""Asks whether a domain's rules forbid an attachment, and whether everything could be looked into."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import ClassVar, NamedTuple

from gatepost.filters import registry, wording
from gatepost.filters.media import extensions
from gatepost.filters.registry import Cost, Tools
from gatepost.message.anatomy import MACROS, Anatomy, Kind, Member, Part, Symbol
from gatepost.message.mail import Mail
from gatepost.message.patterns import Pattern, compile_any, compile_rule
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.rules import AttachmentAction, AttachmentRule, CheckType
from gatepost.model.verdict import Category, Finding

SLICE = 500  # objects looked at before other mail gets its turn
TOLD = 20  # findings of one kind in a trace
BEHIND = 5  # rules behind the one that decides of which is told what they would come to
RULE_SETS = 256  # compiled rule sets that are kept


class Treatment(StrEnum):
    """What is done with content that can't be looked into."""

    HOLD = "hold"
    DELIVER = "deliver"
    REJECT = "reject"


class AttachmentOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "unscannable": "damaged or unknown archives, and what is beyond a limit: hold, deliver or reject",
        "encrypted": "archives and documents with a password: hold, deliver or reject",
        "macros": "Office documents with macros: hold, deliver or reject",
        "fragments": "message/partial and message/external-body, which nobody can look into: hold, deliver or reject",
    }
    unscannable: Treatment = Treatment.HOLD
    encrypted: Treatment = Treatment.HOLD
    macros: Treatment = Treatment.DELIVER
    fragments: Treatment = Treatment.REJECT


class Object(NamedTuple):
    """One thing that rules are held against: a part, or a member of an archive."""

    where: Callable[[], str]
    names: Sequence[str]
    types: Sequence[str]
    member: bool


class Ruleset(NamedTuple):
    """A domain's rules for one sort of object, in order, and one pattern that finds what any of them does."""

    rules: tuple[tuple[AttachmentRule, Pattern], ...]
    any: Pattern | None
    typed: bool  # some rule asks for types


class Attachments:
    """Is an attachment forbidden, or beyond our sight?

    For each part, and each member of an archive, the first rule by priority that matches decides for it: ALLOW ends the
    checks of that object, DENY condemns the mail; no match passes. A DENY matches when any plausible name (or type)
    does, an ALLOW only when all do. Types are the declared and the sniffed ones with their usual extensions.
    """

    name = "attachments"
    cost = Cost.PARSE
    Options = AttachmentOptions

    def __init__(self, options: AttachmentOptions, tools: Tools) -> None:
        self._options = options
        self._compiled: OrderedDict[int, tuple[Sequence[AttachmentRule], tuple[Ruleset, Ruleset]]] = OrderedDict()

    def key(self, recipient: Recipient) -> Hashable:
        return id(recipient.rules.attachments)  # the directory hands out one tuple for a domain

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        anatomy = mail.glance() or await mail.anatomy()
        found = await self._judge(anatomy, recipient.rules.attachments) if recipient.rules.attachments else []
        return [*found, *self._unseen(anatomy)]

    async def _judge(self, anatomy: Anatomy, rules: Sequence[AttachmentRule]) -> list[Finding]:
        parts, members = self._rulesets(rules)
        denied: list[Finding] = []
        allowed: list[Finding] = []
        for number, thing in enumerate(_objects(anatomy, typed=parts.typed), 1):
            matching = _deciding(thing, members if thing.member else parts)
            rule = next(matching, None)
            if rule is not None:
                told = denied if rule.action is AttachmentAction.DENY else allowed
                if len(told) < TOLD:
                    told.append(_decision(thing, [rule, *islice(matching, BEHIND)]))
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return denied + allowed

    def _rulesets(self, rules: Sequence[AttachmentRule]) -> tuple[Ruleset, Ruleset]:
        kept = self._compiled.get(id(rules))
        if kept is None or kept[0] is not rules:
            kept = (rules, (_ruleset(rules, _OF_PARTS), _ruleset(rules, _OF_MEMBERS)))
            self._compiled[id(rules)] = kept
            if len(self._compiled) > RULE_SETS:
                self._compiled.popitem(last=False)
        return kept[1]

    def _unseen(self, anatomy: Anatomy) -> Iterator[Finding]:
        """State what could not be looked into, and what is to be done about it (rules 3, threats 53-59)."""
        for text in anatomy.unscannable[:TOLD]:
            yield _unseen("UNSCANNABLE", plain(text), self._options.unscannable)
        for text in _encrypted(anatomy)[:TOLD]:
            yield _unseen("ENCRYPTED", text, self._options.encrypted)
        for text in _with_macros(anatomy)[:TOLD]:
            yield _unseen("MACROS", text, self._options.macros)
        for defect in anatomy.defects:
            if defect.symbol in (Symbol.PARTIAL, Symbol.EXTERNAL_BODY):
                yield _unseen(f"MESSAGE_{defect.symbol}", plain(defect.text), self._options.fragments)


_OF_PARTS = (CheckType.FILENAME, CheckType.CONTENTTYPE)
_OF_MEMBERS = (CheckType.ARCHIVE_FILENAME, CheckType.ARCHIVE_CONTENTTYPE)
_NAMES = (CheckType.FILENAME, CheckType.ARCHIVE_FILENAME)


def _ruleset(rules: Sequence[AttachmentRule], kinds: Sequence[CheckType]) -> Ruleset:
    chosen = tuple((rule, compile_rule(rule.filter)) for rule in rules if rule.check_type in kinds)
    typed = any(rule.check_type not in _NAMES for rule, _ in chosen)
    return Ruleset(chosen, compile_any(tuple(rule.filter for rule, _ in chosen)), typed)


def _objects(anatomy: Anatomy, *, typed: bool) -> Iterator[Object]:
    """Yield what rules are held against; parts that have no name only if some rule for parts asks for types."""
    for part in anatomy.parts:
        if typed or part.names or part.attachment:
            yield _part(anatomy, part)
        for member in part.members:
            if member.kind is not Kind.FOLDER or member.size:
                yield _member(anatomy, part, member)


def _part(anatomy: Anatomy, part: Part) -> Object:
    types = [kind for kind in (*part.types, part.sniffed) if kind and not kind.startswith("multipart/")]
    types += [MACROS] if part.macros else []
    names = part.names
    if not names and part.attachment:  # a client makes up a name by the type
        names = tuple(f"unnamed{extension}" for kind in types for extension in extensions(kind))
    return Object(lambda: wording.of_part(anatomy, part), names, types, member=False)


def _member(anatomy: Anatomy, part: Part, member: Member) -> Object:
    types = [member.type] if member.type else []
    types += [MACROS] if member.macros else []
    return Object(lambda: wording.of_member(anatomy, part, member), member.names, types, member=True)


def _deciding(thing: Object, ruleset: Ruleset) -> Iterator[AttachmentRule]:
    """Yield the rules that match the object: the first decides, each further one would without those before it."""
    typed = [(kind, *extensions(kind)) for kind in thing.types] if ruleset.typed else []
    if ruleset.any is not None:
        texts = (*thing.names, *(text for texts in typed for text in texts))
        if not any(map(ruleset.any.found, texts)):
            return
    for rule, pattern in ruleset.rules:
        if _matches(rule, pattern, thing.names, typed):
            yield rule


def _matches(rule: AttachmentRule, pattern: Pattern, names: Sequence[str], typed: Sequence[Sequence[str]]) -> bool:
    if rule.check_type in _NAMES:
        hits = [pattern.found(name) for name in names]
    else:
        hits = [any(map(pattern.found, texts)) for texts in typed]
    return any(hits) if rule.action is AttachmentAction.DENY else bool(hits) and all(hits)


def _decision(thing: Object, rules: Sequence[AttachmentRule]) -> Finding:
    rule, *behind = rules
    denied = rule.action is AttachmentAction.DENY
    said = plain(rule.description or rule.filter, 60)
    where = plain(thing.where(), 110)
    return Finding(
        category=Category.BAD_ATTACHMENT if denied else Category.NOTE,
        symbol="ATTACHMENT_DENIED" if denied else "ATTACHMENT_ALLOWED",
        reason=plain(f"{where}: {'forbidden' if denied else 'allowed'} by the rule “{said}”"),
        by=Attachments.name,
        rule_id=rule.id,
        instead=_decision(thing, behind) if behind else None,
    )


def _encrypted(anatomy: Anatomy) -> list[str]:
    """Name what needs a password."""
    if not anatomy.encrypted:
        return []
    named = [plain(f"{wording.of_part(anatomy, part)}: needs a password") for part in anatomy.parts if part.encrypted]
    return named or ["an archive or a document needs a password"]


def _with_macros(anatomy: Anatomy) -> list[str]:
    """Name the documents that hold macros."""
    found = []
    for part in anatomy.parts:
        if part.macros:
            inner = [member for member in part.members if member.macros]
            wheres = [wording.of_member(anatomy, part, one) for one in inner] or [wording.of_part(anatomy, part)]
            found += [plain(f"{plain(where, 120)}: has macros") for where in wheres]
    return found


def _unseen(symbol: str, reason: str, treatment: Treatment) -> Finding:
    delivered = treatment is Treatment.DELIVER
    return Finding(
        category=Category.NOTE if delivered else Category.BAD_ATTACHMENT,
        symbol=symbol,
        reason=reason,
        by=Attachments.name,
        hold=None if delivered else treatment is Treatment.HOLD,
    )


FILTER = Attachments
