"""Rules of users: what they match, what they may not cost, and how a bad one is explained."""

import pytest

from gatepost.message.patterns import MAX_LENGTH, compile_rule


def test_a_rule_is_searched_for_in_any_case() -> None:
    assert compile_rule(r"\.exe$").found("Setup.EXE")
    assert compile_rule("É").found("é.txt")
    assert not compile_rule(r"\.exe$").found("exe.txt")


def test_half_a_surrogate_pair_in_a_name_does_not_hide_the_rest() -> None:
    assert compile_rule(r"\.exe$").found("\udc80.exe")


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [
        ("a(b", "missing )", 3),
        ("q)", "unexpected )", 2),
        ("(a)b)c)", "unexpected )", 5),
        ("xyz(?=a)", "invalid perl operator", 4),
        (r"abc\1", "invalid escape sequence", 4),
        ("ab[z-a]", "invalid character class range", 4),
        ("*a", "no argument for repetition operator", 1),
    ],
)
def test_threat_127_a_bad_rule_is_explained_with_its_place(text: str, said: str, place: int) -> None:
    with pytest.raises(ValueError, match="at character") as caught:
        compile_rule(text)
    assert said in str(caught.value)
    assert f"at character {place})" in str(caught.value)


@pytest.mark.parametrize("text", ["", "a" * (MAX_LENGTH + 1), "\ud800", "((a{100}){100}){100}"])
def test_threat_60_empty_long_and_exploding_rules_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|longer than 1000|surrogate|repetition size"):
        compile_rule(text)


@pytest.mark.parametrize("text", ["(a+)+$|(x*)*y|(.*?,){25}P", "(x+x+)+y" * 50, "[a-q][^u-z]{13}x" * 20])
@pytest.mark.parametrize("piece", ["a", "x", "abcxdaefgh"])
def test_threat_60_rules_that_would_backtrack_for_ages_end(text: str, piece: str) -> None:
    assert compile_rule(text).found(piece * (1_000_000 // len(piece))) in (True, False)
