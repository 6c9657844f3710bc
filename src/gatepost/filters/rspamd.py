"""Asks Rspamd what it thinks of a mail: POST /checkv2, with the envelope in headers (Rspamd's protocol page)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import ClassVar, Literal

import httpx2
import msgspec

from gatepost.filters import wire
from gatepost.filters.points import Rule, Scanner, ScannerOptions
from gatepost.filters.registry import Tools
from gatepost.filters.wire import Garbled, Unreachable, pieces
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.verdict import Category, Finding, OnError

PORT = 11333
LARGEST = 1_000_000  # octets of an answer
RECIPIENTS = 100  # that it is told of; it takes a head of 80 kB
IDLE = 20.0  # seconds that an unused connection is kept

Meaning = Literal["spam", "defer", "note"]


class RspamdOptions(ScannerOptions, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **ScannerOptions.DOC,
        "servers": "host:port, http(s)://host:port or /path/of/socket of a normal worker or proxy; the first that is"
        " up and has room is asked",
        "password": "what the worker asks for, if it does",
        "settings_id": "the id of Rspamd's settings to apply",
        "actions": "what its actions mean beside their points: spam, defer or note; those not named here: note",
    }
    connections: int = 20
    max_bytes: int = 50_000_000
    password: str = ""
    settings_id: str = ""
    actions: dict[str, Meaning] = msgspec.field(
        default_factory=lambda: {"reject": "spam", "quarantine": "spam", "discard": "spam", "soft reject": "defer"}
    )


class Symbol(msgspec.Struct, frozen=True):
    """A symbol of an answer; `score` is 0 for what only informs."""

    score: float = 0.0
    description: str = ""
    options: list[str | float | bool | None] = []


class Answer(msgspec.Struct, frozen=True):
    """What /checkv2 answers, as far as it is used."""

    action: str
    score: float
    required_score: float | None = None
    symbols: dict[str, Symbol] = {}


_answer = msgspec.json.Decoder(Answer)


class Rspamd(Scanner):
    """How many points does Rspamd give?

    Its symbols count as points; an action may mean more, as `actions` says.
    """

    name = "rspamd"
    Options = RspamdOptions

    def __init__(self, options: RspamdOptions, tools: Tools) -> None:
        self._clients: list[httpx2.AsyncClient] = []
        self._rspamd = options
        self._hostname = tools.hostname
        super().__init__(options, tools)

    def place(self, text: str) -> httpx2.AsyncClient:
        """Return a client of its own for each server: it keeps its connections."""
        options = self._rspamd
        kept = httpx2.Limits(
            max_connections=options.connections, max_keepalive_connections=options.connections, keepalive_expiry=IDLE
        )
        path = text if text.startswith("/") else None
        base = "http://localhost" if path else _base(text)
        client = httpx2.AsyncClient(
            base_url=base,
            # Without TLS nothing is verified; reading the system's authorities in would take longer than a mail.
            transport=httpx2.AsyncHTTPTransport(verify=base.startswith("https:"), uds=path, limits=kept),
            timeout=httpx2.Timeout(None, connect=options.connect_timeout),
            trust_env=False,
            headers={"User-Agent": "Gatepost", "Accept-Encoding": "identity"},
        )
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def ping(self, place: httpx2.AsyncClient) -> None:
        text = await self._call(place, place.build_request("GET", "/ping"))
        if text.strip() != b"pong":
            raise Garbled(f"it answers ping with {plain(text.decode('utf-8', 'replace'), 60)!r}")

    async def question(self, mail: Mail) -> Callable[[httpx2.AsyncClient], Awaitable[list[Finding]]]:
        return partial(self._scan, mail, list(self._headers(mail, await self.reverse(mail))))

    async def _scan(self, mail: Mail, headers: list[tuple[bytes, bytes]], place: httpx2.AsyncClient) -> list[Finding]:
        whole = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal whole
            async for piece in pieces(mail.body):
                yield piece
            whole = True

        request = place.build_request("POST", "/checkv2", headers=headers, content=body())
        answer = _read(await self._call(place, request))
        if not whole:
            raise Garbled("it answers before it has the mail")
        return self._found(answer)

    async def _call(self, client: httpx2.AsyncClient, request: httpx2.Request) -> bytes:
        """Send a request; return the answer's body, or raise one of TROUBLE."""
        try:
            answer = await client.send(request, stream=True)
            try:
                text = bytearray()
                async for piece in answer.aiter_raw():
                    text += piece
                    await asyncio.sleep(0)  # many pieces may have come at once
                    if len(text) > LARGEST:
                        raise Garbled("an endless answer")
            finally:
                await answer.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Unreachable(str(error) or "no connection") from error
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, ValueError) as error:  # or a bad Location
            raise Garbled(f"{type(error).__name__}: {error}") from error
        if answer.status_code != 200:
            raise Garbled(f"it answers {answer.status_code}")
        return bytes(text)

    def _headers(self, mail: Mail, reverse: str) -> Iterator[tuple[bytes, bytes]]:
        envelope, client = mail.envelope, mail.envelope.client
        said: list[tuple[str, str]] = [
            ("Content-Length", str(mail.body.size)),
            ("From", envelope.sender.text if envelope.sender else "<>"),
            *(("Rcpt", recipient.address.text) for recipient in envelope.recipients[:RECIPIENTS]),
            ("IP", client.ip),
            ("Helo", client.helo),
            ("Hostname", reverse),
            ("User", client.login.email if client.login else ""),
            ("Queue-Id", envelope.id),
            ("MTA-Name", self._hostname),
            ("Settings-ID", self._rspamd.settings_id),
            ("Password", self._rspamd.password),
        ]
        for name, value in said:
            if value:
                yield name.encode(), _clean(value).encode()

    def _found(self, answer: Answer) -> list[Finding]:
        rules = (Rule(name, each.score, _about(name, each)) for name, each in answer.symbols.items())
        of = f" of {answer.required_score:g}" if answer.required_score else ""
        said = f"Rspamd says: {plain(answer.action, 40)} ({answer.score:g}{of} points)"
        found = self.counted(rules, answer.score, said)
        meaning = self._rspamd.actions.get(answer.action, "note")
        if meaning == "spam":
            found.append(self.finding(Category.SPAM, "ACTION", said))
        elif meaning == "defer":
            found.append(self.finding(Category.UNSURE, "ACTION", said, on_error=OnError.DEFER))
        return found


def _base(text: str) -> str:
    """Return the URL of a server; raise ValueError."""
    if not text.startswith(("http://", "https://")):
        where = wire.place(text, PORT)
        return f"http://[{where.host}]:{where.port}" if ":" in where.host else f"http://{where.host}:{where.port}"
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError(f"{text}: {error}") from error
    if not url.host or url.path != "/" or url.query or url.userinfo:
        raise ValueError("expected http://host:port")
    return text


def _read(text: bytes) -> Answer:
    """Read an answer; raise Garbled for what is none."""
    try:
        return _answer.decode(text.decode("utf-8", "replace"))  # it may quote the mail
    except (msgspec.DecodeError, RecursionError) as error:
        raise Garbled(f"an answer that is none: {error}") from error


def _about(name: str, each: Symbol) -> str:
    options = ", ".join(str(option) for option in each.options[:5])
    return f"{each.description or name}{f' [{options}]' if options else ''}"


def _clean(text: str) -> str:
    """Return a text as it may stand in a header."""
    return "".join(char if char.isprintable() else "?" for char in text[:1000]).strip()


FILTER = Rspamd
