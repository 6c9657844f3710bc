"""Opaque ids: a row's number as a short text that belongs to this installation, and back."""

import hashlib
import hmac
import string
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from sqids import Sqids
from sqids.constants import DEFAULT_BLOCKLIST

from gatepost.model.values import CLEARED, UNKNOWN, Id, Millis

SHORTEST = 5  # characters
LONGEST = 16  # characters; more than any 64-bit number needs
_LETTERS = 62
_BEYOND = 2**63
_START = 4  # letters; words of three are no more than a text of three letters is compared to
_STARTS = frozenset(word[:_START].lower() for word in DEFAULT_BLOCKLIST if len(word) >= _START)
_LAST = datetime(9999, 12, 31, tzinfo=UTC)


class Ids:
    """Shows numbers as texts of at least five letters and digits, in an order that `seed` decides."""

    def __init__(self, seed: bytes) -> None:
        def place(letter: str) -> bytes:
            return hmac.digest(seed, letter.encode(), hashlib.sha256)

        self._alphabet = "".join(sorted(string.ascii_letters + string.digits, key=place))
        self._ways = _Ways(_mixed(self._alphabet))
        self._decoded = lru_cache(maxsize=65_536)(self._decode)

    @cached_property
    def _codec(self) -> Sqids:
        """Sqids itself, which reads ids, and knows what to say where a number would spell a word."""
        return Sqids(alphabet=self._alphabet, min_length=SHORTEST)

    def show(self, number: int) -> str:
        """Return the text of a number: what Sqids makes of it, in a tenth of the time."""
        if not 0 <= number < _BEYOND:
            return self._codec.encode([number])  # it refuses
        first, digits, filling = self._ways[number % _LETTERS]
        base, rest, text = _LETTERS - 1, number, ""
        while rest or not text:
            text = digits[rest % base] + text
            rest //= base
        text = first + text
        if len(text) < SHORTEST:
            text = (text + filling)[:SHORTEST]
        plain = text.lower()
        for at in range(len(plain) - _START + 1):
            if plain[at : at + _START] in _STARTS:  # perhaps a word that Sqids won't say: it knows what to say instead
                return self._codec.encode([number])
        return text

    def read(self, text: str) -> Id:
        """Return the number of an id; CLEARED for an empty text, UNKNOWN for what this installation never showed."""
        if not text:
            return CLEARED
        if len(text) > LONGEST or not (text.isascii() and text.isalnum()):
            return UNKNOWN
        return self._decoded(text)

    def _decode(self, text: str) -> Id:
        numbers = self._codec.decode(text)
        if len(numbers) != 1 or numbers[0] >= _BEYOND or self.show(numbers[0]) != text:
            return UNKNOWN
        return Id(numbers[0])

    def encode_hook(self, value: Any) -> Any:
        """Write what msgspec does not know."""
        if isinstance(value, Id):
            return self.show(int(value))
        if isinstance(value, Millis):
            return int(value)
        raise NotImplementedError(type(value))

    def decode_hook(self, kind: type, value: Any) -> Any:
        """Read what msgspec does not know; ValueError and TypeError become a message with the member's path."""
        if kind is Id:
            if not isinstance(value, str):
                raise TypeError(f"Expected an id as text, got {_name(value)}")
            return self.read(value)
        if kind is Millis:
            return _millis(value)
        raise NotImplementedError(kind)

    def query_hook(self, kind: type, value: Any) -> Any:
        """`decode_hook` for what stands in a query, where numbers are texts."""
        if kind is Millis and value.isascii() and value.isdigit() and len(value) < LONGEST:
            return _millis(int(value))
        return self.decode_hook(kind, value)

    def schema_hook(self, kind: type) -> dict[str, Any]:
        """Describe what msgspec does not know, for OpenAPI."""
        if kind is Id:
            return {"type": "string", "description": "An opaque id."}
        if kind is Millis:
            return {"type": "integer", "format": "int64", "description": "Epoch milliseconds."}
        raise NotImplementedError(kind)


class _Ways(dict[int, tuple[str, str, str]]):
    """How Sqids writes the numbers of each remainder: first letter, digits, and what fills short texts.

    Each is found when it is first wanted: all of them take as long as a tenth of a start.
    """

    def __init__(self, mixed: str) -> None:
        self._mixed = mixed

    def __missing__(self, remainder: int) -> tuple[str, str, str]:
        at = (ord(self._mixed[remainder]) + 1) % _LETTERS
        turned = (self._mixed[at:] + self._mixed[:at])[::-1]
        way = self[remainder] = self._mixed[at], turned[1:], turned[0] + _mixed(turned)
        return way


def _mixed(alphabet: str) -> str:
    """Return an alphabet in the order in which Sqids mixes it."""
    letters = list(alphabet)
    for at, other in enumerate(range(len(letters) - 1, 0, -1)):
        to = (at * other + ord(letters[at]) + ord(letters[other])) % len(letters)
        letters[at], letters[to] = letters[to], letters[at]
    return "".join(letters)


def _name(value: object) -> str:
    return {bool: "a boolean", int: "a number", float: "a number", dict: "an object", list: "an array"}.get(
        type(value), "null"
    )


def moment(text: str) -> Millis:
    """Read an RFC 3339 date-time (contract A2); raise ValueError."""
    try:
        when = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise ValueError("Expected epoch milliseconds or an RFC 3339 date-time") from error
    if when.tzinfo is None:
        raise ValueError("Expected a date-time with its offset from UTC")
    return Millis(round(when.timestamp() * 1000))


def _millis(value: object) -> Millis:
    if isinstance(value, str):
        return _within(moment(value))
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Expected epoch milliseconds, got {_name(value)}")
    return _within(value)


def _within(value: int) -> Millis:
    """Return a moment that has a date, wherever it is shown; raise ValueError."""
    if not 0 <= value <= int(_LAST.timestamp() * 1000):
        raise ValueError("Expected epoch milliseconds between 1970 and 9999")
    return Millis(value)
