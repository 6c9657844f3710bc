"""Asks whether links, the client or the sender stand on a list that the administrator keeps in a file."""

from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from gatepost.filters import registry
from gatepost.filters.entries import Entries, reader
from gatepost.filters.registry import Cost, Tools
from gatepost.filters.watched import Watched
from gatepost.filters.zones import checked_symbol
from gatepost.message.anatomy import Anatomy
from gatepost.message.authors import authors
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.problem import Kind
from gatepost.model.verdict import Category, Finding, OnError

Of = Literal["links", "client", "sender"]

_NOT_PROVEN = "the sender is not proven"
_UNSURE = "whether the sender is proven could not be found out now"


class LocalList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A list in a file: what is held against it, and what follows for what is on it."""

    file: str
    symbol: str
    of: Of = "links"
    action: Literal["score", "block", "allow"] = "score"
    weight: float = 0.0
    description: str = ""


class LocalListOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "lists": "the lists: file, symbol, of (links, client, sender), action, weight; see docs/filters.md",
    }
    lists: tuple[LocalList, ...] = ()

    @property
    def in_force(self) -> bool:
        return self.enabled and bool(self.lists)


class LocalLists:
    """Is a link, the client or the sender on a local list?

    A file that can't be read at start is refused; one that goes bad later leaves its last good state in force, which
    every mail's trace then says.
    """

    name = "local_lists"
    cost = Cost.PARSE
    Options = LocalListOptions

    def __init__(self, options: LocalListOptions, tools: Tools) -> None:
        self._lists = [(one, _watched(one, tools)) for one in options.lists]

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        anatomy = await mail.anatomy()
        found: list[Finding] = []
        for one, file in self._lists:
            await file.refresh()
            found += _stale(one, file)
            seen = list(_SEEN[one.of](mail, anatomy, file.value))
            if seen:
                found.append(_finding(one, seen, mail))
        return found


def _watched(one: LocalList, tools: Tools) -> Watched[Entries]:
    checked_symbol("lists", one.file, one.symbol)
    if one.action == "score" and not one.weight:
        raise ValueError(f"lists: {one.file}: a list that scores needs a weight")
    if one.action == "allow" and one.of == "links":
        raise ValueError(f"lists: {one.file}: anybody can write a link, so none allows a mail; give a negative weight")
    try:
        return Watched(Path(one.file), reader(tools.alarm))
    except (OSError, ValueError) as error:
        raise ValueError(f"lists: {error}") from error


def _stale(one: LocalList, file: Watched[Entries]) -> Iterator[Finding]:
    if file.trouble:
        reason = plain(f"{one.file} can't be read, its last good state counts: {file.trouble}")
        yield Finding(category=Category.NOTE, symbol="LOCAL_LIST_STALE", reason=reason, by=LocalLists.name)


def _links(mail: Mail, anatomy: Anatomy, entries: Entries) -> Iterator[str]:
    hosts: dict[str, bool] = {}
    for link in anatomy.leads:
        listed = hosts.get(link.host)
        if listed is None:
            listed = hosts[link.host] = entries.has_host(link.host)
            if listed:
                yield link.host
        if not listed and entries.has_url(link.host, link.url):
            yield link.url


def _client(mail: Mail, anatomy: Anatomy, entries: Entries) -> Iterator[str]:
    if entries.has_ip(mail.envelope.client.ip):
        yield mail.envelope.client.ip


def _sender(mail: Mail, anatomy: Anatomy, entries: Entries) -> Iterator[str]:
    sender = [mail.envelope.sender] if mail.envelope.sender else []
    for key in dict.fromkeys(address.key for address in (*sender, *authors(anatomy))):
        if entries.has_address(key):
            yield key


_SEEN = {"links": _links, "client": _client, "sender": _sender}


def _finding(one: LocalList, seen: list[str], mail: Mail) -> Finding:
    category = {"score": Category.SCORE, "block": Category.BLOCKED, "allow": Category.ALLOWED}[one.action]
    more = f" (and {len(seen) - 1} more)" if len(seen) > 1 else ""
    reason = f"{plain(seen[0], 80)}{more} is on {one.description or Path(one.file).name}"
    doubtful = False
    if category is Category.ALLOWED and one.of == "sender" and not any(_proven(key, mail) for key in seen):
        doubtful = mail.auth is not None and mail.auth.unsure
        category = Category.ALLOWED if doubtful else Category.NOTE
        reason += f"; {_UNSURE if doubtful else _NOT_PROVEN}"
    return Finding(
        category=category,
        symbol=one.symbol,
        reason=plain(reason),
        by=LocalLists.name,
        seen=plain(", ".join(seen), 300),
        score=one.weight,
        on_error=OnError.DEFER if doubtful else None,  # as an ALLOW rule (threat 66)
        kind=Kind.SENDER_UNSURE if doubtful else None,
    )


def _proven(key: str, mail: Mail) -> bool:
    """Nobody is let through by a name that he only writes (rules 4)."""
    if mail.envelope.client.login is not None:
        return True
    auth = mail.auth
    return auth is not None and (auth.proven if key in auth.authors else auth.sender_proven)


FILTER = LocalLists
