"""Which delivery is next: by due time, in turn among destinations, so many at once to each. In memory; no I/O."""

import heapq
import itertools
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from enum import StrEnum

from gatepost.model.stored import Delivery

FIRST = 3  # what a destination's window is before its first success


class Standing(StrEnum):
    """What is known of a destination. Each standing has places of its own, so that those who don't answer, however
    many and for however long, take none from those who do (threat 100)."""

    ANSWERS = "answers"
    NEW = "new"  # not heard from yet
    SILENT = "silent"  # the last try reached nobody


def shares(concurrency: int) -> dict[Standing, int]:
    """Return how many transactions may be under way at once with the destinations of each standing.

    One with a stranger is most often but a connection that waits, so of these there may be more.
    """
    return {Standing.ANSWERS: concurrency, Standing.NEW: 2 * concurrency, Standing.SILENT: max(1, concurrency // 2)}


class Entry:
    """A delivery in the schedule: the little that must be known of it. `delivery` is its row while that is at hand."""

    __slots__ = ("delivery", "due", "id", "lane", "mail_id", "ready")

    def __init__(self, delivery: Delivery, lane: "Lane", due: int, *, row: bool) -> None:
        self.id = delivery.id
        self.mail_id = delivery.mail_id
        self.due = due
        self.lane = lane
        self.delivery: Delivery | None = delivery if row else None
        self.ready = False


class Lane:
    """What is due for one destination, mails in the order they came due; `window` is how many go at once.

    One that does not answer, or has not yet, gets a single one. Each success earns one more; one that asks for less
    (421), or can't be reached, gets half as many (threat 103).
    """

    __slots__ = ("__weakref__", "busy", "earned", "in_turn", "key", "limit", "mails", "paused", "standing")

    def __init__(self, key: str, limit: int, *, paused: bool) -> None:
        self.key = key
        self.limit = limit
        self.earned = min(limit, FIRST)
        self.standing = Standing.NEW
        self.busy = 0
        self.in_turn = False
        self.paused = paused  # by hand
        self.mails: dict[str, dict[int, Entry]] = {}

    @property
    def window(self) -> int:
        return self.earned if self.standing is Standing.ANSWERS else 1

    @property
    def open(self) -> bool:
        return bool(self.mails) and self.busy < self.window and not self.paused


class Schedule:
    """All deliveries that wait. One that `next` gave out is claimed until `back` or `forget`."""

    def __init__(self, concurrency: int) -> None:
        self._shares = shares(concurrency)
        self._busy: Counter[Standing] = Counter()
        self._entries: dict[int, Entry] = {}
        self._of_mail: Counter[str] = Counter()  # how many of these are a mail's, and due or claimed
        self._heap: list[tuple[int, int, Entry]] = []
        self._number = itertools.count()
        # A lane lasts as long as something waits for it, and with it what was learnt of the destination.
        self._lanes: weakref.WeakValueDictionary[str, Lane] = weakref.WeakValueDictionary()
        # Lanes that may be served, each in one turn at most.
        self._turns: dict[Standing, deque[Lane]] = {standing: deque() for standing in Standing}
        self._claimed: set[int] = set()
        self.paused: set[str] = set()  # destinations to which nothing goes

    def __len__(self) -> int:
        """How many wait or are under way."""
        return len(self._entries)

    def __contains__(self, delivery_id: int) -> bool:
        return delivery_id in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    @property
    def claimed(self) -> int:
        return len(self._claimed)

    def is_claimed(self, delivery_id: int) -> bool:
        return delivery_id in self._claimed

    def lane(self, key: str, limit: int) -> Lane:
        """Return a destination's lane, made or given a new limit where need be."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, limit, paused=key in self.paused)
        elif lane.limit != limit:
            lane.limit, lane.earned = limit, min(lane.earned, limit)
        return lane

    @property
    def offers(self) -> bool:
        """Whether a destination may have its turn as soon as there is a place for it."""
        return any(self._turns.values())

    def add(self, entry: Entry, now: int) -> None:
        """Let a delivery wait until it is due. One that is known already stays as it is."""
        if entry.id not in self._entries:
            self._entries[entry.id] = entry
            self._place(entry, now)

    def of_mail(self, mail_id: str) -> int:
        """How many deliveries of a mail are due or under way; those that wait for a later time don't count."""
        return self._of_mail.get(mail_id, 0)

    def next(self, now: int, most: int) -> tuple[Lane, list[Entry]] | None:
        """Claim up to `most` due deliveries of one mail to one destination; None while nothing may go."""
        self._ripen(now)
        for standing, turn in self._turns.items():
            while turn and self._busy[standing] < self._shares[standing]:
                lane = turn.popleft()
                lane.in_turn = False
                if lane.standing is standing and lane.open:
                    batch = self._claim(lane, most)
                    self._offer(lane)
                    return lane, batch
                self._offer(lane)
        return None

    def claim(self, ids: Iterable[int]) -> list[Entry]:
        """Claim what waits among these, by hand; return it. It ends with `back` or `forget`, too."""
        found = [entry for each in ids if (entry := self._entries.get(each)) and each not in self._claimed]
        for entry in found:
            if entry.ready:
                self._unready(entry)
            else:
                self._of_mail[entry.mail_id] += 1
            self._claimed.add(entry.id)
        return found

    def pause(self, key: str) -> None:
        """Let nothing go to a destination; what is under way ends."""
        self.paused.add(key)
        if lane := self._lanes.get(key):
            lane.paused = True

    def resume(self, key: str) -> None:
        """Let mail go to a destination again."""
        self.paused.discard(key)
        if lane := self._lanes.get(key):
            lane.paused = False
            self._offer(lane)

    def _claim(self, lane: Lane, most: int) -> list[Entry]:
        mail = next(iter(lane.mails.values()))
        batch = list(itertools.islice(mail.values(), most))
        for entry in batch:
            self._unready(entry)
            self._claimed.add(entry.id)
        lane.busy += 1
        self._busy[lane.standing] += 1
        return batch

    def free(self, lane: Lane) -> None:
        """Give back a place in a lane, once the transaction is over."""
        lane.busy -= 1
        self._busy[lane.standing] -= 1
        self._offer(lane)

    def learn(self, lane: Lane, *, answered: bool, refused: bool, succeeded: bool) -> None:
        """Note what a transaction told of a destination; what else is under way with it counts accordingly."""
        standing = Standing.ANSWERS if answered else Standing.SILENT
        if standing is not lane.standing:
            self._busy[lane.standing] -= lane.busy
            self._busy[standing] += lane.busy
            lane.standing = standing
        if refused:
            lane.earned = max(1, lane.earned // 2)
        elif succeeded:
            lane.earned = min(lane.limit, lane.earned + 1)

    def back(self, entry: Entry, lane: Lane, due: int, now: int) -> None:
        """Let a claimed delivery wait again, for its destination as it is now."""
        self._uncount(entry)
        self._claimed.discard(entry.id)
        entry.due, entry.lane = due, lane
        self._place(entry, now)

    def forget(self, delivery_id: int) -> Entry | None:
        """Take a delivery out, claimed or not; None where it isn't known."""
        entry = self._entries.pop(delivery_id, None)
        if entry is None:
            return None
        self._uncount(entry)
        self._claimed.discard(delivery_id)
        if entry.ready:
            self._unready(entry)
        return entry

    def hasten(self, ids: Iterable[int], now: int) -> None:
        """Make waiting deliveries due at once."""
        for delivery_id in ids:
            entry = self._entries.get(delivery_id)
            if entry is not None and not entry.ready and delivery_id not in self._claimed:
                entry.due = now
                self._place(entry, now)

    def next_due(self) -> int | None:
        """When the first one that waits comes due; None where none waits."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def clamp(self, latest: int) -> None:
        """Let nothing wait beyond `latest`: no honest wait is so long, so the clock was set back (threat 86)."""
        waiting = [entry for entry in self._entries.values() if not entry.ready and entry.id not in self._claimed]
        for entry in waiting:
            entry.due = min(entry.due, latest)
        self._heap = [(entry.due, next(self._number), entry) for entry in waiting]
        heapq.heapify(self._heap)

    def _place(self, entry: Entry, now: int) -> None:
        if entry.due <= now:
            self._make_ready(entry)
        else:
            heapq.heappush(self._heap, (entry.due, next(self._number), entry))

    def _ripen(self, now: int) -> None:
        while self._heap and self._heap[0][0] <= now:
            item = heapq.heappop(self._heap)
            if self._is_current(item):
                self._make_ready(item[2])

    def _is_current(self, item: tuple[int, int, Entry]) -> bool:
        """Old places in the heap are left there until they come up."""
        due, _, entry = item
        live = self._entries.get(entry.id) is entry and entry.id not in self._claimed
        return live and not entry.ready and entry.due == due

    def _uncount(self, entry: Entry) -> None:
        """Note that a delivery, if it was due or claimed, is so no longer."""
        if entry.ready or entry.id in self._claimed:
            self._of_mail[entry.mail_id] -= 1
            if not self._of_mail[entry.mail_id]:
                del self._of_mail[entry.mail_id]

    def _make_ready(self, entry: Entry) -> None:
        entry.ready = True
        self._of_mail[entry.mail_id] += 1
        entry.lane.mails.setdefault(entry.mail_id, {})[entry.id] = entry
        self._offer(entry.lane)

    def _unready(self, entry: Entry) -> None:
        entry.ready = False
        mails = entry.lane.mails
        waiting = mails[entry.mail_id]
        del waiting[entry.id]
        if not waiting:
            del mails[entry.mail_id]

    def _offer(self, lane: Lane) -> None:
        if not lane.in_turn and lane.open:
            lane.in_turn = True
            self._turns[lane.standing].append(lane)
