"""Request bodies: strict JSON, bounded before it is read, decoded into a Struct."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from gatepost.api.blame import blame, pointer
from gatepost.model.problem import Kind, Problem

DEPTH = 64
_INLINE = 65_536  # octets that are decoded on the event loop; larger bodies in a thread


async def octets(request: Request, largest: int) -> bytes:
    """Read the body; raise TOO_LARGE as soon as it is known to be longer."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > largest:
        raise _too_large(largest)
    chunks, size = [], 0
    async for chunk in pieces(request):
        size += len(chunk)
        if size > largest:
            raise _too_large(largest)
        chunks.append(chunk)
    return b"".join(chunks)


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes in; raise MALFORMED where it ends early."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise Problem(Kind.MALFORMED, "The request ended early.") from error


def _too_large(largest: int) -> Problem:
    return Problem(Kind.TOO_LARGE, f"The body may have at most {largest} octets.")


async def structure(
    request: Request, decoder: msgspec.json.Decoder[Any], largest: int, *, optional: bool = False
) -> Any:
    """Read the body as JSON of the decoder's type; raise MALFORMED (with a pointer), UNSUPPORTED or TOO_LARGE.

    An `optional` one may be missing: None.
    """
    _check_media(request)
    raw = await octets(request, largest)
    if optional and not raw:
        return None
    if len(raw) <= _INLINE:
        return decode(raw, decoder)
    return await asyncio.to_thread(decode, raw, decoder)


def _check_media(request: Request) -> None:
    media, *parameters = request.headers.get("content-type", "application/json").lower().split(";")
    charsets = [
        value.strip(' "') for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "charset"
    ]
    if media.strip() != "application/json" or charsets not in ([], ["utf-8"]):
        raise Problem(Kind.UNSUPPORTED, "The body must be application/json in UTF-8.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(Kind.UNSUPPORTED, "Encoded bodies are not accepted.")


def decode(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode strict JSON: no NaN, no doubled member, at most 64 levels; raise MALFORMED."""
    if not raw.strip(b" \t\r\n"):
        raise Problem(Kind.MALFORMED, "A JSON body is required.")
    try:
        _check_shape(raw)
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise blame(error, decoder.type) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Problem(Kind.MALFORMED, "The body is no valid JSON.", reason=str(error)[:200]) from error


def _check_shape(raw: bytes) -> None:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ValueError("a byte order mark")
    _check_depth(json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse, parse_int=_number))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem(Kind.MALFORMED, "A member is given twice.", pointer=pointer(twice))
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _number(text: str) -> int:
    return int(text) if len(text) <= 20 else 0  # its value is the decoder's business; long ones cost quadratic time


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH + 1):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise Problem(Kind.MALFORMED, f"The body is nested deeper than {DEPTH} levels.")
