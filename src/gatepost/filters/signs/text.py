"""Signs in the text: how words are written, whom it greets, what senseless tokens it ends in."""

import re
from collections.abc import Iterator

from gatepost.filters.signs.facts import Facts, Sign
from gatepost.filters.signs.scripts import TORN, mixed
from gatepost.message.anatomy import Symbol
from gatepost.message.words import words

READ = 8192  # characters over which the manner of writing is judged
MIXED_READ = 3000  # characters whose alphabets are asked for
FEW = 120  # characters of a text that says little
_GAPPY = re.compile(r"(?:(?<!\S)[^\W\d_][ .*_-]){5,}[^\W\d_](?!\S)|\b(?:[^\W\d_][.*_-]){3,}[^\W\d_]\b(?!\.)")
_TAIL = re.compile(
    r"(?:\A|[\s>])(?:[A-Za-z]{0,3}[0-9]{2,5}[A-Za-z]{2,6}[0-9]*[-A-Za-z0-9]{12,}"
    r"|[a-z]{24,}|(?:[a-z]{2,9} ){1,6}[bcdfghjklmnpqrstvwxz]{6,})\s*\Z"
)
_GREETING = re.compile(
    r"\A\W{0,5}(?:dear|hello|hi|attention|attn|bonjour|cher|hallo|hola|ciao|guten tag)?[\s,:]{0,3}"
    r"([\w.+-]+@[\w-]+\.[\w.-]+)",
    re.IGNORECASE,
)
_CAPITALS = re.compile(r"\b[A-Z]{4,}\b")
_WORDS = re.compile(r"[^\W\d_]{3,}")


def text(facts: Facts) -> Iterator[Sign]:
    shown = facts.prose.text
    some = shown[:READ]
    if not shown.strip():
        yield "TEXT_NONE", ""
        return
    if not some.isascii():
        if len(torn := TORN.findall(some)) > 2:
            yield "TEXT_ZERO_WIDTH", f"{len(torn)} times"
        if len(odd := mixed(some[:MIXED_READ])) > 1:
            yield "TEXT_MIXED", odd[0]
    if found := _GAPPY.search(some):
        yield "TEXT_GAPPY", found[0]
    yield from _loud(some)
    if _TAIL.search(shown[-80:]):
        yield "TEXT_TAIL", shown.rsplit(None, 1)[-1]
    greeted = _GREETING.match(some)
    if greeted and greeted[1].lower().rstrip(".") in facts.recipients:
        yield "GREETS_ADDRESS", ""
    if len(shown) < FEW and facts.anatomy.links and not facts.answers:
        yield "TEXT_SHORT_LINK", ""
    yield from _coded(facts)
    yield from _differ(facts)


def _loud(some: str) -> Iterator[Sign]:
    capitals, all_words = len(_CAPITALS.findall(some)), len(_WORDS.findall(some))
    if all_words >= 20 and capitals > 0.2 * all_words:
        yield "TEXT_SHOUTS", f"{capitals} of {all_words} words"
    exclaims = some.count("!") + 2 * some.count("!!") + 2 * some.count("$$")
    if exclaims >= 5 and exclaims * 120 > len(some):
        yield "TEXT_EXCLAIMS", f"{exclaims} times"


def _coded(facts: Facts) -> Iterator[Sign]:
    parts = facts.prose.parts
    if any(part.encoding == "base64" and part.size > 20 and part.text.isascii() for part in parts):
        yield "TEXT_CODED_IDLY", ""
    if any(defect.symbol is Symbol.BODY_8BIT for defect in facts.anatomy.defects):
        yield "TEXT_RAW", ""


def _differ(facts: Facts) -> Iterator[Sign]:
    """Compare what the plain text says with what the HTML shows: half of the words of each should be the other's."""
    page = facts.prose.page
    if page is None or not facts.prose.plain.strip() or "multipart/alternative" not in _containers(facts):
        return
    plain, shown = set(words(facts.prose.plain[:READ])), set(words(page.text[:READ]))
    if len(plain) > 20 and len(shown) > 20 and len(plain & shown) < 0.3 * min(len(plain), len(shown)):
        yield "PARTS_DIFFER", ""


def _containers(facts: Facts) -> set[str]:
    return {kind for part in facts.anatomy.parts if part.container for kind in part.types}
