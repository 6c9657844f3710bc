"""Asks whether a stranger's server has come back, as those of spam seldom do."""

from collections.abc import Hashable, Iterable
from ipaddress import ip_address, ip_network
from typing import ClassVar

import msgspec

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.hosts import registered
from gatepost.message.mail import Mail
from gatepost.model.envelope import Recipient
from gatepost.model.memory import DAY, Room, key_of
from gatepost.model.network import network
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.verdict import Category, Finding, OnError

HOUR = 3_600_000
MINUTE = 60_000


class GreylistOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "wait_seconds": "seconds after which a mail may come again",
        "retry_hours": "hours within which it must, else it counts as new",
        "days": "days that a pass holds after its last use",
        "known_after": "passes after which a network may send for a domain at once, to anybody; 0: never",
        "networks": "networks or addresses that are never asked to come again",
        "proven_pass": "senders that are proven by SPF or DKIM are not asked to come again",
    }
    enabled: bool = False
    on_error: registry.OnFailure = "accept"
    wait_seconds: int = 300
    retry_hours: int = 48
    days: int = 36
    known_after: int = 5
    networks: list[str] = msgspec.field(default_factory=list)
    proven_pass: bool = True


class Greylist:
    """Has its server come again with it?

    The first mail of a network and sender's domain to a recipient is deferred; proven and known senders pass.
    """

    name = "greylist"
    cost = Cost.MEMORY
    Options = GreylistOptions

    def __init__(self, options: GreylistOptions, tools: Tools) -> None:
        self._options = options
        try:
            self._networks = [ip_network(text, strict=False) for text in options.networks]
        except ValueError as error:
            raise ValueError(f"networks: {error}") from error
        self._waiting = tools.memory.counts(Room.WAITING, options.retry_hours * HOUR)
        self._passed = tools.memory.counts(Room.PASSED, options.days * DAY)

    def key(self, recipient: Recipient) -> Hashable:
        return recipient.address.key

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        if self._is_known(mail, recipient):
            return ()
        if mail.envelope.trial:
            return (_left_out(),)
        now, counting = mail.envelope.received, not mail.on_trial
        place = (network(mail.envelope.client.ip), _domain(mail))
        whole, pair = key_of(*place, recipient.address.key), key_of(*place)
        if known := self._passes(whole, pair, now):
            if counting:
                self._passed.count(known, now)
            return ()
        first = self._waiting.get(whole, now)
        if first is None or first.since > now:  # the clock was set back: nobody waits for what is to come
            first = None
            if counting:
                self._waiting.begin(whole, now)
        waited = now - first.since if first else 0
        left = self._options.wait_seconds * 1000 - waited
        if left > 0:
            return (_come_again(left),)
        if counting:
            self._passed.count(whole, now, first=1)
            self._passed.count(pair, now, first=1)
        return ()

    def _passes(self, whole: int, pair: int, now: int) -> int | None:
        """Return the key by which a mail may come in at once; None for none."""
        known = self._passed.get(pair, now)
        if known is not None and 0 < self._options.known_after <= known.first:
            return pair
        return whole if self._passed.get(whole, now) is not None else None

    def _is_known(self, mail: Mail, recipient: Recipient) -> bool:
        """Tell whether nobody need ask: ours, proven, of a known network, or let in by a rule."""
        client = mail.envelope.client
        if client.is_ours:
            return True
        if self._options.proven_pass and mail.auth is not None and (mail.auth.proven or mail.auth.sender_proven):
            return True
        if any(_lets_in(rule, mail.envelope.received) for rule in recipient.rules.senders):
            return True
        return bool(self._networks) and _inside(client.ip, self._networks)


def _lets_in(rule: SenderRule, now: int) -> bool:
    """Tell whether a rule lets its sender in whoever he is; what expires while it is remembered does so no more."""
    return rule.type is SenderType.ALLOW and not rule.spf_on and (rule.expire_at is None or rule.expire_at > now)


def _inside(ip: str, networks: Iterable[object]) -> bool:
    try:
        return any(ip_address(ip) in each for each in networks)  # type: ignore[operator]
    except ValueError:
        return False


def _domain(mail: Mail) -> str:
    """Return the registered domain of the sender; of a report (no sender) the name that its server gives itself."""
    sender = mail.envelope.sender
    return registered(sender.domain) if sender else f"<> {mail.envelope.client.helo.lower()}"


def _left_out() -> Finding:
    reason = "a stranger's; a mail that is only tried is not made to come again"
    return Finding(category=Category.NOTE, symbol="GREYLIST_LEFT_OUT", reason=reason, by=Greylist.name)


def _come_again(left: int) -> Finding:
    minutes = -(-left // MINUTE)
    return Finding(
        category=Category.UNSURE,
        symbol="GREYLISTED",
        reason=f"greylisted; please try again in {minutes} minute{'s' if minutes > 1 else ''}",
        by=Greylist.name,
        on_error=OnError.DEFER,
    )


FILTER = Greylist
