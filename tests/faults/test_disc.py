"""79, 80: what a full or failing disc means to those at the doors, and how the relay comes back from it."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.faults import mails
from tests.faults.daemon import Served, serving
from tests.faults.traced import attach
from tests.pace import PATIENCE
from tests.peers.sink import Sink

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]  # strace, and root for a small tmpfs

MEGABYTE = 1 << 20
QUARANTINE = f"/users/{mails.BOB}/emails/Quarantine"
HELD, CLEAN, BULKY = mails.raw(4), mails.raw(1), mails.raw(3)


@pytest.fixture
def disc(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "disc"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    assert mounted.returncode == 0, f"these tests mount a small tmpfs and need root: {mounted.stderr}"
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disc: Path) -> None:
    """Leave no octet free."""
    with (disc / "ballast").open("ab", buffering=0) as file:
        for size in (MEGABYTE, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


async def until(ask: Callable[[], Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """Wait for what the daemon tells nobody: ask again and again."""
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def change(served: Served, value: str) -> int:
    """Write something by the API; return the status."""
    rule = {"owner": "served.example", "value": value, "type": "BLOCK"}
    return (await served.api("POST", "/wblist", [rule])).status


async def subjects(served: Served) -> list[str]:
    """Read bob's quarantine by the API."""
    said = await served.api("GET", QUARANTINE)
    assert said.status == 200
    return [mail["subject"] for mail in said.body]


def recovered(served: Served) -> Callable[[], Awaitable[bool]]:
    async def taken() -> bool:
        return await served.refusal() == "" and await served.send(CLEAN, mails.BOB) == "250"

    return taken


async def test_79_a_full_disc_is_said_by_name_and_the_relay_comes_back_by_itself(
    disc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Sink() as sink, serving(disc, sink) as served:
        assert await served.send(HELD, mails.BOB) == "250"
        client = await served.connect()
        fill(disc)
        assert (await served.send(BULKY, mails.BOB, client=client)).startswith("452 4.3.1 ")
        assert (await served.send(BULKY, mails.BOB, client=client)).startswith("452 4.3.1 ")
        assert await served.refusal() == "421 4.3.2 not taking mail now; try later"
        assert await change(served, "full.example") == 507
        assert (await served.api("GET", "/readyz")).status == 503
        assert await subjects(served) == ["mail 4"]
        (disc / "ballast").unlink()
        await until(recovered(served))
        assert await change(served, "room.example") == 201
        assert (await served.api("GET", "/readyz")).status == 200
        assert [mail.data.endswith(CLEAN) for mail in await sink.wait(1)] == [True]
        assert served.stop() == 0
        assert served.run("check") == 0
        fill(disc)
        assert served.run("check") == 74
        assert "gatepost.db: the database can't be opened: no room is left on its disc\n" in capsys.readouterr().err


async def test_79_a_large_mail_that_finds_no_room_is_told_so_and_leaves_nothing(disc: Path) -> None:
    async with Sink() as sink, serving(disc, sink) as served:
        client = await served.connect()
        huge = CLEAN + b"x" * 70 + (b"y" * 70 + b"\r\n") * (20 * MEGABYTE // 72)
        fill(disc)
        assert (await served.send(huge, mails.BOB, client=client)).startswith("452 4.3.1 ")
        assert [path for path in (served.state / "spool").rglob("*") if path.is_file()] == []


async def test_79_within_the_reserve_mail_is_refused_and_all_else_goes_on(disc: Path) -> None:
    """Reading, changing, delivering: the reserve is there for them."""
    sink = Sink({"MAIL": ["451 4.3.0 later"]})
    async with sink, serving(disc, sink, reserve=8 * MEGABYTE) as served:
        assert await served.send(CLEAN, mails.BOB) == "250"
        await sink.until(lambda: sink.script["MAIL"] == [])
        (disc / "ballast").write_bytes(bytes(16 * MEGABYTE))

        async def full() -> bool:
            return (await served.send(mails.raw(2), mails.BOB)).startswith("452 4.3.1 ")

        await until(full)
        assert await served.refusal() == ""
        assert (await served.api("GET", "/readyz")).status == 200
        assert await change(served, "small.example") == 201

        async def gone() -> bool:
            return (await served.api("POST", "/queue/flush")).status < 300 and bool(sink.mails)

        await until(gone)
        (disc / "ballast").unlink()
        await until(recovered(served))


async def test_79_a_quota_that_is_used_up_is_a_full_disc(tmp_path: Path) -> None:
    """SQLite calls it an I/O error, after which the relay would have to be started again."""
    async with Sink() as sink, serving(tmp_path, sink) as served:
        assert await served.send(HELD, mails.BOB) == "250"
        client = await served.connect()
        tracer = attach(served.pid, "pwrite64:error=EDQUOT")
        assert (await served.send(CLEAN, mails.BOB, client=client)).startswith("452 4.3.1 ")
        assert await change(served, "full.example") == 507
        assert "Disk quota exceeded" in served.log_text()
        tracer.terminate()
        tracer.communicate()
        await until(recovered(served))
        assert await change(served, "room.example") == 201
        await sink.wait(1)


async def test_80_after_an_i_o_error_no_mail_is_taken_until_a_restart(tmp_path: Path) -> None:
    async with Sink() as sink, serving(tmp_path, sink) as served:
        assert await served.send(HELD, mails.BOB) == "250"
        client = await served.connect()
        tracer = attach(served.pid, "fdatasync:error=EIO")
        assert (await served.send(CLEAN, mails.BOB, client=client)).startswith("451 4.3.0 ")
        tracer.terminate()
        tracer.communicate()
        assert (await served.send(CLEAN, mails.BOB, client=client)).startswith("451 4.3.0 ")
        assert await served.refusal() == "421 4.3.2 not taking mail now; try later"
        assert await change(served, "broken.example") == 503
        assert (await served.api("GET", "/readyz")).status == 503
        assert (await served.api("GET", "/livez")).status == 200
        assert await subjects(served) == ["mail 4"]
        assert served.stop() == 0
        await asyncio.to_thread(served.start)
        assert await served.send(CLEAN, mails.BOB) == "250"
        assert await change(served, "mended.example") == 201
        assert (await served.api("GET", "/readyz")).status == 200
        await sink.wait(1)


@pytest.mark.parametrize("inject", ["fsync:error=EIO:when=1", "rename,unlink:error=EIO"])
async def test_80_an_error_at_one_file_of_the_spool_is_no_less_an_error(tmp_path: Path, inject: str) -> None:
    async with Sink() as sink, serving(tmp_path, sink) as served:
        client = await served.connect()
        tracer = attach(served.pid, inject)
        assert (await served.send(BULKY, mails.BOB, client=client)).startswith("451 4.3.0 ")
        assert (await served.refusal()).startswith("421 4.3.2 ")
        tracer.terminate()
        tracer.communicate()
