"""A client that hands mail to an SMTP server fast: a transaction in two writes, one connection for many mails."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from tests.pace import PATIENCE


class Letter(NamedTuple):
    sender: str
    recipients: Sequence[str]
    data: bytes  # lines ended by CRLF, dots not yet doubled


class Talk:
    """One connection. Replies are (code, text of the last line)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        talk = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert (await talk.reply())[0] == 220
        assert (await talk.ask("EHLO client.world.example"))[0] == 250
        return talk

    async def reply(self) -> tuple[int, str]:
        async with asyncio.timeout(PATIENCE):
            while True:
                line = await self.reader.readline()
                if not line:
                    raise EOFError("the server closed the connection")
                if line[3:4] != b"-":
                    return int(line[:3]), line[4:].decode().rstrip("\r\n")

    async def ask(self, command: str) -> tuple[int, str]:
        self.writer.write(command.encode() + b"\r\n")
        return await self.reply()

    async def send(self, letter: Letter) -> tuple[int, str]:
        """Return the reply to the last dot, or the first refusal (the transaction is then undone)."""
        commands = [f"MAIL FROM:<{letter.sender}>", *(f"RCPT TO:<{each}>" for each in letter.recipients)]
        self.writer.write("\r\n".join([*commands, "DATA", ""]).encode())
        said = [await self.reply() for _ in range(len(commands) + 1)]
        if said[-1][0] != 354:
            assert (await self.ask("RSET"))[0] == 250
            return next(each for each in said if each[0] >= 400)
        self.writer.write(stuffed(letter.data) + b".\r\n")
        await self.writer.drain()
        return await self.reply()

    async def over(self) -> None:
        """Say nothing more, and read to the end of what the server says."""
        self.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                await self.reader.read()
        self.writer.close()

    async def close(self) -> None:
        await self.ask("QUIT")
        self.writer.close()


def stuffed(data: bytes) -> bytes:
    return (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]


async def hand_over(port: int, letters: Iterable[Letter], connections: int = 10) -> None:
    """Send all letters; each must be accepted."""
    waiting = iter(letters)

    async def work() -> None:
        talk = await Talk.open(port)
        for letter in waiting:
            code, text = await talk.send(letter)
            assert code == 250, text
        await talk.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work())
