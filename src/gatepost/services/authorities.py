"""What administrators hold, as others may see and touch it: on which nodes, by which names."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import msgspec

from gatepost.model.access import PERMISSIONS, Admin, Caller, Grant, Level, Role
from gatepost.model.meant import meant
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq
from gatepost.model.rights import ROLES, SYSADMIN, SYSADMIN_ALONE, USER, ordered
from gatepost.model.tenant import Broker, Customer, Domain, Language
from gatepost.model.values import Id, Millis
from gatepost.services.access import PLATFORM, Scope, may, require
from gatepost.services.records import show, unprocessable
from gatepost.services.rights import Node, named, permissions_of
from gatepost.store.store import Reader

KINDS: dict[Level, type[Broker] | type[Customer] | type[Domain]] = {
    Level.BROKER: Broker,
    Level.CUSTOMER: Customer,
    Level.DOMAIN: Domain,
}
MANY = 200  # names in one grant


class AuthorityView(msgspec.Struct, kw_only=True, rename="camel"):
    """What is held on one object; `permissions` are all of them, those of `roles` (an addition) included."""

    object_type: Level
    object_id: Id | None
    object_name: str | None
    permissions: list[str]
    roles: list[str]
    secured_object_name: str | None
    secured_object_class: Level


class AdminView(msgspec.Struct, kw_only=True, rename="camel"):
    """An administrator as callers see him, with the authorities that lie in their scope."""

    id: Id
    login: str
    display_name: str | None
    email: str | None
    enabled: bool
    language: Language
    totp: bool
    sys_admin: bool
    authorities: list[AuthorityView]
    authorities_count: int
    last_connection_date: Millis | None
    created_at: Millis


class Names(msgspec.Struct, frozen=True):
    """Names as they were given, told apart."""

    permissions: list[str]
    roles: list[str]

    @property
    def sysadmin(self) -> bool:
        return SYSADMIN in self.roles


def scope_of(reader: Reader, node: Node) -> Scope | None:
    """Return the object that a node is; None where there is none."""
    level, node_id = node
    return PLATFORM if level is Level.PLATFORM else reader.get(KINDS[level], node_id)


def require_node(reader: Reader, caller: Caller, permission: str, node: Node) -> Scope:
    """Return the node once the caller proved his right on it; raise FORBIDDEN, then NOT_FOUND."""
    scope = scope_of(reader, node)
    require(caller, permission, scope)
    if scope is None:
        raise Problem(Kind.NOT_FOUND, f"There is no such {node[0].lower()}.")
    return scope


def grants_of(reader: Reader, admins: Collection[Admin]) -> dict[int, list[Grant]]:
    """Return the grants of administrators by their ids."""
    found: defaultdict[int, list[Grant]] = defaultdict(list)
    query = Query(where=Where("admin_id", Op.IN, [admin.id for admin in admins]))
    for grant in reader.find(Grant, query).items:
        found[grant.admin_id].append(grant)
    return found


def show_admins(
    reader: Reader, caller: Caller, admins: Sequence[Admin], *, node: Node | None = None
) -> list[AdminView]:
    """Return what a caller sees of administrators; with a node only what they hold on that one."""
    grants = grants_of(reader, admins)
    return [_admin(reader, caller, admin, grants[admin.id], node) for admin in admins]


def _admin(reader: Reader, caller: Caller, admin: Admin, grants: Sequence[Grant], node: Node | None) -> AdminView:
    own = caller.admin_id == admin.id
    seen = []
    if admin.sys_admin and node in (None, (Level.PLATFORM, 0)):
        seen.append(_authority((Level.PLATFORM, 0), PLATFORM, PERMISSIONS, [SYSADMIN]))
    for grant in grants:
        at = (grant.level, grant.node_id)
        scope = scope_of(reader, at)
        if node in (None, at) and scope is not None and (own or sees(caller, scope)):
            seen.append(_authority(at, scope, permissions_of(reader, grant), grant.roles))
    return show(
        AdminView,
        admin,
        language=Language(admin.language),
        authorities=seen,
        authorities_count=len(seen),
    )


def _authority(node: Node, scope: Scope, permissions: Collection[str], roles: list[str]) -> AuthorityView:
    level, node_id = node
    name = getattr(scope, "name", None)
    return AuthorityView(
        object_type=level,
        object_id=Id(node_id) if node_id else None,
        object_name=name,
        permissions=ordered(permissions),
        roles=roles,
        secured_object_name=name,
        secured_object_class=level,
    )


def sees(caller: Caller, scope: Scope) -> bool:
    """Tell whether a caller may know what others hold on a node."""
    return may(caller, "ADMINS_READ", scope) or may(caller, "GRANT", scope)


def knows(reader: Reader, caller: Caller, admin: Admin | None) -> bool:
    """Tell whether a caller may know that an account is there: his own, or one that holds something in his scope."""
    if sees(caller, PLATFORM):
        return True
    if admin is None:
        return False
    scopes = (scope_of(reader, (grant.level, grant.node_id)) for grant in grants_of(reader, [admin])[admin.id])
    return caller.admin_id == admin.id or any(scope is not None and sees(caller, scope) for scope in scopes)


def outranks(reader: Reader, caller: Caller, admin: Admin) -> bool:
    """Tell whether a caller may take an account over: wherever it holds something he holds that, and ADMINS_WRITE."""
    if caller.sys_admin:
        return True
    grants = grants_of(reader, [admin])[admin.id]
    return not admin.sys_admin and bool(grants) and all(_reaches(reader, caller, grant) for grant in grants)


def _reaches(reader: Reader, caller: Caller, grant: Grant) -> bool:
    scope = scope_of(reader, (grant.level, grant.node_id))
    held = permissions_of(reader, grant) | {"ADMINS_WRITE"}
    return scope is not None and all(may(caller, permission, scope) for permission in held)


def read_names(reader: Reader, node: Node, given: Sequence[str], at: str) -> Names:
    """Tell permissions and roles apart; raise UNPROCESSABLE for what can't be given on the node, or for nothing."""
    if not given or len(given) > MANY:
        raise unprocessable(f"Give 1 to {MANY} permissions or roles.", at)
    own = set(_own_roles(reader, node))
    names = Names([], [])
    for index, name in enumerate(dict.fromkeys(given)):
        if name in PERMISSIONS - SYSADMIN_ALONE:
            names.permissions.append(name)
        elif name in own or (name in ROLES and name != USER):
            names.roles.append(name)
        else:
            guess = meant(name, own | PERMISSIONS - SYSADMIN_ALONE | ROLES.keys() - {USER})
            raise unprocessable(f"{name[:80]!r} can't be given to administrators{guess}.", f"{at}/{index}")
    if names.sysadmin and node[0] is not Level.PLATFORM:
        raise unprocessable("SYSADMIN is given on the platform alone.", at)
    return names


def _own_roles(reader: Reader, node: Node) -> list[str]:
    level, node_id = node
    if level is not Level.DOMAIN:
        return []
    return [role.name for role in reader.find(Role, Query(where=eq("domain_id", node_id))).items]


def check_given(reader: Reader, caller: Caller, node: Node, new: Names, old: Grant | None) -> None:
    """Raise FORBIDDEN where a caller would give what he does not hold on the node himself (threat 109)."""
    if new.sysadmin and not caller.sys_admin:
        raise Problem(Kind.FORBIDDEN, "Only a sysadmin makes sysadmins.", login=caller.login)
    added = named(reader, *node, new.permissions, new.roles)
    if old is not None:
        added -= permissions_of(reader, old)
    check_held(caller, added, scope_of(reader, node))


def check_held(caller: Caller, permissions: Collection[str], scope: Scope | None) -> None:
    """Raise FORBIDDEN unless the caller holds all of these himself."""
    if lacking := [name for name in ordered(permissions) if not may(caller, name, scope)]:
        text = f"This account lacks {', '.join(lacking[:5])} there and so can't give it."
        raise Problem(Kind.FORBIDDEN, text, login=caller.login)
