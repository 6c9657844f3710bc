"""What receivers look for beside MX and DKIM: SPF, DMARC, PTR, MTA-STS, TLS-RPT, DANE; and the records to publish."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from gatepost.dns import Missing, Resolver, reverse_name
from gatepost.mailauth import iprev, records, spf
from gatepost.message.hosts import registered
from gatepost.model.health import Entry, advised, failed, passed
from gatepost.model.tenant import Domain
from gatepost.mta.sts import Fetcher, NoPolicy
from gatepost.services.mx import is_address
from gatepost.settings import Settings

NOBODY = "192.0.2.1"  # of RFC 5737: no record ends at it, so that all look-ups are counted
WEEK = 604_800


class Facts(msgspec.Struct, frozen=True):
    """What tests know of a domain: whether its mail may leave through us, and this gateway's public addresses."""

    domain: Domain
    sends: bool
    addresses: list[str]

    @property
    def name(self) -> str:
        return self.domain.name

    def fault(self, kind: str, what: str, *publish: str) -> Entry:
        """Return an entry of what harms mail that leaves: an error where the domain sends, else advice."""
        return (failed if self.sends else advised)(kind, self.name, what, *publish)


class Further:
    """The tests that the contract does not name. What is merely not published is advice, what is wrong an error."""

    def __init__(self, resolver: Resolver, gateway_names: Sequence[str], settings: Settings) -> None:
        self._resolver = resolver
        private = settings.relay.allow_private_destinations
        self._policies = Fetcher(resolver, settings.mta_sts, private=private)
        self._hosts = [name for name in gateway_names if not is_address(name)]
        self._host = settings.hostname.lower()
        self._smarthost = settings.relay.smarthost
        self._certificate = settings.smtp.certificate
        self.tests: dict[str, Callable[[Facts], Awaitable[Entry]]] = {
            "SPF": self.spf,
            "DMARC": self.dmarc,
            "PTR": self.ptr,
            "MTA-STS": self.mta_sts,
            "TLS-RPT": self.tls_rpt,
            "DANE": self.dane,
        }

    async def spf(self, facts: Facts) -> Entry:
        """Whether the domain's record lets this gateway send, within the limit of look-ups (RFC 7208)."""
        found = [text for text in await self._texts(facts.name) if text.lower().partition(b" ")[0] == b"v=spf1"]
        ours = " ".join(f"ip{6 if ':' in ip else 4}:{ip}" for ip in facts.addresses) or "mx"
        if not found:
            return facts.fault("SPF", "No SPF entry found", f"{facts.name} TXT v=spf1 {ours} ~all")
        if len(found) > 1:
            return failed("SPF", facts.name, "several SPF entries, of which receivers take none")
        asked = [] if self._smarthost else facts.addresses
        whole, *said = [await spf.check(self._resolver, ip, facts.name, audit=True) for ip in (NOBODY, *asked)]
        if whole.result in ("permerror", "temperror"):
            return failed("SPF", facts.name, f"{whole.result}, {whole.reason}")
        refused = [f"{ip} ({each.result})" for ip, each in zip(asked, said, strict=True) if each.result != "pass"]
        if refused:
            wanted = f"v=spf1 {ours}{found[0].decode('ascii', 'replace')[len('v=spf1') :]}"
            return facts.fault("SPF", f"this gateway may not send: {', '.join(refused)}", f"{facts.name} TXT {wanted}")
        return passed("SPF", f"{whole.lookups} of {spf.LOOKUPS} look-ups", *self._unasked(asked))

    def _unasked(self, asked: Sequence[str]) -> list[str]:
        if self._smarthost:
            return [f"Note: mail leaves by {self._smarthost}, whose addresses must be allowed"]
        return [] if asked else ["Note: [smtp] gateway_names gives no public address to ask about"]

    async def dmarc(self, facts: Facts) -> Entry:
        """The domain's DMARC record, or its organisation's (RFC 7489 6.6.3)."""
        name = facts.name
        found = records.of_version(await self._texts(f"_dmarc.{name}"), "DMARC1")
        above = registered(name)
        if not found and above != name:
            found = records.of_version(await self._texts(f"_dmarc.{above}"), "DMARC1")
        wanted = f"_dmarc.{name} TXT v=DMARC1; p=none; rua=mailto:postmaster@{name}"
        if not found:
            return advised("DMARC", name, "No DMARC entry found", wanted)
        if fault := _fault(found, records.dmarc_fault):
            return failed("DMARC", name, fault, wanted)
        return passed("DMARC", f"p={records.tags(found[0]).get('p', 'none').lower()}")

    async def ptr(self, facts: Facts) -> Entry:
        """The names of this gateway's addresses, which must lead back to them (RFC 1912 2.1)."""
        if not facts.addresses:
            return passed("PTR", "Note: [smtp] gateway_names gives no public address to ask about")
        found = await asyncio.gather(*(iprev.check(self._resolver, ip) for ip in facts.addresses))
        nameless = [each.ip for each in found if not each.name]
        if nameless:
            lines = [f"{reverse_name(ip)} PTR {self._host}" for ip in nameless]
            return facts.fault("PTR", f"no name leads to {', '.join(nameless)} and back", *lines)
        return passed("PTR", *(f"{each.ip}: {each.name}" for each in found))

    async def mta_sts(self, facts: Facts) -> Entry:
        """The record that tells of an MTA-STS policy, and the policy, which must name every MX (RFC 8461 3)."""
        name = facts.name
        found = records.of_version(await self._texts(f"_mta-sts.{name}"), "STSv1")
        policy = f"https://mta-sts.{name}/.well-known/mta-sts.txt"
        lines = ["version: STSv1", "mode: testing", *(f"mx: {host}" for host in self._hosts or [self._host])]
        text = " | ".join([*lines, f"max_age: {WEEK}"])
        wanted = (f"_mta-sts.{name} TXT v=STSv1; id=1", f"{policy}, one line each: {text}")
        if not found:
            return advised("MTA-STS", name, "No MTA-STS entry found", *wanted)
        if fault := _fault(found, records.sts_fault):
            return failed("MTA-STS", name, fault, *wanted)
        try:
            served = await self._policies.fetch(name)
        except NoPolicy as error:
            return failed("MTA-STS", name, str(error), wanted[1])
        strange = [host for host in await self._mx_hosts(name) if not served.names(host)]
        if strange and served.mode != "none":
            return failed("MTA-STS", name, f"the policy does not name the MX {', '.join(strange)}", wanted[1])
        return passed("MTA-STS", f"mode: {served.mode}")

    async def _mx_hosts(self, name: str) -> list[str]:
        try:
            return [mx.host for mx in await self._resolver.mx(name)]
        except Missing:
            return []

    async def tls_rpt(self, facts: Facts) -> Entry:
        """Where reports on TLS go (RFC 8460 3)."""
        name = facts.name
        found = records.of_version(await self._texts(f"_smtp._tls.{name}"), "TLSRPTv1")
        wanted = f"_smtp._tls.{name} TXT v=TLSRPTv1; rua=mailto:postmaster@{name}"
        if not found:
            return advised("TLS-RPT", name, "No TLS-RPT entry found", wanted)
        if fault := _fault(found, records.tls_report_fault):
            return failed("TLS-RPT", name, fault, wanted)
        return passed("TLS-RPT")

    async def dane(self, facts: Facts) -> Entry:
        """The TLSA records of this gateway's names, against the certificate that it shows (RFC 7672)."""
        fitting = await asyncio.to_thread(_fitting, self._certificate)
        hosts = self._hosts or [self._host]
        found = dict(zip(hosts, await asyncio.gather(*map(self._tlsa, hosts)), strict=True))
        wanted = [f"_25._tcp.{host} TLSA {' '.join(map(str, fitting[0]))}" for host in hosts] if fitting else []
        broken = [host for host, there in found.items() if there and not set(there) & set(fitting)]
        if broken:
            what = f"the TLSA entries of {', '.join(broken)} do not fit the certificate"
            return failed("DANE", facts.name, what, *wanted)
        if not any(found.values()):
            return advised("DANE", facts.name, "No TLSA entry found; it needs a zone signed by DNSSEC", *wanted)
        return passed("DANE")

    async def _texts(self, name: str) -> list[bytes]:
        try:
            return await self._resolver.txt(name)
        except Missing:
            return []

    async def _tlsa(self, host: str) -> Sequence[tuple[int, int, int, str]]:
        try:
            return list(await self._resolver.tlsa(f"_25._tcp.{host}"))
        except Missing:
            return []


def _fault(found: Sequence[bytes], of_one: Callable[[bytes], str]) -> str:
    return "several entries, of which receivers take none" if len(found) > 1 else of_one(found[0])


def _fitting(certificate: str) -> list[tuple[int, int, int, str]]:
    try:
        return records.tlsa_records(Path(certificate)) if certificate else []
    except (OSError, ValueError):  # the listeners have told of it
        return []
