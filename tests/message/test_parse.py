"""The structure of mails: every plausible reading, within limits (threats 49-54, 64)."""

import binascii
import zlib
from contextlib import suppress

import msgspec
import pytest
from tests.message.documents import compound
from tests.message.mails import EXE, HEADER, LIMITS, attachment, in_base64, mail, multipart, take_apart, zipped
from tests.steps import steps

from gatepost.message.anatomy import Anatomy, Symbol
from gatepost.message.parse import dissect
from gatepost.message.reading import said
from gatepost.message.table import Heavy
from gatepost.settings import Limits

TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello"
EVIL = attachment(b"evil.exe", EXE)


def shown(anatomy: Anatomy) -> list[str]:
    return [part.shown for part in anatomy.parts if part.shown]


def symbols(anatomy: Anatomy) -> set[Symbol]:
    return {defect.symbol for defect in anatomy.defects}


def test_a_usual_mail_is_taken_apart_without_a_defect() -> None:
    inner = multipart(TEXT, b"Content-Type: text/html\r\n\r\n<p>Hello", boundary=b"in", kind=b"alternative")
    data = mail(multipart(inner, EVIL))
    found = take_apart(data)
    assert [(part.index, part.parent, part.depth, part.types[0]) for part in found.parts] == [
        (0, -1, 0, "multipart/mixed"),
        (1, 0, 1, "multipart/alternative"),
        (2, 1, 2, "text/plain"),
        (3, 1, 2, "text/html"),
        (4, 0, 1, "application/octet-stream"),
    ]
    assert (found.defects, found.unscannable, found.encrypted, found.sealed) == ((), (), False, False)
    assert [part.container for part in found.parts] == [True, True, False, False, False]
    assert [part.attachment for part in found.parts] == [False, False, False, False, True]
    assert not any(part.hidden for part in found.parts)
    assert found.summary.has_attachments
    assert (found.size, data[found.header_end : found.header_end + 7]) == (len(data), b"--limit")
    evil = found.parts[4]
    assert data[evil.start : evil.end].startswith(b"TVo")
    assert (evil.size, evil.head, evil.sniffed) == (len(EXE), EXE, "application/x-dosexec")
    assert found.parts[2].text == b"Hello"
    assert data[found.parts[2].start : found.parts[2].end] == b"Hello"


@pytest.mark.parametrize(
    ("content", "sniffed"), [(EXE, "application/x-dosexec"), (zipped({"evil.exe": EXE}), "application/zip")]
)
def test_a_file_that_is_called_a_text_is_looked_into(content: bytes, sniffed: str) -> None:
    head = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    (part,) = take_apart(mail(head + in_base64(content))).parts
    assert part.sniffed == sniffed
    assert [member.names for member in part.members] == ([] if content == EXE else [("evil.exe",)])


def test_a_mail_without_mime_is_one_text() -> None:
    found = take_apart(b"Subject: x\r\n\r\nHello")
    assert [(part.types, part.text, part.encoding, part.sniffed) for part in found.parts] == [
        (("text/plain",), b"Hello", "7bit", "")
    ]


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"x", b":", b"\0" * 100, b"\n" * 100, b"--", b"From "])
def test_odd_octets_are_a_mail_with_one_part(data: bytes) -> None:
    found = take_apart(data)
    assert len(found.parts) == 1
    assert found.size == len(data)


def test_an_anatomy_goes_through_msgpack_unchanged() -> None:
    found = take_apart(mail(multipart(TEXT, attachment(b"a.zip", zipped({"x.exe": EXE})))))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Anatomy) == found


# --- threat 49: doubled fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("swap", [False, True])
def test_threat_49_two_content_types_are_both_read(swap: bool) -> None:
    kind, _, body = multipart(EVIL).partition(b"\r\n\r\n")
    fields = [kind, b"Content-Type: text/plain"]
    head = b"\r\n".join(fields[::-1] if swap else fields)
    found = take_apart(mail(head + b"\r\n\r\n" + body))
    assert "evil.exe" in shown(found)
    assert {"multipart/mixed", "text/plain"} <= set(found.parts[0].types)
    assert any(part.text.startswith(b"--limit") for part in found.parts)
    assert Symbol.HEADER_DUPLICATE in symbols(found)


def test_threat_49_two_dispositions_give_both_names() -> None:
    head = (
        b"Content-Disposition: inline; filename=safe.txt\r\nContent-Disposition: attachment; filename=evil.exe\r\n\r\n"
    )
    assert {"safe.txt", "evil.exe"} <= set(take_apart(mail(head)).parts[0].names)


# --- threat 50: boundaries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "symbol"),
    [
        (multipart(TEXT, EVIL, close=False), Symbol.BOUNDARY_OPEN),
        (multipart(TEXT) + b"--limit\r\n" + EVIL, Symbol.HIDDEN_PART),
        (multipart(TEXT) + b"\r\n--other\r\n" + EVIL + b"--other--\r\n", Symbol.HIDDEN_PART),
        (multipart(TEXT).replace(b"\r\n\r\n", b"\r\n\r\n--pre\r\n" + EVIL + b"\r\n--pre--\r\n", 1), Symbol.HIDDEN_PART),
        (multipart(EVIL, boundary=b"b" * 2500), Symbol.BOUNDARY_BAD),
        (multipart(EVIL, boundary=b""), Symbol.BOUNDARY_BAD),
        (b"Content-Type: multipart/mixed\r\n\r\n--x\r\n" + EVIL + b"--x--", Symbol.BOUNDARY_MISSING),
        (b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--x\r\n" + EVIL + b"--x--", Symbol.BOUNDARY_NEVER),
        (b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--xy\r\n" + EVIL + b"--xy--", Symbol.BOUNDARY_BAD),
        (
            b"Content-Type: multipart/mixed; boundary=x; boundary=y\r\n\r\n--y\r\n" + EVIL + b"--y--",
            Symbol.BOUNDARY_BAD,
        ),
    ],
    ids=[
        "not closed",
        "behind the end",
        "in the epilogue",
        "in the preamble",
        "too long",
        "empty",
        "missing",
        "never",
        "prefix",
        "two",
    ],
)
def test_threat_50_parts_are_found_whatever_is_done_to_the_boundary(entity: bytes, symbol: Symbol) -> None:
    found = take_apart(mail(entity))
    assert "evil.exe" in shown(found)
    assert EXE in [part.head for part in found.parts]
    assert symbol in symbols(found)


@pytest.mark.parametrize(
    "parameter",
    [
        b"boundary=x",
        b'boundary="x"',
        b"BOUNDARY = x",
        b"boundary*=us-ascii''x",
        b"boundary*0=x",
        b'a="; b"; boundary=x',
        b"boundary=x (c)",
    ],
)
def test_threat_50_the_boundary_is_read_however_it_is_written(parameter: bytes) -> None:
    found = take_apart(mail(b"Content-Type: multipart/mixed; " + parameter + b"\r\n\r\n--x\r\n" + EVIL + b"--x--"))
    assert shown(found) == ["evil.exe"]


@pytest.mark.parametrize(
    "kind",
    [
        b"(a comment) multipart/mixed; boundary=limit",
        b"(one (within) another) multipart/mixed; boundary=limit",
        b"multipart/(a comment)mixed; boundary=limit",
        b"multipart(a comment)/mixed; boundary=limit",
        b"multipart/mixed; boundary(a comment)=limit",
        b" " * 300 + b"multipart/mixed; boundary=limit",
        (b" " * 70 + b"\r\n") * 4 + b" multipart/mixed; boundary=limit",
        b"\xc2\xa0multipart/mixed; boundary=limit",
        b'"multipart/mixed"; boundary=limit',
        b"; multipart/mixed; boundary=limit",
        b"multipart; boundary=limit",
        b"multipart/; boundary=limit",
        b"multipart/mixed boundary=limit",
        b"multipart/mixed, boundary=limit",
        b'multipart/mixed; boundary="=?utf-8?q?limit?="',
        b"multipart/mixed; boundary='limit'",
        b'multipart/mixed; x="; boundary=limit',
    ],
)
def test_threat_50_parts_are_found_however_the_type_is_written(kind: bytes) -> None:
    data = mail(b"Content-Type: " + kind + b"\r\n\r\n--limit\r\nX-First: 1\r\n" + EVIL + b"\r\n--limit--")
    assert "evil.exe" in shown(take_apart(data))


def test_threat_50_an_inner_boundary_that_begins_like_the_outer_one_gives_both_readings() -> None:
    inner = multipart(EVIL, boundary=b"limit2")
    found = take_apart(mail(multipart(inner, TEXT)))
    assert [part.shown for part in found.parts if not part.hidden] == ["", "", "evil.exe", ""]
    assert Symbol.BOUNDARY_BAD in symbols(found)


def test_boundaries_inside_lines_and_with_blanks_behind_are_told_apart() -> None:
    body = b"--b \t\r\n\r\nno --b here\r\n --b\r\n--b\r\n\r\ntwo\r\n--b-- \r\n"
    found = take_apart(mail(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body))
    assert [part.text for part in found.parts[1:]] == [b"no --b here\r\n --b", b"two"]


def test_a_line_in_the_header_that_is_no_field_is_read_in_both_ways() -> None:
    kind, _, body = multipart(EVIL).partition(b"\r\n\r\n")
    found = take_apart(HEADER + b"this is no field\r\n" + kind + b"\r\n\r\n" + body)
    assert "evil.exe" in shown(found)
    assert any(part.text.startswith(b"this is no field") for part in found.parts)
    assert Symbol.HEADER_SYNTAX in symbols(found)


# --- threat 52, 53: content in content -------------------------------------------------------------------------------


def test_threat_52_a_mail_twenty_mails_deep_is_reached() -> None:
    data = mail(multipart(EVIL))
    for _ in range(20):
        data = HEADER + b"Content-Type: message/rfc822\r\n\r\n" + data
    found = take_apart(data)
    assert shown(found) == ["evil.exe"]
    assert found.unscannable == ()


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + in_base64(mail(EVIL)),
        attachment(b"forwarded.eml", mail(EVIL)),
        attachment(b"noname", mail(b"Received: x\r\n" + EVIL), b"message/global"),
        b"Content-Type: message/external-body\r\n\r\n" + EVIL,
        attachment(b"forwarded.eml", mail(b"X-Note: -----BEGIN PGP MESSAGE-----\r\n" + multipart(EVIL))),
        attachment(b"forwarded.eml", mail(multipart(EVIL)), b"application/pgp-encrypted"),
    ],
    ids=["base64", "eml", "global", "external", "PGP in it", "said to be sealed"],
)
def test_threat_52_mails_inside_attachments_are_read(part: bytes) -> None:
    assert "evil.exe" in shown(take_apart(mail(multipart(part))))


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("base64", in_base64(mail(b"\r\ninner words")), "inner words"),
        ("quoted-printable", mail(b"\r\ninner =\r\nwords"), "inner words"),
        ("base64", mail(b"\r\nnot encoded at all"), "not encoded at all"),
    ],
    ids=["base64", "quoted-printable", "said alone"],
)
def test_an_encoded_mail_is_shown_decoded(encoding: str, body: bytes, text: str) -> None:
    head = f"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    assert said(take_apart(mail(multipart(head.encode() + body)))).strip() == text


def der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    size = len(body).to_bytes(4, "big")
    return bytes([tag, 0x84]) + size + body


def ber(tag: int, *content: bytes) -> bytes:
    return bytes([tag, 0x80]) + b"".join(content) + b"\0\0"


SIGNED = bytes.fromhex("06092a864886f70d010702")
ENVELOPED = bytes.fromhex("06092a864886f70d010703")
DATA = bytes.fromhex("06092a864886f70d010701")


def test_threat_52_signed_smime_content_is_reached_in_der_and_ber() -> None:
    plain = der(0x30, SIGNED, der(0xA0, der(0x30, der(2, b"\1"), der(0x31), der(0x30, DATA, der(0xA0, der(4, EVIL))))))
    octets = ber(0x24, der(4, EVIL[:50]), der(4, EVIL[50:]))
    streamed = ber(0x30, SIGNED, ber(0xA0, ber(0x30, der(2, b"\1"), der(0x31), ber(0x30, DATA, ber(0xA0, octets)))))
    for content in (plain, streamed):
        found = take_apart(mail(attachment(b"smime.p7m", content, b"application/pkcs7-mime")))
        assert [part.shown for part in found.parts] == ["smime.p7m", "evil.exe"]
        assert found.parts[1].head == EXE
        assert found.parts[0].signed


def signed(content: bytes) -> bytes:
    return der(
        0x30, SIGNED, der(0xA0, der(0x30, der(2, b"\1"), der(0x31), der(0x30, DATA, der(0xA0, der(4, content)))))
    )


def test_threat_52_a_signed_file_is_a_part_with_its_own_name_and_type() -> None:
    program = b"MZ" + bytes(200)
    twice = signed(signed(program))
    armoured = b"-----BEGIN PKCS7-----\r\n" + in_base64(signed(program)) + b"-----END PKCS7-----\r\n"
    for name, content in (
        (b"evil.exe.p7m", signed(program)),
        (b"evil.exe.P7M.p7m", twice),
        (b"evil.exe.p7m", in_base64(signed(program))),
        (b"evil.exe.p7m", armoured),
    ):
        found = take_apart(mail(attachment(name, content)))
        assert ("evil.exe", "application/x-dosexec") in [(part.shown, part.sniffed) for part in found.parts]
        assert found.unscannable == ()
    within = take_apart(mail(attachment(b"smime.p7m", signed(zipped({"evil.exe": program})))))
    assert "evil.exe" in [member.names[0] for part in within.parts for member in part.members]


def test_threat_52_signed_content_and_calendars_in_archives_are_reached() -> None:
    program = b"MZ" + bytes(200)
    ics = b"BEGIN:VCALENDAR\r\nATTACH;FILENAME=evil.exe:data:x/y;base64," + in_base64(program).replace(b"\r\n", b"")
    for name, content in (("a.p7m", signed(EVIL)), ("evil.exe.p7m", signed(program)), ("a.ics", ics)):
        found = take_apart(mail(attachment(b"a.zip", zipped({name: content}))))
        seen = [each for part in found.parts for each in (*part.names, *(n for m in part.members for n in m.names))]
        assert "evil.exe" in seen, name
    damaged = take_apart(mail(attachment(b"a.zip", zipped({"a.p7m": b"\x30\x82"}))))
    assert damaged.unscannable == ("a.zip: a.p7m: the S/MIME content can't be read",)
    sealed = take_apart(mail(attachment(b"a.zip", zipped({"a.p7m": der(0x30, ENVELOPED, der(0xA0, b"x"))}))))
    assert sealed.encrypted


def test_a_signed_document_has_no_faults_of_a_header() -> None:
    """It is read as a mail, too, lest one pass as a file: a large one was told as a header beyond all limits."""
    document = b"%PDF-1.4\r\n" + bytes(range(128, 256)) * 1000
    for name, content in ((b"a.pdf.p7m", signed(document)), (b"a.zip", zipped({"a.pdf.p7m": signed(document)}))):
        found = take_apart(mail(attachment(name, content)))
        assert (found.unscannable, found.defects) == ((), ()), name
    hiding = b"no field\r\n" + b"x" * 200_000 + b"\ncontent-Type: multipart/mixed; boundary=b\r\n"
    for name, content in ((b"smime.p7m", b"no field\r\n" + bytes(200_000)), (b"a.pdf.p7m", hiding)):
        found = take_apart(mail(attachment(name, signed(content))))
        assert found.unscannable == ("the header of part 1 is larger than is looked into",)


def test_threat_55_files_that_are_signed_too_often_are_told() -> None:
    content, name = EXE, "evil.exe"
    for _ in range(LIMITS.archive_depth - 1):
        content, name = signed(content), f"{name}.p7m"
    for depth, told in ((LIMITS.archive_depth, ()), (LIMITS.archive_depth - 1, ("a.zip: archives are nested more",))):
        limits = msgspec.structs.replace(LIMITS, archive_depth=depth)
        found = take_apart(mail(attachment(b"a.zip", zipped({name: content}))), limits)
        assert tuple(each[: len("a.zip: archives are nested more")] for each in found.unscannable) == told


def compressed(data: bytes) -> bytes:
    oid, inner = bytes.fromhex("060b2a864886f70d0109100109"), der(0x30, DATA, der(0xA0, der(4, data)))
    return der(0x30, oid, der(0xA0, der(0x30, der(2, b"\0"), der(0x30), inner)))


def test_threat_55_compressed_smime_that_is_not_read_to_its_end_is_told() -> None:
    data = zlib.compress(EVIL)
    for content, told in ((data, ()), (data[:-6], ("smime.p7z: the S/MIME content can't be read",))):
        assert take_apart(mail(attachment(b"smime.p7z", compressed(content)))).unscannable == told


def test_threat_51_uuencoded_files_are_found_in_text_of_any_declared_type() -> None:
    text = b"begin 644 evil.exe\r\n" + binascii.b2a_uu(EXE[:45]).replace(b"\n", b"\r\n") + b"`\r\nend\r\n"
    assert take_apart(mail(attachment(b"a.uue", text))).parts[1].shown == "evil.exe"


def test_threat_52_sealed_and_damaged_smime_is_told() -> None:
    sealed = take_apart(
        mail(attachment(b"smime.p7m", der(0x30, ENVELOPED, der(0xA0, b"x")), b"application/pkcs7-mime"))
    )
    assert (sealed.sealed, sealed.unscannable) == (True, ())
    for content in (b"\x30\x82", bytes(9), der(0x30, der(0x06, b"x")), der(0x30, ENVELOPED)[:-1]):
        broken = take_apart(mail(attachment(b"smime.p7m", content, b"application/pkcs7-mime")))
        assert broken.unscannable == ("smime.p7m: the S/MIME content can't be read",)


def test_threat_52_files_in_calendars_are_parts() -> None:
    ics = b"BEGIN:VCALENDAR\r\nATTACH;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=evil.exe:" + in_base64(EXE).replace(
        b"\r\n", b"\r\n "
    )
    ics += b"\r\nEND:VCALENDAR\r\n"
    other = ics.replace(b";ENC", b';X-TITLE="a: b";ENC')
    for content in (
        b"Content-Type: text/calendar\r\n\r\n" + ics,
        attachment(b"a.vcs", ics),
        attachment(b"a.ics", other),
    ):
        found = take_apart(mail(content))
        assert (found.parts[1].shown, found.parts[1].head) == ("evil.exe", EXE)


def test_threat_53_partial_and_external_mails_are_told() -> None:
    assert Symbol.PARTIAL in symbols(take_apart(mail(b"Content-Type: message/partial; id=x\r\n\r\n" + mail(TEXT))))
    assert Symbol.EXTERNAL_BODY in symbols(take_apart(mail(b"Content-Type: message/external-body\r\n\r\n" + TEXT)))


def test_threat_64_signed_and_sealed_mail_is_marked() -> None:
    signed = take_apart(mail(multipart(TEXT, kind=b"signed")))
    assert signed.parts[0].signed
    assert take_apart(mail(multipart(TEXT, kind=b"encrypted"))).sealed
    sealed = b"\r\n-----BEGIN PGP MESSAGE-----\r\n"
    assert take_apart(mail(sealed)).sealed
    assert take_apart(mail(attachment(b"forwarded.eml", mail(sealed)))).sealed


def test_a_document_with_a_password_is_encrypted() -> None:
    content = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
    assert take_apart(mail(attachment(b"a.docx", content))).encrypted


# --- threat 54, F7: limits -------------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    heads = [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(depth)]
    return b"".join(heads) + EVIL


def test_threat_54_nesting_up_to_the_limit_is_read_and_beyond_it_is_told() -> None:
    assert shown(take_apart(mail(nested(100)))) == ["evil.exe"]
    found = take_apart(mail(nested(101)))
    assert found.unscannable == ("parts are nested more than 100 deep",)
    assert Symbol.STRUCTURE_LIMIT in symbols(found)


FEWER = msgspec.structs.replace(LIMITS, parts=1000)


@pytest.mark.parametrize(
    "data",
    [
        mail(nested(1200)),
        mail(b"Content-Type: message/rfc822\r\n\r\n" * 4000),
        mail(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n" * 5000),
        mail(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\n\r\n" * 5000),
        mail(b"Content-Type: multipart/mixed; boundary=\r\n\r\n" + b"\r\n--" * 50_000),
        HEADER + b"A: b\r\n" * 100_000 + b"\r\n",
        HEADER + b"A" * 2_000_000,
        HEADER + b"A:\r\n " + b"\r\n " * 300_000,
        HEADER + b"X" + b": \r\n\t" * 300_000,
        mail(b"Content-Type: text/calendar\r\n\r\n" + b"ATTACH;ENCODING=BASE64:\r\n" * 2000),
    ],
    ids=[
        "multiparts",
        "mails",
        "bare boundaries",
        "empty parts",
        "empty boundary",
        "fields",
        "no end",
        "folds",
        "blank folds",
        "calendar",
    ],
)
def test_threats_54_and_f7_hostile_structure_ends_in_time_and_is_told(data: bytes) -> None:
    taken: list[Anatomy] = []
    assert steps(lambda: taken.append(take_apart(data, FEWER))) < 20 * len(data)
    (found,) = taken
    assert 0 < len(found.parts) <= FEWER.parts
    assert found.unscannable


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x " * 100_000,
        b"\r\n" + b"begin 644 x\r\n" * 10_000,
        b"\r\n" + b"=ybegin name=x\r\n" * 5000,
        b"\r\n" + b"=ybegin " + b"name=" * 200_000,
        b"\r\n" + b"M" * 1_000_000,
        b"Content-Type: text/html\r\n\r\n" + b"<b>" * 20_000,
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 1_000_000,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A=" * 100_000,
    ],
    ids=["boundaries in a line", "uuencode", "yenc", "yenc names", "one line", "tags", "equal signs", "padding"],
)
def test_threat_f7_hostile_texts_are_read_in_time(body: bytes) -> None:
    taken: list[Anatomy] = []
    assert steps(lambda: taken.append(take_apart(mail(body), FEWER))) < 10 * len(body)
    assert taken[0].parts


def test_threat_54_more_than_10_000_parts_are_told() -> None:
    found = take_apart(mail(multipart(*[b"\r\nx"] * 10_050)))
    assert len(found.parts) == 10_000
    assert found.unscannable == ("the mail has more than 10000 parts",)


def test_threat_54_work_stops_when_its_time_is_over() -> None:
    ticks = iter(range(100))
    found = dissect(mail(multipart(TEXT, TEXT, TEXT)), Limits(scan_seconds=2.5), timer=lambda: next(ticks))
    assert found.unscannable == ("the work on the mail took longer than 2.5 s",)
    assert 0 < len(found.parts) < 4


def test_readings_of_readings_are_bounded_by_the_mail_s_size() -> None:
    inner = b"x" * 300_000
    for _ in range(8):
        inner = b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + in_base64(
            b"--b\r\n" + inner + b"\r\n--b--"
        )
    found = take_apart(mail(inner))
    assert "the mail decodes to more than is looked into" in found.unscannable


# --- the loop's share ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"x", zipped({"a": b"b"})),
        (b"x", b"MSCF\0\0\0\0cab"),
        (b"x", compound({"a": b"b"})),
        (b"x.p7z", compressed(zlib.compress(bytes(1_000_001)))),
    ],
    ids=["zip", "cab", "ole", "cms"],
)
def test_archives_and_documents_are_left_to_the_worker(name: bytes, content: bytes) -> None:
    with pytest.raises(Heavy):
        dissect(mail(attachment(name, content)), LIMITS)


def test_mails_of_very_many_parts_are_left_to_the_worker() -> None:
    assert len(dissect(mail(multipart(*[TEXT] * 90)), LIMITS).parts) == 91
    with pytest.raises(Heavy):
        dissect(mail(multipart(*[TEXT] * 200)), LIMITS)


SMALL = 250_000
HTML = b"Content-Type: text/html\r\n\r\n"


@pytest.mark.parametrize("deep", [b'<div title="</div>">', b"<div><!--</div>-->"])
def test_pages_that_may_be_deeper_than_they_look_are_left_to_the_worker(deep: bytes) -> None:
    assert dissect(mail(HTML + b"<p>a</p>" * 4000), LIMITS).parts
    with pytest.raises(Heavy):
        dissect(mail(HTML + deep * 10_000), LIMITS)


@pytest.mark.parametrize(
    "entity",
    [
        HTML + b"<div>" * (SMALL // 5),
        HTML + b"<div>" * 250 + b"<div></div>" * 20_000,
        HTML + (b"<p " + b" ".join(b"a%d" % number for number in range(495)) + b">") * 95,
        HTML + b"".join(b"<a href=http://a%d.example/>" % number for number in range(9000)),
        HTML + b"<a><div></a>" * (SMALL // 12),
        HTML + b"<p>" + b"".join(b"<b a%d href=//a.example/>" % number for number in range(240)) + b"<p>x" * 1650,
        b"\r\n" + b"a%d[.]b " * (SMALL // 8),
        b"\r\n" + b"".join(b"http://a%d.example/ " % number for number in range(11_000)),
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A=" * (SMALL // 2),
        b"Content-Disposition: a" + b"".join(b"; filename*%d*=%%41" % number for number in range(5000)) + b"\r\n\r\n",
    ],
    ids=["deep", "wide", "attributes", "links", "formats", "copies", "defanged", "urls", "padding", "names"],
)
def test_threat_f7_a_small_hostile_mail_does_not_hold_the_loop(entity: bytes) -> None:
    def look() -> None:
        with suppress(Heavy):
            dissect(mail(entity), LIMITS)

    assert steps(look) < 6 * SMALL


def test_a_mail_without_archives_needs_no_worker() -> None:
    picture = attachment(b"a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(3000), b"image/jpeg")
    assert dissect(mail(multipart(TEXT, picture)), LIMITS).parts[2].sniffed == "image/jpeg"


@pytest.mark.parametrize(
    ("head", "attached"),
    [
        (b"Content-Type: text/plain", False),
        (b"Content-Type: text/plain; name=a.txt", True),
        (b"Content-Type: text/html\r\nContent-Disposition: attachment", True),
        (b"Content-Type: image/png; name=a.png\r\nContent-ID: <a>", False),
        (b"Content-Type: image/png; name=a.png\r\nContent-ID: <a>\r\nContent-Disposition: attachment", True),
        (b"Content-Type: application/pgp-signature; name=a.asc", False),
        (b"Content-Type: application/octet-stream", True),
        (b"Content-Type: message/delivery-status", False),
    ],
)
def test_an_attachment_is_what_a_client_lists_as_one(head: bytes, attached: bool) -> None:
    assert take_apart(mail(multipart(head + b"\r\n\r\nx"))).summary.has_attachments is attached


@pytest.mark.parametrize(
    ("name", "sniffed"),
    [
        (b"a.js", "text/javascript"),
        (b"a.VBS", "text/vbscript"),
        (b"a.txt.ps1", "application/x-powershell"),
        (b"a.bat ", "application/x-msdos-batch"),
        (b"a.txt", "text/plain"),
        (b"js", "text/plain"),
    ],
)
def test_threat_48_scripts_are_known_by_their_extension(name: bytes, sniffed: str) -> None:
    assert take_apart(mail(attachment(name, b"hello = 1\r\n"))).parts[0].sniffed == sniffed


def test_threat_48_the_sniffed_type_stands_beside_the_declared_one() -> None:
    part = take_apart(mail(attachment(b"invoice.pdf.txt", EXE, b"text/plain"))).parts[0]
    assert (part.types, part.sniffed) == (("text/plain",), "application/x-dosexec")
