"""A policy: which services a mailbox has, what is delivered, what is kept and for how long (contract section 6)."""

import msgspec


class RelayProps(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is delivered although it is not clean, and how it is marked."""

    relay_spam: bool = False
    relay_advert: bool = True
    advert_prefix: str | None = ""
    prefix_spam: str | None = None
    relay_bad_headers: bool = False
    relay_bad_attachments: bool = False
    spam_score_limit: float = 5.0  # from this score on spam is never delivered


class QuarantineProps(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which held mail the quarantine keeps; `duration` in days."""

    duration: int = 31
    store_spam: bool = True
    store_virus: bool = False
    store_advert: bool = False
    store_blacklisted: bool = False
    store_sender_verify: bool = False
    store_bad_headers: bool = True
    store_bad_encoding: bool = True
    store_bad_attachments: bool = True


class RetentionProps(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which clean mail is kept for re-reading; `duration` in days."""

    duration: int = 5
    store_mail_out: bool = True
    store_clean_mail_in: bool = True


class ArchiveProps(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which mail the long-term archive keeps; `duration` in months."""

    duration: int = 48
    archive_by_copy: bool = False
    store_mail_out: bool = True
    store_clean_mail_in: bool = True
    store_spam: bool = True
    store_bad_headers: bool = True
    store_bad_encoding: bool = True
    store_bad_attachments: bool = True
    store_advert: bool = False
    store_blacklisted: bool = False
    store_sender_verify: bool = False


class Policy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", cache_hash=True):
    """The judge's table. Props of a service are None while that service is off (contract section 6)."""

    id: int = 0
    name: str
    domain_id: int
    incoming: bool = True
    outgoing: bool = False
    quarantine: bool
    retention: bool
    archive: bool = False
    mail_size_limit: int = 21  # megabytes
    spam_score: float = 5.0  # from this score on a mail is spam
    relay_props: RelayProps
    quarantine_props: QuarantineProps | None = None
    retention_props: RetentionProps | None = None
    archive_props: ArchiveProps | None = None

    @property
    def octets(self) -> int:
        """The size limit in octets."""
        return self.mail_size_limit << 20

    def excess(self, size: int) -> str:
        """Say that so many octets are more than the policy takes, "" where they are not."""
        if size <= self.octets:
            return ""
        return f"{size / (1 << 20):.1f} MB, and the policy takes {self.mail_size_limit} MB"


def relay_defaults(*, stores: bool) -> RelayProps:
    """Return the relay flags of a new policy; one that stores nothing delivers everything it may (contract 4)."""
    if stores:
        return RelayProps()
    return RelayProps(relay_spam=True, relay_bad_headers=True, relay_bad_attachments=True, spam_score_limit=10.0)


def default_policy(
    domain_id: int,
    domain_name: str,
    *,
    quarantine: bool,
    retention: bool,
    archive: bool,
    incoming: bool = True,
    outgoing: bool = False,
) -> Policy:
    """Return the policy that a new domain gets, with the defaults of contract section 4."""
    return Policy(
        name=f"Politique-{domain_name}",
        domain_id=domain_id,
        incoming=incoming,
        outgoing=outgoing,
        quarantine=quarantine,
        retention=retention,
        archive=archive,
        relay_props=relay_defaults(stores=quarantine or retention or archive),
        quarantine_props=QuarantineProps() if quarantine else None,
        retention_props=RetentionProps() if retention else None,
        archive_props=ArchiveProps() if archive else None,
    )
