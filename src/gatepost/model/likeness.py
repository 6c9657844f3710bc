"""Texts that are like another one: wildcards, words, words near each other, numbers; what no index can tell.

Every comparison takes time linear in the text for each part of the pattern: nothing goes back and forth over it.
"""

import operator
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache

import msgspec

LONGEST = 16_384  # characters of a text that words are looked for in
_WORD = re.compile(r"\w+")
_MASKED_WORD = re.compile(r"(?:\\.|[\w*?])+")
_MASK = re.compile(r"[*?\\]")
_NUMBER = re.compile(r"\s*[+-]?\d{1,30}(\.\d{1,30})?\s*\Z")

COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class How(StrEnum):
    WHOLE = "whole"  # the text, or one of its lines, is the other
    ANY = "any"  # it has one of the words
    ALL = "all"  # it has every word, wherever
    ADJ = "adj"  # it has the words one after another
    NEAR = "near"  # it has the words near those of `other`
    NUMBER = "number"  # it is a number that compares so


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """What a text shall be like. With `masked`, * is any characters, ? one, ^ an end; \\ takes their meaning away.

    `by` (a key of COMPARE) is how a NUMBER, or the distance in words of a NEAR, compares.
    """

    how: How
    text: str
    case: bool = False  # does case count?
    accents: bool = True
    masked: bool = True
    lines: bool = False  # is each line a text of its own?
    other: str = ""
    by: str = "="
    distance: int = 1
    ordered: bool = False


def likes(likeness: Likeness, text: str) -> bool:
    """Tell whether a text is like that."""
    if likeness.how is How.NUMBER:
        return is_number(text) and COMPARE[likeness.by](float(text), float(likeness.text))
    text = _plain(likeness, text)
    if likeness.how is How.WHOLE:
        pattern = _pattern(_plain(likeness, likeness.text), likeness.masked)
        return any(_fits(pattern, each) for each in (text.split("\n") if likeness.lines else [text]))
    words = _WORD.findall(text[:LONGEST])
    if likeness.how is How.NEAR:
        return _near(likeness, words)
    found = (_has(likeness, words, phrase) for phrase in _phrases(likeness))
    return any(found) if likeness.how is How.ANY else all(found)


def is_number(text: str) -> bool:
    return _NUMBER.match(text) is not None


def has_words(text: str) -> bool:
    """Tell whether a pattern has any word to look for."""
    return _MASKED_WORD.search(text) is not None


def _plain(likeness: Likeness, text: str) -> str:
    if not likeness.case:
        text = text.casefold()
    if not likeness.accents:
        text = "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))
    return text


# Patterns: what stands between the stars, each of one length.

_Pattern = tuple[tuple[re.Pattern[str], int], ...]


@lru_cache(maxsize=1024)
def _pattern(text: str, masked: bool) -> _Pattern:
    if not masked:
        return ((re.compile(re.escape(text)), len(text)),)
    parts: list[list[str]] = [[]]
    chars = iter(text.removeprefix("^").removesuffix("^"))
    for char in chars:
        if char == "*":
            parts.append([])
        else:
            parts[-1].append("." if char == "?" else re.escape(next(chars, "\\") if char == "\\" else char))
    return tuple((re.compile("".join(part), re.DOTALL), len(part)) for part in parts)


def _fits(pattern: _Pattern, text: str) -> bool:
    (first, size), (last, tail) = pattern[0], pattern[-1]
    if len(pattern) == 1:
        return len(text) == size and first.match(text) is not None
    if first.match(text) is None:
        return False
    at = size
    for part, _ in pattern[1:-1]:
        found = part.search(text, at)
        if found is None:
            return False
        at = found.end()
    return len(text) - tail >= at and last.match(text, len(text) - tail) is not None


# Words.


def _phrases(likeness: Likeness) -> list[str]:
    text = _plain(likeness, likeness.text)
    return [text] if likeness.how is How.ADJ else text.split()


def _has(likeness: Likeness, words: list[str], phrase: str) -> bool:
    return next(_places(likeness, words, phrase), None) is not None


def _places(likeness: Likeness, words: list[str], phrase: str) -> Iterator[tuple[int, int]]:
    """Yield the first and the last word's place of each occurrence of a phrase."""
    masked = likeness.masked
    tokens = (_MASKED_WORD if masked else _WORD).findall(phrase)
    if not tokens:
        return
    patterns = [_pattern(token, True) if masked and _MASK.search(token) else token for token in tokens]
    last = len(words) - len(tokens)
    for at in _starts(patterns[0], words, last):
        if masked and (at if phrase.startswith("^") else last - at if phrase.endswith("^") else 0):
            continue
        if all(_is(pattern, words[at + step]) for step, pattern in enumerate(patterns)):
            yield at, at + len(tokens) - 1


def _is(pattern: _Pattern | str, word: str) -> bool:
    return pattern == word if isinstance(pattern, str) else _fits(pattern, word)


def _starts(pattern: _Pattern | str, words: list[str], last: int) -> Iterator[int]:
    """Yield the places up to `last` at which a phrase may begin."""
    if not isinstance(pattern, str):
        yield from range(last + 1)
        return
    at = -1
    with suppress(ValueError):  # there are no more
        while True:
            at = words.index(pattern, at + 1, last + 1)
            yield at


def _near(likeness: Likeness, words: list[str]) -> bool:
    """Words next to each other have the distance 1. The nearest and the farthest tell of all between."""
    theirs = list(_places(likeness, words, _plain(likeness, likeness.other)))
    firsts, lasts = [first for first, _ in theirs], [last for _, last in theirs]
    known_firsts, known_lasts = set(firsts), set(lasts)
    far = likeness.distance
    for start, end in _places(likeness, words, _plain(likeness, likeness.text)):
        behind = bisect_right(firsts, end)
        if behind < len(firsts) and _gap(likeness, firsts[behind] - end, firsts[-1] - end, end + far in known_firsts):
            return True
        before = 0 if likeness.ordered else bisect_left(lasts, start)
        if before and _gap(likeness, start - lasts[before - 1], start - lasts[0], start - far in known_lasts):
            return True
    return False


def _gap(likeness: Likeness, nearest: int, farthest: int, exactly: bool) -> bool:
    """Tell whether one of the gaps compares as it shall."""
    if likeness.by in ("=", "=="):
        return exactly and likeness.distance > 0
    compare = COMPARE[likeness.by]
    return compare(nearest, likeness.distance) or compare(farthest, likeness.distance)
