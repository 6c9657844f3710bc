"""Networks: which addresses lie in the public internet, and the networks that senders are counted by."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_METADATA = {  # where clouds answer with their secrets, beside the link-local address that most of them share
    IPv6Address("fd00:ec2::254"),  # Amazon
    IPv6Address("fd20:ce::254"),  # Google
    IPv4Address("100.100.100.200"),  # Alibaba
    IPv4Address("192.0.0.192"),  # Oracle
    IPv4Address("168.63.129.16"),  # Microsoft
}


@lru_cache(maxsize=4096)
def is_public(ip: str) -> bool:
    """Tell whether an address lies in the public internet; IPv4 addresses wrapped in IPv6 are looked into."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    inner = _wrapped(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    return address.is_global and not address.is_multicast and address not in _METADATA


def is_forbidden(ip: str) -> bool:
    """Tell whether an address is one that nothing is ever sent to, whatever a setting allows (threat 122).

    Link-local ones and others where clouds answer with their secrets, groups, the unspecified one, what is no address.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return True
    inner = _wrapped(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return is_forbidden(str(inner))
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA


@lru_cache(maxsize=4096)
def network(ip: str) -> str:
    """Return the /24 or /48 that an address lies in: next door nobody is new. What is no address stands for itself."""
    try:
        bits = 24 if ip_address(ip).version == 4 else 48
        return str(ip_network(f"{ip}/{bits}", strict=False))
    except ValueError:
        return ip


@lru_cache(maxsize=50_000)
def subnet(text: str) -> IPv4Network | IPv6Network:
    """Read a network such as 192.0.2.0/24; raise ValueError for what is none."""
    return ip_network(text, strict=False)


class Subnets:
    """Many networks. Whether an address lies in one is asked once for each length of prefix, however many there are."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._starts: defaultdict[tuple[int, int], set[int]] = defaultdict(set)  # by version and free bits
        for text in texts:
            with suppress(ValueError):  # no address lies in what is no network
                each = subnet(text)
                bits = each.max_prefixlen - each.prefixlen
                self._starts[each.version, bits].add(int(each.network_address) >> bits)

    def __contains__(self, ip: str) -> bool:
        try:
            address = ip_address(ip)
        except ValueError:
            return False
        number = int(address)
        kinds = self._starts.items()
        return any(version == address.version and number >> bits in starts for (version, bits), starts in kinds)


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
