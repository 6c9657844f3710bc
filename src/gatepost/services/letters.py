"""The mails about an account to its owner: welcome, a link to sign in, a link to set a password; in his language."""

from dataclasses import dataclass

from gatepost.message.compose import Party
from gatepost.model.access import Purpose
from gatepost.model.tenant import User
from gatepost.services.accounts import Account, is_local, login_of, name_of
from gatepost.services.options import Options
from gatepost.services.sending import Notice, Sending
from gatepost.services.tickets import HOUR, Tickets
from gatepost.services.wording import Wording
from gatepost.store.store import Store


@dataclass(frozen=True)
class Kind:
    """A sort of mail: its template, what its link opens, where that leads, and for how many hours."""

    name: str
    purpose: Purpose
    page: str
    hours: int


WELCOME = Kind("welcome", Purpose.PASSWORD, "/password", 168)
SIGN_IN = Kind("signin", Purpose.SIGN_IN, "/signin", 24)
RESET = Kind("password", Purpose.PASSWORD, "/password", 6)


class Letters:
    """Writes these mails and hands them to the road; sender, names and addresses come from the options."""

    def __init__(self, store: Store, sending: Sending, tickets: Tickets, options: Options, wording: Wording) -> None:
        self._store = store
        self._sending = sending
        self._tickets = tickets
        self._options = options
        self._wording = wording

    async def send(self, kind: Kind, account: Account, base: str, hours: int | None = None) -> None:
        """Mail an account that has an address; on return the mail is queued.

        `base` begins the link where the option APP_URL is not set. An account whose password is kept elsewhere gets no
        link to set one. Raises what `Sending.notify` raises.
        """
        assert account.email
        life = (hours or kind.hours) * HOUR
        link = lapses = ""
        if kind.purpose is Purpose.SIGN_IN or is_local(self._store.reader, account):
            value, until = await self._tickets.make(account, kind.purpose, life)
            link, lapses = self.link(account, kind.page, value, base), self._moment(until, account)
        name = self._option("PRODUCT_NAME", account)
        values = {
            "name": name_of(account),
            "login": login_of(account),
            "product": name,
            "link": link,
            "hours": life // HOUR,
            "until": lapses,
        }
        subject, _, text = self._wording.render(f"mail/{kind.name}.txt", account.language, **values).partition("\n")
        notice = Notice(
            to=Party(account.email, name_of(account)),
            subject=subject.strip(),
            text=text.lstrip("\n"),
            html=self._wording.render(f"mail/{kind.name}.html", account.language, **values),
            sender=self._sender(account),
            reply_to=self._party("DOMAIN_ADMIN", account),
        )
        await self._sending.notify(notice)

    def link(self, account: Account, page: str, value: str, base: str) -> str:
        """Return the address of a page with a ticket."""
        return f"{self.origin(account, base)}{page}?token={value}"

    def origin(self, account: Account, base: str) -> str:
        """Return what the addresses of the pages begin with for an account."""
        host = self._option("APP_URL", account)
        return f"https://{host}" if host else base

    def _sender(self, account: Account) -> Party | None:
        party = self._party("NOTIFICATION_SENDER", account)
        name = self._option("NOTIFICATION_NAME", account) or self._option("PRODUCT_NAME", account)
        return Party(party.address, name) if party else None

    def _party(self, option: str, account: Account) -> Party | None:
        address = self._option(option, account)
        return Party(address) if address else None

    def _option(self, name: str, account: Account) -> str:
        tenant = account if isinstance(account, User) else None
        return self._options.value(self._store.reader, name, tenant) or ""

    def _moment(self, millis: int, account: Account) -> str:
        return self._wording.moment(millis, account.language, self._option("TIMEZONE", account))
