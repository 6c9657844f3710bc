"""The MX check before a domain's service starts or stops (contract A68)."""

import asyncio
import ipaddress
from collections.abc import Sequence

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.services.records import unprocessable


class MxCheck:
    """Compares a domain's MX with this gateway's names and addresses; without any configured nothing is checked."""

    def __init__(self, resolver: Resolver, gateway_names: Sequence[str]) -> None:
        self._resolver = resolver
        self._names = {name.rstrip(".").lower() for name in gateway_names if not _is_address(name)}
        self._addresses = {str(ipaddress.ip_address(name)) for name in gateway_names if _is_address(name)}

    async def arriving(self, domain: str) -> None:
        """Raise UNPROCESSABLE unless the domain's mail comes here."""
        if self._on and not await self._comes_here(domain):
            text = f"The MX of {domain} is not this gateway; X-Ignore-MX skips this check."
            raise unprocessable(text, "/status")

    async def leaving(self, domain: str) -> None:
        """Raise UNPROCESSABLE while the domain's mail still comes here."""
        if self._on and await self._comes_here(domain):
            text = f"The MX of {domain} is still this gateway; X-Ignore-MX skips this check."
            raise unprocessable(text, "")

    @property
    def _on(self) -> bool:
        return bool(self._names or self._addresses)

    async def _comes_here(self, domain: str) -> bool:
        try:
            hosts = [mx.host.rstrip(".").lower() for mx in await self._resolver.mx(domain)]
        except Missing:
            hosts = [domain]  # RFC 5321 5.1: without MX the domain itself is its mail host
        except DnsFailure as error:
            raise unprocessable("The MX can't be looked up now; X-Ignore-MX skips this check.", "") from error
        if self._names.intersection(hosts):
            return True
        if not self._addresses:
            return False
        found = await asyncio.gather(*map(self._addresses_of, hosts))
        return any(self._addresses.intersection(addresses) for addresses in found)

    async def _addresses_of(self, host: str) -> list[str]:
        try:
            return await self._resolver.addresses(host) if host else []
        except (Missing, DnsFailure):
            return []


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
