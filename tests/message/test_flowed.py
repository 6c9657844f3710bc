"""Paragraphs that are broken for the way (RFC 3676): what is apt for it, how it looks, that it joins again."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.examples import examples

from gatepost.message.flowed import LINE, flow, join

LONG = "word " * 20


@pytest.mark.parametrize(
    "text",
    ["short\n> quoted", "a blank at an end \n" + LONG + "x", "> " + LONG + "x", "-- " + "x" * 90, LONG + "x" * 999],
    ids=["no long line", "a blank at an end", "a long quote", "would be a signature", "a word without end"],
)
def test_what_is_not_apt_goes_as_it_is(text: str) -> None:
    assert flow(text) is None


def test_long_lines_are_broken_at_blanks_and_odd_starts_are_stuffed() -> None:
    sent = flow(f"{LONG}{'>' * 3} end\n indented\nFrom here\n> quoted\n-- \nAnn")
    assert sent is not None
    assert sent.split("\n") == [
        "word " * 15,
        "word " * 5 + ">>> end",
        "  indented",
        " From here",
        "> quoted",
        "-- ",
        "Ann",
    ]


def test_texts_of_others_are_joined_by_their_depth() -> None:
    sent = "one \ntwo\n> three \n> four\n>> five \n> six\n-- \nAnn"
    assert join(sent) == "one two\n> three four\n>> five \n> six\n-- \nAnn"
    assert join("Don \nau", delete=True) == "Donau"


WORDS = st.lists(
    st.sampled_from(["word", ">", "From ", " ", "--", "x" * 80, "é", "-- ", "a b c d e f g h"]), max_size=30
)


@settings(max_examples=examples(100), deadline=None, database=None)
@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=4).map("\n".join))
@example("From me " * 20 + ">x")
def test_what_is_broken_is_joined_again(text: str) -> None:
    sent = flow(text)
    if sent is not None:
        assert join(sent) == text
        assert all(len(line) <= LINE or " " not in line[2:LINE] for line in sent.split("\n"))
