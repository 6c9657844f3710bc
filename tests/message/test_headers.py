"""Headers: any octets are read, none of them raise (libraries 14)."""

import pytest
from tests.message.mails import take_apart

from gatepost.message.anatomy import Header, Symbol
from gatepost.message.headers import SHOWN_MAX, readable, sent, split, summary, uncommented, unfold, words


def block(data: bytes, max_bytes: int = 10_000, max_fields: int = 100):  # type: ignore[no-untyped-def]
    return split(data, 0, len(data), max_bytes, max_fields)


def test_fields_keep_their_order_their_spelling_and_their_folds() -> None:
    found = block(b"Subject: a\r\n b\r\nsubJECT:c\r\nX:\r\n\r\nbody")
    assert found.fields == (Header(b"Subject", b" a\r\n b"), Header(b"subJECT", b"c"), Header(b"X", b""))
    assert found.body == 33
    assert found.faults == ()
    assert unfold(found.fields[0].value) == b"a b"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"A: b\r\n\r\nx", b"x"),
        (b"A: b\n\nx", b"x"),
        (b"A: b\n\r\nx", b"x"),
        (b"A: b\r\rx", b"x"),
        (b"A: b\n\nx\r\n\r\ny", b"x\r\n\r\ny"),
        (b"\r\nx", b"x"),
        (b"\nx", b"x"),
        (b"A: b\r\n", b""),
        (b"A: b", b""),
        (b"", b""),
    ],
)
def test_the_body_begins_behind_the_first_empty_line_whatever_the_line_ends(data: bytes, body: bytes) -> None:
    found = block(data)
    assert data[found.body :] == body
    assert found.faults == ()


def test_an_mbox_line_is_no_fault_and_another_line_without_colon_is() -> None:
    assert block(b"From ann Thu Jan  1\r\nA: b\r\n\r\n").faults == ()
    found = block(b"A: b\r\njunk\r\nC: d\r\n\r\n")
    assert (found.faults, found.junk, found.junk_fields) == ((Symbol.HEADER_SYNTAX,), 6, 1)
    assert [field.name for field in found.fields] == [b"A", b"C"]


def test_threat_54_a_header_beyond_the_limits_is_cut_and_told() -> None:
    assert block(b"A: b\r\n" * 200 + b"\r\nx", max_fields=100).faults == (Symbol.HEADER_LIMIT,)
    large = block(b"A: " + b"b" * 20_000 + b"\r\n\r\nx")
    assert large.faults == (Symbol.HEADER_LIMIT,)
    assert len(large.fields[0].value) < 10_001
    anatomy = take_apart(b"A: b\r\n" * 1001 + b"\r\nx")
    assert anatomy.unscannable == ("the header of part 0 is larger than is looked into",)
    assert anatomy.parts[0].text == b"x"


def test_threat_24_received_fields_can_be_counted() -> None:
    anatomy = take_apart(b"Received: a\r\nRECEIVED: b\r\nX-Received: c\r\n\r\n")
    assert anatomy.values(b"received") == [b" a", b" b"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b" plain ", "plain"),
        (b"=?utf-8?B?w5xi?= =?utf-8?B?ZXI=?=", "\u00dcber"),
        (b"=?utf-8?B?w5w=?= x =?utf-8?Q?a_b=3F?=", "\u00dc x a b?"),
        (b"=?iso-8859-1*de?Q?=E4?=", "\u00e4"),
        (b"=?bogus?Q?=E4?=", "\u00e4"),
        (b"=?utf-8?B?!!!?=", ""),
        (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        (b"a\r\n\tb\0c\x1bd", "a b c d"),
        (b"\xc3\xa4", "\u00e4"),
        (b"\xe4", "\u00e4"),
        (b"=?utf-7?Q?+AOQ-?=", "\u00e4"),
        (b"=?utf-7?Q?a+2AA-b?=", "a\ufffdb"),
        (b"x" * 600, "x" * SHOWN_MAX),
    ],
)
def test_threat_62_values_are_decoded_for_people_into_one_line(value: bytes, shown: str) -> None:
    assert readable(value) == shown


def test_words_of_one_charset_that_share_a_character_are_joined() -> None:
    assert words("=?utf-8?Q?=C3?= =?utf-8?Q?=9C?=") == "\u00dc"


@pytest.mark.parametrize(
    "codec", ["idna", "punycode", "rot13", "zlib", "hex", "undefined", "unicode_escape", "\0", "a" * 90]
)
def test_charsets_that_are_no_charsets_do_no_harm(codec: str) -> None:
    assert words(f"=?{codec}?Q?abc?=") in ("abc", f"=?{codec}?Q?abc?=")


@pytest.mark.parametrize(
    ("value", "when"),
    [
        (b" Fri, 20 Nov 2026 10:11:12 +0100 (CET)", 1_795_165_872_000),
        (b"20 Nov 26 09:11:12 GMT", 1_795_165_872_000),
        (b"", None),
        (b"yesterday", None),
        (b"Fri, 20 Nov 999999999999 10:11:12 +0100", None),
        (b"(((((", None),
        (b"\xff\xfe", None),
        (b" 1970-01-01T00:00:01Z", 1000),
        (b" 1970-01-01 01:00:01+01:00", 1000),
        (b" 1970-01-01 00:00:01", 1000),
    ],
)
def test_a_date_is_read_or_is_none(value: bytes, when: int | None) -> None:
    assert sent(value) == when


def test_a_summary_takes_the_first_of_doubled_fields() -> None:
    found = summary([Header(b"Subject", b" one"), Header(b"SUBJECT", b" two"), Header(b"To", b"x")], True)
    assert (found.subject, found.to, found.from_, found.sent, found.has_attachments) == ("one", "x", "", None, True)


@pytest.mark.parametrize("value", [b"(" * 50_000, b"@@@", b";;;:", b'"' * 9999, b"=?" * 50_000, b"=?a?q?" * 20_000])
def test_hostile_fields_are_summed_up(value: bytes) -> None:
    found = take_apart(b"To: " + value + b"\r\nSubject: " + value + b"\r\nDate: " + value + b"\r\n\r\n")
    assert len(found.summary.to) <= SHOWN_MAX
    assert found.summary.sent is None


@pytest.mark.parametrize(
    ("value", "bare"),
    [
        (b"(a) text/plain (b)", b" text/plain "),
        (b"(a(b)c)text", b"text"),
        (b"(\\)) text", b" text"),
        (b"(no end text", b"(no end text"),
        (b"no beginning) text", b"no beginning) text"),
        (b"(" * 50_000 + b"x" + b")" * 50_000 + b"text", b"text"),
    ],
)
def test_comments_are_taken_out_of_a_field_however_they_nest(value: bytes, bare: bytes) -> None:
    assert uncommented(value) == bare
