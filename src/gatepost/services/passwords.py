"""Passwords: argon2id off the event loop, the same time for known and unknown, a short memory of what was right."""

import asyncio
import base64
import hashlib
import hmac
import secrets
import unicodedata
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gatepost.events import Clock
from gatepost.model.problem import Kind, Problem

SHORTEST, LONGEST = 8, 1024
_MEMORY_MS = 60_000
_REMEMBERED = 10_000


class FairTurns:
    """So many at a time; who waits for others of his own name keeps nobody else waiting."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn, which goes round from name to name, and hold it."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(name)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, name: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            name, line = self._waiting.popitem(last=False)
            turn = line.popleft()
            if line:
                self._waiting[name] = line
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Passwords:
    """Hashes and verifies; at most two at a time, since each takes 64 MB and a tenth of a second."""

    def __init__(self, clock: Clock, hasher: PasswordHasher | None = None) -> None:
        self._clock = clock
        self._hasher = hasher or PasswordHasher()
        self._nobody = _hash_of_nothing(self._hasher)
        self._turns = FairTurns(2)
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, int] = OrderedDict()

    async def hash(self, password: str, pointer: str = "/password", shortest: int = SHORTEST) -> str:
        """Return what to store of a password; raise UNPROCESSABLE for one too short or too long."""
        if not shortest <= len(password) <= LONGEST:
            text = f"A password has {shortest} to {LONGEST} characters."
            raise Problem(Kind.UNPROCESSABLE, text, pointer=pointer)
        async with self._turns.turn(""):
            return await asyncio.to_thread(self._hasher.hash, _composed(password))

    async def verify(self, stored: str | None, password: str, by: str, *, fresh: bool = False) -> bool:
        """Tell whether the password is right; `stored` None (nobody, or no password) takes as long and is wrong.

        `by` names who tries it: many tries of one, which wait for each other, keep no other waiting for more than one.
        A right one is remembered for a minute under a keyed hash of it and of what is stored, so that a change of
        the password forgets it. `fresh` asks as if nothing were remembered, so that the time tells nothing either.
        """
        mark = hmac.digest(self._key, f"{stored}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        if not fresh and self._right.get(mark, 0) > self._clock():
            return True
        async with self._turns.turn(by):
            right = await asyncio.to_thread(self._check, stored or self._nobody, password)
        if not (right and stored):
            return False
        self._remember(mark)
        return True

    def _check(self, stored: str, password: str) -> bool:
        given = password[: LONGEST + 1]
        return self._matches(stored, given) or (given != _composed(given) and self._matches(stored, _composed(given)))

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError, UnicodeEncodeError):
            return False

    def _remember(self, mark: bytes) -> None:
        self._right[mark] = self._clock() + _MEMORY_MS
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)


def _composed(password: str) -> str:
    """Return the form in which all systems' ways to type a password are one (RFC 8265 4.2)."""
    return unicodedata.normalize("NFC", password)


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """Return a hash that takes as long to verify as any other and that no password has; no time is spent on it."""
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (_octets(length) for length in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19${costs}${salt}${digest}"


def _octets(length: int) -> str:
    return base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
