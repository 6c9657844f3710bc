"""What filters that learn or count remember: tokens seen in spam and ham, and tallies; in RAM, within a budget.

Neither touches the store: who keeps them there takes what has changed with `dirty` (rules 26).
"""

import mmap
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter

import msgspec

DAY = 86_400_000
WEEK = 7 * DAY

SLOT = 8  # octets of a token in RAM
TALLY = 400  # octets of a tally in RAM, about
KEY_BITS = 60  # of a token's key
MOST = 0xFFFF  # that a token's counts go up to

_TAG = KEY_BITS - 22  # the key's topmost bits tell tokens of one slot apart
_TAG_AT, _WEEK_AT, _SPAM_AT = 42, 32, 16
_COUNTS = (1 << _WEEK_AT) - 1


class Room(IntEnum):
    """Whose memory a row of the store is."""

    TOKENS = 0
    LESSONS = 1
    WAITING = 2  # greylisted mail that has not come again
    REPUTATION = 3
    OUTGOING = 4
    TOTALS = 5  # mails learnt, by scope
    PASSED = 6  # greylisted mail that has
    RATES = 7  # what accounts and domains handed in within the hour


@lru_cache(maxsize=16_384)
def key_of(*parts: str) -> int:
    """Return the key of what has a name of several parts."""
    digest = blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) & ((1 << KEY_BITS) - 1)


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What lasts of one key: two counts, when it was first counted and last used (epoch milliseconds)."""

    key: int
    first: int
    second: int
    since: int
    at: int


class Tokens:
    """How often each token stood in spam and in ham: a table of fixed size, a slot for each key.

    Of two tokens that fall on one slot the one seen more often stays; the store keeps both. Memory is taken as slots
    are filled.
    """

    def __init__(self, octets: int) -> None:
        size = 1 << max(10, (octets // SLOT).bit_length() - 1)
        self._slots = memoryview(mmap.mmap(-1, size * SLOT)).cast("Q")
        self._mask = size - 1
        self._totals: dict[int, tuple[int, int]] = {}
        self._used: dict[int, int] = {}
        self.generation = 0  # grows with each change of the counts

    def totals(self, scope: int) -> tuple[int, int]:
        """Return how many spam and ham mails were learnt for a domain (0: for all)."""
        return self._totals.get(scope, (0, 0))

    def set_totals(self, scope: int, spam: int, ham: int) -> None:
        """Take the number of mails learnt as it is kept."""
        self._totals[scope] = (spam, ham)
        self.generation += 1

    def get(self, keys: Sequence[int]) -> list[int]:
        """Return the counts of each key, packed: spam << 16 | ham; 0 for one that is not known."""
        if len(keys) < 2:
            return [self._get(key) for key in keys]
        mask = self._mask
        slots = itemgetter(*[key & mask for key in keys])(self._slots)
        return [
            slot & _COUNTS if slot and slot >> _TAG_AT == key >> _TAG else 0
            for key, slot in zip(keys, slots, strict=True)
        ]

    def _get(self, key: int) -> int:
        slot = self._slots[key & self._mask]
        return slot & _COUNTS if slot >> _TAG_AT == key >> _TAG else 0

    def set(self, key: int, spam: int, ham: int, at: int) -> None:
        """Take the counts of a token as they are kept; `at` in epoch milliseconds."""
        index = key & self._mask
        there = self._slots[index]
        if there and there >> _TAG_AT != key >> _TAG and _weight(there) > spam + ham:
            return
        spam, ham = max(0, min(spam, MOST)), max(0, min(ham, MOST))
        if spam or ham:
            week = at // WEEK & 0x3FF
            self._slots[index] = key >> _TAG << _TAG_AT | week << _WEEK_AT | spam << _SPAM_AT | ham
        else:
            self._slots[index] = 0

    def learn(self, scope: int, keys: Sequence[int], spam: int, ham: int, at: int) -> None:
        """Add a mail to the counts; one that is unlearnt counts below zero."""
        totals = self.totals(scope)
        self.set_totals(scope, totals[0] + spam, totals[1] + ham)
        for key, packed in zip(keys, self.get(keys), strict=True):
            self.set(key, (packed >> _SPAM_AT) + spam, (packed & MOST) + ham, at)

    def use(self, keys: Collection[int], at: int) -> None:
        """Note that tokens were of use; once a week for each, which is as exact as their expiry is."""
        week = at // WEEK & 0x3FF
        for key in keys:
            index = key & self._mask
            slot = self._slots[index]
            if slot and slot >> _TAG_AT == key >> _TAG and slot >> _WEEK_AT & 0x3FF != week:
                self._slots[index] = slot & ~(0x3FF << _WEEK_AT) | week << _WEEK_AT
                self._used[key] = at

    def dirty(self) -> dict[int, int]:
        """Return when tokens were used, where that is not kept yet, and forget it."""
        used, self._used = self._used, {}
        return used


def _weight(slot: int) -> int:
    return (slot >> _SPAM_AT & MOST) + (slot & MOST)


class Tally(msgspec.Struct, gc=False):
    """Two counts of one key. `since` and `at`: when it was first and last counted, in epoch milliseconds."""

    first: float
    second: float
    since: int
    at: int


class Tallies:
    """Counts by key, each with its own age; within a budget, the ones longest unused go first.

    With a half-life (milliseconds) counts fade; without one they stay as they are until the term ends.
    """

    def __init__(self, octets: int, term: int, half_life: int = 0) -> None:
        self._most = max(16, octets // TALLY)
        self.term = term
        self._half_life = half_life
        self._known: OrderedDict[int, Tally] = OrderedDict()
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: int, now: int) -> Tally | None:
        """Return what is counted of a key as it stands now; None once its term is over."""
        found = self._known.get(key)
        if found is None or now - found.at > self.term:
            return None
        if not self._half_life:
            return found
        faded = 0.5 ** (max(0, now - found.at) / self._half_life)
        return Tally(found.first * faded, found.second * faded, found.since, found.at)

    def count(self, key: int, now: int, first: float = 0.0, second: float = 0.0) -> Tally:
        """Add to the counts of a key and return them."""
        found = self.get(key, now) or Tally(0.0, 0.0, now, now)
        made = Tally(found.first + first, found.second + second, found.since, now)
        self._keep(key, made)
        self._dirty.add(key)
        return made

    def begin(self, key: int, now: int) -> None:
        """Count a key from nothing."""
        self._keep(key, Tally(0.0, 0.0, now, now))
        self._dirty.add(key)

    def set(self, row: Row) -> None:
        """Take a row as it is kept (its counts in thousandths)."""
        self._keep(row.key, Tally(row.first / 1000, row.second / 1000, row.since, row.at))

    def dirty(self, most: int) -> list[Row]:
        """Return at most so many rows that are not kept as they stand, and take them for kept."""
        chosen = [key for key, _ in zip(self._dirty, range(most), strict=False)]
        self._dirty.difference_update(chosen)
        return [_row(key, self._known[key]) for key in chosen if key in self._known]

    def spoil(self, keys: Iterable[int]) -> None:
        """Take back that rows are kept."""
        self._dirty.update(keys)

    def _keep(self, key: int, tally: Tally) -> None:
        self._known[key] = tally
        self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)


def _row(key: int, tally: Tally) -> Row:
    return Row(key, round(tally.first * 1000), round(tally.second * 1000), tally.since, tally.at)


class Memory:
    """What the filters of one Gatepost remember; they get it from app with their other tools."""

    def __init__(self, token_bytes: int = 1 << 20, tally_bytes: int = 1 << 20) -> None:
        self.tokens = Tokens(token_bytes)
        self.tallies: dict[Room, Tallies] = {}
        self._tally_bytes = tally_bytes

    def counts(self, room: Room, term: int, half_life: int = 0) -> Tallies:
        """Return the tallies of a room, made for who asks first; `term` and `half_life` in milliseconds."""
        if room not in self.tallies:
            self.tallies[room] = Tallies(self._tally_bytes, term, half_life)
        return self.tallies[room]
