"""Tries out an outgoing relay with a real mail, at once and beside the queue, and tells what the server said."""

import asyncio

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.events import Clock
from gatepost.message.compose import Letter, Party, compose
from gatepost.model.access import Caller
from gatepost.model.address import Address
from gatepost.model.connection import Connection, connection_route
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.mta.probe import Prober
from gatepost.mta.routing import Target
from gatepost.mta.rows import fresh_id
from gatepost.mta.transaction import Parcel, Taker
from gatepost.services.records import unprocessable
from gatepost.services.targets import Targets
from gatepost.services.throttle import Throttle

SECONDS = 20.0  # for all of one test
MINUTE = 60_000
_TEXT = "This mail was sent to try out the settings of an outgoing mail server. They work.\n"


class Trial:
    """Sends test mails; nothing of them is kept. One caller may send `per_minute`."""

    def __init__(
        self, prober: Prober, targets: Targets, resolver: Resolver, hostname: str, *, per_minute: int, clock: Clock
    ) -> None:
        self._prober = prober
        self._targets = targets
        self._resolver = resolver
        self._hostname = hostname
        self._clock = clock
        self._sent = Throttle(per_minute, MINUTE, clock)

    async def send(
        self,
        caller: Caller,
        connection: Connection,
        password: str | None,
        sender: Address,
        recipient: Address,
        *,
        at: str = "/host",
    ) -> str:
        """Send a mail over a connection, saved or not, and return the server's answer to it; `at` names its host.

        Raises UNPROCESSABLE with the server's words where it takes none, or the caller may not have that server asked.
        """
        if wait := self._sent.wait(caller.login):
            raise Problem(Kind.TOO_MANY, "Too many test mails; try later.", retry_after=wait)
        self._sent.refuse(caller.login)
        try:
            async with asyncio.timeout(SECONDS):
                target = await self._target(caller, connection, password, at)
                reply = await self._prober.hand_over(target, self._parcel(sender, recipient))
        except (Missing, DnsFailure) as error:
            raise unprocessable(f"The server was not found: {error}.", at) from error
        except TimeoutError as error:
            raise unprocessable(f"The server did not take the mail within {SECONDS:g} seconds.", at) from error
        if reply.code >= 300 or not reply.code:
            raise Problem(Kind.UNPROCESSABLE, f"The server did not take the mail: {reply.line}")
        return reply.line

    async def _target(self, caller: Caller, connection: Connection, password: str | None, at: str) -> Target:
        (hop,) = connection_route(connection, password).hops
        host = self._targets.host(caller, hop.host, at)
        ip = await self._targets.resolve(caller, host, self._resolver, at, private=connection.private)
        return Target(host, ip, hop.port, hop.transport, hop.terms)

    def _parcel(self, sender: Address, recipient: Address) -> Parcel:
        now = self._clock()
        letter = Letter(
            sender=Party(sender.text),
            to=[Party(recipient.text)],
            subject="Test of an outgoing mail server",
            text=_TEXT,
            date=now,
            message_id=f"{fresh_id(now)}@{self._hostname}",
            automatic="auto-generated",
        )
        data = compose(letter)
        takers = (Taker(recipient.text),)
        return Parcel(sender=sender.text, takers=takers, head=b"", body=Body(len(data), data), offset=0)
