"""Who waits for a client goes on in the call that brings its octets; errors, ends and cancelling stay a task's own."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.smtp.front import front

from gatepost.model.address import Address
from gatepost.model.envelope import Client
from gatepost.model.route import Platform
from gatepost.smtp.arrival import Arrival
from gatepost.smtp.wire import TURN, Reader

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Listener:
    """A task that reads lines to their end, and what it has read."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.reader = Reader(self.loop)
        self.heard: list[bytes] = []
        self.task = self.loop.create_task(self._listen())

    async def _listen(self) -> None:
        while line := await self.reader.line():
            assert asyncio.current_task() is self.task
            self.heard.append(line)

    async def called(self, *calls: Callable[[], object]) -> None:
        """Do something as the loop does it: within no task."""
        await asyncio.sleep(0)
        done = self.loop.create_future()

        def call() -> None:
            for each in calls:
                each()
            done.set_result(None)

        self.loop.call_soon(call)
        await done


async def test_a_line_is_read_in_the_call_that_brings_it() -> None:
    listener = Listener()
    heard: list[int] = []

    def bring(data: bytes) -> None:
        listener.reader.take(data)
        heard.append(len(listener.heard))

    await listener.called(lambda: bring(b"one\r\n"), lambda: bring(b"two\r\nthree\r\nfo"), lambda: bring(b"ur\r\n"))
    assert heard[:2] == [1, 3]
    listener.reader.feed_eof()
    await listener.task
    assert listener.heard == [b"one\r\n", b"two\r\n", b"three\r\n", b"four\r\n"]


async def test_an_end_is_told_to_who_waits_from_within_any_task() -> None:
    for end in (Reader.feed_eof, lambda reader: reader.set_exception(ConnectionResetError())):
        listener = Listener()
        await asyncio.sleep(0)
        end(listener.reader)
        assert not listener.task.done()
        (ended,) = await asyncio.gather(listener.task, return_exceptions=True)
        assert ended is None or isinstance(ended, ConnectionResetError)
        assert listener.heard == []


async def test_who_is_cancelled_takes_nothing_more() -> None:
    listener = Listener()
    await listener.called(listener.task.cancel, lambda: listener.reader.take(b"late\r\n"))
    with pytest.raises(asyncio.CancelledError):
        await listener.task
    assert listener.heard == []
    assert listener.reader.pending == b"late\r\n"


async def test_a_wait_can_have_a_limit() -> None:
    reader = Reader(asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await reader.chunk()
    reader.feed_data(b"rest")
    assert await reader.chunk() == b"rest"


async def test_what_came_is_let_go_once_it_is_taken() -> None:
    """Threat 90: a chunk of a mail would stay in memory, beyond what the budget counts, until the mail is judged."""
    listener = Listener()
    line = b"x" * 100_000 + b"\r\n"
    await listener.called(lambda: listener.reader.take(line))
    assert listener.heard.pop() is line
    assert not [each for each in gc.get_referrers(line) if isinstance(each, Arrival)]
    listener.reader.feed_eof()
    await listener.task


async def test_many_lines_at_once_leave_the_loop_to_others_in_between() -> None:
    """Threat 13: RCPT for one address over and over counts as no error."""
    listener = Listener()
    listener.reader.feed_data(b"NOOP\r\n" * 10_000)
    listener.reader.feed_eof()
    most = before = 0
    while not listener.task.done():
        await asyncio.sleep(0)
        most, before = max(most, len(listener.heard) - before), len(listener.heard)
    assert len(listener.heard) == 10_000
    assert most <= TURN


async def test_a_command_that_waits_holds_up_those_behind_it(tmp_path: Path) -> None:
    """RFC 2920 3.2: replies come in the order of their commands, whether these came apart or together."""
    asked, known = asyncio.Event(), asyncio.Event()

    async def verify(address: Address, platform: Platform) -> None:
        asked.set()
        await known.wait()

    rcpts = [f"RCPT TO:<{name}@ours.example>\r\n".encode() for name in ("bob", "new", "carol")]
    async with front(tmp_path) as opened:
        opened.verify = verify  # type: ignore[method-assign]
        for chunks in (rcpts, [b"".join(rcpts)], [rcpts[0], rcpts[1] + rcpts[2][:9], rcpts[2][9:]]):
            asked.clear()
            known.clear()
            talk = await opened.hello()
            await talk.ask("MAIL FROM:<ada@world.example>")
            await talk.send(*chunks, b"FROBNICATE\r\n")
            await asked.wait()
            assert await talk.reply() == "250 2.1.5 Ok"
            assert await (await opened.hello()).ask("NOOP") == "250 2.0.0 Ok"
            known.set()
            said = [await talk.reply() for _ in range(3)]
            assert [line[:9] for line in said] == ["250 2.1.5", "250 2.1.5", "500 5.5.1"]


async def test_an_error_of_our_own_within_that_call_is_answered_and_no_more(tmp_path: Path) -> None:
    """The loop would end the connection for an error that reached it."""

    def admit(client: Client, sender: Address | None, recipients: int = 1, before: int = 0) -> None:
        raise ZeroDivisionError("a bug")

    async with front(tmp_path) as opened:
        talk = await opened.hello()
        keep = opened.keeper.admit
        opened.keeper.admit = admit  # type: ignore[method-assign]
        with capture_logs() as logs:
            assert await talk.ask("MAIL FROM:<ada@world.example>") == "451 4.3.0 local error; try later"
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["session failed"]
        opened.keeper.admit = keep  # type: ignore[method-assign]
        await talk.begin()
