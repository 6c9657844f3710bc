"""The site: every operation found, put behind one router, with errors, request ids and metrics for all alike."""

import pkgutil
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

import structlog
from prometheus_client import Counter as Counting
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepost.api import admin
from gatepost.api.dialect import Dialect, spoken
from gatepost.api.endpoint import Call, Desk, Endpoint
from gatepost.api.exports import Stream
from gatepost.api.ids import Ids
from gatepost.api.openapi import encoded
from gatepost.events import Metrics, log
from gatepost.model.access import PERMISSIONS, Caller
from gatepost.model.query import Query
from gatepost.services.counter import Counter
from gatepost.settings import Http


def make_app(
    counter: Counter,
    settings: Http,
    *,
    seed: bytes,
    metrics: Metrics,
    pages: Iterable[BaseRoute] = (),
    more: Iterable[Endpoint] = (),
) -> "Site":
    """Build the ASGI application of all operations, of the pages, and of `more` that an embedding program declares.

    `seed` decides how ids look and must be the same at every start. Raises ValueError for an operation that is there
    already, or that takes what nobody gives.
    """
    desk, added = Desk(counter, Ids(seed), settings), tuple(more)
    for each in added:
        _check(each, counter)
    return Site(added, pages, desk, metrics)


def _check(item: Endpoint, counter: Counter) -> None:
    """Raise ValueError for a parameter that neither the request nor a service fills, a type that JSON has not, or a
    permission that nobody holds.
    """
    if item.permission not in (None, "SYSADMIN", *PERMISSIONS):
        raise ValueError(f"{item.method} {item.path}: there is no permission {item.permission!r}")
    for name, kind, segment in item.taken:
        asked = segment in item.names or name == "query" or kind in (Call, Caller, Query)
        if not (asked or kind in counter):
            raise ValueError(f"{item.method} {item.path}: no name of the path and no service fills {name!r}")
    try:
        encoded([item])
    except TypeError as error:
        raise ValueError(f"{item.method} {item.path} can't be described: {error}") from error


class Site(Starlette):
    """The application; its entrance stands before everything, so that errors of ours are counted and named too."""

    def __init__(self, added: Sequence[Endpoint], pages: Iterable[BaseRoute], desk: Desk, metrics: Metrics) -> None:
        super().__init__(routes=[*pages])
        self.router.redirect_slashes = False
        self._endpoints = (*operations(), *added)
        self._places = Places(self._endpoints) if added else usual()
        self._desk = desk
        self._dialects = {item.dialect.name: item.dialect for item in self._endpoints}.values()
        self.ids = desk.ids
        self._metrics = metrics

    @cached_property
    def description(self) -> bytes:
        """What /openapi.json answers."""
        return encoded(self._endpoints)

    def spoken(self, path: str) -> Dialect:
        """Return the dialect in which a path is answered."""
        return spoken(path, self._dialects)

    def build_middleware_stack(self) -> ASGIApp:
        pages = ExceptionMiddleware(self.router, handlers={HTTPException: _refuse})  # type: ignore[dict-item]
        return Entrance(ServerErrorMiddleware(Fork(self._places, self._desk, pages), handler=_fail), self._metrics)


@cache
def operations() -> tuple[Endpoint, ...]:
    """Return every operation that a module of `api` declares."""
    return tuple(item for module in _modules() for item in vars(module).values() if isinstance(item, Endpoint))


OFFERING = ("openapi", "probes", "apinizer", "egroupware", "iq_server", "mod_email")
"""The modules beside `admin` that declare operations."""


def _modules() -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(admin.__path__, admin.__name__ + "."):
        yield import_module(info.name)
    for info in pkgutil.iter_modules(import_module("gatepost.api").__path__):
        if info.name in OFFERING:
            yield import_module(f"gatepost.api.{info.name}")


class Places:
    """Every path of an operation, found segment by segment: literal ones come before parameters (contract A43)."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root: dict[str, Any] = {}
        operations: dict[tuple[str, ...], dict[str, Endpoint]] = defaultdict(dict)
        for item in endpoints:
            for path in _paths(item):
                shape = tuple("{}" if part.startswith("{") else part for part in path.split("/"))
                if item.method in operations[shape]:
                    raise ValueError(f"{item.method} {path} is declared twice")
                operations[shape][item.method] = item
        for shape, found in operations.items():
            node = self._root
            for part in shape:
                node = node.setdefault(part, {})
            node[PLACE] = Place(found)

    def find(self, path: str) -> "tuple[Place | None, list[str]]":
        """Return the place of a path with the parameters on its way; None for what is no operation's."""
        segments: list[str] = []
        place = _find(self._root, path.split("/"), 0, segments)
        return place, segments[::-1]


@cache
def usual() -> Places:
    """Return the places of our own operations, which are the same in each site."""
    return Places(operations())


class Fork:
    """Hands operations to their place, and the rest to the pages."""

    def __init__(self, places: Places, desk: Desk, pages: ASGIApp) -> None:
        self._places = places
        self._desk = desk
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place, segments = self._places.find(scope["path"]) if scope["type"] == "http" else (None, [])
        scope["path_params"] = dict(enumerate(segments))
        if place is None:
            await self._pages(scope, receive, send)
        else:
            await place.serve(Request(scope, receive), self._desk, send)


def _paths(item: Endpoint) -> set[str]:
    """The paths of an operation; one that is declared with a slash at its end is reached without it, too."""
    return {mount + path for mount in item.dialect.mounts for path in (item.path, item.path.removesuffix("/"))}


PLACE = "/"  # under which a node keeps its own place; no segment has one


def _find(node: dict[str, Any], parts: list[str], at: int, segments: list[str]) -> "Place | None":
    """Return the place of the parts from `at` on; the parameters on its way are added, the last one first."""
    if at == len(parts):
        place: Place | None = node.get(PLACE)
        return place
    part = parts[at]
    place = None
    if part in node:
        place = _find(node[part], parts, at + 1, segments)
    if place is None and part and "{}" in node:
        place = _find(node["{}"], parts, at + 1, segments)
        if place is not None:
            segments.append(part)
    return place


class Place:
    """One path with the operations of its methods."""

    def __init__(self, operations: dict[str, Endpoint]) -> None:
        self._operations = operations
        self._dialect = next(iter(operations.values())).dialect
        allowed = set(operations) | {"OPTIONS"} | ({"HEAD"} if "GET" in operations else set())
        self._allow = ", ".join(sorted(allowed))

    async def serve(self, request: Request, desk: Desk, send: Send) -> None:
        """Answer a request that is asked at this desk."""
        response = await self._answer(request, desk)
        await self._dialect.clothe(response)(request.scope, request.receive, send)

    async def _answer(self, request: Request, desk: Desk) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": self._allow})
        method = "GET" if request.method == "HEAD" else request.method
        operation = self._operations.get(method)
        if operation is None:
            response = self._dialect.refuse(
                self._dialect.unoffered, "The method is not offered here.", request.scope["path"]
            )
            response.headers["Allow"] = self._allow
            return response
        response = await operation.serve(request, desk)
        return await _without_body(response) if request.method == "HEAD" else response


async def _without_body(response: Response) -> Response:
    """Return the head of an answer, its Content-Length with it."""
    if isinstance(response, Stream):
        await response.aclose()
    bare = Response(status_code=response.status_code)
    bare.raw_headers = response.raw_headers
    return bare


GUARD = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""What every answer says to browsers, unless it has words of its own."""
_GUARDED = frozenset(name for name, _ in GUARD)


class Entrance:
    """Gives each request its id, routes by the path as sent (an encoded slash is no slash), clothes and counts."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._counters: dict[tuple[str, int], Counting] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        # What an application has mounted us under is its own: our paths begin behind it.
        scope["path"] = scope["raw_path"].decode("ascii").removeprefix(scope.get("root_path", ""))
        scope["root_path"] = ""
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                guard(message["headers"], request_id)
                self._count(scope["method"], message["status"])
            await send(message)

        before = structlog.contextvars.bind_contextvars(request=request_id)
        try:
            await self._app(scope, receive, pass_on)
        finally:
            structlog.contextvars.reset_contextvars(**before)

    def _count(self, method: str, status: int) -> None:
        counter = self._counters.get((method, status))
        if counter is None:
            counter = self._counters[method, status] = self._metrics.requests.labels(method, str(status))
        counter.inc()


def guard(headers: list[tuple[bytes, bytes]], request_id: str) -> None:
    """Add what every answer carries."""
    there = {name for name, _ in headers}
    headers += GUARD if there.isdisjoint(_GUARDED) else [pair for pair in GUARD if pair[0] not in there]
    headers.append((b"x-request-id", request_id.encode()))


async def _refuse(request: Request, error: HTTPException) -> Response:
    """Answer what the router itself refuses: an unknown path, a method that a page has not (RFC 9110 15.5.6: Allow)."""
    message = "There is nothing at this path." if error.status_code == 404 else error.detail
    response = _say(request, error.status_code, message)
    response.headers.update(error.headers or {})
    return response


async def _fail(request: Request, error: Exception) -> Response:
    """Answer an error of ours without a word about it; the log has it all."""
    path = request.scope["path"]
    log.error("request failed", method=request.method, path=path, exc_info=error)
    return _say(request, 500, "The request failed; the operator finds it by its X-Request-Id.")


def _say(request: Request, status: int, message: str) -> Response:
    """Refuse in the words of the API that the path belongs to."""
    path = request.scope["path"]
    dialect: Dialect = request.app.spoken(path)
    return dialect.clothe(dialect.refuse(status, message, path))
