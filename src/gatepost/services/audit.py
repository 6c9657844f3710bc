"""The audit: what was changed through the API and the control socket, as far as it lies in the caller's scope."""

from functools import partial

import msgspec

from gatepost.model.access import Caller
from gatepost.model.audit import Audit
from gatepost.model.query import Any, Condition, Page, Query, every
from gatepost.model.tenant import Broker, Customer
from gatepost.services.access import visible
from gatepost.services.records import behind
from gatepost.store.store import Reader, Store


class Audits:
    """Shows what the store wrote down; nothing can be added or taken away here."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, caller: Caller, query: Query, *, after: int | None = None) -> Page[Audit]:
        """Return a page of the entries that the caller may see; `after` goes on behind an id in the order asked for.

        The total counts all matches, whatever `after` is.
        """
        where = every(_seen(caller), query.where)
        return await self._store.read(partial(_page, msgspec.structs.replace(query, where=where), after))


def _seen(caller: Caller) -> Condition:
    """What befell the nodes on which the caller may read it, and all below them."""
    return Any(
        (
            visible(caller, "AUDIT_READ"),
            visible(caller, "AUDIT_READ", "customer_id", of=Customer),
            visible(caller, "AUDIT_READ", "broker_id", of=Broker),
        )
    )


def _page(query: Query, after: int | None, reader: Reader) -> Page[Audit]:
    rest = msgspec.structs.replace(query, where=every(query.where, behind(query, after, "/after")), total=False)
    return Page(reader.find(Audit, rest).items, reader.count(Audit, query.where))
