"""The builder against golden files, octet by octet, and against any draft: each parses back to what it was made of."""

from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.examples import examples

from gatepost.message.compose import Attachment, Letter, Party, compose
from gatepost.message.flowed import join

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_763_985_600_000
ANN, BOB = Party("ann@a.test", "Ann Ä"), Party("bob@b.test")
LONG = "Ein sehr langer Name mit Umlauten äöü und mit einem Ende, das weit hinten steht (2).pdf"

LETTERS: dict[str, dict[str, Any]] = {
    "plain": {"subject": "Hello", "text": "Hi Bob,\n\n.\nFrom here on it is short.\n"},
    "html": {"subject": "Grüße aus Köln", "html": "<p>Größe &amp; Maß</p>", "text": "Größe & Maß\n"},
    "inline": {
        "subject": "A picture",
        "html": '<p>See <img src="cid:p1"></p>',
        "text": "See [p1]\n",
        "attachments": [
            Attachment("p1.png", b"\x89PNG\r\n", "image/png", cid="p1"),
            Attachment(LONG, b"%PDF-1.4\n" * 12, "application/pdf"),
        ],
    },
    "reply": {
        "subject": "Re:" + " a long subject that goes on" * 5,
        "text": "Yes.",
        "cc": [Party("c@c.test", 'O"Neil, "C"'), Party("d@d.test", "Dee Dee")],
        "reply_to": [Party("r@r.test")],
        "in_reply_to": "2@b.test",
        "references": ["1@b.test", "2@b.test"],
        "priority": 1,
        "receipt_to": ANN,
        "extra": [("X-Tag", "é")],
    },
    "utf8": {"to": [Party("ünï@bücher.example", "Ü")], "subject": "Ü", "text": "Ü in 8bit\n"},
    "flowed": {
        "text": "A long paragraph " * 12 + "ends.\n\n From here on\n> quoted as it was\n-- \nAnn, Größe " + "é" * 80
    },
    "draft": {"to": [], "bcc": [Party("hidden@h.test")], "subject": "", "text": "ä\u0001"},
}


def letter(**members: Any) -> Letter:
    return Letter(**{"sender": ANN, "to": [BOB], "date": NOW, "message_id": "1@a.test", **members})


def read(data: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(data, policy=policy.default))


@pytest.mark.parametrize("name", LETTERS)
def test_a_mail_is_written_as_the_golden_file_says(name: str) -> None:
    assert compose(letter(**LETTERS[name])) == (GOLDEN / f"{name}.eml").read_bytes()


def test_the_structure_is_mixed_around_alternative_around_related() -> None:
    mail = read(compose(letter(**LETTERS["inline"])))
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    picture, document = list(mail.walk())[5:]
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<p1>", "inline")
    assert (document.get_filename(), document.get_content_disposition()) == (LONG, "attachment")


def test_an_inline_file_without_html_is_an_attachment() -> None:
    mail = read(compose(letter(text="x", attachments=[Attachment("p.png", b"x", "image/png", cid="p")])))
    assert [part.get_content_type() for part in mail.iter_attachments()] == ["image/png"]


def test_an_inline_file_that_the_html_does_not_show_stands_beside_it() -> None:
    """Programs show of a multipart/related what its HTML names, and hide the rest."""
    files = [Attachment(f"{cid}.png", b"x", "image/png", cid=cid) for cid in ("a@b.test", "c+d", "unseen")]
    html = '<img src="cid:a%40B.test"><img src="CID:c&#43;d"> cid: unseen'
    mail = read(compose(letter(html=html, attachments=files)))
    names = [part.get_filename() or part.get_content_type() for part in mail.walk()]
    assert names == ["multipart/mixed", "multipart/related", "text/html", "a@b.test.png", "c+d.png", "unseen.png"]
    assert list(mail.walk())[-1]["Content-ID"] == "<unseen>"


def test_a_mail_to_blind_copies_alone_names_nobody() -> None:
    mail = read(compose(letter(to=[], text="x")))
    assert str(mail["To"]) == "undisclosed-recipients:;"
    assert mail["Bcc"] is None


def test_a_text_that_knows_the_boundary_cannot_end_its_part() -> None:
    data = compose(letter(text="x", html="<p>x</p>"))
    boundary = read(data).get_boundary()
    text = f"--{boundary}--\r\n"
    assert read(compose(letter(text=text, html="<p>x</p>"))).get_body(("plain",)).get_content() == text  # type: ignore[union-attr]


def test_files_of_texts_go_in_base64_and_keep_their_octets() -> None:
    data = b"bare\ncr\rnul\0" + bytes(range(256))
    (file,) = read(compose(letter(attachments=[Attachment("a.txt", data, "text/plain")]))).iter_attachments()
    assert file.get_payload(decode=True) == data


LINE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.sampled_from(" \"\\(),:;<>@=?_'*%é漢😀\u00a0"),
    max_size=120,
)
ADDRESS = st.sampled_from(["a@b.example", '"a b"@c.test', f"{'x' * 60}@{'y' * 60}.example", "é@é.example"])
PARTY = st.builds(Party, ADDRESS, LINE)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)
FILE = st.builds(Attachment, LINE.filter(str.strip), st.binary(max_size=200), st.sampled_from(["image/png", "a/b"]))


def flat(text: str) -> str:
    return " ".join(text.split())


def boxes(mail: EmailMessage, name: str) -> list[tuple[str, str]]:
    """The mailboxes of a field: names decoded word by word, as the library's own reader puts blanks between some."""
    raw = next((value for field, value in mail.raw_items() if field == name), "").replace("\r\n", "")
    raw = raw.encode("ascii", "surrogateescape").decode()
    return [(address, flat(str(make_header(decode_header(shown))))) for shown, address in getaddresses([raw])]


@settings(max_examples=examples(80), deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.builds(
        Letter,
        sender=PARTY,
        to=st.lists(PARTY, min_size=1, max_size=3),
        cc=st.lists(PARTY, max_size=2),
        subject=LINE,
        text=TEXT,
        html=st.none() | TEXT,
        attachments=st.lists(FILE, max_size=2),
        date=st.just(NOW),
        message_id=st.just("1@a.test"),
    )
)
def test_any_draft_parses_back_to_itself(draft: Letter) -> None:
    data = compose(draft)
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert draft.smtputf8 or data.isascii()
    mail = read(data)
    assert flat(str(mail["Subject"])) == flat(draft.subject)
    for name, parties in (("From", [draft.sender]), ("To", draft.to), ("Cc", draft.cc)):
        asked = [(party.address.replace("@é", "@xn--9ca"), flat(party.name)) for party in parties]
        assert (boxes(mail, name) if parties else mail[name] or []) == asked
    said = {kind: shown(part) for kind in ("plain", "html") if (part := mail.get_body((kind,)))}
    asked_texts = {"plain": draft.text, "html": draft.html}
    assert {kind: lines(text) for kind, text in said.items()} == {
        kind: lines(text) for kind, text in asked_texts.items() if text is not None
    }
    found = [
        (each.get_filename(), each.get_content_type(), each.get_payload(decode=True))
        for each in mail.iter_attachments()
    ]
    assert found == [(each.name.strip(), each.type, each.data) for each in draft.attachments]


def shown(part: EmailMessage) -> str:
    text = cast(str, part.get_content()).replace("\r\n", "\n")
    return join(text) if part.get_param("format") == "flowed" else text


def lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
