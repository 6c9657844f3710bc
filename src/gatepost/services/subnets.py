"""Outgoing subnets of a domain: read strictly, and wide or foreign ones only by a sysadmin's hand (rules 10)."""

import ipaddress
from collections.abc import Sequence

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.services.records import unprocessable
from gatepost.store.store import Reader

MANY = 1000
NARROW = {4: 24, 6: 48}
MAPPED = 96  # bits before the IPv4 address in an IPv6 one that is mapped (RFC 4291 2.5.5.2)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_subnets(texts: Sequence[str]) -> list[Network]:
    """Return the networks, each once; raise MALFORMED for what is none, UNPROCESSABLE for too many."""
    if len(texts) > MANY:
        raise unprocessable(f"A domain has at most {MANY} subnets.", "/outgoingSubnets")
    return list(dict.fromkeys(_network(text, f"/outgoingSubnets/{index}") for index, text in enumerate(texts)))


def _network(text: str, at: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
        if "%" in text:
            raise ValueError("addresses of clients are looked at without a zone")
        return _bare(network)
    except ValueError as error:
        raise Problem(Kind.MALFORMED, "Expected a subnet such as 192.0.2.0/24.", pointer=at) from error


def _bare(network: Network) -> Network:
    """Return one of IPv4-mapped addresses as that of IPv4, as whose the addresses of clients are looked at."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    bits = network.prefixlen - MAPPED
    return ipaddress.IPv4Network((int(mapped), bits)) if mapped is not None and bits >= 0 else network


def check_subnets(reader: Reader, caller: Caller, customer_id: int, networks: Sequence[Network]) -> None:
    """Raise UNPROCESSABLE for a wide subnet, or one that overlaps another customer's, unless a sysadmin gives it."""
    if caller.sys_admin or not networks:
        return
    if any(network.prefixlen < NARROW[network.version] for network in networks):
        raise unprocessable("Subnets wider than /24 (IPv6: /48) are given by a sysadmin.", "/outgoingSubnets")
    for domain in reader.naming("outgoing_subnets"):
        foreign = [ipaddress.ip_network(text) for text in domain.outgoing_subnets if domain.customer_id != customer_id]
        if any(_overlap(mine, theirs) for mine in networks for theirs in foreign):
            raise unprocessable("A subnet overlaps another customer's.", "/outgoingSubnets")


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
