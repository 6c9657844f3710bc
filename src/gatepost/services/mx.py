"""Where a domain's mail comes in: its MX against this gateway; asked when its service starts or stops (A68)."""

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence

import msgspec

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.model.access import Caller
from gatepost.services.records import unprocessable


class Arrival(msgspec.Struct, frozen=True):
    """What DNS says of a domain's mail: its MX hosts ([]: no MX), and those of them that are this gateway.

    Without MX the domain itself is its mail host (RFC 5321 5.1): then that name stands in `here` where it is us.
    """

    hosts: list[str]
    here: list[str]


class MxCheck:
    """Compares a domain's MX with this gateway's names and addresses; without any configured nothing is checked."""

    def __init__(self, resolver: Resolver, gateway_names: Sequence[str]) -> None:
        self._resolver = resolver
        self.required = [name.rstrip(".").lower() for name in gateway_names]
        self._names = {name for name in self.required if not is_address(name)}
        self._addresses = {str(ipaddress.ip_address(name)) for name in self.required if is_address(name)}

    async def arriving(self, domain: str) -> None:
        """Raise UNPROCESSABLE unless the domain's mail comes here."""
        if self.required and not await self._comes_here(domain):
            text = f"The MX of {domain} is not this gateway; X-Ignore-MX skips this check."
            raise unprocessable(text, "/status")

    async def claimed(self, caller: Caller, names: Mapping[str, str]) -> None:
        """Raise UNPROCESSABLE where others than sysadmins would take names whose mail does not come here.

        `names` with their places in the request. Whoever takes a name of another's has the mail of all who send to it
        from here, and sends as it; nobody may skip this check.
        """
        if caller.sys_admin or not self.required:
            return
        for name, at in names.items():
            if not await self._comes_here(name, "Until then a sysadmin takes the name.", at):
                text = f"The MX of {name} is not this gateway. Until it is, only a sysadmin takes the name."
                raise unprocessable(text, at)

    async def leaving(self, domain: str) -> None:
        """Raise UNPROCESSABLE while the domain's mail still comes here."""
        if self.required and await self._comes_here(domain):
            text = f"The MX of {domain} is still this gateway; X-Ignore-MX skips this check."
            raise unprocessable(text, "")

    async def _comes_here(self, domain: str, otherwise: str = "X-Ignore-MX skips this check.", at: str = "") -> bool:
        try:
            return bool((await self.look(domain)).here)
        except DnsFailure as error:
            raise unprocessable(f"The MX can't be looked up now. {otherwise}", at) from error

    async def look(self, domain: str) -> Arrival:
        """Return where the domain's mail goes; raise DnsFailure."""
        try:
            hosts = [mx.host.rstrip(".").lower() for mx in await self._resolver.mx(domain)]
        except Missing:
            hosts = []
        asked = hosts or [domain]
        ours = await asyncio.gather(*map(self._is_us, asked))
        return Arrival(hosts, [host for host, us in zip(asked, ours, strict=True) if us])

    async def _is_us(self, host: str) -> bool:
        if host in self._names or not self._addresses:
            return host in self._names
        return bool(self._addresses.intersection(await self._addresses_of(host)))

    async def addresses(self) -> list[str]:
        """Return the addresses of this gateway: the configured ones, and those of its names."""
        found = await asyncio.gather(*map(self._addresses_of, sorted(self._names)))
        return sorted(self._addresses.union(*found))

    async def _addresses_of(self, host: str) -> list[str]:
        try:
            return await self._resolver.addresses(host) if host else []
        except (Missing, DnsFailure):
            return []


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
