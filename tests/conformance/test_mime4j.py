"""Odd and broken mails of a public suite through the whole relay: each arrives whole, or is refused by name."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs
from tests.conformance.talk import Letter, Talk
from tests.house import House, living
from tests.pace import PATIENCE, slowness

from gatepost.model.policy import RelayProps
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Message

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]
TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
SUITE = TESTDATA / "mime-mime4j/files"
TO = "all@served.example"
CONNECTIONS = 4
SECONDS = 2.0  # from the last dot to the verdict
FIELD = (
    rb"(?:Authentication-Results|Received-SPF|Received|X-Gatepost-Id|X-Fuglu-Id"
    rb"|X-Spam-(?:Flag|Score|Level|Status)|X-Virus-Scanned): "
)
TRACE = re.compile(rb"(?:" + FIELD + rb"[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+")
FORGED = re.compile(rb"(?mi)^X-(?:Gatepost|Fuglu|Spam|Virus)[!-9;-~]*[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


class Sent(NamedTuple):
    """What was said of a mail."""

    name: str
    data: bytes
    code: int
    text: str
    seconds: float

    @property
    def id(self) -> str:
        return self.text.rpartition(" ")[2]


def mails() -> Iterator[tuple[str, bytes]]:
    """Yield the 81 messages, the rest of the suite's files as mails too, and each mbox cut into its mails."""
    found = sorted(path for path in SUITE.rglob("*") if path.is_file() and "resources" in path.parts)
    messages = [path for path in found if path.suffix == ".msg"]
    others = [path for path in found if path not in messages and ".rlug" not in path.name]
    boxes = [path for path in found if ".rlug" in path.name]
    assert (len(messages), len(boxes)) == (81, 6), f"the suite is not at {SUITE}; set GATEPOST_TESTDATA"
    assert len([path for path in found if path.parent.name == "mimetools-testmsgs"]) == 318
    for path in [*messages, *others]:
        yield path.name, path.read_bytes()
    for path in boxes:
        for number, each in enumerate(re.split(rb"(?m)^From [^\n]*\n", path.read_bytes())[1:]):
            yield f"{path.name}-{number}", each


def ended(data: bytes) -> bytes:
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


def repaired(data: bytes) -> bytes:
    """The lines of a file as a mail program sends them."""
    return ended(re.sub(rb"\r\n|\r|\n", b"\r\n", data))


def expected(data: bytes) -> bytes:
    """What must arrive behind the trace fields: all, but for fields that only a filter may set (rules 35)."""
    head, blank, body = data.partition(b"\r\n\r\n")
    return FORGED.sub(b"", head + b"\r\n") + blank[2:] + body if blank else FORGED.sub(b"", data)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house with a mailbox that takes what it may: what is broken too, but not what is held."""
    async with living(tmp_path, limits={"errors": 10_000}) as house:
        domain = house.store.reader.domain("served.example")
        assert domain is not None
        relays = RelayProps(relay_spam=True, relay_bad_headers=True, relay_bad_attachments=True, spam_score_limit=1e9)
        policy = await house.policy(domain, relay_props=relays)
        await house.user(TO, policy_id=policy.id, sender_verify_on=False)
        yield house


async def send(talk: Talk, name: str, data: bytes) -> Sent:
    began = time.monotonic()
    code, text = await talk.send(Letter("ada@world.example", [TO], data))
    return Sent(name, data, code, text, time.monotonic() - began)


async def send_all(house: House, given: Iterator[tuple[str, bytes]], connections: int = CONNECTIONS) -> list[Sent]:
    """Send all over a few connections side by side."""
    sent: list[Sent] = []

    async def over_one() -> None:
        talk = await Talk.open(house.port)
        for name, data in given:
            sent.append(await send(talk, name, data))
        await talk.close()

    await asyncio.gather(*(over_one() for _ in range(connections)))
    return sent


async def release(house: House, sent: Sent) -> None:
    """Release a held mail, so that its octets can be seen at the sink too."""
    held = house.store.reader.find(Copy, Query(where=eq("mail_id", sent.id))).items
    message = house.store.reader.get(Message, sent.id)
    assert message is not None
    for copy in held:
        if copy.folder in ("Quarantine", "System"):
            assert await house.gatepost.releases.requeue(copy, message)


async def test_every_mail_arrives_octet_by_octet_or_is_refused_by_name(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logged:
        sent = await send_all(house, ((name, repaired(data)) for name, data in mails()))
        taken = [each for each in sent if each.code == 250]
        for each in taken:
            await release(house, each)
        await house.sink.wait(len(taken), PATIENCE)
        await house.gatepost.queue.idle()
    arrived = {re.findall(rb"(?m)^X-Gatepost-Id: (\w+)", mail.data)[0].decode(): mail.data for mail in house.sink.mails}
    assert len(house.sink.mails) == len(taken) == len(arrived)
    for each in taken:
        wanted, got = expected(each.data), arrived[each.id]
        assert got.endswith(wanted), each.name
        assert TRACE.fullmatch(got.removesuffix(wanted)), each.name
    for each in sent:
        if each.code != 250:
            assert BARE.search(each.data), f"{each.name}: {each.code} {each.text}"
            assert (each.code, each.text) == (550, "5.5.2 bare CR, LF or NUL not allowed")
    assert sum(each.name.endswith(".msg") for each in taken) == 81
    slow = ((each.name, each.data) for each in sent if each.seconds >= SECONDS)
    again = await send_all(house, slow, 1)  # the others may have been in the way, or the machine busy
    assert [each.name for each in again if each.seconds >= SECONDS * slowness()] == []
    assert [line for line in logged if line["log_level"] in ("error", "critical") or "exc_info" in line] == []
    assert caplog.records == []  # nor did a library complain


async def test_mails_with_broken_newlines_are_refused_as_they_are(house: House) -> None:
    """Threats 1-3: the files as they lie there, most of them with bare LF; what is well-formed passes."""
    sent = await send_all(house, ((name, ended(data)) for name, data in mails() if name.endswith(".msg")))
    for each in sent:
        assert each.code == (550 if BARE.search(each.data) else 250), f"{each.name}: {each.code} {each.text}"
    refused = [each for each in sent if each.code == 550]
    assert refused and {each.text for each in refused} == {"5.5.2 bare CR, LF or NUL not allowed"}
    assert len(sent) > len(refused)
