"""The quarantine as administrators look after it: what is held for whom, over all mailboxes; released and deleted."""

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Not, Op, Page, Query, Where, eq, every
from gatepost.model.stored import Copy, Letter, TraceEvent
from gatepost.model.tenant import Domain, User
from gatepost.model.verdict import HOLDS, Folder
from gatepost.services.access import found, require, visible
from gatepost.services.mailbox import Mailboxes
from gatepost.services.records import behind
from gatepost.services.release import with_releases
from gatepost.store.store import Reader, Store, Writer

HELD = Where("folder", Op.IN, HOLDS)
DAY = 86_400_000


class Quarantine:
    """The counter for held mail: all that is in scope, whichever mailbox it is kept for. Its id is the copy's."""

    def __init__(self, store: Store, mailboxes: Mailboxes, trace_days: int, clock: Clock) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._term = trace_days * DAY
        self._clock = clock

    async def find(
        self, caller: Caller, query: Query, *, domain_id: int | None = None, before: int | None = None
    ) -> Page[Letter]:
        """Return a page of what is held: for one domain, or all in scope; `before` goes on behind an id.

        The total counts all matches, whatever `before` is.
        """
        where = every(self._scoped(caller, domain_id), query.where)
        return await self._store.read(lambda reader: _page(reader, msgspec.structs.replace(query, where=where), before))

    async def get(self, caller: Caller, copy_id: int) -> Letter:
        """Return one held mail; raise NOT_FOUND."""
        return (await self._pick(caller, "MAILS_READ", copy_id))[0]

    async def release(self, caller: Caller, copy_id: int, *, virus_lover: bool) -> None:
        """Send a held mail on as `Mailboxes.release` does."""
        letter, scope = await self._pick(caller, "QUARANTINE_RELEASE", copy_id)
        await self._mailboxes.send_on(caller, letter, scope, virus_lover=virus_lover)

    async def delete(self, caller: Caller, copy_id: int) -> None:
        """Delete a held mail before its term; its trace stays, and a release that is on its way goes on."""
        letter, _ = await self._pick(caller, "MAILS_WRITE", copy_id)
        copy, now = letter.copy, self._clock()
        event = TraceEvent(at=now, event="deleted", mailbox=copy.mailbox, text=f"out of {copy.folder}")

        def change(writer: Writer) -> None:
            if writer.remove(Copy, every(eq("id", copy.id), HELD)):
                writer.note(copy.mail_id, [event], now + self._term)
                writer.record("delete", copy)

        await self._store.write(change)

    def _scoped(self, caller: Caller, domain_id: int | None) -> Condition:
        """What of the held mail a caller sees."""
        mine: Condition = All(()) if caller.user_id is None else self._own(caller.user_id)
        if domain_id is None:
            return every(HELD, mine, visible(caller, "MAILS_READ", own="user_id"))
        found(caller, "MAILS_READ", self._store.reader.get(Domain, domain_id), "domain")
        return every(HELD, mine, eq("domain_id", domain_id))

    def _own(self, user_id: int) -> Condition:
        """What of it is a mailbox user's to see; what no store flag asked for is not (rules 3).

        His address is said for the index, without which all that is held would be looked through.
        """
        user = self._store.reader.get(User, user_id)
        return every(Not(eq("folder", Folder.SYSTEM)), eq("mailbox", user.email if user else ""))

    async def _pick(self, caller: Caller, permission: str, copy_id: int) -> tuple[Letter, Domain | User]:
        """Return a held mail, and whose it is; permission comes first."""
        letter = await self._store.read(lambda reader: _held(reader, copy_id))
        scope: Domain | User | None = None
        if letter is not None:
            reader, copy = self._store.reader, letter.copy
            scope = (reader.get(User, copy.user_id) if copy.user_id else None) or reader.get(Domain, copy.domain_id)
        require(caller, permission, scope)
        system = letter is not None and letter.copy.folder == Folder.SYSTEM
        if letter is None or scope is None or (system and caller.user_id is not None):
            raise Problem(Kind.NOT_FOUND, "There is no such held mail.")
        return letter, scope


def _page(reader: Reader, query: Query, before: int | None) -> Page[Letter]:
    total = reader.letters(msgspec.structs.replace(query, limit=0)).total
    where = every(query.where, behind(query, before, "/before"))
    page = reader.letters(msgspec.structs.replace(query, where=where, total=False))
    return Page(with_releases(reader, page.items), total)


def _held(reader: Reader, copy_id: int) -> Letter | None:
    page = reader.letters(Query(where=every(eq("id", copy_id), HELD)))
    return next(iter(with_releases(reader, page.items)), None)
