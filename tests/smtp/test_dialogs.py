"""Plays the conversations of `dialogs/`, one a file.

# words for the reader; `# front: {...}` gives the front door its settings (JSON)
C: a line that the client sends, CR LF added
R: octets that it sends as they are: \\r \\n \\0 \\xNN, and {x*3000} for repetition
S: a reply, all its lines joined by blanks; * stands for anything
T: TLS begins
X: the server has closed the connection, and said no more
M: so many mails have come through by now
---  a new connection
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.loops import LOOPS
from tests.smtp.front import Front, Talk, front

DIALOGS = sorted((Path(__file__).parent / "dialogs").glob("*.txt"))
pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


def raw(text: str) -> bytes:
    text = re.sub(r"\{(.+?)\*(\d+)\}", lambda match: match[1] * int(match[2]), text)
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def matches(pattern: str, said: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), said) is not None


def read(path: Path) -> tuple[dict[str, Any], list[tuple[int, str, str]]]:
    settings: dict[str, Any] = {}
    steps = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("# front:"):
            settings = json.loads(line.removeprefix("# front:"))
        elif line and not line.startswith("#"):
            kind, _, text = line.partition(":") if line != "---" else ("---", "", "")
            steps.append((number, kind, text.removeprefix(" ")))
    return settings, steps


async def play(opened: Front, talk: Talk, kind: str, text: str) -> Talk:
    if kind == "C":
        await talk.send(text.encode() + b"\r\n")
    elif kind == "R":
        await talk.send(raw(text))
    elif kind == "S":
        said = (await talk.reply()).replace("\n", " ")
        assert matches(text, said), f"{said!r} is not {text!r}"
    elif kind == "T":
        assert opened.authority is not None
        await talk.cover(opened.authority)
    elif kind == "X":
        assert await talk.rest() == b""
    elif kind == "M":
        assert len(opened.mails) == int(text)
    elif kind == "---":
        return await opened.connect()
    else:
        raise AssertionError(f"no such step: {kind}")
    return talk


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
async def test_the_conversation_goes_as_written(path: Path, tmp_path: Path) -> None:
    settings, steps = read(path)
    assert any(kind == "S" for _, kind, _ in steps)
    async with front(tmp_path, **settings) as opened:
        talk = await opened.connect()
        for number, kind, text in steps:
            try:
                talk = await play(opened, talk, kind, text)
            except (AssertionError, OSError, TimeoutError) as error:
                raise AssertionError(f"{path.name}:{number}: {kind}: {text}: {error!r}") from error
