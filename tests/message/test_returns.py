"""Reports and complaints that come back: read by their parts, whatever their writers made of the standard."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.message.mails import take_apart
from tests.message.test_dsn import report

from gatepost.message.returns import Fate, Returned, Sort, read_return

ID = "01a2270aabfacea8fbf49272d6399285"
HEAD = b"X-Gatepost-Id: " + ID.encode() + b"\r\nSubject: hi\r\n\r\n"
STATUS = (
    b"Reporting-MTA: dns; far.example\r\n\r\nOriginal-Recipient: rfc822; info@far.example\r\n"
    b"Final-Recipient: RFC822; <zoe@far.example>\r\nAction: Failed\r\nStatus: 5.1.1 (no such)\r\n"
    b"Diagnostic-Code: smtp; 550 5.1.1 no such\r\n user here\r\n\r\n"
    b"Final-Recipient: rfc822;kim@far.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n"
)
ABUSE = b"Feedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\nOriginal-Rcpt-To: <zoe@far.example>\r\n"


def mail(kind: str, about: bytes, last: str = "message/rfc822", head: bytes = HEAD) -> bytes:
    """A report of three parts."""
    parts = (("text/plain", b"sorry"), (kind, about), (last, head))
    lines = [b"--b\r\nContent-Type: " + name.encode() + b"\r\n\r\n" + body + b"\r\n" for name, body in parts]
    top = b"From: x@far.example\r\nTo: bob@served.example\r\nDate: Thu, 19 Nov 2026 10:00:00 +0000\r\n"
    top += b"MIME-Version: 1.0\r\nContent-Type: multipart/report; boundary=b\r\n\r\n"
    return top + b"".join(lines) + b"--b--\r\n"


def read(data: bytes) -> Returned | None:
    return read_return(take_apart(data))


@pytest.mark.parametrize("last", ["message/rfc822", "text/rfc822-headers", "message/global"])
def test_a_report_tells_the_fate_of_each_recipient(last: str) -> None:
    failed = Fate("zoe@far.example", "failed", "5.1.1", "550 5.1.1 no such user here")
    delayed = Fate("kim@far.example", "delayed", "4.4.1", "")
    assert read(mail("message/delivery-status", STATUS, last)) == Returned(Sort.REPORT, ID, (failed, delayed))


def test_a_report_on_many_is_read_to_its_end() -> None:
    one = STATUS.partition(b"Final-Recipient: rfc822;kim")[0].partition(b"\r\n\r\n")[2]
    many = b"".join(one.replace(b"zoe@", b"zoe%d@" % at) for at in range(120))
    found = read(mail("message/delivery-status", b"Reporting-MTA: dns; far.example\r\n\r\n" + many))
    assert found is not None
    assert [fate.recipient for fate in found.fates] == [f"zoe{at}@far.example" for at in range(100)]


def test_our_own_reports_are_read_too() -> None:
    found = read(report(original=HEAD + b"text\r\n", mail_id=ID))
    assert found is not None
    assert (found.mail_id, found.fates[0].recipient, found.fates[0].action) == (ID, "bob@b.test", "failed")


def test_a_complaint_names_its_recipient_or_stands_for_the_only_one() -> None:
    complaint = Fate("zoe@far.example", "abuse", reason="complaint (abuse)")
    assert read(mail("message/feedback-report", ABUSE)) == Returned(Sort.COMPLAINT, ID, (complaint,))
    nameless = ABUSE.partition(b"Original")[0]
    found = read(mail("message/feedback-report", nameless))
    assert found is not None
    assert found.fates[0].recipient == ""
    no_spam = read(mail("message/feedback-report", ABUSE.replace(b"abuse", b"not-spam")))
    assert no_spam is not None
    assert no_spam.fates == ()


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"text",
        mail("message/delivery-status", STATUS, head=b"X-Gatepost-Id: short\r\n\r\n"),
        mail("message/delivery-status", STATUS, head=b"Subject: none of ours\r\n\r\n"),
        mail("text/plain", STATUS),
        mail("message/delivery-status", STATUS).replace(b"multipart/report", b"multipart/mixed"),
    ],
)
def test_every_other_mail_is_none(data: bytes) -> None:
    assert read(data) is None


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_no_octets_raise(about: bytes) -> None:
    read(mail("message/delivery-status", STATUS + about))
    read(mail("message/feedback-report", about + ABUSE))
