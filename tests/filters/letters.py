"""Letters for the rules: one that no rule has a word against, and what makes it another."""

import base64
from typing import Any

from tests.filters.mails import attached, mixed

HEADER = {
    "Received": "from mail.b.test (mail.b.test [93.184.216.34]) by mx.ours.test (Postfix) with ESMTPS id 4AB3"
    " for <bob@ours.test>; Mon, 24 Nov 2025 12:00:01 +0000",
    "From": "Ann Lee <ann@a.test>",
    "To": "Bob <bob@ours.test>",
    "Subject": "Tomorrow",
    "Date": "Mon, 24 Nov 2025 12:00:00 +0000",
    "Message-ID": "<20251124120000.1@a.test>",
    "MIME-Version": "1.0",
}
TEXT = (
    "Hello Bob,\r\n\r\nthe meeting is at ten tomorrow, as we said. I bring the drawings and the report.\r\n\r\nAnn\r\n"
)


def letter(
    text: str = TEXT, *, html: str = "", files: tuple[bytes, ...] = (), raw: bytes = b"", **fields: Any
) -> bytes:
    """Return a mail. Fields by their names, `_` for `-`, None: left out; `raw` replaces all from Content-Type on."""
    kept = HEADER | {name.replace("_", "-"): value for name, value in fields.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in kept.items() if value is not None).encode(
        "utf-8", "replace"
    )
    if raw:
        return head + raw
    body = html_part(html) if html else text_part(text)
    if files:
        return head + mixed(body, *files).partition(b"MIME-Version: 1.0\r\n")[2]
    return head + body


def text_part(text: str) -> bytes:
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text.encode()


def html_part(page: str) -> bytes:
    return b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + page.encode()


def document(body: str) -> str:
    """Return a page that says what TEXT says, and `body`."""
    return f"<html><body><p>{TEXT}</p>{body}</body></html>"


def both(plain: str, page: str) -> bytes:
    """Return multipart/alternative, from Content-Type on."""
    limit = b"--border\r\n"
    start = b'Content-Type: multipart/alternative; boundary="border"\r\n\r\n'
    return start + limit + text_part(plain) + b"\r\n" + limit + html_part(page) + b"\r\n--border--\r\n"


def coded(text: str, kind: str = "text/plain") -> bytes:
    """Return a text in base64, from Content-Type on."""
    head = f"Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + base64.encodebytes(text.encode()).replace(b"\n", b"\r\n")


def file(name: str, data: bytes = b"some data", kind: str = "application/octet-stream") -> bytes:
    return attached(data, f'attachment; filename="{name}"', kind)
