"""The points of another scanner: its rules as findings, weighted, whose sum is the total that the scanner names."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import ClassVar, NamedTuple

import msgspec

from gatepost.filters.engine import Engine, EngineOptions, TooLarge
from gatepost.filters.registry import Tools
from gatepost.filters.wire import Garbled
from gatepost.mailauth import iprev
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.verdict import Category, Finding

RULES = 200  # told of one mail
READ = 5_000  # of one answer
MOST = 1_000_000  # points of a rule, or of all
LEAST = 0.005  # points; less is a matter of rounding


class Rule(NamedTuple):
    """A rule that another scanner found true."""

    name: str
    points: float
    about: str


class ScannerOptions(EngineOptions, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **EngineOptions.DOC,
        "ignore_symbols": "symbols (with * and ?) whose points don't count, as Gatepost asks the same itself",
        "virus_symbols": "symbols that mean a virus; their points don't count",
        "advert_symbols": "symbols that mean an advert; their points don't count",
    }
    too_large: TooLarge = "skip"
    ignore_symbols: list[str] = msgspec.field(default_factory=list)
    virus_symbols: list[str] = msgspec.field(default_factory=list)
    advert_symbols: list[str] = msgspec.field(default_factory=list)


class Scanner(Engine):
    """An engine that counts points by rules of its own."""

    def __init__(self, options: ScannerOptions, tools: Tools) -> None:
        super().__init__(options, tools)
        self._options = options
        self._resolver = tools.resolver

    async def reverse(self, mail: Mail) -> str:
        """Return the client's name as DNS proves it, "" where there is none in time."""
        if mail.auth is not None:
            return mail.auth.iprev.name
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                return (await iprev.check(self._resolver, mail.envelope.client.ip)).name
        except TimeoutError:
            return ""

    def counted(self, rules: Iterable[Rule], total: float, said: str) -> list[Finding]:
        """Return what the scanner found; what its rules leave of its total counts too. `said` is its own verdict.

        Raises Garbled for more rules, or more points, than any scanner has.
        """
        read = list(islice(rules, READ + 1))
        if len(read) > READ or not all(abs(points) <= MOST for points in (total, *(rule.points for rule in read))):
            raise Garbled("an answer with endless rules or points")
        told = sorted(read, key=lambda rule: (not self._infects(rule), -abs(rule.points)))[:RULES]
        found = [self._rule(rule) for rule in told if rule.points or self._means(rule)]
        rest = total - sum(rule.points for rule in told)
        if abs(rest) >= LEAST:
            found.append(self._points("OTHER", rest, "points that it names no rule for"))
        silent = [symbol(rule.name) for rule in told if not rule.points and not self._means(rule)]
        return [*found, self.finding(Category.NOTE, "SAID", "; without points: ".join([said, *_listed(silent)]))]

    def _infects(self, rule: Rule) -> bool:
        return any(fnmatchcase(rule.name, pattern) for pattern in self._options.virus_symbols)

    def _means(self, rule: Rule) -> Category | None:
        """Tell what a rule means beside its points."""
        if self._infects(rule):
            return Category.VIRUS
        for category, patterns in (
            (Category.ADVERT, self._options.advert_symbols),
            (Category.NOTE, self._options.ignore_symbols),
        ):
            if any(fnmatchcase(rule.name, pattern) for pattern in patterns):
                return category
        return None

    def _rule(self, rule: Rule) -> Finding:
        category = self._means(rule)
        reason = plain(rule.about or rule.name)
        if category is not None:
            return Finding(category=category, symbol=symbol(rule.name), reason=reason, by=self.name)
        return msgspec.structs.replace(self._points("", rule.points, reason), symbol=symbol(rule.name))

    def _points(self, what: str, points: float, reason: str) -> Finding:
        score = round(points * self._options.weight, 3)
        return self.finding(Category.SCORE, what, reason, score=score)


def symbol(name: str) -> str:
    """Return a rule's name as a symbol, whatever was sent for one."""
    return re.sub(r"[^A-Z0-9_]", "_", name[:64].upper()) or "UNNAMED"


def _listed(names: Sequence[str]) -> list[str]:
    return [", ".join(names)] if names else []
