"""The dialect of mod-email: mail of applications handed in at `/email` and listed by CQL (contract 13, C1 to C5)."""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from gatepost.api.blame import called
from gatepost.api.credentials import bearer_or_basic
from gatepost.api.dialect import TEXT, Dialect
from gatepost.api.endpoint import Call, endpoint
from gatepost.api.terms import Field, Sort
from gatepost.model.access import Caller
from gatepost.model.email import Email, EmailAttachment, EmailStatus
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query
from gatepost.services.emails import EmailDraft, Emails
from gatepost.services.records import Line
from gatepost.turns import in_turns

if TYPE_CHECKING:
    from gatepost.api.cql import Cql

SAID = {
    401: "unable to get retrieve email -- unauthorized",
    404: '"email not found"',
    500: "Internal server error",
}
"""What the document prints, word for word."""

BAD = "Bad request"
LARGEST = 80_000_000  # octets of a request: the largest mail in Base64
MANY_FILES = 100
FIELDS = {
    "notificationId": Field("notification_id"),
    "from": Field("sender"),
    "to": Field("recipient"),
    "header": Field("header"),
    "outputFormat": Field("output_format"),
    "body": Field("body"),
    "status": Field("status"),
    "message": Field("message"),
    "date": Field("date", Sort.DATE),
    "attemptCount": Field("attempts", Sort.NUMBER),
    "attachments": Field("attachment_names", Sort.LINES),
    "attachments.name": Field("attachment_names", Sort.LINES),
    "attachments.contentType": Field("attachment_types", Sort.LINES),
    "metadata.createdDate": Field("created_date", Sort.DATE),
    "metadata.createdByUserId": Field("created_by_id"),
    "metadata.createdByUsername": Field("created_by"),
    "metadata.updatedDate": Field("updated_date", Sort.DATE),
    "metadata.updatedByUserId": Field("created_by_id"),
    "metadata.updatedByUsername": Field("created_by"),
}
OURS = {"subject": "header", "text": "body", "html": "body", "to/0": "to"}
"""Our members, and what this API calls them."""

EVERYWHERE = ("header", "body", "to", "from", "notificationId")


@cache
def _cql() -> "Cql":
    """What reads queries: with its library, some megabytes that a process has no use for until somebody asks one."""
    from gatepost.api.cql import Cql

    return Cql(FIELDS, EVERYWHERE)


def _refusal(status: int, message: str, _: str, pointer: str | None) -> bytes:
    if status in SAID:
        return SAID[status].encode()
    where = f" ({pointer})" if pointer else ""
    return (f"{BAD}: {message}{where}" if status == 400 and message != BAD else f"{message}{where}").encode()


MOD_EMAIL = Dialect(
    name="mod-email",
    prove=bearer_or_basic,
    refusal=_refusal,
    challenge='Bearer, Basic realm="Gatepost", charset="UTF-8"',
    schemes=("bearer", "basic"),
    status={Kind.UNPROCESSABLE: 400},
    error=str,
    media=TEXT,
    roots=("/email",),
)

Lang = Annotated[str, Meta(pattern="^[a-zA-Z]{2}$(?!\n)")]
Window = Annotated[int, Meta(ge=0, le=2147483647)]


class EmailPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A file of a mail; `data` is Base64. With a `contentId` the HTML shows it as `cid:...`."""

    content_type: Annotated[str, Meta(min_length=1, max_length=255)]
    name: Line
    data: str
    description: Line | None = None
    disposition: Line | None = None
    content_id: Line | None = None


class EmailMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who handed a mail in, and when; when something last befell it."""

    created_date: str
    created_by_user_id: str
    created_by_username: str
    updated_date: str
    updated_by_user_id: str
    updated_by_username: str


class EmailEntity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mail to send. `from` is the caller's own address unless said; anything but text/html is a plain text."""

    notification_id: Annotated[str, Meta(max_length=255)] | int
    to: Annotated[str, Meta(min_length=1, max_length=1000)]
    header: Annotated[str, Meta(max_length=10_000)]
    body: str
    sender: Annotated[str, Meta(max_length=1000)] | None = msgspec.field(name="from", default=None)
    bcc: Annotated[str, Meta(max_length=10_000)] | None = None
    output_format: Annotated[str, Meta(max_length=255)] | None = None
    attachments: Annotated[list[EmailPart], Meta(max_length=MANY_FILES)] | None = None


class SentEmail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mail that was handed in, with what became of it."""

    notification_id: str
    sender: str = msgspec.field(name="from")
    to: str
    header: str
    output_format: str | UnsetType = UNSET
    body: str
    attachments: list[EmailPart] | UnsetType = UNSET
    status: EmailStatus
    message: str | UnsetType = UNSET
    date: str | UnsetType = UNSET
    metadata: EmailMetadata


class EmailEntries(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The mails that match, as many as fit, and how many there are."""

    email_entity: list[SentEmail]
    total_records: int


class LangAsk(msgspec.Struct):
    """Which language is asked for; there is one."""

    lang: Lang = "en"


class EmailAsk(LangAsk):
    """Which mails are asked for: a query in CQL, and a window."""

    query: str = ""
    offset: Window = 0
    limit: Window = 10


@endpoint(
    "POST",
    "/email",
    permission="MAIL_SEND",
    status=200,
    headers=("Idempotency-Key",),
    problems=(Kind.UNPROCESSABLE, Kind.NOT_FOUND),
    max_body=LARGEST,
    dialect=MOD_EMAIL,
)
async def post_email(emails: Emails, caller: Caller, call: Call, query: LangAsk, body: EmailEntity | None) -> Response:
    """Send a mail; on the answer it is durably queued."""
    if body is None:
        raise Problem(Kind.MALFORMED, BAD)
    key = call.request.headers.get("Idempotency-Key")
    with called(**OURS):
        await emails.send(caller, _draft(body), key=key)
    return Response("200 Ok", media_type=TEXT)


@endpoint(
    "GET",
    "/email",
    permission="MAILS_READ",
    headers=("X-Access-Reason",),
    problems=(Kind.NOT_FOUND,),
    dialect=MOD_EMAIL,
)
async def list_application_emails(emails: Emails, caller: Caller, query: EmailAsk) -> EmailEntries:
    """List the mails that were handed in, with what became of them."""
    where, keys = _cql().read(query.query or "cql.allRecords=1")
    page = await emails.find(caller, Query(where=where, keys=keys, offset=query.offset, limit=query.limit))
    return EmailEntries(email_entity=[_shown(row) async for row in in_turns(page.items)], total_records=page.total or 0)


def _draft(body: EmailEntity) -> EmailDraft:
    return EmailDraft(
        notification_id=str(body.notification_id),
        to=body.to,
        header=body.header,
        body=body.body,
        sender=body.sender or "",
        bcc=body.bcc or "",
        output_format=body.output_format,
        attachments=tuple(_record(each) for each in body.attachments or ()),
    )


def _record(part: EmailPart) -> EmailAttachment:
    return EmailAttachment(
        content_type=part.content_type,
        name=part.name,
        data=part.data,
        description=part.description or "",
        disposition=part.disposition or "",
        content_id=part.content_id or "",
    )


def _shown(row: Email) -> SentEmail:
    kept = msgspec.json.decode(row.attachments, type=list[EmailAttachment])
    parts = [
        EmailPart(
            content_type=each.content_type,
            name=each.name,
            data=each.data,
            description=each.description or None,
            disposition=each.disposition or None,
            content_id=each.content_id or None,
        )
        for each in kept
    ]
    return SentEmail(
        notification_id=row.notification_id,
        sender=row.sender,
        to=row.recipient,
        header=row.header,
        output_format=row.output_format or UNSET,
        body=row.body,
        attachments=parts or UNSET,
        status=row.status,
        message=row.message or UNSET,
        date=_moment(row.date) if row.date else UNSET,
        metadata=EmailMetadata(
            created_date=_moment(row.created_date),
            created_by_user_id=row.created_by_id,
            created_by_username=row.created_by,
            updated_date=_moment(row.updated_date),
            updated_by_user_id=row.created_by_id,
            updated_by_username=row.created_by,
        ),
    )


def _moment(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
