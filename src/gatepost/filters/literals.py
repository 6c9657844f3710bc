"""What must stand in a text for an expression to be found there: one of some literals, read out of the expression.

As RE2's own filter and search engines for code have it (Cox, "Regular Expression Matching with a Trigram Index"). An
expression in which something is not understood has none, and must be sought everywhere.
"""

import re
from collections.abc import Iterable
from itertools import product

import msgspec

MOST = 64
"""Literals that are kept while pieces that stand beside each other are put together; beyond that they stay apart."""

_GROUP = re.compile(r"\(\?(?:P?<\w+>|[imsU]*:)|\((?!\?)")
_FLAGS = re.compile(r"\(\?[imsU]*\)")
_PLAIN = re.compile(r"[^][\\(){}|.^$*+?]+(?![*+?{])")  # of what repeats, the last character alone does
_REPEAT = re.compile(r"(?:([*+?])|\{([0-9]+)(?:,([0-9]*))?\})\??")
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]")
_SIMPLE_CLASS = re.compile(r"\[([^\\\[\]^-]+)\]")
_PLACES = frozenset({r"\b", r"\B", r"\A", r"\z"})  # of no width
_KINDS = frozenset({r"\d", r"\D", r"\s", r"\S", r"\w", r"\W"})


class _Unknown(Exception):
    """There is something in the expression that is not understood."""


class _Piece(msgspec.Struct, frozen=True):
    """What is known of a piece: all that it can be (`exact`), or of what one stands in it (`needed`); else neither."""

    exact: frozenset[str] | None = None
    needed: frozenset[str] | None = None

    @property
    def required(self) -> frozenset[str] | None:
        return self.needed if self.exact is None or "" in self.exact else self.exact


_NOTHING = _Piece(frozenset({""}))
_ANYTHING = _Piece()


def literals(expression: str) -> frozenset[str] | None:
    """Return literals of which one stands, in some case, wherever an expression of RE2 is found; None if none must."""
    try:
        piece, end = _alternatives(expression, 0)
    except _Unknown:
        return None
    return piece.required if end == len(expression) else None


def telling(found: Iterable[str]) -> int:
    """Return how much some literals tell: the octets of the shortest, blanks around it left out."""
    return min(len(literal.strip().encode()) for literal in found)


def _better(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda each: (telling(each), -len(each)))


def _alternatives(text: str, at: int) -> tuple[_Piece, int]:
    """Read alternatives up to the bracket that ends them, or the end."""
    piece, at = _sequence(text, at)
    found = [piece]
    while text.startswith("|", at):
        piece, at = _sequence(text, at + 1)
        found.append(piece)
    return (_either(found) if len(found) > 1 else piece), at


def _either(pieces: list[_Piece]) -> _Piece:
    exacts = [piece.exact for piece in pieces if piece.exact is not None]
    exact = frozenset[str]().union(*exacts)
    if len(exacts) == len(pieces) and len(exact) <= MOST:
        return _Piece(exact)
    known = [required for piece in pieces if (required := piece.required) is not None]
    return _Piece(needed=frozenset[str]().union(*known)) if len(known) == len(pieces) else _ANYTHING


def _sequence(text: str, at: int) -> tuple[_Piece, int]:
    """Read what stands one behind the other, up to a bar, a bracket or the end."""
    pieces: list[_Piece] = []
    while at < len(text) and text[at] not in "|)":
        piece, at = _one(text, at)
        while repeat := _REPEAT.match(text, at):
            piece, at = _repeated(piece, repeat), repeat.end()
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else _joined(pieces), at


def _joined(pieces: list[_Piece]) -> _Piece:
    exact = frozenset({""})
    best: frozenset[str] | None = None
    whole = True
    for piece in pieces:
        if piece.exact is not None and len(exact) * len(piece.exact) <= MOST:
            exact = frozenset(map("".join, product(exact, piece.exact)))
            continue
        whole = False
        best = _better(_better(best, _Piece(exact).required), piece.needed)
        exact = piece.exact or frozenset({""})
    return _Piece(exact) if whole else _Piece(needed=_better(best, _Piece(exact).required))


def _repeated(piece: _Piece, repeat: re.Match[str]) -> _Piece:
    if repeat[1] == "?" and piece.exact is not None:
        return _Piece(piece.exact | {""})
    least = int(repeat[2]) if repeat[2] else int(repeat[1] == "+")
    return _Piece(needed=piece.required) if least else _ANYTHING


def _one(text: str, at: int) -> tuple[_Piece, int]:
    """Read plain characters, a group, a class, an escape or a character."""
    if plain := _PLAIN.match(text, at):
        return _Piece(frozenset({plain[0]})), plain.end()
    sign = text[at]
    if sign == "(":
        return _group(text, at)
    if sign == "[":
        return _class(text, at)
    if sign == "\\":
        return _escaped(text[at : at + 2]), at + 2
    if sign == "{":
        raise _Unknown
    if sign in "^$":
        return _NOTHING, at + 1
    return (_ANYTHING if sign == "." else _Piece(frozenset({sign}))), at + 1


def _group(text: str, at: int) -> tuple[_Piece, int]:
    if flags := _FLAGS.match(text, at):
        if _REPEAT.match(text, flags.end()):
            raise _Unknown  # it repeats what stands before the flags
        return _NOTHING, flags.end()
    begin = _GROUP.match(text, at)
    if begin is None:
        raise _Unknown
    piece, end = _alternatives(text, begin.end())
    if not text.startswith(")", end):
        raise _Unknown
    return piece, end + 1


def _class(text: str, at: int) -> tuple[_Piece, int]:
    if simple := _SIMPLE_CLASS.match(text, at):
        return _Piece(frozenset(simple[1])), simple.end()
    found = _CLASS.match(text, at)
    if found is None:
        raise _Unknown
    return _ANYTHING, found.end()


def _escaped(escape: str) -> _Piece:
    if escape in _PLACES:
        return _NOTHING
    if escape in _KINDS:
        return _ANYTHING
    if len(escape) < 2 or escape[1].isalnum() or not escape.isascii():
        raise _Unknown
    return _Piece(frozenset({escape[1]}))
