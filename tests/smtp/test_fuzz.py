"""Whatever is said to a session, it answers or hangs up: it never fails, never hangs, never says what is no reply."""

import asyncio
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.examples import examples
from tests.smtp.front import Front, Talk, front

REPLY = re.compile(rb"(?:[2-5]\d\d-[\x20-\x7e]*\r\n)*[2-5]\d\d [\x20-\x7e]*\r\n")

VERBS = [
    "HELO",
    "EHLO",
    "MAIL",
    "RCPT",
    "DATA",
    "RSET",
    "NOOP",
    "QUIT",
    "VRFY",
    "EXPN",
    "HELP",
    "AUTH",
    "STARTTLS",
    "BDAT",
    "TURN",
    "XCLIENT",
]
WORDS = [
    "FROM:<ada@world.example>",
    "TO:<bob@ours.example>",
    "FROM:<>",
    "TO:<",
    'TO:<"@ours.example>',
    "SIZE=1",
    "SIZE=9999999999999999999999",
    "BODY=8BITMIME",
    "NOTIFY=NEVER",
    "ORCPT=rfc822;x",
    "PLAIN",
    "LOGIN",
    "=",
    "*",
    "client.example",
    "LAST",
    "ä",
]
COMMANDS = st.builds(
    lambda verb, words, end: " ".join([verb, *words]).encode() + end,
    st.sampled_from(VERBS),
    st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=4),
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\0\r\n"]),
)
OCTETS = st.one_of(COMMANDS, st.binary(max_size=40), st.sampled_from([b".\r\n", b"\r\n.\r\n", b"x" * 3000]))


class Background:
    """A front door on a loop of its own thread, so that many examples share it."""

    def __init__(self, directory: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.opened: Front | None = None
        self._ready = threading.Event()
        self._over: asyncio.Event | None = None
        self._thread = threading.Thread(target=self.loop.run_until_complete, args=(self._run(directory),))
        self._thread.start()
        assert self._ready.wait(10)

    async def _run(self, directory: Path) -> None:
        self._over = asyncio.Event()
        async with front(directory, certificate=True, listeners=[{}, {"role": "submission"}]) as self.opened:
            self._ready.set()
            await self._over.wait()

    def say(self, index: int, chunks: list[bytes]) -> bytes:
        """Hold one conversation, close our half of it, and return all that was answered."""
        assert self.opened is not None
        return asyncio.run_coroutine_threadsafe(self._say(self.opened, index, chunks), self.loop).result(60)

    async def _say(self, opened: Front, index: int, chunks: list[bytes]) -> bytes:
        talk = await opened.connect(index)
        greeting = (await talk.reply() + "\r\n").encode()
        heard = asyncio.create_task(listen(talk))
        with suppress(OSError):
            for chunk in (b"EHLO client.example\r\n", *chunks):
                await talk.send(chunk)
                for _ in range(6):  # the session shares this loop: by then it has most often answered
                    await asyncio.sleep(0)
            await talk.send(b"\r\n.\r\n")
            talk.writer.write_eof()
        said = greeting + await heard
        await talk.close()
        opened.talks.clear()
        return said

    def close(self) -> None:
        assert self._over is not None
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(60)
        self.loop.close()


async def listen(talk: Talk) -> bytes:
    """Return all that is said until the server closes; who speaks on after QUIT is reset, and has heard the rest."""
    said = b""
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            while part := await talk.reader.read(65_536):
                said += part
    return said


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    with tempfile.TemporaryDirectory() as directory:
        running = Background(Path(directory))
        yield running
        running.close()


@settings(max_examples=examples(150), deadline=None)
@given(index=st.sampled_from([0, 1]), chunks=st.lists(OCTETS, max_size=12))
def test_a_session_answers_whatever_is_said(background: Background, index: int, chunks: list[bytes]) -> None:
    with capture_logs() as logs:
        said = background.say(index, chunks)
    assert REPLY.match(said), said
    assert REPLY.sub(b"", said) == b"", said
    assert b"local error" not in said
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


@settings(max_examples=examples(40), deadline=None)
@given(mail=st.lists(OCTETS, max_size=6), cut=st.integers(2, 50))
def test_a_mail_of_any_octets_is_kept_or_refused(background: Background, mail: list[bytes], cut: int) -> None:
    """What follows its end is answered in step, wherever the packets were cut, or not run behind a refused one."""
    head = b"EHLO x\r\n", b"MAIL FROM:<>\r\nRCPT TO:<bob@ours.example>\r\nDATA\r\n"
    body = b"".join(mail).replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\nVRFY x\r\n"
    chunks = [body[at : at + cut] for at in range(0, len(body), cut)]
    answered = asyncio.run_coroutine_threadsafe(converse(background, head, chunks), background.loop).result(60)
    assert answered[0].startswith(("250 2.0.0 Ok: queued as ", "550 5.5.2 "))
    assert answered[1].startswith("252 ") or (answered[1] == "" and answered[0].startswith("550 "))


async def converse(background: Background, head: tuple[bytes, bytes], chunks: list[bytes]) -> list[str]:
    assert background.opened is not None
    talk = await background.opened.connect()
    await talk.reply()
    await talk.send(head[0])
    await talk.reply()
    await talk.send(head[1])
    for _ in range(3):
        await talk.reply()
    if chunks[0].startswith(b"."):
        await talk.send(b".")
    for chunk in chunks:
        await talk.send(chunk)
        await asyncio.sleep(0)
    answered = [await talk.reply(), await talk.reply()]
    await talk.close()
    background.opened.talks.clear()
    return answered
