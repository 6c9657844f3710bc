"""Asks lists that are published in DNS (RFC 5782), side by side, and understands what they answer.

A list is never believed blindly (threat 67): an answer of 127.255.255.0/24 or 127.0.0.1 is a refusal, one outside
127.0.0.0/8 comes from no list, and a list that has 127.0.0.1 or `invalid` on it (RFC 5782 5) lists everything. In all
these cases its answers are ignored, and the administrator is told.
"""

import asyncio
import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from gatepost.dns import DnsFailure, Missing, reverse_name
from gatepost.filters import registry
from gatepost.filters.registry import Tools
from gatepost.message.plain import plain
from gatepost.model.verdict import Category, Finding

Kind = Literal["ip", "domain", "hash"]
Act = Literal["score", "block"]

AT_ONCE = 200  # questions of all mails together
_SYMBOL = re.compile(r"[A-Z][A-Z0-9_]{1,63}\Z")
_ZONE = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+\Z")
_OCTET = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?\Z|\*\Z")
_REFUSALS = ("127.255.255.*", "127.0.0.1")
_TEST = {"ip": "1.0.0.127", "domain": "invalid", "hash": "invalid"}  # what no list may have on it


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer of a list means: `code` an address whose octets may be ranges or *, or `mask` bits of its last."""

    code: str = ""
    mask: int = 0
    symbol: str = ""
    weight: float = 0.0
    description: str = ""
    action: Act | None = None


class Zone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list in DNS. Without `answers`, each one counts; else those that are named there, with what differs in them."""

    zone: str
    description: str = ""
    symbol: str = ""
    weight: float = 0.0
    action: Act = "score"
    answers: tuple[Listed, ...] = ()
    refusals: tuple[str, ...] = ()  # further codes by which it says that it does not answer us
    hash: Literal["sha256", "sha1", "md5"] = "sha256"
    encoding: Literal["hex", "base32"] = "hex"


class ZoneOptions(registry.Options, frozen=True):
    """What all filters can be told that ask DNS lists."""

    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "seconds": "seconds for all questions about a mail; a list that has not answered by then says nothing",
        "most": "names, addresses or hashes of one mail that one list is asked about",
    }
    seconds: float = 5.0
    most: int = 20


class Meaning(msgspec.Struct, frozen=True):
    """One meaning of a list's answers, ready for use."""

    octets: tuple[range, ...]
    mask: int
    symbol: str
    weight: float
    said: str
    blocks: bool

    def fits(self, code: tuple[int, ...]) -> bool:
        if self.mask:
            return code[:3] == (127, 0, 0) and bool(code[3] & self.mask)
        return all(octet in allowed for octet, allowed in zip(code, self.octets, strict=True))


class Question(msgspec.Struct, frozen=True):
    """One thing that one list is asked about: the name's first labels, and the thing in words."""

    source: "Source"
    label: str
    shown: str


class Source:
    """A list, its options checked. Raises ValueError that names the zone."""

    def __init__(self, zone: Zone, kind: Kind) -> None:
        self.name = zone.zone.lower().strip(".")
        self.kind: Kind = kind
        self.description = zone.description or self.name
        self._hash = zone.hash
        self._encoding = zone.encoding
        if not _ZONE.match(self.name):
            raise ValueError(f"zones: {zone.zone!r} is no domain name")
        own = Listed(code="127.*.*.*")
        self.meanings = [self._meaning(each, zone) for each in zone.answers or (own,)]
        self._refusals = [_octets(self.name, code) for code in (*_REFUSALS, *zone.refusals)]

    def _meaning(self, each: Listed, zone: Zone) -> Meaning:
        """What an answer leaves out is the zone's."""
        symbol = each.symbol or zone.symbol or re.sub(r"[^A-Z0-9]", "_", self.name.upper())
        checked_symbol("zones", self.name, symbol)
        if bool(each.code) == bool(each.mask) or not 0 <= each.mask <= 255:
            raise ValueError(f"zones: {self.name}: an answer needs a code, or a mask from 1 to 255")
        octets = _octets(self.name, each.code) if each.code else ()
        blocks = (each.action or zone.action) == "block"
        return Meaning(octets, each.mask, symbol, each.weight or zone.weight, each.description, blocks)

    def refuses(self, code: tuple[int, ...]) -> bool:
        """Tell whether an answer says that the list does not answer us."""
        return any(all(map(range.__contains__, octets, code)) for octets in self._refusals)

    def about_ip(self, ip: str) -> Question:
        """Ask about an address: octets (RFC 5782 2.1) or nibbles (2.4) reversed."""
        address = ipaddress.ip_address(ip)
        ip = str(getattr(address, "ipv4_mapped", None) or address)
        label = reverse_name(ip).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
        return Question(self, label, ip)

    def about_text(self, text: str) -> Question:
        """Ask about a name, or in a list of hashes about the hash of any text."""
        if self.kind != "hash":
            return Question(self, text, text)
        digest = hashlib.new(self._hash, text.encode("utf-8", "replace"), usedforsecurity=False).digest()
        label = digest.hex() if self._encoding == "hex" else base64.b32encode(digest).decode().rstrip("=").lower()
        return Question(self, label, text)


def checked_symbol(option: str, name: str, symbol: str) -> None:
    """Raise ValueError for a symbol that is none."""
    if not _SYMBOL.match(symbol):
        raise ValueError(f"{option}: {name}: symbol {symbol!r} is not UPPER_SNAKE")


def _octets(name: str, code: str) -> tuple[range, ...]:
    parts = [_OCTET.match(part) for part in code.split(".")]
    if len(parts) != 4 or None in parts:
        raise ValueError(f"zones: {name}: {code!r} is no address of four numbers, ranges or *")
    return tuple(range(int(part[1]), int(part[2] or part[1]) + 1) if part and part[1] else range(256) for part in parts)


class _Answer(msgspec.Struct, frozen=True):
    """What came of one question: the codes, why they don't count ("" if they do), or that none came in time."""

    question: Question
    codes: tuple[tuple[int, ...], ...] = ()
    fault: str = ""
    late: bool = False


_FAULTS = {
    "refused": "refuses to answer this resolver",
    "foreign": "answers with an address that no list uses",
    "everything": "lists what no list may (RFC 5782 5), and so everything",
}


class Lists:
    """Asks the lists of one filter about one mail after another."""

    def __init__(self, options: ZoneOptions, tools: Tools, by: str) -> None:
        self._resolver = tools.resolver
        self._alarm = tools.alarm
        self._seconds = options.seconds
        self._by = by
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def ask(self, questions: Sequence[Question]) -> list[Finding]:
        """Return what the lists say, each symbol once; lists that don't answer, or can't be believed, as notes."""
        if not questions:
            return []
        sources = list(dict.fromkeys(question.source for question in questions))
        tests = [Question(source, _TEST[source.kind], "the test entry") for source in sources]
        answers = await self._answers([*tests, *questions])
        faults = self._faults(answers)
        for source, fault in faults.items():
            self._alarm(source.name, fault, f"{source.description} ({source.name}) {_FAULTS[fault]}: ignored")
        said = [each for each in answers[len(tests) :] if each.question.source not in faults]
        return [*_listed(said, self._by), *self._notes(faults), *self._late(answers)]

    async def _answers(self, questions: Sequence[Question]) -> list[_Answer]:
        tasks = [asyncio.ensure_future(self._one(question)) for question in questions]
        try:
            await asyncio.wait(tasks, timeout=self._seconds)
            return [
                task.result() if task.done() else _Answer(question, late=True)
                for task, question in zip(tasks, questions, strict=True)
            ]
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, question: Question) -> _Answer:
        source = question.source
        try:
            async with self._turns:
                texts = await self._resolver.ipv4(f"{question.label}.{source.name}")
        except Missing:
            return _Answer(question)
        except DnsFailure:
            return _Answer(question, late=True)
        codes = tuple(tuple(map(int, text.split("."))) for text in sorted(texts))
        fault = ""
        if any(map(source.refuses, codes)):
            fault = "refused"
        elif any(code[0] != 127 for code in codes):
            fault = "foreign"
        return _Answer(question, codes, fault)

    def _faults(self, answers: Sequence[_Answer]) -> dict[Source, str]:
        """Return the lists that can't be believed, each with its fault."""
        found: dict[Source, str] = {}
        for each in answers:
            tested = each.question.label == _TEST[each.question.source.kind] and bool(each.codes)
            fault = each.fault or ("everything" if tested else "")
            if fault:
                found.setdefault(each.question.source, fault)
        return found

    def _notes(self, faults: Mapping[Source, str]) -> Iterator[Finding]:
        for source, fault in faults.items():
            yield self._note("DNS_LIST_IGNORED", f"{plain(source.description, 80)} {_FAULTS[fault]}: ignored")

    def _late(self, answers: Sequence[_Answer]) -> Iterator[Finding]:
        late = [each for each in answers if each.late]
        names = ", ".join(dict.fromkeys(each.question.source.name for each in late))
        if late:
            yield self._note("DNS_LIST_SILENT", f"no answer in time to {len(late)} questions: {names}")

    def _note(self, symbol: str, text: str) -> Finding:
        return Finding(category=Category.NOTE, symbol=symbol, reason=plain(text), by=self._by)


def _listed(answers: Iterable[_Answer], by: str) -> Iterator[Finding]:
    """Yield a finding for each symbol, by what weighs most of all that has it, and how many more there are."""
    hits: dict[str, list[tuple[_Answer, Meaning, tuple[int, ...]]]] = {}
    for each in answers:
        for meaning in each.question.source.meanings:
            code = next((code for code in each.codes if meaning.fits(code)), None)
            if code is not None:
                hits.setdefault(meaning.symbol, []).append((each, meaning, code))
    for symbol, found in hits.items():
        answer, meaning, code = max(found, key=lambda hit: (hit[1].blocks, abs(hit[1].weight)))
        question = answer.question
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        what = ", ".join(filter(None, (question.source.description, meaning.said)))
        asked = f"{plain(question.label, 70)}.{question.source.name} is {'.'.join(map(str, code))}"
        yield Finding(
            category=Category.BLOCKED if meaning.blocks else Category.SCORE,
            symbol=symbol,
            reason=plain(f"{plain(question.shown, 70)}{more} is on {what}: {asked}", 300),
            by=by,
            seen=plain(", ".join(dict.fromkeys(each.question.shown for each, _, _ in found)), 300),
            score=meaning.weight,
        )


def chosen(names: Iterable[str], most: int, salt: str) -> list[str]:
    """Return at most `most` of what a list could be asked about; which ones, no author can know beforehand."""
    every = list(dict.fromkeys(names))
    if len(every) <= most:
        return every
    return sorted(every, key=lambda name: hashlib.sha256(f"{salt} {name}".encode()).digest())[:most]
