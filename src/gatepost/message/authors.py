"""The addresses in From: who claims to have written a mail."""

import re
from email.utils import getaddresses

from gatepost.message.anatomy import Anatomy
from gatepost.message.headers import readable, unfold
from gatepost.model.address import Address, BadAddress, parse_address

VALUE_MAX = 8192  # octets of a From field that are read
_USUAL = re.compile(r'[^<>,"():;\\]*<([^<>\s"(),]+)>\s*\Z|\s*([^<>\s"(),:;\\]+@[^<>\s"(),:;\\]+)\s*\Z')


def authors(anatomy: Anatomy) -> list[Address]:
    """Return the addresses of every From field, in order; what is no address is left out."""
    found = []
    for value in anatomy.values(b"from"):
        for text in _addresses(readable(unfold(value[:VALUE_MAX]))):
            try:
                found.append(parse_address(text))
            except BadAddress:
                continue
    return found


def _addresses(value: str) -> list[str]:
    usual = _USUAL.match(value)
    if usual:
        return [usual[1] or usual[2]]
    try:
        return [address for _, address in getaddresses([value]) if address]
    except (ValueError, IndexError, TypeError, RecursionError):  # hostile fields, of the library's making
        return []
