"""What became of a mail (an addition)."""

from typing import Annotated, Any

import msgspec

from gatepost.api.body import octets
from gatepost.api.endpoint import Call, endpoint
from gatepost.api.listing import PAGE, as_sent
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Pattern
from gatepost.model.stored import Delivery, State, TraceEvent
from gatepost.model.values import Id, Millis
from gatepost.services.dryrun import Arrival, DryRuns
from gatepost.services.life import Life
from gatepost.services.records import show
from gatepost.services.status import Standing, Status
from gatepost.services.trace import Traces
from gatepost.services.tracking import END, LIVES, Search, Tracked
from gatepost.turns import in_turns


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
    """One try to deliver; `code` 0 means that there was no answer, `took` is in milliseconds; `skipped` says of servers
    tried before why they can't be given a mail that requires TLS."""

    at: Millis
    hop: str
    tls: str | None
    code: int
    reply: str
    took: int
    skipped: list[str]


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


class RecipientStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a mail stands for one recipient ("": refused before one was named), and why; `reasons` stood against it."""

    recipient: str
    status: Status
    why: str
    reasons: list[str]


class TrackedMail(TracedMessage, frozen=True, kw_only=True, rename="camel"):
    """A mail with how it stands for each recipient that was asked about, and the symbols of what was found in it."""

    recipients: list[RecipientStatus]
    symbols: list[str]


class TrackedMails(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Mails, the newest first. `after` is where to go on; null: the whole time asked for is looked through.

    `counted` (known at the end) are refusals before DATA in that time which were only counted, and can't be found.
    """

    mails: list[TrackedMail]
    after: str | None
    counted: int


class TrackAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which mails; all that is given must hold. Texts may begin and end with a star.

    `since` is included, `until` not. `sender` is MAIL FROM ("" for the null sender) or stands in From; `client` is an
    address. `after` goes on behind a mail.
    """

    since: Millis | None = None
    until: Millis | None = None
    sender: str | None = None
    recipient: str | None = None
    subject: str | None = None
    client: str | None = None
    status: Status | None = None
    after: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")] | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=LIVES)] = PAGE


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
    recipients: list[RecipientStatus]
    others: list[str]


class JudgeAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the mail is to come in; `sender` "" stands for the null sender."""

    recipient: str
    sender: str = ""
    client_ip: str = "127.0.0.1"
    helo: str = ""


class JudgedMail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What would befall the mail."""

    events: list[TracedEvent]


@endpoint("GET", "/messages", permission="MAILS_READ", addition=True)
async def track_mails(traces: Traces, caller: Caller, query: TrackAsk) -> TrackedMails:
    """Find mails, refused ones too, by what their log would tell; for who may read mails on the whole platform.

    An answer comes of some thousand mails that were looked through: it may hold few, or none, and still have an
    `after`.
    """
    addresses = (_pattern(query.sender), _pattern(query.recipient))
    sender, recipient = (each and as_sent(each) for each in addresses)
    found = await traces.track(
        caller,
        Search(
            since=int(query.since or 0),
            until=END if query.until is None else int(query.until),
            sender=sender,
            recipient=recipient,
            subject=_pattern(query.subject),
            client=_pattern(query.client),
            status=query.status,
            after=query.after,
            limit=query.page_size,
        ),
    )
    mails = [_tracked(each) async for each in in_turns(found.mails)]
    return TrackedMails(mails=mails, after=found.after, counted=found.counted)


@endpoint("GET", "/messages/{id}/trace", permission="MAILS_READ", others=True, addition=True)
async def get_message_trace(traces: Traces, caller: Caller, id: str) -> MessageTrace:
    """Tell a mail's life, found by our id, its Message-ID or a next hop's queue id; refused mails too."""
    return _life(await traces.find(caller, id))


@endpoint(
    "POST",
    "/messages/judge",
    permission="MAILS_READ",
    status=200,
    addition=True,
    problems=(Kind.NOT_FOUND, Kind.TOO_LARGE, Kind.UNPROCESSABLE),
)
async def judge_mail(runs: DryRuns, caller: Caller, call: Call, query: JudgeAsk) -> JudgedMail:
    """Judge a mail (the body is its octets, CRLF lines) as if it came in now; nothing is kept, learned or answered."""
    arrival = Arrival(recipient=query.recipient, sender=query.sender, client_ip=query.client_ip, helo=query.helo)
    runs.check(caller, arrival)
    events = await runs.judge(caller, arrival, await octets(call.request, runs.largest))
    return JudgedMail(events=[_event(each) for each in events])


def _life(life: Life) -> MessageTrace:
    return MessageTrace(
        message=show(TracedMessage, life.message),
        events=[_event(each) for each in life.events],
        deliveries=[told(each) for each in life.deliveries],
        copies=[show(TracedCopy, each) for each in life.copies],
        recipients=[_standing(each) for each in life.standings],
        others=list(life.others),
    )


def _standing(standing: Standing) -> RecipientStatus:
    return show(RecipientStatus, standing, reasons=list(standing.reasons))


def _tracked(mail: Tracked) -> TrackedMail:
    recipients = [_standing(each) for each in mail.standings]
    return show(TrackedMail, mail.message, recipients=recipients, symbols=list(mail.symbols))


def _pattern(text: str | None) -> Pattern | None:
    return None if text is None else Pattern.read(text)


def _event(event: TraceEvent) -> TracedEvent:
    return show(TracedEvent, event, data=_data(event.data))


def _data(data: dict[str, Any]) -> dict[str, Any]:
    """The facts of an event, rules named by the ids under which the API knows them."""
    shown = dict(data)
    for name in ("findings", "nearest"):
        if isinstance(data.get(name), list):
            shown[name] = [_named(each) for each in data[name]]
    return shown


def _named(told: dict[str, Any]) -> dict[str, Any]:
    shown = dict(told)
    if "rule" in told:
        shown["rule"] = Id(told["rule"])
    if "rules" in told:
        shown["rules"] = [Id(rule) for rule in told["rules"]]
    return shown


def told(delivery: Delivery) -> TracedDelivery:
    """Return a delivery with its tries as the API shows it."""
    return show(TracedDelivery, delivery, log=[show(TracedAttempt, each) for each in delivery.log])
