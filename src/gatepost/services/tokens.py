"""Personal tokens of administrators and mailbox users: made and shown once, kept as a hash, revoked at once."""

import secrets

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Admin, Caller, Token
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Condition, Query, eq, every
from gatepost.model.tenant import User
from gatepost.model.values import Id, Millis
from gatepost.services.access import digest, require_account
from gatepost.services.records import Name, show, unprocessable
from gatepost.store.store import Store, Writer

MANY = 100  # tokens of one account


class TokenAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A token to make; without `expiration` it never lapses."""

    name: Name
    expiration: Millis | None = None


class TokenView(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """A token; its value is there only right after it was made. Null members are left out."""

    id: Id
    name: str
    value: str | None = None
    expiration: Millis | None = None
    created_at: Millis
    last_use: Millis | None = None


class Owner(msgspec.Struct, frozen=True):
    """Whose tokens: an administrator's or a mailbox user's; one of the two is set."""

    admin_id: int | None = None
    user_id: int | None = None

    @property
    def where(self) -> Condition:
        return eq("user_id", self.user_id) if self.admin_id is None else eq("admin_id", self.admin_id)


class Tokens:
    """The tokens of accounts; they belong to the account, and to sysadmins (contract A69)."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, caller: Caller, owner: Owner) -> list[TokenView]:
        """Return the tokens of an account, without their values; the list is not paged."""
        self._check(caller, owner)
        page = await self._store.read(lambda reader: reader.find(Token, Query(where=owner.where)))
        return [show(TokenView, token, value=None) for token in page.items]

    async def create(self, caller: Caller, owner: Owner, draft: TokenAdd) -> TokenView:
        """Make a token for an account; the answer alone carries its value."""
        self._check(caller, owner)
        now = self._clock()
        if draft.expiration is not None and draft.expiration <= now:
            raise unprocessable("The token would have lapsed already.", "/expiration")
        value = secrets.token_hex(16)
        row = Token(
            name=draft.name,
            digest=digest(value),
            expiration=draft.expiration,
            created_at=now,
            admin_id=owner.admin_id,
            user_id=owner.user_id,
        )

        def add(writer: Writer) -> Token:
            if writer.count(Token, owner.where) >= MANY:
                raise unprocessable(f"An account has at most {MANY} tokens.", "")
            return writer.add(row)

        return show(TokenView, await self._store.write(add), value=value)

    async def delete(self, caller: Caller, owner: Owner, token_id: int) -> None:
        """Revoke a token."""
        require_account(caller, admin_id=owner.admin_id, user_id=owner.user_id)
        where = every(eq("id", token_id), owner.where)
        if not await self._store.write(lambda writer: writer.remove(Token, where)):
            raise Problem(Kind.NOT_FOUND, "There is no such token.")

    def _check(self, caller: Caller, owner: Owner) -> None:
        require_account(caller, admin_id=owner.admin_id, user_id=owner.user_id)
        reader = self._store.reader
        if owner.admin_id is not None and reader.get(Admin, owner.admin_id) is None:
            raise Problem(Kind.NOT_FOUND, "There is no such administrator.")
        if owner.user_id is not None and reader.get(User, owner.user_id) is None:
            raise Problem(Kind.NOT_FOUND, "There is no such user.")
