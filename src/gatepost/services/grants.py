"""Access on a node of the tree: given to administrators by those who hold as much, changed, taken back."""

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Admin, Caller, Grant, Level
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Any as AnyOf
from gatepost.model.query import Condition, Op, Page, Query, Where, eq, every
from gatepost.model.rights import ORDER, SYSADMIN, SYSADMIN_ALONE
from gatepost.model.tenant import Language
from gatepost.model.values import Id
from gatepost.services.access import may, require_lasting, require_sysadmin
from gatepost.services.admins import has_access, keep_sysadmin, mentions
from gatepost.services.authorities import (
    AdminView,
    Names,
    check_given,
    knows,
    read_names,
    require_node,
    scope_of,
    sees,
    show_admins,
)
from gatepost.services.passwords import Passwords
from gatepost.services.records import Line, Name, read_address, unprocessable
from gatepost.services.rights import Node
from gatepost.store.store import Reader, Store, Writer


class AdminAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """Who gets access: the account `id`, else a new one, which needs all the other members."""

    id: Id | None = None
    login: Name | None = None
    display_name: Name | None = None
    email: Line | None = None
    password: str | None = None
    enabled: bool | None = None
    language: Language | None = None
    permissions: list[str]


class PermissionView(msgspec.Struct, kw_only=True, rename="camel"):
    """A permission that the caller holds; `editable` where he may give it."""

    name: str
    editable: bool


class Grants:
    """Who holds what on which node."""

    def __init__(self, store: Store, passwords: Passwords, clock: Clock) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock

    async def permissions(self, caller: Caller, node: Node) -> list[PermissionView]:
        """Return the permissions that can be given on a node, cut down to those that the caller holds there."""

        def ask(reader: Reader) -> list[PermissionView]:
            scope = scope_of(reader, node)
            if scope is None or not sees(caller, scope):
                require_node(reader, caller, "GRANT", node)
            editable = may(caller, "GRANT", scope)
            held = (name for name in ORDER if name not in SYSADMIN_ALONE and may(caller, name, scope))
            return [PermissionView(name=name, editable=editable) for name in held]

        return await self._store.read(ask)

    async def find(self, caller: Caller, node: Node, query: Query, search: str | None) -> Page[AdminView]:
        """Return a page of those who were given access on that very node."""

        def ask(reader: Reader) -> Page[AdminView]:
            require_node(reader, caller, "ADMINS_READ", node)
            where = every(_holders(reader, node), mentions(search), query.where)
            page = reader.find(Admin, msgspec.structs.replace(query, where=where))
            return Page(show_admins(reader, caller, page.items, node=node), page.total)

        return await self._store.read(ask)

    async def get(self, caller: Caller, node: Node, admin_id: int) -> AdminView:
        """Return an administrator of a node with what he holds on it."""

        def ask(reader: Reader) -> AdminView:
            require_node(reader, caller, "ADMINS_READ", node)
            admin, _ = _holder(reader, node, admin_id)
            return show_admins(reader, caller, [admin], node=node)[0]

        return await self._store.read(ask)

    async def create(self, caller: Caller, node: Node, draft: AdminAdd) -> AdminView:
        """Give access to an account, or to a new one; raise CONFLICT where it has access or the login is taken."""
        require_node(self._store.reader, caller, "GRANT", node)
        require_lasting(caller)
        new = None if draft.id is not None else await self._new(draft)

        def add(writer: Writer) -> AdminView:
            require_node(writer, caller, "GRANT", node)
            names = read_names(writer, node, draft.permissions, "/permissions")
            check_given(writer, caller, node, names, None)
            admin = _existing(writer, caller, node, draft.id or Id(0)) if new is None else _added(writer, new)
            return _written(writer, caller, node, admin, None, names)

        return await self._store.write(add)

    async def _new(self, draft: AdminAdd) -> Admin:
        """Read a new account; raise MALFORMED for a member that is missing (contract, AdminAdd)."""
        for name in ("login", "display_name", "email", "password", "enabled", "language"):
            if getattr(draft, name) is None:
                member = "displayName" if name == "display_name" else name
                raise Problem(Kind.MALFORMED, f"A new account needs {member}.", pointer=f"/{member}")
        assert draft.login and draft.email is not None and draft.password is not None and draft.language
        return Admin(
            login=draft.login,
            display_name=draft.display_name,
            email=read_address(draft.email, "/email").key,
            password_hash=await self._passwords.hash(draft.password),
            enabled=bool(draft.enabled),
            language=draft.language.value,
            created_at=self._clock(),
        )

    async def set(self, caller: Caller, node: Node, admin_id: int, given: list[str]) -> AdminView:
        """Say what an administrator of a node holds on it from now on; raise CONFLICT for the last sysadmin."""

        def alter(writer: Writer) -> AdminView:
            require_node(writer, caller, "GRANT", node)
            require_lasting(caller)
            admin, old = _holder(writer, node, admin_id)
            names = read_names(writer, node, given, "")
            check_given(writer, caller, node, names, old)
            _check_sysadmin(writer, caller, node, admin, stays=names.sysadmin)
            return _written(writer, caller, node, admin, old, names)

        return await self._store.write(alter)

    async def revoke(self, caller: Caller, node: Node, admin_id: int) -> None:
        """Take an administrator's access to a node back; an account without any is deleted (contract 5.5.5)."""

        def remove(writer: Writer) -> None:
            require_node(writer, caller, "GRANT", node)
            admin, _ = _holder(writer, node, admin_id)
            _check_sysadmin(writer, caller, node, admin, stays=False)
            if admin.sys_admin and node[0] is Level.PLATFORM:
                admin = writer.change(Admin, admin.id, sys_admin=False) or admin
            writer.remove(Grant, every(eq("admin_id", admin.id), _at(node)))
            if not has_access(writer, admin):
                writer.remove(Admin, eq("id", admin.id))

        await self._store.write(remove)


def clear(writer: Writer, node: Node) -> None:
    """Take all access to a node back that is about to go; accounts without any go too."""
    ids = [grant.admin_id for grant in writer.find(Grant, Query(where=_at(node))).items]
    writer.remove(Grant, _at(node))
    for admin in writer.find(Admin, Query(where=Where("id", Op.IN, ids))).items:
        if not has_access(writer, admin):
            writer.remove(Admin, eq("id", admin.id))


def _at(node: Node) -> Condition:
    level, node_id = node
    return every(eq("level", level), eq("node_id", node_id))


def _grant(reader: Reader, node: Node, admin_id: int) -> Grant | None:
    return reader.first(Grant, every(eq("admin_id", admin_id), _at(node)))


def _holders(reader: Reader, node: Node) -> Condition:
    ids = [grant.admin_id for grant in reader.find(Grant, Query(where=_at(node))).items]
    holders = Where("id", Op.IN, ids)
    return AnyOf((holders, eq("sys_admin", True))) if node[0] is Level.PLATFORM else holders


def _holder(reader: Reader, node: Node, admin_id: int) -> tuple[Admin, Grant | None]:
    """Return an account that was given access on that very node, and its grant; raise NOT_FOUND."""
    admin = reader.get(Admin, admin_id)
    grant = _grant(reader, node, admin_id)
    if admin is None or (grant is None and not (admin.sys_admin and node[0] is Level.PLATFORM)):
        raise Problem(Kind.NOT_FOUND, "There is no such administrator here.")
    return admin, grant


def _existing(reader: Reader, caller: Caller, node: Node, admin_id: int) -> Admin:
    """Return an account that the caller knows; raise UNPROCESSABLE for any other, CONFLICT where it has access."""
    admin = reader.get(Admin, admin_id)
    if admin is None or not knows(reader, caller, admin):
        raise unprocessable("There is no such administrator.", "/id")
    if (admin.sys_admin and node[0] is Level.PLATFORM) or _grant(reader, node, admin_id):
        raise Problem(Kind.CONFLICT, "The administrator has access already.", pointer="/id")
    return admin


def _added(writer: Writer, new: Admin) -> Admin:
    if writer.first(Admin, eq("login", new.login)):
        raise Problem(Kind.CONFLICT, "The login is taken.", pointer="/login")
    return writer.add(new)


def _check_sysadmin(reader: Reader, caller: Caller, node: Node, admin: Admin, *, stays: bool) -> None:
    """Raise FORBIDDEN for who would touch a sysadmin without being one, CONFLICT for the last that would go."""
    if not (admin.sys_admin and node[0] is Level.PLATFORM):
        return
    if not caller.sys_admin:
        require_sysadmin(caller)
    if not stays:
        keep_sysadmin(reader, admin)


def _written(writer: Writer, caller: Caller, node: Node, admin: Admin, old: Grant | None, names: Names) -> AdminView:
    """Write what an account holds on a node from now on. A sysadmin needs no grant."""
    if node[0] is Level.PLATFORM and admin.sys_admin != names.sysadmin:
        admin = writer.change(Admin, admin.id, sys_admin=names.sysadmin) or admin
    permissions, roles = names.permissions, [role for role in names.roles if role != SYSADMIN]
    if old is not None:
        writer.change(Grant, old.id, permissions=permissions, roles=roles)
    elif permissions or roles:
        level, node_id = node
        writer.add(Grant(admin_id=admin.id, level=level, node_id=node_id, permissions=permissions, roles=roles))
    return show_admins(writer, caller, [admin], node=node)[0]
