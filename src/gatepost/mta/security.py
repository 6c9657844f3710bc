"""What TLS must prove to the hosts that mail goes to: to domains by DANE, else MTA-STS; to senders by REQUIRETLS."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gatepost.dns import DnsFailure, Missing, Resolver, Tlsa
from gatepost.events import Clock
from gatepost.mailauth import dane
from gatepost.mta.sts import Fetcher, NoPolicy
from gatepost.mta.sts_policies import StsPolicies
from gatepost.settings import Settings
from gatepost.store.store import Store


class By(StrEnum):
    """Who asks for more than TLS where it is offered."""

    DANE = "DANE"
    STS = "MTA-STS"
    SENDER = "REQUIRETLS"


class Demand(msgspec.Struct, frozen=True):
    """TLS is required; `records` are the TLSA records that certificates must fit. DANE without a usable one asks for
    encryption alone (RFC 7672 2.2), the others for a certificate that authorities vouch for."""

    by: By
    records: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()  # that a certificate below a trust anchor may bear


class Barred(msgspec.Struct, frozen=True):
    """No mail may go to a host, for now; `why` for the trace. `unmet`: it is the sender's wish that bars it."""

    why: str
    unmet: bool = False


class Security:
    """Finds demands. Where DNS is not proven and no policy is known there are none."""

    def __init__(self, resolver: Resolver, policies: StsPolicies | None, *, use_dane: bool, port: int) -> None:
        self._resolver = resolver
        self._policies = policies
        self._dane = use_dane and resolver.validates
        self._port = port

    async def demands(self, domain: str, hosts: Sequence[str], *, by_mx: bool) -> list[Demand | Barred | None]:
        """Return what each MX host of a domain must prove, in their order; `by_mx`: they come from MX records."""
        found: list[Demand | Barred | None] = [None] * len(hosts)
        if self._dane and await self._is_secure(domain, "MX" if by_mx else "A"):
            found = list(await asyncio.gather(*(self._by_dane(domain, host) for host in hosts)))
        if self._policies is None or all(found):
            return found
        policy = await self._policies.of(domain)
        if policy is None or policy.mode != "enforce":
            return found
        return [each or _by_sts(host, policy.names(host)) for each, host in zip(found, hosts, strict=True)]

    async def proofs(self, domain: str, hosts: Sequence[str], *, by_mx: bool) -> list[Demand | Barred]:
        """Return the same for a mail with REQUIRETLS: hosts whose names DNSSEC or the domain's MTA-STS policy proves,
        and whose certificates DANE or the authorities prove (RFC 8689 2)."""
        barred = await self._unproven(domain, hosts) if by_mx and not await self._is_secure(domain, "MX") else {}
        asked = await self.demands(domain, hosts, by_mx=by_mx)
        return [barred.get(host) or _proof(demand) for host, demand in zip(hosts, asked, strict=True)]

    async def _unproven(self, domain: str, hosts: Sequence[str]) -> dict[str, Barred]:
        """The hosts that an unsigned MX record names, and no policy does; one in mode testing names them as well."""
        try:
            policy = await self._policies.find(domain) if self._policies else None
        except NoPolicy as error:
            return dict.fromkeys(hosts, Barred(str(error)))
        if policy is None or policy.mode == "none":
            why = f"neither DNSSEC nor an MTA-STS policy proves the MX hosts of {domain}"
            return dict.fromkeys(hosts, Barred(why, unmet=True))
        return {host: Barred(_unnamed(host), unmet=True) for host in hosts if not policy.names(host)}

    async def _by_dane(self, domain: str, host: str) -> Demand | Barred | None:
        if not (await self._is_secure(host, "A") or await self._is_secure(host, "AAAA")):
            return None
        name = f"_{self._port}._tcp.{host}"
        try:
            records = await self._resolver.tlsa(name)
        except Missing:
            return None
        except DnsFailure:
            # Without the answer nobody knows whether plain text is allowed (RFC 7672 2.1.2).
            return Barred(f"whether {host} has TLSA records can't be told: no answer from DNS")
        if not await self._is_secure(name, "TLSA"):
            return None
        return Demand(By.DANE, dane.usable(records), tuple(dict.fromkeys((host, domain))))

    async def _is_secure(self, name: str, kind: str) -> bool:
        return await self._resolver.is_secure(name, kind)


def _by_sts(host: str, named: bool) -> Demand | Barred:
    return Demand(By.STS) if named else Barred(_unnamed(host))


def _unnamed(host: str) -> str:
    return f"{host} is not named by the domain's MTA-STS policy"


def _proof(demand: Demand | Barred | None) -> Demand | Barred:
    """Encryption alone does not do: a certificate must be proven."""
    if demand is None or (isinstance(demand, Demand) and demand.by is By.DANE and not demand.records):
        return Demand(By.SENDER)
    return demand


def make_security(store: Store, resolver: Resolver, settings: Settings, clock: Clock) -> Security:
    """Make it as the settings ask for."""
    policies = None
    if settings.mta_sts.enabled:
        fetcher = Fetcher(resolver, settings.mta_sts, private=settings.relay.allow_private_destinations)
        policies = StsPolicies(store, fetcher, resolver, clock)
    return Security(resolver, policies, use_dane=settings.relay.dane, port=settings.relay.mx_port)
