"""Bad headers: each ground, and that ordinary oddities are none."""

import pytest
from tests.filters.mails import ask, make, mixed, plain, symbols

from gatepost.model.verdict import Category

FROM, DATE = b"From: Ann <ann@a.test>\r\n", b"Date: Mon, 24 Nov 2025 12:00:00 +0000\r\n"


def found(header: bytes, smtputf8: bool = False) -> list[str]:
    findings = ask(make("headers"), header + b"\r\nHello\r\n", smtputf8=smtputf8)
    assert all(finding.category is Category.BAD_HEADERS for finding in findings)
    assert all(finding.reason.isprintable() and 0 < len(finding.reason) <= 200 for finding in findings)
    return symbols(findings)


def test_from_and_date_are_enough() -> None:
    assert found(FROM + DATE) == []
    assert ask(make("headers"), plain()) == []


@pytest.mark.parametrize(
    "line",
    [
        b"Received: by x; Mon, 24 Nov 2025 12:00:00 +0000\r\n" * 20,
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?q?folded?=\r\n",
        b"X-Odd_Name.1: kept\r\n",
        b"X-Long: " + b"w" * 2000 + b"\r\n",
        b"X-Empty:\r\n",
        b"X-Tab:\ta\tb\r\n",
        b"X-Twice: 1\r\nX-Twice: 2\r\nDKIM-Signature: a\r\nDKIM-Signature: b\r\n",
        b"To: undisclosed-recipients:;\r\n",
        b"Subject:\r\n",
        b"Sender: ann@a.test\r\n",
    ],
)
def test_ordinary_oddities_are_no_ground(line: bytes) -> None:
    assert found(FROM + DATE + line) == []


@pytest.mark.parametrize(
    ("header", "symbol"),
    [
        (DATE, "MISSING_FROM"),
        (FROM, "MISSING_DATE"),
        (DATE + b"From:\r\n", "BAD_FROM"),
        (DATE + b"From: Ann\r\n", "BAD_FROM"),
        (DATE + b"From: <>\r\n", "BAD_FROM"),
        (DATE + b"From: @@@\r\n", "BAD_FROM"),
        (FROM + b"Date: yesterday\r\n", "BAD_DATE"),
        (FROM + b"Date:\r\n", "BAD_DATE"),
        (FROM + DATE + b"Subject: \x1b[31mred\r\n", "HEADER_CONTROL"),
        (FROM + DATE + b"Subject: Gr\xfc\xdfe\r\n", "HEADER_8BIT"),
        (FROM + DATE + "Subject: Grüße\r\n".encode(), "HEADER_8BIT"),
        (DATE + b"From: Ann <ann@a.test>, bob@b.test\r\n", "MISSING_SENDER"),
        (FROM + DATE + b"this is no field\r\nSubject: x\r\n", "HEADER_SYNTAX"),
        (b" folded\r\n" + FROM + DATE, "HEADER_SYNTAX"),
        (FROM + DATE + b"X-Big: x\r\n" * 1001, "HEADER_LIMIT"),
        (FROM + DATE + b"X-Big: " + b"x" * 110_000 + b"\r\n", "HEADER_LIMIT"),
    ],
)
def test_each_ground_has_its_symbol(header: bytes, symbol: str) -> None:
    assert found(header) == [symbol]


@pytest.mark.parametrize(
    "name",
    ["Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject"],
)
def test_rfc_5322_fields_that_may_stand_there_once(name: str) -> None:
    value = "Mon, 24 Nov 2025 12:00:00 +0000" if name == "Date" else "ann@a.test"
    others = {"From": FROM, "Date": DATE}
    header = b"".join(line for other, line in others.items() if other != name)
    twice = f"{name}: {value}\r\n{name.upper()}: {value}\r\n".encode()
    assert found(header + twice) == [f"DUPLICATE_{name.upper().replace('-', '_')}"]


@pytest.mark.parametrize("name", ["Content-Type", "Content-Transfer-Encoding"])
def test_threat_49_two_of_a_field_that_says_how_to_read_the_body(name: str) -> None:
    values = ["text/plain", "text/html"] if name == "Content-Type" else ["7bit", "base64"]
    header = "".join(f"{name}: {value}\r\n" for value in values).encode()
    assert "HEADER_DUPLICATE" in found(FROM + DATE + header)


@pytest.mark.parametrize(
    "value",
    [
        "ann@a.test",
        '"Doe, Ann" <ann@a.test>',
        "Ann <ann@a.test>, Ann <ann@a.test>",
        '"a b"@a.test',
        "Ann <ann@[192.0.2.1]>",
        "=?utf-8?q?=C3=A9?= <é@ä.test>",
    ],
)
def test_good_from_fields_pass(value: str) -> None:
    assert found(DATE + f"From: {value}\r\n".encode(), smtputf8=True) == []


def test_utf8_in_the_header_is_fine_where_smtputf8_was_said() -> None:
    assert found(FROM + DATE + "Subject: Grüße\r\n".encode(), smtputf8=True) == []


def test_utf8_in_the_header_can_be_let_pass_but_nothing_else_above_127() -> None:
    def lenient(subject: bytes) -> list[str]:
        return symbols(ask(make("headers", utf8=True), FROM + DATE + b"Subject: " + subject + b"\r\n\r\nHello\r\n"))

    assert lenient("Grüße".encode()) == []
    assert lenient(b"Gr\xfc\xdfe") == ["HEADER_8BIT"]


def test_all_grounds_are_told() -> None:
    assert found(b"Subject: a\x01\r\nSubject: \xff\r\n") == [
        "MISSING_FROM",
        "MISSING_DATE",
        "DUPLICATE_SUBJECT",
        "HEADER_8BIT",
        "HEADER_CONTROL",
    ]


def test_a_doubled_field_in_a_mail_that_a_report_brings_back_is_no_ground() -> None:
    twice = b"Content-Type: text/plain\r\n" * 2
    back = mixed(b"\r\nNot delivered.\r\n", b"Content-Type: message/rfc822\r\n\r\n" + FROM + twice + b"\r\nHello\r\n")
    assert "HEADER_DUPLICATE" in symbols(ask(make("headers"), back))
    assert symbols(ask(make("headers"), back.replace(b"multipart/mixed", b"multipart/report"))) == []
