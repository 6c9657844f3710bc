"""What the tests of engines share: an engine over servers of the test's own, and mails that are asked about."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.filters.mails import OPENER, mail, make, recipient, run
from tests.peers.engine import Scanner

from gatepost.filters.engine import Engine
from gatepost.message.mail import Mail
from gatepost.model.envelope import Body
from gatepost.model.verdict import Finding

LETTER = b"From: ann@a.test\r\nSubject: x\r\n\r\nHello\r\n"
T = TypeVar("T")


def engine(name: str, *servers: str, **options: Any) -> Engine:
    """Make an engine that loses patience soon."""
    usual = {"timeout": 5.0, "connect_timeout": 1.0, "servers": list(servers)}
    made = make(name, **{**usual, **options})
    assert isinstance(made, Engine)
    return made


def spooled(path: Path, data: bytes) -> Mail:
    path.write_bytes(data)
    return Mail(mail(b"").envelope, Body(len(data), path=str(path)), OPENER)


async def examine(one: Engine, letter: Mail) -> list[Finding]:
    try:
        return list(await one.examine(letter, recipient()))
    finally:
        await one.close()


def tried(name: str, scanner: Scanner, letter: Mail | None = None, **options: Any) -> list[Finding]:
    """Return what an engine finds in a mail by asking a scanner."""

    async def ask() -> list[Finding]:
        async with scanner:
            return await examine(engine(name, scanner.address, **options), letter or mail(LETTER))

    return run(ask())


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    """Return categories and symbols, without notes."""
    return [(each.category.name, each.symbol) for each in findings if each.category.name != "NOTE"]


def together(work: Callable[[], Awaitable[T]]) -> T:
    """Run a test's own steps in the loop of the filters' tests."""

    async def steps() -> T:
        return await work()

    return run(steps())
