"""Administrators' accounts: found by those who may grant, changed by themselves and by those who hold more."""

from typing import Any

import msgspec

from gatepost.model.access import Admin, Caller, Grant, Level
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Any as AnyOf
from gatepost.model.query import Condition, Op, Page, Pattern, Query, Where, eq, every
from gatepost.model.rights import NOWHERE
from gatepost.model.tenant import Language
from gatepost.services.access import forbidden, may, require, require_lasting, require_sign_in
from gatepost.services.authorities import AdminView, knows, outranks, show_admins
from gatepost.services.passwords import Passwords
from gatepost.services.records import Line, emptied, given, read_address, unprocessable
from gatepost.store.store import Reader, Store, Writer


class AdminUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of what an account can be given; `totp` can only be switched off here."""

    email: Line | None = None
    display_name: Line | None = None
    password: str | None = None
    enabled: bool | None = None
    totp: bool | None = None
    language: Language | None = None


class Admins:
    """The administrators' accounts."""

    def __init__(self, store: Store, passwords: Passwords) -> None:
        self._store = store
        self._passwords = passwords

    async def find(self, caller: Caller, query: Query, search: str | None) -> Page[AdminView]:
        """Return a page of those who hold something where the caller may grant; `search` as in `mentions`."""

        def ask(reader: Reader) -> Page[AdminView]:
            where = every(_grantable(reader, caller), mentions(search), query.where)
            page = reader.find(Admin, msgspec.structs.replace(query, where=where))
            return Page(show_admins(reader, caller, page.items), page.total)

        return await self._store.read(ask)

    async def get(self, caller: Caller, admin_id: int) -> AdminView:
        """Return an account with what it holds in the caller's scope."""

        def ask(reader: Reader) -> AdminView:
            return show_admins(reader, caller, [_known(reader, caller, admin_id)])[0]

        return await self._store.read(ask)

    async def update(self, caller: Caller, admin_id: int, change: AdminUpdate) -> AdminView:
        """Change what is given of one's own account, or of one that holds no more than the caller.

        Raises CONFLICT where the last sysadmin would be disabled.
        """
        _touched(self._store.reader, caller, admin_id)
        fields = _read(change)
        if change.password is not None:
            fields["password_hash"] = await self._passwords.hash(change.password)

        def alter(writer: Writer) -> AdminView:
            admin = _touched(writer, caller, admin_id)
            require_sign_in(caller, admin, fields)
            if change.enabled and not admin.enabled:
                require_lasting(caller)
            if change.enabled is False:
                keep_sysadmin(writer, admin)
            changed = writer.change(Admin, admin.id, **fields)
            assert changed
            return show_admins(writer, caller, [changed])[0]

        return await self._store.write(alter)

    async def delete(self, caller: Caller, admin_id: int) -> None:
        """Delete an account with all it holds; raise CONFLICT for the last sysadmin."""

        def remove(writer: Writer) -> None:
            admin = _touched(writer, caller, admin_id)
            keep_sysadmin(writer, admin)
            writer.remove(Admin, eq("id", admin.id))

        await self._store.write(remove)


def mentions(text: str | None) -> Condition:
    """Find a text in login, mail address and name of an account: anywhere, unless a `*` at an end of it says where."""
    if not text:
        return every()
    pattern = Pattern.read(text)
    if not (pattern.open_start or pattern.open_end):
        pattern = Pattern(text, open_start=True, open_end=True)
    return AnyOf(tuple(Where(field, Op.LIKE, pattern) for field in ("login", "email", "display_name")))


def keep_sysadmin(reader: Reader, admin: Admin) -> None:
    """Raise CONFLICT where no other sysadmin could sign in once this account is gone (threat 109)."""
    others = every(eq("sys_admin", True), eq("enabled", True), Where("id", Op.NE, admin.id))
    if admin.sys_admin and admin.enabled and reader.first(Admin, others) is None:
        raise Problem(Kind.CONFLICT, "This is the last sysadmin.")


def has_access(reader: Reader, admin: Admin) -> bool:
    return admin.sys_admin or reader.first(Grant, eq("admin_id", admin.id)) is not None


def _known(reader: Reader, caller: Caller, admin_id: int) -> Admin:
    """Return an account that the caller may know of; raise FORBIDDEN, then NOT_FOUND."""
    admin = reader.get(Admin, admin_id)
    if not knows(reader, caller, admin):
        require(caller, "ADMINS_READ")
    if admin is None:
        raise Problem(Kind.NOT_FOUND, "There is no such administrator.")
    return admin


def _touched(reader: Reader, caller: Caller, admin_id: int) -> Admin:
    """Return an account that the caller may change; raise FORBIDDEN, then NOT_FOUND."""
    admin = reader.get(Admin, admin_id)
    if admin is None:
        require(caller, "ADMINS_WRITE")
        raise Problem(Kind.NOT_FOUND, "There is no such administrator.")
    if not (caller.admin_id == admin.id or outranks(reader, caller, admin)):
        raise forbidden(caller, "ADMINS_WRITE")
    return admin


def _read(change: AdminUpdate) -> dict[str, Any]:
    if change.totp:
        raise unprocessable("The second factor can only be switched off here.", "/totp")
    fields = given(change, "enabled")
    if change.display_name is not None:
        fields["display_name"] = emptied(change.display_name)
    if change.email is not None:
        fields["email"] = emptied(change.email) and read_address(change.email, "/email").key
    if change.language is not None:
        fields["language"] = change.language.value
    return fields | ({"totp": False, "totp_secret": None} if change.totp is False else {})


def _grantable(reader: Reader, caller: Caller) -> Condition:
    """Return the condition on accounts that hold something where the caller may grant; raise FORBIDDEN for nowhere."""
    if may(caller, "GRANT"):
        return every()
    reach = caller.rights.get("GRANT", NOWHERE)
    at = ((Level.BROKER, reach.brokers), (Level.CUSTOMER, reach.customers), (Level.DOMAIN, reach.domains))
    nodes = tuple(every(eq("level", level), Where("node_id", Op.IN, sorted(ids))) for level, ids in at if ids)
    if not nodes:
        require(caller, "GRANT")
    grants = reader.find(Grant, Query(where=AnyOf(nodes))).items
    return Where("id", Op.IN, sorted({grant.admin_id for grant in grants}))
