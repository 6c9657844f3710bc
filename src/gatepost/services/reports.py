"""Reports: mails of the gateway to an administrator about what needs a look."""

import asyncio

from gatepost.events import log
from gatepost.message.compose import Party
from gatepost.model.problem import Problem
from gatepost.mta.outgoing import Outgoing
from gatepost.mta.rates import Limit, Payer
from gatepost.services.accounts import find_user
from gatepost.services.hourly import HourlyLimits
from gatepost.services.options import Options
from gatepost.services.sending import Notice, Sending
from gatepost.settings import Settings
from gatepost.store.store import Store

SLOWED = """The account {account} is slowed: {why}.

For {minutes} minutes after the last reason for it, it may send {mails} mails within an hour; others are answered with
"450 4.7.1", so that a decent program tries them again. Mail that comes in is not affected.

If its owner did not send these mails, somebody else knows its password, or runs a program on a machine that may send
for it: change the password, revoke its tokens, and look at its mails by "gatepost explain". If he did, raise the
limits in the section [outgoing] of the settings.
"""

LIMITED = """{who} {name} has reached its limit of {what} an hour ({most}).

More is answered with "450 4.7.1" (over the API 429) until the hour is over, so that a decent program tries again. Mail
that comes in is not affected.

If that is too little, raise the limit by the option {option}{where}, or for all in the section [outgoing] of
the settings. Otherwise look at what was sent by "gatepost explain". This is told once in an hour that is counted.
"""


class Reports:
    """Writes them and sends them, while nobody waits."""

    def __init__(self, store: Store, sending: Sending, options: Options, settings: Settings) -> None:
        self._store = store
        self._sending = sending
        self._options = options
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    def watch(self, outgoing: Outgoing) -> None:
        """Have all told that is to be reported, and limits held as options and settings say."""
        outgoing.report = self.tell_slowed
        outgoing.rates.reached = self.tell_limited
        outgoing.limits = HourlyLimits(self._store, self._options, self._settings.outgoing).of

    def tell_slowed(self, account: str, why: str) -> None:
        """Report an account that sends too much, or spam; `why` in a sentence."""
        limits = self._settings.outgoing
        text = SLOWED.format(account=account, why=why, minutes=limits.slow_minutes, mails=limits.slow_mails)
        self._begin(account, f"{account} is slowed", text)

    def tell_limited(self, limit: Limit, what: str, most: int) -> None:
        """Report an account or a domain that has reached an hourly limit, of mails or of recipients."""
        who = "The account" if limit.payer is Payer.USER else "The domain"
        option = f"{limit.payer.name}_{what.upper()}_PER_HOUR"
        where = " of the account or its domain" if limit.payer is Payer.USER else " of the domain"
        text = LIMITED.format(who=who, name=limit.name, what=what, most=most, option=option, where=where)
        self._begin(limit.name, f"{limit.name} has reached a limit", text)

    def _begin(self, account: str, subject: str, text: str) -> None:
        task = asyncio.create_task(self._send(account, subject, text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait for what is being sent."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, account: str, subject: str, text: str) -> None:
        to = self._administrator(account)
        try:
            await self._sending.notify(Notice(to=Party(to), subject=subject, text=text))
        except Problem as problem:
            log.warning("report not sent", to=to, subject=subject, why=problem.detail)

    def _administrator(self, account: str) -> str:
        """Return who looks after an account: by the settings, by its domain's option, else the postmaster."""
        reader = self._store.reader
        user = find_user(reader, account)
        domain = account.rpartition("@")[2]
        return (
            self._settings.outgoing.report_to
            or self._options.value(reader, "DOMAIN_ADMIN", user or reader.domain(domain))
            or self._settings.smtp.postmaster
            or f"postmaster@{domain}"
        )
