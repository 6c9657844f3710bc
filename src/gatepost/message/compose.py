"""Builds mails: what people and programs send, our own notices, samples. Equal letters give equal octets."""

import binascii
import hashlib
import html
import re
from base64 import encodebytes
from collections.abc import Iterator, Sequence
from functools import cached_property
from urllib.parse import unquote

import msgspec

from gatepost.message import fields
from gatepost.message.flowed import flow
from gatepost.message.media import read_media_type
from gatepost.model.address import BadAddress, parse_address
from gatepost.model.outgoing import NORMAL
from gatepost.model.problem import Kind, Problem

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}\Z")  # RFC 5322 2.2 (threat 119, F13)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MESSAGE_ID = re.compile(r"[!-;=?-~]{1,400}@[!-;=?A-~]{1,255}\Z")
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,200}\Z")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ODD = bytes([*range(1, 9), 11, 12, *range(14, 32), 127])
_LONGEST = {7: 76, 8: 998}  # octets of a line that is sent as it is: in plain ASCII, in 8bit
_OURS = frozenset(
    {"from", "to", "cc", "bcc", "subject", "reply-to", "date", "message-id", "auto-submitted", "mime-version"}
    | {"content-type", "content-disposition", "content-transfer-encoding", "content-id", "received", "return-path"}
    | {"sender", "in-reply-to", "references", "importance", "x-priority", "disposition-notification-to"}
)


class Party(msgspec.Struct, frozen=True):
    """A mailbox with the name that stands before it."""

    address: str
    name: str = ""

    @property
    def shown(self) -> str:
        """The mailbox as people write it; a name is quoted where its signs would be misread."""
        if not self.name:
            return self.address
        name = self.name
        if any(char in '()<>@,;:\\"[]' for char in name):
            name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
        return f"{name} <{self.address}>"


class Attachment(msgspec.Struct, frozen=True):
    """A file to send along; `type` is its media type, with or without parameters.

    With a `cid` the HTML shows it as `cid:...`; one that it does not show stands beside the text.
    """

    name: str
    data: bytes
    type: str = "application/octet-stream"
    cid: str = ""
    description: str = ""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail shall say. `date` in epoch milliseconds; `message_id`, `in_reply_to`, `references` without brackets.

    With both texts the mail is a multipart/alternative. `extra` are further fields; those that this module writes
    itself are refused there. A blind copy is the envelope's matter: `bcc` is for drafts, which must remember it.
    """

    sender: Party
    to: Sequence[Party] = ()
    cc: Sequence[Party] = ()
    bcc: Sequence[Party] = ()
    reply_to: Sequence[Party] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    extra: Sequence[tuple[str, str]] = ()
    date: int
    message_id: str
    in_reply_to: str = ""
    references: Sequence[str] = ()
    priority: int = NORMAL
    receipt_to: Party | None = None  # who wants to hear that it was read (RFC 8098)
    automatic: str = ""  # Auto-Submitted (RFC 3834): "auto-generated", "auto-replied"

    @property
    def size(self) -> int:
        """How much there is to say: characters and octets, before they are coded."""
        files = sum(len(each.data) + len(each.name) + len(each.description) for each in self.attachments)
        return len(self.text or "") + len(self.html or "") + sum(len(each.name) for each in self.parties) + files

    @property
    def parties(self) -> list[Party]:
        return [self.sender, *self.to, *self.cc, *self.bcc, *self.reply_to]

    @property
    def smtputf8(self) -> bool:
        """Whether an address needs RFC 6531; every hop that can do it takes 8bit as well."""
        return not all(party.address.isascii() for party in self.parties)


class _Part(msgspec.Struct, frozen=True):
    """A MIME entity: its own fields, and its octets or what it is made of."""

    fields: list[str]
    data: bytes = b""
    parts: Sequence["_Part"] = ()
    boundary: str = ""


def compose(letter: Letter) -> bytes:
    """Return the mail with CRLF lines; raise Problem (MALFORMED) that points at the member at fault."""
    head = "".join([*_head(letter), "MIME-Version: 1.0\r\n"]).encode()
    return head + b"".join(_octets(_Tree(letter).root()))


# The header.


def _head(letter: Letter) -> Iterator[str]:
    yield _boxes("From", [letter.sender])
    if not (letter.to or letter.cc):
        yield "To: undisclosed-recipients:;\r\n"
    for name, parties in (("To", letter.to), ("Cc", letter.cc), ("Bcc", letter.bcc), ("Reply-To", letter.reply_to)):
        if parties:
            yield _boxes(name, parties)
    yield fields.text("Subject", _line(letter.subject, "subject"))
    yield fields.fold("Date", [fields.date(letter.date)])
    yield fields.fold("Message-ID", [_message_id(letter.message_id, "message_id")])
    if letter.in_reply_to:
        yield fields.fold("In-Reply-To", [_message_id(letter.in_reply_to, "in_reply_to")])
    if letter.references:
        yield fields.fold("References", [_message_id(each, "references") for each in letter.references])
    yield from _wishes(letter)
    yield from _extra(letter.extra)


def _wishes(letter: Letter) -> Iterator[str]:
    if letter.priority != NORMAL:
        yield f"Importance: {'high' if letter.priority < NORMAL else 'low'}\r\n"
        yield f"X-Priority: {letter.priority}\r\n"
    if letter.receipt_to:
        yield _boxes("Disposition-Notification-To", [letter.receipt_to])
    if letter.automatic:
        yield fields.text("Auto-Submitted", _line(letter.automatic, "automatic"))


def _extra(extra: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, value in extra:
        if not _FIELD_NAME.match(name):
            raise Problem(Kind.MALFORMED, "a header name is malformed", pointer="/headers")
        if name.lower() in _OURS:
            raise Problem(Kind.MALFORMED, f"the header {name} is written by the server", pointer="/headers")
        yield fields.text(name, _line(value, "headers"))


def _boxes(name: str, parties: Sequence[Party]) -> str:
    member = name.lower()
    return fields.addresses(name, [_box(party, member) for party in parties])


def _box(party: Party, member: str) -> tuple[str, str]:
    _line(party.address, member)
    try:
        return _line(party.name, member), parse_address(party.address).text
    except BadAddress as error:
        raise Problem(Kind.MALFORMED, f"{member}: {error}", pointer=f"/{member}") from error


def _line(text: str, member: str) -> str:
    """Return a text that may stand in a field; nobody gets a second line into one (threat 119)."""
    if _CONTROL.search(text):
        raise Problem(Kind.MALFORMED, f"{member} contains a character that is not allowed", pointer=f"/{member}")
    return text


def _message_id(text: str, member: str) -> str:
    if not _MESSAGE_ID.match(text):
        raise Problem(Kind.MALFORMED, "a Message-ID is malformed", pointer=f"/{member}")
    return f"<{text}>"


# The body.


class _Tree:
    """Builds the structure: alternatives side by side, inline files beside the HTML, attachments around all."""

    def __init__(self, letter: Letter) -> None:
        self._letter = letter
        self._mark = hashlib.sha256(letter.message_id.encode("utf-8", "replace")).hexdigest()[:24]
        self._made = 0

    def root(self) -> _Part:
        letter = self._letter
        shown = [each for each in letter.attachments if each.cid and self._refers(each.cid)]
        rest = [each for each in letter.attachments if each not in shown]
        said = self._said(shown)
        return self._multipart("mixed", [said, *map(_attached, rest)]) if rest else said

    def _refers(self, cid: str) -> bool:
        """Tell whether the HTML shows a file: programs hide those that stand beside it and are not named in it."""
        return self._letter.html is not None and f"cid:{cid}".lower() in self._plain_html

    @cached_property
    def _plain_html(self) -> str:
        """The HTML as addresses in it are meant, in lower case."""
        return unquote(html.unescape(self._letter.html or "")).lower()

    def _said(self, shown: Sequence[Attachment]) -> _Part:
        letter = self._letter
        if letter.html is None:
            return self._text(letter.text or "", "plain")
        rich = self._text(letter.html, "html")
        if shown:
            rich = self._multipart("related", [rich, *map(_attached, shown)], ['type="text/html"'])
        if letter.text is None:
            return rich
        return self._multipart("alternative", [self._text(letter.text, "plain"), rich])

    def _multipart(self, kind: str, parts: Sequence[_Part], more: Sequence[str] = ()) -> _Part:
        self._made += 1
        boundary = f"=_{self._mark}_{self._made}"  # "=_" stands in no coded text (RFC 2045 6.7)
        pieces = [f"multipart/{kind};", *(f"{each};" for each in more), f'boundary="{boundary}"']
        return _Part([fields.fold("Content-Type", pieces)], parts=parts, boundary=boundary)

    def _text(self, text: str, kind: str) -> _Part:
        member = "html" if kind == "html" else "text"
        if "\x00" in text or (not text.isascii() and _SURROGATE.search(text)):
            raise Problem(Kind.MALFORMED, f"{member} contains a character that is not allowed", pointer=f"/{member}")
        said = text.replace("\r\n", "\n").replace("\r", "\n")
        flowed = flow(said) if kind == "plain" else None
        data = (said if flowed is None else flowed).replace("\n", "\r\n").encode()
        data += b"" if data.endswith(b"\r\n") else b"\r\n"
        charset = "us-ascii" if data.isascii() else "utf-8"
        form = "" if flowed is None else "; format=flowed"
        way, coded = _coded(data, 8 if self._letter.smtputf8 else 7, self._mark.encode())
        return _Part([f"Content-Type: text/{kind}; charset={charset}{form}\r\n", _way(way)], coded)


def _coded(data: bytes, bits: int, mark: bytes) -> tuple[str, bytes]:
    """Return how a text is sent, and so coded: as it is where every hop can take that, else coded.

    Quoted-printable while that can be read by eye, else base64.
    """
    plain = (bits == 8 or data.isascii()) and len(data.translate(None, _ODD)) == len(data) and mark not in data
    if plain and max(map(len, data.split(b"\r\n"))) <= _LONGEST[bits]:
        return ("7bit" if data.isascii() else "8bit"), data
    quoted = b"\r\n".join(_quoted(line) for line in data.split(b"\r\n"))
    based = _based(data)
    readable = 2 * len(quoted) <= 3 * len(based)
    return ("quoted-printable", quoted) if readable else ("base64", based)


def _quoted(line: bytes) -> bytes:
    return binascii.b2a_qp(line, istext=True).replace(b"\n", b"\r\n")


def _based(data: bytes) -> bytes:
    return encodebytes(data).replace(b"\n", b"\r\n")


def _way(way: str) -> str:
    return f"Content-Transfer-Encoding: {way}\r\n"


def _attached(file: Attachment) -> _Part:
    media = read_media_type(file.type)
    if media is None:
        raise Problem(Kind.MALFORMED, "a media type is malformed", pointer="/attachments")
    if file.cid and not _CONTENT_ID.match(file.cid):
        raise Problem(Kind.MALFORMED, "a Content-ID is malformed", pointer="/attachments")
    name = fields.parameter("filename", _line(file.name, "attachments").strip() or "file")
    if media[0].startswith(("multipart/", "message/")):  # may not be encoded (RFC 2045 6.4), so it goes as a file
        media = ("application/octet-stream",)
    head = [
        fields.fold("Content-Type", [*(f"{each};" for each in media[:-1]), media[-1]]),
        _way("base64"),
        fields.fold("Content-Disposition", [f"{'inline' if file.cid else 'attachment'};", *name]),
    ]
    if file.cid:
        head.append(fields.fold("Content-ID", [f"<{file.cid}>"]))
    if file.description:
        head.append(fields.text("Content-Description", _line(file.description, "attachments")))
    return _Part(head, _based(file.data))


def _octets(part: _Part) -> Iterator[bytes]:
    yield "".join([*part.fields, "\r\n"]).encode()
    yield part.data
    for inner in part.parts:
        yield f"--{part.boundary}\r\n".encode()
        yield from _octets(inner)
        yield b"\r\n"
    if part.parts:
        yield f"--{part.boundary}--\r\n".encode()
