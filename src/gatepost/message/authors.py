"""The addresses in From: who claims to have written a mail."""

import email.utils
import re
import unicodedata
from functools import lru_cache

import msgspec

from gatepost.message import decode
from gatepost.message.anatomy import Anatomy
from gatepost.message.headers import readable, unfold
from gatepost.model.address import Address, BadAddress, parse_address

_BOX = re.compile(r'\s*"?((?:[^"<>\\]|\\.)*?)"?\s*<\s*([^<>\s]*)\s*>[^<>]*\Z')
VALUE_MAX = 8192  # octets of a From field that are read
_SHORT = 200  # octets of a field that is remembered
_USUAL = re.compile(
    r'(?:[^<>,"():;\\]++|"[^"\\]*+")*+<([^<>\s"(),]+)>\s*\Z|\s*([^<>\s"(),:;\\]+@[^<>\s"(),:;\\]+)\s*\Z'
)
# Read as mail clients do: a newer Python, and Debian's, finds no address at all where it finds two without a comma.
_LENIENT = {"strict": False} if hasattr(email.utils, "supports_strict_parsing") else {}

_FILLERS = re.compile("[\u115f\u1160\u3164\uffa0]")  # letters that are shown as a blank
_UNSEEN = re.compile("[\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


class Box(msgspec.Struct, frozen=True):
    """A mailbox as a field shows it: the name as a reader sees it, the address in lower case, its domain; else ""."""

    name: str
    address: str
    domain: str


def box(value: bytes) -> Box:
    """Read the first mailbox of a From, Reply-To or Sender field, leniently; never raises."""
    return (_usual_box if len(value) <= _SHORT else _box)(value)


def _box(value: bytes) -> Box:
    text = readable(value[:VALUE_MAX])
    found = _BOX.match(text)
    name, address = (found[1], found[2]) if found else ("", next((word for word in text.split() if "@" in word), ""))
    address = address.strip("<>,;:\"'()").lower()
    first = next(iter(claims_in(value)), None)
    if first is not None and ((read := _read(address)) is None or read.key != first.key):
        return _other(text, first)  # what was found is an address that a name or a comment shows
    return Box(name.replace("\\", "").strip(), address, address.rpartition("@")[2].rstrip("."))


def _other(text: str, address: Address) -> Box:
    """Return the mailbox of an address, with the rest of a text for its name."""
    name = re.sub(rf"<?{re.escape(address.text)}>?", "", text, count=1, flags=re.IGNORECASE).strip()
    name = name.removeprefix('"').removesuffix('"').replace("\\", "").strip()
    return Box(name, address.key, address.domain)


_usual_box = lru_cache(maxsize=2048)(_box)  # authors and readers come again


def authors(anatomy: Anatomy) -> list[Address]:
    """Return the addresses of every From field, in order; what is no address is left out."""
    return [claim for claim in claims(anatomy) if claim is not None]


def claims(anatomy: Anatomy, field: bytes = b"from") -> list[Address | None]:
    """Return `authors`, with None for each that looks like an address and is none, or lies beyond what is read.

    `field`: "sender" for who is said to have sent it, in their place.
    """
    return [claim for value in anatomy.values(field) for claim in claims_in(value)]


def claims_in(value: bytes) -> tuple[Address | None, ...]:
    """Return the `claims` of one field."""
    return (_usual_claims if len(value) <= _SHORT else _claims)(value)


def _claims(value: bytes) -> tuple[Address | None, ...]:
    # Read before encoded words are, as mail clients do: a bracket or a quote in one must hide no address.
    written = unfold(value[:VALUE_MAX])
    hidden = ["@"] if b"=?" in written and "@" in readable(written) else []  # which some clients show as one
    found = map(_read, _addresses(decode.text(written)) or hidden)
    return (*found, None) if len(value) > VALUE_MAX else tuple(found)


_usual_claims = lru_cache(maxsize=1024)(_claims)  # several ask of one mail, and its author may write again


def shown(anatomy: Anatomy) -> tuple[str, ...]:
    """Return what each From field shows: names, comments and addresses, encoded words decoded."""
    texts = [(_usual_shown if len(value) <= _SHORT else _shown)(value) for value in anatomy.values(b"from")]
    return tuple(filter(None, texts))


def _shown(field: bytes) -> str:
    value = readable(unfold(field[:VALUE_MAX]))
    if not value.isascii():
        value = _UNSEEN.sub("", _FILLERS.sub(" ", value))
        value = "".join(char for char in value if unicodedata.category(char) != "Cf")  # of no width
    return value


_usual_shown = lru_cache(maxsize=1024)(_shown)


def _read(text: str) -> Address | None:
    try:
        return parse_address(text)
    except BadAddress:
        return None


def _addresses(value: str) -> list[str]:
    usual = _USUAL.match(value)
    if usual:
        return [usual[1] or usual[2]]
    try:
        found = [address for _, address in email.utils.getaddresses([value], **_LENIENT) if "@" in address]
        return found or (["@"] if "@" in value else [])
    except (ValueError, IndexError, TypeError, RecursionError):  # hostile fields, of the library's making
        return ["@"]
