"""77, 89: `gatepost serve` killed, or told to stop, under load; the next hop lives on and is asked what came."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator
from http.client import HTTPException
from pathlib import Path

import aiosmtplib
import pytest
from tests.faults import mails
from tests.faults.daemon import Served, serving
from tests.faults.killer import House
from tests.faults.traced import attach
from tests.pace import PATIENCE, slowness
from tests.peers.sink import Sink

from gatepost.model.policy import RetentionProps

pytestmark = pytest.mark.anyio

CLIENTS = 6
IN_FLIGHT = 20  # deliveries that one destination gets at once; while strace looks on, all may wait to be noted
REPEATED = 3  # mails that come once more after a kill, on the average of many (performance targets)

# Fifteen moments under load (rules 31), counted by each thread from its beginning.
POINTS = [
    *(("pwrite64", number) for number in (5, 60, 250, 600, 1200)),
    *(("write", number) for number in (3, 20, 60)),
    *(("fdatasync", number) for number in (2, 15, 40)),
    *(("fsync", number) for number in (2, 7)),
    ("rename", 2),
    ("unlink", 2),
]


class Load:
    """Clients that send mail after mail, and an administrator who releases what was held, until the relay is gone."""

    def __init__(self, served: Served, house: House, clients: int) -> None:
        self.served = served
        self.clients = clients
        self.story = house.story
        self.story.begun["purge"].add(0)  # it purges by itself
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._send_on()) for _ in range(self.clients)]

    async def end(self) -> None:
        await asyncio.gather(*self._tasks)

    async def _send_on(self) -> None:
        gone = (aiosmtplib.SMTPException, HTTPException, OSError)
        with contextlib.suppress(*gone):
            client = await self.served.connect()
            with contextlib.closing(client):
                while True:
                    await self._send(client, next(self._numbers))

    async def _send(self, client: aiosmtplib.SMTP, number: int) -> None:
        self.story.begun["accept"].add(number)
        try:
            _, said = await client.sendmail(mails.SENDER, mails.recipients(number), mails.raw(number))
        except aiosmtplib.SMTPDataError as refused:
            assert refused.code // 100 == 4, refused  # its worker was killed instead
            return
        mail_id = said.rpartition(" ")[2]
        self.story.done["accept"][number] = mail_id
        if mails.held(number):
            self.story.begun["release"].add(number)
            path = f"/users/{mails.BOB}/emails/Quarantine/{mail_id}/release"
            if (await self.served.api("POST", path)).status < 300:
                self.story.done["release"][number] = True


@contextlib.asynccontextmanager
async def loaded(
    directory: Path, *, clients: int = CLIENTS, more: str = ""
) -> AsyncIterator[tuple[Served, House, Load]]:
    """A daemon under load. What it keeps for some days ends at once, so that the purge has work each second."""
    short = RetentionProps(duration=0)
    async with Sink() as sink, serving(directory, sink, more=more, retention_props=short) as served:
        house = House(served.state, sink)
        load = Load(served, house, clients)
        load.start()
        await sink.wait(3)
        yield served, house, load


async def restart(served: Served) -> float:
    """Start it again, have it deliver what waits, stop it; return the processor's seconds that the start took."""
    await asyncio.to_thread(served.start)
    took = served.worked
    async with asyncio.timeout(PATIENCE):
        while (await served.api("GET", "/queue")).body:
            await served.api("POST", "/queue/flush")
    assert await asyncio.to_thread(served.stop) == 0
    return took


@pytest.mark.conformance
@pytest.mark.parametrize(("call", "number"), POINTS)
async def test_77_a_kill_of_the_whole_relay_under_load_loses_nothing(tmp_path: Path, call: str, number: int) -> None:
    async with loaded(tmp_path) as (served, house, load):
        tracer = attach(served.pid, f"{call}:signal=SIGKILL:when={number}")
        assert served.process
        assert await asyncio.to_thread(served.process.wait, PATIENCE) == -9
        await load.end()
        await asyncio.to_thread(tracer.communicate, timeout=PATIENCE)
        house.kills = 1
        assert await restart(served) < 5 * slowness()
        assert await house.compare() <= IN_FLIGHT


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_77_killed_again_and_again_under_load_it_goes_on_where_it_was(tmp_path: Path) -> None:
    chance = random.Random(77)
    async with loaded(tmp_path) as (served, house, load):
        for house.kills in range(1, 51):
            await asyncio.sleep(chance.uniform(0.1, 2.0))
            assert served.process
            served.process.kill()
            await asyncio.to_thread(served.process.wait)
            await load.end()
            await asyncio.to_thread(served.start)
            load.start()
        served.process.kill()
        await load.end()
        house.kills += 1
        await restart(served)
        assert await house.compare() <= REPEATED * house.kills


async def test_89_a_stop_under_load_takes_less_than_ten_seconds_and_loses_nothing(tmp_path: Path) -> None:
    async with loaded(tmp_path) as (served, house, load):
        began = time.perf_counter()
        assert await asyncio.to_thread(served.stop) == 0
        assert time.perf_counter() - began < 10
        await load.end()
        assert await house.compare() == 0
