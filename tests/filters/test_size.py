"""The size filter."""

import pytest
from tests.filters.mails import OPENER, mail, make, plain, recipient, run

from gatepost.message.mail import Mail
from gatepost.model.envelope import Body
from gatepost.model.verdict import Category

MEGABYTE = 1 << 20


def found(size: int, **members: object) -> list[Category]:
    envelope = mail(plain()).envelope
    large = Mail(envelope, Body(size=size, path="/never/opened"), OPENER)
    findings = run(make("size").examine(large, recipient(**members)))  # type: ignore[arg-type]
    return [finding.category for finding in findings]


@pytest.mark.parametrize(("size", "categories"), [(21 * MEGABYTE, []), (21 * MEGABYTE + 1, [Category.OVERSIZE])])
def test_a_mail_may_be_as_large_as_the_policy_says(size: int, categories: list[Category]) -> None:
    assert found(size) == categories


def test_relayed_mail_has_no_policy_of_the_recipient_to_ask() -> None:
    assert found(99 * MEGABYTE, policy=None) == []


def test_recipients_with_one_limit_share_a_run() -> None:
    size = make("size")
    assert size.key(recipient()) == size.key(recipient(user_id=7)) != size.key(recipient(policy=None))
