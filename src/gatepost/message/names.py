"""File names: every name that some mail client may read from a part's header, raw and normalised (threats 45-47).

Clients disagree on duplicates, continuations, charsets, quotes and encoded words, so a part has a set of names. All of
it takes time linear in the header's length.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from gatepost.message import charsets, decode, headers

NAMES_MAX = 1000
NAME_MAX = 1024  # characters of one name that are looked at

_GAP = re.compile(rb"(?:\A|;)[\s;]*+")  # before a parameter
_STRICT = re.compile(rb"([^\s=;\"]+)\s*=\s*(?:\"([^\"\\]*(?:\\.[^\"\\]*)*)(\"|\\?\Z)([^;]*)|([^;\"][^;]*|))", re.DOTALL)
_LOOSE = re.compile(rb"(?<![A-Za-z0-9_-])((?:file)?name)(?:\s*(\*[^\s=;]{0,70}))?\s*=\s*([^;]*)", re.IGNORECASE)
_ONE_QUOTED = re.compile(rb'[^"]*;\s*(?:file)?name="[^"\\;]*"[^"]*\Z', re.IGNORECASE)
_AFTER_BLANK = re.compile(rb"[^;\s]\s+(?:file)?name[*\s=]", re.IGNORECASE)
_FOLD_WITHIN = re.compile(rb"(?<=[^;\s])[ \t]*\r?\n[ \t]+")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT = re.compile(rb"\([^()]*\)")
_INDEX = re.compile(r"\*([0-9]{1,9})(\*?)\Z")
# Letters and marks that show nothing (Default_Ignorable_Code_Point, Unicode's DerivedCoreProperties), and a blank one.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_PLAIN = re.compile(r"[A-Za-z0-9_()\[\]+,@&#-]+(?:[ .][A-Za-z0-9_()\[\]+,@&#-]+)*\Z")


class Parameter(msgspec.Struct, frozen=True, gc=False):
    """A parameter as it stands: key in lower case, its readings, the usual one first."""

    key: str
    values: tuple[bytes, ...]


class Named(msgspec.Struct, frozen=True):
    """The names of a part: `shown` is the usual one ("" for none), `all` the plausible ones with their normal forms.

    `cut` is true when there are more than are looked at.
    """

    shown: str = ""
    all: tuple[str, ...] = ()
    cut: bool = False


def parameters(value: bytes) -> tuple[Parameter, ...]:
    """Read the parameters of a structured field (RFC 2045 5.1), leniently, in order."""
    value = headers.unfold(value)
    return _cached(value) if len(value) < 256 else _parameters(value)


def _parameters(value: bytes) -> tuple[Parameter, ...]:
    found = _strictly(value)
    if b"(" in value:
        known = {p.key for p in found}
        found += [p for p in _strictly(headers.uncommented(value)) if p.key not in known]
    return tuple(found)


def _strictly(value: bytes) -> list[Parameter]:
    found = []
    for match in _matches(value):
        key = match[1].decode("ascii", "replace").lower()
        found.append(Parameter(key, _bare(match[5]) if match[2] is None else _quoted(match[2], match[3], match[4])))
    return found


def _matches(value: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the parameters as they stand; a long gap is passed over once, not from each semicolon in it."""
    at = 0
    while at <= len(value) and (gap := _GAP.search(value, at)):
        match = _STRICT.match(value, gap.end())
        at = max(1, match.end() if match else gap.end())
        if match:
            yield match


_cached = lru_cache(maxsize=1024)(_parameters)


def _bare(raw: bytes) -> tuple[bytes, ...]:
    whole = raw.strip()
    if b" " not in whole and b"\t" not in whole and b"(" not in whole:
        return (whole,)
    readings = [whole.split(None, 1)[0] if whole else whole, whole]
    if b"(" in whole:
        readings.append(_COMMENT.sub(b"", whole).strip())
    return tuple(dict.fromkeys(readings))


def _quoted(inside: bytes, closing: bytes, junk: bytes) -> tuple[bytes, ...]:
    open_end = closing if closing.startswith(b"\\") else b""  # a last backslash with nothing behind it stays
    readings = [_ESCAPE.sub(rb"\1", inside) + open_end]
    if b"\\" in inside:
        readings.append(inside)
    if not closing.startswith(b'"'):
        readings.append(inside.split(b";", 1)[0])  # the quote is not closed
    if junk.strip():
        readings += [readings[0] + junk.strip(), readings[0] + junk.strip().replace(b'"', b"")]
    return tuple(dict.fromkeys(readings))


def values(found: Iterable[Parameter], key: str) -> list[str]:
    """Return all plausible values of an ordinary parameter (boundary, charset ...), the usual one first."""
    shown, rest = _readings([p for p in found if p.key.startswith(key)], key)
    return list(dict.fromkeys([*([shown] if shown is not None else []), *rest]))


def names(disposition: Iterable[bytes], content_type: Iterable[bytes]) -> Named:
    """Return the names in the values of all Content-Disposition and all Content-Type fields of a part."""
    shown, collected = "", dict[str, None]()
    for fields, keys in ((disposition, ("filename", "name")), (content_type, ("name", "filename"))):
        for field in fields:
            if b"name" not in field and b"NAME" not in field.upper():
                continue
            for reading in _unfolded(field):
                found = parameters(reading)
                for key in keys:
                    best, rest = _of_field(reading, found, key)
                    shown = shown or best
                    collected.update(dict.fromkeys(rest))
    return _named(shown, collected)


def _unfolded(field: bytes) -> tuple[bytes, ...]:
    """Return a field with the blanks of its folds, and without: some programs fold within a name, some mend that."""
    closed = _FOLD_WITHIN.sub(b"", field) if b"\n" in field else field
    return (field,) if closed == field else (field, closed)


def normal(raw: Iterable[str]) -> Named:
    """Return names that come from elsewhere (archives, uuencode) with their normal forms; the first is shown."""
    collected = dict.fromkeys(name[:NAME_MAX] for name in raw if name)
    return _named(next(iter(collected), ""), collected)


def _named(shown: str, collected: dict[str, None]) -> Named:
    if not collected:
        return Named()
    everything: dict[str, None] = {}
    for name in list(collected)[:NAMES_MAX]:
        everything.update(dict.fromkeys(_forms(name)))
    return Named(shown or next(iter(collected)), tuple(everything), len(collected) > NAMES_MAX)


def _of_field(field: bytes, found: Iterable[Parameter], key: str) -> tuple[str, list[str]]:
    shown, rest = _readings([p for p in found if p.key.startswith(key)], key)
    if not _harmless(field):
        loose = [
            _loosely(match) for match in _LOOSE.finditer(headers.unfold(field)) if match[1].lower() == key.encode()
        ]
        rest += _readings(loose, key)[1]
    collected = [name for name in ([] if shown is None else [shown]) + rest if name]
    decoded = [headers.words(name) for name in collected if "=?" in name]
    best = headers.words(shown) if shown else ""
    return best[:NAME_MAX], [name[:NAME_MAX] for name in decoded + collected]


def _harmless(field: bytes) -> bool:
    """Tell whether quotes and blanks can't hide a further parameter."""
    if b'"' in field:
        return bool(_ONE_QUOTED.match(field)) and field.lower().count(b"name") < 2
    return not _AFTER_BLANK.search(field)


def _loosely(match: re.Match[bytes]) -> Parameter:
    key = (match[1] + (match[2] or b"")).decode("ascii", "replace").lower()
    value = match[3].strip()
    bare = value.strip(b'"')
    return Parameter(key, tuple(dict.fromkeys([bare, value, bare.split(b'"', 1)[0], *bare.split(None, 1)[:1]])))


# --- RFC 2231 --------------------------------------------------------------------------------------------------------


class _Segment(NamedTuple):
    number: int
    strict: bool  # the index is spelled as RFC 2231 asks
    extended: bool
    value: bytes


def _readings(found: list[Parameter], key: str) -> tuple[str | None, list[str]]:
    """Return what Mozilla's client reads (None: nothing), and everything else that is plausible."""
    plain = [value for p in found if p.key == key for value in p.values]
    extended = [value for p in found if p.key == key + "*" for value in p.values]
    segments = list(_segments(found, key))
    best: str | None = None
    rest: list[str] = []
    for strict, others in (*map(_extended, extended), *_joined(segments)):
        best = strict if best is None else best
        rest += others
    for value in plain:
        text = decode.guessed(value)
        best = text if best is None else best
        rest.append(text)
        if b"%" in value:
            rest.append(decode.guessed(unquote_to_bytes(value)))
    return best, rest


def _segments(found: list[Parameter], key: str) -> Iterator[_Segment]:
    for p in found:
        match = _INDEX.match(p.key, len(key))
        if match:
            index = int(match[1])
            yield _Segment(index, str(index) == match[1], bool(match[2]), p.values[0])


def _extended(value: bytes) -> tuple[str | None, list[str]]:
    """Read `charset'language'percent-encoded`, with either quote missing too."""
    charset, quote, rest = value.partition(b"'")
    if not quote:
        charset, rest = b"", value
    else:
        rest = rest.partition(b"'")[2] if b"'" in rest else rest
    return _in_charsets(unquote_to_bytes(rest), charset)


def _in_charsets(raw: bytes, charset: bytes) -> tuple[str | None, list[str]]:
    """Decode by the charset as browsers take it (ISO-8859-1 is Windows-1252), and by the others it might be."""
    name = charsets.codec(charset.decode("ascii", "replace")) if charset else None
    usual = {"iso8859-1": "cp1252", "ascii": "cp1252"}.get(name or "", name) or "utf-8"
    strict = _decoded(raw, usual)
    others = [decode.text(raw, name or ""), decode.guessed(raw), raw.decode("latin-1")]
    return strict, ([] if strict is None else [strict]) + others


def _decoded(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec).encode().decode()  # half a surrogate pair, as UTF-7 can spell, is no text
    except (UnicodeError, ValueError, LookupError):
        return raw.decode("latin-1") if codec == "cp1252" else None


def _joined(segments: list[_Segment]) -> Iterator[tuple[str | None, list[str]]]:
    """Put continuations together in the ways that clients do; the first way is Mozilla's."""
    first = _contiguous(_until_doubled(segments))
    if first:
        yield _assembled(first)
    done = [first]
    for order in _orders(segments) if len(first) < len(segments) else ():
        if order and order not in done:
            done.append(order)
            yield None, _assembled(order)[1]


def _orders(segments: list[_Segment]) -> Iterator[list[_Segment]]:
    firsts: dict[int, _Segment] = {}
    for segment in segments:
        firsts.setdefault(segment.number, segment)
    lasts = {segment.number: segment for segment in segments}
    yield segments  # as they stand
    yield _sorted(list(firsts.values()))  # gaps closed
    yield _sorted(list(lasts.values()))
    yield _contiguous(list(firsts.values()))
    yield _contiguous(list(lasts.values()))
    yield _sorted(segments)


def _sorted(segments: list[_Segment]) -> list[_Segment]:
    return sorted(segments, key=itemgetter(0))


def _until_doubled(segments: list[_Segment]) -> list[_Segment]:
    seen: dict[int, _Segment] = {}
    for segment in segments:
        if not segment.strict or segment.number in seen:
            break
        seen[segment.number] = segment
    return list(seen.values())


def _contiguous(segments: list[_Segment]) -> list[_Segment]:
    """Return the run that begins at 0 and has no gap, of segments with unlike indices."""
    return [segment for place, segment in enumerate(_sorted(segments)) if segment.number == place]


def _assembled(segments: Iterable[_Segment]) -> tuple[str | None, list[str]]:
    charset, pieces, raw, cut = b"", [], [], False
    for place, segment in enumerate(segments):
        value = segment.value
        if segment.extended and place == 0 and value.count(b"'") >= 2:
            charset, _, value = value.split(b"'", 2)
        raw.append(value)
        cut = cut or b"%" in value[-2:]
        pieces.append(unquote_to_bytes(value) if segment.extended and b"%" in value else value)
    strict, others = _in_charsets(b"".join(pieces), charset)
    if cut:  # an escape goes on in the next segment
        others += _in_charsets(unquote_to_bytes(b"".join(raw)), charset)[1]
    return strict, others


# --- normal forms ----------------------------------------------------------------------------------------------------


def _forms(name: str) -> tuple[str, ...]:
    """Return a name and what a file system or an eye makes of it (threat 47)."""
    if _PLAIN.match(name):
        return (name,)
    forms = {name: None}
    for variant in (name, name.split("\0", 1)[0]):
        clean = _canonical(variant)
        last = _canonical(re.split(r"[\\/]", clean.rstrip("\\/"))[-1])
        forms.update({clean: None, last: None, last.split(":", 1)[0]: None})
    return tuple(form for form in forms if form)


def _canonical(name: str) -> str:
    name = unicodedata.normalize("NFKC", name)
    if not name.isascii() or not name.isprintable():
        name = "".join(char for char in name if unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs"))
        name = _UNSEEN.sub("", name)
    name = re.sub(r"::?\$DATA\s*\Z", "", name, flags=re.IGNORECASE)
    return name.strip(" \t\"'<>").rstrip(". \t\u00a0")
