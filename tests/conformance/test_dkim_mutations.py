"""OpenDKIM and Gatepost say the same of mails that were signed and then changed, as relays and forgers change them."""

from pathlib import Path

import dkim
import pytest
from tests.conformance.test_opendkim import PAIR, verdict
from tests.mailauth.post import envelope, long_txt, results

from gatepost.model.auth import Result

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

MAIL = (
    b"From: Bob <bob@served.example>\r\nTo: zoe@far.example\r\nSubject: Hello  there\r\n"
    b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nX-Note: a\r\nX-Note: b\r\n\r\n"
    b"Hello  there,\r\n \r\nline two \r\n\r\n"
)
CHANGES = {
    "nothing": (b"", b""),
    "a word": (b"line two", b"line too"),
    "blanks within a line": (b"Hello  there,", b"Hello there,"),
    "a tab": (b"Hello  there,", b"Hello \tthere,"),
    "blanks at the end of a line": (b"line two \r\n", b"line two\r\n"),
    "blanks before a line": (b"line two", b" line two"),
    "a blank line": (b"\r\n \r\n", b"\r\n\r\n"),
    "empty lines at the end": (b"line two \r\n\r\n", b"line two \r\n\r\n\r\n"),
    "no empty line at the end": (b"line two \r\n\r\n", b"line two \r\n"),
    "a letter of a field": (b"Subject: Hello", b"Subject: Hallo"),
    "a field's name in capitals": (b"Subject:", b"SUBJECT:"),
    "a folded field": (b"Subject: Hello  there", b"Subject: Hello\r\n\t there"),
    "blanks around a field": (b"Subject: Hello  there", b"Subject:   Hello  there "),
    "blanks before a colon": (b"Subject:", b"Subject :"),
    "a field more": (b"Subject:", b"X-More: c\r\nSubject:"),
    "another subject above": (b"DKIM-Signature:", b"Subject: other\r\nDKIM-Signature:"),
    "another subject below": (b"X-Note: a", b"Subject: other\r\nX-Note: a"),
    "another author above": (b"DKIM-Signature:", b"From: eve@evil.example\r\nDKIM-Signature:"),
    "a field less": (b"To: zoe@far.example\r\n", b""),
    "fields in another order": (b"X-Note: a\r\nX-Note: b", b"X-Note: b\r\nX-Note: a"),
    "a folded signature": (b"; d=", b";\r\n\td="),
    "a further way to ask": (b"q=dns/txt", b"q=dns/txt:http/x"),
    "a tag twice": (b"v=1;", b"v=1; v=1;"),
    "an unknown tag": (b"v=1;", b"v=1; y=2;"),
}


@pytest.mark.parametrize("form", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])
async def test_what_we_say_of_a_changed_mail_is_what_opendkim_says(tmp_path: Path, form: str) -> None:
    canonical = tuple(form.encode().split(b"/"))
    signed = dkim.sign(MAIL, b"protect", b"served.example", PAIR.private.encode(), canonicalize=canonical) + MAIL
    zone = {"protect._domainkey.served.example": [long_txt(f"v=DKIM1; p={PAIR.public}")]}
    unlike = []
    for name, (old, new) in CHANGES.items():
        assert old in signed, name
        mail = signed.replace(old, new, 1)
        (ours,) = (await results(mail, zone, envelope("bob@served.example"))).signatures
        if (ours.result is Result.PASS) != ("succeeded" in verdict(tmp_path, mail)):
            unlike.append((name, ours))
    assert unlike == []
