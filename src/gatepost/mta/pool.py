"""Keeps connections to next hops for the next mail: last in, first out; so many to each, so long, for so many mails."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf

from gatepost.lookout import Lookout
from gatepost.mta.outcome import own
from gatepost.mta.routing import Target
from gatepost.mta.wire import Broken, Session, Unusable
from gatepost.settings import Relay

Open = Callable[[Target], Awaitable[Session]]

REST_MAX = 120.0
REST_MIN = 1.0
REMEMBERED = 10_000  # targets


class Crowded(Exception):
    """So many deliveries wait for this target already that one more had better not hold a place."""


class _Lane:
    """What is known of one target."""

    __slots__ = ("busy", "clock", "failure", "idle", "rests_until", "waiting")

    def __init__(self, retire: "Callable[[_Lane, float], float]") -> None:
        self.idle: list[tuple[Session, float]] = []  # each with the time when it goes, the first next
        self.clock = Lookout(asyncio.get_running_loop(), partial(retire, self))
        self.busy = 0  # places taken: sessions that are handed out, or being opened
        self.waiting: deque[asyncio.Future[None]] = deque()  # for a place; while somebody does, none is free
        self.rests_until = 0.0
        self.failure: Unusable | None = None


class Pool:
    """Hands out sessions. Each that `take` gave must come back by `give` or `drop`.

    A target that can't be reached rests for twice the time it took to find out (1 s to 2 min): those who ask
    meanwhile get the same answer at once, so that a dead server doesn't hold up the mail of others (threat 100).
    """

    def __init__(self, settings: Relay, open_session: Open) -> None:
        self._settings = settings
        self._open = open_session
        self._lanes: dict[Target, _Lane] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def at_hand(self, target: Target) -> Session | None:
        """Return an idle session that can be used as it stands; None where `take` must be asked."""
        lane = self._lane(target)
        if not lane.idle or lane.busy >= self._settings.connections or self._rests(lane):
            return None
        session = lane.idle[-1][0]
        if session.dirty or not session.alive:
            return None
        lane.idle.pop()
        lane.busy += 1
        return session

    async def take(self, target: Target, *, fresh: bool = False) -> Session:
        """Return a session, an idle one unless `fresh`; raise Unusable or Crowded."""
        lane = self._lane(target)
        self._check_rest(lane)
        if lane.busy < self._settings.connections:
            lane.busy += 1
        elif len(lane.waiting) < self._settings.connections:
            await self._turn(lane)
        else:
            raise Crowded(target.text)
        try:
            session = None if fresh else await self._idle(lane)
            return session or await self._new(target, lane)
        except BaseException:
            self._release(lane)
            raise

    def give(self, session: Session) -> None:
        """Take back a session that may serve again."""
        lane = self._lane(session.target)
        session.uses += 1
        if not session.alive or session.uses >= self._settings.reuse:
            self._leave(session)
        else:
            goes = asyncio.get_running_loop().time() + self._settings.idle
            lane.idle.append((session, goes))
            lane.clock.by(goes)
        self._release(lane)

    def drop(self, session: Session) -> None:
        """Take back a session that is unfit for more."""
        session.close()
        self._release(self._lane(session.target))

    def wake(self) -> None:
        """Forget which targets rest, so that the next one who asks tries anew."""
        for lane in self._lanes.values():
            lane.rests_until = 0.0

    async def close(self) -> None:
        """Take leave of every idle connection, within seconds."""
        for lane in self._lanes.values():
            lane.clock.end()
            for session, _ in lane.idle:
                self._leave(session)
            lane.idle.clear()
        await asyncio.gather(*self._leaving)

    @property
    def idle(self) -> int:
        """Connections that wait for a mail."""
        return sum(len(lane.idle) for lane in self._lanes.values())

    def _lane(self, target: Target) -> _Lane:
        lane = self._lanes.get(target)
        if lane is None:
            if len(self._lanes) >= REMEMBERED:
                self._forget()
            lane = self._lanes[target] = _Lane(self._retire)
        return lane

    async def _turn(self, lane: _Lane) -> None:
        """Wait for a place: it comes from who leaves one."""
        waiter = asyncio.get_running_loop().create_future()
        lane.waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):  # passed over already
                    lane.waiting.remove(waiter)
            else:  # it came, but too late
                self._release(lane)
            raise

    def _release(self, lane: _Lane) -> None:
        """Hand a place on to who waits longest, else free it."""
        while lane.waiting:
            waiter = lane.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        lane.busy -= 1

    def _forget(self) -> None:
        """Drop what is known of targets that nobody uses or waits for."""
        self._lanes = {target: lane for target, lane in self._lanes.items() if lane.idle or lane.waiting or lane.busy}

    def _rests(self, lane: _Lane) -> bool:
        return lane.failure is not None and asyncio.get_running_loop().time() < lane.rests_until

    def _check_rest(self, lane: _Lane) -> None:
        if lane.failure is not None and self._rests(lane):
            raise Unusable(lane.failure.reply, busy=lane.failure.busy, lasting=lane.failure.lasting)

    async def _idle(self, lane: _Lane) -> Session | None:
        """The idle session that was used last, if one still stands."""
        while lane.idle:
            session, _ = lane.idle.pop()
            if not session.alive:
                session.close()
                continue
            try:
                if session.dirty:
                    await session.reset()
                return session
            except Broken:
                session.close()
            except asyncio.CancelledError:  # who asked waits no longer
                session.close()
                raise
        return None

    async def _new(self, target: Target, lane: _Lane) -> Session:
        self._check_rest(lane)
        loop = asyncio.get_running_loop()
        start = loop.time()
        # The parts have their own limits; this one is for a peer that uses up each of them.
        limit = self._settings.connect_timeout + self._settings.command_timeout
        try:
            async with asyncio.timeout(limit):
                session = await self._open(target)
        except TimeoutError:
            failure = Unusable(own("4.4.2", f"{target.text} does not answer in time"))
        except Unusable as error:
            failure = error
        else:
            lane.failure = None
            return session
        took = loop.time() - start
        lane.failure = failure
        lane.rests_until = loop.time() + min(max(2 * took, REST_MIN), REST_MAX)
        raise failure

    def _retire(self, lane: _Lane, now: float) -> float:
        """Take leave of those that nobody needed; return when the next one goes."""
        while lane.idle and lane.idle[0][1] <= now:
            self._leave(lane.idle.pop(0)[0])
        return lane.idle[0][1] if lane.idle else inf

    def _leave(self, session: Session) -> None:
        task = asyncio.create_task(session.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
