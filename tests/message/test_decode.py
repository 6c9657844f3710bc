"""Transfer encodings and charsets: each plausible reading, no exception (threats 51, 62)."""

import base64
import binascii
from random import Random

import pytest
from tests.message.mails import EXE, in_base64, mail, multipart, take_apart

from gatepost.message import decode
from gatepost.message.anatomy import Symbol
from gatepost.message.headers import word_fault


def readings(raw: bytes, encoding: str) -> list[bytes]:
    return [reading.data for reading in decode.transfer(raw, encoding)]


def faults(raw: bytes, encoding: str) -> tuple[Symbol, ...]:
    return decode.transfer(raw, encoding)[0].faults


def test_base64_is_sound_exactly_where_the_strict_standard_decoder_finds_it_so() -> None:
    random = Random(2045)
    for _ in range(4000):
        raw = bytearray(base64.b64encode(random.randbytes(random.randrange(30))))
        for _ in range(random.randrange(3)):
            raw[random.randrange(len(raw) + 1) :] = random.choices(b"AQgwZ9+/==-_ \x80\r\n", k=random.randrange(6))
        try:
            expected = binascii.a2b_base64(raw.translate(None, b"\r\n"), strict_mode=True)
        except binascii.Error:
            with pytest.raises(binascii.Error):
                decode.sound_base64(bytes(raw))
        else:
            assert decode.sound_base64(bytes(raw)) == expected


def test_sound_encodings_have_one_reading_and_no_fault() -> None:
    data = bytes(range(256)) * 9
    assert decode.transfer(in_base64(data), "base64") == [decode.Reading("base64", data)]
    assert decode.transfer(base64.encodebytes(data), "base64") == [decode.Reading("base64", data)]
    assert readings(binascii.b2a_qp(b"a=b\xe4"), "quoted-printable") == [b"a=b\xe4"]
    assert readings(b"=3D= \r\n=C3", "quoted-printable") == [b"=\xc3"]
    assert readings(b"x", "8bit") == [b"x"]


@pytest.mark.parametrize("size", [300_000, 300_001, 300_002])
def test_a_large_body_is_decoded_where_it_lies(size: int) -> None:
    data = (bytes(range(253)) * (size // 253 + 1))[:size]
    for raw in (in_base64(data), base64.b64encode(data)):
        body = memoryview(b"ab" + raw + b"cd")[2:-2]
        assert decode.base64_readings(body) == [decode.Reading("base64", data)]
        assert decode.base64_readings(memoryview(raw[:-400] + b"!" + raw[-400:]))[0].faults == (Symbol.BASE64_BAD,)
        assert len(decode.base64_readings(memoryview(raw[:100] + b"=" + raw[100:]))) > 1


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"ZXZp!bC5leGU=", b"evil.exe"),
        (b"ZX Zp\tbC5leGU=\r\n", b"evil.exe"),
        (b"ZXZpbC5leGU", b"evil.exe"),
        (b"ZXZpbC5leGU=A", b"evil.exe"),
        (b"ZXZpbA==LmV4ZQ==", b"evil.exe"),
        (b"ZXZpbC5leGU=ZXZp", b"evil.exeevi"),
        (b"Z=XZpbC5leGU=", b"evil.exe"),
        (b"\xffZXZpbC5leGU=", b"evil.exe"),
        (b"====", b""),
        (b"", b""),
        (b"A", b""),
    ],
)
def test_threat_51_base64_with_junk_or_padding_inside_is_read_in_each_way(raw: bytes, data: bytes) -> None:
    assert data in readings(raw, "base64")


def test_threat_51_text_called_base64_is_also_read_as_it_stands() -> None:
    assert b"Good day, dear Sir!" in readings(b"Good day, dear Sir!", "base64")
    assert faults(b"Good day, dear Sir!", "base64") == (Symbol.BASE64_BAD,)


@pytest.mark.parametrize(
    "value", [b" base64 ", b'"base64"', b"BASE64;", b"base64 (comment)", b"x-base64", b"base64, 7bit"]
)
def test_threat_51_a_misspelled_encoding_is_still_tried(value: bytes) -> None:
    assert "base64" in decode.encodings(value)
    found = take_apart(mail(b"Content-Transfer-Encoding: " + value + b"\r\nContent-Type: a/b\r\n\r\n" + in_base64(EXE)))
    assert EXE in [part.head for part in found.parts]


def test_threat_51_undeclared_base64_and_unknown_encodings_are_decoded_too() -> None:
    for encoding in (b"7bit", b"x-wondrous"):
        head = b"Content-Type: a/b; name=x.bin\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
        found = take_apart(mail(head + in_base64(EXE)))
        assert [part.head == EXE for part in found.parts] == [False, True]
        assert found.parts[1].hidden


def test_threat_51_two_encodings_are_both_taken() -> None:
    head = b"Content-Type: a/b\r\nContent-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    found = take_apart(mail(head + b"ZXZpbC5leGU="))
    assert {part.head for part in found.parts} == {b"ZXZpbC5leGU=", b"evil.exe"}
    assert Symbol.HEADER_DUPLICATE in {defect.symbol for defect in found.defects}


def test_broken_quoted_printable_is_read_and_told() -> None:
    assert faults(b"a=XX", "quoted-printable") == (Symbol.QP_BAD,)
    assert readings(b"a=XX", "quoted-printable") == [b"a=XX"]


def uuencoded(data: bytes) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 evil.exe\n" + b"".join(lines) + b"`\nend\n"


def yencoded(data: bytes) -> bytes:
    out = bytearray()
    for octet in data:
        value = (octet + 42) & 255
        out += bytes([61, (value + 64) & 255]) if value in (0, 10, 13, 61) else bytes([value])
    return b"=ybegin line=128 size=%d name=evil.exe\r\n" % len(data) + bytes(out) + b"\r\n=yend size=1\r\n"


def binhexed(data: bytes) -> bytes:
    raw = b"\x08evil.exe\0APPLMACS\0\0" + len(data).to_bytes(4, "big") + bytes(4) + b"\0\0" + data + b"\0\0"
    packed = raw.replace(b"\x90", b"\x90\0")
    alphabet = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
    usual = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = base64.b64encode(packed).rstrip(b"=").translate(bytes.maketrans(usual, alphabet))
    return b"(This file must be converted with BinHex 4.0)\r\n\r\n:" + text + b":\r\n"


@pytest.mark.parametrize("encode", [uuencoded, yencoded, binhexed])
def test_threat_51_files_inside_a_text_are_parts(encode) -> None:  # type: ignore[no-untyped-def]
    found = take_apart(mail(b"Content-Type: text/plain\r\n\r\nSee this:\r\n" + encode(EXE) + b"\r\nbye"))
    inside = found.parts[1]
    assert (inside.head, inside.names, inside.attachment) == (EXE, ("evil.exe",), True)
    assert inside.sniffed == "application/x-dosexec"
    assert Symbol.TEXT_ENCODED in {defect.symbol for defect in found.defects}


def test_a_uuencoded_part_by_its_encoding_is_decoded() -> None:
    found = take_apart(mail(b"Content-Type: a/b\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n" + uuencoded(EXE)))
    assert (found.parts[0].head, found.parts[0].shown) == (EXE, "evil.exe")


@pytest.mark.parametrize(
    "text",
    [
        b"begin 644 x\r\n",
        b"=ybegin name=x\r\n=",
        b"(This file must be converted with BinHex 4.0)\r\n:!",
        b"we begin binhex",
    ],
)
def test_texts_that_only_look_encoded_do_no_harm(text: bytes) -> None:
    assert len(take_apart(mail(b"\r\n" + text)).parts) in (1, 2)


@pytest.mark.parametrize(
    ("charset", "raw", "shown"),
    [
        ("utf-8", b"\xc3\xa4", "\u00e4"),
        ("utf-8", b"\xe4", "\ufffd"),
        ("utf-7", b"+AOQ-", "\u00e4"),
        ("utf-7", b"+2D3eAA-", "\U0001f600"),
        ("utf-7", b"a+2AA-b", "a\ufffdb"),
        ("utf-16", b"\xff\xfe\xe4\0", "\u00e4"),
        ("iso-2022-jp", b'\x1b$B$"\x1b(B', "\u3042"),
        ("x-unknown", b"\xe4", "\u00e4"),
        ("", b"\x81", "\ufffd"),
        ("idna", b"xn--a", "xn--a"),
        ("iso-8859-8-i", b"\xf9\xec\xe5\xed", "\u05e9\u05dc\u05d5\u05dd"),
        ("windows-874", b"\xa1", "\u0e01"),
        ("gb2312", b"\xe9F", "\u9555"),
        ("us-ascii", b"\xfe\xff\0a", "a"),
    ],
)
def test_threat_62_texts_are_decoded_with_replacement(charset: str, raw: bytes, shown: str) -> None:
    assert decode.text(raw, charset) == shown


@pytest.mark.parametrize(
    ("charset", "raw", "fault"),
    [
        ("utf-8", b"\xc3\xa4", None),
        ("utf-8", b"\xe4", Symbol.CHARSET_BAD),
        ("utf-16", b"a", Symbol.CHARSET_BAD),
        ("x-nonesuch", b"a", Symbol.CHARSET_UNKNOWN),
        ("shift_jis", b"\x87", Symbol.CHARSET_BAD),
        ("iso-2022-jp", b"\x1b$B\x87\x40\x1b(B", Symbol.CHARSET_BAD),
        ("us-ascii", b"\xe4", None),
    ],
)
def test_a_text_that_does_not_fit_its_charset_is_told(charset: str, raw: bytes, fault: Symbol | None) -> None:
    assert decode.charset_fault(raw, charset) == fault


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        ("iso-8859-8-i", b"\xf9\xec\xe5\xed"),  # whatever is written in Hebrew
        ("windows-874", b"\xa1"),
        ("gb2312", b"\xe9F"),  # GBK
        ("ks_c_5601-1987", b"\x8cc"),  # UHC
        ("shift_jis", b"\x87\x40"),  # a number in a circle, as in all of these
        ("euc-jp", b"\xad\xa1"),
        ("iso-2022-jp", b"\x1b$B-!\x1b(B"),
        ("big5", b"\xa3\xe1"),  # the sign of the euro
        ("windows-1252", b"\x9d"),
        ("unknown-8bit", b"\xe4"),  # RFC 1428 3
        ("X-UNKNOWN", b"\xe4"),
        ("utf-8", "\u00c7a va tr\u00e8s bien, \u00e0 bient".encode() + b"\xc3..."),  # cut in two
        ("gbk", b"\xd6\xd0\xce\xc4\xd6\xd0\xce\xc4\xd6"),
    ],
)
def test_what_honest_mail_programs_write_fits_its_charset(charset: str, raw: bytes) -> None:
    body = b"Content-Type: text/plain; charset=" + charset.encode() + b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    assert not take_apart(mail(body + raw + b"\r\n")).defects
    assert not word_fault(b"=?" + charset.encode() + b"?B?" + base64.b64encode(raw) + b"?=")


@pytest.mark.parametrize("raw", [b"caf\xe9", b"\xe9t\xe9 \xc3\xa9", b"\xf9\xd9"])
def test_a_text_of_another_charset_does_not_fit_by_a_few_octets_that_do(raw: bytes) -> None:
    assert decode.charset_fault(raw, "utf-8") == Symbol.CHARSET_BAD


@pytest.mark.parametrize("data", [b"ab", b"abcde", b"a" * 100])
def test_base64_that_lacks_but_its_padding_is_no_fault(data: bytes) -> None:
    (found,) = decode.transfer(base64.b64encode(data).rstrip(b"="), "base64")
    assert (found.data, found.faults) == (data, ())


@pytest.mark.parametrize("name", [b"8-bit", b"8bits", b"7-Bit", b"8 bit"])
def test_careless_names_of_no_encoding_are_known(name: bytes) -> None:
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + name + b"\r\n\r\n"
    assert not take_apart(mail(head + b"Hello\r\n")).defects


def test_octets_above_127_without_an_encoding_are_told() -> None:
    symbols = {defect.symbol for defect in take_apart(mail(b"\r\n\xe4")).defects}
    assert symbols == {Symbol.BODY_8BIT}
    assert not take_apart(mail(b"Content-Transfer-Encoding: 8bit\r\n\r\n\xe4")).defects


def test_a_container_in_base64_is_read_both_ways() -> None:
    inner = multipart(b"Content-Disposition: attachment; filename=evil.exe\r\n\r\nx")
    head, _, body = inner.partition(b"\r\n\r\n")
    found = take_apart(mail(head + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + in_base64(body)))
    assert "evil.exe" in [part.shown for part in found.parts]
    assert Symbol.CTE_WRONG in {defect.symbol for defect in found.defects}
