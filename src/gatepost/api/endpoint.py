"""The one decorator that makes a function an operation: it decodes, authenticates, calls, encodes, clothes errors.

    @endpoint("POST", "/domains/{domainId}/groups", permission="GROUPS_WRITE", location="/domains/{domainId}/groups/{id}")
    async def create_group(groups: Groups, caller: Caller, domain_id: Id, body: GroupAdd) -> GroupView:
        "Create a group."

Parameters are filled by name and type: `body` is the JSON body (`| None`: it may be missing), `query` a Struct of query parameters, a `Query` the
list parameters (with `listing=`); names of the path are read as `Id`, `str`, `Given` or `Id | str` (an id or an address);
`Caller` and `Call` come from the request; anything else is a service of that class. The result decides the answer:
None is 204, a `Page` a list with its total, an `Answer` JSON with a status and headers of its own, a Response passes as
it is, anything else is JSON.
"""  # noqa: E501

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import quote, unquote_to_bytes

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gatepost.api.accept import choose
from gatepost.api.body import structure
from gatepost.api.credentials import client_ip
from gatepost.api.dialect import JSON, NATIVE, Dialect, Json
from gatepost.api.exports import CSV, SUFFIX, Ask, Export
from gatepost.api.given import read_params, read_query, read_segment
from gatepost.api.ids import Ids
from gatepost.api.listing import Listing, camel
from gatepost.api.patience import awaited, require_client
from gatepost.model.access import Caller
from gatepost.model.audit import Actor, acting
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.access import require_somewhere
from gatepost.services.counter import Counter
from gatepost.services.exporters import Exporters, Prove, Run
from gatepost.services.exporting import Order
from gatepost.services.scratch import Scratch
from gatepost.settings import Http
from gatepost.turns import in_turns

BOOKS = 2  # workbooks that are made at once; each keeps a thread busy
REASON = 500  # characters

Handler = Callable[..., Awaitable[Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """A result that chooses its status among those of its operation, and its headers."""

    value: T
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Desk:
    """What every operation of a site shares."""

    counter: Counter
    ids: Ids
    settings: Http
    encoder: msgspec.json.Encoder = field(init=False)
    decoder: Callable[[Any], msgspec.json.Decoder[Any]] = field(init=False)
    books: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BOOKS))

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", msgspec.json.Encoder(enc_hook=self.ids.encode_hook))
        object.__setattr__(self, "decoder", cache(partial(msgspec.json.Decoder, dec_hook=self.ids.decode_hook)))


@dataclass(frozen=True)
class Call:
    """One request on its way through an operation."""

    request: Request
    desk: Desk
    caller: Caller

    @property
    def ip(self) -> str:
        return client_ip(self.request)

    @property
    def actor(self) -> Actor:
        """Who answers for what this request changes."""
        caller = self.caller
        return Actor(
            login=caller.login,
            admin_id=caller.admin_id,
            user_id=caller.user_id,
            token_id=caller.token_id,
            maker=caller.maker.login if caller.maker else None,
            ip=self.ip,
            request_id=self.request.scope["state"]["request_id"],
            reason=self.reason,
        )

    @property
    def reason(self) -> str | None:
        """Why the caller looks at what is another's, as he states it in X-Access-Reason."""
        given = self.request.headers.get("x-access-reason")
        if not given:
            return None
        text = given.encode("latin-1").decode("utf-8", "replace")
        return "".join(char for char in text if char.isprintable()).strip()[:REASON] or None

    async def awaited(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what takes long, its body read already, as long as the client waits for it; raise UNAVAILABLE after."""
        return await awaited(self.request, work)

    def flag(self, header: str) -> bool:
        """Tell whether a header without a value is there; "false" counts as absent (contract A33)."""
        value = self.request.headers.get(header)
        return value is not None and value.strip().lower() != "false"

    @property
    def base(self) -> str:
        """The address for links: the setting, else the socket's own; never the Host header."""
        if self.desk.settings.base_url:
            return self.desk.settings.base_url.rstrip("/")
        server = self.request.scope.get("server")
        if not server or server[1] is None:
            return ""
        host = f"[{server[0]}]" if ":" in server[0] else server[0]
        return f"{self.request.scope['scheme']}://{host}:{server[1]}"


@dataclass(frozen=True)
class Endpoint:
    """An operation: what it is called by, what it needs, what it takes and answers. OpenAPI is read off it."""

    method: str
    path: str
    function: Handler
    hints: Mapping[str, Any]
    permission: str | None
    others: bool
    status: int
    also: tuple[int, ...]
    location: str | None
    listing: Listing | None
    exports: bool
    headers: tuple[str, ...]
    problems: tuple[Kind, ...]
    public: bool
    local: bool
    addition: bool
    max_body: int
    dialect: Dialect

    @property
    def name(self) -> str:
        """The operationId."""
        return camel(self.function.__name__)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The path's parameters, in order."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @property
    def body(self) -> Any:
        """The type of the JSON body; None without one."""
        return self.hints.get("body")

    @property
    def needs_body(self) -> bool:
        """Tell whether a request without a body is refused."""
        return self.body is not None and type(None) not in get_args(self.body)

    @property
    def query(self) -> Any:
        """The Struct of the query parameters; None without one."""
        return self.hints.get("query")

    @property
    def media(self) -> tuple[str, ...]:
        """The media types that the answer comes in, the usual one first."""
        return (JSON, *SUFFIX) if self.exports else (JSON,)

    @property
    def answer(self) -> Any:
        """The type of the result."""
        result = self.hints["return"]
        return get_args(result)[0] if get_origin(result) is Answer else result

    def parameters(self) -> dict[str, Any]:
        """The path's parameters and how each is read (`Id`, `str` or `Id | str`)."""
        return {name: self.hints[key] for name in self.names for key in self.hints if camel(key) == name}

    @cached_property
    def taken(self) -> list[tuple[str, Any, str]]:
        """What the function takes besides the body: the name, the type, and how a path would name it."""
        return [(name, kind, camel(name)) for name, kind in self.hints.items() if name not in ("return", "body")]

    async def serve(self, request: Request, desk: Desk) -> Response:
        """Answer a request; a Problem is answered in the dialect's words, anything else is the site's to catch."""
        path = request.scope["path"]
        try:
            caller = Caller() if self.public else await self.dialect.prove(request, desk.counter)
            call = Call(request, desk, caller)
            with acting(call.actor):
                media = choose(request.headers.getlist("accept"), self.media) if self.exports else JSON
                if media != JSON:
                    return await self._export(call, media)
                result = await self.function(**await self._arguments(call))
        except Problem as problem:
            return self.dialect.no(problem, path)
        return await self._respond(call, result)

    def _given(self, call: Call) -> dict[str, str]:
        """The path's parameters as they were sent; what the mount has of its own comes before them."""
        values = list(call.request.path_params.values())
        return dict(zip(self.names, values[len(values) - len(self.names) :], strict=True))

    async def _export(self, call: Call, media: str) -> Response:
        """Answer with the whole list, or the window that was asked for, as a file.

        Who calls is found out anew for each chunk, or for an exporter ten times a second, so that a right that is
        withdrawn ends a long answer.
        """

        async def prove() -> Caller:
            if media != CSV:  # which is cut off at once, as it is sent meanwhile
                await require_client(call.request)
            return await self.dialect.prove(call.request, call.desk.counter)

        ask, query = await self.asked(call, prove)
        begin = partial(self._begin, call, media, prove)
        return await self.export(call.desk, media).answer(
            ask, query, self.dialect.count, call.desk.books, begin, call.awaited
        )

    def export(self, desk: Desk, media: str) -> Export:
        """Return how the list becomes a file of that media type."""
        (kind,) = get_args(self.answer)
        return Export(kind, desk.ids, media, self.path.rpartition("/")[2], desk.counter.of(Scratch))

    def call(self, desk: Desk, caller: Caller, segments: Iterable[str], query: bytes) -> Call:
        """Return a request that reached the daemon, as an exporter hears of it."""
        scope = {"type": "http", "method": self.method, "path": self.path, "headers": [], "query_string": query}
        return Call(Request({**scope, "path_params": dict(enumerate(segments))}), desk, caller)

    async def asked(self, call: Call, prove: Prove) -> tuple[Ask, Query]:
        """Return how a list is asked for, by whom `prove` names at that moment, and what a request asks of it."""
        arguments = await self._arguments(call, whole=True)
        (name,) = [name for name, kind in self.hints.items() if kind is Query]

        async def ask(query: Query) -> Page[Any]:
            caller = await prove()
            again = {key: caller for key, kind in self.hints.items() if kind is Caller}
            page: Page[Any] = await self.function(**{**arguments, **again, name: query})
            return page

        return ask, arguments[name]

    async def _begin(self, call: Call, media: str, prove: Prove) -> Run | None:
        """Have an exporter make the file; it does not know the operations of a program that embeds this one."""
        module, scope = self.function.__module__, call.request.scope
        if Exporters not in call.desk.counter or not module.startswith(__name__.rpartition(".")[0]):
            return None
        segments = list(scope["path_params"].values())
        order = Order(module, self.function.__name__, segments, scope["query_string"], media)
        return await call.awaited(call.desk.counter.of(Exporters).begin(order, prove))

    async def _arguments(self, call: Call, *, whole: bool = False) -> dict[str, Any]:
        path = self._given(call)
        if self.permission and not self.others:
            require_somewhere(call.caller, self.permission)
        arguments: dict[str, Any] = {}
        for name, kind, segment in self.taken:
            if segment in path:
                arguments[name] = read_segment(path[segment], kind, call.desk.ids)
            else:
                arguments[name] = self._fill(name, kind, call, whole)
        if self.body is not None:
            arguments["body"] = await self._read_body(call)
        return arguments

    def _fill(self, name: str, kind: Any, call: Call, whole: bool) -> Any:
        if kind is Call:
            return call
        if kind is Caller:
            return call.caller
        if kind is Query:
            assert self.listing is not None
            return self.listing.read(read_params(call.request), call.desk.ids, whole=whole)
        if name == "query":
            return read_query(call.request, kind, call.desk.ids)
        return call.desk.counter.of(kind)

    async def _read_body(self, call: Call) -> Any:
        largest = self.max_body or call.desk.settings.max_json_bytes
        return await structure(call.request, call.desk.decoder(self.body), largest, optional=not self.needs_body)

    async def _respond(self, call: Call, result: Any) -> Response:
        if isinstance(result, Response):
            return result
        if isinstance(result, Answer):
            return Json(call.desk.encoder.encode(result.value), result.status, result.headers)
        if isinstance(result, Page):
            headers = {} if result.total is None else self.dialect.count(result.total)
            items = [call.desk.encoder.encode(item) async for item in in_turns(result.items)]
            return Json(b"[%b]" % b",".join(items), self.status, headers)
        if result is None:
            return Response(status_code=self.status)
        return Json(call.desk.encoder.encode(result), self.status, self._location(call, result))

    def _location(self, call: Call, result: Any) -> dict[str, str]:
        if self.location is None:
            return {}
        given = self._given(call)
        if isinstance(getattr(result, "id", None), Id):
            given["id"] = call.desk.ids.show(result.id)
        place = re.sub(r"\{(\w+)\}", lambda name: quote(unquote_to_bytes(given[name[1]]), safe="@"), self.location)
        return {"Access-Control-Expose-Headers": "Content-Location, Location", "Location": call.base + place}


def endpoint(
    method: str,
    path: str,
    *,
    permission: str | None = None,
    others: bool = False,
    status: int = 0,
    also: tuple[int, ...] = (),
    location: str | None = None,
    listing: Listing | None = None,
    exports: bool = False,
    headers: tuple[str, ...] = (),
    problems: tuple[Kind, ...] = (),
    public: bool = False,
    local: bool = False,
    addition: bool = False,
    max_body: int = 0,
    dialect: Dialect = NATIVE,
) -> Callable[[Handler], Endpoint]:
    """Make an operation of a function.

    Who holds `permission` nowhere is refused before more than his token is read, unless `others` may ask, too (each of
    his own account, for one); whether it reaches the object the service checks. `status` 0 is the method's usual one,
    `also` are further ones of success. `location` is a template over the path's names and the result's `id`. `exports`
    offers a list as files, too. `headers` are request flags and `problems` further refusals, both for OpenAPI. `public`
    needs no token, `local` is refused but over the control socket, and not described.
    `addition` marks what the contract does not have. `max_body` in octets replaces the setting.
    """

    def make(function: Handler) -> Endpoint:
        hints = get_type_hints(function, include_extras=True)
        assert set(inspect.signature(function).parameters) == set(hints) - {"return"}, function.__name__
        return Endpoint(
            method=method,
            path=path,
            function=function,
            hints=hints,
            permission=permission,
            others=others,
            status=status or _usual(method, hints["return"]),
            also=also,
            location=location,
            listing=listing,
            exports=exports,
            headers=headers,
            problems=problems,
            public=public,
            local=local,
            addition=addition,
            max_body=max_body,
            dialect=dialect,
        )

    return make


def _usual(method: str, answer: Any) -> int:
    if answer is type(None):
        return 204
    return 201 if method == "POST" and get_origin(answer) is not Page else 200
