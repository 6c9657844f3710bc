"""Boundaries: where the parts of a multipart begin and end, by offsets, under every reading that some client has.

RFC 2046 5.1.1. Each function takes time linear in the region it is given.
"""

import re

import msgspec

from gatepost.message import names
from gatepost.message.anatomy import Symbol
from gatepost.message.names import Parameter

BOUNDARY_MAX = 2048
BOUNDARIES_MAX = 8  # of one multipart that are tried
_LEGAL = 70  # RFC 2046 5.1.1; some clients compare no more
_LINE_MAX = 1000
_HEAD_MAX = 20_000
# A line that begins with two dashes, and a header with a Content- field among its first lines.
_GUESS = re.compile(
    rb"\n--([^\r\n]{1,200}+)\r?\n(?:[!-9;-~]{1,80}+[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*+){0,20}?content-",
    re.IGNORECASE,
)


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A part's extent, headers included; `hidden` when it stands behind the closing boundary."""

    start: int
    end: int
    hidden: bool = False


class Cut(msgspec.Struct, frozen=True):
    """A region cut at one boundary. `preamble` and `epilogue` are extents; `more`: the limit of parts was met.

    `stands`: how often the boundary occurs, in lines of its own or not.
    """

    pieces: tuple[Piece, ...] = ()
    closed: bool = False
    preamble: tuple[int, int] = (0, 0)
    epilogue: tuple[int, int] = (0, 0)
    more: bool = False
    stands: int = 0


def boundaries(found: tuple[Parameter, ...]) -> tuple[list[bytes], list[Symbol]]:
    """Return the boundaries that a Content-Type may mean, the usual one first, and what is wrong with them."""
    readings = [value for p in found if p.key == "boundary" for value in p.values]
    if any(p.key.startswith("boundary*") for p in found):
        readings += [value.encode("utf-8", "replace") for value in names.values(found, "boundary")]
    if not readings:
        return [], [Symbol.BOUNDARY_MISSING]
    bad = any(not value or len(value) > BOUNDARY_MAX or min(value) < 32 for value in readings)
    doubled = sum(p.key == "boundary" for p in found) > 1
    unique = list(dict.fromkeys(value.rstrip() for value in readings))
    return unique, [Symbol.BOUNDARY_BAD] if bad or doubled else []


def cut(data: bytes, start: int, end: int, boundary: bytes, limit: int, *, loose: bool = False) -> Cut:
    """Cut a region at a boundary. `loose` also takes lines that only begin like it, as some clients do."""
    marks, more, stands = _marks(data, start, end, boundary, limit, loose)
    if not marks:
        return Cut(preamble=(start, end), stands=stands)
    pieces: list[Piece] = []
    closed = False
    epilogue = (end, end)
    for place, (_, after, closing) in enumerate(marks):
        stop = _before(data, marks[place + 1][0], after) if place + 1 < len(marks) else end
        if closing and not closed:
            closed, epilogue = True, (after, stop)
        elif not closing:
            pieces.append(Piece(after, stop, closed))
    return Cut(tuple(pieces), closed, (start, marks[0][0]), epilogue, more, stands)


def _marks(
    data: bytes, start: int, end: int, boundary: bytes, limit: int, loose: bool
) -> tuple[list[tuple[int, int, bool]], bool, int]:
    """Return (start of the line, start of the next one, closing) for each boundary line; whether there are more; and
    how often the boundary was met."""
    needle = b"--" + (boundary[:_LEGAL] if loose else boundary)
    marks: list[tuple[int, int, bool]] = []
    stands = 0
    at = data.find(needle, start, end)
    while at >= 0:
        stands += 1
        behind = at + len(needle)
        if at == start or data[at - 1] in b"\r\n":
            line_end = data.find(b"\n", behind, min(end, behind + _LINE_MAX))
            rest = data[behind : line_end if line_end >= 0 else min(end, behind + _LINE_MAX)].strip(b" \t\r")
            if loose or rest in (b"", b"--"):
                if len(marks) >= limit:
                    return marks, True, stands
                behind = line_end + 1 if line_end >= 0 else min(end, behind + _LINE_MAX)
                marks.append((at, behind, rest.startswith(b"--")))
        at = data.find(needle, behind, end)
    return marks, False, stands


def _before(data: bytes, mark: int, start: int) -> int:
    """Return the end of the part before a boundary: its line end belongs to the boundary."""
    if mark > start and data[mark - 1] == 0x0A:
        mark -= 1
    if mark > start and data[mark - 1] == 0x0D:
        mark -= 1
    return mark


def begins_alike(data: bytes, start: int, end: int, boundary: bytes, strict: Cut, limit: int) -> Cut | None:
    """Return the loose cut where it differs from the strict one: another boundary begins with this one."""
    if len(boundary) > _LEGAL or strict.more or strict.stands > len(strict.pieces) + strict.closed:
        other = cut(data, start, end, boundary, limit, loose=True)
        return other if other.pieces != strict.pieces else None
    return None


def guess(data: bytes, start: int, end: int) -> bytes | None:
    """Return what looks like the boundary of parts that no Content-Type announces."""
    match = _GUESS.search(data, max(0, start - 1), end) if end - start > 20 else None
    if match is None and data[start : start + 2] == b"--":
        match = _GUESS.match(b"\n" + data[start : min(end, start + _HEAD_MAX)])
    return match[1].rstrip(b" \t") or None if match else None
