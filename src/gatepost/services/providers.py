"""Outgoing providers: the mail services that domains may send through, each known by the domain of its SPF record."""

import msgspec

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query, eq
from gatepost.model.tenant import Provider
from gatepost.model.values import Id
from gatepost.services.access import require, visible
from gatepost.services.records import Name, given, read_domain, show
from gatepost.services.tenants import ProviderView
from gatepost.store.store import Reader, Store, Writer


class ProviderAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A provider to add; `spfProvider` is the name that customers include in their SPF records."""

    name: Name
    spf_provider: Name
    active: bool = True


class ProviderUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of a provider."""

    name: Name | None = None
    spf_provider: Name | None = None
    active: bool | None = None


class Providers:
    """The providers of the platform, which its administrators keep and every domain's may name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, caller: Caller, query: Query) -> Page[ProviderView]:
        """Return a page of the providers, to whoever may see any domain."""

        def ask(reader: Reader) -> Page[ProviderView]:
            visible(caller, "DOMAINS_READ")
            page = reader.find(Provider, query)
            return Page([show(ProviderView, provider) for provider in page.items], page.total)

        return await self._store.read(ask)

    async def create(self, caller: Caller, draft: ProviderAdd) -> ProviderView:
        """Add a provider; raise CONFLICT for an SPF domain that another has."""
        require(caller, "DOMAINS_WRITE")
        spf = read_domain(draft.spf_provider, "/spfProvider")

        def add(writer: Writer) -> ProviderView:
            _check_free(writer, spf)
            return show(ProviderView, writer.add(Provider(name=draft.name, spf_provider=spf, active=draft.active)))

        return await self._store.write(add)

    async def update(self, caller: Caller, provider_id: Id, change: ProviderUpdate) -> None:
        """Change what is given; raise CONFLICT for an SPF domain that another has."""
        require(caller, "DOMAINS_WRITE")
        fields = given(change)
        if change.spf_provider is not None:
            fields["spf_provider"] = read_domain(change.spf_provider, "/spfProvider")

        def alter(writer: Writer) -> None:
            provider = _get(writer, provider_id)
            if fields.get("spf_provider", provider.spf_provider) != provider.spf_provider:
                _check_free(writer, fields["spf_provider"])
            writer.change(Provider, provider.id, **fields)

        await self._store.write(alter)

    async def delete(self, caller: Caller, provider_id: Id) -> None:
        """Remove a provider; raise CONFLICT while a domain names it."""
        require(caller, "DOMAINS_WRITE")

        def drop(writer: Writer) -> None:
            provider = _get(writer, provider_id)
            if writer.names_provider(provider.id):
                raise Problem(Kind.CONFLICT, "A domain sends through this provider; switch it off by active false.")
            writer.remove(Provider, eq("id", provider.id))

        await self._store.write(drop)


def _get(reader: Reader, provider_id: Id) -> Provider:
    provider = reader.get(Provider, provider_id)
    if provider is None:
        raise Problem(Kind.NOT_FOUND, "There is no such provider.")
    return provider


def _check_free(reader: Reader, spf: str) -> None:
    if reader.first(Provider, eq("spf_provider", spf)):
        raise Problem(Kind.CONFLICT, "Another provider has this SPF domain.", pointer="/spfProvider")
