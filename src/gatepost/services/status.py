"""How a mail stands for each of its recipients, in a word, and why: told from its life."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from gatepost.model.address import BadAddress, parse_address
from gatepost.model.stored import Copy, Delivery, State, TraceEvent
from gatepost.model.verdict import HOLDS, Action

ANSWERS = ("rejected", "deferred")  # events: what the client was told instead of 250
POINTS_TOLD = 5  # symbols by which a mail became spam
SLIGHT = 10  # a reason of less than this part of the greatest is no reason beside it


class Status(StrEnum):
    """How a mail stands for one recipient."""

    DELIVERED = "delivered"
    QUEUED = "queued"  # not tried yet
    DEFERRED = "deferred"  # tried and to be tried again; or refused for now, so that its client comes again
    HELD = "held"  # in the queue, by an administrator
    QUARANTINED = "quarantined"
    REFUSED = "refused"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    DELETED = "deleted"  # out of the queue or the quarantine, by an administrator
    KEPT = "kept"  # nothing is known but that there is a copy


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a mail stands for a recipient, why in a sentence, and what was found that stood against it."""

    recipient: str
    status: Status
    why: str
    reasons: tuple[str, ...] = ()


def standings(
    events: Sequence[TraceEvent], deliveries: Iterable[Delivery], copies: Iterable[Copy]
) -> tuple[Standing, ...]:
    """Return how a mail stands for each recipient that its events, deliveries and copies tell of."""
    ways = {address_key(each.recipient): each for each in sorted(deliveries, key=lambda each: each.id)}
    kept: dict[str, Copy] = {}
    for copy in copies:
        for name in [address_key(each) for each in copy.held_for] or [copy.mailbox]:
            if copy.folder in HOLDS or name not in kept:
                kept[name] = copy
    told: dict[str, list[TraceEvent]] = defaultdict(list)
    for event in events:
        if event.event == "verdict" or event.event in ANSWERS:
            told[address_key(event.mailbox or "")].append(event)
    common = told.pop("", [])
    names = [*told, *(name for name in ways if name not in told)] or [*kept] or ([""] if common else [])
    gone = {address_key(event.mailbox) for event in events if event.event == "deleted" and event.mailbox}
    sent = not gone.issubset(names)  # what was held on its way out is kept, and deleted, under its sender's name
    return tuple(
        _standing(name, events, [*told[name], *common], ways.get(name), kept.get(name), gone=sent or name in gone)
        for name in names
    )


def address_key(mailbox: str) -> str:
    """Return an address in the one form; a text that is no address stands for itself."""
    try:
        return parse_address(mailbox).key
    except BadAddress:
        return mailbox


def _standing(
    name: str,
    events: Sequence[TraceEvent],
    told: Sequence[TraceEvent],
    way: Delivery | None,
    copy: Copy | None,
    *,
    gone: bool,
) -> Standing:
    verdict = next((event for event in told if event.event == "verdict"), None)
    spam = verdict is not None and verdict.data.get("category") == "SPAM"
    passed = verdict is not None and verdict.data.get("action") == Action.DELIVER
    reasons = tuple(_grounds(_findings(events, name), spam=spam, passed=passed))
    if way is not None:
        status, why = _of_delivery(way)
        return Standing(recipient=way.recipient, status=status, why=why, reasons=reasons)
    said = next((event.text for event in told if event.text), "")
    why = "; ".join(dict.fromkeys(reasons)) or said or (copy.reason if copy else "")
    return Standing(recipient=name, status=_status(verdict, told, copy, gone=gone), why=why, reasons=reasons)


def _of_delivery(way: Delivery) -> tuple[Status, str]:
    if way.state is State.QUEUED:
        return (Status.DEFERRED, way.last_reply or "") if way.attempts else (Status.QUEUED, "it was not tried yet")
    return Status(way.state.value), way.last_reply or ""


def _status(verdict: TraceEvent | None, told: Sequence[TraceEvent], copy: Copy | None, *, gone: bool) -> Status:
    """How a mail without a delivery stands: as its client was answered, else as it was judged."""
    for event in told:
        if event.event in ANSWERS:
            return Status.DEFERRED if event.event == "deferred" or event.text.startswith("4") else Status.REFUSED
    if copy is not None and copy.folder in HOLDS:
        return Status.QUARANTINED
    if verdict and verdict.data.get("action") == Action.HOLD:
        return Status.DELETED if gone else Status.QUARANTINED
    return Status.KEPT


def findings(event: TraceEvent) -> list[dict[str, Any]]:
    """Return what an event tells that filters found."""
    found = event.data.get("findings")
    return found if isinstance(found, list) else []


def _findings(events: Iterable[TraceEvent], name: str) -> Iterator[dict[str, Any]]:
    for event in events:
        if event.mailbox is None or address_key(event.mailbox) == name:
            yield from findings(event)


def _grounds(findings: Iterable[dict[str, Any]], *, spam: bool, passed: bool) -> Iterator[str]:
    """Yield what was found; points alone are no grounds unless they made it spam, and then only what weighs.

    That a sender is allowed is a ground only where the mail `passed`.
    """
    points = []
    for each in findings:
        if each["category"] == "SCORE":
            points.append(each)
        elif each["category"] != "NOTE" and (passed or each["category"] != "ALLOWED"):
            yield each["reason"]
    points.sort(key=lambda each: -each.get("score", 0))
    for each in points[:POINTS_TOLD] if spam else ():
        if each.get("score", 0) * SLIGHT >= points[0].get("score", 0):
            yield each["reason"]
