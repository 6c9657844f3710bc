"""ZIP archives, read as warily as they can be written: both records of each entry, all directories, stray entries.

APPNOTE.TXT 6.3.10. `zipfile` reads the directory; the content is unpacked here, because `zipfile` refuses entries whose
two names differ, and those are what matters (threat 57).
"""

import bz2
import io
import lzma
import stat
import zipfile
from collections.abc import Callable, Iterator

import msgspec

from gatepost.message import decode
from gatepost.message.anatomy import Kind
from gatepost.message.meter import BROKEN, Damaged, Decompressor, Entry, Meter, Stop, inflate, unpack

_LOCAL = b"PK\x03\x04"
_RECORD = b"PK\x01\x02"
_END = b"PK\x05\x06"
_END_64, _LOCATOR = b"PK\x06\x06", b"PK\x06\x07"
_DIRECTORIES_MAX = 4
_MEMORY = 268_435_456
_UTF8 = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_STREAMED = 0x8
_UNICODE_PATH = 0x7075

Unpacker = Callable[[bytes, int, int, Meter], tuple[bytes, bool, int]]
"""Unpacks (content, start, end, meter) -> what was packed, whether it is complete, where it ends."""


class Local(msgspec.Struct, frozen=True):
    """A local header (APPNOTE 4.3.7): where the entry's data starts, and what it says of it."""

    names: tuple[str, ...]
    flags: int
    method: int
    packed: int
    start: int


def read(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the entries of all directories, then those that no directory names."""
    covered: list[tuple[int, int]] = []
    damaged = ""
    seen: set[tuple[int | str, ...]] = set()
    try:
        for info in _infos(content):
            key = (info.header_offset, info.orig_filename, info.flag_bits, info.compress_type, info.compress_size)
            if key not in seen:
                seen.add(key)
                yield _listed(content, info, covered, meter)
    except (zipfile.BadZipFile, *BROKEN) as error:
        damaged = str(error) or type(error).__name__
    yield from _strays(content, sorted(covered), meter)
    if damaged and content.find(_LOCAL) >= 0:
        raise Damaged(f"is a damaged or split ZIP archive ({damaged[:80]})")


def _infos(content: bytes) -> Iterator[zipfile.ZipInfo]:
    ends = [at for at in _occurrences(content, _END) if at + 22 <= len(content)]
    known, infos, refused = _infos_known(content)
    yield from infos
    own = _outside(content, ends, infos) if len(ends) > 1 else ends
    whole = own[-_DIRECTORIES_MAX:]
    for at in dict.fromkeys(whole + ends[-_DIRECTORIES_MAX:]):
        for start, shift in _directories(content, at).items():
            if start == known and len(ends) == 1:
                continue
            for info in _infos_at(content, start, shift):
                # One in an entry may stand there torn by marks of packed blocks: what it lists is elsewhere then.
                if at in whole or _local(content, info.header_offset) is not None:
                    yield info
    if len(own) > _DIRECTORIES_MAX:
        raise zipfile.BadZipFile("it has many directories")
    if refused:
        raise refused


def _infos_known(content: bytes) -> tuple[int, list[zipfile.ZipInfo], Exception | None]:
    """Return the directory that `zipfile` goes by, and where it begins; or why it refuses the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.start_dir, archive.infolist(), None
    except (zipfile.BadZipFile, *BROKEN) as error:
        return -1, [], error


def _outside(content: bytes, ends: list[int], infos: list[zipfile.ZipInfo]) -> list[int]:
    """Return the end records that stand in no entry: archives within an archive have such records, too."""
    places = [(info, local) for info in infos if (local := _local(content, info.header_offset)) is not None]
    extents = sorted((info.header_offset, local.start + info.compress_size) for info, local in places)
    found, place, covered = [], 0, -1
    for at in ends:
        while place < len(extents) and extents[place][0] <= at:
            covered = max(covered, extents[place][1])
            place += 1
        if at >= covered:
            found.append(at)
    return found


def _directories(content: bytes, at: int) -> dict[int, int]:
    """Return where directories begin by an end record, as their place or their size has it, and what shifts offsets.

    Some readers go by the one, some by the other; some by the record of ZIP64 before it, some only if this one refers
    to that.
    """
    size, offset = _long(content, at + 12), _long(content, at + 16)
    found = {at - size: at - size - offset, offset: 0}
    large = content.rfind(_END_64, 0, at)
    if large >= 0 and content.startswith(_LOCATOR, at - 20):
        size, offset = (int.from_bytes(content[large + field : large + field + 8], "little") for field in (40, 48))
        found |= {large - size: large - size - offset, offset: 0}
    return found


def _infos_at(content: bytes, start: int, shift: int) -> list[zipfile.ZipInfo]:
    """Read the directory that begins at a place; one that is none is passed over."""
    end = start
    while start >= 0 and content.startswith(_RECORD, end):
        end += 46 + _short(content, end + 28) + _short(content, end + 30) + _short(content, end + 32)
    last = _END + bytes(8) + (end - start).to_bytes(4, "little") + bytes(6)
    try:
        with zipfile.ZipFile(io.BytesIO(content[start:end] + last)) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, *BROKEN):
        return []
    for info in infos:
        info.header_offset += shift
    return infos


def _occurrences(content: bytes, signature: bytes) -> Iterator[int]:
    at = content.find(signature)
    while at >= 0:
        yield at
        at = content.find(signature, at + 4)


def _listed(content: bytes, info: zipfile.ZipInfo, covered: list[tuple[int, int]], meter: Meter) -> Entry:
    names = _info_names(info)
    kind = _kind(info)
    local = _local(content, info.header_offset)
    if local is None:
        problem = "" if kind is Kind.FOLDER else "an entry points to nothing"
        return Entry(names=names, size=info.file_size, kind=kind, problem=problem)
    end = min(local.start + info.compress_size, len(content))
    names = tuple(dict.fromkeys(names + local.names))
    problem = "the two records of an entry disagree" if _disagree(info, local) else ""
    if (info.flag_bits | local.flags) & _ENCRYPTED or info.compress_type == 99:
        covered.append((info.header_offset, end))
        return Entry(names=names, size=info.file_size, kind=kind, encrypted=True, problem=problem)
    entry, behind = _unpacked(content, names, kind, info.compress_type, local.start, end, meter)
    covered.append((info.header_offset, end if local.packed else behind))
    return msgspec.structs.replace(entry, problem=problem) if problem else entry


def _disagree(info: zipfile.ZipInfo, local: Local) -> bool:
    if info.compress_type != local.method or (info.flag_bits ^ local.flags) & _ENCRYPTED & 1:
        return True
    return not local.flags & _STREAMED and local.packed not in (info.compress_size, 0xFFFFFFFF)


def _unpacked(
    content: bytes, names: tuple[str, ...], kind: Kind, method: int, start: int, end: int, meter: Meter
) -> tuple[Entry, int]:
    """Return an entry, and where what it was packed to ends."""
    unpacker = _METHODS.get(method)
    if unpacker is None:
        return Entry(names=names, kind=kind, problem=f"an entry is packed by an unknown method ({method})"), end
    try:
        meter.take(0)  # an earlier entry may have met a limit; the names are wanted even so
        data, complete, end = unpacker(content, start, end, meter)
    except Stop as stop:
        return Entry(names=names, kind=kind, problem=str(stop)), end
    except (lzma.LZMAError, *BROKEN):
        return Entry(names=names, kind=kind, problem="an entry is damaged"), end
    problem = "" if complete else "an entry is not complete"
    return Entry(names=names, size=len(data), kind=kind, content=data, problem=problem), end


def _strays(content: bytes, covered: list[tuple[int, int]], meter: Meter) -> Iterator[Entry]:
    """Yield entries that stand in the file and in no directory, as readers that go from the front see them."""
    place, at = 0, content.find(_LOCAL)
    while at >= 0:
        while place < len(covered) and covered[place][1] <= at:
            place += 1
        if place < len(covered) and covered[place][0] <= at:
            at = content.find(_LOCAL, max(covered[place][1], at + 4))
            continue
        local = _local(content, at)
        if local is not None and local.method in (*_METHODS, 99) and local.names:
            yield _stray(content, local, meter)
        at = content.find(_LOCAL, at + 4 if local is None else max(local.start + local.packed, at + 4))


def _stray(content: bytes, local: Local, meter: Meter) -> Entry:
    if local.flags & _ENCRYPTED or local.method == 99:
        return Entry(names=local.names, encrypted=True)
    kind = Kind.FOLDER if local.names[0].endswith("/") else Kind.FILE
    end = min(local.start + local.packed, len(content)) if local.packed else len(content)
    if not local.packed and not local.method:
        end = local.start if kind is Kind.FOLDER else content.find(b"PK", local.start) % (len(content) + 1)
    return _unpacked(content, local.names, kind, local.method, local.start, end, meter)[0]


def _local(content: bytes, at: int) -> Local | None:
    header = content[at : at + 30]
    if len(header) < 30 or not header.startswith(_LOCAL):
        return None
    flags, method = _short(header, 6), _short(header, 8)
    packed = _long(header, 18)
    name_end = at + 30 + _short(header, 26)
    start = name_end + _short(header, 28)
    if start > len(content):
        return None
    names = _readings(content[at + 30 : name_end], flags) + _unicode_path(content[name_end:start])
    return Local(names, flags, method, packed, start)


def _short(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _long(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _readings(raw: bytes, flags: int) -> tuple[str, ...]:
    if not raw:
        return ()
    if flags & _UTF8 or raw.isascii():
        return (raw.decode("utf-8", "replace"),)
    return tuple(dict.fromkeys([raw.decode("cp437"), decode.guessed(raw)]))


def _info_names(info: zipfile.ZipInfo) -> tuple[str, ...]:
    flags = info.flag_bits & _UTF8
    raw = info.orig_filename.encode("utf-8" if flags else "cp437", "replace")
    return _readings(raw, flags) + _unicode_path(info.extra)


def _unicode_path(extra: bytes) -> tuple[str, ...]:
    """Return the names in Info-ZIP Unicode Path fields (APPNOTE 4.6.9), of which there should be one."""
    at, found = 0, []
    while at + 4 <= len(extra):
        size = _short(extra, at + 2)
        if _short(extra, at) == _UNICODE_PATH and size > 5:
            found.append(extra[at + 9 : at + 4 + size].decode("utf-8", "replace"))
        at += 4 + size
    return tuple(found)


def _kind(info: zipfile.ZipInfo) -> Kind:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        return Kind.DEVICE
    return Kind.FOLDER if info.orig_filename.endswith("/") else Kind.FILE


# --- methods (APPNOTE 4.4.5) -----------------------------------------------------------------------------------------


def _stored(content: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, bool, int]:
    meter.take(end - start)
    return content[start:end], True, end


def _deflated(content: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, bool, int]:
    out = io.BytesIO()
    behind, complete = inflate(content, start, end, -15, meter, out)
    return out.getvalue(), complete, behind


def _deflated64(content: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, bool, int]:
    import inflate64

    stream = inflate64.Inflater()
    out = io.BytesIO()
    for at in range(start, end, 4096):  # it has no bound of its own; 4 KB become at most some megabytes
        data = stream.inflate(content[at : min(end, at + 4096)])
        meter.take(len(data))
        out.write(data)
    return out.getvalue(), bool(stream.eof), end


def _bzipped(content: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, bool, int]:
    return _streamed(content, start, end, bz2.BZ2Decompressor(), meter)


def _lzma(content: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, bool, int]:
    properties = _short(content, start + 2)
    at = start + 4 + properties
    alone = content[start + 4 : at] + b"\xff" * 8 + content[at:end]  # as an .lzma file of unknown size
    stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY)
    return _streamed(alone, 0, len(alone), stream, meter)[0], True, end


def _xz(content: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, bool, int]:
    return _streamed(content, start, end, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY), meter)


def _streamed(content: bytes, start: int, end: int, stream: Decompressor, meter: Meter) -> tuple[bytes, bool, int]:
    out = io.BytesIO()
    behind, complete = unpack(content, start, end, stream, meter, out)
    return out.getvalue(), complete, behind


def _zstd(content: bytes, start: int, end: int, meter: Meter) -> tuple[bytes, bool, int]:
    from gatepost.message.packed import unzstd

    return unzstd(content[start:end], meter), True, end


_METHODS: dict[int, Unpacker] = {
    0: _stored,
    8: _deflated,
    9: _deflated64,
    12: _bzipped,
    14: _lzma,
    93: _zstd,
    95: _xz,
}
