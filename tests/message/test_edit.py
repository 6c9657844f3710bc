"""The outgoing head: what is put in front, what is left out, and that nothing else changes."""

from email import message_from_bytes, policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.edit import head_end, outgoing, trace_fields
from gatepost.model.address import Address
from gatepost.model.stored import Message

MAIL = b"From: a@b.test\r\nSubject: Hello\r\n there\r\nX-Odd:\tkept  as it is \r\n\r\nBody\r\n.\r\n"
MONDAY = 1_763_985_600_000  # 2025-11-24 12:00 UTC


def sent(data: bytes, **options: str) -> bytes:
    head = outgoing(data, [], **options)
    return head.data + data[head.offset :]


def subject(data: bytes) -> str:
    return str(message_from_bytes(data, policy=policy.default)["Subject"])


def test_fields_are_put_in_front_and_all_else_stays() -> None:
    head = outgoing(MAIL, [("X-One", "1"), ("X-Two", "2\r\n\tfolded")])
    assert head.data + MAIL[head.offset :] == b"X-One: 1\r\nX-Two: 2\r\n\tfolded\r\n" + MAIL
    assert MAIL[head.offset :] == b"Body\r\n.\r\n"


@given(st.binary(max_size=200))
def test_without_a_tag_and_forged_fields_any_octets_pass_unchanged(data: bytes) -> None:
    assert sent(data) == data


@given(st.text(alphabet="aS:u \t\r\n=?", max_size=60))
def test_a_tag_never_changes_the_body(text: str) -> None:
    data = b"Subject: x\r\nA: " + text.encode() + b"\r\n\r\nbody"
    body = data[head_end(data) :]
    assert sent(data, tag="[SPAM]").endswith(body)
    assert sent(data, tag="[SPAM]").count(b"[SPAM]") >= 1


@pytest.mark.parametrize(
    ("data", "offset"),
    [(b"A: b\r\n\r\nbody", 8), (b"\r\nbody", 2), (b"A: b\r\n", -1), (b"", -1), (b"A: b\n\nbody", -1)],
)
def test_the_head_ends_at_the_first_empty_line(data: bytes, offset: int) -> None:
    assert head_end(data) == offset


def test_a_mail_without_a_body_is_all_head() -> None:
    assert sent(b"Subject: x\r\n", tag="T") == b"Subject: T x\r\n"


@pytest.mark.parametrize(
    "name",
    ["X-Fuglu-Id", "x-gatepost-ID", "X-Fuglu-Suspect", "X-Spam-Flag", "X-Spam-Status", "X-Spam", "X-Virus-Lover"],
)
def test_threat_63_fields_that_only_a_filter_may_set_are_left_out(name: str) -> None:
    forged = f"{name}: deadbeef\r\n\tand its fold\r\n".encode()
    data = b"From: a@b.test\r\n" + forged + b"X-Spammer: kept\r\n\r\nX-Fuglu-Id: in the body\r\n"
    assert sent(data) == data.replace(forged, b"")
    assert sent(forged + b"\r\n") == b"\r\n"


def test_threat_63_authentication_results_with_our_name_are_left_out_and_others_kept() -> None:
    ours = b"Authentication-Results: (a comment)\r\n MX.ours.test 1; spf=pass\r\n"
    theirs = b"Authentication-Results: mx.theirs.test; spf=pass\r\n"
    assert sent(ours + theirs + b"\r\n", authserv_id="mx.ours.test") == theirs + b"\r\n"
    assert sent(ours + theirs + b"\r\n") == ours + theirs + b"\r\n"


def test_threat_63_received_spf_with_our_name_is_left_out_and_others_kept() -> None:
    ours = b'Received-SPF: pass (fine)\r\n\tclient-ip=192.0.2.1; receiver="MX.ours.test";\r\n\tidentity=mailfrom\r\n'
    theirs = b"Received-SPF: pass (mx.ours.test is fine) receiver=mx.theirs.test; helo=mx.ours.test\r\n"
    assert sent(ours + theirs + b"\r\n", authserv_id="mx.ours.test") == theirs + b"\r\n"
    assert sent(ours + theirs + b"\r\n") == ours + theirs + b"\r\n"


@pytest.mark.parametrize(
    "forged",
    [
        b"Authentication-Results: (a (nested) comment) mx.ours.test; spf=pass\r\n",
        b"Authentication-Results: (a \\) in it) mx.ours.test(x)1; spf=pass\r\n",
        b'AUTHENTICATION-RESULTS :\r\n\t"mx\\.ours.test"; spf=pass\r\n',
        b"Received-SPF: pass receiver=(a comment)mx.ours.test\r\n",
        b'Received-SPF: pass receiver="mx\\.ours.test"\r\n',
        b"X-Gatepost: clean\r\n",
    ],
)
def test_threat_63_our_name_is_known_however_it_is_spelled(forged: bytes) -> None:
    assert sent(forged + b"\r\n", authserv_id="mx.ours.test") == b"\r\n"


def test_the_tag_stands_in_front_of_the_subject_once() -> None:
    once = sent(MAIL, tag="[SPAM]")
    assert once == MAIL.replace(b"Subject: Hello", b"Subject: [SPAM] Hello")
    assert sent(once, tag="[SPAM]") == once


def test_every_subject_is_tagged_since_clients_differ_in_which_they_show() -> None:
    assert sent(b"SUBJECT:a\r\nsubject : b\r\n\r\n", tag="T") == b"SUBJECT: T a\r\nsubject : T b\r\n\r\n"


def test_a_mail_without_a_subject_gets_one() -> None:
    assert sent(b"From: a@b.test\r\n\r\nx", tag="[SPAM]") == b"Subject: [SPAM]\r\nFrom: a@b.test\r\n\r\nx"


@pytest.mark.parametrize("empty", [b"Subject:\r\n", b"Subject: \r\n", b"Subject: \r\n \r\n"])
def test_an_empty_subject_becomes_the_tag(empty: bytes) -> None:
    assert subject(sent(empty + b"\r\n", tag="[SPAM]")).strip() == "[SPAM]"


@pytest.mark.parametrize(
    ("tag", "value", "shown"),
    [
        ("[SPAM]", "=?utf-8?q?Caf=C3=A9?=", "[SPAM] Café"),
        ("[PUBLICITÉ]", "plain", "[PUBLICITÉ] plain"),
        ("[PUBLICITÉ]", "=?utf-8?b?Q2Fmw6k=?=", "[PUBLICITÉ] Café"),
        ("[PUBLICITÉ]", "\r\n =?utf-8?b?Q2Fmw6k=?=\r\n =?utf-8?q?!?=", "[PUBLICITÉ] Café!"),
        ("=?utf-8?q?no?=", "word", "=?utf-8?q?no?= word"),
    ],
)
def test_tags_and_encoded_subjects_are_read_as_meant(tag: str, value: str, shown: str) -> None:
    data = f"Subject: {value}\r\n\r\nx".encode()
    assert subject(sent(data, tag=tag)).strip() == shown
    assert sent(sent(data, tag=tag), tag=tag) == sent(data, tag=tag)


def test_the_words_of_a_tag_are_one_line_and_cannot_add_a_field() -> None:
    result = sent(b"Subject: x\r\n\r\n", tag="[A]\r\nBcc: victim@b.test")
    assert result == b"Subject: [A] Bcc: victim@b.test x\r\n\r\n"
    assert b"\r\nBcc" not in sent(b"Subject: x\r\n\r\n", tag="[A]\x00\x85\u2028Bcc: v@b.test")


def test_a_long_tag_is_folded_and_still_read_as_one_line() -> None:
    tag = "[PUBLICITÉ] " * 12
    result = sent(b"Subject: =?utf-8?q?x?=\r\n\r\n", tag=tag)
    assert all(len(line) <= 78 for line in result.split(b"\r\n"))
    assert subject(result) == tag + "x"


def test_a_line_that_would_grow_too_long_is_folded_after_the_tag() -> None:
    text = b"w" * 75
    assert sent(b"Subject: " + text + b"\r\n\r\n", tag="[SPAM]") == b"Subject: [SPAM]\r\n " + text + b"\r\n\r\n"


def test_threat_64_a_tag_leaves_signed_content_alone() -> None:
    parts = [b"text/plain\r\n\r\nSubject: signed", b"application/pgp-signature\r\n\r\n"]
    body = b"".join(b"--b\r\nContent-Type: " + part + b"\r\n" for part in parts) + b"--b--\r\n"
    data = b'Subject: x\r\nContent-Type: multipart/signed; boundary="b"\r\n\r\n' + body
    assert sent(data, tag="[SPAM]").endswith(b'\r\nContent-Type: multipart/signed; boundary="b"\r\n\r\n' + body)


def fields(recipient: Address | None = None, **members: Any) -> dict[str, str]:
    options = {name: members.pop(name) for name in ("smtputf8", "protocol") if name in members}
    usual = {
        "id": "0" * 32,
        "received": MONDAY,
        "size": 1,
        "direction": "in",
        "sender": "a@b.test",
        "client_ip": "192.0.2.1",
        "helo": "mail.b.test",
        "message_id": "",
        "subject": "",
        "header_from": "",
        "header_to": "",
        "header_cc": "",
        "sent": None,
    }
    return dict(trace_fields(Message(**{**usual, **members}), host="mx.ours.test", recipient=recipient, **options))


def test_received_says_who_brought_it_how_and_when() -> None:
    found = fields(
        Address("bob", "ours.test"),
        reverse="out.b.test",
        client_ip="2001:db8::1",
        esmtp=True,
        tls="TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        login="ann@ours.test",
    )
    assert found["Received"].replace("\r\n\t", " ") == (
        "from mail.b.test (out.b.test [IPv6:2001:db8::1]) "
        "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)) (Authenticated sender: ann@ours.test) "
        f"by mx.ours.test (Gatepost) with ESMTPSA id {'0' * 32} for <bob@ours.test>; Mon, 24 Nov 2025 12:00:00 +0000"
    )
    assert found["X-Gatepost-Id"] == found["X-Fuglu-Id"] == "0" * 32


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({}, "SMTP"),
        ({"esmtp": True}, "ESMTP"),
        ({"esmtp": True, "tls": "TLSv1.3"}, "ESMTPS"),
        ({"esmtp": True, "login": "ann@ours.test"}, "ESMTPA"),
        ({"esmtp": True, "tls": "TLSv1.3", "smtputf8": True}, "UTF8SMTPS"),
        ({"protocol": "HTTP"}, "HTTP"),
    ],
)
def test_received_names_the_protocol(members: dict[str, Any], word: str) -> None:
    assert f" with {word} id " in fields(**members)["Received"]


@pytest.mark.parametrize(
    ("helo", "shown"),
    [
        ("", "unknown"),
        ("<script>alert(1)</script>", "?script?alert?1???script?"),
        ("a b\r\nBcc: x", "a?b??Bcc:?x"),
        ("[192.0.2.9]", "[192.0.2.9]"),
        ("[IPv6:2001:db8::9]", "[IPv6:2001:db8::9]"),
        ("x" * 5000, "x" * 255),
    ],
)
def test_threat_22_odd_helo_names_are_escaped(helo: str, shown: str) -> None:
    assert fields(helo=helo)["Received"].startswith(f"from {shown} (unknown [192.0.2.1])")


def test_an_unbalanced_comment_is_closed() -> None:
    assert "(using TLS ?broken?)" in fields(tls="TLS (broken\\")["Received"]


def test_an_address_in_utf8_is_named_only_to_hops_that_can_read_it() -> None:
    address = Address("é", "ours.test")
    assert "for <" not in fields(address)["Received"]
    assert "for <é@ours.test>" in fields(address, smtputf8=True)["Received"]
