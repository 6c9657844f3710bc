"""Bad encodings: each ground, and that ordinary oddities are none."""

import quopri
from base64 import b64encode

import pytest
from tests.filters.mails import HEADER, ask, attached, make, mixed, plain, symbols

from gatepost.model.verdict import Category

TEXT = b"Content-Type: text/plain; charset="
PARTS = HEADER + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nHello\r\n'
ENCODED = b'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: base64\r\n'
ATTACHED_MAIL = (
    b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64encode(plain()) + b"\r\n"
)
ATTACHED_PARTS = (
    b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    + quopri.encodestring(
        mixed(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".encode(),
            attached(b"\x00\xff" * 500, "attachment; filename=x.bin"),
        )
    )
    + b"\r\n"
)
ENCODED_PARTS = ENCODED + b"\r\nLS1iDQoNCkhlbGxvDQotLWItLQ0K\r\n"
REPORT_ENCODED = (  # RFC 6533 3, through servers that know no eight bits
    b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b64encode("Reporting-MTA: dns; mx.example\n\nFinal-Recipient: utf-8; jürgen@mx.example\n".encode())
)


def report(cut: bytes) -> bytes:
    """Return a report that brings back a mail of several parts, whose end is missing."""
    mail = b"Content-Type: message/rfc822\r\n\r\n" + HEADER + b"Content-Type: multipart/mixed; " + cut
    return mixed(b"\r\nNot delivered.\r\n", mail).replace(b"multipart/mixed;", b"multipart/report;", 1)


def found(data: bytes) -> set[str]:
    findings = ask(make("encoding"), data)
    assert all(finding.category is Category.BAD_ENCODING for finding in findings)
    assert all(finding.reason.isprintable() and 0 < len(finding.reason) <= 200 for finding in findings)
    return set(symbols(findings))


@pytest.mark.parametrize(
    "data",
    [
        plain(),
        plain(b""),
        plain("Grüße\r\n".encode(), TEXT + b"utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"),
        plain(b"Gr\xfc\xdfe\r\n", TEXT + b"iso-8859-1\r\nContent-Transfer-Encoding: 8BIT\r\n"),
        plain(b"Gr=C3=BC=C3=9Fe=20\r\n=\r\n", TEXT + b"utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n"),
        plain(b"SGVsbG8=\r\n\r\n", b"Content-Transfer-Encoding: base64\r\n"),
        plain(b"", b"Subject: =?utf-8?B?R3LDvMOfZQ?= =?utf-8?Q?a b_c?= =?iso-8859-1*en?q?=FC?=\r\n"),
        plain("Grüße\r\n".encode(), TEXT + b"utf-8\r\n"),
        plain(b"", b"X-Odd: =?x?x?x?=\r\n"),
        mixed(b"\r\nHello\r\n", attached(b"\x00\xff" * 500, "attachment; filename=x.bin")),
        mixed(b"\r\nSee the mail.\r\n", ATTACHED_MAIL),
        mixed(b"\r\nSee the mail.\r\n", ATTACHED_PARTS),
        mixed(b"\r\nNot delivered.\r\n", REPORT_ENCODED),
        report(b"boundary=c\r\n"),
        report(b"boundary=c\r\n\r\n--c\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncut=3"),
    ],
    ids=[
        "plain",
        "empty",
        "utf-8",
        "latin-1",
        "quoted-printable",
        "base64",
        "words",
        "8-bit",
        "other",
        "file",
        "mail",
        "parts",
        "report",
        "a mail's header brought back",
        "a part of a mail brought back",
    ],
)
def test_what_is_right_is_no_ground(data: bytes) -> None:
    assert found(data) == set()


@pytest.mark.parametrize(
    ("data", "symbol"),
    [
        (plain(b"Gr\xfc\xdfe\r\n", TEXT + b"utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"), "CHARSET_BAD"),
        (plain(b"Hello\r\n", b"Content-Transfer-Encoding: rot13\r\n"), "CTE_UNKNOWN"),
        (plain(b"SGVs*bG8%%\r\n!!!!\r\n", b"Content-Transfer-Encoding: base64\r\n"), "BASE64_BAD"),
        (HEADER + b"Content-Type: multipart/mixed\r\n\r\nHello\r\n", "BOUNDARY_MISSING"),
        (HEADER + b'Content-Type: multipart/mixed; boundary="x"\r\n\r\nHello\r\n', "BOUNDARY_NEVER"),
        (PARTS + b"--b--\r\n--b\r\n" + attached(b"x", "attachment; filename=h.exe") + b"--b--\r\n", "HIDDEN_PART"),
        (PARTS, "BOUNDARY_OPEN"),
        (plain(b"a=xyz\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"), "QP_BAD"),
        (plain(b"Hello\r\n", TEXT + b"klingon\r\n"), "CHARSET_UNKNOWN"),
        (HEADER + ENCODED_PARTS, "CTE_WRONG"),
        (plain(b"Gr\xfc\xdfe\r\n", b"Content-Transfer-Encoding: 7bit\r\n"), "BODY_NOT_7BIT"),
        (plain(b"Gr\xfc\xdfe\r\n", TEXT + b"us-ascii\r\n"), "BODY_NOT_7BIT"),
        (plain(b"", b"Subject: =?klingon?Q?a?=\r\n"), "WORD_BAD"),
        (plain(b"", b"To: =?utf-8?X?a?=\r\n"), "WORD_BAD"),
        (plain(b"", b"Subject: =?utf-8?Q?a=zz?=\r\n"), "WORD_BAD"),
        (plain(b"", b"Subject: =?utf-8?B?R3L!!?=\r\n"), "WORD_BAD"),
        (plain(b"", b"Subject: =?utf-8?B?R3LDv?=\r\n"), "WORD_BAD"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_threats_50_and_51_each_ground_has_its_symbol(data: bytes, symbol: str) -> None:
    assert symbol in found(data)


def test_what_a_mail_itself_is_cut_short_of_is_a_ground_also_where_it_brings_another() -> None:
    whole = report(b"boundary=c\r\n")
    assert found(whole.replace(b"multipart/report;", b"multipart/mixed;")) == {"BOUNDARY_NEVER"}
    assert found(whole[: whole.rindex(b"--", 0, -6)]) == {"BOUNDARY_OPEN"}


@pytest.mark.parametrize(
    ("brought", "symbol"),
    [
        (b"boundary=c\r\n\r\n--c\r\nContent-Transfer-Encoding: rot13\r\n\r\nx\r\n--c--\r\n", "CTE_UNKNOWN"),
        (b"boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--c\r\n" + ATTACHED_MAIL + b"\r\n--c--\r\n", "HIDDEN_PART"),
    ],
)
def test_what_readers_take_differently_is_a_ground_in_a_report_too(brought: bytes, symbol: str) -> None:
    """Anybody can call his mail a report; none is cut short so."""
    assert symbol in found(report(brought))


def test_a_thousand_defects_do_not_flood_the_trace() -> None:
    broken = b"Content-Transfer-Encoding: rot13\r\n\r\nx"
    assert len(ask(make("encoding"), mixed(*[broken] * 1000))) == 20
