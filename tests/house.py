"""A small world for tests of the road: a store with a served domain, its accounts, policies and rules."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiosmtplib
import msgspec
from argon2 import PasswordHasher
from tests.peers.names import Names
from tests.peers.sink import Sink
from tests.ready import lay_store

from gatepost.app import Gatepost
from gatepost.events import Clock, Metrics, wall_clock
from gatepost.model.access import Caller
from gatepost.model.address import parse_address
from gatepost.model.envelope import Client, Role
from gatepost.model.policy import Policy, default_policy
from gatepost.model.query import All, Query, eq
from gatepost.model.route import Platform, Transport
from gatepost.model.stored import Copy, TraceEvent
from gatepost.model.tenant import Broker, Customer, Domain, Language, User
from gatepost.services.access import Access
from gatepost.services.passwords import Passwords
from gatepost.services.proof import Proof
from gatepost.services.rights import Book
from gatepost.services.signin import SignIn
from gatepost.services.totp import Totp
from gatepost.settings import Settings, StoreSettings
from gatepost.store.store import Store
from gatepost.store.writer import Writer

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
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

    def owner(self, user: User) -> Caller:
        """Return the owner of a mailbox as he calls."""
        return Book(self.store).caller(user)

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
    lay_store(directory)
    return Store.open(
        directory,
        clock=clock,
        metrics=Metrics(),
        settings=StoreSettings(directory=str(directory), **settings),  # type: ignore[arg-type]
    )


async def overtaking(store: Store, change: Callable[[Writer], object]) -> "asyncio.Task[object]":
    """Begin a change that is made, and committed by itself, as soon as the next one waits behind it."""
    begun = threading.Event()

    def run(writer: Writer) -> object:
        begun.set()
        queue = store._committer._queue
        queue.put(queue.get(timeout=10))
        return change(writer)

    task = asyncio.create_task(store.write(run))
    assert await asyncio.to_thread(begun.wait, 10)
    return task


def make_sign_in(
    store: Store, settings: Settings, clock: Clock, metrics: Metrics, hasher: PasswordHasher = CHEAP
) -> tuple[Access, SignIn]:
    """Make the rooms that let people in, with passwords that cost nothing."""
    passwords = Passwords(clock, hasher)
    access = Access(store, settings, clock, metrics)
    totp = Totp(store, Proof(passwords, clock), clock)
    return access, SignIn(store, settings, access, passwords, totp, clock, metrics)


def settings(directory: Path, **sections: object) -> Settings:
    return msgspec.convert({"store": {"directory": str(directory)}, **sections}, Settings)


def client(**fields: object) -> Client:
    return Client(**{"ip": "192.0.2.7", "helo": "client.example", "role": Role.MX, **fields})  # type: ignore[arg-type]


class House(World):
    """A whole Gatepost on loopback with a served domain, a sink as its platform, and a client that talks to it."""

    def __init__(self, gatepost: Gatepost, clock: StillClock, sink: Sink) -> None:
        super().__init__(gatepost.store, clock)
        self.gatepost = gatepost
        self.sink = sink

    @property
    def port(self) -> int:
        return self.gatepost.listeners.addresses[0][2]

    async def send(
        self,
        raw: bytes,
        *recipients: str,
        sender: str = "ada@world.example",
        role: Role = Role.MX,
        tls: ssl.SSLContext | None = None,
        options: str = "",
    ) -> aiosmtplib.SMTPResponse:
        """Hand a mail in over SMTP, with `options` of MAIL; return the reply to its last dot, or the first refusal."""
        port = next(port for kind, _, port in self.gatepost.listeners.addresses if kind is role)
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, local_hostname="client.example", start_tls=False)
        async with client:
            await client.ehlo()
            if tls is not None:
                await client.starttls(tls_context=tls)
                await client.ehlo()
            reply = await client.execute_command(b"MAIL", f"FROM:<{sender}> {options}".strip().encode())
            for recipient in recipients:
                if reply.code < 400:
                    reply = await client.execute_command(b"RCPT", f"TO:<{recipient}>".encode())
            if reply.code >= 400:
                return reply
            try:
                return await client.data(raw)
            except aiosmtplib.SMTPDataError as refused:
                return aiosmtplib.SMTPResponse(refused.code, refused.message)

    def copies(self, folder: str | None = None) -> list[Copy]:
        page = self.store.reader.find(Copy, Query(where=eq("folder", folder) if folder else All(())))
        return page.items

    def trace(self, mail_id: str) -> list[TraceEvent]:
        return self.store.reader.trace(mail_id)


def queued_as(reply: aiosmtplib.SMTPResponse) -> str:
    """Return the mail's id, which every last reply names."""
    assert reply.message, reply
    return reply.message.rpartition(" ")[2].removeprefix("id=")


@contextlib.asynccontextmanager
async def living(directory: Path, *, sink: Sink | None = None, **sections: Any) -> AsyncIterator[House]:
    """Open a whole Gatepost in `directory` with `served.example` (all services on) and bob@served.example."""
    clock = StillClock(wall_clock())
    async with contextlib.AsyncExitStack() as stack:
        hop = await stack.enter_async_context(sink or Sink())
        base: dict[str, Any] = {
            "http": {"listen": []},
            "smtp": {
                "hostname": "gate.example",
                "listener": [
                    {"role": "mx", "listen": "127.0.0.1:0"},
                    {"role": "trusted", "listen": "127.0.0.1:0"},
                ],
            },
            "relay": {"smarthost": f"127.0.0.1:{hop.port}", "allow_private_destinations": True},
            "store": {"directory": str(directory / "state"), "reserve_bytes": 0, "reserve_percent": 0.0},
        }
        if "dns" not in sections:
            names = await stack.enter_async_context(
                Names({f"{name}.example": [f"MX 10 mx.{name}.example."] for name in ("world", "far")})
            )
            base["dns"] = {"servers": [names.address]}
        for name, values in sections.items():
            base[name] = {**base.get(name, {}), **values}
        lay_store(directory / "state")
        gatepost = Gatepost(msgspec.convert(base, Settings), clock=clock, passwords=Passwords(clock, CHEAP))
        await stack.enter_async_context(gatepost)
        house = House(gatepost, clock, hop)
        if gatepost.store.reader.domain("served.example") is None:
            await house.domain("served.example", hop=("127.0.0.1", hop.port))
            await house.user("bob@served.example")
        yield house
