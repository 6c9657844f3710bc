"""Judges a mail as if it came in now, with everything as it is set, and keeps, learns and answers nothing."""

import asyncio
import ipaddress
from collections.abc import Sequence

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.envelope import Body, Client, Envelope, direction_of
from gatepost.model.problem import Kind, Problem
from gatepost.model.stored import TraceEvent
from gatepost.mta.directory import Directory
from gatepost.mta.intake import Intake
from gatepost.mta.rows import fresh_id
from gatepost.services.access import require
from gatepost.services.descriptions import Descriptions
from gatepost.services.makers import with_makers
from gatepost.services.records import unprocessable
from gatepost.services.trace import scope_of, sees
from gatepost.settings import Settings
from gatepost.store.store import Store

AT_ONCE = 2  # mails that are tried at the same time, so that those that come in don't wait


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How the mail is to come in: for whom (an address), from whom ("" or "<>": the null sender), from which client."""

    recipient: str
    sender: str = ""
    client_ip: str = "127.0.0.1"
    helo: str = ""


class DryRuns:
    """Tries mails. One must have the right to read the recipient's mail; of a group, others' members stay unnamed."""

    def __init__(self, store: Store, directory: Directory, intake: Intake, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._intake = intake
        self._clock = clock
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._descriptions = Descriptions(settings.filters)
        self.largest = settings.limits.message_bytes

    def check(self, caller: Caller, arrival: Arrival) -> Address:
        """Return for whom a mail is tried; raise Problem to who may not: asked before the mail itself is read."""
        recipient = _address(arrival.recipient, "/recipient")
        scope = scope_of(self._store.reader, recipient.text)
        require(caller, "MAILS_READ", scope)
        if scope is None:
            raise Problem(Kind.NOT_FOUND, "There is no such domain.")
        return recipient

    async def judge(self, caller: Caller, arrival: Arrival, data: bytes) -> tuple[TraceEvent, ...]:
        """Return the trace that the mail would have; raise Problem where it would be refused before its content."""
        recipient = self.check(caller, arrival)
        client = Client(ip=_ip(arrival.client_ip), helo=arrival.helo, esmtp=True)
        sender = _address(arrival.sender, "/sender") if arrival.sender not in ("", "<>") else None
        try:
            await self._directory.admit(client, sender)
            recipients = await self._directory.resolve(recipient, client, sender)
        except Problem as problem:
            raise unprocessable(f"It would be refused before its content: {problem.detail}.", "/recipient") from problem
        now = self._clock()
        envelope = Envelope(
            id=fresh_id(now),
            client=client,
            sender=sender,
            recipients=recipients,
            direction=direction_of(client, recipients),
            received=now,
            trial=True,
        )
        async with self._turns:
            events = await self._intake.dry_run(envelope, Body(len(data), data))
        return self._descriptions.beside(with_makers(self._store.reader, caller, self._seen(caller, events)))

    def _seen(self, caller: Caller, events: Sequence[TraceEvent]) -> list[TraceEvent]:
        return [each for each in events if each.mailbox is None or sees(self._store.reader, caller, each.mailbox)]


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Problem(Kind.MALFORMED, f"{text!r} is no IP address.", pointer="/clientIp") from error


def _address(text: str, pointer: str) -> Address:
    try:
        return parse_address(text)
    except BadAddress as error:
        raise Problem(Kind.MALFORMED, f"{text!r} is no address: {error}.", pointer=pointer) from error
