"""Holds an answer of the API to the contract: status, headers, body; where it has none, to our own description."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import msgspec
import yaml

from gatepost.api import site
from gatepost.api.dialect import NATIVE, Dialect, spoken
from gatepost.api.openapi import describe

CONTRACTS = Path(__file__).parent.parent / "contract"
VARY = [value for _, value in NATIVE.headers]
METHODS = ("delete", "get", "patch", "post", "put")

ELSEWHERE = {
    400: "input that can't be read, wherever there is any (contract A29, A70)",
    401: "nobody has signed in (A27)",
    403: "the caller may not do that (A27, D2)",
    404: "an object of the path is not there (A70), or nothing is at the path",
    405: "the method is not offered at this path",
    406: "none of the media types that are asked for is offered (exports)",
    408: "the request did not come in time",
    409: "the name is taken, or the object is busy (A28, A70)",
    412: "a header that must be there is not",
    413: "the body is longer than the limit",
    414: "the address is longer than the limit",
    415: "the body is of another type",
    422: "well-formed, but not allowed now (A29, A70)",
    429: "too many tries",
    431: "the headers are longer than the limit",
    500: "a fault of ours",
    501: "no HTTP method",
    503: "the store or a peer does not answer",
    507: "the disc is full, or the caller's share of it",
}
"""Statuses that may be answered where the contract doesn't list them (rules 34), with the dialect's error body."""

UNROUTED = {400, 404, 405, 408, 414, 431, 500, 501, 503}  # where no operation is

KEPT = {
    "receivedDate",
    "releaseStatus",
    "category",
    "score",
    "infected",
    "reason",
    "expiresAt",
    "releasedAt",
}  # what befell a kept mail
MORE: dict[str, set[str]] = {
    "Error": {"pointer"},
    "Authority": {"roles"},
    "ImapMessage": KEPT,
    "ImapMessageContent": KEPT,
}
"""Members that we show beyond the contract's, by its schema (docs/api.md)."""


class Description:
    """An OpenAPI document, asked by method and path as they are sent."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        places = sorted(document["paths"].items(), key=lambda place: place[0].count("{"))  # literals win (contract A43)
        self._items = [item for _, item in places]
        self._place = re.compile("|".join(f"({_shape(path).pattern})" for path, _ in places))
        self.schemas: dict[str, Any] = document["components"]["schemas"]
        resource = ("urn:whole", {"components": self._components})
        self._registry = jsonschema_rs.Registry([resource], draft=jsonschema_rs.Draft202012)
        self._validators: dict[bytes, jsonschema_rs.Draft202012Validator] = {}

    def item(self, path: str) -> dict[str, Any]:
        """Return what is said of a path: operations by their method in lower case."""
        found = self._place.fullmatch(path)
        return self._items[found.lastindex - 1] if found and found.lastindex else {}

    def response(self, operation: dict[str, Any], status: int) -> dict[str, Any] | None:
        """Return what is said of a status; None where the operation does not list it."""
        found = operation["responses"].get(str(status))
        if found and "$ref" in found:
            found = self._components["responses"][found["$ref"].rpartition("/")[2]]
        return found

    def check(self, value: Any, schema: dict[str, Any]) -> None:
        """Hold a JSON value to a schema of the document."""
        key = msgspec.json.encode(schema)
        if key not in self._validators:
            referring = msgspec.json.decode(key.replace(b'"#/', b'"urn:whole#/'))
            self._validators[key] = jsonschema_rs.Draft202012Validator(referring, registry=self._registry)
        self._validators[key].validate(value)


@cache
def _shape(path: str) -> re.Pattern[str]:
    """A path with parameters; a slash at its end may be left out."""
    return re.compile(re.sub(r"\\{\w+\\}", "(?:[^/]+)", re.escape(path)) + ("?" if path.endswith("/") else ""))


PAGES = ("/", "/docs", "/signin", "/signout", "/password", "/compose", "/share")


@cache
def contract(name: str) -> Description:
    """Return a contract, its objects closed: a member that it does not name is not shown by chance."""
    document = yaml.load((CONTRACTS / f"{name}.openapi.yaml").read_text(), yaml.CSafeLoader)
    for schema_name, schema in document["components"]["schemas"].items():
        if schema.get("type") == "object" and "properties" in schema:
            schema["properties"] |= {key: {} for key in MORE.get(schema_name, ())}
            schema.setdefault("additionalProperties", False)
    return Description(document)


def cleanmail() -> Description:
    """Return the contract of the native API."""
    return contract("cleanmail")


DIALECTS = {each.dialect.name: each.dialect for each in site.operations()}


def agreed(dialect: Dialect) -> Description:
    """Return the contract of a dialect."""
    return contract("cleanmail" if dialect is NATIVE else dialect.name)


def unmounted(path: str, dialect: Dialect) -> str:
    """Return a path as the documents have it, without what the dialect stands behind."""
    for mount in sorted(dialect.mounts, key=lambda mount: (-mount.count("/"), "{" in mount)):
        head = _shape(mount).match(path)
        if head and ours().item(path[head.end() :]):
            return path[head.end() :]
    return path


@cache
def ours() -> Description:
    return Description(describe(site.operations()))


def hold(answer: httpx2.Response) -> None:
    """Raise AssertionError or ValidationError for an answer that neither the contract nor our description allows."""
    method, status = answer.request.method, answer.status_code
    path = answer.request.url.raw_path.decode("ascii").partition("?")[0]
    if path in PAGES or path.startswith("/static/"):  # the window's, which tests/web looks at
        return
    dialect = spoken(path, DIALECTS.values())
    assert answer.headers.get_list("vary") == [value for name, value in dialect.headers if name == "Vary"]  # A73
    asked, place = "get" if method == "HEAD" else method.lower(), unmounted(path, dialect)
    own, other = ours().item(place).get(asked), agreed(dialect).item(place).get(asked)
    if method not in ("HEAD", *map(str.upper, METHODS)) or own is None:
        _hold_unrouted(dialect, status, path, answer)
    elif status >= 400:
        _hold_refusal(dialect, status, path, own, other, answer, empty=method == "HEAD")
    else:
        _hold_success(dialect, own, other, answer, empty=method == "HEAD")


def _hold_unrouted(dialect: Dialect, status: int, path: str, answer: httpx2.Response) -> None:
    if status == 204:
        assert answer.headers["allow"] and answer.content == b""
        return
    assert status in UNROUTED, f"{status} is said where no operation is"
    _hold_error(dialect, status, path, answer)


def _hold_refusal(
    dialect: Dialect,
    status: int,
    path: str,
    own: dict[str, Any],
    other: dict[str, Any] | None,
    answer: httpx2.Response,
    *,
    empty: bool,
) -> None:
    name = own["operationId"]
    assert ours().response(own, status), f"{name} does not say that it answers {status}"
    if other and not agreed(dialect).response(other, status):
        assert status in ELSEWHERE, f"the contract has no {status} for {name}"
    if not empty:
        _hold_error(dialect, status, path, answer)


def _hold_error(dialect: Dialect, status: int, path: str, answer: httpx2.Response) -> None:
    """Hold a refusal to the dialect's own shape; one that shows no body for a status sends none."""
    if not dialect.refusal(status, "said", path, None):
        assert answer.content == b""
        return
    assert answer.headers["content-type"].partition(";")[0] == dialect.media
    if dialect.error is str:
        assert answer.text
        return
    body, known = answer.json(), agreed(dialect).schemas
    if "Error" in known:
        agreed(dialect).check(body, {"$ref": "#/components/schemas/Error"})
    ours().check(body, {"$ref": f"#/components/schemas/{dialect.error.__name__}"})
    if dialect is NATIVE:
        assert (body["status"], body["path"]) == (status, path)


def _hold_success(
    dialect: Dialect, own: dict[str, Any], other: dict[str, Any] | None, answer: httpx2.Response, *, empty: bool
) -> None:
    status, name = answer.status_code, own["operationId"]
    assert ours().response(own, status), f"{name} does not say that it answers {status}"
    if other and dialect is NATIVE:
        assert str(status) == other["x-success"], f"the contract wants {other['x-success']} of {name}, not {status}"
    for description, operation in ((agreed(dialect), other), (ours(), own)):
        said = description.response(operation, status) if operation is not None else None
        if said is not None:
            if dialect is NATIVE:
                _hold_headers(said.get("headers", {}), answer)
            if not empty:
                _hold_body(description, said.get("content", {}), answer)


def _hold_headers(said: dict[str, Any], answer: httpx2.Response) -> None:
    exposed = answer.headers.get("access-control-expose-headers", "").split(", ")
    for name in ("Location", "X-Total-Count"):
        assert (name in answer.headers) == (name in said), f"{name}: {answer.headers.get(name)}"
        assert name not in said or name in exposed
    assert answer.headers.get("x-total-count", "0").isdigit()


def _hold_body(description: Description, content: dict[str, Any], answer: httpx2.Response) -> None:
    """Hold a body to what is said of its media type; types of ours beyond the contract's are in our description."""
    media = answer.headers.get("content-type", "").partition(";")[0]
    if media == "application/json" and answer.content:
        assert media in content
        description.check(answer.json(), content[media].get("schema", {}))
    elif description is ours():
        assert media in content or "*/*" in content or not (content or answer.content), media
