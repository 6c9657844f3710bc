"""The queue as administrators see it: what is on its way, and the verbs that move it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec

from gatepost.model.access import Caller
from gatepost.model.address import BadAddress, parse_address
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Condition, Op, Page, Query, Where, eq, every
from gatepost.model.route import Hop, Transport
from gatepost.model.stored import Delivery, State
from gatepost.model.tenant import Domain
from gatepost.mta.line import NOWHERE, Destination
from gatepost.mta.moves import Moves
from gatepost.services.access import PLATFORM, Scope, found, require, visible
from gatepost.services.records import behind
from gatepost.services.targets import Targets
from gatepost.store.store import Reader, Store
from gatepost.turns import in_turns

LIVE = Where("state", Op.IN, (State.QUEUED, State.HELD))
CHUNK = 500  # deliveries that are moved at once
TOLD = 1000  # mails that the audit names of those that were moved at once
GIVEN_UP = "given up by an administrator"
_SERVERS = re.compile(rf".+:\d{{1,5}}/(?:{'|'.join(Transport)})(?:,|\Z)|{NOWHERE}\Z")


class Verb(StrEnum):
    """What can be done to deliveries."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    DELETE = "delete"
    BOUNCE = "bounce"
    REROUTE = "reroute"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A verb with what it needs: BOUNCE the words for the sender, REROUTE a server (None: the mail's own way)."""

    verb: Verb
    reason: str = GIVEN_UP
    hop: Hop | None = None

    @property
    def told(self) -> dict[str, str] | None:
        """What the audit says of it beside the verb."""
        match self.verb:
            case Verb.BOUNCE:
                return {"reason": self.reason}
            case Verb.REROUTE:
                return {"via": self.hop.text if self.hop else ""}
            case _:
                return None


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries were moved, and how many were being tried just then and left alone."""

    done: int = 0
    busy: int = 0

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(done=self.done + other.done, busy=self.busy + other.busy)


class Deliveries:
    """The counter for deliveries: each belongs to a domain, or to the platform where no domain is concerned."""

    def __init__(self, store: Store, queue: Moves, targets: Targets) -> None:
        self._store = store
        self._queue = queue
        self._targets = targets

    async def find(
        self,
        caller: Caller,
        query: Query,
        *,
        destination: str = "",
        domain_id: int | None = None,
        after: int | None = None,
    ) -> Page[Delivery]:
        """Return a page of what is queued or held: of one domain, or of all in scope; `after` goes on behind an id.

        The total counts all matches, whatever `after` is. Of one `destination` the list goes by id alone, and behind an
        id without a total: what was looked through for a page is not looked through again for the next.
        """
        where = every(self._scoped(caller, "QUEUE_READ", domain_id), query.where)
        rest = every(where, behind(query, after, "/after"))
        if destination:
            return await self._waiting_for(destination, where, query, max(after or 0, 0))
        total = await self._store.read(lambda reader: reader.count(Delivery, where))
        asked = msgspec.structs.replace(query, where=rest, total=False)
        page = await self._store.read(lambda reader: reader.find(Delivery, asked))
        return Page(page.items, total)

    async def _waiting_for(self, destination: str, where: Condition, query: Query, after: int) -> Page[Delivery]:
        if query.sort != "id":
            raise Problem(Kind.MALFORMED, "Deliveries to one destination are listed by id.", pointer="/sort")
        items: list[Delivery] = []
        total = 0
        most = query.offset + (query.limit or CHUNK)
        async for chunk in self._chunks(where, destination, after):
            total += len(chunk)
            items += chunk[: most - len(items)]
            if after and len(items) == most:
                break
        return Page(items[query.offset :], None if after else total)

    async def get(self, caller: Caller, delivery_id: int) -> tuple[Delivery, str]:
        """Return one delivery that is queued or held, and the name of its destination."""
        delivery = self._live(caller, "QUEUE_READ", delivery_id)
        return delivery, self._queue.destination(delivery)

    async def move(self, caller: Caller, delivery_id: int, move: Move) -> None:
        """Do one thing to one delivery; CONFLICT while it is under way."""
        delivery = self._live(caller, "QUEUE_WRITE", delivery_id)
        await self._verb(caller, move)([delivery_id])
        await self._store.record(move.verb.value, delivery, after=move.told)

    async def move_all(
        self, caller: Caller, move: Move, where: Condition, *, destination: str = "", domain_id: int | None = None
    ) -> Moved:
        """Do one thing to all that match, of one domain or of all in scope; what is under way is left alone."""
        scoped = every(self._scoped(caller, "QUEUE_WRITE", domain_id), where)
        verb = self._verb(caller, move)
        moved = Moved()
        mails: list[str] = []
        async for meant in self._chunks(scoped, destination):
            free = [each for each in meant if not self._queue.is_under_way(each.id)]
            moved += Moved(busy=len(meant) - len(free)) + await self._at_once_or_singly(
                verb, [each.id for each in free]
            )
            mails += [each.mail_id for each in free[: TOLD - len(mails)]]
            await asyncio.sleep(0)
        after = {**(move.told or {}), "done": moved.done, "mails": mails}
        await self._store.record(move.verb.value, "queue", after=after)
        return moved

    async def flush(self, caller: Caller) -> Moved:
        """Try everything that waits now; what is held, or under way, stays as it is."""
        require(caller, "QUEUE_WRITE")
        done, busy = await self._queue.flush()
        await self._store.record("flush", "queue")
        return Moved(done=done, busy=busy)

    async def destinations(self, caller: Caller) -> Sequence[Destination]:
        """Tell what waits for each destination, the fullest first."""
        require(caller, "QUEUE_READ")
        return self._queue.destinations()

    async def pause(self, caller: Caller, destination: str) -> None:
        """Let nothing go to a destination until it is resumed; raise MALFORMED for what names none."""
        require(caller, "QUEUE_WRITE")
        place = _place(destination)
        if place is None:
            words = "This is no destination, such as @mail.example or mail.example:25/SMTPS_MAY."
            raise Problem(Kind.MALFORMED, words, pointer="/destination")
        await self._queue.pause(place)
        await self._store.record("pause", "queue", after={"destination": place})

    async def resume(self, caller: Caller, destination: str) -> None:
        """Let mail go to a destination again."""
        require(caller, "QUEUE_WRITE")
        place = _place(destination) or destination
        await self._queue.resume(place)
        await self._store.record("resume", "queue", after={"destination": place})

    def _verb(self, caller: Caller, move: Move) -> Callable[[Sequence[int]], Any]:
        match move.verb:
            case Verb.BOUNCE:
                return lambda ids: self._queue.bounce(ids, move.reason)
            case Verb.REROUTE:
                require(caller, "QUEUE_WRITE")  # of the platform: it is its address that the other server sees
                hop = move.hop and self._allowed(caller, move.hop)
                return lambda ids: self._queue.reroute(ids, hop)
            case Verb.HOLD:
                return self._queue.hold
            case Verb.RELEASE:
                return self._queue.release
            case Verb.RETRY:
                return self._queue.retry
            case Verb.DELETE:
                return self._queue.delete

    def _allowed(self, caller: Caller, hop: Hop) -> Hop:
        """Return a server as the caller may name it: whatever its name leads to by then (threat 122)."""
        host = self._targets.host(caller, hop.host, "/hop/host")
        return msgspec.structs.replace(hop, host=host, private=self._targets.private(caller))

    async def _at_once_or_singly(self, verb: Callable[[Sequence[int]], Any], ids: Sequence[int]) -> Moved:
        """Move all; one by one where some came under way meanwhile."""
        try:
            return Moved(done=int(await verb(ids)) if ids else 0)
        except Problem as problem:
            if problem.kind is not Kind.CONFLICT:
                raise
        if len(ids) == 1:
            return Moved(busy=1)
        return sum([await self._at_once_or_singly(verb, [each]) for each in ids], Moved())

    async def _chunks(self, where: Condition, destination: str, last: int = 0) -> AsyncIterator[list[Delivery]]:
        """Yield what matches behind the id `last`, piece by piece; of one destination, where one is named.

        A destination is no column: it is as the ways are now.
        """
        name = _place(destination) or destination
        while rows := await self._store.read(partial(_chunk, where, last)):
            last = rows[-1].id
            yield [row async for row in in_turns(rows) if not name or self._queue.destination(row) == name]

    def _scoped(self, caller: Caller, permission: str, domain_id: int | None) -> Condition:
        if domain_id is None:
            return every(visible(caller, permission), LIVE)
        found(caller, permission, self._store.reader.get(Domain, domain_id), "domain")
        return every(LIVE, eq("domain_id", domain_id))

    def _live(self, caller: Caller, permission: str, delivery_id: int) -> Delivery:
        delivery = self._store.reader.get(Delivery, delivery_id)
        require(caller, permission, self._scope(delivery))
        if delivery is None or delivery.state not in (State.QUEUED, State.HELD):
            raise Problem(Kind.NOT_FOUND, "There is no such delivery in the queue.")
        return delivery

    def _scope(self, delivery: Delivery | None) -> Scope | None:
        if delivery is None:
            return None
        domain = self._store.reader.get(Domain, delivery.domain_id) if delivery.domain_id else None
        return domain or PLATFORM


def _chunk(where: Condition, last: int, reader: Reader) -> list[Delivery]:
    return reader.find(Delivery, Query(where=every(where, Where("id", Op.GT, last)), limit=CHUNK)).items


def _place(destination: str) -> str | None:
    """Return a destination as the queue names it: servers, or @ and a domain in its one form; None for what is none."""
    if not destination.startswith("@"):
        return destination if _SERVERS.match(destination) else None
    try:
        return f"@{parse_address(f'any{destination}').domain.lower()}"
    except BadAddress:
        return None
