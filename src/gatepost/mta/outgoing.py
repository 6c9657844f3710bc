"""Outgoing mail: an account that sends spam, or far more than it is used to, is slowed and reported."""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from gatepost.events import Alarms, Clock, Metrics, log
from gatepost.message.mail import Mail
from gatepost.model.address import Address
from gatepost.model.envelope import Client, Direction, Envelope
from gatepost.model.memory import DAY, Memory, Room, key_of
from gatepost.model.problem import Kind, Problem
from gatepost.model.verdict import Action, Category
from gatepost.mta.keeping import Judged
from gatepost.mta.rates import HOUR, Limit, Rates, seconds_left
from gatepost.mta.served import DomainView
from gatepost.settings import Outgoing as Settings

TERM = 90 * DAY  # that an account's habit is remembered after its last mail
HALF_LIFE = 30 * DAY
ACCOUNTS = 20_000  # whose hour is remembered at once
REPORT_EVERY = 6 * HOUR  # for one account
BAD = frozenset({Category.SPAM, Category.VIRUS})

Report = Callable[[str, str], None]
"""Tells the administrator which account was slowed, and why in a sentence."""

MayRelay = Callable[[Client, Address | None], DomainView | None]
"""Returns the domain on whose account a client may send as somebody, None where there is none."""

LimitsOf = Callable[[Client, str], Sequence[Limit]]
"""Returns the hourly limits of who signed in, and of his domain; else of the domain that is named."""


class _Hour(msgspec.Struct):
    """What an account did in the hour that began at `since`."""

    since: int
    mails: int = 0
    recipients: int = 0


class Outgoing:
    """Watches who sends through us: those who signed in, and the senders of trusted networks."""

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        may_relay: MayRelay,
        alarms: Alarms,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._may_relay = may_relay
        self._habits = memory.counts(Room.OUTGOING, TERM, HALF_LIFE)
        self._alarms = alarms
        self._clock = clock
        self._hours: dict[str, _Hour] = {}
        self._spam: dict[str, deque[int]] = {}
        self._reported: dict[str, int] = {}
        self.rates = Rates(memory, alarms=alarms, metrics=metrics, clock=clock)
        self.report: Report | None = None
        self.limits: LimitsOf | None = None

    def check(self, client: Client, sender: Address | None, recipients: int = 1, before: int = 0) -> None:
        """Ask whether a mail may come in for so many recipients more, beside those `before` that it has already.

        Raises Problem(SLOWED) for an account that has sent, for now, what it may while it is slowed, and as
        `Rates.check`.
        """
        if not client.is_ours:
            return
        account = self._account(client, sender)
        if account and self.slowed(account):
            hour = self._hour(account)
            if hour.mails >= self._settings.slow_mails:
                text = "too much mail, or spam, from this account; try later"
                wait = seconds_left(hour.since, self._clock())
                raise Problem(Kind.SLOWED, text, account=account, retry_after=wait)
        self.rates.check(self._limits(client, sender), recipients, before)

    def take(self, envelope: Envelope) -> None:
        """Count a mail that comes in against the limits of its hour; raise as `check`."""
        if not _counts(envelope):
            return
        self.check(envelope.client, envelope.sender, len(envelope.recipients))
        self.rates.count(self._limits(envelope.client, envelope.sender), len(envelope.recipients))

    def give_back(self, envelope: Envelope) -> None:
        """Take back that a mail was counted, since it has to come again, or may be anybody's."""
        if _counts(envelope):
            self.rates.count(self._limits(envelope.client, envelope.sender), -len(envelope.recipients), -1)

    def _limits(self, client: Client, sender: Address | None) -> Sequence[Limit]:
        domain = self._domain(client, sender)
        return self.limits(client, domain) if self.limits and (client.login or domain) else ()

    def _domain(self, client: Client, sender: Address | None) -> str:
        """Return the domain on whose account a trusted network sends, "" for anybody else.

        What has the null sender goes on the account of the first domain that names the network.
        """
        if client.login is not None or not client.is_ours:
            return ""
        view = self._may_relay(client, sender)
        return view.domain.name if view else ""

    def _account(self, client: Client, sender: Address | None) -> str:
        """Return who answers for a mail; "" for one from the world, which may claim any sender at any listener."""
        if client.login is not None:
            return client.login.email
        return sender.key if sender is not None and self._domain(client, sender) else ""

    def slowed(self, account: str) -> bool:
        """Tell whether an account is slowed now."""
        found = self._habits.get(key_of("slowed", account), self._clock())
        return found is not None and 0 <= self._clock() - found.at < self._settings.slow_minutes * 60_000

    def saw(self, mail: Mail, judged: Sequence[Judged]) -> None:
        """Count a mail of an account; slow it where that is too much."""
        account = self._account(mail.envelope.client, mail.envelope.sender)
        if not (account and _counts(mail.envelope)) or any(each.verdict.action is Action.DEFER for each in judged):
            return
        hour = self._hour(account)
        hour.mails += 1
        hour.recipients += len(judged)
        if any(_is_bad(each) for each in judged):
            self._count_spam(account)
        if mail.envelope.client.login is not None:
            self._measure(account, hour)

    def _count_spam(self, account: str) -> None:
        most = self._settings.spam_per_hour
        if not most:
            return
        now = self._clock()
        times = self._spam.setdefault(account, deque(maxlen=most))
        times.append(now)
        if len(times) == most and 0 <= now - times[0] < HOUR:
            self._slow(account, "spam", f"{most} of its mails within an hour were judged spam or infected")

    def _measure(self, account: str, hour: _Hour) -> None:
        """Hold an hour against the largest of those before it."""
        settings = self._settings
        if not settings.burst:
            return
        usual = self._habits.get(key_of("largest", account), self._clock())
        most = max(settings.burst, settings.burst_factor * (usual.first if usual else 0.0))
        if hour.recipients > most and not self.slowed(account):
            self._slow(
                account, "burst", f"it sent to {hour.recipients} recipients within an hour; {most:.0f} are its most"
            )

    def _slow(self, account: str, why: str, text: str) -> None:
        now = self._clock()
        self._habits.count(key_of("slowed", account), now)
        log.warning("account slowed", account=account, why=text, minutes=self._settings.slow_minutes)
        self._alarms.tell("outgoing", why, f"{account} is slowed: {text}")
        self._reported = {each: at for each, at in self._reported.items() if 0 <= now - at < REPORT_EVERY}
        if self.report and account not in self._reported:
            self._reported[account] = now
            self.report(account, text)

    def _hour(self, account: str) -> _Hour:
        """Return the account's hour; when it is over, its size becomes part of the habit."""
        now = self._clock()
        found = self._hours.get(account)
        if found is None or not 0 <= now - found.since < HOUR:
            if found is not None:
                self._remember(account)
            while len(self._hours) >= ACCOUNTS:
                oldest = next(iter(self._hours))  # they stand in the order in which they began
                self._remember(oldest)
                self._spam.pop(oldest, None)
            found = self._hours[account] = _Hour(now)
        return found

    def _remember(self, account: str) -> None:
        hour = self._hours.pop(account)
        key, now = key_of("largest", account), self._clock()
        usual = self._habits.get(key, now)
        more = hour.recipients - (usual.first if usual else 0.0)
        if more > 0:
            self._habits.count(key, now, first=more)


def _counts(envelope: Envelope) -> bool:
    """Tell whether somebody of ours is known to answer for a mail: not for what a provider brings and stays inside."""
    client = envelope.client
    return client.is_ours and not (client.is_stranger and envelope.direction is Direction.IN)


def _is_bad(judged: Judged) -> bool:
    verdict = judged.verdict
    return verdict.category in BAD or any(finding.category in BAD for finding in verdict.because)
