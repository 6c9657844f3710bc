"""Remembers the MTA-STS policies of domains that mail leaves for, over restarts too (RFC 8461 3.3, 5.1)."""

import asyncio

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.events import Clock, log
from gatepost.mailauth import records
from gatepost.model.problem import Problem
from gatepost.model.query import Any, Op, Where, eq
from gatepost.model.stored import StsPolicy
from gatepost.mta.sts import Fetcher, NoPolicy, Policy
from gatepost.store.store import Store
from gatepost.store.writer import Writer

YEAR = 31_557_600  # seconds; no policy is good for longer (RFC 8461 3.2)
PAUSE = 300_000  # milliseconds until a fetch that failed is tried again
REMEMBERED = 10_000  # domains


class StsPolicies:
    """One for the process."""

    def __init__(self, store: Store, fetcher: Fetcher, resolver: Resolver, clock: Clock) -> None:
        self._store = store
        self._fetcher = fetcher
        self._resolver = resolver
        self._clock = clock
        self._fetching: dict[str, asyncio.Task[StsPolicy]] = {}
        self._failed: dict[str, tuple[int, str]] = {}  # when a domain's policy could not be fetched, and its fault

    async def find(self, domain: str) -> Policy | None:
        """Return the policy in force; None where there is none; raise NoPolicy where that can't be told, or it can't be
        fetched. One that was known stays good until it expires, whatever DNS and the domain's web server say."""
        known = self._store.reader.first(StsPolicy, eq("domain", domain))
        if known is not None and known.expires <= self._clock():
            known = None
        try:
            told = await self._told(domain)
            if told is not None and (known is None or known.policy_id != told):
                known = await self._renewed(domain, told)
        except NoPolicy:
            if known is None:
                raise
        return Policy(known.mode, tuple(known.mx), 0) if known else None

    async def _told(self, domain: str) -> str | None:
        """The id of the policy that DNS tells of; None where it tells of none (RFC 8461 3.1)."""
        try:
            texts = await self._resolver.txt(f"_mta-sts.{domain}")
        except Missing:
            return None
        except DnsFailure as error:
            raise NoPolicy(f"whether {domain} has an MTA-STS policy can't be told: no answer from DNS") from error
        found = records.of_version(texts, "STSv1")
        return records.tags(found[0]).get("id") if len(found) == 1 else None

    async def _renewed(self, domain: str, told: str) -> StsPolicy:
        last, fault = self._failed.get(domain, (-PAUSE, ""))
        if 0 <= self._clock() - last < PAUSE:
            raise NoPolicy(f"the MTA-STS policy of {domain} could not be fetched", fault)
        task = self._fetching.get(domain)
        if task is None:
            task = self._fetching[domain] = asyncio.create_task(self._fetch(domain, told))
            task.add_done_callback(lambda done: self._fetching.pop(domain, None))
        return await asyncio.shield(task)

    async def _fetch(self, domain: str, told: str) -> StsPolicy:
        try:
            policy = await self._fetcher.fetch(domain)
        except NoPolicy as error:
            log.warning("MTA-STS policy not fetched", domain=domain, why=str(error))
            self._note_failure(domain, error.fault)
            raise
        age = min(policy.max_age, YEAR)
        row = StsPolicy(
            domain=domain,
            policy_id=told,
            mode=policy.mode,
            mx=list(policy.mx),
            expires=self._clock() + age * 1000,
            max_age=age,
        )
        try:
            await self._store.write(lambda writer: _keep(writer, row, self._clock()))
        except Problem as problem:  # it is good for this mail all the same
            log.error("MTA-STS policy not kept", domain=domain, why=problem.detail)
        return row

    def _note_failure(self, domain: str, fault: str) -> None:
        if len(self._failed) >= REMEMBERED:
            self._failed.clear()
        self._failed[domain] = self._clock(), fault


def _keep(writer: Writer, row: StsPolicy, now: int) -> None:
    """Put a policy in the place of the domain's old one; what has expired goes."""
    writer.remove(StsPolicy, Any((eq("domain", row.domain), Where("expires", Op.LE, now))))
    writer.add(row)
