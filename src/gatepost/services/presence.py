"""Presence: who holds an event stream open, and what is sent along it; a user is online while one is open (F6)."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from gatepost.model.problem import Kind, Problem

BACKLOG = 100  # events that wait for a slow reader; one that is slower still is let go of


class Event(msgspec.Struct, frozen=True):
    """What is told: the kind of event, and its members."""

    name: str
    data: dict[str, str]


class Stream:
    """One open stream of one user."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.ended = False

    def put(self, event: Event) -> None:
        if self._events.qsize() >= BACKLOG:
            self.end()
        else:
            self._events.put_nowait(event)

    def end(self) -> None:
        self.ended = True
        self._events.put_nowait(None)

    async def next(self, patience: float) -> Event | None:
        """Return the next event; None after so many seconds without one, or once the stream has `ended`."""
        try:
            return None if self.ended else await asyncio.wait_for(self._events.get(), patience)
        except TimeoutError:
            return None


class Presence:
    """The open streams of all users, in memory: who was online before a restart opens his anew."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._streams: dict[int, set[Stream]] = defaultdict(set)
        self._closed = False

    def check(self, user_id: int) -> None:
        """Raise TOO_MANY where a user holds as many streams as he may, UNAVAILABLE at the end of the day."""
        if self._closed:
            raise Problem(Kind.UNAVAILABLE, "The server is going down.")
        if len(self._streams.get(user_id, ())) >= self._most:
            raise Problem(Kind.TOO_MANY, f"A user may hold {self._most} event streams open.")

    @contextmanager
    def stream(self, user_id: int) -> Iterator[Stream]:
        """Hold a stream open; raise as `check`."""
        self.check(user_id)
        stream = Stream()
        self._streams[user_id].add(stream)
        try:
            yield stream
        finally:
            self._streams[user_id].discard(stream)
            if not self._streams[user_id]:
                del self._streams[user_id]

    def online(self, user_id: int) -> bool:
        """Tell whether a user holds a stream open."""
        return user_id in self._streams

    def tell(self, user_id: int, event: Event) -> None:
        """Send an event along every stream of a user."""
        for stream in list(self._streams.get(user_id, ())):
            stream.put(event)

    async def close(self) -> None:
        """End every stream, and open no more."""
        self._closed = True
        for stream in [each for streams in self._streams.values() for each in streams]:
            stream.end()
