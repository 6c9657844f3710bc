"""What all sessions of one listener share."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gatepost.events import Metrics, log
from gatepost.lookout import Term
from gatepost.model.envelope import Role
from gatepost.settings import Listener, Settings
from gatepost.smtp import proxy, replies
from gatepost.smtp.handler import Handler
from gatepost.smtp.replies import Reply
from gatepost.smtp.throttle import Budget, Throttle

if TYPE_CHECKING:
    from gatepost.smtp.connection import Connection

DATA_WINDOW = 60.0  # seconds over which the rate of a mail's data is taken
BUDGET_PATIENCE = 30.0  # seconds that a DATA waits for memory
LINGER = 1.0  # seconds in which a client that was cut off can read why


class Door:
    """A listener as its sessions see it. `name` is what logs and figures call it by, `context` changes when
    certificates are read again.
    """

    def __init__(
        self,
        settings: Settings,
        listener: Listener,
        context: ssl.SSLContext | None,
        hostname: str,
        *,
        name: str,
        handler: Handler,
        throttle: Throttle,
        budget: Budget,
        metrics: Metrics,
        serve: "Callable[[Connection], Coroutine[Any, Any, None]]",
        window: float = DATA_WINDOW,
    ) -> None:
        self.name = name
        self.role = listener.role
        self.hostname = hostname
        self.implicit = listener.tls == "implicit"
        self.normalise = listener.normalise_newlines
        self.proxies = proxy.networks(listener.proxy_protocol_from)
        self.context = context
        self.limits = settings.limits
        self.cut = settings.store.spool_cut
        self.dsn = settings.smtp.advertise_dsn
        self.requiretls = settings.smtp.advertise_requiretls
        self.mechanisms = settings.smtp.auth_mechanisms
        self.window = window
        self.handler = handler
        self.throttle = throttle
        self.budget = budget
        self.serve = serve
        self.sessions: set[Connection] = set()
        loop = asyncio.get_running_loop()
        self.fresh: Term[Connection] = Term(loop, self._calm(), lambda session: session.start_clock())
        self.leaving: Term[Connection] = Term(loop, LINGER, lambda session: session.transport.abort())
        self.stopping = False
        self.greeting = Reply(220, "", f"{self.hostname} ESMTP Gatepost")
        self.hello = Reply(250, "", self.hostname)
        self.extensions_plain = self._extensions(secure=False)
        self.extensions_secure = self._extensions(secure=True)
        self._connections = metrics.connections
        self._accepted = metrics.connections.labels(self.name, "accepted")
        metrics.sessions.labels(self.name).set_function(lambda: len(self.sessions))
        self.refusals = metrics.refusals
        self.log = log.bind()  # its methods stand, the module's looks each one up anew

    @property
    def signs_in(self) -> bool:
        return self.role is Role.SUBMISSION

    def _calm(self) -> float:
        """Return the seconds within which no fresh session can break a time, so that most need no timer."""
        return min(self.limits.idle, self.limits.session, self.window)

    def enter(self, session: "Connection") -> Reply | None:
        """Take a session in, or say why not; each one taken in needs one `leave`."""
        reply = self._closed() or self.throttle.enter()
        if reply is None:
            self._accepted.inc()
            self.sessions.add(session)
        else:
            self._connections.labels(self.name, str(reply.code)).inc()
        return reply

    def leave(self, session: "Connection") -> None:
        self.sessions.discard(session)
        self.throttle.leave()

    def _closed(self) -> Reply | None:
        if self.stopping:
            return replies.STOPPING
        return replies.CLOSED if self.handler.trouble() else None

    def _extensions(self, *, secure: bool) -> bytes:
        """The whole reply to EHLO, for one write."""
        words = ["PIPELINING", f"SIZE {self.limits.message_bytes}", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"]
        if self.dsn:
            words.append("DSN")
        if self.context is not None and not secure:
            words.append("STARTTLS")
        if self.requiretls and secure:
            words.append("REQUIRETLS")
        if self.signs_in and secure:
            words.append(f"AUTH {' '.join(self.mechanisms)}")
        lines = [self.hostname, *words]
        last = len(lines) - 1
        return "".join(f"250{' ' if at == last else '-'}{line}\r\n" for at, line in enumerate(lines)).encode("ascii")
