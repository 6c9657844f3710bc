"""Administrators and what may be granted (contract 5.1)."""

import msgspec

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing
from gatepost.model.access import Caller, Level
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.admins import Admins, AdminUpdate
from gatepost.services.authorities import AdminView
from gatepost.services.grants import Grants, PermissionView

ADMINS = Listing(sort="login", sorts=("login", "id"))


class AdminSearch(msgspec.Struct, kw_only=True):
    """Which administrators: those whose login, e-mail address or name contains `search` (`x*` begins, `*x` ends so)."""

    search: str | None = None


class NodeAsk(msgspec.Struct, kw_only=True):
    """A node of the tree: PLATFORM, BROKER, CUSTOMER or DOMAIN, and its id (ignored for the platform)."""

    scope: str
    id: Id


@endpoint("GET", "/security/admins", permission="GRANT", listing=ADMINS)
async def list_admins(admins: Admins, caller: Caller, page: Query, query: AdminSearch) -> Page[AdminView]:
    """List the administrators of the objects on which the caller may grant rights."""
    return await admins.find(caller, page, query.search)


@endpoint("GET", "/security/admins/{adminId}", permission="ADMINS_READ", others=True)
async def get_admin(admins: Admins, caller: Caller, admin_id: Id) -> AdminView:
    """Return an administrator with what he holds in the caller's scope."""
    return await admins.get(caller, admin_id)


@endpoint(
    "PATCH",
    "/security/admins/{adminId}",
    permission="ADMINS_WRITE",
    others=True,
    status=200,
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def update_admin(admins: Admins, caller: Caller, admin_id: Id, body: AdminUpdate) -> AdminView:
    """Change the given members of one's own account, or of one that holds no more than the caller."""
    return await admins.update(caller, admin_id, body)


@endpoint("DELETE", "/security/admins/{adminId}", permission="ADMINS_WRITE", others=True, problems=(Kind.CONFLICT,))
async def delete_admin(admins: Admins, caller: Caller, admin_id: Id) -> str:
    """Delete an account with all that it holds; the last sysadmin stays."""
    await admins.delete(caller, admin_id)
    return "deleted"


@endpoint("GET", "/security/permissions", permission="GRANT", others=True, problems=(Kind.NOT_FOUND,))
async def list_permissions(grants: Grants, caller: Caller, query: NodeAsk) -> list[PermissionView]:
    """List the permissions that can be given on an object, cut down to those that the caller holds there."""
    name = query.scope.upper()
    if name not in Level.__members__:
        raise Problem(Kind.MALFORMED, f"The scopes are {', '.join(Level)}.", pointer="/scope")
    return await grants.permissions(caller, (Level(name), 0 if name == Level.PLATFORM else query.id))
