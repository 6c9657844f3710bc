"""What follows when a delivery ends or tarries: a report to the sender, a hold, or nothing but a line in the log."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from gatepost.events import log
from gatepost.message import dsn
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.envelope import Body, Direction, TlsWish
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.model.suppression import Suppression
from gatepost.model.tenant import User
from gatepost.model.verdict import Category, Folder
from gatepost.mta.home import bore, home
from gatepost.mta.outcome import Outcome, Reply
from gatepost.store.writer import Writer

DAY = 86_400_000
HOUR = 3_600_000
MINUTE = 60_000


class Settled(msgspec.Struct, frozen=True):
    """A delivery as it stands after an attempt, and what that attempt came to. `delayed`: it is late from now on."""

    delivery: Delivery
    outcome: Outcome
    delayed: bool = False


class Step(StrEnum):
    """What follows from an attempt."""

    NOTHING = "nothing"
    REPORT = "report"
    HOLD = "hold"
    STAY = "stay"  # of what was released: in its folder
    DROP = "drop"  # would be the bounce of a bounce


class Report(msgspec.Struct, frozen=True):
    """A report ready to be kept and sent: its delivery goes to the mail's own sender."""

    message: Message
    body: Body
    delivery: Delivery


class Stay(msgspec.Struct, frozen=True):
    """The copies of a mail that were released to a recipient stay until a moment at least (epoch milliseconds)."""

    mail_id: str
    recipient: str
    until: int


class Aftermath(msgspec.Struct, frozen=True):
    """All that follows from one transaction, to be written in the commit that settles it."""

    stays: tuple[Stay, ...] = ()
    copies: tuple[Copy, ...] = ()
    reports: tuple[Report, ...] = ()
    events: tuple[TraceEvent, ...] = ()
    suppressions: tuple[Suppression, ...] = ()


def step(settled: Settled) -> Step:
    """Decide what follows (RFC 3461 4.1, rules 8): nobody is told of a mail that he may not have sent."""
    delivery = settled.delivery
    if delivery.state in (State.BOUNCED, State.EXPIRED):
        if delivery.release and not (delivery.sender and delivery.proven):
            return Step.STAY
        if not delivery.sender and _leaves(delivery):
            return Step.DROP
        if not delivery.proven:
            return Step.HOLD
        if not delivery.sender:
            return Step.DROP
        return Step.REPORT if _asks(delivery, "FAILURE", unsaid=True) else Step.NOTHING
    if not (delivery.sender and delivery.proven):
        return Step.NOTHING
    if delivery.state is State.DELIVERED:
        asked = _asks(delivery, "SUCCESS") and not settled.outcome.takes_dsn
        return Step.REPORT if asked else Step.NOTHING
    return Step.REPORT if settled.delayed else Step.NOTHING


def _leaves(delivery: Delivery) -> bool:
    """Tell whether a mail goes to no mailbox of ours, nor to a member of a group of ours."""
    return delivery.platform_id is None and delivery.group is None


def wants_delay(delivery: Delivery) -> bool:
    """Tell whether the sender asked to hear of a delay, and may."""
    return bool(delivery.sender) and delivery.proven and _asks(delivery, "DELAY")


def _asks(delivery: Delivery, what: str, *, unsaid: bool = False) -> bool:
    """What NOTIFY says; where nothing was said, failures are told (RFC 3461 4.1)."""
    if not delivery.notify:
        return unsaid
    words = set(filter(None, delivery.notify.upper().split(",")))
    return what in words if words else unsaid


class Bounces:
    """Makes what follows. `life` in seconds, `system_days` in days."""

    def __init__(self, host: str, *, life: int, system_days: int, new_id: Callable[[], str]) -> None:
        self._host = host
        self._life = life
        self._system_days = system_days
        self._new_id = new_id

    def follow(self, message: Message, original: Body, settled: Sequence[Settled], now: int) -> Aftermath:
        """Return what follows from one transaction; `original` holds the mail, or the start of a large one."""
        steps = [(step(each), each) for each in settled]
        for each in (each for what, each in steps if what is Step.DROP):
            log.warning("bounce dropped", id=message.id, to=each.delivery.recipient, why=each.outcome.reply.line)
        held = [self._held(each, now) for what, each in steps if what is Step.HOLD]
        told = [each for what, each in steps if what is Step.REPORT]
        report = self.report(message, original, told[0].delivery, list(map(_fate, told)), now) if told else None
        silent = (Step.NOTHING, Step.STAY)
        events = [_event(what, each, report, now) for what, each in steps if what not in silent]
        stays = [self._stay(each.delivery, now) for what, each in steps if what is Step.STAY]
        return Aftermath(tuple(stays), tuple(held), (report,) if report else (), tuple(events))

    def _stay(self, delivery: Delivery, now: int) -> Stay:
        """The end of its copy's term must not be the end of a mail that no server took (rules 8)."""
        return Stay(delivery.mail_id, delivery.recipient, now + self._system_days * DAY)

    def _held(self, settled: Settled, now: int) -> Copy:
        """The mail stays for the mailbox's people to see, as its sender can't be told (rules 8).

        What an outside member of a group did not take stays for the group's.
        """
        delivery = settled.delivery
        outside = delivery.platform_id is None and delivery.group is not None
        log.warning("mail held", id=delivery.mail_id, to=delivery.recipient, why=settled.outcome.reply.line)
        return Copy(
            mail_id=delivery.mail_id,
            mailbox=delivery.group if outside and delivery.group else parse_address(delivery.recipient).key,
            domain_id=delivery.domain_id or 0,
            user_id=None,
            folder=Folder.SYSTEM.value,
            category=Category.CLEAN.name,
            score=0.0,
            infected=False,
            tag=delivery.tag,
            reason=f"the mail server did not take it: {settled.outcome.reply.line}",
            stored_at=now,
            expires_at=now + self._system_days * DAY,
            held_for=[delivery.recipient] if outside else [],
        )

    def report(
        self, message: Message, original: Body, delivery: Delivery, fates: Sequence[dsn.Fate], now: int
    ) -> Report:
        """Return one report to the sender of a delivery, on all recipients that he is told of together."""
        mail_id = self._new_id()
        text = dsn.write(
            dsn.Notice(
                host=self._host,
                to=delivery.sender,
                mail_id=message.id,
                arrival=message.received,
                now=now,
                message_id=f"{mail_id}@{self._host}",
                fates=fates,
                original=original.data or b"",
                complete=len(original.data or b"") == message.size,
                ret=delivery.ret,
                envid=delivery.envid,
            )
        )
        body = Body(len(text), text)
        row = self._row(mail_id, message, delivery.sender, text, now)
        return Report(row, body, self._way(mail_id, delivery, text, now))

    def _row(self, mail_id: str, original: Message, to: str, text: bytes, now: int) -> Message:
        """A report on a mail that requires TLS requires it too (RFC 8689 5)."""
        required = original.tls_wish is TlsWish.REQUIRED
        subject = next(line for line in text.split(b"\r\n") if line.startswith(b"Subject: "))
        return Message(
            id=mail_id,
            received=now,
            size=len(text),
            direction=Direction.OUT.value,
            sender="",
            client_ip="",
            helo="",
            message_id=f"<{mail_id}@{self._host}>",
            subject=subject[len(b"Subject: ") :].decode("ascii", "replace"),
            header_from=f"MAILER-DAEMON@{self._host}",
            header_to=to,
            header_cc="",
            sent=now,
            signer=self._host,
            tls_wish=TlsWish.REQUIRED if required else TlsWish.NONE,
        )

    def _way(self, mail_id: str, delivery: Delivery, text: bytes, now: int) -> Delivery:
        return Delivery(
            mail_id=mail_id,
            recipient=delivery.sender,
            sender="",
            domain_id=delivery.domain_id,
            due=now,
            expires=now + self._life * 1000,
            created=now,
            smtputf8=not text.isascii(),
            proven=True,
        )


def store(writer: Writer, aftermath: Aftermath, until: int) -> list[Delivery]:
    """Write what follows; return the deliveries of the reports. To be called before the settling of the delivery,
    which lets go of the mail's bytes. `until`: how long the traces stay."""
    for copy in aftermath.copies:
        _add_held(writer, copy)
    for stay in aftermath.stays:
        _prolong(writer, stay)
    ways = []
    for report in aftermath.reports:
        way = _homeward(writer, report.delivery)
        queued = TraceEvent(at=way.created, event="queued", mailbox=way.recipient, text="a report to the sender")
        kept = writer.keep(report.message, report.body, [], [way], [queued], until)
        ways.append(msgspec.structs.replace(way, id=kept.deliveries[0]))
    return ways


def _add_held(writer: Writer, copy: Copy) -> None:
    """Add a copy; of those for several outside members of a group one."""
    same = every(eq("mail_id", copy.mail_id), eq("mailbox", copy.mailbox), eq("folder", copy.folder))
    known = writer.first(Copy, same) if copy.held_for else None
    if known is not None:
        writer.change(Copy, known.id, held_for=[*known.held_for, *copy.held_for])
        return
    user, message = writer.first(User, eq("email", copy.mailbox)), writer.get(Message, copy.mail_id)
    his = user is not None and message is not None and bore(writer, user, message.received)
    writer.add(msgspec.structs.replace(copy, user_id=user.id if user and his else None))


def _prolong(writer: Writer, stay: Stay) -> None:
    """Lengthen the term of what was released; that of the archive stands, and is long."""
    key = parse_address(stay.recipient).key
    shorter = every(eq("mail_id", stay.mail_id), Where("expires_at", Op.LT, stay.until))
    for copy in writer.find(Copy, Query(where=shorter)).items:
        released = copy.released_at is not None and (copy.mailbox == key or stay.recipient in copy.held_for)
        if released and copy.folder != Folder.ARCHIVE.value:
            writer.change(Copy, copy.id, expires_at=stay.until)


def _homeward(writer: Writer, way: Delivery) -> Delivery:
    """A sender of ours gets his report at his own mail server, not by way of MX back to us."""
    address = _address(way.recipient)
    place = home(writer, address) if address else None
    if place is None:
        return way
    recipient, domain_id = place.address.text, place.domain.id
    return msgspec.structs.replace(way, recipient=recipient, domain_id=domain_id, platform_id=place.platform_id)


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except BadAddress:
        return None


def _fate(settled: Settled) -> dsn.Fate:
    delivery, outcome = settled.delivery, settled.outcome
    reply = outcome.reply
    return dsn.Fate(
        recipient=delivery.recipient,
        outcome=_OUTCOMES[delivery.state],
        status=_status(delivery, reply),
        reason=_reason(delivery, outcome),
        diagnostic=reply.line if reply.code else "",
        remote=outcome.hop if reply.code else "",
        orcpt=delivery.orcpt,
        last_attempt=outcome.at or None,
        retry_until=delivery.expires if delivery.state is State.QUEUED else None,
    )


def _status(delivery: Delivery, reply: Reply) -> str:
    """What a server says for good at its door, of no mail, delays one (RFC 3464 2.3.4)."""
    if delivery.state is State.EXPIRED:
        return "4.4.7"
    return f"4{reply.status[1:]}" if delivery.state is State.QUEUED else reply.status


_OUTCOMES = {
    State.BOUNCED: dsn.Outcome.FAILED,
    State.EXPIRED: dsn.Outcome.FAILED,
    State.DELIVERED: dsn.Outcome.RELAYED,
    State.QUEUED: dsn.Outcome.DELAYED,
}


def _reason(delivery: Delivery, outcome: Outcome) -> str:
    said = "" if outcome.reply.code else outcome.reply.text
    if delivery.state is not State.EXPIRED:
        return said
    return f"It could not be delivered within {_span(delivery.expires - delivery.created)}.{' ' if said else ''}{said}"


def _span(milliseconds: int) -> str:
    """Say how long something lasts, in the largest unit that it fills."""
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if milliseconds >= unit:
            count = round(milliseconds / unit, 1)
            return f"{count:g} {name}{'' if count == 1 else 's'}"
    return "a minute"


def _event(what: Step, settled: Settled, report: Report | None, now: int) -> TraceEvent:
    delivery, line = settled.delivery, settled.outcome.reply.line
    mailbox = delivery.recipient
    match what:
        case Step.HOLD:
            return TraceEvent(at=now, event="kept", mailbox=mailbox, text=line, data={"folder": Folder.SYSTEM.value})
        case Step.DROP:
            return TraceEvent(at=now, event="dropped", mailbox=mailbox, text="the bounce of a bounce is not sent")
        case _:
            about: dict[str, object] = {"state": delivery.state.value, "report": report.message.id if report else None}
            return TraceEvent(at=now, event="reported", mailbox=mailbox, text=line, data=about)
