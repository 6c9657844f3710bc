"""One connection to a next hop: aiosmtplib's client, with pipelined commands, streamed bodies and bounded replies."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from enum import StrEnum
from types import TracebackType
from typing import cast

import aiosmtplib
from aiosmtplib.protocol import COMMAND_INJECTION_REGEX

from gatepost.model.envelope import Body
from gatepost.mta import dots
from gatepost.mta.outcome import Reply, own, printable, said
from gatepost.mta.replies import Replies
from gatepost.mta.routing import Target
from gatepost.settings import Relay

GARBAGE = "4.5.0"  # the peer breaks the protocol (RFC 3463 3.6)
SIZE_DIGITS = 20  # of a number that SIZE may say (RFC 1870 4)
_LOST = (aiosmtplib.SMTPException, OSError, TimeoutError)  # what can befall a connection


class Fault(StrEnum):
    """What TLS failed of, in the words of TLS reports (RFC 8460 4.3)."""

    NOT_OFFERED = "starttls-not-supported"
    NAME = "certificate-host-mismatch"
    EXPIRED = "certificate-expired"
    UNTRUSTED = "certificate-not-trusted"
    OTHER = "validation-failure"


class Unusable(Exception):
    """No session could be opened; nothing was said about any mail. `busy`: the server asked for less (421).

    `fault`: it is TLS that failed; `lasting`: for the server has none, or can't prove itself.
    """

    def __init__(self, reply: Reply, *, busy: bool = False, fault: Fault | None = None, lasting: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.busy = busy
        self.fault = fault
        self.lasting = lasting


class Broken(Exception):
    """The session ended within a transaction; after the dot nobody knows whether the mail was taken."""

    def __init__(self, reply: Reply, *, after_dot: bool = False, busy: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.after_dot = after_dot
        self.busy = busy


class Client(aiosmtplib.SMTP):
    """aiosmtplib's client on our protocol, connected to an address while TLS checks a name."""

    def __init__(self, target: Target, settings: Relay, hostname: str) -> None:
        super().__init__(
            hostname=target.host.strip("[]").removeprefix("IPv6:"),
            local_hostname=hostname,
            timeout=settings.command_timeout,
            start_tls=False,
        )
        self._target = target
        self._settings = settings
        self.context: ssl.SSLContext | None = None  # set: TLS from the first octet
        self.banner = ""

    @property
    def pipe(self) -> Replies:
        if self.protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        return cast(Replies, self.protocol)

    async def _create_connection(self, timeout: float | None) -> aiosmtplib.SMTPResponse:  # noqa: ASYNC109
        source = self._settings.source_address
        bound = bool(source) and (":" in source) == (":" in self._target.ip)
        protocol = Replies(self._on_connection_lost)
        async with asyncio.timeout(self._settings.connect_timeout):
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: protocol,
                self._target.ip,
                self._target.port,
                local_addr=(source, 0) if bound else None,
                ssl=self.context,
                server_hostname=self.hostname if self.context else None,
            )
        self.protocol, self.transport = protocol, transport
        greeting = await protocol.read_response(timeout=timeout)
        if greeting.code != 220:
            raise aiosmtplib.SMTPConnectResponseError(greeting.code, greeting.message)
        self.banner = greeting.message
        return greeting


class Session:
    """A greeted, and where asked for secured, connection that takes one mail after another."""

    def __init__(self, target: Target, client: Client, settings: Relay) -> None:
        self.target = target
        self.hop = target.text
        self.uses = 0
        self.dirty = False  # a transaction was left open: RSET before the next
        self.tls = _tls_text(client, target)
        self.fault: Fault | None = None  # what TLS failed of, though the session may be used
        self.size_limit = _size_limit(client)  # the largest mail that the server says it takes; 0: it doesn't say
        self._client = client
        self._offered = frozenset(client.esmtp_extensions)  # the client forgets them with the connection
        self._settings = settings
        self._guard, self._guard_after_dot = _Guard(self, False), _Guard(self, True)
        self._write_timeout = (target.terms and target.terms.write_timeout) or settings.command_timeout

    @property
    def alive(self) -> bool:
        """Fit for another mail: connected, and nothing said that was not asked for."""
        pipe = self._client.protocol
        return pipe is not None and cast(Replies, pipe).standing

    def shut(self, mail: Reply, rcpts: Sequence[Reply]) -> Reply | None:
        """Return the answer by which this session takes no mail, whichever it were; None where that may be.

        A kept session may have had its number of mails (452 4.5.3 is OpenSMTPD's word), or a server wants a sign-in or
        TLS first (530; RFC 4954 6, RFC 3207 4). The latter is its word on the mail where it is not for us to mend:
        where nobody configured the server, and TLS did not fail.
        """
        if self.uses > 0 and (mail.code, mail.status) == (452, "4.5.3"):
            return mail
        if not self.target.configured and self.fault in (None, Fault.NOT_OFFERED):
            return None
        if mail.code == 530:
            return mail
        return rcpts[0] if rcpts and all(reply.code == 530 for reply in rcpts) else None

    def offers(self, extension: str) -> bool:
        """Tell whether the server offers an extension, whose name is in lower case."""
        return extension in self._offered

    @property
    def banner(self) -> str:
        """What the server said first, as one printable line."""
        return printable(self._client.banner)

    @property
    def extensions(self) -> list[str]:
        """What the server offers, as it said after the last EHLO; [] for one that knows only HELO."""
        return sorted(printable(name.upper()) for name in self._offered)

    async def ask(self, lines: Sequence[bytes]) -> list[Reply]:
        """Send commands and return their replies; raise Broken.

        Pipelined where the server takes that (RFC 2920; DATA may only be the last), else one after another, and then
        only as far as no MAIL is refused.
        """
        if COMMAND_INJECTION_REGEX.search(b"".join(lines)):
            raise ValueError("a command holds a control character")
        groups = [lines] if self.offers("pipelining") else [[line] for line in lines]
        timeout = self._settings.command_timeout
        replies: list[Reply] = []
        with self._guard:
            for group in groups:
                pipe = self._client.pipe
                pipe.expect(len(group))
                pipe.write(b"\r\n".join(group) + b"\r\n")
                for _ in group:
                    replies.append(self._heard(pipe.at_hand() or await pipe.read_response(timeout)))
                if group[-1].startswith(b"MAIL") and replies[-1].code >= 400:
                    break
        return replies

    async def send(self, head: bytes, body: Body, offset: int) -> Reply:
        """Send what follows 354, dots stuffed, and the dot; return the answer to it. Raise Broken."""
        with self._guard:
            self._client.pipe.expect(1)
            if body.path is None:
                self._client.pipe.write(dots.stuffed(head + (body.data or b"")[offset:]))
        if body.path is not None and not await self._stream(head, body, offset):
            return await self._early()
        with self._guard_after_dot:
            reply = self._heard(await self._client.pipe.read_response(self._settings.data_timeout))
            if 300 <= reply.code < 400:  # whether it waits for more of the mail, nobody knows
                raise aiosmtplib.SMTPResponseException(reply.code, reply.text)
            return reply

    async def _stream(self, head: bytes, body: Body, offset: int) -> bool:
        """Send a file and the dot as fast as it is taken; False where the server answers, or goes, before the end."""
        async with contextlib.aclosing(dots.stuffed_file(head, body, offset)) as chunks:
            async for chunk in chunks:
                with self._guard:
                    self._client.pipe.write(chunk)
                    async with asyncio.timeout(self._write_timeout):
                        await self._client.pipe.drain()
                    if self._client.pipe.answered:
                        return False
        with self._guard:
            self._client.pipe.write(b".\r\n")
        return True

    async def lone_dot(self) -> None:
        """End a DATA that was opened without a recipient (RFC 2920 3.1); raise Broken."""
        with self._guard:
            self._client.pipe.expect(1)
            self._client.pipe.write(b".\r\n")
            self._heard(await self._client.pipe.read_response(self._settings.command_timeout))

    async def reset(self) -> None:
        """Forget a transaction that was left open; raise Broken."""
        reply = (await self.ask([b"RSET"]))[0]
        if reply.code >= 300:
            raise Broken(reply)
        self.dirty = False

    async def quit(self) -> None:
        """Take leave; the connection is closed in any case."""
        with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await self._client.quit(timeout=min(self._settings.command_timeout, 5.0))
        self.close()

    def close(self) -> None:
        """Let go of the connection at once: a peer that takes nothing more would keep it open for what is not sent."""
        if self._client.transport is not None:
            cast(asyncio.WriteTransport, self._client.transport).abort()
        self._client.close()

    def _heard(self, response: aiosmtplib.SMTPResponse) -> Reply:
        """Return what a server said; one that says 421 is left alone."""
        if not 200 <= response.code < 600:
            raise aiosmtplib.SMTPResponseException(-1, f"{response.code} {response.message}")
        reply = said(response.code, response.message)
        if reply.code == 421:
            self.close()
            raise Broken(reply, busy=True)
        return reply

    async def _early(self) -> Reply:
        """The server answers before the end of the data: a refusal counts, and the session is over."""
        with self._guard:
            reply = self._heard(await self._client.pipe.read_response(self._settings.command_timeout))
        self.close()
        if reply.code < 400:
            raise Broken(own(GARBAGE, f"{self.target.text} took the mail before it was sent"))
        return reply


class _Guard:
    """Turns what can befall a connection into Broken, and closes it (a generator would cost several times as much)."""

    __slots__ = ("_after_dot", "_session")

    def __init__(self, session: Session, after_dot: bool) -> None:
        self._session = session
        self._after_dot = after_dot

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, _LOST):
            self._session.close()
            raise Broken(reason(error, self._session.target), after_dot=self._after_dot) from error


def reason(error: BaseException, target: Target, *, status: str = "") -> Reply:
    """Say in our words why a connection can't be used."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return own(status or "4.7.5", f"the certificate of {target.text} is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return own(status or "4.7.5", f"TLS with {target.text} failed: {error.reason or error}")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        if 200 <= error.code < 600:
            return own(status or GARBAGE, f"{target.text} answers {said(error.code, error.message).line}")
        return own(status or GARBAGE, f"{target.text} does not speak SMTP: {error.message}")
    if isinstance(error, TimeoutError):
        return own(status or "4.4.2", f"{target.text} does not answer in time")
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return own(status or "4.4.2", f"{target.text} closed the connection")
    if isinstance(error, OSError):
        return own(status or "4.4.1", f"no connection to {target.text}: {error.strerror or error}")
    return own(status or GARBAGE, f"{target.text}: {error}")


def fault(error: BaseException) -> Fault | None:
    """Say of what TLS failed; None where it is not TLS that failed."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return Fault.OTHER if isinstance(error, ssl.SSLError) else None
    return {10: Fault.EXPIRED, 62: Fault.NAME, 64: Fault.NAME}.get(error.verify_code, Fault.UNTRUSTED)


def _size_limit(client: Client) -> int:
    """What SIZE says (RFC 1870 4); 0 for what is no number."""
    text = client.esmtp_extensions.get("size", "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= SIZE_DIGITS else 0


def _tls_text(client: Client, target: Target) -> str | None:
    cipher = client.get_transport_info("cipher")
    if not cipher:
        return None
    secured = client.get_transport_info("ssl_object")
    version = secured.version() if secured else cipher[1]
    by = f", {target.demand.by}" if target.demand and target.demand.named else ""
    return f"{version} with cipher {cipher[0]} ({cipher[2]}/{cipher[2]} bits){by}"
