"""DKIM: the vectors of RFC 8463, dkimpy's own word on random mails, and each reason for which a signature falls."""

import base64
from datetime import UTC, datetime

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.mailauth.pairs import PAIRS
from tests.mailauth.post import envelope, long_txt, results
from tests.peers.names import Fault, Zone

from gatepost.dns import Missing
from gatepost.mailauth import dkim, keys
from gatepost.mailauth.verify import Checker, Text, key_names, unsigned
from gatepost.model.auth import Result, Signature
from gatepost.model.dkim import Algorithm
from gatepost.model.envelope import Body

pytestmark = pytest.mark.anyio

RFC_8463 = b"""DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
FOOTBALL: Zone = {
    "brisbane._domainkey.football.example.com": [
        long_txt("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    ],
    "test._domainkey.football.example.com": [
        long_txt(
            "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQ"
            "iY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G"
            "+2kryOTIKT+l/K4w3QIDAQAB"
        )
    ],
}


async def test_the_vectors_of_rfc_8463_hold() -> None:
    found = await results(RFC_8463, FOOTBALL, envelope("joe@football.example.com"))
    assert [(each.result, each.algorithm, each.bits) for each in found.signatures] == [
        (Result.PASS, "ed25519-sha256", 256),
        (Result.PASS, "rsa-sha256", 1024),
    ]
    assert found.proven and not found.unsure


async def test_a_changed_body_and_a_changed_header_break_them() -> None:
    for old, new, why in ((b"lost", b"won", "body"), (b"dinner", b"supper", "header"), (b"Hi.", b"Hi", "body")):
        found = await results(RFC_8463.replace(old, new), FOOTBALL, envelope())
        assert [each.result for each in found.signatures] == [Result.FAIL] * 2
        assert all(why in each.reason for each in found.signatures)
        assert not found.proven


async def test_a_second_from_breaks_them() -> None:
    """Threat 68."""
    found = await results(b"From: eve@evil.example\r\n" + RFC_8463, FOOTBALL, envelope())
    assert [each.result for each in found.signatures] == [Result.FAIL] * 2


async def test_an_absent_key_is_permanent_and_a_silent_server_temporary() -> None:
    silent: Zone = {"brisbane._domainkey.football.example.com": [Fault.SERVFAIL]}
    found = await results(RFC_8463, silent, envelope())
    assert [each.result for each in found.signatures] == [Result.TEMPERROR, Result.PERMERROR]
    assert found.unsure and not found.proven


# Signatures of our own making.

PAIR = PAIRS[Algorithm.RSA]
PRIVATE = keys.load(PAIR.private).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
HEAD = b"From: Ada <ada@a.example>\r\nTo: bob@b.example\r\nSubject: Hi  there\r\n\r\n"
NOW = 1_700_000_000


def signed(
    body: bytes = b"Hello\r\n",
    *,
    head: bytes = HEAD,
    canon: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
    **options: object,
) -> bytes:
    made = dkimpy.DKIM(head + body)
    return made.sign(b"s", b"a.example", PRIVATE, canonicalize=canon, **options) + head + body


def verified(mail: bytes, record: str = f"v=DKIM1; p={PAIR.public}", *, now: int = NOW) -> tuple[Signature, ...]:
    head = mail[: mail.index(b"\r\n\r\n") + 4]
    message = dkim.read(head)
    assert message is not None
    answers = {name: record.encode() if record else Missing() for name in key_names(dkim.tags(message))}
    return dkim.verify(message, Checker(Text(head, Body(len(mail), mail), len(head)), answers), now)


@pytest.mark.parametrize(
    ("record", "result", "why"),
    [
        (f"v=DKIM1; p={PAIR.public}", Result.PASS, ""),
        (f"p={PAIR.public}; t=s", Result.PASS, ""),
        (f"v=DKIM1; h=sha1; p={PAIR.public}", Result.PERMERROR, "sha256"),
        (f"v=DKIM1; s=tlsrpt; p={PAIR.public}", Result.PERMERROR, "not for mail"),
        (f"v=DKIM1; t=y; p={PAIR.public}", Result.NEUTRAL, "testing"),
        (f"v=DKIM2; p={PAIR.public}", Result.PERMERROR, "no DKIM key"),
        (f"v=DKIM1; k=ed25519; p={PAIR.public}", Result.PERMERROR, "can't be read"),
        ("v=DKIM1; p=", Result.PERMERROR, "revoked"),
        ("v=DKIM1; p=AAAA", Result.PERMERROR, "can't be read"),
        ("", Result.PERMERROR, "no key"),
    ],
)
def test_what_the_record_says_of_the_key_holds(record: str, result: Result, why: str) -> None:
    (found,) = verified(signed(), record)
    assert found.result is result
    assert why in found.reason


def test_a_reason_of_the_librarys_own_shows_nothing_of_python() -> None:
    (found,) = verified(signed().replace(b"q=dns/txt", b"q=dns/xyz"))
    assert (found.result, found.reason) == (Result.PERMERROR, "q= does not name dns/txt")
    (found,) = verified(signed().replace(b"v=1", b"v=2"))
    assert (found.result, found.reason) == (Result.PERMERROR, "v= value is not 1")


@pytest.mark.parametrize("ways", [b"dns/txt:https/jwk", b"https/jwk : dns/txt"])
def test_further_ways_to_ask_for_a_key_are_ignored(ways: bytes) -> None:
    """RFC 6376 3.5."""
    mail = signed(include_headers=[b"from"]).replace(b"q=dns/txt", b"q=" + ways)
    (found,) = verified(mail)
    assert (found.result, found.reason) == (Result.FAIL, "the signature does not fit the header")


@pytest.mark.parametrize("blanks", [b" ", b"\t ", b"  "])
def test_blanks_before_a_colon_break_no_relaxed_signature(blanks: bytes) -> None:
    """RFC 6376 3.4.2, RFC 5322 4.5."""
    mail = signed()
    assert b"\r\nSubject:" in mail
    blanked = mail.replace(b"\r\nSubject:", b"\r\nSubject" + blanks + b":")
    assert verified(blanked)[0].result is Result.PASS
    assert verified(blanked.replace(b":", blanks + b":", 1))[0].result is Result.PASS  # the signature's own
    assert (
        verified(signed(canon=(b"simple", b"simple")).replace(b"\r\nSubject:", b"\r\nSubject :"))[0].result
        is Result.FAIL
    )
    assert verified(b"From :mallory@b.example\r\n" + mail)[0].result is Result.FAIL


def test_a_key_for_the_domain_itself_does_not_speak_for_a_subdomain() -> None:
    mail = signed(identity=b"ada@sub.a.example")
    assert verified(mail)[0].result is Result.PASS
    assert verified(mail, f"v=DKIM1; t=s; p={PAIR.public}")[0].result is Result.PERMERROR


@pytest.mark.parametrize(
    ("bits", "exponent", "result"),
    [(512, 65537, Result.POLICY), (16_384, 65537, Result.POLICY), (3072, (1 << 3000) + 1, Result.PERMERROR)],
)
def test_a_key_too_short_too_long_or_too_much_work_is_not_taken(bits: int, exponent: int, result: Result) -> None:
    """Threat 68, RFC 8301 3.2."""
    # Numbers that are no keys, as the library makes none such.
    numbers = rsa.RSAPublicNumbers(exponent, (1 << bits - 1) + 111).public_key()
    der = numbers.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    (found,) = verified(signed(), f"v=DKIM1; p={base64.b64encode(der).decode()}")
    assert found.result is result
    assert found.bits == (bits if result is Result.POLICY else 0)


def test_a_domain_is_compared_and_looked_up_by_its_a_labels() -> None:
    """RFC 8616 5."""
    (found,) = verified(signed(identity=b"x@a.example").replace(b"a.example;", "bänk.example;".encode()))
    assert (found.domain, found.result) == ("xn--bnk-qla.example", Result.FAIL)  # the name itself is signed


def test_an_unsigned_tail_makes_it_neutral_and_an_empty_one_does_not() -> None:
    mail = signed(length=True)
    assert verified(mail)[0].result is Result.PASS
    (found,) = verified(mail + b"P.S. click here\r\n")
    assert found.result is Result.NEUTRAL
    assert "17 octets" in found.reason
    (short,) = verified(mail.replace(b"Hello\r\n", b""))
    assert short.result is Result.PERMERROR


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        (b"v=1;", b"v=2;", Result.PERMERROR),
        (b"a=rsa-sha256", b"a=rsa-sha1", Result.POLICY),
        (b"a=rsa-sha256", b"a=rot13", Result.PERMERROR),
        (b"c=relaxed/relaxed", b"c=loose", Result.PERMERROR),
        (b"bh=", b"xx=", Result.PERMERROR),
        (b"from", b"xrom", Result.PERMERROR),
        (b"d=a.example", b"d=b.example", Result.PERMERROR),
        (b"v=1;", b"v=1; v=1;", Result.PERMERROR),
        (b"v=1;", b"v=1; x=1600000000;", Result.FAIL),
        (b"v=1;", b"v=1; l=-1;", Result.PERMERROR),
        (b"v=1;", b"v=1; l=;", Result.PERMERROR),
        (b"v=1;", b"v=1; x=" + b"9" * 5000 + b";", Result.PERMERROR),
        (b"v=1;", b"v=1; i=a.example;", Result.PERMERROR),
        (b"d=a.example", b"d=", Result.PERMERROR),
        (b"d=a.example", b"d=\xff.example", Result.PERMERROR),
    ],
)
def test_a_field_that_is_no_good_signature_falls(old: bytes, new: bytes, result: Result) -> None:
    mail = signed()
    assert old in mail
    field, _, rest = mail.partition(b"From: Ada")
    (found,) = verified(field.replace(old, new) + b"From: Ada" + rest)
    assert found.result is result
    assert found.reason


def test_ten_signatures_are_looked_at() -> None:
    field, _, rest = signed().partition(b"From: Ada")
    assert len(verified(field * 12 + b"From: Ada" + rest)) == dkim.SIGNATURES


def test_a_header_with_a_line_that_is_no_field_is_not_read() -> None:
    assert dkim.read(b"DKIM-Signature: v=1\r\nno field\r\n\r\n") is None
    assert dkim.read(b" folded\r\n\r\n") is None


@pytest.mark.parametrize("tags", ["b=", "b=a; bh=", "bh=a; b=a; h=", "h=from; b"])
def test_no_run_of_blanks_costs_more_than_reading_it(tags: str) -> None:
    """Expressions that go back over blanks would take minutes here; the time limit of the tests would tell."""
    blanks = "\r\n ".join(["\t" * 60] * 3000)
    head = f"DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; {tags}{blanks}!\r\nFrom: a@a.example\r\n\r\n"
    assert verified(head.encode())[0].result is Result.PERMERROR


@pytest.mark.parametrize("blanks", [b"", b" ", b"\r\n\t", b" \r\n "])
def test_the_signature_itself_is_hashed_without_its_b(blanks: bytes) -> None:
    value = b" a=1;" + blanks + b"b" + blanks + b"=" + blanks + b"QUJD\r\n RA==;bh=keep"
    assert unsigned(value) == b" a=1;" + blanks + b"b" + blanks + b"=;bh=keep"


BODIES = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\r\n\r\n", b"b c  "]), max_size=12).map(b"".join)
BREAKS = st.sampled_from([b"", b" ", b"x", b"\r\n"])


@pytest.mark.parametrize("canon", [(b"relaxed", b"relaxed"), (b"relaxed", b"simple"), (b"simple", b"simple")])
@settings(deadline=None, max_examples=examples(60))
@given(BODIES, BREAKS, st.integers(0, 40))
def test_what_we_say_is_what_dkimpy_says(canon: tuple[bytes, bytes], text: bytes, added: bytes, at: int) -> None:
    body = text + b"\r\n"
    mail = signed(body, canon=canon)
    start = len(mail) - len(body)
    mail = mail[: start + min(at, len(body) - 2)] + added + mail[start + min(at, len(body) - 2) :]
    try:
        theirs = dkimpy.DKIM(mail).verify(dnsfunc=lambda name, timeout: f"v=DKIM1; p={PAIR.public}".encode())
    except dkimpy.DKIMException:
        theirs = False
    now = int(datetime.now(UTC).timestamp())
    assert (verified(mail, now=now)[0].result is Result.PASS) == theirs
