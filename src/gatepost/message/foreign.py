"""Archives that libarchive opens: RAR, CAB, ISO 9660, LHA, cpio, ar, and files packed by compress, lzip or lz4.

The library reads from memory and starts no program. Where it is missing these archives are told, not passed over; of a
RAR the names are read even so, and what is stored unpacked.
"""

import contextlib
import ctypes
import io
import locale
import os
from collections.abc import Iterator
from functools import cache, partial
from hashlib import sha256
from types import ModuleType
from typing import Any

import rarfile  # type: ignore[import-untyped]
from msgspec.structs import replace

from gatepost.message import decode, packed
from gatepost.message.anatomy import Kind
from gatepost.message.meter import CHUNK, Damaged, Entry, Meter, Reader, Stop

_LIBRARY = "libarchive.so.13"
_RAR = b"Rar!\x1a\x07"
rarfile.RAR_MAX_COMMENT = -1  # comments are nobody's attachment, and it would start a program to unpack them
_NO_LIBRARY = "there is no libarchive to open it here"


@cache
def _library() -> ModuleType | None:
    """Return libarchive's binding, None where the library is missing."""
    os.environ.setdefault("LIBARCHIVE", _LIBRARY)  # else the binding starts programs to find it
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")  # into which it turns names; those that it can't turn are lost
    try:
        import libarchive  # type: ignore[import-untyped]
    except (ImportError, OSError, TypeError, AttributeError):
        return None
    found: ModuleType = libarchive
    return found


def available() -> bool:
    """Tell whether libarchive is there."""
    return _library() is not None


class _Item:
    """An entry that libarchive stands at; it is good until the next is asked for."""

    def __init__(self, entry: Any) -> None:
        self._entry = entry
        name = entry.pathname
        self.name: str = name if isinstance(name, str) else decode.guessed(name or b"unnamed")
        self.size: int = entry.size or 0
        self.over = False  # the library is at its end: asking it for more would be its death

    @property
    def kind(self) -> Kind:
        if self._entry.isdir:
            return Kind.FOLDER
        if self._entry.issym or self._entry.islnk:
            return Kind.LINK
        return Kind.FILE if self._entry.isfile else Kind.DEVICE

    def read(self, meter: Meter) -> Entry:
        """Return the entry with its content, or with what keeps it from being read."""
        if self.kind is not Kind.FILE:
            return Entry(names=(self.name,), kind=self.kind)
        try:
            data = self.content(meter)
        except (Stop, Damaged) as problem:
            return Entry(names=(self.name,), size=self.size, problem=str(problem))
        return Entry(names=(self.name,), size=len(data), content=data)

    def content(self, meter: Meter) -> bytes:
        """Unpack the entry; raises Stop and Damaged."""
        library = _library()
        assert library is not None  # it gave the entry
        out = io.BytesIO()
        meter.take(0)  # an earlier entry may have met a limit; the names are wanted even so
        try:
            for piece in self._entry.get_blocks(CHUNK):
                meter.take(len(piece))
                out.write(piece)
        except library.exception.ArchiveError as error:
            self.over = error.retcode == library.ffi.ARCHIVE_FATAL
            raise Damaged("an entry is damaged or packed by an unknown method") from error
        except Stop:
            self.over = True  # it would unpack the rest to find the next entry
            raise
        return out.getvalue()


def _items(content: bytes, kind: str, filtered: str = "none", without: bytes = b"") -> Iterator[_Item]:
    """Yield libarchive's entries; raises Damaged."""
    library = _library()
    if library is None:
        raise Damaged(_NO_LIBRARY)
    item = None
    try:
        with library.read.new_archive_read(kind, filtered) as pointer:
            if without:
                library.ffi.libarchive.archive_read_set_format_option(
                    ctypes.c_void_p(pointer), kind.encode(), without, None
                )
            library.ffi.read_open_memory(pointer, ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p), len(content))
            for entry in library.read.ArchiveRead(pointer):
                item = _Item(entry)
                yield item
                if item.over:
                    raise Damaged("can't be read to its end")
    except (library.exception.ArchiveError, ValueError) as error:
        raise Damaged(f"is a damaged or split archive ({kind})") from error
    if item is None:
        raise Damaged("has no entries that can be read")


def entries(kind: str, content: bytes, meter: Meter) -> Iterator[Entry]:
    """Yield the entries of an archive of a kind that libarchive knows by that name."""
    return (item.read(meter) for item in _items(content, kind))


def _archive(kind: str, content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    return entries(kind, content, meter)


def _single(method: str, content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    for item in _items(content, "raw", method):
        yield from packed.single(item.content(meter), [packed.stem(name)], True, meter)


def _disc(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield what an optical disc holds, under the names of each of its trees that a system may show."""
    seen: set[tuple[str, int, bytes]] = set()
    for without in (b"joliet", b"rockridge"):
        for item in _items(content, "iso9660", without=without):
            if item.name == ".":
                continue
            entry = item.read(meter)
            known = (item.name, item.size, sha256(entry.content or b"").digest())  # trees may hold unlike files
            if known not in seen:
                seen.add(known)
                yield entry


# --- RAR -------------------------------------------------------------------------------------------------------------


def rar(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield a RAR's entries: names by rarfile, which needs no library; what is packed by libarchive."""
    start = max(0, content.find(_RAR))
    try:
        with rarfile.RarFile(io.BytesIO(content[start:] if start else content), part_only=True) as archive:
            infos = archive.infolist()
            if archive.needs_password() and not infos:
                yield Entry(names=(), encrypted=True, problem="the names in it are encrypted")
            elif not infos:
                raise Damaged("has no entries that can be read")
            packed_ones = _Packed(content[start:])
            yield from (_rar_entry(archive, info, packed_ones, meter) for info in infos)
    except rarfile.Error as error:
        raise Damaged("is a damaged or split RAR archive") from error


class _Packed:
    """Goes through a RAR's files as libarchive sees them, in step with rarfile's list of them."""

    def __init__(self, content: bytes) -> None:
        self._items = _items(content, "rar5" if content.startswith(_RAR + b"\x01") else "rar")

    def step(self) -> _Item | None:
        """Go on to the next entry; None once the library can't read on."""
        try:
            return next(self._items, None)
        except Damaged:
            return None


def _rar_entry(archive: Any, info: Any, packed_ones: _Packed, meter: Meter) -> Entry:
    linked = info.is_symlink() or getattr(info, "file_redir", None)
    kind = Kind.FOLDER if info.is_dir() else Kind.LINK if linked else Kind.FILE
    entry = Entry(names=(info.filename,), size=info.file_size or 0, kind=kind)
    seen = packed_ones.step()
    if kind is not Kind.FILE:
        return entry
    if info.needs_password():
        return replace(entry, encrypted=True)
    if info.flags & 3 or getattr(info, "block_flags", 0) & 0x18:
        return replace(entry, problem="an entry goes on in another file")
    return _rar_content(archive, info, seen, entry, meter)


def _rar_content(archive: Any, info: Any, seen: _Item | None, entry: Entry, meter: Meter) -> Entry:
    try:
        if not info.file_size:
            return replace(entry, content=b"")
        if info.compress_type == rarfile.RAR_M0:
            with archive.open(info) as file:
                return replace(entry, content=packed.drained(file, meter))
        if not available():
            return replace(entry, problem=_NO_LIBRARY)
        if seen is None or seen.size != info.file_size:
            return replace(entry, problem="an entry can't be unpacked")
        return replace(entry, content=seen.content(meter))
    except (Stop, Damaged) as problem:
        return replace(entry, problem=str(problem))
    except rarfile.Error:
        return replace(entry, problem="an entry is damaged or packed by an unknown method")


READERS: dict[str, Reader] = {
    "rar": rar,
    "iso": _disc,
    **{kind: partial(_archive, kind) for kind in ("cab", "lha", "cpio", "ar")},
    **{method: partial(_single, method) for method in ("compress", "lzip", "lz4")},
}
