"""Tickets: temporary tokens for one purpose, some of them used up by the first use; kept as a hash."""

import secrets
from typing import Any

from gatepost.events import Clock
from gatepost.model.access import Caller, Purpose, Ticket
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq
from gatepost.services.access import Access, digest
from gatepost.services.accounts import Account, mark, owned, owner
from gatepost.store.store import Store, Writer

HOUR = 3_600_000  # milliseconds
LONGEST = 168  # hours
_SLICE = 200  # lapsed ones that go when one is made


class Tickets:
    """Makes and takes the tickets of all accounts."""

    def __init__(self, store: Store, access: Access, clock: Clock) -> None:
        self._store = store
        self._access = access
        self._clock = clock

    async def make(
        self, account: Account, purpose: Purpose, life: int, *, maker_id: int | None = None
    ) -> tuple[str, int]:
        """Return a new ticket's value and when it lapses; `life` in milliseconds."""
        value, now = secrets.token_urlsafe(32), self._clock()
        row = Ticket(
            purpose=purpose,
            digest=digest(value),
            mark=mark(account),
            maker_id=maker_id,
            created_at=now,
            expires_at=now + life,
            **owned(account),
        )
        await self._store.write(lambda writer: _add(writer, row, now))
        return value, row.expires_at

    def look(self, value: str, purpose: Purpose) -> tuple[Ticket, Account] | None:
        """Return a ticket that holds, with its account, and leave it as it is."""
        return self._access.ticket(value, purpose)

    def find(self, value: str, purpose: Purpose, ip: str) -> tuple[Ticket, Account]:
        """Return what `look` does; raise NOT_FOUND for any other value, TOO_MANY to an address that tries many."""
        found = self._access.ticket(value, purpose)
        if found is None:
            self._access.guesses.check(ip)
            self._access.guesses.refuse(ip)
            raise gone()
        return found

    async def use(self, ticket: Ticket, **change: Any) -> None:
        """Use a ticket up, and change members of its account in the same moment; raise NOT_FOUND where it was used."""
        await self._store.write(lambda writer: _use(writer, ticket, change))

    def caller(self, value: str, purpose: Purpose) -> Caller | None:
        """Return who acts by a ticket; None unless it holds."""
        found = self._access.ticket(value, purpose)
        return self._access.acting(*found) if found else None

    async def drop(self, value: str) -> None:
        """Let a ticket hold no longer."""
        await self._store.write(lambda writer: writer.remove(Ticket, eq("digest", digest(value))))


def gone() -> Problem:
    return Problem(Kind.NOT_FOUND, "The link was used, or holds no longer.")


def _add(writer: Writer, row: Ticket, now: int) -> None:
    lapsed = writer.find(Ticket, Query(where=Where("expires_at", Op.LE, now), limit=_SLICE)).items
    if lapsed:
        writer.remove(Ticket, Where("id", Op.IN, [ticket.id for ticket in lapsed]))
    writer.add(row)


def _use(writer: Writer, ticket: Ticket, change: dict[str, Any]) -> None:
    account = owner(writer, ticket.admin_id, ticket.user_id)
    if account is None or mark(account) != ticket.mark or not writer.remove(Ticket, eq("id", ticket.id)):
        raise gone()
    writer.change(type(account), account.id, **change)
