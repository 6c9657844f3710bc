"""What a request gives: segments of its path and parameters of its query, read as an operation takes them."""

from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from starlette.requests import Request

from gatepost.api.blame import blame
from gatepost.api.ids import Ids
from gatepost.model.problem import Kind, Problem
from gatepost.model.values import Given, Id


def read_segment(raw: str, kind: Any, ids: Ids) -> Any:
    """Read one percent-encoded segment of a path; what is no clean text is found nowhere."""
    if kind is Id and raw.isalnum():
        return ids.read(raw)
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unclean(kind) from error
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise _unclean(kind)
    if kind in (str, Given) or (kind is not Id and "@" in text):
        return text
    return ids.read(text)


def _unclean(kind: Any) -> Problem:
    if kind is Given:
        return Problem(Kind.MALFORMED, "The path contains a character that is not allowed.")
    return Problem(Kind.NOT_FOUND, "There is no such object.")


def read_params(request: Request) -> list[tuple[str, str]]:
    """Return the query's parameters in their order; raise MALFORMED for what is no UTF-8."""
    try:
        return parse_qsl(request.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Problem(Kind.MALFORMED, "The query is no valid text.") from error


def read_query(request: Request, kind: Any, ids: Ids) -> Any:
    """Read the query's parameters into a Struct; the last one of a name counts, unknown ones are ignored."""
    try:
        return msgspec.convert(dict(read_params(request)), kind, strict=False, dec_hook=ids.query_hook)
    except msgspec.ValidationError as error:
        raise blame(error, kind) from error
