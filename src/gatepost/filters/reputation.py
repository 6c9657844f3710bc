"""Asks what came of earlier mail from the client's network, and from the sender's domain where he is proven."""

from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from typing import ClassVar

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.hosts import registered
from gatepost.message.mail import Mail
from gatepost.model.envelope import Recipient
from gatepost.model.memory import DAY, Room, Tally, key_of
from gatepost.model.network import is_public, network
from gatepost.model.verdict import Category, Finding

SILENT = 0.1  # points below which nothing is said

_is_public = lru_cache(maxsize=4096)(is_public)


class ReputationOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "least": "mails of a network or domain from which on its reputation counts in full half; fewer count less",
        "bad": "points at most for a bad reputation",
        "good": "points at most taken off for a good one",
        "half_life_days": "days after which a mail counts half",
        "days": "days after the last mail at which a reputation is forgotten",
    }
    on_error: registry.OnFailure = "accept"
    least: int = 10
    bad: float = 2.0
    good: float = 1.0
    half_life_days: int = 14
    days: int = 90


class Reputation:
    """What came of earlier mail from there?

    Counted by network (/24, /48), and by the sender's domain where SPF or DKIM proves him. Its points stay within
    bounds and are left out when a mail is counted, so that no reputation feeds itself.
    """

    name = "reputation"
    cost = Cost.MEMORY
    Options = ReputationOptions

    def __init__(self, options: ReputationOptions, tools: Tools) -> None:
        self._options = options
        term, half_life = options.days * DAY, options.half_life_days * DAY
        self._known = tools.memory.counts(Room.REPUTATION, term, half_life)

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        return [
            finding
            for kind, name in origins(mail)
            if (known := self._known.get(origin_key(kind, name), mail.envelope.received))
            and (finding := self._finding(kind, name, known))
        ]

    def _finding(self, kind: str, name: str, known: Tally) -> Finding | None:
        bad, good = known.first, known.second
        leaning = (bad - good) / (bad + good + self._options.least)
        points = round(leaning * (self._options.bad if leaning > 0 else self._options.good), 2)
        if abs(points) < SILENT:
            return None
        return Finding(
            category=Category.SCORE,
            symbol=f"REPUTATION_{kind}_{'BAD' if points > 0 else 'GOOD'}",
            reason=f"earlier mail from {name}: about {bad:.0f} bad, {good:.0f} clean",
            by=self.name,
            score=points,
        )


def origins(mail: Mail) -> Iterator[tuple[str, str]]:
    """Yield what a mail from the world is counted by: (NETWORK, net), and (SENDER, domain) where he is proven."""
    client, sender = mail.envelope.client, mail.envelope.sender
    if client.is_ours:
        return
    if _is_public(client.ip):  # behind any other there is a relay of ours, or all the world
        yield "NETWORK", network(client.ip)
    if sender is not None and mail.auth is not None and mail.auth.sender_proven:
        yield "SENDER", registered(sender.domain)


def origin_key(kind: str, name: str) -> int:
    """Return the key under which an origin is counted: bad mails first, clean ones second."""
    return key_of(kind, name)


FILTER = Reputation
