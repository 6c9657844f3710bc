"""Asks a domain's platform whether an address exists, and remembers what it said (rules 7)."""

import asyncio
from collections import OrderedDict

import msgspec

from gatepost.events import Clock, log
from gatepost.model.address import Address
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Platform, platform_route
from gatepost.mta.outcome import Reply, own
from gatepost.mta.relay import Relay
from gatepost.mta.routing import Unroutable

YES_LIFE = 86_400_000
NO_LIFE = 600_000
PATIENCE = 10.0  # seconds that a client waits for an answer
QUESTION = 60.0  # seconds that a platform has for it: what comes too late for a client serves his next try
AT_ONCE = 10  # questions to one platform
REMEMBERED = 100_000  # addresses

_SILENCE = own("4.4.1", "no answer in time")

Place = tuple[int, str, int, str]  # an address at a platform, which may be moved to another server


class Known(msgspec.Struct, frozen=True):
    """What a platform said of an address; `until` in epoch milliseconds."""

    exists: bool
    until: int


class Verifier:
    """One for the process. Equal questions under way are asked once."""

    def __init__(self, relay: Relay, clock: Clock, *, patience: float = PATIENCE) -> None:
        self._relay = relay
        self._clock = clock
        self._patience = patience
        self._known: OrderedDict[Place, Known] = OrderedDict()
        self._asking: dict[Place, asyncio.Task[Reply]] = {}
        self._gates: dict[int, asyncio.Semaphore] = {}

    async def verify(self, address: Address, platform: Platform) -> None:
        """Return when the address exists; raise Problem(UNKNOWN_USER), or Problem(UNVERIFIED) where nobody can say.

        An address that was good when last asked about stays good while its platform can't be asked.
        """
        place = (platform.id, platform.transport_dest, platform.transport_port, address.key)
        known = self._known.get(place)
        if known is not None and 0 < known.until - self._clock() <= _life(exists=known.exists):
            return _answer(platform, exists=known.exists)
        reply = await self._ask(place, address, platform)
        if not reply.status.startswith(("2", "5")) and (known is None or not known.exists):
            raise Problem(Kind.UNVERIFIED, "the address can't be verified now", why=reply.line, platform=platform.id)
        return _answer(platform, exists=not reply.status.startswith("5"))

    async def close(self) -> None:
        """Give up the questions that are under way."""
        asking = list(self._asking.values())
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, place: Place, address: Address, platform: Platform) -> Reply:
        asking = self._asking.get(place)
        if asking is None:
            asking = self._asking[place] = asyncio.create_task(self._question(place, address, platform))
            asking.add_done_callback(lambda done: self._asking.pop(place, None))
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(asking)
        except TimeoutError:
            return _SILENCE

    async def _question(self, place: Place, address: Address, platform: Platform) -> Reply:
        """Ask, and remember the answer, whether or not somebody still waits for it."""
        reply = await self._in_turn(address, platform)
        if reply.status.startswith(("2", "5")):
            self._keep(place, exists=reply.status.startswith("2"))
        log.info("verified", address=address.text, platform=platform.id, reply=reply.line)
        return reply

    async def _in_turn(self, address: Address, platform: Platform) -> Reply:
        gate = self._gates.setdefault(platform.id, asyncio.Semaphore(AT_ONCE))
        try:
            async with asyncio.timeout(self._patience):
                await gate.acquire()
        except TimeoutError:
            return own("4.4.5", "too many questions to the server at once")
        try:
            async with asyncio.timeout(QUESTION):
                return await self._relay.probe(platform_route(platform), address)
        except TimeoutError:
            return _SILENCE
        except Unroutable as error:
            return error.reply
        finally:
            gate.release()

    def _keep(self, place: Place, *, exists: bool) -> None:
        self._known[place] = Known(exists, self._clock() + _life(exists=exists))
        self._known.move_to_end(place)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _life(*, exists: bool) -> int:
    return YES_LIFE if exists else NO_LIFE


def _answer(platform: Platform, *, exists: bool) -> None:
    if not exists:
        raise Problem(Kind.UNKNOWN_USER, "no such mailbox", why=f"{platform.transport_dest} does not know it")
