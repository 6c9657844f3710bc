"""Sends mails of which no two have the same text, since `smtp-source` sends one and the same again and again.

    python -m bench.unlike PORT COUNT SESSIONS FILE [--reuse]

The greeting of each mail in FILE is numbered. Sessions take turns at the mails; each waits for every answer.
"""

import argparse
import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

GREETING = b"Hello Bob"


async def _answer(reader: asyncio.StreamReader) -> None:
    while (line := await reader.readline())[3:4] == b"-":
        pass
    if line[:1] not in (b"2", b"3"):
        raise ConnectionError(line.decode("ascii", "replace"))


class Session:
    """Sends mails over one connection after another, or over one."""

    def __init__(self, port: int, mails: Iterator[bytes], *, reuse: bool) -> None:
        self._port = port
        self._mails = mails
        self._reuse = reuse

    async def run(self) -> None:
        for mail in self._mails:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            await _answer(reader)
            await self._say(reader, writer, b"EHLO client.example\r\n")
            await self._mail(reader, writer, mail)
            while self._reuse and (further := next(self._mails, None)) is not None:
                await self._mail(reader, writer, further)
            await self._say(reader, writer, b"QUIT\r\n")
            writer.close()

    async def _mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mail: bytes) -> None:
        for command in (b"MAIL FROM:<ada@world.example>\r\n", b"RCPT TO:<bob@served.example>\r\n", b"DATA\r\n", mail):
            await self._say(reader, writer, command)

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octets: bytes) -> None:
        writer.write(octets)
        await _answer(reader)


def numbered(mail: bytes, count: int) -> Iterator[bytes]:
    """Yield a mail so many times, ready for DATA, its greetings with a number of their own."""
    whole = mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n"
    for number in itertools.islice(itertools.count(1), count):
        yield whole.replace(GREETING, b"%s (%07d)" % (GREETING, number))


async def send(port: int, mails: Iterator[bytes], sessions: int, *, reuse: bool) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(sessions):
            group.create_task(Session(port, mails, reuse=reuse).run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("sessions", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--reuse", action="store_true")
    given = parser.parse_args()
    mails = numbered(given.file.read_bytes(), given.count)
    asyncio.run(send(given.port, mails, given.sessions, reuse=given.reuse))


if __name__ == "__main__":
    main()
