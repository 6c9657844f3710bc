"""What was made of a text lately is used again, and is given up for newer ones."""

import threading

from gatepost.message.links import Collector
from gatepost.message.recent import LONGEST, Recent


class Counting:
    """Makes a length of a text, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, text: str) -> tuple[int]:
        self.asked.append(text)
        return (len(text),)


def test_a_text_is_read_once() -> None:
    make = Counting()
    recent = Recent(make)
    assert [recent("abc"), recent("abcd"), recent("abc")] == [(3,), (4,), (3,)]
    assert make.asked == ["abc", "abcd"]


def test_what_is_false_is_remembered_too() -> None:
    asked = []
    recent = Recent(lambda text: bool(asked.append(text)))
    assert recent("a") is recent("a") is False
    assert asked == ["a"]


def test_the_oldest_goes_first() -> None:
    make = Counting()
    recent = Recent(make, octets=3 * 1000)
    for text in ("a" * 500, "b" * 500, "c" * 500, "b" * 500, "d" * 500, "a" * 500, "d" * 500):
        recent(text)
    assert [text[0] for text in make.asked] == ["a", "b", "c", "d", "a"]


def test_what_was_made_counts_by_its_weight() -> None:
    make = Counting()
    recent = Recent(make, weight=lambda made: 10_000, octets=25_000)
    for text in "abcabc":
        recent(text)
    assert make.asked == list("abcabc")


def test_what_two_threads_read_at_once_counts_once() -> None:
    both = threading.Barrier(2, timeout=60)
    make = Counting()

    def wait(text: str) -> tuple[int]:
        if text[0] == "a" and len(make.asked) < 2:
            both.wait()
        return make(text)

    recent = Recent(wait, octets=3 * 1000)
    threads = [threading.Thread(target=recent, args=("a" * 500,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for letter in "bca":
        recent(letter * 500)
    assert [text[0] for text in make.asked] == ["a", "a", "b", "c"]


def test_a_long_text_is_read_each_time() -> None:
    make = Counting()
    recent = Recent(make)
    for _ in range(2):
        recent("x" * (LONGEST + 1))
    assert len(make.asked) == 2


def test_the_links_of_a_text_seen_before_are_those_of_the_part_at_hand() -> None:
    for part in (1, 4):
        found = Collector()
        found.take_text(b"see https://one.example/a and https://two.example/b", part)
        found.take_html(b'<a href="https://one.example/a">a</a><a href="https://three.example/">b</a>', part + 1)
        assert [(link.host, link.part) for link in found.links] == [
            ("one.example", part),
            ("two.example", part),
            ("three.example", part + 1),
        ]
