"""Asks whether an address may send for a domain (RFC 7208), through our own resolver."""

import ipaddress
from collections.abc import Iterable, Iterator

from spftrace import BaseResolver, Evaluator, Limits
from spftrace.resolver import NOERROR, NXDOMAIN, SERVFAIL
from spftrace.trace import DnsQueryRecord, Event

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.message.plain import plain
from gatepost.model.auth import Result, Spf

LOOKUPS = 10  # terms that ask DNS (RFC 7208 4.6.4)
SECONDS = 20.0  # likewise
TOLD = 50  # steps, and DNS answers, that are told of one evaluation
LINE = 300  # characters of each


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


async def check(resolver: Resolver, ip: str, sender: str, helo: str = "", *, audit: bool = False) -> Spf:
    """Return what the record of the sender's domain says of mail from `ip`.

    `sender` is an address, or a domain alone; `helo` fills macros. `audit` counts look-ups on beyond the limit.
    """
    limits = Limits(time_limit=SECONDS, audit=audit)
    found = await Evaluator(_Questions(resolver), limits).evaluate(ip, sender, helo)
    events = found.trace.events
    reasons = [str(event.data["reason"]) for event in events if "reason" in event.data]
    over = found.dns_terms_used > LOOKUPS
    reason = f"{found.dns_terms_used} look-ups of at most {LOOKUPS}" if over else next(reversed(reasons), "")
    return Spf(
        result=Result(found.result),
        domain=sender.rpartition("@")[2].rstrip(".").lower(),
        lookups=found.dns_terms_used,
        reason=plain(reason, LINE),
        matched=next((plain(str(each.data["raw"]), LINE) for each in events if each.kind == "mech_match"), ""),
        steps=tuple(_steps(events)),
        answers=tuple(_answer(each) for each in found.queries[:TOLD]),
    )


def _steps(events: Iterable[Event]) -> Iterator[str]:
    told = 0
    for event in events:
        said = _step(event)
        if said and told < TOLD:
            told += 1
            yield plain("  " * event.depth + said, LINE)


def _step(event: Event) -> str:
    data = event.data
    match event.kind:
        case "check_start":
            return f"{data['domain']} is asked about {data['ip']}"
        case "policy_parsed":
            return f"its record is {data['policy']}"
        case "mech_match":
            return f"{data['raw']} matches: {data['result']}"
        case "mech_nomatch":
            return f"{data['raw']} does not match"
        case "limit_exceeded":
            return f"more {data['limit'].replace('_', ' ')} than {data['allowed']}"
        case "exit":
            return f"{data['result']}: {data['reason']}"
        case _:
            return ""


def _answer(query: DnsQueryRecord) -> str:
    return plain(f"{query.name} {query.rtype}: {', '.join(query.answers) or query.rcode}", LINE)
