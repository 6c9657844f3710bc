"""Headers: octets to fields, encoded words to text, fields to the summary that lists show.

RFC 5322 2.2, RFC 2047. Lenient and guarded: no octets whatever make these functions raise (libraries 14).
"""

import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import mktime_tz, parsedate_tz
from itertools import chain

import msgspec

from gatepost.message import charsets, decode
from gatepost.message.anatomy import Header, Summary, Symbol

SHOWN_MAX = 512
_RAW_MAX = 8192  # of a field's value that is decoded for showing
_BEGINNING = re.compile(rb"(?:>?From [^\n]*\n)?[!-9;-~]+[ \t]*:")  # of an mbox, too
_END = re.compile(rb"\r?\n\r?\n|\r\r")
_WORD = re.compile(r"=\?([^?\s]{1,80})\?([BbQq])\?([^?]*)\?=")
_GAP = re.compile(r"(\?=)[ \t\r\n]+(?==\?[^?\s]{1,80}\?[BbQq]\?)")
_PUNCTUATION = re.compile(rb"\\.|[()]", re.DOTALL)
_LF, _CR = b"\n\r"  # as numbers: octets that are sought in octets are taken for a number first, in vain
_BLANKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


class Block(msgspec.Struct, frozen=True):
    """A header read: its fields, where the body starts, what is wrong.

    `junk` is the offset of the first line that is no field, None if all are: there some clients begin the body.
    `junk_fields` is how many fields stand before it.
    """

    fields: tuple[Header, ...]
    body: int
    faults: tuple[Symbol, ...] = ()
    junk: int | None = None
    junk_fields: int = 0


def begins(data: bytes) -> bool:
    """Tell whether octets begin as a mail does, with a field."""
    return _BEGINNING.match(data) is not None


def split(data: bytes, start: int, end: int, max_bytes: int, max_fields: int) -> Block:
    """Read the header that begins at `start`; the body begins after the first empty line, or at `end`."""
    stop, body = _extent(data, start, end)
    faults: list[Symbol] = []
    if stop - start > max_bytes:
        stop = data.rfind(b"\n", start, start + max_bytes) + 1 or start + max_bytes
        faults.append(Symbol.HEADER_LIMIT)
    fields, junk, junk_fields = _fields(data, start, stop)
    if len(fields) > max_fields:
        fields = fields[:max_fields]
        faults.append(Symbol.HEADER_LIMIT)
    if junk is not None:
        faults.append(Symbol.HEADER_SYNTAX)
    return Block(tuple(fields), body, tuple(faults), junk, junk_fields)


def _extent(data: bytes, start: int, end: int) -> tuple[int, int]:
    if data.startswith(b"\r\n", start, end):
        return start, start + 2
    if data.startswith((b"\n", b"\r"), start, end):
        return start, start + 1
    strict = data.find(b"\r\n\r\n", start, end)
    if strict >= 0 and data.find(b"\n\n", start, strict) < 0:
        return strict + 2, strict + 4
    empty = _END.search(data, start, end)
    return (empty.end(), empty.end()) if empty else (end, end)


def _fields(data: bytes, start: int, stop: int) -> tuple[list[Header], int | None, int]:
    """Return the fields, the offset of the first line that is none, and how many fields stand before that."""
    block = data[start:stop]
    if _LF not in block:
        block = block.replace(b"\r", b"\n")
    usual = _USUAL_FIELD.findall(block)
    if sum(map(len, chain.from_iterable(usual))) + 2 * len(usual) == len(block):  # nothing stands between them
        return [Header(name, value[:-1] if value[-1:] == b"\r" else value) for name, value in usual], None, 0
    fields: list[Header] = []
    junk, junk_fields, at = None, 0, 0
    for match in _FIELD.finditer(block):
        begin = match.start()
        if begin > at and junk is None and _is_junk(block[at:begin], at):
            junk, junk_fields = start + at, len(fields)
        value = match[2]
        fields.append(Header(match[1], value[:-1] if value.endswith(b"\r") else value))
        at = match.end()
    if junk is None and _is_junk(block[at:], at):
        junk, junk_fields = start + at, len(fields)
    return fields, junk, junk_fields


_USUAL_FIELD = re.compile(rb"^([^\x00-\x20:\x7f]+):([^\n]*+(?:\n[ \t][^\n]*+)*+)\n", re.MULTILINE)
# The value goes on over lines that begin with a blank; possessive, hence linear.
_FIELD = re.compile(rb"^([^\x00-\x20:\x7f]+)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)", re.MULTILINE)
_MBOX = (b"From ", b">From ")


def _is_junk(lines: bytes, at: int) -> bool:
    """Tell whether what stands between two fields is more than line ends and the first line of an mbox."""
    if at == 0 and lines.startswith(_MBOX):
        lines = lines.partition(b"\n")[2]
    return bool(lines.strip(b"\r\n"))


def unfold(value: bytes) -> bytes:
    """Return a field's value on one line, without the blanks around it."""
    if _LF in value or _CR in value:
        value = value.replace(b"\r", b"").replace(b"\n", b"")
    return value.strip(b" \t")


def uncommented(value: bytes) -> bytes:
    """Return a structured field without its comments (RFC 5322 3.2.2), which may nest; one without an end is kept."""
    kept: list[bytes] = []
    depth = begin = at = 0
    for match in _PUNCTUATION.finditer(value):
        if match[0] == b"(":
            if not depth:
                begin = match.start()
            depth += 1
        elif match[0] == b")" and depth:
            depth -= 1
            if not depth:
                kept.append(value[at:begin])
                at = match.end()
    return b"".join([*kept, value[at:]])


def readable(value: bytes) -> str:
    """Decode a field's value for people: unfolded, encoded words decoded, controls and line ends made blanks.

    Reads at most 8 KB of it and returns at most 512 characters.
    """
    if not value:
        return ""
    if value.isascii() and value.find(b"=?") < 0:
        shown = value[:_RAW_MAX].decode("ascii")
        if shown.isprintable():
            return shown.strip()[:SHOWN_MAX]
    else:
        shown = words(decode.text(unfold(value[:_RAW_MAX])))
    return _BLANKS.sub(" ", shown).strip()[:SHOWN_MAX]


def whole(value: bytes) -> str:
    """Decode a field's value for machines: unfolded, encoded words decoded, every sign of it kept."""
    return words(decode.text(unfold(value)))


def words(value: str) -> str:
    """Decode the encoded words of a text (RFC 2047), wherever they stand; what is none stays as it is.

    Neighbours of one charset are decoded as one, as many mailers split a character between two words.
    """
    if "=?" not in value:
        return value
    value = _GAP.sub(r"\1", value)
    out: list[str] = []
    pending, charset, at = b"", "", 0
    for match in _WORD.finditer(value):
        label = match[1].partition("*")[0].lower()  # RFC 2231 5: the language
        if match.start() != at or label != charset:
            out += [decode.text(pending, charset), value[at : match.start()]]
            pending, charset = b"", label
        pending += _word(match[2], match[3])
        at = match.end()
    return "".join([*out, decode.text(pending, charset), value[at:]])


def _word(encoding: str, content: str) -> bytes:
    raw = content.encode("utf-8", "surrogateescape")
    if encoding in "Qq":
        return binascii.a2b_qp(raw, header=True)
    return decode.transfer(raw, "base64")[0].data


def sent(value: bytes) -> int | None:
    """Return a Date field as epoch milliseconds, None if it can't be read; ISO 8601 can."""
    text = unfold(value)[:200].decode("ascii", "replace")
    try:
        parsed = parsedate_tz(text)
        return _iso(text) if parsed is None else int(mktime_tz(parsed)) * 1000
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def _iso(text: str) -> int:
    read = datetime.fromisoformat(text.strip())
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()) * 1000


# RFC 2156 5.3.6 and 5.3.8, and what mail clients write beside them.
_IMPORTANT: dict[bytes, bytes | tuple[bytes, ...]] = {
    b"importance": b"high",
    b"priority": b"urgent",
    b"x-priority": (b"1", b"2"),
    b"x-msmail-priority": b"high",
}


def summary(fields: Sequence[Header], has_attachments: bool) -> Summary:
    """Return what lists show of a mail; of doubled fields the first counts."""
    first: dict[bytes, bytes] = {}
    for field in fields:
        first.setdefault(field.name.lower(), field.value)
    date = first.get(b"date")
    return Summary(
        message_id=readable(first.get(b"message-id", b"")),
        subject=readable(first.get(b"subject", b"")),
        from_=readable(first.get(b"from", b"")),
        to=readable(first.get(b"to", b"")),
        cc=readable(first.get(b"cc", b"")),
        sent=None if date is None else sent(date),
        has_attachments=has_attachments,
        bcc=readable(first.get(b"bcc", b"")),
        important=any(
            first[name].strip().lower().startswith(words) for name, words in _IMPORTANT.items() if name in first
        ),
        tls_waived=first.get(b"tls-required", b"").strip().lower() == b"no",
    )


_ANY_WORD = re.compile(rb"=\?([^?\s*]{1,80})(?:\*[^?\s]{0,20})?\?([^?\s])\?([^?\r\n]*)\?=")
_WORD_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_WORD_BAD_Q = re.compile(rb"=(?![0-9A-Fa-f]{2})")


def word_fault(value: bytes) -> str:
    """Say what is wrong with the first broken encoded word of a value (RFC 2047 2, 4); "" when nothing is.

    Charsets that nobody knows, encodings other than B and Q, and what is no base64 or Q. Missing padding, blanks, and
    characters cut in two are what careless programs write, and no fault here.
    """
    for charset, encoding, text in _ANY_WORD.findall(value[:_RAW_MAX]) if b"=?" in value else ():
        if not charsets.known(charset.decode("latin-1")):
            return "an unknown charset"
        if encoding not in b"BbQq":
            return "an unknown encoding"
        if encoding in b"Qq" and _WORD_BAD_Q.search(text):
            return "broken Q"
        packed = b"".join(text.split())
        if encoding in b"Bb" and (not _WORD_BASE64.fullmatch(packed) or len(packed.rstrip(b"=")) % 4 == 1):
            return "broken base64"
    return ""
