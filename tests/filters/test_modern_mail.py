"""Mail as it is written today (tests/modern): what people wait for is no spam, and most spam is found; counted."""

from collections import Counter

from tests.filters.mails import mail, make, recipient, run
from tests.filters.test_corpus import LIMIT
from tests.modern.mails import Made, mails

from gatepost.filters.registry import Filter
from gatepost.model.envelope import Client
from gatepost.model.verdict import Category

SCORE, ADVERT = make("score"), make("advert")
FOUND = {False: 0.95, True: 0.85}
"""The share of spam that is found at least, of the mails that were looked at, and of those that were held back."""


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


def test_mail_of_today_is_told_apart() -> None:
    counts = Counter((made.held, made.label, judged(made)) for made in mails())
    for held in (False, True):
        table = {(label, said): counts[held, label, said] for _, label, said in counts}
        assert table.get(("clean", "spam"), 0) == 0, table
        assert table.get(("advert", "spam"), 0) == 0, table
        assert table["spam", "spam"] >= FOUND[held] * sum(
            counts[held, "spam", said] for said in ("clean", "advert", "spam")
        )
        assert table["advert", "advert"] >= 0.75 * sum(counts[held, "advert", said] for said in ("clean", "advert"))
        assert table["clean", "clean"] >= 0.95 * sum(counts[held, "clean", said] for said in ("clean", "advert"))
