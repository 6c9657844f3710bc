"""Bindings: which connection the leaving mail of a domain, or of one account, goes by."""

from gatepost.model.access import Caller
from gatepost.model.connection import Connection, Project
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq, every
from gatepost.model.tenant import Domain, User
from gatepost.services.access import found
from gatepost.services.draft import Binding
from gatepost.services.projects import named
from gatepost.services.records import unprocessable
from gatepost.store.store import Reader, Store, Writer

Bound = type[Domain] | type[User]


class Bindings:
    """Binds domains and accounts to connections of their own customer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Caller, kind: Bound, number: int) -> Binding:
        """Return what a domain or an account is bound to; raise NOT_FOUND where it is to none."""
        reader = self._store.reader
        row = _found(reader, caller, "ROUTES_READ", kind, number)
        connection = reader.get(Connection, row.connection_id or 0)
        project = reader.get(Project, (connection and connection.project_id) or 0)
        # A domain that moved to another customer leaves the connections of the former one behind.
        if connection is None or project is None or project.customer_id != _customer_id(reader, row):
            raise Problem(Kind.NOT_FOUND, "It is bound to no connection.")
        return Binding(project=project.name, name=connection.name)

    async def set(self, caller: Caller, kind: Bound, number: int, binding: Binding | None) -> None:
        """Bind, or with None set free; raise UNPROCESSABLE for a connection that is not there or another customer's."""

        def change(writer: Writer) -> None:
            row = _found(writer, caller, "ROUTES_WRITE", kind, number)
            connection_id = _connection(writer, row, binding) if binding else None
            writer.change(kind, row.id, connection_id=connection_id)

        await self._store.write(change)


def _found(reader: Reader, caller: Caller, permission: str, kind: Bound, number: int) -> Domain | User:
    if kind is Domain:
        return found(caller, permission, reader.get(Domain, number), "domain")
    return found(caller, permission, reader.get(User, number), "user")


def _connection(reader: Reader, row: Domain | User, binding: Binding) -> int:
    whose = eq("customer_id", _customer_id(reader, row))
    project = reader.first(Project, every(named(binding.project), whose))
    if project is None:
        raise unprocessable("There is no such project.", "/project")
    connection = reader.first(Connection, every(eq("project_id", project.id), named(binding.name)))
    if connection is None:
        raise unprocessable("There is no such connection.", "/name")
    return connection.id


def _customer_id(reader: Reader, row: Domain | User) -> int:
    domain = row if isinstance(row, Domain) else reader.get(Domain, row.domain_id)
    return domain.customer_id if domain else 0
