"""What archive readers share: the entry that they yield, and the meter that stops bombs (threat 55)."""

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Protocol

import msgspec

from gatepost.message.anatomy import Kind

CHUNK = 262_144
FREE = 1_048_576
"""Octets that any archive may unpack to, whatever the ratio: small files of one letter are no bombs."""

BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What libraries raise on hostile archives, in place of an error of their own."""


class Stop(Exception):
    """A limit was met: nothing more of this mail's archives is opened. The text is a sentence."""


class Damaged(Exception):
    """This archive can't be read on. The text is a sentence."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of an archive. `names`: readings of its name, the usual first; `content` None when it was not read.

    `problem` is a sentence that says why; an encrypted entry needs none. A `page` is no file, and has no name: the text
    of a mail that came in another form. `shared`: the names are those of all files there, one of them its own.
    """

    names: tuple[str, ...]
    size: int = 0
    kind: Kind = Kind.FILE
    encrypted: bool = False
    content: bytes | None = None
    problem: str = ""
    page: bool = False
    shared: bool = False


class Meter:
    """Counts what one archive unpacks to, against the limits of the archive and of the mail."""

    def __init__(self, packed: int, ratio: int, spend: Callable[[int], None]) -> None:
        self._most = max(FREE, packed * ratio)
        self._ratio = ratio
        self._spend = spend
        self._done = 0

    def take(self, octets: int) -> None:
        """Count unpacked octets; raise Stop beyond a limit."""
        self._spend(octets)
        self._done += octets
        if self._done > self._most:
            raise Stop(f"expands to more than {self._ratio} times its size")


class Decompressor(Protocol):
    """What bz2 and lzma offer."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def inflate(data: bytes, start: int, end: int, wbits: int, meter: Meter, out: BytesIO) -> tuple[int, bool]:
    """Unpack a zlib, gzip or raw deflate stream into `out`; return where it ends, and whether it is complete."""
    stream = zlib.decompressobj(wbits)

    def pull(piece: bytes) -> bytes:
        got = stream.decompress(piece, CHUNK)
        meter.take(len(got))
        out.write(got)
        return stream.unconsumed_tail if got else b""

    at = start
    while at < end and not stream.eof:
        tail = data[at : min(end, at + CHUNK)]
        at += len(tail)
        while tail and not stream.eof:
            tail = pull(tail)
    before = -1
    while not stream.eof and out.tell() != before:
        before = out.tell()
        pull(b"")  # what is left inside
    return at - len(stream.unused_data), stream.eof


def unpack(data: bytes, start: int, end: int, stream: Decompressor, meter: Meter, out: BytesIO) -> tuple[int, bool]:
    """Unpack a bz2 or lzma stream into `out`; return where it ends, and whether it is complete."""
    at = start
    while at < end and not stream.eof:
        piece = data[at : min(end, at + CHUNK)]
        at += len(piece)
        while not stream.eof:
            got = stream.decompress(piece, CHUNK)
            meter.take(len(got))
            out.write(got)
            piece = b""
            if stream.needs_input:
                break
    return at - len(stream.unused_data), stream.eof


Reader = Callable[[bytes, str, Meter], Iterator[Entry]]
"""Reads one kind of archive: (content, its own name, meter) -> entries. May raise Stop, Damaged or one of BROKEN."""
