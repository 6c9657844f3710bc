"""Mails that come to the store in a moment: they are here, and are being judged."""

import time
from itertools import takewhile

STIR = 0.01  # seconds since one began or ended after which none is likely to end in a moment
LONG = 0.1  # seconds after which nobody waits for a mail any more: a server or a scanner keeps it


class Coming:
    """Who judges mails says of each when that begins and when it ends; all in one loop."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}  # by the mails' ids, the youngest at the end
        self._stirred = 0.0

    def begins(self, mail_id: str) -> None:
        """A mail is here, and is likely to be written as soon as it is judged."""
        self._since[mail_id] = self._stirred = time.monotonic()

    def ends(self, mail_id: str) -> None:
        """It is written now, or won't be; may be said twice."""
        if self._since.pop(mail_id, None) is not None:
            self._stirred = time.monotonic()

    def count(self) -> int:
        """Return how many are judged, those of long ago left out; none where hardly any of them ends in a moment."""
        now = time.monotonic()
        if now - self._stirred >= STIR:
            return 0
        return sum(1 for _ in takewhile(lambda since: now - since < LONG, reversed(self._since.values())))
