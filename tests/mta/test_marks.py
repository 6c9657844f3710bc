"""The fields by which a delivered mail tells what was found."""

from email import message_from_bytes, policy
from typing import Any

import pytest
from tests.mta.test_judge import RECEIVED, finding
from tests.mta.test_judge import policy as judged_by
from tests.mta.test_nearest import kept

from gatepost.message.edit import outgoing
from gatepost.model.address import Address
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding, OnError
from gatepost.mta.judge import Case, judge
from gatepost.mta.keeping import Judged
from gatepost.mta.marks import marks
from gatepost.settings import Headers

BOB = Address("bob", "ours.test")
POLICY = judged_by(relay={"relay_spam": True, "spam_score_limit": 50.0})


def score(symbol: str, points: float) -> Finding:
    return Finding(category=Category.SCORE, symbol=symbol, reason="", by="test", score=points)


SCANNERS = ("Gatepost", "ClamAV")


def fields(*findings: Finding, settings: Headers | None = None, **members: Any) -> dict[str, str]:
    to = Recipient(**{"address": BOB, "given": BOB, "policy": POLICY, "platform_id": 1, **members})
    judged = Judged(to, judge(findings, Case(policy=POLICY, received=RECEIVED)))
    return dict(marks(judged, settings or Headers(), SCANNERS))


def test_of_mails_of_which_thousands_of_things_are_found_nothing_stays() -> None:
    assert kept(lambda findings: fields(*findings)) < 500_000


def test_a_clean_mail_says_so() -> None:
    assert fields(score("A", 1.25), score("B", -0.05)) == {
        "X-Spam-Flag": "NO",
        "X-Spam-Score": "1.2",
        "X-Spam-Level": "*",
        "X-Spam-Status": "No, score=1.2 required=5.0\r\n\ttests=[A=1.25,B=-0.05]",
        "X-Virus-Scanned": "Gatepost, ClamAV",
    }


def test_spam_that_is_delivered_says_so_but_not_where_a_rule_lets_it_pass() -> None:
    spam = score("A", 7.5)
    assert fields(spam)["X-Spam-Flag"] == "YES"
    assert fields(spam)["X-Spam-Level"] == "*******"
    assert fields(spam)["X-Spam-Status"].startswith("Yes, score=7.5 required=5.0")
    assert fields(spam, finding(Category.ALLOWED))["X-Spam-Flag"] == "NO"


def test_what_was_not_looked_at_wholly_is_not_called_scanned() -> None:
    assert "X-Virus-Scanned" not in fields(finding(Category.UNSURE, on_error=OnError.ACCEPT))


@pytest.mark.parametrize("name", Headers.__struct_fields__)
def test_each_field_can_be_switched_off(name: str) -> None:
    every = fields(score("A", 1.5))
    left = fields(score("A", 1.5), settings=Headers(**{name: False}))
    assert every.keys() - left.keys() == {"-".join(["X", *(word.title() for word in name.split("_"))])}


def test_mail_that_leaves_the_house_tells_nothing() -> None:
    assert fields(score("A", 1.5), platform_id=None) == {}


def test_no_symbol_breaks_out_of_its_field_and_lines_stay_short() -> None:
    findings = [score(f"SYMBOL_NUMBER_{number}", 0.01) for number in range(150)]
    evil = score("X\r\nBcc: all@ours.test\r\n\r\nbody],\t[" + "Y" * 300, 0.5)
    made = fields(evil, *findings)
    head = outgoing(b"Subject: x\r\nX-Spam-Status: No, forged\r\n\r\n", list(made.items())).data
    assert max(map(len, head.split(b"\r\n"))) <= 100
    read = message_from_bytes(head, policy=policy.SMTP)
    assert read.keys() == [*made, "Subject"]
    assert "forged" not in head.decode()
    assert read["X-Spam-Status"].count("SYMBOL_NUMBER_") == 99
