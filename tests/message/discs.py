"""Disc images in UDF, made descriptor by descriptor."""

import struct
from collections.abc import Mapping

Tree = Mapping[str, "bytes | Tree"]

START = 300  # the sector where the partition begins
FOLDER, FILE, LINK = 4, 5, 12


def tagged(tag: int, body: bytes, place: int = 0) -> bytes:
    """Return a descriptor; `body` begins behind its tag."""
    head = struct.pack("<HHBBHHHI", tag, 2, 0, 0, 0, 0, 0, place)
    return head[:4] + bytes([sum(head) & 255]) + head[5:] + body


def at(**fields: bytes) -> bytes:
    """Return the body of a descriptor, of fields by their places in it: _20=b"..."."""
    places = {int(name[1:]) - 16: field for name, field in fields.items()}
    out = bytearray(max(place + len(field) for place, field in places.items()))
    for place, field in places.items():
        out[place : place + len(field)] = field
    return bytes(out)


def number(value: int, width: int = 4) -> bytes:
    return value.to_bytes(width, "little")


def extent(length: int, block: int, partition: int = 0) -> bytes:
    """Return a long allocation descriptor."""
    return struct.pack("<IIH6x", length, block, partition)


class Disc:
    """A disc that is built up; blocks of folders may lie in a metadata partition, as from UDF 2.50 on."""

    def __init__(self, sector: int = 2048, *, metadata: bool = False, extended: bool = False) -> None:
        self.sector = sector
        self.extended = extended
        self.blocks: list[bytes] = []
        self.inner: list[bytes] = [] if metadata else self.blocks
        self.metadata = metadata

    def put(self, data: bytes, blocks: list[bytes]) -> int:
        """Store octets; return their first block."""
        first = len(blocks)
        blocks += [data[at : at + self.sector].ljust(self.sector, b"\0") for at in range(0, len(data), self.sector)]
        return first

    def entry(self, kind: int, size: int, form: int, told: bytes) -> int:
        """Store the entry of a file; return its block."""
        common = {"_20": number(4, 2), "_27": bytes([kind]), "_34": bytes([form]), "_56": number(size, 8)}
        if self.extended:
            return self.put(tagged(266, at(**common, _212=number(len(told)), _216=told)), self.inner)
        return self.put(tagged(261, at(**common, _172=number(len(told)), _176=told)), self.inner)

    def file(self, content: bytes) -> int:
        return self.entry(FILE, len(content), 1, extent(len(content), self.put(content, self.blocks)))

    def folder(self, tree: Tree) -> int:
        entries = [tagged(257, at(_18=b"\x0a", _19=b"\0", _36=bytes(2)))]  # the one above
        for name, found in tree.items():
            place = self.file(found) if isinstance(found, bytes) else self.folder(found)
            entries.append(self.name(name, place))
        return self.listing(*entries)

    def listing(self, *entries: bytes) -> int:
        """Store a folder of these entries; return its block."""
        content = b"".join(entry.ljust(-(-len(entry) // 4) * 4, b"\0") for entry in entries)
        return self.entry(FOLDER, len(content), 3, content)

    def name(self, name: str, place: int) -> bytes:
        """Return an entry of a folder."""
        raw = b"\x08" + name.encode("latin-1") if ord(max(name)) < 256 else b"\x10" + name.encode("utf-16-be")
        where = extent(self.sector, place, int(self.metadata))
        return tagged(257, at(_19=bytes([len(raw)]), _20=where, _36=bytes(2), _38=raw))

    def made(self, root: int, *, maps: bytes | None = None) -> bytes:
        """Return the disc whose uppermost folder has its entry in that block."""
        inside = int(self.metadata)
        files = self.put(tagged(256, at(_400=extent(self.sector, root, inside), _448=bytes(16))), self.inner)
        if maps is None:
            maps = struct.pack("<BBHH", 1, 6, 1, 7)
            maps += self._metadata_map() if self.metadata else b""
        volume = at(
            _212=number(self.sector),
            _248=extent(self.sector, files, inside),
            _264=number(len(maps)) + number(2 if self.metadata else 1),
            _440=maps,
        )
        descriptors = [tagged(5, at(_22=number(7, 2), _188=number(START))), tagged(6, volume), tagged(8, bytes(496))]
        out = bytearray(self.sector * START)
        for place, mark in enumerate((b"BEA01", b"NSR03", b"TEA01"), 16):
            out[place * 2048 + 1 : place * 2048 + 6] = mark
        for place, descriptor in enumerate(descriptors, 128):
            out[place * self.sector : place * self.sector + len(descriptor)] = descriptor
        anchor = tagged(2, number(len(descriptors) * self.sector) + number(128), 256)
        out[256 * self.sector : 256 * self.sector + 24] = anchor
        return bytes(out) + b"".join(self.blocks)

    def _metadata_map(self) -> bytes:
        """Store the metadata as a file; return the map that leads to it."""
        content = b"".join(self.inner)
        told = struct.pack("<II", len(content), self.put(content, self.blocks))
        entry = at(
            _20=number(4, 2),
            _27=b"\xfa",
            _34=b"\0",
            _56=number(len(content), 8),
            _172=number(len(told)),
            _176=told,
        )
        place = self.put(tagged(261, entry), self.blocks)
        identifier = b"*UDF Metadata Partition".ljust(31, b"\0")
        return struct.pack("<BBHB31sHHI20x", 2, 64, 0, 0, identifier, 1, 7, place)


def disc(tree: Tree, sector: int = 2048, *, metadata: bool = False, extended: bool = False) -> bytes:
    """Return a disc that holds a tree of files."""
    made = Disc(sector, metadata=metadata, extended=extended)
    return made.made(made.folder(tree))
