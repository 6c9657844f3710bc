"""Hourly limits of those on whose account mail is handed in: from options, else from the settings."""

from collections.abc import Sequence

from gatepost.model.envelope import Client
from gatepost.model.tenant import Domain, User
from gatepost.mta.rates import Limit, Payer
from gatepost.services.options import Options
from gatepost.settings import Outgoing
from gatepost.store.remembered import Remembered
from gatepost.store.store import Store

REMEMBERED = 20_000  # accounts and networks' domains


class HourlyLimits:
    """Finds them; remembered until configuration changes."""

    def __init__(self, store: Store, options: Options, settings: Outgoing) -> None:
        self._store = store
        self._options = options
        self._settings = settings
        self._memory = Remembered(store, most=REMEMBERED)
        self._known: dict[int | str, Sequence[Limit]] = self._memory.cache()

    def of(self, client: Client, domain: str) -> Sequence[Limit]:
        """Return the limits of who signed in and of his domain, or else of the domain that is named."""
        who: int | str = client.login.user_id if client.login else domain
        return self._memory.known(self._known, who, lambda: self._find(who))

    def _find(self, who: int | str) -> Sequence[Limit]:
        reader = self._store.reader
        limits = []
        if isinstance(who, str):
            domain = reader.domain(who)
        else:
            user = reader.get(User, who)
            domain = reader.get(Domain, user.domain_id) if user else None
            if user:
                limits.append(self._limit(Payer.USER, user.email, user))
        if domain:
            limits.append(self._limit(Payer.DOMAIN, domain.name, domain))
        return [limit for limit in limits if limit.mails or limit.recipients]

    def _limit(self, payer: Payer, name: str, of: User | Domain) -> Limit:
        return Limit(payer, name, *(self._number(f"{payer.value}_{what}_per_hour", of) for what in _WHAT))

    def _number(self, name: str, of: User | Domain) -> int:
        value = self._options.value(self._store.reader, name.upper(), of)
        return int(getattr(self._settings, name) if value is None else value)


_WHAT = ("mails", "recipients")
