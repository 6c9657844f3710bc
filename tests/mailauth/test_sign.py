"""Signatures, checked by dkimpy as a receiver would: over small and spooled mails, by both algorithms."""

import re
from pathlib import Path

import dkim
import pytest
from tests.mailauth.pairs import PAIRS

from gatepost.mailauth import keys, sign
from gatepost.model.dkim import Algorithm
from gatepost.model.envelope import Body

HEAD = (
    b"Received: from x\r\n\tby y; z\r\nFrom: Ada <ada@a.test>\r\nTo: b@b.test\r\nSubject:  long\r\n\t subject \r\n"
    b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@a.test>\r\n\r\n"
)


def signer(algorithm: Algorithm) -> sign.Signer:
    return sign.Signer("a.test", algorithm.value, keys.load(PAIRS[algorithm].private))


def record(name: bytes, timeout: int = 5) -> bytes:
    algorithm = Algorithm(name.partition(b".")[0].decode())
    return f"v=DKIM1; k={algorithm.value}; p={PAIRS[algorithm].public}".encode()


def signed(body: bytes, *algorithms: Algorithm, head: bytes = HEAD) -> bytes:
    whole = Body(len(head + body), head + body)
    return sign.sign(head, whole, len(head), map(signer, algorithms or tuple(Algorithm)), 1_700_000_000) + head + body


def holds(mail: bytes, at: int = 0) -> bool:
    try:
        return bool(dkim.DKIM(mail).verify(at, dnsfunc=record))
    except dkim.ValidationError:
        return False


BODIES = [
    b"",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b" \t\r\n",
    b"text\r\n",
    b"text \t \r\n\r\n \r\n",
    b"\r\n\r\ntext\r\n",
    b"a  b\t\tc \r\n\td\r\n",
    b"\xe4\xf6\xfc\r\n.\r\n..\r\n",
    b"x" * 70_000 + b"\r\n",
]


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("body", BODIES)
def test_a_signature_holds_whatever_the_body(algorithm: Algorithm, body: bytes) -> None:
    assert holds(signed(body, algorithm))


def test_both_algorithms_sign_side_by_side() -> None:
    mail = signed(b"text\r\n")
    assert re.findall(rb"a=([\w-]+);", mail) == [b"rsa-sha256", b"ed25519-sha256"]
    assert holds(mail, 0) and holds(mail, 1)


def test_a_changed_text_a_second_from_and_a_changed_subject_break_it() -> None:
    mail = signed(b"text\r\n", Algorithm.RSA)
    assert not holds(mail.replace(b"text\r\n", b"next\r\n"))
    assert not holds(mail.replace(b"Subject:  long", b"Subject:  last"))
    assert not holds(b"From: eve@a.test\r\n" + mail)


def test_what_relays_may_do_does_not_break_it() -> None:
    """Relaxed: new trace fields, folding and blanks at the ends of lines."""
    mail = signed(b"text\r\n", Algorithm.RSA)
    assert holds(b"Received: from far away\r\n" + mail.replace(b"long\r\n\t subject \r\n", b"long subject\r\n"))
    assert holds(mail.replace(b"\r\n\r\ntext\r\n", b"\r\n\r\ntext  \r\n\r\n"))


def test_blanks_before_a_colon_are_signed_as_if_they_were_not_there() -> None:
    """RFC 6376 3.4.2."""
    blanked = HEAD.replace(b"Subject:", b"Subject \t:").replace(b"From:", b"From :")
    mail = signed(b"text\r\n", Algorithm.RSA, head=blanked)
    assert blanked in mail
    as_others_write_it = mail.replace(blanked, HEAD)
    assert holds(as_others_write_it)
    assert not holds(as_others_write_it.replace(b" subject ", b" object "))


def test_no_line_of_the_field_is_too_long_and_none_counts_the_bodys_length() -> None:
    field = signed(b"text\r\n", Algorithm.RSA).partition(b"Received:")[0]
    assert max(map(len, field.splitlines())) <= 78
    assert b"l=" not in re.sub(rb"\s", b"", field).replace(b"bh=", b"").split(b"h=")[0]
    assert b"c=relaxed/relaxed" in field and b"t=1700000000" in field


def test_a_spooled_mail_is_signed_from_its_file(tmp_path: Path) -> None:
    body = b"".join(b"line %d  with   blanks \r\n" % number for number in range(60_000)) + b"\r\n" * 3
    file = tmp_path / "mail"
    file.write_bytes(HEAD + body)
    spooled = Body(len(HEAD) + len(body), path=str(file))
    fields = sign.sign(HEAD, spooled, len(HEAD), [signer(Algorithm.RSA)], 1)
    assert holds(fields + HEAD + body)


@pytest.mark.parametrize("head", [b"To: b@b.test\r\n\r\n", b"\r\n", b"no field\r\n\r\n"])
def test_a_mail_without_an_author_is_not_signed(head: bytes) -> None:
    with pytest.raises(sign.SigningFailed):
        signed(b"text\r\n", head=head)


def test_a_file_that_is_gone_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(sign.SigningFailed):
        sign.sign(HEAD, Body(9, path=str(tmp_path / "gone")), 0, [signer(Algorithm.RSA)], 1)
