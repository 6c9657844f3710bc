"""What a mail says: its texts, and its HTML where no text says the same."""

import pytest
from tests.message.mails import mail, multipart, take_apart

from gatepost.message.reading import said

PLAIN = b"Content-Type: text/plain\r\n\r\nplain"
BLANK = b"Content-Type: text/plain\r\n\r\n \r\n"
HTML = b"Content-Type: text/html\r\n\r\n<p>rich</p>"
FOOTER = b"Content-Type: text/plain\r\n\r\nthe list"
FILE = b"Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\nfile"


def choice(*parts: bytes) -> bytes:
    return multipart(*parts, boundary=b"choice", kind=b"alternative")


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        (PLAIN, "plain"),
        (HTML, "rich"),
        (choice(PLAIN, HTML), "plain"),
        (choice(BLANK, HTML), "rich"),
        (multipart(HTML, FOOTER), "rich\nthe list"),
        (multipart(choice(PLAIN, HTML), FOOTER, FILE), "plain\nthe list"),
        (choice(PLAIN, multipart(HTML, FILE, HTML)), "plain"),
        (multipart(choice(BLANK, multipart(HTML, boundary=b"images", kind=b"related")), FOOTER), "rich\nthe list"),
        (multipart(BLANK, FILE), ""),
        (choice(PLAIN.replace(b"plain\r", b"plain; name=a\r"), HTML.replace(b"html\r", b"html; name=b\r")), "plain"),
    ],
    ids=[
        "text",
        "html",
        "both",
        "empty text",
        "footer",
        "both, footer",
        "nested",
        "empty text, footer",
        "nothing",
        "names",
    ],
)
def test_a_mail_says(entity: bytes, text: str) -> None:
    assert said(take_apart(mail(entity))) == text
