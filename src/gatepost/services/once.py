"""Once: a request that comes again under its idempotency key gets the first one's answer, and sends nothing more."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import msgspec

from gatepost.events import Clock
from gatepost.model.outgoing import Submission
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq, every
from gatepost.store.store import Store, Writer

HOUR = 3_600_000
_KEY = re.compile(r"[ -~]{1,255}\Z")


class Reused(Problem):
    """A key that was used for another request."""


class Turn:
    """One request's turn. `mail_id`: what an earlier one under the same key sent; None: send, then remember."""

    def __init__(self, row: Submission | None = None, mail_id: str | None = None) -> None:
        self._row = row
        self.mail_id = mail_id

    def remember(self, writer: Writer, mail_id: str) -> None:
        """Write the answer down, in the commit of the mail itself."""
        if self._row is not None:
            writer.remove(Submission, every(eq("account", self._row.account), eq("key", self._row.key)))
            writer.add(msgspec.structs.replace(self._row, mail_id=mail_id))


class Once:
    """Keys of one account never meet those of another; two requests under one key come one after the other."""

    def __init__(self, store: Store, hours: int, clock: Clock) -> None:
        self._store = store
        self._life = hours * HOUR
        self._clock = clock
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, account: str, key: str | None, request: bytes) -> AsyncIterator[Turn]:
        """Wait for the request's turn; raise MALFORMED for a bad key, UNPROCESSABLE for one of another request."""
        if key is None:
            yield Turn()
            return
        if not _KEY.match(key):
            raise Problem(Kind.MALFORMED, "An Idempotency-Key has 1 to 255 printable ASCII characters.")
        row = Submission(
            account=account,
            key=hashlib.sha256(key.encode()).hexdigest(),
            digest=hashlib.sha256(request).hexdigest(),
            mail_id="",
            expires_at=self._clock() + self._life,
        )
        lock = self._locks.setdefault((row.account, row.key), asyncio.Lock())
        async with lock:
            yield Turn(row, self._earlier(row))

    def _earlier(self, row: Submission) -> str | None:
        known = self._store.reader.first(Submission, every(eq("account", row.account), eq("key", row.key)))
        if known is None or known.expires_at <= self._clock():
            return None
        if known.digest != row.digest:
            raise Reused(Kind.UNPROCESSABLE, "The Idempotency-Key was used for another request.")
        return known.mail_id
