"""Roles (additions), and what a domain lets its end users do (contract 5.5.2, 5.5.12)."""

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, text
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.roles import PermissionStatus, RoleAdd, Roles, RoleView, UserAccess

ROLES = Listing(sort="name", sorts=("name", "id"), filters={"name": text("name")})


@endpoint("GET", "/roles", addition=True)
async def list_roles(roles: Roles) -> list[RoleView]:
    """List the roles that are valid everywhere; the list is not paged."""
    return await roles.predefined()


@endpoint("GET", "/domains/{domainId}/roles", permission="ADMINS_READ", listing=ROLES, addition=True)
async def list_domain_roles(roles: Roles, caller: Caller, domain_id: Id, query: Query) -> Page[RoleView]:
    """List the roles that are a domain's own."""
    return await roles.find(caller, domain_id, query)


@endpoint(
    "POST",
    "/domains/{domainId}/roles",
    permission="GRANT",
    location="/domains/{domainId}/roles",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
    addition=True,
)
async def create_domain_role(roles: Roles, caller: Caller, domain_id: Id, body: RoleAdd) -> RoleView:
    """Create a role of permissions that the caller holds on the domain."""
    return await roles.create(caller, domain_id, body)


@endpoint("DELETE", "/domains/{domainId}/roles/{roleId}", permission="GRANT", problems=(Kind.CONFLICT,), addition=True)
async def delete_domain_role(roles: Roles, caller: Caller, domain_id: Id, role_id: Id) -> None:
    """Delete a role that no administrator has."""
    await roles.delete(caller, domain_id, role_id)


@endpoint("GET", "/domains/{domainId}/access", permission="ADMINS_READ")
async def list_domain_access(roles: Roles, caller: Caller, domain_id: Id) -> list[PermissionStatus]:
    """List what end users of a domain could be granted, and what of it they are."""
    return await roles.end_users(caller, domain_id)


@endpoint("PUT", "/domains/{domainId}/access", permission="GRANT", problems=(Kind.UNPROCESSABLE,))
async def set_domain_access(roles: Roles, caller: Caller, domain_id: Id, body: list[str]) -> UserAccess:
    """Say what the end users of a domain may do with their own mailboxes."""
    return await roles.set_end_users(caller, domain_id, body)
