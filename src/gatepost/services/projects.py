"""Projects: sets of connections, each of one customer; who may see or change its routes may see or change them."""

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.connection import Connection, Project
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Pattern, Query, Where, eq, every
from gatepost.model.rights import NOWHERE
from gatepost.model.tenant import Customer
from gatepost.model.values import Id
from gatepost.services.access import require, visible
from gatepost.services.records import Name, show
from gatepost.services.tenants import customer_for
from gatepost.store.store import Reader, Store, Writer


class ProjectAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A new project; without `customerId` of the caller's only customer, a sysadmin's of the default one."""

    name: Name
    customer_id: Id | None = None


class ProjectView(msgspec.Struct, kw_only=True, rename="camel"):
    """A project as callers see it."""

    name: str
    customer_id: Id


class Projects:
    """The projects of all customers; their names are unique, since paths name them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, caller: Caller) -> list[ProjectView]:
        """Return the projects that the caller may see, by name."""
        mine = visible(caller, "ROUTES_READ", "customer_id", of=Customer)
        rows = await self._store.read(lambda reader: reader.find(Project, Query(where=mine, sort="name")).items)
        return [show(ProjectView, row) for row in rows]

    async def create(self, caller: Caller, draft: ProjectAdd) -> ProjectView:
        """Make a project; raise CONFLICT for a name that is taken."""

        def add(writer: Writer) -> ProjectView:
            customer = _customer(writer, caller, draft.customer_id)
            if writer.first(Project, named(draft.name)):
                raise Problem(Kind.CONFLICT, "There is a project of that name already.", pointer="/name")
            row = Project(customer_id=customer.id, name=draft.name, created_at=self._clock())
            return show(ProjectView, writer.add(row))

        return await self._store.write(add)

    async def remove(self, caller: Caller, name: str) -> None:
        """Remove a project; raise CONFLICT while it has connections."""

        def change(writer: Writer) -> None:
            project = project_of(writer, caller, "ROUTES_WRITE", name)
            if writer.first(Connection, eq("project_id", project.id)):
                raise Problem(Kind.CONFLICT, "The project has connections.")
            writer.remove(Project, eq("id", project.id))

        await self._store.write(change)


def named(name: str) -> Where:
    """Return the condition that a row bears a name, in any case."""
    return Where("name", Op.LIKE, Pattern(name))


def project_of(reader: Reader, caller: Caller, permission: str, name: str) -> Project:
    """Return a project on whose customer the caller holds the permission; raise FORBIDDEN where he holds it nowhere,
    NOT_FOUND for one that is foreign or not there."""
    mine = visible(caller, permission, "customer_id", of=Customer)
    project = reader.first(Project, every(named(name), mine))
    if project is None:
        raise Problem(Kind.NOT_FOUND, "There is no such project.")
    return project


def _customer(reader: Reader, caller: Caller, given: Id | None) -> Customer:
    reach = caller.rights.get("ROUTES_WRITE", NOWHERE)
    if given is None and len(reach.customers) == 1 and not reach.everywhere:
        given = Id(next(iter(reach.customers)))
    if given is None:
        require(caller, "ROUTES_WRITE")
    else:
        require(caller, "ROUTES_WRITE", reader.get(Customer, given))
    return customer_for(reader, given)
