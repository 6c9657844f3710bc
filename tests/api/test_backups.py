"""A backup is made for who asks over the control socket, and as long as he waits for it."""

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest
from starlette.types import Message
from tests.api.house import Api

from gatepost.api.control import Control

pytestmark = pytest.mark.anyio


async def ask(api: Api, directory: Path, left: asyncio.Event) -> int:
    """Ask for a backup over the control socket; return the status, also of an answer that nobody gets."""
    body = msgspec.json.encode({"directory": str(directory)})
    coming = iter([{"type": "http.request", "body": body}])
    answers: list[Message] = []

    async def receive() -> Message:
        if (message := next(coming, None)) is not None:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/backups",
        "raw_path": b"/backups",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
        "server": None,
    }
    await Control(api.app)(scope, receive, send)
    return int(answers[0]["status"])


async def test_a_backup_ends_when_who_asked_for_it_leaves(api: Api, tmp_path: Path) -> None:
    left, busy = asyncio.Event(), threading.Event()
    api.store._copier.submit(busy.wait)  # so that it has not ended before
    asked = asyncio.create_task(ask(api, tmp_path / "copy", left))
    try:
        for _ in range(20):  # turns of the loop, for the request to be read
            await asyncio.sleep(0)
        left.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asked.done()
    finally:
        busy.set()
    assert await asked == 503
    assert not (tmp_path / "copy").exists() and not (tmp_path / "copy.unfinished").exists()
    assert await ask(api, tmp_path / "copy", asyncio.Event()) == 201


async def test_a_store_that_takes_no_writes_is_copied_no_less(api: Api, tmp_path: Path) -> None:
    api.store._health.broken = True
    assert await ask(api, tmp_path / "copy", asyncio.Event()) == 201
    assert (tmp_path / "copy" / "gatepost.db").exists()


async def test_it_is_described_to_nobody_whom_it_is_refused(api: Api, tmp_path: Path) -> None:
    answer = await api.ask("POST", "/backups", {"directory": str(tmp_path / "copy")})
    assert answer.status_code == 403
    assert "/backups" not in (await api.get("/openapi.json"))["paths"]
