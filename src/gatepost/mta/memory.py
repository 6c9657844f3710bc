"""Keeps what filters learn and count: loaded at the start, written behind the mail, forgotten after its term."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from gatepost.events import Clock, keep, log
from gatepost.model.memory import DAY, Memory, Room, Row
from gatepost.model.problem import Problem
from gatepost.settings import MemorySettings
from gatepost.store.store import Pace, Reader, Store, Writer

PERIOD = 5.0  # seconds between two writings
SLICE = 200  # rows of one writing, so that no item holds the writer for long (rules 17)
CHUNK = 5_000  # rows read at once: a few milliseconds (rules 19)
AFTER_START = 600_000  # milliseconds from a start to its first purge
REST = 0.05  # seconds between two chunks of a purge


class Keeper:
    """Carries a Memory over a restart; what a crash takes of counts is the last seconds, of lessons nothing."""

    def __init__(self, store: Store, memory: Memory, settings: MemorySettings, *, clock: Clock) -> None:
        self._store = store
        self._memory = memory
        self._token_term = settings.token_days * DAY
        self._clock = clock
        self._seen = clock()
        self._purged = self._seen - DAY + AFTER_START
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is kept, then keep it true."""
        await self._load()
        if self._seen - (self._store.reader.noted("purged") or self._seen) >= DAY:
            self._purged = self._seen  # off for so long, or the clock is wrong: what is learnt can wait
        self._task = keep(self._forever, "memory")

    async def stop(self) -> None:
        """Write what is not kept yet, then end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.write()

    async def write(self) -> None:
        """Write what has changed, behind everything else; what can't be written now is written later."""
        for room, tallies in self._memory.tallies.items():
            while rows := tallies.dirty(SLICE):
                try:
                    await self._store.write(partial(_remember, room, rows), pace=Pace.SLOW)
                except Problem:
                    tallies.spoil(row.key for row in rows)
                    raise
        used = list(self._memory.tokens.dirty().items())
        for at in range(0, len(used), SLICE):
            await self._store.write(partial(_use, dict(used[at : at + SLICE])), pace=Pace.SLOW)

    async def purge(self) -> int:
        """Forget what is past its term, in slices; return how many rows went."""
        gone = 0
        for room in Room:
            if room is Room.TOTALS:
                continue
            before = self._clock() - self._term(room)
            async for rows in self._chunks(room):
                old = [row.key for row in rows if row.at < before]
                for at in range(0, len(old), SLICE):
                    change = partial(_forget, room, old[at : at + SLICE], before)
                    await self._store.write(change, pace=Pace.SLOW)
                if room is Room.TOKENS:
                    for key in old:
                        self._memory.tokens.set(key, 0, 0, before)
                gone += len(old)
                await asyncio.sleep(REST if len(rows) == CHUNK else 0)
        return gone

    async def _load(self) -> None:
        """Take in what is kept of each room: the beginnings of all at once, most of which are all there is."""
        for room, rows in await self._store.read(partial(_begin, [Room.TOTALS, Room.TOKENS, *self._memory.tallies])):
            self._take_in(room, rows)
            if len(rows) == CHUNK:
                async for more in self._chunks(room, rows[-1].key):
                    self._take_in(room, more)

    def _take_in(self, room: Room, rows: Sequence[Row]) -> None:
        tokens = self._memory.tokens
        for row in rows:
            if room is Room.TOTALS:
                tokens.set_totals(row.key, row.first, row.second)
            elif room is Room.TOKENS:
                tokens.set(row.key, row.first, row.second, row.at)
            else:
                self._memory.tallies[room].set(row)

    async def _chunks(self, room: Room, after: int = -1) -> AsyncIterator[list[Row]]:
        while rows := await self._store.read(partial(_recall, room, after)):
            yield rows
            after = rows[-1].key

    def _term(self, room: Room) -> int:
        tallies = self._memory.tallies.get(room)
        return tallies.term if tallies else self._token_term

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.write()
                if self._is_due():
                    log.info("forgotten", rows=await self.purge())
            except Problem as problem:
                log.warning("memory not kept now", why=problem.detail)

    def _is_due(self) -> bool:
        """Tell whether it is time to purge: daily; a clock that leapt ahead is not believed for a day (threat 86)."""
        now, before = self._clock(), self._seen
        self._seen = now
        if now - before >= DAY:
            log.warning("the clock leapt ahead; nothing is forgotten today")
            self._purged = now
        if 0 <= now - self._purged < DAY:
            return False
        self._purged = now
        return True


def _begin(rooms: Sequence[Room], reader: Reader) -> list[tuple[Room, list[Row]]]:
    return [(room, reader.recall(room, limit=CHUNK)) for room in rooms]


def _recall(room: Room, after: int, reader: Reader) -> list[Row]:
    return reader.recall(room, after, CHUNK)


def _remember(room: Room, rows: Sequence[Row], writer: Writer) -> None:
    writer.remember(room, rows)


def _use(used: Mapping[int, int], writer: Writer) -> None:
    writer.use(Room.TOKENS, used)


def _forget(room: Room, keys: Sequence[int], before: int, writer: Writer) -> None:
    writer.forget(room, keys, before)
