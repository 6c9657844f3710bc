"""Temporary tokens (contract 5.13.1): for oneself, or to act for a mailbox user (rules 13)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gatepost.model.access import Caller, Purpose
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import User
from gatepost.model.values import Millis
from gatepost.services.access import require, require_own
from gatepost.services.accounts import Account, has_service, nearest, owner, usable
from gatepost.services.letters import SIGN_IN, Letters
from gatepost.services.tickets import HOUR, LONGEST, Tickets
from gatepost.store.store import Store


class TokenWish(msgspec.Struct, kw_only=True):
    """For whom (a mail address; without one for the caller), and how many hours the token works."""

    username: str | None = None
    validity: Annotated[int, Meta(ge=1, le=LONGEST)] = 4


class AuthToken(msgspec.Struct, kw_only=True, rename="camel"):
    """A temporary token, when it lapses, and an address that signs in at the pages, once."""

    token: str
    expire_at: Millis
    url: str


class TemporaryTokens:
    """Makes temporary tokens. They make none themselves, so that none outlives its time."""

    def __init__(self, store: Store, tickets: Tickets, letters: Letters) -> None:
        self._store = store
        self._tickets = tickets
        self._letters = letters

    async def make(self, caller: Caller, wish: TokenWish, base: str) -> AuthToken:
        """Return a token; FORBIDDEN, then NOT_FOUND for others' accounts; MALFORMED for one that keeps no mail."""
        account, maker_id = self._whom(caller, wish.username)
        if isinstance(account, User) and not has_service(self._store.reader, account):
            text = "The account has neither quarantine nor retention nor archive."
            raise Problem(Kind.MALFORMED, text, pointer="/username")
        life = wish.validity * HOUR
        token, expire_at = await self._tickets.make(account, Purpose.API, life, maker_id=maker_id)
        value, _ = await self._tickets.make(account, Purpose.SIGN_IN, life, maker_id=maker_id)
        act = "make-token" if maker_id is None else "impersonate"
        await self._store.record(act, account, after={"expire_at": expire_at})
        url = self._letters.link(account, SIGN_IN.page, value, base)
        return AuthToken(token=token, expire_at=Millis(expire_at), url=url)

    def _whom(self, caller: Caller, username: str | None) -> tuple[Account, int | None]:
        """Return the account, and who is to act for it where that is not itself."""
        reader = self._store.reader
        own = owner(reader, caller.admin_id, caller.user_id)
        place = None if username is None else nearest(reader, username)
        if username is None or (place is not None and place == own):
            return require_own(caller, own), None
        require(caller, "IMPERSONATE", place)
        if not isinstance(place, User):
            raise Problem(Kind.NOT_FOUND, "There is no such user.")
        if caller.admin_id is None or caller.temporary:
            raise Problem(Kind.FORBIDDEN, "Only an administrator's own account acts for others.", login=caller.login)
        if not usable(reader, place):
            raise Problem(Kind.MALFORMED, "The account is not in service.", pointer="/username")
        return place, caller.admin_id
