"""Lessons: mails that somebody called spam or clean, for the classifier; each counts once, and may be moved."""

import asyncio
from collections.abc import Sequence

from gatepost.events import Clock, log
from gatepost.message import tokens
from gatepost.message.mail import Opener
from gatepost.model.envelope import Body
from gatepost.model.memory import Tokens
from gatepost.model.problem import Kind, Problem
from gatepost.settings import MemorySettings
from gatepost.store.store import Pace, Store

WAITING = 1000  # lessons that may wait for their turn; more are not taken


class Lessons:
    """Teaches the classifier; a lesson is durable on return, and holds for the mails that come then."""

    def __init__(self, store: Store, opener: Opener, known: Tokens, settings: MemorySettings, *, clock: Clock) -> None:
        self._store = store
        self._opener = opener
        self._known = known
        self._share = settings.share_lessons
        self._clock = clock
        self._waiting: set[asyncio.Task[None]] = set()

    def learnt(self, scope: int) -> tuple[int, int]:
        """Return how many spam and ham mails were learnt for a domain (0: for all)."""
        return self._known.totals(scope)

    async def learn(self, body: Body, scope: int, *, spam: bool) -> bool:
        """Learn a mail for a domain (0: for all); False where it was learnt so before.

        Raises Problem: UNPROCESSABLE for a mail that can't be taken apart, UNAVAILABLE or FULL as the store.
        """
        keys = tokens.keys(tokens.gist(await self._opener.opened(body)))
        news = False
        for each in (scope, 0) if scope and self._share else (scope,):
            news |= await self._take(keys, each, spam=spam)
        return news

    async def learn_kept(self, mail_id: str, scope: int, *, spam: bool) -> bool:
        """Learn a mail that the store keeps; raise NOT_FOUND where it does so no longer."""
        body = await self._store.read(lambda reader: reader.body(mail_id))
        if body is None:
            raise Problem(Kind.NOT_FOUND, "The mail is no longer kept.")
        return await self.learn(body, scope, spam=spam)

    def learn_later(self, mail_id: str, scope: int, *, spam: bool) -> None:
        """Learn a kept mail while nobody waits; what goes wrong is told to the log."""
        if len(self._waiting) < WAITING:
            task = asyncio.create_task(self._learn_quietly(mail_id, scope, spam=spam))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def settle(self) -> None:
        """Wait for the lessons that nobody waits for."""
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def _learn_quietly(self, mail_id: str, scope: int, *, spam: bool) -> None:
        try:
            await self.learn_kept(mail_id, scope, spam=spam)
        except Problem as problem:
            log.warning("a mail was not learnt", id=mail_id, why=problem.detail)

    async def _take(self, keys: Sequence[int], scope: int, *, spam: bool) -> bool:
        """Learn for one scope, in one item of the writer: whole or not at all."""
        owned = sorted(tokens.keys_for(keys, scope))  # in the order of the table, so that it is written page by page
        lesson = tokens.identity(owned)
        more = await self._store.write(lambda writer: writer.learn(lesson, owned, scope, spam=spam), pace=Pace.SOON)
        if more != (0, 0):
            self._known.learn(scope, owned, *more, self._clock())
        return more != (0, 0)
