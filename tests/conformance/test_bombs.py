"""Mails that want to use up time or memory: each ends within its limits, and other mail does not wait for it (55)."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.conformance.talk import Letter, Talk
from tests.house import House, living
from tests.message.bombs import ARCHIVES, MAILS, slow
from tests.message.mails import attachment, mail
from tests.pace import slowness

from gatepost.message.mail import Opener
from gatepost.model.envelope import Body
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy
from gatepost.settings import Filters, Limits

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]
SECONDS = 10.0  # of the processor, for one mail; these, too, are longer where it is slower
MEGABYTES = 300  # of the worker at its peak
TURN = 0.25  # seconds of the processor that one turn of the loop may take
HARMLESS = {"chain", "uuencoded", "pdf", "markup", "formatting", "hidden ends", "crowd of files"}  # looked into, wholly
T = TypeVar("T")


def bomb(name: str) -> bytes:
    return MAILS[name]() if name in MAILS else mail(attachment(name.encode(), ARCHIVES[name]()))


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


async def watched(asked: Awaitable[T]) -> tuple[T, float]:
    """Return an answer and the longest turn of the loop meanwhile, in seconds of the processor."""
    task = asyncio.ensure_future(asked)
    longest = 0.0
    while not task.done():
        began = time.thread_time()
        await asyncio.sleep(0.001)  # the turns of others lie between
        longest = max(longest, time.thread_time() - began)
    return await task, longest


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def opener(anyio_backend: str) -> AsyncIterator[Opener]:
    made = Opener(Filters(), Limits(scan_seconds=SECONDS * slowness()))
    await made.delegate(Body(size=1, data=b"x"))
    yield made
    await made.close()


@pytest.mark.parametrize("name", [*ARCHIVES, *MAILS])
async def test_every_bomb_ends_within_its_time_and_memory_and_the_loop_goes_on(opener: Opener, name: str) -> None:
    data = bomb(name)
    (pid,) = opener.pids
    forget_peak(pid)
    before = processor_seconds(pid)
    anatomy, longest = await watched(opener.open(Body(size=len(data), data=data)))
    assert opener.pids == [pid]  # it lives
    assert processor_seconds(pid) - before < SECONDS * slowness()
    assert peak_megabytes(pid) < MEGABYTES
    assert longest < TURN * slowness()
    assert bool(anatomy.unscannable) is (name not in HARMLESS), anatomy.unscannable[:3]


async def test_what_is_slow_is_ended_by_its_time() -> None:
    opener = Opener(Filters(), Limits(scan_seconds=1.0))
    await opener.delegate(Body(size=1, data=b"x"))
    (pid,) = opener.pids
    before = processor_seconds(pid)
    data = mail(attachment(b"slow.zip", slow()))
    anatomy = await opener.open(Body(size=len(data), data=data))
    spent = processor_seconds(pid) - before
    await opener.close()
    assert 0.9 < spent < 1.0 + 0.5 * slowness()
    assert "slow.zip: opening took too long" in anatomy.unscannable
    assert not [each for each in anatomy.unscannable if "damaged" in each]  # but its entries are whole
    assert anatomy.parts[0].members


async def test_the_listener_serves_others_while_bombs_are_looked_into(tmp_path: Path) -> None:
    names = ["flat.zip", "quine.gz", "crowded.tgz", "overlapping.zip"]

    async def send(house: House, to: str, given: Callable[[], bytes]) -> str:
        talk = await Talk.open(house.port)
        code, text = await talk.send(Letter("ada@world.example", [to], given()))
        await talk.close()
        assert code == 250, text
        return text.rpartition(" ")[2]

    async with living(tmp_path) as house:
        domain = house.store.reader.domain("served.example")
        assert domain is not None
        await house.user("all@served.example")
        bombs = [b"Date: Mon, 24 Nov 2025 12:00:00 +0000\r\n" + bomb(name) for name in names]
        sending = [send(house, "all@served.example", lambda data=data: data) for data in bombs]
        small = b"From: ada@world.example\r\nDate: Mon, 24 Nov 2025 12:00:00 +0000\r\nSubject: x\r\n\r\nHello\r\n"
        sending += [send(house, "all@served.example", lambda: small) for _ in range(20)]
        ids, longest = await watched(asyncio.gather(*sending))
        assert longest < TURN * slowness()
        await house.sink.wait(20)
        await house.gatepost.queue.idle()
        assert len(house.sink.mails) == 20
        for each in ids[: len(names)]:
            copies = house.store.reader.find(Copy, Query(where=eq("mail_id", each))).items
            assert "Quarantine" in {copy.folder for copy in copies}
