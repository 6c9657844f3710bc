"""Changes that many ask for at once: those of one batch are made together, with a few statements for all."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gatepost.model.envelope import Body
from gatepost.model.stored import Copy, Delivery, Message, TraceEvent
from gatepost.store.mail import Arrival, Kept
from gatepost.store.writer import Writer


class Keep(Arrival):
    """Keep a mail; returns the ids of its rows. What is written `beside` it is no configuration."""

    def __init__(
        self,
        message: Message,
        body: Body,
        copies: Sequence[Copy],
        deliveries: Sequence[Delivery],
        trace: Sequence[TraceEvent],
        until: int,
        beside: Sequence[Callable[[Writer], object]] = (),
    ) -> None:
        super().__init__(message, body, copies, deliveries, trace, until)
        self.beside = beside

    def __call__(self, writer: Writer) -> Kept:
        self.write_beside(writer)
        return writer.mail.keep([self])[0]

    def write_beside(self, writer: Writer) -> None:
        for beside in self.beside:
            beside(writer)


class Settle(msgspec.Struct, frozen=True):
    """Write how deliveries stand."""

    deliveries: Sequence[Delivery]

    def __call__(self, writer: Writer) -> None:
        writer.mail.settle(self.deliveries)


KINDS: frozenset[type[Any]] = frozenset({Keep, Settle})


def together(changes: Sequence[Any], writer: Writer) -> list[Kept | None]:
    """Make changes of these kinds and return what came of each; what one raises takes all of them back."""
    keeps = [change for change in changes if isinstance(change, Keep)]
    for keep in keeps:
        keep.write_beside(writer)
    ways = [delivery for change in changes if isinstance(change, Settle) for delivery in change.deliveries]
    kept = iter(writer.mail.exchange(ways, keeps))
    return [next(kept) if isinstance(change, Keep) else None for change in changes]
