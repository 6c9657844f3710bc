"""What was refused before DATA: told one by one at first, then only counted, so that a flood fills nothing."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable

import msgspec

from gatepost.events import Clock, keep, log
from gatepost.model.address import Address
from gatepost.model.envelope import Client
from gatepost.model.network import network
from gatepost.model.problem import Problem
from gatepost.model.stored import Message, TraceEvent
from gatepost.mta.judge import DAY
from gatepost.mta.rows import fresh_id, origin
from gatepost.settings import Trace
from gatepost.store.store import Pace, Store, Writer

HOUR = 3_600_000
TOLD = 20  # refusals of one network, code and hour that are told in full
WAITING = 1000  # refusals that may wait to be written; beyond that they are counted too
KEYS = 10_000  # networks, codes and hours remembered at once
PERIOD = 1.0  # seconds between two writings

Key = tuple[int, str, str]


class _Refused(msgspec.Struct, frozen=True):
    message: Message
    trace: list[TraceEvent]


class Refusals:
    """Collects in memory, writes behind everything else; what can't be written is dropped with a line in the log."""

    def __init__(self, store: Store, settings: Trace, *, clock: Clock, new_id: Callable[[], str] | None = None) -> None:
        self._store = store
        self._term = settings.refused_days * DAY
        self._clock = clock
        self._new_id = new_id or (lambda: fresh_id(clock()))
        self._seen: Counter[Key] = Counter()
        self._told: deque[_Refused] = deque()
        self._counted: Counter[Key] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = keep(self._forever, "refusals")

    async def stop(self) -> None:
        """Write what is collected, then end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.write()

    def note(
        self, client: Client, sender: Address | None, recipient: Address | None, code: str, text: str, why: str = ""
    ) -> None:
        """Remember a refusal; `code` is "550 5.7.1", `text` what the client was told, `why` what he was not told.

        Never waits.
        """
        key = (self._clock() // HOUR, network(client.ip), code)
        if len(self._seen) >= KEYS:
            self._seen.clear()
        self._seen[key] += 1
        if self._seen[key] > TOLD or len(self._told) >= WAITING:
            self._counted[key] += 1
        else:
            told = {"why": why, **origin(client, sender)} if why else origin(client, sender)
            event = TraceEvent(
                at=self._clock(),
                event="rejected",
                mailbox=recipient.key if recipient else None,
                text=f"{code} {text}",
                data=told,
            )
            self._told.append(_Refused(self._message(client, sender), [event]))

    async def write(self) -> None:
        """Write what is collected, in one item behind all others."""
        told, self._told = self._told, deque()
        counted, self._counted = self._counted, Counter()
        if not told and not counted:
            return
        until = self._clock() + self._term

        def change(writer: Writer) -> None:
            for each in told:
                writer.refuse(each.message, each.trace, until)
            for (hour, net, code), count in counted.items():
                writer.tally(hour, net, code, count)

        try:
            await self._store.write(change, pace=Pace.SLOW)
        except Problem as problem:
            log.warning("refusals not kept", count=len(told) + counted.total(), why=problem.detail)

    async def _forever(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            await self.write()

    def _message(self, client: Client, sender: Address | None) -> Message:
        return Message(
            id=self._new_id(),
            received=self._clock(),
            size=0,
            direction="in",
            sender=sender.text if sender else "",
            client_ip=client.ip,
            helo=client.helo,
            message_id="",
            subject="",
            header_from="",
            header_to="",
            header_cc="",
            sent=None,
            esmtp=client.esmtp,
            tls=client.tls,
            login=client.login.email if client.login else None,
        )
