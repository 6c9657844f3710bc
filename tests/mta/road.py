"""A small road for tests of the queue: a real store, a real relay, next hops that the test scripts."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
from tests.house import NOW, StillClock, open_store, settings
from tests.peers.sink import Sink

from gatepost.dns import Resolver
from gatepost.events import Metrics
from gatepost.model.envelope import Body, TlsWish
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.route import Hop, Route, Transport
from gatepost.model.stored import Copy, Delivery, Message
from gatepost.mta.queue import Queue
from gatepost.mta.relay import Relay
from gatepost.settings import Dns
from gatepost.store.store import Store

TEXT = b"Subject: hello\r\nFrom: a@from.test\r\n\r\nBody.\r\n"
MINUTE = 60_000


class Road:
    """`domains` says which server takes mail for a domain; a domain that is not in it has no way."""

    def __init__(self, directory: Path, **sections: object) -> None:
        times = {"connect_timeout": 20.0, "command_timeout": 20.0, "data_timeout": 20.0}
        given = sections.pop("relay", {})
        assert isinstance(given, dict)
        self.directory = directory
        self.settings = settings(directory, relay={**times, **given}, **sections)
        self.clock = StillClock()
        self.domains: dict[str, Route] = {}
        self.metrics = Metrics()
        self._ids = itertools.count(1)
        self.store: Store
        self.relay: Relay
        self.queue: Queue

    async def open(self) -> "Road":
        self.store = open_store(self.directory, self.clock)
        resolver = Resolver(Dns(servers=["127.0.0.1:1"], timeout=0.2), self.clock)
        self.relay = Relay(self.settings.relay, "gate.test", resolver, metrics=self.metrics, clock=self.clock)
        self.queue = Queue(
            self.store,
            self.relay,
            self._route,
            self.settings,
            "gate.test",
            clock=self.clock,
            metrics=self.metrics,
            new_id=self.new_id,
        )
        await self.queue.start()
        return self

    async def close(self, grace: float = 2.0) -> None:
        """Stop in good order; may be called twice."""
        await self.queue.stop(grace)
        await self.relay.close()
        await self.store.close()

    def new_id(self) -> str:
        return f"{next(self._ids):032x}"

    def to(self, domain: str, *sinks: Sink, limit: int | None = None) -> None:
        hops = tuple(Hop("127.0.0.1", sink.port, Transport.SMTP) for sink in sinks)
        self.domains[domain] = Route(hops=hops, max_connections=limit)

    def _route(self, delivery: Delivery) -> Route:
        domain = delivery.recipient.rpartition("@")[2]
        if domain not in self.domains:
            raise Problem(Kind.UNPROCESSABLE, f"no way to {domain}")
        return self.domains[domain]

    async def keep(
        self, *recipients: str, data: bytes = TEXT, **fields: object
    ) -> tuple[Message, list[Delivery], Body]:
        """Store a mail with a delivery for each recipient, as the intake does."""
        now = self.clock()
        sender = str(fields.pop("sender", "a@from.test"))
        wish = TlsWish(str(fields.pop("tls_wish", "")))
        message = Message(
            id=self.new_id(),
            received=now,
            size=len(data),
            direction="in",
            sender=sender,
            client_ip="192.0.2.1",
            helo="client.test",
            message_id="<m@from.test>",
            subject="hello",
            header_from=sender,
            header_to="",
            header_cc="",
            sent=now,
            esmtp=True,
            tls_wish=wish,
        )
        life = self.settings.queue.life * 1000
        ways = [
            Delivery(
                **{  # type: ignore[arg-type]
                    "mail_id": message.id,
                    "recipient": recipient,
                    "sender": sender,
                    "due": now,
                    "expires": now + life,
                    "created": now,
                    "proven": True,
                    **fields,
                }
            )
            for recipient in recipients
        ]
        draft = self.store.spool.draft()
        draft.write(data)
        body = await self.store.spool.adopt(await self.store.spool.finish(draft), message.id)
        kept = await self.store.write(lambda writer: writer.keep(message, body, [], ways, [], now + life))
        made = [msgspec.structs.replace(way, id=id) for way, id in zip(ways, kept.deliveries, strict=True)]
        return message, made, body

    async def send(self, *recipients: str, data: bytes = TEXT, **fields: object) -> list[int]:
        """Store a mail and push it; return the ids of its deliveries."""
        message, made, body = await self.keep(*recipients, data=data, **fields)
        self.queue.push(message, made, body)
        return [each.id for each in made]

    def row(self, delivery_id: int) -> Delivery:
        found = self.store.reader.get(Delivery, delivery_id)
        assert found is not None
        return found

    def state(self, delivery_id: int) -> str:
        return self.row(delivery_id).state.value

    def rows(self) -> list[Delivery]:
        return self.store.reader.find(Delivery, Query()).items

    def reports(self) -> list[Delivery]:
        return [row for row in self.rows() if row.sender == "" and row.proven]

    def held(self) -> list[Copy]:
        return self.store.reader.find(Copy, Query(where=eq("folder", "System"))).items

    async def quiet(self, seconds: float = 60.0) -> None:
        """Wait until nothing is under way."""
        await self.until(lambda: self.queue.under_way == 0, seconds)

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the queue tells nobody when it is done
                await asyncio.sleep(0.002)

    async def later(self, minutes: float) -> None:
        """Let time pass, and what is due be tried."""
        self.clock.now += int(minutes * MINUTE)
        self.relay.pool.wake()
        self.queue.wake()
        await self.quiet()


__all__ = ["MINUTE", "NOW", "TEXT", "Road"]
