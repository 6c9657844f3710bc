"""What became of the mails that a user sent: how they stand with each recipient, and which may still be recalled."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import msgspec

from gatepost.model.access import Caller
from gatepost.model.outgoing import Scheduled
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq, every
from gatepost.model.stored import Copy, Delivery, Message, State
from gatepost.model.tenant import User
from gatepost.model.verdict import Folder
from gatepost.services.author import Authors
from gatepost.services.outbox import Outbox
from gatepost.store.store import Reader, Store

_WAITING = (State.HELD, State.QUEUED)
_ORDER = (State.BOUNCED, State.EXPIRED, State.HELD, State.QUEUED, State.DELETED, State.DELIVERED)
"""Which state tells how a mail stands with the several members of a group: the first of these."""


class Movable(Protocol):
    """What of the queue's verbs is needed."""

    async def delete(self, ids: Sequence[int]) -> int: ...

    def is_under_way(self, delivery_id: int) -> bool: ...


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How a mail stands with one recipient. `at` is when it was last tried or settled, `reply` what was said then."""

    address: str
    state: State
    attempts: int
    at: int
    reply: str | None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A mail that was sent; one that waits for its hour has `send_at` and no recipients yet."""

    id: str
    subject: str
    sent_at: int | None
    send_at: int | None = None
    recipients: tuple[Reached, ...] = ()


class SentMails:
    """For the author alone. A group counts as one recipient: its members are not told (rules 9)."""

    def __init__(self, store: Store, authors: Authors, outbox: Outbox, moves: Movable) -> None:
        self._store = store
        self._authors = authors
        self._outbox = outbox
        self._moves = moves

    async def scheduled(self, caller: Caller, who: int | str) -> list[Sent]:
        """Return what waits for its hour, the next first; raise FORBIDDEN for anybody but the user himself."""
        return [_waiting(row) for row in await self._outbox.list(self._authors.own(caller, who))]

    async def find(self, caller: Caller, who: int | str, mail_id: str) -> Sent:
        """Return how a mail stands; raise NOT_FOUND for one that is not the user's."""
        user = self._authors.own(caller, who)
        if waiting := self._outbox.find(user, mail_id):
            return _waiting(waiting)
        message, ways = await self._store.read(lambda reader: _ways(reader, user, mail_id))
        reached: dict[str, list[Delivery]] = defaultdict(list)
        for way in ways:
            reached[way.group or way.recipient].append(way)
        recipients = tuple(_reached(address, found) for address, found in sorted(reached.items()))
        return Sent(id=message.id, subject=message.subject, sent_at=message.received, recipients=recipients)

    async def recall(self, caller: Caller, who: int | str, mail_id: str) -> None:
        """Keep a mail from those whom it has not reached yet; to whom it is handed over just now it goes.

        Raises Problem: NOT_FOUND, CONFLICT where it waits for nobody else any more.
        """
        user = self._authors.own(caller, who)
        waiting = self._outbox.find(user, mail_id)
        if waiting and await self._outbox.recall(waiting):
            return
        _, ways = await self._store.read(lambda reader: _ways(reader, user, mail_id))
        ids = [way.id for way in ways if way.state in _WAITING and not self._moves.is_under_way(way.id)]
        if not ids or not await self._moves.delete(ids):
            raise Problem(Kind.CONFLICT, "The mail is with its recipients already.")
        await self._store.record("recall", ways[0])


def _ways(reader: Reader, user: User, mail_id: str) -> tuple[Message, list[Delivery]]:
    message = reader.get(Message, mail_id)
    if message is None or not _wrote(reader, user, message):
        raise Problem(Kind.NOT_FOUND, "There is no such mail.")
    own = every(eq("mail_id", mail_id), eq("release", False))  # a release is the recipient's matter
    return message, reader.find(Delivery, Query(where=own)).items


def _wrote(reader: Reader, user: User, message: Message) -> bool:
    """Tell whether a mail is a user's: his folder Sent tells it under whatever address he has had, else the address
    that signed in, which may have been another's before he had it.
    """
    if message.login is None:
        return False
    kept = reader.first(Copy, every(eq("mail_id", message.id), eq("folder", Folder.SENT.value)))
    if kept is not None:
        return kept.user_id == user.id
    return message.login == user.email and message.received >= user.creation_date


def _reached(address: str, ways: list[Delivery]) -> Reached:
    way = min(ways, key=lambda each: _ORDER.index(each.state))
    at = way.done_at or (way.log[-1].at if way.log else way.created)
    reply = None if way.group else way.last_reply
    return Reached(address=address, state=way.state, attempts=way.attempts, at=at, reply=reply)


def _waiting(row: Scheduled) -> Sent:
    return Sent(id=row.id, subject=row.subject, sent_at=None, send_at=row.asked)
