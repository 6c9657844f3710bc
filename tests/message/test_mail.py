"""Mails, and the worker processes that take the large and the dangerous ones apart."""

import asyncio
import contextlib
import gc
import os
import resource
import select
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop
from tests.message.mails import EXE, attachment, mail, multipart, zipped

from gatepost.message import mail as daemon_side
from gatepost.message.mail import INLINE_MAX, Busy, Mail, Opener, Unscannable
from gatepost.message.worker import Failure, Job, Success, frame, job_decoder, result_decoder
from gatepost.model.address import Address
from gatepost.model.envelope import Body, Client, Direction, Envelope
from gatepost.model.problem import Kind, Problem
from gatepost.settings import Filters, Limits

ENVELOPE = Envelope(
    id="0" * 32,
    client=Client(ip="192.0.2.1"),
    sender=Address("ann", "a.example"),
    recipients=(),
    direction=Direction.IN,
    received=0,
)
ZIPPED = mail(attachment(b"a.zip", zipped({"evil.exe": EXE})))
LARGE = mail(multipart(b"\r\nHello", b"\r\n" + b"x" * INLINE_MAX))


def in_memory(data: bytes) -> Body:
    return Body(size=len(data), data=data)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def opener() -> AsyncIterator[Opener]:
    made = Opener(Filters(), Limits())
    yield made
    await made.close()


@pytest.fixture(scope="module")
async def kept(anyio_backend: str) -> AsyncIterator[Opener]:
    """An opener for test after test, with a worker that may live already."""
    made = Opener(Filters(), Limits())
    yield made
    await made.close()


@pytest.mark.anyio
async def test_a_small_mail_is_opened_in_the_loop_and_starts_no_process(opener: Opener) -> None:
    found = await Mail(ENVELOPE, in_memory(mail(b"\r\nHello")), opener).anatomy()
    assert found.parts[0].text == b"Hello"
    assert opener.pids == []


@pytest.mark.anyio
async def test_a_small_pdf_is_opened_in_the_loop_but_not_one_that_unpacks_to_megabytes(opener: Opener) -> None:
    def pdf(octets: int) -> bytes:
        stream = zlib.compress(b"/URI (http://x.example/)".ljust(octets))
        return mail(attachment(b"a.pdf", b"%PDF-1.5\n" + (b"stream\n" + stream + b"\nendstream\n") * 3))

    found = await Mail(ENVELOPE, in_memory(pdf(1000)), opener).anatomy()
    assert [link.host for link in found.links] == ["x.example"]
    assert opener.pids == []
    found = await Mail(ENVELOPE, in_memory(pdf(900_000)), opener).anatomy()
    assert [link.host for link in found.links] == ["x.example"]
    assert len(opener.pids) == 1


@pytest.mark.anyio
async def test_archives_large_mails_and_spooled_ones_go_to_one_worker(kept: Opener, tmp_path: Path) -> None:
    spooled = tmp_path / "body"
    spooled.write_bytes(ZIPPED)
    bodies = [in_memory(ZIPPED), in_memory(LARGE), Body(size=len(ZIPPED), path=str(spooled))]
    found = [await Mail(ENVELOPE, body, kept).anatomy() for body in bodies]
    assert [one.parts[0].members[0].names for one in (found[0], found[2])] == [("evil.exe",)] * 2
    assert found[1].size == len(LARGE)
    assert len(kept.pids) == 1


@pytest.mark.anyio
async def test_an_anatomy_is_made_once_for_all_who_ask(kept: Opener) -> None:
    one = Mail(ENVELOPE, in_memory(ZIPPED), kept)
    first, second = await asyncio.gather(one.anatomy(), one.anatomy())
    assert first is second is await one.anatomy()
    plain = Mail(ENVELOPE, in_memory(mail(b"\r\nx")), kept)
    assert await plain.anatomy() is await plain.anatomy()


@pytest.mark.anyio
async def test_one_who_gives_up_does_not_spoil_it_for_the_others(kept: Opener) -> None:
    one = Mail(ENVELOPE, in_memory(ZIPPED), kept)
    hasty, patient = asyncio.create_task(one.anatomy()), asyncio.create_task(one.anatomy())
    await asyncio.sleep(0)
    hasty.cancel()
    assert (await patient).parts[0].members


@pytest.mark.anyio
async def test_a_worker_that_is_killed_over_a_mail_is_unscannable_and_the_next_mail_gets_a_new_one(
    kept: Opener,
) -> None:
    await kept.open(in_memory(ZIPPED))
    victim = kept.pids[0]
    os.kill(victim, signal.SIGSTOP)  # so that it is still at work when it is killed
    asking = asyncio.create_task(kept.open(in_memory(ZIPPED)))
    await asyncio.sleep(0)
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(Unscannable, match="died"):
        await asking
    assert (await kept.open(in_memory(ZIPPED))).parts[0].members
    assert victim not in kept.pids


@pytest.mark.anyio
async def test_a_worker_that_is_asked_to_stop_goes_on_with_its_mail(kept: Opener) -> None:
    """As all processes of a service are by its manager: the daemon ends its workers when the mails are answered for."""
    await kept.open(in_memory(ZIPPED))
    (worker,) = kept.pids
    os.kill(worker, signal.SIGSTOP)  # so that it is still at work when it is asked
    asking = asyncio.create_task(kept.open(in_memory(ZIPPED)))
    await asyncio.sleep(0)
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCONT):
        os.kill(worker, asked)
    assert (await asking).parts[0].members
    assert kept.pids == [worker]


@pytest.mark.anyio
async def test_a_worker_that_died_idle_is_replaced_without_a_loss(kept: Opener) -> None:
    await kept.open(in_memory(ZIPPED))
    victim = kept.pids[0]
    os.kill(victim, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # asyncio's thread was quicker
        os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  # the loop is not to hear of it
    assert (await kept.open(in_memory(ZIPPED))).parts[0].members


@pytest.mark.anyio
async def test_a_worker_that_hangs_is_killed_when_its_time_is_over() -> None:
    opener = Opener(Filters(), Limits(scan_seconds=0.05), grace=2.0)
    try:
        await opener.delegate(in_memory(b"x"))
        os.kill(opener.pids[0], signal.SIGSTOP)
        with pytest.raises(Unscannable, match=r"longer than 0\.05 s"):
            await opener.delegate(in_memory(b"x"))
        assert opener.pids == []
    finally:
        await opener.close()


@pytest.mark.anyio
async def test_threat_54_a_step_that_never_looks_at_the_clock_is_ended_and_told() -> None:
    opener = Opener(Filters(), Limits(scan_seconds=0.01))
    try:
        await opener.delegate(in_memory(b"x"))
        before = opener.pids
        page = b"Content-Type: text/html\r\n\r\n" + b"<a href=http://x.example/><b>" * 1_500_000
        found = await opener.open(in_memory(page))
        assert found.unscannable == ("the work on the mail took longer than 0.01 s",)
        assert found.parts[0].index == 0
        assert opener.pids == before  # it lives
    finally:
        await opener.close()


@pytest.mark.anyio
async def test_threat_55_a_worker_has_limits_no_secrets_and_no_modules_of_strangers(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GATEPOST_STORE__KEY", "secret")
    tmp_path.joinpath("msgspec.py").write_text("raise SystemExit('run')")  # as it may lie where a daemon is started
    monkeypatch.chdir(tmp_path)
    await opener.open(in_memory(ZIPPED))
    process = Path(f"/proc/{opener.pids[0]}")
    limits = process.joinpath("limits").read_text(encoding="ascii")
    softs = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()}
    assert (softs["Max file size"], softs["Max core file size"], softs["Max open files"]) == ("0", "0", "64")
    assert int(softs["Max address space"]) < 2_000_000_000
    assert int(softs["Max cpu time"]) < 60
    assert b"secret" not in process.joinpath("environ").read_bytes()
    assert process.joinpath("oom_score_adj").read_text() == "1000\n", "memory that runs out costs it, not the daemon"


@pytest.mark.anyio
async def test_a_body_that_is_gone_is_unscannable_and_the_worker_lives(kept: Opener, tmp_path: Path) -> None:
    await kept.open(in_memory(ZIPPED))
    before = kept.pids
    with pytest.raises(Unscannable, match="FileNotFoundError"):
        await kept.open(Body(size=9, path=str(tmp_path / "gone")))
    assert (await kept.open(in_memory(ZIPPED))).parts[0].members
    assert kept.pids == before


@pytest.mark.anyio
async def test_a_worker_that_has_no_memory_left_is_replaced(kept: Opener, tmp_path: Path) -> None:
    await kept.open(in_memory(ZIPPED))
    victim = kept.pids[0]
    process = Path(f"/proc/{victim}")
    taken = int(process.joinpath("statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.prlimit(victim, resource.RLIMIT_AS, (taken, taken))
    with (large := tmp_path / "large").open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(Unscannable, match="MemoryError"):
        await kept.open(Body(50_000_000, path=str(large)))
    assert (await kept.open(in_memory(ZIPPED))).parts[0].members
    assert victim not in kept.pids


@pytest.mark.anyio
async def test_one_of_another_version_reads_nothing_and_the_mail_is_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(daemon_side, "installed", lambda: "0.0.0")
        opener = Opener(Filters(), Limits())
    try:
        with pytest.raises(Busy, match="restarted"):
            await opener.open(in_memory(ZIPPED))
        with pytest.raises(Problem) as told:
            await opener.opened(in_memory(ZIPPED))
        assert (told.value.kind, "restarted" in told.value.context["reason"]) == (Kind.UNAVAILABLE, True)
        assert opener.pids == []
    finally:
        await opener.close()


@pytest.mark.anyio
async def test_where_no_worker_can_be_started_the_mail_is_to_come_again(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As many as the user may have run already, or the interpreter is being replaced: that is no fault of the mail."""
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(tmp_path / "gone"))
        with pytest.raises(Busy, match=r"no worker can be started \(.*gone: No such file"):
            await opener.open(in_memory(ZIPPED))
    assert (await opener.open(in_memory(ZIPPED))).parts[0].members


PARENT = """
import asyncio, signal, sys
from gatepost.message.mail import Opener
from gatepost.model.envelope import Body
from gatepost.settings import Filters, Limits
async def main():
    opener = Opener(Filters(), Limits())
    await opener.delegate(Body(1, b"x"))
    print(*opener.pids, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no prctl(PR_SET_PDEATHSIG) and no pidfd, which are Linux's")
def test_a_worker_that_is_stopped_does_not_outlive_a_daemon_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        watched = os.pidfd_open(worker)
        os.kill(worker, signal.SIGSTOP)
        parent.kill()
    try:
        assert select.select([watched], [], [], 60)[0]
    finally:
        os.close(watched)


@pytest.mark.anyio
async def test_a_mail_that_all_gave_up_is_no_news(kept: Opener, caplog: pytest.LogCaptureFixture) -> None:
    await kept.open(in_memory(ZIPPED))
    os.kill(victim := kept.pids[0], signal.SIGSTOP)
    mail = Mail(ENVELOPE, in_memory(ZIPPED), kept)
    asking = asyncio.create_task(mail.anatomy())
    await asyncio.sleep(0)
    assert mail._opening is not None
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    os.kill(victim, signal.SIGKILL)
    await asyncio.wait([mail._opening])
    del mail, asking
    gc.collect()
    assert not caplog.records


@pytest.mark.anyio
async def test_closing_while_a_worker_starts_leaves_no_process() -> None:
    opener = Opener(Filters(), Limits())
    asking = asyncio.create_task(opener.open(in_memory(ZIPPED)))
    await asyncio.sleep(0)
    await opener.close()
    with pytest.raises(Unscannable, match="stopped"):
        await asking
    assert opener.pids == []


@pytest.mark.anyio
async def test_closing_ends_the_processes_and_what_they_are_at() -> None:
    opener = Opener(Filters(workers=2), Limits())
    await opener.open(in_memory(ZIPPED))
    pid = opener.pids[0]
    os.kill(pid, signal.SIGSTOP)
    asking = asyncio.create_task(opener.open(in_memory(ZIPPED)))
    await asyncio.sleep(0)
    await opener.close()
    with pytest.raises(Unscannable):
        await asking
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(Unscannable, match="stopped"):
        await opener.open(in_memory(ZIPPED))
    await opener.close()


@pytest.mark.anyio
async def test_many_mails_at_once_share_the_workers() -> None:
    opener = Opener(Filters(workers=2), Limits())
    found = await asyncio.gather(*(opener.open(in_memory(ZIPPED)) for _ in range(20)))
    assert all(one.parts[0].members for one in found)
    assert len(opener.pids) == 2
    await opener.close()


def test_the_workers_serve_under_uvloop() -> None:
    async def once() -> int:
        opener = Opener(Filters(), Limits())
        found = await opener.open(in_memory(ZIPPED))
        await opener.close()
        return len(found.parts[0].members)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(once()) == 1


@contextlib.contextmanager
def files_left(number: int) -> Iterator[None]:
    """Let this process open so many files more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 50, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for file in held[len(held) - number :]:
            os.close(file)
        del held[len(held) - number :]
        yield
    finally:
        for file in held:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_where_files_run_out_as_a_worker_starts_none_stays_open() -> None:
    async def once() -> None:
        opener = Opener(Filters(), Limits())
        before = open_files()
        for left in range(10):
            with files_left(left), pytest.raises(Busy):
                await opener.open(in_memory(ZIPPED))
        assert open_files() == before
        await opener.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(once())


def test_frames_carry_jobs_and_results() -> None:
    job = Job("1.2.3", Limits(depth=3), b"data")
    assert job_decoder.decode(frame(job)[4:]) == job
    for result in (Failure("why"),):
        assert result_decoder.decode(frame(result)[4:]) == result
    assert msgspec.msgpack.decode(frame(Failure("x"))[4:])["type"] != Success.__name__
