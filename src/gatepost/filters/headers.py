"""Asks whether a mail's header is one that no decent program writes.

Chosen so that real mail passes: what old, odd or careless programs are known to write (no Message-ID, no To, long
lines, unknown fields, a Date that is off) is no ground.
"""

import re
from collections.abc import Hashable, Iterable, Iterator
from typing import ClassVar

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.anatomy import Anatomy, Symbol
from gatepost.message.authors import authors
from gatepost.message.edit import CONNECTOR
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

# RFC 5322 3.6: these stand there once at most.
_SINGLE = frozenset(
    {b"date", b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"message-id", b"in-reply-to", b"references"}
    | {b"subject"}
)
_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])
# An address somewhere in the field; a null or a bare name is none.
_ADDRESS = re.compile(rb"[^\s<>@,;:\"()\[\]]@(?:[^\s<>@,;:\"()\[\]]|\[)|\"@")


class HeaderOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "utf8": "true: UTF-8 in a header is no fault in a mail without SMTPUTF8 either (RFC 6532)",
    }
    utf8: bool = False


class Headers:
    """Is the header broken?

    Grounds: no From or Date; one that is empty or can't be read; several authors and no Sender; two of a field that may
    stand there once; octets above 127 in a mail without SMTPUTF8 (`utf8 = true` lets UTF-8 pass); control characters;
    a line that is no field; two Content-Type, Content-Disposition or Content-Transfer-Encoding fields; a header beyond
    the limits.
    """

    name = "headers"
    cost = Cost.PARSE
    anywhere = True
    Options = HeaderOptions

    def __init__(self, options: HeaderOptions, tools: Tools) -> None:
        self._utf8 = options.utf8

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        anatomy = await mail.anatomy()
        utf8 = self._utf8 or mail.envelope.smtputf8
        dated = mail.envelope.client.login is not None  # who signs in is given a Date (RFC 6409 8.2)
        return [*_counted(anatomy, dated), *_read(anatomy), *_octets(anatomy, utf8), *_defects(anatomy)]


def _counted(anatomy: Anatomy, dated: bool) -> Iterator[Finding]:
    fields = anatomy.fields
    for name in (b"from",) if dated else (b"from", b"date"):
        if name not in fields:
            yield _finding(f"MISSING_{name.decode().upper()}", f"there is no {name.decode().capitalize()} field")
    for name in sorted(name for name in _SINGLE & fields.keys() if len(fields[name]) > 1):
        shown = name.decode().title()
        yield _finding(f"DUPLICATE_{shown.upper().replace('-', '_')}", f"{len(fields[name])} {shown} fields")


def _read(anatomy: Anatomy) -> Iterator[Finding]:
    for value in anatomy.values(b"from"):
        if not _ADDRESS.search(value):
            yield _finding("BAD_FROM", f"the From field names no address: {_shown(value)}")
    if any(b"," in value for value in anatomy.values(b"from")) and not anatomy.values(b"sender"):
        several = set(authors(anatomy))
        if len(several) > 1:  # RFC 5322 3.6.2
            yield _finding("MISSING_SENDER", f"{len(several)} authors and no Sender field")
    dates = anatomy.values(b"date")
    if dates and anatomy.summary.sent is None:
        yield _finding("BAD_DATE", f"the Date field is no date: {_shown(dates[0])}")


def _octets(anatomy: Anatomy, utf8: bool) -> Iterator[Finding]:
    fields = [header.name + b":" + header.value for header in anatomy.headers]
    all_of_them = b"\r\n".join(fields)
    if not all_of_them.isascii() and not (utf8 and _is_utf8(all_of_them)):
        field = next(field for field in fields if not field.isascii() and not (utf8 and _is_utf8(field)))
        yield _finding("HEADER_8BIT", f"octets above 127: {_shown(field)}")
    if _controls(all_of_them):
        field = next(field for field in fields if _controls(field))
        yield _finding("HEADER_CONTROL", f"control characters: {_shown(field)}")


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _controls(octets: bytes) -> bool:
    """Tell whether there are control characters other than TAB and the line ends of folds."""
    ends = octets.count(b"\r\n")
    odd_ends = not ends == octets.count(b"\r") == octets.count(b"\n")
    return odd_ends or len(octets.translate(None, _CONTROLS)) < len(octets)


def _defects(anatomy: Anatomy) -> Iterator[Finding]:
    for defect in anatomy.defects:
        if defect.symbol is Symbol.HEADER_DUPLICATE and defect.part in anatomy.returned:
            continue  # in another's mail, which a report brings back
        wide = defect.symbol in (Symbol.HEADER_DUPLICATE, Symbol.HEADER_LIMIT)
        if wide or (defect.symbol is Symbol.HEADER_SYNTAX and defect.part == 0):
            yield _finding(defect.symbol.value, defect.text)


def _shown(octets: bytes) -> str:
    if octets[: len(CONNECTOR)].lower() == CONNECTOR:
        octets = octets[: len(CONNECTOR)]  # its value is a secret
    return plain(octets[:80].decode("utf-8", "backslashreplace"), 60)


def _finding(symbol: str, reason: str) -> Finding:
    return Finding(category=Category.BAD_HEADERS, symbol=symbol, reason=plain(reason), by=Headers.name)


FILTER = Headers
