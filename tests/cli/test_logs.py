"""Log lines, as a process really writes them."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

import pytest

from gatepost.cli.failure import Failure
from gatepost.cli.logs import configure
from gatepost.cli.outlet import PATIENCE, Outlet
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
logging.getLogger("uvicorn.error").log(35, "a level of its own")
log.info("sign-in refused", door="smtp", ip="192.0.2.7", login="ann@b.test")
log.info("refused", session=3, ip="192.0.2.8", argument="info sign-in refused door=smtp ip=192.0.2.9")
"""


@cache
def lines(form: str) -> list[str]:
    """Return what a process writes whose standard error is not the journal that its surroundings name."""
    program = [sys.executable, "-c", PROGRAM.format(format=form)]
    environ = {**os.environ, "JOURNAL_STREAM": "1:1"}
    done = subprocess.run(program, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_text_line_is_one_line_whatever_the_client_said() -> None:
    """Threats 22 and 29: no raw control character of a client reaches the log."""
    first, second, *_ = lines("text")
    assert first.split(" ", 1)[1] == (
        'info mail received id=00ff sender=a@b.test helo="evil\\r\\n2026 info forged \\u001b[2J"'
    )
    assert second.split(" ", 1)[1] == "warning library says so"


def test_what_the_pages_give_to_fail2ban_bans_who_guesses_and_nobody_else() -> None:
    told = (Path(__file__).parents[2] / "docs/howto.md").read_text()
    (expression,) = re.findall(r"^failregex = (.+)$", told, re.M)
    found = [re.search(expression.replace("<ADDR>", r"(?P<ip>[\d.]+)"), line) for line in lines("text")]
    assert [match["ip"] for match in found if match] == ["192.0.2.7"]


def test_json_lines_are_json() -> None:
    first, second, *_ = map(json.loads, lines("json"))
    assert (first["event"], first["level"], first["sender"]) == ("mail received", "info", "a@b.test")
    assert second["event"] == "library says so"


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_journal_gets_the_priority_of_each_line(form: str) -> None:
    reading, writing = os.pipe()
    stat = os.fstat(writing)
    environ = {**os.environ, "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
    with os.fdopen(reading) as journal:
        program = [sys.executable, "-c", PROGRAM.format(format=form)]
        subprocess.run(program, stderr=writing, env=environ, check=True)
        os.close(writing)
        assert [line[:3] for line in journal] == ["<6>", "<4>", "<6>", "<6>", "<6>"]


def test_a_line_that_does_not_go_to_the_journal_has_no_priority() -> None:
    assert not [line for line in lines("text") if line.startswith("<")]


@pytest.mark.parametrize("log", [Log(format="xml"), Log(level="loud")])
def test_unknown_forms_and_levels_are_refused(log: Log) -> None:
    with pytest.raises(Failure, match="log\\."):
        configure(log)


def told(lines: int) -> str:
    return f"{lines} lost"


def test_a_log_whose_reader_is_gone_fails_nobody() -> None:
    reading, writing = os.pipe()
    outlet = Outlet(writing, told)
    os.close(reading)
    assert [outlet.write(f"{number}\n") for number in range(3)] == [2, 2, 2]
    os.close(writing)


def test_a_log_on_a_full_disc_fails_nobody_and_says_later_what_is_missing(tmp_path: Path) -> None:
    full, there = os.open("/dev/full", os.O_WRONLY), os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    fd = os.dup(full)
    outlet = Outlet(fd, told)
    outlet.write("one\n")
    outlet.write("two\n")
    os.dup2(there, fd)
    outlet.write("three\n")
    outlet.write("four\n")
    assert (tmp_path / "log").read_text() == "2 lost\nthree\nfour\n"
    for each in (full, there, fd):
        os.close(each)


def test_a_log_that_nobody_reads_holds_its_writer_up_once_and_goes_on_with_the_reader() -> None:
    reading, writing = os.pipe()
    outlet = Outlet(writing, told)
    line = "x" * 9_999 + "\n"
    began = time.monotonic()
    for _ in range(300):
        outlet.write(line)
    assert time.monotonic() - began < 5 * PATIENCE
    os.set_blocking(reading, False)
    held = 0
    while held < 300 * len(line):
        try:
            held += len(os.read(reading, 1 << 20))
        except BlockingIOError:
            break
    outlet.write("again\n")
    missing = 300 - held // len(line)
    assert os.read(reading, 1 << 20).decode() == f"\n{missing} lost\nagain\n"
    os.close(reading)
    os.close(writing)


def test_a_terminal_that_is_stopped_holds_its_writer_up_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.cli.outlet.PATIENCE", 0.1)
    shown, terminal = os.openpty()
    outlet = Outlet(terminal, told)
    outlet.write("one\n")
    assert os.read(shown, 100) == b"one\r\n"
    began = time.monotonic()
    for _ in range(300):
        outlet.write("x" * 999 + "\n")
    assert time.monotonic() - began < 5
    assert os.get_blocking(terminal), "as others there have it"
    os.close(shown)
    os.close(terminal)


def test_a_log_whose_reader_comes_late_again_and_again_loses_nothing() -> None:
    reading, writing = os.pipe()
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(reading, 1 << 20), b"")))
    reader.start()
    outlet = Outlet(writing, told)
    lines = [f"{number} " + "x" * 9_999 + "\n" for number in range(60)]
    for line in lines:
        outlet.write(line)
    os.close(writing)
    reader.join()
    os.close(reading)
    assert b"".join(got).decode() == "".join(lines)


def test_a_line_that_a_finaliser_writes_within_another_does_not_wait_for_it(tmp_path: Path) -> None:
    """Garbage may be collected anywhere, and asyncio logs what a task that is dropped has left unsaid."""
    fd = os.open("/dev/full", os.O_WRONLY)
    within = ["within\n"]

    def collects(lines: int) -> str:
        if within:
            outlet.write(within.pop())
        return told(lines)

    outlet = Outlet(fd, collects)
    outlet.write("one\n")
    there = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
    os.dup2(there, fd)
    outlet.write("two\n")
    assert (tmp_path / "log").read_text().splitlines() == ["1 lost", "within", "1 lost", "two"]
    os.close(there)
    os.close(fd)


LOSS = """
import os
from gatepost.cli.logs import configure
from gatepost.events import log
from gatepost.settings import Log
for form in ("json", "text"):
    if os.fork():
        os.wait()
        continue
    configure(Log(format=form))
    there = os.dup(2)
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
    log.info("one")
    os.dup2(there, 2)
    log.info("two")
    break
"""


def test_whole_lines_of_a_daemon_tell_what_was_lost() -> None:
    done = subprocess.run([sys.executable, "-c", LOSS], capture_output=True, text=True, check=True)
    *told, lost, two = done.stderr.splitlines()
    assert [json.loads(line)["event"] for line in told] == ["log lines lost", "two"]
    assert [line.split(" ", 1)[1] for line in (lost, two)] == ["error log lines lost lines=1", "info two"]
