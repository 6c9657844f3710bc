"""Asks lists in DNS about who brought and who wrote a mail: the client's address, domains, hashes of addresses."""

from collections.abc import Hashable, Iterable, Iterator
from typing import ClassVar, Literal

from gatepost.filters import zones
from gatepost.filters.hosts import is_address
from gatepost.filters.registry import Cost, Tools
from gatepost.filters.zones import Kind, Lists, Question, Source, Zone, ZoneOptions
from gatepost.message.authors import authors
from gatepost.message.hosts import registered
from gatepost.message.mail import Mail
from gatepost.model.address import Address
from gatepost.model.envelope import Recipient
from gatepost.model.network import is_public
from gatepost.model.verdict import Finding

Of = Literal["client", "helo", "sender", "from"]


class ClientZone(Zone, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`of` is what the list is asked about: by kind the client's address, or sender and From."""

    kind: Kind = "ip"
    of: tuple[Of, ...] = ()


class DnsblOptions(ZoneOptions, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **ZoneOptions.DOC,
        "zones": "the lists: zone, kind (ip, domain, hash), answers with symbol and weight; see docs/filters.md",
    }
    zones: tuple[ClientZone, ...] = ()

    @property
    def in_force(self) -> bool:
        return self.enabled and bool(self.zones)


class Dnsbl:
    """Is the client, or the sender, on a DNS list?

    Lists that block have positive weights, lists that vouch for somebody negative ones. Only mail from strangers is
    asked about: not that of who signed in, of our networks, or from private addresses. Without zones nothing is asked.
    """

    name = "dnsbl"
    cost = Cost.DNS
    Options = DnsblOptions

    def __init__(self, options: DnsblOptions, tools: Tools) -> None:
        self._most = options.most
        self._sources = [(Source(zone, zone.kind), _asked_of(zone)) for zone in options.zones]
        self._lists = Lists(options, tools, self.name)

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        client = mail.envelope.client
        if client.is_ours:
            return ()
        written = authors(await mail.anatomy())
        questions: list[Question] = []
        for source, of in self._sources:
            questions += _questions(source, of, mail, written, self._most)
        return await self._lists.ask(questions)


def _asked_of(zone: ClientZone) -> tuple[Of, ...]:
    of: tuple[Of, ...] = zone.of or (("client",) if zone.kind == "ip" else ("sender", "from"))
    allowed = {"ip": {"client"}, "domain": {"helo", "sender", "from"}, "hash": {"sender", "from"}}[zone.kind]
    if not allowed.issuperset(of):
        raise ValueError(f"zones: {zone.zone}: a list of kind {zone.kind} knows {', '.join(sorted(allowed))} alone")
    return of


def _questions(
    source: Source, of: Iterable[Of], mail: Mail, written: Iterable[Address], most: int
) -> Iterator[Question]:
    client = mail.envelope.client
    if source.kind == "ip":
        if is_public(client.ip):
            yield source.about_ip(client.ip)
        return
    addresses: list[Address] = []
    if "sender" in of and mail.envelope.sender:
        addresses.append(mail.envelope.sender)
    if "from" in of:
        addresses += written
    texts = [each.key if source.kind == "hash" else registered(each.domain) for each in addresses if not each.literal]
    helo = client.helo.rstrip(".").lower()
    if "helo" in of and "." in helo and not is_address(helo.strip("[]")):
        texts.append(registered(helo))
    yield from map(source.about_text, zones.chosen(texts, most, mail.envelope.id))


FILTER = Dnsbl
