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
PATIENCE = 10.0  # seconds for one question in all
AT_ONCE = 10  # questions to one platform
REMEMBERED = 100_000  # addresses

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
        if reply.status.startswith("2"):
            self._keep(place, exists=True)
        elif reply.status.startswith("5"):
            self._keep(place, exists=False)
        elif known is None or not known.exists:
            raise Problem(Kind.UNVERIFIED, "the address can't be verified now", why=reply.line, platform=platform.id)
        return _answer(platform, exists=not reply.status.startswith("5"))

    async def _ask(self, place: Place, address: Address, platform: Platform) -> Reply:
        asking = self._asking.get(place)
        if asking is None:
            asking = self._asking[place] = asyncio.create_task(self._probe(address, platform))
            asking.add_done_callback(lambda done: self._asking.pop(place, None))
        return await asyncio.shield(asking)

    async def _probe(self, address: Address, platform: Platform) -> Reply:
        gate = self._gates.setdefault(platform.id, asyncio.Semaphore(AT_ONCE))
        try:
            async with asyncio.timeout(self._patience), gate:
                reply = await self._relay.probe(platform_route(platform), address)
        except TimeoutError:
            reply = own("4.4.1", "no answer in time")
        except Unroutable as error:
            reply = error.reply
        log.info("verified", address=address.text, platform=platform.id, reply=reply.line)
        return reply

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
