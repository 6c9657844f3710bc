"""Whom From names: no trick of writing hides an address, or makes one out of a display name."""

import pytest

from gatepost.message.authors import Box, box, claims, shown
from gatepost.message.parse import dissect
from gatepost.settings import Limits

CEO, EVE = "ceo@bank.example", "eve@evil.example"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (b'"Bank <service@bank.test>" <ann@a.test>', "Bank <service@bank.test>"),
        (b'"Bank, <service@bank.test>" <Ann@a.test>', "Bank, <service@bank.test>"),
        (b"=?utf-8?q?Bank_=3Cservice=40bank.test=3E?= <ann@a.test>", "Bank <service@bank.test>"),
        (b"=?utf-8?q?service@bank.test?= <ann@a.test>", "service@bank.test"),
        (b"ann@a.test (Bank <service@bank.test>)", "(Bank <service@bank.test>)"),
        (b"<ann@a.test>", ""),
    ],
)
def test_the_first_mailbox_is_the_authors_whatever_address_its_name_shows(field: bytes, name: str) -> None:
    assert box(field) == Box(name, "ann@a.test", "a.test")


@pytest.mark.parametrize(
    ("value", "authors"),
    [
        (f"Boss <{CEO}>", [CEO]),
        (f'"Boss, the <{EVE}>" <{CEO}>', [CEO]),
        (f"=?utf-8?q?=28?= <{CEO}>", [CEO]),
        (f"=?utf-8?q?=22?= <{CEO}>", [CEO]),
        (f"=?utf-8?q?=3C{EVE.replace('@', '=40')}=3E?= <{CEO}>", [CEO]),
        (f"=?utf-8?q?=22?= <{CEO}>, x <{EVE}>", [CEO, EVE]),
        (f"<{EVE}> <{CEO}>", [EVE, CEO]),
        (f"{EVE} <{CEO}>", [CEO]),
        (f"{CEO}, {EVE}", [CEO, EVE]),
        (f"Boss ({EVE}) <{CEO}>", [CEO]),
        (f"team: {CEO}, {EVE};", [CEO, EVE]),
        (f"( <{CEO}>", [None]),
        ("Boss", []),
        (f"=?utf-8?q?{CEO.replace('@', '=40')}?=", [None]),
        (f"Boss <=?utf-8?q?{CEO.replace('@', '=40')}?=>", [None]),
        ("x@@y <@>", [None]),
    ],
)
def test_the_addresses_of_from(value: str, authors: list[str | None]) -> None:
    mail = dissect(f"From: {value}\r\n\r\nHi\r\n".encode(), Limits())
    assert [claim and claim.key for claim in claims(mail)] == authors


def test_what_from_shows_has_no_hidden_signs_and_all_that_is_written() -> None:
    mail = dissect(f'From: "=?utf-8?q?A=E2=80=8Bda?= <{CEO}>" <{EVE}>\r\n\r\nHi\r\n'.encode(), Limits())
    assert shown(mail) == (f'"Ada <{CEO}>" <{EVE}>',)


@pytest.mark.parametrize(
    "name", ["Ad\u034fa\u3164King", "A\ufe0fda\u1160King", "A\u180bda\uffa0K\U000e0100ing", "Ada\u115fKing"]
)
def test_what_from_shows_has_letters_that_nobody_sees_as_he_sees_them(name: str) -> None:
    mail = dissect(f"From: {name} <{EVE}>\r\n\r\nHi\r\n".encode(), Limits())
    assert shown(mail) == (f"Ada King <{EVE}>",)
