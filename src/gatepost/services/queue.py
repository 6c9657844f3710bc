"""The queue as administrators see it: what is on its way, and the verbs that move it."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Page, Query, Where, eq, every
from gatepost.model.stored import Delivery, State
from gatepost.model.tenant import Domain
from gatepost.services.access import PLATFORM, Scope, found, require, visible
from gatepost.store.store import Store

LIVE = Where("state", Op.IN, (State.QUEUED, State.HELD))


class Movable(Protocol):
    """What the mail road's queue offers; a delivery in flight is a CONFLICT there (rules 18)."""

    async def hold(self, ids: Sequence[int]) -> Any: ...
    async def release(self, ids: Sequence[int]) -> Any: ...
    async def retry(self, ids: Sequence[int]) -> Any: ...
    async def delete(self, ids: Sequence[int]) -> Any: ...
    async def flush(self) -> Any: ...


class Deliveries:
    """The counter for deliveries: each belongs to a domain, or to the platform where no domain is concerned."""

    def __init__(self, store: Store, queue: Movable) -> None:
        self._store = store
        self._queue = queue

    async def find(
        self, caller: Caller, query: Query, *, domain_id: int | None = None, after: int = 0
    ) -> Page[Delivery]:
        """Return a page of what is queued or held: of one domain, or of all in scope; `after` goes on behind an id.

        The total counts all matches, whatever `after` is.
        """
        where = every(LIVE, query.where)
        if domain_id is None:
            where = every(visible(caller, "QUEUE_READ"), where)
        else:
            found(caller, "QUEUE_READ", self._store.reader.get(Domain, domain_id), "domain")
            where = every(where, eq("domain_id", domain_id))
        total = await self._store.read(lambda reader: reader.count(Delivery, where))
        asked = msgspec.structs.replace(query, where=every(where, Where("id", Op.GT, after)), total=False)
        page = await self._store.read(lambda reader: reader.find(Delivery, asked))
        return Page(page.items, total)

    async def hold(self, caller: Caller, delivery_id: int) -> None:
        """Keep a delivery from being tried until it is released."""
        await self._move(caller, delivery_id, "hold", self._queue.hold)

    async def release(self, caller: Caller, delivery_id: int) -> None:
        """Let a held delivery go."""
        await self._move(caller, delivery_id, "release", self._queue.release)

    async def retry(self, caller: Caller, delivery_id: int) -> None:
        """Try a delivery now."""
        await self._move(caller, delivery_id, "retry", self._queue.retry)

    async def delete(self, caller: Caller, delivery_id: int) -> None:
        """Give a delivery up, without a word to its sender."""
        await self._move(caller, delivery_id, "delete", self._queue.delete)

    async def flush(self, caller: Caller) -> None:
        """Try everything that waits now; what is held stays held."""
        require(caller, "QUEUE_WRITE")
        await self._queue.flush()
        await self._store.record("flush", "queue")

    async def _move(
        self, caller: Caller, delivery_id: int, act: str, verb: Callable[[Sequence[int]], Coroutine[Any, Any, Any]]
    ) -> None:
        delivery = self._store.reader.get(Delivery, delivery_id)
        require(caller, "QUEUE_WRITE", self._scope(delivery))
        if delivery is None or delivery.state not in (State.QUEUED, State.HELD):
            raise Problem(Kind.NOT_FOUND, "There is no such delivery in the queue.")
        await verb([delivery_id])
        await self._store.record(act, delivery)

    def _scope(self, delivery: Delivery | None) -> Scope | None:
        if delivery is None:
            return None
        domain = self._store.reader.get(Domain, delivery.domain_id) if delivery.domain_id else None
        return domain or PLATFORM
