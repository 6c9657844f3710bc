"""Mail addresses and domain names: strict reading (RFC 5321 4.1.2, RFC 6531), one normal form for comparing."""

import ipaddress
import re
from functools import lru_cache
from unicodedata import normalize

import idna
import msgspec

LOCAL_MAX = 64  # RFC 5321 4.5.3.1.1
DOMAIN_MAX = 255  # 4.5.3.1.2
PATH_MAX = 256  # 4.5.3.1.3
LABEL_MAX = 63  # RFC 1035 2.3.4

_ATEXT = r"-A-Za-z0-9!#$%&'*+/=?^_`{|}~"
_DOT_ATOM_UTF8 = re.compile(rf"[{_ATEXT}\u0080-\U0010ffff]+(?:\.[{_ATEXT}\u0080-\U0010ffff]+)*\Z")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"\Z')
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_PLAIN = re.compile(
    rf"([{_ATEXT}]{{1,64}}(?:\.[{_ATEXT}]{{1,64}}){{0,16}})@([a-z0-9]+(?:[.-][a-z0-9]+)*\.[a-z]{{2,63}})\Z"
)


class BadAddress(ValueError):
    """The text is no address; `str()` says why, in words fit for a stranger."""


class BareIp(BadAddress):
    """An IP address without brackets stands where a domain name belongs."""


class Address(msgspec.Struct, frozen=True, array_like=True):
    """A mailbox: `local` as spelled by its owner (quotes kept), `domain` as lower-case A-labels or a literal."""

    local: str
    domain: str

    @property
    def text(self) -> str:
        """The address as it goes on the wire; a domainless postmaster has no `@`."""
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def key(self) -> str:
        """The address for comparing: lower case, needless quotes removed, letters composed (NFC, RFC 6532 3.1)."""
        local = self.local
        if local.startswith('"'):
            local = _plain_local(local)
        local = local.lower()
        return f"{local if local.isascii() else normalize('NFC', local)}@{self.domain}"

    @property
    def literal(self) -> bool:
        return self.domain.startswith("[")

    @property
    def needs_smtputf8(self) -> bool:
        return not self.local.isascii()


def _plain_local(local: str) -> str:
    """Return a quoted local part without its quotes, where it needs none."""
    bare = re.sub(r"\\(.)", r"\1", local[1:-1])
    return bare if _DOT_ATOM_UTF8.match(bare) else local


@lru_cache(maxsize=8192)
def domain_name(text: str) -> str:
    """Return a domain name in its one form: A-labels, lower case, no trailing dot; raise BadAddress.

    Numbers alone (a bare IP address) are no domain name.
    """
    name = text[:-1] if text.endswith(".") else text
    if not name:
        raise BadAddress("the domain is empty")
    if len(text) > DOMAIN_MAX:
        raise BadAddress(f"the domain is longer than {DOMAIN_MAX} octets")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise BadAddress("the domain is no valid internationalised name") from error
    name = name.lower()
    if len(name) > DOMAIN_MAX:
        raise BadAddress(f"the domain is longer than {DOMAIN_MAX} octets")
    labels = name.split(".")
    for label in labels:
        if len(label) > LABEL_MAX:
            raise BadAddress(f"a label of the domain is longer than {LABEL_MAX} octets")
        if not _LABEL.match(label):
            raise BadAddress("the domain is malformed")
    if labels[-1].isdigit():
        raise BareIp("a bare IP address is no domain")
    return name


def _literal(text: str) -> str:
    inner = text[1:-1]
    try:
        if inner.lower().startswith("ipv6:"):
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError as error:
        raise BadAddress("the address literal is malformed") from error


@lru_cache(maxsize=8192)
def parse_address(text: str) -> Address:
    """Read `local@domain` strictly (no display name, no comments, no blanks); raise BadAddress."""
    plain = _PLAIN.match(text)
    if plain and len(text) <= LABEL_MAX:  # so short that no limit can be broken
        return Address(plain[1], plain[2])
    return _parse_slowly(text)


def _parse_slowly(text: str) -> Address:
    if text.startswith('"'):
        end = _closing_quote(text)
        local, rest = text[: end + 1], text[end + 1 :]
    else:
        at = text.find("@")
        if at < 0:
            raise BadAddress("the address has no domain")
        local, rest = text[:at], text[at:]
    if not rest.startswith("@"):
        raise BadAddress("the local part is malformed")
    pattern = _QUOTED if local.startswith('"') else _DOT_ATOM_UTF8
    if not pattern.match(local):
        raise BadAddress("the local part is malformed")
    if len(local.encode()) > LOCAL_MAX:
        raise BadAddress(f"the local part is longer than {LOCAL_MAX} octets")
    domain = rest[1:]
    literal = domain.startswith("[") and domain.endswith("]")
    address = Address(local, _literal(domain) if literal else domain_name(domain))
    if len(address.text.encode()) > PATH_MAX - 2:
        raise BadAddress(f"the path is longer than {PATH_MAX} octets")
    return address


def _closing_quote(text: str) -> int:
    index = 1
    while index < len(text):
        if text[index] == "\\":
            index += 2
            continue
        if text[index] == '"':
            return index
        index += 1
    raise BadAddress("a quote is not closed")


def parse_path(text: str) -> tuple[Address | None, str]:
    """Read the `<path>` at the start of a MAIL or RCPT argument; return it and what follows it.

    The null path gives None; `<postmaster>` without a domain an address with an empty one (RFC 5321 4.1.1.3).
    Source routes are refused, not followed (`<@a,@b:u@c>`, RFC 5321 appendix C). Raises BadAddress.
    """
    if not text.startswith("<"):
        raise BadAddress("the path must stand in angle brackets")
    end = _path_end(text)
    path, rest = text[1:end], text[end + 1 :]
    if rest and not rest.startswith(" "):
        raise BadAddress("something stands right after the path")
    if not path:
        return None, rest.strip(" ")
    if path.startswith("@"):
        raise BadAddress("source routes are not accepted")
    if path.lower() == "postmaster":
        return Address(path, ""), rest.strip(" ")
    return parse_address(path), rest.strip(" ")


def _path_end(text: str) -> int:
    end = text.find(">")
    if end > 0 and '"' not in text[:end]:
        return end
    quoted = False
    index = 1
    while index < len(text):
        char = text[index]
        if quoted and char == "\\":
            index += 1
        elif char == '"':
            quoted = not quoted
        elif char == ">" and not quoted:
            return index
        index += 1
    raise BadAddress("a quote is not closed" if quoted else "the path has no closing bracket")
