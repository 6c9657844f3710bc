"""Texts of strangers on one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.plain import plain, plain_ascii


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße <b>", "Grüße <b>"),
        ("a\r\nb\x1b[31m", "a\\x0d\\x0ab\\x1b[31m"),
        ("ann\u202eexe.txt", "ann\\u202eexe.txt"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("no\u00a0break", "no\\xa0break"),
    ],
)
def test_threats_29_47_141_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(max_size=400), st.integers(10, 300))
def test_any_text_becomes_one_short_printable_line(text: str, limit: int) -> None:
    assert plain(text, limit).isprintable()
    assert len(plain(text, limit)) <= limit
    assert plain_ascii(text, limit).isascii()
    assert len(plain_ascii(text, limit)) <= limit


def test_a_cut_is_shown() -> None:
    assert plain("x" * 300) == "x" * 197 + "..."
    assert plain("x" * 200) == "x" * 200
