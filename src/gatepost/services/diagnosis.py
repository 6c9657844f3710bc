"""Diagnoses a domain by DNS: its MX and DKIM records in the contract's words, then what else receivers look for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gatepost.dns import DnsFailure, Resolver
from gatepost.model.dkim import Algorithm
from gatepost.model.health import Code, Entry, failed, lookup, passed
from gatepost.model.network import is_public
from gatepost.model.tenant import Domain
from gatepost.mta.outcome import printable
from gatepost.services.dkim import Dkim, Sight
from gatepost.services.further import Facts, Further
from gatepost.services.mx import MxCheck
from gatepost.settings import Settings

Test = Callable[[Facts], Awaitable[Entry]]

SECONDS = 10.0  # for one test
LINE = 4000  # characters of a line; what strangers publish stands in some

_GRAVITY = (Code.ERROR, Code.DKIM_MISMATCH, Code.DKIM_MISSING, Code.OK)  # which result of several names counts


class Diagnosis:
    """The tests of `[health] checks`. The resolver keeps no answers: who has just mended a record wants a new one."""

    def __init__(self, resolver: Resolver, dkim: Dkim, settings: Settings) -> None:
        self._mx = MxCheck(resolver, settings.smtp.gateway_names)
        self._dkim = dkim
        self._selector = settings.dkim.selector
        further = Further(resolver, self._mx.required, settings)
        known: dict[str, Test] = {"MX": self._test_mx, "DKIM": self._test_dkim, **further.tests}
        self._tests = {kind: test for kind, test in known.items() if kind in settings.health.checks}

    async def run(self, domain: Domain, *, sends: bool) -> list[Entry]:
        """Return an entry of each test, in the contract's order; `sends`: mail of the domain may leave through us."""
        addresses = [ip for ip in await self._mx.addresses() if is_public(ip)]
        facts = Facts(domain, sends, addresses)
        entries = await asyncio.gather(*(_run(kind, test, facts) for kind, test in self._tests.items()))
        return [_printable(each) for each in entries]

    async def _test_mx(self, facts: Facts) -> Entry:
        """The domain's MX against the names and addresses of this gateway."""
        found = await self._mx.look(facts.name)
        start = lookup("MX", facts.name)
        if not found.hosts:
            return Entry("MX", Code.MX_MISSING, [start, "Fail: No MX entry found"])
        if not self._mx.required:
            return passed("MX", "Note: [smtp] gateway_names is empty, so the MX was compared with nothing")
        if not found.here:
            return Entry("MX", Code.MX_INVALID, [start, f"Required: {' or '.join(self._mx.required)}", "Fail"])
        others = [host for host in found.hosts if host not in found.here]
        return passed("MX", *(f"Note: {host or '.'} takes mail beside this gateway" for host in others))

    async def _test_dkim(self, facts: Facts) -> Entry:
        """The record of each key under each of the domain's names, against the private key."""
        sights = await self._dkim.look(facts.domain)
        if not sights:
            lines = [lookup("dkim", facts.name), _not_found(facts.name, self._selector)]
            return Entry("DKIM", Code.DKIM_MISSING, lines)
        judged = [
            _judged([sight for sight in sights if sight.name == name and sight.key.algorithm is algorithm])
            for name in dict.fromkeys(sight.name for sight in sights)
            for algorithm in Algorithm
            if any(sight.key.algorithm is algorithm for sight in sights)
        ]
        worst = min((code for code, _ in judged), key=_GRAVITY.index)
        lines = list(dict.fromkeys(line for code, line in judged if line))
        if worst is Code.OK:
            return passed("DKIM", *lines)
        return Entry("DKIM", worst, [lookup("dkim", facts.name), *lines])


async def _run(kind: str, test: Test, facts: Facts) -> Entry:
    try:
        async with asyncio.timeout(SECONDS):
            return await test(facts)
    except DnsFailure as error:
        return failed(kind, facts.name, str(error))
    except TimeoutError:
        return failed(kind, facts.name, f"it took longer than {SECONDS:g} seconds")


def _printable(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, output=[printable(line, LINE) for line in entry.output])


def _judged(sights: Sequence[Sight]) -> tuple[Code, str]:
    """Return the result for one name and algorithm: that of the newest key, unless one before it signs meanwhile."""
    newest = sights[-1]
    if newest.found:
        return Code.OK, ""
    if any(sight.found for sight in sights):
        return Code.OK, f"Note: {newest.key.place(newest.name)} is not seen yet; the key before it signs until then"
    if newest.failure:
        return Code.ERROR, f"Fail: {newest.failure}"
    if newest.found is None:
        return Code.DKIM_MISSING, _not_found(newest.name, newest.key.selector)
    return Code.DKIM_MISMATCH, "Fail: DKIM key defined in DNS does not match with private part"


def _not_found(name: str, selector: str) -> str:
    return f'Fail: DKIM DNS entry not found for domain "{name}" and selector "{selector}"'
