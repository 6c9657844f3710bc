"""Outgoing providers (additions, semantics F2)."""

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, domain, text
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.providers import ProviderAdd, Providers, ProviderUpdate
from gatepost.services.tenants import ProviderView

PROVIDERS = Listing(
    sort="name",
    sorts=("name", "spfProvider", "active", "id"),
    filters={"name": text("name"), "spfProvider": domain("spf_provider")},
)


@endpoint("GET", "/providers", permission="DOMAINS_READ", listing=PROVIDERS, addition=True)
async def list_providers(providers: Providers, caller: Caller, query: Query) -> Page[ProviderView]:
    """List the providers that domains may send through."""
    return await providers.find(caller, query)


@endpoint(
    "POST",
    "/providers",
    permission="DOMAINS_WRITE",
    location="/providers/{id}",
    problems=(Kind.CONFLICT,),
    addition=True,
)
async def create_provider(providers: Providers, caller: Caller, body: ProviderAdd) -> ProviderView:
    """Add a provider."""
    return await providers.create(caller, body)


@endpoint("PATCH", "/providers/{providerId}", permission="DOMAINS_WRITE", problems=(Kind.CONFLICT,), addition=True)
async def update_provider(providers: Providers, caller: Caller, provider_id: Id, body: ProviderUpdate) -> None:
    """Change the given members of a provider."""
    await providers.update(caller, provider_id, body)


@endpoint("DELETE", "/providers/{providerId}", permission="DOMAINS_WRITE", problems=(Kind.CONFLICT,), addition=True)
async def delete_provider(providers: Providers, caller: Caller, provider_id: Id) -> None:
    """Delete a provider that no domain names."""
    await providers.delete(caller, provider_id)
