"""Reads disc images in UDF (ECMA-167 3rd edition, OSTA UDF 1.02 to 2.60), as Windows opens them.

What only burnt discs need (sparing tables, virtual partitions) can't be opened here, and is told.
"""

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from gatepost.message import decode
from gatepost.message.anatomy import Kind
from gatepost.message.meter import Damaged, Entry, Meter, Stop

_SECTORS = (2048, 512, 4096)
_VOLUME_SECTORS = 256  # that are looked at; some ten tell of a volume
_PIECES = 50_000  # that all files of a disc lie in
_PARTITION, _VOLUME, _END = 5, 6, 8
_ELSEWHERE = 3
_FILE_SET, _NAME, _FURTHER, _FILE, _EXTENDED = 256, 257, 258, 261, 266
_EXTENTS_AT = {_FILE: 168, _EXTENDED: 208}  # where an entry tells of its extents
_USUAL = 4  # strategy: an entry stands alone
_SHORT, _LONG, _INSIDE = 0, 1, 3  # forms in which an entry says where its content lies
_RECORDED, _GOES_ON = 0, 3  # kinds of extents; of the two between the content is zeros
_FOLDER, _LINK = 4, 12
_FILES = (0, 5)
_SKIPPED = 4 | 8  # deleted; the folder above
_METADATA = b"*UDF Metadata Partition"


class Place(NamedTuple):
    """A block of a partition."""

    block: int
    partition: int


class Extent(NamedTuple):
    """A piece of a file."""

    kind: int
    length: int
    place: Place


class Node(NamedTuple):
    """A file or folder: `told` says, in a form, where its content lies, or is that."""

    kind: int
    size: int
    form: int
    told: bytes
    partition: int


class Ground(NamedTuple):
    """What the blocks of a partition lie in, and from where on."""

    octets: bytes
    start: int


def read(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield what the volumes of a disc hold, by each anchor that leads to them."""
    volumes = dict.fromkeys(_volumes(content))
    if not volumes:
        raise Damaged("has no anchor that can be read (udf)")
    for sector, at, length in volumes:
        yield from _Disc(content, sector, meter).entries(at, length)


def _volumes(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the sector's size, and where descriptors of volumes stand, as the anchors say (3/10.2)."""
    for sector in _SECTORS:
        for at in (256 * sector, len(content) - 257 * sector, len(content) - sector):
            anchor = content[at : at + 24] if at > 0 else b""
            if anchor[:2] == b"\2\0" and anchor[12:16] == (at // sector).to_bytes(4, "little"):
                length, where = struct.unpack_from("<II", anchor, 16)
                yield sector, where * sector, length


class _Disc:
    def __init__(self, content: bytes, sector: int, meter: Meter) -> None:
        self._content = content
        self._sector = sector
        self._meter = meter
        self._grounds: list[Ground] = []
        self._pieces = 0

    def entries(self, at: int, length: int) -> Iterator[Entry]:
        """Yield the files of the volumes that the descriptors there tell of (3/8.4.2)."""
        volumes, starts = self._described(at, min(length, _VOLUME_SECTORS * self._sector))
        if not volumes:
            raise Damaged("has no volume that can be read (udf)")
        for volume in volumes:
            self._grounds.clear()
            for told in _maps(volume):
                self._grounds.append(self._ground(told, starts))
            yield from self._tree(self._root(_place(volume, 252)))

    def _described(self, at: int, length: int) -> tuple[list[bytes], dict[int, int]]:
        """Return the descriptors of volumes, and where the partitions begin by their numbers (3/10.5, 3/10.6)."""
        volumes: dict[bytes, bytes] = {}  # by what they say: they are written twice, under other numbers
        starts: dict[int, int] = {}
        for place in range(at, at + length, self._sector):
            block = self._content[place : place + self._sector]
            tag = int.from_bytes(block[:2], "little")
            if tag == _END:
                break
            if tag == _ELSEWHERE:
                raise Damaged("tells of its volumes in more than one place (udf)")
            if tag == _VOLUME:
                volumes.setdefault(block[20:], block)
            if tag == _PARTITION:
                number, start = int.from_bytes(block[22:24], "little"), int.from_bytes(block[188:192], "little")
                if starts.setdefault(number, start) != start:
                    raise Damaged("has two partitions of one number (udf)")
        return [*volumes.values()], starts

    def _ground(self, told: bytes, starts: dict[int, int]) -> Ground:
        """Return what a partition lies in, by a volume's map of it (3/10.7; UDF 2.2.8, 2.2.10)."""
        if told[0] == 1:
            return Ground(self._content, starts[int.from_bytes(told[4:6], "little")] * self._sector)
        if told[5:28] != _METADATA:
            raise Damaged("has a partition that can't be opened here (udf)")
        number, where = struct.unpack_from("<HI", told, 38)
        self._grounds.append(Ground(self._content, starts[number] * self._sector))
        inside = self._octets(self._node(Place(where, len(self._grounds) - 1)))
        self._grounds.pop()
        return Ground(inside, 0)

    def _root(self, place: Place) -> Place:
        """Return the uppermost folder of a set of files (4/14.1)."""
        block = self._block(place, _FILE_SET)
        if block[448:452] != bytes(4):
            raise Damaged("has more than one set of files (udf)")
        return _place(block, 404)

    def _tree(self, root: Place) -> Iterator[Entry]:
        waiting, seen = [("", root)], {root}
        while waiting:
            path, folder = waiting.pop()
            for name, place in _names(self._octets(self._node(folder))):
                try:
                    node = self._node(place)
                except Damaged as problem:
                    yield Entry(names=(path + name,), problem=str(problem))
                    continue
                yield self._entry(path + name, node)
                if node.kind == _FOLDER and place not in seen:
                    seen.add(place)
                    waiting.append((f"{path}{name}/", place))

    def _entry(self, path: str, node: Node) -> Entry:
        if node.kind not in _FILES:
            kind = Kind.FOLDER if node.kind == _FOLDER else Kind.LINK if node.kind == _LINK else Kind.DEVICE
            return Entry(names=(path,), kind=kind)
        try:
            return Entry(names=(path,), size=node.size, content=self._octets(node))
        except (Stop, Damaged) as problem:
            return Entry(names=(path,), size=node.size, problem=str(problem))

    def _node(self, place: Place) -> Node:
        """Read the entry of a file or a folder (4/14.9, 4/14.17)."""
        block = self._block(place, _FILE, _EXTENDED)
        at = _EXTENTS_AT[int.from_bytes(block[:2], "little")]
        skipped, length = struct.unpack_from("<II", block, at)
        told = block[at + 8 + skipped : at + 8 + skipped + length]
        if int.from_bytes(block[20:22], "little") != _USUAL or len(told) < length:
            raise Damaged("a file's entry can't be read (udf)")
        return Node(block[27], int.from_bytes(block[56:64], "little"), block[34] & 7, told, place.partition)

    def _octets(self, node: Node) -> bytes:
        """Read the content of a file or a folder; raises Stop and Damaged."""
        self._meter.take(0)  # an earlier entry may have met a limit; the names are wanted even so
        if node.form == _INSIDE:
            self._meter.take(len(node.told))
            return node.told[: node.size]
        out = io.BytesIO()
        for extent in self._extents(node):
            length = min(extent.length, node.size - out.tell())
            self._meter.take(length)
            out.write(self._span(extent.place, length) if extent.kind == _RECORDED else bytes(length))
        if out.tell() < node.size:
            raise Damaged("a file is not complete (udf)")
        return out.getvalue()

    def _extents(self, node: Node) -> Iterator[Extent]:
        """Yield the pieces of a file, also those that a further block tells of (4/14.14)."""
        told = node.told
        while told:
            further = b""
            for extent in _allocated(node.form, told, node.partition):
                self._pieces += 1
                if self._pieces > _PIECES:
                    raise Damaged("its files lie in too many pieces (udf)")
                if extent.kind == _GOES_ON:
                    block = self._block(extent.place, _FURTHER)
                    further = block[24 : 24 + int.from_bytes(block[20:24], "little")]
                    break
                yield extent
            told = further

    def _block(self, place: Place, *tags: int) -> bytes:
        block = self._span(place, self._sector)
        if int.from_bytes(block[:2], "little") not in tags:
            raise Damaged("a descriptor is damaged (udf)")
        return block

    def _span(self, place: Place, length: int) -> bytes:
        octets, start = self._grounds[place.partition]
        start += place.block * self._sector
        span = octets[start : start + length]
        if len(span) < length:
            raise Damaged("a file lies beyond the end (udf)")
        return span


def _maps(volume: bytes) -> Iterator[bytes]:
    """Yield a volume's maps of its partitions (3/10.6.13)."""
    count, at = int.from_bytes(volume[268:272], "little"), 440
    for _ in range(count):
        length = volume[at + 1]
        yield volume[at : at + length]
        at += length


def _place(octets: bytes, at: int) -> Place:
    return Place(*struct.unpack_from("<IH", octets, at))


def _allocated(form: int, told: bytes, partition: int) -> Iterator[Extent]:
    """Read where the pieces of a file lie (4/14.14.1, 4/14.14.2); the first one without length ends them."""
    if form not in (_SHORT, _LONG):
        raise Damaged("a file lies where it can't be found here (udf)")
    for at in range(0, len(told), 16 if form == _LONG else 8):
        length, block = struct.unpack_from("<II", told, at)
        if not length:
            return
        place = _place(told, at + 4) if form == _LONG else Place(block, partition)
        yield Extent(length >> 30, length & 0x3FFFFFFF, place)


def _names(folder: bytes) -> Iterator[tuple[str, Place]]:
    """Yield the names in a folder, and where each entry stands (4/14.4)."""
    at = 0
    while at + 38 <= len(folder):
        if int.from_bytes(folder[at : at + 2], "little") != _NAME:
            raise Damaged("a folder is damaged (udf)")
        flags, length, skipped = folder[at + 18], folder[at + 19], int.from_bytes(folder[at + 36 : at + 38], "little")
        start = at + 38 + skipped
        if not flags & _SKIPPED:
            yield _text(folder[start : start + length]), _place(folder, at + 24)
        at = (start + length + 3) & ~3


def _text(raw: bytes) -> str:
    """Read a name in its compressed Unicode (UDF 2.1.1)."""
    if raw[:1] == b"\x10":
        return raw[1:].decode("utf-16-be", "replace")
    return raw[1:].decode("latin-1") if raw[:1] == b"\x08" else decode.guessed(raw[1:])
