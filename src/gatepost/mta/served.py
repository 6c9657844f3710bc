"""A domain that is served, with what resolving an address in it needs."""

import msgspec

from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.route import Platform
from gatepost.model.rules import AttachmentRule, UriRule
from gatepost.model.tenant import Domain, DomainStatus
from gatepost.store.store import Reader

CHANGED = "a recipient was changed while the mail came in; try again"


class DomainView(msgspec.Struct, frozen=True):
    """A served domain; its rules by ascending priority."""

    domain: Domain
    policy: Policy | None
    platform_id: int | None
    attachments: tuple[AttachmentRule, ...]
    uris: tuple[UriRule, ...]


def read_domain(reader: Reader, name: str) -> DomainView | None:
    """Return the domain that `name` is, or is another name of; None where it isn't served."""
    domain = reader.domain(name)
    if domain is None:
        return None
    platforms = reader.find(Platform, Query(where=eq("domain_id", domain.id))).items
    default = next((platform for platform in platforms if platform.default), None)
    by_priority = Query(where=eq("domain_id", domain.id), sort="priority")
    return DomainView(
        domain=domain,
        policy=reader.get(Policy, domain.policy_id),
        platform_id=default.id if default else None,
        attachments=tuple(reader.find(AttachmentRule, by_priority).items),
        uris=tuple(reader.find(UriRule, by_priority).items),
    )


def check_status(domain: Domain) -> None:
    """Raise Problem where a domain takes no mail now."""
    if domain.status is DomainStatus.DISABLED:
        raise Problem(Kind.DISABLED_DOMAIN, "the domain is disabled")
    if domain.status is DomainStatus.PENDING:
        raise Problem(Kind.PENDING_DOMAIN, "the domain is not active yet")
    if domain.status is DomainStatus.DELETED:
        raise Problem(Kind.DELETED_DOMAIN, "no such domain")
