"""The intake: judges a received mail, keeps body and rows in one commit, and says how the door must answer."""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache, partial

import msgspec

from gatepost.events import Clock, Metrics, Trail, log
from gatepost.message.anatomy import Anatomy, Summary
from gatepost.message.mail import Mail, Opener
from gatepost.model.address import Address, parse_address
from gatepost.model.envelope import Body, Client, Envelope, Recipient
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.stored import Copy, Delivery, Message, TraceEvent
from gatepost.model.verdict import Action, Category
from gatepost.mta import verdicts
from gatepost.mta.authorship import MISALIGNED, Authorship, is_unproven
from gatepost.mta.bounce import Bounces
from gatepost.mta.bound import bound
from gatepost.mta.directory import Directory
from gatepost.mta.hooks import Hooks
from gatepost.mta.judge import DAY, Case, system_keep
from gatepost.mta.keeping import Also, Judged, calling, made_copies, welcome
from gatepost.mta.marks import marks
from gatepost.mta.nearest import weighed
from gatepost.mta.outgoing import Outgoing
from gatepost.mta.pipeline import Findings, Pipeline, Report
from gatepost.mta.queue import Queue
from gatepost.mta.quota import Quota
from gatepost.mta.reached import reached
from gatepost.mta.refusals import Refusals
from gatepost.mta.rows import deciding, delivery, facts, fresh_id, message_row, reason
from gatepost.mta.standing import Standing
from gatepost.mta.suppress import Returns
from gatepost.settings import Settings
from gatepost.store.blobs import Draft
from gatepost.store.bulk import Keep
from gatepost.store.store import Pace, Store

HOUR = 3_600_000
ANY_SIZE = 1_000_000  # megabytes


class Answer(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DEFERRED = "deferred"


class Receipt(msgspec.Struct, frozen=True):
    """What the door tells the client: `kind`, else `category` picks the code; `reason` is a line fit for a stranger."""

    id: str
    answer: Answer
    category: Category = Category.CLEAN
    reason: str = ""
    kind: Kind | None = None  # of a refusal that has a code of its own


class Intake:
    """The one call into the house: a mail is the caller's until `receive` returns ACCEPTED, then it is ours."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        pipeline: Pipeline,
        queue: Queue,
        settings: Settings,
        *,
        opener: Opener,
        refusals: Refusals,
        standing: Standing,
        outgoing: Outgoing,
        authorship: Authorship,
        hooks: Hooks,
        quota: Quota,
        clock: Clock,
        metrics: Metrics,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._pipeline = pipeline
        self._queue = queue
        self._settings = settings
        self._opener = opener
        self._refusals = refusals
        self._standing = standing
        self._outgoing = outgoing
        self._authorship = authorship
        self._hooks = hooks
        self._quota = quota
        days, trace_days = settings.sending.suppress_days, settings.trace.days
        self._returns = Returns(store, hooks, clock, days=days, trace_days=trace_days)
        days, life = settings.quarantine.system_days, settings.queue.life
        self._bounces = Bounces(settings.hostname, life=life, system_days=days, new_id=self.new_id)
        self._clock = clock
        self._received_bytes = metrics.received_bytes
        self._counter = cache(metrics.messages.labels)
        self._new_id = new_id
        self._under_way = 0  # mails that are judged or written just now
        self._provisioned: dict[int, deque[int]] = defaultdict(deque)

    def new_id(self) -> str:
        """Return the id of a mail: 32 hex characters, ordered by time (the layout of RFC 9562 version 7)."""
        if self._new_id is not None:
            return self._new_id()
        return fresh_id(self._clock())

    def note_refusal(
        self, client: Client, sender: Address | None, recipient: Address | None, code: str, text: str, why: str = ""
    ) -> None:
        """Remember what a door refused before there was a mail, as `Refusals.note`."""
        self._refusals.note(client, sender, recipient, code, text, why)

    def admit(self, client: Client, sender: Address | None, recipients: int = 1, before: int = 0) -> None:
        """Raise Problem for an account of ours that sends too much, or spam, as `Outgoing.check`."""
        self._outgoing.check(client, sender, recipients, before)

    def draft(self) -> Draft:
        """Return a place to write DATA to; raise Problem(FULL) where there is no room for mail."""
        if not self._store.fresh_space():
            raise Problem(Kind.FULL, "no space left for mail")
        return self._store.spool.draft()

    async def receive(self, envelope: Envelope, draft: Draft, also: Also | None = None) -> Receipt:
        """Judge and keep a mail; nothing of it is kept unless the answer is ACCEPTED.

        `also` is written in the same commit as a mail that is kept.

        Raises Problem(FULL) or Problem(UNAVAILABLE) when it can't be kept now. Several recipients are each treated by
        their own verdict: REJECTED only if all are, DEFERRED if any is, else ACCEPTED and a refused minority is held
        (rules 2).
        """
        body = await self._store.spool.finish(draft)
        self._under_way += 1
        self._store.coming.begins(envelope.id)
        try:
            receipt = await self._take(envelope, body, also)
        except BaseException:
            self._store.spool.forget(body)
            raise
        finally:
            self._under_way -= 1
            self._store.coming.ends(envelope.id)
        if receipt.answer is not Answer.ACCEPTED:
            self._store.spool.forget(body)
        return receipt

    async def examine(self, envelope: Envelope, draft: Draft) -> Receipt:
        """Judge a mail of any size and keep nothing of it; ACCEPTED only where it would reach every recipient."""
        envelope = msgspec.structs.replace(envelope, recipients=tuple(map(_unlimited, envelope.recipients)))
        body = await self._store.spool.finish(draft)
        try:
            mail = Mail(envelope, body, self._opener, on_trial=True)
            report = await self._pipeline.run(mail, Trail(self._clock))
        finally:
            self._store.spool.forget(body)
        judged = [self._judge(mail, report.anatomy, each) for each in report.found]
        stopped = [each for each in judged if each.verdict.action is not Action.DELIVER]
        if not stopped:
            return Receipt(envelope.id, Answer.ACCEPTED)
        gravest = max(stopped, key=lambda each: each.verdict.category)
        answer = Answer.DEFERRED if gravest.verdict.action is Action.DEFER else Answer.REJECTED
        return Receipt(envelope.id, answer, gravest.verdict.category, _said(gravest))

    async def _take(self, envelope: Envelope, body: Body, also: Also | None) -> Receipt:
        self._outgoing.take(envelope)
        receipt = None
        try:
            receipt = await self._process(envelope, body, also)
        finally:
            if receipt is None or receipt.answer is Answer.DEFERRED:
                self._outgoing.give_back(envelope)
        return receipt

    async def _process(self, envelope: Envelope, body: Body, also: Also | None) -> Receipt:
        trail = Trail(self._clock)
        mail = Mail(envelope, body, self._opener)
        report, judged, answer = await self._weigh(mail, trail)
        self._store.coming.ends(envelope.id)
        summary = report.anatomy.summary if report.anatomy else Summary()
        for each in judged:
            verdicts.announce(envelope, each, self._counter)
        self._standing.saw(mail, judged)
        unproven = any(is_unproven(envelope, each) for each in judged)
        if not unproven:
            self._outgoing.saw(mail, judged)
        signer = self._authorship.signer(envelope, report.anatomy)
        message = message_row(envelope, body, summary, signer, mail.auth, report.proofs)
        if answer is not Answer.ACCEPTED:
            receipt = await self._refuse(message, judged, answer, trail)
            if unproven and answer is Answer.REJECTED:  # it may be anybody's: the account pays nothing
                self._outgoing.give_back(envelope)
            return receipt
        proven = mail.auth is not None and mail.auth.sender_proven
        deliveries = self._deliveries(envelope, judged, report.scanners, proven=proven)
        told = reached(self._bounces, envelope, message, body, deliveries, self._settings.trace.days, proven=proven)
        if told is not None:
            told.trace(trail)
        own = self._own_policy(envelope)
        author = self._authorship.author(envelope, report.anatomy)
        copies = made_copies(envelope, judged, own, author, self._directory.holders.of)
        same = self._directory.confirm((each.recipient for each in judged), envelope.client.login)
        beside = [each for each in (same, told, also) if each is not None]
        receipt = await self._accept(message, body, judged, copies, deliveries, trail, beside)
        if told is not None:
            told.send(self._queue)
        await self._returns.note(envelope, mail.auth, report.anatomy)
        return receipt

    async def dry_run(self, envelope: Envelope, body: Body) -> list[TraceEvent]:
        """Return the trace that a mail would have if it came in now; nothing is kept, learned or answered."""
        trail = Trail(self._clock)
        await self._weigh(Mail(envelope, body, self._opener, on_trial=True), trail)
        return trail.events

    async def _weigh(self, mail: Mail, trail: Trail) -> tuple[Report, list[Judged], Answer]:
        """Ask the filters, and judge for each recipient; the trail tells how."""
        envelope = mail.envelope
        trail.add("received", **facts(envelope, mail.body))
        report = await self._pipeline.run(mail, trail, crowd=self._under_way)
        judged = [self._judge(mail, report.anatomy, each) for each in report.found]
        answer = _answer(judged)
        if answer is Answer.ACCEPTED:
            judged = [self._hold_refused(envelope, each) for each in judged]
        for each in judged:
            verdicts.trace(each, trail)
        return report, judged, answer

    def _judge(self, mail: Mail, anatomy: Anatomy | None, found: Findings) -> Judged:
        envelope, recipient = mail.envelope, found.recipient
        if wrong := self._authorship.wrong(mail, recipient, anatomy):
            return Judged(recipient, wrong)
        if recipient.policy is None:
            raise Problem(Kind.UNAVAILABLE, "the recipient's policy is gone; try again")
        case = Case(
            policy=recipient.policy,
            received=envelope.received,
            outgoing=recipient.leaves,
            clean_only=recipient.clean_only,
            system_days=self._settings.quarantine.system_days,
            full=self._quota.is_full(recipient.domain_id),
        )
        return Judged(recipient, *weighed(found.findings, case))

    def _hold_refused(self, envelope: Envelope, judged: Judged) -> Judged:
        verdict = judged.verdict
        if verdict.action is not Action.REJECT:
            return judged
        held = msgspec.structs.replace(
            verdict,
            action=Action.HOLD,
            keep=(system_keep(envelope.received, self._settings.quarantine.system_days),),
            path=(*verdict.path, "others of its recipients take the mail: kept for this one instead of refused"),
        )
        return msgspec.structs.replace(judged, verdict=held)

    # What follows.

    async def _refuse(self, message: Message, judged: Sequence[Judged], answer: Answer, trail: Trail) -> Receipt:
        action = Action.REJECT if answer is Answer.REJECTED else Action.DEFER
        gravest = max(
            (each for each in judged if each.verdict.action is action), key=lambda each: each.verdict.category
        )
        trail.add("rejected" if answer is Answer.REJECTED else "deferred")
        until = self._clock() + self._settings.trace.refused_days * DAY
        try:
            await self._store.write(lambda writer: writer.refuse(message, trail.events, until))
        except Problem as problem:  # the refusal stands without its trace
            log.warning("trace of a refused mail not kept", id=message.id, why=problem.detail)
        return Receipt(message.id, answer, gravest.verdict.category, _said(gravest), _kind(gravest, message))

    async def _accept(
        self,
        message: Message,
        body: Body,
        judged: Sequence[Judged],
        copies: Sequence[Copy],
        deliveries: Sequence[Delivery],
        trail: Trail,
        also: Sequence[Also],
    ) -> Receipt:
        newcomers = [each.recipient for each in judged if self._provisions(each)]
        until = self._clock() + self._settings.trace.days * DAY
        for copy in copies:
            trail.add("kept", mailbox=copy.mailbox, folder=copy.folder)
        for way in deliveries:
            trail.add("queued", mailbox=way.recipient, **({"tls": message.tls_wish.value} if message.tls_wish else {}))
        if body.path is not None:
            body = await self._store.spool.adopt(body, message.id)

        calls = self._hooks.of_mail(message, deliveries, copies)
        beside = [*([calling(calls)] if calls else []), *also]
        arrival = partial(Keep, message, body, deliveries=deliveries, trace=trail.events, until=until, beside=beside)
        if newcomers:
            change = partial(welcome, arrival=arrival, copies=copies, newcomers=newcomers, now=message.received)
            kept = await self._store.write(change, pace=Pace.TOGETHER)
        else:
            kept = await self._store.write(arrival(copies), pace=Pace.TOGETHER)
        self._quota.took(copies, message.size)
        ids = kept.deliveries
        self._received_bytes.inc(message.size)
        if ids:
            ready = [msgspec.structs.replace(each, id=id) for each, id in zip(deliveries, ids, strict=True)]
            self._queue.push(message, ready, body)
        return Receipt(message.id, Answer.ACCEPTED, Category.CLEAN)

    def _deliveries(
        self, envelope: Envelope, judged: Sequence[Judged], scanners: tuple[str, ...], *, proven: bool
    ) -> list[Delivery]:
        ways: dict[str, Delivery] = {}
        for each in judged:
            if each.verdict.action is Action.DELIVER:
                way = delivery(
                    envelope,
                    each.recipient,
                    each.verdict,
                    life=self._settings.queue.life,
                    proven=proven,
                    connection_id=bound(self._store.reader, envelope, each.recipient),
                    marks=marks(each, self._settings.headers, scanners),
                )
                ways.setdefault(each.recipient.address.key, way)
        return list(ways.values())

    def _own_policy(self, envelope: Envelope) -> Policy | None:
        """The policy by which who signed in keeps what he sent; None where his domain has no room left."""
        login = envelope.client.login
        if login is None or self._quota.is_full(login.domain_id):
            return None
        return self._directory.policy_of(parse_address(login.email))

    def _provisions(self, judged: Judged) -> bool:
        """Tell whether an account is to be made: first CLEAN mail, within the domain's hourly limit (rules 7)."""
        recipient, verdict = judged.recipient, judged.verdict
        clean = verdict.category is Category.CLEAN and verdict.action is Action.DELIVER
        if not (recipient.provision and clean and recipient.domain_id):
            return False
        made = self._provisioned[recipient.domain_id]
        while made and not 0 <= self._clock() - made[0] < HOUR:
            made.popleft()
        if len(made) >= self._settings.limits.provisioned_per_hour:
            return False
        made.append(self._clock())
        return True


def _unlimited(recipient: Recipient) -> Recipient:
    """The recipient as if his policy took mails of any size."""
    if recipient.policy is None:
        return recipient
    return msgspec.structs.replace(
        recipient, policy=msgspec.structs.replace(recipient.policy, mail_size_limit=ANY_SIZE)
    )


def _answer(judged: Sequence[Judged]) -> Answer:
    actions = {each.verdict.action for each in judged}
    if Action.DEFER in actions:
        return Answer.DEFERRED
    return Answer.REJECTED if actions == {Action.REJECT} else Answer.ACCEPTED


def _said(judged: Judged) -> str:
    """Why a mail is refused; whose rule it was would tell a group's author of its members (rules 9)."""
    if judged.recipient.group and any(finding.owner for finding in judged.verdict.because):
        return "a rule of its recipients refuses the mail"
    return reason(judged.verdict)


def _kind(judged: Judged, message: Message) -> Kind | None:
    """Return the kind of a refusal that has a code of its own."""
    if judged.verdict is MISALIGNED:
        return Kind.SENDER_REFUSED if message.login else None
    found = deciding(judged.verdict)
    return found.kind if found else None
