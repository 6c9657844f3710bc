"""MTA-STS policies: fetched from a real HTTPS server as senders fetch them, and read as RFC 8461 has them."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.peers.names import Names
from tests.peers.sink import authority, server_tls
from tests.peers.web import Web, answer

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.mta.poster import TAKEN, Poster
from gatepost.mta.sts import Fetcher, NoPolicy, Policy, read
from gatepost.settings import Dns, MtaSts

pytestmark = pytest.mark.anyio

HOST = "mta-sts.got.example"
TEXT = "version: STSv1\r\nmode: enforce\r\nmx: mx1.gate.example\r\nmx: *.Spare.example\r\nmax_age: 604800\r\n"


class World:
    """An authority, a name server and a web server that is `mta-sts.got.example`."""

    def __init__(self, names: Names, web: Web, ca_file: Path) -> None:
        self.names = names
        self.web = web
        self.ca_file = ca_file

    def fetcher(self, *, private: bool = True, trusted: bool = True) -> Fetcher:
        settings = MtaSts(port=self.web.port, ca_file=str(self.ca_file) if trusted else "")
        resolver = Resolver(Dns(servers=[self.names.address], timeout=10.0), wall_clock)
        return Fetcher(resolver, settings, private=private)


@pytest.fixture
async def world(tmp_path: Path, anyio_backend: str) -> AsyncIterator[World]:
    ca = authority()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    zone = {HOST: ["A 127.0.0.1"], "mta-sts.other.example": ["A 127.0.0.1"]}
    async with Names(zone) as names, Web(server_tls(ca, HOST), answer(TEXT)) as web:  # type: ignore[arg-type]
        yield World(names, web, tmp_path / "ca.pem")


async def test_a_policy_is_fetched_by_name_from_the_address_that_was_looked_up(world: World) -> None:
    found = await world.fetcher().fetch("got.example")
    assert found == Policy("enforce", ("mx1.gate.example", "*.Spare.example"), 604_800)
    (asked,) = world.web.asked
    assert asked.startswith("GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
    assert f"\r\nHost: {HOST}\r\n" in asked


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(TEXT, status="404 Not Found"), "answers 404"),
        (answer("", status="301 Moved\r\nLocation: https://x.example/"), "answers 301"),
        (answer("", status="302 Found\r\nLocation: //xn--v1.x[.."), "no policy from"),  # of which no URL can be made
        (answer("x" * 70_000), "too large"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 66_000, "too large"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no policy from"),
        (b"", "no policy from"),
    ],
)
async def test_what_is_no_policy_is_refused_with_a_reason(world: World, said: bytes, why: str) -> None:
    world.web.said = said
    with pytest.raises(NoPolicy, match=why):
        await world.fetcher().fetch("got.example")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc tells of the connections")
@pytest.mark.parametrize("way", ["fetch", "post"])
async def test_of_a_server_that_sends_without_end_little_is_taken_at_once(world: World, way: str) -> None:
    """A flood of `100 Continue` stopped all else for a tenth of a second at a time."""
    world.web.said = None
    fetcher = world.fetcher()
    poster = Poster(fetcher._resolver, timeout=60.0, private=True, ca_file=str(world.ca_file))
    asking = (
        fetcher.fetch("got.example") if way == "fetch" else poster.post(f"https://{HOST}:{world.web.port}/", b"", {})
    )
    asked = asyncio.create_task(asking)
    await world.web.wait(1)
    (taken,) = [buffer for port, buffer in connections() if port == world.web.port]
    assert taken <= 2 * TAKEN
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


def connections() -> Iterator[tuple[int, int]]:
    """Yield the port that each of this process's TCP connections over IPv4 leads to, and how much it takes ahead."""
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if not str(file.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(file.name))) as each:
                if each.family == socket.AF_INET and each.type == socket.SOCK_STREAM:
                    yield each.getpeername()[1], each.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


async def test_a_certificate_must_be_trusted_and_bear_the_name(world: World) -> None:
    with pytest.raises(NoPolicy, match=r"no policy from mta-sts\.got\.example"):
        await world.fetcher(trusted=False).fetch("got.example")
    with pytest.raises(NoPolicy, match=r"no policy from mta-sts\.other\.example"):
        await world.fetcher().fetch("other.example")
    assert world.web.asked == []


async def test_a_private_address_is_not_connected_to_threat_122(world: World) -> None:
    with pytest.raises(NoPolicy, match="no public address"):
        await world.fetcher(private=False).fetch("got.example")
    assert world.web.asked == []


async def test_a_host_that_does_not_exist_serves_nothing(world: World) -> None:
    with pytest.raises(NoPolicy, match="has no address"):
        await world.fetcher().fetch("nowhere.example")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no version"),
        (TEXT.replace("STSv1", "STSv2"), "no version"),
        (TEXT.replace("enforce", "maybe"), "mode"),
        (TEXT.replace("mx:", "mail:"), "names no mx"),
        (TEXT.replace("604800", "a week"), "no max_age"),
        (TEXT.replace("max_age", "age"), "no max_age"),
    ],
)
def test_a_broken_policy_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(NoPolicy, match=why):
        read(text.encode())


def test_a_policy_of_mode_none_needs_no_mx() -> None:
    assert read(b"version: STSv1\nmode: none\nmax_age: 0\n") == Policy("none", (), 0)


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("mx1.gate.example", True),
        ("a.spare.example", True),
        ("a.b.spare.example", False),
        ("spare.example", False),
        ("mx2.gate.example", False),
    ],
)
def test_a_star_stands_for_one_label(host: str, named: bool) -> None:
    assert read(TEXT.encode()).names(host) is named
