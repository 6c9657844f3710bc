"""The HTTP server in the daemon's own loop: uvicorn on sockets that are bound before it starts."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gatepost.certificates import load_certificate
from gatepost.events import log
from gatepost.settings import Http, SettingsError


class _Server(uvicorn.Server):
    """Leaves the signals to the daemon; ends when told, where uvicorn looks and waits by tenths of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()

    def end(self) -> None:
        self.should_exit = True
        self._told.set()

    def break_off(self) -> None:
        """Drop the connections: since Python 3.12 a server of asyncio's is closed only when the last of them is."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        told = asyncio.create_task(self._told.wait())
        while not await self.on_tick(0):  # 0: the Date header is made anew
            await asyncio.wait([told], timeout=1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for listening in (*self.servers, *(sockets or ())):
            listening.close()


def check_certificate(settings: Http) -> None:
    """Raise SettingsError for a certificate and key that no server can use."""
    certificate, key = settings.certificate, settings.key
    if not certificate and not key:
        return
    try:
        load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    except OSError as error:
        raise SettingsError(f"http: certificate {certificate!r} with key {key!r}: {error}") from error


class HttpDoor:
    """Serves one ASGI application on the given sockets."""

    def __init__(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        *,
        told: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        """`told` is called with the file of each certificate that was read."""
        self.sockets = list(sockets)
        self._told = told
        config = uvicorn.Config(app, loop="none", lifespan="off", log_config=None, access_log=False, **options)
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; returns once requests are taken, raises what kept the server from starting."""
        self._task = asyncio.create_task(self._server.serve(self.sockets))
        while not self._server.started:
            done, _ = await asyncio.wait([self._task], timeout=0.01)
            if done:
                self._task.result()
                raise OSError("the HTTP server ended while starting")
        self._tell()

    async def stop(self, grace: float) -> None:
        """Finish the requests under way, at most `grace` seconds, then close; what hangs is broken off."""
        if self._task is None:
            return
        self._server.end()
        _, late = await asyncio.wait([self._task], timeout=grace)
        if late:
            self._server.force_exit = True
            self._server.break_off()
            await asyncio.wait(late, timeout=1.0)

    def reload(self) -> None:
        """Read the certificate again, for new connections; one that can't be read leaves the old one in use."""
        config = self._server.config
        if config.ssl is None or config.ssl_certfile is None:
            return
        try:
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config.ssl):  # whole, or refused
                load_certificate(context, str(config.ssl_certfile), str(config.ssl_keyfile or ""))
        except OSError as error:
            log.error("certificate not reloaded", file=str(config.ssl_certfile), why=str(error))
        else:
            log.info("certificate reloaded", file=str(config.ssl_certfile))
            self._tell()

    def _tell(self) -> None:
        if self._told is not None and self._server.config.ssl_certfile:
            self._told(str(self._server.config.ssl_certfile))

    @property
    def addresses(self) -> list[Any]:
        return [sock.getsockname() for sock in self.sockets]
