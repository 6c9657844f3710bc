"""From a route to the servers to try, in order: given hops, the smarthost, or MX (RFC 5321 5.1, RFC 7505)."""

import asyncio
import ipaddress
import random
import socket
from collections.abc import Collection, Sequence

import msgspec

from gatepost.dns import DnsFailure, Missing, Mx, Resolver
from gatepost.events import Clock
from gatepost.lookout import within
from gatepost.model.address import BadAddress, domain_name
from gatepost.model.envelope import TlsWish
from gatepost.model.network import is_public
from gatepost.model.route import Hop, Route, Terms, Transport
from gatepost.mta.outcome import Reply, Result, own
from gatepost.mta.security import Barred, By, Demand, Security
from gatepost.settings import Relay, SettingsError

MX_MAX = 20  # hosts of one domain that are looked up
ADDRESS_MAX = 20  # addresses that are tried for one mail
IMPLICIT_TLS_PORT = 465
SMTP_PORT = 25
NULL_MX_PATIENCE = 2.0  # seconds that MAIL FROM waits for the answer
NULL_MX_PAUSE = 30_000  # milliseconds without questions after one that was not answered

Answer = list[str] | Missing | DnsFailure
"""The addresses of a host, or why there are none."""


class Target(msgspec.Struct, frozen=True):
    """One address to connect to; `host` is the name that its certificate must bear."""

    host: str
    ip: str
    port: int
    transport: Transport
    terms: Terms | None = None
    demand: Demand | None = None  # what TLS must prove to it, beyond the transport
    configured: bool = False  # somebody named the server; DNS did not lead to it

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS begins with the first octet."""
        return self.port == IMPLICIT_TLS_PORT if self.terms is None else self.terms.implicit_tls

    @property
    def text(self) -> str:
        """The target as log and trace show it."""
        return f"{self.host}[{self.ip}]:{self.port}"


class Host(msgspec.Struct, frozen=True):
    """A host of a domain, its addresses, and what TLS must prove to it."""

    name: str
    addresses: list[str]
    demand: Demand | None = None


class Unroutable(Exception):
    """There is no server to try, for now (DEFERRED) or for good (FAILED); `unmet`: none that may get a mail which
    requires TLS."""

    def __init__(self, result: Result, reply: Reply, *, unmet: bool = False) -> None:
        super().__init__(reply.text)
        self.result = result
        self.reply = reply
        self.unmet = unmet


class Gateway:
    """Knows which names and addresses are this gateway, so that it doesn't send mail to itself (threat 98)."""

    def __init__(self, names: Collection[str], listeners: Collection[tuple[str, int]]) -> None:
        """`names` are names and addresses; `listeners` the (address, port) pairs that take mail, "" for any address."""
        self._names = frozenset(name.lower().rstrip(".") for name in names if name)
        self._listeners = frozenset(listeners)

    def named(self, host: str) -> bool:
        return host.lower().rstrip(".") in self._names

    def is_at(self, ip: str, port: int) -> bool:
        if ip in self._names or (ip, port) in self._listeners:
            return True
        everywhere = any((any_address, port) in self._listeners for any_address in ("", "0.0.0.0", "::"))  # noqa: S104
        return everywhere and _is_local(ip)


class Router:
    """Finds targets."""

    def __init__(
        self,
        settings: Relay,
        resolver: Resolver,
        gateway: Gateway,
        *,
        security: Security | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._security = security or Security(resolver, None, use_dane=False, port=settings.mx_port)
        self._resolver = resolver
        self._gateway = gateway
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._smarthost = smarthost(settings)
        self._mx_transport = transport(settings.mx_transport, "relay.mx_transport")

    def policy_domain(self, route: Route) -> str:
        """Return the domain by whose MX records a route leads, "" where it leads by what somebody configured."""
        by_mx = not route.hops and self._smarthost is None and route.domain and not route.domain.startswith("[")
        return route.domain or "" if by_mx else ""

    async def targets(self, route: Route, wish: TlsWish = TlsWish.NONE) -> tuple[Target, ...]:
        """Return the addresses to try for a mail, best first; raise Unroutable where there are none.

        The name of a server that somebody configured, or of a domain itself, is proven as it stands (RFC 8689 2).
        """
        proven = Demand(By.SENDER) if wish is TlsWish.REQUIRED else None
        hops = route.hops or ((self._smarthost,) if self._smarthost else ())
        if hops:
            return await self._given(hops, proven)
        if not route.domain:
            raise Unroutable(Result.FAILED, own("5.1.2", "the recipient has no domain to send to"))
        if route.domain.startswith("["):
            literal = Host(route.domain, await self._resolver.addresses(route.domain), proven)
            return self._public(route.domain, [literal])
        return await self._by_mx(route.domain, wish)

    async def _given(self, hops: Sequence[Hop], demand: Demand | None) -> tuple[Target, ...]:
        """The hops that somebody configured; their word is taken for private addresses too, unless they may not."""
        found = [await self._addresses(hop.host) for hop in hops]
        targets = [
            Target(hop.host, ip, hop.port, hop.transport, hop.terms, demand, configured=True)
            for hop, addresses in zip(hops, found, strict=True)
            if not isinstance(addresses, Exception)
            for ip in addresses
            if hop.private or is_public(ip)
        ]
        if not targets:
            hosts = ", ".join(hop.host for hop in hops)
            if any(isinstance(answer, list) for answer in found):
                _raise_unasked(found)
                raise Unroutable(Result.DEFERRED, own("4.4.4", f"{hosts} leads to private or loopback addresses only"))
            _raise_unknown(hosts, found, lasting="4.4.3")
        return tuple(targets[:ADDRESS_MAX])

    async def _addresses(self, host: str) -> Answer:
        try:
            return await self._resolver.addresses(host)
        except (Missing, DnsFailure) as error:
            return error

    async def _by_mx(self, domain: str, wish: TlsWish) -> tuple[Target, ...]:
        found = await self._mx(domain)
        records = self._ordered(found or [Mx(0, domain)])  # the implicit MX
        addresses = await asyncio.gather(*(self._addresses(mx.host) for mx in records))
        hosts = self._before_us(domain, list(zip(records, addresses, strict=True)))
        answers = [answer for _, answer in hosts]
        reached = [Host(mx.host, answer) for mx, answer in hosts if isinstance(answer, list) and answer]
        if not reached:
            _raise_unknown(domain, answers, lasting="5.4.4")
        try:
            return await self._allowed(domain, wish, reached, by_mx=bool(found))
        except Unroutable as error:
            if error.result is Result.FAILED:
                _raise_unasked(answers)
            raise

    async def _allowed(self, domain: str, wish: TlsWish, hosts: Sequence[Host], *, by_mx: bool) -> tuple[Target, ...]:
        """The targets at a domain's hosts that a mail may go to, with what TLS must prove to each."""
        if wish is TlsWish.WAIVED:  # as if nobody knew of DANE and MTA-STS (RFC 8689 8.4)
            return self._public(domain, hosts)
        ask = self._security.proofs if wish is TlsWish.REQUIRED else self._security.demands
        demands = await ask(domain, [host.name for host in hosts], by_mx=by_mx)
        return self._public(domain, _secured(hosts, demands))

    def _before_us(self, domain: str, hosts: list[tuple[Mx, Answer]]) -> list[tuple[Mx, Answer]]:
        """Leave out this gateway and those no better than it: they would send it back (RFC 5321 5.1)."""
        ours = min((mx.preference for mx, answer in hosts if self._is_us(mx.host, answer)), default=None)
        if ours is None:
            return hosts
        better = [(mx, answer) for mx, answer in hosts if mx.preference < ours]
        if not better:
            raise Unroutable(Result.FAILED, own("5.4.6", f"mail for {domain} loops back to this gateway"))
        return better

    async def _mx(self, domain: str) -> list[Mx]:
        """The MX records; [] where there are none."""
        try:
            records = await self._resolver.mx(domain)
        except Missing:
            return []
        except DnsFailure as error:
            raise Unroutable(Result.DEFERRED, own("4.4.3", str(error))) from error
        hosts = [mx for mx in records if mx.host]
        if not hosts:
            raise Unroutable(Result.FAILED, own("5.1.10", f"{domain} takes no mail (null MX)"))
        return hosts

    def _ordered(self, records: Sequence[Mx]) -> list[Mx]:
        """By preference, equal ones in random order."""
        shuffled = list(records)
        self._chance.shuffle(shuffled)
        return sorted(shuffled, key=lambda mx: mx.preference)[:MX_MAX]

    def _is_us(self, host: str, answer: Answer) -> bool:
        ips = answer if isinstance(answer, list) else []
        return self._gateway.named(host) or any(self._gateway.is_at(ip, self._settings.mx_port) for ip in ips)

    def _public(self, domain: str, hosts: Sequence[Host]) -> tuple[Target, ...]:
        """The targets that DNS may send us to; it must not lead into the own network (threat 98)."""
        port, transport = self._settings.mx_port, self._mx_transport
        allowed = [
            Target(host.name, ip, port, transport, demand=host.demand)
            for host in hosts
            for ip in host.addresses
            if self._settings.allow_private_destinations or is_public(ip)
        ]
        if not allowed:
            raise Unroutable(Result.FAILED, own("5.4.4", f"{domain} leads to private or loopback addresses only"))
        return tuple(allowed[:ADDRESS_MAX])


class NullMx:
    """Knows which domains take no mail at all (RFC 7505). While DNS is silent nothing is asked, and nobody waits."""

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock
        self._silent_until = 0

    async def takes_mail(self, domain: str) -> bool:
        """Tell whether a domain takes mail; what can't be told counts as yes."""
        if 0 < self._silent_until - self._clock() <= NULL_MX_PAUSE:  # longer: the clock was set back
            return True
        try:
            return _has_host(await within(NULL_MX_PATIENCE, self._resolver.mx(domain)))
        except Missing:
            return True
        except (DnsFailure, TimeoutError):
            self._silent_until = self._clock() + NULL_MX_PAUSE
            return True


def _has_host(found: Sequence[Mx]) -> bool:
    return any(mx.host for mx in found)


def smarthost(settings: Relay) -> Hop | None:
    """Return the hop that takes all leaving mail, if one is set; raise SettingsError for what can't be read."""
    if not settings.smarthost:
        return None
    host, port = host_and_port(settings.smarthost, "relay.smarthost")
    return Hop(host, port, transport(settings.smarthost_transport, "relay.smarthost_transport"))


def transport(text: str, key: str) -> Transport:
    """Read the name of a transport; raise SettingsError naming `key`."""
    try:
        return Transport(text)
    except ValueError as error:
        raise SettingsError(f"{key}: {text!r} is none of {', '.join(Transport)}") from error


def host_and_port(text: str, key: str) -> tuple[str, int]:
    """Read `host`, `host:port` or `[address]:port`; raise SettingsError naming `key`."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (text.count(":") > 1 and not text.startswith("[")):
        host, port = text, str(SMTP_PORT)
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"{key}: {text!r} is no host:port")
    try:
        domain_name(host.removesuffix("."))
    except BadAddress as error:
        if not _is_ip(host.strip("[]")):
            raise SettingsError(f"{key}: {text!r}: {error}") from error
    return host, int(port)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _secured(hosts: Sequence[Host], demands: Sequence[Demand | Barred | None]) -> list[Host]:
    """The hosts that a mail may go to, with what TLS must prove to each; raise Unroutable where there are none."""
    allowed = [
        msgspec.structs.replace(host, demand=demand)
        for host, demand in zip(hosts, demands, strict=True)
        if not isinstance(demand, Barred)
    ]
    if allowed:
        return allowed
    barred = [demand for demand in demands if isinstance(demand, Barred)]
    passing = next((each for each in barred if not each.unmet), None)
    if passing is not None:
        raise Unroutable(Result.DEFERRED, own("4.7.5", passing.why))
    raise Unroutable(Result.FAILED, own("5.7.10", f"Encryption needed: {barred[0].why}"), unmet=True)


def _is_local(ip: str) -> bool:
    """Tell whether an address is one of this machine's: only those can be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


def _raise_unknown(what: str, answers: Sequence[Answer], *, lasting: str) -> None:
    """No host has an address: for now, if one of them could not be asked."""
    _raise_unasked(answers)
    result = Result.FAILED if lasting.startswith("5") else Result.DEFERRED
    raise Unroutable(result, own(lasting, f"no address is known for {what}"))


def _raise_unasked(answers: Sequence[Answer]) -> None:
    """Raise Unroutable for now, if one of the hosts could not be asked about: it may be the one."""
    failure = next((answer for answer in answers if isinstance(answer, DnsFailure)), None)
    if failure is not None:
        raise Unroutable(Result.DEFERRED, own("4.4.3", str(failure))) from failure
