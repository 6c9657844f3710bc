"""Administrators' accounts: who they are; what they may do is services/access's matter."""

import msgspec

from gatepost.model.access import Admin, Caller
from gatepost.model.query import Any, Op, Page, Pattern, Query, Where, every
from gatepost.model.values import Id, Millis
from gatepost.services.access import require
from gatepost.services.records import show
from gatepost.store.store import Store


class AdminView(msgspec.Struct, kw_only=True, rename="camel"):
    """An administrator as callers see him."""

    id: Id
    login: str
    display_name: str | None
    email: str | None
    enabled: bool
    language: str
    totp: bool
    sys_admin: bool
    last_connection_date: Millis | None
    created_at: Millis


class Admins:
    """The administrators that a caller may give rights to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, caller: Caller, query: Query, search: str | None) -> Page[AdminView]:
        """Return a page of administrators; `search` finds a text in login, e-mail address and name."""
        require(caller, "GRANT")
        if search:
            query = msgspec.structs.replace(query, where=every(query.where, _mentions(search)))
        page = await self._store.read(lambda reader: reader.find(Admin, query))
        return Page([show(AdminView, admin) for admin in page.items], page.total)


def _mentions(text: str) -> Any:
    pattern = Pattern(text, open_start=True, open_end=True)
    return Any(tuple(Where(field, Op.LIKE, pattern) for field in ("login", "email", "display_name")))
