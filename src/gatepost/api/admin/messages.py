"""What became of a mail, and what is on its way (additions)."""

from typing import Any

import msgspec

from gatepost.api.endpoint import endpoint
from gatepost.api.listing import Listing, text, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query
from gatepost.model.stored import Delivery, State
from gatepost.model.values import Id, Millis
from gatepost.services.queue import Deliveries
from gatepost.services.records import show
from gatepost.services.trace import Life, Traces

QUEUE = Listing(
    sort="id",
    sorts=("id", "due", "created", "expires", "attempts", "recipient", "sender", "state"),
    filters={"state": word("state", State), "recipient": text("recipient"), "sender": text("sender")},
)


class TracedMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The mail that a trace is of; `id` is the value of its X-Gatepost-Id and X-Fuglu-Id."""

    id: str
    message_id: str
    received: Millis
    direction: str
    sender: str
    header_from: str
    header_to: str
    subject: str
    size: int
    client_ip: str
    helo: str


class TracedEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that befell the mail; `mailbox` is null where it concerns all recipients."""

    at: Millis
    event: str
    mailbox: str | None
    text: str
    data: dict[str, Any]


class TracedAttempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One try to deliver; `code` 0 means that there was no answer, `took` is in milliseconds."""

    at: Millis
    hop: str
    tls: str | None
    code: int
    reply: str
    took: int


class QueuedDelivery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mail on its way to one recipient; `due` is when it is tried next, `expires` when it is given up."""

    id: Id
    mail_id: str
    sender: str
    recipient: str
    state: State
    attempts: int
    due: Millis
    created: Millis
    expires: Millis
    release: bool
    last_reply: str | None
    remote_id: str | None
    domain_id: Id | None


class TracedDelivery(QueuedDelivery, frozen=True, kw_only=True, rename="camel"):
    """A delivery with every try of it."""

    done_at: Millis | None
    log: list[TracedAttempt]


class TracedCopy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A kept copy of the mail."""

    mailbox: str
    folder: str
    category: str
    score: float
    infected: bool
    reason: str
    stored_at: Millis
    expires_at: Millis
    released_at: Millis | None


class MessageTrace(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The life of a mail as far as the caller may see it; `others` are ids of more mails that the same text names."""

    message: TracedMessage
    events: list[TracedEvent]
    deliveries: list[TracedDelivery]
    copies: list[TracedCopy]
    others: list[str]


class QueueAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which part of the queue: of one domain; behind the delivery `after`."""

    domain_id: Id | None = None
    after: Id | None = None


@endpoint("GET", "/messages/{id}/trace", permission="MAILS_READ", addition=True)
async def get_message_trace(traces: Traces, caller: Caller, id: str) -> MessageTrace:
    """Tell a mail's life, found by our id, its Message-ID or a next hop's queue id; refused mails too."""
    return _life(await traces.find(caller, id))


@endpoint("GET", "/queue", permission="QUEUE_READ", listing=QUEUE, addition=True, problems=(Kind.NOT_FOUND,))
async def list_queue(deliveries: Deliveries, caller: Caller, query: QueueAsk, listed: Query) -> Page[QueuedDelivery]:
    """List what is queued or held; continue by `after` (the last id seen) rather than by `offset` in long queues."""
    page = await deliveries.find(caller, listed, domain_id=query.domain_id, after=query.after or 0)
    return Page([_queued(each) for each in page.items], page.total)


@endpoint("POST", "/queue/flush", permission="QUEUE_WRITE", addition=True)
async def flush_queue(deliveries: Deliveries, caller: Caller) -> None:
    """Try everything that waits now; what is held stays held."""
    await deliveries.flush(caller)


@endpoint("POST", "/queue/{id}/hold", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def hold_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Keep a delivery from being tried; 409 while it is being tried."""
    await deliveries.hold(caller, id)


@endpoint("POST", "/queue/{id}/release", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def release_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Let a held delivery go."""
    await deliveries.release(caller, id)


@endpoint("POST", "/queue/{id}/retry", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def retry_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Try a delivery now; 409 while it is being tried."""
    await deliveries.retry(caller, id)


@endpoint("DELETE", "/queue/{id}", permission="QUEUE_WRITE", addition=True, problems=(Kind.CONFLICT,))
async def delete_delivery(deliveries: Deliveries, caller: Caller, id: Id) -> None:
    """Give a delivery up, without a word to its sender; 409 while it is being tried."""
    await deliveries.delete(caller, id)


def _life(life: Life) -> MessageTrace:
    return MessageTrace(
        message=show(TracedMessage, life.message),
        events=[show(TracedEvent, each, data=_data(each.data)) for each in life.events],
        deliveries=[_delivery(each) for each in life.deliveries],
        copies=[show(TracedCopy, each) for each in life.copies],
        others=list(life.others),
    )


def _data(data: dict[str, Any]) -> dict[str, Any]:
    """The facts of an event, rules named by the ids under which the API knows them."""
    findings = data.get("findings")
    return {**data, "findings": [_finding(each) for each in findings]} if isinstance(findings, list) else data


def _finding(finding: dict[str, Any]) -> dict[str, Any]:
    return {**finding, "rule": Id(finding["rule"])} if "rule" in finding else finding


def _delivery(delivery: Delivery) -> TracedDelivery:
    return show(TracedDelivery, delivery, log=[show(TracedAttempt, each) for each in delivery.log])


def _queued(delivery: Delivery) -> QueuedDelivery:
    return show(QueuedDelivery, delivery)
