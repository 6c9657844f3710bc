"""QR codes: what a phone would open is a link of the mail, where it is asked for."""

import io

import pytest
import segno
from tests.message.mails import attachment, mail, take_apart

from gatepost.message import qr
from gatepost.message.anatomy import Anatomy, Source
from gatepost.settings import Limits


def code(text: str, **options: object) -> bytes:
    out = io.BytesIO()
    segno.make(text, micro=False).save(out, kind="png", scale=4, **options)
    return out.getvalue()


def look(image: bytes, images: int = 5) -> Anatomy:
    return take_apart(mail(attachment(b"code.png", image, b"image/png")), Limits(qr_images=images))


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("https://evil.example/login", ["evil.example"]),
        ("HTTPS://EVIL.EXAMPLE/", ["evil.example"]),
        ("evil.com/x", ["evil.com"]),
        ("WIFI:S:guest;T:WPA;P:secret;;", []),
    ],
)
def test_the_link_of_a_code_is_a_link_of_the_mail(text: str, hosts: list[str]) -> None:
    links = look(code(text)).links
    assert [(link.host, link.source) for link in links] == [(host, Source.IMAGE) for host in hosts]


@pytest.mark.parametrize("options", [{"dark": "white", "light": "black"}, {"light": None}], ids=["inverse", "clear"])
def test_codes_in_other_colours_are_read_as_a_phone_does(options: dict[str, object]) -> None:
    assert look(code("http://evil.example/", **options)).links


def test_images_are_left_alone_unless_asked_for_and_broken_ones_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    image = code("http://evil.example/")
    assert not look(image, images=0).links
    for broken in (image[:200], image[:40] + b"\xff" * 400, b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"\xff" * 20):
        assert list(qr.texts(broken)) == []
    monkeypatch.setattr(qr, "PIXELS", 100)
    assert list(qr.texts(image)) == []
