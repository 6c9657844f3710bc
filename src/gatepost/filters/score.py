"""Asks how much a mail looks like spam: many small signs, each with its points and its reason."""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence, Set
from functools import cache

from gatepost.filters.registry import Cost, Tools
from gatepost.filters.signs.brands import Brands
from gatepost.filters.signs.facts import Facts, Sign, facts_of
from gatepost.filters.signs.files import files
from gatepost.filters.signs.header import header
from gatepost.filters.signs.links import links
from gatepost.filters.signs.page import page
from gatepost.filters.signs.route import route
from gatepost.filters.signs.sender import sender
from gatepost.filters.signs.subject import subject
from gatepost.filters.signs.text import text
from gatepost.filters.symbols import Weights, load, phrases
from gatepost.message.anatomy import Anatomy
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.message.prose import Prose
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
HEAD, TAIL = 4000, 1500  # characters of a long text that are held against phrases
_HOME = {"AUTHOR_AT_HOME", "LINKS_HOME"}
_SAYS = "SAYS_"  # how symbols begin that phrases of the text are found for
_HARDLY = 0.01  # points of what is told and counts for nothing
_WAYS_TO_LEAVE = {"SAYS_OPT_OUT", "LINK_OPT_OUT"}
_FEIGNS = {
    *("FROM_NAME_BRAND", "FROM_NAME_OURS", "FROM_NAME_ADDRESS", "FROM_NAME_MIXED", "FROM_DOMAIN_ALIKE"),
    *("FROM_DOMAIN_BRAND", "FROM_DOMAIN_LURE", "FROM_DOMAIN_MIXED", "FROM_LOCAL_RANDOM", "REPLY_TO_FREEMAIL"),
    *("LINK_IP", "LINK_TEXT_OTHER", "LINK_ENCODED_HOST", "LINK_ALIKE", "LINK_BRAND", "TEXT_TAIL", "HTML_WORDS_SPLIT"),
    *("SAYS_SEX", "SAYS_PHARMA", "SAYS_ADVANCE_FEE", "SAYS_EARN_WHOLE", "SAYS_ACCOUNT", "SAYS_LOTTERY"),
}
"""What no honest newsletter shows."""
LINKS_MAX = 100  # whose URLs are held against phrases


class Score:
    """How much does it look like spam?

    Signs in header, route, proofs, text, HTML, links and files count points; what their sum means is the policy's
    matter. GTUBE counts 1,000.
    """

    name = "score"
    cost = Cost.PARSE
    Options = Weights

    def __init__(self, options: Weights, tools: Tools) -> None:
        self.anywhere = not options.file  # which may change before another process reads it
        self._symbols, self._lists = load(options, "symbols")
        self._joint = [(name, known.together) for name, known in self._symbols.items() if known.together]
        self._opens = _opens(self._joint)
        self._worded = {name for name, rows in self._joint if any(map(_all_said, rows))}
        self._reasons = {name: plain(known.about) for name, known in self._symbols.items()}
        self._usual = {  # of those that show nothing
            name: self._told(name, "", known.weight) for name, known in self._symbols.items() if not known.excuses
        }
        self._brands = Brands(self._lists) if options.file else _shipped_brands()
        self._in_text = phrases(options.file, "symbols", "text")
        self._in_subject = phrases(options.file, "symbols", "subject")
        self._in_links = phrases(options.file, "symbols", "links")
        self._in_sender = phrases(options.file, "symbols", "sender")

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        facts = await facts_of(mail, self._lists)
        signs = dict(self._signs(facts, mail))
        if _news(signs.keys()):
            signs["NEWS_AT_HOME"] = facts.author_domain
        lawful = facts.lawful or "NEWS_AT_HOME" in signs
        signs = {symbol: shown for symbol, shown in signs.items() if self._counts(symbol, lawful=lawful)}
        long = len(facts.prose.text) > HEAD
        joint = [
            sign
            for sign in self._together(signs)
            if self._counts(sign[0], lawful=lawful) and not (long and sign[0] in self._worded)
        ]
        said = sum([max(self._symbols[symbol].weight, 0) for symbol in signs if symbol.startswith(_SAYS)])
        return [self._finding(symbol, shown, said) for symbol, shown in (*signs.items(), *joint)]

    def _counts(self, symbol: str, *, lawful: bool) -> bool:
        known = self._symbols[symbol]
        return known.weight != 0 and not (known.unlisted and lawful)

    def _signs(self, facts: Facts, mail: Mail) -> Iterator[Sign]:
        if carries_gtube(mail, facts.anatomy):
            yield "GTUBE", ""
        yield from sender(facts, self._brands)
        yield from header(facts)
        yield from subject(facts)
        yield from route(facts)
        yield from text(facts)
        yield from page(facts)
        yield from links(facts, self._brands)
        yield from files(facts)
        yield from ((symbol, "") for symbol in self._phrases(facts))

    def _phrases(self, facts: Facts) -> Iterator[str]:
        prose = facts.prose
        yield from self._in_text.found(prose.subject, _pitch(_own(prose)))
        yield from self._in_subject.found(prose.subject)
        yield from self._in_sender.found(facts.anatomy.summary.from_)
        yield from self._in_links.found("\n".join(link.url for link in facts.anatomy.links[:LINKS_MAX]))

    def _together(self, signs: Collection[str]) -> Iterator[Sign]:
        """Yield the symbols that hold where others do, each of which may be one that stands before it in the table."""
        held = set(signs)
        likely = 0
        for each in held:
            likely |= self._opens.get(each, 0)
        while likely:
            last = likely & -likely
            likely ^= last
            symbol, rows = self._joint[last.bit_length() - 1]
            if not any(map(held.isdisjoint, rows)) and held.isdisjoint(self._symbols[symbol].without):
                found = [next(part for part in row if part in held) for row in rows]
                held.add(symbol)
                likely |= self._opens.get(symbol, 0) & -last << 1  # those behind it
                yield symbol, " and ".join(found)

    def _finding(self, symbol: str, shown: str, said: float) -> Finding:
        """`said`: the points of what the text says."""
        if not shown and (usual := self._usual.get(symbol)):
            return usual
        known = self._symbols[symbol]
        score = max(known.weight, -said - _HARDLY) if known.excuses else known.weight
        return self._told(symbol, plain(shown), score)

    def _told(self, symbol: str, seen: str, score: float) -> Finding:
        return Finding(
            category=Category.SCORE,
            symbol=symbol,
            reason=self._reasons[symbol],
            seen=seen,
            by=self.name,
            score=score,
        )


@cache
def _shipped_brands() -> Brands:
    return Brands(load(Weights(), "symbols")[1])


def _opens(joint: Sequence[tuple[str, tuple[tuple[str, ...], ...]]]) -> dict[str, int]:
    """Return for each part of the shortest row of each symbol where, as bits, those stand that it is needed for."""
    opens: dict[str, int] = {}
    for place, (_, rows) in enumerate(joint):
        for part in min(rows, key=len):
            opens[part] = opens.get(part, 0) | 1 << place
    return opens


def _all_said(row: Iterable[str]) -> bool:
    """Tell whether a row of what holds together is of phrases alone, which in a long text stand apart."""
    return all(part.startswith(_SAYS) for part in row)


def _news(signs: Set[str]) -> bool:
    """Tell whether signs are those of a newsletter that hides nothing: its server, its links and a way to leave."""
    return signs >= _HOME and not _WAYS_TO_LEAVE.isdisjoint(signs) and _FEIGNS.isdisjoint(signs)


def _own(prose: Prose) -> str:
    """Return the text without the lines that it quotes, if there are others: those are another's words."""
    if prose.page is not None or "\n>" not in prose.plain:
        return prose.text
    return " ".join(" ".join(line for line in prose.plain.split("\n") if line[:1] != ">").split()) or prose.text


def _pitch(shown: str) -> str:
    """Return of a long text its beginning and end, where a seller speaks: long mail says many things in passing."""
    return shown if len(shown) <= HEAD + TAIL else f"{shown[:HEAD]}\n{shown[-TAIL:]}"


def carries_gtube(mail: Mail, anatomy: Anatomy) -> bool:
    if mail.body.data is not None and mail.body.data.find(GTUBE, anatomy.header_end) >= 0:
        return True
    # UTF-16 puts a NUL beside each octet of the pattern.
    texts = (part.text for part in anatomy.parts if part.text)
    return any((text.replace(b"\0", b"") if 0 in text else text).find(GTUBE) >= 0 for text in texts)


FILTER = Score
