"""Mail of applications: handed in one by one, kept as records with what became of them, listed by who may see them."""

import asyncio
import binascii
import uuid
from base64 import b64decode
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from gatepost.events import Clock
from gatepost.message.compose import Attachment
from gatepost.model.access import Caller
from gatepost.model.email import Email, EmailAttachment
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query, every
from gatepost.services.access import visible
from gatepost.services.author import Author
from gatepost.services.draft import INLINE, Draft, part_addresses, read_parties, read_party
from gatepost.services.readers import EmailReader, closed
from gatepost.services.sending import Beside, Sending
from gatepost.settings import EmailSettings
from gatepost.store.store import Reader, Store, Writer

DAY = 86_400_000
HTML = "text/html"
OCTETS = 16_000_000  # of bodies and attachments in one answer
MANY = 1000  # records in one answer
BODY_KEPT = 262_144  # octets of a body that the record keeps


class EmailDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A mail to hand in. Without `sender` the usual one."""

    notification_id: str
    to: str
    header: str
    body: str
    sender: str = ""
    bcc: str = ""
    output_format: str | None = None
    attachments: tuple[EmailAttachment, ...] = ()


class Emails:
    """Sends for applications and tells what became of it."""

    def __init__(self, store: Store, sending: Sending, settings: EmailSettings, clock: Clock) -> None:
        self._store = store
        self._sending = sending
        self._settings = settings
        self._clock = clock
        self._names = uuid.UUID(bytes=store.derived("account ids")[:16])

    async def send(self, caller: Caller, draft: EmailDraft, *, key: str | None = None) -> str:
        """Send a mail and return its id; on return it is durable, and so is its record.

        Raises Problem as Sending.send, but MALFORMED for a sender that the caller may not use.
        """
        chosen = draft.sender.strip() or ("" if caller.user_id is not None else self._settings.sender)
        asked = Draft(
            sender=read_party(chosen, "/from") if chosen else None,
            to=read_parties([draft.to], "to"),
            bcc=read_parties(part_addresses(draft.bcc), "bcc"),
            subject=draft.header,
            attachments=await _files(draft.attachments),
            html=draft.body if is_html(draft.output_format) else None,
            html_only=is_html(draft.output_format),
            text=None if is_html(draft.output_format) else draft.body,
        )
        try:
            request = b"" if key is None else msgspec.json.encode(draft)
            return await self._sending.send(caller, asked, key=key, request=request, beside=self._record(caller, draft))
        except Problem as problem:
            if problem.kind is not Kind.FORBIDDEN:
                raise
            visible(caller, "MAIL_SEND", own="user_id")  # who may send for nobody is told so
            raise Problem(Kind.MALFORMED, "The caller may not send as that address.", pointer="/from") from problem

    async def find(self, caller: Caller, query: Query) -> Page[Email]:
        """Return the records that match, of the caller's scope (rules 14); as many as fit into one answer.

        Those whose content the caller may not read are without it.
        """
        mine = visible(caller, "MAILS_READ", "domain_id", own="user_id")
        limit = MANY if query.limit is None else min(query.limit, MANY)
        reading = EmailReader(caller, self._uuid(caller))
        safe = reading.guarded(query)
        asked = msgspec.structs.replace(safe, where=every(mine, safe.where), limit=limit, total=True)

        def ask(reader: Reader) -> tuple[Page[Email], list[str]]:
            page = reader.emails(asked, OCTETS)
            opened = {row.id for row in page.items if reading.reads(reader, row)}
            others = [row.mail_id for row in page.items if row.id in opened and not reading.owns(row)]
            return Page([row if row.id in opened else closed(row) for row in page.items], page.total), others

        page, others = await self._store.read(ask)
        if others:
            await self._store.record("read", "email", after={"mails": others})
        return page

    def _record(self, caller: Caller, draft: EmailDraft) -> Beside:
        now = self._clock()
        attachments = self._kept(draft.attachments)
        body = draft.body.encode()[:BODY_KEPT]

        def add(writer: Writer, mail_id: str, author: Author) -> None:
            row = Email(
                mail_id=mail_id,
                domain_id=author.user.domain_id,
                user_id=author.user.id,
                notification_id=draft.notification_id,
                sender=author.party.address,
                recipient=draft.to,
                header=draft.header,
                output_format=draft.output_format,
                body=body.decode("utf-8", "ignore"),
                attachments=msgspec.json.encode(attachments).decode(),
                attachment_names=_lines(each.name for each in attachments),
                attachment_types=_lines(each.content_type for each in attachments),
                created_date=now,
                created_by_id=str(self._uuid(caller)),
                created_by=caller.login,
                updated_date=now,
                size=len(body) + sum(len(each.data) for each in attachments),
                expires_at=now + self._settings.days * DAY,
            )
            writer.add(row)

        return add

    def _kept(self, attachments: tuple[EmailAttachment, ...]) -> tuple[EmailAttachment, ...]:
        if sum(len(each.data) for each in attachments) <= self._settings.attachment_bytes:
            return attachments
        return tuple(msgspec.structs.replace(each, data="") for each in attachments)

    def _uuid(self, caller: Caller) -> uuid.UUID:
        account = f"admin {caller.admin_id}" if caller.user_id is None else f"user {caller.user_id}"
        return _named(self._names, account)


@lru_cache(maxsize=1024)
def _named(names: uuid.UUID, account: str) -> uuid.UUID:
    return uuid.uuid5(names, account)


async def _files(given: Sequence[EmailAttachment]) -> tuple[Attachment, ...]:
    """Decode files; many octets in a thread."""

    def decode() -> tuple[Attachment, ...]:
        return tuple(_file(each, at) for at, each in enumerate(given))

    return decode() if sum(len(each.data) for each in given) < INLINE else await asyncio.to_thread(decode)


def _file(given: EmailAttachment, at: int) -> Attachment:
    try:
        data = b64decode("".join(given.data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(Kind.MALFORMED, "The data is no Base64.", pointer=f"/attachments/{at}/data") from error
    attached = given.disposition.strip().lower() == "attachment"
    cid = "" if attached else given.content_id.strip().removeprefix("<").removesuffix(">")
    return Attachment(given.name, data, given.content_type, cid, given.description)


def is_html(output_format: str | None) -> bool:
    """Tell whether the body is HTML; whatever else is said, it is a plain text."""
    return (output_format or "").strip().lower() == HTML


def _lines(texts: Iterable[str]) -> str | None:
    return "\n".join(texts) or None
