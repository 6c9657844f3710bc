"""A front door over a real store and directory, a keeper that takes what comes through it, and a blunt client."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import trustme
from tests.house import CHEAP, StillClock, World, make_sign_in, open_store

from gatepost.events import Metrics
from gatepost.model.address import Address
from gatepost.model.envelope import Body, Client, Envelope
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Platform
from gatepost.model.tenant import DomainStatus, UserStatus
from gatepost.mta.directory import Directory
from gatepost.mta.intake import Answer, Receipt
from gatepost.settings import Settings
from gatepost.smtp.listener import Listeners
from gatepost.store.blobs import Draft
from gatepost.store.store import Store

PASSWORD = "correct horse"
HOST = "gate.example"
PATIENCE = 60.0


class Keeper:
    """Takes mails as the intake does, and answers as it is told; what it took lies in `mails`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._count = 0
        self.mails: list[tuple[Envelope, bytes]] = []
        self.drafts: list[Draft] = []
        self.refusals: list[tuple[str | None, str]] = []
        self.answer: Receipt | Exception | None = None
        self.full = False
        self.wait: asyncio.Event | None = None
        self.began = asyncio.Event()

    def new_id(self) -> str:
        self._count += 1
        return f"{self._count:032x}"

    def admit(self, client: Client, sender: Address | None, recipients: int = 1, before: int = 0) -> None:
        """Nobody is slowed here."""

    def draft(self) -> Draft:
        if self.full:
            raise Problem(Kind.FULL, "no space left for mail")
        draft = self._store.spool.draft()
        self.drafts.append(draft)
        return draft

    def note_refusal(
        self, client: Client, sender: Address | None, recipient: Address | None, code: str, text: str, why: str = ""
    ) -> None:
        self.refusals.append((recipient.key if recipient else None, code))

    async def receive(self, envelope: Envelope, draft: Draft) -> Receipt:
        body = await self._store.spool.finish(draft)
        self.began.set()
        if self.wait is not None:
            await self.wait.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        self.mails.append((envelope, _octets(body)))
        if self.answer is not None:
            return msgspec.structs.replace(self.answer, id=envelope.id)
        return Receipt(envelope.id, Answer.ACCEPTED)


def _octets(body: Body) -> bytes:
    return body.data if body.data is not None else Path(body.path or "").read_bytes()


class Talk:
    """A client that says exactly what it is told, octet by octet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.writer.write(chunk)
            await self.writer.drain()

    async def reply(self) -> str:
        """Return the next reply, its lines joined by LF; "" when the connection is closed."""
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE):
            while not lines or lines[-1][3:4] == "-":
                line = await self.reader.readline()
                if not line:
                    break
                assert line.endswith(b"\r\n"), line
                lines.append(line[:-2].decode("ascii"))
        return "\n".join(lines)

    async def ask(self, line: str | bytes) -> str:
        await self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def rest(self) -> bytes:
        """Return what comes until the server closes; raise where it resets the connection instead."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def hello(self) -> "Talk":
        assert (await self.reply()).startswith("220 ")
        assert (await self.ask("EHLO client.example")).startswith("250-")
        return self

    async def begin(self, sender: str = "<ada@world.example>", to: str = "<bob@ours.example>") -> None:
        """Tell an envelope and get to the mail's data."""
        assert (await self.ask(f"MAIL FROM:{sender}")).startswith("250 ")
        assert (await self.ask(f"RCPT TO:{to}")).startswith("250 ")
        assert (await self.ask("DATA")).startswith("354 ")

    async def mail(self, data: bytes) -> str:
        await self.begin()
        await self.send(data)
        return await self.reply()

    async def cover(self, authority: trustme.CA) -> None:
        """Begin TLS."""
        await self.writer.start_tls(_trusting(authority), server_hostname=HOST)

    async def close(self) -> None:
        self.writer.close()


@cache
def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@cache
def _issued() -> tuple[trustme.CA, trustme.LeafCert]:
    authority = trustme.CA()
    return authority, authority.issue_cert(HOST)


class Front:
    """What a test holds of a front door."""

    def __init__(self, listeners: Listeners, keeper: Keeper, world: World, metrics: Metrics) -> None:
        self.listeners = listeners
        self.keeper = keeper
        self.world = world
        self.metrics = metrics
        self.known = {"known@ours.example"}
        self.silent: set[str] = set()
        self.healthy = True
        self.authority: trustme.CA | None = None
        self.talks: list[Talk] = []

    @property
    def mails(self) -> list[tuple[Envelope, bytes]]:
        return self.keeper.mails

    async def verify(self, address: Address, platform: Platform) -> None:
        if address.key in self.silent:
            raise Problem(Kind.UNVERIFIED, "the mail server of the domain gave no answer")
        if address.key not in self.known:
            raise Problem(Kind.UNKNOWN_USER, "no such mailbox")

    async def connect(self, index: int = 0, host: str | None = None) -> Talk:
        _, bound, port = self.listeners.addresses[index]
        talk = Talk(*await asyncio.open_connection(host or bound, port))
        self.talks.append(talk)
        return talk

    async def hello(self, index: int = 0) -> Talk:
        return await (await self.connect(index)).hello()

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


async def furnish(world: World) -> None:
    """Give the world the domains and accounts that the dialogs speak of."""
    await world.domain("ours.example", outgoing_subnets=["127.0.0.0/8"], policy={"outgoing": True})
    hashed = CHEAP.hash(PASSWORD)
    for name in ("bob", "carol", "o'neil", "bob+tag", "postmaster"):
        await world.user(f"{name}@ours.example", password_hash=hashed)
    await world.user("gone@ours.example", status=UserStatus.DISABLED)
    await world.user('"odd @name"@ours.example')
    await world.domain("off.example", status=DomainStatus.DISABLED)
    await world.domain("soon.example", status=DomainStatus.PENDING)
    await world.domain("away.example", status=DomainStatus.DELETED)


@asynccontextmanager
async def front(
    directory: Path,
    *,
    listeners: list[dict[str, Any]] | None = None,
    certificate: bool = False,
    environ: Mapping[str, str] | None = None,
    window: float = 60.0,
    clock: Callable[[], int] | None = None,
    **sections: Any,
) -> AsyncIterator[Front]:
    """Open listeners on free ports; `sections` are tables of the settings."""
    still = StillClock()
    store = open_store(directory / "state", still)
    world = World(store, still)
    await furnish(world)
    metrics = Metrics()
    smtp: dict[str, Any] = {"hostname": HOST, **sections.pop("smtp", {})}
    smtp["listener"] = [{"listen": "127.0.0.1:0", **each} for each in listeners or [{}]]
    authority = None
    if certificate:
        authority, leaf = _issued()
        smtp["certificate"] = _written(leaf, directory / "server.pem")
    settings = msgspec.convert({"store": {"directory": str(directory / "state")}, "smtp": smtp, **sections}, Settings)
    keeper = Keeper(store)
    holder = SimpleNamespace()

    async def has_mail(name: str) -> bool:
        return name != "nomail.example"

    async def verify(address: Address, platform: Platform) -> None:
        await holder.front.verify(address, platform)

    doors = Listeners(
        settings,
        Directory(store, settings, clock=still, srs_key=b"k" * 32, verify=verify, has_mail=has_mail),
        keeper,  # type: ignore[arg-type]
        make_sign_in(store, settings, still, metrics)[1],
        HOST,
        clock or still,
        metrics,
        lambda: None if holder.front.healthy else Problem(Kind.UNAVAILABLE, "the store is broken"),
        environ=environ or {},
        window=window,
    )
    holder.front = opened = Front(doors, keeper, world, metrics)
    opened.authority = authority
    try:
        await doors.start()
        yield opened
    finally:
        for talk in opened.talks:
            await talk.close()
        await doors.stop(0.0)
        await store.close()


def issue(directory: Path, name: str = "server.pem") -> tuple[trustme.CA, str]:
    """Make a new authority and a certificate file of it, the key in the same file."""
    authority = trustme.CA()
    return authority, _written(authority.issue_cert(HOST), directory / name)


def _written(leaf: trustme.LeafCert, path: Path) -> str:
    leaf.private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)
