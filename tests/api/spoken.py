"""The examples of the other APIs, sent as they are written; and a network that leads their servers' names to a sink."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.api.kept import Desk, open_desk
from tests.peers.names import Names
from tests.peers.sink import Sink, authority, server_tls

EXAMPLES = Path(__file__).parent.parent / "contract" / "examples"


def examples(api: str) -> dict[str, dict[str, Any]]:
    """Return an API's examples by their number."""
    return {path.name[:3]: json.loads(path.read_text()) for path in sorted((EXAMPLES / api).glob("*.json"))}


async def play(desk: Desk, example: dict[str, Any], *, headers: dict[str, str], but: Any = None) -> httpx2.Response:
    """Send an example's request and compare the answer member by member; `but` is the body where ours differs."""
    request, expected = example["request"], example["response"]
    sent = {**request["headers"], **headers}
    answer = await desk.ask(request["method"], request["path"], request["body"], token=None, headers=sent)
    assert answer.status_code == expected["status"], answer.text
    wanted = expected["body"] if but is None else but
    if wanted is not None:
        assert (answer.text if isinstance(wanted, str) else answer.json()) == wanted
    elif expected["status"] == 204:
        assert answer.content == b""
    return answer


@asynccontextmanager
async def secured(
    directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, port: int, login: tuple[str, str], **sections: Any
) -> AsyncIterator[tuple[Desk, Sink]]:
    """Open a Gatepost in a network where `name` and `port` lead to a sink with STARTTLS and a sign-in."""
    ca = authority()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    async with (
        Names({name: ["A 127.0.0.1"]}) as names,
        Sink(tls=server_tls(ca, name), login=login) as server,
        open_desk(
            directory,
            dns={"servers": [names.address]},
            relay={"ca_file": str(directory / "ca.pem"), **sections.pop("relay", {})},
            **sections,
        ) as desk,
    ):
        connect = asyncio.BaseEventLoop.create_connection

        async def lead(loop: Any, factory: Any, host: Any = None, at: Any = None, **more: Any) -> Any:
            return await connect(loop, factory, host, server.port if at == port else at, **more)

        monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", lead)
        yield desk, server
