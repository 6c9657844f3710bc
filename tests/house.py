"""A small world for tests of the road: a store with a served domain, its accounts, policies and rules."""

from pathlib import Path

import msgspec

from gatepost.events import Metrics
from gatepost.model.address import parse_address
from gatepost.model.envelope import Client, Role
from gatepost.model.policy import Policy, default_policy
from gatepost.model.route import Platform, Transport
from gatepost.model.tenant import Broker, Customer, Domain, Language, User
from gatepost.settings import Settings, StoreSettings
from gatepost.store.store import Store
from gatepost.store.writer import Writer

NOW = 1_774_457_446_695


class StillClock:
    """Stands until it is moved."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class World:
    """Rows that a test needs, made in a store."""

    def __init__(self, store: Store, clock: StillClock) -> None:
        self.store = store
        self.clock = clock

    async def add(self, item: object) -> object:
        return await self.store.write(lambda writer: writer.add(item))

    async def domain(self, name: str, *, hop: tuple[str, int] = ("127.0.0.1", 25), **fields: object) -> Domain:
        """Make a domain with the default policy (all services on) and one platform at `hop`."""
        policy = fields.pop("policy", {})

        def change(writer: Writer) -> Domain:
            customer = _customer(writer)
            row = Domain(
                customer_id=customer.id,
                name=name,
                default_language=Language.EN,
                creation_date=self.clock(),
                **fields,  # type: ignore[arg-type]
            )
            row = writer.add(row)
            props = default_policy(row.id, name, quarantine=True, retention=True, archive=True)
            props = writer.add(msgspec.structs.replace(props, **policy))  # type: ignore[arg-type]
            writer.add(
                Platform(
                    domain_id=row.id,
                    name="main",
                    transport_dest=hop[0],
                    transport_type=Transport.SMTP,
                    transport_port=hop[1],
                    default=True,
                )
            )
            changed = writer.change(Domain, row.id, policy_id=props.id)
            assert changed is not None
            return changed

        return await self.store.write(change)

    async def policy(self, domain: Domain, **fields: object) -> Policy:
        props = default_policy(domain.id, domain.name, quarantine=True, retention=True, archive=True)
        made = await self.add(msgspec.structs.replace(props, name=f"p{fields!r}"[:80], **fields))  # type: ignore[arg-type]
        assert isinstance(made, Policy)
        return made

    async def user(self, email: str, **fields: object) -> User:
        view = self.store.reader.domain(parse_address(email).domain)
        assert view is not None
        row = User(domain_id=view.id, email=email, language=Language.EN, creation_date=self.clock(), **fields)  # type: ignore[arg-type]
        made = await self.add(row)
        assert isinstance(made, User)
        return made


def _customer(writer: Writer) -> Customer:
    customer = writer.get(Customer, 1)
    if customer is not None:
        return customer
    broker = writer.add(Broker(name="Default", created_at=NOW))
    return writer.add(Customer(broker_id=broker.id, name="Default", created_at=NOW))


def open_store(directory: Path, clock: StillClock, **settings: object) -> Store:
    return Store.open(
        directory,
        clock=clock,
        metrics=Metrics(),
        settings=StoreSettings(directory=str(directory), **settings),  # type: ignore[arg-type]
    )


def settings(directory: Path, **sections: object) -> Settings:
    return msgspec.convert({"store": {"directory": str(directory)}, **sections}, Settings)


def client(**fields: object) -> Client:
    return Client(**{"ip": "192.0.2.7", "helo": "client.example", "role": Role.MX, **fields})  # type: ignore[arg-type]
