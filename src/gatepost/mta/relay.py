"""Hands a mail to the next hop, for all its recipients in one transaction; says what became of each."""

import random
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import msgspec

from gatepost.dns import Resolver
from gatepost.events import Clock, Metrics, log
from gatepost.model.address import Address
from gatepost.model.envelope import Body, TlsWish
from gatepost.model.route import Route
from gatepost.mta.connect import Contexts, open_session
from gatepost.mta.outcome import Outcome, Reply, Result, judge_reply, own, remote_id
from gatepost.mta.pool import Crowded, Pool
from gatepost.mta.routing import Gateway, Router, Target, Unroutable
from gatepost.mta.security import Security
from gatepost.mta.wire import GARBAGE, Broken, Session, Unusable
from gatepost.settings import Relay as RelaySettings

T = TypeVar("T")

TRANSACTION_MAX = 100  # recipients of one transaction (RFC 5321 4.5.3.1.8)
NOT_PASSED_ON = "5.7.30"  # the server does not offer REQUIRETLS (RFC 8689 4.2.1)


class Taker(msgspec.Struct, frozen=True):
    """A recipient on the wire, with what its sender asked for (RFC 3461)."""

    address: str
    notify: str = ""
    orcpt: str | None = None


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction hands on: `head` replaces the first `offset` octets of `body`."""

    sender: str  # "" for the null sender
    takers: tuple[Taker, ...]
    head: bytes
    body: Body
    offset: int
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None
    tls: TlsWish = TlsWish.NONE

    @property
    def size(self) -> int:
        return len(self.head) + self.body.size - self.offset

    @property
    def needs_smtputf8(self) -> bool:
        """A mail that came with SMTPUTF8 and uses nothing of it may go anywhere (RFC 6531 3.2)."""
        plain = self.sender.isascii() and all(taker.address.isascii() for taker in self.takers)
        return not plain or (self.smtputf8 and not self.head.isascii())

    @property
    def eightbit(self) -> bool:
        """A spooled body is not looked through: it counts as 8-bit."""
        return self.body.data is None or not (self.body.data.isascii() and self.head.isascii())


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
        chance: random.Random | None = None,
    ) -> None:
        """Raise SettingsError for a smarthost, transport or ca_file that can't be used."""
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._hostname = hostname
        self._contexts = Contexts(settings.ca_file)
        ours = gateway or Gateway([hostname], [])
        self._router = Router(settings, resolver, ours, security=security, chance=chance)
        self.pool = Pool(settings, self._open)

    async def deliver(self, route: Route, parcel: Parcel) -> list[Outcome]:
        """Try the route's servers in turn; return each recipient's outcome, in the order of the parcel's takers."""
        start = self._clock()
        try:
            outcomes = await self._deliver(route, parcel)
        except Exception as error:
            log.error("delivery failed inside", why=repr(error), exc_info=True)
            outcomes = _all(parcel, Result.DEFERRED, own("4.3.0", "internal error"))
        took = max(0, self._clock() - start)
        for outcome in outcomes:
            self._metrics.deliveries.labels(outcome.result.value).inc()
        self._metrics.delivery_seconds.observe(took / 1000)
        return [msgspec.structs.replace(outcome, at=start, took=took) for outcome in outcomes]

    async def probe(self, route: Route, address: Address) -> Reply:
        """Ask the route's servers whether they take mail for an address, without sending any; raise Unroutable.

        The reply's status tells: 2.x.x yes, 5.x.x no, 4.x.x nobody can say.
        """
        last = own("4.4.1", "no server answers")
        for target in await self._router.targets(route):
            try:
                return await self._with(target, lambda session: _ask_about(session, address))
            except (Unusable, Broken) as error:  # whatever was refused, it was not this address
                last = own("4.4.1", error.reply.line)
            except Crowded:
                return own("4.4.5", f"{target.text} is busy")
        return last

    async def close(self) -> None:
        """Take leave of the next hops."""
        await self.pool.close()

    async def _open(self, target: Target) -> Session:
        """Open a session; count how TLS fared where a domain asks for more than it where offered (RFC 8460)."""
        try:
            session = await open_session(target, self._settings, self._hostname, self._contexts)
        except Unusable as error:
            if target.demand and error.fault:
                self._metrics.tls_demands.labels(target.demand.by, error.fault).inc()
            raise
        if target.demand:
            self._metrics.tls_demands.labels(target.demand.by, "success").inc()
        return session

    # One route.

    async def _deliver(self, route: Route, parcel: Parcel) -> list[Outcome]:
        """Try the servers; a report that none of them may get as it requires TLS goes without that (RFC 8689 5)."""
        outcomes = await self._round(route, parcel)
        again = [index for index, outcome in enumerate(outcomes) if outcome.unmet]
        if parcel.sender or not again:
            return outcomes
        plainly = msgspec.structs.replace(_only(parcel, again), tls=TlsWish.NONE)
        for index, outcome in zip(again, await self._round(route, plainly), strict=True):
            outcomes[index] = msgspec.structs.replace(outcome, skipped=outcomes[index].skipped)
        return outcomes

    async def _round(self, route: Route, parcel: Parcel) -> list[Outcome]:
        try:
            targets = await self._router.targets(route, parcel.tls)
        except Unroutable as error:
            lost = error.result is Result.DEFERRED
            outcomes = [
                msgspec.structs.replace(each, unreachable=lost) for each in _all(parcel, error.result, error.reply)
            ]
            return self._unmet(outcomes) if error.unmet else outcomes
        outcomes = _all(parcel, Result.DEFERRED, own("4.4.1", "no server answers"))
        open_ones = list(range(len(parcel.takers)))
        for target in targets:
            tried = await self._try(target, _only(parcel, open_ones))
            for index, outcome in zip(open_ones, tried, strict=True):
                outcomes[index] = _after(outcomes[index], outcome)
            open_ones = [index for index in open_ones if outcomes[index].unreachable or outcomes[index].unmet]
            if not open_ones:
                break
        return outcomes

    async def _try(self, target: Target, parcel: Parcel) -> list[Outcome]:
        try:
            tried = await self._with(target, lambda session: converse(session, parcel))
            return self._unmet(tried) if tried[0].unmet else tried
        except Unusable as error:
            if parcel.tls is TlsWish.REQUIRED and error.lasting:
                refusal = own("5.7.10", f"Encryption needed: {error.reply.text}")
                return self._unmet(_all(parcel, Result.FAILED, refusal, hop=target.text))
            shut = _all(parcel, _soft(error.reply), error.reply, hop=target.text)
            return [msgspec.structs.replace(each, unreachable=True, busy=error.busy) for each in shut]
        except Crowded:
            reply = own("4.4.5", f"too many deliveries to {target.text} at once")
            crowd = _all(parcel, Result.DEFERRED, reply, hop=target.text)
            return [msgspec.structs.replace(each, crowded=True) for each in crowd]
        except Broken as error:
            lost = _all(parcel, Result.DEFERRED, error.reply, hop=target.text)
            after = error.after_dot
            return [
                msgspec.structs.replace(each, unreachable=not after, doubtful=after, busy=error.busy) for each in lost
            ]

    def _unmet(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Mark and count what a server can't be given because the mail requires TLS."""
        reply = outcomes[0].reply
        self._metrics.requiretls.labels(reply.status).inc()
        log.info("server passed over", hop=outcomes[0].hop, why=reply.line)
        return [msgspec.structs.replace(each, unmet=True, skipped=(reply.line,)) for each in outcomes]

    async def _with(self, target: Target, act: Callable[[Session], Awaitable[T]]) -> T:
        """Use a session. One that was idle may have gone stale: then once more on a new one."""
        session = await self.pool.take(target)
        reused = session.uses > 0
        try:
            return await self._once(session, act)
        except Broken as error:
            if error.after_dot or error.busy or not reused:
                raise
        return await self._once(await self.pool.take(target, fresh=True), act)

    async def _once(self, session: Session, act: Callable[[Session], Awaitable[T]]) -> T:
        try:
            found = await act(session)
        except BaseException:
            self.pool.drop(session)
            raise
        self.pool.give(session)
        return found


async def converse(session: Session, parcel: Parcel) -> list[Outcome]:
    """Hand a mail over for all its recipients in one session; raise Broken.

    Those that the server won't take along now (452) follow in a further transaction, as long as each takes some
    (RFC 5321 4.5.3.1.10).
    """
    refusal = _unfit(session, parcel)
    if refusal is not None:
        refused = _all(parcel, Result.FAILED, refusal, hop=session.target.text)
        unmet = refusal.status == NOT_PASSED_ON
        return [msgspec.structs.replace(each, tls=session.tls, unmet=unmet) for each in refused]
    outcomes: dict[int, Outcome] = {}
    waiting = list(range(len(parcel.takers)))
    while waiting:
        done = await _transact(session, _only(parcel, waiting))
        done = [msgspec.structs.replace(each, hop=session.target.text, tls=session.tls) for each in done]
        outcomes.update(zip(waiting, done, strict=True))
        again = [index for index, outcome in zip(waiting, done, strict=True) if _too_many(outcome)]
        if len(again) == len(waiting) or not any(outcome.result is Result.DELIVERED for outcome in done):
            break
        waiting = again
    return [outcomes[index] for index in range(len(parcel.takers))]


async def _transact(session: Session, parcel: Parcel) -> list[Outcome]:
    """One transaction (RFC 5321 3.3); raise Broken."""
    commands = [_mail(session, parcel), *(_rcpt(session, taker) for taker in parcel.takers)]
    pipelined = session.offers("pipelining")
    session.dirty = True
    replies = await session.ask([*commands, b"DATA"] if pipelined else commands)
    if replies[0].code >= 300:
        if pipelined and replies[-1].code == 354:
            await session.lone_dot()
        return _all(parcel, judge_reply(replies[0]), replies[0])
    answers = replies[1 : len(commands)]
    taken = any(reply.code < 300 for reply in answers)
    final = replies[-1] if pipelined else None
    if taken and not pipelined:
        final = (await session.ask([b"DATA"]))[0]
    if final is not None and final.code == 354:
        final = await _hand_over(session, parcel, taken)
    elif final is not None and final.code < 400:
        raise Broken(own(GARBAGE, f"{session.target.text} answers DATA with {final.code}"))
    return [_outcome(session, reply, final) for reply in answers]


async def _hand_over(session: Session, parcel: Parcel, taken: bool) -> Reply | None:
    """Send the mail; only the dot where no recipient was taken (RFC 2920 3.1)."""
    if not taken:
        await session.lone_dot()
        return None
    final = await session.send(parcel.head, parcel.body, parcel.offset)
    session.dirty = False
    return final


async def _ask_about(session: Session, address: Address) -> Reply:
    utf8 = address.needs_smtputf8
    if utf8 and not session.offers("smtputf8"):
        return own("5.6.7", f"{session.target.text} does not take internationalised mail")
    session.dirty = True
    lines = [f"MAIL FROM:<>{' SMTPUTF8' if utf8 else ''}", f"RCPT TO:<{address.text}>"]
    replies = await session.ask([line.encode() for line in lines])
    # A server that refuses the null sender has said nothing about the address.
    return replies[1] if replies[0].code < 300 else own("4.4.0", f"MAIL FROM:<> was refused: {replies[0].line}")


def _outcome(session: Session, rcpt: Reply, final: Reply | None) -> Outcome:
    if rcpt.code >= 300 or final is None:
        return Outcome(result=judge_reply(rcpt), reply=rcpt)
    if final.code < 300:
        dsn = session.offers("dsn")
        return Outcome(result=Result.DELIVERED, reply=final, remote_id=remote_id(final.text), takes_dsn=dsn)
    return Outcome(result=judge_reply(final), reply=final)


def _unfit(session: Session, parcel: Parcel) -> Reply | None:
    """Why this server can't take this mail at all, if it can't (threat 20)."""
    if parcel.tls is TlsWish.REQUIRED and not session.offers("requiretls"):
        return own(NOT_PASSED_ON, f"REQUIRETLS support required: {session.target.text} does not offer it")
    if parcel.needs_smtputf8 and not session.offers("smtputf8"):
        return own("5.6.7", f"{session.target.text} does not take internationalised mail")
    if 0 < session.size_limit < parcel.size:
        return own("5.3.4", f"{session.target.text} takes no mail larger than {session.size_limit} octets")
    return None


def _mail(session: Session, parcel: Parcel) -> bytes:
    line = f"MAIL FROM:<{parcel.sender}>"
    if session.offers("size"):
        line += f" SIZE={parcel.size}"
    # Where 8BITMIME is not offered the octets go out as they are: encoding anew would break signatures, and servers
    # that would mind have become rare.
    if session.offers("8bitmime") and parcel.eightbit:
        line += " BODY=8BITMIME"
    if parcel.needs_smtputf8:
        line += " SMTPUTF8"
    if parcel.tls is TlsWish.REQUIRED:
        line += " REQUIRETLS"
    if session.offers("dsn"):
        line += f" RET={parcel.ret}" if parcel.ret else ""
        line += f" ENVID={parcel.envid}" if parcel.envid else ""
    return line.encode()


def _rcpt(session: Session, taker: Taker) -> bytes:
    line = f"RCPT TO:<{taker.address}>"
    if session.offers("dsn"):
        line += f" NOTIFY={taker.notify}" if taker.notify else ""
        line += f" ORCPT={taker.orcpt}" if taker.orcpt else ""
    return line.encode()


def _after(before: Outcome, outcome: Outcome) -> Outcome:
    """What stands of two servers: one that may answer later is not hidden by one that can't be given the mail."""
    stands = before if outcome.unmet and before.unreachable else outcome
    return msgspec.structs.replace(stands, skipped=(*before.skipped, *outcome.skipped))


def _too_many(outcome: Outcome) -> bool:
    return outcome.reply.code == 452


def _soft(reply: Reply) -> Result:
    """A refusal at the door is no word on this mail; only 521 says that no mail is ever taken (RFC 7504)."""
    return Result.FAILED if reply.code == 521 else Result.DEFERRED


def _only(parcel: Parcel, indexes: Collection[int]) -> Parcel:
    if len(indexes) == len(parcel.takers):
        return parcel
    return msgspec.structs.replace(parcel, takers=tuple(parcel.takers[index] for index in indexes))


def _all(parcel: Parcel, result: Result, reply: Reply, *, hop: str = "") -> list[Outcome]:
    return [Outcome(result=result, reply=reply, hop=hop)] * len(parcel.takers)
