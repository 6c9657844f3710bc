"""Asks whether an address may send for a domain (RFC 7208), through our own resolver."""

import ipaddress

import msgspec
from spftrace import BaseResolver, Evaluator, Limits
from spftrace.resolver import NOERROR, NXDOMAIN, SERVFAIL

from gatepost.dns import DnsFailure, Missing, Resolver

LOOKUPS = 10  # terms that ask DNS (RFC 7208 4.6.4)
SECONDS = 10.0


class Spf(msgspec.Struct, frozen=True):
    """What a domain's record says of an address: pass, fail, softfail, neutral, none, permerror or temperror.

    `lookups` counts the terms that ask DNS, beyond the limit too; `reason` says what is wrong with the record.
    """

    result: str
    lookups: int
    reason: str = ""


class _Questions(BaseResolver):
    """Our resolver as spftrace asks it."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        try:
            return NOERROR, await self._answers(name, rtype)
        except Missing:
            return NXDOMAIN, []
        except DnsFailure:
            return SERVFAIL, []

    async def _answers(self, name: str, rtype: str) -> list[str]:
        match rtype:
            case "TXT":
                return [text.decode("utf-8", "replace") for text in await self._resolver.txt(name)]
            case "MX":
                return [mx.host for mx in await self._resolver.mx(name)]
            case "PTR":
                return await self._resolver.names(name)
            case _:
                version = 4 if rtype == "A" else 6
                found = await self._resolver.addresses(name)
                return [each for each in found if ipaddress.ip_address(each).version == version]


async def check(resolver: Resolver, ip: str, domain: str) -> Spf:
    """Return what the domain's record says of mail from `ip`."""
    limits = Limits(time_limit=SECONDS, audit=True)
    found = await Evaluator(_Questions(resolver), limits).evaluate(ip, f"postmaster@{domain}")
    reasons = [str(event.data["reason"]) for event in found.trace.events if "reason" in event.data]
    over = found.dns_terms_used > LOOKUPS
    reason = f"{found.dns_terms_used} look-ups of at most {LOOKUPS}" if over else next(reversed(reasons), "")
    return Spf(found.result, found.dns_terms_used, reason)
