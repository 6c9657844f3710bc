"""Policies (contract 5.4)."""

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.policies import Policies, PolicyAdd, PolicyPatch, PolicyView

POLICIES = Listing(sort="name", sorts=("name", "mailSizeLimit", "spamScore", "id"))


@endpoint("GET", "/domains/{domainId}/policies", permission="POLICIES_READ", listing=POLICIES)
async def list_domain_policies(policies: Policies, caller: Caller, domain_id: Id, query: Query) -> Page[PolicyView]:
    """List the policies of a domain."""
    return await policies.find(caller, domain_id, query)


@endpoint(
    "POST",
    "/domains/{domainId}/policies",
    permission="POLICIES_WRITE",
    location="/policies/{id}",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def create_policy(policies: Policies, caller: Caller, domain_id: Id, body: PolicyAdd) -> PolicyView:
    """Create a policy; settings left out get the defaults of its services."""
    return await policies.create(caller, domain_id, body)


@endpoint("GET", "/policies/{policyId}", permission="POLICIES_READ")
async def get_policy(policies: Policies, caller: Caller, policy_id: Id) -> PolicyView:
    """Return every setting of a policy."""
    return await policies.get(caller, policy_id)


@endpoint(
    "PATCH",
    "/policies/{policyId}",
    permission="POLICIES_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def update_policy(policies: Policies, caller: Caller, policy_id: Id, body: PolicyPatch) -> None:
    """Change the given members of a policy."""
    await policies.update(caller, policy_id, body)


@endpoint("DELETE", "/policies/{policyId}", permission="POLICIES_WRITE", problems=(Kind.MALFORMED,))
async def delete_policy(policies: Policies, caller: Caller, policy_id: Id) -> None:
    """Delete a policy that no domain and no user has."""
    await policies.delete(caller, policy_id)
