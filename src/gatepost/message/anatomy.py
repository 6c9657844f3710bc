"""What a mail is made of: plain facts about its headers, parts, archive members and links, for filters to read.

Everything here came from a stranger. Texts may hold any character; escape them before they are shown.
"""

from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property

import msgspec

HEAD_BYTES = 4096
"""Octets of decoded content that a part or a member keeps as its `head`."""

REPORT_BYTES = 65_536
"""What a part keeps that reports on deliveries or complains: some hundred recipients."""

TEXT_BYTES = 1_048_576
"""Octets of decoded content that a text part keeps as its `text`; all of them together at most four times this."""

MACROS = "application/vnd.ms-office.vbaproject"
"""The media type that an Office file with macros has beside its own; rules for types can name it."""


class Symbol(StrEnum):
    """What can be wrong with a mail's form. A defect is a fact; whether it matters is a filter's question."""

    # The header of the mail or of a part.
    HEADER_SYNTAX = "HEADER_SYNTAX"  # a line in the header that is no field
    HEADER_DUPLICATE = "HEADER_DUPLICATE"  # Content-Type, -Disposition or -Transfer-Encoding stands there twice
    HEADER_LIMIT = "HEADER_LIMIT"  # larger, or more fields, than is looked into

    # The structure.
    BOUNDARY_MISSING = "BOUNDARY_MISSING"  # a multipart without a boundary parameter
    BOUNDARY_BAD = "BOUNDARY_BAD"  # empty, longer than 2,048, with controls, or one that begins like an outer one
    BOUNDARY_NEVER = "BOUNDARY_NEVER"  # the boundary does not occur
    BOUNDARY_OPEN = "BOUNDARY_OPEN"  # the closing boundary is missing
    HIDDEN_PART = "HIDDEN_PART"  # a part in a preamble, in an epilogue, or seen under one reading only
    STRUCTURE_LIMIT = "STRUCTURE_LIMIT"  # more parts, or deeper, than is looked into
    PARTIAL = "PARTIAL"  # message/partial: a piece of a mail (threat 53)
    EXTERNAL_BODY = "EXTERNAL_BODY"  # message/external-body: content that is elsewhere (threat 53)

    # The encodings.
    CTE_UNKNOWN = "CTE_UNKNOWN"  # a Content-Transfer-Encoding that nobody knows
    CTE_WRONG = "CTE_WRONG"  # not allowed for this type, or not what the content is
    BASE64_BAD = "BASE64_BAD"  # octets that are no base64, padding inside, or a broken end
    QP_BAD = "QP_BAD"  # "=" followed by neither two hex digits nor a line end
    CHARSET_UNKNOWN = "CHARSET_UNKNOWN"
    CHARSET_BAD = "CHARSET_BAD"  # the text does not fit its declared charset
    BODY_8BIT = "BODY_8BIT"  # octets above 127 where 7bit was declared, or nothing
    BODY_NOT_7BIT = "BODY_NOT_7BIT"  # octets above 127 where 7bit or US-ASCII was said in so many words
    TEXT_ENCODED = "TEXT_ENCODED"  # uuencode, yEnc or BinHex inside a text


class Defect(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing wrong with the form. `part` is the index of the part in `Anatomy.parts` (0: the mail itself)."""

    symbol: Symbol
    text: str
    part: int = 0


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A field as it stands: `name` as spelled, `value` what follows the colon, folds kept, the last line end off."""

    name: bytes
    value: bytes


class Kind(StrEnum):
    """What an entry of an archive is. Nothing of it is ever written to disc."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"  # symbolic or hard
    DEVICE = "device"  # or fifo, socket


class Member(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """An entry of an archive, of winmail.dat, or of another container; members of members are in the same list.

    `names` are all plausible names (as stored, both names where two records differ, and normalised forms);
    `path` is the chain for people, without the part's own name ("inner.zip > run.exe"). `type` is sniffed, "" when
    the content was not read (`read` False: encrypted, beyond a limit, or in a format that can't be unpacked here);
    then `sha256` and `head` are empty too and `size` is what the archive claims.
    """

    names: tuple[str, ...]
    path: str
    size: int = 0
    type: str = ""
    sha256: str = ""  # hex, lower case
    head: bytes = b""
    kind: Kind = Kind.FILE
    encrypted: bool = False
    macros: bool = False  # an Office document with macros, or the part of one that holds them
    read: bool = True
    depth: int = 1  # 1: directly in the part


class Part(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One part under one reading. Where the octets allow several readings, each reading is a part of its own.

    Index 0 is the mail itself. `names` are all plausible file names, raw and normalised; empty when it has none. A
    rule that denies hits if any of them matches; one that allows only if all do (threats F6). `types` are all declared
    media types, lower case, without parameters; never empty (RFC 2045 5.2 default). `sniffed` is libmagic's media type
    of attachment-like parts, "" for plain inline text and for containers. `size`, `sha256`, `head`, `text` are of the
    decoded content; containers (`multipart`, `message/rfc822`) have none of them.
    """

    index: int
    parent: int  # -1 for the mail itself
    depth: int
    headers: tuple[Header, ...]
    types: tuple[str, ...]
    names: tuple[str, ...] = ()
    shown: str = ""  # the name that a mail client shows, "" if none
    disposition: str = ""  # "attachment", "inline", or as given, lower case; "" when absent
    encoding: str = ""  # the transfer encoding that this reading takes: "7bit", "base64", "x-uuencode" ...
    charset: str = ""
    content_id: str = ""
    container: bool = False
    attachment: bool = False  # a client lists it among the attachments
    body: bool = False  # a text that clients show as the mail's own, also where it has a file name
    hidden: bool = False  # most clients don't show it: preamble, epilogue, or an unusual reading
    sniffed: str = ""
    size: int = 0
    sha256: str = ""  # hex, lower case
    head: bytes = b""
    text: bytes = b""  # decoded content of text parts, raw charset, cut to TEXT_BYTES
    start: int = 0  # offsets of the raw body of the part in the mail, -1 when it is inside decoded content
    end: int = 0
    members: tuple[Member, ...] = ()
    encrypted: bool = False  # an archive or document with a password, in whole or in some members
    macros: bool = False  # an Office document with macros, or an archive that holds one
    sealed: bool = False  # S/MIME enveloped or PGP: meant for the recipient's eyes only
    signed: bool = False  # S/MIME or PGP signed: rewriting it would break the signature (threat 64)


class Source(StrEnum):
    """Where a link was found."""

    TEXT = "text"
    HTML = "html"  # an attribute of an element
    REDIRECT = "redirect"  # inside a parameter of another link
    FILE = "file"  # in an attached document
    IMAGE = "image"  # in a QR code
    SUBJECT = "subject"
    NAME = "name"  # a host alone in a text, of which mail programs make a link


class Link(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A URL. `host` in A-labels, lower case, or an IP address in its usual form ("127.0.0.1", "::1").

    `domain` is the registered domain (one label below the public suffix), or the host itself for addresses and
    suffixes. `url` is as found, entities resolved, cut to 1,000 characters.
    """

    host: str
    domain: str
    url: str
    source: Source
    part: int = 0


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What lists show of a mail. Decoded texts, one line each, cut to 512 characters; never fails to be made.

    `sent` is the Date header in epoch milliseconds, None when absent or unreadable; `message_id` with its <>, "" when
    absent; `important` what its sender said of it; `tls_waived`: it says `TLS-Required: No` (RFC 8689 3).
    """

    message_id: str = ""
    subject: str = ""
    from_: str = ""
    to: str = ""
    cc: str = ""
    sent: int | None = None
    has_attachments: bool = False
    bcc: str = ""
    important: bool = False
    tls_waived: bool = False


class Anatomy(msgspec.Struct, frozen=True, array_like=True, kw_only=True, dict=True):
    """A mail taken apart. Made from any octets whatever; limits that were met are told, never raised.

    `unscannable` says, in sentences that name the part, what could not be looked into (limits, damaged or unknown
    archives); empty when everything was. `encrypted` is true when an archive or document needs a password: names were
    looked at as far as they are readable, content was not. `sealed`: see `Part.sealed`.

    `asides` are what leads somewhere though nobody wrote it as a link of this mail: bare hosts, what the subject names,
    and the links of files inside archives and documents. Lists ask about them; they say nothing of how a mail is
    written.
    """

    headers: tuple[Header, ...]  # the mail's own
    header_end: int  # offset of the body
    size: int
    parts: tuple[Part, ...]
    links: tuple[Link, ...] = ()
    asides: tuple[Link, ...] = ()
    defects: tuple[Defect, ...] = ()
    unscannable: tuple[str, ...] = ()
    encrypted: bool = False
    sealed: bool = False
    summary: Summary = Summary()

    @cached_property
    def fields(self) -> dict[bytes, list[bytes]]:
        """The raw values of the mail's fields by their names in lower case, in order; made once, for all to read."""
        found: dict[bytes, list[bytes]] = {}
        for header in self.headers:
            found.setdefault(header.name.lower(), []).append(header.value)
        return found

    @cached_property
    def returned(self) -> frozenset[int]:
        """The parts of the mails that a report brings back, as they came or cut short (RFC 6522); made once."""
        found: set[int] = set()
        for part in self.parts:
            above = self.parts[part.parent] if part.parent >= 0 else None
            if part.parent in found or (
                above is not None and "multipart/report" in above.types and part.types[0].startswith("message/")
            ):
                found.add(part.index)
        return frozenset(found)

    @property
    def leads(self) -> tuple[Link, ...]:
        """Whatever a reader may follow: the links, then the asides."""
        return self.links + self.asides

    def values(self, name: bytes) -> Sequence[bytes]:
        """Return the raw values of all the mail's fields of that name (given in lower case), in order."""
        return self.fields.get(name, ())
