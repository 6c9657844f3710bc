"""A dialect: how one API says no, counts its lists and proves who is calling. The native one is here."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatepost.api.credentials import bearer
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.services.counter import Counter

STATUS: Mapping[Kind, int] = {
    Kind.MALFORMED: 400,
    Kind.BAD_ADDRESS: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.NOT_ACCEPTABLE: 406,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION: 412,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.UNPROCESSABLE: 422,
    Kind.TOO_MANY: 429,
    Kind.SLOWED: 429,
    Kind.UNAVAILABLE: 503,
    Kind.FULL: 507,
}
"""Kind -> HTTP status; a kind that only the mail road says is an error of ours: 500."""

JSON = "application/json"
TEXT = "text/plain"
PHRASE = {  # as RFC 9110 has them; the standard library does since Python 3.13
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
RETRY_AFTER = {429: 60, 503: 5}


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The native error body (contract F8)."""

    status: int
    error: str
    message: str
    path: str
    pointer: str | None = None


def phrase(status: int) -> str:
    return PHRASE.get(status) or HTTPStatus(status).phrase


@dataclass(frozen=True)
class Dialect:
    """What one API does its own way.

    `refusal` makes an error body, which is of the type `error` (str for a plain text) and the media type `media`;
    `status` holds the kinds that this API answers otherwise than ours. `count` makes the headers of a list of so many.
    `challenge` tells who shows no credentials which ones are taken (RFC 9110 11.6.1), `unproven` are further headers
    of that answer; `schemes` are the kinds of credentials ("basic", "bearer"). Each path is offered behind every one of
    `mounts`; what lies below `roots` and is not there is refused in this API's words, too.
    """

    name: str
    prove: Callable[[Request, Counter], Awaitable[Caller]]
    refusal: Callable[[int, str, str, str | None], bytes]
    count: Callable[[int], dict[str, str]] = lambda _: {}
    headers: tuple[tuple[str, str], ...] = ()
    challenge: str = "Bearer"
    unproven: tuple[tuple[str, str], ...] = ()
    schemes: tuple[str, ...] = ("bearer",)
    status: Mapping[Kind, int] = field(default_factory=dict)
    unoffered: int = 405
    error: Any = Refusal
    media: str = JSON
    mounts: tuple[str, ...] = ("",)
    roots: tuple[str, ...] = ()

    def status_of(self, kind: Kind) -> int:
        """Return the HTTP status of a kind; that of an error of ours is 500."""
        return self.status.get(kind) or STATUS.get(kind, 500)

    @cached_property
    def _raw_headers(self) -> list[tuple[bytes, bytes]]:
        return raw(self.headers)

    def clothe(self, response: Response) -> Response:
        """Add what every answer of this API carries."""
        response.raw_headers.extend(self._raw_headers)
        return response

    def no(self, problem: Problem, path: str) -> Response:
        """Answer a Problem."""
        status = self.status_of(problem.kind)
        if problem.kind not in STATUS:
            return self.refuse(status, "The request failed.", path)
        response = self.refuse(status, problem.detail, path, problem.pointer)
        if status in RETRY_AFTER:
            response.headers["Retry-After"] = str(problem.context.get("retry_after", RETRY_AFTER[status]))
        if status == 401:
            response.headers["WWW-Authenticate"] = self.challenge
            response.headers.update(dict(self.unproven))
        return response

    def refuse(self, status: int, message: str, path: str, pointer: str | None = None) -> Response:
        body = self.refusal(status, message, path, pointer)
        return Response(body, status, media_type=self.media if body else None)


class Json(Response):
    """An answer in JSON, whose headers are made in one go."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", JSON.encode()),
            *raw(headers.items()),
        ]


def raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI takes them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def plain(status: int, message: str, path: str, pointer: str | None) -> bytes:
    """An error body that is a text, with the member at fault where there is one."""
    return (f"{message} ({pointer})" if pointer else message).encode()


def _refusal(status: int, message: str, path: str, pointer: str | None) -> bytes:
    return msgspec.json.encode(Refusal(status, phrase(status), message, path, pointer))


def _count(total: int) -> dict[str, str]:
    return {"X-Total-Count": str(total), "Access-Control-Expose-Headers": "X-Total-Count"}


NATIVE = Dialect(
    name="native",
    prove=bearer,
    refusal=_refusal,
    count=_count,
    headers=(
        ("Vary", "Origin"),
        ("Vary", "Access-Control-Request-Method"),
        ("Vary", "Access-Control-Request-Headers"),
    ),  # contract A73
)


def spoken(path: str, dialects: Iterable[Dialect]) -> Dialect:
    """Return the dialect of a path, be anything there or not: that of the longest root, else the native."""
    below = [
        (len(root), each) for each in dialects for root in each.roots if path == root or path.startswith(f"{root}/")
    ]
    return max(below, key=lambda found: found[0])[1] if below else NATIVE
