"""The builder: what it writes is read back the same, and nobody gets a field in that he may not write."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest

from gatepost.message.compose import Attachment, Letter, Party, compose
from gatepost.model.problem import Kind, Problem


def written(**members: Any) -> bytes:
    letter = {
        "sender": Party("ann@a.test", "Ann Ä"),
        "to": [Party("bob@b.test")],
        "date": 1_763_985_600_000,
        "message_id": "1@a.test",
    }
    return compose(Letter(**{**letter, **members}))


def read(data: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(data, policy=policy.default))


def test_a_letter_is_read_back_as_it_was_meant() -> None:
    mail = read(
        written(
            cc=[Party("c@c.test", 'O"Neil, "C" <x@y>')],
            reply_to=[Party("r@r.test")],
            subject="Grüße " * 30,
            text="Hi\r\n.\r\nÄ " + "x" * 1200,
            automatic="auto-generated",
            extra=[("X-Tag", "é")],
        )
    )
    assert str(mail["From"]) == "Ann Ä <ann@a.test>"
    assert mail["Cc"].addresses[0].display_name == 'O"Neil, "C" <x@y>'
    assert mail["Cc"].addresses[0].addr_spec == "c@c.test"
    assert mail["Subject"] == "Grüße " * 30
    assert mail["Date"] == "Mon, 24 Nov 2025 12:00:00 +0000"
    assert mail["Message-ID"] == "<1@a.test>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Tag"] == "é"
    assert mail.get_content().splitlines() == ["Hi", ".", "Ä " + "x" * 1200]


def test_lines_end_in_crlf_are_short_and_7bit() -> None:
    data = written(subject="Grüße " * 30, text="Ä\nb" * 900, html="<p>é</p>" * 500)
    assert data.isascii()
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert max(map(len, data.split(b"\r\n"))) <= 78


def test_both_texts_make_an_alternative() -> None:
    mail = read(written(text="plain", html="<b>rich</b>"))
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_html_alone_is_html_and_no_text_at_all_is_an_empty_text() -> None:
    assert read(written(html="<b>rich</b>")).get_content_type() == "text/html"
    assert read(written()).get_content().strip() == ""


def test_attachments_keep_their_octets_and_names() -> None:
    data = bytes(range(256)) * 10
    mail = read(
        written(text="x", attachments=[Attachment("é;.bin", data), Attachment('a"b.eml', b"A: b", "message/rfc822")])
    )
    first, second = mail.iter_attachments()
    assert (first.get_filename(), first.get_content()) == ("é;.bin", data)
    assert (second.get_filename(), second.get_content_type()) == ('a"b.eml', "application/octet-stream")


@pytest.mark.parametrize(
    ("said", "as_written"),
    [
        ("Text/Plain;Charset=UTF-8", "text/plain; charset=UTF-8"),
        ('text/calendar; method="REQUEST"; charset=utf-8;', 'text/calendar; method="REQUEST"; charset=utf-8'),
        ('image/png; name="x.png"', "image/png"),
        ("multipart/mixed; boundary=x", "application/octet-stream"),
    ],
)
def test_the_type_of_a_file_keeps_what_is_needed_to_read_it(said: str, as_written: str) -> None:
    mail = written(text="x", attachments=[Attachment("f", b"\xc3\xa9", said)])
    assert f"\r\nContent-Type: {as_written}\r\n".encode() in mail
    assert [file.get_filename() for file in read(mail).iter_attachments()] == ["f"]


@pytest.mark.parametrize(
    "address",
    ["ann@a.test", '"a b"@a.test', "x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "!#$%&'*+-/=?^_`{|}~@a.test", "é@a.test"],
)
def test_odd_but_good_addresses_come_out_as_they_are(address: str) -> None:
    assert f"To: {address}\r\n".encode() in written(to=[Party(address)])


@pytest.mark.parametrize("bad", ["\r\nBcc: v@v.test", "\n", "\r", "\x00", "\ud800", "\x85", "\u2028", "\x1b[31m"])
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("subject", lambda bad: f"x{bad}"),
        ("sender", lambda bad: Party("ann@a.test", f"x{bad}")),
        ("sender", lambda bad: Party(f"ann@a.test{bad}")),
        ("to", lambda bad: [Party("bob@b.test", f"x{bad}")]),
        ("reply_to", lambda bad: [Party(f"b{bad}@b.test")]),
        ("extra", lambda bad: [("X-A", f"x{bad}")]),
        ("extra", lambda bad: [(f"X-A{bad}", "x")]),
        ("attachments", lambda bad: [Attachment(f"x{bad}", b"")]),
        ("message_id", lambda bad: f"x{bad}@a.test"),
        ("automatic", lambda bad: f"auto{bad}"),
    ],
)
def test_threat_119_no_member_can_carry_a_line_of_its_own(member: str, value: Any, bad: str) -> None:
    with pytest.raises(Problem) as caught:
        written(**{member: value(bad)})
    assert caught.value.kind is Kind.MALFORMED
    assert caught.value.pointer is not None
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize("name", ["X-A\r\nBcc", "X A", "X-A:", "", "Bcc", "FROM", "Received", "é"])
def test_threat_f13_odd_and_reserved_field_names_are_refused(name: str) -> None:
    with pytest.raises(Problem, match="header"):
        written(extra=[(name, "x")])


@pytest.mark.parametrize("member", ["text", "html"])
def test_texts_without_a_charset_to_stand_in_are_refused(member: str) -> None:
    with pytest.raises(Problem, match=member):
        written(**{member: "\ud800"})
    with pytest.raises(Problem, match=member):
        written(**{member: "\x00"})


@pytest.mark.parametrize(
    "kind", ["text", "text/", "a b/c", "text/plain; charset", 'text/plain; charset="x', "text/plain\r\nX: y"]
)
def test_bad_media_types_are_refused(kind: str) -> None:
    with pytest.raises(Problem, match="media type"):
        written(attachments=[Attachment("x", b"", kind)])


def test_a_bad_address_is_named() -> None:
    with pytest.raises(Problem, match="to: the address has no domain"):
        written(to=[Party("bob")])


@pytest.mark.parametrize(
    "members",
    [
        {"to": [Party("bob@b.test", "ä" * 1000)] * 300},
        {"attachments": [Attachment("ä" * 300_000, b"")]},
        {"attachments": [Attachment("a", b"", description="ä" * 300_000)]},
        {"html": "x" * 300_000},
    ],
)
def test_names_count_to_how_much_there_is_to_say(members: dict[str, Any]) -> None:
    """By it is settled whether a mail is coded on the event loop, which names of a megabyte held up for a second."""
    assert Letter(sender=Party("ann@a.test"), date=0, message_id="1@a.test", **members).size >= 300_000
