"""Which outgoing relay the mail of a domain or an account leaves by (additions)."""

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.tenant import Domain, User
from gatepost.model.values import Id
from gatepost.services.bindings import Bindings
from gatepost.services.draft import Binding

OF_DOMAIN = "/domains/{domainId}/connection"
OF_USER = "/users/{userId}/connection"


@endpoint("GET", OF_DOMAIN, permission="ROUTES_READ", addition=True)
async def get_domain_connection(bindings: Bindings, caller: Caller, domain_id: Id) -> Binding:
    """Return the connection that a domain's leaving mail goes by."""
    return await bindings.get(caller, Domain, domain_id)


@endpoint("PUT", OF_DOMAIN, permission="ROUTES_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True)
async def set_domain_connection(bindings: Bindings, caller: Caller, domain_id: Id, body: Binding) -> None:
    """Let a domain's leaving mail go by a connection of its customer."""
    await bindings.set(caller, Domain, domain_id, body)


@endpoint("DELETE", OF_DOMAIN, permission="ROUTES_WRITE", addition=True)
async def delete_domain_connection(bindings: Bindings, caller: Caller, domain_id: Id) -> None:
    """Let a domain's leaving mail go by the default relay, or MX."""
    await bindings.set(caller, Domain, domain_id, None)


@endpoint("GET", OF_USER, permission="ROUTES_READ", addition=True)
async def get_user_connection(bindings: Bindings, caller: Caller, user_id: Id) -> Binding:
    """Return the connection that an account's leaving mail goes by."""
    return await bindings.get(caller, User, user_id)


@endpoint("PUT", OF_USER, permission="ROUTES_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True)
async def set_user_connection(bindings: Bindings, caller: Caller, user_id: Id, body: Binding) -> None:
    """Let an account's leaving mail go by a connection of its customer."""
    await bindings.set(caller, User, user_id, body)


@endpoint("DELETE", OF_USER, permission="ROUTES_WRITE", addition=True)
async def delete_user_connection(bindings: Bindings, caller: Caller, user_id: Id) -> None:
    """Let an account's leaving mail go as the domain's does."""
    await bindings.set(caller, User, user_id, None)
