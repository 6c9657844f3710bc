"""Writing mail: send, save as a draft, bring files before, signatures (contract 5.7.1, 5.7.4, 5.7.10, 5.7.11, 5.16)."""

from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gatepost.api.blame import called
from gatepost.api.download import FileAsk, stored
from gatepost.api.endpoint import Call, endpoint
from gatepost.api.form import FileForm
from gatepost.model.access import Caller
from gatepost.model.outgoing import HIGH, NORMAL
from gatepost.model.problem import Kind, Problem
from gatepost.model.values import Id, Millis
from gatepost.services.author import Authors
from gatepost.services.draft import Binding, Draft, Enclosure, read_parties
from gatepost.services.drafts import Drafts
from gatepost.services.outbox import Outbox
from gatepost.services.records import LINE
from gatepost.services.sending import Sending
from gatepost.services.signatures import Signatures
from gatepost.services.uploads import Uploads

Who = Id | str
Addresses = Annotated[list[str], Meta(max_length=1000)]
Reference = Annotated[str, Meta(max_length=998, pattern=LINE)]  # an id of ours, or a Message-ID


class SmtpMessageAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file to attach; `name` is shown in the mail."""

    uid: Reference
    name: str


class SmtpMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mail to send: `body` is HTML, a text is made of it. `originId` is answered, `draftId` goes once it is sent,
    `connection` is the outgoing relay by which it leaves, `sendAt` when. With `requireTls` it goes over proven TLS all
    the way, or comes back (RFC 8689)."""

    to: Addresses | None = None
    cc: Addresses | None = None
    bcc: Addresses | None = None
    subject: str | None = None
    body: str | None = None
    attachments: Annotated[list[SmtpMessageAttachment], Meta(max_length=1000)] | None = None
    draft_id: Reference | None = None
    origin_id: Reference | None = None
    ack: bool | None = None
    important: bool | None = None
    connection: Binding | None = None
    send_at: Millis | None = None
    require_tls: bool | None = None


class AttachmentFile(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file; `uid` names it to the send operation."""

    uid: str
    name: str
    type: str
    size: int
    uri: str


class Sign(msgspec.Struct, frozen=True):
    """A signature: HTML in Base64."""

    sign: str | None = None


class SavedDraft(msgspec.Struct, frozen=True):
    """A saved draft; `id` is the `draftId` of the send operation and the mail's id in the folder Drafts."""

    id: str


@endpoint(
    "POST",
    "/users/{userIdOrEmail}/emails/send",
    permission="MAIL_SEND",
    status=200,
    headers=("Idempotency-Key",),
    problems=(Kind.UNPROCESSABLE,),
)
async def send_email(
    sending: Sending,
    outbox: Outbox,
    authors: Authors,
    caller: Caller,
    call: Call,
    user_id_or_email: Who,
    body: SmtpMessage,
) -> str:
    """Send a mail as the signed-in user; answer its id once it is durably queued, or kept until `sendAt`."""
    authors.own(caller, user_id_or_email)
    key = call.request.headers.get("Idempotency-Key")
    with called(html="body"):
        if body.send_at is not None:
            return await outbox.keep(caller, _draft(body, sign=True), int(body.send_at), key=key)
        return await sending.send(caller, _draft(body, sign=True), key=key)


@endpoint(
    "POST",
    "/users/{userIdOrEmail}/emails/drafts",
    permission="MAIL_SEND",
    addition=True,
    problems=(Kind.UNPROCESSABLE,),
)
async def save_draft(drafts: Drafts, caller: Caller, user_id_or_email: Who, body: SmtpMessage) -> SavedDraft:
    """Save a mail in the folder Drafts, whatever is missing yet; `draftId` names a draft that it replaces."""
    with called(html="body"):
        return SavedDraft(await drafts.save(caller, user_id_or_email, _draft(body), instead_of=body.draft_id))


@endpoint("DELETE", "/users/{userIdOrEmail}/emails/drafts/{draftId}", permission="MAIL_SEND", addition=True)
async def delete_draft(drafts: Drafts, caller: Caller, user_id_or_email: Who, draft_id: str) -> None:
    """Delete a draft."""
    await drafts.delete(caller, user_id_or_email, draft_id)


@endpoint(
    "POST",
    "/emails/attachments",
    permission="MAIL_SEND",
    status=200,
    problems=(Kind.TOO_LARGE, Kind.UNSUPPORTED),
)
async def upload_attachment(uploads: Uploads, caller: Caller, call: Call) -> AttachmentFile:
    """Bring a file (field `file` of a multipart form) for a mail to come; it stays until it is sent, a day at most."""
    incoming = uploads.begin(caller)
    form = FileForm(incoming.write)
    try:
        await form.read(call.request, uploads.largest)
        upload = await uploads.finish(incoming, form.name, form.type)
    finally:
        uploads.end(incoming)
    uri = f"{call.base}/emails/attachments/{upload.id}/{quote(upload.name, safe='')}"
    return AttachmentFile(uid=upload.id, name=upload.name, type=upload.type, size=upload.size, uri=uri)


@endpoint("GET", "/emails/attachments/{uid}/{filename}", permission="MAIL_SEND")
async def download_uploaded_attachment(
    uploads: Uploads, caller: Caller, uid: str, filename: str, query: FileAsk
) -> Response:
    """Download an uploaded file."""
    upload, body = await uploads.get(caller, uid, filename)
    return stored(upload.name, upload.type, body, save=query.dl)


@endpoint("DELETE", "/emails/attachments/{uid}/{filename}", permission="MAIL_SEND", status=200)
async def delete_uploaded_attachment(uploads: Uploads, caller: Caller, uid: str, filename: str) -> None:
    """Delete an uploaded file."""
    await uploads.delete(caller, uid, filename)


@endpoint("GET", "/users/{userId}/sign", permission="USERS_READ", others=True, problems=(Kind.UNPROCESSABLE,))
async def get_sign(signatures: Signatures, caller: Caller, user_id: Id) -> Sign:
    """Return a user's signature."""
    return Sign(await signatures.get(caller, user_id))


@endpoint("PUT", "/users/{userId}/sign", permission="USERS_WRITE", others=True)
async def set_sign(signatures: Signatures, caller: Caller, user_id: Id, body: Sign) -> Sign:
    """Set a user's signature; an empty one clears it."""
    if body.sign is None:
        raise Problem(Kind.MALFORMED, "The signature is missing.", pointer="/sign")
    return Sign(await signatures.set(caller, user_id, body.sign))


@endpoint("DELETE", "/users/{userId}/sign", permission="USERS_WRITE", others=True)
async def delete_sign(signatures: Signatures, caller: Caller, user_id: Id) -> None:
    """Delete a user's signature."""
    await signatures.delete(caller, user_id)


def _draft(message: SmtpMessage, *, sign: bool = False) -> Draft:
    return Draft(
        to=read_parties(message.to or (), "to"),
        cc=read_parties(message.cc or (), "cc"),
        bcc=read_parties(message.bcc or (), "bcc"),
        subject=message.subject or "",
        html=message.body or "",
        uploads=tuple(Enclosure(each.uid, each.name) for each in message.attachments or ()),
        origin_id=message.origin_id or None,
        draft_id=message.draft_id or None,
        ack=bool(message.ack),
        priority=HIGH if message.important else NORMAL,
        sign=sign,
        connection=message.connection,
        require_tls=message.require_tls,
    )
