"""The canonical forms of a body (RFC 6376 3.4), piece by piece, so that a large one is never in memory."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gatepost.model.envelope import Body

CHUNK = 65_536


class Hash(msgspec.Struct, frozen=True):
    """The digest of a canonical body, or of its first octets; `size` octets are the whole."""

    digest: bytes
    size: int


def relaxed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a body in relaxed form (RFC 6376 3.4.4); its lines end in CRLF."""
    ends = 0  # of lines; they count only if more than they follows
    empty = True
    for piece in _lines(pieces):
        blanks = max(piece.rfind(b" "), piece.rfind(b"\t")) + 1  # behind the last one, as in base64, nothing changes
        text = piece
        if blanks:
            text = squeezed(piece[: blanks + 2]).replace(b" \r\n", b"\r\n") + piece[blanks + 2 :]
        kept = _without_ends(text)
        if kept:
            yield b"\r\n" * ends + kept
            ends, empty = 0, False
        ends += (len(text) - len(kept)) // 2
    if not empty:
        yield b"\r\n"


def simple(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a body in simple form (RFC 6376 3.4.3): one line end at its end, whatever stood there."""
    ends = 0
    for piece in _lines(pieces, blanks=True):
        kept = _without_ends(piece)
        if kept:
            yield b"\r\n" * ends + kept
            ends = 0
        ends += (len(piece) - len(kept)) // 2
    yield b"\r\n"


def digest(pieces: Iterable[bytes]) -> Hash:
    """Hash a canonical body."""
    hasher = hashlib.sha256()
    size = 0
    for piece in pieces:
        hasher.update(piece)
        size += len(piece)
    return Hash(hasher.digest(), size)


def digests(pieces: Iterable[bytes], lengths: Iterable[int]) -> dict[int | None, Hash]:
    """Hash a canonical body, and its first octets by each of some lengths (l=), in one pass; the whole is at None."""
    hasher = hashlib.sha256()
    marks = sorted(set(lengths), reverse=True)
    found: dict[int | None, bytes] = {}
    size = 0
    for piece in pieces:
        at = 0
        while marks and marks[-1] <= size + len(piece):
            mark = marks.pop()
            hasher.update(piece[at : mark - size])
            at = mark - size
            found[mark] = hasher.digest()
        hasher.update(piece[at:] if at else piece)
        size += len(piece)
    found |= dict.fromkeys((None, *marks), hasher.digest())
    return {length: Hash(each, size) for length, each in found.items()}


def read(body: Body, offset: int) -> Iterator[bytes]:
    """Yield what a mail holds from `offset` on (blocking where it is a file)."""
    if body.data is not None:
        yield from (body.data[at : at + CHUNK] for at in range(offset, len(body.data), CHUNK))
        return
    with Path(body.path or "").open("rb") as file:
        file.seek(offset)
        while piece := file.read(CHUNK):
            yield piece


def squeezed(text: bytes) -> bytes:
    """Make one space of each run of blanks; several times as fast as an expression would be."""
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _without_ends(piece: bytes) -> bytes:
    text = piece.rstrip(b"\r\n")
    if len(piece) - len(text) == 2 * piece.count(b"\r\n", len(text)):
        return text
    end = len(piece)
    while piece.endswith(b"\r\n", 0, end):
        end -= 2
    return piece[:end]


def _lines(pieces: Iterable[bytes], *, blanks: bool = False) -> Iterator[bytes]:
    """Cut pieces anew where lines end, so that no run of blanks is torn; `blanks` at the very end stay."""
    rest: list[bytes] = []
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield b"".join([*rest, piece[:cut]])
            rest = [piece[cut:]]
        else:
            rest.append(piece)
    if last := b"".join(rest):
        yield last if blanks else last.rstrip(b" \t")
