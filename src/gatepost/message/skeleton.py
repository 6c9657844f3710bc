"""Skeletons: one form for texts that look alike (UTS 39), so that `paypal` in Cyrillic or digits is seen to be that."""

import string
import unicodedata
from functools import lru_cache
from importlib.resources import files

import msgspec

_DIGITS = str.maketrans("013457|!$@i", "oleastllsal")
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))


class _Alike(msgspec.Struct):
    """A character that may be taken for another, as the library lists it."""

    c: str


@lru_cache(maxsize=1)
def _table() -> dict[int, str]:
    """Return the characters that look like a small Latin letter, from Unicode's list of confusables."""
    raw = files("confusable_homoglyphs").joinpath("confusables.json").read_bytes()
    known = msgspec.json.decode(raw, type=dict[str, list[_Alike]])
    table = {}
    for letter in string.ascii_lowercase:
        for other in known.get(letter, ()):
            if len(other.c) == 1 and not other.c.isascii():
                table[ord(other.c)] = letter
    return table


def folded(text: str) -> str:
    """Return a text in lower case with look-alikes of Latin letters as those letters; other writing stays."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.translate(_table()).casefold())
    return "".join(char for char in apart if not unicodedata.combining(char)).translate(_table())


@lru_cache(maxsize=4096)
def skeleton(name: str) -> str:
    """Return the form that a name shares with all that look like it: digits as letters, `rn` as `m`, no hyphens."""
    found = folded(name).translate(_DIGITS).replace("-", "")
    for pair, letter in _PAIRS:
        found = found.replace(pair, letter)
    return found


def seen_labels(name: str) -> str:
    """Return labels as a reader sees them: A-labels decoded, look-alikes as what they look like."""
    return ".".join(folded(unpunycoded(label)) for label in name.split("."))


def unpunycoded(label: str) -> str:
    """Return an A-label as a U-label; what is none, or a broken one, stays."""
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return label
