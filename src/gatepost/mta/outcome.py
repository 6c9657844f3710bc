"""What a try to hand on a mail came to, for each recipient; the words of servers made fit to keep."""

import re
from enum import StrEnum
from functools import lru_cache

import msgspec

TEXT_MAX = 512

_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?= |\Z)")
_QUEUE_ID = re.compile(
    r"queued as ([\w.@:+-]+)"  # Postfix, Gatepost
    r"|\bid=([\w.@:+-]+)"  # Exim, amavis
    r"|InternalId=(\d+)"  # Exchange
    r"|^(?:\d\.\d\.\d )?([\w-]{6,}) Message accepted for delivery"  # Sendmail
    r"|^(?:\d\.\d\.\d )?OK +\d+ ([\w.-]+) - gsmtp"  # Gmail
    r"|\bok \d+ qp (\d+)"  # qmail
    r"|^Ok\. ([0-9A-F]{8,}\.[0-9A-F.]+)$"  # Courier
    r"|^(?:\d\.\d\.\d )?Message queued with id ([\w-]+)",  # Stalwart
    re.IGNORECASE | re.MULTILINE,
)


class Result(StrEnum):
    DELIVERED = "delivered"
    DEFERRED = "deferred"  # try again
    FAILED = "failed"  # for good


class Reply(msgspec.Struct, frozen=True):
    """An answer: `code` 0 means that no server said it; `status` as in RFC 3463; `text` one printable line."""

    code: int
    status: str
    text: str

    @property
    def line(self) -> str:
        """The answer as log and trace show it."""
        return f"{self.code} {self.text}" if self.code else self.text


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one recipient in one attempt. `at` in epoch milliseconds, `took` in milliseconds."""

    result: Result
    reply: Reply
    hop: str = ""  # host[ip]:port, "" when none was reached
    tls: str | None = None
    remote_id: str | None = None  # the next hop's queue id
    takes_dsn: bool = False  # the next hop has taken over what the sender asked for (RFC 3461)
    unreachable: bool = False  # nothing was said about this recipient: the server can't be spoken to
    crowded: bool = False  # too many deliveries to the server are under way: nothing was tried
    doubtful: bool = False  # lost after the dot: the next hop may have it all the same
    busy: bool = False  # 421: the destination wants less
    personal: bool = False  # a server said it of this recipient and nobody else
    unmet: bool = False  # the server can't be given a mail that requires TLS (RFC 8689)
    skipped: tuple[str, ...] = ()  # what was said of servers to which that applied before
    at: int = 0
    took: int = 0

    @property
    def answered(self) -> bool:
        """Did the next hop say something to this try, be it that it wants less?"""
        return bool(self.hop) and (self.busy or not (self.unreachable or self.doubtful or self.crowded))


@lru_cache(maxsize=64)  # most replies but the last one of a mail are always the same
def said(code: int, text: str) -> Reply:
    """Make a Reply of a server's words; its enhanced status, or one that fits the code.

    Where it asks for more (3xx) the status is that of a delay: RFC 3463 has none for it.
    """
    line = printable(text)
    first = "4" if 300 <= code < 400 else str(code)[0]
    status = _STATUS.match(line)
    fits = status is not None and status[1] == first
    return Reply(code, status[0] if status and fits else f"{first}.0.0", line)


def own(status: str, text: str) -> Reply:
    """Make a Reply of our own words."""
    return Reply(0, status, printable(text))


def printable(text: str, most: int = TEXT_MAX) -> str:
    """Return a text as one line of at most `most` characters, controls spelled out (threat 29)."""
    flat = " ".join(text.split("\n")) if "\n" in text else text
    if not flat.isprintable():
        flat = "".join(char if char.isprintable() else f"\\x{_number(char):02x}" for char in flat)
    return flat[:most]


def _number(char: str) -> int:
    """Return what a character is; one that stands for an octet which is no UTF-8 is that octet (PEP 383)."""
    point = ord(char)
    return point & 0xFF if 0xDC80 <= point <= 0xDCFF else point


def remote_id(text: str) -> str | None:
    """Return the queue id that a 250 after the dot tells; None where it tells none that we can read."""
    found = _QUEUE_ID.search(text[:TEXT_MAX])
    return next((group for group in found.groups() if group), None) if found else None


def judge_reply(reply: Reply) -> Result:
    """Return what a refusing reply means for a recipient (RFC 5321 4.2.1)."""
    return Result.FAILED if 500 <= reply.code < 600 else Result.DEFERRED
