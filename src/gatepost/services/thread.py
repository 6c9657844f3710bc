"""Threads: which mail of a user's mailbox is answered, and what its Message-ID and References are."""

import re

from msgspec import UNSET

from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq, every
from gatepost.model.stored import Copy
from gatepost.model.tenant import User
from gatepost.services.content import Contents
from gatepost.services.draft import Draft, Thread
from gatepost.services.folders import his
from gatepost.store.store import Reader, Store, Writer

CANDIDATES = 20  # mails of one Message-ID that are looked at
REFERENCES = 20  # that are passed on, the last ones (RFC 5322 3.6.4 sets no limit; threads have)
_ID = re.compile(r"<([!-;=?A-~]{1,400}@[!-;=?A-~]{1,255})>")


class Threads:
    """Looks into one user's kept mail alone."""

    def __init__(self, store: Store, contents: Contents) -> None:
        self._store = store
        self._contents = contents

    async def of(self, user: User, draft: Draft) -> Thread:
        """Return the thread that a mail stands in; raise UNPROCESSABLE as `find`."""
        if draft.thread is not UNSET:
            return draft.thread
        return await self.find(user, draft.origin_id) if draft.origin_id else Thread()

    async def find(self, user: User, origin_id: str) -> Thread:
        """Return the thread that a mail of the user's stands in; raise UNPROCESSABLE where he has none such."""
        mail_id = await self._store.read(lambda reader: _kept(reader, user, origin_id))
        if mail_id is None:
            raise Problem(Kind.UNPROCESSABLE, "There is no such mail to answer.", pointer="/originId")
        head = await self._contents.headers(mail_id)
        named = {name.lower(): value for name, value in head.items()}
        own = _ids(named.get("message-id"))
        before = _ids(named.get("references")) or _ids(named.get("in-reply-to"))[:1]
        answers = own[0] if own else ""
        kept = tuple(each for each in before if each != answers)[-REFERENCES:]
        return Thread(mail_id, answers, kept)

    def mark(self, writer: Writer, user: User, thread: Thread) -> None:
        """Note within a change that the user answered a mail."""
        mine = every(eq("mailbox", user.email), eq("mail_id", thread.origin))
        for copy in writer.find(Copy, Query(where=mine)).items:
            writer.change(Copy, copy.id, answered=True)


def _kept(reader: Reader, user: User, origin_id: str) -> str | None:
    """The newest of the mails that a text names and the user has a copy of."""
    for message in reader.messages(origin_id, CANDIDATES) if origin_id.strip(" <>") else []:
        mine = every(eq("mailbox", user.email), eq("mail_id", message.id), his(user))
        if reader.first(Copy, mine) is not None:
            return message.id
    return None


def _ids(field: str | list[str] | None) -> list[str]:
    text = " ".join(field) if isinstance(field, list) else field or ""
    return _ID.findall(text)
