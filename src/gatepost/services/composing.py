"""Compose windows: mails that a program begins and a person looks at, changes and sends (semantics 15, F6)."""

import asyncio
from collections.abc import Sequence

import msgspec

from gatepost.events import Clock
from gatepost.message.spoken import spoken
from gatepost.model.access import Caller, Purpose
from gatepost.model.outgoing import Composition, Upload
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.services.access import digest
from gatepost.services.author import Authors
from gatepost.services.draft import Draft, Enclosure, Parties, part_addresses, read_parties, try_out
from gatepost.services.presence import Event, Presence
from gatepost.services.sending import Sending
from gatepost.services.tickets import HOUR, Tickets, gone
from gatepost.services.uploads import Uploads
from gatepost.store.secrets import Unsealable
from gatepost.store.store import Store, Writer

WINDOWS = 100  # that may wait for a user
MANY = 1000  # addresses in one of its fields
LONG = 262_144  # characters of these
_SLICE = 200  # lapsed ones that go when one is opened


class Written(msgspec.Struct, frozen=True):
    """What a person left of a mail in its window: addresses in one text each, parted by commas."""

    to: str
    cc: str
    bcc: str
    subject: str
    text: str


class Composing:
    """Windows belong to a user; whoever holds the one-time address of one sends it as him, once."""

    def __init__(
        self,
        store: Store,
        authors: Authors,
        sending: Sending,
        presence: Presence,
        tickets: Tickets,
        uploads: Uploads,
        hours: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._authors = authors
        self._sending = sending
        self._presence = presence
        self._tickets = tickets
        self._uploads = uploads
        self._life = hours * HOUR  # as long as the files that were brought for it
        self._clock = clock

    async def open(self, caller: Caller, draft: Draft, base: str) -> bool:
        """Tell a user's streams of a new window; False, and no window, while he has none.

        Raises Problem: FORBIDDEN for who is no mailbox user or a sender that is not his, MALFORMED for what can't stand
        in a mail, NOT_FOUND for a file that is not there, TOO_MANY where too many wait.
        """
        user = self._authors.own(caller, caller.user_id or 0)
        author = self._authors.find(caller, draft.sender)
        if not self._presence.online(user.id):
            return False
        self._uploads.look(user, _files(draft))
        await try_out(draft, author.party, self._clock())
        if draft.text is None:  # once, and beside the loop: each look would take as long
            draft = msgspec.structs.replace(draft, text=await asyncio.to_thread(spoken, draft.html or ""))
        waiting = every(eq("user_id", user.id), Where("expires_at", Op.GT, self._clock()))
        if self._store.reader.count(Composition, waiting) >= WINDOWS:
            raise Problem(Kind.TOO_MANY, f"{WINDOWS} compose windows wait for the user already.")
        sealed = self._store.secrets.seal(msgspec.json.encode(draft).decode())
        token, lapses = await self._tickets.make(user, Purpose.COMPOSE, self._life)
        row = Composition(user_id=user.id, digest=digest(token), draft=sealed, expires_at=lapses)
        await self._store.write(lambda writer: _add(writer, row, self._clock()))
        self._presence.tell(user.id, Event("compose", {"url": f"{base}/compose?token={token}"}))
        return True

    def look(self, token: str) -> Draft | None:
        """Return the mail of a window; None unless its address holds."""
        found = self._store.reader.first(Composition, eq("digest", digest(token)))
        if found is None or self._tickets.look(token, Purpose.COMPOSE) is None:
            return None
        try:
            return msgspec.json.decode(self._store.secrets.unseal(found.draft), type=Draft)
        except Unsealable:
            return None

    def files(self, draft: Draft) -> list[str]:
        """Return the names of the files of a mail, carried or linked, that are still there."""
        found = (self._store.reader.get(Upload, each.uid) for each in _files(draft))
        return [each.name for each in found if each is not None]

    async def send(self, token: str, written: Written) -> str:
        """Send the mail of a window and return its id; the address holds no longer then.

        Its HTML goes with it unless its text was changed. Raises Problem: NOT_FOUND for an address that does not hold,
        the rest as `Sending.send`, which leaves the window open.
        """
        draft, caller = self.look(token), self._tickets.caller(token, Purpose.COMPOSE)
        if draft is None or caller is None:
            raise gone()
        mail_id = await self._sending.send(caller, _changed(draft, written), key=f"compose {digest(token)}")
        await self._store.write(lambda writer: writer.remove(Composition, eq("digest", digest(token))))
        await self._tickets.drop(token)
        return mail_id


def _add(writer: Writer, row: Composition, now: int) -> None:
    lapsed = writer.find(Composition, Query(where=Where("expires_at", Op.LE, now), limit=_SLICE)).items
    if lapsed:
        writer.remove(Composition, Where("id", Op.IN, [each.id for each in lapsed]))
    writer.add(row)


def _files(draft: Draft) -> Sequence[Enclosure]:
    return [*draft.uploads, *(draft.sharing.uploads if draft.sharing else ())]


def _changed(draft: Draft, written: Written) -> Draft:
    kept = _lines(written.text) == _lines(draft.text or "")
    return msgspec.structs.replace(
        draft,
        to=_parties(written.to, "to"),
        cc=_parties(written.cc, "cc"),
        bcc=_parties(written.bcc, "bcc"),
        subject=written.subject,
        text=draft.text if kept else written.text,
        html=draft.html if kept else None,
    )


def _parties(text: str, member: str) -> Parties:
    parts = part_addresses(text) if len(text) <= LONG else []
    if len(text) > LONG or len(parts) > MANY:
        raise Problem(Kind.MALFORMED, f"A mail may have at most {MANY} recipients.", pointer=f"/{member}")
    return read_parties(parts, member)


def _lines(text: str) -> Sequence[str]:
    return text.rstrip().splitlines()
