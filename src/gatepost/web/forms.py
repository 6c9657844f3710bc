"""The pages with a form: sign in by a link, set a password by a link, sign out. Without scripts, each form guarded."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gatepost.model.access import Purpose
from gatepost.model.audit import Actor, acting
from gatepost.model.problem import Kind, Problem
from gatepost.services.counter import Counter
from gatepost.services.passwords import LONGEST, SHORTEST
from gatepost.services.recovery import Recovery, Reset
from gatepost.services.sessions import Sessions
from gatepost.web.window import POLICY, Form, Window, ip_of


class Forms:
    """Shows and takes the forms. A GET changes nothing, so that whoever scans links uses none up (threat 140)."""

    def __init__(self, counter: Counter, window: Window) -> None:
        self._sessions = counter.of(Sessions)
        self._recovery = counter.of(Recovery)
        self._window = window

    def routes(self) -> list[Route]:
        """Return the pages by their paths."""
        return [
            Route("/signin", self._window.shown(self._show_signin), methods=["GET"]),
            Route("/signin", self._window.taken(self._sign_in), methods=["POST"]),
            Route("/signout", self._window.taken(self._sign_out), methods=["POST"]),
            Route("/password", self._window.shown(self._show_password), methods=["GET"]),
            Route("/password", self._window.taken(self._set_password), methods=["POST"]),
        ]

    # What is shown.

    async def _show_signin(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        if not token:
            return self._session(request)
        visitor = self._sessions.visitor(token, Purpose.SIGN_IN)
        return (
            self._window.page(request, "signin", visitor, token=token)
            if visitor
            else self._window.say(request, "gone", 404)
        )

    def _session(self, request: Request) -> Response:
        cookie = self._window.cookie(request)
        visitor = self._sessions.visitor(cookie, Purpose.SESSION)
        if visitor is None or self._sessions.who(cookie) is None:
            return self._window.say(request, "unknown")
        return self._window.page(request, "session", visitor)

    async def _show_password(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        return self._password(request, token)

    def _password(self, request: Request, token: str, error: str = "", status: int = 200) -> Response:
        visitor = self._sessions.visitor(token, Purpose.PASSWORD)
        if visitor is None:
            return self._window.say(request, "gone", 404)
        lengths = {"shortest": SHORTEST, "longest": LONGEST}
        return self._window.page(request, "password", visitor, status, error=error, token=token, **lengths)

    # What is taken.

    async def _sign_in(self, request: Request, form: Form) -> Response:
        token = form.get("token", "")
        try:
            with acting(_somebody(request)):
                session = await self._sessions.open(token, form.get("code", ""), ip_of(request))
        except Problem as problem:
            visitor = self._sessions.visitor(token, Purpose.SIGN_IN)
            if problem.kind is not Kind.UNPROCESSABLE or visitor is None:
                raise
            return self._window.page(request, "signin", visitor, 422, error="code", token=token)
        answer = RedirectResponse("signin", 303, headers={"Content-Security-Policy": POLICY})
        return self._window.bake(request, answer, session)

    async def _sign_out(self, request: Request, _: Form) -> Response:
        cookie = self._window.cookie(request)
        visitor = self._sessions.visitor(cookie, Purpose.SESSION)
        await self._sessions.close(cookie)
        return self._window.bake(request, self._window.say(request, "left", visitor=visitor), "")

    async def _set_password(self, request: Request, form: Form) -> Response:
        token, password = form.get("token", ""), form.get("password", "")
        visitor = self._sessions.visitor(token, Purpose.PASSWORD)
        if password != form.get("again", ""):
            return self._password(request, token, "unlike", 422)
        try:
            with acting(_somebody(request)):
                await self._recovery.reset(Reset(token=token, password=password), ip_of(request))
        except Problem as problem:
            if problem.kind is not Kind.UNPROCESSABLE:
                raise
            error = "elsewhere" if SHORTEST <= len(password) <= LONGEST else "length"
            return self._password(request, token, error, 422)
        return self._window.say(request, "set", visitor=visitor)


def _somebody(request: Request) -> Actor:
    """Who shows a link: the audit names him by the account that the link is for."""
    return Actor(ip=ip_of(request), request_id=request.state.request_id)
