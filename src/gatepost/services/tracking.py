"""Tracks mails down by time, sender, recipient, subject, client and status, the newest first, a stretch at a time."""

from collections.abc import Iterator

import msgspec

from gatepost.model.address import Address, BadAddress, parse_address
from gatepost.model.query import Any, Condition, Op, Pattern, Query, Where, every
from gatepost.model.stored import Message
from gatepost.services.life import Life, life_of
from gatepost.services.status import Standing, Status, address_key, findings
from gatepost.store.store import Reader

STRETCH = 5000  # mails whose rows are looked at for one answer
LIVES = 500  # of these as many, at most, whose events are looked at
HOUR = 3_600_000
END = 1 << 47  # a time that never comes, epoch milliseconds


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which mails: those that came in from `since` on and before `until` (epoch milliseconds), and match all else.

    `sender` is MAIL FROM or stands in From. `after` goes on behind the mail of that id, towards older ones.
    """

    since: int = 0
    until: int = END
    sender: Pattern | None = None
    recipient: Pattern | None = None
    subject: Pattern | None = None
    client: Pattern | None = None
    status: Status | None = None
    after: str | None = None
    limit: int = 40


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """A mail, how it stands for the recipients that were asked about, and the symbols of what was found in it."""

    message: Message
    standings: tuple[Standing, ...]
    symbols: tuple[str, ...]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a stretch; `after` is where to go on, None at the end of the time that was asked for.

    `counted` are the refusals before DATA in all of that time that were only counted, so that they can't be found.
    """

    mails: list[Tracked]
    after: str | None
    counted: int = 0


def stretch(search: Search, reader: Reader) -> Found:
    """Look through one stretch of mails by their ids, which are ordered by time, so that each question is short."""
    before = min(_first(search.until), search.after or _first(END))
    window = every(Where("id", Op.GE, _first(search.since)), Where("id", Op.LT, before))
    edge = reader.find(Message, Query(where=window, sort="-id", offset=STRETCH, limit=1)).items
    part = every(window, Where("id", Op.GE, edge[0].id if edge else ""), *_conditions(search))
    rows = reader.find(Message, Query(where=part, sort="-id", limit=LIVES)).items
    end = rows[-1].id if len(rows) == LIVES else edge[0].id if edge else None
    names = _spellings(search.recipient, reader)
    mails: list[Tracked] = []
    for message in reader.paced(rows):
        life = life_of(reader, message)
        standings = tuple(_wanted(search, names, life))
        if standings:
            mails.append(Tracked(message=message, standings=standings, symbols=tuple(_symbols(life))))
        if len(mails) == search.limit:
            end = message.id if end or message is not rows[-1] else None
            break
    return Found(mails=mails, after=end, counted=0 if end else _counted(search, reader))


def _first(time: int) -> str:
    """Return the least id of a mail that came in at that time."""
    return f"{min(max(time, 0), END):012x}"


def _conditions(search: Search) -> Iterator[Condition]:
    if search.sender is not None:
        either: list[Condition] = [Where("sender", Op.LIKE, search.sender)]
        if search.sender.text:
            written = msgspec.structs.replace(search.sender, open_start=True, open_end=True)
            either.append(Where("header_from", Op.LIKE, written))
        yield Any(tuple(either))
    if search.subject is not None:
        yield Where("subject", Op.LIKE, search.subject)
    if search.client is not None:
        yield Where("client_ip", Op.LIKE, search.client)


def _spellings(pattern: Pattern | None, reader: Reader) -> list[Pattern]:
    """Return what recipients may be called: an address of a domain's alias is kept as one of the domain."""
    if pattern is None:
        return []
    found = [pattern]
    if not (pattern.open_start or pattern.open_end):
        try:
            address = parse_address(pattern.text)
        except BadAddress:
            return found
        domain = reader.domain(address.domain)
        found.append(Pattern(Address(address.local, domain.name if domain else address.domain).key))
    return found


def _wanted(search: Search, names: list[Pattern], life: Life) -> Iterator[Standing]:
    for each in life.standings:
        if search.status not in (None, each.status):
            continue
        if not names or any(
            name.fits(text) for name in names for text in (each.recipient, address_key(each.recipient))
        ):
            yield each


def _symbols(life: Life) -> Iterator[str]:
    yield from dict.fromkeys(each["symbol"] for event in life.events for each in findings(event))


def _counted(search: Search, reader: Reader) -> int:
    """Return how many refusals were only counted in the time that was asked for, whole hours."""
    if search.status not in (None, Status.REFUSED, Status.DEFERRED):
        return 0
    rows = reader.refusals(search.since // HOUR)
    return sum(row.count for row in rows if row.hour * HOUR < search.until)
