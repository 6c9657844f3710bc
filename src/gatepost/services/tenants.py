"""The tree above the domains: customers with their quota, and the providers that mail may leave through."""

from collections.abc import Iterable

import msgspec

from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Op, Where, eq
from gatepost.model.tenant import Customer, Domain, Provider
from gatepost.model.values import Id, Millis
from gatepost.services.records import unprocessable
from gatepost.store.store import Reader


class CustomerView(msgspec.Struct, kw_only=True, rename="camel"):
    """The customer that owns a domain."""

    id: Id
    broker_id: Id
    name: str
    description: str | None
    external_id: str | None
    created_at: Millis


class ProviderView(msgspec.Struct, kw_only=True, rename="camel"):
    """A provider that mail of a domain may leave through."""

    id: Id
    name: str
    spf_provider: str
    active: bool


def customer_for(reader: Reader, customer_id: Id | None) -> Customer:
    """Return the customer of that id, the first one (made by `init`) for None; raise UNPROCESSABLE."""
    customer = reader.first(Customer, All(())) if customer_id is None else reader.get(Customer, customer_id)
    if customer is None:
        raise unprocessable("There is no such customer.", "/customerId")
    return customer


def check_quota(reader: Reader, customer: Customer) -> None:
    """Raise FORBIDDEN when the customer has all the domains he may have (semantics 1)."""
    if (
        customer.domain_quota is not None
        and reader.count(Domain, eq("customer_id", customer.id)) >= customer.domain_quota
    ):
        raise Problem(Kind.FORBIDDEN, "The customer's quota of domains is reached.")


def provider_ids(reader: Reader, given: Iterable[Id]) -> list[int]:
    """Return providers' numbers, each once; raise UNPROCESSABLE for an unknown one."""
    ids = list(dict.fromkeys(int(each) for each in given))
    if len(ids) > reader.count(Provider, Where("id", Op.IN, ids)):
        raise unprocessable("There is no such provider.", "/outgoingProvidersIds")
    return ids
