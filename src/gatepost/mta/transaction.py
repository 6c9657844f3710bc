"""One session's talk about one mail: handed over for all its recipients, in one transaction or a few (RFC 5321 3.3)."""

from collections.abc import Collection, Sequence

import msgspec

from gatepost.message.dsn import spelled
from gatepost.model.envelope import Body, TlsWish
from gatepost.mta.outcome import Outcome, Reply, Result, judge_reply, own, remote_id
from gatepost.mta.wire import GARBAGE, Broken, Session

TRANSACTION_MAX = 100  # recipients of one transaction (RFC 5321 4.5.3.1.8)
NOT_PASSED_ON = "5.7.30"  # the server does not offer REQUIRETLS (RFC 8689 4.2.1)
INTERNATIONAL = "5.6.7"  # the server does not offer SMTPUTF8 (RFC 6531 3.5)


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

    def only(self, indexes: Collection[int]) -> "Parcel":
        """Return the same for some of its takers."""
        if len(indexes) == len(self.takers):
            return self
        return msgspec.structs.replace(self, takers=tuple(self.takers[index] for index in indexes))

    def outcomes(self, result: Result, reply: Reply, *, hop: str = "", tls: str | None = None) -> list[Outcome]:
        """Return one outcome for each of its takers."""
        return [Outcome(result=result, reply=reply, hop=hop, tls=tls)] * len(self.takers)


async def converse(session: Session, parcel: Parcel) -> list[Outcome]:
    """Hand a mail over for all its recipients in one session; raise Broken if the first transaction breaks off.

    Those that the server won't take along now follow in a further transaction, as long as each takes some
    (RFC 5321 4.5.3.1.10). What was taken stays taken, whatever becomes of the others.
    """
    utf8 = parcel.needs_smtputf8
    refusal = _unfit(session, parcel, utf8)
    if refusal is not None:
        refused = parcel.outcomes(Result.FAILED, refusal, hop=session.hop, tls=session.tls)
        if refusal.status == INTERNATIONAL and (plain := _plain(parcel)):
            for index, outcome in zip(plain, await converse(session, parcel.only(plain)), strict=True):
                refused[index] = outcome
            return refused
        unmet = refusal.status == NOT_PASSED_ON
        return [msgspec.structs.replace(each, unmet=unmet) for each in refused]
    outcomes = done = await _transact(session, parcel, utf8)
    if len(outcomes) == 1:
        return outcomes
    waiting: Sequence[int] = range(len(outcomes))
    while again := [index for index, outcome in zip(waiting, done, strict=True) if _too_many(outcome)]:
        if len(again) == len(waiting) or not any(outcome.result is Result.DELIVERED for outcome in done):
            break
        waiting, rest = again, parcel.only(again)
        try:
            done = await _transact(session, rest, rest.needs_smtputf8)
        except Broken as error:
            done = lost(rest, error, hop=session.hop, tls=session.tls)
        for index, outcome in zip(waiting, done, strict=True):
            outcomes[index] = outcome
    return outcomes


def lost(parcel: Parcel, error: Broken, *, hop: str, tls: str | None = None) -> list[Outcome]:
    """Return what is left of a session that broke off: another server may be tried, if this one can't have the mail."""
    outcomes = parcel.outcomes(Result.DEFERRED, error.reply, hop=hop, tls=tls)
    after = error.after_dot
    return [msgspec.structs.replace(each, unreachable=not after, doubtful=after, busy=error.busy) for each in outcomes]


async def _transact(session: Session, parcel: Parcel, utf8: bool) -> list[Outcome]:
    """One transaction (RFC 5321 3.3); raise Broken."""
    commands = [_mail(session, parcel, utf8), *[_rcpt(session, taker, utf8) for taker in parcel.takers]]
    pipelined = session.offers("pipelining")
    session.dirty = True
    replies = await session.ask([*commands, b"DATA"] if pipelined else commands)
    answers = replies[1 : len(commands)]
    if shut := session.shut(replies[0], answers):
        raise Broken(shut)
    if replies[0].code >= 300:
        if pipelined and replies[-1].code == 354:
            await _withdraw(session, answers)
        return parcel.outcomes(judge_reply(replies[0]), replies[0], hop=session.hop, tls=session.tls)
    taken = any(reply.code < 300 for reply in answers)
    final = replies[-1] if pipelined else None
    if taken and not pipelined:
        final = (await session.ask([b"DATA"]))[0]
    if final is not None and final.code == 354:
        if taken:
            final = await session.send(parcel.head, parcel.body, parcel.offset)
            session.dirty = False
        else:
            await _withdraw(session, answers)
            final = None
    elif final is not None and final.code < 400:
        raise Broken(own(GARBAGE, f"{session.hop} answers DATA with {final.code}"))
    alone = sum(reply.code < 300 for reply in answers) == 1
    return [_outcome(session, reply, final, alone=alone) for reply in answers]


async def _withdraw(session: Session, answers: Sequence[Reply]) -> None:
    """End a DATA that is not to be: by the dot alone (RFC 2920 3.1), but where the server may have recipients for what
    it took before, which would get an empty mail, by leaving. Raise Broken."""
    if any(reply.code < 400 for reply in answers):
        session.close()
    else:
        await session.lone_dot()


def _outcome(session: Session, rcpt: Reply, final: Reply | None, *, alone: bool) -> Outcome:
    """What became of a recipient: by what was said to RCPT, else to the mail, which he may be `alone` to get."""
    if rcpt.code >= 300 or final is None:
        return Outcome(result=judge_reply(rcpt), reply=rcpt, hop=session.hop, tls=session.tls, personal=True)
    if final.code >= 300:
        return Outcome(result=judge_reply(final), reply=final, hop=session.hop, tls=session.tls, personal=alone)
    return Outcome(
        result=Result.DELIVERED,
        reply=final,
        hop=session.hop,
        tls=session.tls,
        remote_id=remote_id(final.text),
        takes_dsn=session.offers("dsn"),
    )


def _unfit(session: Session, parcel: Parcel, utf8: bool) -> Reply | None:
    """Why this server can't take this mail at all, if it can't (threat 20)."""
    if parcel.tls is TlsWish.REQUIRED and not session.offers("requiretls"):
        return own(NOT_PASSED_ON, f"REQUIRETLS support required: {session.hop} does not offer it")
    if utf8 and not session.offers("smtputf8"):
        return own(INTERNATIONAL, f"{session.hop} does not take internationalised mail")
    if 0 < session.size_limit < parcel.size:
        return own("5.3.4", f"{session.hop} takes no mail larger than {session.size_limit} octets")
    return None


def _plain(parcel: Parcel) -> list[int]:
    """Return who can have a mail without SMTPUTF8, as it is for the sake of others that it needs that."""
    plain = [index for index, taker in enumerate(parcel.takers) if taker.address.isascii()]
    return plain if plain and not parcel.only(plain).needs_smtputf8 else []


def _mail(session: Session, parcel: Parcel, utf8: bool) -> bytes:
    line = f"MAIL FROM:<{parcel.sender}>"
    if session.offers("size"):
        line += f" SIZE={parcel.size}"
    # Where 8BITMIME is not offered the octets go out as they are: encoding anew would break signatures, and servers
    # that would mind have become rare.
    if session.offers("8bitmime") and parcel.eightbit:
        line += " BODY=8BITMIME"
    if utf8:
        line += " SMTPUTF8"
    if parcel.tls is TlsWish.REQUIRED:
        line += " REQUIRETLS"
    if session.offers("dsn"):
        line += f" RET={parcel.ret}" if parcel.ret else ""
        line += f" ENVID={parcel.envid}" if parcel.envid else ""
    return line.encode()


def _rcpt(session: Session, taker: Taker, utf8: bool) -> bytes:
    line = f"RCPT TO:<{taker.address}>"
    if session.offers("dsn"):
        line += f" NOTIFY={taker.notify}" if taker.notify else ""
        line += f" ORCPT={taker.orcpt if utf8 else spelled(taker.orcpt)}" if taker.orcpt else ""
    return line.encode()


def _too_many(outcome: Outcome) -> bool:
    """Tell whether a recipient may have been one too many; some say it as RFC 821 did, by 552 (RFC 5321 4.5.3.1.10).

    OpenSMTPD says it by 451, and the status that means it (RFC 3463 3.6).
    """
    return outcome.reply.code in (452, 552) or outcome.reply.status == "4.5.3"
