"""Office documents: macros, passwords, and the files inside OLE2, RTF, Outlook messages and OneNote pages.

OLE2 containers ([MS-CFB]) are read by olefile. A macro is a VBA project ([MS-OVBA]), an Excel 4.0 macro sheet ([MS-XLS]
2.4.28), or a Basic module or another script of an OpenDocument file. VBA in .docm and the like is an OLE2 container
inside a ZIP.
"""

import contextlib
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from gatepost.message import decode, lzfu
from gatepost.message.meter import BROKEN, Damaged, Entry, Meter, Stop, inflate

_VBA_NAME = "_VBA_PROJECT".encode("utf-16-le")
_PASSWORD_NAME = "EncryptedPackage".encode("utf-16-le")  # [MS-OFFCRYPTO] 2.3.4.4
_WORKBOOKS = ("workbook", "book")
_PPT_MACROS = re.compile(rb"\x02\0\0\x04\x0c\0\0\0.{4}\x01\0\0\0", re.DOTALL)  # VBAInfoAtom, [MS-PPT] 2.4.10
_PPT_OBJECT = re.compile(rb"\x10\0\x11\x10(.{4}).{4}(?=\x78)", re.DOTALL)  # ExOleObjStg, compressed, [MS-PPT] 2.10.34
_SHEET_MACROS = re.compile(rb"^O;(?:[^\r\n]*;)?E[;\r\n]", re.MULTILINE)  # of a SYLK file
_RECORDS = 20_000  # of a workbook's global part
_BOUNDSHEET, _FILEPASS, _EOF = 0x85, 0x2F, 0x0A
_MODULE = re.compile(rb"<script:module\b|<(?:\w+:)?macrosheet\b")
_XML_MACROS = re.compile(
    rb"macrosPresent\s*=\s*[\"']yes|editdata\.mso|ms-excel\.(?:intl)?macrosheet|relationships/xl(?:Intl)?Macrosheet"
    rb"|full-path\s*=\s*[\"']Scripts/[a-z]+/[^\"']"
)
_XML_MARKS = b"\xef\xbb\xbf\xff\xfe\r\n\t "
_SHEET = re.compile(rb"\x09[\0\2\4][\4-\x10]\0..\x40\0", re.DOTALL)  # a macro sheet without OLE2, [MS-XLS] 2.4.21
_LOOKED_AT = 20  # streams

_ATTACHED = "__substg1.0_37010102"  # PidTagAttachDataBinary, [MS-OXMSG] 2.1.3
_NAMES = ("__substg1.0_3707001f", "__substg1.0_3704001f", "__substg1.0_3707001e", "__substg1.0_3704001e")
_TEXT_TAGS = ("1000001e", "1000001f", "1013001e", "1013001f", "10130102", "10090102")
_TEXTS = frozenset(f"__substg1.0_{tag}" for tag in _TEXT_TAGS)  # PidTagBody, PidTagBodyHtml, PidTagRtfCompressed
_EMBEDDED = ("package", "contents", "embeddedodf")
_SLIDES = "powerpoint document"
_NATIVE = "\x01ole10native"

_ONENOTE_FILE = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")  # FileDataStoreObject, [MS-ONESTORE] 2.6.13
_ONENOTE_HEAD = 36
_ONENOTE_ENDING = re.compile(rb"\.\0(?:[A-Za-z0-9_-]\0){1,16}\0\0")
_ONENOTE_NAME = 520  # octets
_ONENOTE_NAMES, _ONENOTE_ENDINGS = 50, 2000


class Look(msgspec.Struct, frozen=True):
    """What a document is found to have."""

    macros: bool = False
    encrypted: bool = False


def look(content: bytes, kind: str, names: Sequence[str] = ()) -> Look:
    """Look for macros and a password in a file; `kind` as `sniff.container` says. Never raises."""
    if kind == "ole":
        return _look_ole(content)
    if content.startswith(b"ActiveMime"):  # how Word's web pages and XML carry VBA
        return Look(macros=True)
    if content.startswith(b"ID;"):
        return Look(macros=bool(_SHEET_MACROS.search(content)))
    if _SHEET.match(content):
        return Look(macros=True)
    if not kind and content[:200].lstrip(_XML_MARKS).startswith((b"<", b"\0<")):
        content = content.replace(b"\0", b"")  # as in UTF-16
        sheet = any("/macrosheets/" in name.lower() for name in names)
        macros = sheet or bool(_MODULE.search(content)) or bool(_XML_MACROS.search(content))
        return Look(macros, b"encryption-data" in content and any(n.endswith("manifest.xml") for n in names))
    return Look(macros=any("/macrosheets/" in name.lower() and name.lower().endswith(".bin") for name in names))


def _look_ole(content: bytes) -> Look:
    import olefile  # type: ignore[import-untyped]

    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            paths = {"/".join(path).lower(): path for path in ole.listdir()}
            macros = any(path.endswith(("vba/_vba_project", "vba/dir")) or path == "_vba_project" for path in paths)
            encrypted = any(path.endswith(("encryptedpackage", "encryptedsummary")) for path in paths)
            told = [path for path in paths if path.rpartition("/")[2] in _STREAMS]  # in documents inside, too
            for path in told[:_LOOKED_AT]:
                seen = _STREAMS[path.rpartition("/")[2]](ole.openstream(paths[path]).read())
                macros, encrypted = macros or seen.macros, encrypted or seen.encrypted
            return Look(macros, encrypted)
    except BROKEN:  # of a damaged one the names of its streams still tell
        return Look(_VBA_NAME in content, _PASSWORD_NAME in content)


def _word(stream: bytes) -> Look:
    return Look(encrypted=bool(stream[11:12] and stream[11] & 1))  # FibBase.fEncrypted, [MS-DOC] 2.5.2


def _excel(stream: bytes) -> Look:
    at, macros = 0, False
    for _ in range(_RECORDS):
        kind, size = int.from_bytes(stream[at : at + 2], "little"), int.from_bytes(stream[at + 2 : at + 4], "little")
        if kind == _FILEPASS:
            return Look(encrypted=True)
        macros |= kind == _BOUNDSHEET and stream[at + 9 : at + 10] == b"\x01"
        at += 4 + size
        if kind == _EOF or at >= len(stream):
            break
    return Look(macros)


def _powerpoint(stream: bytes) -> Look:
    return Look(bool(_PPT_MACROS.search(stream)))


_STREAMS = {"worddocument": _word, _SLIDES: _powerpoint, **dict.fromkeys(_WORKBOOKS, _excel)}


# --- what is inside --------------------------------------------------------------------------------------------------


def ole(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the files that a document carries, and the attachments of an Outlook message (.msg)."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(content)) as container:
            for path in container.listdir():
                entry = _entry(container, path, meter)
                if entry is not None:
                    yield entry
                if path[-1].lower() == _SLIDES:
                    yield from _slide_objects(container.openstream(path).read(), meter)
    except olefile.OleFileError as error:
        raise Damaged("is a damaged document") from error


def _entry(container: Any, path: list[str], meter: Meter) -> Entry | None:
    last = path[-1].lower()
    if last in _TEXTS:
        return _text(container, path, meter)
    if last not in (_ATTACHED, _NATIVE, *_EMBEDDED):
        return None
    meter.take(0)  # an earlier one may have met a limit
    names = _names(container, path) if last == _ATTACHED else ("/".join(path).strip("\x01"),)
    try:
        meter.take(container.get_size(path))
    except Stop as stop:
        return Entry(names=names, problem=str(stop))
    data = container.openstream(path).read()
    if last == _NATIVE:
        names, data = _native(data) or (names, data)
    return Entry(names=names, size=len(data), content=data)


def _text(container: Any, path: list[str], meter: Meter) -> Entry | None:
    """Return a text of an Outlook message, in UTF-8 or its own code page; None for one that can't be read."""
    meter.take(container.get_size(path))
    data = container.openstream(path).read()
    if path[-1].lower().endswith("10090102"):
        try:
            data = lzfu.unpacked(data)
        except Damaged:
            return None  # Outlook shows another
        meter.take(len(data))
    elif path[-1].lower().endswith("001f"):
        data = data.decode("utf-16-le", "replace").encode()
    return Entry(names=(), size=len(data), content=data, page=True)


def _slide_objects(stream: bytes, meter: Meter) -> Iterator[Entry]:
    """Yield the OLE2 containers that a presentation holds compressed: embedded objects, its VBA project."""
    for number, match in enumerate(_PPT_OBJECT.finditer(stream), 1):
        out = io.BytesIO()
        end = match.end() + int.from_bytes(match[1], "little")
        with contextlib.suppress(zlib.error):  # what came out until then
            inflate(stream, match.end(), min(end, len(stream)), 15, meter, out)
        if content := out.getvalue():
            yield Entry(names=(f"object-{number}",), size=len(content), content=content)


def _names(container: Any, path: list[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in _NAMES:
        beside = [*path[:-1], name]
        if container.exists(beside):
            raw = container.openstream(beside).read()
            said = raw.decode("utf-16-le", "replace") if name.endswith("f") else decode.guessed(raw)
            found[said.strip("\0")] = None
    return tuple(name for name in found if name) or ("unnamed",)


def _native(data: bytes) -> tuple[tuple[str, ...], bytes] | None:
    """Read a packaged file ([MS-OLEDS] 2.3.6): its label, its path, and its octets."""
    label, _, rest = data[6:].partition(b"\0")
    path, _, rest = rest.partition(b"\0")
    skip = 8 + int.from_bytes(rest[4:8], "little")
    size = int.from_bytes(rest[skip : skip + 4], "little")
    content = rest[skip + 4 : skip + 4 + size]
    names = tuple(dict.fromkeys(decode.guessed(raw) for raw in (label, path) if raw))
    return (names, content) if names and content else None


def onenote(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the files that stand in a OneNote page; their names stand elsewhere, so that each bears all of them."""
    at, number = content.find(_ONENOTE_FILE), 0
    names = tuple(dict.fromkeys(islice(_onenote_names(content), _ONENOTE_NAMES))) if at >= 0 else ()
    while at >= 0:
        number += 1
        size = int.from_bytes(content[at + 16 : at + 24], "little")
        start = at + _ONENOTE_HEAD
        if start + size > len(content):
            raise Damaged("is a damaged OneNote page")
        meter.take(size)
        shown, data = names or (f"embedded-{number}",), content[start : start + size]
        yield Entry(names=shown, size=size, content=data, shared=len(names) > 1)
        at = content.find(_ONENOTE_FILE, start + size)


def _onenote_names(content: bytes) -> Iterator[str]:
    """Yield values that read as names of files: in UTF-16, their size before them ([MS-ONE] 2.3.4, 2.3.5)."""
    for ending in islice(_ONENOTE_ENDING.finditer(content), _ONENOTE_ENDINGS):
        end = ending.end()
        for start in range(ending.start(), max(4, end - _ONENOTE_NAME), -2):
            if int.from_bytes(content[start - 4 : start], "little") == end - start:
                yield content[start : end - 2].decode("utf-16-le", "replace")
                break


# --- RTF (specification 1.9.1) ---------------------------------------------------------------------------------------

_OBJECT = re.compile(rb"\\objdata(?![a-z])")
_BRACE = re.compile(rb"[{}]|\\bin([0-9]{1,8}) ?")
_CONTROL = re.compile(rb"\\(?:[a-zA-Z]+-?[0-9]*|'..|.)", re.DOTALL)
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789abcdefABCDEF"))
_OBJECTS, _BRACES = 50, 10_000


def rtf(content: bytes, name: str, meter: Meter) -> Iterator[Entry]:
    """Yield the objects that an RTF document carries: packaged files, and OLE2 containers."""
    for number, match in enumerate(islice(_OBJECT.finditer(content), _OBJECTS), 1):
        data = _hexadecimal(content, match.end())
        meter.take(len(data))
        names, inner = embedded(data) or ((f"object-{number}",), data)
        yield Entry(names=names, size=len(inner), content=inner)


def _hexadecimal(content: bytes, at: int) -> bytes:
    """Read the digits of a group, without the groups inside it, which readers pass over."""
    depth, pieces = 0, []
    for _ in range(_BRACES):
        brace = _BRACE.search(content, at)
        if brace is None:
            break
        if depth == 0:
            pieces.append(content[at : brace.start()])
        at = brace.end()
        if brace[1]:  # octets as they are
            raw = content[at : at + int(brace[1])]
            pieces += [raw.hex().encode()] if depth == 0 else []
            at += len(raw)
            continue
        depth += 1 if brace[0] == b"{" else -1
        if depth < 0:
            break
    digits = _CONTROL.sub(b"", b"".join(pieces)).translate(None, _NO_DIGITS)
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))


def embedded(data: bytes) -> tuple[tuple[str, ...], bytes] | None:
    """Read an embedded object of OLE 1.0 ([MS-OLEDS] 2.2.5): its class, two more names, and its own data."""
    at, texts = 8, []
    for _ in range(3):
        size = int.from_bytes(data[at : at + 4], "little")
        texts.append(data[at + 4 : at + 4 + size].rstrip(b"\0"))
        at += 4 + size
    inner = data[at + 4 : at + 4 + int.from_bytes(data[at : at + 4], "little")]
    if not inner or not texts[0]:
        return None
    if texts[0].lower() == b"package":
        return _native(bytes(4) + inner)
    return (decode.guessed(texts[0]),), inner
