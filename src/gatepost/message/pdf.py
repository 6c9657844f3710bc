"""PDF (ISO 32000-1): the targets of its links, and the files that it carries.

No parser of the whole: what matters is found by its own mark in the file and in its streams, broken files included.
"""

import base64
import contextlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import islice
from typing import NamedTuple

from gatepost.message import decode
from gatepost.message.meter import Damaged, Entry, Meter, inflate
from gatepost.message.octets import octets
from gatepost.message.pdf_lock import is_locked, unlocked


def _spelled(*names: bytes) -> bytes:
    """Return an expression for names, of which each letter may stand in hexadecimal digits (7.3.5)."""
    found = (b"".join(b"(?:%c|#(?i:%x))" % (letter, letter) for letter in name) for name in names)
    return b"/(?:" + b"|".join(found) + b")"


_GAP = rb"[\0\s]*(?:%[^\r\n]{0,200}+[\r\n][\0\s]*)*"  # blanks and comments (7.2.3)
_LITERAL = rb"\(((?:[^()\\]|\\.|\((?:[^()\\]|\\.){0,500}\)){%d,2000})"  # a bracket may stand in brackets (7.3.4.2)
_DIGITS = rb"<([0-9A-Fa-f\0\s]{%d,4000})>"
_STRING = b"(?:" + _LITERAL % 4 + b"|" + _DIGITS % 8 + b")"
_LEADS = _spelled(b"URI")
_OPENS = _spelled(b"F", b"UF", b"JS", b"Base")  # launched files, forms, scripts (12.6.4)
_URI = re.compile(_LEADS + _GAP + _STRING, re.DOTALL)
_TARGET = re.compile(_OPENS + _GAP + _STRING, re.DOTALL)
_ANY_STRING = re.compile(_STRING, re.DOTALL)
_ESCAPED = re.compile(rb"\\([0-7]{1,3}|\r\n|.)", re.DOTALL)  # 7.3.4.2
_BREAKS = dict.fromkeys((b"\r\n", b"\r", b"\n", b"b", b"f", b"n", b"r", b"t"), b"")  # what nobody's browser heeds
_URI_KEY = octets(_LEADS)
_TARGET_KEY = octets(_OPENS + rb"[\0\s]*(?:\(|%|<[^<])")
_ELSEWHERE = octets(b"(?:" + _LEADS + b"|" + _OPENS + rb")[\0\s]+[0-9]+[\0\s]+[0-9]+[\0\s]+R")
_SCRIPT = octets(rb"launchURL|submitForm|getURL|<submit")
_SCRIPT_KEYS = octets(b"URL"), octets(b"submit")  # one is in each of these, and both are found 30 times as fast
_STREAM = octets(rb"stream[ \t]*(?:\r\n|\r|\n)")
_END = b"endstream"
_LISTED_LEAST, _LISTED_MAX = 5_000, 100_000
_STREAM_MAX = 1_000_000
_STREAMS_MAX = 500
STREAMS_BYTES = 16_000_000


class _Enough(Exception):
    """More was unpacked than is looked into."""


def urls(data: bytes, most: int = STREAMS_BYTES, *, here: bool = False) -> tuple[list[bytes], bool]:
    """Return the targets of a PDF's link annotations, in compressed object streams too; whether that is all.

    `most`: octets that its streams are unpacked to; `here`: a locked one takes too long. One with a password that
    nobody is asked for is read like others.
    """
    if is_locked(data):
        if here:
            return [], False
        data = unlocked(data)
    found = list(_uris(data))
    meter = Meter(2 * most, 1, _budget(most))
    listed = max(most // 100, _LISTED_LEAST)
    streams = list(islice(_streams(data), listed))
    try:
        for stream in streams:
            if stream.objects:
                found += _uris(_objects(data, stream, meter)[0])
        for stream in islice((stream for stream in streams if _is_flate(data, stream.start)), _STREAMS_MAX):
            if not stream.objects:
                found += _in_stream(data, stream.start, meter)
    except _Enough:
        return found, False
    return found, len(streams) < listed


def _budget(most: int) -> Callable[[int], None]:
    left = most

    def spend(octets: int) -> None:
        nonlocal left
        left -= octets
        if left < 0:
            raise _Enough

    return spend


def _in_stream(data: bytes, at: int, meter: Meter) -> list[bytes]:
    """Return the targets in a packed stream, of which the beginning is read: a script's are wherever it has them."""
    try:
        content = zlib.decompressobj().decompress(memoryview(data)[at : at + _STREAM_MAX], _STREAM_MAX)
    except zlib.error:
        return []
    meter.take(len(content))
    return [*_uris(content), *([content] if _is_script(content) else [])]


def _is_script(content: bytes) -> bool:
    """Tell whether a script or a form in a stream may lead somewhere."""
    return any(key.search(content) for key in _SCRIPT_KEYS) and _SCRIPT.search(content) is not None


def _is_flate(data: bytes, at: int) -> bool:
    """Tell the head of a zlib stream (RFC 1950 2.2)."""
    head = data[at : at + 2]
    return len(head) == 2 and head[0] & 15 == 8 and head[0] < 128 and (head[0] << 8 | head[1]) % 31 == 0


def _uris(data: bytes) -> Iterator[bytes]:
    if _URI_KEY.search(data) is not None:
        for found in _URI.findall(data):
            yield _shown(_text(found))
    if _TARGET_KEY.search(data) is not None:
        yield from _leading(_TARGET.findall(data))
    if _ELSEWHERE.search(data) is not None:  # a string may be an object of its own
        yield from _leading(_ANY_STRING.findall(data))


def _leading(strings: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield strings that name an address or a share."""
    for found in strings:
        text = _shown(_text(found))
        if b"://" in text:
            yield text
        elif text.startswith((b"\\\\", b"//")):
            yield b"file:" + text


def _shown(text: bytes) -> bytes:
    return text.translate(None, b"\t\r\n")


def _text(found: tuple[bytes, bytes]) -> bytes:
    """Return what a string says, in UTF-8: written literally, or in hexadecimal digits."""
    literal, digits = found
    raw = _digits(digits) if digits else _ESCAPED.sub(_unescaped, literal)
    return raw.decode("utf-16", "replace").encode() if raw.startswith(decode.UTF_16) else raw


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8) & 255]) if match[1][0] in b"01234567" else _BREAKS.get(match[1], match[1])


def _digits(digits: bytes) -> bytes:
    packed = digits.translate(None, b"\0\t\n\v\f\r ")
    return bytes.fromhex(packed[: len(packed) // 2 * 2].decode("ascii"))


# --- embedded files (7.11.4) -----------------------------------------------------------------------------------------


CARRIES = octets(_spelled(b"EmbeddedFile") + b"|" + _spelled(b"EF") + rb"\s*(?:<<|[0-9])|" + _spelled(b"ObjStm"))
"""What tells that files may be in a PDF: their own marks, or a stream of objects, in which the marks may be packed."""

_MARK = octets(_spelled(b"EmbeddedFile") + rb"(?:[^0-9A-Za-z#]|\z)")
_OBJECTS = octets(_spelled(b"ObjStm"))
_FILTER_KEY = re.compile(
    _spelled(b"Filter") + rb"(?![A-Za-z0-9#])" + _GAP + rb"(\[[^\]]{0,300}\]|/[A-Za-z0-9#]+|)"
)  # 7.4
_FILTER = re.compile(rb"/([A-Za-z0-9#]+)")
_LENGTH = re.compile(rb"/Length" + _GAP + rb"([0-9]{1,9})(?![0-9\0\s]*\sR)")
_PREDICTOR = re.compile(rb"/Predictor" + _GAP + rb"([0-9]{1,2})")
_COLUMNS = re.compile(rb"/Columns" + _GAP + rb"([0-9]{1,6})")
_NAME = re.compile(rb"/(?:U|#55)?(?:F|#46)" + _GAP + b"(?:" + _LITERAL % 1 + rb"|" + _DIGITS % 2 + b")", re.DOTALL)
# Where a file specification says which streams hold its file (7.11.3): there, or in an object of its own.
_CARRIED = re.compile(_spelled(b"EF") + rb"\s*(?:<<([^<>]{1,300})>>|([0-9]{1,9})\s+[0-9]{1,5}\s+R)")
_REFERENCE = re.compile(rb"(?<![0-9])([0-9]{1,9})\s+[0-9]{1,5}\s+R")
_DICTIONARIES = re.compile(rb"(?<![0-9])([0-9]{1,9})\s+[0-9]{1,5}\s+obj\s*<<([^<>]{1,300})>>")
_OBJECT = re.compile(rb"(?<![0-9])([0-9]{1,9})\s+[0-9]{1,5}\s+obj\b")
_NAMES_MAX = 50
_FILES_MAX = 200
_PREDICTED_MAX = 1_000_000


class _Stream(NamedTuple):
    """Where a stream's octets begin, and those before it since the last one, in which its dictionary stands."""

    start: int
    head: slice
    objects: bool


def _streams(content: bytes) -> Iterator[_Stream]:
    """Yield the streams, one more than are looked into at most."""
    behind = 0
    for match in islice(_STREAM.finditer(content), 2 * _LISTED_MAX):  # each may have an end that looks like one
        start = match.start()
        if content.endswith(b"end", behind, start):
            behind = match.end()
            continue
        end = content.find(_END, behind, start)
        head = slice(end + len(_END) if end >= 0 else behind, start)
        behind = match.end()
        yield _Stream(behind, head, _OBJECTS.search(content, head.start, head.stop) is not None)


def files(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the embedded files. Which name is whose stands far from the file, so that each bears all of them.

    A stream is one by its own type, which need not be told, or by what a file specification says.
    """
    locked = is_locked(content)
    if locked:
        content = unlocked(content)
        locked = is_locked(content)
    streams = list(_streams(content))
    texts, problem = [content], ""
    if len(streams) >= _LISTED_MAX:
        problem = "has more streams than are looked into"
    for stream in streams:
        if stream.objects:
            text, whole = _objects(content, stream, meter)
            texts.append(text)
            if not whole and not locked:
                problem = "has objects packed by an unknown method"
    names = tuple(dict.fromkeys(islice((name for text in texts for name in _named(text)), _NAMES_MAX)))
    carried = _carried(texts)
    found = 0
    for stream in streams:
        marked = _MARK.search(content, stream.head.start, stream.head.stop) is not None
        if marked or (carried and _number(content[stream.head]) in carried):
            found += 1
            if found > _FILES_MAX:
                raise Damaged("has more embedded files than are looked into")
            shown = names or (f"embedded-{found}",)
            yield Entry(names=shown, encrypted=True) if locked else _file(content, stream, shown, meter)
    if problem:
        raise Damaged(problem)


def _file(content: bytes, stream: _Stream, names: tuple[str, ...], meter: Meter) -> Entry:
    try:
        data = _filtered(content, stream, meter)
    except (ValueError, zlib.error):
        return Entry(names=names, problem="an embedded file is damaged or packed by an unknown method")
    return Entry(names=names, size=len(data), content=data, shared=len(names) > 1)


def _objects(content: bytes, stream: _Stream, meter: Meter) -> tuple[bytes, bool]:
    """Return a stream of objects, and whether it could be unpacked as it says."""
    try:
        return _filtered(content, stream, meter), True
    except (ValueError, zlib.error):
        text = _begun(content, stream.start, meter)
        return text, bool(text)


def _filtered(content: bytes, stream: _Stream, meter: Meter) -> bytes:
    """Return what a stream holds; raises ValueError or zlib.error where it can't be unpacked."""
    dictionary = content[stream.head]
    dictionary = dictionary[max((begin.end() for begin in _OBJECT.finditer(dictionary)), default=0) :]
    data = _raw(content, stream.start, dictionary, meter)
    told = dict.fromkeys(_FILTER_KEY.findall(dictionary))
    if len(told) > 1 or b"" in told:
        raise ValueError("its filters stand elsewhere")
    filters = _FILTER.findall(next(iter(told), b""))
    for name in filters:
        data = _undone(name, data, meter)
    meter.take(0 if filters else len(data))
    predictor = _PREDICTOR.search(dictionary)
    if predictor and predictor[1] != b"1":
        columns = _COLUMNS.search(dictionary)
        return _unpredicted(data, int(predictor[1]), int(columns[1]) if columns else 1)
    return data


def _raw(content: bytes, at: int, dictionary: bytes, meter: Meter) -> bytes:
    """Return a stream's octets, as many as it says if its end stands behind them; those of others count if it does not.

    So nobody has all that follows looked through anew by each of a thousand streams that end nowhere.
    """
    told = _LENGTH.search(dictionary)
    end = at + int(told[1]) if told else 0
    if not told or not content[end : end + 20].lstrip().startswith(_END):
        end = content.find(_END, at)
        end = end if end >= 0 else len(content)
        meter.take(end - at)
    return content[at:end]


def _undone(name: bytes, data: bytes, meter: Meter) -> bytes:
    """Return what a filter's output was made of, counted."""
    if name in (b"FlateDecode", b"Fl"):
        return _inflated(data, meter)
    if name in (b"ASCIIHexDecode", b"AHx"):
        plain = _digits(data.partition(b">")[0])
    elif name in (b"ASCII85Decode", b"A85"):
        plain = base64.a85decode(data.strip().removeprefix(b"<~").partition(b"~>")[0])
    elif name == b"Crypt":
        plain = data
    else:
        raise ValueError(name)
    meter.take(len(plain))
    return plain


def _unpredicted(data: bytes, predictor: int, columns: int) -> bytes:
    """Undo the predictors of PNG for octets that stand alone (7.4.4.4); raise ValueError for other ones."""
    if predictor < 10 or columns < 1 or len(data) > _PREDICTED_MAX:
        raise ValueError(predictor)
    out, above = bytearray(), bytes(columns)
    for at in range(0, len(data), columns + 1):
        kind, row = data[at], bytearray(data[at + 1 : at + 1 + columns])
        if kind == 2:
            row = bytearray((octet + up) & 255 for octet, up in zip(row, above, strict=False))
        elif kind:
            _add_neighbours(kind, row, above)
        out += row
        above = bytes(row).ljust(columns, b"\0")
    return bytes(out)


def _add_neighbours(kind: int, row: bytearray, above: bytes) -> None:
    """Add to each octet of a row what predicts it: the one on its left, the mean, or the nearest (PNG 9.2)."""
    left = corner = 0
    for place, up in enumerate(above[: len(row)]):
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up) // 2
        else:
            guess = min((left, up, corner), key=lambda octet: abs(left + up - corner - octet))
        left = row[place] = (row[place] + guess) & 255
        corner = up


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
