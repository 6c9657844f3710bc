"""Builds plain mails: for `gatepost send`, for samples and for our own notices."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.utils import format_datetime

import msgspec

from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.problem import Kind, Problem

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}\Z")  # RFC 5322 2.2; the library does not look (threat 119, F13)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MEDIA_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]{0,126})/([a-z0-9][a-z0-9!#$&^_.+-]{0,126})\Z", re.IGNORECASE)
_OURS = frozenset(
    {"from", "to", "cc", "bcc", "subject", "reply-to", "date", "message-id", "auto-submitted", "mime-version"}
    | {"content-type", "content-disposition", "content-transfer-encoding", "received", "return-path"}
)


class Party(msgspec.Struct, frozen=True):
    """A mailbox with the name that stands before it."""

    address: str
    name: str = ""


class Attachment(msgspec.Struct, frozen=True):
    """A file to send along; `type` is its media type."""

    name: str
    data: bytes
    type: str = "application/octet-stream"


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What a mail shall say. `date` in epoch milliseconds; `message_id` without its brackets.

    With both texts the mail is a multipart/alternative. `extra` are further fields; those that this module writes
    itself are refused there. A blind copy is an envelope's matter: there is no Bcc.
    """

    sender: Party
    to: Sequence[Party] = ()
    cc: Sequence[Party] = ()
    reply_to: Sequence[Party] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: Sequence[Attachment] = ()
    extra: Sequence[tuple[str, str]] = ()
    date: int
    message_id: str
    automatic: str = ""  # Auto-Submitted (RFC 3834): "auto-generated", "auto-replied"


def compose(letter: Letter) -> bytes:
    """Return the mail with CRLF lines; raise Problem (MALFORMED) that points at the member at fault."""
    parties = [letter.sender, *letter.to, *letter.cc, *letter.reply_to]
    smtputf8 = not all(party.address.isascii() for party in parties)
    rules = policy.SMTPUTF8 if smtputf8 else policy.SMTP
    message = EmailMessage(policy=rules.clone(cte_type="7bit"))  # every hop can take that
    _address(message, letter)
    message["Subject"] = _line(letter.subject, "subject")
    message["Date"] = format_datetime(datetime.fromtimestamp(letter.date // 1000, UTC))
    message["Message-ID"] = f"<{_message_id(letter.message_id)}>"
    if letter.automatic:
        message["Auto-Submitted"] = _line(letter.automatic, "automatic")
    _add_extra(message, letter.extra)
    _fill(message, letter)
    return message.as_bytes()


def _address(message: EmailMessage, letter: Letter) -> None:
    message["From"] = _mailbox(letter.sender, "from")
    for name, parties in (("To", letter.to), ("Cc", letter.cc), ("Reply-To", letter.reply_to)):
        if parties:
            message[name] = [_mailbox(party, name.lower()) for party in parties]


def _mailbox(party: Party, member: str) -> Mailbox:
    _line(party.address, member)
    try:
        address = parse_address(party.address)
    except BadAddress as error:
        raise Problem(Kind.MALFORMED, f"{member}: {error}", pointer=f"/{member}") from error
    return Mailbox(display_name=_line(party.name, member), username=_bare(address), domain=address.domain)


def _bare(address: Address) -> str:
    """Return a local part without its quotes; the library puts them back where they are needed."""
    local = address.local
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local


def _add_extra(message: EmailMessage, extra: Sequence[tuple[str, str]]) -> None:
    for name, value in extra:
        if not _FIELD_NAME.match(name):
            raise Problem(Kind.MALFORMED, "a header name is malformed", pointer="/headers")
        if name.lower() in _OURS:
            raise Problem(Kind.MALFORMED, f"the header {name} is written by the server", pointer="/headers")
        message[name] = _line(value, "headers")


def _fill(message: EmailMessage, letter: Letter) -> None:
    if letter.text is not None or letter.html is None:
        message.set_content(_text(letter.text or "", "text"))
    if letter.html is not None:
        html = _text(letter.html, "html")
        if letter.text is None:
            message.set_content(html, subtype="html")
        else:
            message.add_alternative(html, subtype="html")
    for attachment in letter.attachments:
        _attach(message, attachment)


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    kind = _MEDIA_TYPE.match(attachment.type)
    if not kind:
        raise Problem(Kind.MALFORMED, "a media type is malformed", pointer="/attachments")
    name = _line(attachment.name, "attachments")
    main, sub = kind[1].lower(), kind[2].lower()
    if main in ("multipart", "message"):  # may not be encoded (RFC 2045 6.4), so it goes as a file
        main, sub = "application", "octet-stream"
    message.add_attachment(attachment.data, maintype=main, subtype=sub, filename=name)


def _line(text: str, member: str) -> str:
    """Return a text that may stand in a field; nobody gets a second line into one (threat 119)."""
    if _CONTROL.search(text):
        raise Problem(Kind.MALFORMED, f"{member} contains a character that is not allowed", pointer=f"/{member}")
    return text


def _text(text: str, member: str) -> str:
    if re.search(r"[\x00\ud800-\udfff]", text):
        raise Problem(Kind.MALFORMED, f"{member} contains a character that is not allowed", pointer=f"/{member}")
    return text


def _message_id(text: str) -> str:
    if not re.match(r"[!-;=?-~]{1,200}@[!-;=?A-~]{1,255}\Z", text):
        raise Problem(Kind.MALFORMED, "the Message-ID is malformed", pointer="/message_id")
    return text
