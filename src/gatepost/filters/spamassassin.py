"""Asks SpamAssassin what it thinks of a mail: spamd by REPORT (SPAMC/1.5), which tells each rule's points."""

import math
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import ClassVar

from gatepost.filters import wire
from gatepost.filters.points import Rule, Scanner, ScannerOptions
from gatepost.filters.registry import Tools
from gatepost.filters.wire import Garbled, Place, Wire, connected, exchange, pieces
from gatepost.message.edit import received
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.verdict import Finding

PORT = 783
LARGEST = 1_000_000  # octets of a report
HEADERS = 100

_OK = re.compile(r"SPAMD/\d+\.\d+ 0 (\S+)")
_TOTAL = re.compile(r"Spam:\s*(?:True|False|Yes|No)\s*;\s*(-?\d+(?:\.\d+)?)\s*/\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)
_TABLE = re.compile(r"^[ ]*-{2,} +-{4,} +-{4,}[ ]*\r?\n", re.MULTILINE)
_ROW = re.compile(r"^ {0,3}(-?\d+(?:\.\d+)?) ([A-Z][A-Z0-9_]*) +(.*)$", re.MULTILINE)


class SpamassassinOptions(ScannerOptions, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **ScannerOptions.DOC,
        "user": "whose preferences count; empty: those of all",
    }
    connections: int = 5
    max_bytes: int = 500_000
    user: str = ""


class Spamassassin(Scanner):
    """How many points does SpamAssassin give?

    The total is the one of its Spam header; the rules are those of its report.
    """

    name = "spamassassin"
    Options = SpamassassinOptions

    def __init__(self, options: SpamassassinOptions, tools: Tools) -> None:
        super().__init__(options, tools)
        if not re.fullmatch(r"[\x21-\x7e]{0,64}", options.user):
            raise ValueError("user: expected a name without blanks")
        self._user = options.user
        self._timeout = options.connect_timeout
        self._hostname = tools.hostname

    def place(self, text: str) -> Place:
        return wire.place(text, PORT)

    async def ping(self, place: Place) -> None:
        async with connected(place, self._timeout) as spamd:
            await spamd.say(b"PING SPAMC/1.5\r\n\r\n")
            if (match := _OK.match(await spamd.line())) is None or match[1] != "PONG":
                raise Garbled("it answers PING with something else")

    async def question(self, mail: Mail) -> Callable[[Place], Awaitable[list[Finding]]]:
        return partial(self._scan, mail, self._top(mail, await self.reverse(mail)))

    async def _scan(self, mail: Mail, top: bytes, place: Place) -> list[Finding]:
        async with connected(place, self._timeout) as spamd:
            (total, required, report), whole = await exchange(self._send(spamd, mail, top), _report(spamd))
        if not whole:
            raise Garbled("it answers before it has the mail")
        said = f"SpamAssassin says: {total:g} of {required:g} points"
        return self.counted(_rules(report), total, said)

    async def _send(self, spamd: Wire, mail: Mail, top: bytes) -> None:
        head = f"REPORT SPAMC/1.5\r\nContent-length: {len(top) + mail.body.size}\r\n"
        if self._user:
            head += f"User: {self._user}\r\n"
        await spamd.say(head.encode() + b"\r\n" + top)
        async for piece in pieces(mail.body):
            await spamd.say(piece)

    def _top(self, mail: Mail, reverse: str) -> bytes:
        """Return the fields that tell SpamAssassin who brought the mail: it knows no other way."""
        envelope = mail.envelope
        sender = envelope.sender.text if envelope.sender else ""
        client = envelope.client
        line = received(
            helo=client.helo,
            reverse=reverse,
            ip=client.ip,
            tls=client.tls,
            login=client.login.email if client.login else None,
            host=self._hostname,
            protocol="ESMTPA" if client.login else "ESMTP",
            id=envelope.id,
            at=envelope.received,
        )
        return f"X-Envelope-From: <{sender}>\r\nReceived: {line}\r\n".encode()


async def _report(spamd: Wire) -> tuple[float, float, str]:
    """Read an answer: the total, what is spam, and the report; raise Garbled."""
    first = await spamd.line()
    if (match := _OK.match(first)) is None or match[1] != "EX_OK":
        raise Garbled(f"it answers {plain(first, 60)!r}")
    total = None
    for _ in range(HEADERS):
        line = await spamd.line()
        if not line:
            break
        if found := _TOTAL.fullmatch(line):
            total = float(found[1]), float(found[2])
    else:
        raise Garbled("an endless answer")
    if total is None or not all(map(math.isfinite, total)):
        raise Garbled("an answer without points")
    report = b""
    while piece := await spamd.reader.read(wire.CHUNK):
        report += piece
        if len(report) > LARGEST:
            raise Garbled("an endless answer")
    return *total, report.decode("utf-8", "replace")


def _rules(report: str) -> Iterator[Rule]:
    """Read the table of a report: the last one, as the mail's own text is quoted before it."""
    table = _TABLE.split(report)[-1] if _TABLE.search(report) else ""
    for row in _ROW.finditer(table):
        yield Rule(row[2], float(row[1]), row[3].strip())


FILTER = Spamassassin
