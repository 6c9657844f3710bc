"""The HTTP server against hostile peers, over real sockets."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.api.house import Api, open_api

from gatepost.api.dialect import phrase
from gatepost.api.limits import REASONS, options
from gatepost.api.server import HttpDoor
from gatepost.sockets import listen

pytestmark = pytest.mark.anyio

TIMEOUT = 0.3  # seconds for a head; a rate is measured over twice that


class Peer:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Read one answer: status, headers, JSON."""
        status, headers, body = await self.reply()
        return status, headers, json.loads(body) if body else None

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, headers, octets."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split()[1]), headers, body

    async def closed(self) -> bool:
        """Wait until the server closes; what it still sends is dropped."""
        with suppress(ConnectionResetError):
            await asyncio.wait_for(self.reader.read(), 60)
        return self.reader.at_eof() or self.reader.exception() is not None


@asynccontextmanager
async def serving(directory: Path, **http: Any) -> AsyncIterator[tuple[Api, Any]]:
    """Serve the API on a port; yields it and a way to connect."""
    api = open_api(directory / "state", http={"header_timeout": TIMEOUT, "base_url": "", **http})
    door = HttpDoor(api.app, listen("127.0.0.1:0"), **options(api.settings.http, api.gatepost.site.spoken))
    await door.start()
    peers: list[Peer] = []

    async def connect() -> Peer:
        peers.append(Peer(*await asyncio.open_connection(*door.addresses[0])))
        return peers[-1]

    try:
        yield api, connect
    finally:
        for peer in peers:
            peer.writer.close()
        await door.stop(2)
        await api.store.close()


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[tuple[Api, Any]]:
    """One server for all that need no setting of their own."""
    async with serving(tmp_path_factory.mktemp("served")) as (api, connect):
        yield api, connect


@pytest.fixture
def connect(served: tuple[Api, Any]) -> Any:
    """Return the way to connect to it, with what was guessed there forgotten."""
    api, connect = served
    api.clock.now += 3_600_000
    return connect


def request(*lines: str, method: str = "GET", path: str = "/livez", host: str = "Host: a\r\n") -> bytes:
    return f"{method} {path} HTTP/1.1\r\n{host}{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode(
        "latin-1"
    )


JSON = ("Content-Type: application/json",)


async def test_a_connection_serves_one_request_after_another(connect: Any) -> None:
    peer = await connect()
    for _ in range(3):
        await peer.send(request())
        status, headers, body = await peer.answer()
        assert (status, body) == (200, {"status": "alive"})
        assert headers["x-request-id"] and "server" not in headers
    await peer.send(request() + request() + request())
    assert [(await peer.answer())[0] for _ in range(3)] == [200, 200, 200]


PATHS = (
    "/static/../../../../../../../etc/passwd",
    "/static/../site.py",
    "/static/%2e%2e/site.py",
    "/static/..%2fsite.py",
    "/static/..%5csite.py",
    "/static//etc/passwd",
    "/static/pages.css%00",
    "/domains/../livez",
    "/domains/..;/livez",
    "/domains/..",
    "/./livez",
    "//livez",
    "http://a/../livez",
)


async def test_no_path_leads_out_of_where_it_begins_threat_121(connect: Any) -> None:
    """Sent as they stand: a client's library would say them otherwise."""
    peer = await connect()
    for path in ("/static/pages.css", "/livez"):
        await peer.send(request(path=path))
        assert (await peer.reply())[0] == 200
    for path in PATHS:
        await peer.send(request(path=path))
        status, headers, body = await peer.reply()
        assert (status, headers["content-type"]) in ((401, "application/json"), (404, "application/json")), path
        assert b"root:" not in body and b"import" not in body


SMUGGLING = {
    "both lengths": request("Content-Length: 5", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
    "both, turned": request("Transfer-Encoding: chunked", "Content-Length: 5", method="POST") + b"0\r\n\r\n",
    "two lengths": request("Content-Length: 5", "Content-Length: 5", method="POST") + b"abcde",
    "a list of lengths": request("Content-Length: 5, 5", method="POST") + b"abcde",
    "a signed length": request("Content-Length: +5", method="POST") + b"abcde",
    "an unknown coding": request("Transfer-Encoding: xchunked", method="DELETE", path="/domains/x") + b"0\r\n\r\n",
    "a coding after chunked": request("Transfer-Encoding: chunked, identity", method="POST") + b"0\r\n\r\n",
    "chunked twice": request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
    "a wish and both lengths": request(
        "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"
    )
    + b"0\r\n\r\n",
    "chunked in 1.0": b"POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF lines": b"GET /livez HTTP/1.1\nHost: a\n\n",
    "one bare LF": b"GET /livez HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "bare CR": b"GET /livez HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "a folded header": request("X: b", " c"),
    "a folded coding": request("Transfer-Encoding:", " chunked", method="POST") + b"0\r\n\r\n",
    "a blank before the colon": request("Content-Length : 5", method="POST") + b"abcde",
    "NUL": request("X: a\0b"),
    "no host": request(host=""),
    "two hosts": request("Host: b"),
    "a chunk size with a bare LF": request("Transfer-Encoding: chunked", method="POST") + b"1\nx\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("vector", SMUGGLING.values(), ids=SMUGGLING)
async def test_what_can_be_read_in_two_ways_is_refused_and_closed_threat_131(connect: Any, vector: bytes) -> None:
    peer = await connect()
    await peer.send(vector + request(path="/version"))
    status, headers, body = await peer.answer()
    assert status == body["status"] == 400
    assert headers["connection"] == "close"
    assert await peer.closed()


UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
SIGN_IN = b'{"login":"nobody","password":"wrong"}'
LENGTH = f"Content-Length: {len(SIGN_IN)}"


@pytest.mark.parametrize(
    "sent",
    [
        [request(*UPGRADE, LENGTH, *JSON, method="POST", path="/login") + SIGN_IN],
        [request(*UPGRADE, LENGTH, *JSON, method="POST", path="/login"), SIGN_IN],
        [request(*UPGRADE, LENGTH, *JSON, method="POST", path="/login") + SIGN_IN[:9], SIGN_IN[9:]],
        [
            request(*UPGRADE, "Transfer-Encoding: chunked", *JSON, method="POST", path="/login")
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(SIGN_IN), SIGN_IN)
        ],
    ],
    ids=["at once", "later", "in two parts", "in chunks"],
)
async def test_the_body_of_a_request_that_would_have_another_protocol_is_its_body_threat_131(
    connect: Any, sent: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Java's client and `curl --http2` wish for HTTP/2 so; the body was lost, and run as the next request."""
    peer = await connect()
    for _ in range(2):
        for part in sent:
            await peer.send(part)
        status, _, body = await peer.answer()
        assert (status, body["message"]) == (401, "The login or the password is wrong.")
    await peer.send(request(*UPGRADE) * 100 + request())
    assert {(await peer.answer())[0] for _ in range(101)} == {200}
    assert not [each for each in caplog.records if each.name.startswith("uvicorn")]


async def test_what_stands_behind_a_body_is_no_header_threat_131(tmp_path: Path) -> None:
    """A proxy that sets or strips headers does not look there (RFC 9110 6.5.1)."""
    async with serving(tmp_path) as (api, connect):
        peer = await connect()
        signed = f"Authorization: Bearer {api.token}"
        for head, behind, status in ((signed, "X-Any: one", 200), ("X-Any: one", signed, 401)):
            body = f"1\r\nx\r\n0\r\n{behind}\r\n\r\n".encode()
            await peer.send(request("Transfer-Encoding: chunked", head, path="/domains") + body)
            assert (await peer.answer())[0] == status


async def test_a_silent_connection_is_closed_threat_132(connect: Any) -> None:
    peer = await connect()
    status, _, _ = await peer.answer()
    assert status == 408
    assert await peer.closed()


@pytest.mark.parametrize("drip", [b"X: a\r\n", b"\r\n"])
async def test_a_slow_head_is_closed_threat_132(connect: Any, drip: bytes) -> None:
    peer = await connect()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await peer.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n" if drip != b"\r\n" else drip)
    reading = asyncio.create_task(peer.answer())
    while not reading.done():
        await peer.send(drip)
        await asyncio.wait([reading], timeout=TIMEOUT / 5)
    assert (await reading)[0] == 408
    assert loop.time() - begin < 30


async def test_a_kept_connection_that_idles_is_closed_threat_132(connect: Any) -> None:
    peer = await connect()
    await peer.send(request())
    assert (await peer.answer())[0] == 200
    assert await peer.closed()


async def test_a_slow_body_is_closed_threat_132(tmp_path: Path) -> None:
    async with serving(tmp_path, min_body_rate=1000) as (api, connect):
        peer = await connect()
        head = (
            f"POST /domains HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api.token}\r\nContent-Length: 90000\r\n\r\n"
        )
        await peer.send(head.encode())
        reading = asyncio.create_task(peer.answer())
        while not reading.done():
            await peer.send(b" ")
            await asyncio.wait([reading], timeout=TIMEOUT / 5)
        assert (await reading)[0] == 408
        assert await peer.closed()


async def test_a_steady_body_may_take_its_time_threat_132(tmp_path: Path) -> None:
    async with serving(tmp_path, min_body_rate=100) as (api, connect):
        peer = await connect()
        lines = (f"Authorization: Bearer {api.token}", "Content-Length: 500")
        await peer.send(request(*lines, method="POST", path="/domains"))
        reading = asyncio.create_task(peer.answer())
        for _ in range(25):  # longer than three measures, at 250 octets a second
            await peer.send(b" " * 20)
            await asyncio.wait([reading], timeout=0.08)
        status, _, body = await reading
        assert (status, body["message"]) == (400, "A JSON body is required.")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(path="/" + "a" * 8192), 414),
        (b"GET /" + b"a" * 300_000, 414),
        (request(*[f"X-{index}: {'b' * 1000}" for index in range(40)]), 431),
        (request("X: " + "b" * 40_000), 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 300_000, 431),
        (request(*["a: b"] * 6_000), 431),
        (request(method="BREW"), 501),
        (request(method="get"), 501),
    ],
)
async def test_heads_have_their_limits_threat_133(connect: Any, data: bytes, status: int) -> None:
    peer = await connect()
    await peer.send(data)
    given, headers, body = await peer.answer()
    assert given == body["status"] == status
    assert headers["connection"] == "close" and headers["vary"]
    assert status != 501 or "GET" in headers["allow"]
    assert await peer.closed()


SPOKEN = {
    "/domains/": '{{"status":{status},"error":"{error}","message":"{message}","path":"{path}"}}',
    "/emails/": '{{"status":{status},"error":"{error}","message":"{message}","path":"{path}"}}',
    "/email/": "{message}",
    "/apiops/": '{{"error":"bad_request","error_description":"{message}"}}',
    "/mail/": '{{"error":{status},"message":"{message}"}}',
    "/egroupware/groupdav.php/mail/": '{{"error":{status},"message":"{message}"}}',
    "/api/v2/config/mail": "{message}",
}


@pytest.mark.parametrize("place", SPOKEN)
@pytest.mark.parametrize("status", [408, 414, 431])
async def test_what_ends_a_request_early_is_said_in_the_words_of_its_api(connect: Any, place: str, status: int) -> None:
    path = place + "a" * 8192 if status == 414 else place
    head = request("X: " + "b" * (40_000 if status == 431 else 1), path=path)
    peer = await connect()
    await peer.send(head[:-2] if status == 408 else head)  # the end of the head never comes
    given, headers, body = await peer.reply()
    told = SPOKEN[place].format(
        status=status,
        error=phrase(status),
        message=REASONS[status],
        path="" if status == 414 else path,
    )
    assert (given, body.decode()) == (status, told)
    assert headers["content-type"].startswith("application/json" if told.startswith("{") else "text/plain")
    assert await peer.closed()


async def test_the_api_of_a_request_before_says_nothing_of_the_next_one(connect: Any) -> None:
    peer = await connect()
    await peer.send(request(path="/email"))
    assert (await peer.reply())[0] == 401
    await peer.send(b"BREW /domains HTTP/1.1\r\n\r\n")
    status, _, body = await peer.answer()
    assert status == body["status"] == 501


async def test_a_long_path_within_the_limit_is_read_threat_133(connect: Any) -> None:
    peer = await connect()
    await peer.send(request("X: " + "b" * 30_000, path="/" + "a" * 8_000))
    assert (await peer.answer())[0] == 404


async def test_a_body_beyond_the_limit_is_refused_before_it_is_read_threat_123(tmp_path: Path) -> None:
    async with serving(tmp_path, max_json_bytes=100) as (api, connect):
        peer = await connect()
        head = f"POST /domains HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api.token}\r\n"
        await peer.send(f"{head}Content-Length: 101\r\n\r\n".encode())
        assert (await peer.answer())[0] == 413
        peer = await connect()
        await peer.send(f"{head}Transfer-Encoding: chunked\r\n\r\n65\r\n{'x' * 101}\r\n".encode())
        assert (await peer.answer())[0] == 413


async def test_too_many_connections_get_503_and_the_others_go_on(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections=2, header_timeout=5.0) as (_, connect):
        first, _, third = await connect(), await connect(), await connect()
        status, headers, _ = await third.answer()
        assert status == 503 and headers["retry-after"]
        assert await third.closed()
        await first.send(request())
        assert (await first.answer())[0] == 200


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.soak)])
async def test_many_silent_connections_do_not_block_a_request_threat_132(tmp_path: Path, count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    async with serving(tmp_path, header_timeout=30.0) as (_, connect):
        for _ in range(count):
            await connect()
        peer = await connect()
        begin = asyncio.get_running_loop().time()
        await peer.send(request())
        assert (await peer.answer())[0] == 200
        assert asyncio.get_running_loop().time() - begin < 20


async def test_who_does_not_read_our_answer_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path, header_timeout=0.2) as (_, connect):
        peer = await connect()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        many = request(path="/openapi.json") * 2000
        peer.writer.write(many)
        async with asyncio.timeout(60):
            while not peer.writer.transport.is_closing():
                peer.writer.write(request())
                await asyncio.sleep(0.05)


async def test_many_requests_at_once_are_no_large_head(connect: Any) -> None:
    peer, many = await connect(), 300
    peer.writer.write(request(path=f"/livez?{'x' * 300}") * many)  # more octets than a head may have, ended or not
    assert {(await peer.answer())[0] for _ in range(many)} == {200}


async def test_what_is_refused_behind_requests_without_an_answer_takes_their_place(
    connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await connect()
    await peer.send(request() + request() + b"BREW /livez HTTP/1.1\r\n\r\n")
    assert (await peer.answer())[0] == 501
    assert await peer.closed()
    assert not [each for each in caplog.records if each.levelname == "ERROR"], "nothing was written behind the end"


async def test_no_refusal_stands_within_an_answer_that_has_begun(api: Api) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"a" * 500, "more_body": True})
        begun.set()
        await go.wait()
        await send({"type": "http.response.body", "body": b"a" * 500})

    door = HttpDoor(slow, listen("127.0.0.1:0"), **options(api.settings.http, api.gatepost.site.spoken))
    await door.start()
    reader, writer = await asyncio.open_connection(*door.addresses[0])
    writer.write(request())
    await begun.wait()
    writer.write(request() + b"BREW /livez HTTP/1.1\r\n\r\n")
    body = (await asyncio.wait_for(reader.read(), 60)).partition(b"\r\n\r\n")[2]
    go.set()
    writer.close()
    await door.stop(2)
    assert body == b"a" * 500


async def test_a_refusal_comes_behind_what_waited_to_be_written(api: Api) -> None:
    faults: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, fault: faults.append(fault))

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        (guard,) = door._server.server_state.connections
        asked = asyncio.ensure_future(receive())  # which bids the client continue
        loop.call_soon(guard.data_received, b"no chunk\r\n")  # in the same turn of the loop
        await asked

    door = HttpDoor(reading, listen("127.0.0.1:0"), **options(api.settings.http, api.gatepost.site.spoken))
    await door.start()
    reader, writer = await asyncio.open_connection(*door.addresses[0])
    writer.write(request("Expect: 100-continue", "Transfer-Encoding: chunked", method="POST"))
    said = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    await door.stop(2)
    loop.set_exception_handler(before)
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")
    assert faults == []


async def test_only_named_proxies_are_believed(tmp_path: Path) -> None:
    lines = ("X-Forwarded-For: 203.0.113.9", "Authorization: Bearer wrong")
    for trusted, blocked in (([], True), (["127.0.0.1"], False)):
        async with serving(tmp_path / str(blocked), trusted_proxies=trusted, guesses_per_minute=1) as (_, connect):
            peer = await connect()
            await peer.send(request(*lines, path="/domains"))
            assert (await peer.answer())[0] == 401
            await peer.send(request("Authorization: Bearer wrong", path="/domains"))
            assert (await peer.answer())[0] == (429 if blocked else 401)


async def test_links_are_made_of_the_socket_not_of_the_host_header_threat_135(tmp_path: Path) -> None:
    async with serving(tmp_path) as (api, connect):
        peer = await connect()
        flags = {
            "quarantine": False,
            "retention": False,
            "archive": False,
            "status": "ENABLED",
            "defaultLanguage": "EN",
        }
        body = json.dumps({"name": "a.example", **flags})
        lines = ("X-Forwarded-Host: evil.example", f"Authorization: Bearer {api.token}", f"Content-Length: {len(body)}")
        await peer.send(request(*lines, method="POST", path="/domains", host="Host: evil.example\r\n") + body.encode())
        status, headers, _ = await peer.answer()
        host, port = peer.writer.get_extra_info("peername")
        assert status == 201
        assert headers["location"].startswith(f"http://{host}:{port}/domains/")


@pytest.mark.parametrize("target", ["*", "/", "a:1", "a"])
@pytest.mark.parametrize("wish", [(), UPGRADE], ids=["alone", "with a wish"])
async def test_there_are_no_tunnels(connect: Any, target: str, wish: tuple[str, ...]) -> None:
    """What followed `CONNECT *` was read again and again, and nobody else was answered."""
    peer = await connect()
    await peer.send(request(*wish, method="CONNECT", path=target))
    assert (await peer.answer())[0] == 501
