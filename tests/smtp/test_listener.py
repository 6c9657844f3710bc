"""Listeners: their sockets, their limits, TLS and its certificates, PROXY headers, an orderly stop."""

import asyncio
import resource
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.loops import LOOPS, on_each_loop
from tests.peers.ports import free_port
from tests.smtp.front import HOST, Front, Talk, front, issue

from gatepost.model.envelope import Role
from gatepost.settings import Settings, SettingsError
from gatepost.smtp.listener import allowed_connections
from gatepost.sockets import join_endpoint

pytestmark = pytest.mark.anyio
MAIL = b"Subject: x\r\n\r\nx\r\n.\r\n"


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


# Sockets.


@on_each_loop
async def test_each_listener_has_its_role_and_address(tmp_path: Path) -> None:
    listeners = [{}, {"listen": "[::1]:0", "role": "trusted"}, {"role": "submission"}]
    async with front(tmp_path, certificate=True, listeners=listeners) as opened:
        roles = [(role, host) for role, host, _ in opened.listeners.addresses]
        assert roles == [(Role.MX, "127.0.0.1"), (Role.TRUSTED, "::1"), (Role.SUBMISSION, "127.0.0.1")]
        talk = await opened.hello(1)
        await talk.begin()
        await talk.send(MAIL)
        assert (await talk.reply()).startswith("250 ")
        assert opened.mails[0][0].client.ip == "::1"
        names = [join_endpoint(host, port) for _, host, port in opened.listeners.addresses]
        sessions = [opened.count("gatepost_smtp_sessions", listener=name) for name in names]
        assert sessions == [0, 1, 0], "though two of them are written alike"
        assert opened.count("gatepost_smtp_connections_total", listener=names[1], result="accepted") == 1


HANDED = """
import asyncio, os, socket, sys
from pathlib import Path
from tests.smtp.front import front
from gatepost.settings import SettingsError
from gatepost.sockets import BadEndpoint, left_over, listen

handed = [
    socket.create_server(("127.0.0.1", 0)),
    socket.create_server(sys.argv[1] + "/socket", family=socket.AF_UNIX),
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    open("/dev/null"),
]
for number, each in enumerate(handed):
    os.dup2(each.fileno(), 103 + number)
for number in range(len(handed)):
    os.dup2(103 + number, 3 + number)

async def main():
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "4", "LISTEN_FDNAMES": "smtp:unix:datagram:null:further"}
    async with front(Path(sys.argv[1]), listeners=[{"listen": "fd:smtp"}], environ=environ) as opened:
        assert opened.listeners.addresses[0][2] == handed[0].getsockname()[1]
        assert not os.get_inheritable(3), 'a process of ours got it'
        talk = await opened.hello()
        print(await talk.ask("QUIT"))
    try:
        async with front(Path(sys.argv[1], "unix"), listeners=[{"listen": "fd:unix"}], environ=environ):
            pass
    except SettingsError as error:
        print(error)
    for name in ("datagram", "null", "further"):
        try:
            listen(f"fd:{name}", environ)
        except BadEndpoint as error:
            print(error)
    print(left_over(["fd:smtp", "fd:null", "127.0.0.1:25"], environ), left_over([], {**environ, "LISTEN_PID": "1"}))

asyncio.run(main())
"""


def test_a_socket_from_systemd_is_listened_on_if_it_is_one(tmp_path: Path) -> None:
    said = subprocess.run([sys.executable, "-c", HANDED, str(tmp_path)], stdout=subprocess.PIPE, text=True).stdout
    assert said.splitlines()[-6:] == [
        "221 2.0.0 Bye",
        "smtp.listener: fd:unix: no TCP socket, so that no client has an address",
        "fd:datagram: that socket takes no connections (ListenStream= and Accept=no make one)",
        "fd:null: what was handed over is no socket (Socket operation on non-socket)",
        "fd:further: systemd handed over no socket of that name (is its socket unit enabled?)",
        "['datagram', 'unix'] []",
    ]


@pytest.mark.parametrize(
    ("listener", "words"),
    [
        ({"listen": "127.0.0.1"}, "expected address:port"),
        ({"listen": "fd:nothing"}, "is its socket unit enabled?"),
        ({"tls": "sometimes"}, "tls is one of none, starttls, implicit"),
        ({"tls": "implicit"}, "needs a certificate"),
        ({"role": "submission"}, "needs TLS and a certificate"),
        ({"certificate": "/nowhere.pem"}, "/nowhere.pem"),
        ({"certificate": __file__}, "no private key in that file"),
        ({"proxy_protocol_from": ["balancer"]}, "proxy_protocol_from"),
    ],
)
async def test_a_listener_that_cannot_be_says_why(tmp_path: Path, listener: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with front(tmp_path, listeners=[listener]):
            raise AssertionError("it opened")
    assert words in str(caught.value)


@on_each_loop
async def test_a_taken_port_closes_what_was_opened_before(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    first = free_port()
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        async with front(tmp_path, listeners=[{"listen": f"127.0.0.1:{first}"}, {"listen": f"127.0.0.1:{port}"}]):
            raise AssertionError("it opened")
    socket.create_server(("127.0.0.1", first)).close()
    taken.close()


# Limits.


async def test_one_address_has_so_many_connections_and_no_more(tmp_path: Path) -> None:
    """Threats 16, F4."""
    async with front(tmp_path, limits={"connections_per_ip": 3}) as opened:
        talks = [await opened.hello() for _ in range(3)]
        refused = await opened.connect()
        assert (await refused.reply()).startswith("421 4.7.0 ")
        assert await refused.rest() == b""
        await talks[0].ask("QUIT")
        assert await talks[0].rest() == b""
        await opened.hello()


async def test_all_addresses_together_have_so_many(tmp_path: Path) -> None:
    """Threat 16."""
    async with front(tmp_path, limits={"connections": 2}) as opened:
        talk, _ = await opened.hello(), await opened.hello()
        refused = await opened.connect()
        assert (await refused.reply()).startswith("421 4.3.2 ")
        await talk.ask("QUIT")
        assert await talk.rest() == b""
        await opened.hello()
        (name,) = [join_endpoint(host, port) for _, host, port in opened.listeners.addresses]
        assert opened.count("gatepost_smtp_connections_total", listener=name, result="421") == 1


@on_each_loop
async def test_used_up_files_stop_nothing_for_good(tmp_path: Path) -> None:
    """Threat 91: clients come until this process can't open a file, then go; it is said once, and life goes on."""
    async with front(tmp_path, limits={"connections_per_ip": 10_000}) as opened:
        _, host, port = opened.listeners.addresses[0]
        talk = await opened.hello()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(list(Path("/proc/self/fd").iterdir()))  # noqa: ASYNC240
        clients: list[socket.socket] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    clients.append(socket.create_connection((host, port)))
            await talk.ask("NOOP")  # the loop has tried to accept them by now
            await asyncio.sleep(0.05)
            assert await talk.ask("NOOP") == "250 2.0.0 Ok"
            for client in clients:
                client.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        async with asyncio.timeout(60):
            await opened.hello()


def test_connections_leave_open_files_to_the_house(tmp_path: Path) -> None:
    """Threat 91: with `ulimit -n 64` there are 48 connections at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        assert allowed_connections(10_000) == 48
        assert allowed_connections(10) == 10
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# TLS.


async def secure_talk(opened: Front, index: int = 0) -> Talk:
    _, host, port = opened.listeners.addresses[index]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert opened.authority is not None
    opened.authority.configure_trust(context)
    talk = Talk(*await asyncio.open_connection(host, port, ssl=context, server_hostname=HOST))
    opened.talks.append(talk)
    return talk


@on_each_loop
async def test_tls_from_the_first_octet(tmp_path: Path) -> None:
    async with front(tmp_path, certificate=True, listeners=[{"tls": "implicit"}]) as opened:
        talk = await secure_talk(opened)
        assert (await talk.reply()).startswith("220 ")
        said = await talk.ask("EHLO client.example")
        assert "STARTTLS" not in said
        assert (await talk.mail(MAIL)).startswith("250 ")
        tls = opened.mails[0][0].client.tls
        assert tls is not None and tls.startswith("TLSv1.3 with cipher TLS_") and tls.endswith("bits)")
        assert await talk.ask("QUIT") == "221 2.0.0 Bye"
        assert await talk.rest() == b""


@on_each_loop
async def test_a_plain_client_at_a_tls_port_is_closed(tmp_path: Path) -> None:
    async with front(tmp_path, certificate=True, listeners=[{"tls": "implicit"}]) as opened:
        talk = await opened.connect()
        await talk.send(b"EHLO client.example\r\n")
        assert b"220" not in await talk.rest()


@on_each_loop
async def test_certificates_are_read_again_and_a_bad_one_leaves_the_old(tmp_path: Path) -> None:
    async with front(tmp_path, certificate=True) as opened:
        old = opened.authority
        assert old is not None
        opened.authority, path = issue(tmp_path)
        with capture_logs() as logs:
            opened.listeners.reload()
        assert [entry["event"] for entry in logs] == ["certificate reloaded"]
        assert opened.metrics.registry.get_sample_value("gatepost_certificate_end_seconds", {"file": path})
        talk = await opened.hello()
        await talk.ask("STARTTLS")
        await talk.cover(opened.authority)
        Path(path).write_text("no certificate")  # noqa: ASYNC240
        with capture_logs() as logs:
            opened.listeners.reload()
        assert [entry["event"] for entry in logs] == ["certificate not reloaded"]
        talk = await opened.hello()
        await talk.ask("STARTTLS")
        await talk.cover(opened.authority)
        talk = await opened.hello()
        await talk.ask("STARTTLS")
        with pytest.raises(ssl.SSLError):
            await talk.cover(old)


@on_each_loop
async def test_what_a_client_of_tls_does_not_read_ends_the_reading_of_it(tmp_path: Path) -> None:
    """TLS answers by itself too: a storm of key updates, each of which asks for another, filled the memory."""
    async with front(tmp_path, certificate=True, listeners=[{"tls": "implicit"}]) as opened:
        talk = await secure_talk(opened)
        assert (await talk.reply()).startswith("220 ")
        (session,) = opened.listeners.sessions
        assert session._plain is not None and session._plain.is_reading()
        unread = b"x" * 8_000_000
        session.transport.write(unread)
        assert not session._plain.is_reading()
        assert await talk.reader.readexactly(len(unread)) == unread
        assert await talk.ask("NOOP") == "250 2.0.0 Ok"


@on_each_loop
async def test_a_client_that_leaves_within_the_handshake_frees_its_place(tmp_path: Path) -> None:
    async with front(tmp_path, certificate=True, limits={"connections": 1}) as opened:
        talk = await opened.hello()
        await talk.ask("STARTTLS")
        await talk.send(b"\x16\x03\x01\x02\x00\x01")
        talk.writer.transport.abort()
        (session,) = opened.listeners.sessions
        assert session.task is not None
        await asyncio.wait([session.task], timeout=60)
        await opened.hello()


# PROXY headers.

V1 = b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 25\r\n"
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = V2_SIGNATURE + struct.pack("!BBH4s4sHH", 0x21, 0x11, 12, bytes([192, 0, 2, 77]), bytes([192, 0, 2, 1]), 4711, 25)
V2_SIX = V2_SIGNATURE + struct.pack(
    "!BBH16s16sHH", 0x21, 0x21, 36, socket.inet_pton(socket.AF_INET6, "2001:db8::77"), b"\0" * 16, 4711, 25
)
V2_LOCAL = V2_SIGNATURE + struct.pack("!BBH", 0x20, 0x00, 0)
V2_LOCAL_FOUR = V2_SIGNATURE + struct.pack("!BBH", 0x20, 0x11, 0)  # says IPv4, and no addresses
BALANCED = [{"proxy_protocol_from": ["127.0.0.0/8"]}]


@pytest.mark.parametrize(
    ("header", "ip"),
    [
        (V1, "192.0.2.77"),
        (V2, "192.0.2.77"),
        (V2_SIX, "2001:db8::77"),
        (V1_UNKNOWN, "127.0.0.1"),
        (V2_LOCAL, "127.0.0.1"),
        (V2_LOCAL_FOUR, "127.0.0.1"),
        (b"PROXY TCP6 ::ffff:192.0.2.77 ::1 4711 25\r\n", "192.0.2.77"),
    ],
)
async def test_a_named_peer_says_who_the_client_is(tmp_path: Path, header: bytes, ip: str) -> None:
    """Threat 27: the real address is used from then on, under TLS too."""
    async with front(tmp_path, certificate=True, listeners=BALANCED) as opened:
        talk = await opened.connect()
        await talk.send(header)
        await talk.hello()
        assert (await talk.mail(MAIL)).startswith("250 ")
        assert (await talk.ask("STARTTLS")).startswith("220 ")
        assert opened.authority is not None
        await talk.cover(opened.authority)
        await talk.ask("EHLO client.example")
        assert (await talk.mail(MAIL)).startswith("250 ")
        assert [envelope.client.ip for envelope, _ in opened.mails] == [ip, ip]
        assert opened.mails[1][0].client.tls is not None


@on_each_loop
async def test_tls_right_behind_a_proxy_header_begins_with_what_was_read(tmp_path: Path) -> None:
    """The client's hello comes in the balancer's first packet."""
    async with front(tmp_path, certificate=True, listeners=[{**BALANCED[0], "tls": "implicit"}]) as opened:
        _, host, port = opened.listeners.addresses[0]
        assert opened.authority is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        opened.authority.configure_trust(context)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        layer = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
        with pytest.raises(ssl.SSLWantReadError):
            layer.do_handshake()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(V1 + outgoing.read())
        greeting = b""
        async with asyncio.timeout(60):
            while not greeting:
                incoming.write(await reader.read(65_536))
                try:
                    layer.do_handshake()
                    greeting = layer.read()
                except ssl.SSLWantReadError:
                    pass
                writer.write(outgoing.read())
        assert greeting.startswith(b"220 ")
        (session,) = opened.listeners.sessions
        assert (session.client.ip, session.client.port) == ("192.0.2.77", 4711)
        writer.close()


@pytest.mark.parametrize(
    "said",
    [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 192.0.2.77\r\n",
        b"PROXY TCP4 not.an.ip 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.77 192.0.2.1 99999 25\r\n",
        b"PROXY " + b"x" * 200 + b"\r\n",
        V2_SIGNATURE + struct.pack("!BBH", 0x31, 0x11, 0),
        V2_SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 4) + b"abcd",
    ],
)
async def test_a_named_peer_must_send_a_header(tmp_path: Path, said: bytes) -> None:
    """Threat 27: no header, no session; never a greeting."""
    async with front(tmp_path, listeners=BALANCED) as opened:
        talk = await opened.connect()
        await talk.send(said)
        assert (await talk.reply()).startswith("500 5.5.2 ")
        assert await talk.rest() == b""


async def test_limits_are_the_real_clients(tmp_path: Path) -> None:
    """Threat 27: the balancer may bring more connections than one client."""
    async with front(tmp_path, listeners=BALANCED, limits={"connections_per_ip": 2}) as opened:
        for last in range(1, 5):
            talk = await opened.connect()
            await talk.send(V1.replace(b".77", b".%d" % last))
            await talk.hello()
        for expected in ("220 ", "421 4.7.0 "):
            talk = await opened.connect()
            await talk.send(V1.replace(b".77", b".1"))
            assert (await talk.reply()).startswith(expected)


async def test_others_need_no_header_where_only_some_are_named(tmp_path: Path) -> None:
    async with front(tmp_path, listeners=[{"proxy_protocol_from": ["192.0.2.0/24"]}]) as opened:
        await opened.hello()


# The stop.


@on_each_loop
async def test_a_stop_lets_mails_under_way_end(tmp_path: Path) -> None:
    """Threat 89."""
    async with front(tmp_path) as opened:
        opened.keeper.wait = asyncio.Event()
        idle, within, judged = await opened.hello(), await opened.hello(), await opened.hello()
        await idle.ask("MAIL FROM:<>")
        await within.begin()
        await judged.begin()
        await judged.send(MAIL)
        await opened.keeper.began.wait()
        _, host, port = opened.listeners.addresses[0]
        stopping = asyncio.create_task(opened.listeners.stop(5))
        assert (await idle.reply()).startswith("421 4.3.2 ")
        assert await idle.rest() == b""
        newcomer = await opened.connect()
        assert (await newcomer.reply()).startswith("421 4.3.2 ")
        await within.send(MAIL)
        opened.keeper.wait.set()
        for talk in (within, judged):
            assert (await talk.reply()).startswith("250 ")
            assert (await talk.reply()).startswith("421 4.3.2 ")
        await stopping
        assert len(opened.mails) == 2
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, port)


@on_each_loop
async def test_a_stop_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    """Threat 89: who holds a mail open is left behind."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        await talk.begin()
        began = asyncio.get_running_loop().time()
        await opened.listeners.stop(0.2)
        assert asyncio.get_running_loop().time() - began < 30
        assert (await talk.reply()).startswith("421 4.3.2 ")
        assert opened.listeners.sessions == []
        assert opened.mails == []


def test_the_default_listener_is_an_mx_on_loopback() -> None:
    (listener,) = msgspec.convert({}, Settings).smtp.listener
    assert (listener.role, listener.listen) == (Role.MX, "127.0.0.1:2525")
