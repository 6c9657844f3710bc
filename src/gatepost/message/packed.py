"""Archives other than ZIP: tar, single packed files, 7z, winmail.dat; nothing of them is ever written to disc."""

import bz2
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any

import zstandard

from gatepost.message import decode, sniff
from gatepost.message.anatomy import Kind
from gatepost.message.meter import CHUNK, Damaged, Decompressor, Entry, Meter, Stop, inflate, unpack

_TNEF_OBJECTS = 5000
_MEMORY = 268_435_456


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
    return _streams(content, name, meter, b"\xfd7zXZ", partial(lzma.LZMADecompressor, memlimit=_MEMORY))


def lzma_alone(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield what a file of the older form, .lzma, holds."""
    alone = partial(lzma.LZMADecompressor, lzma.FORMAT_ALONE, memlimit=_MEMORY)
    return _streams(content, name, meter, content[:1], alone)


def _streams(
    content: bytes, name: str, meter: Meter, signature: bytes, stream: Callable[[], Decompressor]
) -> Iterator[Entry]:
    out, at, complete = io.BytesIO(), 0, True
    try:
        while complete and content.startswith(signature, at):
            at, complete = unpack(content, at, len(content), stream(), meter, out)
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


def tar(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield a tar's entries; what stands behind its end or behind a damaged header is read as well."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:", ignore_zeros=True) as archive:
            for info in archive:
                yield _tar_entry(archive, info, meter)
    except tarfile.TarError as error:
        raise Damaged("is a damaged tar archive") from error


def _tar_entry(archive: tarfile.TarFile, info: tarfile.TarInfo, meter: Meter) -> Entry:
    raw = info.name.encode("utf-8", "surrogateescape")
    names = tuple(dict.fromkeys([decode.guessed(raw), raw.decode("utf-8", "replace")]))
    if not info.isreg():
        kind = Kind.FOLDER if info.isdir() else Kind.LINK if info.issym() or info.islnk() else Kind.DEVICE
        return Entry(names=names, kind=kind)
    try:
        data = drained(archive.extractfile(info), meter)
    except Stop as stop:
        return Entry(names=names, size=info.size, problem=str(stop))
    return Entry(names=names, size=len(data), content=data)


def drained(file: IO[bytes] | None, meter: Meter) -> bytes:
    """Read a file to its end; raises Stop."""
    out = io.BytesIO()
    meter.take(0)  # an earlier entry may have met a limit; the names are wanted even so
    while file is not None and (data := file.read(CHUNK)):
        meter.take(len(data))
        out.write(data)
    return out.getvalue()


# --- 7z --------------------------------------------------------------------------------------------------------------


def sevenzip(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield a 7z's entries; the names are told even where the content can't be unpacked."""
    import py7zr.py7zr as library
    from py7zr.exceptions import AbsolutePathError, ArchiveError, PasswordRequired

    library.get_memory_limit = lambda: CHUNK  # type: ignore[attr-defined]  # else 128 MB at once, copied thrice
    start = max(0, content.find(b"7z\xbc\xaf\x27\x1c"))
    try:
        with library.SevenZipFile(io.BytesIO(content[start:] if start else content)) as archive:
            files = archive.list()
            if archive.needs_password():
                yield from (_sevenzip_entry(info, None, True) for info in files)
                return
            contents: list[bytes | None] = [None] * len(files)
            try:
                _check_sizes(files, meter)
                contents = _sevenzip_contents(archive, files)
            finally:
                yield from (_sevenzip_entry(info, data, False) for info, data in zip(files, contents, strict=True))
    except PasswordRequired:
        yield Entry(names=(), encrypted=True, problem="the names in it are encrypted")
    except (ArchiveError, AbsolutePathError, lzma.LZMAError) as error:
        raise Damaged("is a damaged or unsafe 7z archive, or packed by an unknown method") from error


def _check_sizes(files: list[Any], meter: Meter) -> None:
    """Count what the entries claim to be; the library unpacks no more than that of each."""
    for info in files:
        meter.take(info.uncompressed if isinstance(info.uncompressed, int) else 0)


def _sevenzip_contents(archive: Any, files: list[Any]) -> list[bytes | None]:
    """Unpack all files in memory; entries are matched by their order, since names may be doubled or hostile."""
    import py7zr.io

    class Buffer(py7zr.io.Py7zIO):
        def __init__(self) -> None:
            self.data = io.BytesIO()

        def write(self, s: bytes | bytearray) -> int:
            return self.data.write(s)

        def read(self, size: int | None = None) -> bytes:
            return self.data.getvalue()

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            """Nothing is held back."""

        def size(self) -> int:
            return self.data.tell()

    class Factory(py7zr.io.WriterFactory):
        def __init__(self) -> None:
            self.made: dict[str, Buffer] = {}

        def create(self, filename: str) -> Buffer:
            return self.made.setdefault(filename, Buffer())

    factory = Factory()
    plain = [info for info in files if not info.is_directory]
    paths = _output_paths([info.filename for info in plain])
    archive.extractall(factory=factory)  # noqa: S202  # into the factory's buffers
    found = {
        id(info): factory.made[path].read() if path in factory.made else (b"" if not info.uncompressed else None)
        for info, path in zip(plain, paths, strict=True)
    }
    return [found.get(id(info)) for info in files]


def _output_paths(names: list[str]) -> list[str]:
    """Return the paths under which py7zr asks for buffers: doubled names numbered, below the working directory."""
    from py7zr.helpers import get_sanitized_output_path

    counts: dict[str, int] = {}
    paths = []
    for name in names:
        out = name if name not in counts else f"{name}_{counts[name]}"
        counts[name] = counts.get(name, -1) + 1
        paths.append(get_sanitized_output_path(out, None).as_posix())
    return paths


def _sevenzip_entry(info: Any, data: bytes | None, encrypted: bool) -> Entry:
    kind = Kind.FOLDER if info.is_directory else Kind.LINK if info.is_symlink else Kind.FILE
    size = info.uncompressed if isinstance(info.uncompressed, int) else 0
    problem = "an entry can't be unpacked" if data is None and kind is Kind.FILE and not encrypted else ""
    encrypted = encrypted and kind is not Kind.FOLDER
    return Entry(names=(info.filename,), size=size, kind=kind, content=data, encrypted=encrypted, problem=problem)


# --- winmail.dat -----------------------------------------------------------------------------------------------------


def tnef(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the attachments of an Outlook winmail.dat ([MS-OXTNEF])."""
    from tnefparse import TNEF  # type: ignore[import-untyped]

    _check_tnef(content)
    pending: list[Any] = [TNEF(content, do_checksum=False)]
    while pending:
        for attachment in pending.pop().attachments:
            inner = getattr(attachment, "embed", None)
            if inner is not None:
                pending.append(inner)
                continue
            data = bytes(attachment.data or b"")
            meter.take(len(data))
            yield Entry(names=_tnef_names(attachment), size=len(data), content=data)


def _check_tnef(content: bytes) -> None:
    """Walk over the objects: damage that the library would pass over, and more objects than it can take in time."""
    at = 6
    for _ in range(_TNEF_OBJECTS):
        if at >= len(content):
            break
        at += 11 + int.from_bytes(content[at + 5 : at + 9], "little")
    if at != len(content):
        raise Damaged("is a damaged winmail.dat")


def _tnef_names(attachment: Any) -> tuple[str, ...]:
    found = [
        attachment.long_filename(),
        decode.guessed(attachment._name) if isinstance(attachment._name, bytes) else attachment._name,
    ]
    return tuple(dict.fromkeys(name.strip("\0") for name in found if name)) or ("unnamed",)
