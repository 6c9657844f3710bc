"""Administrators of a domain (contract 5.5.3 to 5.5.13), and in the same form of the nodes above it (additions)."""

from gatepost.api.admin.admins import ADMINS, AdminSearch
from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller, Level
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.authorities import AdminView
from gatepost.services.grants import AdminAdd, Grants

REFUSED = (Kind.CONFLICT, Kind.UNPROCESSABLE)


@endpoint("GET", "/domains/{domainId}/admins", permission="ADMINS_READ", listing=ADMINS)
async def list_domain_admins(
    grants: Grants, caller: Caller, domain_id: Id, page: Query, query: AdminSearch
) -> Page[AdminView]:
    """List those who were given access to a domain itself."""
    return await grants.find(caller, (Level.DOMAIN, domain_id), page, query.search)


@endpoint("POST", "/domains/{domainId}/admins", permission="GRANT", status=200, problems=REFUSED)
async def create_domain_admin(grants: Grants, caller: Caller, domain_id: Id, body: AdminAdd) -> AdminView:
    """Give access to a domain: to the account `id`, or to a new one."""
    return await grants.create(caller, (Level.DOMAIN, domain_id), body)


@endpoint("GET", "/domains/{domainId}/admins/{adminId}", permission="ADMINS_READ")
async def get_domain_admin(grants: Grants, caller: Caller, domain_id: Id, admin_id: Id) -> AdminView:
    """Return an administrator of a domain with what he holds on it."""
    return await grants.get(caller, (Level.DOMAIN, domain_id), admin_id)


@endpoint("DELETE", "/domains/{domainId}/admins/{adminId}", permission="GRANT", problems=(Kind.CONFLICT,))
async def revoke_domain_admin(grants: Grants, caller: Caller, domain_id: Id, admin_id: Id) -> str:
    """Take access to a domain back; an account left without any is deleted."""
    await grants.revoke(caller, (Level.DOMAIN, domain_id), admin_id)
    return "revoked"


@endpoint("PUT", "/domains/{domainId}/admins/{adminId}/authorities", permission="GRANT", problems=REFUSED)
async def set_domain_admin_authorities(
    grants: Grants, caller: Caller, domain_id: Id, admin_id: Id, body: list[str]
) -> str:
    """Say what an administrator holds on a domain from now on: permissions and roles by name."""
    await grants.set(caller, (Level.DOMAIN, domain_id), admin_id, body)
    return "set"


@endpoint("GET", "/customers/{customerId}/admins", permission="ADMINS_READ", listing=ADMINS, addition=True)
async def list_customer_admins(
    grants: Grants, caller: Caller, customer_id: Id, page: Query, query: AdminSearch
) -> Page[AdminView]:
    """List those who were given access to a customer itself."""
    return await grants.find(caller, (Level.CUSTOMER, customer_id), page, query.search)


@endpoint(
    "POST",
    "/customers/{customerId}/admins",
    permission="GRANT",
    status=200,
    problems=REFUSED,
    addition=True,
)
async def create_customer_admin(grants: Grants, caller: Caller, customer_id: Id, body: AdminAdd) -> AdminView:
    """Give access to a customer: to the account `id`, or to a new one."""
    return await grants.create(caller, (Level.CUSTOMER, customer_id), body)


@endpoint("GET", "/customers/{customerId}/admins/{adminId}", permission="ADMINS_READ", addition=True)
async def get_customer_admin(grants: Grants, caller: Caller, customer_id: Id, admin_id: Id) -> AdminView:
    """Return an administrator of a customer with what he holds on it."""
    return await grants.get(caller, (Level.CUSTOMER, customer_id), admin_id)


@endpoint(
    "DELETE", "/customers/{customerId}/admins/{adminId}", permission="GRANT", problems=(Kind.CONFLICT,), addition=True
)
async def revoke_customer_admin(grants: Grants, caller: Caller, customer_id: Id, admin_id: Id) -> str:
    """Take access to a customer back; an account left without any is deleted."""
    await grants.revoke(caller, (Level.CUSTOMER, customer_id), admin_id)
    return "revoked"


@endpoint(
    "PUT", "/customers/{customerId}/admins/{adminId}/authorities", permission="GRANT", problems=REFUSED, addition=True
)
async def set_customer_admin_authorities(
    grants: Grants, caller: Caller, customer_id: Id, admin_id: Id, body: list[str]
) -> str:
    """Say what an administrator holds on a customer from now on: permissions and roles by name."""
    await grants.set(caller, (Level.CUSTOMER, customer_id), admin_id, body)
    return "set"


@endpoint("GET", "/brokers/{brokerId}/admins", permission="ADMINS_READ", listing=ADMINS, addition=True)
async def list_broker_admins(
    grants: Grants, caller: Caller, broker_id: Id, page: Query, query: AdminSearch
) -> Page[AdminView]:
    """List those who were given access to a broker itself."""
    return await grants.find(caller, (Level.BROKER, broker_id), page, query.search)


@endpoint("POST", "/brokers/{brokerId}/admins", permission="GRANT", status=200, problems=REFUSED, addition=True)
async def create_broker_admin(grants: Grants, caller: Caller, broker_id: Id, body: AdminAdd) -> AdminView:
    """Give access to a broker: to the account `id`, or to a new one."""
    return await grants.create(caller, (Level.BROKER, broker_id), body)


@endpoint("GET", "/brokers/{brokerId}/admins/{adminId}", permission="ADMINS_READ", addition=True)
async def get_broker_admin(grants: Grants, caller: Caller, broker_id: Id, admin_id: Id) -> AdminView:
    """Return an administrator of a broker with what he holds on it."""
    return await grants.get(caller, (Level.BROKER, broker_id), admin_id)


@endpoint(
    "DELETE", "/brokers/{brokerId}/admins/{adminId}", permission="GRANT", problems=(Kind.CONFLICT,), addition=True
)
async def revoke_broker_admin(grants: Grants, caller: Caller, broker_id: Id, admin_id: Id) -> str:
    """Take access to a broker back; an account left without any is deleted."""
    await grants.revoke(caller, (Level.BROKER, broker_id), admin_id)
    return "revoked"


@endpoint(
    "PUT", "/brokers/{brokerId}/admins/{adminId}/authorities", permission="GRANT", problems=REFUSED, addition=True
)
async def set_broker_admin_authorities(
    grants: Grants, caller: Caller, broker_id: Id, admin_id: Id, body: list[str]
) -> str:
    """Say what an administrator holds on a broker from now on: permissions and roles by name."""
    await grants.set(caller, (Level.BROKER, broker_id), admin_id, body)
    return "set"


@endpoint("GET", "/platform/admins", permission="ADMINS_READ", listing=ADMINS, addition=True)
async def list_platform_admins(grants: Grants, caller: Caller, page: Query, query: AdminSearch) -> Page[AdminView]:
    """List those who were given access to the whole platform itself."""
    return await grants.find(caller, (Level.PLATFORM, 0), page, query.search)


@endpoint("POST", "/platform/admins", permission="GRANT", status=200, problems=REFUSED, addition=True)
async def create_platform_admin(grants: Grants, caller: Caller, body: AdminAdd) -> AdminView:
    """Give access to the whole platform: to the account `id`, or to a new one."""
    return await grants.create(caller, (Level.PLATFORM, 0), body)


@endpoint("GET", "/platform/admins/{adminId}", permission="ADMINS_READ", addition=True)
async def get_platform_admin(grants: Grants, caller: Caller, admin_id: Id) -> AdminView:
    """Return an administrator of the whole platform with what he holds on it."""
    return await grants.get(caller, (Level.PLATFORM, 0), admin_id)


@endpoint("DELETE", "/platform/admins/{adminId}", permission="GRANT", problems=(Kind.CONFLICT,), addition=True)
async def revoke_platform_admin(grants: Grants, caller: Caller, admin_id: Id) -> str:
    """Take access to the whole platform back; an account left without any is deleted."""
    await grants.revoke(caller, (Level.PLATFORM, 0), admin_id)
    return "revoked"


@endpoint("PUT", "/platform/admins/{adminId}/authorities", permission="GRANT", problems=REFUSED, addition=True)
async def set_platform_admin_authorities(grants: Grants, caller: Caller, admin_id: Id, body: list[str]) -> str:
    """Say what an administrator holds on the whole platform from now on: permissions and roles by name."""
    await grants.set(caller, (Level.PLATFORM, 0), admin_id, body)
    return "set"
