"""90, 91: with little memory and few file descriptors the relay slows down; it neither grows nor falls over."""

import asyncio
import contextlib
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.faults import mails
from tests.faults.daemon import Served, serving
from tests.peers.sink import Mail, Sink

pytestmark = pytest.mark.anyio

MEGABYTE = 1_000_000
LINE = b"%072d\r\n"


class Light(list[Mail]):
    """The mails of a sink without their octets: this test needs the memory for others."""

    def append(self, mail: Mail) -> None:
        mail.raw = mail.data = b""
        super().append(mail)


def pss(pid: int) -> int:
    """Return the octets of memory that a process and its children have, each shared page counted in part."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = sum(pss(int(child)) for child in children)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return total


@contextlib.asynccontextmanager
async def watched(pid: int) -> AsyncIterator[list[int]]:
    """Look at the memory again and again; the list's only member is the most that was seen."""
    most = [0]

    async def look() -> None:
        while True:
            most[0] = max(most[0], await asyncio.to_thread(pss, pid))
            await asyncio.sleep(0.05)

    task = asyncio.create_task(look())
    try:
        yield most
    finally:
        task.cancel()


async def pour(served: Served, size: int) -> str:
    """Send a mail of so many octets without ever holding it; return the last reply."""
    host, _, port = served.smtp.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    said = await reader.readline()
    for command in ("HELO client.example", f"MAIL FROM:<{mails.SENDER}>", f"RCPT TO:<{mails.BOB}>", "DATA"):
        writer.write(f"{command}\r\n".encode())
        said = await reader.readline()
    assert said.startswith(b"354"), said
    writer.write(mails.raw(1))
    chunk = b"".join(LINE % number for number in range(1000))
    for _ in range(size // len(chunk)):
        writer.write(chunk)
        await writer.drain()
    writer.write(b".\r\n")
    said = await reader.readline()
    writer.close()
    return said.decode()


@pytest.mark.parametrize(
    ("count", "size", "bound"),  # megabytes, the last of the daemon and its workers
    [
        pytest.param(10, 25, 200, marks=pytest.mark.conformance),
        pytest.param(50, 30, 250, marks=pytest.mark.soak),
    ],
)
async def test_90_many_large_mails_at_once_are_bounded_by_the_budget(
    tmp_path: Path, count: int, size: int, bound: int
) -> None:
    sizes = Sink(extensions=["SIZE 52428800"])
    async with sizes as sink, serving(tmp_path, sink, afresh=True, mail_size_limit=50) as served:
        sink.mails = Light()
        await pour(served, MEGABYTE)  # what is needed for any mail is there
        async with watched(served.pid) as most:
            replies = await asyncio.gather(*(pour(served, size * MEGABYTE) for _ in range(count)))
            assert {reply[:3] for reply in replies} <= {"250", "452"}
            taken = sum(reply.startswith("250") for reply in replies)
            await sink.wait(1 + taken, 120)
        assert taken
        assert most[0] < bound * MEGABYTE, f"{most[0] / MEGABYTE:.0f} MB with {taken} mails of {size} MB"


async def test_91_without_file_descriptors_it_takes_nobody_in_and_recovers(tmp_path: Path) -> None:
    async with Sink() as sink, serving(tmp_path, sink) as served:
        used = len(os.listdir(f"/proc/{served.pid}/fd"))  # noqa: PTH208
        _, hard = resource.prlimit(served.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(served.pid, resource.RLIMIT_NOFILE, (used + 6, hard))
        host, _, port = served.smtp.rpartition(":")
        peers = [await asyncio.open_connection(host, int(port)) for _ in range(30)]
        greeted = 0
        for reader, _ in peers:
            with contextlib.suppress(TimeoutError, ConnectionError):
                greeted += (await asyncio.wait_for(reader.readline(), 0.2)).startswith(b"220")
        assert 0 < greeted < 30
        for _, writer in peers:
            writer.close()
        resource.prlimit(served.pid, resource.RLIMIT_NOFILE, (hard, hard))

        async with asyncio.timeout(60):
            while await served.send(mails.raw(1), mails.BARE) != "250":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await sink.wait(1)
        assert (await served.api("GET", "/readyz")).status == 200
        assert len(served.log_text()) < 100_000, "it fills the disc with complaints"
