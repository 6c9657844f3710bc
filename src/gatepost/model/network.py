"""Networks: which addresses lie in the public internet, and the networks that senders are counted by."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_METADATA = IPv6Address("fd00:ec2::254")  # of Amazon's cloud; the IPv4 one is link-local


@lru_cache(maxsize=4096)
def is_public(ip: str) -> bool:
    """Tell whether an address lies in the public internet; IPv4 addresses wrapped in IPv6 are looked into."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    inner = _wrapped(address) if isinstance(address, IPv6Address) else None
    return is_public(str(inner)) if inner is not None else address.is_global and not address.is_multicast


def is_forbidden(ip: str) -> bool:
    """Tell whether an address is one that nothing is ever sent to, whatever a setting allows (threat 122).

    Link-local ones (where clouds answer with their secrets), groups, the unspecified one, and what is no address.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return True
    inner = _wrapped(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        return is_forbidden(str(inner))
    return address.is_link_local or address.is_multicast or address.is_unspecified or address == _METADATA


@lru_cache(maxsize=4096)
def network(ip: str) -> str:
    """Return the /24 or /48 that an address lies in: next door nobody is new. What is no address stands for itself."""
    try:
        bits = 24 if ip_address(ip).version == 4 else 48
        return str(ip_network(f"{ip}/{bits}", strict=False))
    except ValueError:
        return ip


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
