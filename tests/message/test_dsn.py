"""Delivery reports: machines read every fact in them, people read why, strangers' words stay on their line."""

from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Any, cast

import pytest

from gatepost.message.dsn import FULL_BYTES, HEADER_BYTES, Fate, Notice, Outcome, write

NOON = 1_763_985_600_000
MAIL = b"From: ann@a.test\r\nSubject: Hello\r\n\r\nThe text.\r\n"


def fate(**members: Any) -> Fate:
    usual = {
        "recipient": "bob@b.test",
        "outcome": Outcome.FAILED,
        "status": "5.1.1",
        "reason": "the address does not exist",
        "diagnostic": "550 5.1.1 <bob@b.test>: no such user",
        "remote": "mx.b.test[192.0.2.1]:25",
    }
    return Fate(**{**usual, **members})


def report(*fates: Fate, **members: Any) -> bytes:
    usual = {
        "host": "mx.ours.test",
        "to": "ann@a.test",
        "mail_id": "0" * 32,
        "arrival": NOON,
        "now": NOON + 60_000,
        "message_id": "dsn1@mx.ours.test",
        "fates": fates or (fate(),),
        "original": MAIL,
    }
    return write(Notice(**{**usual, **members}))


def read(data: bytes) -> tuple[EmailMessage, list[Message]]:
    mail = cast(EmailMessage, message_from_bytes(data, policy=policy.default))
    return mail, cast(list[Message], mail.get_payload())


def facts(data: bytes) -> list[Message]:
    return cast(list[Message], read(data)[1][1].get_payload())


def test_a_report_is_what_rfc_3464_says() -> None:
    mail, parts = read(report())
    assert mail.get_content_type() == "multipart/report"
    assert mail.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["To"] == "ann@a.test"
    assert mail["From"].addresses[0].addr_spec == "MAILER-DAEMON@mx.ours.test"
    assert mail["Subject"] == "Undelivered Mail Returned to Sender"
    assert mail["Date"] == "Mon, 24 Nov 2025 12:01:00 +0000"
    assert mail["Message-ID"] == "<dsn1@mx.ours.test>"
    assert not mail.defects


def test_the_machine_part_has_every_fact() -> None:
    data = report(
        fate(orcpt="rfc822;Bob+2Bx@alias.test", last_attempt=NOON + 30_000),
        fate(recipient="c@b.test", outcome=Outcome.DELAYED, status="4.4.1", retry_until=NOON + 86_400_000),
        envid="QQ+3D314159",
    )
    about, first, second = facts(data)
    assert about["Original-Envelope-Id"] == "QQ=314159"
    assert about["Reporting-MTA"] == "dns; mx.ours.test"
    assert about["Arrival-Date"] == "Mon, 24 Nov 2025 12:00:00 +0000"
    assert first["Original-Recipient"] == "rfc822; Bob+x@alias.test"
    assert first["Final-Recipient"] == "rfc822; bob@b.test"
    assert (first["Action"], first["Status"]) == ("failed", "5.1.1")
    assert first["Remote-MTA"] == "dns; mx.b.test"
    assert first["Diagnostic-Code"] == "smtp; 550 5.1.1 <bob@b.test>: no such user"
    assert first["Last-Attempt-Date"] == "Mon, 24 Nov 2025 12:00:30 +0000"
    assert first["Will-Retry-Until"] is None
    assert (second["Action"], second["Will-Retry-Until"]) == ("delayed", "Tue, 25 Nov 2025 12:00:00 +0000")


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("192.0.2.1[192.0.2.1]:25", "[192.0.2.1]"),
        ("2001:db8::1[2001:db8::1]:25", "[IPv6:2001:db8::1]"),
        ("mx.b.test[2001:db8::1]:2525", "mx.b.test"),
        ("mx.b.test", "mx.b.test"),
    ],
)
def test_the_remote_server_is_told_by_its_name_or_as_a_literal(remote: str, name: str) -> None:
    assert facts(report(fate(remote=remote)))[1]["Remote-MTA"] == f"dns; {name}"


def test_people_are_told_who_why_and_in_whose_words() -> None:
    text = cast(str, read(report())[1][0].get_payload())
    assert "<bob@b.test>" in text
    assert "the address does not exist" in text
    assert "mx.b.test[192.0.2.1]:25 said: 550 5.1.1" in text
    assert "0" * 32 in text
    assert max(map(len, text.splitlines())) <= 78


@pytest.mark.parametrize(
    ("outcome", "subject", "words"),
    [
        (Outcome.FAILED, "Undelivered Mail Returned to Sender", "could not be delivered"),
        (Outcome.DELAYED, "Delayed Mail (still being retried)", "has not been delivered"),
        (Outcome.DELIVERED, "Successful Mail Delivery Report", "was delivered"),
        (Outcome.RELAYED, "Successful Mail Delivery Report", "handed to the next server"),
    ],
)
def test_each_outcome_has_its_words(outcome: Outcome, subject: str, words: str) -> None:
    data = report(fate(outcome=outcome, retry_until=NOON))
    assert read(data)[0]["Subject"] == subject
    assert words in cast(str, read(data)[1][0].get_payload())
    assert facts(data)[1]["Action"] == outcome.value


@pytest.mark.parametrize(("to", "shown"), [("ann@a.test", "j\\x{F6}rg@b.test"), ("jörg@a.test", "jörg@b.test")])
def test_an_international_original_recipient_stands_in_the_reports_own_form(to: str, shown: str) -> None:
    """RFC 6533 3: ASCII in a report that needs no SMTPUTF8."""
    data = report(fate(orcpt="utf-8;jörg@b.test"), to=to)
    assert f"Original-Recipient: utf-8; {shown}\r\n".encode() in data


def test_ret_full_brings_the_whole_mail_back_untouched() -> None:
    data = report(ret="FULL")
    assert read(data)[1][2].get_content_type() == "message/rfc822"
    assert MAIL in data


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"ret": "HDRS"},
        {"ret": "FULL", "complete": False},
        {"ret": "FULL", "original": MAIL + b"x" * FULL_BYTES},
        {"ret": "FULL", "fates": (fate(outcome=Outcome.DELAYED),)},
        {"ret": "FULL", "fates": (fate(outcome=Outcome.RELAYED),)},
    ],
)
def test_otherwise_the_header_alone_comes_back(members: dict[str, Any]) -> None:
    data = report(**members)
    part = read(data)[1][2]
    assert part.get_content_type() == "text/rfc822-headers"
    assert cast(str, part.get_payload()).splitlines() == ["From: ann@a.test", "Subject: Hello"]
    assert b"The text." not in data


def test_a_huge_header_is_cut_at_a_line() -> None:
    original = b"X-A: " + b"x" * 60 + b"\r\n"
    part = read(report(original=original * 5000))[1][2]
    text = cast(str, part.get_payload())
    assert len(text) <= HEADER_BYTES
    assert set(text.splitlines()) == {original.decode().strip()}


def test_a_mail_that_quotes_the_boundary_of_an_earlier_report_does_not_break_this_one() -> None:
    quoted = report(ret="FULL")
    again = report(ret="FULL", original=b"A: b\r\n\r\n" + quoted)
    assert len(read(again)[1]) == 3


def test_eight_bit_mail_is_declared_and_kept() -> None:
    original = b"Subject: x\r\n\r\n\xe9\xff\r\n"
    data = report(ret="FULL", original=original)
    assert original in data
    assert read(data)[0]["Content-Transfer-Encoding"] == "8bit"
    assert read(data)[1][2]["Content-Transfer-Encoding"] == "8bit"


def test_rfc_6533_addresses_in_utf8_are_reported_in_utf8() -> None:
    mail, parts = read(report(fate(recipient="é@b.test", diagnostic="550 né"), to="ü@a.test", ret="FULL"))
    assert mail.get_param("report-type") == "global-delivery-status"
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/global-delivery-status",
        "message/global",
    ]
    data = report(fate(recipient="é@b.test", diagnostic="550 né"), to="ü@a.test")
    assert "Final-Recipient: utf-8; é@b.test\r\n" in data.decode()
    assert "To: ü@a.test\r\n" in data.decode()
    assert "message/global-headers" in data.decode()


@pytest.mark.parametrize(
    "hostile", ["x\r\nBcc: v@v.test", "x\n\nAction: delivered", "x\x00\x1b[2J", "x" * 100_000, "\u202ex"]
)
@pytest.mark.parametrize("member", ["diagnostic", "remote", "reason", "recipient", "orcpt"])
def test_threats_29_and_97_words_of_strangers_stay_on_their_line(member: str, hostile: str) -> None:
    data = report(fate(**{member: "rfc822;" + hostile if member == "orcpt" else hostile}))
    mail, _ = read(data)
    assert mail["Bcc"] is None
    assert data.count(b"\r\nFinal-Recipient: ") == data.count(b"\r\nAction: ") == 1
    assert b"\r\nAction: failed\r\nStatus: 5.1.1\r\n" in data
    assert not any(octet in data for octet in (b"\x00", b"\x1b"))
    assert data.count(b"\n") == data.count(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("member", ["diagnostic", "remote", "reason", "recipient", "orcpt"])
def test_rfc_6532_a_line_of_letters_beyond_ascii_is_counted_in_octets(member: str) -> None:
    said = "漢" * 600
    data = report(fate(**{"recipient": "é@b.test", member: f"utf-8;{said}" if member == "orcpt" else said}))
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert "漢" * 250 in data.decode() or member == "remote"


def test_xtext_can_hide_no_line_end() -> None:
    data = report(fate(orcpt="rfc822;x+0D+0ABcc: v@v.test"), envid="+0D+0A+0D+0Ax")
    assert len(facts(data)) == 2
    assert b"\r\nBcc" not in data
