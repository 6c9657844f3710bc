"""What TLS must prove to the hosts that mail goes to: to domains by DANE, else MTA-STS; to senders by REQUIRETLS."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gatepost.dns import DnsFailure, Missing, Resolver, Tlsa
from gatepost.events import Clock
from gatepost.mailauth import dane
from gatepost.model.tls_reports import PolicyType
from gatepost.mta.sts import Fetcher, NoPolicy, Policy
from gatepost.mta.sts_policies import StsPolicies
from gatepost.mta.tls_results import TlsResults
from gatepost.settings import Settings
from gatepost.store.store import Store

UNNAMED, UNANSWERED = "validation-failure", "dnssec-invalid"  # RFC 8460 4.3


class By(StrEnum):
    """Who asks for more than TLS where it is offered."""

    DANE = "DANE"
    STS = "MTA-STS"
    SENDER = "REQUIRETLS"


POLICY_TYPES = {By.DANE: PolicyType.TLSA, By.STS: PolicyType.STS}


class Demand(msgspec.Struct, frozen=True):
    """TLS is required; `records` are the TLSA records that certificates must fit. DANE without a usable one asks for
    encryption alone (RFC 7672 2.2), the others for a certificate that authorities vouch for. One that is not `enforced`
    is tried for the reports to its domain alone (RFC 8461 5)."""

    by: By
    records: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()  # that a certificate below a trust anchor may bear; the first is asked for (SNI)
    enforced: bool = True
    named: bool = True  # the policy names the host; in mode testing another one gets mail, too

    @property
    def policy(self) -> list[str]:
        """The TLSA records in their usual form (RFC 6698 2.2)."""
        return [f"{each.usage} {each.selector} {each.matching} {each.data}" for each in self.records]


class Barred(msgspec.Struct, frozen=True):
    """No mail may go to a host, for now; `why` for the trace. `unmet`: it is the sender's wish that bars it."""

    why: str
    unmet: bool = False


class Security:
    """Finds demands. Where DNS is not proven and no policy is known there are none.

    `results` counts what fails before there is a session; without it policies in mode testing are not tried.
    """

    def __init__(
        self,
        resolver: Resolver,
        policies: StsPolicies | None,
        *,
        use_dane: bool,
        port: int,
        results: TlsResults | None = None,
    ) -> None:
        self._resolver = resolver
        self._policies = policies
        self._results = results
        self._dane = use_dane and resolver.validates
        self._port = port

    async def demands(self, domain: str, hosts: Sequence[str], *, by_mx: bool) -> list[Demand | Barred | None]:
        """Return what each MX host of a domain must prove, in their order; `by_mx`: they come from MX records."""
        found: list[Demand | Barred | None] = [None] * len(hosts)
        try:
            proven = self._dane and await self._proven(domain, by_mx=by_mx)
        except DnsFailure:
            return [_untold(domain)] * len(hosts)
        if proven:
            found = list(await asyncio.gather(*(self._by_dane(domain, host) for host in hosts)))
        if self._policies is None or all(found):
            return found
        policy = await self._policy(domain, self._policies)
        if policy is None or policy.mode == "none" or (policy.mode == "testing" and self._results is None):
            return found
        return [each or self._by_sts(domain, policy, host) for each, host in zip(found, hosts, strict=True)]

    async def _policy(self, domain: str, policies: StsPolicies) -> Policy | None:
        try:
            return await policies.find(domain)
        except NoPolicy as error:
            self._note(domain, PolicyType.STS, error.fault)
            return None

    def _by_sts(self, domain: str, policy: Policy, host: str) -> Demand | Barred:
        enforced, named = policy.mode == "enforce", policy.names(host)
        if enforced and not named:
            self._note(domain, PolicyType.STS, UNNAMED, host)
            return Barred(_unnamed(host))
        return Demand(By.STS, enforced=enforced, named=named)

    def _note(self, domain: str, policy_type: PolicyType, fault: str, host: str = "") -> None:
        if self._results is not None and fault:
            self._results.note(domain, policy_type, fault, host=host)

    async def proofs(self, domain: str, hosts: Sequence[str], *, by_mx: bool) -> list[Demand | Barred]:
        """Return the same for a mail with REQUIRETLS: hosts whose names DNSSEC or the domain's MTA-STS policy proves,
        and whose certificates DANE or the authorities prove (RFC 8689 2)."""
        try:
            barred = {} if not by_mx or await self._proven(domain) else await self._unproven(domain, hosts)
        except DnsFailure:
            return [_untold(domain)] * len(hosts)
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
        """By the records where the host's aliases lead to, else by those of its own name (RFC 7672 2.2.3)."""
        try:
            end = await self._resolver.proven_host(host)
        except DnsFailure:
            return _untold(host)
        for name in dict.fromkeys((end, host)) if end else ():
            if found := await self._by_records(domain, name):
                return found
        return None

    async def _by_records(self, domain: str, host: str) -> Demand | Barred | None:
        name = f"_{self._port}._tcp.{host}"
        try:
            records = await self._resolver.proven_tlsa(name)
        except Missing:
            return None
        except DnsFailure:
            # Without the answer nobody knows whether plain text is allowed (RFC 7672 2.1.2).
            self._note(domain, PolicyType.TLSA, UNANSWERED, host)
            return Barred(f"whether {host} has TLSA records can't be told: no answer from DNS")
        if records is None:
            return None
        return Demand(By.DANE, dane.usable(records), tuple(dict.fromkeys((host, domain))))

    async def _proven(self, domain: str, *, by_mx: bool = True) -> bool:
        """Tell whether DNSSEC proves which hosts a domain has; raise DnsFailure: no answer is no denial."""
        if by_mx:
            return await self._resolver.is_secure(domain, "MX")
        return await self._resolver.proven_host(domain) is not None


def _untold(name: str) -> Barred:
    return Barred(f"whether DNSSEC proves {name} can't be told: no answer from DNS")


def _unnamed(host: str) -> str:
    return f"{host} is not named by the domain's MTA-STS policy"


def _proof(demand: Demand | Barred | None) -> Demand | Barred:
    """Encryption alone does not do: a certificate must be proven."""
    if isinstance(demand, Barred):
        return demand
    proven = demand is not None and demand.enforced and (demand.by is not By.DANE or demand.records)
    return demand if demand is not None and proven else Demand(By.SENDER)


def make_security(
    store: Store, resolver: Resolver, settings: Settings, clock: Clock, results: TlsResults | None
) -> Security:
    """Make it as the settings ask for."""
    policies = None
    if settings.mta_sts.enabled:
        fetcher = Fetcher(resolver, settings.mta_sts, private=settings.relay.allow_private_destinations)
        policies = StsPolicies(store, fetcher, resolver, clock)
    return Security(resolver, policies, use_dane=settings.relay.dane, port=settings.relay.mx_port, results=results)
