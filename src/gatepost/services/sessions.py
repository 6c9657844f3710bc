"""Sessions of the pages: begun by a link from a mail, held by a cookie, ended on the server."""

import hashlib
import hmac

import msgspec

from gatepost.model.access import Caller, Purpose, Ticket
from gatepost.model.tenant import User
from gatepost.services.accounts import Account, has_totp, login_of
from gatepost.services.options import Options
from gatepost.services.records import unprocessable
from gatepost.services.tickets import HOUR, Tickets
from gatepost.services.totp import Totp
from gatepost.store.store import Store


class Visitor(msgspec.Struct, frozen=True):
    """Who looks at a page, as far as that is known: what the page needs for its words."""

    language: str
    product: str
    login: str = ""
    needs_code: bool = False


class Sessions:
    """Who looks at the pages. A session is a ticket whose value is the cookie."""

    def __init__(self, store: Store, tickets: Tickets, totp: Totp, options: Options) -> None:
        self._store = store
        self._key = store.secrets.derive("csrf")
        self._tickets = tickets
        self._totp = totp
        self._options = options

    def stranger(self) -> Visitor:
        """Return what is known of who shows nothing that holds."""
        return Visitor(self._option("LANGUAGE"), self._option("PRODUCT_NAME"))

    def visitor(self, value: str, purpose: Purpose) -> Visitor | None:
        """Return whose ticket it is; None unless it holds. It is not used up (threat 140)."""
        found = self._tickets.look(value, purpose)
        if found is None:
            return None
        ticket, account = found
        product = self._option("PRODUCT_NAME", account if isinstance(account, User) else None)
        return Visitor(account.language, product, login_of(account), _needs_code(ticket, account))

    def _option(self, name: str, tenant: User | None = None) -> str:
        return self._options.value(self._store.reader, name, tenant) or ""

    async def open(self, value: str, code: str, ip: str) -> str:
        """Use a link up and return the session's value, which holds for an hour.

        Raises NOT_FOUND for a link that holds no longer, UNPROCESSABLE for a wrong code of an account that has a second
        factor: the link is left as it is then.
        """
        ticket, account = self._tickets.find(value, Purpose.SIGN_IN, ip)
        if _needs_code(ticket, account) and not await self._totp.passes(account, code):
            raise unprocessable("The code is wrong.", "/code")
        await self._tickets.use(ticket)
        maker = {"maker_id": ticket.maker_id} if ticket.maker_id else None
        await self._store.record("sign-in", account, after=maker)
        return (await self._tickets.make(account, Purpose.SESSION, HOUR, maker_id=ticket.maker_id))[0]

    def who(self, cookie: str) -> Caller | None:
        """Return whose session it is."""
        return self._tickets.caller(cookie, Purpose.SESSION)

    async def close(self, cookie: str) -> None:
        """End a session."""
        await self._tickets.drop(cookie)

    def form_token(self, cookie: str) -> str:
        """Return what a form must carry beside that cookie (threat 139)."""
        return hmac.digest(self._key, cookie.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()

    def is_form_of(self, cookie: str, token: str) -> bool:
        """Tell whether a form was made for that cookie."""
        return hmac.compare_digest(self.form_token(cookie).encode(), token.encode("utf-8", "surrogatepass"))


def _needs_code(ticket: Ticket, account: Account) -> bool:
    return has_totp(account) and ticket.maker_id is None
