"""Signs in the text: how words are written, whom it greets, what senseless tokens it ends in."""

import re
from collections.abc import Iterator

from gatepost.filters.signs.facts import Facts, Sign
from gatepost.filters.signs.scripts import TORN, mixed
from gatepost.message.anatomy import Symbol
from gatepost.message.recent import Recent

READ = 4096  # characters over which the manner of writing is judged
MIXED_READ = 3000  # characters whose alphabets are asked for
FEW = 120  # characters of a text that says little
LITTLE = 20  # words of one that is held against no other
APART = 6  # letters in a row that stand alone
_APART = re.compile(r"(?:[^\W\d_][.*_-]){3,}[^\W\d_]\Z")
_MARKED = re.compile(r"[.*_-][^\W\d_][.*_-]")  # what stands in each of these
_TAIL = re.compile(
    r"(?:\A|[\s>])(?:[A-Za-z]{0,3}[0-9]{2,5}[A-Za-z]{2,6}[0-9]*[-A-Za-z0-9]{12,}"
    r"|[a-z]{24,}|(?:[a-z]{2,9} ){1,6}[bcdfghjklmnpqrstvwxz]{6,})\s*\Z"
)
_RUN = re.compile(r"[-A-Za-z0-9]{12}|[bcdfghjklmnpqrstvwxz]{6}")  # what all of these end in
_GREETING = re.compile(
    r"\A\W{0,5}(?:dear|hello|hi|attention|attn|bonjour|cher|hallo|hola|ciao|guten tag)?[\s,:]{0,3}"
    r"([\w.+-]+@[\w-]+\.[\w.-]+)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\b[A-Za-z0-9][\w.+-]{0,63}@((?:[A-Za-z0-9-]{1,63}\.){1,3}[A-Za-z]{2,12})\b")


def text(facts: Facts) -> Iterator[Sign]:
    shown = facts.prose.text
    some = shown[:READ]
    if not shown.strip():
        yield "TEXT_NONE", ""
        return
    yield from _manner(some)
    last = shown.rsplit(None, 1)[-1]
    if _RUN.search(last) and _TAIL.search(shown[-80:]):
        yield "TEXT_TAIL", last
    greeted = _GREETING.match(some)
    if greeted and greeted[1].lower().rstrip(".") in facts.recipients:
        yield "GREETS_ADDRESS", ""
    if len(shown) < FEW and facts.anatomy.links and not facts.answers:
        yield "TEXT_SHORT_LINK", ""
    if other := _other(facts, some):
        yield "TEXT_OTHER_FREEMAIL", other
    yield from _coded(facts)
    yield from _differ(facts)


def _other(facts: Facts, some: str) -> str:
    """Return a free mail address that the text names and the header does not, "" if there is none."""
    if "@" not in some or facts.listed or facts.answers:
        return ""
    known = {facts.author.address, *facts.recipients, *(reader.address for reader in facts.readers)}
    named = (found[0].lower() for found in _ADDRESS.finditer(some) if facts.freemail(found[1].lower()))
    return next((address for address in named if address not in known), "")


def _written(some: str) -> tuple[Sign, ...]:
    """Judge how words are written."""
    found: list[Sign] = []
    if not some.isascii():
        if len(torn := TORN.findall(some)) > 2:
            found.append(("TEXT_ZERO_WIDTH", f"{len(torn)} times"))
        if len(odd := mixed(some[:MIXED_READ])) > 1:
            found.append(("TEXT_MIXED", odd[0]))
    pieces = some.split()
    if (_MARKED.search(some) or list(map(len, pieces)).count(1) >= APART) and (gappy := _gappy(pieces)):
        found.append(("TEXT_GAPPY", gappy))
    return (*found, *_loud(some, pieces))


_manner = Recent(_written)


def _gappy(pieces: list[str]) -> str:
    """Return a word whose letters stand apart ("V i a g r a", "V.i.a.g.r.a"), "" if there is none."""
    run = 0
    for at, piece in enumerate(pieces):
        if len(piece) == 1:
            run = run + 1 if piece.isalpha() else 0
            if run == APART:
                return " ".join(pieces[at + 1 - APART : at + 1])
        else:
            run = 0
            if piece[1] in ".*_-" and len(piece) >= 7 and _APART.match(piece.rstrip(".,!?:")):
                return piece
    return ""


def _loud(some: str, pieces: list[str]) -> Iterator[Sign]:
    capitals = sum(len(piece) >= 4 for piece in filter(str.isupper, pieces))
    words = sum(len(piece) >= 3 for piece in pieces) if capitals else 0
    if words >= 20 and capitals > 0.2 * words:
        yield "TEXT_SHOUTS", f"{capitals} of {words} words"
    exclaims = some.count("!")
    exclaims += 2 * some.count("!!") if exclaims > 1 else 0
    exclaims += 2 * some.count("$$") if "$" in some else 0
    if exclaims >= 5 and exclaims * 120 > len(some):
        yield "TEXT_EXCLAIMS", f"{exclaims} times"


def _coded(facts: Facts) -> Iterator[Sign]:
    parts = facts.prose.parts
    if any(part.encoding == "base64" and part.size > 20 and part.text.isascii() for part in parts):
        yield "TEXT_CODED_IDLY", ""
    if any(defect.symbol is Symbol.BODY_8BIT for defect in facts.anatomy.defects):
        yield "TEXT_RAW", ""


def _differ(facts: Facts) -> Iterator[Sign]:
    """Compare what the plain text says with what the HTML shows: the shorter should have its words from the other."""
    page = facts.prose.page
    if page is None or not facts.prose.plain.strip() or "multipart/alternative" not in _containers(facts):
        return
    if _apart(f"{page.text[:READ]}\n{facts.prose.plain[:READ]}"):
        yield "PARTS_DIFFER", ""


def _unlike(both: str) -> bool:
    """Tell whether what a page shows, in one line, and the text behind it share too few of their words."""
    shown, _, plain = both.lower().partition("\n")
    words = set(plain.split())
    if len(words) <= LITTLE:
        return False
    others = set(shown.split())
    return len(others) > LITTLE and len(words & others) < 0.3 * min(len(words), len(others))


_apart = Recent(_unlike)


def _containers(facts: Facts) -> set[str]:
    return {kind for part in facts.anatomy.parts if part.container for kind in part.types}
