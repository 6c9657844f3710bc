"""The done log: what a kill leaves in it, and that it stays small."""

import resource
from pathlib import Path

import pytest

from gatepost.mta import donelog
from gatepost.mta.donelog import DoneLog
from gatepost.mta.outcome import Outcome, Result, said


def taken(text: str = "2.0.0 Ok: queued as X1") -> Outcome:
    return Outcome(
        result=Result.DELIVERED,
        reply=said(250, text),
        hop="mx.test[192.0.2.1]:25",
        tls="TLSv1.3",
        remote_id="X1",
        takes_dsn=True,
        at=1_000,
        took=20,
    )


def test_what_was_noted_is_read_by_the_next_process_95(tmp_path: Path) -> None:
    DoneLog(tmp_path).note(7, taken())
    (done,) = DoneLog(tmp_path).read()
    assert done.id == 7
    assert done.outcome == taken()


def test_a_line_that_broke_off_and_lines_of_rubbish_are_passed_over(tmp_path: Path) -> None:
    log = DoneLog(tmp_path)
    log.note(1, taken())
    log.note(2, taken())
    text = (tmp_path / "done.log").read_bytes()
    (tmp_path / "done.log").write_bytes(b"\x00rubbish\n{}\n" + text[:-3])
    assert [done.id for done in DoneLog(tmp_path).read()] == [1]


def test_words_of_a_server_cannot_break_a_line(tmp_path: Path) -> None:
    log = DoneLog(tmp_path)
    log.note(1, taken('2.0.0 a\nb {"id": 9} é\t\u2028'))
    assert [done.id for done in log.read()] == [1]


def test_the_log_is_trimmed_to_what_is_not_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(donelog, "TRIM_BYTES", 2_000)
    log = DoneLog(tmp_path)
    log.note(1, taken())
    for number in range(2, 100):
        log.note(number, taken())
        log.forget(number)
    assert (tmp_path / "done.log").stat().st_size < 3_000
    log.note(100, taken())
    assert {1, 100} <= {done.id for done in DoneLog(tmp_path).read()}


@pytest.mark.parametrize("room", [0, 1_000])
def test_a_log_for_whose_rest_there_is_no_room_stays_whole(tmp_path: Path, room: int) -> None:
    log = DoneLog(tmp_path)
    for number in range(20):
        log.note(number, taken())
    files = len(list(Path("/proc/self/fd").iterdir()))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        log.trim()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(log.read()) == 20
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    log.note(20, taken())
    log.forget(0)
    log.trim()
    assert [done.id for done in log.read()] == list(range(1, 21))


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    DoneLog(tmp_path)
    assert (tmp_path / "done.log").stat().st_mode & 0o777 == 0o600


def test_a_trimmed_log_is_empty_when_all_is_settled(tmp_path: Path) -> None:
    log = DoneLog(tmp_path)
    log.note(1, taken())
    log.forget(1)
    log.trim()
    assert log.read() == []
    log.close()
