"""PDF (ISO 32000-1): the targets of its links, and the files that it carries.

No parser of the whole: what matters is found by its own mark in the file and in its streams, broken files included.
"""

import base64
import contextlib
import re
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import islice

from gatepost.message import decode
from gatepost.message.meter import Damaged, Entry, Meter, inflate
from gatepost.message.octets import octets

_STRING = rb"\s*(?:\(((?:[^()\\]|\\.){4,2000})\)|<([0-9A-Fa-f\s]{8,4000})>)"
_URI = re.compile(rb"/(?:U|#55)(?:R|#52)(?:I|#49)" + _STRING, re.DOTALL)
_TARGET = re.compile(rb"/(?:U?F|JS|Base)" + _STRING, re.DOTALL)  # of launched files, forms, scripts (12.6.4)
_ESCAPED = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)  # 7.3.4.2
_URI_KEY = octets(rb"/(?:U|#55)(?:R|#52)(?:I|#49)")
_STREAM = octets(rb"stream\r?\n")
_STREAM_MAX = 1_000_000
_STREAMS_MAX = 500
STREAMS_BYTES = 16_000_000


def urls(data: bytes, most: int = STREAMS_BYTES) -> tuple[list[bytes], bool]:
    """Return the targets of a PDF's link annotations, in compressed object streams too; whether `most` was enough.

    `most`: octets that its streams are unpacked to.
    """
    found = list(_uris(data))
    view = memoryview(data)
    for match in islice(_STREAM.finditer(data), _STREAMS_MAX):
        if data[match.end() : match.end() + 1] != b"\x78":
            continue  # not Flate
        if most <= 0:
            return found, False
        try:
            content = zlib.decompressobj().decompress(view[match.end() : match.end() + _STREAM_MAX], _STREAM_MAX)
        except zlib.error:
            continue
        most -= len(content)
        found += _uris(content)
    return found, True


def _uris(data: bytes) -> Iterator[bytes]:
    if _URI_KEY.search(data) is not None:
        yield from map(_text, _URI.findall(data))
    for found in _TARGET.findall(data) if b"://" in data or b"<FEFF" in data else ():
        if b"://" in (text := _text(found)):
            yield text


def _text(found: tuple[bytes, bytes]) -> bytes:
    """Return what a string says, in UTF-8: written literally, or in hexadecimal digits."""
    literal, digits = found
    raw = _digits(digits) if digits else _ESCAPED.sub(_unescaped, literal)
    return raw.decode("utf-16", "replace").encode() if raw.startswith(decode.UTF_16) else raw


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8) & 255]) if match[1][0] in b"01234567" else match[1]


def _digits(digits: bytes) -> bytes:
    packed = digits.translate(None, b"\0\t\n\v\f\r ")
    return bytes.fromhex(packed[: len(packed) // 2 * 2].decode("ascii"))


# --- embedded files (7.11.4) -----------------------------------------------------------------------------------------


def _spelled(name: bytes) -> bytes:
    """Return an expression for a name, of which each letter may stand in hexadecimal digits (7.3.5)."""
    return b"/" + b"".join(b"(?:%c|#(?i:%x))" % (letter, letter) for letter in name)


CARRIES = octets(_spelled(b"EmbeddedFile") + b"|" + _spelled(b"EF") + rb"\s*(?:<<|[0-9])|" + _spelled(b"ObjStm"))
"""What tells that files may be in a PDF: their own marks, or a stream of objects, in which the marks may be packed."""

_MARK = re.compile(_spelled(b"EmbeddedFile"))
_OBJECTS = re.compile(_spelled(b"ObjStm"))
_FILTERS = re.compile(_spelled(b"Filter") + rb"\s*(\[[^\]]{0,300}\]|/[A-Za-z0-9#]+)")  # 7.4
_FILTER = re.compile(rb"/([A-Za-z0-9#]+)")
_ENCRYPT = octets(rb"/Encrypt[\s</0-9]")
_DICTIONARY = 2000  # octets in front of a stream in which its dictionary is looked for
_NAME = re.compile(rb"/(?:U|#55)?(?:F|#46)\s*(?:\(((?:[^()\\]|\\.){1,500})\)|<([0-9A-Fa-f\s]{2,2000})>)", re.DOTALL)
# Where a file specification says which streams hold its file (7.11.3): there, or in an object of its own.
_CARRIED = re.compile(_spelled(b"EF") + rb"\s*(?:<<([^<>]{1,300})>>|([0-9]{1,9})\s+[0-9]{1,5}\s+R)")
_REFERENCE = re.compile(rb"(?<![0-9])([0-9]{1,9})\s+[0-9]{1,5}\s+R")
_DICTIONARIES = re.compile(rb"(?<![0-9])([0-9]{1,9})\s+[0-9]{1,5}\s+obj\s*<<([^<>]{1,300})>>")
_OBJECT = re.compile(rb"(?<![0-9])([0-9]{1,9})\s+[0-9]{1,5}\s+obj\b")
_NAMES_MAX = 50
_FILES_MAX = 200


def files(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the embedded files. Which name is whose stands far from the file, so that each bears all of them.

    A stream is one by its own type, which need not be told, or by what a file specification says.
    """
    texts = list(_texts(content, meter))
    names = tuple(dict.fromkeys(islice((name for text in texts for name in _named(text)), _NAMES_MAX)))
    carried = _carried(texts)
    found, behind = 0, 0
    for match in _STREAM.finditer(content):
        head = content[max(behind, match.start() - _DICTIONARY) : match.start()]
        behind = match.end()
        if _MARK.search(head) or (carried and _number(head) in carried):
            found += 1
            if found > _FILES_MAX:
                raise Damaged("has more embedded files than are looked into")
            yield _file(content, match.end(), head, names or (f"embedded-{found}",), meter)


def _file(content: bytes, at: int, head: bytes, names: tuple[str, ...], meter: Meter) -> Entry:
    if _ENCRYPT.search(content):
        return Entry(names=names, encrypted=True)
    try:
        data = _filtered(content, at, head, meter)
    except (ValueError, zlib.error):
        return Entry(names=names, problem="an embedded file is damaged or packed by an unknown method")
    return Entry(names=names, size=len(data), content=data)


def _filtered(content: bytes, at: int, head: bytes, meter: Meter) -> bytes:
    """Return what a stream holds; raises ValueError or zlib.error where it can't be unpacked."""
    end = content.find(b"endstream", at)
    data = content[at : end if end >= 0 else len(content)]
    named = _FILTERS.findall(head.rpartition(b" obj")[2])
    filters = _FILTER.findall(named[-1]) if named else []
    for name in filters:
        data = _undone(name, data, meter)
    meter.take(0 if filters else len(data))
    return data


def _undone(name: bytes, data: bytes, meter: Meter) -> bytes:
    """Return what a filter's output was made of, counted."""
    if name in (b"FlateDecode", b"Fl"):
        return _inflated(data, meter)
    if name in (b"ASCIIHexDecode", b"AHx"):
        plain = _digits(data.partition(b">")[0])
    elif name in (b"ASCII85Decode", b"A85"):
        plain = base64.a85decode(data.strip().removeprefix(b"<~").partition(b"~>")[0])
    else:
        raise ValueError(name)
    meter.take(len(plain))
    return plain


def _inflated(data: bytes, meter: Meter) -> bytes:
    """Unpack a zlib stream; where its sum is false what it holds, as the programs that open PDFs do."""
    out = BytesIO()
    try:
        inflate(data, 0, len(data), 15, meter, out)
    except zlib.error:
        out = BytesIO()
        inflate(data, 2, len(data), -15, meter, out)
        if not out.tell():
            raise
    return out.getvalue()


def _texts(content: bytes, meter: Meter) -> Iterator[bytes]:
    """Yield what objects stand in: the file, and its streams of objects."""
    yield content
    for match in islice(_STREAM.finditer(content), _STREAMS_MAX):
        if _OBJECTS.search(content, max(0, match.start() - _DICTIONARY), match.start()):
            yield _begun(content, match.end(), meter)


def _carried(texts: Sequence[bytes]) -> set[int]:
    """Return the numbers of the streams that hold the files of file specifications."""
    told = [found for text in texts for found in _CARRIED.findall(text)]
    dictionaries = [within for within, _ in told]
    if elsewhere := {int(number) for _, number in told if number}:
        dictionaries += [within for number, within in _DICTIONARIES.findall(texts[0]) if int(number) in elsewhere]
    return {int(number) for within in dictionaries for number in _REFERENCE.findall(within)}


def _number(head: bytes) -> int:
    """Return the number of the object whose stream begins behind some octets, 0 (which none has) where none is told."""
    numbers = _OBJECT.findall(head)
    return int(numbers[-1]) if numbers else 0


def _named(data: bytes) -> Iterator[str]:
    for found in _NAME.findall(data):
        yield decode.guessed(_text(found))


def _begun(content: bytes, at: int, meter: Meter) -> bytes:
    """Unpack what begins as a zlib stream, as far as it goes."""
    out = BytesIO()
    with contextlib.suppress(zlib.error):
        inflate(content, at, len(content), 15, meter, out)
    return out.getvalue()
