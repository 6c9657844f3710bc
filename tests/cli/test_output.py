"""What commands print."""

from gatepost.cli.output import clean, columns, moment


def test_a_strangers_text_can_not_drive_the_terminal() -> None:
    """Threat 29."""
    assert clean("a\x1b[2Jb\r\nc\x9bd\u202ee") == "a\\x1b[2Jb\\x0d\\x0ac\\x9bd\\x202ee"


def test_columns_are_as_wide_as_their_widest_text() -> None:
    assert list(columns(("ID", "NAME"), [("1", "long name"), ("22", None)])) == ["ID  NAME", "1   long name", "22  -"]


def test_times_are_shown_in_utc() -> None:
    assert moment(1_774_457_446_695) == "2026-03-25 16:50:46"
    assert moment(None) == "-"
