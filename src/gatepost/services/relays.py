"""Diagnoses the way to a customer's mail server: its main and fallback transport are connected to and asked."""

import asyncio
from collections.abc import Sequence

import msgspec

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.model.access import Caller
from gatepost.model.health import Code, Entry
from gatepost.model.problem import Problem
from gatepost.model.route import Hop
from gatepost.mta.probe import Prober
from gatepost.mta.routing import IMPLICIT_TLS_PORT, Target
from gatepost.services.platforms import AuthType
from gatepost.services.targets import Targets

PORTS = frozenset({25, IMPLICIT_TLS_PORT, 587, 2525})  # contract A72
SECONDS = 10.0  # for all of one diagnostic
_DEST = ("/transportDest", "/fallbackTransportDest")


class Attempt(msgspec.Struct, frozen=True):
    """A server to try: the address that its name was found to have, or why none was found."""

    hop: Hop
    ip: str
    failure: str


class Relays:
    """Tries out next hops; each address is looked up once, and that very address is connected to (threat 122)."""

    def __init__(self, prober: Prober, targets: Targets, resolver: Resolver, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._prober = prober
        self._targets = targets
        self._resolver = resolver

    async def run(
        self, caller: Caller, hops: Sequence[Hop], *, recipient: str = "", ref: int | None = None
    ) -> list[Entry]:
        """Return an entry for each server, the main one first; raise UNPROCESSABLE for one that may not be asked."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        attempts = [await self._attempt(caller, hop, at, until) for hop, at in zip(hops, _DEST, strict=False)]
        return list(await asyncio.gather(*(self._try(each, recipient, ref, until) for each in attempts)))

    async def _attempt(self, caller: Caller, hop: Hop, at: str, until: float) -> Attempt:
        try:
            async with asyncio.timeout_at(until):
                host = self._targets.host(caller, hop.host, at)
                ip = await self._targets.resolve(caller, host, self._resolver, at, private=hop.private)
                return Attempt(hop, ip, "")
        except Problem as problem:
            if hop.private or not self._targets.private(caller):
                raise
            return Attempt(hop, "", problem.detail)  # he may have it asked; who saved it may not
        except (Missing, DnsFailure) as error:
            return Attempt(hop, "", str(error))
        except TimeoutError:
            return Attempt(hop, "", f"no answer in time for {hop.host}")

    async def _try(self, attempt: Attempt, recipient: str, ref: int | None, until: float) -> Entry:
        hop = attempt.hop
        if attempt.failure:
            return Entry("SMTP", Code.ERROR, [f"Connecting to {hop.host}:{hop.port}", f"Fail: {attempt.failure}"], ref)
        target = Target(hop.host, attempt.ip, hop.port, hop.transport)
        try:
            async with asyncio.timeout_at(until):
                probed = await self._prober.probe(target, recipient)
        except TimeoutError:
            lines = [f"Connecting to {target.text}", f"Fail: it took longer than {self._seconds:g} seconds"]
            return Entry("SMTP", Code.ERROR, lines, ref)
        return Entry("SMTP", Code.OK if probed.ok else Code.ERROR, list(probed.lines), ref)


def stored_only(auth_type: str | None, api_type: str | None, ref: int | None) -> list[Entry]:
    """Return the entries of settings that are kept and not used yet."""
    entries = []
    if auth_type and auth_type != AuthType.LOCAL:
        text = f"Not tested: the settings are stored; signing in by {auth_type} is not used yet"
        entries.append(Entry("AUTH", Code.OK, [text], ref))
    if api_type:
        text = f"Not tested: the settings are stored; acting on delivered mail by {api_type} is not used yet"
        entries.append(Entry("API", Code.OK, [text], ref))
    return entries
