"""Hands a mail to the next hop, for all its recipients in one transaction; says what became of each."""

import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from gatepost.dns import Resolver
from gatepost.events import Clock, Metrics, log
from gatepost.model.address import Address
from gatepost.model.envelope import TlsWish
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Route
from gatepost.model.stored import Delivery
from gatepost.model.tls_reports import PolicyType
from gatepost.mta.connect import Contexts, open_session
from gatepost.mta.outcome import Outcome, Reply, Result, own
from gatepost.mta.patience import Patience
from gatepost.mta.pool import Crowded, Pool
from gatepost.mta.routing import Gateway, Router, Target, Unroutable
from gatepost.mta.security import POLICY_TYPES, Security, make_security
from gatepost.mta.tls_results import TlsResults
from gatepost.mta.transaction import Parcel, converse, lost
from gatepost.mta.wire import Broken, Fault, Session, Unusable
from gatepost.settings import Relay as RelaySettings
from gatepost.settings import Settings
from gatepost.store.store import Store

T = TypeVar("T")

_SILENCE = own("4.4.1", "no server answers")


class Relay:
    """Delivers by route. Internal errors come out as deferrals: no mail is lost for them."""

    def __init__(
        self,
        settings: RelaySettings,
        hostname: str,
        resolver: Resolver,
        *,
        metrics: Metrics,
        clock: Clock,
        gateway: Gateway | None = None,
        security: Security | None = None,
        results: TlsResults | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """Raise SettingsError for a smarthost, transport or ca_file that can't be used."""
        self._clock = clock
        self._metrics = metrics
        self._counters = {result: metrics.deliveries.labels(result.value) for result in Result}
        self._seconds = metrics.delivery_seconds.labels()
        self._settings = settings
        self._hostname = hostname
        self._results = results
        self._contexts = Contexts(settings.ca_file)
        self._patience = Patience(settings.connect_timeout + settings.command_timeout, time.monotonic)
        ours = gateway or Gateway([hostname], [])
        self._router = Router(settings, resolver, ours, security=security, chance=chance)
        self.pool = Pool(settings, self._open)

    async def deliver(self, route: Route, parcel: Parcel) -> list[Outcome]:
        """Try the route's servers in turn; return each recipient's outcome, in the order of the parcel's takers."""
        start = self._clock()
        try:
            outcomes = await self._round(route, parcel)
            if not parcel.sender and any(outcome.unmet for outcome in outcomes):
                await self._plainly(route, parcel, outcomes)
        except Exception as error:
            outcomes = _failed_inside(parcel, error)
        took = max(0, self._clock() - start)
        for outcome in outcomes:
            self._counters[outcome.result].inc()
        self._seconds.observe(took / 1000)
        return [msgspec.structs.replace(outcome, at=start, took=took) for outcome in outcomes]

    async def probe(self, route: Route, address: Address) -> Reply:
        """Ask the route's servers whether they take mail for an address, without sending any; raise Unroutable.

        The reply's status tells: 2.x.x yes, 5.x.x no, 4.x.x nobody can say.
        """
        last = _SILENCE
        for target in await self._router.targets(route):
            try:
                return await self._with(target, lambda session: _ask_about(session, address))
            except (Unusable, Broken) as error:  # whatever was refused, it was not this address
                last = own("4.4.1", error.reply.line)
            except Crowded:
                return own("4.4.5", f"{target.text} is busy")
        return last

    async def close(self) -> None:
        """Take leave of the next hops, and keep what was counted."""
        await self.pool.close()
        await self.flush()

    async def flush(self) -> None:
        """Let what was counted for TLS reports outlive the process."""
        if self._results is not None:
            await self._results.flush()

    async def _open(self, target: Target) -> Session:
        """Open a session; count how TLS fared where a domain asks for more than it where offered (RFC 8460)."""
        try:
            session = await open_session(target, self._settings, self._hostname, self._contexts)
        except Unusable as error:
            if target.demand and error.fault:
                self._metrics.tls_demands.labels(target.demand.by, error.fault).inc()
            raise
        if target.demand:
            self._metrics.tls_demands.labels(target.demand.by, session.fault or "success").inc()
        return session

    # One route.

    async def _plainly(self, route: Route, report: Parcel, outcomes: list[Outcome]) -> None:
        """Try once more for those whom no server may be given a report that requires TLS: without (RFC 8689 5)."""
        again = [index for index, outcome in enumerate(outcomes) if outcome.unmet]
        plainly = msgspec.structs.replace(report.only(again), tls=TlsWish.NONE)
        for index, outcome in zip(again, await self._round(route, plainly), strict=True):
            outcomes[index] = msgspec.structs.replace(outcome, skipped=outcomes[index].skipped)

    async def _round(self, route: Route, parcel: Parcel) -> list[Outcome]:
        try:
            targets = self._patience.in_turn(await self._router.targets(route, parcel.tls))
        except Unroutable as error:
            lost = error.result is Result.DEFERRED
            outcomes = [
                msgspec.structs.replace(each, unreachable=lost) for each in parcel.outcomes(error.result, error.reply)
            ]
            return self._unmet(outcomes) if error.unmet else outcomes
        counted = self._router.policy_domain(route) if parcel.tls is TlsWish.NONE else ""
        patient_until = self._patience.until()
        outcomes = await self._try(targets[0], parcel, counted)
        for number, target in enumerate(targets[1:], 1):
            open_ones = [index for index, outcome in enumerate(outcomes) if outcome.unreachable or outcome.unmet]
            if not open_ones:
                break
            if self._patience.ends(patient_until):
                self._patience.note(targets[:number])
                break
            tried = await self._try(target, parcel.only(open_ones), counted)
            for index, outcome in zip(open_ones, tried, strict=True):
                outcomes[index] = _after(outcomes[index], outcome)
        return outcomes

    async def _try(self, target: Target, parcel: Parcel, counted: str) -> list[Outcome]:
        """Try one server; what TLS comes to is `counted` for a domain."""
        try:
            tried = await self._with(target, lambda session: converse(session, parcel), counted)
            return self._unmet(tried) if tried[0].unmet else tried
        except Unusable as error:
            if parcel.tls is TlsWish.REQUIRED and error.lasting:
                refusal = own("5.7.10", f"Encryption needed: {error.reply.text}")
                return self._unmet(parcel.outcomes(Result.FAILED, refusal, hop=target.text))
            shut = parcel.outcomes(_soft(error.reply), error.reply, hop=target.text)
            return [msgspec.structs.replace(each, unreachable=True, busy=error.busy) for each in shut]
        except Crowded:
            reply = own("4.4.5", f"too many deliveries to {target.text} at once")
            crowd = parcel.outcomes(Result.DEFERRED, reply, hop=target.text)
            return [msgspec.structs.replace(each, crowded=True) for each in crowd]
        except Broken as error:
            return lost(parcel, error, hop=target.text)
        except Exception as error:  # what other servers have taken stays taken
            return _failed_inside(parcel, error)

    def _unmet(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Mark and count what a server can't be given because the mail requires TLS."""
        reply = outcomes[0].reply
        self._metrics.requiretls.labels(reply.status).inc()
        log.info("server passed over", hop=outcomes[0].hop, why=reply.line)
        return [msgspec.structs.replace(each, unmet=True, skipped=(reply.line,)) for each in outcomes]

    async def _with(self, target: Target, act: Callable[[Session], Awaitable[T]], counted: str = "") -> T:
        """Use a session. One that was idle may have gone stale, or had its share: then once more on a new one."""
        session = self.pool.at_hand(target) or await self._take(target, counted)
        while True:
            try:
                found = await act(session)
            except BaseException as error:
                self.pool.drop(session)
                stale = session.uses > 0 and isinstance(error, Broken) and not error.after_dot
                if not stale:
                    raise
            else:
                self.pool.give(session)
                return found
            session = await self._take(target, counted, fresh=True)

    async def _take(self, target: Target, counted: str, *, fresh: bool = False) -> Session:
        try:
            session = await self.pool.take(target, fresh=fresh)
        except Unusable as error:
            if error.fault:
                self._count(target, counted, error.fault)
            raise
        if not session.uses and (session.tls or session.fault):
            self._count(target, counted, session.fault)
        return session

    def _count(self, target: Target, domain: str, fault: Fault | None) -> None:
        """Count for the reports to a domain how TLS fared in a new session (RFC 8460 4.3)."""
        if self._results is None or not domain:
            return
        kind, policy = (
            (POLICY_TYPES[target.demand.by], target.demand.policy) if target.demand else (PolicyType.NONE, [])
        )
        host, ip = (target.host, target.ip) if fault else ("", "")
        self._results.note(domain, kind, fault or "", policy=policy, host=host, ip=ip)


def make_relay(
    store: Store,
    settings: Settings,
    gateway: Gateway,
    resolver: Resolver,
    *,
    metrics: Metrics,
    clock: Clock,
) -> Relay:
    """Make it as the settings ask for; raise SettingsError. Results of TLS are counted where reports are to be sent."""
    counted = TlsResults(store, clock) if settings.tls_reports.sender else None
    return Relay(
        settings.relay,
        settings.hostname,
        resolver,
        metrics=metrics,
        clock=clock,
        gateway=gateway,
        security=make_security(store, resolver, settings, clock, counted),
        results=counted,
    )


async def _ask_about(session: Session, address: Address) -> Reply:
    utf8 = address.needs_smtputf8
    if utf8 and not session.offers("smtputf8"):
        return own("5.6.7", f"{session.target.text} does not take internationalised mail")
    session.dirty = True
    lines = [f"MAIL FROM:<>{' SMTPUTF8' if utf8 else ''}", f"RCPT TO:<{address.text}>"]
    replies = await session.ask([line.encode() for line in lines])
    if shut := session.shut(replies[0], replies[1:]):
        raise Broken(shut)
    # A server that refuses the null sender has said nothing about the address.
    return replies[1] if replies[0].code < 300 else own("4.4.0", f"MAIL FROM:<> was refused: {replies[0].line}")


def _after(before: Outcome, outcome: Outcome) -> Outcome:
    """What stands of two servers: one that may answer later is not hidden by one that can't be given the mail, or
    never takes any."""
    never = outcome.unreachable and outcome.result is Result.FAILED and before.result is Result.DEFERRED
    stands = before if before.unreachable and (outcome.unmet or never) else outcome
    if stands is outcome and not before.skipped:
        return outcome
    return msgspec.structs.replace(stands, skipped=(*before.skipped, *outcome.skipped))


def _failed_inside(parcel: Parcel, error: Exception) -> list[Outcome]:
    log.error("delivery failed inside", why=repr(error), exc_info=error)
    return parcel.outcomes(Result.DEFERRED, own("4.3.0", "internal error"))


def _soft(reply: Reply) -> Result:
    """A refusal at the door is no word on this mail; only 521 says that no mail is ever taken (RFC 7504)."""
    return Result.FAILED if reply.code == 521 else Result.DEFERRED


def way_of(route_of: Callable[[Delivery], Route], delivery: Delivery) -> Route | Problem:
    """Return a delivery's way, or why it has none now; whatever befalls, it is asked for again at the next try."""
    try:
        return route_of(delivery)
    except Problem as problem:
        return problem
    except Exception as error:  # the mail is acknowledged
        log.error("way can't be read", id=delivery.mail_id, why=repr(error), exc_info=True)
        return Problem(Kind.UNAVAILABLE, "the way can't be read now")
