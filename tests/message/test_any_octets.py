"""Any octets are a mail: nothing raises, everything ends in time (threats 54, F7)."""

import bz2
import gzip
import lzma
import re
import time
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.message.documents import cabinet, compound, native, onenote, records, rtf
from tests.message.mails import (
    EXE,
    TESTDATA,
    attachment,
    mail,
    multipart,
    rar5,
    sevenzipped,
    take_apart,
    tarred,
    tnef,
    tnef_properties,
    zipped,
)
from tests.message.test_foreign import BCJ2, RAR3, SOLID_RAR5
from tests.message.test_office import EXE_STREAM, PDF
from tests.message.test_tnef import LONG_NAME, NESTED, RTF_RUNS

from gatepost.message import decode, headers, links, names, pdf, wrapped
from gatepost.message.archive import Unpacker
from gatepost.message.reading import skim
from gatepost.message.words import words
from gatepost.settings import Limits

WORDS = [
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b'Content-Type: multipart/digest; boundary="b"\r\n',
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: text/html; charset=utf-16\r\n",
    b"Content-Type: text/calendar\r\n",
    b"Content-Type: application/pkcs7-mime\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Transfer-Encoding: x-uuencode\r\n",
    b"Content-Disposition: attachment; filename*0*=utf-8''a%",
    b'; filename="a.zip',
    b"Subject: =?utf-8?B?w5w?= =?x?Q?=",
    b"--b\r\n",
    b"--b--\r\n",
    b"--bb\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"begin 644 x\r\n",
    b"=ybegin line=1 size=1 name=x\r\n",
    b"(This file must be converted with BinHex 4.0)\r\n:",
    b"ATTACH;ENCODING=BASE64:",
    b"<a href=http://[::1]/>",
    b"hxxp://a[.]b http://1.2.3.4.5 http://%00/ http://\xff/",
    b"PK\x03\x04",
    b"TVqQAAMAAAAEAAAA",
    b"=",
    b"=3D=\r\n",
    b"\0",
    b"\xff",
]
OCTETS = st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=12)), max_size=25).map(b"".join)
QUICK = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
FILES = {"a/evil.exe": EXE, "b.zip": zipped({"c": b"d"})}
PACKED = zlib.compress(b"3 0 <</F(evil.exe)/EF<</F 12 0 R>>>>")
RICH = (0x1009, 0x102, bytes.fromhex(RTF_RUNS))
SHORTS = (0x1234, 0x1003, (2).to_bytes(4, "little") + bytes(8))
ARCHIVES = {
    "zip": zipped(FILES),
    "rar": rar5(b"evil.exe", EXE),
    "rar3": RAR3,
    "solid rar": SOLID_RAR5,
    "7z": sevenzipped(FILES),
    "bcj2": BCJ2,
    "tar": tarred(FILES),
    "gz": gzip.compress(tarred(FILES)),
    "bz2": bz2.compress(EXE),
    "xz": lzma.compress(EXE),
    "zst": zstandard.compress(EXE),
    "cab": cabinet(b"evil.exe", EXE),
    "tnef": tnef(b"evil.exe", EXE),
    "message in tnef": tnef(
        b"a.txt",
        EXE,
        tnef_properties(SHORTS, LONG_NAME, (0x3701, 0x0D, NESTED + tnef(b"b.exe", EXE)), attached=True),
        tnef_properties((0x1000, 0x1F, "http://evil.com/".encode("utf-16-le")), RICH),
    ),
    "msg": compound({f"__substg1.0_{RICH[0]:04X}{RICH[1]:04X}": RICH[2], "__substg1.0_1000001F": bytes(9)}),
    "onenote": onenote(EXE),
    "pdf": PDF,
    "packed pdf": b"%PDF-1.7\n" + EXE_STREAM + b"3 0 obj <</Type/ObjStm>>\nstream\n" + PACKED + b"\nendstream",
    "rtf": rtf(b"Package", native(b"a.exe", EXE)[4:]),
    "doc": compound({"WordDocument": bytes(20), "Macros/VBA/dir": b"x", "\x01Ole10Native": native(b"a.exe", EXE)}),
    "xls": compound({"Workbook": records((0x809, bytes(16)), (0x85, bytes(9)), (0x0A, b""))}),
}


@QUICK
@given(OCTETS)
def test_any_octets_are_taken_apart(data: bytes) -> None:
    found = take_apart(data)
    assert found.size == len(data)
    assert found.parts
    assert [part.index for part in found.parts] == list(range(len(found.parts)))
    assert all(part.parent < part.index for part in found.parts)
    assert all(0 <= part.start <= part.end <= len(data) for part in found.parts if part.start >= 0)
    assert 0 <= found.header_end <= len(data)


@QUICK
@given(OCTETS, st.sampled_from([b"", b"Content-Type: text/html; charset=utf-7\r\n\r\n", WORDS[0] + b"\r\n--b\r\n"]))
def test_any_octets_are_skimmed_for_their_words(data: bytes, head: bytes) -> None:
    assert all(word and '"' not in word and not word.isspace() for word in words(skim(head + data, Limits())))


@QUICK
@given(st.binary(max_size=400))
def test_any_field_any_charset_any_encoding_is_read(raw: bytes) -> None:
    headers.readable(raw)
    headers.sent(raw)
    assert len(names.names([raw, b"attachment; filename=" + raw], [b"a/b; name*=" + raw]).all) < 200
    names.normal([raw.decode("latin-1")])
    decode.text(raw, raw[:9].decode("latin-1"))
    for text in (decode.text(raw, "utf-7"), *names.names([b"attachment; filename*=utf-7''" + raw], []).all):
        text.encode()
    for encoding in ("base64", "quoted-printable", "x-uuencode", "x-odd"):
        assert decode.transfer(raw, encoding)
    wrapped.cms(raw)
    list(pdf.urls(b"/URI(" + raw + b")stream\n\x78" + raw))
    links.host_of("http://" + raw.decode("utf-8", "replace"))


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4)


def odd_archives(kind: str, changes: list[tuple[int, bytes]], cut: int) -> None:
    content = bytearray(ARCHIVES[kind])
    for at, octets in changes:
        at %= min(len(content), 8192)
        content[at : at + len(octets)] = octets
    del content[len(content) - cut % len(content) :]
    unpacked = Unpacker(Limits())(bytes(content), f"a.{kind}", time.monotonic() + 5)
    assert all(re.fullmatch(r"[^\r\n\0]*", text) for text in unpacked.problems)


@settings(QUICK, max_examples=examples(300))
@given(st.sampled_from(sorted(ARCHIVES)), CHANGES, st.one_of(st.just(0), st.integers(0, 3000)))
def test_archives_with_any_octets_changed_are_opened_or_told(
    kind: str, changes: list[tuple[int, bytes]], cut: int
) -> None:
    odd_archives(kind, changes, cut)


@pytest.mark.soak
@settings(deadline=None, max_examples=30_000, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(ARCHIVES)), CHANGES, st.one_of(st.just(0), st.integers(0, 3000)))
def test_archives_with_any_octets_changed_are_opened_or_told_at_length(
    kind: str, changes: list[tuple[int, bytes]], cut: int
) -> None:
    odd_archives(kind, changes, cut)


@QUICK
@given(st.integers(0, 3000))
def test_a_mail_cut_anywhere_is_taken_apart(at: int) -> None:
    whole = mail(multipart(multipart(b"\r\nHello", boundary=b"in"), attachment(b"a.zip", ARCHIVES["zip"])))
    assert take_apart(whole[:at]).parts


def public() -> list[Path]:
    return sorted(path for path in (TESTDATA / "mime-mime4j/files").rglob("*") if path.is_file())


@pytest.mark.conformance
def test_the_odd_mails_of_mime4j_are_taken_apart() -> None:
    found = public()
    assert len(found) > 390, f"the mails are not at {TESTDATA}; set GATEPOST_TESTDATA"
    for path in found:
        data = path.read_bytes()
        assert take_apart(data).parts, path
        cr_lf = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        assert take_apart(cr_lf).parts, path


@pytest.mark.conformance
@pytest.mark.parametrize("folder", ["easy-ham-1", "spam-1"])
def test_real_mails_are_taken_apart_and_few_are_unscannable(folder: str) -> None:
    paths = sorted((TESTDATA / "sa-public-corpus" / folder).iterdir())
    assert len(paths) > 400, f"the mails are not at {TESTDATA}; set GATEPOST_TESTDATA"
    told = sum(bool(take_apart(path.read_bytes()).unscannable) for path in paths)
    assert told <= len(paths) // 1000
