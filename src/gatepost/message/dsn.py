"""Writes delivery status notifications: RFC 3464 reports as RFC 3461 asks for them, or in UTF-8 (RFC 6533)."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from gatepost.message.edit import disconnected, head_end
from gatepost.message.fields import date
from gatepost.message.plain import plain, plain_ascii

FULL_BYTES = 1_048_576
"""A larger mail comes back as its header alone, whatever RET says (RFC 3461 4.3 allows it)."""

HEADER_BYTES = 65_536
LINE_OCTETS = 900
"""Of a text on one line, which has 998 at most, be they whole letters or not (RFC 6532 3.4)."""

_REMOTE = re.compile(r"(.*?)\[(.*)\]:\d+\Z")


class Outcome(StrEnum):
    """What became of a delivery (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mail for one recipient. `orcpt` as the sender gave it (xtext); dates in epoch milliseconds.

    `diagnostic` are the remote server's words with their codes; `reason` a sentence of ours.
    """

    recipient: str
    outcome: Outcome
    status: str  # "5.1.1"
    reason: str = ""
    diagnostic: str = ""
    remote: str = ""  # host[ip]:port of who said so
    orcpt: str | None = None
    last_attempt: int | None = None
    retry_until: int | None = None  # for DELAYED


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A report to write. It goes out with the null sender (RFC 3461 6); `to` is the mail's own sender.

    `original` is the mail, or as much of its start as its header takes; `ret` and `envid` as the sender gave them.
    """

    host: str
    to: str
    mail_id: str
    arrival: int
    now: int
    message_id: str  # without brackets
    fates: Sequence[Fate]
    original: bytes
    complete: bool = True  # `original` is the whole mail
    ret: str | None = None
    envid: str | None = None


def write(notice: Notice) -> bytes:
    """Return the report as it goes on the wire.

    The whole mail comes back only where the sender asked for it (RET=FULL), something failed, and it is not too large.
    """
    utf8 = _needs_utf8(notice)
    parts = [_words(notice, utf8), _status(notice, utf8), _returned(notice, utf8)]
    boundary = _boundary(notice)
    line = b"\r\n--" + boundary.encode()
    eight = any(not part.isascii() for part in parts)
    return b"".join(
        [_head(notice, boundary, utf8, eight), *(line + b"\r\n" + part for part in parts), line + b"--\r\n"]
    )


def _needs_utf8(notice: Notice) -> bool:
    return not all(text.isascii() for text in (notice.to, *(fate.recipient for fate in notice.fates)))


def _boundary(notice: Notice) -> str:
    """Make a boundary that the returned mail can't contain: it depends on all of its octets."""
    digest = hashlib.sha256(notice.original + notice.message_id.encode()).hexdigest()
    return f"=_report_{digest[:40]}"


def _head(notice: Notice, boundary: str, utf8: bool, eight: bool) -> bytes:
    kind = "global-delivery-status" if utf8 else "delivery-status"
    fields = [
        f"From: Mail Delivery System <MAILER-DAEMON@{notice.host}>",
        f"To: {_wire(notice.to, utf8)}",
        f"Subject: {_subject(notice)}",
        f"Date: {date(notice.now)}",
        f"Message-ID: <{notice.message_id}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={kind};\r\n boundary="{boundary}"',
        *(["Content-Transfer-Encoding: 8bit"] if eight else []),
    ]
    return ("\r\n".join(fields) + "\r\n\r\nThis is a MIME-encapsulated message.\r\n").encode()


def _subject(notice: Notice) -> str:
    outcomes = {fate.outcome for fate in notice.fates}
    if Outcome.FAILED in outcomes:
        return "Undelivered Mail Returned to Sender"
    if Outcome.DELAYED in outcomes:
        return "Delayed Mail (still being retried)"
    return "Successful Mail Delivery Report"


_OPENING = {
    Outcome.FAILED: "Your message could not be delivered to the following address:",
    Outcome.DELAYED: "Your message has not been delivered to the following address yet. It is tried again; "
    "you need not send it a second time:",
    Outcome.DELIVERED: "Your message was delivered to the following address:",
    Outcome.RELAYED: "Your message was handed to the next server for the following address; that server gives no "
    "further reports:",
}


def _words(notice: Notice, utf8: bool) -> bytes:
    lines = [f"This is the mail system at host {notice.host}.", ""]
    for outcome in Outcome:
        fates = [fate for fate in notice.fates if fate.outcome is outcome]
        if fates:
            lines += [*_wrapped(_OPENING[outcome]), ""]
            lines += [line for fate in fates for line in (*_told(fate, utf8), "")]
    lines.append(f"Our number for this message: {notice.mail_id}")
    charset = "utf-8" if utf8 else "us-ascii"
    head = f"Content-Description: Notification\r\nContent-Type: text/plain; charset={charset}\r\n"
    return _entity(head, "\r\n".join(lines) + "\r\n")


def _told(fate: Fate, utf8: bool) -> Iterator[str]:
    yield f"<{_wire(fate.recipient, utf8)}>"
    if fate.reason:
        yield from _wrapped(_shown(fate.reason, utf8), indent="    ")
    if fate.diagnostic:
        by = f"{_shown(fate.remote, utf8)} said: " if fate.remote else ""
        yield from _wrapped(by + _shown(fate.diagnostic, utf8), indent="    ")
    if fate.outcome is Outcome.DELAYED and fate.retry_until is not None:
        yield f"    It is tried until {date(fate.retry_until)}."


def _wrapped(text: str, indent: str = "") -> Iterator[str]:
    line = indent
    for word in text.split(" "):
        if len(line) + len(word) > 76 and line.strip():
            yield line.rstrip()
            line = indent
        line += word + " "
    yield line.rstrip()


def _status(notice: Notice, utf8: bool) -> bytes:
    subtype = "global-delivery-status" if utf8 else "delivery-status"
    head = f"Content-Description: Delivery report\r\nContent-Type: message/{subtype}\r\n"
    about = [
        ("Reporting-MTA", f"dns; {notice.host}"),
        ("X-Gatepost-Id", notice.mail_id),
        ("Arrival-Date", date(notice.arrival)),
    ]
    if notice.envid:
        about.insert(0, ("Original-Envelope-Id", _wire(from_xtext(notice.envid), utf8)))
    blocks = [about, *(_facts(fate, utf8) for fate in notice.fates)]
    text = "\r\n".join("".join(f"{name}: {value}\r\n" for name, value in block) for block in blocks)
    return _entity(head, text)


def _facts(fate: Fate, utf8: bool) -> list[tuple[str, str]]:
    facts = [
        ("Final-Recipient", f"{'utf-8' if not fate.recipient.isascii() else 'rfc822'}; {_wire(fate.recipient, utf8)}"),
        ("Action", fate.outcome.value),
        ("Status", fate.status),
    ]
    if fate.orcpt:
        kind, _, address = fate.orcpt.partition(";")
        shown = from_xtext(address) if utf8 else spelled(from_xtext(address))
        facts.insert(0, ("Original-Recipient", f"{plain_ascii(kind, 40)}; {_wire(shown, utf8)}"))
    if fate.remote:
        facts.append(("Remote-MTA", f"dns; {plain_ascii(_name(fate.remote))}"))
    if fate.diagnostic:
        facts.append(("Diagnostic-Code", f"smtp; {_shown(fate.diagnostic, utf8)}"))
    if fate.last_attempt is not None:
        facts.append(("Last-Attempt-Date", date(fate.last_attempt)))
    if fate.outcome is Outcome.DELAYED and fate.retry_until is not None:
        facts.append(("Will-Retry-Until", date(fate.retry_until)))
    return facts


def _name(remote: str) -> str:
    """Return a server's name alone, or its address as a literal, as the type dns has it (RFC 3464 2.3.5)."""
    said = _REMOTE.match(remote)
    if said is None:
        return remote
    literal = f"[IPv6:{said[2]}]" if ":" in said[2] else f"[{said[2]}]"
    return literal if said[1] == said[2] else said[1]


def _returned(notice: Notice, utf8: bool) -> bytes:
    data = disconnected(notice.original)
    if _whole(notice):
        kind = "message/global" if utf8 else "message/rfc822"
        described = "Undelivered message"
    else:
        kind, data = "message/global-headers" if utf8 else "text/rfc822-headers", _header(data)
        described = "Header of the message"
    eight = "" if data.isascii() else "Content-Transfer-Encoding: 8bit\r\n"
    return f"Content-Description: {described}\r\nContent-Type: {kind}\r\n{eight}\r\n".encode() + data


def _whole(notice: Notice) -> bool:
    asked = (notice.ret or "").upper() == "FULL" and notice.complete and len(notice.original) <= FULL_BYTES
    return asked and any(fate.outcome is Outcome.FAILED for fate in notice.fates)


def _header(data: bytes) -> bytes:
    """Return the header section without the empty line; of a huge one the fields that fit."""
    end = head_end(data)
    header = data[: end - 2] if end >= 0 else data
    if len(header) <= HEADER_BYTES:
        return header
    return header[: header.rfind(b"\r\n", 0, HEADER_BYTES) + 2]


def _entity(head: str, text: str) -> bytes:
    eight = "" if text.isascii() else "Content-Transfer-Encoding: 8bit\r\n"
    return f"{head}{eight}\r\n{text}".encode()


def _wire(text: str, utf8: bool) -> str:
    """Return an address or a mark for a field of the report; it can't end the line (RFC 3461 4.2, 4.4)."""
    return _shown(text, utf8, LINE_OCTETS)


def _shown(text: str, utf8: bool, most: int = 512) -> str:
    """Return words in the report's letters, so many at most, that fit in one of its lines."""
    words = (plain if utf8 else plain_ascii)(text, most)
    return words.encode()[:LINE_OCTETS].decode(errors="ignore")


def spelled(address: str) -> str:
    """Return an address of ORCPT in the form for where there is no SMTPUTF8 (RFC 6533 3)."""
    return "".join(char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in address)


def from_xtext(text: str) -> str:
    """Undo xtext (RFC 3461 4); what it hides must still be made safe."""
    return re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), text)
