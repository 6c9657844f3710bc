"""Keeps peers in bounds: connections, guesses, harvests, octets in memory, and the patience with one session."""

import asyncio
import ipaddress
from collections import OrderedDict, deque
from enum import Enum, auto
from functools import lru_cache
from math import inf

from gatepost.events import Clock
from gatepost.settings import Limits
from gatepost.smtp import replies
from gatepost.smtp.replies import Reply

TEN_MINUTES = 600_000  # milliseconds
MINUTE = 60_000  # likewise
PEERS = 10_000  # addresses that a window remembers
DRAG_MAX = 5.0  # seconds


@lru_cache(maxsize=4096)
def bare_ip(host: str) -> str:
    """Return an address without zone, an IPv4-mapped one as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@lru_cache(maxsize=4096)
def peer_key(ip: str) -> str:
    """Return what counts as one peer: an IPv4 address, or an IPv6 /64."""
    address = ipaddress.ip_address(ip)
    return ip if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


class Window:
    """Counts what peers did within a span (milliseconds) that begins with the first time; forgets the oldest peers.

    A clock that is set back ends the span.
    """

    def __init__(self, clock: Clock, span: int = TEN_MINUTES, peers: int = PEERS) -> None:
        self._clock = clock
        self._span = span
        self._peers = peers
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add(self, key: str) -> None:
        now = self._clock()
        since, count = self._seen.pop(key, (now, 0))
        self._seen[key] = (since, count + 1) if 0 <= now - since < self._span else (now, 1)
        if len(self._seen) > self._peers:
            self._seen.popitem(last=False)

    def count(self, key: str) -> int:
        since, count = self._seen.get(key, (0, 0))
        return count if 0 <= self._clock() - since < self._span else 0


class Throttle:
    """What all listeners count together."""

    def __init__(self, limits: Limits, clock: Clock, total: int | None = None) -> None:
        self._limits = limits
        self._total = limits.connections if total is None else total
        self._here: dict[str, int] = {}
        self.open = 0
        self._harvests = Window(clock)
        self._minutes = Window(clock, MINUTE)

    def enter(self) -> Reply | None:
        """Count a connection in, or say why not."""
        if self.open >= self._total:
            return replies.FULL_HOUSE
        self.open += 1
        return None

    def leave(self) -> None:
        self.open -= 1

    def claim(self, ip: str) -> Reply | None:
        """Count a connection of the real client, or say why not; each claim granted needs one `release`."""
        key = peer_key(ip)
        count = self._here.get(key, 0)
        if count >= self._limits.connections_per_ip:
            return replies.TOO_MANY_OF_YOU
        if most := self._limits.connections_per_minute:
            if self._minutes.count(key) >= most:
                return replies.TOO_MANY_OF_YOU
            self._minutes.add(key)
        self._here[key] = count + 1
        return None

    def release(self, ip: str) -> None:
        key = peer_key(ip)
        left = self._here[key] - 1
        if left:
            self._here[key] = left
        else:
            del self._here[key]

    def harvested(self, ip: str) -> None:
        """Note that a peer asked for too many unknown recipients."""
        self._harvests.add(peer_key(ip))

    def drag(self, ip: str) -> float:
        """Return the seconds that an unknown recipient costs a peer that was cut off for asking for too many."""
        return min(DRAG_MAX, float(self._harvests.count(peer_key(ip))))


_IN_VAIN = (replies.MAIL_FIRST, replies.RCPT_FIRST)


class Conduct:
    """Counts one session's errors since its last mail, and what it is never forgiven."""

    __slots__ = ("_limits", "_pardons", "errors", "guesses", "junk", "long_lines", "unknown")

    LONG_LINES = 3
    GROUP = 101  # commands sent along with MAIL: recipients (RFC 5321 4.5.3.1.8), and DATA

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.errors = self.junk = self.long_lines = self.unknown = self.guesses = 0
        self._pardons = 0

    def refused(self, verb: bytes, reply: Reply) -> None:
        """Take note of a refusal: what was sent along with MAIL or RCPT could not know of it (RFC 2920 3.1)."""
        if verb == b"MAIL":
            self._pardons = self.GROUP
        elif verb == b"RCPT" and reply not in _IN_VAIN:
            self._pardons = 1

    def excuses(self, verb: bytes, reply: Reply) -> bool:
        """Tell whether a command came in vain for what was refused before it in its group, which DATA ends."""
        excused = self._pardons > 0 and reply in _IN_VAIN
        if excused:
            self._pardons = 0 if verb == b"DATA" else self._pardons - 1
        return excused

    @property
    def spent(self) -> bool:
        limits = self._limits
        return (
            self.errors > limits.errors
            or self.junk > limits.junk_commands
            or self.long_lines >= self.LONG_LINES
            or self.unknown > limits.unknown_recipients
        )

    @property
    def harvests(self) -> bool:
        return self.unknown > self._limits.unknown_recipients

    def delivered(self) -> None:
        self.errors = self.junk = 0


class Budget:
    """A number of octets that all mails being received share; who waits is served in order."""

    def __init__(self, octets: int) -> None:
        self.free = octets
        self.largest = octets
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, octets: int, patience: float) -> int:
        """Reserve; return what was reserved, which is never more than there is in all. Raises TimeoutError."""
        octets = min(octets, self.largest)
        if not self._waiting and octets <= self.free:
            self.free -= octets
            return octets
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((octets, turn))
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException:
            self._forget(octets, turn)
            raise
        return octets

    def more(self, octets: int) -> bool:
        """Reserve at once, or not."""
        if octets > self.free or self._waiting:
            return False
        self.free -= octets
        return True

    def give(self, octets: int) -> None:
        self.free += octets
        while self._waiting and self._waiting[0][0] <= self.free:
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self.free -= wanted
                turn.set_result(None)

    def _forget(self, octets: int, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():  # granted while its owner gave up
            self.give(octets)
            return
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
        self.give(0)


class Share:
    """One mail's part of the budget: what it may hold in memory before it becomes a file (at `cut` octets).

    It begins small and grows as the mail does, so that who sends nothing takes little from others.
    """

    FIRST = 16_384  # octets that are claimed before anything comes; most mails are no larger

    def __init__(self, budget: Budget, cut: int) -> None:
        self._budget = budget
        self._cut = min(cut, budget.largest)
        self._held = 0
        self._spooled = False

    async def claim(self, declared: int, patience: float) -> None:
        """Wait for room; raises TimeoutError."""
        octets = min(declared or self.FIRST, self.FIRST, self._cut)
        self._held = octets if self._budget.more(octets) else await self._budget.take(octets, patience)

    def grow(self, size: int) -> bool:
        """Make room for a mail that has reached `size`; False, once: it must be a file from now on."""
        if self._spooled or size <= self._held:
            return True
        wanted = min(max(size, 2 * self._held), self._cut) - self._held
        if size <= self._cut and self._budget.more(wanted):
            self._held += wanted
            return True
        self._spooled = True
        self.release()
        return False

    def release(self) -> None:
        self._budget.give(self._held)
        self._held = 0


class Awaits(Enum):
    """What a session waits for."""

    COMMAND = auto()
    DATA = auto()
    NOTHING = auto()  # the house works


class Watch:
    """Says when the patience with a peer ends: between commands, and while a mail's data comes.

    All times are seconds of one monotonic clock. A slow but steady sender may take longer for one mail than a session
    may last: the session's end is looked at between commands only.
    """

    __slots__ = ("_idle", "_least", "_octets", "_session", "_since", "_window", "awaits")

    def __init__(self, limits: Limits, window: float, now: float) -> None:
        self._idle = limits.idle
        self._least = limits.min_data_rate * window  # octets of a mail within a window
        self._window = window
        self._session = now + limits.session
        self.turn(Awaits.COMMAND, now)

    def turn(self, awaits: Awaits, now: float) -> None:
        """From now on a command or data are awaited."""
        self.awaits = awaits
        self._since = now
        self._octets = 0

    def rest(self) -> None:
        """From now on nothing is awaited."""
        self.awaits = Awaits.NOTHING

    @property
    def due(self) -> float:
        """When to look again; `inf` for not before something is awaited."""
        if self.awaits is Awaits.COMMAND:
            return min(self._since + self._idle, self._session)
        return self._since + self._window if self.awaits is Awaits.DATA else inf

    def heard(self, octets: int) -> None:
        self._octets += octets

    def late(self, now: float) -> Reply | None:
        """Return what to say to a peer whose time is over."""
        if now < self.due:
            return None
        if self.awaits is Awaits.COMMAND:
            return replies.TOO_IDLE if now >= self._since + self._idle else replies.TOO_LONG_HERE
        slow = self._octets < self._least
        self.turn(self.awaits, now)
        return replies.TOO_SLOW if slow else None
