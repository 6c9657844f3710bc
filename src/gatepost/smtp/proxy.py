"""Reads the PROXY header (versions 1 and 2) that a load balancer in front tells the real client with."""

import asyncio
import ipaddress
from collections.abc import Sequence

from aiosmtpd.proxy_protocol import AF, ProxyData, get_proxy

from gatepost.settings import SettingsError

PATIENCE = 5.0  # seconds for the header
LOCAL = 0  # version 2: the balancer itself asks, for its health check

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadHeader(Exception):
    """There was no PROXY header, or a broken one; `str()` is for the log."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read the peers that may send a header. Raises SettingsError."""
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise SettingsError(f"smtp.listener.proxy_protocol_from: {error}") from error


def named(ip: str, peers: Sequence[Network]) -> bool:
    address = ipaddress.ip_address(ip)
    return any(address in network for network in peers)


async def read_header(reader: asyncio.StreamReader, peer: tuple[str, int]) -> tuple[str, int]:
    """Read a header and return the real client's address and port; `peer` itself where the header names none."""
    try:
        async with asyncio.timeout(PATIENCE):
            header = await get_proxy(reader)
    except (TimeoutError, EOFError) as error:
        raise BadHeader("no PROXY header came") from error
    if header.version == 2 and header.command == LOCAL and header.whole_raw:  # all of it was read, and says nothing
        return peer
    if not header.valid:
        raise BadHeader(header.error or "malformed")
    return _source(header) or peer


def _source(header: ProxyData) -> tuple[str, int] | None:
    if header.family not in (AF.INET, AF.INET6) or header.src_addr is None:
        return None
    return str(header.src_addr), header.src_port or 0
