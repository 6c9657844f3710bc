"""Through the whole house: what the door took in reaches the next hop as it came, what it refused reaches nobody."""

import asyncio
from pathlib import Path

import pytest
from tests.house import living, queued_as
from tests.smtp.front import Talk

pytestmark = pytest.mark.anyio

HEAD = b"From: ada@world.example\r\nTo: bob@served.example\r\nSubject: x\r\nDate: Fri, 20 Nov 2026 12:00:00 +0000\r\n"
HEAD += b"Message-ID: <1@world.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
HEAD += b"Content-Transfer-Encoding: 8bit\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b".\r\n..\r\n.leading\r\n\r\n",
        "grün\r\n".encode(),
        b"x" * 60_000 + b"\r\n",
        b".line\r\n" * 60_000,
    ],
    ids=["empty", "dots", "eight bits", "a long line", "a spooled body"],
)
async def test_octets_reach_the_next_hop_as_they_came(tmp_path: Path, body: bytes) -> None:
    """Threats 3, 9, 18, 25: only trace headers stand before them."""
    async with living(tmp_path) as house:
        talk = Talk(*await asyncio.open_connection("127.0.0.1", house.port))
        await talk.hello()
        await talk.begin(to="<bob@served.example>")
        await talk.send((HEAD + body).replace(b"\r\n.", b"\r\n..") + b".\r\n")
        assert (await talk.reply()).startswith("250 2.0.0 Ok: queued as ")
        (mail,) = await house.sink.wait(1)
        assert mail.data.endswith(HEAD + body)
        assert b"\r\nReceived: from client.example " in mail.data[: -len(HEAD + body)]
        await talk.close()


async def test_what_was_refused_reaches_nobody(tmp_path: Path) -> None:
    """Threats 1, 28, 38: the one good mail behind all of it does."""
    async with living(tmp_path) as house:
        talk = Talk(*await asyncio.open_connection("127.0.0.1", house.port))
        await talk.hello()
        await talk.begin(to="<bob@served.example>")
        await talk.send(HEAD + b"bare\nline\r\n.\r\n")
        assert (await talk.reply()).startswith("550 5.5.2 ")
        assert (await talk.ask("MAIL FROM:<ada@world.example>")).startswith("250 ")
        assert (await talk.ask("RCPT TO:<bob@elsewhere.example>")).startswith("550 5.7.1 ")
        await talk.ask("RSET")
        await talk.begin(to="<bob@served.example>")
        await talk.send(HEAD + b"half of it")
        talk.writer.transport.abort()
        reply = await house.send(HEAD + b"good\r\n", "bob@served.example")
        assert reply.code == 250
        (mail,) = await house.sink.wait(1)
        assert mail.data.endswith(b"good\r\n")
        assert house.trace(queued_as(reply))[0].event == "received"
