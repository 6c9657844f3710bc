"""The public smuggling vectors through the whole relay: refused or harmless in, never out (threats 1, 3, F1)."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.conformance.talk import Talk
from tests.house import House, living

from gatepost.model.query import Query
from gatepost.model.stored import Message

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]
TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
VECTORS = TESTDATA / "smtp-smuggling-vectors/files/vectors.json"

END = b"\r\n.\r\n"
OUTER = (
    b"From: ada@world.example\r\nTo: bob@served.example\r\nDate: Fri, 20 Nov 2026 09:00:00 +0000\r\n"
    b"Subject: outer\r\nMessage-ID: <outer@world.example>\r\n\r\nouter"
)
INNER = (
    b"MAIL FROM:<eve@world.example>\r\nRCPT TO:<bob@served.example>\r\nDATA\r\n"
    b"From: eve@world.example\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"
)


def vectors() -> list[tuple[str, bytes]]:
    assert VECTORS.is_file(), f"the vectors are not at {VECTORS}; set GATEPOST_TESTDATA"
    found = [(each["id"], bytes.fromhex(each["hex"])) for each in json.loads(VECTORS.read_text())]
    assert len(found) == 20
    return found


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path, limits={"errors": 10_000}) as house:
        yield house


async def begin(house: House) -> Talk:
    talk = await Talk.open(house.port)
    assert (await talk.ask("MAIL FROM:<ada@world.example>"))[0] == 250
    assert (await talk.ask("RCPT TO:<bob@served.example>"))[0] == 250
    assert (await talk.ask("DATA"))[0] == 354
    return talk


def clean(body: bytes) -> bool:
    return b"\0" not in body and body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")


@pytest.mark.parametrize(("name", "sequence"), vectors() if VECTORS.is_file() else [])
async def test_of_one_mail_at_most_one_comes_out_and_it_is_the_outer_one(
    house: House, name: str, sequence: bytes
) -> None:
    """The mail, the sequence and a second mail come in one write, as a next hop would get them that is taken in."""
    talk = await begin(house)
    wire = OUTER + sequence + INNER
    end = wire.index(END)
    talk.writer.write(wire)
    code, text = await talk.reply()
    if clean(wire[:end]):
        assert code == 250
        (got,) = await house.sink.wait(1)
        assert (got.sender, got.recipients) == ("ada@world.example", ["bob@served.example"])
        assert got.data.endswith(wire[: end + 2].replace(b"\r\n.", b"\r\n"))
        assert END not in got.raw
    else:
        assert (code, text) == (550, "5.5.2 bare CR, LF or NUL not allowed")
    await talk.over()
    await house.gatepost.queue.idle()
    kept = house.store.reader.find(Message, Query()).items
    assert [mail.sender for mail in kept] == ["ada@world.example"] * (code == 250)
    assert len(house.sink.mails) == (code == 250)


@pytest.mark.parametrize(("name", "sequence"), vectors() if VECTORS.is_file() else [])
async def test_commands_behind_a_look_alike_are_not_run(house: House, name: str, sequence: bytes) -> None:
    """Threat 3: the mail ends at its true end, and the session goes on behind it, in step."""
    talk = await begin(house)
    wire = OUTER + sequence + b"VRFY smuggled\r\nNOOP\r\n" + END
    talk.writer.write(wire[: wire.index(END) + len(END)])
    code, text = await talk.reply()
    assert code == (250 if clean(wire[: wire.index(END)]) else 550), text
    assert (await talk.ask("NOOP"))[0] == 250
    assert (await talk.ask("DATA"))[0] == 503
    assert (await talk.ask("QUIT"))[0] == 221


async def test_the_twenty_are_there() -> None:
    assert len(vectors()) == 20
