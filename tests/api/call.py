"""Calls the API in-process: a request, its answer, and the contract that the answer is held to."""

from collections.abc import AsyncIterator
from functools import lru_cache

import httpx2
from starlette.types import ASGIApp
from tests.api.contract import hold

HOST = "http://gatepost.test"


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    content: bytes | AsyncIterator[bytes] | None,
    headers: dict[str, str],
    *,
    ip: str,
    held: bool = True,
) -> httpx2.Response:
    """Send one request and return its whole answer; `held` to the contract unless it is a test's own operation's.

    No client is made for it, which would cost more than the answer.
    """
    request = httpx2.Request(method, _address(path), content=content, headers={"Accept": "*/*", **headers})
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=(ip, 40_000))
    answer = await transport.handle_async_request(request)
    answer.request = request
    await answer.aread()
    if held:
        hold(answer)
    return answer


@lru_cache(maxsize=1000)
def _address(path: str) -> httpx2.URL:
    return httpx2.URL(path if path.startswith("http") else HOST + path)
