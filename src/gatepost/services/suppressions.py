"""Suppressions: the addresses that a domain's mail goes to no more; shown, added and removed by its administrators."""

from functools import partial

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.audit import ADD, REMOVE
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query, eq, every
from gatepost.model.suppression import Cause, Suppression
from gatepost.model.tenant import Domain
from gatepost.model.values import Id, Millis
from gatepost.services.access import found
from gatepost.services.records import Line, read_address, show
from gatepost.store.store import Store, Writer
from gatepost.turns import shown


class SuppressionView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An address that mail of the domain does not go to. Without `expiresAt` it stays until it is removed."""

    id: Id
    address: str
    cause: Cause
    reason: str
    mail_id: str
    created_at: Millis
    expires_at: Millis | None


class SuppressionAdd(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An address to leave out; without `expiresAt` for good."""

    address: str
    reason: Line = ""
    expires_at: Millis | None = None


class Suppressions:
    """One list for each domain."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, caller: Caller, domain_id: int, query: Query) -> Page[SuppressionView]:
        """Return a page of a domain's suppressions."""
        self._require(caller, "QUEUE_READ", domain_id)
        asked = msgspec.structs.replace(query, where=every(eq("domain_id", domain_id), query.where))
        page = await self._store.read(lambda reader: reader.find(Suppression, asked))
        return await shown(page, partial(show, SuppressionView))

    async def create(self, caller: Caller, domain_id: int, draft: SuppressionAdd) -> SuppressionView:
        """Leave an address out; raise MALFORMED for what is none, CONFLICT for one that is listed."""
        self._require(caller, "QUEUE_WRITE", domain_id)
        address = read_address(draft.address, "/address").key
        if draft.expires_at is not None and draft.expires_at <= self._clock():
            raise Problem(Kind.UNPROCESSABLE, "The end lies in the past.", pointer="/expiresAt")

        def add(writer: Writer) -> Suppression:
            known = writer.first(Suppression, every(eq("domain_id", domain_id), eq("address", address)))
            if known and known.expires_at is not None and known.expires_at <= self._clock():
                writer.remove(Suppression, eq("id", known.id))
            elif known:
                raise Problem(Kind.CONFLICT, "The address is listed already.", pointer="/address")
            fresh = Suppression(
                domain_id=domain_id,
                address=address,
                cause=Cause.MANUAL,
                reason=draft.reason,
                created_at=self._clock(),
                expires_at=draft.expires_at,
            )
            row = writer.add(fresh)
            writer.record(ADD, row, after={"address": address})
            return row

        return show(SuppressionView, await self._store.write(add))

    async def delete(self, caller: Caller, domain_id: int, suppression_id: int) -> None:
        """Let mail go to an address again."""
        self._require(caller, "QUEUE_WRITE", domain_id)

        def drop(writer: Writer) -> None:
            row = writer.get(Suppression, suppression_id)
            if row is None or row.domain_id != domain_id:
                raise Problem(Kind.NOT_FOUND, "There is no such suppression.")
            writer.record(REMOVE, row, before={"address": row.address})
            writer.remove(Suppression, eq("id", row.id))

        await self._store.write(drop)

    def _require(self, caller: Caller, permission: str, domain_id: int) -> None:
        found(caller, permission, self._store.reader.get(Domain, domain_id), "domain")
