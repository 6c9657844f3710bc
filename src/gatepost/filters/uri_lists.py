"""Asks lists in DNS about the links of a mail: their domains, the addresses behind them, hashes of them."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from gatepost.dns import DnsFailure, Missing
from gatepost.filters import zones
from gatepost.filters.entries import Entries, reader
from gatepost.filters.hosts import Indexed, is_address, named, upwards
from gatepost.filters.registry import Cost, Tools
from gatepost.filters.watched import Watched
from gatepost.filters.zones import Kind, Lists, Question, Source, Zone, ZoneOptions
from gatepost.message.anatomy import Link
from gatepost.message.hosts import path_of
from gatepost.message.mail import Mail
from gatepost.model.envelope import Recipient
from gatepost.model.network import is_public
from gatepost.model.rules import UriAction, UriRule
from gatepost.model.verdict import Finding

Of = Literal["domain", "host", "url"]


class LinkZone(Zone, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`of` is what the list is asked about: by kind the domain, or the URL. `resolve`: what hosts lead to, too."""

    kind: Kind = "domain"
    of: Of | Literal[""] = ""
    resolve: bool = False


class UriListOptions(ZoneOptions, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **ZoneOptions.DOC,
        "zones": "the lists: zone, kind (domain, ip, hash), answers with symbol and weight; see docs/filters.md",
        "skip_file": "domains that are not looked up, one a line; read again when it changes",
    }
    zones: tuple[LinkZone, ...] = ()
    skip_file: str = ""

    @property
    def in_force(self) -> bool:
        return self.enabled and bool(self.zones or self.skip_file)


class UriLists:
    """Is something that a link leads to on a DNS list?

    Domains that a rule URIDNSBL_SKIP_DOMAIN or `skip_file` names are not looked up, nor what lies below them. Without
    zones nothing is asked.
    """

    name = "uri_lists"
    cost = Cost.DNS
    Options = UriListOptions

    def __init__(self, options: UriListOptions, tools: Tools) -> None:
        self._most = options.most
        self._seconds = options.seconds
        self._resolver = tools.resolver
        self._sources = [(Source(zone, zone.kind), zone, _asked_of(zone)) for zone in options.zones]
        self._lists = Lists(options, tools, self.name)
        self._skips: Indexed[frozenset[str]] = Indexed(_skips)
        self._file = _watched(options.skip_file, tools) if options.skip_file else None

    def key(self, recipient: Recipient) -> Hashable:
        return self._skips.of(recipient.rules.uris) if self._sources else None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        if not self._sources:
            return ()
        if self._file:
            await self._file.refresh()
        skips = self._skips.of(recipient.rules.uris)
        anatomy = await mail.anatomy()
        leads = _Leads(self._asked(anatomy.links, skips), self._asked(anatomy.asides, skips))
        questions: list[Question] = []
        for source, zone, of in self._sources:
            if source.kind == "ip":
                questions += map(source.about_ip, await self._addresses(leads, zone.resolve, mail.envelope.id))
            else:
                texts = leads.chosen(partial(_texts, of=of), self._most, mail.envelope.id)
                questions += map(source.about_text, texts)
        return await self._lists.ask(questions)

    def _asked(self, links: Iterable[Link], skips: frozenset[str]) -> list[Link]:
        return [link for link in links if not self._skipped(link.host, skips)]

    def _skipped(self, host: str, skips: frozenset[str]) -> bool:
        if any(name in skips for name in upwards(host)):
            return True
        return self._file is not None and self._file.value.has_host(host)

    async def _addresses(self, leads: "_Leads", resolve: bool, salt: str) -> list[str]:
        """Return the public addresses that links name, and with `resolve` those that their hosts have."""
        found = leads.chosen(_ips, self._most, salt)
        if resolve:
            asked = map(self._resolved, leads.chosen(partial(_texts, of="host"), self._most, salt))
            found += [address for addresses in await asyncio.gather(*asked) for address in addresses]
        return zones.chosen(filter(is_public, found), self._most, salt)

    async def _resolved(self, host: str) -> list[str]:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._resolver.ipv4(host)
        except (Missing, DnsFailure, TimeoutError):
            return []


class _Leads(NamedTuple):
    """The links of a mail, and what else leads somewhere."""

    links: Sequence[Link]
    asides: Sequence[Link]

    def chosen(self, names: Callable[[Iterable[Link]], Iterable[str]], most: int, salt: str) -> list[str]:
        """Return at most `most` names; asides come last, so that no document full of links hides one of the mail."""
        first = zones.chosen(names(self.links), most, salt)
        rest = (name for name in names(self.asides) if name not in first)
        return first + zones.chosen(rest, most - len(first), salt)


def _ips(links: Iterable[Link]) -> Iterable[str]:
    return filter(is_public, (link.host for link in links if is_address(link.host)))


def _asked_of(zone: LinkZone) -> Of:
    of: Of = zone.of or ("url" if zone.kind == "hash" else "domain")
    if of == "url" and zone.kind != "hash":
        raise ValueError(f"zones: {zone.zone}: only a list of kind hash knows URLs")
    return of


def _texts(links: Iterable[Link], of: Of) -> Iterable[str]:
    for link in links:
        if of == "url":
            yield link.host + path_of(link.url).partition("?")[0]
        elif not is_address(link.host):
            yield link.domain if of == "domain" else link.host


def _skips(rules: Sequence[UriRule]) -> frozenset[str]:
    return frozenset(named(rule.filter) for rule in rules if rule.action is UriAction.URIDNSBL_SKIP_DOMAIN)


def _watched(name: str, tools: Tools) -> Watched[Entries]:
    try:
        return Watched(Path(name), reader(tools.alarm))
    except (OSError, ValueError) as error:
        raise ValueError(f"skip_file: {error}") from error


FILTER = UriLists
