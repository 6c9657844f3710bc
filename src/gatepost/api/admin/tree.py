"""Brokers and customers, the nodes above the domains (additions)."""

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, ident, text
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.values import Id
from gatepost.services.tree import (
    BrokerAdd,
    Brokers,
    BrokerUpdate,
    BrokerView,
    CustomerAdd,
    CustomerItem,
    Customers,
    CustomerUpdate,
)

SORTS = ("name", "externalId", "createdAt", "id")
BROKERS = Listing(sort="name", sorts=SORTS, filters={"name": text("name"), "externalId": text("external_id")})
CUSTOMERS = Listing(sort="name", sorts=SORTS, filters={**BROKERS.filters, "brokerId": ident("broker_id")})


@endpoint("GET", "/brokers", permission="DOMAINS_READ", listing=BROKERS, addition=True)
async def list_brokers(brokers: Brokers, caller: Caller, query: Query) -> Page[BrokerView]:
    """List the brokers that the caller may see."""
    return await brokers.find(caller, query)


@endpoint(
    "POST",
    "/brokers",
    permission="DOMAINS_WRITE",
    location="/brokers/{id}",
    problems=(Kind.UNPROCESSABLE,),
    addition=True,
)
async def create_broker(brokers: Brokers, caller: Caller, body: BrokerAdd) -> BrokerView:
    """Create a broker."""
    return await brokers.create(caller, body)


@endpoint("GET", "/brokers/{brokerId}", permission="DOMAINS_READ", addition=True)
async def get_broker(brokers: Brokers, caller: Caller, broker_id: Id) -> BrokerView:
    """Return a broker."""
    return await brokers.get(caller, broker_id)


@endpoint("PATCH", "/brokers/{brokerId}", permission="DOMAINS_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True)
async def update_broker(brokers: Brokers, caller: Caller, broker_id: Id, body: BrokerUpdate) -> None:
    """Change the given members of a broker."""
    await brokers.update(caller, broker_id, body)


@endpoint("DELETE", "/brokers/{brokerId}", permission="DOMAINS_WRITE", problems=(Kind.CONFLICT,), addition=True)
async def delete_broker(brokers: Brokers, caller: Caller, broker_id: Id) -> None:
    """Delete a broker with nothing below it."""
    await brokers.delete(caller, broker_id)


@endpoint("GET", "/customers", permission="DOMAINS_READ", listing=CUSTOMERS, addition=True)
async def list_customers(customers: Customers, caller: Caller, query: Query) -> Page[CustomerItem]:
    """List the customers that the caller may see."""
    return await customers.find(caller, query)


@endpoint(
    "POST",
    "/customers",
    permission="DOMAINS_WRITE",
    location="/customers/{id}",
    problems=(Kind.UNPROCESSABLE,),
    addition=True,
)
async def create_customer(customers: Customers, caller: Caller, body: CustomerAdd) -> CustomerItem:
    """Create a customer."""
    return await customers.create(caller, body)


@endpoint("GET", "/customers/{customerId}", permission="DOMAINS_READ", addition=True)
async def get_customer(customers: Customers, caller: Caller, customer_id: Id) -> CustomerItem:
    """Return a customer."""
    return await customers.get(caller, customer_id)


@endpoint("PATCH", "/customers/{customerId}", permission="DOMAINS_WRITE", problems=(Kind.UNPROCESSABLE,), addition=True)
async def update_customer(customers: Customers, caller: Caller, customer_id: Id, body: CustomerUpdate) -> None:
    """Change the given members of a customer."""
    await customers.update(caller, customer_id, body)


@endpoint("DELETE", "/customers/{customerId}", permission="DOMAINS_WRITE", problems=(Kind.CONFLICT,), addition=True)
async def delete_customer(customers: Customers, caller: Caller, customer_id: Id) -> None:
    """Delete a customer with nothing below it."""
    await customers.delete(caller, customer_id)
