"""Reports and complaints that come back: read by their parts, whatever their writers made of the standard."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
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
    failed = Fate("zoe@far.example", "failed", "5.1.1", "550 5.1.1 no such user here", "info@far.example")
    delayed = Fate("kim@far.example", "delayed", "4.4.1", "")
    assert read(mail("message/delivery-status", STATUS, last)) == Returned(Sort.REPORT, ID, (failed, delayed))


def test_a_report_on_many_is_read_to_its_end() -> None:
    one = STATUS.partition(b"Final-Recipient: rfc822;kim")[0].partition(b"\r\n\r\n")[2]
    many = b"".join(one.replace(b"zoe@", b"zoe%d@" % at) for at in range(120))
    found = read(mail("message/delivery-status", b"Reporting-MTA: dns; far.example\r\n\r\n" + many))
    assert found is not None
    assert [fate.recipient for fate in found.fates] == [f"zoe{at}@far.example" for at in range(100)]


EXIM = (
    b"Reporting-MTA: dns; far.example\r\nX-Original-Envelope-ID: 1\r\n\r\nAction: failed\r\n"
    b"Final-Recipient: rfc822;zoe@far.example\r\nStatus: 5.0.0\r\nRemote-MTA: dns; in.far.example\r\n"
)
SENDMAIL = (
    b"Original-Envelope-Id: env+1\r\nReporting-MTA: dns; far.example\r\nReceived-From-MTA: DNS; gate.example\r\n"
    b"Arrival-Date: Mon, 30 Nov 2026 19:58:37 GMT\r\n\r\nOriginal-Recipient: rfc822;info+2Bx@far.example\r\n"
    b"Final-Recipient: RFC822; zoe@far.example\r\nX-Actual-Recipient: rfc822; zoe@far.example\r\n"
    b"Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: DNS; in.far.example\r\n"
    b"Diagnostic-Code: SMTP; 550 5.1.1 no such user\r\nLast-Attempt-Date: Mon, 30 Nov 2026 19:58:37 GMT\r\n"
)
TO_MAILBOX = b"\r\nFinal-Recipient: RFC822; kim@far.example\r\nAction: delivered (to mailbox)\r\nStatus: 2.1.5\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"550 5.1.1 no such user", "5.1.1"),
        (b"550-5.1.1 no such user\r\n 550 5.1.1 ask info@far.example", "5.1.1"),
        (b"550 no such user", "5.0.0"),
        (b"550 it is 5.1.1 or so", "5.0.0"),
        (b"450 4.2.1 not now", "5.0.0"),  # of another class than the report
    ],
)
def test_what_a_server_said_tells_more_than_a_general_status(said: bytes, status: str) -> None:
    """Exim reports every failure as 5.0.0."""
    found = read(mail("message/delivery-status", EXIM + b"Diagnostic-Code: smtp; " + said + b"\r\n"))
    assert found is not None
    assert [(fate.recipient, fate.status) for fate in found.fates] == [("zoe@far.example", status)]


def test_a_status_that_says_something_stands() -> None:
    full = EXIM.replace(b"5.0.0", b"5.2.2") + b"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
    found = read(mail("message/delivery-status", full))
    assert found is not None
    assert [fate.status for fate in found.fates] == ["5.2.2"]


def test_sendmail_tells_whom_the_mail_was_for_at_first_and_what_became_of_it_with_a_comment() -> None:
    found = read(mail("message/delivery-status", SENDMAIL + TO_MAILBOX))
    assert found is not None
    assert found.fates == (
        Fate("zoe@far.example", "failed", "5.1.1", "550 5.1.1 no such user", "info+2Bx@far.example"),
        Fate("kim@far.example", "delivered", "2.1.5"),
    )


def test_opensmtpd_calls_its_reports_mixed() -> None:
    about = b"Reporting-MTA: dns; far.example\r\n\r\nFinal-Recipient: rfc822; zoe@far.example\r\n"
    about += b"Action: failed\r\nStatus: 5.0.0\r\n\r\n"
    found = read(mail("message/delivery-status", about, "text/rfc822-headers").replace(b"/report", b"/mixed"))
    assert found == Returned(Sort.REPORT, ID, (Fate("zoe@far.example", "failed", "5.0.0"),))


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
        mail("message/delivery-status", STATUS).replace(b"multipart/report", b"multipart/alternative"),
        mail("message/feedback-report", ABUSE).replace(b"multipart/report", b"multipart/mixed"),
    ],
)
def test_every_other_mail_is_none(data: bytes) -> None:
    assert read(data) is None


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=300))
def test_no_octets_raise(about: bytes) -> None:
    read(mail("message/delivery-status", STATUS + about))
    read(mail("message/feedback-report", about + ABUSE))
