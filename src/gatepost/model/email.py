"""A mail that an application handed in through `/email`: what it asked for, and what became of it."""

from enum import StrEnum

import msgspec


class EmailStatus(StrEnum):
    PROCESSING = "PROCESSING"  # on its way
    DELIVERED = "DELIVERED"  # its next hop has it, for every recipient
    FAILURE = "FAILURE"


class EmailAttachment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of a mail; `data` in Base64, "" in a record for which it is too large."""

    content_type: str
    name: str
    data: str
    description: str = ""
    disposition: str = ""
    content_id: str = ""


class Email(msgspec.Struct, frozen=True, kw_only=True):
    """A record. Times in epoch milliseconds. `attachments` is JSON, their names and types stand beside it line by line.

    The store keeps `status`, `message` (the cause of a failure or of the last delay), `date`, `attempts` and
    `updated_date` by the deliveries of the mail.
    """

    id: int = 0
    mail_id: str
    domain_id: int
    user_id: int  # on whose account it was sent
    notification_id: str
    sender: str
    recipient: str
    header: str
    output_format: str | None = None
    body: str
    attachments: str = "[]"
    attachment_names: str | None = None
    attachment_types: str | None = None
    status: EmailStatus = EmailStatus.PROCESSING
    message: str | None = None
    date: int | None = None
    attempts: int = 0
    created_date: int
    created_by_id: str  # a UUID
    created_by: str
    updated_date: int
    size: int  # octets of body and attachments in here
    expires_at: int
