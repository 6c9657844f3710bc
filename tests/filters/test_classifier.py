"""The classifier: silent until taught, then as sure as its lessons."""

import re
from random import Random

import msgspec
import pytest
from tests.filters.mails import TOOLS, mail, make, plain, recipient, run

from gatepost.filters import classifier
from gatepost.filters.registry import Filter, load
from gatepost.message import tokens
from gatepost.message.parse import dissect
from gatepost.model.memory import Memory
from gatepost.model.verdict import Category, Finding
from gatepost.settings import Filters, Limits, SettingsError

SPAM = re.split(" ", "viagra casino winner prize click unsubscribe loan mortgage cheap pills offer guaranteed")
HAM = re.split(" ", "meeting agenda minutes patch review invoice lunch regards project deadline question branch")
BOTH = ["the", "and", "you", "with", "this", "that", "have", "from", "your", "will"]


def letter(chance: Random, *kinds: list[str]) -> bytes:
    words = chance.choices([word for kind in kinds for word in kind] + BOTH, k=60)
    return plain(" ".join(words).encode() + b"\r\n")


def keys(data: bytes) -> list[int]:
    return tokens.keys(tokens.gist(dissect(data, Limits())))


class School:
    """A classifier with the memory that it is taught by."""

    def __init__(self, **options: object) -> None:
        self.memory = Memory(1 << 20)
        settings = Filters(options={"classifier": {"least": 20, **options}})
        made = load(settings, msgspec.structs.replace(TOOLS, memory=self.memory))
        self.filter: Filter = next(one for one in made if one.name == "classifier")
        self.chance = Random(7)

    def teach(self, count: int, *, scope: int = 0, swapped: bool = False, kinds: str = "sh") -> None:
        for _ in range(count):
            for kind in kinds:
                data = letter(self.chance, SPAM if (kind == "s") != swapped else HAM)
                more = (1, 0) if kind == "s" else (0, 1)
                self.memory.tokens.learn(scope, tokens.keys_for(keys(data), scope), *more, 0)

    def ask(self, data: bytes, domain_id: int | None = 1) -> list[Finding]:
        async def examine() -> list[Finding]:
            return list(await self.filter.examine(mail(data), recipient(domain_id=domain_id)))

        return run(examine())


@pytest.mark.parametrize(
    ("count", "kinds", "speaks"),
    [(0, "sh", False), (19, "sh", False), (40, "s", False), (40, "h", False), (20, "sh", True)],
)
def test_it_is_silent_until_enough_of_both_kinds_was_learnt(count: int, kinds: str, speaks: bool) -> None:
    school = School()
    school.teach(count, kinds=kinds)
    assert bool(school.ask(letter(Random(1), SPAM))) is speaks


def test_it_tells_spam_from_clean_mail_and_why() -> None:
    school = School()
    school.teach(60)
    (spam,) = school.ask(letter(Random(2), SPAM))
    (ham,) = school.ask(letter(Random(3), HAM))
    assert (spam.category, spam.symbol, spam.score) == (Category.SCORE, "CLASSIFIER_SPAM_999", 6.0)
    assert spam.reason == "it reads like spam (probability 1.000)"
    assert ham.symbol == "CLASSIFIER_HAM_01"
    assert ham.score < 0
    assert 0 < len(spam.seen.split(", ")) <= classifier.TOLD
    assert set(spam.seen.replace(",", "").split()) <= set(SPAM + BOTH)
    for seed in range(20):
        assert all(finding.score > 0 for finding in school.ask(letter(Random(seed), SPAM)))
        assert all(finding.score < 0 for finding in school.ask(letter(Random(seed), HAM)))


def test_it_says_nothing_of_words_that_it_does_not_know() -> None:
    school = School()
    school.teach(30)
    assert school.ask(b"X: y\r\n\r\nquite unheard-of syllables\r\n") == []


def test_a_domain_has_its_own_mind() -> None:
    school = School()
    school.teach(40)
    school.teach(40, scope=2, swapped=True)
    data = letter(Random(4), SPAM)
    assert school.ask(data, 1)[0].symbol == "CLASSIFIER_SPAM_999"
    assert school.ask(data, 2)[0].symbol.startswith("CLASSIFIER_HAM")
    assert school.ask(data, None)[0].symbol == "CLASSIFIER_SPAM_999"
    assert school.filter.key(recipient(domain_id=1)) == school.filter.key(recipient(domain_id=3)) is None
    assert school.filter.key(recipient(domain_id=2)) == 2


def test_a_domain_alone_may_have_been_taught() -> None:
    school = School()
    school.teach(20, scope=2)
    assert school.ask(letter(Random(5), SPAM), 2)
    assert not school.ask(letter(Random(5), SPAM), 1)


def test_points_can_be_set_by_symbol() -> None:
    school = School(weights={"CLASSIFIER_SPAM_999": 1.5})
    school.teach(40)
    assert school.ask(letter(Random(6), SPAM))[0].score == 1.5
    with pytest.raises(SettingsError, match=r"filters\.classifier\.weights\.NONE: there is no such symbol"):
        make("classifier", weights={"NONE": 1})


@pytest.mark.parametrize(
    ("weights", "probability"),
    [([], 0.5), ([3, -3], 0.5), ([3] * 20, 0.98), ([-3] * 20, 0.02), ([3], 0.59), ([3e4] * 9, 1)],
)
def test_evidence_is_weighed(weights: list[float], probability: float) -> None:
    assert classifier.combine(weights) == pytest.approx(probability, abs=0.02)


def test_tokens_that_helped_are_noted_as_used() -> None:
    school = School()
    school.teach(30)
    school.memory.tokens.dirty()
    school.ask(letter(Random(8), SPAM))
    assert school.memory.tokens.dirty()
