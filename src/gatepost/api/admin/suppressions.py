"""Suppressions of domains (additions)."""

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, address, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.suppression import Cause
from gatepost.model.values import Id
from gatepost.services.suppressions import SuppressionAdd, Suppressions, SuppressionView

SUPPRESSIONS = Listing(
    sort="address",
    sorts=("id", "address", "cause", "createdAt", "expiresAt"),
    filters={"address": address("address"), "cause": word("cause", Cause)},
)


@endpoint("GET", "/domains/{domainId}/suppressions", permission="QUEUE_READ", listing=SUPPRESSIONS, addition=True)
async def list_suppressions(
    suppressions: Suppressions, caller: Caller, domain_id: Id, query: Query
) -> Page[SuppressionView]:
    """List the addresses that mail of a domain does not go to."""
    return await suppressions.find(caller, domain_id, query)


@endpoint(
    "POST",
    "/domains/{domainId}/suppressions",
    permission="QUEUE_WRITE",
    location="/domains/{domainId}/suppressions/{id}",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
    addition=True,
)
async def create_suppression(
    suppressions: Suppressions, caller: Caller, domain_id: Id, body: SuppressionAdd
) -> SuppressionView:
    """Leave an address out of a domain's mail."""
    return await suppressions.create(caller, domain_id, body)


@endpoint("DELETE", "/domains/{domainId}/suppressions/{suppressionId}", permission="QUEUE_WRITE", addition=True)
async def delete_suppression(suppressions: Suppressions, caller: Caller, domain_id: Id, suppression_id: Id) -> None:
    """Let mail go to an address again."""
    await suppressions.delete(caller, domain_id, suppression_id)
