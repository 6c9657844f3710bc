"""What is on its way: the queue, its destinations, and the verbs that move it (additions)."""

from functools import partial
from typing import Annotated

import msgspec

from gatepost.api.admin.messages import QueuedDelivery, TracedDelivery, told
from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, as_sent, sent, text, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Op, Page, Pattern, Query, Where, every
from gatepost.model.route import Hop, Transport
from gatepost.model.stored import State
from gatepost.model.values import Id
from gatepost.services.queue import GIVEN_UP, Deliveries, Move, Moved, Verb
from gatepost.services.records import LINE, Line, Name, Port, show
from gatepost.turns import shown

QUEUE = Listing(
    sort="id",
    sorts=("id", "due", "created", "expires", "attempts", "recipient", "sender", "state"),
    filters={
        "state": word("state", State),
        "recipient": sent("recipient"),
        "sender": sent("sender"),
        "mailId": text("mail_id"),
    },
)
IDS = 1000  # deliveries that one request may name

Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=LINE)]


class QueueAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which part of the queue: of one domain; for one destination, by id then; behind the delivery `after`."""

    domain_id: Id | None = None
    destination: str = ""
    after: Id | None = None


class Server(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A server to hand mail to."""

    host: Name
    port: Port = 25
    transport: Transport = Transport.SMTPS_MAY

    @property
    def hop(self) -> Hop:
        return Hop(self.host, self.port, self.transport)


class Reroute(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The server to go by; null: the mail's own way again."""

    hop: Server | None


class Bounce(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the sender is told."""

    reason: Reason = GIVEN_UP


class BulkMove(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to do with which deliveries: those named, and of them those that match every other member.

    Texts may begin and end with a star. Without any condition `all` must say so. `hop` goes with reroute, `reason` with
    bounce.
    """

    act: Verb
    ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=IDS)] | None = None
    state: State | None = None
    recipient: Name | None = None
    sender: Line | None = None
    mail_id: Name | None = None
    destination: Name | None = None
    domain_id: Id | None = None
    all: bool = False
    hop: Server | None = None
    reason: Reason = GIVEN_UP


class DestinationView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A place that mail waits for: `window` of at most `limit` transactions go at once, fewer while it struggles."""

    name: str
    waiting: int
    under_way: int
    window: int
    limit: int
    paused: bool


class Place(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A destination, named as the list of destinations names it."""

    destination: Name


class QueuedDetail(TracedDelivery, frozen=True, kw_only=True, rename="camel"):
    """A delivery with every try of it, and the destination that it waits for."""

    destination: str
    via: str


@endpoint("GET", "/queue", permission="QUEUE_READ", listing=QUEUE, addition=True, problems=(Kind.NOT_FOUND,))
async def list_queue(deliveries: Deliveries, caller: Caller, query: QueueAsk, listed: Query) -> Page[QueuedDelivery]:
    """List what is queued or held; continue by `after` (the last id seen) rather than by `offset` in long queues.

    Behind an id the list for one destination has no total.
    """
    page = await deliveries.find(
        caller, listed, destination=query.destination, domain_id=query.domain_id, after=query.after
    )
    return await shown(page, partial(show, QueuedDelivery))


@endpoint("POST", "/queue/flush", permission="QUEUE_WRITE", status=200, addition=True)
async def flush_queue(deliveries: Deliveries, caller: Caller) -> Moved:
    """Try everything that waits now; what is held, or under way, stays as it is."""
    return await deliveries.flush(caller)


@endpoint("GET", "/queue/destinations", permission="QUEUE_READ", addition=True)
async def list_destinations(deliveries: Deliveries, caller: Caller) -> list[DestinationView]:
    """Tell what waits for each destination, the fullest first."""
    return [show(DestinationView, each) for each in await deliveries.destinations(caller)]


@endpoint("POST", "/queue/pause", permission="QUEUE_WRITE", addition=True)
async def pause_destination(deliveries: Deliveries, caller: Caller, body: Place) -> None:
    """Let nothing go to a destination until it is resumed, over restarts too; what is under way ends."""
    await deliveries.pause(caller, body.destination)


@endpoint("POST", "/queue/resume", permission="QUEUE_WRITE", addition=True)
async def resume_destination(deliveries: Deliveries, caller: Caller, body: Place) -> None:
    """Let mail go to a destination again."""
    await deliveries.resume(caller, body.destination)


@endpoint("POST", "/queue/bulk", permission="QUEUE_WRITE", status=200, addition=True, problems=(Kind.NOT_FOUND,))
async def move_deliveries(deliveries: Deliveries, caller: Caller, body: BulkMove) -> Moved:
    """Hold, release, retry, delete, bounce or reroute all deliveries that match; those under way are left alone."""
    move = Move(verb=body.act, reason=body.reason, hop=body.hop.hop if body.hop else None)
    where = _where(body)
    return await deliveries.move_all(caller, move, where, destination=body.destination or "", domain_id=body.domain_id)


@endpoint("GET", "/queue/{id}", permission="QUEUE_READ", addition=True)
async def get_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> QueuedDetail:
    """Look at one delivery: every try of it, and where it goes."""
    delivery, destination = await deliveries.get(caller, id)
    shown = msgspec.structs.asdict(told(delivery))
    return QueuedDetail(**shown, destination=destination, via=delivery.via)


@endpoint("POST", "/queue/{id}/hold", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def hold_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Keep a delivery from being tried; 409 while it is being tried."""
    await deliveries.move(caller, id, Move(verb=Verb.HOLD))


@endpoint("POST", "/queue/{id}/release", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def release_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Let a held delivery go."""
    await deliveries.move(caller, id, Move(verb=Verb.RELEASE))


@endpoint("POST", "/queue/{id}/retry", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def retry_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Try a delivery now; 409 while it is being tried."""
    await deliveries.move(caller, id, Move(verb=Verb.RETRY))


@endpoint("POST", "/queue/{id}/bounce", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def bounce_delivery(deliveries: Deliveries, caller: Caller, id: Id, body: Bounce | None) -> None:
    """Give a delivery up and tell its sender, where he may be told; 409 while it is being tried."""
    reason = (body or Bounce()).reason
    await deliveries.move(caller, id, Move(verb=Verb.BOUNCE, reason=reason))


@endpoint("POST", "/queue/{id}/reroute", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def reroute_delivery(deliveries: Deliveries, caller: Caller, id: Id, body: Reroute) -> None:
    """Send a delivery to another server, or by its own way again; 409 while it is being tried."""
    await deliveries.move(caller, id, Move(verb=Verb.REROUTE, hop=body.hop.hop if body.hop else None))


@endpoint("DELETE", "/queue/{id}", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def delete_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Give a delivery up, without a word to its sender; 409 while it is being tried."""
    await deliveries.move(caller, id, Move(verb=Verb.DELETE))


def _where(body: BulkMove) -> Condition:
    """The condition that a bulk request states; one that states none must mean it."""
    stated: list[Condition] = []
    if body.ids is not None:
        stated.append(Where("id", Op.IN, [int(each) for each in body.ids]))
    if body.state is not None:
        stated.append(Where("state", Op.EQ, body.state.value))
    texts = {"recipient": body.recipient, "sender": body.sender, "mail_id": body.mail_id}
    stated += [Where(name, Op.LIKE, as_sent(Pattern.read(value))) for name, value in texts.items() if value is not None]
    if not (stated or body.all or body.destination or body.domain_id is not None):
        raise Problem(Kind.MALFORMED, 'Which deliveries? To mean all of them, say "all": true.', pointer="/all")
    return every(*stated) if stated else All(())
