"""Counts how TLS fared with the hosts of the domains that mail leaves for, each day, for the reports to them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

import msgspec

from gatepost.events import Clock, log
from gatepost.model.problem import Problem
from gatepost.model.query import Query, eq, every
from gatepost.model.stored import StsPolicy
from gatepost.model.tls_reports import PolicyType, TlsResult
from gatepost.store.store import Pace, Store
from gatepost.store.writer import Writer

DAY = 86_400_000
MOST = 50_000  # different results in memory
SLICE = 200  # results of one writing, so that none holds the writer for long (rules 17)


class _Key(msgspec.Struct, frozen=True):
    day: int
    domain: str
    policy_type: PolicyType
    policy: tuple[str, ...]
    result: str
    host: str
    ip: str


class TlsResults:
    """One for the process. What was counted since the last `flush` is lost with the process, no more."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counts: Counter[_Key] = Counter()

    def note(
        self,
        domain: str,
        policy_type: PolicyType,
        result: str = "",
        *,
        policy: Sequence[str] = (),
        host: str = "",
        ip: str = "",
    ) -> None:
        """Count a session with a domain's host; `policy` are TLSA records, a policy of MTA-STS is known here."""
        key = _Key(self._clock() // DAY, domain, policy_type, tuple(policy), result, host, ip)
        if key in self._counts or len(self._counts) < MOST:
            self._counts[key] += 1

    async def flush(self) -> None:
        """Add what was counted to what the store holds, behind all mail; what that does not take is added later."""
        while self._counts:
            chosen = {key: self._counts.pop(key) for key in list(islice(self._counts, SLICE))}
            try:
                await self._store.write(partial(_add_all, chosen), pace=Pace.SLOW)
            except Problem as problem:
                log.warning("results of TLS not kept yet", why=problem.detail)
                self._counts.update(chosen)
                return


def _add_all(counts: Mapping[_Key, int], writer: Writer) -> None:
    for key, count in counts.items():
        _add(writer, key, count)


def _add(writer: Writer, key: _Key, count: int) -> None:
    known = writer.first(StsPolicy, eq("domain", key.domain)) if key.policy_type is PolicyType.STS else None
    policy, mx = (_lines(known), known.mx) if known else (list(key.policy), [])
    of_day = every(eq("day", key.day), eq("domain", key.domain), eq("result", key.result), eq("host", key.host))
    wanted = (key.policy_type, policy, key.ip)
    for row in writer.find(TlsResult, Query(where=of_day)).items:
        if (row.policy_type, row.policy, row.ip) == wanted:
            writer.change(TlsResult, row.id, count=row.count + count)
            return
    writer.add(
        TlsResult(
            day=key.day,
            domain=key.domain,
            policy_type=key.policy_type,
            policy=policy,
            mx=mx,
            result=key.result,
            host=key.host,
            ip=key.ip,
            count=count,
        )
    )


def _lines(policy: StsPolicy) -> list[str]:
    """The policy as its domain serves it (RFC 8461 3.2)."""
    named = [f"mx: {each}" for each in policy.mx]
    age = [f"max_age: {policy.max_age}"] if policy.max_age else []  # of one that was fetched before ages were kept
    return ["version: STSv1", f"mode: {policy.mode}", *named, *age]
