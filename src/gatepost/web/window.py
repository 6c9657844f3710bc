"""What all pages share: the cookie of a browser, forms that are bound to it, how a page looks and says no."""

import asyncio
import binascii
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gatepost.model.problem import Kind, Problem
from gatepost.services.counter import Counter
from gatepost.services.sessions import Sessions, Visitor
from gatepost.services.wording import Wording

COOKIE = "__Host-gatepost"  # a browser takes the name only with Secure and Path=/ (RFC 6265bis 4.1.3.2)
PLAIN = "gatepost"  # over http, where nobody would send a Secure one back
LARGEST = 16_384  # octets of a form
MEMBERS = 20  # of a form
_BARE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
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
Act = Callable[[Request, Form], Awaitable[Response]]


class Window:
    """Shows pages and takes their forms. `secure`: browsers come by https, though requests come here by http."""

    def __init__(self, counter: Counter, *, secure: bool) -> None:
        self.sessions = counter.of(Sessions)
        self._wording = counter.of(Wording)
        self._secure = secure

    def taken(
        self, act: Act, *, largest: int = LARGEST, holds: Callable[[str], object] = bool, anew: Act | None = None
    ) -> Callable[[Request], Awaitable[Response]]:
        """Make a page of an act: it reads the form, asks whether it is one of ours (threat 139), and says no.

        Who sends more than LARGEST must have a token that `holds` among the first members. `anew` shows the form once
        more, where it was shown to another cookie: a page that is opened from another site gets a new one, as the
        browser shows that site none.
        """

        async def serve(request: Request) -> Response:
            try:
                form = await read_form(request, largest, holds)
                cookie = self.cookie(request)
                if not (cookie and self.sessions.is_form_of(cookie, form.get("form", ""))):
                    if anew is not None:
                        return await anew(request, form)
                    raise foreign()
                return await act(request, form)
            except Problem as problem:
                return self.refuse(request, problem)

        return serve

    def shown(self, act: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Make a page of an act without a form: it says no, whatever stands in the address."""

        async def serve(request: Request) -> Response:
            try:
                return await act(request)
            except Problem as problem:
                return self.refuse(request, problem)

        return serve

    def refuse(self, request: Request, problem: Problem) -> Response:
        """Say no in plain words."""
        status = STATUS.get(problem.kind, 503)
        said = {403: "foreign", 404: "gone", 429: "often"}.get(status, "failed")
        answer = self.say(request, said, status)
        if problem.kind is Kind.TOO_MANY:
            answer.headers["Retry-After"] = str(problem.context.get("retry_after", 60))
        return answer

    def say(self, request: Request, text: str, status: int = 200, visitor: Visitor | None = None) -> Response:
        """Show one sentence of `pages/message.html`, in the visitor's language where he is known."""
        return self.page(request, "message", visitor or self.sessions.stranger(), status, text=text)

    def page(self, request: Request, name: str, visitor: Visitor, status: int = 200, /, **values: Any) -> Response:
        """Render a page; a browser without a cookie gets one, which its forms are bound to."""
        cookie = self.cookie(request) or secrets.token_urlsafe(32)
        known: dict[str, Any] = {"error": "", "form": self.sessions.form_token(cookie), "product": visitor.product}
        known |= {"login": visitor.login, "needs_code": visitor.needs_code}
        text = self._wording.render(f"pages/{name}.html", visitor.language, **known | values)
        answer = Response(text, status, {"Content-Security-Policy": POLICY}, "text/html; charset=utf-8")
        return answer if self.cookie(request) else self.bake(request, answer, cookie)

    # The cookie: for this host alone, out of reach of scripts and of other sites' requests.

    def cookie(self, request: Request) -> str:
        """Return what the browser shows; an empty text: nothing."""
        return request.cookies.get(COOKIE if self._by_https(request) else PLAIN, "")

    def bake(self, request: Request, answer: Response, value: str) -> Response:
        """Give the browser its cookie; an empty one takes it away."""
        secure = self._by_https(request)
        age = None if value else 0
        answer.set_cookie(
            COOKIE if secure else PLAIN, value, max_age=age, secure=secure, httponly=True, samesite="strict"
        )
        return answer

    def _by_https(self, request: Request) -> bool:
        return self._secure or request.url.scheme == "https"


def foreign() -> Problem:
    return Problem(Kind.FORBIDDEN, "The form is none of this browser's.")


def ip_of(request: Request) -> str:
    return request.client.host if request.client else ""


async def read_form(request: Request, largest: int, holds: Callable[[str], object]) -> Form:
    """Return the members of a urlencoded form; raise MALFORMED or TOO_LARGE, FORBIDDEN for a large one of nobody."""
    raw, known = bytearray(), False
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > largest:
                raise Problem(Kind.TOO_LARGE, f"The form may have at most {largest} octets.")
            if len(raw) > LARGEST and not known:
                known = bool(holds(_members(bytes(raw[:LARGEST]).rpartition(b"&")[0]).get("token", "")))
                if not known:
                    raise Problem(Kind.FORBIDDEN, "A large form begins with the token of its page.")
        return await asyncio.to_thread(_members, bytes(raw)) if known else _members(bytes(raw))
    except (ClientDisconnect, ValueError) as error:
        raise Problem(Kind.MALFORMED, "The form is no valid one.") from error


def _members(raw: bytes) -> Form:
    """Read a form; parse_qsl takes a second of the loop for what anybody may send to the compose page."""
    if raw.count(b"&") >= MEMBERS or not raw.isascii() or _BARE.search(raw):
        raise ValueError("no form")
    pairs = (each.partition(b"=") for each in raw.split(b"&") if each)
    return {_plain(name): _plain(value) for name, _, value in pairs}


def _plain(text: bytes) -> str:
    """Return what was sent as %XX, which is written as =XX in quoted-printable."""
    quoted = text.replace(b"+", b" ").replace(b"=", b"=3D").replace(b"%", b"=")
    return binascii.a2b_qp(quoted).decode("utf-8")
