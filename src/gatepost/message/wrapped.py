"""Content inside content that is no archive: S/MIME envelopes of signed mail, calendars and what they carry."""

import binascii
import re
import zlib
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice, pairwise

import msgspec
import re2  # type: ignore[import-untyped]

from gatepost.message import decode
from gatepost.message.octets import octets

# --- S/MIME (RFC 5652, RFC 8551) -------------------------------------------------------------------------------------

_SIGNED = bytes.fromhex("2a864886f70d010702")
_ENVELOPED = (bytes.fromhex("2a864886f70d010703"), bytes.fromhex("2a864886f70d0109100117"))
_COMPRESSED = bytes.fromhex("2a864886f70d0109100109")
_INFLATED_MAX = 32_000_000  # octets of one that is compressed
_CMS_NAMES = (".p7m", ".p7z")
_ARMOUR = re.compile(rb"^-----[^\r\n]*", re.MULTILINE)
_CONTENT = re2.compile(rb"(?i)[\r\n]content-[a-z-]+[ \t]*:")
_MAIL = re.compile(rb"\r?\n|[A-Za-z][A-Za-z0-9-]{0,100}[ \t]{0,100}:")


class Seal(StrEnum):
    """What a CMS object is; UNKNOWN, too, for one that is not read to its end."""

    SIGNED = "signed"
    COMPRESSED = "compressed"
    ENVELOPED = "enveloped"
    UNKNOWN = "unknown"


class Node(msgspec.Struct, frozen=True):
    """A BER element: its tag octet and where its content lies; `next` is where the following one begins."""

    tag: int
    start: int
    end: int
    next: int


class _Malformed(ValueError):
    pass


def cms(data: bytes, most: int = _INFLATED_MAX) -> tuple[Seal, bytes]:
    """Return what a CMS object (application/pkcs7-mime) is, and the content inside as far as it can be read.

    `most`: octets to which one that is compressed is unpacked; one that holds more is UNKNOWN and has content.
    """
    try:
        return _cms(_binary(data), most)
    except (ValueError, IndexError, zlib.error):
        return Seal.UNKNOWN, b""


def _binary(data: bytes) -> bytes:
    """Return an object's octets; programs that sign files write them as a text, too (RFC 7468 8, 9)."""
    if data.startswith((b"M", b"-----BEGIN ")):
        return decode.transfer(_ARMOUR.sub(b"", data), "base64")[0].data
    return data


def is_cms(names: Iterable[str]) -> bool:
    """Tell by its names whether a file is such an object."""
    return any(name.lower().endswith(_CMS_NAMES) for name in names)


def file_name(shown: str, inside: bytes) -> str:
    """Return the name of the file that an object of this name holds, "" where it holds a mail.

    Documents are signed as files, too (CAdES): `invoice.pdf.p7m` holds a PDF, `smime.p7m` a mail.
    """
    stem = shown[: -len(_CMS_NAMES[0])] if is_cms([shown]) else shown
    return "" if "." not in stem and begins_as_mail(inside) else stem or "unnamed"


def is_file(shown: str, inside: bytes) -> bool:
    """Tell whether an object of this name holds a file and surely no mail, not even one behind lines that are none."""
    return "." in file_name(shown, inside) and not begins_as_mail(inside) and _CONTENT.search(inside) is None


def begins_as_mail(content: bytes) -> bool:
    """Tell whether the first line is a header's field, or the end of an empty header."""
    return _MAIL.match(content) is not None


def _cms(data: bytes, most: int) -> tuple[Seal, bytes]:
    kind, content = _children(data, _node(data, 0, len(data)))[:2]
    oid = data[kind.start : kind.end]
    if oid in _ENVELOPED:
        return Seal.ENVELOPED, b""
    body = _children(data, _children(data, content)[0])  # [0] EXPLICIT SignedData | CompressedData: version, algorithm
    inner = _children(data, body[2])  # EncapsulatedContentInfo
    if len(inner) < 2:
        return Seal.SIGNED, b""  # the content stands elsewhere
    octets = _octets(data, _children(data, inner[1])[0])
    if oid == _SIGNED:
        return Seal.SIGNED, octets
    if oid == _COMPRESSED:
        inflater = zlib.decompressobj()
        unpacked = inflater.decompress(octets, most)
        return (Seal.COMPRESSED if inflater.eof else Seal.UNKNOWN), unpacked
    return Seal.UNKNOWN, b""


def _node(data: bytes, at: int, end: int) -> Node:
    """Read one element; an indefinite length (BER) is resolved by walking over its children."""
    if at + 2 > end:
        raise _Malformed
    tag, length, start = data[at], data[at + 1], at + 2
    if length == 0x80:
        return _indefinite(data, tag, start, end)
    if length > 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > end:
        raise _Malformed
    return Node(tag, start, start + length, start + length)


def _indefinite(data: bytes, tag: int, start: int, end: int) -> Node:
    """Find the end-of-contents octets of an element; nested ones are counted, not recursed into."""
    at, open_ones = start, 1
    while at + 2 <= end:
        if data[at] == 0 and data[at + 1] == 0:
            open_ones -= 1
            at += 2
            if not open_ones:
                return Node(tag, start, at - 2, at)
        elif data[at + 1] == 0x80:
            open_ones += 1
            at += 2
        else:
            at = _node(data, at, end).next
    raise _Malformed


def _children(data: bytes, node: Node) -> list[Node]:
    found: list[Node] = []
    at = node.start
    while at < node.end and len(found) < 16:
        child = _node(data, at, node.end)
        found.append(child)
        at = child.next
    return found


def _octets(data: bytes, node: Node) -> bytes:
    """Return an OCTET STRING's octets; a constructed one is joined (BER)."""
    if not node.tag & 0x20:
        return data[node.start : node.end]
    pieces = []
    at = node.start
    while at < node.end:
        child = _node(data, at, node.end)
        if child.tag & 0x20:
            raise _Malformed  # strings within strings: nobody writes them
        pieces.append(data[child.start : child.end])
        at = child.next
    return b"".join(pieces)


# --- mails inside texts: pages saved whole that Word opens as documents, mailboxes ------------------------------------

_MIME = re2.compile(rb"(?i)\bmime-version[ \t]*:")
_MIME_KEY = octets(rb"-[vV][eE][rR][sS][iI][oO][nN][ \t]*:")  # with a sign in front it is found 40 times as fast
_PARAGRAPH = re.compile(rb"\n[ \t]*\r?\n")
_MAILS_OCTETS = 1_048_576  # of a text in which their beginnings are looked for
_MAILS_MAX = 20


def may_hold_mails(media: str) -> bool:
    """Tell by its type whether a file may be one that a program opens as a page saved whole, or as a mailbox."""
    return not media.startswith(("image/", "audio/", "video/", "font/"))


def mails(text: bytes) -> list[bytes]:
    """Return what in a text reads as a mail with MIME: from the paragraph that says so to the next such one."""
    if _MIME_KEY.search(text, 0, _MAILS_OCTETS) is None:
        return []
    starts: dict[int, None] = {}
    for match in islice(_MIME.finditer(text[:_MAILS_OCTETS]), _MAILS_MAX):
        breaks = list(_PARAGRAPH.finditer(text, next(reversed(starts), 0), match.start()))
        starts[breaks[-1].end() if breaks else next(reversed(starts), 0)] = None
    begins = [*starts, len(text)]
    return [text[start:end].lstrip(b"\xef\xbb\xbf\r\n\t ") for start, end in pairwise(begins)]


# --- calendars (RFC 5545 3.1, 3.8.1.1) and cards (RFC 6350 3.2) -------------------------------------------------------

_FOLDED = frozenset(
    {"text/calendar", "text/vcard", "text/x-vcard", "text/x-vcalendar", "text/directory", "application/ics"}
)
_FOLDED_NAMES = (".ics", ".ical", ".vcs", ".vcf")
_FOLD = re.compile(rb"\r?\n[ \t]")
_ATTACH = re.compile(rb"^ATTACH((?:;(?:\"[^\"\r\n]*\"|[^:\r\n])*+)?):([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_DATA_URI = re.compile(rb"data:[^,]*;base64,", re.IGNORECASE)
_FILE_NAME = re.compile(rb"(?:X-)?FILENAME=\"?([^\";:]+)", re.IGNORECASE)


def is_folded(media: str, names: Iterable[str]) -> bool:
    """Tell by its type or its names whether a text has its lines folded, wherever they are long: inside a URL, too."""
    return media in _FOLDED or any(name.lower().endswith(_FOLDED_NAMES) for name in names)


def unfolded(text: bytes) -> bytes:
    """Return a calendar or a card with each line as one."""
    return _FOLD.sub(b"", text)


def card_text(text: bytes) -> bytes:
    """Return a calendar or a card as programs read it, and once more with what is quoted-printable (vCard 2.1)."""
    lines = unfolded(text).replace(b"\\:", b":")
    return lines + b"\n" + binascii.a2b_qp(text) if b"QUOTED-PRINTABLE" in text.upper() else lines


def calendar_files(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, content) of the files that a calendar carries as BASE64."""
    if b"attach" not in text.lower():
        return []
    found: list[tuple[bytes, bytes]] = []
    for match in _ATTACH.finditer(unfolded(text)):
        value, within = match[2], _DATA_URI.match(match[2])
        if within or b"base64" in match[1].lower():
            name = _FILE_NAME.search(match[1])
            content = value[within.end() :] if within else value
            found.append((name[1] if name else b"", decode.transfer(content, "base64")[0].data))
    return found
