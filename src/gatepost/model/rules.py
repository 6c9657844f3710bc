"""The rules that a domain or a mailbox lays down: senders, attachments, URIs (contract section 7)."""

from enum import StrEnum

import msgspec

from gatepost.model.values import AnyCase


class SenderType(StrEnum):
    ALLOW = "ALLOW"
    BLOCK = "BLOCK"
    PROTECTED = "PROTECTED"


class AttachmentAction(AnyCase):
    ALLOW = "ALLOW"
    DENY = "DENY"


class CheckType(AnyCase):
    FILENAME = "FILENAME"
    CONTENTTYPE = "CONTENTTYPE"
    ARCHIVE_CONTENTTYPE = "ARCHIVE_CONTENTTYPE"
    ARCHIVE_FILENAME = "ARCHIVE_FILENAME"


class UriAction(AnyCase):
    URIDNSBL_SKIP_DOMAIN = "URIDNSBL_SKIP_DOMAIN"
    WHITELIST_URI_HOST = "WHITELIST_URI_HOST"
    BLACKLIST_URI_HOST = "BLACKLIST_URI_HOST"


class SenderRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A sender that is allowed, blocked or protected.

    `owner` is a domain name or a mailbox address; `user_id` is None for a domain's rule. `value` is an address key
    or a domain name, both lower-case with A-labels. Dates in epoch milliseconds; `expire_at` None means never.
    A rule counts only while `generation` equals the `sender_generation` of its owner (the user's row, else the
    domain's): a replacement is written aside under the next number and switched by that one row (rules 17).
    Unique: domain_id, user_id, generation, value, type.
    """

    id: int = 0
    domain_id: int
    user_id: int | None = None
    owner: str
    value: str
    type: SenderType
    created_date: int
    expire_at: int | None = None
    description: str | None = None
    spf_on: bool | None = None
    generation: int = 0


class AttachmentRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A regular expression (RE2, any case) over names or media types; the first match by priority decides."""

    id: int = 0
    domain_id: int
    action: AttachmentAction
    check_type: CheckType
    filter: str
    priority: int
    description: str | None = None
    created_date: int


class UriRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A host name, matched with its subdomains: skip its DNS look-ups, or -100 / +100 points."""

    id: int = 0
    domain_id: int
    action: UriAction
    filter: str
    priority: int
    description: str | None = None
    created_date: int


class RuleSet(msgspec.Struct, frozen=True, array_like=True):
    """The rules that bear on one mail for one recipient.

    `senders` holds only rules whose value names a sender of this mail, expired ones left out; `persons` PROTECTED ones
    whose person From shows beside another address; `attachments` and `uris` are the domain's, by ascending priority.
    `key` is equal for recipients whose rules are equal, so that a filter runs once for all of them.
    """

    key: tuple[int, ...] = ()
    senders: tuple[SenderRule, ...] = ()
    attachments: tuple[AttachmentRule, ...] = ()
    uris: tuple[UriRule, ...] = ()
    wblist_priority: str = "USER"
    persons: tuple[SenderRule, ...] = ()
