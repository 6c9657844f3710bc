"""Who is calling: the credentials of a request (a bearer token, or login and password), made into a Caller."""

import base64
import binascii

from starlette.requests import Request

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.services.access import Access
from gatepost.services.counter import Counter
from gatepost.services.signin import SignIn


async def bearer(request: Request, counter: Counter) -> Caller:
    """Return whose token the request shows (RFC 6750 2.1); raise UNAUTHENTICATED or TOO_MANY.

    Who comes over the control socket is known already: only the daemon's own user can open it.
    """
    return known(request) or await counter.of(Access).caller(bearer_token(request), client_ip(request))


async def basic(request: Request, counter: Counter) -> Caller:
    """Return who shows login and password, or a personal token as the password (RFC 7617); raise as `bearer`."""
    if caller := known(request):
        return caller
    if pair := basic_pair(request):
        return await counter.of(SignIn).basic(*pair, client_ip(request))
    raise Problem(Kind.UNAUTHENTICATED, "A login and a password are required.")


async def bearer_or_basic(request: Request, counter: Counter) -> Caller:
    """Return who shows either kind of credentials; raise as `bearer`."""
    if "authorization" not in request.headers and not known(request):
        raise Problem(Kind.UNAUTHENTICATED, "A login and a password, or a bearer token, are required.")
    return await (basic if _credentials(request, "basic") else bearer)(request, counter)


def known(request: Request) -> Caller | None:
    """Return the caller that the control socket's entrance has named."""
    caller = request.scope["state"].get("caller")
    return caller if isinstance(caller, Caller) else None


def bearer_token(request: Request) -> str:
    """Return the token of the Authorization header, or an empty text."""
    return _credentials(request, "bearer")


def basic_pair(request: Request) -> tuple[str, str] | None:
    """Return login and password (UTF-8) of the Authorization header; None where there are none, or not whole."""
    try:
        text = base64.b64decode(_credentials(request, "basic"), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    login, colon, password = text.partition(":")
    return (login, password) if colon else None


def _credentials(request: Request, wanted: str) -> str:
    headers = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(headers) != 1:
        return ""
    scheme, _, value = headers[0].decode("latin-1").partition(" ")
    return value.strip() if scheme.lower() == wanted else ""


def client_ip(request: Request) -> str:
    """Return the peer's address; a named proxy's X-Forwarded-For has been applied by the server already."""
    client = request.scope.get("client")
    return str(client[0]) if client else ""
