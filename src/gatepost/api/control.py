"""The control socket's entrance: whoever may open the socket file is the system's administrator."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepost.model.access import Caller

LOCAL = Caller(login="local control", sys_admin=True)


class Control:
    """Hands every request on with its caller known; only for an application on a private Unix socket."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "caller": LOCAL}
        await self._app(scope, receive, send)
