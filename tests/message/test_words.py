"""Words of texts, folded, and the texts that they are taken from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.reading import SKIMMED, skim
from gatepost.message.words import WORD_MAX, words
from gatepost.settings import Limits


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The red-haired O'Neil, 2nd!", ["the", "red", "haired", "o", "neil", "2nd"]),
        ("Ünïcode STRASSE straße", ["unicode", "strasse", "strasse"]),
        ("ﬁne ①", ["fine", "1"]),
        ("东京 tower", ["东", "京", "tower"]),
        ("snake_case \x00 …", ["snake", "case"]),
        ("x" * 100, ["x" * WORD_MAX]),
        ("", []),
    ],
)
def test_words_are_folded(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.text())
def test_a_text_has_the_words_of_its_folded_words(text: str) -> None:
    found = words(text)
    assert all(word and " " not in word and '"' not in word for word in found)
    assert words(" ".join(found)) == found


def test_only_what_a_reader_sees_at_the_beginning_is_skimmed() -> None:
    html = b"Content-Type: text/html\r\n\r\n<style>p{}</style><p>Seen <b>this</b></p><script>not()</script>"
    assert words(skim(html, Limits())) == ["seen", "this"]
    mixed = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsaid\r\n--b\r\nContent-Type: text/plain\r\n"
        b"Content-Disposition: attachment; filename=a.txt\r\n\r\nattached\r\n"
        b"--b\r\nContent-Type: application/zip\r\n\r\nPK\x03\x04\r\n--b--"
    )
    assert words(skim(mixed, Limits())) == ["said"]
    assert len(skim(b"\r\n" + b"word " * SKIMMED, Limits())) < SKIMMED
