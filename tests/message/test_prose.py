"""What a reader sees of a mail, how a page looks, and which names look alike."""

import pytest
from tests.filters.letters import both, document, file, letter, text_part
from tests.message.mails import multipart

from gatepost.message import markup
from gatepost.message.look import Anchor, colour, look
from gatepost.message.parse import dissect
from gatepost.message.prose import Prose, prose
from gatepost.message.skeleton import folded, skeleton
from gatepost.settings import Limits


def read(data: bytes) -> Prose:
    return prose(dissect(data, Limits()))


def test_of_alternatives_the_page_is_what_is_shown() -> None:
    found = read(letter(raw=both("plain words\r\n", "<html><body><p>shown</p><b>words</b></body></html>")))
    assert (found.subject, found.text, found.plain.strip()) == ("Tomorrow", "shown words", "plain words")


def test_plain_text_beside_a_page_that_is_no_alternative_is_shown_too() -> None:
    raw = both("plain words\r\n", "<p>shown</p>").replace(b"multipart/alternative", b"multipart/mixed")
    assert read(letter(raw=raw)).text == "shown plain words"


def test_files_and_mails_inside_are_not_what_the_mail_says() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + letter("inner words\r\n")
    found = read(letter("outer words\r\n", files=(inner, file("a.txt", b"file", "text/plain"))))
    assert found.text == "outer words"
    alone = b"Content-Type: message/rfc822\r\n\r\n" + letter("inner words\r\n")
    assert read(letter(raw=alone)).text == "inner words"


PAGE = b"Content-Type: text/html; name=a.html\r\n\r\n<p>shown</p>"
NOTE = b'Content-Type: text/plain; name="a.txt"\r\nContent-Disposition: inline; filename="a.txt"\r\n\r\nnoted'
FORWARDED = b"Content-Type: message/rfc822\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (PAGE, "shown"),
        (NOTE, "noted"),
        (multipart(NOTE, PAGE, kind=b"alternative"), "shown"),
        (multipart(multipart(PAGE, boundary=b"in", kind=b"related"), NOTE), "shown"),
        (multipart(text_part("words"), PAGE), "words"),
        (PAGE.replace(b"\r\n\r\n", b"\r\nContent-Disposition: attachment\r\n\r\n"), ""),
        (multipart(text_part("words"), FORWARDED + letter(raw=PAGE)), "words"),
        (FORWARDED + letter(raw=PAGE), "shown"),
    ],
    ids=["page", "text", "alternatives", "first", "second", "attachment", "forwarded beside", "forwarded alone"],
)
def test_a_text_that_is_shown_as_the_mails_own_is_read_though_it_has_a_name(raw: bytes, text: str) -> None:
    assert read(letter(raw=raw)).text == text


def test_hosts_in_a_named_body_are_links_as_in_any() -> None:
    found = dissect(letter(raw=NOTE.replace(b"noted", b"see evil.com")), Limits())
    assert [link.host for link in found.asides] == ["evil.com"]


def test_a_page_is_read_as_it_is_shown() -> None:
    found = look(
        b"<html><head><title>t</title><style>p{}</style></head><body><p>a <b>b</b>\n c</p>"
        b'<a href="http://x.test/">x\n y</a><a href="#top">up</a><a href="http://y.test/"><img src="p.png"></a>'
        b'<img width="1" height="1" src="o.gif"></body>'
    )
    assert found.text == "a b c x y up"
    assert found.anchors == (Anchor("x y", "http://x.test/"), Anchor("", "http://y.test/"))
    assert (found.images, found.dots, found.scripts, found.forms) == (1, 1, False, 0)


@pytest.mark.parametrize(
    ("style", "hidden"),
    [
        ("display:none", True),
        ("DISPLAY : None !important", True),
        ("visibility:hidden", True),
        ("font-size:0px", True),
        ("max-height:0;overflow:hidden", True),
        ("opacity:0.0", True),
        ("display:block", False),
        ("font-size:0.9em", False),
        ("opacity:0.5", False),
        ("max-height:0.5em", False),
    ],
)
def test_what_is_hidden_is_counted_and_not_shown(style: str, hidden: bool) -> None:
    found = look(document(f'<div style="{style}">unseen</div>').encode())
    assert (found.hidden == 6, "unseen" not in found.text) == (hidden, hidden)


def test_what_is_hidden_inside_what_is_hidden_goes_with_it() -> None:
    inner = '<p style="display:none">in <i hidden>most</i></p>' * 50
    found = look(document(f"<div hidden>out {inner}</div><div hidden>x</div>").encode())
    assert "out" not in found.text and "most" not in found.text
    assert found.hidden == len("out") + 50 * len(" in most") + 1


def test_links_inside_links_take_no_time_of_their_own() -> None:
    found = look(b"<table><tr><td><a href='http://x.test/'>" * 250 + b"words " * 15_000)
    assert 0 < len(found.anchors) < 250


@pytest.mark.parametrize(
    ("said", "rgb"),
    [
        ("#fff", (255, 255, 255)),
        ("FFFFFE", (255, 255, 254)),
        (" white ", (255, 255, 255)),
        ("rgb(1, 2,3)", (1, 2, 3)),
        ("rgba(1,2,3,.5)", (1, 2, 3)),
        ("inherit", None),
        ("#zzz", None),
        ("", None),
    ],
)
def test_colours(said: str, rgb: tuple[int, int, int] | None) -> None:
    assert colour(said) == rgb


def test_a_page_on_which_the_parser_would_be_slow_is_read_by_pattern() -> None:
    found = look(b"<div>" * 3000 + b"deep words")
    assert found.text == "deep words"


@pytest.mark.parametrize(
    "name", ["paypal", "paypаl", "раураl", "paypa1", "pаypаi", "pay-pal", "ｐａｙｐａｌ", "páypál"]
)
def test_names_that_look_alike_have_one_skeleton(name: str) -> None:
    assert skeleton(name) == skeleton("paypal")


def test_other_writing_stays() -> None:
    assert skeleton("example") != skeleton("paypal")
    assert folded("Ελλάδα Москва") != folded("Ellada Moskva")


PAGES = (
    b"<p>a <b>b</b></p>",
    b'<style>p{}</style><p>a<a href="http://x.test/">x</a><a href>y</a><a>z</a></p><style>b{}</style>',
    b'<svg><style><a href="http://s.test/">s</a></style></svg><p style="display:none">hid<img src=x></p>seen',
    b"<script>var x = 1</script><template><a href=http://t.test/>t</a></template><p>v<!-- -->iagra</p>",
    b"<html><head><title>t</title></head><body bgcolor=white><font color=white>faint</font></body></html>",
    b"<form action=/x></form>",
    b"<input type=password>",
    b"<iframe></iframe>",
    b"<object></object>",
    b"<meta http-equiv=refresh content='1; url=http://r.test/'>",
    b"<script type='application/ld+json'>{}</script>",
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_looks_the_same_whether_its_links_were_gathered_before_or_not(page: bytes) -> None:
    read_before, alone = b"<p>1</p>" + page, b"<p>1 </p>" + page
    markup.read(read_before)
    assert look(read_before) == look(alone)


def test_a_page_shows_its_devices_whether_its_links_were_gathered_before_or_not() -> None:
    page = b"<p>2</p><form></form><input type=password><iframe></iframe><script>1</script><meta http-equiv=refresh>"
    markup.read(page)
    found = look(page)
    assert (found.forms, found.passwords, found.frames, found.scripts, found.refresh) == (1, True, True, True, True)


def test_the_tree_of_a_page_is_left_once_and_only_as_it_was() -> None:
    whole, styled = b"<p>left</p>", b"<p>left</p><style>p{}</style>"
    markup.read(whole)
    assert markup.left_tree(whole) is not None
    assert markup.left_tree(whole) is None
    markup.read(whole)
    markup.read(styled)
    assert (markup.left_tree(whole), markup.left_tree(styled)) == (None, None)
