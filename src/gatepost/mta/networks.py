"""Whose networks may send through us: the subnets that domains name, and those of their providers (rules 10)."""

from collections.abc import Iterator

from gatepost.model.address import Address
from gatepost.model.envelope import Client, Role
from gatepost.model.network import Subnets
from gatepost.model.tenant import Domain, DomainStatus, Provider
from gatepost.mta.providers import Providers
from gatepost.store.remembered import Remembered
from gatepost.store.store import Store


class Networks:
    """What domains name is read from the store, and good until a configuration row changes."""

    def __init__(self, store: Store, memory: Remembered, providers: Providers | None) -> None:
        self._store = store
        self._providers = providers
        self._known = memory.known
        self._subnets: dict[str, Subnets] = memory.cache()
        self._senders: dict[str, list[Domain]] = memory.cache()

    def trusts(self, ip: str) -> bool:
        """Tell whether an address lies in the outgoing subnets of a domain that takes mail now."""
        return ip in self._known(self._subnets, "", lambda: Subnets(self._store.reader.trusted_subnets()))

    def senders(self, client: Client) -> Iterator[Domain]:
        """Yield the enabled domains that name a client's network; of a provider's, those that send through it."""
        if client.role is Role.TRUSTED:
            known = self._known(self._senders, "", lambda: self._store.reader.naming("outgoing_subnets"))
            named = (domain for domain in known if domain.sends_from(client.ip))
        else:
            known = self._store.reader.naming("outgoing_provider_ids")
            named = (domain for domain in known if domain.sends_through(client.providers))
        return (domain for domain in named if domain.status is DomainStatus.ENABLED)

    async def through(self, client: Client, sender: Address | None, domain: Domain | None) -> tuple[Provider, ...]:
        """Return the providers through which a client may send as `sender`, whose domain is ours (None: it is not).

        A network that is trusted needs none. Raises Problem(UNAVAILABLE) as `Providers.behind`.
        """
        if self._providers is None:
            return ()
        if sender is None:
            return () if self.trusts(client.ip) else await self._providers.behind(client.ip, None)
        if domain is None or domain.sends_from(client.ip):
            return ()
        return await self._providers.behind(client.ip, domain.outgoing_provider_ids)
