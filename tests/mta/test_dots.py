"""Dots that begin lines: found wherever they stand."""

import random

import pytest

from gatepost.mta import dots


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_dot_that_begins_a_line_is_found_wherever_it_stands(monkeypatch: pytest.MonkeyPatch, line_end: bytes) -> None:
    monkeypatch.setattr(dots, "_WINDOW", 5)
    chance = random.Random(5321)
    for _ in range(5_000):
        text = b"".join(chance.choices([b".", b"\r", b"\n", b"\r\n", b"a", b"bcdefg"], k=chance.randrange(12)))
        assert dots.find(text, line_end) == text.find(line_end + b"."), text
