"""DKIM keys of domains (contract 5.6): answers are the records to publish."""

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.values import Id
from gatepost.services.dkim import Dkim, DkimAdd


@endpoint("GET", "/domains/{domainId}/dkim", permission="DKIM_READ")
async def get_dkim(dkim: Dkim, caller: Caller, domain_id: Id) -> list[str]:
    """Return the DKIM records of a domain, one for each of its names."""
    return await dkim.get(caller, domain_id)


@endpoint(
    "POST",
    "/domains/{domainId}/dkim",
    permission="DKIM_WRITE",
    problems=(Kind.CONFLICT, Kind.UNPROCESSABLE),
)
async def create_dkim(dkim: Dkim, caller: Caller, domain_id: Id, body: DkimAdd | None) -> list[str]:
    """Make a DKIM key, or install the one given; return the records to publish."""
    return await dkim.create(caller, domain_id, body or DkimAdd())


@endpoint("PUT", "/domains/{domainId}/dkim", permission="DKIM_WRITE", problems=(Kind.UNPROCESSABLE,))
async def replace_dkim(dkim: Dkim, caller: Caller, domain_id: Id, body: DkimAdd | None) -> list[str]:
    """Replace the DKIM key; the old one signs until the new record is seen in DNS."""
    return await dkim.replace(caller, domain_id, body or DkimAdd())


@endpoint("DELETE", "/domains/{domainId}/dkim", permission="DKIM_WRITE")
async def delete_dkim(dkim: Dkim, caller: Caller, domain_id: Id) -> None:
    """Remove the DKIM keys of a domain; its mail is signed no more."""
    await dkim.delete(caller, domain_id)
