"""Sending: one service for every API; who may send as whom, composed, judged and queued like any mail, once a key."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from gatepost.events import Clock
from gatepost.message.compose import Attachment, Letter, Party, compose
from gatepost.message.signature import signed
from gatepost.model.access import Caller
from gatepost.model.address import parse_address
from gatepost.model.envelope import Envelope, Recipient, direction_of, gather
from gatepost.model.outgoing import Share
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq, every
from gatepost.model.stored import Copy
from gatepost.model.verdict import Folder
from gatepost.mta.directory import Directory
from gatepost.mta.intake import Answer, Intake, Receipt
from gatepost.mta.notices import Notices
from gatepost.mta.ways import Ways
from gatepost.services.author import Author, Authors
from gatepost.services.connections import usable
from gatepost.services.draft import INLINE, Draft, Thread, check, letter
from gatepost.services.drafts import Drafts
from gatepost.services.once import Once, Turn
from gatepost.services.records import read_address
from gatepost.services.shares import Shares, with_links
from gatepost.services.signatures import policy_of
from gatepost.services.thread import Threads
from gatepost.services.uploads import Uploads
from gatepost.settings import Settings
from gatepost.store.blobs import Draft as Spooled
from gatepost.store.store import Store, Writer

BLIND = 4096  # characters that are kept of the blind copies
READ = 16_384  # characters of HTML that are read and signed on the event loop: more would hold mail up
COMPOSED = 2  # larger mails that are composed at once: each is in memory several times over
_LATER = {Kind.UNVERIFIED, Kind.PENDING_DOMAIN}
_NEVER = {
    Kind.UNKNOWN_USER,
    Kind.SUPPRESSED,
    Kind.DISABLED_USER,
    Kind.DISABLED_DOMAIN,
    Kind.DELETED_DOMAIN,
    Kind.POLICY_REFUSED,
    Kind.RELAYING_DENIED,
    Kind.NULL_MX,
    Kind.BAD_ADDRESS,
    Kind.LOOP,
}
"""What only the road says of an address that mail can't go to."""


Beside = Callable[[Writer, str, Author], None]
"""What else is written with a mail, by its id and its author."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A mail of the gateway to a person. Without `html` it is plain text; `sender` None: the gateway's own address."""

    to: Party
    subject: str
    text: str
    html: str | None = None
    sender: Party | None = None
    reply_to: Party | None = None


class Sending:
    """Sends mail for who may. On return it is durable: judged, kept in Sent and the archive by policy, and queued."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        directory: Directory,
        notices: Notices,
        ways: Ways,
        *,
        authors: Authors,
        uploads: Uploads,
        drafts: Drafts,
        threads: Threads,
        shares: Shares,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._intake = intake
        self._directory = directory
        self._notices = notices
        self._ways = ways
        self._authors = authors
        self._uploads = uploads
        self._drafts = drafts
        self._threads = threads
        self._shares = shares
        self._limits = settings.limits
        self._hostname = settings.hostname
        self._clock = clock
        self._once = Once(store, settings.sending.key_hours, clock)
        self._composing = asyncio.Semaphore(COMPOSED)

    async def send(
        self,
        caller: Caller,
        draft: Draft,
        *,
        key: str | None = None,
        request: bytes = b"",
        mail_id: str = "",
        beside: Beside | None = None,
    ) -> str:
        """Send a mail and return its id; under a `key` that was used before, the id of the mail that was sent then.

        A key stands for one `request`, the draft unless said otherwise. What goes under a `mail_id` was promised
        before: its saved draft may be gone. `beside` is written in the same commit as the mail.

        Raises Problem: FORBIDDEN for a sender that is not the caller's, MALFORMED for what can't stand in a mail,
        NOT_FOUND for an upload, UNPROCESSABLE for a saved draft that is not there, a recipient that mail can't go to,
        or where filters and policy refuse the mail, UNAVAILABLE where it is to be tried again, SLOWED where the account
        sends too much. Then nothing was sent.
        """
        author = self._authors.find(caller, draft.sender)
        check(draft, self._limits.recipients)
        asked = b"" if key is None else request or msgspec.json.encode(draft)
        async with self._once.turn(f"user {author.user.id}", key, asked) as turn:
            if turn.mail_id:
                return turn.mail_id
            if not mail_id:
                draft = await self._drafts.completed(author.user, draft)
            return await self._send(author, draft, turn, mail_id or self._intake.new_id(), beside)

    async def has_copy(self, caller: Caller, mail_id: str) -> bool:
        """Tell whether the caller, a mailbox user, has a copy in Sent of a mail that he sent."""
        own = every(eq("mail_id", mail_id), eq("folder", Folder.SENT.value), eq("user_id", caller.user_id))
        return await self._store.read(lambda reader: reader.first(Copy, own)) is not None

    # To whom.

    async def _recipients(self, author: Author, draft: Draft) -> tuple[Recipient, ...]:
        asked = [
            (party, f"/{member}/{at}")
            for member, parties in (("to", draft.to), ("cc", draft.cc), ("bcc", draft.bcc))
            for at, party in enumerate(parties)
        ]
        asking = [self._resolve(author, party, pointer) for party, pointer in asked]
        found = await asyncio.gather(*asking) if len(asking) > 1 else [await each for each in asking]  # spares a task
        recipients: dict[str, Recipient] = {}
        for each in found:
            gather(recipients, each)
        return tuple(recipients.values())

    async def _resolve(self, author: Author, party: Party, pointer: str) -> tuple[Recipient, ...]:
        try:
            address = read_address(party.address, pointer)
            return await self._directory.resolve(address, author.client, author.address)
        except Problem as problem:
            raise _told(problem, pointer) from problem

    # What.

    async def _send(self, author: Author, draft: Draft, turn: Turn, mail_id: str, beside: Beside | None) -> str:
        files = await self._uploads.load(author.user, draft.uploads)
        thread = await self._threads.of(author.user, draft)
        recipients = await self._recipients(author, draft)
        self._admit(author, len(recipients))
        now = self._clock()
        shares: Sequence[Share] = ()
        if draft.sharing is not None:
            shared = await self._uploads.load(author.user, draft.sharing.uploads)
            shares = await self._shares.begin(author.user, draft.sharing)
            draft = with_links(draft, shares, draft.sharing.base)
        written = await self._letter(author, draft, files, thread, mail_id, now)
        envelope = self._envelope(author, draft, recipients, written, mail_id, now)

        def also(writer: Writer) -> None:
            turn.remember(writer, mail_id)
            if beside:
                beside(writer, mail_id, author)
            writer.drop_uploads([each.uid for each in draft.uploads])
            self._shares.keep(writer, shares)
            if thread.origin:
                self._threads.mark(writer, author.user, thread)
            if draft.draft_id:
                self._drafts.drop(writer, author.user, draft.draft_id)

        if shares:
            await self._examine(envelope, msgspec.structs.replace(written, attachments=[*files, *shared]))
        with self._draft() as body:
            await self._compose(written, body, self._limits.message_bytes)
            _check(await self._intake.receive(envelope, body, also))
        return mail_id

    def _envelope(
        self, author: Author, draft: Draft, recipients: tuple[Recipient, ...], written: Letter, mail_id: str, now: int
    ) -> Envelope:
        return Envelope(
            id=mail_id,
            client=author.client,
            sender=author.address,
            recipients=recipients,
            direction=direction_of(author.client, recipients),
            received=now,
            blind=", ".join(each.shown for each in draft.bcc)[:BLIND],
            smtputf8=written.smtputf8 or any(each.address.needs_smtputf8 for each in recipients),
            connection_id=self._connection(author, draft),
            requires_tls=bool(draft.require_tls),
        )

    def _admit(self, author: Author, recipients: int) -> None:
        """Raise SLOWED for an account that sends too much, before its mail is composed; remember it as doors do."""
        try:
            self._intake.admit(author.client, author.address, recipients)
        except Problem as problem:
            self._intake.note_refusal(author.client, author.address, None, problem.kind.value, problem.detail)
            raise

    def _connection(self, author: Author, draft: Draft) -> int | None:
        chosen = draft.connection
        return usable(self._store.reader, author.user, chosen.project, chosen.name).id if chosen else None

    async def _letter(
        self, author: Author, draft: Draft, files: Sequence[Attachment], thread: Thread, mail_id: str, now: int
    ) -> Letter:
        sign = self._sign(author) if draft.sign else ""
        message_id = f"{mail_id}@{author.address.domain}"

        def write() -> Letter:
            html = signed(draft.html, sign) if draft.html is not None and sign else draft.html
            said = msgspec.structs.replace(draft, html=html)
            return letter(said, author.party, files, thread, date=now, message_id=message_id)

        return write() if len(draft.html or "") + len(sign) <= READ else await asyncio.to_thread(write)

    def _sign(self, author: Author) -> str:
        """Return the signature of who has one, and retention."""
        policy = policy_of(self._store.reader, author.user) if author.user.sign else None
        return (author.user.sign or "") if policy and policy.retention else ""

    async def _examine(self, envelope: Envelope, written: Letter) -> None:
        """Let the filters see what a link would carry past them: the mail as if the files were in it."""
        with self._draft() as body:
            await self._compose(written, body)
            _check(await self._intake.examine(envelope, body))

    async def _compose(self, written: Letter, body: Spooled, most: int | None = None) -> None:
        """Write a mail's octets, at most `most`; those of a large mail in a thread, so many at once."""

        def write() -> None:
            data = compose(written)
            if most is not None and len(data) > most:
                raise Problem(Kind.TOO_LARGE, f"A mail may have at most {most} octets.")
            body.write(data)

        if written.size <= INLINE:
            write()
            return
        async with self._composing:
            await asyncio.to_thread(write)

    @contextmanager
    def _draft(self) -> Iterator[Spooled]:
        body = self._intake.draft()
        try:
            yield body
        finally:
            body.discard()

    # What the gateway itself says.

    async def notify(self, notice: Notice) -> str:
        """Send a notice of the gateway and return its mail's id; on return it is durable.

        It leaves with the null sender and as automatic (RFC 3834), is not filtered, and goes to the mail server of an
        address that is served here, else outside. Nobody's right is asked: that is the caller's. Raises Problem:
        MALFORMED for what can't stand in a mail, UNPROCESSABLE where there is no way to the address.
        """
        mail_id = self._notices.new_id()
        data = compose(
            Letter(
                sender=notice.sender or self._own_address(),
                to=[notice.to],
                reply_to=[notice.reply_to] if notice.reply_to else [],
                subject=notice.subject,
                text=notice.text,
                html=notice.html,
                date=self._clock(),
                message_id=f"{mail_id}@{self._hostname}",
                automatic="auto-generated",
            )
        )
        try:
            await self._notices.send(mail_id, data, parse_address(notice.to.address))
        except Problem as problem:
            raise _told(problem, "/to") from problem
        return mail_id

    def _own_address(self) -> Party:
        """The address that the default relay's settings give the gateway, else its postmaster."""
        default = self._ways.default()
        return Party((default and default.sender) or f"postmaster@{self._hostname}")


def _check(receipt: Receipt) -> None:
    if receipt.answer is Answer.REJECTED:
        raise Problem(Kind.UNPROCESSABLE, f"The mail is refused: {receipt.reason}.", mail=receipt.id)
    if receipt.answer is Answer.DEFERRED:
        raise Problem(Kind.UNAVAILABLE, f"The mail could not be examined now: {receipt.reason}.", mail=receipt.id)


def _told(problem: Problem, pointer: str) -> Problem:
    """What the road says of a recipient, in words of a request."""
    text = f"No mail can be sent to the address: {problem.detail}."
    if problem.kind in _LATER:
        return Problem(Kind.UNAVAILABLE, text, pointer=pointer)
    return Problem(Kind.UNPROCESSABLE, text, pointer=pointer) if problem.kind in _NEVER else problem
