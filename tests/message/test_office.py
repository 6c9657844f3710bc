"""Documents: macros, passwords, and the files that they carry."""

import base64
import struct
import zlib

import pytest
from tests.message.documents import compound, native, onenote, records, rtf
from tests.message.mails import EXE, attachment, holding, mail, multipart, take_apart, zipped

from gatepost.message.anatomy import Part

VBA = compound({"VBA/dir": b"x", "VBA/_VBA_PROJECT": b"\xcc\x61"})
WORD = bytes(11) + b"\x10" + bytes(4096)
SHEET, MACRO_SHEET = (0x85, bytes(4) + b"\0\0\x01\0A"), (0x85, bytes(4) + b"\0\x01\x01\0A")
BOOK_BEGIN, BOOK_END = (0x809, bytes(16)), (0x0A, b"")
MACRO_BOOK = records(BOOK_BEGIN, SHEET, MACRO_SHEET, BOOK_END)
SLIDES = b"\0" * 100 + b"\x02\0\0\x04\x0c\0\0\0" + struct.pack("<III", 7, 1, 2)


PDF = (
    b"%PDF-1.7\n1 0 obj <</Type/ObjStm/Filter/FlateDecode>>\nstream\r\n"
    + zlib.compress(b"<</Type/Filespec/F(evil\\056e\\xe)/UF<feff0065002e006a0073>/EF<</F 2 0 R>>>>")
    + b"\nendstream\n2 0 obj <</Type/EmbeddedFile/Filter/FlateDecode>>\nstream\n"
    + zlib.compress(EXE)
    + b"\nendstream\n3 0 obj <</Type/EmbeddedFile>>\nstream\n"
    + zipped({"run.js": b"x()"})
    + b"\nendstream\n"
)

SCRIPTS = b'<manifest:file-entry manifest:full-path="Scripts/%s" manifest:media-type=""/>'


def book(*sheets: tuple[int, bytes]) -> bytes:
    return compound({"Workbook": records(BOOK_BEGIN, *sheets, BOOK_END)})


@pytest.mark.parametrize(
    ("name", "content", "macros"),
    [
        ("a.doc", compound({"WordDocument": WORD, "Macros/VBA/dir": b"x"}), True),
        ("a.doc", compound({"WordDocument": WORD, "MACROS/vba/_vba_project": b"x"}), True),
        ("a.doc", compound({"WordDocument": WORD, "1Table": b"_VBA_PROJECT"}), False),
        ("a.xls", compound({"Workbook": b"", "_VBA_PROJECT_CUR/VBA/_VBA_PROJECT": b"x"}), True),
        ("a.xls", book(SHEET, MACRO_SHEET), True),
        ("a.xls", book(SHEET), False),
        ("a.doc", compound({"WordDocument": WORD, "ObjectPool/_1/Workbook": MACRO_BOOK}), True),
        ("a.ppt", compound({"PowerPoint Document": SLIDES}), True),
        ("a.ppt", compound({"PowerPoint Document": b"slides"}), False),
        ("a.slk", b"ID;PWXL;N;E\r\nO;E;\r\nC;Y1;X1;EEXEC()\r\nE\r\n", True),
        ("a.slk", b'ID;PWXL;N;E\r\nO;L;D;V0\r\nC;Y1;X1;K"O;E"\r\nE\r\n', False),
        ("a.docm", zipped({"[Content_Types].xml": b"<Types/>", "word/vbaProject.bin": VBA}), True),
        ("a.docx", zipped({"[Content_Types].xml": b"<Types/>", "word/media/image1.png": VBA}), True),
        ("a.docx", zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w:document/>"}), False),
        ("a.xlsx", zipped({"xl/macrosheets/sheet1.xml": b"<xm:macrosheet/>"}), True),
        ("a.xlsb", zipped({"xl/macrosheets/sheet1.bin": b"\x81\1"}), True),
        ("a.odt", zipped({"META-INF/manifest.xml": b'<?xml version="1.0"?>' + SCRIPTS % b"python/run.py"}), True),
        ("a.odt", zipped({"META-INF/manifest.xml": b'<?xml version="1.0"?>' + SCRIPTS % b"python/"}), False),
        ("a.odt", zipped({"Basic/Standard/M.xml": b'<?xml version="1.0"?><script:module script:name="M"/>'}), True),
        ("a.zip", zipped({"in/a.doc": compound({"Macros/VBA/dir": b"x"})}), True),
        ("a.xml", b'<?xml version="1.0"?><w:wordDocument w:macrosPresent="yes">', True),
        ("a.mso", b"ActiveMime\0\0" + bytes(50), True),
        ("a.doc", compound({"Macros/VBA/_VBA_PROJECT": b"x"})[:-512], True),
        ("a.xml", "<?xml version='1.0'?><w:wordDocument w:macrosPresent='yes'>".encode("utf-16"), True),
        (
            "a.xlsx",
            zipped({"[Content_Types].xml": b"<a ContentType='application/vnd.ms-excel.macrosheet+xml'/>"}),
            True,
        ),
        ("a.xlsx", zipped({"x.xml": b"<!--" + b"x" * 9000 + b"--><xm:macrosheet/>"}), True),
        ("a.xls", bytes.fromhex("090408000000400000000000"), True),
        ("a.xls", bytes.fromhex("090408000000100000000000"), False),
    ],
)
def test_macros_are_seen_wherever_they_stand(name: str, content: bytes, macros: bool) -> None:
    assert holding(name, content).macros is macros


@pytest.mark.parametrize(
    ("name", "content", "encrypted"),
    [
        ("a.docx", compound({"EncryptedPackage": b"x", "EncryptionInfo": b"x"}), True),
        ("a.doc", compound({"WordDocument": bytes(11) + b"\x11" + bytes(4096)}), True),
        ("a.doc", compound({"WordDocument": WORD}), False),
        ("a.xls", book((0x2F, bytes(54)), SHEET), True),
        ("a.odt", zipped({"META-INF/manifest.xml": b"<manifest:manifest><manifest:encryption-data/>"}), True),
        ("a.odt", zipped({"META-INF/manifest.xml": b"<manifest:manifest/>"}), False),
    ],
)
def test_threat_56_documents_with_a_password_are_told(name: str, content: bytes, encrypted: bool) -> None:
    found = take_apart(mail(attachment(name.encode(), content)))
    assert (found.encrypted, found.unscannable) == (encrypted, ())


def members(part: Part) -> list[tuple[tuple[str, ...], bytes]]:
    return [(member.names, member.head) for member in part.members]


def test_the_attachments_of_an_outlook_message_are_members() -> None:
    where = "__attach_version1.0_#00000000/__substg1.0_"
    names = {"3707001F": "evil.exe", "3704001F": "EVIL~1.EXE"}
    streams = {where + tag: name.encode("utf-16-le") for tag, name in names.items()}
    part = holding("a.msg", compound({"__substg1.0_0037001F": b"x", where + "37010102": EXE, **streams}))
    assert members(part) == [(("evil.exe", "EVIL~1.EXE"), EXE[:512])]


def test_files_inside_documents_are_members_however_they_are_wrapped() -> None:
    part = holding("a.doc", compound({"ObjectPool/_1/\x01Ole10Native": native(b"evil.exe", EXE)}))
    assert members(part) == [(("evil.exe", "C:\\temp\\evil.exe"), EXE[:512])]
    part = holding("a.docx", zipped({"word/embeddings/o.bin": compound({"\x01Ole10Native": native(b"a.js", b"x()")})}))
    assert part.members[-1].path == "word/embeddings/o.bin > a.js"
    part = holding("a.xls", compound({"MBD1/Package": zipped({"evil.exe": EXE})}))
    assert part.members[-1].path == "MBD1/Package > evil.exe"


def test_the_objects_in_a_presentation_are_members() -> None:
    packed = zlib.compress(compound({"\x01Ole10Native": native(b"evil.exe", EXE)}))
    record = b"\x10\0\x11\x10" + struct.pack("<II", len(packed) + 4, 0) + packed
    part = holding("a.ppt", compound({"PowerPoint Document": bytes(50) + record}))
    assert [member.path for member in part.members] == ["object-1", "object-1 > evil.exe"]


def test_the_objects_in_an_rtf_document_are_members() -> None:
    part = holding("a.doc", rtf(b"Package", native(b"evil.exe", EXE)[4:]))
    assert members(part) == [(("evil.exe", "C:\\temp\\evil.exe"), EXE[:512])]
    assert holding("a.rtf", rtf(b"Word.Document.8", compound({"Macros/VBA/dir": b"x"}))).macros
    assert holding("a.rtf", b"{\\rtf1 {\\*\\objdata 0102}}").members[0].names == ("object-1",)
    raw = b" \r\n{\\rtf1 {\\*\\objdata 4d5a\\bin4 {}\\}00}}"
    assert holding("a.doc", raw).members[0].head == b"MZ{}\\}\0"
    assert not holding("a.rtf", b"{\\rtf1 Hello}").members


def test_the_files_in_a_pdf_are_members_and_bear_every_name_that_it_has() -> None:
    part = holding("a.pdf", PDF)
    assert [member.names for member in part.members[:3]] == [("evil.exe", "e.js"), ("evil.exe", "e.js"), ("run.js",)]
    assert part.members[0].head == EXE[:512]
    assert holding("a.pdf", b"%PDF-1.7\n2 0 obj <</Type/EmbeddedFile>>\nstream\nx").members[0].names == ("embedded-1",)
    both = b"%PDF-1.7\n/F(a.png) /F(b.zip) 2 0 obj <</Type/EmbeddedFile>>\nstream\n\x89PNG\r\n\x1a\n\0\nendstream"
    assert take_apart(mail(attachment(b"a.pdf", both))).unscannable == ()  # the picture bears the archive's name


EXE_STREAM = b"12 0 obj <</Length 9>>\nstream\n" + EXE + b"\nendstream endobj\n"
OTHER_STREAM = b"2 0 obj <</Length 9>>\nstream\nshown\nendstream endobj\n"


@pytest.mark.parametrize(
    "specification",
    [
        b"3 0 obj <</Type/Filespec/F(evil.exe)/EF<</F 12 0 R>>>> endobj",
        b"3 0 obj <</Type/Filespec/F(evil.exe)/EF 4 0 R>> endobj 4 0 obj <</UF 12 0 R>> endobj",
        b"3 0 obj <</F(evil.exe)/EF<</F 12 0 R>>>> endobj /Names<</EmbeddedFiles 5 0 R>>",
        b"3 0 obj <</Type/ObjStm/Filter/FlateDecode>>\nstream\n"
        + zlib.compress(b"3 0 <</F(evil.exe)/EF<</F 12 0 R>>>>")
        + b"\nendstream",
        b"3 0 obj <</#46(evil.exe)/#45F<</#55F 012 0 R>>>> endobj",
        b"3 0 obj <</F(evil.exe)/E#46 4 0 R>> endobj 04 0 obj <</F 12 0 R>> endobj",
        b"3 0 obj <</Type/Ob#6ASt#6d/Filter/FlateDecode>>\nstream\n"
        + zlib.compress(b"3 0 <</F(evil.exe)/EF<</F 12 0 R>>>>")
        + b"\nendstream",
        b"3 0 obj <</Type/ObjStm/Filter[/A85 /Fl]/X(" + b"x" * 9000 + b")>>stream\n"
        b"" + base64.a85encode(zlib.compress(b"3 0 <</F(evil.exe)/EF<</F 12 0 R>>>>")) + b"\nendstream",
    ],
    ids=["there", "elsewhere", "named", "packed", "spelled", "numbered", "packed and spelled", "packed twice, far"],
)
def test_a_file_in_a_pdf_that_does_not_call_itself_one_is_found(specification: bytes) -> None:
    part = holding("a.pdf", b"%PDF-1.7\n" + OTHER_STREAM + EXE_STREAM + specification)
    assert [(member.names, member.head[:2]) for member in part.members] == [(("evil.exe",), b"MZ")]


def predicted(kind: int, data: bytes, columns: int) -> bytes:
    """Return rows as a predictor of PNG has them: what is told of each octet is how it differs from its neighbours."""
    out, above = b"", bytes(columns)
    for at in range(0, len(data), columns):
        row = data[at : at + columns].ljust(columns)
        left, corner = b"\0" + row, b"\0" + above
        guesses = [(0, a, b, (a + b) // 2, nearest(a, b, c)) for a, b, c in zip(left, above, corner, strict=False)]
        out += bytes([kind]) + bytes((octet - guess[kind]) & 255 for octet, guess in zip(row, guesses, strict=True))
        above = row
    return out


def nearest(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda octet: abs(guess - octet))


def test_streams_of_a_pdf_that_end_nowhere_are_no_endless_work() -> None:
    content = b"%PDF-1.7\n/EmbeddedFile" + b"/Filter /A stream\n/ObjStm" * 4500
    assert "more than" in take_apart(mail(attachment(b"a.pdf", content))).unscannable[0]


@pytest.mark.parametrize("kind", range(5))
def test_objects_of_a_pdf_that_are_packed_by_differences_are_read(kind: int) -> None:
    objects = zlib.compress(predicted(kind, b"3 0 <</F(evil.exe)/EF<</F 12 0 R>>>>", 7))
    told = b"3 0 obj <</Type/ObjStm/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 7>>>>stream\n" + objects
    part = holding("a.pdf", b"%PDF-1.7\n" + EXE_STREAM + told + b"\nendstream")
    assert [(member.names, member.head[:2]) for member in part.members] == [(("evil.exe",), b"MZ")]


def test_the_files_in_a_onenote_page_are_members() -> None:
    part = holding("a.one", onenote(EXE, zipped({"run.js": b"x()"})))
    assert part.sniffed == "application/onenote"
    assert [member.path for member in part.members] == ["embedded-1", "embedded-2", "embedded-2 > run.js"]
    assert part.members[0].type == "application/x-dosexec"
    named = holding("a.one", onenote(b"x()", names=["Z:\\one\\evil.hta", "a text", "notes.v2 of May"]))
    assert [member.names for member in named.members] == [("Z:\\one\\evil.hta", "evil.hta")]
    both = onenote(b"\x89PNG\r\n\x1a\n" + bytes(9), zipped({"run.js": b"x()"}), names=["a.png", "b.zip"])
    assert take_apart(mail(attachment(b"a.one", both))).unscannable == ()  # the picture bears the name of the archive
    assert take_apart(mail(attachment(b"a.one", onenote(EXE)[:-200]))).unscannable == (
        "a.one: is a damaged OneNote page",
    )


def test_threat_52_a_mail_in_an_archive_is_a_mail_with_parts() -> None:
    letter = mail(multipart(b"\r\nHello http://bad.example/", attachment(b"evil.exe", EXE)))
    found = take_apart(mail(attachment(b"a.zip", zipped({"in.eml": letter}))))
    assert [part.shown for part in found.parts if part.shown] == ["a.zip", "evil.exe"]
    assert [link.host for link in found.links] == ["bad.example"]


SAVED = multipart(
    b"Content-Location: x/editdata.mso\r\n\r\nActiveMime" + bytes(50), attachment(b"evil.exe", EXE), kind=b"related"
)


@pytest.mark.parametrize("front", [b"", b"\r\n \r\n", b"\xef\xbb\xbf", b"some junk\r\n", b"From x@y\r\n", b"1234\n"])
def test_a_page_saved_whole_or_a_mailbox_is_opened_whatever_it_is_called(front: bytes) -> None:
    content = front + b"MIME-Version: 1.0\r\n" + SAVED
    for part in (attachment(b"a.doc", content), attachment(b"a.zip", zipped({"a.doc": content}))):
        found = take_apart(mail(part))
        assert "evil.exe" in [part.shown for part in found.parts]
        assert any(part.macros for part in found.parts)
        assert (found.defects, found.unscannable) == ((), ())


def test_each_mail_of_a_mailbox_is_opened() -> None:
    box = b"".join(b"From x@y\r\n" + mail(attachment(b"%d.exe" % number, EXE)) + b"\r\n\r\n" for number in range(3))
    shown = [part.shown for part in take_apart(mail(attachment(b"a.mbox", box))).parts]
    assert [name for name in shown if name] == ["a.mbox", "0.exe", "1.exe", "2.exe"]


def test_threat_53_an_example_of_a_mail_in_a_text_has_no_faults() -> None:
    piece = b"Content-Type: message/partial; number=1\r\n\r\n" + mail(b"Content-Type: text/plain\r\n" * 2) + b"\r\nx"
    example = b"As RFC 2046 has it:\r\n\r\n" + mail(multipart(b"Content-Type: message/external-body\r\n\r\nx", piece))
    for part in (attachment(b"a.txt", example), attachment(b"a.zip", zipped({"a.txt": example}))):
        found = take_apart(mail(part))
        assert "message/partial" in [part.types[0] for part in found.parts]
        assert found.defects == ()


def test_files_in_a_document_of_xml_are_opened() -> None:
    packed = base64.encodebytes(compound({"Macros/VBA/dir": b"x"}))
    document = b"<?xml version='1.0'?><pkg:package><pkg:binaryData>\n" + packed + b"</pkg:binaryData></pkg:package>"
    for content in (document, document.decode().encode("utf-16")):
        found = take_apart(mail(attachment(b"a.doc", content)))
        assert any(part.macros for part in found.parts)
        assert holding("a.zip", zipped({"a.xml": content})).macros


def pdf(filters: bytes, data: bytes, more: bytes = b"") -> bytes:
    """Return a PDF that carries a program."""
    return (
        b"%PDF-1.7\n1 0 obj <</Type/Filespec/F(run.exe)/EF<</F 2 0 R>>>> endobj\n2 0 obj <</Type/EmbeddedFile"
        + filters
        + b">>\nstream\n"
        + data
        + b"\nendstream endobj\n"
        + more
    )


@pytest.mark.parametrize(
    ("filters", "data"),
    [
        (b"/Filter[/ASCIIHexDecode]", EXE.hex().encode() + b">"),
        (b"/Filter [/ASCII85Decode /FlateDecode]", base64.a85encode(zlib.compress(EXE)) + b"~>"),
        (b"/Filter/FlateDecode", zlib.compress(EXE)),
        (b"/Filter/FlateDecode", zlib.compress(EXE)[:-4] + b"oops"),  # a false sum
        (b"/Filter %a remark\n/FlateDecode", zlib.compress(EXE)),
        (b"/Length %d" % len(EXE + b"endstream"), EXE + b"endstream"),
    ],
)
def test_the_files_in_a_pdf_are_unpacked_by_each_of_their_filters(filters: bytes, data: bytes) -> None:
    assert holding("a.pdf", pdf(filters, data)).members[0].head == EXE[:512]
    assert holding("a.pdf", b"\njunk\n" + pdf(filters, data)).members[0].head == EXE[:512]


def test_threat_59_files_in_a_pdf_that_can_t_be_read_are_told() -> None:
    unknown = take_apart(mail(attachment(b"a.pdf", pdf(b"/Filter/LZWDecode", b"x"))))
    assert unknown.unscannable == ("a.pdf: run.exe: an embedded file is damaged or packed by an unknown method",)
    for said in (b"/Filter/FlateDecode", b"/Filter 9 0 R", b"/Filter/Fl/Filter/AHx"):
        damaged = take_apart(mail(attachment(b"a.pdf", pdf(said, b"x"))))
        assert damaged.unscannable == unknown.unscannable
    objects = take_apart(mail(attachment(b"a.pdf", b"%PDF-1.7\n<</Type/ObjStm/Filter/LZWDecode>>stream\nx")))
    assert objects.unscannable == ("a.pdf: has objects packed by an unknown method",)
    locked = take_apart(mail(attachment(b"a.pdf", pdf(b"", b"x", b"trailer <</Encrypt 9 0 R>>"))))
    assert locked.encrypted
    assert locked.parts[0].members[0].names == ("run.exe",)


def test_a_page_that_begins_like_a_pdf_is_read_as_both() -> None:
    page = b"%PDF-1.4\n/URI (http://one.com/)\n<a href='//two.com/x'>x</a>"
    found = take_apart(mail(attachment(b"a.html", page)))
    assert {link.host for link in found.links} == {"one.com", "two.com"}
