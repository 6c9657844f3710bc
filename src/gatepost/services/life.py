"""A mail with all that befell it, as the store keeps it."""

import msgspec

from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Delivery, Message, TraceEvent
from gatepost.services.status import Standing, standings
from gatepost.store.store import Reader


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A mail with what befell it. `others` are further mails in scope that the same text names, newest first."""

    message: Message
    events: tuple[TraceEvent, ...]
    deliveries: tuple[Delivery, ...]
    copies: tuple[Copy, ...]
    others: tuple[str, ...] = ()

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How it stands for each recipient."""
        return standings(self.events, self.deliveries, self.copies)


def life_of(reader: Reader, message: Message) -> Life:
    """Return a mail with all that befell it, whoever it concerns."""
    of_mail = Query(where=eq("mail_id", message.id))
    return Life(
        message=message,
        events=tuple(reader.trace(message.id)),
        deliveries=tuple(reader.find(Delivery, of_mail).items),
        copies=tuple(reader.find(Copy, of_mail).items),
    )
