"""Makes mails of the tables beside it: with the headers that their senders write, and what is proven of them.

A table is a mail: `from`, `subject`, `text` or `html` (`alt`: a plain text beside it; `shell`: in the dress of a mail
that a program writes), `files`, `qr` (what a QR code says), `headers`, and `via`, the way it came. `answers`: it
answers a mail of the reader's. `program`: which one wrote it (programs.py); it makes the page of the text.
"""

import hashlib
import html
import io
import itertools
import re
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple

import segno
from tests.modern.programs import PROGRAMS, Sheet

from gatepost.model.auth import AuthResults, Dmarc, Iprev, Policy, Result, Signature, Spf

HOME = Path(__file__).parent
FILES = {
    "spam": ("spam", ""),
    "clean": ("clean", ""),
    "adverts": ("advert", ""),
    "near": ("clean", "improved"),
    "fresh_spam": ("spam", "fresh"),
    "fresh_clean": ("clean", "fresh"),
    "later_spam": ("spam", "later"),
    "later_clean": ("clean", "later"),
    "later_adverts": ("advert", "later"),
    "wide_spam": ("spam", "wide"),
    "wide_clean": ("clean", "wide"),
    "wide_adverts": ("advert", "wide"),
    "last_spam": ("spam", "last"),
    "last_clean": ("clean", "last"),
    "check_spam": ("spam", "check"),
    "check_clean": ("clean", "check"),
    "blind_spam": ("spam", "blind"),
    "blind_clean": ("clean", "blind"),
    "blind_adverts": ("advert", "blind"),
    "notices": ("clean", "notices"),
    "odd_spam": ("spam", "odd"),
    "odd_clean": ("clean", "odd"),
    "third_spam": ("spam", "third"),
    "third_clean": ("clean", "third"),
}
"""The files: what their mails are, and their lot; those without are halved by their names."""

LOTS = ("improved", "held", "fresh", "later", "wide", "last", "check", "blind", "notices", "odd", "third")
"""Those looked at while the rules were improved, those held back, those written then, two of other hands, the last, and
those that were judged unseen."""

BOB = "Bob Hale <bob@ours.test>"
FIRST = datetime(2025, 10, 14, 7, 12, 44, tzinfo=UTC)
SHELL = (HOME / "shell.html").read_text("utf-8").strip()
_TAG = re.compile(r"<[^>]*>")
_LINK = re.compile(r'<a\s[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)


class Made(NamedTuple):
    """A mail as it goes on the wire, and what is proven of its sender; `received` in milliseconds of the epoch."""

    name: str
    label: str
    data: bytes
    auth: AuthResults
    received: int
    lot: str


class Way(NamedTuple):
    """The way that a mail came: the server that hands it in, the domain in MAIL FROM, and who signed it.

    `names` is the domain in the Message-ID, if that is not the author's.
    """

    server: str
    bounces: str
    signer: str
    proven: bool
    names: str = ""


_OUTLOOK = ("eur05-am6-obe.outbound.protection.outlook.com", "AM6PR05MB4417.eurprd05.prod.outlook.com")
_YAHOO = ("sonic310-22.consmr.mail.ir2.yahoo.com", "mail.yahoo.com")
_PROVIDERS = {  # the server, and the domain in the Message-ID
    "gmail.com": ("mail-lf1-f48.google.com", "mail.gmail.com"),
    "icloud.com": ("p00-icloudmta-asmtp.me.com", "icloud.com"),
    "yahoo.com": _YAHOO,
    "yahoo.es": _YAHOO,
    "yahoo.de": _YAHOO,
    "web.de": ("mout.web.de", "3c-app-webde-bs12.server.lan"),
    "gmx.de": ("mout.gmx.net", "3c-app-gmx-bs12.server.lan"),
    "laposte.net": ("smtpout190.laposte.net", "laposte.net"),
    "libero.it": ("libero.it", "libero.it"),
    "wp.pl": ("mx3.wp.pl", "wp.pl"),
    "mail.ru": ("fallback1.mail.ru", "mail.ru"),
    "qq.com": ("out203-205-221-190.mail.qq.com", "qq.com"),
    "163.com": ("m16.mail.163.com", "163.com"),
    "uol.com.br": ("smtpout1.uol.com.br", "uol.com.br"),
    "t-online.de": ("mailout06.t-online.de", "t-online.de"),
    "orange.fr": ("smtp-24.smtpout.orange.fr", "orange.fr"),
}


def _way(via: str, domain: str) -> Way:
    """Return how a domain's mail came: `esp` is a firm that sends for others, `hijacked` a script on a web site."""
    server, names = _PROVIDERS.get(domain, _OUTLOOK)
    ways = {
        "own": Way(f"mail.{domain}", domain, domain, True),
        "cloud": Way(_OUTLOOK[0], domain, domain, True, _OUTLOOK[1]),
        "provider": Way(server, domain, domain, True, names),
        "esp": Way("o7.ptr4417.mailgrid.example", "em8812.mailgrid.example", domain, True),
        "list": Way(
            "lists.roofers.example", "lists.roofers.example", "roofers.example", domain == "lists.roofers.example"
        ),
        "hijacked": Way("srv17.hostpanel.example", "srv17.hostpanel.example", "", False),
        "bare": Way(f"vps.{domain}", domain, "", False),
        "spoof": Way("host44.cheapvps.example", domain, "", False),
    }
    return ways[via]


def _proofs(via: str, domain: str, way: Way) -> AuthResults:
    spf = {"bare": Result.NONE, "spoof": Result.SOFTFAIL}.get(via, Result.PASS)
    failed = {"list": (Result.FAIL, Policy.REJECT), "spoof": (Result.FAIL, Policy.NONE)}
    dmarc, policy = (Result.PASS, Policy.NONE) if way.proven else failed.get(via, (Result.NONE, Policy.NONE))
    signed = (Signature(result=Result.PASS, domain=way.signer),) if way.signer else ()
    return AuthResults(
        mail_from=Spf(result=spf, domain=way.bounces),
        helo=Spf(result=Result.NONE, domain=way.server),
        signatures=signed,
        dmarc=Dmarc(result=dmarc, domain=domain, policy=policy),
        iprev=Iprev(result=Result.PASS, ip="93.184.216.34", name=way.server),
        proven=way.proven,
    )


def mails(*lots: str, step: int = 1) -> Iterator[Made]:
    """Yield each mail of some lots (without: of all), or one of `step`."""
    tables = (table for table in _tables() if not lots or table[-1] in lots)
    for name, label, table, lot in itertools.islice(tables, 0, None, step):
        yield _made(name, label, table, lot)


def _tables() -> Iterator[tuple[str, str, dict[str, Any], str]]:
    for file, (label, lot) in FILES.items():
        tables = tomllib.loads((HOME / f"{file}.toml").read_text("utf-8"))
        for name, table in tables.items():
            yield name, label, table, lot or LOTS[hashlib.sha256(name.encode()).digest()[0] & 1]


def _made(name: str, label: str, table: dict[str, Any], lot: str) -> Made:
    number = zlib.crc32(name.encode())
    sender = EmailMessage(SMTP)
    sender["From"] = table["from"]
    author = sender["From"].addresses[0]
    way = _way(table["via"], author.domain)
    sent = FIRST + timedelta(seconds=number % 2_000_000)
    dressed: dict[str, str] = {}
    if "program" in table:
        sheet = Sheet(number, author.domain, author.display_name, table["subject"])
        text, page, dressed = PROGRAMS[table["program"]](table["text"].lstrip("\n"), sheet)
        table = {**table, "text": text, "html": page}
    mail = _body(table, author)
    fields = {
        "From": table["from"],
        "To": table.get("to", BOB),
        "Reply-To": table.get("reply_to"),
        "Subject": table["subject"],
        "Date": format_datetime(sent),
        "Message-ID": f"<{number:08x}.{number % 9973}@{way.names or author.domain}>",
        "In-Reply-To": "<4711.1@ours.test>" if table.get("answers") else None,
        "References": "<4711.1@ours.test>" if table.get("answers") else None,
        **dressed,
        **table.get("headers", {}),
    }
    for field, value in fields.items():
        if value is not None:
            del mail[field]
            mail[field] = value
    came = sent + timedelta(seconds=2)
    head = (
        f"Return-Path: <{'bounce-' if table['via'] == 'esp' else ''}{author.username}@{way.bounces}>\r\n"
        f"Received: from {way.server} ({way.server} [93.184.216.34]) by mx.ours.test (Postfix) with ESMTPS\r\n"
        f" id {number:08X} for <bob@ours.test>; {format_datetime(came)}\r\n"
    )
    if way.signer:
        head += f"DKIM-Signature: v=1; a=rsa-sha256; d={way.signer}; s=s1; h=from:to:subject:date; bh=bm8=; b=bm8=\r\n"
    data = head.encode() + mail.as_bytes()
    return Made(name, label, data, _proofs(table["via"], author.domain, way), round(came.timestamp() * 1000), lot)


def _body(table: dict[str, Any], author: Any) -> EmailMessage:
    mail = EmailMessage(SMTP)
    page = table.get("html", "").strip()
    if text := table.get("text", "").lstrip("\n") or (_shown(page) if table.get("alt") else ""):
        mail.set_content(text, cte="8bit" if text.isascii() else "quoted-printable")
    if page:
        if table.get("shell"):
            shown = {"name": author.display_name, "host": author.domain, "subject": table["subject"]}
            page = SHELL.format(body=page, **{key: html.escape(value) for key, value in shown.items()})
        written = mail.add_alternative if text else mail.set_content
        written(page, subtype="html", cte="quoted-printable")
    if "qr" in table:
        picture = io.BytesIO()
        segno.make(table["qr"]).save(picture, kind="png", scale=4)
        page_part = list(mail.iter_parts())[-1] if mail.is_multipart() else mail
        page_part.add_related(picture.getvalue(), "image", "png", cid="<qr1>")
    for file in table.get("files", ()):
        kind, _, subtype = file.get("kind", "application/zip").partition("/")
        data = _archive(file) if "member" in file else file["data"].encode()
        mail.add_attachment(data, kind, subtype, filename=file["name"])
    return mail


def _shown(page: str) -> str:
    return html.unescape(_TAG.sub("", _LINK.sub(r"\2 ( \1 )", page)))


def _archive(file: dict[str, Any]) -> bytes:
    """Return a zip archive of one member; of an encrypted one there is the flag alone."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(file["member"], "content")
    data = bytearray(out.getvalue())
    if file.get("encrypted"):
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)
