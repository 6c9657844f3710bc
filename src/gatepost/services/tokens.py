"""Personal tokens: made and shown once, kept as a hash, revoked at once."""

import secrets

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Admin, Caller, Token
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq, every
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


class Tokens:
    """The tokens of administrators."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, caller: Caller, admin_id: int) -> list[TokenView]:
        """Return the tokens of an administrator, without their values; the list is not paged."""
        require_account(caller, admin_id=admin_id)
        self._check_admin(admin_id)
        query = Query(where=eq("admin_id", admin_id))
        page = await self._store.read(lambda reader: reader.find(Token, query))
        return [show(TokenView, token, value=None) for token in page.items]

    async def create(self, caller: Caller, admin_id: int, draft: TokenAdd) -> TokenView:
        """Make a token for an administrator; the answer alone carries its value."""
        require_account(caller, admin_id=admin_id)
        self._check_admin(admin_id)
        now = self._clock()
        if draft.expiration is not None and draft.expiration <= now:
            raise unprocessable("The token would have lapsed already.", "/expiration")
        value = secrets.token_hex(16)
        row = Token(
            name=draft.name, digest=digest(value), expiration=draft.expiration, created_at=now, admin_id=admin_id
        )

        def add(writer: Writer) -> Token:
            if writer.count(Token, eq("admin_id", admin_id)) >= MANY:
                raise unprocessable(f"An account has at most {MANY} tokens.", "")
            return writer.add(row)

        return show(TokenView, await self._store.write(add), value=value)

    async def delete(self, caller: Caller, admin_id: int, token_id: int) -> None:
        """Revoke a token."""
        require_account(caller, admin_id=admin_id)
        where = every(eq("id", token_id), eq("admin_id", admin_id))
        if not await self._store.write(lambda writer: writer.remove(Token, where)):
            raise Problem(Kind.NOT_FOUND, "There is no such token.")

    def _check_admin(self, admin_id: int) -> None:
        if self._store.reader.get(Admin, admin_id) is None:
            raise Problem(Kind.NOT_FOUND, "There is no such administrator.")
