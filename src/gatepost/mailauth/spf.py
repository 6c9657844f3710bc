"""Asks whether an address may send for a domain (RFC 7208), through our own resolver."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import spftrace
from spftrace import BaseResolver, Evaluator, Limits
from spftrace.errors import SpfPermError
from spftrace.parser import VERSION_RE
from spftrace.resolver import NOERROR, NXDOMAIN, SERVFAIL
from spftrace.trace import DnsQueryRecord, Event

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.mailauth.lasting import Asked, Lasting
from gatepost.message.plain import plain
from gatepost.model.auth import Result, Spf

LOOKUPS = 10  # terms that ask DNS (RFC 7208 4.6.4)
SECONDS = 20.0  # likewise
RECORD_MAX = 16_384  # octets of a record; the longest in use have some four thousand
RECORD_USUAL = 1000  # octets up to which it takes no time worth a word
TOLD = 50  # steps, and DNS answers, that are told of one evaluation
LINE = 300  # characters of each
DECIDED = ("pass", "fail", "softfail", "neutral")


class _Questions(BaseResolver):
    """Our resolver as spftrace asks it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

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
                return await self._texts(name)
            case "MX":
                return await self._asked.mx_hosts(name)
            case "PTR":
                return await self._asked.names(name)
            case "A":
                return await self._asked.ipv4(name)
            case _:
                return await self._asked.ipv6(name)

    async def _texts(self, name: str) -> list[str]:
        found = [text.decode("utf-8", "replace") for text in await self._asked.txt(name)]
        if any(len(text) > RECORD_MAX and VERSION_RE.match(text) for text in found):
            raise SpfPermError(f"the record of {name} is larger than {RECORD_MAX} octets")
        if any(len(text) > RECORD_USUAL for text in found):
            await asyncio.sleep(0)  # others first, as terms take a while, and the answer may have been at hand
        return found


class _Unheeded(list[str]):
    """Warnings that nobody reads: the evaluator looks for each among all before it."""

    def __contains__(self, warning: object) -> bool:
        return True


class _Evaluation(Evaluator):
    """spftrace's evaluator without what nobody here asks for: warnings and explanations (exp=)."""

    def _begin(self) -> None:
        super()._begin()
        self.warnings = _Unheeded()

    async def _explanation(self, *about: object) -> None:
        return None


class Checks:
    """Asks for many mails."""

    def __init__(self, resolver: Resolver, seconds: float = SECONDS) -> None:
        self._resolver = resolver
        self._seconds = min(seconds, SECONDS)
        self._known: Lasting[tuple[str, str], Spf] = Lasting(resolver)

    def known(self, ip: str, sender: str) -> Spf | None:
        """Return what `check` would without asking anybody, None where it has to ask."""
        return self._known.get((ip, _domain(sender)))

    async def check(self, ip: str, sender: str, helo: str) -> Spf:
        """Return what the record of the sender's domain says of mail from `ip`."""
        known = self.known(ip, sender)
        if known is not None:
            return known
        found = await _evaluate(self._resolver, ip, sender, helo, seconds=self._seconds)
        self._known.keep((ip, _domain(sender)), *found)
        return found.spf


async def check(resolver: Resolver, ip: str, sender: str, helo: str = "", *, audit: bool = False) -> Spf:
    """Return what the record of the sender's domain says of mail from `ip`.

    `sender` is an address, or a domain alone; `helo` fills macros. `audit` counts look-ups on beyond the limit.
    """
    return (await _evaluate(resolver, ip, sender, helo, audit=audit)).spf


class _Found(NamedTuple):
    """A result for an address and a domain, and until when it is good (epoch milliseconds); 0: for this mail alone."""

    spf: Spf
    until: int


async def _evaluate(
    resolver: Resolver, ip: str, sender: str, helo: str, *, audit: bool = False, seconds: float = SECONDS
) -> _Found:
    asked = Asked(resolver)
    found = await _Evaluation(_Questions(asked), Limits(time_limit=seconds, audit=audit)).evaluate(ip, sender, helo)
    spf = _read(found, sender)
    of_this_mail = spf.result is Result.TEMPERROR or any("%" in text for each in found.queries for text in each.answers)
    return _Found(spf, 0 if of_this_mail else asked.until)


def _read(found: spftrace.Result, sender: str) -> Spf:
    events = found.trace.events
    reasons = [str(event.data["reason"]) for event in events if "reason" in event.data]
    over = found.dns_terms_used > LOOKUPS
    reason = f"{found.dns_terms_used} look-ups of at most {LOOKUPS}" if over else next(reversed(reasons), "")
    return Spf(
        result=Result(found.result),
        domain=_domain(sender),
        lookups=found.dns_terms_used,
        reason=plain(reason, LINE),
        matched=_decisive(events) if found.result in DECIDED else "",
        steps=tuple(_steps(events)),
        answers=tuple(_answer(each) for each in found.queries[:TOLD]),
    )


def _decisive(events: Iterable[Event]) -> str:
    """Return the term that decided, inside the records included: the first of the matches that nothing undid."""
    matched = ""
    for event in events:
        if event.kind == "mech_nomatch":
            matched = ""
        elif event.kind == "mech_match":
            matched = matched or plain(str(event.data["raw"]), LINE)
    return matched


def _domain(sender: str) -> str:
    return sender.rpartition("@")[2].rstrip(".").lower()


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
