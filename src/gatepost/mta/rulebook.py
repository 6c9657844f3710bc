"""Which rules bear on a mail for one recipient: those that name who sent it, or the person that its From shows."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from gatepost.events import Clock
from gatepost.message.skeleton import folded, seen_labels, skeleton
from gatepost.message.words import words
from gatepost.model.address import Address
from gatepost.model.envelope import Recipient
from gatepost.model.rules import RuleSet, SenderRule
from gatepost.model.tenant import Domain, User
from gatepost.mta.claims import Claims
from gatepost.mta.served import DomainView
from gatepost.store.remembered import Remembered
from gatepost.store.store import Store

USUAL = 4  # addresses and domains of MAIL FROM and one author; of more senders, what was found is not remembered
PROTECTED = 1000  # rules of one owner, the first made, whose persons are looked for in display names
JOINED = 8  # letters from which on a name that is written as one word is seen: Susan is no Su San

_ADDRESS = re.compile(r"[^\s<>()\"',;:@]+@[^\s<>()\"',;:@]+")
_SPACED = re.compile(r"(?<=\S)[^\S\n]{0,9}@[^\S\n]{0,9}(?=\S)")
_QUOTED = re.compile(r'"([^"]+)"')


class Person(msgspec.Struct, frozen=True):
    """A PROTECTED rule with the names of who it protects, each as its words.

    `address` is spelled as the mailbox's, `seen` is how that and the rule's value look to a reader.
    """

    rule: SenderRule
    address: str
    seen: tuple[str, str]
    names: tuple[frozenset[str], ...]


class Known(NamedTuple):
    """The rules of a domain and a mailbox about some senders; `guarded`: one of the two protects persons."""

    rules: RuleSet
    guarded: bool


class Rulebook:
    """Reads rules from the store.

    `served` returns the domain that a name is or is another name of, `user` an account by its address.
    """

    def __init__(
        self,
        store: Store,
        memory: Remembered,
        clock: Clock,
        *,
        served: Callable[[str], DomainView | None],
        user: Callable[[str], User | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._served = served
        self._user = user
        self._known = memory.known
        self._rules: dict[tuple[str, str, frozenset[str]], Known | None] = memory.cache()
        self._persons: dict[str, tuple[Person, ...]] = memory.cache()

    def applied(self, recipient: Recipient, domain: str, claims: Claims) -> Recipient:
        """Return the recipient with the sender rules that bear on a mail, and the other rules of its `domain`."""
        owners = (domain, recipient.address.key)
        values = frozenset([value for sender in claims.senders for value in (sender.key, sender.domain)])

        def find() -> Known | None:
            return self._found(owners, values)

        found = find() if len(values) > USUAL else self._known(self._rules, (*owners, values), find)
        if found is None:
            return recipient
        rules = found.rules
        persons = tuple(self._named(owners, claims, rules.senders)) if found.guarded and claims.shown else ()
        if persons:
            key = (*rules.key, *sorted(rule.id for rule in persons))
            rules = msgspec.structs.replace(rules, key=key, persons=persons)
        return msgspec.structs.replace(recipient, rules=rules)

    def _found(self, owners: tuple[str, str], values: frozenset[str]) -> Known | None:
        """Return the rules of a domain and a mailbox about some senders; None where the domain is gone."""
        view = self._served(owners[0])
        if view is None:
            return None
        matched = self._sender_rules(owners, values)
        key = (view.domain.id, *sorted(rule.id for rule in matched), 0)
        rules = RuleSet(key, matched, view.attachments, view.uris, view.domain.wblist_priority)
        return Known(rules, any(map(self._protected, owners)))

    def _sender_rules(self, owners: tuple[str, str], values: frozenset[str]) -> tuple[SenderRule, ...]:
        """The domain's and the mailbox's rules about some senders; those that expire while kept are the filter's."""
        return tuple(self._store.reader.sender_rules(set(owners), values, self._clock())) if values else ()

    # Protected persons.

    def _named(self, owners: Iterable[str], claims: Claims, matched: Sequence[SenderRule]) -> Iterable[SenderRule]:
        """Yield the PROTECTED rules whom From shows though the mail comes from another address."""
        known = [person for owner in owners for person in self._protected(owner)]
        authors = {self._own_spelling(sender) for sender in claims.senders}
        written, seen = self._shown_addresses(claims)
        shown = [_name(_ADDRESS.sub(" ", each)) for each in claims.shown]
        for person in known:
            if person.rule in matched or person.address in authors:
                continue
            named = (_names(name, each) for name in person.names for each in shown)
            exactly = not written.isdisjoint((person.rule.value, person.address))
            if exactly or not seen.isdisjoint(person.seen) or any(named):
                yield person.rule

    def _shown_addresses(self, claims: Claims) -> tuple[set[str], set[str]]:
        """Return the addresses that From shows, and their domains: as written, also by their domains' first names; and
        as a reader sees them, without those that are seen as the senders' own."""
        text = " ".join(claims.shown)
        written = _addresses(text.lower())
        split = [value.rpartition("@") for value in written if "@" in value]
        own = {_seen(value) for sender in claims.senders for value in (sender.key, sender.domain)}
        seen = {_seen(value) for value in _addresses(folded(text))} - own
        return written | {self._own_spelling(Address(local, domain)) for local, _, domain in split}, seen

    def _protected(self, owner: str) -> tuple[Person, ...]:
        find = self._store.reader.protected
        return self._known(
            self._persons, owner, lambda: tuple(map(self._person, find(owner, self._clock(), PROTECTED)))
        )

    def _person(self, rule: SenderRule) -> Person:
        """Read whom a rule protects: the account's owner, and who stands in quotes in the rule's description."""
        names = [_name(name) for name in _QUOTED.findall(rule.description or "")]
        local, _, domain = rule.value.rpartition("@")
        address = self._own_spelling(Address(local, domain))
        mine, theirs = self._domain(rule.owner.rpartition("@")[2]), self._domain(domain)
        user = self._user(address) if local else None
        if user and mine and theirs and mine.customer_id == theirs.customer_id:  # no tenant learns another's names
            names.append(_name(f"{user.firstname or ''} {user.lastname or ''}"))
        return Person(rule, address, (_seen(rule.value), _seen(address)), tuple(filter(None, names)))

    def _domain(self, name: str) -> Domain | None:
        view = self._served(name)
        return view.domain if view else None

    def _own_spelling(self, address: Address) -> str:
        """Return an address by the first of its domain's names, as accounts have it."""
        domain = self._domain(address.domain)
        return Address(address.local, domain.name).key if domain else address.key


def _name(text: str) -> frozenset[str]:
    """Return the words of a name, each in the form that it shares with all that look like it."""
    return frozenset(map(skeleton, words(text)))


def _names(name: frozenset[str], shown: frozenset[str]) -> bool:
    """Tell whether a text names a person: by all the words of a name, also as one, or by the only one and no other."""
    if len(name) == 1:
        return name == shown
    if name <= shown:
        return True
    length = sum(map(len, name))
    telling = length >= JOINED or not all(map(str.isascii, name))
    return telling and any(len(word) == length and all(part in word for part in name) for word in shown)


def _addresses(text: str) -> set[str]:
    """Return the addresses in a text, blanks around the sign let pass, and their domains."""
    return {value for found in _ADDRESS.findall(_SPACED.sub("@", text)) for value in (found, found.rpartition("@")[2])}


def _seen(value: str) -> str:
    """Return an address or a domain in the form that it shares with all that look like it."""
    local, sign, domain = value.rpartition("@")
    return folded(local) + sign + seen_labels(domain)
