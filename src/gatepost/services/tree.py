"""Brokers and customers: the nodes above the domains, made and removed by who may change the node above."""

from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gatepost.events import Clock
from gatepost.model.access import Caller, Level
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Page, Query, eq, every
from gatepost.model.tenant import Broker, Customer, Domain
from gatepost.model.values import Id, Millis
from gatepost.services.access import found, require, visible
from gatepost.services.grants import clear
from gatepost.services.records import Line, Name, Text, emptied, given, show, unprocessable
from gatepost.services.tenants import CustomerView
from gatepost.store.store import Reader, Store, Writer
from gatepost.turns import shown

Quota = Annotated[int, Meta(ge=-1, le=1_000_000_000, description="How many domains; -1: as many as he likes.")]


class BrokerAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A new broker."""

    name: Name
    description: Text | None = None
    external_id: Line | None = None


class BrokerUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of a broker."""

    name: Name | None = None
    description: Text | None = None
    external_id: Line | None = None


class BrokerView(msgspec.Struct, kw_only=True, rename="camel"):
    """A broker, who has customers."""

    id: Id
    name: str
    description: str | None
    external_id: str | None
    created_at: Millis


class CustomerAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A new customer; without `brokerId` the first broker's."""

    name: Name
    broker_id: Id | None = None
    description: Text | None = None
    external_id: Line | None = None
    domain_quota: Quota | None = None


class CustomerUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of a customer; broker and quota are the broker's to change."""

    name: Name | None = None
    broker_id: Id | None = None
    description: Text | None = None
    external_id: Line | None = None
    domain_quota: Quota | None = None


class CustomerItem(CustomerView, kw_only=True, rename="camel"):
    """A customer with his quota of domains (null: as many as he likes) and how many he has, deleted ones included."""

    domain_quota: int | None
    domains_count: int


class Brokers:
    """The brokers of the platform."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, caller: Caller, query: Query) -> Page[BrokerView]:
        """Return a page of the brokers that the caller may see."""

        def ask(reader: Reader) -> Page[Broker]:
            where = every(visible(caller, "DOMAINS_READ", "id", of=Broker), query.where)
            return reader.find(Broker, msgspec.structs.replace(query, where=where))

        page = await self._store.read(ask)
        return await shown(page, partial(show, BrokerView))

    async def get(self, caller: Caller, broker_id: int) -> BrokerView:
        """Return a broker."""
        broker = self._store.reader.get(Broker, broker_id)
        return show(BrokerView, found(caller, "DOMAINS_READ", broker, "broker"))

    async def create(self, caller: Caller, draft: BrokerAdd) -> BrokerView:
        """Make a broker."""
        require(caller, "DOMAINS_WRITE")
        row = Broker(
            name=draft.name,
            description=emptied(draft.description),
            external_id=emptied(draft.external_id),
            created_at=self._clock(),
        )
        return show(BrokerView, await self._store.write(lambda writer: writer.add(row)))

    async def update(self, caller: Caller, broker_id: int, change: BrokerUpdate) -> None:
        """Change what is given."""

        def alter(writer: Writer) -> None:
            broker = found(caller, "DOMAINS_WRITE", writer.get(Broker, broker_id), "broker")
            writer.change(Broker, broker.id, **_texts(change))

        await self._store.write(alter)

    async def delete(self, caller: Caller, broker_id: int) -> None:
        """Remove a broker who has no customers, with the access that was given on him; else raise CONFLICT."""

        def remove(writer: Writer) -> None:
            require(caller, "DOMAINS_WRITE")
            broker = found(caller, "DOMAINS_WRITE", writer.get(Broker, broker_id), "broker")
            if writer.first(Customer, eq("broker_id", broker.id)):
                raise Problem(Kind.CONFLICT, "The broker has customers.")
            clear(writer, (Level.BROKER, broker.id))
            writer.remove(Broker, eq("id", broker.id))

        await self._store.write(remove)


class Customers:
    """The customers of brokers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, caller: Caller, query: Query) -> Page[CustomerItem]:
        """Return a page of the customers that the caller may see."""

        def ask(reader: Reader) -> Page[CustomerItem]:
            where = every(visible(caller, "DOMAINS_READ", "id", of=Customer), query.where)
            page = reader.find(Customer, msgspec.structs.replace(query, where=where))
            return Page([_item(reader, customer) for customer in reader.paced(page.items)], page.total)

        return await self._store.read(ask)

    async def get(self, caller: Caller, customer_id: int) -> CustomerItem:
        """Return a customer."""
        reader = self._store.reader
        return _item(reader, found(caller, "DOMAINS_READ", reader.get(Customer, customer_id), "customer"))

    async def create(self, caller: Caller, draft: CustomerAdd) -> CustomerItem:
        """Make a customer of a broker; raise UNPROCESSABLE for an unknown one."""

        def add(writer: Writer) -> CustomerItem:
            broker = _broker(writer, caller, draft.broker_id)
            row = Customer(
                broker_id=broker.id,
                name=draft.name,
                description=emptied(draft.description),
                external_id=emptied(draft.external_id),
                domain_quota=_quota(draft.domain_quota),
                created_at=self._clock(),
            )
            return _item(writer, writer.add(row))

        return await self._store.write(add)

    async def update(self, caller: Caller, customer_id: int, change: CustomerUpdate) -> None:
        """Change what is given; the quota, and moving to another broker, need the right on the brokers."""

        def alter(writer: Writer) -> None:
            customer = found(caller, "DOMAINS_WRITE", writer.get(Customer, customer_id), "customer")
            fields = _texts(change)
            if change.domain_quota is not None or change.broker_id is not None:
                require(caller, "DOMAINS_WRITE", writer.get(Broker, customer.broker_id))
            if change.domain_quota is not None:
                fields["domain_quota"] = _quota(change.domain_quota)
            if change.broker_id is not None:
                fields["broker_id"] = _broker(writer, caller, change.broker_id).id
            writer.change(Customer, customer.id, **fields)

        await self._store.write(alter)

    async def delete(self, caller: Caller, customer_id: int) -> None:
        """Remove a customer who has no domains, with the access that was given on him; else raise CONFLICT."""

        def remove(writer: Writer) -> None:
            customer = writer.get(Customer, customer_id)
            require(caller, "DOMAINS_WRITE", writer.get(Broker, customer.broker_id) if customer else None)
            if customer is None:
                raise Problem(Kind.NOT_FOUND, "There is no such customer.")
            if writer.first(Domain, eq("customer_id", customer.id)):
                raise Problem(Kind.CONFLICT, "The customer has domains; one that is deleted counts until its purge.")
            clear(writer, (Level.CUSTOMER, customer.id))
            writer.remove(Customer, eq("id", customer.id))

        await self._store.write(remove)


def _texts(change: BrokerUpdate | CustomerUpdate) -> dict[str, Any]:
    fields = given(change, "name")
    return fields | {key: emptied(text) for key, text in given(change, "description", "external_id").items()}


def _broker(reader: Reader, caller: Caller, broker_id: Id | None) -> Broker:
    """Return the broker whose customer is to be; the first one for None."""
    broker = reader.first(Broker, All(())) if broker_id is None else reader.get(Broker, broker_id)
    require(caller, "DOMAINS_WRITE", broker)
    if broker is None:
        raise unprocessable("There is no such broker.", "/brokerId")
    return broker


def _quota(given: int | None) -> int | None:
    return None if given == -1 else given


def _item(reader: Reader, customer: Customer) -> CustomerItem:
    return show(CustomerItem, customer, domains_count=reader.count(Domain, eq("customer_id", customer.id)))
