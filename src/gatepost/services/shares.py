"""Shares: files that a mail links to instead of carrying them, fetched from a page until their term is over."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from html import escape

import msgspec

from gatepost.events import Clock
from gatepost.message.signature import below
from gatepost.model.access import Caller
from gatepost.model.envelope import Body
from gatepost.model.outgoing import Share, Upload
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.tenant import User
from gatepost.services.access import Access
from gatepost.services.accounts import owner
from gatepost.services.author import Authors
from gatepost.services.draft import Draft, Sharing
from gatepost.services.passwords import Passwords
from gatepost.services.throttle import network
from gatepost.settings import Settings
from gatepost.store.store import Store, Writer

DAY = 86_400_000
LONGEST = 3650  # days
_AHEAD = re.compile(r"\+ ?(\d{1,4}) ?(hour|day|week|month|year)s?\Z")
_DAYS = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30, "year": 365}
_POINTER = "/shareExpiration"


class Shares:
    """Whoever has a file's address fetches it, with its password where it has one; its user withdraws it."""

    def __init__(
        self, store: Store, authors: Authors, passwords: Passwords, access: Access, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._authors = authors
        self._passwords = passwords
        self._guesses = access.guesses
        self._limits = settings.sending
        self._clock = clock

    # A mail shares files.

    async def begin(self, user: User, sharing: Sharing) -> list[Share]:
        """Return what uploads become; nothing is kept yet.

        Raises Problem: MALFORMED for a term or a password that is none, UNPROCESSABLE where nobody knows the address
        under which the pages are reached.
        """
        if not sharing.base:
            raise Problem(Kind.UNPROCESSABLE, "Files can't be shared: [http] base_url is not set.")
        now = self._clock()
        until = None if not sharing.expires else _until(sharing.expires, now)
        sealed = await self._hash(sharing.password) if sharing.password else None
        uploads = [self._store.reader.get(Upload, each.uid) for each in sharing.uploads]
        return [
            Share(
                id=each.id,
                user_id=user.id,
                name=each.name,
                type=each.type,
                size=each.size,
                password_hash=sealed,
                created_at=now,
                expires_at=until or now + self._limits.share_days * DAY,
                fixed=until is not None,
            )
            for each in uploads
            if each is not None
        ]

    async def _hash(self, password: str) -> str:
        try:
            return await self._passwords.hash(password, "/sharePassword", shortest=1)
        except Problem as problem:
            raise Problem(Kind.MALFORMED, problem.detail, pointer=problem.pointer) from problem

    def keep(self, writer: Writer, shares: Sequence[Share]) -> None:
        """Make shares of uploads, within the limits (rules 27); raise NOT_FOUND, TOO_LARGE or FULL."""
        if not shares:
            return
        for share in shares:
            if not writer.remove(Upload, eq("id", share.id)):
                raise Problem(Kind.NOT_FOUND, "There is no such file.", pointer="/attachments")
            writer.add(share)
        count, octets = writer.uploaded(shares[0].user_id, Share)
        if count > self._limits.share_files or octets > self._limits.share_user_bytes:
            text = f"{self._limits.share_files} files of {self._limits.share_user_bytes} octets may be shared at once."
            raise Problem(Kind.TOO_LARGE, text, pointer="/attachments")
        if writer.uploaded(None, Share)[1] > self._limits.share_bytes:
            raise Problem(Kind.FULL, "There is no space left for shared files.")

    # Somebody fetches one.

    def look(self, share_id: str) -> Share | None:
        """Return a share that can be fetched: its term is not over, and its user's account in use."""
        share = self._store.reader.get(Share, share_id)
        if share is None or share.expires_at <= self._clock():
            return None
        return share if owner(self._store.reader, None, share.user_id) else None

    async def fetch(self, share_id: str, password: str, ip: str) -> tuple[Share, Body]:
        """Return a shared file; raise NOT_FOUND, UNPROCESSABLE for a wrong password, TOO_MANY to who guesses."""
        share = self.look(share_id)
        body = self._store.reader.body(share_id) if share else None
        if share is None or body is None:
            raise Problem(Kind.NOT_FOUND, "There is no such file, or no longer.")
        if share.password_hash is not None:
            self._guesses.check(ip)
            right = await self._passwords.verify(share.password_hash, password, network(ip))
            self._guesses.check(ip)  # once more: others of its guesses were refused meanwhile
            if not right:
                self._guesses.refuse(ip)
                raise Problem(Kind.UNPROCESSABLE, "The password is wrong.", pointer="/password")
        await self._store.write(lambda writer: self._note(writer, share))
        return share, body

    def _note(self, writer: Writer, share: Share) -> None:
        now = self._clock()
        until = share.expires_at if share.fixed else now + self._limits.share_days * DAY
        writer.change(Share, share.id, fetched_at=now, expires_at=until)

    # Its user looks after them.

    async def list(self, caller: Caller, who: int | str) -> Sequence[Share]:
        """Return what a user shares, the oldest first; raise FORBIDDEN for anybody but himself."""
        user = self._authors.own(caller, who)
        live = every(eq("user_id", user.id), Where("expires_at", Op.GT, self._clock()))
        return await self._store.read(lambda reader: reader.find(Share, Query(where=live)).items)

    async def withdraw(self, caller: Caller, who: int | str, share_id: str) -> None:
        """Share a file no longer; raise NOT_FOUND."""
        user = self._authors.own(caller, who)

        def change(writer: Writer) -> None:
            share = writer.get(Share, share_id)
            if share is None or share.user_id != user.id:
                raise Problem(Kind.NOT_FOUND, "There is no such file.")
            writer.drop_uploads([share_id])

        await self._store.write(change)


def with_links(draft: Draft, shares: Sequence[Share], base: str) -> Draft:
    """Return a mail with the addresses of its shared files below its text and its HTML."""
    links = [(share, f"{base}/share?file={share.id}") for share in shares]
    text = "".join(f"\n{share.name} ({_size(share)})\n{link}\n" for share, link in links)
    rich = "".join(f'<p><a href="{link}">{escape(share.name)}</a> ({_size(share)})</p>' for share, link in links)
    return msgspec.structs.replace(
        draft,
        text=None if draft.text is None else f"{draft.text.rstrip()}\n{text}",
        html=None if draft.html is None else below(draft.html, rich),
    )


def _size(share: Share) -> str:
    return f"{max(1, round(share.size / 1000))} kB"


def _until(text: str, now: int) -> int:
    """Return when a term ends: the end of a day (UTC), or so long from now; raise MALFORMED."""
    today = datetime.fromtimestamp(now / 1000, UTC)
    ahead = _AHEAD.match(text.strip().lower())
    try:
        if ahead:
            end = today + timedelta(days=int(ahead[1]) * _DAYS[ahead[2]])
        else:
            end = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise Problem(Kind.MALFORMED, "A term is a day (2030-12-31), or as +2days.", pointer=_POINTER) from error
    if not today < end <= today + timedelta(days=LONGEST):
        raise Problem(Kind.MALFORMED, f"A term ends within {LONGEST} days.", pointer=_POINTER)
    return int(end.timestamp() * 1000)
