"""GTUBE, wherever a reader would see it."""

import base64

import pytest
from tests.filters.mails import ask, attached, make, mixed, plain, symbols

from gatepost.filters.score import GTUBE
from gatepost.model.verdict import Category

CODED = base64.encodebytes(GTUBE).replace(b"\n", b"\r\n")
UTF16 = base64.encodebytes(GTUBE.decode().encode("utf-16")).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "data",
    [
        plain(GTUBE + b"\r\n"),
        plain(b"Hello,\r\n\r\n" + GTUBE + b" and more\r\n"),
        plain(CODED, b"Content-Transfer-Encoding: base64\r\n"),
        plain(b"<p>" + GTUBE + b"</p>", b"Content-Type: text/html\r\n"),
        plain(GTUBE[:30] + b"=\r\n" + GTUBE[30:], b"Content-Transfer-Encoding: quoted-printable\r\n"),
        plain(UTF16, b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n"),
        mixed(b"\r\nHello\r\n", b"Content-Type: text/plain\r\n\r\n" + GTUBE),
    ],
    ids=["alone", "inside", "base64", "html", "quoted-printable", "utf-16", "part"],
)
def test_gtube_counts_a_thousand_points(data: bytes) -> None:
    (finding,) = [one for one in ask(make("score"), data) if one.symbol == "GTUBE"]
    assert (finding.category, finding.score) == (Category.SCORE, 1000)


@pytest.mark.parametrize(
    "data",
    [
        plain(),
        plain(GTUBE[:-1] + b"\r\n"),
        plain(GTUBE.lower()),
        plain(b"Hello\r\n", b"X-Quote: " + GTUBE + b"\r\n"),
        mixed(b"\r\nHello\r\n", attached(b"\x00\x01\x02" + GTUBE)),
    ],
    ids=["none", "cut", "other case", "header", "file"],
)
def test_what_is_not_gtube_in_a_text_counts_nothing(data: bytes) -> None:
    assert "GTUBE" not in symbols(ask(make("score"), data))
