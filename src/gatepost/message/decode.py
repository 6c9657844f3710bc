"""Octets to octets and octets to text: transfer encodings and charsets, read leniently, faults reported.

Nothing here raises on any input. Where the octets can be decoded in more than one way, `transfer` gives each reading.
"""

import binascii
import codecs
import re
import string

import msgspec
import pybase64

from gatepost.message import charsets
from gatepost.message.anatomy import Symbol

_ALPHABET = (string.ascii_letters + string.digits + "+/=").encode()
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET))
_NOT_JUNK = _ALPHABET + b"\r\n\t "
_BAD_QP = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*\Z)")
_SOFT_BREAK = re.compile(rb"=[ \t]+(?=\r?\n|\Z)")
_ONLY_BASE64 = re.compile(rb"\s*(?:[A-Za-z0-9+/]{40,}\r?\n)+[A-Za-z0-9+/]*={0,2}\s*\Z")
_BITS = re.compile(r"([78])[ -]?bits?")  # as careless programs write it, too
IDENTITY = frozenset({"7bit", "8bit", "binary", ""})
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How a text in UTF-16 begins, whatever is said of its charset (WHATWG Encoding 6)."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One way to decode a body: under which encoding, to which octets, with which faults; the name that it gives."""

    encoding: str
    data: bytes
    faults: tuple[Symbol, ...] = ()
    name: bytes = b""


def encodings(value: bytes) -> tuple[str, ...]:
    """Return the transfer encodings that a Content-Transfer-Encoding value may mean; the strict one first.

    Clients differ on comments, quotes, blanks and trailing words (threat 51): `base64 ` and `"base64"; x` count.
    """
    text = re.sub(rb"\([^()]*\)", b"", value).strip(b" \t\r\n\";'").lower()
    name = text.decode("ascii", "replace")
    bits = _BITS.fullmatch(name)
    found = [f"{bits[1]}bit" if bits else name]
    found += [known for known in ("base64", "quoted-printable", "uuencode") if known in name and known != name]
    return tuple(found)


def transfer(raw: bytes, encoding: str) -> list[Reading]:
    """Decode a body; the first reading is the usual one, the others are what some client may see."""
    if encoding in IDENTITY:
        return [Reading(encoding or "7bit", raw)]
    if encoding == "base64":
        return base64_readings(raw)
    if encoding == "quoted-printable":
        return [_quoted_printable(raw)]
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue", "x-uu"):
        return _uuencoded(raw)
    return _unknown(raw, encoding)


def base64_readings(raw: bytes | memoryview) -> list[Reading]:
    """Decode a body in base64, which is not copied where it has no fault."""
    try:
        return [Reading("base64", sound_base64(raw))]
    except binascii.Error:
        return _loose_base64(bytes(raw))


def sound_base64(raw: bytes | memoryview) -> bytes:
    """Decode base64 without a fault, in lines or not; raise binascii.Error for any other."""
    try:  # many times as fast; what it takes, binascii takes too
        return pybase64.b64decode(raw, validate=True, ignorechars=b"\r\n")
    except binascii.Error:
        return binascii.a2b_base64(bytes(raw).translate(None, b"\r\n"), strict_mode=True)


def _loose_base64(raw: bytes) -> list[Reading]:
    """Read base64 that is not quite: junk skipped; on padding inside, both the end there and the going on."""
    junk = len(raw.translate(None, _NOT_JUNK))
    clean = raw.translate(None, _NOT_BASE64)
    if not junk and _well_ended(clean):
        return [Reading("base64", binascii.a2b_base64(clean))]
    if not junk and b"=" not in clean and len(clean) % 4 > 1:  # only its padding was forgotten
        return [Reading("base64", _unpadded(clean))]
    pieces = [piece for piece in re.split(rb"=+", clean) if piece]
    first = _unpadded(pieces[0]) if pieces else b""
    readings = [Reading("base64", first, (Symbol.BASE64_BAD,))]
    if len(pieces) > 1:
        readings.append(Reading("base64", b"".join(map(_unpadded, pieces)), (Symbol.BASE64_BAD,)))
        readings.append(Reading("base64", _unpadded(b"".join(pieces)), (Symbol.BASE64_BAD,)))
    if junk * 10 > len(raw):
        readings.append(Reading("8bit", raw, (Symbol.CTE_WRONG,)))
    return readings


def _well_ended(clean: bytes) -> bool:
    return len(clean) % 4 == 0 and b"=" not in clean[:-2] and not re.search(rb"=[^=]", clean[-2:])


def _unpadded(piece: bytes) -> bytes:
    whole = len(piece) - (len(piece) % 4 == 1)  # six bits alone make no octet
    return binascii.a2b_base64(piece[:whole] + b"=" * (-whole % 4))


def _quoted_printable(raw: bytes) -> Reading:
    if b"=" not in raw:
        return Reading("quoted-printable", raw)
    faults = (Symbol.QP_BAD,) if _BAD_QP.search(raw) else ()
    return Reading("quoted-printable", binascii.a2b_qp(_SOFT_BREAK.sub(b"=", raw)), faults)


def _uuencoded(raw: bytes) -> list[Reading]:
    readings = [Reading("x-uuencode", data, name=name) for name, data in uuencoded(raw)]
    return readings or [Reading("8bit", raw, (Symbol.CTE_WRONG,))]


def _unknown(raw: bytes, encoding: str) -> list[Reading]:
    readings = [Reading(encoding, raw, (Symbol.CTE_UNKNOWN,))]
    if looks_base64(raw):
        readings += base64_readings(raw)
    return readings


def looks_base64(raw: bytes) -> bool:
    """Tell whether a body that is not declared as base64 holds nothing else."""
    return bool(_ONLY_BASE64.match(raw[:4096] if len(raw) <= 4096 else raw[: raw.rfind(b"\n", 0, 4096) + 1]))


# --- encodings inside a text (threat 51) -----------------------------------------------------------------------------

_UU_BEGIN = re.compile(rb"^begin(-base64)?[ \t]+[0-7]{3,6}[ \t]+([^\r\n]*)\r?\n", re.MULTILINE)
_UU_END = re.compile(rb"^(?:end|====)[ \t]*\r?$", re.MULTILINE)
_YENC_BEGIN = re.compile(rb"^=ybegin ([^\r\n]*)\r?\n(?:=ypart [^\r\n]*\r?\n)?", re.MULTILINE)
_BINHEX_BEGIN = re.compile(
    rb"^\(This file must be converted with BinHex[^\r\n]*\r?\n\s*:", re.MULTILINE | re.IGNORECASE
)


def embedded(text: bytes) -> list[tuple[str, bytes, bytes]]:
    """Return (encoding, name, content) of the files that stand as uuencode, yEnc or BinHex in a text."""
    found = []
    if b"begin" in text:
        found += [("x-uuencode", name, data) for name, data in uuencoded(text)]
        if b"=ybegin" in text:
            found += [("yenc", name, data) for name, data in yencoded(text)]
    if b"BinHex" in text or b"binhex" in text:
        found += [("binhex", name, data) for name, data in binhexed(text)]
    return found


def uuencoded(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, content) of each uuencoded file; one without an end goes to the next or to the end."""
    found = []
    for body, begin in _bodies(text, _UU_BEGIN):
        end = _UU_END.search(body)
        body = body[: end.start()] if end else body
        data = base64_readings(body)[0].data if begin[1] else b"".join(map(_uu_line, body.splitlines()))
        if data:
            found.append((begin[2].strip(), data))
    return found


def _bodies(text: bytes, begin: re.Pattern[bytes]) -> list[tuple[bytes, re.Match[bytes]]]:
    starts = list(begin.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return [(text[match.end() : end], match) for match, end in zip(starts, ends, strict=False)]


def _uu_line(line: bytes) -> bytes:
    if not line or not 32 < line[0] <= 96:
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        count = (line[0] - 32) & 63
        try:
            return binascii.a2b_uu(line[: 1 + (count * 4 + 2) // 3])  # as uuencoders with a checksum column write it
        except binascii.Error:
            return b""


_YENC_SHIFT = bytes((octet - 42) & 255 for octet in range(256))


def yencoded(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, content) of each yEnc file (yenc.org, draft 1.3)."""
    found = []
    for body, begin in _bodies(text, _YENC_BEGIN):
        end = body.find(b"\n=yend")
        body = (body[:end] if end >= 0 else body).replace(b"\r", b"").replace(b"\n", b"")
        first, *escaped = body.split(b"=")
        plain = first + b"".join(bytes([(piece[0] - 64) & 255]) + piece[1:] for piece in escaped if piece)
        found.append((begin[1].partition(b"name=")[2].strip(), plain.translate(_YENC_SHIFT)))
    return found


_HQX = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_HQX_TO_BASE64 = bytes.maketrans(_HQX, _ALPHABET[26:52] + _ALPHABET[:26] + _ALPHABET[52:64])
_RUNS_MAX = 200_000_000  # octets: more than any mail's limit on what it decodes to
_NOT_HQX = bytes(set(range(256)) - set(_HQX))


def binhexed(text: bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, data fork) of each BinHex 4.0 file (RFC 1741); a damaged one gives what can be read."""
    found = []
    for body, _ in _bodies(text, _BINHEX_BEGIN):
        packed = body.partition(b":")[0].translate(None, _NOT_HQX).translate(_HQX_TO_BASE64)
        data = _run_lengths(_unpadded(packed))
        if len(data) > 20 and data[0] < 64:
            name = data[1 : 1 + data[0]]
            sizes = data[12 + data[0] : 16 + data[0]]
            start = 22 + data[0]
            found.append((name, data[start : start + int.from_bytes(sizes, "big")]))
    return found


def _run_lengths(data: bytes) -> bytes:
    """Undo BinHex's runs: X 0x90 n is n times X, 0x90 0 is a plain 0x90."""
    first, *runs = data.split(b"\x90")
    out = bytearray(first)
    for run in runs:
        count = run[0] if run else 0
        out += b"\x90" if count == 0 else out[-1:] * (count - 1)
        out += run[1:]
        if len(out) > _RUNS_MAX:
            break
    return bytes(out)


# --- charsets --------------------------------------------------------------------------------------------------------


def text(raw: bytes, charset: str = "") -> str:
    """Decode for people: by its mark or its charset if known, else UTF-8, else Windows-1252; bad octets replaced."""
    if raw.startswith(UTF_16):
        return raw.decode("utf-16", "replace")
    if is_ascii(raw, charset):
        return raw.decode("ascii")
    name = charsets.codec(charset)
    if name in (None, "ascii"):
        return guessed(raw)
    try:
        found = raw.decode(name or "utf-8", "replace")
    except (UnicodeError, ValueError, LookupError):
        return guessed(raw)
    return _whole(found) if name == "utf-7" else found


def is_ascii(raw: bytes, charset: str) -> bool:
    """Tell whether a text is ASCII, as what is said of it allows."""
    return raw.isascii() and charsets.codec(charset) in (None, "ascii", "utf-8", "iso8859-1", "cp1252")


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which UTF-7 can spell: no text has them, and none can be handed on."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def guessed(raw: bytes) -> str:
    """Decode octets of no declared charset."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def charset_fault(raw: bytes, charset: str) -> Symbol | None:
    """Tell whether a text does not fit its declared charset; octets above 127 without a charset are no fault here."""
    if not charsets.known(charset):
        return Symbol.CHARSET_UNKNOWN
    return None if charsets.fits(raw, charset) else Symbol.CHARSET_BAD
