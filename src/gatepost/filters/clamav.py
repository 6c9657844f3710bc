"""Asks ClamAV whether a mail carries a virus: clamd over its socket, by INSTREAM (clamd(8))."""

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import ClassVar

import msgspec

from gatepost.filters import registry, wire
from gatepost.filters.engine import Engine, EngineOptions
from gatepost.filters.registry import Tools
from gatepost.filters.wire import Garbled, Place, Wire, connected, exchange, pieces
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.verdict import Category, Finding

PORT = 3310
SIZE_ERROR = "INSTREAM size limit exceeded. ERROR"
LIMITS = "Heuristics.Limits.Exceeded*"  # what clamd finds by AlertExceedsMax: it has not seen all

_FOUND = re.compile(r"stream: (.+) FOUND", re.DOTALL)
_LENGTH = struct.Struct(">I")


class ClamavOptions(EngineOptions, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **EngineOptions.DOC,
        "scores": 'points for names that are no virus, as {"Heuristics.Phishing.*" = 6.0}; the first that fits counts',
    }
    on_error: registry.OnFailure = "defer"
    scores: dict[str, float] = msgspec.field(default_factory=dict)


class Clamav(Engine):
    """Does ClamAV find a virus?

    Only the answer "stream: OK" to a mail that was sent whole is clean.
    """

    name = "clamav"
    scanner = "ClamAV"
    Options = ClamavOptions

    def __init__(self, options: ClamavOptions, tools: Tools) -> None:
        super().__init__(options, tools)
        self._options = options

    def place(self, text: str) -> Place:
        return wire.place(text, PORT)

    async def ping(self, place: Place) -> None:
        async with connected(place, self._options.connect_timeout) as clamd:
            await clamd.say(b"zPING\0")
            if (answer := await _answer(clamd)) != "PONG":
                raise Garbled(f"it answers PING with {plain(answer, 60)!r}")

    async def question(self, mail: Mail) -> Callable[[Place], Awaitable[list[Finding]]]:
        return partial(self._scan, mail)

    async def _scan(self, mail: Mail, place: Place) -> list[Finding]:
        async with connected(place, self._options.connect_timeout) as clamd:
            answer, whole = await exchange(_stream(clamd, mail), _answer(clamd))
        if answer == "stream: OK" and whole:
            return []
        if answer == SIZE_ERROR:
            return self.larger(f"clamd says: {answer}")
        if match := _FOUND.fullmatch(answer):
            return self._found(match[1])
        raise Garbled(f"it answers {plain(answer, 60)!r}{'' if whole else ' before it has the mail'}")

    def _found(self, name: str) -> list[Finding]:
        shown = plain(name, 100)
        if fnmatchcase(name, LIMITS):
            return self.larger(f"clamd found {shown}")
        for pattern, points in self._options.scores.items():
            if fnmatchcase(name, pattern):
                score = points * self._options.weight
                return [self.finding(Category.SCORE, "SCORED", f"ClamAV found {shown}", score=score)]
        return [self.finding(Category.VIRUS, "FOUND", f"ClamAV found {shown}")]


async def _stream(clamd: Wire, mail: Mail) -> None:
    await clamd.say(b"zINSTREAM\0")
    async for piece in pieces(mail.body):
        await clamd.say(_LENGTH.pack(len(piece)) + piece)
    await clamd.say(_LENGTH.pack(0))


async def _answer(clamd: Wire) -> str:
    """Return an answer; one that is cut short counts where it already says that something was found."""
    try:
        return _text(await clamd.until(b"\0"))
    except asyncio.IncompleteReadError as error:
        if _FOUND.fullmatch(said := _text(error.partial)):
            return said
        raise


def _text(answer: bytes) -> str:
    return answer.decode("utf-8", "replace").rstrip("\0\n")


FILTER = Clamav
