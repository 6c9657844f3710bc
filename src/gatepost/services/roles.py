"""Roles: those that are there for all, a domain's own ones, and what a domain lets its end users do."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gatepost.events import Clock
from gatepost.model.access import PERMISSIONS, Caller, Grant, Level, Role
from gatepost.model.meant import meant
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query, eq, every
from gatepost.model.rights import END_USERS, OWN, ROLES, SYSADMIN, SYSADMIN_ALONE, USER, ordered
from gatepost.model.tenant import Domain
from gatepost.model.values import Id
from gatepost.services.access import found, require_lasting
from gatepost.services.authorities import MANY, check_held
from gatepost.services.records import Line, emptied, show, unprocessable
from gatepost.services.rights import granted_to_users
from gatepost.store.store import Reader, Store, Writer

RoleName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$(?!\n)")]


class RoleAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A new role of a domain."""

    name: RoleName
    description: Line | None = None
    permissions: list[str]


class RoleView(msgspec.Struct, kw_only=True, rename="camel"):
    """A role; `id` and `domainId` are null for one that is there for all, `scopes` where it can be given."""

    id: Id | None
    name: str
    description: str | None
    permissions: list[str]
    scopes: list[Level]
    domain_id: Id | None


class PermissionStatus(msgspec.Struct, kw_only=True, rename="camel"):
    """A permission, and whether it is granted."""

    name: str
    enabled: bool


class UserAccess(msgspec.Struct, kw_only=True, rename="camel"):
    """What the end users of a domain may do; `id` and `username` are the domain's."""

    id: Id
    username: str
    permissions: list[PermissionStatus]


class Roles:
    """Roles of domains, and the rights of their end users."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def predefined(self) -> list[RoleView]:
        """Return the roles that are there for all."""
        return [
            RoleView(
                id=None,
                name=role.name,
                description=role.why,
                permissions=ordered(role.permissions),
                scopes=[Level.PLATFORM] if role.name == SYSADMIN else [] if role.name == USER else list(Level),
                domain_id=None,
            )
            for role in ROLES.values()
        ]

    async def find(self, caller: Caller, domain_id: int, query: Query) -> Page[RoleView]:
        """Return a page of a domain's own roles."""

        def ask(reader: Reader) -> Page[RoleView]:
            found(caller, "ADMINS_READ", reader.get(Domain, domain_id), "domain")
            where = every(eq("domain_id", domain_id), query.where)
            page = reader.find(Role, msgspec.structs.replace(query, where=where))
            return Page([_view(role) for role in page.items], page.total)

        return await self._store.read(ask)

    async def create(self, caller: Caller, domain_id: int, draft: RoleAdd) -> RoleView:
        """Make a role of what the caller holds on the domain; raise CONFLICT for a name in use."""

        def add(writer: Writer) -> Role:
            domain = found(caller, "GRANT", writer.get(Domain, domain_id), "domain")
            allowed = _known(draft.permissions, PERMISSIONS - SYSADMIN_ALONE, "/permissions")
            check_held(caller, allowed, domain)
            taken = draft.name.upper() in PERMISSIONS | ROLES.keys()
            same = writer.first(Role, every(eq("domain_id", domain.id), eq("name", draft.name)))
            if taken or same is not None:
                raise Problem(Kind.CONFLICT, "The name is taken by a role or a permission.", pointer="/name")
            return writer.add(
                Role(
                    domain_id=domain.id,
                    name=draft.name,
                    description=emptied(draft.description),
                    permissions=allowed,
                    created_at=self._clock(),
                )
            )

        return _view(await self._store.write(add))

    async def delete(self, caller: Caller, domain_id: int, role_id: int) -> None:
        """Remove a role; raise CONFLICT while an administrator has it."""

        def remove(writer: Writer) -> None:
            domain = found(caller, "GRANT", writer.get(Domain, domain_id), "domain")
            role = writer.get(Role, role_id)
            if role is None or role.domain_id != domain.id:
                raise Problem(Kind.NOT_FOUND, "The domain has no such role.")
            here = every(eq("level", Level.DOMAIN), eq("node_id", domain.id))
            if any(role.name in grant.roles for grant in writer.find(Grant, Query(where=here)).items):
                raise Problem(Kind.CONFLICT, "An administrator has the role.")
            writer.remove(Role, eq("id", role.id))

        await self._store.write(remove)

    # End users.

    async def end_users(self, caller: Caller, domain_id: int) -> list[PermissionStatus]:
        """Return all that a domain could let its end users do, and whether it does."""

        def ask(reader: Reader) -> list[PermissionStatus]:
            return _statuses(found(caller, "ADMINS_READ", reader.get(Domain, domain_id), "domain"))

        return await self._store.read(ask)

    async def set_end_users(self, caller: Caller, domain_id: int, given: list[str]) -> UserAccess:
        """Say what end users may do, each with his own mailbox; the role USER stands for the usual."""

        def alter(writer: Writer) -> UserAccess:
            domain = found(caller, "GRANT", writer.get(Domain, domain_id), "domain")
            names = _known(given, END_USERS | {USER}, "", least=0)
            allowed = ordered({*names, *(OWN if USER in names else ())} & END_USERS)
            added = set(allowed) - granted_to_users(domain)
            check_held(caller, added, domain)
            if added:
                require_lasting(caller)
            changed = writer.change(Domain, domain.id, user_permissions=allowed)
            assert changed
            return UserAccess(id=Id(domain.id), username=domain.name, permissions=_statuses(changed))

        return await self._store.write(alter)


def _known(given: list[str], known: frozenset[str], at: str, least: int = 1) -> list[str]:
    """Return names, each once; raise UNPROCESSABLE for one that can't be given there."""
    if not least <= len(given) <= MANY:
        raise unprocessable(f"Give {least} to {MANY} permissions.", at)
    for index, name in enumerate(given):
        if name not in known:
            raise unprocessable(f"{name[:80]!r} can't be given there{meant(name, known)}.", f"{at}/{index}")
    return list(dict.fromkeys(given))


def _view(role: Role) -> RoleView:
    return show(RoleView, role, permissions=ordered(role.permissions), scopes=[Level.DOMAIN])


def _statuses(domain: Domain) -> list[PermissionStatus]:
    granted = granted_to_users(domain)
    return [PermissionStatus(name=name, enabled=name in granted) for name in ordered(END_USERS)]
