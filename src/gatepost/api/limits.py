"""What a peer may do to the HTTP server: deadlines for head and body, sizes, connections, and no two ways to read it.

llhttp (through httptools) is strict as it stands: Content-Length beside Transfer-Encoding, two lengths, bare LF, folded
headers and blanks before a colon end the connection with 400. This adds what uvicorn leaves open (threats 131-133).
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gatepost.api.dialect import RETRY_AFTER, Dialect
from gatepost.api.outlet import Outlet
from gatepost.settings import Http

URL = 8_192
HEAD = 32_768
LINGER = 1.0  # seconds
_UNREAD = URL + 2 * HEAD  # octets of a head that has not ended yet; its fields are counted one by one besides

REASONS = {
    400: "The request is not well-formed HTTP.",
    408: "The request did not come in time.",
    414: f"The address may have at most {URL} octets.",
    431: f"The headers may have at most {HEAD} octets.",
    501: "The method is unknown.",
    503: "There are too many connections; try again later.",
}
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


def options(settings: Http, spoken: Callable[[str], Dialect]) -> dict[str, Any]:
    """Return the uvicorn options that a server on the network needs; `spoken` tells the dialect of a path."""
    tls = {"ssl_certfile": settings.certificate, "ssl_keyfile": settings.key or None} if settings.certificate else {}
    return tls | {
        "http": type("GuardedProtocol", (Guard,), {"limits": settings, "spoken": staticmethod(spoken)}),
        "ws": "none",
        "server_header": False,
        "timeout_keep_alive": settings.header_timeout,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": settings.trusted_proxies,
    }


class Refused(Exception):
    """Ends the parsing of a request; `status` says with which answer."""

    def __init__(self, status: int) -> None:
        super().__init__(REASONS[status])
        self.status = status


class Guard(HttpToolsProtocol):
    """One connection. A head must come within `header_timeout`; a body, and who reads our answer, must keep moving."""

    limits: ClassVar[Http]
    spoken: ClassVar[Callable[[str], Dialect]]

    def __init__(self, config: uvicorn.Config, *args: Any, **more: Any) -> None:
        super().__init__(config, *args, **more)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._refused = False
        self._unanswered: deque[RequestResponseCycle] = deque()  # who asked may ask again before his answer
        self._whole = False  # the address of the request has come, or as much of it as we read
        self._in_head = True  # what comes next belongs to the head of a request
        self._head = 0  # octets of the head's fields
        self._unread = 0  # octets of a head that has not ended
        self._body = 0  # octets of the body since the last look at its rate
        self._fed = b""  # what the parser has before it
        self._again = b""  # what it gets next

    # The life of a connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._outlet = Outlet(transport, self.loop)
        if len(self.connections) > self.limits.max_connections:
            self._refuse(503)
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        if self._in_head:
            self._unread += len(data)  # the end of a head takes it back
            if self._deadline is None:
                self._await_head()
        self._again = data
        while self._again and not self._refused:
            self._fed, self._again = self._again, b""
            super().data_received(self._fed)
        if self._in_head and not self._refused and self._unread > _UNREAD:
            self._refuse(431 if self.headers else 414)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser, or one of its callbacks here, refused; `msg` is uvicorn's own text."""
        error = sys.exception()
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            self._refuse(501)
            return
        cause = error.__context__ if error else None
        self._refuse(cause.status if isinstance(cause, Refused) else 400)

    # The head.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head, self._whole = True, 0, False

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URL:
            self._whole = True
            raise Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what stands behind a body is no header (RFC 9110 6.5.1)
            super().on_header(name, value)
        self._whole = True
        self._head += len(name) + len(value) + 4
        if self._head > HEAD:
            raise Refused(431)

    def on_headers_complete(self) -> None:
        if self._wishes:
            return
        self._cancel()
        self._in_head, self._unread = False, 0
        if self.parser.should_upgrade():  # a tunnel, whose end the parser would never find
            raise Refused(501)
        self._check_framing()
        super().on_headers_complete()
        self.cycle.transport = self._outlet  # type: ignore[assignment]
        while self._unanswered and self._unanswered[0].response_complete:
            self._unanswered.popleft()
        self._unanswered.append(self.cycle)
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers):
            self._await_body()

    @property
    def _wishes(self) -> bool:
        """Does the request wish for another protocol, such as h2c? It is read again without (RFC 9110 7.8)."""
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _unsupported_upgrade_warning(self) -> None:
        """The parser takes what follows such a wish for that protocol: a body would be run as the next request."""
        end = sys.exception()
        assert isinstance(end, httptools.HttpParserUpgrade)
        line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = (b"%s: %s" % field for field in self.headers if field[0] != b"upgrade")
        self._again = b"\r\n".join((line, *fields, b"", self._fed[end.args[0] :]))

    def _check_framing(self) -> None:
        """Raise for what two servers could read in two ways (RFC 9112 3.2, 6.1)."""
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        hosts = sum(name == b"host" for name, _ in self.headers)
        old = self.parser.get_http_version() == "1.0"
        if codings not in ([], [b"chunked"]) or (old and codings) or hosts > 1 or not (hosts or old):
            raise Refused(400)

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(self.limits.header_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        self._deadline = None
        if self._answering:
            self._await_head()  # the answer under way is not its fault
        else:
            self._refuse(408)

    # The body.

    @property
    def _window(self) -> float:
        """Seconds over which a rate is measured: 30 by default."""
        return 2 * self.limits.header_timeout

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._wishes:
            return
        self._cancel()
        self._in_head, self._whole = True, False
        super().on_message_complete()

    def _await_body(self) -> None:
        self._body = 0
        self._deadline = self.loop.call_later(self._window, self._check_rate)

    def _check_rate(self) -> None:
        self._deadline = None
        slow = self._body < self.limits.min_body_rate * self._window
        if slow and not self.flow.read_paused:
            self._refuse(408)
        else:
            self._await_body()

    # The answer.

    def on_response_complete(self) -> None:
        self._outlet.flush()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._window, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int) -> None:
        """Answer and close; where an answer is under way only close, since a second one would be taken for it."""
        if self._refused or self.transport.is_closing():
            return
        self._cancel()
        self._refused = True
        self._outlet.flush()
        self.pipeline.clear()
        waiting = [each for each in self._unanswered if not each.response_complete]
        for each in waiting:
            each.disconnected = True
            each.message_event.set()
        if any(each.response_started for each in waiting):
            self.transport.close()
            return
        path = _path(self.url) if self._whole else ""
        self.transport.write(_refusal(status, path, type(self).spoken(path)))
        self._linger()

    def _linger(self) -> None:
        """Close once the peer has had a moment to read: a close over unread octets would take our words away."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._deadline = self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _path(url: bytes) -> str:
    """The path of an address as it came; "" where none can be read."""
    try:
        return (httptools.parse_url(url).path or b"").decode("ascii")
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
        return ""


def _refusal(status: int, path: str, dialect: Dialect) -> bytes:
    """The answer in the words of the API that the path belongs to; a path beyond the limit is not said again."""
    response = dialect.refuse(status, REASONS[status], path if len(path) <= URL else "")
    headers = [*response.headers.items(), ("connection", "close"), *dialect.headers]
    if status == 501:
        headers.append(("allow", METHODS))
    if status in RETRY_AFTER:
        headers.append(("retry-after", str(RETRY_AFTER[status])))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return STATUS_LINE[status] + head.encode() + b"\r\n" + bytes(response.body)
