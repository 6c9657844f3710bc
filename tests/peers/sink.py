"""A real SMTP next hop for tests: obeys a script, refuses what it is told to, and keeps the exact bytes it got."""

import asyncio
import socket
import ssl
import struct
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

import trustme

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


class Act(Enum):
    """What a sink may do in place of a reply."""

    DROP = "drop"  # close the connection
    RESET = "reset"  # close it with a TCP reset
    HANG = "hang"  # never answer


@dataclass(frozen=True)
class Drip:
    """A reply sent octet by octet, with `gap` seconds between two."""

    text: str
    gap: float = 0.01


@dataclass(frozen=True)
class Late:
    """A reply that comes after `seconds`."""

    text: str
    seconds: float


Reply = str | bytes | Act | Drip | Late
Script = dict[str, Reply | list[Reply]]


@dataclass
class Mail:
    """One mail as it arrived: `data` is what stood between DATA and the dot, un-stuffed; `raw` as on the wire."""

    sender: str
    sender_params: list[str]
    recipients: list[str]
    recipient_params: dict[str, list[str]]
    data: bytes
    raw: bytes
    tls: bool
    session: int


@dataclass
class Session:
    """One connection: its commands as received, and whether TLS was on at the end."""

    number: int
    peer: str = ""
    commands: list[str] = field(default_factory=list)
    tls: bool = False
    signed_in: bool = False
    open: bool = True


def authority() -> trustme.CA:
    """Make a certificate authority; write `ca.cert_pem` to a file for `[relay] ca_file`."""
    return trustme.CA()


def server_tls(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return a server context with a certificate for these names or addresses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


class Sink:
    """`async with Sink() as sink:` then `sink.port`, `await sink.wait(3)`, `sink.mails`.

    `script` maps "banner", a verb (EHLO, HELO, MAIL, RCPT, DATA, RSET, QUIT, STARTTLS, NOOP), "dot", or
    "RCPT <address>" to what is said instead of the usual; a list is used up one by one, then the usual returns.
    A mail whose dot is answered by a 2xx line (or by an Act: it may have been kept) is in `mails`; `dropped` are those
    whose dot was answered by an Act. With a `login` (name, password) mail is taken only after AUTH PLAIN.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        extensions: Sequence[str] = EXTENSIONS,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.script: Script = script or {}
        self.extensions = extensions
        self.tls = tls
        self.implicit = implicit
        self.host = host
        self.port = port
        self.login = login
        self.mails: list[Mail] = []
        self.dropped: list[Mail] = []
        self.sessions: list[Session] = []
        self.most_open = 0
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after a stop on the same port again."""
        context = self.tls if self.implicit else None
        self._server = await asyncio.start_server(self._accept, self.host, self.port, ssl=context, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self, count: int = 1, seconds: float = 60.0) -> list[Mail]:
        """Return the mails once there are `count` of them; raise TimeoutError."""
        await self.until(lambda: len(self.mails) >= count, seconds)
        return self.mails

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something holds; it is looked at after each command, mail and closed connection."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(condition)

    @property
    def commands(self) -> list[str]:
        """All commands of all sessions, session by session."""
        return [command for session in self.sessions for command in session.commands]

    @property
    def open_sessions(self) -> int:
        return sum(1 for session in self.sessions if session.open)

    def take(self, key: str) -> Reply | None:
        """The scripted reply for a key, used up when it stands in a list."""
        reply = self.script.get(key)
        if isinstance(reply, list):
            return reply.pop(0) if reply else None
        return reply

    async def note(self) -> None:
        """Tell the waiting ones that something happened."""
        async with self._changed:
            self._changed.notify_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        session = Session(len(self.sessions), peer=writer.get_extra_info("peername")[0], tls=self.implicit)
        self.sessions.append(session)
        self.most_open = max(self.most_open, self.open_sessions)
        try:
            await _Talk(self, session, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            session.open = False
            writer.close()
            self._tasks.discard(task)
            await self.note()


class _Talk:
    """One conversation."""

    def __init__(
        self, sink: Sink, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.sink = sink
        self.session = session
        self.reader = reader
        self.writer = writer
        self.buffer = bytearray()
        self._forget()

    def _forget(self) -> None:
        self.sender: str | None = None
        self.sender_params: list[str] = []
        self.recipients: dict[str, list[str]] = {}

    async def run(self) -> None:
        if not await self._say("banner", "220 sink.test ESMTP"):
            return
        while (line := await self._line()) is not None:
            self.session.commands.append(line)
            await self.sink.note()
            verb, _, rest = line.partition(" ")
            if not await self._obey(verb.upper(), rest):
                return

    async def _obey(self, verb: str, rest: str) -> bool:
        """Answer one command; False ends the conversation."""
        match verb:
            case "EHLO":
                self._forget()
                return await self._say(verb, self._greeting())
            case "HELO" | "RSET":
                self._forget()
                return await self._say(verb, "250 2.0.0 Ok")
            case "NOOP":
                return await self._say(verb, "250 2.0.0 Ok")
            case "QUIT":
                await self._say(verb, "221 2.0.0 Bye")
                return False
            case "STARTTLS" if self.sink.tls and not self.session.tls:
                return await self._secure()
            case "AUTH" if self.sink.login:
                return await self._auth(rest)
            case "MAIL" if self.sink.login and not self.session.signed_in:
                return await self._say(verb, "530 5.7.0 Authentication required")
            case "MAIL":
                return await self._mail(rest)
            case "RCPT":
                return await self._rcpt(rest)
            case "DATA":
                return await self._data()
        return await self._say(verb, "500 5.5.1 Unknown command")

    def _greeting(self) -> str:
        lines = ["sink.test", *self.sink.extensions]
        if self.sink.tls and not self.session.tls:
            lines.append("STARTTLS")
        elif self.sink.login:
            lines.append("AUTH PLAIN")
        return "\r\n".join(f"250{'-' if line is not lines[-1] else ' '}{line}" for line in lines)

    async def _secure(self) -> bool:
        if not await self._say("STARTTLS", "220 2.0.0 Go ahead"):
            return False
        if isinstance(self.last, str) and not self.last.startswith("220"):
            return True
        assert self.sink.tls
        await self.writer.start_tls(self.sink.tls)
        self.session.tls = True
        self._forget()
        return True

    async def _auth(self, rest: str) -> bool:
        name, password = self.sink.login or ("", "")
        given = b64decode(rest.partition(" ")[2]).decode()
        self.session.signed_in = given == f"\0{name}\0{password}"
        usual = "235 2.7.0 Ok" if self.session.signed_in else "535 5.7.8 Who are you?"
        return await self._say("AUTH", usual)

    async def _mail(self, rest: str) -> bool:
        address, params = _path(rest)
        if not await self._say("MAIL", "250 2.1.0 Ok"):
            return False
        if self._accepted():
            self.sender, self.sender_params = address, params
        return True

    async def _rcpt(self, rest: str) -> bool:
        address, params = _path(rest)
        key = f"RCPT <{address}>" if f"RCPT <{address}>" in self.sink.script else "RCPT"
        usual = "250 2.1.5 Ok" if self.sender is not None else "503 5.5.1 MAIL first"
        if not await self._say(key, usual):
            return False
        if self._accepted():
            self.recipients[address] = params
        return True

    async def _data(self) -> bool:
        usual = "354 End data with <CR><LF>.<CR><LF>" if self.recipients else "554 5.5.1 No valid recipients"
        if not await self._say("DATA", usual):
            return False
        if not (isinstance(self.last, str) and self.last.startswith("354")):
            return True
        raw = await self._body()
        if raw is None:
            return False
        return await self._finish(raw)

    async def _finish(self, raw: bytes) -> bool:
        unstuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n")[2:]
        number = len(self.sink.mails) + 1
        mail = Mail(
            sender=self.sender or "",
            sender_params=self.sender_params,
            recipients=list(self.recipients),
            recipient_params=dict(self.recipients),
            data=unstuffed,
            raw=raw,
            tls=self.session.tls,
            session=self.session.number,
        )
        usual = f"250 2.0.0 Ok: queued as SINK{number:06d}" if self.recipients else "554 5.5.1 No valid recipients"
        self.last = self.sink.take("dot") or usual
        if isinstance(self.last, Act):
            self.sink.dropped.append(mail)
        if self.recipients and (isinstance(self.last, Act) or self._accepted()):
            self.sink.mails.append(mail)
        self._forget()
        goes_on = await self._give()
        await self.sink.note()
        return goes_on

    def _accepted(self) -> bool:
        text = self.last.text if isinstance(self.last, Drip | Late) else self.last
        return isinstance(text, str) and text.startswith("2")

    async def _say(self, key: str, usual: str) -> bool:
        """Send the scripted reply or the usual one; False where the connection is over."""
        self.last: Reply = self.sink.take(key) or usual
        return await self._give()

    async def _give(self) -> bool:
        match self.last:
            case Act.HANG:
                await asyncio.Event().wait()
            case Act.DROP:
                return False
            case Act.RESET:
                self._reset()
                return False
            case Drip(text, gap):
                for char in f"{text}\r\n":
                    self.writer.write(char.encode())
                    await self.writer.drain()
                    await asyncio.sleep(gap)
            case Late(text, seconds):
                await asyncio.sleep(seconds)
                self.writer.write(f"{text}\r\n".encode())
            case bytes():
                self.writer.write(self.last)
            case _:
                self.writer.write(f"{self.last}\r\n".encode())
        await self.writer.drain()
        return not (isinstance(self.last, str) and self.last.startswith("421"))

    def _reset(self) -> None:
        peer = self.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _line(self) -> str | None:
        while (end := self.buffer.find(b"\r\n")) < 0:
            if not await self._more():
                return None
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line.decode("utf-8", "surrogateescape")

    async def _body(self) -> bytes | None:
        """The octets up to the dot; None when the connection ends before it."""
        self.buffer[:0] = b"\r\n"  # so that a dot in the first line is found like any other
        seen = 0
        while (end := self.buffer.find(b"\r\n.\r\n", seen)) < 0:
            seen = max(0, len(self.buffer) - 4)
            if not await self._more():
                return None
        raw = bytes(self.buffer[2 : end + 2])
        del self.buffer[: end + 5]
        return raw

    async def _more(self) -> bool:
        chunk = await self.reader.read(1 << 18)
        self.buffer += chunk
        return bool(chunk)


def _path(rest: str) -> tuple[str, list[str]]:
    """The address and the parameters after `FROM:` or `TO:`, in whichever case it came."""
    path, _, params = rest.partition(":")[2].partition("> ")
    return path.lstrip("<").rstrip(">"), params.split()
