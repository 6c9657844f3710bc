"""Who gets no more mail of a domain: entered by hard bounces, by reports that come back, and by complaints."""

import math
from collections.abc import Mapping, Sequence

import msgspec

from gatepost.events import Clock, log
from gatepost.message.anatomy import Anatomy
from gatepost.message.dsn import from_xtext
from gatepost.message.returns import Fate, Sort, read_return
from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.auth import AuthResults
from gatepost.model.envelope import Direction, Envelope
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Query, eq, every
from gatepost.model.stored import Delivery, Message, State, TraceEvent
from gatepost.model.suppression import Cause, Suppression
from gatepost.model.webhook import HookCall, HookEvent
from gatepost.mta.believed import believed
from gatepost.mta.bounce import Settled
from gatepost.mta.hooks import Hooks
from gatepost.mta.outcome import Outcome
from gatepost.store.remembered import Remembered
from gatepost.store.store import Store
from gatepost.store.writer import Writer

DAY = 86_400_000

# RFC 3463: there is no such mailbox or domain, or it is no more. A full mailbox or a refused content is no such word.
_GONE = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")


def hard(message: Message | None, settled: Sequence[Settled], now: int, days: int) -> list[Suppression]:
    """Return the addresses that leaving mail bounced from for good; none while `days` is 0.

    What a server says of the sender, or of a mail to several, is no word on any of them.
    """
    if message is None or message.direction != Direction.OUT.value or not days:
        return []
    return [
        _entry(each.delivery, Cause.BOUNCE, each.outcome.reply.line, now, days)
        for each in settled
        if each.delivery.state is State.BOUNCED and _left(each.delivery) and _is_gone(each.outcome)
    ]


def _left(row: Delivery) -> bool:
    """Tell whether a delivery goes to the outside on a domain's account, and not to a mail server of ours."""
    return bool(row.domain_id) and row.platform_id is None


def _is_gone(outcome: Outcome) -> bool:
    return outcome.reply.status in _GONE and (outcome.personal or not outcome.hop)


def enter(writer: Writer, entries: Sequence[Suppression]) -> None:
    """Write entries down; one for a listed address takes the place of the old one, unless that lasts longer."""
    for entry in entries:
        known = writer.first(Suppression, _same(entry.domain_id, entry.address))
        if known is not None and _end(known) > _end(entry):
            continue
        if known is not None:
            writer.remove(Suppression, eq("id", known.id))
        writer.add(entry)
        log.info("suppressed", address=entry.address, cause=entry.cause.value, why=entry.reason)


class Suppressed:
    """Tells who gets no mail of a domain. Most addresses are not listed, so that is remembered, too."""

    def __init__(self, store: Store) -> None:
        self._reader = store.reader
        self._memory = Remembered(store, exact=True)
        self._entries: dict[tuple[int, str], Suppression | None] = self._memory.cache()

    def check(self, domain_id: int, address: Address, now: int) -> None:
        """Raise Problem(SUPPRESSED) where an entry keeps a domain's mail from an address."""
        key = domain_id, address.key
        entry = self._memory.known(self._entries, key, lambda: self._reader.first(Suppression, _same(*key)))
        if entry is not None and (entry.expires_at is None or entry.expires_at > now):
            raise Problem(Kind.SUPPRESSED, entry.words)


class Returns:
    """Takes note of reports and complaints about mail that left here."""

    def __init__(self, store: Store, hooks: Hooks, clock: Clock, *, days: int, trace_days: int) -> None:
        self._store = store
        self._hooks = hooks
        self._clock = clock
        self._days = days
        self._trace_days = trace_days

    async def note(self, envelope: Envelope, auth: AuthResults | None, anatomy: Anatomy | None) -> None:
        """Bring what was sent up to date where a mail is a report; nothing depends on it, so a failure is but told.

        A delivery report has the null sender (RFC 3464 2), and what strangers say is not believed.
        """
        returned = read_return(anatomy) if anatomy and envelope.direction is Direction.IN else None
        if returned is None or (returned.sort is Sort.REPORT and envelope.sender is not None):
            return
        sent = Query(where=eq("mail_id", returned.mail_id))
        try:
            page = await self._store.read(lambda reader: reader.find(Delivery, sent))
            left = [row for row in page.items if _left(row)]
            about = [(row, fate) for row, fate in _matched(left, returned.fates) if _heard(row, envelope, auth)]
            news = [self._news(row, fate, returned.sort) for row, fate in about]
            told = [each for each in news if each is not None]
            if told:
                calls = [call for each in told for call in self._calls(each)]
                await self._store.write(lambda writer: self._write(writer, told, calls))
        except Problem as problem:
            log.warning("what came back was not noted", id=returned.mail_id, why=problem.detail)

    def _news(self, row: Delivery, fate: Fate, sort: Sort) -> "_News | None":
        complained = sort is Sort.COMPLAINT
        if not complained and fate.action != "failed":
            return None
        now = self._clock()
        line = f"{fate.status} {fate.reason}".strip() or "failed, says a report"
        elsewhere = bool(fate.recipient) and _key(fate.recipient) != _key(row.recipient)
        if elsewhere:  # the address itself is there: its owner has his mail sent on
            line = f"{line} ({fate.recipient})"
        event = TraceEvent(at=now, event="complained" if complained else "bounced", mailbox=row.recipient, text=line)
        entry = None
        if self._days and (complained or (fate.status in _GONE and not elsewhere)):
            entry = _entry(row, Cause.COMPLAINT if complained else Cause.BOUNCE, line, now, self._days)
        return _News(row, event, entry)

    def _calls(self, news: "_News") -> list[HookCall]:
        return self._hooks.of_return(HookEvent(news.event.event), news.row, news.event.text)

    def _write(self, writer: Writer, told: Sequence["_News"], calls: Sequence[HookCall]) -> None:
        for each in told:
            row = writer.get(Delivery, each.row.id)
            if each.event.event == "bounced" and row is not None and row.state is State.DELIVERED:
                writer.settle(msgspec.structs.replace(row, state=State.BOUNCED, last_reply=each.event.text))
        writer.note(told[0].row.mail_id, [each.event for each in told], self._clock() + self._trace_days * DAY)
        enter(writer, [each.entry for each in told if each.entry is not None])
        for call in calls:
            writer.add(call)


class _News(msgspec.Struct, frozen=True):
    """What came back of one delivery; `entry` where its address gets no more mail."""

    row: Delivery
    event: TraceEvent
    entry: Suppression | None


def _matched(rows: Sequence[Delivery], fates: Sequence[Fate]) -> list[tuple[Delivery, Fate]]:
    by_key = {_key(row.recipient): row for row in rows}
    if len(rows) == 1 and len(fates) == 1 and not fates[0].recipient:
        return [(rows[0], fates[0])]
    named = ((_row(by_key, fate), fate) for fate in fates)
    return [(row, fate) for row, fate in named if row is not None]


def _row(by_key: Mapping[str, Delivery], fate: Fate) -> Delivery | None:
    addresses = (fate.recipient, fate.original, from_xtext(fate.original))
    return next((by_key[key] for key in map(_key, addresses) if key in by_key), None)


def _heard(row: Delivery, envelope: Envelope, auth: AuthResults | None) -> bool:
    if believed(row, envelope, auth):
        return True
    log.warning("report not believed", id=row.mail_id, to=row.recipient, client=envelope.client.ip)
    return False


def _entry(delivery: Delivery, cause: Cause, reason: str, now: int, days: int) -> Suppression:
    return Suppression(
        domain_id=delivery.domain_id or 0,
        address=_key(delivery.recipient),
        cause=cause,
        reason=reason,
        mail_id=delivery.mail_id,
        created_at=now,
        expires_at=now + days * DAY,
    )


def _end(entry: Suppression) -> float:
    return math.inf if entry.expires_at is None else entry.expires_at


def _same(domain_id: int, address: str) -> All:
    return every(eq("domain_id", domain_id), eq("address", address))


def _key(text: str) -> str:
    try:
        return parse_address(text).key
    except BadAddress:
        return text.lower()
