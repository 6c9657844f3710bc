"""Who may read the content of mail that applications handed in; to others it is neither shown nor searched."""

import uuid
from contextlib import suppress

import msgspec

from gatepost.model.access import Caller
from gatepost.model.audit import ACTOR
from gatepost.model.email import Email, EmailAttachment
from gatepost.model.problem import Problem
from gatepost.model.query import All, Condition, Not, Query, Where, eq, every
from gatepost.model.query import Any as AnyOf
from gatepost.model.tenant import Domain
from gatepost.services.access import may, visible
from gatepost.store.store import Reader

CONTENT = "body"  # the one field of it that can be searched


class EmailReader:
    """A caller who lists. Content is for who handed the mail in and for the account that it was sent on.

    Others get it with MAIL_CONTENT and a stated reason (X-Access-Reason), as everywhere.
    """

    def __init__(self, caller: Caller, own_id: uuid.UUID) -> None:
        actor = ACTOR.get()
        self._caller = caller
        self._own_id = str(own_id)
        self._stated = actor is not None and actor.reason is not None

    def guarded(self, query: Query) -> Query:
        """Return a query in which nothing is told of content that the caller may not read."""
        where = self._guard(query.where)
        if any(key.field == CONTENT for key in query.keys):
            where = every(where, self._readable())
        return msgspec.structs.replace(query, where=where)

    def owns(self, row: Email) -> bool:
        """Tell whether the mail is the caller's own; who acts for somebody else owns nothing (rules 13)."""
        caller = self._caller
        mine = row.created_by_id == self._own_id or (caller.user_id is not None and row.user_id == caller.user_id)
        return mine and caller.maker is None

    def reads(self, reader: Reader, row: Email) -> bool:
        """Tell whether the content is for the caller."""
        if self.owns(row):
            return True
        domain = reader.get(Domain, row.domain_id) if self._stated else None
        return domain is not None and may(self._caller, "MAIL_CONTENT", domain)

    def _guard(self, condition: Condition) -> Condition:
        match condition:
            case All(of=parts):
                return All(tuple(self._guard(part) for part in parts))
            case AnyOf(of=parts):
                return AnyOf(tuple(self._guard(part) for part in parts))
            case Not(of=part):
                guarded = self._guard(part)
                assert not isinstance(guarded, Not)
                return Not(guarded)
            case Where(field=field):
                return every(condition, self._readable()) if field == CONTENT else condition

    def _readable(self) -> Condition:
        found: list[Condition] = []
        if self._caller.maker is None:
            found.append(eq("created_by_id", self._own_id))
            found += [eq("user_id", self._caller.user_id)] if self._caller.user_id is not None else []
        if self._stated:
            with suppress(Problem):  # he may nowhere
                found.append(visible(self._caller, "MAIL_CONTENT", "domain_id", own="user_id"))
        return AnyOf(tuple(found))


def closed(row: Email) -> Email:
    """Return a record without its content."""
    parts = msgspec.json.decode(row.attachments, type=list[EmailAttachment])
    empty = [msgspec.structs.replace(part, data="") for part in parts]
    return msgspec.structs.replace(row, body="", attachments=msgspec.json.encode(empty).decode())
