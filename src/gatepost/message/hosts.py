"""Hosts: read from a URL in their one form however they are disguised (threat 61), and the domain that each is of.

URLs are read as browsers do (WHATWG URL), more leniently where people are told to repair them.
"""

import ipaddress
import re
from functools import cache, lru_cache
from urllib.parse import unquote, unquote_to_bytes

import idna
from publicsuffixlist import PublicSuffixList

UNDOT = re.compile(r"\[\.\]|\(\.\)|\{\.\}|[\[({]dot[\])}]", re.IGNORECASE)
"""A dot as it is written where nothing should become a link."""

SCHEME = re.compile(
    r"(?:h(?:tt|xx|\*\*)ps?|ftps?|fxps?|file|smb)(?:\[:\]?|\(:\)|:)[/\\]*\]?"
    r"|(?:webcals?|wss?|sftp|ldaps?|intent|feed|googlechromes?|microsoft-edge|ssh|davs?|webdavs?|rtsp|gopher)://+",
    re.IGNORECASE,
)
"""How a URL begins, mended."""

_HOST_END = re.compile(r"[/\\?#]")
_USUAL = re.compile(r"https?://([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::[0-9]*)?(?:[/?#]|\Z)")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_LABELS = re.compile(rf"(?:[a-z0-9_-]+\.)*{_LABEL}\.{_LABEL}\Z")  # what a wildcard covers may begin with a hyphen, too
_LAST_LABEL = re.compile(r"\.([A-Za-z]{2,24})(?![A-Za-z0-9.-])")
_PORT_OF_SHARE = re.compile(r"(?<=[a-z0-9])@(?:ssl|[0-9]{1,5}|ssl@[0-9]{1,5})\Z", re.IGNORECASE)  # WebDAV: \\host@80\x


@cache
def _suffixes() -> PublicSuffixList:
    """Read the list, which takes a third of a worker's start, where the first host is asked for."""
    return PublicSuffixList()


def host_of(url: str) -> str:
    """Return the host of a URL in its one form (A-labels, lower case, or an IP address), "" if there is none.

    Understands `hxxp`, `[.]`, missing or too many slashes, backslashes, user info, ports, percent-encoded hosts, and
    a text that goes on behind the host without a blank.
    """
    usual = _USUAL.match(url)
    if usual:
        return _host(usual[1])
    scheme = SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    if "[" in rest or "(" in rest or "{" in rest:
        rest = UNDOT.sub(".", rest)
    authority = _HOST_END.split(rest, maxsplit=1)[0]
    if "@" in authority and rest.startswith("\\", len(authority)):
        authority = _PORT_OF_SHARE.sub("", authority)
    return _host(authority.rpartition("@")[2])


def path_of(url: str) -> str:
    """Return what follows the host of a URL, query included, "/" at least; percent-encodings resolved."""
    scheme = SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    end = _HOST_END.search(rest)
    path = unquote(rest[end.start() :].partition("#")[0]).replace("\\", "/") if end else ""
    return path if path.startswith("/") else "/" + path


@lru_cache(maxsize=4096)
def _host(text: str) -> str:
    host = _read(text)
    if host and (text.isascii() or has_suffix(host)):
        return host
    return next((_read(text[: end.end()]) for end in _LAST_LABEL.finditer(text) if _is_top(end[1].lower())), host)


def _read(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:].partition("]")[0])
    text = text.partition(":")[0]
    if "%" in text:
        text = unquote_to_bytes(text).decode("utf-8", "replace")
    name = text.strip().rstrip(".,;").lower() if text.isascii() else _to_ascii(text.strip())
    if not name or len(name) > 253:
        return ""
    if _NUMBER.match(name.rpartition(".")[2]):
        return _ipv4(name)
    return name if _LABELS.match(name) else ""


def _to_ascii(name: str) -> str:
    try:
        return idna.encode(name.rstrip("."), uts46=True, transitional=False).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return _to_ascii_loosely(name)


def _to_ascii_loosely(name: str) -> str:
    """Encode what IDNA 2008 refuses and browsers may still resolve (emoji, underscores), label by label."""
    try:
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
    except (idna.IDNAError, UnicodeError):
        return ""
    labels = [
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in mapped.split(".")
    ]
    return ".".join(labels).strip(".")


def _ipv4(name: str) -> str:
    """Read an IPv4 address as browsers do: one to four parts, each decimal, octal (0...) or hex (0x...)."""
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMBER.match(part) for part in parts):
        return ""
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return ""
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):
        return ""
    value = numbers[-1] + sum(number << (8 * (3 - place)) for place, number in enumerate(numbers[:-1]))
    return str(ipaddress.IPv4Address(value))


def _number(part: str) -> int:
    if len(part) > 40:
        raise ValueError
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8) if len(part) > 1 and part.startswith("0") else int(part)


def _ipv6(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(address.ipv4_mapped or address)


@lru_cache(maxsize=8192)
def registered(host: str) -> str:
    """Return the registered domain of a host; the host itself where there is none (addresses, public suffixes)."""
    if ":" in host or host.rpartition(".")[2].isdigit():
        return host
    return _suffixes().privatesuffix(host) or host


def has_suffix(host: str) -> bool:
    """Tell whether a name ends in a top-level domain that there is."""
    return _is_top(host.rpartition(".")[2])


@lru_cache(maxsize=8192)
def _is_top(label: str) -> bool:
    return _suffixes().publicsuffix(f"a.a.{label}", accept_unknown=False) is not None
