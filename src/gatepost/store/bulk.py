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
        return self.together([self], writer)[0]

    @staticmethod
    def together(changes: "Sequence[Keep]", writer: Writer) -> list[Kept]:
        for change in changes:
            for beside in change.beside:
                beside(writer)
        return writer.mail.keep(changes)


class Settle(msgspec.Struct, frozen=True):
    """Write how deliveries stand."""

    deliveries: Sequence[Delivery]

    def __call__(self, writer: Writer) -> None:
        writer.mail.settle(self.deliveries)

    @staticmethod
    def together(changes: "Sequence[Settle]", writer: Writer) -> list[None]:
        writer.mail.settle([delivery for change in changes for delivery in change.deliveries])
        return [None] * len(changes)


KINDS: dict[type[Any], Callable[[Sequence[Any], Writer], Sequence[Any]]] = {
    Keep: Keep.together,
    Settle: Settle.together,
}
"""How the changes of each kind are made together; what one raises takes all of them back."""
