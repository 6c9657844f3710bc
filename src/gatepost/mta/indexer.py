"""Fills the body search behind the commits, never in the way of mail, and asks it for who may read bodies."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from gatepost.events import Metrics, keep, log
from gatepost.message.reading import SKIMMED, skim
from gatepost.message.words import words
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Condition, Op, Query, Where, eq, every
from gatepost.model.stored import Copy
from gatepost.settings import Limits
from gatepost.store.health import is_broken
from gatepost.store.search import Entry, SearchIndex
from gatepost.store.store import Pace, Store

TEXT_BYTES = 65_536
"""Octets of a mail's text that can be searched (rules 22)."""

PERIOD = 5.0  # seconds between two looks for new mail
SLICE = 50  # copies taken in with one commit
REST = 4  # times as long as a slice took nothing is done, so that mail has the machine
BEHIND = 2_000  # mails of one mailbox that a search has taken in before it is answered


class Indexer:
    """Keeps the index true to the folders: copies go in by their ids, and out when their mailbox has none left."""

    def __init__(self, store: Store, index: SearchIndex, limits: Limits, metrics: Metrics) -> None:
        self._store = store
        self._index = index
        self._limits = limits
        self._behind = metrics.search_behind
        self._turn = asyncio.Lock()
        self._last: tuple[str, Sequence[str]] = ("", ())
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = keep(self._forever, "search")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def matching(self, mailbox: str, text: str) -> list[str]:
        """Return the ids of a mailbox's mails whose text holds these words one after the other.

        All that is committed by now is looked through. A star at the end makes the last word the beginning of one.
        Raises UNAVAILABLE while the index can't be used, or has too many of the mailbox's mails to take in first.
        """
        wanted = words(text)
        if not wanted:
            return []
        async with self._turn:
            await self._catch_up(mailbox)
            return await self._index.find(mailbox, wanted, begun=text.rstrip().endswith("*"))

    async def run(self) -> None:
        """Take in and let go all that is due now."""
        while await self._step():
            pass

    # What is due.

    async def _forever(self) -> None:
        while True:
            began = time.monotonic()
            try:
                more = await self._step()
            except Problem as problem:
                log.debug("the body search waits", why=problem.detail)
                more = False
            await asyncio.sleep((time.monotonic() - began) * REST if more else PERIOD)

    async def _step(self) -> bool:
        """Do one slice of each sort; tell whether there is more."""
        async with self._turn:
            return await self._let_go() | await self._take_in()

    async def _take_in(self) -> bool:
        newest = await self._store.read(lambda reader: reader.newest_copy())
        if not newest:  # nothing was ever kept here: no index need be opened, or made, for that
            return False
        reached = await self._index.reached(newest)
        self._behind.set(newest - reached)
        if reached >= newest or not self._store.fresh_space():
            return False
        copies = await self._copies(Where("id", Op.GT, reached), SLICE)
        more = len(copies) == SLICE
        reached = copies[-1].id if more else newest
        await self._index.add(await self._read(copies), reached)
        self._behind.set(newest - reached)
        return more

    async def _let_go(self) -> bool:
        gone = await self._store.read(lambda reader: reader.uncopied(SLICE))
        if not gone:
            return False
        await self._index.forget([Entry(each.mail_id, each.mailbox) for each in gone if not each.back])
        await self._store.write(lambda writer: writer.forget_uncopied(gone[-1].id), pace=Pace.SLOW)
        return len(gone) == SLICE

    async def _catch_up(self, mailbox: str) -> None:
        """Take in what a mailbox has behind the others' turn."""
        newest = await self._store.read(lambda reader: reader.newest_copy())
        reached = await self._index.reached(newest)
        copies = await self._copies(every(eq("mailbox", mailbox), Where("id", Op.GT, reached)), BEHIND + 1)
        if len(copies) > BEHIND:
            raise Problem(Kind.UNAVAILABLE, "The mails are still being made searchable; try later.")
        for at in range(0, len(copies), SLICE):
            await self._index.add(await self._read(copies[at : at + SLICE]))

    async def _copies(self, where: Condition, limit: int) -> list[Copy]:
        return (await self._store.read(lambda reader: reader.find(Copy, Query(where=where, limit=limit)))).items

    # What a mail says.

    async def _read(self, copies: Sequence[Copy]) -> list[Entry]:
        lacking = await self._index.lacking([Entry(copy.mail_id, copy.mailbox) for copy in copies])
        return [Entry(each.mail_id, each.mailbox, await self._words(each.mail_id)) for each in lacking]

    async def _words(self, mail_id: str) -> Sequence[str]:
        """The words of a mail's text; many mailboxes may have copies of one mail, one after the other."""
        if self._last[0] != mail_id:
            body = await self._store.read(lambda reader: reader.body(mail_id))
            found = [] if body is None else await asyncio.to_thread(_words, body, self._limits)
            self._last = (mail_id, found)
        return self._last[1]


def _words(body: Body, limits: Limits) -> list[str]:
    try:
        raw = body.data if body.data is not None else _head(Path(body.path or ""))
    except FileNotFoundError:  # purged meanwhile
        return []
    except OSError as error:
        if not is_broken(error):
            raise
        log.error("a mail's text can't be read, nor be found by its words", file=body.path, why=str(error))
        return []
    return words(skim(raw, limits).encode("utf-8", "replace")[:TEXT_BYTES].decode("utf-8", "ignore"))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SKIMMED)
