"""Mails and archives for the tests of the message room, made octet by octet where that matters."""

import base64
import io
import os
import tarfile
import zipfile
import zlib
from pathlib import Path

import py7zr
import pytest

from gatepost.message import foreign
from gatepost.message.anatomy import Anatomy, Part
from gatepost.message.archive import Unpacker
from gatepost.message.parse import dissect
from gatepost.settings import Limits

TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
LIMITS = Limits()
HEADER = b"From: ann@a.example\r\nTo: bob@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
EXE = b"MZ" + bytes(range(256)) * 4

needs_library = pytest.mark.skipif(not foreign.available(), reason="libarchive13 is not installed; .ci/run installs it")


def take_apart(data: bytes, limits: Limits = LIMITS) -> Anatomy:
    return dissect(data, limits, unpack=Unpacker(limits))


def in_base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def attachment(name: bytes, content: bytes, media: bytes = b"application/octet-stream") -> bytes:
    """Return a part, header and body."""
    return (
        b"Content-Type: " + media + b"\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="' + name + b'"\r\n\r\n' + in_base64(content)
    )


def multipart(*parts: bytes, boundary: bytes = b"limit", kind: bytes = b"mixed", close: bool = True) -> bytes:
    """Return a multipart entity: its Content-Type and body, without the mail's other fields."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    head = b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n\r\n'
    return head + body + (b"--" + boundary + b"--\r\n" if close else b"")


def mail(entity: bytes) -> bytes:
    return HEADER + entity


def holding(name: str, content: bytes) -> Part:
    """Take a mail with one attachment apart; return that part."""
    return take_apart(mail(attachment(name.encode(), content))).parts[0]


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def tarred(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return out.getvalue()


def sevenzipped(files: dict[str, bytes], **options: object) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(content, name)
    return out.getvalue()


def tnef(name: bytes, content: bytes, *more: bytes) -> bytes:
    """Return a winmail.dat with one file, and `more` attributes behind it."""
    file = tnef_attribute(2, 0x00069002, bytes(14)) + tnef_attribute(2, 0x00018010, name + b"\0")
    return tnef_message(file + tnef_attribute(2, 0x0006800F, content), *more)


def tnef_message(*attributes: bytes) -> bytes:
    return b"\x78\x9f\x3e\x22\x01\0" + tnef_attribute(1, 0x00089006, b"\0\0\1\0") + b"".join(attributes)


def tnef_attribute(level: int, kind: int, data: bytes) -> bytes:
    head = bytes([level]) + kind.to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return head + data + (sum(data) & 0xFFFF).to_bytes(2, "little")


def tnef_properties(*properties: tuple[int, int, bytes], attached: bool = False) -> bytes:
    """Return properties (number, type, value) of a message, or of an attachment that began before."""
    told = b"".join(_property(*each) for each in properties)
    return tnef_attribute(
        2 if attached else 1, 0x00069005 if attached else 0x00069003, len(properties).to_bytes(4, "little") + told
    )


def _property(number: int, kind: int, value: bytes) -> bytes:
    head = kind.to_bytes(2, "little") + number.to_bytes(2, "little")
    sized = (1).to_bytes(4, "little") + len(value).to_bytes(4, "little") if kind in (0x0D, 0x1E, 0x1F, 0x102) else b""
    return head + sized + value + bytes(-len(value) % 4)


def local_record(name: bytes, content: bytes, *, flags: int = 0, method: int = 0, raw: bytes | None = None) -> bytes:
    """Return a ZIP entry as it stands before the directory; `raw` is the packed content where a method is told."""
    packed = content if raw is None else raw
    sizes = zlib.crc32(content).to_bytes(4, "little") + len(packed).to_bytes(4, "little")
    return (
        b"PK\x03\x04\x14\0"
        + flags.to_bytes(2, "little")
        + method.to_bytes(2, "little")
        + b"\0\0\0\0"
        + sizes
        + len(content).to_bytes(4, "little")
        + len(name).to_bytes(2, "little")
        + b"\0\0"
        + name
        + packed
    )


def directory_record(
    name: bytes, content: bytes, offset: int, *, mode: int = 0, method: int = 0, flags: int = 0
) -> bytes:
    size = len(content).to_bytes(4, "little")
    return (
        b"PK\x01\x02\x14\x03\x14\0"
        + flags.to_bytes(2, "little")
        + method.to_bytes(2, "little")
        + b"\0\0\0\0"
        + zlib.crc32(content).to_bytes(4, "little")
        + size
        + size
        + len(name).to_bytes(2, "little")
        + bytes(8)
        + (mode << 16).to_bytes(4, "little")
        + offset.to_bytes(4, "little")
        + name
    )


def end_record(entries: int, size: int, offset: int) -> bytes:
    count = entries.to_bytes(2, "little")
    return b"PK\x05\x06\0\0\0\0" + count + count + size.to_bytes(4, "little") + offset.to_bytes(4, "little") + b"\0\0"


def rar5(name: bytes, content: bytes, *, flags: int = 0, method: int = 0) -> bytes:
    """Return a RAR 5 archive with one entry (rarlab.com/technote.htm); method 0 is stored."""
    size = _vint(len(content))
    body = b"\x04" + size + _vint(0o644) + zlib.crc32(content).to_bytes(4, "little") + _vint(method << 7) + b"\x01"
    entry = b"\x02" + _vint(0x02 | flags) + size + body + _vint(len(name)) + name
    return b"Rar!\x1a\x07\x01\0" + _block(b"\x01\0\0") + _block(entry) + content + _block(b"\x05\0\0")


def _block(body: bytes) -> bytes:
    sized = _vint(len(body)) + body
    return zlib.crc32(sized).to_bytes(4, "little") + sized


def _vint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)
