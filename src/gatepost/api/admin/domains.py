"""Domains and their further names (contract 5.3, 5.5)."""

from gatepost.api.endpoint import Call, endpoint
from gatepost.api.listing import Listing, domain, ident, text, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.tenant import DomainStatus
from gatepost.model.values import Id
from gatepost.services.aliases import Aliases
from gatepost.services.domains import DomainAdd, Domains, DomainUpdate
from gatepost.services.shown import AliasView, DomainView

DOMAINS = Listing(
    sort="name",
    sorts=("name", "status", "description", "externalId", "defaultLanguage", "creationDate", "deletionDate", "id"),
    filters={
        "name": domain("name"),
        "status": word("status", DomainStatus),
        "customerId": ident("customer_id"),
        "externalId": text("external_id"),
        "platformId": ident("platform_id"),
        "platformName": text("platform_name"),
    },
)
ALIASES = Listing(sort="name", sorts=("name", "id"))


@endpoint("GET", "/domains", permission="DOMAINS_READ", listing=DOMAINS)
async def list_domains(domains: Domains, caller: Caller, query: Query) -> Page[DomainView]:
    """List the domains on which the caller has a role."""
    return await domains.find(caller, query)


@endpoint(
    "POST",
    "/domains",
    permission="DOMAINS_WRITE",
    location="/domains/{id}",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def create_domain(domains: Domains, caller: Caller, body: DomainAdd) -> DomainView:
    """Create a domain and its default policy."""
    return await domains.create(caller, body)


@endpoint("GET", "/domains/{domainId}", permission="DOMAINS_READ")
async def get_domain(domains: Domains, caller: Caller, domain_id: Id) -> DomainView:
    """Return a domain."""
    return await domains.get(caller, domain_id)


@endpoint(
    "PATCH",
    "/domains/{domainId}",
    permission="DOMAINS_WRITE",
    headers=("X-Ignore-MX",),
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def update_domain(domains: Domains, call: Call, domain_id: Id, body: DomainUpdate) -> None:
    """Change the given members of a domain; status ENABLED restores a deleted one."""
    await domains.update(call.caller, domain_id, body, ignore_mx=call.flag("X-Ignore-MX"))


@endpoint(
    "DELETE",
    "/domains/{domainId}",
    permission="DOMAINS_WRITE",
    headers=("X-Ignore-MX",),
    problems=(Kind.UNPROCESSABLE,),
)
async def delete_domain(domains: Domains, call: Call, domain_id: Id) -> None:
    """Flag a domain as deleted; it is purged later and can be restored until then."""
    await domains.delete(call.caller, domain_id, ignore_mx=call.flag("X-Ignore-MX"))


@endpoint("GET", "/domains/{domainId}/aliases", permission="DOMAINS_READ", listing=ALIASES)
async def list_domain_aliases(aliases: Aliases, caller: Caller, domain_id: Id, query: Query) -> Page[AliasView]:
    """List the further names of a domain."""
    return await aliases.find(caller, domain_id, query)


@endpoint(
    "POST",
    "/domains/{domainId}/aliases",
    permission="DOMAINS_WRITE",
    location="/domains/{domainId}/aliases",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def add_domain_aliases(aliases: Aliases, caller: Caller, domain_id: Id, body: list[str]) -> list[AliasView]:
    """Add names to a domain; the answer shows only the added ones."""
    return await aliases.add(caller, domain_id, body)


@endpoint(
    "PUT",
    "/domains/{domainId}/aliases",
    permission="DOMAINS_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def replace_domain_aliases(aliases: Aliases, caller: Caller, domain_id: Id, body: list[str]) -> None:
    """Replace all further names of a domain."""
    await aliases.replace(caller, domain_id, body)


@endpoint("DELETE", "/domains/{domainId}/aliases/{aliasId}", permission="DOMAINS_WRITE")
async def delete_domain_alias(aliases: Aliases, caller: Caller, domain_id: Id, alias_id: Id) -> None:
    """Take one further name away."""
    await aliases.delete(caller, domain_id, alias_id)
