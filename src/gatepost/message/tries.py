"""Counts how often a mail could not be looked into: one that fells its scanner must not come for ever (threat 76)."""

import asyncio
import hashlib
from collections import OrderedDict
from pathlib import Path

from gatepost.message.mail import Mail
from gatepost.model.envelope import Body

TRIES = 3
"""Tries after which a mail counts as unscannable."""
REMEMBERED = 1000
HEAD = 65_536  # octets by which a mail is known again


class Tries:
    """The mails that were tried last, known again by their sender and first octets."""

    def __init__(self) -> None:
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    async def count(self, mail: Mail) -> int:
        """Note a failed try; return how many there were with this one."""
        fingerprint = await asyncio.to_thread(_fingerprint, mail)
        tries = self._counts.pop(fingerprint, 0) + (not mail.envelope.trial)
        self._counts[fingerprint] = tries
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return tries


def _fingerprint(mail: Mail) -> bytes:
    """Return what tells a mail that comes again from others (blocking)."""
    head = _head(mail.body)
    sender = mail.envelope.sender.key if mail.envelope.sender else ""
    return hashlib.sha256(head + sender.encode()).digest()


def _head(body: Body) -> bytes:
    if body.data is not None:
        return body.data[:HEAD]
    try:
        with Path(body.path or "").open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
