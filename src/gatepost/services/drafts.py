"""Drafts: mail that a user has begun and not sent, kept in his folder of that name until it is sent or too old."""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import UNSET

from gatepost.events import Clock
from gatepost.message.anatomy import Summary
from gatepost.message.compose import compose
from gatepost.message.mail import Busy, Opener, Unscannable
from gatepost.model.access import Caller
from gatepost.model.envelope import Body, Direction, Envelope
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Condition, Query, eq, every
from gatepost.model.stored import Copy, Message
from gatepost.model.tenant import User
from gatepost.model.verdict import Category, Folder
from gatepost.mta.rows import fresh_id, message_row
from gatepost.services.author import Author, Authors
from gatepost.services.content import Contents
from gatepost.services.draft import CHOSEN, TLS, Binding, Draft, Thread, letter
from gatepost.services.folders import his
from gatepost.services.thread import Threads
from gatepost.services.uploads import Uploads
from gatepost.settings import Settings
from gatepost.store.store import Reader, Store, Writer

DAY = 86_400_000


class Drafts:
    """Keeps drafts as whole mails, so that they are listed, searched and opened like any other."""

    def __init__(
        self,
        store: Store,
        authors: Authors,
        uploads: Uploads,
        threads: Threads,
        contents: Contents,
        opener: Opener,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._authors = authors
        self._uploads = uploads
        self._threads = threads
        self._contents = contents
        self._opener = opener
        self._limits = settings.sending
        self._largest = settings.limits.message_bytes
        self._clock = clock

    async def save(self, caller: Caller, who: int | str, draft: Draft, *, instead_of: str | None = None) -> str:
        """Keep a draft, in the place of another where one is named; return its id. Its uploads stay until it is sent.

        Raises Problem: UNPROCESSABLE for the other one, or where the user has too many drafts, NOT_FOUND for an upload.
        """
        user = self._authors.own(caller, who)
        if instead_of is not None:
            self._named(self._store.reader, user, instead_of)

        def replace(writer: Writer) -> None:
            if instead_of is not None:
                self.drop(writer, user, instead_of)

        return await self._keep(self._authors.find(caller, draft.sender), draft, replace)

    async def give_back(self, user: User, draft: Draft, beside: Callable[[Writer], object]) -> None:
        """Keep as a draft what a user can't send, whether or not he may write at all; `beside` goes in the same commit.

        Files that are gone are left out. Raises Problem: UNPROCESSABLE where the user has too many drafts.
        """
        there = [each for each in draft.uploads if self._uploads.has(user, each)]
        thread = Thread() if draft.thread is UNSET else draft.thread
        kept = msgspec.structs.replace(draft, uploads=tuple(there), thread=thread, sharing=None)
        await self._keep(self._authors.as_whom(user, draft.sender), kept, beside)

    async def _keep(self, author: Author, draft: Draft, beside: Callable[[Writer], object]) -> str:
        user = author.user
        mail_id, now = fresh_id(self._clock()), self._clock()
        body = await self._body(author, draft, mail_id, now)
        message = await self._message(author, body, mail_id, now)
        body = await self._store.spool.adopt(body, mail_id)

        def change(writer: Writer) -> None:
            beside(writer)
            self._check_room(writer, user, body.size)
            writer.keep(message, body, [self._copy(_as_now(writer, user), mail_id, now)], [], [], now)

        try:
            await self._store.write(change)
        except BaseException:
            self._store.spool.forget(body)
            raise
        return mail_id

    async def delete(self, caller: Caller, who: int | str, draft_id: str) -> None:
        """Remove a draft; raise NOT_FOUND."""
        user = self._authors.own(caller, who)
        if not await self._store.write(lambda writer: self.drop(writer, user, draft_id)):
            raise Problem(Kind.NOT_FOUND, "There is no such draft.")

    def drop(self, writer: Writer, user: User, draft_id: str) -> bool:
        """Remove a user's draft within a change; tell whether there was one."""
        return writer.remove(Copy, every(_drafts_of(writer, user), eq("mail_id", draft_id.lower()))) > 0

    async def completed(self, user: User, draft: Draft) -> Draft:
        """Return what a user sends with its thread, and how it is to leave as the draft that it names has it.

        Raises UNPROCESSABLE for a draft, or a mail to answer, that he has not.
        """
        draft = msgspec.structs.replace(draft, thread=await self._threads.of(user, draft))
        named = draft.draft_id
        if named is None:
            return draft
        copy = await self._store.read(lambda reader: self._named(reader, user, named))
        fields = await self._contents.own_fields(copy.mail_id, (CHOSEN, TLS))
        saved = msgspec.json.decode(fields[CHOSEN], type=Binding) if CHOSEN in fields else None
        tls = fields.get(TLS) == "yes" if draft.require_tls is None else draft.require_tls
        return msgspec.structs.replace(draft, connection=draft.connection or saved, require_tls=tls)

    # How one is kept.

    async def _body(self, author: Author, draft: Draft, mail_id: str, now: int) -> Body:
        files = await self._uploads.load(author.user, draft.uploads)
        thread = await self._threads.of(author.user, draft)
        message_id = f"{mail_id}@{author.address.domain}"

        def write() -> bytes:
            return compose(letter(draft, author.party, files, thread, date=now, message_id=message_id, saved=True))

        data = await asyncio.to_thread(write)
        if len(data) > self._largest:
            raise Problem(Kind.TOO_LARGE, f"A mail may have at most {self._largest} octets.")
        place = self._store.spool.draft()
        await asyncio.to_thread(place.write, data)
        return await self._store.spool.finish(place)

    async def _message(self, author: Author, body: Body, mail_id: str, now: int) -> Message:
        envelope = Envelope(
            id=mail_id,
            client=author.client,
            sender=author.address,
            recipients=(),
            direction=Direction.OUT,
            received=now,
        )
        return message_row(envelope, body, await self._summary(body), "")

    async def _summary(self, body: Body) -> Summary:
        try:
            return (await self._opener.open(body)).summary
        except (Unscannable, Busy) as error:
            self._store.spool.forget(body)
            raise Problem(Kind.UNAVAILABLE, "The draft could not be looked into; try later.") from error

    def _copy(self, user: User, mail_id: str, now: int) -> Copy:
        return Copy(
            mail_id=mail_id,
            mailbox=user.email,
            domain_id=user.domain_id,
            user_id=user.id,
            folder=Folder.DRAFTS.value,
            category=Category.CLEAN.name,
            score=0.0,
            infected=False,
            stored_at=now,
            expires_at=now + self._limits.draft_days * DAY,
            seen=True,
        )

    def _check_room(self, writer: Writer, user: User, size: int) -> None:
        drafts = writer.letters(Query(where=_drafts_of(writer, user))).items
        if len(drafts) >= self._limits.drafts:
            raise Problem(Kind.UNPROCESSABLE, f"A user may have at most {self._limits.drafts} drafts; delete some.")
        if size + sum(each.message.size for each in drafts) > self._limits.draft_bytes:
            raise Problem(Kind.UNPROCESSABLE, "The drafts take more room than a user has; delete some.")

    def _named(self, reader: Reader, user: User, draft_id: str) -> Copy:
        copy = reader.first(Copy, every(_drafts_of(reader, user), eq("mail_id", draft_id.lower())))
        if copy is None:
            raise Problem(Kind.UNPROCESSABLE, "There is no such draft.", pointer="/draftId")
        return copy


def _drafts_of(reader: Reader, user: User) -> Condition:
    now = _as_now(reader, user)
    return every(eq("mailbox", now.email), eq("folder", Folder.DRAFTS.value), his(now))


def _as_now(reader: Reader, user: User) -> User:
    """Return a user with the address that he has by now: his drafts lie under that."""
    now = reader.get(User, user.id)
    if now is None:
        raise Problem(Kind.FORBIDDEN, "The account is gone.")
    return now
