"""Mail as it is written today (tests/modern): what people wait for is no spam, and most spam is found; counted."""

from collections import Counter

import pytest
from tests.filters.mails import mail, make, recipient, run
from tests.filters.test_corpus import LIMIT
from tests.modern.mails import Made, mails

from gatepost.filters.registry import Filter
from gatepost.model.envelope import Client
from gatepost.model.verdict import Category

SCORE, ADVERT = make("score"), make("advert")
LABELS = ("clean", "advert", "spam")
FOUND = {
    **{"improved": 0.95, "held": 0.9, "fresh": 0.8, "later": 0.85, "wide": 0.9, "last": 0.7, "check": 0.75},
    **{"blind": 0.9, "notices": 0.0, "odd": 0.7, "third": 0.8},
}
"""The share of spam that is found at least, by lot."""


def findings(one: Filter, made: Made) -> list[tuple[Category, float]]:
    client = Client(ip="93.184.216.34", helo="mail.a.test")
    letter = mail(made.data, made.auth, client=client, received=made.received)

    async def examine() -> list[tuple[Category, float]]:
        return [(each.category, each.score) for each in await one.examine(letter, recipient())]

    return run(examine())


def judged(made: Made) -> str:
    if sum(score for _, score in findings(SCORE, made)) >= LIMIT:
        return "spam"
    return "advert" if findings(ADVERT, made) else "clean"


@pytest.mark.conformance
def test_mail_of_today_is_told_apart() -> None:
    counts = Counter((made.lot, made.label, judged(made)) for made in mails())
    for lot, least in FOUND.items():
        table = Counter({(label, said): count for (one, label, said), count in counts.items() if one == lot})
        total = {label: sum(table[label, said] for said in LABELS) for label in LABELS}
        assert table["clean", "spam"] == table["advert", "spam"] == 0, table
        assert table["spam", "spam"] >= least * total["spam"], table
        assert table["advert", "advert"] >= 0.75 * total["advert"], table
        assert table["clean", "clean"] >= 0.95 * total["clean"], table
