"""Rewritten senders lead back, and only ours do."""

from gatepost.model.address import Address, parse_address
from gatepost.mta import srs

KEY = b"k" * 32
NOW = 1_774_457_446_695
DAY = 86_400_000
SENDER = parse_address("Ada.L@world.example")


def rewritten(now: int = NOW) -> Address:
    return parse_address(srs.rewrite(SENDER, "served.example", key=KEY, now=now))


def test_a_rewritten_sender_lies_in_our_domain_and_leads_back() -> None:
    assert rewritten().domain == "served.example"
    assert srs.reverse(rewritten(), key=KEY, now=NOW) == SENDER


def test_a_quoted_local_part_stays_quoted() -> None:
    """Threat 34: what it hides can't break out of the path."""
    sender = parse_address('"a b> SIZE=1"@w.example')
    made = srs.rewrite(sender, "served.example", key=KEY, now=NOW)
    assert made.startswith('"SRS0=') and made.endswith('=a b> SIZE=1"@served.example')
    assert srs.reverse(parse_address(made), key=KEY, now=NOW) == sender


def test_a_sender_too_long_to_be_rewritten_is_not_told() -> None:
    sender = parse_address("bounces+12345678-0a1b-bob=served.example@mailing.world.example")
    assert srs.rewrite(sender, "served.example", key=KEY, now=NOW) == ""


def test_a_sender_at_an_address_literal_is_not_told() -> None:
    """No local part can hold the brackets."""
    for text in ("a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"):
        assert srs.rewrite(parse_address(text), "served.example", key=KEY, now=NOW) == ""


def test_lost_case_does_not_matter() -> None:
    lowered = Address(rewritten().local.lower(), "served.example")
    back = srs.reverse(lowered, key=KEY, now=NOW)
    assert back is not None
    assert back.key == SENDER.key


def test_a_forged_stale_or_foreign_address_leads_nowhere() -> None:
    forged = Address(rewritten().local.replace("Ada", "Eve"), "served.example")
    assert srs.reverse(forged, key=KEY, now=NOW) is None
    assert srs.reverse(rewritten(), key=b"other" * 8, now=NOW) is None
    assert srs.reverse(rewritten(), key=KEY, now=NOW + 22 * DAY) is None
    assert srs.reverse(rewritten(), key=KEY, now=NOW + 21 * DAY) == SENDER
    assert srs.reverse(parse_address("bob@served.example"), key=KEY, now=NOW) is None


def test_the_day_counter_wraps_around() -> None:
    edge = 1024 * DAY * 20 - 1
    assert srs.reverse(rewritten(edge), key=KEY, now=edge + 2 * DAY) == SENDER


def test_signs_that_only_look_like_ours_lead_nowhere() -> None:
    """They ended the dialog: a digest is compared in ASCII, and a Kelvin sign is a K in lower case alone."""
    for text in ("SRS0=ÄÄÄÄ=AA=x.example=y", "SRS0=ÄÄÄÄÄÄÄÄ=AA=x.example=y"):
        assert srs.reverse(Address(text, "served.example"), key=KEY, now=NOW) is None
    day = next(day for day in range(32) if "=AK=" in rewritten(day * DAY).local)
    kelvin = Address(rewritten(day * DAY).local.replace("=AK=", "=A\u212a="), "served.example")
    assert srs.reverse(kelvin, key=KEY, now=day * DAY) is None
