"""The listeners: opens their sockets, runs their sessions, reads certificates again, stops in an orderly way."""

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Callable, Mapping
from os import environ as process_environment
from typing import Any

from gatepost.certificates import tell_end
from gatepost.events import Clock, Metrics, log
from gatepost.model.envelope import Role
from gatepost.model.problem import Problem
from gatepost.mta.directory import Directory
from gatepost.mta.intake import Intake
from gatepost.settings import Listener, Settings, SettingsError
from gatepost.smtp import replies, tls
from gatepost.smtp.auth import Access
from gatepost.smtp.connection import Connection, Gone
from gatepost.smtp.door import DATA_WINDOW, Door
from gatepost.smtp.handler import Handler
from gatepost.smtp.session import Session
from gatepost.smtp.throttle import Awaits, Budget, Throttle
from gatepost.sockets import BACKLOG, BadEndpoint, join_endpoint, listen, split_endpoint

FILES_FOR_THE_HOUSE = 0.25  # share of the open files that connections leave to store, queue and API
TLS_WORDS = ("none", "starttls", "implicit")


class Listeners:
    """All SMTP listeners of the process."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        intake: Intake,
        access: Access,
        hostname: str,
        clock: Clock,
        metrics: Metrics,
        trouble: Callable[[], Problem | None],
        *,
        environ: Mapping[str, str] = process_environment,
        window: float = DATA_WINDOW,
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._metrics = metrics
        self._clock = clock
        self._environ = environ
        self._window = window
        self._handler = Handler(settings, directory, intake, access, clock=clock, trouble=trouble)
        self._throttle = Throttle(settings.limits, clock, allowed_connections(settings.limits.connections))
        self._budget = Budget(settings.limits.buffer_bytes)
        self._doors: list[tuple[Listener, Door]] = []
        self._sockets: list[tuple[Door, socket.socket]] = []
        self._servers: list[asyncio.Server] = []
        self._hush: Hush | None = None

    async def start(self) -> None:
        """Open every listener, or none. Raises SettingsError, or OSError with the listener's name."""
        try:
            for listener in self._settings.smtp.listener:
                self._open(listener)
        except BaseException:
            for _, sock in self._sockets:
                sock.close()
            raise
        self._hush = Hush(asyncio.get_running_loop())
        for door, sock in self._sockets:
            self._servers.append(await self._serve(door, sock))

    def _open(self, listener: Listener) -> None:
        context = tls_context(self._settings, listener)
        self._tell_end(listener, context)
        try:
            sockets = listen(listener.listen, self._environ)
        except BadEndpoint as error:
            raise SettingsError(f"smtp.listener: {error}") from error
        if any(sock.family not in (socket.AF_INET, socket.AF_INET6) for sock in sockets):
            raise SettingsError(f"smtp.listener: {listener.listen}: no TCP socket, so that no client has an address")
        door = Door(
            self._settings,
            listener,
            context,
            self._hostname,
            name=_name(listener.listen, sockets),
            handler=self._handler,
            throttle=self._throttle,
            budget=self._budget,
            metrics=self._metrics,
            serve=serve,
            window=self._window,
        )
        self._doors.append((listener, door))
        self._sockets.extend((door, sock) for sock in sockets)

    async def _serve(self, door: Door, sock: socket.socket) -> asyncio.Server:
        # asyncio takes `backlog` for the number of connections accepted at once too: where files run out it would
        # fail so many times. One at a time costs nothing that shows; the kernel's queue is set afterwards.
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Session(door, loop), sock=sock, backlog=1)
        sock.listen(BACKLOG)
        return server

    @property
    def addresses(self) -> list[tuple[Role, str, int]]:
        """Return role, host and port of what is open."""
        return [(door.role, *sock.getsockname()[:2]) for door, sock in self._sockets]

    def reload(self) -> None:
        """Read all certificates again, for new connections; one that can't be read leaves the old one in use."""
        for listener, door in self._doors:
            try:
                door.context = tls_context(self._settings, listener)
            except SettingsError as error:
                log.error("certificate not reloaded", listener=listener.listen, why=replies.printable(str(error)))
            else:
                if door.context is not None:
                    log.info("certificate reloaded", listener=listener.listen)
                    self._tell_end(listener, door.context)

    def _tell_end(self, listener: Listener, context: ssl.SSLContext | None) -> None:
        if context is not None:
            tell_end(listener.certificate or self._settings.smtp.certificate, self._metrics, self._clock)

    async def turn_away(self) -> None:
        """Turn newcomers and idle sessions away (421) from now on; mails under way go on."""
        for _, door in self._doors:
            door.stopping = True
        for session in self.sessions:
            if session.watch.awaits is Awaits.COMMAND:
                session.hang_up(replies.STOPPING)

    async def stop(self, grace: float) -> None:
        """Turn newcomers and idle sessions away, let mails under way end, at most for `grace` seconds."""
        await self.turn_away()
        await self._drained(grace)
        self._close()
        for session in self.sessions:
            session.hang_up(replies.STOPPING)
        await self._cancelled()

    def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._sockets.clear()
        if self._hush is not None:
            self._hush.end()

    @property
    def sessions(self) -> list[Connection]:
        """Return what is open now."""
        return [session for _, door in self._doors for session in door.sessions]

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [session.task for session in self.sessions if session.task is not None]

    async def _drained(self, grace: float) -> None:
        tasks = self._tasks()
        if tasks:
            await asyncio.wait(tasks, timeout=grace)

    async def _cancelled(self) -> None:
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _name(written: str, sockets: list[socket.socket]) -> str:
    """Return what a listener is called: by the address that was bound, or the name that systemd gave its sockets."""
    return written if written.startswith("fd:") else join_endpoint(*sockets[0].getsockname()[:2])


class Hush:
    """Says once in a while that open files have run out, where asyncio would say it for each accept that failed."""

    ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
    PAUSE = 60.0  # seconds

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._said: float | None = None
        self._next = loop.get_exception_handler()
        loop.set_exception_handler(self._hear)

    def end(self) -> None:
        self._loop.set_exception_handler(self._next)

    def _hear(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in self.ERRORS:
            self._pass(loop, context)
        elif self._said is None or loop.time() - self._said > self.PAUSE:
            self._said = loop.time()
            log.error("no connection can be accepted now", why=error.strerror)

    def _pass(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self._next is None:
            loop.default_exception_handler(context)
        else:
            self._next(loop, context)


async def serve(session: Connection) -> None:
    """Run a session to its end. An error of our own is told to the client as a temporary one."""
    try:
        await session.open()
        while not session.over:
            if session.door.stopping:
                session.hang_up(replies.STOPPING)
                return
            try:
                await session.step()
            except Gone:
                raise
            except Exception:
                log.exception("session failed", session=session.client.session, ip=session.client.ip)
                await session.stumble()
    except Gone:
        pass
    finally:
        session.left()  # first: whatever becomes of the last word, its place is free
        session.hang_up()


def tls_context(settings: Settings, listener: Listener) -> ssl.SSLContext | None:
    """Return the TLS of a listener, None where it has none; raise SettingsError for what can't be used."""
    if listener.tls not in TLS_WORDS:
        raise SettingsError(f"smtp.listener {listener.listen}: tls is one of {', '.join(TLS_WORDS)}")
    context = tls.context(settings.smtp, listener)
    if listener.role is Role.SUBMISSION and context is None:
        raise SettingsError(f"smtp.listener {listener.listen}: a submission listener needs TLS and a certificate")
    return context


def allowed_connections(wanted: int) -> int:
    """Return how many connections there may be with the open files that this process is allowed."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    room = int(files * (1 - FILES_FOR_THE_HOUSE))
    if room < wanted:
        log.warning("fewer SMTP connections than set: too few open files are allowed", allowed=room, files=files)
    return min(wanted, room)


def endpoints(settings: Settings) -> list[tuple[str, int]]:
    """Return where the listeners listen, as far as the settings tell; raise SettingsError."""
    texts = [listener.listen for listener in settings.smtp.listener if not listener.listen.startswith("fd:")]
    try:
        return [split_endpoint(text) for text in texts]
    except BadEndpoint as error:
        raise SettingsError(f"smtp.listener: {error}") from error
