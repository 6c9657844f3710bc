"""Hourly limits: how many mails, and to how many recipients, an account and its domain may hand in within an hour."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from gatepost.events import Alarms, Clock, Metrics, log
from gatepost.model.memory import Memory, Room, Tally, key_of
from gatepost.model.problem import Kind, Problem

HOUR = 3_600_000


class Payer(StrEnum):
    """Who is counted."""

    USER = "user"
    DOMAIN = "domain"


class Limit(msgspec.Struct, frozen=True):
    """What an account (`name` is its address) or a domain may hand in within an hour; 0: any number."""

    payer: Payer
    name: str
    mails: int = 0
    recipients: int = 0


Reached = Callable[[Limit, str, int], None]
"""Tells the administrator whose limit was reached, of what ("mails" or "recipients"), and how many they are."""


class Rates:
    """Counts in hours that begin with a first mail; a restart goes on counting.

    What is counted lies in memory and is written behind the mail, so that a crash takes the last seconds of it.
    """

    def __init__(self, memory: Memory, *, alarms: Alarms, metrics: Metrics, clock: Clock) -> None:
        self._counts = memory.counts(Room.RATES, HOUR)
        self._alarms = alarms
        self._limited = metrics.limited
        self._clock = clock
        self.reached: Reached | None = None

    def check(self, limits: Sequence[Limit], recipients: int, before: int = 0) -> None:
        """Ask whether a mail may go to so many recipients more, beside those `before` that it has already.

        Raises Problem: SLOWED, with the seconds until the hour is over as `retry_after`, and UNPROCESSABLE for more
        recipients at once than any hour has.
        """
        for limit in limits:
            hour = self._hour(limit)
            for what, used, more, most in (
                ("mails", hour.first, 1, limit.mails),
                ("recipients", hour.second + before, recipients, limit.recipients),
            ):
                if most and used + more > most:
                    self._refuse(limit, what, most, hour, possible=more <= most)

    def count(self, limits: Sequence[Limit], recipients: int, mails: int = 1) -> None:
        """Count a mail; negative numbers take back what was counted."""
        now = self._clock()
        for limit in limits:
            key = _key(limit)
            if not self._is_open(self._counts.get(key, now), now):
                if mails < 0:  # the hour in which it was counted is over
                    continue
                self._counts.begin(key, now)
            self._counts.count(key, now, mails, recipients)

    def _hour(self, limit: Limit) -> Tally:
        now = self._clock()
        found = self._counts.get(_key(limit), now)
        return found if found is not None and self._is_open(found, now) else Tally(0.0, 0.0, now, now)

    def _is_open(self, found: Tally | None, now: int) -> bool:
        """Tell whether an hour has begun and is not over; one that begins in the future is none (threat 86)."""
        return found is not None and 0 <= now - found.since < HOUR

    def _refuse(self, limit: Limit, what: str, most: int, hour: Tally, *, possible: bool) -> None:
        self._limited.labels(limit.payer.value, what).inc()
        who = "account" if limit.payer is Payer.USER else "domain"
        self._tell(limit, what, most, hour)
        if not possible:
            text = f"the {who} may write to {most} recipients within an hour, and this would be more at once"
            raise Problem(Kind.UNPROCESSABLE, text, limited=limit.name)
        wait = seconds_left(hour.since, self._clock())
        text = f"the {who}'s limit of {what} an hour ({most}) is reached; try later"
        raise Problem(Kind.SLOWED, text, limited=limit.name, retry_after=wait)

    def _tell(self, limit: Limit, what: str, most: int, hour: Tally) -> None:
        """Report a limit that is reached, once in an hour that is counted, or within an hour while none is."""
        now, key = self._clock(), _key(limit, "told")
        told, since = self._counts.get(key, now), hour.since if hour.first > 0 else now - HOUR
        if told is not None and since <= told.at <= now:
            return
        self._counts.begin(key, now)
        log.warning("limit reached", payer=limit.payer.value, name=limit.name, what=what, most=most)
        self._alarms.tell("outgoing", "limit", f"{limit.name} has reached its limit of {what} an hour, {most}")
        if self.reached:
            self.reached(limit, what, most)


def seconds_left(since: int, now: int) -> int:
    """Return how long the hour that began then lasts, in whole seconds."""
    return max(1, -(-(since + HOUR - now) // 1000))


def _key(limit: Limit, *more: str) -> int:
    return key_of(limit.payer.value, limit.name, *more)
