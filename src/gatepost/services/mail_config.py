"""The platform's default outgoing relay, as IQ Server's API knows it: one for all, kept by sysadmins (contract 12)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gatepost.model.access import Caller
from gatepost.model.connection import Connection
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.mta.ways import DEFAULT
from gatepost.services.access import require_sysadmin
from gatepost.services.records import Line, Name, Port, read_address
from gatepost.services.targets import Targets
from gatepost.services.trial import Trial
from gatepost.store.store import Reader, Store, Writer

NAME = "default"
Password = Annotated[str, Meta(max_length=1000)]


class MailConfig(msgspec.Struct, kw_only=True, rename="camel"):
    """The relay to set or to test. With `passwordIsIncluded` the password is the one given, null for none; without it
    the stored one stays, as long as hostname and port do."""

    hostname: Name
    port: Port
    username: Line | None = None
    password: Password | None = None
    password_is_included: bool = False
    ssl_enabled: bool = False
    start_tls_enabled: bool = False
    system_email: Name


class MailConfigView(msgspec.Struct, kw_only=True, rename="camel"):
    """The relay as it is shown: `password` is always null, `passwordIsIncluded` false."""

    hostname: str
    port: int
    username: str | None
    password: None = None
    password_is_included: bool = False
    ssl_enabled: bool
    start_tls_enabled: bool
    system_email: str


class MailConfigs:
    """Keeps the one configuration; mail that leaves goes by it, and notices of the gateway bear its address."""

    def __init__(self, store: Store, targets: Targets, trial: Trial) -> None:
        self._store = store
        self._targets = targets
        self._trial = trial

    async def get(self, caller: Caller) -> MailConfigView:
        """Return the configuration; raise FORBIDDEN, then NOT_FOUND where none is set."""
        require_sysadmin(caller)
        row = _found(self._store.reader)
        return MailConfigView(
            hostname=row.host,
            port=row.port,
            username=row.username,
            ssl_enabled=row.ssl,
            start_tls_enabled=row.start_tls,
            system_email=row.sender or "",
        )

    async def set(self, caller: Caller, config: MailConfig) -> None:
        """Make or replace the configuration; raise MALFORMED or UNPROCESSABLE that points at the member at fault."""
        require_sysadmin(caller)

        def change(writer: Writer) -> None:
            stored = writer.first(Connection, DEFAULT)
            row = self._row(caller, config, stored)
            if stored is None:
                writer.add(row)
            else:
                fields = msgspec.structs.asdict(row)
                writer.change(Connection, fields.pop("id"), **fields)

        await self._store.write(change)

    async def remove(self, caller: Caller) -> None:
        """Remove the configuration; raise NOT_FOUND where none is set."""
        require_sysadmin(caller)
        await self._store.write(lambda writer: writer.remove(Connection, eq("id", _found(writer).id)))

    async def test(self, caller: Caller, recipient: str, config: MailConfig) -> None:
        """Send a test mail by a configuration that is not stored; raise UNPROCESSABLE with the server's words."""
        require_sysadmin(caller)
        to = read_address(recipient, "/recipientEmail")
        row = self._row(caller, config, self._store.reader.first(Connection, DEFAULT))
        password = self._store.secrets.unseal(row.password) if row.password else None
        sender = read_address(config.system_email, "/systemEmail")
        await self._trial.send(caller, row, password, sender, to, at="/hostname")

    def _row(self, caller: Caller, config: MailConfig, stored: Connection | None) -> Connection:
        host = self._targets.host(caller, config.hostname, "/hostname")
        password = self._password(config, host, stored)
        return Connection(
            id=stored.id if stored else 0,
            name=NAME,
            host=host,
            port=config.port,
            ssl=config.ssl_enabled,
            start_tls=config.start_tls_enabled,
            auth=bool(config.username and password),
            username=config.username or None,
            password=password,
            sender=read_address(config.system_email, "/systemEmail").text,
            private=self._targets.private(caller),
        )

    def _password(self, config: MailConfig, host: str, stored: Connection | None) -> str | None:
        """Return the password that counts, sealed (the table of contract 12)."""
        if config.password is not None:
            if not config.password_is_included:
                text = "passwordIsIncluded must be true where a password is given."
                raise Problem(Kind.MALFORMED, text, pointer="/passwordIsIncluded")
            return self._store.secrets.seal(config.password)
        if config.password_is_included:
            return None
        if stored is None or (stored.host, stored.port) != (host, config.port):
            text = (
                "Where hostname or port is new, passwordIsIncluded must be true; without a password there is none then."
            )
            raise Problem(Kind.MALFORMED, text, pointer="/password")
        return stored.password


def _found(reader: Reader) -> Connection:
    row = reader.first(Connection, DEFAULT)
    if row is None:
        raise Problem(Kind.NOT_FOUND, "No mail server is configured.")
    return row
