"""The pages with a form: sign in by a link, set a password by a link, sign out. Without scripts, each form guarded."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gatepost.model.access import Purpose
from gatepost.model.problem import Kind, Problem
from gatepost.services.counter import Counter
from gatepost.services.passwords import LONGEST, SHORTEST
from gatepost.services.recovery import Recovery, Reset
from gatepost.services.sessions import Sessions, Visitor
from gatepost.services.wording import Wording

COOKIE = "__Host-gatepost"  # a browser takes the name only with Secure and Path=/ (RFC 6265bis 4.1.3.2)
LARGEST = 16_384  # octets of a form
POLICY = "; ".join(
    [
        "default-src 'none'",
        "style-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
STATUS = {
    Kind.MALFORMED: 400,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.UNPROCESSABLE: 422,
    Kind.TOO_MANY: 429,
}
"""What a page answers to each kind of refusal; to any other: 503."""

Form = dict[str, str]


class Forms:
    """Shows and takes the forms. A GET changes nothing, so that whoever scans links uses none up (threat 140)."""

    def __init__(self, counter: Counter) -> None:
        self._sessions = counter.of(Sessions)
        self._recovery = counter.of(Recovery)
        self._wording = counter.of(Wording)

    def routes(self) -> list[Route]:
        """Return the pages by their paths."""
        return [
            Route("/signin", self._show_signin, methods=["GET"]),
            Route("/signin", self._taken(self._sign_in), methods=["POST"]),
            Route("/signout", self._taken(self._sign_out), methods=["POST"]),
            Route("/password", self._show_password, methods=["GET"]),
            Route("/password", self._taken(self._set_password), methods=["POST"]),
        ]

    # What is shown.

    async def _show_signin(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        if not token:
            return self._session(request)
        visitor = self._sessions.visitor(token, Purpose.SIGN_IN)
        return self._page(request, "signin", visitor, token=token) if visitor else self._say(request, "gone", 404)

    def _session(self, request: Request) -> Response:
        visitor = self._sessions.visitor(cookie_of(request), Purpose.SESSION)
        if visitor is None or self._sessions.who(cookie_of(request)) is None:
            return self._say(request, "unknown")
        return self._page(request, "session", visitor)

    async def _show_password(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        return self._password(request, token)

    def _password(self, request: Request, token: str, error: str = "", status: int = 200) -> Response:
        visitor = self._sessions.visitor(token, Purpose.PASSWORD)
        if visitor is None:
            return self._say(request, "gone", 404)
        lengths = {"shortest": SHORTEST, "longest": LONGEST}
        return self._page(request, "password", visitor, status, error=error, token=token, **lengths)

    # What is taken.

    def _taken(self, act: Callable[[Request, Form], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Make a page of an act: it reads the form, asks whether it is one of ours (threat 139), and says no."""

        async def serve(request: Request) -> Response:
            try:
                form = await read_form(request)
                cookie = cookie_of(request)
                if not (cookie and self._sessions.is_form_of(cookie, form.get("form", ""))):
                    raise Problem(Kind.FORBIDDEN, "The form is none of this browser's.")
                return await act(request, form)
            except Problem as problem:
                return self._refuse(request, problem)

        return serve

    async def _sign_in(self, request: Request, form: Form) -> Response:
        token = form.get("token", "")
        try:
            session = await self._sessions.open(token, form.get("code", ""), ip_of(request))
        except Problem as problem:
            visitor = self._sessions.visitor(token, Purpose.SIGN_IN)
            if problem.kind is not Kind.UNPROCESSABLE or visitor is None:
                raise
            return self._page(request, "signin", visitor, 422, error="code", token=token)
        return bake(RedirectResponse("signin", 303, headers={"Content-Security-Policy": POLICY}), session)

    async def _sign_out(self, request: Request, _: Form) -> Response:
        await self._sessions.close(cookie_of(request))
        answer = self._say(request, "left")
        answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
        return answer

    async def _set_password(self, request: Request, form: Form) -> Response:
        token, password = form.get("token", ""), form.get("password", "")
        if password != form.get("again", ""):
            return self._password(request, token, "unlike", 422)
        try:
            await self._recovery.reset(Reset(token=token, password=password), ip_of(request))
        except Problem as problem:
            if problem.kind is not Kind.UNPROCESSABLE:
                raise
            error = "elsewhere" if SHORTEST <= len(password) <= LONGEST else "length"
            return self._password(request, token, error, 422)
        return self._say(request, "set")

    # How it looks.

    def _refuse(self, request: Request, problem: Problem) -> Response:
        status = STATUS.get(problem.kind, 503)
        said = {403: "foreign", 404: "gone", 429: "often"}.get(status, "failed")
        answer = self._say(request, said, status)
        if problem.kind is Kind.TOO_MANY:
            answer.headers["Retry-After"] = str(problem.context.get("retry_after", 60))
        return answer

    def _say(self, request: Request, text: str, status: int = 200) -> Response:
        return self._page(request, "message", self._sessions.stranger(), status, text=text)

    def _page(self, request: Request, name: str, visitor: Visitor, status: int = 200, **values: Any) -> Response:
        """Render a page; a browser without a cookie gets one, which its forms are bound to."""
        cookie = cookie_of(request) or secrets.token_urlsafe(32)
        known: dict[str, Any] = {"error": "", "form": self._sessions.form_token(cookie), "product": visitor.product}
        known |= {"login": visitor.login, "needs_code": visitor.needs_code}
        text = self._wording.render(f"pages/{name}.html", visitor.language, **known | values)
        answer = Response(text, status, {"Content-Security-Policy": POLICY}, "text/html; charset=utf-8")
        return answer if cookie_of(request) else bake(answer, cookie)


def bake(answer: Response, value: str) -> Response:
    """Give the browser its cookie: for this host alone, out of reach of scripts and of other sites' requests."""
    answer.set_cookie(COOKIE, value, secure=True, httponly=True, samesite="strict")
    return answer


def cookie_of(request: Request) -> str:
    return request.cookies.get(COOKIE, "")


def ip_of(request: Request) -> str:
    return request.client.host if request.client else ""


async def read_form(request: Request) -> Form:
    """Return the members of a urlencoded form; raise MALFORMED or TOO_LARGE."""
    raw = b""
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > LARGEST:
                raise Problem(Kind.TOO_LARGE, f"The form may have at most {LARGEST} octets.")
        return dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20))
    except (ClientDisconnect, ValueError) as error:
        raise Problem(Kind.MALFORMED, "The form is no valid one.") from error
