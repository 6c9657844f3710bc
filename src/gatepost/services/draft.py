"""What somebody wants to send, in the words that every API shares; and the letter that comes of it."""

import asyncio
import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from gatepost.message.compose import Attachment, Letter, Party, compose
from gatepost.message.spoken import spoken
from gatepost.model.outgoing import NORMAL
from gatepost.model.problem import Kind, Problem
from gatepost.services.records import Name, read_address

INLINE = 65_536  # characters and octets that are coded on the event loop: a thread costs more than that
CHOSEN, TLS = "X-Gatepost-Connection", "X-Gatepost-Require-TLS"
"""The fields of a saved draft that say how it is to leave: by which connection, as an API takes it (JSON); "yes"."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_LONGEST, _LONG_SUBJECT = 1000, 10_000  # characters of an address with its name, and of a subject


Parties = tuple[Party, ...]


class Enclosure(msgspec.Struct, frozen=True):
    """A file that was uploaded before; `name` as the mail shall show it, "" for the upload's own."""

    uid: str
    name: str = ""


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A connection by its project and its name."""

    project: Name
    name: Name


class Sharing(msgspec.Struct, frozen=True):
    """Uploads that the mail links to: until when (a day, or as `+2days`; "" as long as they are fetched), guarded by
    which password, and below which address of ours."""

    uploads: tuple[Enclosure, ...]
    expires: str = ""
    password: str = ""
    base: str = ""


class Thread(msgspec.Struct, frozen=True):
    """Where a mail stands in a conversation: the Message-ID that it answers, and those before; without brackets.

    `origin` is our id of the mail that is answered.
    """

    origin: str = ""
    answers: str = ""
    before: tuple[str, ...] = ()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A mail to be sent. `sender` None: the caller's own address. HTML without a text gets one that is made of it.

    `uploads` are files brought before; `origin_id` the mail that is answered or forwarded; `draft_id` the draft that
    goes once the mail is sent. With `sign` the user's signature is put under the HTML, where he has retention.
    `connection` is the outgoing relay by which it leaves, with `require_tls` it asks for REQUIRETLS (RFC 8689); where
    these are None the saved draft's count. `thread` is where a mail stands that is sent later: what it answers may be
    gone by then.
    """

    sender: Party | None = None
    to: tuple[Party, ...] = ()
    cc: tuple[Party, ...] = ()
    bcc: tuple[Party, ...] = ()
    reply_to: tuple[Party, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    html_only: bool = False
    attachments: tuple[Attachment, ...] = ()
    uploads: tuple[Enclosure, ...] = ()
    sharing: Sharing | None = None
    origin_id: str | None = None
    draft_id: str | None = None
    priority: int = NORMAL
    ack: bool = False
    sign: bool = False
    connection: Binding | None = None
    require_tls: bool | None = None
    thread: Thread | UnsetType = UNSET  # left out, where it is not said, of what is remembered of a request


def read_parties(texts: Sequence[str], member: str) -> Parties:
    """Read addresses, each alone or as `Name <address>`; raise MALFORMED that points at the one at fault."""
    return tuple(read_party(text, f"/{member}/{at}") for at, text in enumerate(texts))


def read_party(text: str, pointer: str) -> Party:
    """Read one address, alone or as `Name <address>`; raise MALFORMED for several, of which none may be lost."""
    if _CONTROL.search(text):
        raise Problem(Kind.MALFORMED, "The address contains a character that is not allowed.", pointer=pointer)
    if len(text) > _LONGEST:
        raise Problem(Kind.MALFORMED, f"An address has at most {_LONGEST} characters.", pointer=pointer)
    text = text.strip()
    name, bracket, address = text[:-1].rpartition("<") if text.endswith(">") else ("", "", "")
    if not bracket:
        return Party(read_address(text, pointer).text)
    if _goes_on(_QUOTED.sub("", name)):
        raise Problem(Kind.MALFORMED, "This is more than one mail address.", pointer=pointer)
    return Party(read_address(address, pointer).text, _unquoted(name.strip()))


def _goes_on(name: str) -> bool:
    """Tell whether in a name, what it quotes left out, stands another address."""
    return not {"<", ">"}.isdisjoint(name) or ("@" in name and not {",", ";"}.isdisjoint(name))


def _unquoted(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if _QUOTED.fullmatch(name) else name


def part_addresses(text: str) -> list[str]:
    """Part addresses at the commas and semicolons that stand in no quoted name."""
    parts, start, quoted, escaped = [], 0, False, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = quoted
        elif char == '"':
            quoted = not quoted
        elif char in ",;" and not quoted:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def letter(
    draft: Draft,
    sender: Party,
    files: Sequence[Attachment],
    thread: Thread,
    *,
    date: int,
    message_id: str,
    saved: bool = False,
) -> Letter:
    """Return what is composed; `date` in epoch milliseconds. One that is only `saved` remembers blind copies and how
    it is to leave. Raises MALFORMED for a subject of a book's length."""
    if len(draft.subject) > _LONG_SUBJECT:
        raise Problem(Kind.MALFORMED, f"A subject has at most {_LONG_SUBJECT} characters.", pointer="/subject")
    text = draft.text
    if text is None and draft.html is not None and not draft.html_only:
        text = spoken(draft.html)
    return Letter(
        sender=sender,
        to=draft.to,
        cc=draft.cc,
        bcc=draft.bcc if saved else (),
        reply_to=draft.reply_to,
        subject=draft.subject,
        text=text,
        html=draft.html,
        attachments=[*draft.attachments, *files],
        extra=list(_chosen(draft)) if saved else (),
        date=date,
        message_id=message_id,
        in_reply_to=thread.answers,
        references=[*thread.before, thread.answers] if thread.answers else (),
        priority=draft.priority,
        receipt_to=sender if draft.ack else None,
    )


async def try_out(draft: Draft, sender: Party, now: int) -> None:
    """Raise MALFORMED for what can't stand in a mail."""
    bare = msgspec.structs.replace(draft, html_only=True)  # the text that is made of HTML can always stand in one
    tried = letter(bare, sender, (), Thread(), date=now, message_id="tried@localhost")
    await asyncio.to_thread(compose, tried) if tried.size > INLINE else compose(tried)


def _chosen(draft: Draft) -> Iterator[tuple[str, str]]:
    if draft.connection:
        yield CHOSEN, msgspec.json.encode(draft.connection).decode()
    if draft.require_tls:
        yield TLS, "yes"


def check(draft: Draft, most: int) -> None:
    """Raise MALFORMED for a mail to nobody, or to more than `most` addresses."""
    count = len(draft.to) + len(draft.cc) + len(draft.bcc)
    if not count:
        raise Problem(Kind.MALFORMED, "A mail needs a recipient.", pointer="/to")
    if count > most:
        raise Problem(Kind.MALFORMED, f"A mail may have at most {most} recipients.", pointer="/to")
