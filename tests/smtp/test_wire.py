"""How lines come to who reads them: in order, with turns for others, up to their end; errors and waits in between."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.smtp.front import front

from gatepost.model.address import Address
from gatepost.model.envelope import Client
from gatepost.model.route import Platform
from gatepost.smtp.wire import BUFFER, TURN, Reader

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


class Listener:
    """A task that reads lines to their end, and what it has read."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.reader = Reader(limit=BUFFER, loop=self.loop)
        self.heard: list[bytes] = []
        self.task = self.loop.create_task(self._listen())

    async def _listen(self) -> None:
        while line := await self.reader.line():
            assert asyncio.current_task() is self.task
            self.heard.append(line)


async def test_an_end_is_told_to_who_waits_from_within_any_task() -> None:
    for end in (Reader.feed_eof, lambda reader: reader.set_exception(ConnectionResetError())):
        listener = Listener()
        await asyncio.sleep(0)
        end(listener.reader)
        assert not listener.task.done()
        (ended,) = await asyncio.gather(listener.task, return_exceptions=True)
        assert ended is None or isinstance(ended, ConnectionResetError)
        assert listener.heard == []


async def test_a_wait_can_have_a_limit() -> None:
    reader = Reader(limit=BUFFER, loop=asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await reader.chunk()
    reader.feed_data(b"rest")
    assert await reader.chunk() == b"rest"


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


async def test_an_error_of_our_own_within_a_command_is_answered_and_no_more(tmp_path: Path) -> None:
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
