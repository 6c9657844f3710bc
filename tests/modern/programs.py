"""Dresses a mail as the program that wrote it would: its header fields, its Message-ID and its HTML.

The text is plain, with `[label](address)` for a link and `![words](address)` for a picture; a paragraph that is a link
alone is a button where the program has buttons.
"""

import html
import re
from collections.abc import Callable
from typing import NamedTuple

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


class Dress(NamedTuple):
    """What a program makes of a text: the plain part, the page ("" for none), and its header fields."""

    text: str
    page: str
    fields: dict[str, str]


class Sheet(NamedTuple):
    """What is known of a mail: a number of its own, the author's domain and name, and the subject."""

    number: int
    domain: str
    name: str
    subject: str

    @property
    def digits(self) -> str:
        """Return 32 hexadecimal digits of this mail's own."""
        return f"{self.number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}"

    @property
    def uuid(self) -> str:
        one = self.digits
        return f"{one[:8]}-{one[8:12]}-4{one[13:16]}-a{one[17:20]}-{one[20:]}"


def _plain(text: str, form: str) -> str:
    return _LINK.sub(form, _PICTURE.sub(r"\1", text))


def _marked(text: str) -> str:
    """Return text as HTML: escaped, with its links and pictures."""
    shown = _PICTURE.sub(r'<img src="\2" alt="\1" style="max-width:100%;border:0">', html.escape(text, quote=False))
    return _LINK.sub(r'<a href="\2">\1</a>', shown)


def _paragraphs(text: str) -> list[str]:
    return [_marked(part) for part in text.strip().split("\n\n")]


def _gmail(text: str, sheet: Sheet) -> Dress:
    lines = "".join(f"<div>{line or '<br>'}</div>" for line in _marked(text.strip()).split("\n"))
    fields = {"MIME-Version": "1.0", "Message-ID": f"<CA+{sheet.digits[:20]}=z{sheet.digits[20:]}@mail.gmail.com>"}
    return Dress(_plain(text, r"\1 <\2>"), f'<div dir="ltr">{lines}</div>', fields)


def _outlook(text: str, sheet: Sheet) -> Dress:
    body = "".join(
        f'<p class="MsoNormal">{part.replace(chr(10), "<br>")}<o:p></o:p></p><p class="MsoNormal"><o:p>&nbsp;</o:p></p>'
        for part in _paragraphs(text)
    )
    page = (
        '<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office" '
        'xmlns:w="urn:schemas-microsoft-com:office:word" xmlns="http://www.w3.org/TR/REC-html40"><head><meta '
        'name="Generator" content="Microsoft Word 15 (filtered medium)"><style><!-- @font-face {font-family:Calibri;} '
        'p.MsoNormal {margin:0cm;font-size:11.0pt;font-family:"Calibri",sans-serif;} --></style></head>'
        f'<body lang="EN-GB" link="#0563C1" vlink="#954F72"><div class="WordSection1">{body}</div></body></html>'
    )
    server = f"AM{sheet.number % 9}PR05MB{sheet.number % 9000 + 1000}.eurprd05.prod.outlook.com"
    fields = {
        "Thread-Topic": sheet.subject,
        "Thread-Index": f"AQHb{sheet.digits[:20]}==",
        "Message-ID": f"<AM6PR05MB{sheet.digits[:24].upper()}@{server}>",
        "Accept-Language": "en-GB, en-US",
        "Content-Language": "en-US",
        "X-MS-Has-Attach": "",
        "X-MS-TNEF-Correlator": "",
        "x-ms-publictraffictype": "Email",
        "X-MS-Exchange-Transport-CrossTenantHeadersStamped": server.split(".", maxsplit=1)[0],
        "MIME-Version": "1.0",
    }
    return Dress(_plain(text, r"\1<\2>"), page, fields)


def _apple(text: str, sheet: Sheet) -> Dress:
    fields = {
        "Mime-Version": "1.0 (Mac OS X Mail 16.0 \\(3826.200.121\\))",
        "Message-ID": f"<{sheet.uuid.upper()}@{sheet.domain}>",
        "X-Mailer": "Apple Mail (2.3826.200.121)",
    }
    return Dress(_plain(text, r"\1 <\2>"), "", fields)


def _iphone(text: str, sheet: Sheet) -> Dress:
    dress = _apple(text, sheet)
    return dress._replace(fields={**dress.fields, "Mime-Version": "1.0 (1.0)", "X-Mailer": "iPhone Mail (22B91)"})


def _thunderbird(text: str, sheet: Sheet) -> Dress:
    page = "".join(f"<p>{part.replace(chr(10), '<br>')}</p>" for part in _paragraphs(text))
    head = '<html><head><meta http-equiv="content-type" content="text/html; charset=UTF-8"></head><body>'
    fields = {
        "Message-ID": f"<{sheet.uuid}@{sheet.domain}>",
        "MIME-Version": "1.0",
        "User-Agent": "Mozilla Thunderbird",
        "Content-Language": "en-US",
    }
    return Dress(_plain(text, r"\1 <\2>"), f"{head}{page}</body></html>", fields)


def _roundcube(text: str, sheet: Sheet) -> Dress:
    fields = {
        "MIME-Version": "1.0",
        "User-Agent": "Roundcube Webmail/1.6.6",
        "Message-ID": f"<{sheet.digits}@{sheet.domain}>",
        "X-Sender": f"info@{sheet.domain}",
    }
    return Dress(_plain(text, r"\2"), "", fields)


def _git(text: str, sheet: Sheet) -> Dress:
    fields = {
        "Message-ID": f"<20251014{sheet.number % 10**6:06d}.{sheet.number % 99991}-1-dev@{sheet.domain}>",
        "X-Mailer": "git-send-email 2.47.0",
        "MIME-Version": "1.0",
    }
    return Dress(text, "", fields)


def _program(text: str, sheet: Sheet) -> Dress:
    fields = {"MIME-Version": "1.0", "Message-ID": f"<{sheet.digits[:24]}.{sheet.number % 997}@{sheet.domain}>"}
    return Dress(_plain(text, r"\1: \2"), "", fields)


def _tables(text: str, foot: str, sheet: Sheet) -> str:
    """Return a page as a firm that sends for others builds it: tables, a hidden preview, buttons."""
    rows = ""
    for part in _paragraphs(text):
        style = "padding:9px 24px;font-family:Helvetica,Arial,sans-serif;font-size:15px;line-height:150%;color:#2b2b2b"
        if re.fullmatch(r"<a href=\"[^\"]*\">[^<]*</a>", part):
            button = "background:#0b6bcb;border-radius:4px;color:#ffffff;padding:13px 26px;text-decoration:none"
            part = part.replace("<a ", f'<a style="{button}" target="_blank" ')
        rows += f'<tr><td style="{style}">{part.replace(chr(10), "<br>")}</td></tr>'
    preview = html.escape(text.strip()[:60])
    return (
        '<!DOCTYPE html><html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="UTF-8"><meta '
        'name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(sheet.subject)}</title>"
        '<style type="text/css">p{margin:10px 0;padding:0}table{border-collapse:collapse}img{border:0}@media only '
        "screen and (max-width:480px){body{width:100% !important}}</style></head><body><span "
        'style="display:none;font-size:0;line-height:0;max-height:0;overflow:hidden;mso-hide:all">'
        f'{preview}</span><table align="center" border="0" cellpadding="0" cellspacing="0" width="100%"><tr><td '
        'align="center"><table border="0" cellpadding="0" cellspacing="0" width="600" style="background:#ffffff">'
        f'{rows}<tr><td style="padding:18px 24px;font-size:12px;color:#656565">{foot}</td></tr></table></td></tr>'
        f'</table><img src="https://{sheet.domain}/open/{sheet.digits[:12]}.gif" width="1" height="1" alt=""></body>'
        "</html>"
    )


def _mailchimp(text: str, sheet: Sheet) -> Dress:
    short, mark = sheet.digits[:10], sheet.digits[:25]
    leave = f"https://{sheet.domain.split('.')[0]}.us14.list-manage.com/unsubscribe?u={mark}&id={short}"
    foot = (
        f'You receive this since you signed up with us.<br><a href="{leave}">Unsubscribe</a> or update your preferences'
    )
    fields = {
        "Message-ID": f"<{sheet.digits}.{short}.20251014071244.{short}@mail12.atl{sheet.number % 99}.mcsv.net>",
        "X-Mailer": f"MailChimp Mailer - **CID{short}{short}**",
        "X-Campaign": f"mailchimp{mark}.{short}",
        "X-campaignid": f"mailchimp{mark}.{short}",
        "X-Report-Abuse": "Please report abuse for this campaign here: https://mailchimp.com/contact/abuse/",
        "Feedback-ID": f"{sheet.number}:{sheet.number}.{sheet.number % 99999}:us14:mc",
        "List-ID": f"{mark} list <{mark}.{sheet.number % 9999}.list-id.mcsv.net>",
        "List-Unsubscribe": f"<{leave}>, <mailto:unsubscribe-mc.us14_{sheet.digits[:20]}@unsubscribe.mailchimpapp.net>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "MIME-Version": "1.0",
    }
    return Dress(_plain(text, r"\1 (\2)") + f"\n==\nUnsubscribe {leave}\n", _tables(text, foot, sheet), fields)


def _sendgrid(text: str, sheet: Sheet) -> Dress:
    fields = {
        "Message-ID": f"<{sheet.digits[:22]}@geopod-ismtpd-{sheet.number % 40}>",
        "X-SG-EID": f"u001.{sheet.digits}{sheet.digits}",
        "X-SG-ID": f"u001.{sheet.digits}",
        "X-Entity-ID": f"u001.{sheet.digits[:20]}==",
        "MIME-Version": "1.0",
    }
    return Dress(_plain(text, r"\1 ( \2 )"), _tables(text, html.escape(sheet.name), sheet), fields)


def _ses(text: str, sheet: Sheet) -> Dress:
    fields = {
        "Message-ID": f"<01020199{sheet.digits[:8]}-{sheet.uuid}-000000@eu-west-1.amazonses.com>",
        "Feedback-ID": "::1.eu-west-1.b0Sx7Yp2:AmazonSES",
        "X-SES-Outgoing": "2025.10.14-93.184.216.34",
        "MIME-Version": "1.0",
    }
    return Dress(_plain(text, r"\1: \2"), _tables(text, html.escape(sheet.name), sheet), fields)


def _phpmailer(text: str, sheet: Sheet) -> Dress:
    fields = {
        "Message-ID": f"<{sheet.digits}{sheet.digits[:10]}@{sheet.domain}>",
        "X-Mailer": "PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)",
        "MIME-Version": "1.0",
    }
    return Dress("", "".join(f"<p>{part.replace(chr(10), '<br />')}</p>" for part in _paragraphs(text)), fields)


PROGRAMS: dict[str, Callable[[str, Sheet], Dress]] = {
    "gmail": _gmail,
    "outlook": _outlook,
    "apple": _apple,
    "iphone": _iphone,
    "thunderbird": _thunderbird,
    "roundcube": _roundcube,
    "git": _git,
    "program": _program,
    "mailchimp": _mailchimp,
    "sendgrid": _sendgrid,
    "ses": _ses,
    "phpmailer": _phpmailer,
}
"""By name; `program` stands for any that sends plain text by itself."""
