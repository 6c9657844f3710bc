"""Lets what is to be told of a mail wait a moment for the rest of it, so that its sender gets one report, not many."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from gatepost.model.stored import Delivery
from gatepost.mta.bounce import Settled
from gatepost.mta.schedule import Entry

T = TypeVar("T")

PATIENCE = 10.0  # seconds
MOST = 200  # deliveries that are told of in one report, so that the writer is not held up (rules 17)


class Told(NamedTuple):
    """A delivery that its sender is to hear of."""

    entry: Entry
    settled: Settled


class Gathering:
    """Holds, in memory, deliveries of mails that have others under way. A kill has what failed tried once more."""

    def __init__(
        self, waiting: Callable[[str], int], tell: Callable[[list[Told]], None], *, patience: float = PATIENCE
    ) -> None:
        """`waiting` says how many deliveries of a mail are due or under way, these too; `tell` makes one report."""
        self._waiting = waiting
        self._tell = tell
        self._patience = patience
        self._held: dict[str, list[Told]] = {}
        self._clocks: dict[str, asyncio.TimerHandle] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, mail_id: str, told: Sequence[Told]) -> None:
        """Take deliveries of one mail; they are told of at once where nothing else of it is to come."""
        if mail_id not in self._held:
            self._held[mail_id] = []
            loop = asyncio.get_running_loop()
            self._clocks[mail_id] = loop.call_later(self._patience, self._end, mail_id)
        self._held[mail_id] += told
        self.look(mail_id)

    def look(self, mail_id: str) -> None:
        """Tell of a mail's deliveries if no other is to come, or enough are here."""
        held = len(self._held.get(mail_id, ()))
        if held and (held >= MOST or held >= self._waiting(mail_id)):
            self._end(mail_id)

    def end(self) -> None:
        """Tell of all now."""
        for mail_id in list(self._held):
            self._end(mail_id)

    def _end(self, mail_id: str) -> None:
        self._clocks.pop(mail_id).cancel()
        for told in in_one_report(self._held.pop(mail_id), lambda each: each.settled.delivery):
            self._tell(told)


def in_one_report(items: Iterable[T], row_of: Callable[[T], Delivery]) -> list[list[T]]:
    """Put together what one report can tell of."""
    reports: dict[tuple[object, ...], list[T]] = {}
    for each in items:
        reports.setdefault(_whose(row_of(each)), []).append(each)
    return [told[at : at + MOST] for told in reports.values() for at in range(0, len(told), MOST)]


def _whose(row: Delivery) -> tuple[object, ...]:
    """What must be equal in all deliveries of one report: of which mail, who gets it, on whose account, as he asked."""
    return row.mail_id, row.sender, row.domain_id, row.ret, row.envid
