"""The HTTP server in the daemon's loop: it opens, reads its certificate again, and stops."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from gatepost.api.server import HttpDoor
from gatepost.sockets import listen

pytestmark = pytest.mark.anyio
Event = MutableMapping[str, Any]


async def hello(
    scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def write(folder: Path, authority: trustme.CA, name: str) -> dict[str, str]:
    certificate = authority.issue_cert("127.0.0.1", common_name=name)
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    return {"ssl_certfile": str(folder / "cert.pem"), "ssl_keyfile": str(folder / "key.pem")}


async def common_name(door: HttpDoor, authority: trustme.CA) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    _, writer = await asyncio.open_connection(*door.addresses[0][:2], ssl=context)
    shown = dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"])
    writer.close()
    return str(shown["commonName"])


async def test_a_certificate_is_read_again_and_a_broken_one_is_not_taken(tmp_path: Path) -> None:
    authority = trustme.CA()
    told: list[str] = []
    door = HttpDoor(hello, listen("127.0.0.1:0"), told=told.append, **write(tmp_path, authority, "first"))
    await door.start()
    try:
        assert await common_name(door, authority) == "first"
        write(tmp_path, authority, "second")
        door.reload()
        assert await common_name(door, authority) == "second"
        (tmp_path / "cert.pem").write_text("nonsense")
        door.reload()
        assert await common_name(door, authority) == "second"
        assert told == [str(tmp_path / "cert.pem")] * 2
    finally:
        await door.stop(1.0)


async def test_a_server_stops_answering(tmp_path: Path) -> None:
    door = HttpDoor(hello, listen("127.0.0.1:0"))
    await door.start()
    address = door.addresses[0][:2]
    await door.stop(1.0)
    with pytest.raises(OSError):
        await asyncio.open_connection(*address)


async def test_a_stop_breaks_off_a_request_that_hangs() -> None:
    asked = asyncio.Event()

    async def hanging(
        scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
    ) -> None:
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    door = HttpDoor(hanging, listen("127.0.0.1:0"))
    await door.start()
    reader, writer = await asyncio.open_connection(*door.addresses[0][:2])
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asked.wait()
    await door.stop(0.01)
    assert await reader.read() == b""
    writer.close()
