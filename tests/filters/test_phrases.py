"""Phrases: what is sought together is found as if it were sought alone."""

import msgspec
import pytest
import re2  # type: ignore[import-untyped]
from tests.modern.mails import mails

from gatepost.filters.symbols import TOGETHER, WIDE, Phrases, Symbol, Table, phrases, shipped
from gatepost.message.parse import dissect
from gatepost.message.prose import prose
from gatepost.message.table import Unpacked
from gatepost.settings import Limits


def symbol(*patterns: str, least: int = 1) -> Symbol:
    return Symbol(weight=1.0, about="it says so", patterns=patterns, least=least)


def test_each_of_more_patterns_than_are_sought_at_once_is_found() -> None:
    plain = {f"PLAIN_{number}": symbol(f"plain{number}x") for number in range(TOGETHER + 1)}
    wide = {f"WIDE_{number}": symbol(rf"from{number}x.{{0,9}}to{number}x") for number in range(WIDE + 1)}
    phrases = Phrases({**plain, **wide}, "text")
    for number in range(TOGETHER + 1):
        assert phrases.found(f"a plain{number}X one") == (f"PLAIN_{number}",)
    for number in range(WIDE + 1):
        assert phrases.found(f"From{number}x here to{number}x") == (f"WIDE_{number}",)
        assert phrases.found(f"from{number}x here and there to{number}x") == ()


def test_what_is_found_is_told_in_the_order_of_the_table_wherever_it_stands() -> None:
    names = [f"SAYS_{number}" for number in range(TOGETHER + 2)]
    phrases = Phrases({name: symbol(f"word{name[5:]}x") for name in names}, "text")
    said = [f"word{name[5:]}x" for name in names]
    assert phrases.found(" ".join(said)) == phrases.found(" ".join(reversed(said))) == tuple(names)


@pytest.mark.parametrize(
    ("pattern", "said", "found"),
    [
        (r"pay.{0,5}now", "pay it now", True),
        (r"pay.{0,5}now", "pay it all right now", False),
        (r"pay.{3}now", "pay...now", True),
        (r"pay.{3}now", "pay....now", False),
        (r"pay.{3,}now", "pay in full and now", True),
        (r"wait\.{3}", "wait...", True),
        (r"wait\.{3}", "wait..", False),
        (r"x[.{2}]y", "x2y", True),
        (r"x[.{2}]y", "x*y", False),
        (r"x[.{2}[]y", "x2y", True),
        (r"x[].{2}]y.{1,2}z", "x]y.z", True),
        (r"x\[.{1,2}y\]", "x[..y]", True),
        (r"x\[.{1,2}y\]", "x[...y]", False),
        (r"x\Q.{1,2}\E.{1,2}y", "x.{1,2}zy", True),  # quoted, it is no gap
        (r"x.{,2}*y", "xz{,2y", True),  # without a least number it is none either
    ],
)
def test_a_gap_is_as_wide_as_it_says(pattern: str, said: str, found: bool) -> None:
    assert bool(Phrases({"SAID": symbol(pattern)}, "text").found(said)) is found


def test_patterns_that_are_too_large_together_are_refused() -> None:
    large = {f"LARGE_{number}": symbol(rf"{number}x[^a]{{0,900}}y[^b]{{0,900}}z[^c]{{0,900}}w") for number in range(8)}
    with pytest.raises(ValueError, match="file: patterns of text are too large"):
        Phrases(large, "text")


def test_of_several_phrases_so_many_must_be_there() -> None:
    phrases = Phrases({"TWO": symbol("one.{0,3}two", "three", least=2)}, "text")
    assert phrases.found("one two") == ()
    assert phrases.found("one two three") == ("TWO",)


def test_several_texts_are_one_but_for_phrases_that_reach_from_one_to_the_next() -> None:
    phrases = Phrases({"TWO": symbol("one.{0,3}two", "three", least=2), "ACROSS": symbol(r"two\s+three")}, "text")
    assert phrases.found("one two", "three") == ("TWO",)
    assert phrases.found("three", "a three") == ()  # one phrase, twice
    assert set(phrases.found("one two three")) == {"TWO", "ACROSS"}
    assert phrases.found("", "") == ()


def test_phrases_of_another_writing_are_found_beside_latin_ones() -> None:
    phrases = Phrases({"SAID": symbol("посылк[а-я]+", "包裹.{0,4}滞留", r"\bparcel\b")}, "text")
    for said in ("Ваша посылка ждёт", "您的包裹已滞留", "a parcel", "Your parcel: посылку"):
        assert phrases.found(said) == ("SAID",), said
    assert phrases.found("您的包裹已经被完全滞留") == ()
    assert phrases.found("a “letter”") == ()


def test_symbols_are_told_in_the_order_of_the_table_wherever_their_phrases_stand() -> None:
    table = {
        "FIRST": symbol("one"),
        "SECOND": symbol("two.{0,3}three"),
        "THIRD": symbol("посылк"),
        "LAST": symbol("four"),
    }
    phrases = Phrases(table, "text")
    assert phrases.found("four, посылка, two three, one") == tuple(table)
    assert phrases.found("four", "посылка", "two three", "one") == tuple(table)


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.conformance)])
def test_the_shipped_patterns_are_found_in_mails_as_if_each_were_sought_alone(step: int) -> None:
    table = msgspec.convert(shipped(), Table).symbols
    together = phrases("", "symbols", "text")
    options = re2.Options()
    options.case_sensitive = False
    alone = {
        name: [re2.compile(pattern.encode(), options) for pattern in table[symbol.like or name].patterns]
        for name, symbol in table.items()
        if symbol.where == "text" and (symbol.patterns or symbol.like)
    }
    for made in mails("improved", "odd", step=step):
        text = prose(dissect(made.data, Limits(), unpack=lambda *_: Unpacked())).text
        counts = {name: sum(bool(each.search(text.encode())) for each in found) for name, found in alone.items()}
        assert set(together.found(text)) == {name for name in alone if counts[name] >= table[name].least}, made.name


@pytest.mark.parametrize(
    ("pattern", "said", "found"),
    [
        (r"[0-9]+ ?€", "only 100 €", True),
        (r"[0-9]+ ?€", "only 100 $", False),
        (r"(your|the) parcel.{0,5}waits", "The PARCEL: it waits", True),
        (r"(your|the) parcel.{0,5}waits", "The parcel never waits", False),
        (r"\Qa.b\E", "A.B", True),
        (r"stra(ß|ss)e", "STRASSE", True),
        (r"\d{4}", "1234", True),
        (r"parcels(?U)*", "a parcel", True),  # flags don't keep what repeats from what it repeats
        (r"перевод|kilo", "ПЕРЕВОД", True),
        (r"перевод|kilo", "one \u212aILO", True),  # the sign of Kelvin is a k
    ],
)
def test_a_pattern_is_found_wherever_it_is_sought_by_its_literals_or_not(pattern: str, said: str, found: bool) -> None:
    assert bool(Phrases({"SAID": symbol(pattern)}, "text").found(said)) is found


def test_a_pattern_of_very_many_words_is_found() -> None:
    words = "|".join(f"word{number}x" for number in range(5000))
    assert Phrases({"SAID": symbol(words)}, "text").found("a word4999x") == ("SAID",)
