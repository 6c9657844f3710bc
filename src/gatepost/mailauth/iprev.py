"""Asks whether the client's address has a name that leads back to it (iprev, RFC 8601 3)."""

from ipaddress import ip_address

from gatepost.dns import DnsFailure, Missing, Resolver, reverse_name
from gatepost.mailauth.lasting import Asked, Lasting
from gatepost.model.auth import Iprev, Result

NAMES = 10  # of an address that are followed (as RFC 7208 4.6.4 has it)


class Checks:
    """Asks for many mails."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: Lasting[str, Iprev] = Lasting(resolver)

    def known(self, ip: str) -> Iprev | None:
        """Return what `check` would without asking anybody, None where it has to ask."""
        return self._known.get(ip)

    async def check(self, ip: str) -> Iprev:
        known = self.known(ip)
        if known is None:
            asked = Asked(self._resolver)
            known = await check(asked, ip)
            self._known.keep(ip, known, asked.until)
        return known


async def check(resolver: Resolver | Asked, ip: str) -> Iprev:
    """Return the name of an address, if one of those that it claims leads back to it; of no address nothing is said."""
    try:
        wanted = ip_address(ip)
    except ValueError:  # mail that was written here came in from nowhere
        return Iprev(result=Result.NONE, ip=ip, reason="there is no address")
    try:
        names = await resolver.names(reverse_name(ip))
    except Missing:
        return Iprev(result=Result.PERMERROR, ip=ip, reason="the address has no name")
    except DnsFailure as error:
        return Iprev(result=Result.TEMPERROR, ip=ip, reason=str(error))
    failure = ""
    for name in names[:NAMES]:
        try:
            if wanted in map(ip_address, await resolver.addresses(name)):
                return Iprev(result=Result.PASS, ip=ip, name=name)
        except Missing:
            continue
        except DnsFailure as error:
            failure = str(error)
    if failure:
        return Iprev(result=Result.TEMPERROR, ip=ip, reason=failure)
    return Iprev(result=Result.FAIL, ip=ip, reason=f"{names[0]} does not lead back to it")
