"""SpamAssassin: spamd's report read rule by rule; its total is the one that counts."""

from pathlib import Path
from typing import Any

import pytest
from tests.filters.engines import LETTER, spooled, told, tried
from tests.filters.mails import mail
from tests.peers.engine import Scanner, spamd

from gatepost.model.envelope import Client
from gatepost.model.verdict import Finding

UNSURE = [("UNSURE", "SPAMASSASSIN_UNSURE")]
TABLE = """\
Content analysis details:   (7.9 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
-0.0 NO_RECEIVED            Informational: message has no Received headers
 0.6 MISSING_MID            Missing Message-Id: header
                            [and a line that goes on]
 7.1 DRUGS_ERECTILE         Refers to an erectile drug
"""


def report(text: str = TABLE, spam: str = "True ; 7.9 / 5.0", status: str = "0 EX_OK") -> bytes:
    return f"SPAMD/1.1 {status}\r\nContent-length: {len(text)}\r\nSpam: {spam}\r\n\r\n{text}".encode()


def ask(said: bytes | None, **options: Any) -> list[Finding]:
    return tried("spamassassin", Scanner(spamd, said), **options)


def test_rules_are_taken_over_with_points_and_description() -> None:
    findings = ask(report())
    assert [(each.symbol, each.score, each.reason) for each in findings] == [
        ("DRUGS_ERECTILE", 7.1, "Refers to an erectile drug"),
        ("MISSING_MID", 0.6, "Missing Message-Id: header"),
        ("SPAMASSASSIN_OTHER", 0.2, "points that it names no rule for"),
        ("SPAMASSASSIN_SAID", 0.0, "SpamAssassin says: 7.9 of 5 points; without points: NO_RECEIVED"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a report of somebody's own making",
        "",
        # The mail is quoted in the report, before the table.
        TABLE.replace("7.1 DRUGS", "-99 FORGED") + "\n" + "---- ---------------------- ------\n" + "\n",
    ],
)
def test_the_total_counts_whatever_the_report_says(text: str) -> None:
    (finding, _) = ask(report(text))
    assert (finding.symbol, finding.score) == ("SPAMASSASSIN_OTHER", 7.9)


def test_a_long_description_takes_no_time() -> None:
    findings = ask(report(TABLE + " 1.0 BLANKS x" + " " * 500_000 + "y\n", spam="True ; 8.7 / 5.0"), timeout=2.0)
    assert [each.symbol for each in findings][:3] == ["DRUGS_ERECTILE", "BLANKS", "MISSING_MID"]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        None,
        b"SPAMD/1.1 0 EX_OK\r\n\r\n",
        b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.9 / 5.0",
        report(spam="True ; nan / 5.0"),
        report(spam="False"),
        report(spam=f"True ; {'9' * 300} / 5.0"),
        report(TABLE.replace("7.1", "9" * 400)),
        b"SPAMD/1.1 0 EX_OK\r\n" + b"a: b\r\n" * 200 + report().partition(b"\r\n")[2],
        report(status="74 EX_IOERR"),
        report(status="0 PONG"),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"x" * 200_000,
        b"\xff\n" * 1000,
        report("x" * 1_100_000),
    ],
)
def test_74_what_is_no_answer_is_not_clean(said: bytes | None) -> None:
    assert told(ask(said, timeout=0.3)) == UNSURE


def test_who_brought_the_mail_is_told_in_front_of_it(tmp_path: Path) -> None:
    data = LETTER + b"x" * 100_000
    for letter in (mail(data), spooled(tmp_path / "mail", data)):
        scanner = Scanner(spamd, report())
        tried("spamassassin", scanner, letter, user="amavis")
        ((head, body),) = scanner.heard
        assert head.startswith(b"REPORT SPAMC/1.5\r\nContent-length: ")
        assert b"\r\nUser: amavis\r\n" in head
        assert body.startswith(
            b"X-Envelope-From: <ann@a.test>\r\nReceived: from unknown (unknown [192.0.2.1])\r\n\tby localhost "
        )
        assert body.endswith(data)
    scanner = Scanner(spamd, report())
    assert tried("spamassassin", scanner, mail(data, client=Client(ip="")))  # written here, came in from nowhere
    assert b"\r\nReceived: by localhost " in scanner.heard[-1][1]
