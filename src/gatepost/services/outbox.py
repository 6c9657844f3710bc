"""The outbox: mails that a user sends later; whole in the store until their time, then sent as any other."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from gatepost.events import Clock, keep, log
from gatepost.message.compose import Party
from gatepost.model.access import Caller
from gatepost.model.outgoing import Scheduled, Upload
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.tenant import User
from gatepost.mta.rows import fresh_id
from gatepost.services.accounts import name_of, owner
from gatepost.services.author import Authors
from gatepost.services.draft import Draft, check, try_out
from gatepost.services.drafts import Drafts
from gatepost.services.once import Once
from gatepost.services.rights import Book
from gatepost.services.sending import Notice, Sending
from gatepost.services.wording import Wording
from gatepost.settings import Settings
from gatepost.store.secrets import Unsealable
from gatepost.store.store import Store, Writer

DAY, HOUR = 86_400_000, 3_600_000  # milliseconds
AT_ONCE = 100  # mails that are taken up at one look
LOOK = 15.0  # seconds between two looks at the clock, whatever is due
AGAIN = 300_000  # milliseconds until a mail that could not go now is tried again
PATIENCE = DAY  # after which it is given back
_LATER = {Kind.UNAVAILABLE, Kind.FULL, Kind.TOO_MANY, Kind.SLOWED}


class Outbox:
    """Keeps, sends and gives back. Rights, filters and policy are those of the hour when a mail goes."""

    def __init__(
        self,
        store: Store,
        authors: Authors,
        drafts: Drafts,
        sending: Sending,
        wording: Wording,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._authors = authors
        self._drafts = drafts
        self._sending = sending
        self._wording = wording
        self._book = Book(store)
        self._limits = settings.sending
        self._recipients = settings.limits.recipients
        self._clock = clock
        self._once = Once(store, settings.sending.key_hours, clock)
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()  # of the one mail that is sent or recalled
        self._loop: asyncio.Task[None] | None = None

    # A user schedules, looks and recalls.

    async def keep(self, caller: Caller, draft: Draft, at: int, *, key: str | None = None) -> str:
        """Keep a mail until `at` (epoch milliseconds) and return its id; its uploads stay as long.

        Raises Problem: MALFORMED for a mail to nobody or a time too far ahead, FORBIDDEN for a sender that is not the
        caller's, NOT_FOUND for an upload, UNPROCESSABLE for a saved draft or a mail to answer that is not
        there, or where he has too many.
        """
        author, now = self._authors.find(caller, draft.sender), self._clock()
        check(draft, self._recipients)
        if at > now + self._limits.schedule_days * DAY:
            text = f"A mail may be scheduled {self._limits.schedule_days} days ahead."
            raise Problem(Kind.MALFORMED, text, pointer="/sendAt")
        mail_id = fresh_id(now)
        await try_out(draft, author.party, now)  # what can't stand in a mail is told now, not when the mail goes
        request = msgspec.json.encode(draft)
        async with self._once.turn(f"user {author.user.id}", key, request + str(at).encode()) as turn:
            if turn.mail_id:
                return turn.mail_id
            draft = await self._drafts.completed(author.user, draft)  # which may be gone by then
            sealed = self._store.secrets.seal(msgspec.json.encode(draft).decode())
            row = Scheduled(
                id=mail_id,
                user_id=author.user.id,
                draft=sealed,
                subject=draft.subject,
                asked=at,
                due=at,
                created_at=now,
            )

            def add(writer: Writer) -> None:
                if writer.count(Scheduled, eq("user_id", row.user_id)) >= self._limits.scheduled:
                    raise Problem(Kind.UNPROCESSABLE, f"A user may have {self._limits.scheduled} scheduled mails.")
                _hold(writer, draft, row.user_id, at + 2 * PATIENCE)
                writer.add(row)
                turn.remember(writer, row.id)

            await self._store.write(add)
        self._wake.set()
        return row.id

    async def list(self, user: User) -> Sequence[Scheduled]:
        """Return what a user has scheduled, in the order in which it goes."""
        query = Query(where=eq("user_id", user.id), sort="asked")
        return await self._store.read(lambda reader: reader.find(Scheduled, query).items)

    def find(self, user: User, mail_id: str) -> Scheduled | None:
        """Return one of these by the mail's id."""
        row = self._store.reader.get(Scheduled, mail_id)
        return row if row is not None and row.user_id == user.id else None

    async def recall(self, row: Scheduled) -> bool:
        """Let a mail not go; False where it went meanwhile. Its uploads stay as long as fresh ones."""
        draft, until = self._open(row), self._clock() + self._limits.upload_hours * HOUR

        def change(writer: Writer) -> bool:
            there = writer.remove(Scheduled, eq("id", row.id)) > 0
            if there:
                writer.record("recall", row)
            for upload_id in _wanted(draft) if there and draft else ():
                writer.change(Upload, upload_id, expires_at=until)
            return there

        async with self._turn:
            return await self._store.write(change)

    def _open(self, row: Scheduled) -> Draft | None:
        try:
            return msgspec.json.decode(self._store.secrets.unseal(row.draft), type=Draft)
        except Unsealable:
            log.error("a scheduled mail can't be read: it was sealed with another key", id=row.id)
            return None

    # Its time comes.

    async def start(self) -> None:
        """Begin; returns at once."""
        self._loop = keep(self._run, "outbox")

    async def stop(self) -> None:
        """Break off; a mail that was being handed over is there whole, or still to go."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                wait = await self.send_due()
            except Problem as problem:
                log.warning("scheduled mail not looked for", why=problem.detail)
                wait = LOOK
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            self._wake.clear()

    async def send_due(self) -> float:
        """Send what is due; return how many seconds there are until the next look."""
        by_time = Query(sort="due", limit=AT_ONCE)
        rows: Sequence[Scheduled] = await self._store.read(lambda reader: reader.find(Scheduled, by_time).items)
        for row in rows:
            if row.due <= self._clock():
                await self._try(row)
        waiting = [row.due for row in rows if row.due > self._clock()]
        if len(rows) == AT_ONCE and not waiting:
            return 0.0  # there may be more that are due
        return min([LOOK, *((due - self._clock()) / 1000 for due in waiting)])

    async def _try(self, row: Scheduled) -> None:
        """Send one mail; an error of ours puts it off, and keeps no other from going."""
        async with self._turn:
            (error,) = await asyncio.gather(self._send(row), return_exceptions=True)
            if error is not None:
                log.error("scheduled mail failed inside", id=row.id, why=repr(error), exc_info=error)
                await self._put_off(row, AGAIN)

    async def _send(self, row: Scheduled) -> None:
        if self._store.reader.get(Scheduled, row.id) != row:  # it went, or was recalled, meanwhile
            return
        if self._store.reader.get(User, row.user_id) is None:
            await self._store.write(lambda writer: writer.remove(Scheduled, eq("id", row.id)))
            return
        user, draft = owner(self._store.reader, None, row.user_id), self._open(row)
        if not isinstance(user, User) or draft is None:
            log.warning("scheduled mail not sent: its account is out of use, or it can't be read", id=row.id)
            await self._put_off(row, DAY, draft)
            return
        caller = self._book.caller(user)

        def gone(writer: Writer, *_: object) -> None:
            writer.remove(Scheduled, eq("id", row.id))

        try:
            await self._sending.send(caller, draft, mail_id=row.id, beside=gone)
        except Problem as problem:
            if problem.kind in _LATER and self._clock() < row.asked + PATIENCE:
                await self._put_off(row, AGAIN, draft)
            else:
                await self._give_back(row, user, draft, problem)

    async def _put_off(self, row: Scheduled, wait: int, draft: Draft | None = None) -> None:
        """Try again later; the files of the mail, where it could be read, stay as long."""
        due = self._clock() + wait

        def change(writer: Writer) -> None:
            writer.change(Scheduled, row.id, due=due)
            for upload_id in _wanted(draft) if draft else ():
                writer.change(Upload, upload_id, expires_at=due + 2 * PATIENCE)

        await self._store.write(change)

    async def _give_back(self, row: Scheduled, user: User, draft: Draft, why: Problem) -> None:
        """Make a draft of a mail that can't be sent, and tell its author."""
        log.warning("scheduled mail not sent", id=row.id, why=why.detail)
        try:
            await self._drafts.give_back(user, draft, lambda writer: writer.remove(Scheduled, eq("id", row.id)))
        except Problem as problem:
            log.error("a scheduled mail could not be given back", id=row.id, why=problem.detail)
            await self._put_off(row, DAY, draft)
            return
        values = {"subject": draft.subject, "why": why.detail}
        try:
            subject, _, text = self._wording.render("mail/unsent.txt", user.language, **values).partition("\n")
            notice = Notice(to=Party(user.email, name_of(user)), subject=subject.strip(), text=text.lstrip("\n"))
            await self._sending.notify(notice)
        except Problem as problem:
            log.warning("nobody told of a scheduled mail that was not sent", id=row.id, why=problem.detail)


def _wanted(draft: Draft) -> list[str]:
    """The ids of the uploads that a mail carries or links to."""
    return [each.uid for each in (*draft.uploads, *(draft.sharing.uploads if draft.sharing else ()))]


def _hold(writer: Writer, draft: Draft, user_id: int, until: int) -> None:
    """Let the uploads of a mail stay until then; raise NOT_FOUND for one that is not the user's."""
    for at, upload_id in enumerate(_wanted(draft)):
        upload = writer.get(Upload, upload_id)
        if upload is None or upload.user_id != user_id:
            raise Problem(Kind.NOT_FOUND, "There is no such file.", pointer=f"/attachments/{at}/uid")
        writer.change(Upload, upload_id, expires_at=until)
