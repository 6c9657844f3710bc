"""The EGroupware dialect: identities, mail sent as one of them, files brought before (semantics 15, F4, F7)."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Literal
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gatepost.api.blame import called
from gatepost.api.body import pieces
from gatepost.api.credentials import basic
from gatepost.api.dialect import Dialect
from gatepost.api.download import stored
from gatepost.api.endpoint import Answer, Call, endpoint
from gatepost.model.access import Caller
from gatepost.model.folder import find_place
from gatepost.model.outgoing import NORMAL
from gatepost.model.problem import Kind, Problem
from gatepost.model.values import Given
from gatepost.model.verdict import Folder
from gatepost.services.author import Authors
from gatepost.services.composing import Composing
from gatepost.services.counter import Counter
from gatepost.services.draft import Draft, Enclosure, Parties, Sharing, read_parties, read_party
from gatepost.services.identities import Identities
from gatepost.services.once import Reused
from gatepost.services.presence import Presence
from gatepost.services.sending import Sending
from gatepost.services.uploads import Uploads

PING = 15.0  # seconds between two signs of life on a stream that is silent
MOUNT = "/egroupware/groupdav.php"
_OWNED = re.compile(rf"{MOUNT}/([^/]+)/mail(?:/|\Z)")
_BROUGHT = re.compile(r"(?:\A|.*/)mail/attachments?/(?:.*--)?([0-9a-f]{32})\Z", re.DOTALL)
Addresses = Annotated[list[str], Meta(max_length=1000)]
Location = Annotated[str, Meta(max_length=2000)]


class Failure(msgspec.Struct, frozen=True):
    """The error body."""

    error: int
    message: str


def _refusal(status: int, message: str, path: str, pointer: str | None) -> bytes:
    if status == 401:  # its document shows headers alone
        return b""
    return msgspec.json.encode(Failure(status, f"{message} ({pointer})" if pointer else message))


async def _prove(request: Request, counter: Counter) -> Caller:
    """Return who is calling; raise FORBIDDEN below the path of another user."""
    caller = await basic(request, counter)
    owned = _OWNED.match(request.scope["path"])
    if owned and unquote(owned[1]).lower() not in (caller.login.lower(), caller.login.lower().partition("@")[0]):
        raise Problem(Kind.FORBIDDEN, "This is the path of another user.")
    return caller


GROUPWARE = Dialect(
    name="egroupware-mail",
    prove=_prove,
    refusal=_refusal,
    challenge='Basic realm="EGroupware CalDAV/CardDAV/GroupDAV server"',
    unproven=(("X-WebDAV-Status", "401 Unauthorized"),),
    schemes=("basic",),
    status={
        Kind.MALFORMED: 422,
        Kind.BAD_ADDRESS: 422,
        Kind.PRECONDITION: 400,  # a file that is named is not there
        Kind.UNAVAILABLE: 500,
    },
    unoffered=501,
    error=Failure,
    mounts=("", MOUNT, f"{MOUNT}/{{user}}"),
    roots=("/mail", MOUNT),
)


class IdentityList(msgspec.Struct, frozen=True):
    """Whom the user may write as, by the path of each identity."""

    responses: dict[str, str]


class GroupwareMail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mail to send; with `body` and `bodyHtml` it shows both. `attachments` are what uploads answered."""

    to: Addresses | None = None
    cc: Addresses | None = None
    bcc: Addresses | None = None
    replyto: str | None = None
    subject: str | None = None
    body: str | None = None
    body_html: str | None = None
    attachments: Annotated[list[Location], Meta(max_length=1000)] | None = None
    attachment_type: str | None = None
    share_expiration: str | None = None
    share_password: str | None = None
    folder: str | None = None
    priority: Literal[1, 3, 5] | None = None


class Done(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a request; `warning` where no copy is in Sent, or not in the folder that was asked for."""

    status: int
    message: str
    warning: str | None = None


class AttachmentStored(msgspec.Struct, frozen=True):
    """A stored file; `location` is what names it in `attachments`."""

    status: int
    message: str
    location: str


# Who he is.


@endpoint("GET", "/mail", permission="MAIL_SEND", dialect=GROUPWARE)
async def list_identities(identities: Identities, caller: Caller) -> IdentityList:
    """List whom the user may write as."""
    place = f"/{quote(caller.login, safe='@')}/mail"
    return IdentityList({f"{place}/{each.number}": each.party.shown for each in await identities.list(caller)})


# Mail.


@endpoint("POST", "/mail", permission="MAIL_SEND", status=200, headers=("Idempotency-Key",), dialect=GROUPWARE)
async def send_mail(sending: Sending, authors: Authors, caller: Caller, call: Call, body: GroupwareMail) -> Done:
    """Send a mail as the user himself."""
    authors.own(caller, caller.user_id or 0)
    return await _send(sending, caller, call, body, _draft(body, call))


@endpoint("POST", "/mail/{id}", permission="MAIL_SEND", status=200, headers=("Idempotency-Key",), dialect=GROUPWARE)
async def send_mail_as(
    sending: Sending, identities: Identities, caller: Caller, call: Call, id: str, body: GroupwareMail
) -> Done:
    """Send a mail as one of the user's identities."""
    draft = await _as(identities, caller, id, _draft(body, call))
    return await _send(sending, caller, call, body, draft)


async def _as(identities: Identities, caller: Caller, number: str, draft: Draft) -> Draft:
    if not (number.isascii() and number.isdigit() and len(number) < 20):
        raise Problem(Kind.NOT_FOUND, "There is no such identity.")
    return msgspec.structs.replace(draft, sender=await identities.find(caller, int(number)))


async def _send(sending: Sending, caller: Caller, call: Call, mail: GroupwareMail, draft: Draft) -> Done:
    if mail.to is None or mail.subject is None:
        missing = "to" if mail.to is None else "subject"
        raise Problem(Kind.MALFORMED, f"A mail needs a member {missing}.", pointer=f"/{missing}")
    try:
        with called(text="body", html="bodyHtml"):
            mail_id = await sending.send(caller, draft, key=call.request.headers.get("Idempotency-Key"))
    except Problem as problem:
        raise _unsent(problem) from problem
    return Done(200, "Mail successful sent", await _warning(sending, caller, mail_id, mail.folder))


def _unsent(problem: Problem) -> Problem:
    """Say in this dialect why a mail was not sent: 400 for a file that is not there, 500 where nobody would take it."""
    place = problem.pointer or ""
    if problem.kind is Kind.NOT_FOUND and place.startswith("/attachments"):
        words = "An attachment is not there, or no longer."
        return Problem(Kind.PRECONDITION, words, pointer=place.removesuffix("/uid"))
    if problem.kind is Kind.UNPROCESSABLE and not isinstance(problem, Reused):
        return Problem(Kind.UNAVAILABLE, problem.detail, pointer=problem.pointer)
    return problem


async def _warning(sending: Sending, caller: Caller, mail_id: str, folder: str | None) -> str | None:
    if not await sending.has_copy(caller, mail_id):
        return "Mail NOT saved to Sent folder, as the policy of the account keeps no copy, or holds the mail"
    place = find_place((folder or Folder.SENT).replace("INBOX.", "").replace("INBOX/", ""))
    elsewhere = place is None or place.folder is not Folder.SENT
    return "Mail saved to the folder Sent, as sent mail lies in no other" if elsewhere else None


def _draft(mail: GroupwareMail, call: Call) -> Draft:
    base = call.desk.settings.base_url.rstrip("/")  # what is mailed to others is no address of a socket
    files = tuple(Enclosure(_brought(text, at)) for at, text in enumerate(mail.attachments or ()))
    linked = _is_linked(mail.attachment_type or "attach") and bool(files)
    sharing = Sharing(files, mail.share_expiration or "", mail.share_password or "", base)
    return Draft(
        to=_parties(mail.to, "to"),
        cc=_parties(mail.cc, "cc"),
        bcc=_parties(mail.bcc, "bcc"),
        reply_to=(read_party(_closed(mail.replyto), "/replyto"),) if mail.replyto else (),
        subject=mail.subject or "",
        text=mail.body if mail.body is not None or mail.body_html is not None else "",
        html=mail.body_html,
        uploads=() if linked else files,
        sharing=sharing if linked else None,
        priority=mail.priority or NORMAL,
        sign=True,
    )


def _is_linked(way: str) -> bool:
    """Tell whether files are to be linked to; a share of what an upload left is a link that nobody writes to."""
    if way not in ("attach", "link", "share_ro"):
        raise Problem(Kind.MALFORMED, "The attachmentType is none that is offered.", pointer="/attachmentType")
    return way != "attach"


def _parties(texts: Sequence[str] | None, member: str) -> Parties:
    return read_parties([_closed(text) for text in texts or ()], member)


def _closed(text: str) -> str:
    """Close the angle bracket that the document's own sample leaves open."""
    return f"{text}>" if "<" in text and ">" not in text else text


def _brought(text: str, at: int) -> str:
    """Return which upload is meant: by its location, absolute or relative, in either spelling (contract E2)."""
    try:
        found = _BROUGHT.match(unquote(urlsplit(text).path))
    except ValueError:  # "http://[" and the like
        found = None
    if found is None:
        words = "An attachment is named by what its upload answered."
        raise Problem(Kind.PRECONDITION, words, pointer=f"/attachments/{at}")
    return found[1]


# Compose windows.


@endpoint("POST", "/mail/compose", permission="MAIL_SEND", status=200, problems=(Kind.NOT_FOUND,), dialect=GROUPWARE)
async def compose_mail(composing: Composing, caller: Caller, call: Call, body: GroupwareMail) -> Done:
    """Open a compose window at the user's own client."""
    return await _compose(composing, caller, call, _draft(body, call))


@endpoint("POST", "/mail/{id}/compose", permission="MAIL_SEND", status=200, dialect=GROUPWARE)
async def compose_mail_as(
    composing: Composing, identities: Identities, caller: Caller, call: Call, id: str, body: GroupwareMail
) -> Done:
    """Open a compose window for one of the user's identities."""
    return await _compose(composing, caller, call, await _as(identities, caller, id, _draft(body, call)))


async def _compose(composing: Composing, caller: Caller, call: Call, draft: Draft) -> Done:
    try:
        with called(text="body", html="bodyHtml"):
            opened = await composing.open(caller, draft, call.base)
    except Problem as problem:
        raise _unsent(problem) from problem
    if not opened:
        shown = call.desk.ids.show(caller.user_id or 0)
        raise Problem(Kind.NOT_FOUND, f"User '{caller.login}' (#{shown}) is NOT online")
    return Done(200, "Request to open compose window sent")


@endpoint("GET", "/mail/events", permission="MAIL_SEND", addition=True, dialect=GROUPWARE)
async def stream_mail_events(presence: Presence, authors: Authors, caller: Caller, call: Call) -> Response:
    """Hold the user's event stream open (server-sent events); `compose` brings the address of a compose window."""
    user = authors.own(caller, caller.user_id or 0)
    presence.check(user.id)
    unbuffered = {"X-Accel-Buffering": "no"}  # by proxies, which would keep an event until they have more
    return StreamingResponse(_told(presence, user.id, call), headers=unbuffered, media_type="text/event-stream")


async def _told(presence: Presence, user_id: int, call: Call) -> AsyncIterator[bytes]:
    """Yield events as they come, and a comment while none does; end once the user is let in no longer."""
    with presence.stream(user_id) as stream:
        yield b": open\n\n"
        while not stream.ended:
            event = await stream.next(PING)
            try:
                await GROUPWARE.prove(call.request, call.desk.counter)
            except Problem:
                return
            if event is not None:
                yield f"event: {event.name}\ndata: {msgspec.json.encode(event.data).decode()}\n\n".encode()
            elif not stream.ended:
                yield b": still here\n\n"


# Files.


@endpoint(
    "POST",
    "/mail/attachments/{filename}",
    permission="MAIL_SEND",
    status=302,
    also=(200, 201),
    headers=("X-No-Location",),
    problems=(Kind.TOO_LARGE,),
    dialect=GROUPWARE,
)
async def upload_mail_attachment(
    uploads: Uploads, caller: Caller, call: Call, filename: Given
) -> Answer[AttachmentStored]:
    """Bring a file (the body) for a mail to come; it stays until it is sent, a day at most."""
    incoming = uploads.begin(caller)
    try:
        async for piece in pieces(call.request):
            incoming.write(piece)
        upload = await uploads.finish(incoming, filename, call.request.headers.get("content-type", ""))
    finally:
        uploads.end(incoming)
    place = f"/mail/attachments/{quote(upload.name, safe='')}--{upload.id}"
    if call.flag("X-No-Location"):
        return Answer(AttachmentStored(200, "Attachment stored", place), 200)
    status = call.desk.settings.egroupware_upload_status
    said = AttachmentStored(200 if status == 302 else status, "Attachment stored", place)
    mount = MOUNT if call.request.scope["path"].startswith(f"{MOUNT}/") else ""
    return Answer(said, status, {"Location": call.base + mount + place})


@endpoint("GET", "/mail/attachments/{filename}", permission="MAIL_SEND", addition=True, dialect=GROUPWARE)
async def download_mail_attachment(uploads: Uploads, caller: Caller, filename: str) -> Response:
    """Download a file that was brought."""
    name, _, uid = filename.rpartition("--")
    upload, body = await uploads.get(caller, uid, name)
    return stored(upload.name, upload.type, body, save=True)
