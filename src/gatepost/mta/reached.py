"""Tells who asked for it that his mail has reached a group, of whose members he learns nothing (RFC 3461 5.2.7)."""

from collections.abc import Sequence

import msgspec

from gatepost.events import Trail
from gatepost.message.dsn import Fate, Outcome
from gatepost.model.envelope import Body, Envelope
from gatepost.model.stored import Delivery, Message
from gatepost.mta import bounce
from gatepost.mta.bounce import Aftermath, Bounces, Report
from gatepost.mta.judge import DAY
from gatepost.mta.queue import Queue
from gatepost.mta.rows import vouched
from gatepost.store.writer import Writer


class Reached:
    """A report that is written in the commit of the mail it is on, and sent after that."""

    def __init__(self, groups: Sequence[str], report: Report, until: int) -> None:
        self._groups = groups
        self._report = report
        self._until = until
        self._ways: list[Delivery] = []

    def __call__(self, writer: Writer) -> None:
        self._ways = bounce.store(writer, Aftermath(reports=(self._report,)), self._until)

    def trace(self, trail: Trail) -> None:
        for group in self._groups:
            trail.add("reported", mailbox=group, text="the group was reached", report=self._report.message.id)

    def send(self, queue: Queue) -> None:
        queue.push(self._report.message, self._ways, self._report.body)


def reached(
    bounces: Bounces,
    envelope: Envelope,
    message: Message,
    body: Body,
    deliveries: Sequence[Delivery],
    days: int,
    *,
    proven: bool,
) -> Reached | None:
    """Return the report on the groups to which a mail goes on; its trace is kept for `days`.

    None where nobody asked for one, or who did is not known to be true (rules 8).
    """
    fates = _fates(envelope, deliveries) if any(way.group for way in deliveries) else []
    if not fates or envelope.sender is None or not vouched(envelope, proven=proven):
        return None
    first = next(way for way in deliveries if way.group is not None)
    way = msgspec.structs.replace(first, sender=envelope.sender.text)  # some go out by a sender of ours
    until = envelope.received + days * DAY
    start = body.data or body.start
    report = bounces.report(message, Body(len(start), start), way, fates, envelope.received)
    return Reached([fate.recipient for fate in fates], report, until)


def _fates(envelope: Envelope, deliveries: Sequence[Delivery]) -> list[Fate]:
    asked = {each.group: each.group_dsn for each in envelope.recipients if "SUCCESS" in each.group_dsn.notify}
    taken = dict.fromkeys(way.group for way in deliveries if way.group in asked)
    return [_fate(group, asked[group].orcpt) for group in taken if group is not None]


def _fate(group: str, orcpt: str | None) -> Fate:
    said = "It is a group; no reports are made on its members."
    return Fate(recipient=group, outcome=Outcome.DELIVERED, status="2.0.0", reason=said, orcpt=orcpt)
