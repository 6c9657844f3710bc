"""The control socket's entrance: whoever may open the socket file is the system's administrator."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepost.api.server import HttpDoor
from gatepost.model.access import Caller
from gatepost.sockets import forget_local, listen_local

LOCAL = Caller(login="local control", sys_admin=True, local=True)


class Control:
    """Hands every request on with its caller known; only for an application on a private Unix socket."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "caller": LOCAL}
        await self._app(scope, receive, send)


async def open_control(app: ASGIApp, path: Path) -> Callable[[], Awaitable[None]]:
    """Open the socket file; return what closes it."""
    door = HttpDoor(Control(app), [listen_local(path)])

    async def close() -> None:
        await door.stop(1.0)
        forget_local(path)

    await door.start()
    return close
