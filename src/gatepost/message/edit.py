"""Makes the head of the copy that goes out: trace fields in front, forged ones out, the subject's tag; no octet else.

A head is the header section with the empty line that ends it. The body never comes here: it is sent from the store as
it was received, from the offset on that `outgoing` returns.
"""

import re
from collections.abc import Iterator, Sequence
from email.charset import QP, Charset
from email.errors import HeaderParseError
from email.header import Header, decode_header
from functools import lru_cache
from typing import NamedTuple

from gatepost.message.fields import date
from gatepost.message.headers import uncommented
from gatepost.model.address import Address
from gatepost.model.stored import Message

ID_FIELDS = ("X-Gatepost-Id", "X-Fuglu-Id")
LINE = 78  # RFC 5322 2.1.1, what a line should not exceed

# Fields by which filters of other houses, or we, would be believed (threat 63, rules 35).
_FORGED = re.compile(rb"X-(?:Gatepost|Fuglu|Spam|Virus)(?:-[!-9;-~]*)?[ \t]*:", re.IGNORECASE)
_OURS = re.compile(rb"(Received-SPF|Authentication-Results)[ \t]*:(.*)", re.IGNORECASE | re.DOTALL)
_VALUE = rb"(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))"
_RECEIVER = re.compile(rb"receiver\s*=\s*" + _VALUE, re.IGNORECASE | re.DOTALL)
_SERVER = re.compile(rb"\s*" + _VALUE, re.DOTALL)  # RFC 8601 2.2: the id comes first
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_SUBJECT = re.compile(rb"(Subject[ \t]*:[ \t]*(?:\r\n[ \t]+)*)(.*)", re.IGNORECASE | re.DOTALL)
_NAMED = re.compile(rb"(?:\A|\r\n)(Date|Message-ID)[ \t]*:", re.IGNORECASE)
_SUSPECT = re.compile(rb"\n(?:x-(?:gatepost|fuglu|spam|virus)|authentication-results|received-spf)")
CONNECTOR = b"x-gatepost-connector"  # by which a provider shows for which domain it sends; never shown on
_HIDDEN = re.compile(rb"X-Gatepost-Connector[ \t]*:", re.IGNORECASE)
_BLIND = re.compile(rb"(?:Resent-)?Bcc[ \t]*:", re.IGNORECASE)
_DOMAIN = re.compile(r"[A-Za-z0-9._-]+\Z|\[[A-Za-z0-9.:]+\]\Z")

_WORDS = Charset("utf-8")
_WORDS.header_encoding = QP


class Head(NamedTuple):
    """The octets to send first, and where in the received mail the rest begins.

    `changed`: a field of the received mail was left out or tagged, so that signatures over it may not hold any more.
    """

    data: bytes
    offset: int
    changed: bool = False


def head_end(data: bytes) -> int:
    """Return the offset of the body, -1 if the data ends before the header section does."""
    if data.startswith(b"\r\n"):
        return 2
    end = data.find(b"\r\n\r\n")
    return end + 4 if end >= 0 else -1


def outgoing(
    data: bytes, fields: Sequence[tuple[str, str]], *, tag: str = "", authserv_id: str = "", authored: bool = False
) -> Head:
    """Return the head to send for a mail that starts with `data`; give at least the whole header section.

    `fields` are put in front in their order, folds as they are. Fields that only a filter may set are left out, as are
    Authentication-Results and Received-SPF that bear our `authserv_id`; of an `authored` mail, which its writer hands
    in himself, the blind copies, too. `tag` goes in front of every Subject that lacks it; a mail without a Subject gets
    one.
    """
    end = head_end(data)
    offset = end if end >= 0 else len(data)
    head = data[:offset]
    front = "".join([f"{name}: {value}\r\n" for name, value in fields]).encode()
    if _SUSPECT.search(b"\n" + head.lower()):
        head = b"".join(field for field in _fields(head) if not _forged(field, authserv_id.lower().encode()))
    if authored:
        head = unblinded(head)
    if words := " ".join(tag.split()):
        head, found = _tagged(head, words)
        front += b"" if found else b"Subject: " + _encoded(words) + b"\r\n"
    return Head(front + head, offset, head != data[:offset])


def unblinded(head: bytes) -> bytes:
    """Return a header section without its blind copies."""
    if b"bcc" not in head.lower():
        return head
    return b"".join(field for field in _fields(head) if not _BLIND.match(field))


def disconnected(data: bytes) -> bytes:
    """Return a mail, or the start of one, without the secret of a domain's connector in its header section."""
    end = head_end(data)
    head, rest = (data[:end], data[end:]) if end >= 0 else (data, b"")
    if CONNECTOR not in head.lower():
        return data
    return b"".join(field for field in _fields(head) if not _HIDDEN.match(field)) + rest


def _fields(head: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(head):
        end = head.find(b"\r\n", start)
        while end >= 0 and head[end + 2 : end + 3] in (b" ", b"\t"):
            end = head.find(b"\r\n", end + 2)
        stop = end + 2 if end >= 0 else len(head)
        yield head[start:stop]
        start = stop


def _forged(field: bytes, authserv_id: bytes) -> bool:
    if _FORGED.match(field):
        return True
    ours = _OURS.match(field)
    if not ours or not authserv_id:
        return False
    said = uncommented(ours[2].replace(b")", b") "))  # comments may stand anywhere, and part words
    found = _RECEIVER.finditer(said) if ours[1][:1] in b"Rr" else filter(None, [_SERVER.match(said)])
    return any(_ESCAPE.sub(rb"\1", each[1] or each[2] or b"").lower() == authserv_id for each in found)


def _tagged(head: bytes, tag: str) -> tuple[bytes, bool]:
    if b"subject" not in head.lower():
        return head, False
    found = False
    fields = []
    for field in _fields(head):
        subject = _SUBJECT.match(field)
        found = found or subject is not None
        fields.append(_prefixed(subject[1], subject[2], tag) if subject else field)
    return b"".join(fields), found


def _prefixed(name: bytes, text: bytes, tag: str) -> bytes:
    """Put the tag between a Subject's name and its text, which stays as it is."""
    if _starts_with(text, tag):
        return name + text
    if not name.endswith((b" ", b"\t")):
        name += b" "
    if not text.strip():
        return name + _encoded(tag) + text
    first = text.split(b"\r\n", 1)[0]
    # Between two encoded words a blank is not shown (RFC 2047 6.2), so it goes into ours.
    word = _encoded(tag, blank=first.startswith(b"=?"))
    last = word.rsplit(b"\r\n", 1)[-1]
    room = LINE - (len(last) if last is not word else len(name) + len(word))
    fits = len(first) < room or b"\r\n" in name
    return name + word + (b" " if fits else b"\r\n ") + text


def _starts_with(text: bytes, tag: str) -> bool:
    start = re.sub(rb"\r\n(?=[ \t])", b"", text[:1000])
    if b"=?" not in start:
        return start.decode("utf-8", "replace").startswith(tag)
    try:
        words = decode_header(start.decode("latin-1"))
        shown = "".join(
            word if isinstance(word, str) else word.decode(charset or "latin-1", "replace") for word, charset in words
        )
    except (HeaderParseError, LookupError, ValueError):
        return False
    return " ".join(shown.split()).startswith(tag)


def _encoded(text: str, *, blank: bool = False) -> bytes:
    """Return a text as it may stand in a Subject: plain ASCII, else encoded words (RFC 2047)."""
    if text.isascii() and text.isprintable() and "=?" not in text:
        return text.encode()
    words = Header(text + (" " if blank else ""), _WORDS, maxlinelen=LINE - len("Subject: "))
    return words.encode(linesep="\r\n").encode()


def completing(data: bytes, mail: Message) -> list[tuple[str, str]]:
    """Return what a mail, which starts with `data`, is given of a Date and a Message-ID that it lacks (RFC 6409 8)."""
    end = head_end(data)
    there = {name.lower() for name in _NAMED.findall(data[: end if end >= 0 else len(data)])}
    given = {b"date": ("Date", date(mail.received)), b"message-id": ("Message-ID", mail.message_id)}
    return [field for name, field in given.items() if name not in there and field[1]]


def trace_fields(
    mail: Message,
    *,
    host: str,
    recipient: Address | None = None,
    smtputf8: bool = False,
    protocol: str = "",
) -> list[tuple[str, str]]:
    """Return the fields that a mail gets on its way through: Received (RFC 5321 4.4) and our id, twice.

    `recipient` only when the copy has a single one; `protocol` replaces the keyword, for mail that came in by another
    door ("HTTP").
    """
    named = recipient is not None and (smtputf8 or not recipient.needs_smtputf8)
    line = received(
        helo=mail.helo,
        reverse=mail.reverse,
        ip=mail.client_ip,
        tls=mail.tls,
        login=mail.login,
        host=host,
        protocol=protocol or _protocol(mail, smtputf8),
        id=mail.id,
        at=mail.received,
        recipient=recipient if named else None,
    )
    return [("Received", line), *((name, mail.id) for name in ID_FIELDS)]


def received(
    *,
    helo: str,
    reverse: str,
    ip: str,
    tls: str | None,
    login: str | None,
    host: str,
    protocol: str,
    id: str,
    at: int,
    recipient: Address | None = None,
) -> str:
    """Return the text of a Received field (RFC 5321 4.4), folded; `at` in epoch milliseconds.

    Without an `ip` it tells nothing of the client: mail that was written here.
    """
    lines = [
        *([f"from {_domain(helo)} ({_domain(reverse)} {_address_literal(ip)})"] if ip else []),
        *([f"(using {_comment(tls)})"] if tls else []),
        *([f"(Authenticated sender: {_comment(login)})"] if login else []),
        f"by {_domain(host)} (Gatepost) with {protocol} id {id}",
    ]
    if recipient:
        lines.append(f"for <{recipient.text}>")
    return "\r\n\t".join(lines) + f";\r\n\t{date(at)}"


def _protocol(mail: Message, smtputf8: bool) -> str:
    """Return the keyword of RFC 3848 and RFC 6531 4.3."""
    if not mail.esmtp:
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if mail.tls else "") + ("A" if mail.login else "")


@lru_cache(maxsize=1000)
def _domain(text: str) -> str:
    """Return a name as it may stand in Received; what is no name is shown with its odd signs replaced (threat 22)."""
    if _DOMAIN.match(text):
        return text[:255]
    return re.sub(r"[^A-Za-z0-9._:\[\]-]", "?", text)[:255] or "unknown"


def _address_literal(ip: str) -> str:
    return f"[IPv6:{_domain(ip)}]" if ":" in ip else f"[{_domain(ip)}]"


def _comment(text: str) -> str:
    """Return a text fit for a comment; one pair of brackets inside, as of a cipher, is kept."""
    clean = re.sub(r"[^ -~]|\\", "?", text)[:200]
    balanced = re.fullmatch(r"[^()]*(?:\([^()]*\)[^()]*)*", clean)
    return clean if balanced else re.sub(r"[()]", "?", clean)
