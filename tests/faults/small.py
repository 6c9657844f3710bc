"""A small process to be killed: store, directory, pipeline, intake, queue and relay, without doors.

It follows a script and tells of each step before it begins (`begin`), and when the house has answered (`done`):
`accept N` takes mail N in and is done with the Receipt; `release N` sends a held mail on; `purge` removes what ends
within six days; `rename` gives bob another address, `moved` waits until all his mail is there; `drain` delivers all
that waits; `wait` waits for nothing but the deliveries under way. The steps of one line run side by side.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import structlog
import uvloop
from tests.faults import mails

from gatepost.app import Gatepost
from gatepost.events import wall_clock
from gatepost.message.anatomy import Anatomy
from gatepost.message.mail import Opener
from gatepost.message.parse import dissect
from gatepost.model.access import Caller
from gatepost.model.address import parse_address
from gatepost.model.envelope import Body, Client, Direction, Envelope
from gatepost.model.problem import Problem
from gatepost.model.query import All, eq, every
from gatepost.model.route import Route
from gatepost.model.stored import Copy, Delivery, Message, Relocation
from gatepost.model.tenant import User
from gatepost.mta.intake import Answer
from gatepost.mta.sweep import Sweep
from gatepost.services.users import Users, UserUpdate
from gatepost.settings import Settings

DAY = 86_400_000
Line = Sequence[str]


class InLoop(Opener):
    """Opens every mail here: a process of its own would take most of the time, and loses nothing when it is killed."""

    async def delegate(self, body: Body) -> Anatomy:
        return dissect(_octets(body), self._limits)


class Small(Gatepost):
    """The house behind its doors."""

    def build(self) -> None:
        super().build()
        self.intake._opener = InLoop(self.settings.filters, self.settings.limits)

    async def _open_doors(self) -> None:
        """Open none."""

    def route_of(self, delivery: Delivery) -> Route:
        """Send everything to the smarthost of the settings."""
        return super().route_of(msgspec.structs.replace(delivery, platform_id=None))


class Walk:
    """One run of a script."""

    def __init__(self, house: Small, tell: Connection) -> None:
        self.house = house
        self.tell = tell

    async def step(self, text: str) -> None:
        verb, _, rest = text.partition(" ")
        self.tell.send(("begin", verb, rest))
        try:
            what = await getattr(self, verb)(int(rest or 0))
        except Problem as problem:
            self.tell.send(("failed", verb, rest, problem.kind.value))
        else:
            self.tell.send(("done", verb, rest, what))

    async def accept(self, number: int) -> str:
        intake, client = self.house.intake, Client(ip="192.0.2.7", helo="client.example")
        sender = parse_address(mails.SENDER)
        found = []
        for text in mails.recipients(number):
            found += await self.house.directory.resolve(parse_address(text), client, sender)
        draft = intake.draft()
        draft.write(mails.raw(number))
        envelope = Envelope(
            id=intake.new_id(),
            client=client,
            sender=sender,
            recipients=tuple(found),
            direction=Direction.IN,
            received=wall_clock(),
        )
        receipt = await intake.receive(envelope, draft)
        assert receipt.answer is Answer.ACCEPTED, receipt
        return receipt.id

    async def release(self, number: int) -> bool:
        reader = self.house.store.reader
        message = reader.first(Message, eq("message_id", mails.name(number)))
        assert message is not None
        copy = reader.first(Copy, every(eq("mail_id", message.id), eq("folder", "Quarantine")))
        assert copy is not None
        return await self.house.releases.requeue(copy, message)

    async def purge(self, _: int) -> int:
        then = wall_clock() + 6 * DAY
        sweep = Sweep(self.house.store, period=9e9, audit_days=1, clock=lambda: then, metrics=self.house.metrics)
        return await sweep.run()

    async def rename(self, _: int) -> None:
        store, root = self.house.store, Caller(admin_id=1, login="root", sys_admin=True)
        bob = store.reader.first(User, eq("email", mails.BOB))
        assert bob is not None
        await self.house.services.of(Users).update(root, bob.id, UserUpdate(email=mails.ROB), "")

    async def moved(self, _: int) -> None:
        """What is left is moved from the start on."""
        while self.house.store.reader.count(Relocation, All(())):
            await self.house.store.write(lambda writer: None)

    async def wait(self, _: int) -> None:
        await self.house.queue.idle()

    async def drain(self, _: int) -> int:
        """Return what is left in the queue after everything was tried twice."""
        for _ in range(2):
            await self.house.queue.moves.flush()
            await self.house.queue.idle()
        return len(self.house.queue)


async def follow(script: Sequence[Line], settings: Settings, tell: Connection) -> None:
    began = time.process_time()
    async with Small(settings) as house:
        tell.send(("open", house.store.faults, time.process_time() - began))
        walk = Walk(house, tell)
        for line in script:
            await asyncio.gather(*map(walk.step, line))
    tell.send(("closed",))


def _octets(body: Body) -> bytes:
    return body.data if body.path is None else Path(body.path).read_bytes()  # type: ignore[return-value]


def run(tell: Connection, settings: Settings, script: Sequence[Line]) -> None:
    """The process: wait for the word to go, then walk."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    tell.recv()
    uvloop.run(follow(script, settings, tell))
