"""Tar, and single packed files; nothing of them is ever written to disc."""

import bz2
import io
import lzma
import re
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

import zstandard

from gatepost.message import decode, sniff
from gatepost.message.anatomy import Kind
from gatepost.message.meter import CHUNK, Damaged, Decompressor, Entry, Meter, Stop, inflate, unpack

_MEMORY = 268_435_456
_ZEROS = re.compile(rb"\0*")
_RECORDS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


# --- one packed file, which may be a tar -----------------------------------------------------------------------------


def gzip(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    out, at, complete = io.BytesIO(), 0, True
    while complete and content[at : at + 2] == b"\x1f\x8b":
        at, complete = inflate(content, at, len(content), 31, meter, out)
    yield from single(out.getvalue(), [*_gzip_name(content), stem(name)], complete, meter)


def _gzip_name(content: bytes) -> list[str]:
    """Return the original file's name in the header (RFC 1952 2.3)."""
    flags, at = content[3:4] or b"\0", 10
    if flags[0] & 4:
        at += 2 + int.from_bytes(content[at : at + 2], "little")
    end = content.find(b"\0", at, at + 1024)
    return [decode.guessed(content[at:end])] if flags[0] & 8 and end > at else []


def bzip2(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    return _streams(content, name, meter, b"BZh", bz2.BZ2Decompressor)


def xz(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    return _streams(content, name, meter, b"\xfd7zXZ", partial(lzma.LZMADecompressor, memlimit=_MEMORY), padded=True)


def lzma_alone(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield what a file of the older form, .lzma, holds."""
    alone = partial(lzma.LZMADecompressor, lzma.FORMAT_ALONE, memlimit=_MEMORY)
    return _streams(content, name, meter, content[:1], alone)


def _streams(
    content: bytes,
    name: str,
    meter: Meter,
    signature: bytes,
    stream: Callable[[], Decompressor],
    *,
    padded: bool = False,
) -> Iterator[Entry]:
    """Yield what joined streams hold; `padded`: zeros may stand between them."""
    out, at, complete = io.BytesIO(), 0, True
    try:
        while complete and content.startswith(signature, at):
            at, complete = unpack(content, at, len(content), stream(), meter, out)
            if padded and (zeros := _ZEROS.match(content, at)):
                at = zeros.end()
    except lzma.LZMAError as error:
        raise Damaged("is a damaged archive") from error
    yield from single(out.getvalue(), [stem(name)], complete, meter)


def zstd(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    yield from single(unzstd(content, meter), [stem(name)], True, meter)


def unzstd(content: bytes, meter: Meter) -> bytes:
    """Unpack Zstandard frames; raise Damaged for what is none."""
    out = io.BytesIO()
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=_MEMORY // 2).stream_reader(
            content, read_across_frames=True
        )
        while data := reader.read(CHUNK):
            meter.take(len(data))
            out.write(data)
    except zstandard.ZstdError as error:
        raise Damaged("is a damaged archive") from error
    return out.getvalue()


def stem(name: str) -> str:
    """Return the name of what a single packed file holds, by its own name."""
    stem, dot, ending = name.rpartition(".")
    if ending.lower() in ("tgz", "tbz", "tbz2", "txz", "tzst"):
        return stem + ".tar"
    return stem if dot and stem else name + ".unpacked"


def single(data: bytes, names: list[str], complete: bool, meter: Meter) -> Iterator[Entry]:
    """Yield what one packed file holds: a file, or a tar's entries."""
    if sniff.container(data) == "tar":
        yield from tar(data, names[0], meter)
    else:
        yield Entry(names=tuple(dict.fromkeys(names)), size=len(data), content=data)
    if not complete:
        raise Damaged("is not complete")


# --- tar -------------------------------------------------------------------------------------------------------------


class _Header(tarfile.TarInfo):
    """A header that leads no reader back: behind a size below zero others read on, where tarfile ends in silence."""

    @classmethod
    def frombuf(cls, *block: Any, **how: Any) -> "_Header":
        found = super().frombuf(*block, **how)
        if found.size < 0:
            raise Damaged("has an entry of less than no octets")
        return found


def tar(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield a tar's entries; what stands behind its end or behind a damaged header is read as well."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:", ignore_zeros=True, tarinfo=_Header) as archive:
            info = archive.next()
            if info is None:
                raise Damaged("has no entries that can be read")
            while info is not None:
                yield _tar_entry(archive, info, _own_header(content, info.offset), meter)
                archive.members.clear()  # type: ignore[attr-defined]  # each has a copy of the records for all
                info = archive.next()
    except tarfile.TarError as error:
        raise Damaged("is a damaged tar archive") from error


def _own_header(content: bytes, at: int) -> tarfile.TarInfo:
    """Return what an entry's header says itself: the records before it may say something else, which not all heed."""
    while True:
        header = tarfile.TarInfo.frombuf(content[at : at + tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        if header.type not in _RECORDS:
            return header
        at += tarfile.BLOCKSIZE * (1 - -header.size // tarfile.BLOCKSIZE)


def _tar_entry(archive: tarfile.TarFile, info: tarfile.TarInfo, own: tarfile.TarInfo, meter: Meter) -> Entry:
    names = _tar_names(info.name, own.name)
    if not info.isreg() and info.type in tarfile.SUPPORTED_TYPES:  # POSIX has any other be a file
        kind = Kind.FOLDER if info.isdir() else Kind.LINK if info.issym() or info.islnk() else Kind.DEVICE
        problem = "an entry that is no file has content" if own.size and kind is not Kind.FOLDER else ""
        return Entry(names=names, kind=kind, problem=problem)
    try:
        data = drained(archive.extractfile(info), meter)
    except Stop as stop:
        return Entry(names=names, size=info.size, problem=str(stop))
    problem = "" if info.size == own.size or info.issparse() else "the records of an entry disagree"
    return Entry(names=names, size=len(data), content=data, problem=problem)


def _tar_names(told: str, own: str) -> tuple[str, ...]:
    """Return an entry's name as the records before it tell, and the header's own, which may be the same cut short."""
    other = not told.startswith(own) and not told.endswith(own.rpartition("/")[2])
    raws = [name.encode("utf-8", "surrogateescape") for name in ((told, own) if other else (told,))]
    return tuple(dict.fromkeys(text for raw in raws for text in (decode.guessed(raw), raw.decode("utf-8", "replace"))))


def drained(file: IO[bytes] | None, meter: Meter) -> bytes:
    """Read a file to its end; raises Stop."""
    out = io.BytesIO()
    meter.take(0)  # an earlier entry may have met a limit; the names are wanted even so
    while file is not None and (data := file.read(CHUNK)):
        meter.take(len(data))
        out.write(data)
    return out.getvalue()
