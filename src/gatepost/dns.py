"""Asks DNS: MX, addresses, TXT, TLSA, names of addresses; cached by TTL, bounded in time and number."""

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.TLSA
import dns.rdtypes.ANY.TXT
import dns.resolver
import dns.reversename

from gatepost.events import Clock
from gatepost.nameserver import Nameserver, Rests, nameservers
from gatepost.settings import Dns, SettingsError

T = TypeVar("T")

TTL_MAX = 86_400_000
FAILURE_TTL = 5_000  # a server that fails is not asked again for every mail (RFC 9520 2.2)
EDNS_PAYLOAD = 1232  # no fragments (DNS flag day 2020)
HOSTS = Path("/etc/hosts")
OCTETS = 64_000_000  # that answers take which are kept: a stranger's may have 64 KB each
NAME_MAX = 1004  # characters of a name, all of its octets but the dots written as numbers (RFC 1035 5.1)
RECORD = 150  # octets that a record takes beside its text
_NO_NAME = (
    dns.name.LabelTooLong,
    dns.name.NameTooLong,
    dns.name.EmptyLabel,
    dns.name.BadEscape,
    dns.name.IDNAException,
    UnicodeError,
)


async def side_by_side(asked: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the answers to questions that are asked at once; a single one needs no task."""
    return [await asked[0]] if len(asked) == 1 else list(await asyncio.gather(*asked))


class Missing(Exception):
    """The name does not exist, or has no record of that type; CNAME loops lead nowhere too."""


class NoName(Missing):
    """The name does not exist, nor does any below it (RFC 8020)."""


class DnsFailure(Exception):
    """No answer that can be used came in time; ask again later. The text says why."""


class Mx(NamedTuple):
    """One MX record; a null MX (RFC 7505) has the host ""."""

    preference: int
    host: str


class Tlsa(NamedTuple):
    """One TLSA record (RFC 6698 2.1); `data` in lower-case hex."""

    usage: int
    selector: int
    matching: int
    data: str


class _Said(NamedTuple):
    """What a question came to: what was read, or the error that it is, its life in milliseconds, whether DNSSEC proves
    it, and whose records they are."""

    found: object
    life: int
    secure: bool = False
    name: str = ""


class _Kept(NamedTuple):
    until: int
    found: object
    secure: bool
    name: str

    @property
    def octets(self) -> int:
        """About what it takes."""
        records = self.found if isinstance(self.found, list) else ()
        return (
            RECORD
            + len(self.name)
            + sum(RECORD + (len(each) if isinstance(each, bytes | str) else 0) for each in records)
        )


class Resolver:
    """Asks the servers of `[dns]`, or the system's when none are named.

    Every question raises Missing or DnsFailure. Names are taken and given without the final dot, lower-case.
    """

    def __init__(self, settings: Dns, clock: Clock, *, octets: int = OCTETS) -> None:
        self._clock = clock
        self._room = octets
        self._size = settings.cache
        self._timeout = settings.timeout
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Future[_Kept]] = {}
        self._hosts = {} if settings.servers else _hosts()
        self._chosen = bool(settings.servers)
        servers = nameservers(settings)
        self._ask = _stub(settings, servers)
        self.validates = _trusted(settings.trust_ad, servers)

    async def mx(self, name: str) -> list[Mx]:
        """Return the MX records by preference; those of one preference in no order."""
        return await self._find(name, "MX", _mx)

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of a host, IPv4 ones first; an address stands for itself."""
        name = host.rstrip(".").lower()
        known = _as_address(name) or self._hosts.get(name)
        if known:
            return list(known)
        kept = [self._recall((name, kind)) for kind in ("A", "AAAA")]
        found = [each.found for each in kept if each] if all(kept) else await self._both(name)
        answers = [cast("list[str]", answer) for answer in found if not isinstance(answer, BaseException)]
        if answers:
            return [address for answer in answers for address in answer]
        failure = next((error for error in found if isinstance(error, DnsFailure)), Missing(f"{name} has no address"))
        raise type(failure)(*failure.args)

    async def _both(self, name: str) -> list[object]:
        asked = (self._find(name, kind, _texts) for kind in ("A", "AAAA"))
        found: list[object] = list(await asyncio.gather(*asked, return_exceptions=True))
        for error in found:
            if isinstance(error, BaseException) and not isinstance(error, Missing | DnsFailure):
                raise error
        return found

    async def ipv4(self, name: str) -> list[str]:
        """Return the A records of a name alone, as DNS lists answer with."""
        return await self._find(name, "A", _texts)

    async def ipv6(self, name: str) -> list[str]:
        """Return the AAAA records of a name alone."""
        return await self._find(name, "AAAA", _texts)

    async def txt(self, name: str) -> list[bytes]:
        """Return the TXT records, each one's strings joined."""
        return await self._find(name, "TXT", _txt)

    async def names(self, name: str) -> list[str]:
        """Return the PTR records of a name below in-addr.arpa or ip6.arpa; nothing is proven by them."""
        return await self._find(name, "PTR", _texts)

    async def tlsa(self, name: str) -> list[Tlsa]:
        """Return the TLSA records of `_port._tcp.host`, signed or not."""
        return await self._find(name, "TLSA", _tlsa)

    async def proven_tlsa(self, name: str) -> list[Tlsa] | None:
        """Return what `tlsa` does, None where DNSSEC does not prove it; by one answer, since a next one may fail."""
        kept = await self._look(name, "TLSA", _tlsa)
        found = _opened(cast("list[Tlsa] | Exception", kept.found))
        return found if kept.secure else None

    async def is_secure(self, name: str, kind: str) -> bool:
        """Tell whether the MX, A or AAAA records of a name are proven by DNSSEC.

        They are where a resolver that is trusted to validate (`validates`) says so by the AD bit (RFC 4035 3.2.3).
        Raises DnsFailure, but not Missing.
        """
        kept = await self._look(name, kind, _READERS[kind])
        if isinstance(kept.found, DnsFailure):
            raise kept.found
        return kept.secure

    async def proven_host(self, host: str) -> str | None:
        """Return the name that a host's aliases lead to, its own if it is none; None where DNSSEC proves no address.

        Raises DnsFailure where no address is found and one question has no answer.
        """
        failure = None
        for kind in ("A", "AAAA"):
            kept = await self._look(host, kind, _texts)
            if isinstance(kept.found, DnsFailure):
                failure = kept.found
            elif not isinstance(kept.found, Missing):
                return kept.name if kept.secure else None
        if failure is not None:
            raise failure
        return None

    async def knows_all(self) -> bool:
        """Tell whether a name that is not found exists nowhere.

        Servers that the settings name are taken at their word. The system's may be those of a network that is cut off
        from the internet, which say of every name that it does not exist: then they do not know the root either.
        """
        if self._chosen:
            return True
        try:
            return bool(await self._find("", "NS", _texts))
        except (Missing, DnsFailure):
            return False

    def good_until(self, name: str, kind: str) -> int:
        """Return when what is remembered of a name is to be asked for again (epoch milliseconds), 0 for nothing."""
        kept = self._recall((name.rstrip(".").lower(), kind))
        return kept.until if kept else 0

    def is_past(self, until: int) -> bool:
        """Tell whether such a time is over."""
        now = self._clock()
        return not now < until <= now + TTL_MAX

    async def _find(self, name: str, kind: str, read: Callable[[dns.resolver.Answer], T]) -> T:
        kept = await self._look(name, kind, read)
        return _opened(cast("T | Exception", kept.found))

    async def _look(self, name: str, kind: str, read: Callable[[dns.resolver.Answer], object]) -> _Kept:
        """Answer from the cache, else ask; equal questions under way are asked once."""
        if len(name) > NAME_MAX:
            return _Kept(0, Missing(f"{name[:60]}... is no name"), False, "")
        key = (name.rstrip(".").lower(), kind)
        kept = self._recall(key)
        if kept is not None:
            return kept
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(self._fetch(key, read))
            asking.add_done_callback(lambda done: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    def _recall(self, key: tuple[str, str]) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None or self.is_past(kept.until):
            return None
        self._kept.move_to_end(key)
        return kept

    async def _fetch(self, key: tuple[str, str], read: Callable[[dns.resolver.Answer], object]) -> _Kept:
        found, life, secure, name = await self._question(key, read)
        kept = _Kept(self._clock() + min(life, TTL_MAX), found, secure, name)
        if key in self._kept:
            self._forget(key)
        self._kept[key] = kept
        self._room -= kept.octets
        while len(self._kept) > self._size or self._room < 0:
            self._forget(next(iter(self._kept)))
        return kept

    def _forget(self, key: tuple[str, str]) -> None:
        self._room += self._kept.pop(key).octets

    async def _question(self, key: tuple[str, str], read: Callable[[dns.resolver.Answer], object]) -> _Said:
        try:
            async with asyncio.timeout(self._timeout + 1):
                answer = await self._ask(*key)
        except dns.resolver.NXDOMAIN as error:
            return _Said(NoName(f"{key[0]} does not exist"), _negative_ttl(error))
        except _NO_NAME:
            return _Said(Missing(f"{key[0]} is no name"), TTL_MAX)
        except dns.resolver.NoNameservers as error:
            if _looped(error):
                return _Said(Missing(f"the aliases of {key[0]} go round in a circle"), FAILURE_TTL)
            life = 0 if _rested(error) else FAILURE_TTL
            return _Said(DnsFailure(f"no name server answers for {key[0]} ({key[1]})"), life)
        except (dns.exception.DNSException, OSError, TimeoutError, EOFError):
            return _Said(DnsFailure(f"no answer in time for {key[0]} ({key[1]})"), FAILURE_TTL)
        ttl = answer.chaining_result.minimum_ttl * 1000
        if answer.rrset is None:
            return _Said(Missing(f"{key[0]} has no {key[1]} record"), ttl)
        proven = self.validates and bool(answer.response.flags & dns.flags.AD)
        return _Said(read(answer), ttl, proven, _name(answer.canonical_name))


@lru_cache(maxsize=4096)
def reverse_name(ip: str) -> str:
    """Return where the PTR records of an address stand."""
    return dns.reversename.from_address(ip).to_text(omit_final_dot=True)


def _opened(found: T | Exception) -> T:
    if isinstance(found, Missing | DnsFailure):
        raise type(found)(*found.args)
    return cast(T, found)


def _stub(settings: Dns, servers: list[Nameserver]) -> Callable[[str, str], Awaitable[dns.resolver.Answer]]:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = servers
    resolver.cache = None
    resolver.lifetime = settings.timeout
    resolver.timeout = max(settings.timeout / 3, 0.1)
    resolver.use_edns(0, 0, EDNS_PAYLOAD)
    resolver.set_flags(dns.flags.RD | dns.flags.AD)  # tell us whether it is proven (RFC 6840 5.7)
    backend = dns.asyncbackend.get_backend("asyncio")

    async def ask(name: str, kind: str) -> dns.resolver.Answer:
        question = dns.name.from_text(f"{name}.")
        return await resolver.resolve(question, kind, search=False, raise_on_no_answer=False, backend=backend)

    return ask


def _trusted(setting: str, servers: list[Nameserver]) -> bool:
    """Tell whether the AD bit of the resolvers counts: by setting, else where the path to each is this machine."""
    if setting in ("always", "never"):
        return setting == "always"
    if setting != "local":
        raise SettingsError(f"dns.trust_ad: {setting!r} is none of local, always, never")
    return all(ipaddress.ip_address(server.address.partition("%")[0]).is_loopback for server in servers)


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> int:
    responses = error.kwargs.get("responses", {})
    return min((r.resolve_chaining().minimum_ttl for r in responses.values()), default=300) * 1000


def _looped(error: dns.resolver.NoNameservers) -> bool:
    return any(isinstance(tried[3], dns.message.ChainTooLong) for tried in error.kwargs.get("errors", ()))


def _rested(error: dns.resolver.NoNameservers) -> bool:
    """Tell whether nobody was asked; then the next one who wants to know asks anew."""
    return all(isinstance(tried[3], Rests) for tried in error.kwargs.get("errors", ()))


def _mx(answer: dns.resolver.Answer) -> list[Mx]:
    records = cast("list[dns.rdtypes.ANY.MX.MX]", list(answer))
    return sorted(Mx(record.preference, _name(record.exchange)) for record in records)


def _txt(answer: dns.resolver.Answer) -> list[bytes]:
    return [b"".join(record.strings) for record in cast("list[dns.rdtypes.ANY.TXT.TXT]", list(answer))]


def _tlsa(answer: dns.resolver.Answer) -> list[Tlsa]:
    records = cast("list[dns.rdtypes.ANY.TLSA.TLSA]", list(answer))
    return [Tlsa(each.usage, each.selector, each.mtype, each.cert.hex()) for each in records]


def _texts(answer: dns.resolver.Answer) -> list[str]:
    return [record.to_text().rstrip(".").lower() for record in answer]


def _name(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).rstrip(".").lower()


@lru_cache(maxsize=4096)
def _as_address(name: str) -> tuple[str, ...] | None:
    try:
        return (str(ipaddress.ip_address(name.strip("[]").removeprefix("ipv6:"))),)
    except ValueError:
        return ("127.0.0.1", "::1") if name == "localhost" or name.endswith(".localhost") else None  # RFC 6761 6.3


def _hosts() -> dict[str, list[str]]:
    """The system's own table of hosts, as names in a container often stand nowhere else."""
    try:
        lines = HOSTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    table: dict[str, list[str]] = {}
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            if _as_address(address) and not _as_address(name.lower()):
                table.setdefault(name.lower().rstrip("."), []).append(address)
    return table


_READERS: dict[str, Callable[[dns.resolver.Answer], object]] = {
    "MX": _mx,
    "A": _texts,
    "AAAA": _texts,
    "TXT": _txt,
    "PTR": _texts,
    "TLSA": _tlsa,
}
