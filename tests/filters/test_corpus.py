"""Real mail: what the filters of form say about a public corpus."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.filters.mails import OPENER, TOOLS, mail, make, recipient, run

from gatepost.filters.registry import Filter, load
from gatepost.message import tokens
from gatepost.model.envelope import Body
from gatepost.model.memory import Memory
from gatepost.model.policy import default_policy
from gatepost.model.verdict import Category, Finding
from gatepost.settings import Filters

TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
LIMIT = default_policy(1, "ours.test", quarantine=True, retention=False, archive=False).spam_score
pytestmark = pytest.mark.conformance


def letters(folder: str) -> Iterator[bytes]:
    """Yield the mails of a folder as they went on the wire: CRLF, and no mbox line in front."""
    found = sorted((TESTDATA / "sa-public-corpus" / folder).glob("*.txt"))
    assert len(found) > 400, f"the corpus is not at {TESTDATA}; set GATEPOST_TESTDATA"
    for path in found:
        data = path.read_bytes().replace(b"\r\n", b"\n")
        if data.startswith(b"From "):
            data = data.partition(b"\n")[2]
        yield data.replace(b"\n", b"\r\n")


def examined(one: Filter, folder: str) -> list[list[Finding]]:
    async def examine() -> list[list[Finding]]:
        to = recipient()
        return [list(await one.examine(mail(data), to)) for data in letters(folder)]

    return run(examine())


@pytest.mark.parametrize("name", ["headers", "encoding"])
def test_of_clean_real_mail_more_than_99_percent_pass(name: str) -> None:
    found = examined(make(name), "easy-ham-1")
    grounds = Counter(finding.symbol for findings in found for finding in findings)
    passed = sum(not findings for findings in found)
    assert passed / len(found) > 0.99, grounds


def test_spam_of_the_corpus_breaks_the_rules_of_form_more_often_than_clean_mail() -> None:
    def share(folder: str) -> float:
        found = [examined(make(name), folder) for name in ("headers", "encoding")]
        return sum(any(both) for both in zip(*found, strict=True)) / len(found[0])

    assert share("spam-1") > 3 * share("easy-ham-1")


@pytest.mark.parametrize("name", ["attachments", "uris", "virus"])
def test_no_other_filter_says_a_thing_against_clean_real_mail(name: str) -> None:
    found = [finding for findings in examined(make(name), "easy-ham-1") for finding in findings]
    assert [finding for finding in found if finding.category is not Category.NOTE] == []


def test_untrained_rules_find_most_spam_and_hardly_ever_take_clean_mail_for_it() -> None:
    """docs/accuracy.md has the tables; the weights were fitted to half of these mails."""

    def points(folder: str) -> list[float]:
        return [sum(finding.score for finding in findings) for findings in examined(make("score"), folder)]

    spam, clean = points("spam-1"), points("easy-ham-1")
    assert sum(score >= LIMIT for score in spam) / len(spam) > 0.75
    assert sum(score >= LIMIT for score in clean) / len(clean) < 0.003


def test_taught_with_one_half_it_tells_the_other_half_apart() -> None:
    """At least 98 % of the spam at no more than 0.3 % of clean mail (docs/accuracy.md has the tables)."""
    memory = Memory(1 << 24)
    taught = load(Filters(), msgspec.structs.replace(TOOLS, memory=memory))
    filters = [one for one in taught if one.name in ("score", "classifier")]
    halves = {folder: list(letters(folder)) for folder in ("spam-1", "easy-ham-1")}
    for folder, found in halves.items():
        for data in found[::2]:
            counts = (1, 0) if folder == "spam-1" else (0, 1)
            memory.tokens.learn(0, tokens.keys(tokens.gist(run(OPENER.open(Body(len(data), data))))), *counts, 0)

    async def points(data: bytes) -> float:
        letter, to = mail(data), recipient()
        return sum([finding.score for one in filters for finding in await one.examine(letter, to)])

    shares = {
        folder: sum(run(points(data)) >= LIMIT for data in found[1::2]) / len(found[1::2])
        for folder, found in halves.items()
    }
    assert shares["spam-1"] >= 0.98
    assert shares["easy-ham-1"] <= 0.003


def test_lists_on_which_people_talk_are_no_adverts() -> None:
    found = examined(make("advert"), "easy-ham-1")
    assert sum(map(bool, found)) / len(found) < 0.005
