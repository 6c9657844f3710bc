"""Links: found and brought to one form however they are disguised (threat 61)."""

import base64
import zlib
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.message.mails import attachment, in_base64, mail, take_apart, zipped
from tests.steps import steps

from gatepost.message import markup
from gatepost.message.anatomy import Source
from gatepost.message.hosts import host_of, registered
from gatepost.message.links import ASIDES_MAX, LINKS_MAX, Collector


def in_text(text: str) -> list[str]:
    collector = Collector()
    collector.read_text(text.encode(), 0)
    return [link.host for link in collector.links]


def alone(text: str) -> list[str]:
    collector = Collector()
    collector.read_text(text.encode(), 0)
    return [link.host for link in collector.asides]


def in_html(html: str) -> list[str]:
    collector = Collector()
    collector.read_html(html.encode(), 0)
    return [link.host for link in collector.links]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Example.COM./x", "example.com"),
        ("https://user:pw@evil.example:8443/x", "evil.example"),
        ("http://good.example@evil.example/", "evil.example"),
        ("http://good.example:80@evil.example/", "evil.example"),
        ("http://good.example:pw@evil.example/", "evil.example"),
        ("http://good.example\\@evil.example/", "good.example"),
        ("http:\\\\evil.example\\x", "evil.example"),
        ("http:///evil.example", "evil.example"),
        ("http:/evil.example", "evil.example"),
        ("hxxps://evil[.]example/x", "evil.example"),
        ("hxxp[:]//evil(.)co[dot]example", "evil.co.example"),
        ("http://ev%69l.example/", "evil.example"),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://\uff45\uff56\uff49\uff4c.example/", "evil.example"),
        ("http://evil\u3002example/", "evil.example"),
        ("http://\u2764.example/", "xn--qei.example"),
        ("http://a_b.example/", "a_b.example"),
        ("http://-a.b-.evil.example/", "-a.b-.evil.example"),
        ("http://evil.com\u8c22\u8c22", "evil.com"),
        ("http://evil.com\u3002\u8c22\u8c22", "evil.com"),
        ("http://evil.com,http://good.example", "evil.com"),
        ("http://evil.com&x", "evil.com"),
        ("http://evil.com(here", "evil.com"),
        ("http://\u4f8b\u5b50.\u6d4b\u8bd5/", "xn--fsqu00a.xn--0zwm56d"),
        ("file://evil.com@80\\x", "evil.com"),
        ("file:\\\\evil.com@SSL@443\\x", "evil.com"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://0x7f.1/", "127.0.0.1"),
        ("http://0x7f000001/", "127.0.0.1"),
        ("http://0177.0.0.01/", "127.0.0.1"),
        ("http://192.168.257/", "192.168.1.1"),
        ("http://[::1]/", "::1"),
        ("http://[::ffff:10.0.0.1]:80/", "10.0.0.1"),
        ("http://999.1.1.1/", ""),
        ("http://4294967296/", ""),
        ("http://1.2.3.4.5/", ""),
        ("http://0x/", "0.0.0.0"),
        ("http://localhost/", ""),
        ("http://-.example/", ""),
        ("http://[zz]/", ""),
        ("http://" + "a" * 300 + ".example/", ""),
        ("http:///", ""),
        ("", ""),
    ],
)
def test_threat_61_a_host_has_one_form(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("a.b.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("A.Example.COM.", "example.com"),
        ("b.a.nosuchtop", "a.nosuchtop"),
        ("a..example", "a..example"),
        ("a.b.anything.ck", "b.anything.ck"),  # *.ck
        ("anything.ck", "anything.ck"),
        ("a.www.ck", "www.ck"),  # !www.ck
        ("a.b.xn--55qx5d.cn", "b.xn--55qx5d.cn"),  # listed as 公司.cn
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "::1"),
        ("x.xn--p1ai", "x.xn--p1ai"),
    ],
)
def test_the_registered_domain_is_by_the_public_suffix_list(host: str, domain: str) -> None:
    assert registered(host) == domain


@pytest.mark.parametrize(
    "text",
    [
        "see http://evil.example/x, please",
        "(http://evil.example)",
        "<https://evil.example>",
        '"http://evil.example"',
        "HTTP://EVIL.EXAMPLE",
        "hxxp://evil.example",
        "evil[.]example",
        "go to evil(dot)example now",
        "http://evil.example.",
        "https://evil.example:443/?a=1",
        "xhttp://no.example http://evil.example",
        "http://evil.example:80/ and http://evil.example/",
    ],
)
def test_threat_61_links_in_text_are_found(text: str) -> None:
    assert "evil.example" in in_text(text)


def test_a_bare_www_host_is_a_link_and_a_bare_word_is_none() -> None:
    assert in_text("www.evil.example and readme.txt and e.g. this") == ["www.evil.example"]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("pay at evil.com/login now", ["evil.com"]),
        ("(Sub.Evil.co.uk:8443/x)", ["sub.evil.co.uk"]),
        ("www.evil.com/x", ["www.evil.com"]),
        ("http://evil.com/x", ["evil.com"]),
        ("and/or a.b/c 1.2/3 ann@evil.com/x /etc/x.conf/y evil.com", []),
    ],
)
def test_a_name_with_a_path_is_a_link_where_its_top_level_domain_is_one(text: str, hosts: list[str]) -> None:
    assert in_text(text) == hosts


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("visit evil.com today", "evil.com"),
        (
            "Evil.com, EVIL.NET! (sub.evil.co.uk) 'evil.org' evil.info.",
            "evil.com evil.net sub.evil.co.uk evil.org evil.info",
        ),
        ("-evil.com ...evil.net \u201cevil.org\u201d evil.info\u2014and", "evil.com evil.net evil.org evil.info"),
        ("evil.com's evil.net:8080", "evil.com evil.net"),
        ("\u8bf7\u8bbf\u95eeevil.com\u4eca\u5929", "evil.com"),
        ("xn--bcher-kva.de y.xn--p1ai x.web.app", "xn--bcher-kva.de y.xn--p1ai x.web.app"),
        ("at home.Then come.Now", ""),
        ("ann@evil.com first.me+tag@evil.com ann.info@evil.com", ""),
        ("notes.md setup.py invoice.zip readme.txt Setup.app", ""),
        ("console.info(1) self.name[0] a.name=1 C:\\evil.com\\x evil.com-x _evil.com", ""),
        ("b\u00fccher.com evil.com\u00e9 e.g. i.e. U.S.A. 1.2.3 .com", ""),
        ("http://evil.com https://good.com/?u=evil.com www.evil.com evil.com/x", ""),
    ],
)
def test_threat_61_a_name_alone_is_where_mail_programs_make_a_link_of_it(text: str, hosts: str) -> None:
    assert alone(text) == hosts.split()


def test_names_alone_stand_apart_so_that_they_say_nothing_of_how_a_mail_is_written() -> None:
    found = take_apart(
        mail(b"Content-Type: text/html\r\n\r\n<style>td.name {}</style><a href=http://a.com/>x</a> evil.com")
    )
    assert [(link.host, link.source) for link in found.links] == [("a.com", Source.HTML)]
    assert [(link.host, link.source) for link in found.asides] == [("evil.com", Source.NAME)]
    assert found.leads == found.links + found.asides


@pytest.mark.parametrize(
    "subject",
    [b"visit evil.com today", b"=?utf-8?Q?http:=2F=2Fevil=2Ecom/x?=", b"go to\r\n www.evil.com!", b"evil[.]com"],
)
def test_what_a_subject_names_stands_apart(subject: bytes) -> None:
    found = take_apart(b"Subject: " + subject + b"\r\n\r\nhello")
    assert [(link.domain, link.source) for link in found.leads] == [("evil.com", Source.SUBJECT)]
    assert found.links == ()


@pytest.mark.parametrize("name", [b"log.txt", b"page.html"])
def test_names_alone_count_only_in_what_a_mail_program_shows_itself(name: bytes) -> None:
    found = take_apart(mail(attachment(name, b"evil.com http://b.com/", b"text/plain")))
    assert ([link.host for link in found.links], found.asides) == (["b.com"], ())


def test_more_names_alone_than_are_looked_into_hold_no_mail() -> None:
    text = b" ".join(b"a%d.com" % number for number in range(ASIDES_MAX + 1))
    found = take_apart(b"Subject: visit evil.com\r\n\r\n" + text)
    assert [link.source for link in found.asides] == [Source.NAME] * ASIDES_MAX + [Source.SUBJECT]
    assert found.unscannable == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://go.example/?u=http%3A%2F%2Fevil.example%2Fx",
        "https://go.example/?u=http%253A%252F%252Fevil.example%252Fx",
        "https://go.example/?u=https://evil.example",
        "https://go.example/http://evil.example/",
        "https://go.example/?u=aHR0cDovL2V2aWwuZXhhbXBsZS94",
        "https://go.example/?u=%68%74%74%70%3a%2f%2fevil.example%2fx",
        "https://go.example/?u=h%74tps://evil.example",
        "https://go.example/?u=https%25253A%25252F%25252Fevil.example",
        "https://go.example/?u=https%3A%2F%2F%65vil.example",
        "https://go.example/?u=/%5Cevil.com&x",
        "https://www.google.com/amp/evil.com/x",
        "https://evil-com.translate.goog/x?_x_tr_sl=auto",
        "https://evil-com.cdn.ampproject.org/c/x",
        "https://urldefense.proofpoint.com/v2/url?u=http-3A__evil.example_x&d=a",
        "https://urldefense.com/v3/__https://evil.example/x__;!!a",
    ],
)
def test_threat_61_urls_inside_redirectors_are_found(url: str) -> None:
    collector = Collector()
    collector.read_text(url.encode(), 0)
    redirected = [link.host for link in collector.links if link.source is Source.REDIRECT]
    assert "evil.example" in redirected or "evil.com" in redirected


@pytest.mark.parametrize(
    "url",
    [
        "https://go.example/?q=50%25%20off%21&next=/home/%C3%A4%5B1%5D",
        "https://go.example/%E4%BD%A0?x=%252F%7B%7D&y=a%40b.example",
        "https://go.example/?t=%48ello&u=/amp/story.html",
    ],
)
def test_what_is_encoded_in_a_url_is_no_other_url(url: str) -> None:
    assert in_text(url) == ["go.example"]


@pytest.mark.parametrize(
    "html",
    [
        '<a href="http://evil.example/">x</a>',
        "<a href=http://evil.example>x</a>",
        "<A HREF='&#104;ttp://evil&#46;example/'>x</A>",
        '<a href="ht\ntp://evil.example/">x</a>',
        '<a href=" \x01http://evil.example/">x</a>',
        '<a href="//evil.example/x">x</a>',
        '<a href="/\\evil.example/x">x</a>',
        '<img src="http://evil.example/a.png">',
        '<img srcset="http://evil.example/a 2x">',
        '<form action="http://evil.example/"><input></form>',
        '<button formaction="http://evil.example/">x</button>',
        '<base href="http://evil.example/"><a href="x">x</a>',
        '<meta http-equiv="refresh" content="0; URL=http://evil.example/">',
        '<body background="http://evil.example/">',
        '<p style="background:url(http://evil.example/a)">x',
        "<style>@import 'http://evil.example/a.css';</style>",
        '<svg><a xlink:href="http://evil.example/">x</a></svg>',
        '<iframe src="http://evil.example/"></iframe>',
        "<a href=\"javascript:location='http://evil.example/'\">x</a>",
        '<a href="ms-word:ofe|u|http://evil.example/a.docx">x</a>',
        "<p>plain http://evil.example/ text",
        '<!--[if mso]><a href="http://evil.example/">x</a><![endif]-->',
        '<a href="data:text/html;base64,PGEgaHJlZj0iaHR0cDovL2V2aWwuZXhhbXBsZS8iPng8L2E+">x</a>',
        '<iframe src="data:text/html,%3Ca%20href=%22//evil.example/%22%3E">x</iframe>',
        '<script>location = "http://evil.example/"</script>',
        '<script>location = "//evil.example/"</script>',
        r"<script>window.open('\/\/evil.example')</script>",
        "<a href=\"javascript:location='//evil.example/'\">x</a>",
        "<script>location = '//good.example@evil.example/a b'</script>",
        "<svg/onload=location='//evil.example/x'>",
        '<img src="file://evil.example/share/x.png">',
        '<img src="\\\\evil.example\\share\\x.png">',
        "<textarea>http://evil.example/</textarea>",
        "<div>" * 5000 + '<a href="http://evil.example/">x</a>',
        "<p " + " ".join(f"a{number}=1" for number in range(5000)) + '><a href="http://evil.example/">x</a>',
        "<p>" + "x" * 2_100_000 + '<a href="http://evil.example/">x</a>',
    ],
)
def test_threat_61_links_in_html_are_found(html: str) -> None:
    assert "evil.example" in in_html(html)


NAME = st.from_regex(r"[a-z0-9]{1,12}(-[a-z0-9]{1,5})?", fullmatch=True)
DISGUISES = {
    "user": lambda url: url.replace("://", "://good.example:pw@"),
    "port": lambda url: url[:-1] + ":8443/",
    "upper": str.upper,
    "percent": lambda url: "http://" + "".join(f"%{ord(sign):02x}" for sign in url[7:-1]) + "/",
    "hxxp": lambda url: url.replace("http", "hxxp", 1),
    "backslashes": lambda url: url.replace("/", "\\"),
    "dots": lambda url: url.replace(".", "[.]"),
    "wide dots": lambda url: url.replace(".", "\u3002"),
    "redirector": lambda url: "https://go.example/?u=" + quote(url, safe=""),
    "redirector twice": lambda url: "https://go.example/?u=" + quote(quote(url, safe=""), safe=""),
    "base64": lambda url: "https://go.example/" + base64.urlsafe_b64encode(url.encode()).decode().rstrip("="),
}


@settings(max_examples=examples(60))
@given(NAME, NAME, st.sampled_from(sorted(DISGUISES)))
def test_threat_61_a_host_is_found_under_each_disguise_in_text_and_in_html(first: str, second: str, how: str) -> None:
    url = f"http://{first}.{second}.example/"
    disguised = DISGUISES[how](url)
    host = f"{first}.{second}.example"
    assert host in in_text(f"see {disguised} now")
    assert host in in_html(f'<a href="{disguised}">x</a>')
    assert host in in_html(f'<a href="{"".join(f"&#{ord(sign)};" for sign in disguised)}">x</a>')


@settings(max_examples=examples(60))
@given(
    st.text(max_size=80),
    st.sampled_from(["", "http://", "www.", "hxxp[:]//", "//", "data:text/html;base64,", "a.com/"]),
)
def test_whatever_is_read_a_host_has_one_form(text: str, start: str) -> None:
    for host in {*in_text(start + text), *in_html(f'<a href="{start}{text}">{start}{text}')}:
        assert host_of(f"http://[{host}]/" if ":" in host else f"http://{host}/") == host


def test_a_script_names_hosts_of_any_form_without_a_scheme_but_no_comment_is_one() -> None:
    script = "<script>a = '//192.0.2.7/x'; b = '//b\u00fccher.example'; c = '//see our.page for it'</script>"
    assert in_html(script) == ["192.0.2.7", "xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "html",
    [
        "<style>@import url(//evil.com/x)</style>",
        "<a href=microsoft-edge://evil.com/>",
        "<a href=googlechrome://evil.com/>",
        "<a href='data:text/xml,%3Ca href=//evil.com%3E'>",
    ],
)
def test_threat_61_devices_of_browsers_are_found(html: str) -> None:
    assert in_html(html) == ["evil.com"]


def test_an_html_page_without_links_has_none() -> None:
    assert (
        in_html(
            '<!DOCTYPE html PUBLIC "http://www.w3.org/x"><a href="#top" name=x>up</a><a href="mailto:a@b.example">m</a>'
        )
        == []
    )


@pytest.mark.parametrize(
    "entity",
    [
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nhttp://ev=\r\nil.exam=70le/",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + in_base64(b"http://evil.example/"),
        b"Content-Type: text/plain; charset=utf-16le\r\n\r\n" + "http://evil.example/".encode("utf-16-le"),
        b"Content-Type: text/plain; charset=utf-7\r\n\r\nhttp+ADo-//evil.example/",
        b"Content-Type: text/html; charset=cp037\r\n\r\n<a href=http://evil.example>",
        b"Content-Type: text/html; charset=utf-16le\r\n\r\n<a href=http://evil.example>",
        b"Content-Type: text/plain; charset=utf-32\r\n\r\nhttp://evil.example/",
        b"Content-Type: text/plain; charset=hz\r\n\r\n~{ http://evil.example/",
        b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\xff\xfehttp://evil.example/",
        b"Content-Type: text/html\r\n\r\n<a href=http://evil.example>",
        attachment(b"page.html", b"<a href=http://evil.example>"),
        attachment(b"x.svg", b"<svg xmlns:xlink='x'><a xlink:href='http://evil.example'/></svg>", b"image/svg+xml"),
        attachment(b"a.pdf", b"%PDF-1.4\n1 0 obj<</S/URI/URI(http://evil.example/)>>"),
        attachment(b"a.pdf", b"%PDF-1.4\n1 0 obj<</S/URI/URI<687474703a2f2f6576696c2e6578616d706c652f>>>"),
        attachment(
            b"a.pdf",
            b"%PDF-1.5\nstream\r\n" + zlib.compress(b"<</S/URI/URI(http://evil\\.example/)>>") + b"\nendstream",
        ),
    ],
    ids=[
        *("qp", "base64", "utf-16", "utf-7", "no cp037", "no utf-16", "no utf-32", "no hz", "no mark"),
        *("html", "html file", "svg", "pdf", "pdf hex", "pdf stream"),
    ],
)
def test_threat_61_links_are_found_under_every_encoding(entity: bytes) -> None:
    assert "evil.example" in [link.host for link in take_apart(mail(entity)).links]


def test_a_link_stands_once_for_each_host_and_url() -> None:
    assert in_text("http://a.example/ http://a.example/ http://a.example/2") == ["a.example", "a.example"]


def test_a_large_text_is_read_in_windows_that_cut_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "HTTP://a.example/ wWw.b.example hxxps://c[DOT]example ftp://d.example/"
    whole = in_text(text)
    monkeypatch.setattr("gatepost.message.links._WINDOW", 32)
    assert set(whole) == {"a.example", "www.b.example", "c.example", "d.example"}
    assert [in_text(" " * blanks + text) for blanks in range(32)] == [whole] * 32


def test_more_links_than_are_looked_into_are_told() -> None:
    found = take_apart(mail(b"\r\n" + b" ".join(b"http://a%d.example/" % number for number in range(LINKS_MAX + 1))))
    assert len(found.links) == LINKS_MAX
    assert found.unscannable == ("the mail has more links than are looked into",)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 20_000,
        "<p " + " ".join(f"a{number}=1" for number in range(10_000)),
        '<a href="' * 10_000,
        "<div>" * 3000 + "<" * 100_000,
        "<div>" * 3000 + "<base " * 20_000,
        "<div>" * 3000 + "href" + " " * 60_000,
        "<i><b><p>" * 4000,
        "<style>" + "url(" * 20_000,
        "http://" * 20_000,
        "www." * 20_000,
        "a[.]" * 20_000,
        "<!--[if a]>" * 20_000,
        "<script>" * 20_000,
        "<script>" + '"//a.com"' * 10_000,
        "<script>" + '"//' + "a." * 40_000,
        "a.com/" * 6000,
        " a.com/x" * 6000,
        ",a.com/" * 6000,
        " a.com" * 4000,
        ".com" * 20_000 + " ",
        "a." * 20_000 + "com ",
        "a" * 250 + ".com " * 4000,
        "http://a.example/" + "?u=http%3a%2f%2fx.y" * 4000,
    ],
    ids=[
        "deep",
        "attributes",
        "quotes",
        "less",
        "base",
        "blanks",
        "formats",
        "style",
        "schemes",
        "www",
        "dots",
        "comments",
        "scripts",
        "without scheme",
        "labels without scheme",
        "bare",
        "bare words",
        "bare lists",
        "names",
        "dots before names",
        "labels",
        "long labels",
        "nested",
    ],
)
def test_threat_61_hostile_html_and_text_end_in_time(html: str) -> None:
    assert steps(lambda: (in_html(html), in_text(html))) < 20 * len(html)  # quadratic work would take minutes


MANY = "<p>x</p>" * 3000
OPEN = "".join(f"<b title={each}>" for each in range(240))


@pytest.mark.parametrize(
    ("html", "slow"),
    [
        (f"<p>{OPEN}</p>" + MANY, True),
        ("<p>" + '<b title="</b>">' * 240 + "</p>" + MANY, True),
        ("<p>" + "<b><!--</b>-->" * 240 + "</p>" + MANY, True),
        ("<p>" + "<b><textarea></b></textarea>" * 240 + "</p>" + MANY, True),
        ("<p>" + "<b><object></b></object>" * 240 + "</p>" + MANY, True),
        ("<p>" + '<b q=\v"><x y=" >text</b>" >' * 240 + "</p>" + MANY, True),
        ("<p>" + "<b>x<<br>/b>" * 240 + "</p>" + MANY, True),
        ("<p>" + f"<b>{'<div>' * 9}</b>" * 240 + "</p>" + MANY, True),
        ("<a><table><tr><td>x</td><td><font>y</font></td></tr></table></a>" * 1000, False),
        (
            """<p><a href="u?a=1&b" title='x > y'><img alt="a"></a><font size=1><B>x <i>y</i></B></font></p>""" * 1000,
            False,
        ),
    ],
    ids=["open", "attribute", "comment", "text", "marker", "quote", "joined", "blocks", "table", "closed"],
)
def test_threat_61_formatting_that_is_left_open_makes_no_tree_of_millions(html: str, slow: bool) -> None:
    assert markup.slow(html.encode()) == slow  # 80 kB with 10,000 paragraphs took 800 MB, and two seconds of the loop


def test_threat_61_addresses_of_formatting_that_is_opened_anew_are_read_once() -> None:
    page = "<p>" + "".join(f"<b a{each} href=//a.example/>" for each in range(50)) + "<p>x" * 1900
    assert steps(lambda: markup.read(page.encode())) < 40 * len(page)  # it becomes a tree of 95,000 elements
    assert "a.example" in in_html(page)


def test_threat_61_octets_that_are_no_utf_8_between_links_end_in_time() -> None:
    raw = b"http://evil.com/\xc3\xa4\xff " + b"hxxp://\xff" * 2_000 + b"\xff" * 5_000_000
    found = Collector()
    found.read_text(raw, 0)  # to look from each beginning to the end would take minutes
    assert [link.url for link in found.links] == ["http://evil.com/\u00e4"]


@pytest.mark.parametrize("charset", [b"", b"; charset=utf-8", b"; charset=utf-16"])
@pytest.mark.parametrize("order", ["le", "be"])
def test_threat_62_a_page_that_begins_as_utf_16_is_read_as_browsers_do(charset: bytes, order: str) -> None:
    page = '\ufeff<a href="//evil.com/x">x</a>'.encode(f"utf-16-{order}")
    head = b"Content-Type: text/html" + charset + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    assert [link.host for link in take_apart(mail(head + in_base64(page))).links] == ["evil.com"]


@pytest.mark.parametrize(
    "html",
    [
        '<meta http-equiv="refresh" content="0;http://evil.com/x">',
        """<meta http-equiv="Refresh" content="0, URL = 'http://evil.com/x'">""",
        '<iframe srcdoc="&lt;a href=&quot;//evil.com/x&quot;>x&lt;/a>"></iframe>',
        '<div><template shadowrootmode="open"><a href="//evil.com/x">x</a></template></div>',
        '<link rel="preload" as="image" imagesrcset="//evil.com/x 1x">',
        '<a href="webcal://evil.com/x.ics">x</a>',
        r'<a href="search-ms:query=x&crumb=location:\\evil.com@80\share">x</a>',
        '<a href="search:query=x&crumb=location:%5C%5Cevil.com%5Cshare">x</a>',
        '<a href="zoommtg://evil.com/join">x</a>',
        '<svg><a href="#"><set attributeName="href" to="https://evil.com/x"/></a></svg>',
        '<svg><a href="#"><animate attributeName="href" values="#;https://evil.com/x"/></a></svg>',
        '<a href="https://good.com/r?u=//evil.com/x">x</a>',
        '<a href="https://good.com/r#aHR0cHM6Ly9ldmlsLmNvbS9hYmM">x</a>',
        '<a href="https://www.google.com/amp/s/evil.com/x">x</a>',
        """<a href="#" onclick="location='http://evil.com/x'">x</a>""",
        '<script>location = atob("aHR0cHM6Ly9ldmlsLmNvbS9hYmM=")</script>',
        r'<script>location = "\x68\x74\u0074\x70\x3a\/\/evil.com"</script>',
        '<script>document.write(unescape("%3Ca%20href%3D%22http%3A//evil.com/%22%3E"))</script>',
        f"<script>document.write(atob('{base64.b64encode(b'<a href=//evil.com/x>x</a>').decode()}'))</script>",
    ],
)
@pytest.mark.parametrize("deep", [False, True], ids=["parsed", "by pattern"])
def test_threat_61_links_that_only_a_browser_would_follow_are_found(html: str, deep: bool) -> None:
    assert "evil.com" in in_html("<div>" * 3000 + html if deep else html)


@pytest.mark.parametrize(
    "text",
    [
        "see http://evil.com\u8c22\u8c22",
        "http://evil.com|http://good.com",
        "open file://evil.com/x",
        "webcal://evil.com/x.ics",
        "smb://evil.com/x",
        r"open \\evil.com\share\x.docx",
        r"<\\evil.com@ssl\share>, please",
        "h**p://evil.com/x",
        "evil [.] com",
        "evil (dot) com",
        "_http://evil.com_",
        "xhttps://evil.com/",
    ],
)
def test_threat_61_what_readers_mend_in_a_text_is_found(text: str) -> None:
    assert "evil.com" in in_text(text)


def test_words_around_a_dot_in_brackets_are_no_host() -> None:
    assert in_text("the end [.] Nothing (.) more") == []


def test_paths_of_windows_as_programs_spell_them_are_no_shares() -> None:
    assert in_text(r"C:\\ann.info\\x 'D:\\ann.info\x' \\server\x a\\b.com\x \\\\evil.com\\x \\1.2\x") == []
    assert in_text(r"\\192.0.2.1\x") == ["192.0.2.1"]


@pytest.mark.parametrize(
    "entity",
    [
        b"Content-Type: text/calendar\r\n\r\nDESCRIPTION:http://evi\r\n l.com/x\r\n",
        b"Content-Type: application/ics\r\n\r\nBEGIN:VCALENDAR\r\nDESCRIPTION:http://evi\r\n l.com/x\r\n",
        b"Content-Type: text/vcard\r\n\r\nBEGIN:VCARD\r\nURL:http://evi\r\n l.com/x\r\nEND:VCARD\r\n",
        b"Content-Type: text/calendar\r\n\r\nDESCRIPTION:http\\://evil.com\\, x\r\n",
        b"Content-Type: text/vcard\r\n\r\nURL;ENCODING=QUOTED-PRINTABLE:http=3A=2F=2Fevi=\r\nl=2Ecom\r\n",
        b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\nsee http://evi \r\nl.com/x\r\n",
        attachment(b"x.mht", b"Content-Transfer-Encoding: quoted-printable\r\n\r\nhttp://evi=\r\nl.com/x"),
        attachment(b"x.zip", zipped({"x.mhtml": b"Content-Type: text/html\r\n\r\n<a href='//evil.com'>x</a>"})),
        attachment(b"x.zip", zipped({"x.ics": b"BEGIN:VCALENDAR\r\nDESCRIPTION:http://evi\r\n l.com/x\r\n"})),
        attachment(b"x.js", b'eval(atob("aHR0cHM6Ly9ldmlsLmNvbS9hYmM="))'),
        attachment(b"x.zip", zipped({"x.js": b'eval(atob("aHR0cHM6Ly9ldmlsLmNvbS9hYmM="))'})),
    ],
)
def test_threat_61_a_url_that_is_torn_or_wrapped_to_be_sent_is_whole(entity: bytes) -> None:
    assert "evil.com" in [link.host for link in take_apart(mail(entity)).leads]
