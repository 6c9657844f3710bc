"""Asks whether a link leads to a host that the domain has welcomed or blocked."""

from collections.abc import Collection, Hashable, Iterable, Sequence

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
BEHIND = 5  # hosts, and rules for each, of which is told what they would come to without the rule for the first

_SYMBOLS = {
    UriAction.WHITELIST_URI_HOST: ("URI_HOST_IN_WELCOMELIST", Category.SCORE, -POINTS, "is welcome"),
    UriAction.BLACKLIST_URI_HOST: ("URI_HOST_IN_BLOCKLIST", Category.SCORE, POINTS, "is blocked"),
    UriAction.URIDNSBL_SKIP_DOMAIN: ("URI_DNSBL_SKIPPED", Category.NOTE, 0.0, "is not looked up in DNS lists"),
}

Hit = tuple[str, list[UriRule]]
"""A host and the rules for it, by priority."""

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
        links = (mail.glance() or await mail.anatomy()).leads
        points, skips = self._indexes.of(recipient.rules.uris)
        hit: dict[UriAction, list[Hit]] = {}
        for host in dict.fromkeys([link.host for link in links]):
            names = list(upwards(host))
            for rules in (_ranked(points, names), _ranked(skips, names)):
                if rules:
                    hit.setdefault(rules[0].action, []).append((host, rules))
        return [_finding(hosts, links, hit.keys()) for hosts in hit.values()]


def _indexed(rules: Sequence[UriRule]) -> Index:
    index: Index = ({}, {})
    for order, rule in enumerate(rules):
        which = index[rule.action is UriAction.URIDNSBL_SKIP_DOMAIN]
        which.setdefault(named(rule.filter), (order, rule))
    return index


def _ranked(index: dict[str, tuple[int, UriRule]], names: Sequence[str]) -> list[UriRule]:
    """Return the rules for some names, by priority."""
    found = [index[name] for name in names if name in index]
    return [rule for _, rule in sorted(found, key=lambda pair: pair[0])] if found else []


def _finding(hosts: Sequence[Hit], links: Sequence[Link], taken: Collection[UriAction]) -> Finding:
    """State what the first rules of hosts do, all the same; `taken`: what is done to some host already."""
    host, (rule, *_) = hosts[0]
    symbol, category, score, said = _SYMBOLS[rule.action]
    url = next(link.url for link in links if link.host == host)
    more = f" (and {len(hosts) - 1} more)" if len(hosts) > 1 else ""
    others = _without(rule, hosts, taken)
    return Finding(
        category=category,
        symbol=symbol,
        reason=plain(f"{plain(host, 80)}{more} {said}: {plain(url, 60)}"),
        by=Uris.name,
        seen=plain(url, 300),
        score=score,
        rule_id=rule.id,
        instead=_finding(others, links, taken) if others else None,
    )


def _without(rule: UriRule, hosts: Sequence[Hit], taken: Collection[UriAction]) -> list[Hit]:
    """Return the hosts to which the same is done without a rule; else those to which is done what was done to none."""
    left = [(host, [each for each in rules if each is not rule][:BEHIND]) for host, rules in hosts]
    for action in (rule.action, *(each for each in UriAction if each not in taken)):
        if found := [(host, rules) for host, rules in left if rules and rules[0].action is action]:
            return found[:BEHIND]
    return []


FILTER = Uris
