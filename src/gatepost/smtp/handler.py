"""Turns a session's commands into questions to the rooms below: may it send, who is that, take this mail."""

from collections.abc import Callable

import msgspec

from gatepost.events import Clock, log
from gatepost.model.address import Address
from gatepost.model.envelope import Client, Dsn, Envelope, Recipient, Role, direction_of, gather
from gatepost.model.problem import Kind, Problem
from gatepost.mta.directory import Directory
from gatepost.mta.intake import Answer, Intake
from gatepost.settings import Settings
from gatepost.smtp import auth, replies
from gatepost.smtp.auth import Access, Ask
from gatepost.smtp.parameters import MailOptions
from gatepost.smtp.replies import Refusal, Reply


class Transaction:
    """A mail's envelope while it is told."""

    __slots__ = ("_named", "options", "recipients", "sender")

    def __init__(self, sender: Address | None, options: MailOptions) -> None:
        self.sender = sender
        self.options = options
        self.recipients: dict[str, Recipient] = {}
        self._named: set[str] = set()

    def knows(self, key: str) -> bool:
        return key in self._named

    @property
    def named(self) -> int:
        """How many addresses the client gave."""
        return len(self._named)

    def add(self, key: str, recipients: tuple[Recipient, ...]) -> None:
        """Note whom an address stands for."""
        self._named.add(key)
        gather(self.recipients, recipients)


class Handler:
    """What every session asks of the house. Each question may raise Problem or Refusal."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        intake: Intake,
        access: Access,
        *,
        clock: Clock,
        trouble: Callable[[], Problem | None],
    ) -> None:
        self._limits = settings.limits
        self._split = settings.smtp.split_policies
        self._directory = directory
        self._intake = intake
        self._access = access
        self._clock = clock
        self.trouble = trouble  # why no mail can be kept now

    async def placed(self, client: Client, sender: Address | None) -> Client:
        """Return the client of a trusted listener as things stand: from no network of ours one is a stranger there.

        Raises Problem(UNAVAILABLE) where it can't be said now whether it is a provider of the sender's domain.
        """
        if client.login is not None:
            return client
        try:
            providers = await self._directory.through(client, sender)
        except Problem as problem:
            self._remember(problem, client, sender)
            raise
        role = Role.TRUSTED if not providers and self._directory.trusts(client.ip) else Role.MX
        if role is client.role and providers == client.providers:
            return client
        return msgspec.structs.replace(client, role=role, providers=providers)

    async def begin(self, client: Client, sender: Address | None, options: MailOptions) -> Transaction:
        """Open a mail's envelope."""
        if options.size > self._limits.message_bytes:
            raise Refusal(replies.TOO_BIG)
        if trouble := self.trouble():
            raise trouble
        self.hold(client)
        try:
            await self._directory.admit(client, sender)
            self._intake.admit(client, sender)
        except Problem as problem:
            self._remember(problem, client, sender)
            raise
        return Transaction(sender, options)

    async def name(self, client: Client, mail: Transaction, address: Address, dsn: Dsn) -> None:
        """Add a recipient to the envelope."""
        key = address.key
        if mail.knows(key):
            return
        if mail.named >= self._limits.recipients:
            raise Refusal(replies.TOO_MANY_RECIPIENTS)
        try:
            found = await self._directory.resolve(address, client, mail.sender, dsn)
            if all(over := [_excess(recipient, mail.options.size) for recipient in found]):
                raise Problem(Kind.TOO_LARGE, f"the mail is too big: {over[0]}")
            self._intake.admit(client, mail.sender, len(found), len(mail.recipients))
        except Problem as problem:
            self._remember(problem, client, mail.sender, address)
            raise
        if mail.named and len(mail.recipients) + len(found) > self._limits.recipients:
            raise Refusal(replies.TOO_MANY_RECIPIENTS)
        if self._split and _differs(mail, found):
            raise Refusal(replies.SPLIT)
        mail.add(key, found)

    def _remember(
        self, problem: Problem, client: Client, sender: Address | None, recipient: Address | None = None
    ) -> None:
        """Have a refusal remembered, so that it can be explained later (rules 21)."""
        why = replies.printable(str(problem.context.get("why", "")))
        self._intake.note_refusal(client, sender, recipient, *_parts(replies.of(problem)), why)

    def hold(self, client: Client) -> None:
        """Raise Refusal where who signed in could do so no more."""
        if client.login is not None and not self._access.holds(client.login):
            raise Refusal(replies.SIGN_IN_OVER, final=True)

    def open(self, client: Client, mail: Transaction) -> "Incoming":
        """Open a place for a mail's data."""
        self.hold(client)
        return Incoming(self._intake, client, mail, self._clock)

    async def sign_in(self, client: Client, mechanism: str, initial: str, ask: Ask) -> Client:
        """Return the client as one who has signed in."""
        who = await auth.sign_in(mechanism, initial, ask, self._access, client.ip)
        login = replies.printable(who.email)
        log.info("signed in", session=client.session, ip=client.ip, login=login, mechanism=mechanism.upper())
        return msgspec.structs.replace(client, login=who)


class Incoming:
    """A mail whose data is on its way in: `draft` takes it, then either `receive` or `drop` ends it."""

    def __init__(self, intake: Intake, client: Client, mail: Transaction, clock: Clock) -> None:
        self._intake = intake
        self._client = client
        self._mail = mail
        self._clock = clock
        self.draft = intake.draft()

    async def receive(self) -> Reply:
        """Hand the whole mail into the house; return what its client is told."""
        receipt = await self._intake.receive(self._envelope(), self.draft)
        if receipt.answer is Answer.ACCEPTED:
            return replies.accepted(receipt.id)
        if receipt.answer is Answer.REJECTED:
            return replies.rejected(receipt.category, receipt.reason, receipt.id, receipt.kind)
        return replies.deferred(receipt.reason, receipt.id, receipt.kind)

    def drop(self) -> None:
        """Forget what came; nothing of it is kept."""
        self.draft.discard()

    def refused(self, reply: Reply) -> None:
        """Remember that the data could not be taken as they came."""
        named = list(self._mail.recipients.values())
        only = named[0].address if len(named) == 1 else None
        self._intake.note_refusal(self._client, self._mail.sender, only, *_parts(reply))

    def _envelope(self) -> Envelope:
        mail = self._mail
        recipients = tuple(mail.recipients.values())
        return Envelope(
            id=self._intake.new_id(),
            client=self._client,
            sender=mail.sender,
            recipients=recipients,
            direction=direction_of(self._client, recipients),
            received=self._clock(),
            smtputf8=mail.options.smtputf8,
            eightbit=mail.options.eightbit,
            requires_tls=mail.options.requires_tls,
            dsn=mail.options.dsn,
        )


def _parts(reply: Reply) -> tuple[str, str]:
    """Return a reply's codes, and its words."""
    code, status, words = reply.text.split(" ", 2)
    return f"{code} {status}", words


def _excess(recipient: Recipient, size: int) -> str:
    """Say that a declared SIZE is beyond what the policy takes (RFC 1870 6.1): the recipient's, or the sender's own."""
    return recipient.policy.excess(size) if recipient.policy else ""


def _differs(mail: Transaction, found: tuple[Recipient, ...]) -> bool:
    first = next(iter(mail.recipients.values()), None)
    return first is not None and any(_policy_id(recipient) != _policy_id(first) for recipient in found)


def _policy_id(recipient: Recipient) -> int | None:
    return recipient.policy.id if recipient.policy else None
