"""Asks whether a link leads to a host that the domain has welcomed or blocked."""

from collections.abc import Hashable, Iterable, Sequence

from gatepost.filters import registry
from gatepost.filters.hosts import Indexed, named, upwards
from gatepost.filters.registry import Cost, Tools
from gatepost.message.anatomy import Link
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.rules import UriAction, UriRule
from gatepost.model.verdict import Category, Finding

POINTS = 100.0
BEHIND = 5  # hosts of which is told what they would come to without the rule for the first of them

_SYMBOLS = {
    UriAction.WHITELIST_URI_HOST: ("URI_HOST_IN_WELCOMELIST", Category.SCORE, -POINTS, "is welcome"),
    UriAction.BLACKLIST_URI_HOST: ("URI_HOST_IN_BLOCKLIST", Category.SCORE, POINTS, "is blocked"),
    UriAction.URIDNSBL_SKIP_DOMAIN: ("URI_DNSBL_SKIPPED", Category.NOTE, 0.0, "is not looked up in DNS lists"),
}

# host -> the rule that decides its points, and the rule that spares it look-ups
Index = tuple[dict[str, tuple[int, UriRule]], dict[str, tuple[int, UriRule]]]


class Uris:
    """Is a linked host, or a domain above it, on the domain's lists?

    Of the rules that name a host or a domain above it, the first by priority decides its points; a rule that skips DNS
    look-ups is a matter of its own. Each symbol counts once, however many links it has.
    """

    name = "uris"
    cost = Cost.PARSE
    Options = registry.Options

    def __init__(self, options: registry.Options, tools: Tools) -> None:
        self._indexes: Indexed[Index] = Indexed(_indexed)

    def key(self, recipient: Recipient) -> Hashable:
        return id(recipient.rules.uris)  # the directory hands out one tuple for a domain

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        if not recipient.rules.uris:
            return ()
        links = (await mail.anatomy()).leads
        points, skips = self._indexes.of(recipient.rules.uris)
        hit: dict[UriAction, dict[str, UriRule]] = {}
        for host in dict.fromkeys(link.host for link in links):
            for rule in (_first(points, host), _first(skips, host)):
                if rule is not None:
                    hit.setdefault(rule.action, {})[host] = rule
        return [_finding(action, list(hosts.items()), links) for action, hosts in hit.items()]


def _indexed(rules: Sequence[UriRule]) -> Index:
    index: Index = ({}, {})
    for order, rule in enumerate(rules):
        which = index[rule.action is UriAction.URIDNSBL_SKIP_DOMAIN]
        which.setdefault(named(rule.filter), (order, rule))
    return index


def _first(index: dict[str, tuple[int, UriRule]], host: str) -> UriRule | None:
    """Return the first rule, by priority, for a host or a domain above it."""
    found = [index[name] for name in upwards(host) if name in index]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _finding(action: UriAction, hosts: Sequence[tuple[str, UriRule]], links: Sequence[Link]) -> Finding:
    symbol, category, score, said = _SYMBOLS[action]
    host, rule = hosts[0]
    url = next(link.url for link in links if link.host == host)
    more = f" (and {len(hosts) - 1} more)" if len(hosts) > 1 else ""
    others = [pair for pair in hosts if pair[1] is not rule][:BEHIND]
    return Finding(
        category=category,
        symbol=symbol,
        reason=plain(f"{plain(host, 80)}{more} {said}: {plain(url, 60)}"),
        by=Uris.name,
        seen=plain(url, 300),
        score=score,
        rule_id=rule.id,
        instead=_finding(action, others, links) if others else None,
    )


FILTER = Uris
