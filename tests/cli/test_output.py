"""What commands print."""

import os
import pty
import termios
from pathlib import Path

import pytest

from gatepost.cli.output import clean, columns, counted, moment, room


def test_a_strangers_text_can_not_drive_the_terminal() -> None:
    """Threat 29."""
    assert clean("a\x1b[2Jb\r\nc\x9bd\u202ee") == "a\\x1b[2Jb\\x0d\\x0ac\\x9bd\\x202ee"


def test_columns_are_as_wide_as_their_widest_text() -> None:
    assert list(columns(("ID", "NAME"), [("1", "long name"), ("22", None)])) == ["ID  NAME", "1   long name", "22  -"]


def test_a_row_that_is_wider_than_the_terminal_goes_on_in_further_lines_with_nothing_cut_off() -> None:
    head = ("ID", "SENDER", "RECIPIENT", "SUBJECT")
    rows = [("1", "annabel@example.org", "bob@example.org", "Hello"), ("2", "c@example.org", "d@example.org", "")]
    assert list(columns(head, rows, 36)) == [
        "ID  SENDER\n  RECIPIENT        SUBJECT",
        "1   annabel@example.org\n  bob@example.org  Hello",
        "2   c@example.org\n  d@example.org",
    ]
    assert list(columns(head, rows, 80)) == list(columns(head, rows))


def test_a_last_text_that_is_too_wide_is_wrapped_beside_the_others_or_below_them() -> None:
    why, link = "a text of six words or seven", "https://example.org/" + 30 * "x"
    assert list(columns(("ID", "WHY"), [("1", why), ("2", f"  {link} leads on")], 24)) == [
        "ID  WHY",
        "1   a text of six words\n      or seven",
        f"2\n        {link}\n        leads on",
    ]
    assert list(columns(("ADDRESS", "WHY"), [("bob@example.org", why), ("", "")], 24)) == [
        "ADDRESS\n  WHY",
        "bob@example.org\n  a text of six words or\n    seven",
        "",
    ]


def test_only_a_terminal_has_an_end_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    main, side = pty.openpty()
    with os.fdopen(main), os.fdopen(side, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert room() is None, "it does not know its size"
        termios.tcsetwinsize(side, (24, 80))
        assert room() == 80
    with Path(os.devnull).open("w") as file:
        monkeypatch.setattr("sys.stdout", file)
        assert room() is None


def test_only_a_terminal_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    main, side = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as seen, os.fdopen(side, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        assert list(counted("ab")) == ["a", "b"]
        shown = b"0 of 2\r1 of 2\r      \r"
        assert b"".join(seen.read(1) for _ in shown) == shown
    with Path(os.devnull).open("w+") as file:
        monkeypatch.setattr("sys.stderr", file)
        assert list(counted("ab")) == ["a", "b"]
        assert file.tell() == 0


def test_times_are_shown_in_utc() -> None:
    assert moment(1_774_457_446_695) == "2026-03-25 16:50:46"
    assert moment(None) == "-"
