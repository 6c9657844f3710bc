"""Connections: outgoing relays by name, kept in projects, used by drafts that name one and whoever is bound to one.

Passwords are sealed at rest; who may change a connection may read its own in clear, which the audit notes.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gatepost.model.access import Caller
from gatepost.model.connection import BadProperty, Connection, Project, read_properties
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Not, Op, Query, Where, eq, every
from gatepost.model.route import Hop, Transport
from gatepost.model.tenant import Customer, Domain, User
from gatepost.mta.routing import IMPLICIT_TLS_PORT
from gatepost.services.access import may
from gatepost.services.projects import named, project_of
from gatepost.services.records import Line, Name, Port, Text, read_address
from gatepost.services.targets import Targets
from gatepost.services.trial import Trial
from gatepost.store.store import Reader, Store, Writer

MANY = 1000  # connections of one project
EMAIL = "email"  # the only type of connection
Password = Annotated[str, Meta(max_length=1000)]


class ConnectionData(msgspec.Struct, kw_only=True, rename="camel"):
    """A connection of type email, as it is given and shown; in lists `password` is null."""

    type: Literal["email"]
    name: Name
    description: Text | None = None
    deploy_to_worker: bool = True
    enabled: bool = True
    host: Name
    port: Port = 587
    enable_start_tls: bool = False
    auth: bool = False
    username: Line | None = None
    password: Password | None = None
    default_encoding: Line = "UTF-8"
    address_to_test: Line | None = None
    sender: Line | None = msgspec.field(default=None, name="from")
    additional_properties: Annotated[list[Any], Meta(max_length=100)] = []


class Connections:
    """Keeps the connections of projects."""

    def __init__(self, store: Store, targets: Targets, trial: Trial) -> None:
        self._store = store
        self._targets = targets
        self._trial = trial

    async def find(self, caller: Caller, project: str) -> list[ConnectionData]:
        """Return a project's connections by name, without their passwords."""

        def ask(reader: Reader) -> list[Connection]:
            owner = project_of(reader, caller, "ROUTES_READ", project)
            return reader.find(Connection, Query(where=eq("project_id", owner.id), sort="name")).items

        return [_shown(row) for row in await self._store.read(ask)]

    async def get(self, caller: Caller, project: str, name: str) -> ConnectionData:
        """Return one connection; its password is in clear for who may change it, and that is audited."""
        row = self._row(caller, "ROUTES_READ", project, name)
        if row.password is None or not may(caller, "ROUTES_WRITE", self._customer(row)):
            return _shown(row)
        await self._store.record("reveal", row)
        return _shown(row, self._store.secrets.unseal(row.password))

    async def create(self, caller: Caller, project: str, name: str, given: ConnectionData) -> None:
        """Make a connection; raise MALFORMED for a name that is not the body's, CONFLICT for one that is taken."""
        if given.name.casefold() != name.casefold():
            raise Problem(Kind.MALFORMED, "The name must be the path's.", pointer="/name")

        def add(writer: Writer) -> None:
            owner = project_of(writer, caller, "ROUTES_WRITE", project)
            if writer.count(Connection, eq("project_id", owner.id)) >= MANY:
                raise Problem(Kind.MALFORMED, f"A project has at most {MANY} connections.")
            _check_free(writer, owner, given.name)
            writer.add(self._read(caller, owner, given))

        await self._store.write(add)

    async def replace(self, caller: Caller, project: str, name: str, given: ConnectionData) -> None:
        """Replace all of a connection, its name too where the body has another.

        Raises UNPROCESSABLE where there is none of the old name, CONFLICT for a new one that is taken.
        """

        def change(writer: Writer) -> None:
            owner = project_of(writer, caller, "ROUTES_WRITE", project)
            row = _to_change(writer, owner, name)
            if given.name.casefold() != row.name.casefold():
                _check_free(writer, owner, given.name)
            fields = msgspec.structs.asdict(self._read(caller, owner, given, row))
            writer.change(Connection, row.id, **{**fields, "id": row.id})

        await self._store.write(change)

    async def remove(self, caller: Caller, project: str, name: str) -> ConnectionData:
        """Remove a connection and return what it was; raise UNPROCESSABLE, CONFLICT while somebody is bound to it."""

        def change(writer: Writer) -> Connection:
            owner = project_of(writer, caller, "ROUTES_WRITE", project)
            row = _to_change(writer, owner, name)
            if _is_used(writer, owner, row):
                raise Problem(Kind.CONFLICT, "A domain or an account is bound to the connection.")
            writer.remove(Connection, eq("id", row.id))
            return row

        return _shown(await self._store.write(change))

    async def test(self, caller: Caller, project: str, name: str) -> str:
        """Send a mail to `addressToTest` and return the server's answer; raise UNPROCESSABLE with its words."""
        row = self._row(caller, "ROUTES_WRITE", project, name)
        if not row.address_to_test:
            raise Problem(Kind.UNPROCESSABLE, "The connection has no address for test mails.", pointer="/addressToTest")
        recipient = read_address(row.address_to_test, "/addressToTest")
        sender = read_address(row.sender or row.username or row.address_to_test, "/from")
        password = self._store.secrets.unseal(row.password) if row.password else None
        return await self._trial.send(caller, row, password, sender, recipient)

    def _row(self, caller: Caller, permission: str, project: str, name: str) -> Connection:
        reader = self._store.reader
        return _named(reader, project_of(reader, caller, permission, project), name)

    def _customer(self, row: Connection) -> Customer | None:
        owner = self._store.reader.get(Project, row.project_id or 0)
        return self._store.reader.get(Customer, owner.customer_id) if owner else None

    def _read(
        self, caller: Caller, owner: Project, given: ConnectionData, known: Connection | None = None
    ) -> Connection:
        """Check what a caller gives; raise MALFORMED or UNPROCESSABLE with the member at fault.

        The server of one that is `known` may stay at a private address where it stays the same.
        """
        for member in ("username", "password"):
            if given.auth and not getattr(given, member):
                raise Problem(Kind.MALFORMED, "It is required where auth is true.", pointer=f"/{member}")
        try:
            read_properties(given.additional_properties)
        except BadProperty as error:
            place = f"/additionalProperties/{error.at}"
            raise Problem(Kind.MALFORMED, f"{error}.", pointer=place) from error
        kept = [Hop(known.host, known.port, Transport.SMTP, private=known.private)] if known else []
        (host,), private = self._targets.servers(caller, [(given.host, given.port, "/host")], kept)
        return Connection(
            project_id=owner.id,
            name=given.name,
            description=given.description,
            enabled=given.enabled,
            deploy_to_worker=given.deploy_to_worker,
            host=host,
            port=given.port,
            ssl=given.port == IMPLICIT_TLS_PORT,
            start_tls=given.enable_start_tls,
            auth=given.auth,
            username=given.username,
            password=self._store.secrets.seal(given.password) if given.password else None,
            default_encoding=given.default_encoding,
            address_to_test=given.address_to_test,
            sender=given.sender,
            private=private or self._targets.private(caller),
            properties=given.additional_properties,
        )


def usable(reader: Reader, user: User, project: str, name: str) -> Connection:
    """Return a connection that a user's mail may name: one of his domain's customer; raise UNPROCESSABLE."""
    domain = reader.get(Domain, user.domain_id)
    whose = eq("customer_id", domain.customer_id if domain else 0)
    owner = reader.first(Project, every(named(project), whose))
    row = reader.first(Connection, every(eq("project_id", owner.id), named(name))) if owner else None
    if row is None or not row.enabled:
        raise Problem(Kind.UNPROCESSABLE, "There is no such connection, or it is switched off.", pointer="/connection")
    return row


def _named(reader: Reader, owner: Project, name: str, otherwise: Kind = Kind.NOT_FOUND) -> Connection:
    row = reader.first(Connection, every(eq("project_id", owner.id), named(name)))
    if row is None:
        raise Problem(otherwise, "There is no such connection.")
    return row


def _to_change(reader: Reader, owner: Project, name: str) -> Connection:
    """Who changes what is not there is at fault himself (contract D3)."""
    return _named(reader, owner, name, Kind.UNPROCESSABLE)


def _is_used(reader: Reader, owner: Project, row: Connection) -> bool:
    """Tell whether one of the customer's domains or accounts is bound to a connection; those that moved are not."""
    bound, moved = eq("connection_id", row.id), list[int]()
    if reader.first(Domain, every(bound, eq("customer_id", owner.customer_id))):
        return True
    while user := reader.first(User, every(bound, Not(Where("domain_id", Op.IN, moved)))):
        domain = reader.get(Domain, user.domain_id)
        if domain is not None and domain.customer_id == owner.customer_id:
            return True
        moved.append(user.domain_id)
    return False


def _check_free(reader: Reader, owner: Project, name: str) -> None:
    if reader.first(Connection, every(eq("project_id", owner.id), named(name))):
        raise Problem(Kind.CONFLICT, "The project has a connection of that name already.")


def _shown(row: Connection, password: str | None = None) -> ConnectionData:
    return ConnectionData(
        type="email",
        name=row.name,
        description=row.description,
        deploy_to_worker=row.deploy_to_worker,
        enabled=row.enabled,
        host=row.host,
        port=row.port,
        enable_start_tls=row.start_tls,
        auth=row.auth,
        username=row.username,
        password=password,
        default_encoding=row.default_encoding,
        address_to_test=row.address_to_test,
        sender=row.sender,
        additional_properties=row.properties,
    )
