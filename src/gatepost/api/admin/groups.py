"""Groups, which the contract calls e-mail aliases (contract 5.15)."""

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, address
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.groups import GroupAdd, Groups, GroupUpdate, GroupView

GROUPS = Listing(
    sort="email",
    sorts=("email", "id"),
    # `address` is the examples' word for it (contract A36).
    filters={"email": address("email"), "recipient": address("recipient"), "address": address("recipient")},
)


@endpoint("GET", "/domains/{domainId}/groups", permission="GROUPS_READ", listing=GROUPS, exports=True)
async def list_email_aliases(groups: Groups, caller: Caller, domain_id: Id, query: Query) -> Page[GroupView]:
    """List the groups of a domain."""
    return await groups.find(caller, domain_id, query)


@endpoint(
    "POST",
    "/domains/{domainId}/groups",
    permission="GROUPS_WRITE",
    location="/domains/{domainId}/groups/{id}",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def create_email_alias(groups: Groups, caller: Caller, domain_id: Id, body: GroupAdd) -> GroupView:
    """Create a group."""
    return await groups.create(caller, domain_id, body)


@endpoint("GET", "/domains/{domainId}/groups/{groupId}", permission="GROUPS_READ")
async def get_email_alias(groups: Groups, caller: Caller, domain_id: Id, group_id: Id) -> GroupView:
    """Return a group with its recipients."""
    return await groups.get(caller, domain_id, group_id)


@endpoint(
    "PATCH",
    "/domains/{domainId}/groups/{groupId}",
    permission="GROUPS_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def update_email_alias(groups: Groups, caller: Caller, domain_id: Id, group_id: Id, body: GroupUpdate) -> None:
    """Change a group's address; recipients, when given, replace the list."""
    await groups.update(caller, domain_id, group_id, body)


@endpoint("DELETE", "/groups/{groupId}", permission="GROUPS_WRITE")
async def delete_email_alias(groups: Groups, caller: Caller, group_id: Id) -> None:
    """Delete a group."""
    await groups.delete(caller, group_id)


@endpoint(
    "POST",
    "/domains/{domainId}/groups/{groupId}/addresses",
    permission="GROUPS_WRITE",
    problems=(Kind.UNPROCESSABLE,),
)
async def add_alias_recipients(
    groups: Groups, caller: Caller, domain_id: Id, group_id: Id, body: list[str]
) -> GroupView:
    """Add recipients to a group."""
    return await groups.add(caller, domain_id, group_id, body)


@endpoint("DELETE", "/domains/{domainId}/groups/{groupId}/addresses/{addressId}", permission="GROUPS_WRITE")
async def delete_alias_recipient(groups: Groups, caller: Caller, domain_id: Id, group_id: Id, address_id: Id) -> None:
    """Take one recipient out of a group."""
    await groups.remove(caller, domain_id, group_id, address_id)
