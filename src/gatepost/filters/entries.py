"""Reads lists of domains, hosts, addresses, URLs and IP networks, one entry a line, and looks things up in them."""

import ipaddress
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from gatepost.filters.hosts import is_address, named, upwards
from gatepost.message.hosts import host_of, path_of
from gatepost.message.plain import plain

TOLD = 10  # bad lines of a file that are named
LONGEST = 2_000  # characters of an entry

_HOST = re.compile(r"(?:\*?\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)+\.?\Z")
_SUFFIX = re.compile(r"\*?\.[a-z0-9-]{2,63}\Z")
_NETWORK = re.compile(r"[0-9.]+(?:/[0-9]+)?\Z|(?=[0-9a-f.]*:)[0-9a-f:.]+(?:/[0-9]+)?\Z")
_COMMENT = re.compile(r"(?:^|\s)#.*")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Entries:
    """What a list names. A domain means all below it, a URL all that begin with it, a network all its addresses."""

    def __init__(self) -> None:
        self.bad: list[str] = []  # lines that are no entry, each with its number
        self._hosts: set[str] = set()
        self._addresses: set[str] = set()
        self._urls: dict[str, dict[int, set[str]]] = {}  # of each host by the length of the path
        self._networks: dict[tuple[int, int], set[int]] = {}

    def add(self, text: str) -> bool:
        """Take an entry, lower-case but for the path of a URL; False: it is none."""
        if len(text) > LONGEST:
            return False
        if _NETWORK.match(text):
            return self._add_network(text)
        if _HOST.match(text) or _SUFFIX.match(text):
            self._hosts.add(named(text))
            return True
        if "/" in text:
            return self._add_url(text)
        local, at, domain = text.rpartition("@")
        host = host_of(f"http://{domain}")
        if not host or (at and not local):
            return False
        (self._addresses if at else self._hosts).add(f"{local}@{host}" if at else host)
        return True

    def _add_network(self, text: str) -> bool:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return False
        key = (network.version, network.prefixlen)
        self._networks.setdefault(key, set()).add(int(network.network_address) >> _free(network))
        return True

    def _add_url(self, text: str) -> bool:
        host = host_of(text)
        if not host:
            return False
        path = path_of(text)
        if path == "/":
            return self._add_network(host) if is_address(host) else self.add(host)
        self._urls.setdefault(host, {}).setdefault(len(path), set()).add(path)
        return True

    def has_host(self, host: str) -> bool:
        """Is a host, in the form that links have, on the list, or a domain above it?"""
        if self._networks and is_address(host):
            return self.has_ip(host)
        return any(name in self._hosts for name in upwards(host))

    def has_url(self, host: str, url: str) -> bool:
        """Does a URL begin with one that is listed?"""
        paths = self._urls.get(host)
        if not paths:
            return False
        path = path_of(url)
        return any(path[:length] in listed for length, listed in paths.items())

    def has_address(self, address: str) -> bool:
        """Is an e-mail address listed, or its domain or one above that?"""
        return address in self._addresses or self.has_host(address.rpartition("@")[2])

    def has_ip(self, ip: str) -> bool:
        """Does an IP address stand in a listed network? What is none does not: mail comes in by other doors, too."""
        try:
            given = ipaddress.ip_address(ip)
        except ValueError:
            return False
        address = getattr(given, "ipv4_mapped", None) or given
        value, bits = int(address), address.max_prefixlen
        return any(
            version == address.version and value >> (bits - length) in starts
            for (version, length), starts in self._networks.items()
        )


def _free(network: Network) -> int:
    return network.max_prefixlen - network.prefixlen


def read_entries(path: Path) -> Entries:
    """Read a list; blank lines and what follows a # count for nothing. Raises OSError, ValueError for no UTF-8."""
    found = Entries()
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        text = _COMMENT.sub("", line).strip() if "#" in line else line.strip()
        if text and not found.add(text if "/" in text else text.lower()):
            found.bad.append(f"line {number}: {plain(text, 60)}")
    return found


def reader(alarm: Callable[[str, str, str], None]) -> Callable[[Path], Entries]:
    """Return a reader that tells of lines which are no entries; the others count."""

    def read(path: Path) -> Entries:
        found = read_entries(path)
        if found.bad:
            alarm(str(path), "lines", told(path, found.bad))
        return found

    return read


def told(path: Path, bad: Iterable[str]) -> str:
    """Return a sentence that names the bad lines of a list."""
    lines = list(bad)
    more = f" and {len(lines) - TOLD} more" if len(lines) > TOLD else ""
    return f"{path}: no domain, host, address, URL or network: {'; '.join(lines[:TOLD])}{more}"
