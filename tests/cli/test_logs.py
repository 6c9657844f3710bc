"""Log lines, as a process really writes them."""

import json
import subprocess
import sys

import pytest

from gatepost.cli.failure import Failure
from gatepost.cli.logs import configure
from gatepost.settings import Log

PROGRAM = """
import logging
from gatepost.cli.logs import configure
from gatepost.settings import Log
from gatepost.events import log
configure(Log(format={format!r}, level="info"))
log.debug("unseen")
log.info("mail received", id="00ff", sender="a@b.test", helo="evil\\r\\n2026 info forged \\x1b[2J")
logging.getLogger("uvicorn.error").warning("library says %s", "so")
logging.getLogger("asyncio").info("chatter")
"""


def lines(form: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(format=form)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_text_line_is_one_line_whatever_the_client_said() -> None:
    """Threats 22 and 29: no raw control character of a client reaches the log."""
    first, second = lines("text")
    assert first.split(" ", 1)[1] == (
        'info mail received id=00ff sender=a@b.test helo="evil\\r\\n2026 info forged \\u001b[2J"'
    )
    assert second.split(" ", 1)[1] == "warning library says so"


def test_json_lines_are_json() -> None:
    first, second = map(json.loads, lines("json"))
    assert (first["event"], first["level"], first["sender"]) == ("mail received", "info", "a@b.test")
    assert second["event"] == "library says so"


@pytest.mark.parametrize("log", [Log(format="xml"), Log(level="loud")])
def test_unknown_forms_and_levels_are_refused(log: Log) -> None:
    with pytest.raises(Failure, match="log\\."):
        configure(log)
