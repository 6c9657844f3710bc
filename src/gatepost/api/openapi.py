"""OpenAPI 3.1, read off the operations themselves: their paths, types, marks and first lines."""

import inspect
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, get_args, get_origin

import msgspec
from starlette.responses import Response

from gatepost.api.dialect import Dialect, phrase
from gatepost.api.endpoint import Call, Endpoint, endpoint
from gatepost.api.ids import Ids
from gatepost.api.listing import LARGEST_PAGE, PAGE, Listing
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id

REF = "#/components/schemas/{name}"
ID = {"type": "string", "description": "An opaque id."}
MEDIA = {  # of answers that are no JSON; those of an embedding program's own may be anything
    "getEmailAttachments": ("application/zip",),
    "downloadEmailAttachment": ("application/octet-stream", "*/*"),
    "downloadUploadedAttachment": ("application/octet-stream", "*/*"),
    "downloadMailAttachment": ("application/octet-stream", "*/*"),
    "streamMailEvents": ("text/event-stream",),
    "showMetrics": ("text/plain", "application/openmetrics-text"),
    "getOpenapi": ("application/json",),
    "postEmail": ("text/plain",),
}
FORMS = {"uploadAttachment": "file"}  # operations that take a form, and its field that is a file
FILES = ("uploadMailAttachment", "judgeMail", "learnMail")  # operations whose body is a file
FIELDS = {"createAccessToken": ("grant_type", "client_id", "client_secret")}  # operations that take a plain form


@endpoint("GET", "/openapi.json", public=True, addition=True)
async def get_openapi(call: Call) -> Response:
    """Return this description."""
    return Response(call.request.app.description, media_type="application/json")


def encoded(operations: Iterable[Endpoint]) -> bytes:
    """Return the description of every operation that a token reaches as JSON."""
    return msgspec.json.encode(describe(each for each in operations if not each.local))


def describe(operations: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document of operations."""
    found = sorted(operations, key=lambda each: (each.path, each.method))
    schemas = _Schemas(found)
    paths: dict[str, Any] = {}
    for each in found:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gatepost",
            "version": version("gatepost"),
            "description": "Operations marked x-gatepost-addition are not in the document of their API.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {scheme: {"type": "http", "scheme": scheme} for scheme in ("basic", "bearer")},
            "schemas": schemas.components,
        },
    }


class _Schemas:
    """The schemas of all types that operations take and answer, each struct once under its name."""

    def __init__(self, operations: Iterable[Endpoint]) -> None:
        kinds = dict.fromkeys(kind for each in operations for kind in _kinds(each))
        found, self.components = msgspec.json.schema_components(
            kinds, schema_hook=Ids(b"").schema_hook, ref_template=REF
        )
        self._known: dict[Any, dict[str, Any]] = dict(zip(kinds, found, strict=True))
        for told in self.components.values():
            if "description" in told:  # a docstring, indented as in the code before Python 3.13
                told["description"] = inspect.cleandoc(told["description"])
            for member in told.get("properties", {}).values():
                if member.get("type") == "array":
                    member.setdefault("items", {})  # generators of clients ask for it, be it of anything

    def of(self, kind: Any) -> dict[str, Any]:
        return self._known[kind]

    def members(self, kind: Any) -> tuple[dict[str, Any], list[str]]:
        """The properties of a struct, and which of them are required."""
        known = self.components[self._known[kind]["$ref"].rpartition("/")[2]]
        return known["properties"], known.get("required", [])


def _kinds(operation: Endpoint) -> list[Any]:
    kinds = [operation.body, operation.query, _item(operation.answer), operation.dialect.error]
    return [kind for kind in kinds if kind not in (None, type(None), Query) and not _is_whole(kind)]


def _is_whole(answer: Any) -> bool:
    """Tell whether it is a response of the operation's own making."""
    return isinstance(answer, type) and issubclass(answer, Response)


def _item(answer: Any) -> Any:
    """The type that schemas are made of: of a page the list of its items."""
    return list[get_args(answer)[0]] if get_origin(answer) is Page else answer  # type: ignore[misc]


def _operation(operation: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": (operation.function.__doc__ or "").partition("\n")[0],
        "tags": [operation.function.__module__.rpartition(".")[2]],
        "parameters": _parameters(operation, schemas),
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas.of(operation.body)}}
        described["requestBody"] = {"required": operation.needs_body, "content": content}
    elif field := FORMS.get(operation.name):
        form = {"type": "object", "required": [field], "properties": {field: {"type": "string", "format": "binary"}}}
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    elif operation.name in FILES:
        whole = {"schema": {"type": "string", "format": "binary"}}
        content = {"application/octet-stream": whole, "*/*": whole}
        described["requestBody"] = {"required": True, "content": content}
    elif fields := FIELDS.get(operation.name):
        known = {field: {"type": "string"} for field in fields}
        form = {"type": "object", "required": list(fields[:1]), "properties": known}
        described["requestBody"] = {
            "required": True,
            "content": {"application/x-www-form-urlencoded": {"schema": form}},
        }
    if operation.permission:
        described["x-permission"] = operation.permission
    if operation.public:
        described["security"] = []
    elif operation.dialect.schemes != ("bearer",):
        described["security"] = [{scheme: []} for scheme in operation.dialect.schemes]
    if operation.addition:
        described["x-gatepost-addition"] = True
    return described


# Parameters.


def _parameters(operation: Endpoint, schemas: _Schemas) -> list[dict[str, Any]]:
    found = [
        {"in": "path", "name": name, "required": True, "schema": _segment(kind)}
        for name, kind in operation.parameters().items()
    ]
    found += [{"in": "header", "name": name, "schema": {"type": "string"}} for name in operation.headers]
    if operation.query not in (None, Query):
        members, required = schemas.members(operation.query)
        found += [_asked(name, schema, name in required) for name, schema in members.items()]
    if operation.listing is not None:
        found += _list_parameters(operation.listing)
    return found


def _segment(kind: Any) -> dict[str, Any]:
    if kind is Id:
        return ID
    return (
        {"type": "string", "description": "An opaque id or a mail address."} if get_args(kind) else {"type": "string"}
    )


def _asked(name: str, schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
    return {"in": "query", "name": name, "required": required, "schema": _given(schema)}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without null, which no query can say."""
    others = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return others[0] if len(others) == 1 else schema


def _list_parameters(listing: Listing) -> list[dict[str, Any]]:
    sorts = [*listing.sorts, *listing.other]
    order = {"type": "string", "enum": [*sorts, *(f"-{name}" for name in sorts)], "default": listing.sort}
    size = {"type": "integer", "minimum": 1, "default": PAGE, "description": f"At most {LARGEST_PAGE} are returned."}
    text = {"type": "string", "description": "One filter at most; `*` at either end stands for anything."}
    return [
        _asked("offset", {"type": "integer", "minimum": 0, "default": 0}),
        _asked("pageSize", size),
        _asked("sort", order),
        *(_asked(name, text) for name in listing.filters),
    ]


# Answers.


def _responses(operation: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    answers = {str(each): _success(operation, each, schemas) for each in (operation.status, *operation.also)}
    for status in sorted(_refusals(operation)):
        answers[str(status)] = {"description": phrase(status), "content": _refusal(operation.dialect, status, schemas)}
    return answers


def _refusal(dialect: Dialect, status: int, schemas: _Schemas) -> dict[str, Any]:
    if not dialect.refusal(status, "", "", None):
        return {}
    return {dialect.media: {"schema": schemas.of(dialect.error)}}


def _success(operation: Endpoint, status: int, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": phrase(status)}
    if _is_whole(operation.answer):
        media = MEDIA.get(operation.name, ("*/*",))
        described["content"] = {each: {} for each in media}
    elif operation.answer is not type(None):
        described["content"] = {each: {} for each in operation.media} | {
            "application/json": {"schema": schemas.of(_item(operation.answer))}
        }
    headers = {}
    if get_origin(operation.answer) is Page:
        headers["X-Total-Count"] = {"schema": {"type": "integer"}, "description": "Matches, whatever the window."}
    if operation.location is not None:
        headers["Location"] = {"schema": {"type": "string"}}
    return described | ({"headers": headers} if headers else {})


def _refusals(operation: Endpoint) -> set[int]:
    """Every status that says no: what the operation may find, and what any request may meet (rules 34)."""
    kinds = {Kind.MALFORMED, Kind.UNAVAILABLE, *operation.problems}
    if not operation.public:
        kinds |= {Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.TOO_MANY}
    if operation.names:
        kinds.add(Kind.NOT_FOUND)
    if operation.body is not None:
        kinds |= {Kind.TOO_LARGE, Kind.UNSUPPORTED}
    if operation.method != "GET" or operation.exports:
        kinds.add(Kind.FULL)
    if operation.exports:
        kinds.add(Kind.NOT_ACCEPTABLE)
    return {400, 408, 414, 431, 500, 503} | {operation.dialect.status_of(kind) for kind in kinds}
