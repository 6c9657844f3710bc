"""PDFs that are locked and open without a password: what they lead to, and what they carry."""

import base64
from itertools import islice

import pytest
from tests.message.mails import attachment, holding, mail, take_apart

from gatepost.message.pdf_lock import _rc4_octets, unlocked

# Each has a link to http://evil.com/x(1) and carries run.exe; by qpdf, cut to what matters.
LOCKED = {
    "RC4": (
        "JVBERi0xLjcKMiAwIG9iago8PCAgL0VGIDw8IC9GIDUgMCBSIC9VRiA1IDAgUiA+PiAvRiA8OTFmYzQ3Y2VhNzA5ODk+IC9UeXBlIC9GaWxlc3Bl"
        "YyAvVUYgPDkxZmM0N2NlYTcwOTg5PiA+PgplbmRvYmoKNSAwIG9iago8PCAgL1R5cGUgL0VtYmVkZGVkRmlsZSAvTGVuZ3RoIDE1IC9GaWx0ZXIg"
        "L0ZsYXRlRGVjb2RlID4+CnN0cmVhbQoce3Rfmiz3ID+XHJ/hu5cKZW5kc3RyZWFtCmVuZG9iago3IDAgb2JqCjw8IC9BIDw8IC9TIC9VUkkgL1VS"
        "SSA8ZjdiZmU5MTZjNzdjNDA1OTQ4YzU2Mzg5Nzg5YjYxNmJhMmQ1NWM4MD4gPj4gL1JlY3QgWyAwIDAgOSA5IF0gL1N1YnR5cGUgL0xpbmsgL1R5"
        "cGUgL0Fubm90ID4+CmVuZG9iago5IDAgb2JqCjw8IC9GaWx0ZXIgL1N0YW5kYXJkIC9MZW5ndGggMTI4IC9PIDwyM2Q1MWJiODA4MWFiZGU0MTJk"
        "NTFkYmY5MDE3Y2NhYTMxZTc3NjJkNDU3MGRhYmUyNGIzMmUyNzRlNmJlMTA4PiAvUCAtMTAyOCAvUiAzIC9VIDw0MTJiMTNlOTUxYTM2ODAxYWJh"
        "OTBjMmJkYzBkYjg0MTAwMjE0NDY5OTBiOWU0MTE0MDcxYTRkOTEwNDk4NGMxPiAvViAyID4+CmVuZG9iagp0cmFpbGVyIDw8IC9Sb290IDEgMCBS"
        "IC9TaXplIDEwIC9JRCBbPDZmODc4OTRmMGI2M2MxNzM2MzRiYjY3ZjM3NGVjMDNlPjw2Zjg3ODk0ZjBiNjNjMTczNjM0YmI2N2YzNzRlYzAzZT5d"
        "IC9FbmNyeXB0IDkgMCBSID4+Cg=="
    ),
    "AES-128": (
        "JVBERi0xLjcKMiAwIG9iago8PCAgL0VGIDw8IC9GIDUgMCBSIC9VRiA1IDAgUiA+PiAvRiA8ZWUzMmUxMmNlYjc3NTcxMmI0YjIzZTViNWI1ZDcz"
        "MDQ0NTY4M2E5NjlkNzg0NTRiZWNiZGNkMDlkOTY3MzEwYz4gL1R5cGUgL0ZpbGVzcGVjIC9VRiA8NzI1YTNiZWI1MTFlZjlmZWYzMzg0MGM3ZTkx"
        "ZmY0YTFhMGJiOWFmMzRmNzY1OWViNGM1YTJjNGEyMzNhMmZhZT4gPj4KZW5kb2JqCjUgMCBvYmoKPDwgIC9UeXBlIC9FbWJlZGRlZEZpbGUgL0xl"
        "bmd0aCAzMiAvRmlsdGVyIC9GbGF0ZURlY29kZSA+PgpzdHJlYW0KXDZJyKt6GmVAUloNibXfahQDH4e+GHKO7AIVbZG0DkQKZW5kc3RyZWFtCmVu"
        "ZG9iago3IDAgb2JqCjw8IC9BIDw8IC9TIC9VUkkgL1VSSSA8Y2Q5MmIxNDJhMjhhZjdlZGJkZjVhN2RlYjg0OTlmMDY2YmI5YWJiMzcyZTQyODdj"
        "YzNhZWFiNGQ2NjYyYjUxYTVmNmNjM2YyNTRiZDk4MzNiMGZjMjc4MzI1ZGVlZTMwPiA+PiAvUmVjdCBbIDAgMCA5IDkgXSAvU3VidHlwZSAvTGlu"
        "ayAvVHlwZSAvQW5ub3QgPj4KZW5kb2JqCjkgMCBvYmoKPDwgL0NGIDw8IC9TdGRDRiA8PCAvQXV0aEV2ZW50IC9Eb2NPcGVuIC9DRk0gL0FFU1Yy"
        "IC9MZW5ndGggMTYgPj4gPj4gL0ZpbHRlciAvU3RhbmRhcmQgL0xlbmd0aCAxMjggL08gPDIzZDUxYmI4MDgxYWJkZTQxMmQ1MWRiZjkwMTdjY2Fh"
        "MzFlNzc2MmQ0NTcwZGFiZTI0YjMyZTI3NGU2YmUxMDg+IC9PRSA8PiAvUCAtMTAyOCAvUiA0IC9TdG1GIC9TdGRDRiAvU3RyRiAvU3RkQ0YgL1Ug"
        "PDQxMmIxM2U5NTFhMzY4MDFhYmE5MGMyYmRjMGRiODQxMDAyMTQ0Njk5MGI5ZTQxMTQwNzFhNGQ5MTA0OTg0YzE+IC9VRSA8PiAvViA0ID4+CmVu"
        "ZG9iagp0cmFpbGVyIDw8IC9Sb290IDEgMCBSIC9TaXplIDEwIC9JRCBbPDZmODc4OTRmMGI2M2MxNzM2MzRiYjY3ZjM3NGVjMDNlPjw2Zjg3ODk0"
        "ZjBiNjNjMTczNjM0YmI2N2YzNzRlYzAzZT5dIC9FbmNyeXB0IDkgMCBSID4+Cg=="
    ),
    "AES-256": (
        "JVBERi0xLjcKMiAwIG9iago8PCAgL0VGIDw8IC9GIDUgMCBSIC9VRiA1IDAgUiA+PiAvRiA8NDAxNjA0ZDE5Njc1NTBhMGM4ZTA2MTY5ZjhjNGNl"
        "MjQ3OThlZDZkYmQ1NDQ3NjhiODgxMDFiOTIwNjljOGZiZj4gL1R5cGUgL0ZpbGVzcGVjIC9VRiA8ZmU4YWY4YTEyNTM0MGJjMDVlZGE3ODEwMDUx"
        "NjRiZjcwYzkwYmY0MDAxYzIzYzU3Y2ZjNTM0ODQ1NjMwZWYzOD4gPj4KZW5kb2JqCjUgMCBvYmoKPDwgIC9UeXBlIC9FbWJlZGRlZEZpbGUgL0xl"
        "bmd0aCAzMiAvRmlsdGVyIC9GbGF0ZURlY29kZSA+PgpzdHJlYW0K+UzMrfkRtM+4OZ14rT3nREfxmKt9zW6c9WJCAi6m2q0KZW5kc3RyZWFtCmVu"
        "ZG9iago3IDAgb2JqCjw8IC9BIDw8IC9TIC9VUkkgL1VSSSA8NWE3ODkyYmI1NGEyZWZmMzZkMDdhOGU0NDQ5NmI4ZDVmMTQ1ZmIyNWI2ODMyN2Uy"
        "Mjk1N2Q3NzJmMjc5ODZlNmJmYjNkOGJhNGY1OTA4OGVkYjhkYmZlOGQxMGY5ZGIwPiA+PiAvUmVjdCBbIDAgMCA5IDkgXSAvU3VidHlwZSAvTGlu"
        "ayAvVHlwZSAvQW5ub3QgPj4KZW5kb2JqCjkgMCBvYmoKPDwgL0NGIDw8IC9TdGRDRiA8PCAvQXV0aEV2ZW50IC9Eb2NPcGVuIC9DRk0gL0FFU1Yz"
        "IC9MZW5ndGggMzIgPj4gPj4gL0ZpbHRlciAvU3RhbmRhcmQgL0xlbmd0aCAyNTYgL08gPDI0ZGFkZGI0NDZlYWJmNTgzMzY1MWRmZTcwN2Y3MDE2"
        "NmUyMzYwZDRmMWU2OTQ4ZmQ4NDM5N2FhNDMyZDkyYTVkNDk2Y2U0ZjI5NTNjNTU1OTAzZmQwMzE0ZDM0MjVjMj4gIC9QIC0xMDI4ICAvUiA2IC9T"
        "dG1GIC9TdGRDRiAvU3RyRiAvU3RkQ0YgL1UgPGQ1MTVkYjc1YTkxYjFiNWU0MzJkZjRkZmY2YmQ2MWZmYzg4MzQxMGI2ZWU0MTA4OTAwZjczZGYx"
        "N2MxNzhiNDM1MWQxN2E0ZWE0Mjc5OWU5ZTg5OWI4ODMxNTE3YWNmYj4gL1VFIDxkMjEzYmIxNDNlMTZjZGU2ZTg3ZTQ1ZDc1MTA0NzVmMGI0MzEx"
        "ZWU1NDI1NDZkYjc5NDdlMzU0ZmMzZmNhZGExPiAvViA1ID4+CmVuZG9iagp0cmFpbGVyIDw8IC9Sb290IDEgMCBSIC9TaXplIDEwIC9JRCBbPDZm"
        "ODc4OTRmMGI2M2MxNzM2MzRiYjY3ZjM3NGVjMDNlPjw2Zjg3ODk0ZjBiNjNjMTczNjM0YmI2N2YzNzRlYzAzZT5dIC9FbmNyeXB0IDkgMCBSID4+"
        "Cg=="
    ),
}
DOCUMENTS = {name: base64.b64decode(text) for name, text in LOCKED.items()}


@pytest.mark.parametrize("lock", DOCUMENTS)
def test_threat_61_a_pdf_that_opens_without_a_password_is_read_like_any_other(lock: str) -> None:
    found = take_apart(mail(attachment(b"a.pdf", DOCUMENTS[lock])))
    assert [link.url for link in found.links] == ["http://evil.com/x(1)"]
    assert [(member.names, member.head) for member in found.parts[0].members] == [(("run.exe",), b"MZ evil")]
    assert (found.unscannable, found.encrypted) == ((), False)


@pytest.mark.parametrize("lock", DOCUMENTS)
def test_threat_56_files_in_a_pdf_that_takes_a_password_are_encrypted(lock: str) -> None:
    content = DOCUMENTS[lock]
    proof = content.index(b"/U <") + 4
    changed = content[:proof] + b"00" + content[proof + 2 :]
    assert unlocked(changed) == changed
    part = holding("a.pdf", changed)
    assert part.encrypted and part.members[0].encrypted


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"/Length 128", b"/Length 48"),
        (b"/CFM /AESV2", b"/CFM /AESV9"),
        (b"/UE <", b"/UE <00> /Un <"),
        (b"/P ", b"/P x"),
    ],
)
def test_locks_of_odd_makes_raise_nothing(old: bytes, new: bytes) -> None:
    for content in DOCUMENTS.values():
        assert take_apart(mail(attachment(b"a.pdf", content.replace(old, new)))).parts


def test_rc4_is_that_of_rfc_6229() -> None:
    assert bytes(islice(_rc4_octets(bytes(range(1, 17))), 16)).hex() == "9ac7cc9a609d1ef7b2932899cde41b97"
