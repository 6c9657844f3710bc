"""What takes long is done as long as the client waits for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from gatepost.model.problem import Kind, Problem

T = TypeVar("T")


async def awaited(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do what takes long as long as the client waits for it; raise UNAVAILABLE after."""
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            doing.cancel()
            await asyncio.wait((doing,))
        if doing.cancelled():
            raise _gone()
        return doing.result()
    finally:
        leaving.cancel()
        doing.cancel()


async def _left(request: Request) -> None:
    """Wait until the client leaves; a body that nobody has read comes before that."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def require_client(request: Request) -> None:
    """Raise UNAVAILABLE where the client has left: for who is at a point where he can stop."""
    if await request.is_disconnected():
        raise _gone()


def _gone() -> Problem:
    return Problem(Kind.UNAVAILABLE, "Nobody waits for it any more.")
