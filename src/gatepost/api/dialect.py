"""A dialect: how one API says no, counts its lists and proves who is calling. The native one is here."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from starlette.datastructures import MutableHeaders
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
    Kind.UNAVAILABLE: 503,
    Kind.FULL: 507,
}
"""Kind -> HTTP status; a kind that only the mail road says is an error of ours: 500."""

PHRASE = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110; the standard library lags behind
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

    `refusal` makes an error body, `count` the headers of a list of so many; `challenge` tells who shows no credentials
    which ones are taken (RFC 9110 11.6.1).
    """

    name: str
    prove: Callable[[Request, Counter], Awaitable[Caller]]
    refusal: Callable[[int, str, str, str | None], bytes]
    count: Callable[[int], dict[str, str]]
    headers: tuple[tuple[str, str], ...] = ()
    challenge: str = "Bearer"

    def clothe(self, response: Response, request_id: str) -> Response:
        """Add what every answer of this API carries."""
        headers = MutableHeaders(raw=response.raw_headers)
        for name, value in self.headers:
            headers.append(name, value)
        headers["X-Request-Id"] = request_id
        return response

    def no(self, problem: Problem, path: str) -> Response:
        """Answer a Problem."""
        status = STATUS.get(problem.kind, 500)
        if status == 500:
            return self.refuse(status, "The request failed.", path)
        response = self.refuse(status, problem.detail, path, problem.pointer)
        if status in RETRY_AFTER:
            response.headers["Retry-After"] = str(problem.context.get("retry_after", RETRY_AFTER[status]))
        if status == 401:
            response.headers["WWW-Authenticate"] = self.challenge
        return response

    def refuse(self, status: int, message: str, path: str, pointer: str | None = None) -> Response:
        return Response(self.refusal(status, message, path, pointer), status, media_type="application/json")


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
