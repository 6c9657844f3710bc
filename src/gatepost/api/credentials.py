"""Who is calling: the bearer token of a request, made into a Caller."""

from starlette.requests import Request

from gatepost.model.access import Caller
from gatepost.services.access import Access
from gatepost.services.counter import Counter


async def bearer(request: Request, counter: Counter) -> Caller:
    """Return whose token the request shows (RFC 6750 2.1); raise UNAUTHENTICATED or TOO_MANY.

    Who comes over the control socket is known already: only the daemon's own user can open it.
    """
    known = request.scope["state"].get("caller")
    if isinstance(known, Caller):
        return known
    return await counter.of(Access).caller(bearer_token(request), client_ip(request))


def bearer_token(request: Request) -> str:
    """Return the token of the Authorization header, or an empty text."""
    headers = request.headers.getlist("authorization")
    if len(headers) != 1:
        return ""
    scheme, _, token = headers[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def client_ip(request: Request) -> str:
    """Return the peer's address; a named proxy's X-Forwarded-For has been applied by the server already."""
    return request.client.host if request.client else ""
