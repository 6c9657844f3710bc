"""7z archives, by py7zr; by libarchive where py7zr does not know the method (BCJ2, which programs are packed by).

So it is with PPMd, too: of that py7zr's decoder writes beside its memory if the packed octets are hostile, and dies.
"""

import io
import lzma
from collections.abc import Iterator
from typing import Any

from gatepost.message import foreign
from gatepost.message.anatomy import Kind
from gatepost.message.meter import BROKEN, CHUNK, Damaged, Entry, Meter, Stop

_SIGNATURE = b"7z\xbc\xaf\x27\x1c"


def read(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield a 7z's entries; the names are told even where the content can't be unpacked."""
    import py7zr.py7zr as library
    from py7zr import compressor, properties
    from py7zr.exceptions import AbsolutePathError, ArchiveError, PasswordRequired

    compressor.algorithm_class_map[properties.FILTER_PPMD] = (compressor.PpmdCompressor, None)  # it knows it no more
    library.get_memory_limit = lambda: CHUNK  # type: ignore[attr-defined]  # else 128 MB at once, copied thrice
    start = max(0, content.find(_SIGNATURE))
    octets = content[start:] if start else content
    try:
        with library.SevenZipFile(io.BytesIO(octets)) as archive:
            if archive.needs_password():
                yield from (_entry(info, None, True) for info in archive.list())
            else:
                yield from _unpacked(archive, octets, meter)
    except PasswordRequired:
        yield Entry(names=(), encrypted=True, problem="the names in it are encrypted")
    except (ArchiveError, AbsolutePathError, lzma.LZMAError) as error:
        raise Damaged("is a damaged or unsafe 7z archive, or packed by an unknown method") from error


def _unpacked(archive: Any, octets: bytes, meter: Meter) -> Iterator[Entry]:
    from py7zr.exceptions import ArchiveError, UnsupportedCompressionMethodError

    files = archive.list()
    try:
        _check_sizes(files, meter)
        contents = _contents(archive, files)
    except (Stop, ArchiveError, lzma.LZMAError, *BROKEN) as error:
        if isinstance(error, UnsupportedCompressionMethodError) and foreign.available():
            yield from foreign.entries("7zip", octets, meter)
            return
        yield from (_entry(info, None, False) for info in files)
        raise
    yield from (_entry(info, data, False) for info, data in zip(files, contents, strict=True))


def _check_sizes(files: list[Any], meter: Meter) -> None:
    """Count what the entries claim to be; the library unpacks no more than that of each."""
    for info in files:
        meter.take(info.uncompressed if isinstance(info.uncompressed, int) else 0)


def _contents(archive: Any, files: list[Any]) -> list[bytes | None]:
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
    archive.extractall(factory=factory)  # into the factory's buffers
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


def _entry(info: Any, data: bytes | None, encrypted: bool) -> Entry:
    kind = Kind.FOLDER if info.is_directory else Kind.LINK if info.is_symlink else Kind.FILE
    size = info.uncompressed if isinstance(info.uncompressed, int) else 0
    problem = "an entry can't be unpacked" if data is None and kind is Kind.FILE and not encrypted else ""
    encrypted = encrypted and kind is not Kind.FOLDER
    return Entry(names=(info.filename,), size=size, kind=kind, content=data, encrypted=encrypted, problem=problem)
