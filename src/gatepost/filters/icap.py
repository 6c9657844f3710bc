"""Asks a scanner that speaks ICAP (RFC 3507), as c-icap does: RESPMOD with the mail as the body of an answer."""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar, NamedTuple

from gatepost.filters import registry, wire
from gatepost.filters.engine import Engine, EngineOptions
from gatepost.filters.registry import Tools
from gatepost.filters.wire import Garbled, Place, Wire, connected, exchange, pieces
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.verdict import Category, Finding

PORT = 1344
HEADERS = 100
REQUEST = b"GET http://gatepost.invalid/mail.eml HTTP/1.1\r\nHost: gatepost.invalid\r\n\r\n"

_STATUS = re.compile(r"(?:ICAP/1\.\d|HTTP/1\.\d) (\d{3})(?: .*)?")
_THREAT = re.compile(r"Threat=([^;]+)", re.IGNORECASE)


class IcapOptions(EngineOptions, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **EngineOptions.DOC,
        "service": "the name of the service, as in icap://host:port/NAME; it must honour Allow: 204",
    }
    on_error: registry.OnFailure = "defer"
    service: str = "avscan"


class Answer(NamedTuple):
    """An answer: its status, its headers (names in lower case), and the status of the page in it (0: there is none)."""

    status: int
    headers: dict[str, str]
    page: int


class Icap(Engine):
    """Does a scanner that speaks ICAP find a virus?

    Only the answer 204 to a mail that was sent whole is clean. An infection that names its threat is a virus whatever
    else the answer says; so is 200 with another word of one, or with a page that refuses.
    """

    name = "icap"
    scanner = "ICAP"
    Options = IcapOptions

    def __init__(self, options: IcapOptions, tools: Tools) -> None:
        super().__init__(options, tools)
        if not re.fullmatch(r"[A-Za-z0-9._~/?=&-]{1,200}", options.service):
            raise ValueError("service: expected the path of a service")
        self._timeout = options.connect_timeout
        self._service = options.service

    def place(self, text: str) -> Place:
        return wire.place(text, PORT)

    async def ping(self, place: Place) -> None:
        async with connected(place, self._timeout) as icap:
            await icap.say(self._head("OPTIONS", place, []))
            if (answer := await _answer(icap)).status != 200:
                raise Garbled(f"it answers OPTIONS with {answer.status}")

    async def question(self, mail: Mail) -> Callable[[Place], Awaitable[list[Finding]]]:
        return partial(self._scan, mail)

    async def _scan(self, mail: Mail, place: Place) -> list[Finding]:
        async with connected(place, self._timeout) as icap:
            answer, whole = await exchange(self._send(icap, mail, place), _answer(icap))
        threat = _infection(answer.headers) or (_named(answer.headers) if answer.status == 200 else "")
        if threat or (answer.status == 200 and answer.page >= 400):
            what = f"found {plain(threat, 100)}" if threat else "refuses it"
            return [self.finding(Category.VIRUS, "FOUND", f"the scanner {what}")]
        if answer.status == 204 and whole:
            return []
        raise Garbled(f"it answers {answer.status}{'' if whole else ' before it has the mail'}")

    async def _send(self, icap: Wire, mail: Mail, place: Place) -> None:
        page = f"HTTP/1.1 200 OK\r\nContent-Type: message/rfc822\r\nContent-Length: {mail.body.size}\r\n\r\n".encode()
        parts = f"req-hdr=0, res-hdr={len(REQUEST)}, res-body={len(REQUEST) + len(page)}"
        headers = ["Allow: 204", f"X-Client-IP: {mail.envelope.client.ip}", f"Encapsulated: {parts}"]
        await icap.say(self._head("RESPMOD", place, headers) + REQUEST + page)
        async for piece in pieces(mail.body):
            await icap.say(b"%x\r\n%b\r\n" % (len(piece), piece))
        await icap.say(b"0\r\n\r\n")

    def _head(self, method: str, place: Place, headers: list[str]) -> bytes:
        host = f"[{place.host}]" if ":" in place.host else place.host or "localhost"
        where = f"{host}:{place.port or PORT}"
        lines = [f"{method} icap://{where}/{self._service.lstrip('/')} ICAP/1.0", f"Host: {where}"]
        return "\r\n".join([*lines, "User-Agent: Gatepost", "Connection: close", *headers, "", ""]).encode()


async def _answer(icap: Wire) -> Answer:
    """Read an answer as far as it says what was found, no further once a threat is named; raise Garbled."""
    status = _status(await icap.line())
    headers: dict[str, str] = {}
    for _ in range(HEADERS):
        line = await icap.line()
        if not line:
            break
        if line[0] not in " \t":
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
            if _infection(headers):
                return Answer(status, headers, 0)
    else:
        raise Garbled("an endless answer")
    page = status == 200 and headers.get("encapsulated", "").replace(" ", "").startswith("res-hdr=0")
    return Answer(status, headers, _status(await icap.line()) if page else 0)


def _status(line: str) -> int:
    if (match := _STATUS.fullmatch(line)) is None:
        raise Garbled(f"it answers {plain(line, 60)!r}")
    return int(match[1])


def _infection(headers: dict[str, str]) -> str:
    """Return the name of the threat of an infection that an answer tells of, "" for none."""
    found = _THREAT.search(headers.get("x-infection-found", ""))
    return found[1].strip() if found else ""


def _named(headers: dict[str, str]) -> str:
    """Return what an answer calls a virus in another way, "" for nothing."""
    return headers.get("x-virus-id", "") or (headers.get("x-violations-found", "") and "several threats")


FILTER = Icap
