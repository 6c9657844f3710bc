"""The Sender Rewriting Scheme: a group's outside members get mail from an address of ours that leads back (SRS0)."""

import base64
import hashlib
import hmac
import re

from gatepost.model.address import LOCAL_MAX, Address, BadAddress, parse_address

DAY = 86_400_000
LIFE = 21  # days that a rewritten address is good for
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_FORM = re.compile(r"SRS0[=+-]([A-Z2-7]{8})=([A-Z2-7]{2})=([^=]+)=(.+)\Z", re.IGNORECASE | re.ASCII)


def rewrite(sender: Address, domain: str, *, key: bytes, now: int) -> str:
    """Return the SRS0 address in `domain` that stands for `sender`; `now` in epoch milliseconds.

    It is the null sender "" where the address would be too long for a strict server, or for an address literal, which
    no local part can hold: then nobody is told of a failure.
    """
    if sender.literal:
        return ""
    stamp = _stamp(now)
    mark, bare = _quotes(sender.local)
    local = f"SRS0={_digest(key, stamp, sender.domain, sender.local)}={stamp}={sender.domain}={bare}"
    local = f"{mark}{local}{mark}"
    return f"{local}@{domain}" if len(local.encode()) <= LOCAL_MAX else ""


def reverse(address: Address, *, key: bytes, now: int) -> Address | None:
    """Return the sender that one of our SRS0 addresses stands for; None where it is forged, stale or none at all."""
    mark, bare = _quotes(address.local)
    match = _FORM.match(bare)
    if not match:
        return None
    digest, stamp, domain, local = match[1], match[2].upper(), match[3], f"{mark}{match[4]}{mark}"
    right = hmac.compare_digest(digest.lower(), _digest(key, stamp, domain, local).lower())
    if not right or not _fresh(stamp, now):
        return None
    try:
        return parse_address(f"{local}@{domain}")
    except BadAddress:
        return None


def _quotes(local: str) -> tuple[str, str]:
    """Return the quote that a local part stands in, "" where it stands in none, and what stands in it."""
    return ('"', local[1:-1]) if local.startswith('"') else ("", local)


def _digest(key: bytes, stamp: str, domain: str, local: str) -> str:
    # Case may be lost on the way, so it does not count.
    text = f"{stamp}={domain}={local}".lower().encode()
    return base64.b32encode(hmac.new(key, text, hashlib.sha256).digest())[:8].decode()


def _stamp(now: int) -> str:
    day = now // DAY % 1024
    return _ALPHABET[day >> 5] + _ALPHABET[day & 31]


def _fresh(stamp: str, now: int) -> bool:
    then = _ALPHABET.index(stamp[0]) << 5 | _ALPHABET.index(stamp[1])
    return (now // DAY - then) % 1024 <= LIFE
