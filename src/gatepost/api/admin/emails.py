"""Kept mail: folders, what lies in them, one mail with its content, release (contract 5.7)."""

import re
from functools import partial
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.responses import Response, StreamingResponse

from gatepost.api.admin.letters import (
    ImapFolder,
    ImapMessage,
    ImapMessageContent,
    show_attachments,
    show_folder,
    show_mail,
    shows_blind,
)
from gatepost.api.download import FileAsk
from gatepost.api.download import headers as download_headers
from gatepost.api.endpoint import Call, endpoint
from gatepost.api.ids import moment
from gatepost.api.listing import Listing
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.content import Contents, File
from gatepost.services.mailbox import Mailbox, Mailboxes
from gatepost.services.search import Operator, Search
from gatepost.turns import shown

MAILS = Listing(
    sort="-sentDate",
    sorts=("sentDate", "subject", "from", "size", "receivedDate"),
    other={"send_date": "sentDate"},
)
_STORED = {"sent_date": "sent", "from": "header_from", "received_date": "received"}
_PARTS = ("HEADERS", "ATTACHMENTS", "BODY", "SOURCE")

REASON = ("X-Access-Reason",)  # of who reads what is another's; the audit keeps it

Who = Id | str
Moment = Annotated[str, Meta(description="Epoch milliseconds, or an RFC 3339 date-time.")]


class FolderAsk(msgspec.Struct, frozen=True):
    """`fields=STATS` adds counts."""

    fields: str = ""


class MailAsk(msgspec.Struct, frozen=True):
    """Which parts are wanted, comma-separated: HEADERS, ATTACHMENTS, BODY, SOURCE."""

    fields: str = "HEADERS"


class SearchAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to search for; texts are found anywhere, in any case, and combine by `operator`."""

    id: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    cc: str | None = None
    subject: str | None = None
    body: str | None = None
    received_after: Moment | None = None
    received_before: Moment | None = None
    operator: Operator = Operator.AND


@endpoint("GET", "/users/{userIdOrEmail}/emails/folders", permission="MAILS_READ")
async def list_folders(
    mailboxes: Mailboxes, caller: Caller, call: Call, user_id_or_email: Who, query: FolderAsk
) -> list[ImapFolder]:
    """List the folders of a mailbox."""
    return await _folders(mailboxes, caller, call, user_id_or_email, None, query.fields)


@endpoint("GET", "/users/{userIdOrEmail}/emails/folders/{path}", permission="MAILS_READ")
async def list_subfolders(
    mailboxes: Mailboxes, caller: Caller, call: Call, user_id_or_email: Who, path: str, query: FolderAsk
) -> list[ImapFolder]:
    """List the folders below one: the quarantine has a child for each class of mail."""
    return await _folders(mailboxes, caller, call, user_id_or_email, path, query.fields)


@endpoint("GET", "/users/{userIdOrEmail}/emails/{folderPath}", permission="MAILS_READ", listing=MAILS, headers=REASON)
async def list_folder_emails(
    mailboxes: Mailboxes,
    caller: Caller,
    call: Call,
    user_id_or_email: Who,
    folder_path: str,
    query: SearchAsk,
    listed: Query,
) -> Page[ImapMessage]:
    """List or search the mails of a folder; a search in bodies is for who may read content."""
    name = listed.sort.removeprefix("-")
    ordered = msgspec.structs.replace(listed, sort=listed.sort.replace(name, _STORED.get(name, name)))
    mailbox, page = await mailboxes.find(caller, user_id_or_email, folder_path, _search(query), ordered)
    return await shown(page, partial(show_mail, ImapMessage, _root(call, mailbox)))


@endpoint(
    "GET", "/users/{userIdOrEmail}/emails/{folderPath}/{fugluIdOrMailId}", permission="MAILS_READ", headers=REASON
)
async def get_email(
    mailboxes: Mailboxes,
    contents: Contents,
    caller: Caller,
    call: Call,
    user_id_or_email: Who,
    folder_path: str,
    fuglu_id_or_mail_id: str,
    query: MailAsk,
) -> ImapMessageContent:
    """Return a mail by its X-Fuglu-Id or Message-ID; body and source are for who may read content.

    The source of an infected mail is for who may handle viruses as well.
    """
    wanted = _fields(query.fields, _PARTS)
    mailbox, letter = await mailboxes.get(caller, user_id_or_email, folder_path, fuglu_id_or_mail_id)
    shown = await mailboxes.reads(caller, mailbox, letter) if wanted & {"BODY", "SOURCE"} else False
    whole = shown and mailboxes.handles(caller, mailbox, letter)
    id, root, blind = letter.message.id, _root(call, mailbox), shows_blind(letter)
    return show_mail(
        ImapMessageContent,
        root,
        letter,
        headers=await contents.headers(id, blind=blind) if "HEADERS" in wanted else None,
        attachments=show_attachments(root, letter, await contents.attachments(id)) if "ATTACHMENTS" in wanted else None,
        body=await contents.text(id) if shown and "BODY" in wanted else None,
        source=await contents.source(id, blind=blind) if whole and "SOURCE" in wanted else None,
    )


@endpoint(
    "GET", "/users/{userId}/emails/{folderPath}/{messageId}/attachments", permission="MAIL_CONTENT", headers=REASON
)
async def get_email_attachments(
    mailboxes: Mailboxes,
    contents: Contents,
    caller: Caller,
    user_id: Who,
    folder_path: str,
    message_id: str,
    query: FileAsk,
) -> Response:
    """Download all attachments of a mail as one archive; for who may read content."""
    letter = await mailboxes.open(caller, user_id, folder_path, message_id)
    pieces = await contents.archive(letter.message.id)
    media, named = download_headers(f"{letter.message.id}.zip", "application/zip", save=query.dl)
    return StreamingResponse(pieces, headers=named, media_type=media)


@endpoint(
    "GET",
    "/users/{userId}/emails/{folderPath}/{emailId}/attachments/{partId}",
    permission="MAIL_CONTENT",
    headers=REASON,
)
async def download_email_attachment(
    mailboxes: Mailboxes,
    contents: Contents,
    caller: Caller,
    user_id: Who,
    folder_path: str,
    email_id: str,
    part_id: str,
    query: FileAsk,
) -> Response:
    """Download one attachment of a mail; for who may read content."""
    letter = await mailboxes.open(caller, user_id, folder_path, email_id)
    number = int(part_id) if re.fullmatch(r"[0-9]{1,6}", part_id, re.ASCII) else -1
    return _file(await contents.attachment(letter.message.id, number), save=query.dl)


@endpoint(
    "POST",
    "/users/{userIdOrEmail}/emails/{folderPath}/{fugluId}/release",
    permission="QUARANTINE_RELEASE",
    headers=("X-Virus-Lover",),
    problems=(Kind.PRECONDITION, Kind.UNPROCESSABLE),
)
async def release_email(
    mailboxes: Mailboxes, caller: Caller, call: Call, user_id_or_email: Who, folder_path: str, fuglu_id: str
) -> None:
    """Send a kept mail to the final mailbox, without its spam tag; an infected one only with X-Virus-Lover."""
    lover = call.flag("X-Virus-Lover")
    await mailboxes.release(caller, user_id_or_email, folder_path, fuglu_id, virus_lover=lover)


def _fields(text: str, known: tuple[str, ...]) -> set[str]:
    asked = {name.strip().upper() for name in text.split(",")} - {""}
    if not asked <= set(known):
        raise Problem(Kind.MALFORMED, f"The fields are {', '.join(known)}.", pointer="/fields")
    return asked


def _search(asked: SearchAsk) -> Search:
    return Search(
        id=asked.id,
        from_=asked.from_,
        to=asked.to,
        cc=asked.cc,
        subject=asked.subject,
        body=asked.body,
        received_after=_moment(asked.received_after, "/receivedAfter"),
        received_before=_moment(asked.received_before, "/receivedBefore"),
        operator=asked.operator,
    )


def _moment(text: str | None, pointer: str) -> int | None:
    """Epoch milliseconds, or RFC 3339 text (contract A2)."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        return int(text)
    try:
        return int(moment(text))
    except ValueError as error:
        raise Problem(Kind.MALFORMED, f"{error}.", pointer=pointer) from error


def _root(call: Call, mailbox: Mailbox) -> str:
    who = call.desk.ids.show(mailbox.user.id) if mailbox.user else quote(mailbox.address, safe="@")
    return f"{call.base}/users/{who}/emails"


async def _folders(
    mailboxes: Mailboxes, caller: Caller, call: Call, who: Who, path: str | None, fields: str
) -> list[ImapFolder]:
    counted = "STATS" in _fields(fields, ("STATS",))
    mailbox, shelves = await mailboxes.folders(caller, who, path)
    return [show_folder(_root(call, mailbox), shelf, counted) for shelf in shelves]


def _file(file: File, *, save: bool) -> Response:
    """A file of a stranger: only harmless types keep theirs, and nothing in it may run (threats 120, 138)."""
    media, headers = download_headers(file.name, file.type, save=save)
    return Response(file.data, headers=headers, media_type=media)
