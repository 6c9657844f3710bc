"""A mail as it goes on the wire: dots that begin lines stand doubled, a dot alone ends it (RFC 5321 4.5.2)."""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from gatepost.model.envelope import Body

CHUNK = 262_144
_WINDOW = 4096
_DOTTED = {end: re.compile(end + rb"\.") for end in (b"\r\n", b"\n")}
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)


def find(text: bytes, line_end: bytes) -> int:
    """Return where a line end with a dot behind it first stands, -1 where there is none.

    Base64 has no dots, and one octet is found fifty times as fast as two: only from dot to dot are both looked for, by
    an expression, which hops from line end to line end.
    """
    before, dotted = len(line_end), _DOTTED[line_end]
    dot = text.find(b".")
    while dot >= 0:
        end = dot + _WINDOW
        found = dotted.search(text, max(dot - before, 0), end)
        if found:
            return found.start()
        dot = text.find(b".", end)
    return -1


def stuffed(text: bytes) -> bytes:
    """Return a whole mail as it goes on the wire, with its dot (RFC 5321 4.5.2)."""
    wire = _doubled(text)
    start = b"." if wire.startswith(b".") else b""
    end = b".\r\n" if not wire or wire.endswith(b"\r\n") else b"\r\n.\r\n"
    return b"".join((start, wire, end))


async def stuffed_file(head: bytes, body: Body, offset: int) -> AsyncGenerator[bytes, None]:
    """A mail whose body is a file, chunk by chunk, dots stuffed, ended by CRLF; the dot is the caller's.

    Raises OSError where the file can't be read, or ends before the body does: the rest of a mail must not be missed.
    """
    last = b"\n"
    buffer = bytearray(CHUNK)
    opens = partial(Path(body.path or "").open, "rb", buffering=0)
    with opens() if body.start else await asyncio.to_thread(opens) as file:  # of a fresh mail it takes no time
        chunk = head
        while chunk or offset < body.size:
            if offset < body.size:
                piece = await _chunk(file.fileno(), offset, buffer)
                offset += len(piece)
                chunk += piece
            wire = _doubled(chunk)
            yield b"." + wire if last.endswith(b"\n") and wire.startswith(b".") else wire
            last = (last + chunk[-2:])[-2:]
            chunk = b""
    if last != b"\n" and last != b"\r\n":
        yield b"\r\n"


async def _chunk(file: int, at: int, buffer: bytearray) -> bytes:
    """Read a file from `at` on: at once what the system has in memory, as of a fresh mail, the rest by a thread."""
    if _NOWAIT is not None:
        with contextlib.suppress(OSError):  # it is not in memory, or the file system can't tell
            if size := os.preadv(file, [buffer], at, _NOWAIT):  # Linux 5.9 and 5.10 say 0 before the end, too
                return bytes(memoryview(buffer)[:size])
    piece = await asyncio.get_running_loop().run_in_executor(None, os.pread, file, len(buffer), at)
    if not piece:
        raise OSError(errno.EIO, "the file of a mail ends before the mail does")
    return piece


def _doubled(text: bytes) -> bytes:
    """Return a text with each dot doubled that begins a line, the first one apart.

    One after a bare LF is doubled as well: no such body should get here, but were it so, no next hop could take that
    dot for the end.
    """
    return text.replace(b"\n.", b"\n..") if find(text, b"\n") >= 0 else text
