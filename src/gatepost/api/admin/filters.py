"""Attachment and URI filters of a domain (contract 5.8, 5.10)."""

from typing import Annotated

import msgspec

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.rules import AttachmentAction, AttachmentRule, CheckType, UriAction, UriRule
from gatepost.model.values import Id, Millis
from gatepost.services.filters import AttachmentRules, Placed, UriRules
from gatepost.services.records import LINE, Text
from gatepost.turns import shown

Expression = Annotated[str, msgspec.Meta(pattern=LINE)]

ATTACHMENTS = Listing(
    sort="action",
    sorts=("id", "action", "checkType", "filter", "priority", "description", "createdDate"),
    filters={"action": word("action", AttachmentAction)},
)
URIS = Listing(
    sort="action",
    sorts=("id", "action", "filter", "priority", "description", "createdDate"),
    filters={"action": word("action", UriAction)},
)


class FilterAttachmentAdd(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An attachment filter to add; `filter` is a regular expression (RE2, any case)."""

    action: AttachmentAction
    check_type: CheckType
    filter: Expression
    description: Text | None = None


class FilterAttachmentPatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change of an attachment filter; absent members stay as they are."""

    action: AttachmentAction | None = None
    check_type: CheckType | None = None
    filter: Expression | None = None
    description: Text | None = None


class FilterAttachment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An attachment filter; `scope` is the name of its domain."""

    id: Id
    action: AttachmentAction
    check_type: CheckType
    filter: str
    scope: str
    priority: int
    description: str | None
    created_date: Millis


class FilterUriBlAdd(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A URI filter to add; `filter` is a host name, which stands for its subdomains too, or an IP address."""

    action: UriAction
    filter: str
    description: Text | None = None


class FilterUriBlPatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change of a URI filter; absent members stay as they are."""

    action: UriAction | None = None
    filter: str | None = None
    description: Text | None = None


class FilterUriBl(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A URI filter; `scope` is the name of its domain."""

    id: Id
    scope: str
    action: UriAction
    filter: str
    priority: int
    description: str | None
    created_date: Millis


@endpoint(
    "POST",
    "/domains/{domainId}/filters/attachments",
    permission="RULES_WRITE",
    location="/domains/{domainId}/filters/attachments",
    problems=(Kind.CONFLICT,),
)
async def add_domain_attachment_filter(
    rules: AttachmentRules, caller: Caller, domain_id: Id, body: FilterAttachmentAdd
) -> FilterAttachment:
    """Add an attachment filter to a domain, behind those that it has."""
    return _attachment(await rules.add(caller, domain_id, msgspec.structs.asdict(body)))


@endpoint("GET", "/domains/{domainId}/filters/attachments", permission="RULES_READ", listing=ATTACHMENTS, exports=True)
async def list_domain_attachment_filters(
    rules: AttachmentRules, caller: Caller, domain_id: Id, listed: Query
) -> Page[FilterAttachment]:
    """List a domain's attachment filters."""
    page = await rules.find(caller, domain_id, listed)
    return await shown(page, _attachment)


@endpoint("PATCH", "/filters/attachments/{attachmentId}", permission="RULES_WRITE", problems=(Kind.CONFLICT,))
async def update_attachment_filter(
    rules: AttachmentRules, caller: Caller, attachment_id: Id, body: FilterAttachmentPatch
) -> None:
    """Change the given members of an attachment filter."""
    await rules.change(caller, attachment_id, msgspec.structs.asdict(body))


@endpoint("DELETE", "/filters/attachments/{attachmentId}", permission="RULES_WRITE")
async def delete_attachment_filter(rules: AttachmentRules, caller: Caller, attachment_id: Id) -> None:
    """Delete an attachment filter."""
    await rules.remove(caller, attachment_id)


@endpoint(
    "POST",
    "/domains/{domainId}/filters/uris",
    permission="RULES_WRITE",
    location="/domains/{domainId}/filters/uris",
    problems=(Kind.CONFLICT,),
)
async def add_domain_uri_filter(rules: UriRules, caller: Caller, domain_id: Id, body: FilterUriBlAdd) -> FilterUriBl:
    """Add a URI filter to a domain, behind those that it has."""
    return _uri(await rules.add(caller, domain_id, msgspec.structs.asdict(body)))


@endpoint("GET", "/domains/{domainId}/filters/uris", permission="RULES_READ", listing=URIS, exports=True)
async def list_domain_uri_filters(rules: UriRules, caller: Caller, domain_id: Id, listed: Query) -> Page[FilterUriBl]:
    """List a domain's URI filters."""
    page = await rules.find(caller, domain_id, listed)
    return await shown(page, _uri)


@endpoint("PATCH", "/filters/uris/{uriId}", permission="RULES_WRITE", problems=(Kind.CONFLICT,))
async def update_uri_filter(rules: UriRules, caller: Caller, uri_id: Id, body: FilterUriBlPatch) -> None:
    """Change the given members of a URI filter."""
    await rules.change(caller, uri_id, msgspec.structs.asdict(body))


@endpoint("DELETE", "/filters/uris/{uriId}", permission="RULES_WRITE")
async def delete_uri_filter(rules: UriRules, caller: Caller, uri_id: Id) -> None:
    """Delete a URI filter."""
    await rules.remove(caller, uri_id)


def _attachment(placed: Placed[AttachmentRule]) -> FilterAttachment:
    rule = placed.rule
    return FilterAttachment(
        id=Id(rule.id),
        action=rule.action,
        check_type=rule.check_type,
        filter=rule.filter,
        scope=placed.scope,
        priority=rule.priority,
        description=rule.description,
        created_date=Millis(rule.created_date),
    )


def _uri(placed: Placed[UriRule]) -> FilterUriBl:
    rule = placed.rule
    return FilterUriBl(
        id=Id(rule.id),
        scope=placed.scope,
        action=rule.action,
        filter=rule.filter,
        priority=rule.priority,
        description=rule.description,
        created_date=Millis(rule.created_date),
    )
