"""What clients see of folders and kept mails (contract 6.33-6.37), made of what the services return."""

import re
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from gatepost.model.stored import Delivery, Letter, State
from gatepost.model.values import Id, Millis
from gatepost.model.verdict import Folder
from gatepost.services.content import Attachment
from gatepost.services.folders import Shelf

_ADDRESS = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^,"])+|"')


class ImapFolder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A folder of kept mail; the counts only with `fields=STATS`."""

    name: str
    path: str
    unread_message_count: int | None
    message_count: int | None
    messages_uri: str
    children_uri: str


class ImapMessageAttachment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One attachment; `id` is the partId of its download."""

    id: str
    name: str
    type: str
    size: int
    download_uri: str
    display_uri: str


class ImapMessageAttachmentList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The attachments of a mail; `downloadUri` gives them all in one archive."""

    attachments: list[ImapMessageAttachment]
    download_uri: str
    count: int


class ReleaseStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the newest release of a mail stands: since when, and what the next hop said last."""

    state: State
    at: Millis
    reply: str | None


class ImapMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What lists show of a mail. `infected` to `releaseStatus` are additions: why, until when, what became of it."""

    id: str
    uri: str
    seen: bool
    answered: bool
    recent: bool
    deleted: bool
    has_attachments: bool
    important: bool
    sent_date: Millis | None
    subject: str
    from_: str = msgspec.field(name="from")
    to: list[str]
    cc: list[str]
    bcc: list[str]
    size: int
    infected: bool
    category: str
    score: float
    reason: str
    received_date: Millis
    expires_at: Millis
    released_at: Millis | None
    release_status: ReleaseStatus | None


class HeldMail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mail that is held for a mailbox; `heldFor` are those it was to leave to. `uri` has it with its content."""

    id: Id
    mail_id: str
    uri: str
    mailbox: str
    domain_id: Id
    user_id: Id | None
    held_for: list[str]
    folder: str
    category: str
    reason: str
    score: float
    infected: bool
    sender: str
    client_ip: str
    subject: str
    from_: str = msgspec.field(name="from")
    message_id: str
    size: int
    has_attachments: bool
    received_date: Millis
    expires_at: Millis
    released_at: Millis | None
    release_status: ReleaseStatus | None


class ImapMessageContent(ImapMessage, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A mail with the parts that were asked for; body and source are there for the owner of the mailbox alone."""

    headers: dict[str, str | list[str]] | None = None
    attachments: ImapMessageAttachmentList | None = None
    body: str | None = None
    source: str | None = None


M = TypeVar("M", bound=ImapMessage)


def show_folder(root: str, shelf: Shelf, counted: bool) -> ImapFolder:
    """Return a folder as it is shown; `root` is where the mailbox's mails are, without a slash at the end."""
    path = quote(shelf.place.path, safe="")
    return ImapFolder(
        name=shelf.place.name,
        path=shelf.place.path,
        unread_message_count=shelf.unseen if counted else None,
        message_count=shelf.total if counted else None,
        messages_uri=f"{root}/{path}",
        children_uri=f"{root}/folders/{path}",
    )


def show_mail(kind: type[M], root: str, letter: Letter, **more: Any) -> M:
    """Return a kept mail as it is shown in lists, or with `more` of it."""
    message, copy = letter.message, letter.copy
    return kind(
        id=message.id,
        uri=f"{root}/{copy.folder}/{message.id}",
        seen=copy.seen,
        answered=copy.answered,
        recent=False,
        deleted=False,
        important=message.important,
        sent_date=None if message.sent is None else Millis(message.sent),
        to=_addresses(message.header_to),
        cc=_addresses(message.header_cc),
        bcc=_addresses(message.header_bcc or message.blind) if shows_blind(letter) else [],
        **_alike(letter),
        **more,
    )


def show_held(root: str, letter: Letter) -> HeldMail:
    """Return a held mail as administrators see it, who see those of all mailboxes."""
    message, copy = letter.message, letter.copy
    return HeldMail(
        id=Id(copy.id),
        mail_id=copy.mail_id,
        uri=f"{root}/{copy.folder}/{copy.mail_id}",
        mailbox=copy.mailbox,
        domain_id=Id(copy.domain_id),
        user_id=None if copy.user_id is None else Id(copy.user_id),
        held_for=copy.held_for,
        folder=copy.folder,
        sender=message.sender,
        client_ip=message.client_ip,
        message_id=message.message_id,
        **_alike(letter),
    )


def _alike(letter: Letter) -> dict[str, Any]:
    """Return what is shown of a kept mail, whoever looks."""
    message, copy = letter.message, letter.copy
    return {
        "subject": message.subject,
        "from_": message.header_from,
        "size": message.size,
        "has_attachments": message.has_attachments,
        "received_date": Millis(message.received),
        "category": copy.category,
        "reason": copy.reason,
        "score": copy.score,
        "infected": copy.infected,
        "expires_at": Millis(copy.expires_at),
        "released_at": None if copy.released_at is None else Millis(copy.released_at),
        "release_status": None if letter.release is None else _status(letter.release),
    }


def shows_blind(letter: Letter) -> bool:
    """Tell whether a copy shows blind copies: of a mail that its author handed in, his own alone does (threat 114)."""
    own = letter.copy.folder in (Folder.SENT, Folder.DRAFTS)  # though he signed in by an address that he had before
    return own or letter.message.login in (None, letter.copy.mailbox)


def _status(release: Delivery) -> ReleaseStatus:
    at = release.done_at or (release.log[-1].at if release.log else release.created)
    return ReleaseStatus(state=release.state, at=Millis(at), reply=release.last_reply)


def _addresses(text: str) -> list[str]:
    """The addresses of a header's text; commas inside quotes part nothing."""
    return [found.strip() for found in _ADDRESS.findall(text) if found.strip()]


def show_attachments(root: str, letter: Letter, found: list[Attachment]) -> ImapMessageAttachmentList:
    """Return a mail's attachments with the links to each and to all."""
    base = f"{root}/{letter.copy.folder}/{letter.message.id}/attachments"
    items = [
        ImapMessageAttachment(
            id=str(each.number),
            name=each.name,
            type=each.type,
            size=each.size,
            download_uri=f"{base}/{each.number}?dl=true",
            display_uri=f"{base}/{each.number}",
        )
        for each in found
    ]
    return ImapMessageAttachmentList(attachments=items, download_uri=f"{base}?dl=true", count=len(items))
