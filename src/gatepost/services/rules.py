"""Sender rules: who may lay them down for which owner, and how a whole list is replaced at once."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import Any

import msgspec

from gatepost.events import Clock
from gatepost.model.access import Caller
from gatepost.model.address import BadAddress, domain_name, parse_address
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Condition, Op, Page, Query, Where, eq, every
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.tenant import Domain, User
from gatepost.services.access import found, require
from gatepost.services.accounts import find_user, nearest
from gatepost.store.journal import many, spanning
from gatepost.store.store import Reader, Store, Writer

SLICE = 200  # rows of one write, so that none holds the writer long (rules 17)
Told = dict[str, Any] | None
REPLACE, LIST = "replace", "senderRules"  # what the audit calls the act, and the list
AT_ONCE = 1000  # rules of one addition; a longer list is replaced as a whole


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A rule as asked for. `owner` is a domain name or a mailbox address; None: the owner that the path names."""

    value: str
    type: SenderType
    owner: str | None = None
    expire_at: int | None = None
    description: str | None = None
    spf_on: bool | None = None


class Place(msgspec.Struct, frozen=True):
    """Whose list a path names: a domain's, or a mailbox's; one of the two is set."""

    domain_id: int | None = None
    user_id: int | None = None


class Owner(msgspec.Struct, frozen=True):
    """Whose rules: a domain's own, or those of one of its mailboxes."""

    domain: Domain
    user: User | None = None

    @property
    def name(self) -> str:
        return self.user.email if self.user else self.domain.name

    @property
    def row(self) -> Domain | User:
        """The row that says which generation counts."""
        return self.user or self.domain


class SenderRules:
    """The rules of domains and mailboxes over senders. Each act checks its permission first."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, caller: Caller, place: Place, query: Query) -> Page[SenderRule]:
        """Return a page of the owner's rules that `query` asks for."""
        owner = self._at(caller, place, "RULES_READ")

        def ask(reader: Reader) -> Page[SenderRule]:
            mine = every(_current(owner, reader), query.where)
            return reader.find(SenderRule, msgspec.structs.replace(query, where=mine))

        return await self._store.read(ask)

    async def add(self, caller: Caller, place: Place, entries: Sequence[Entry]) -> list[SenderRule]:
        """Add rules to one owner, all of them or none; raise CONFLICT for one that is there already."""
        owner = self._at(caller, place, "RULES_WRITE")
        return await self._add([(owner, entry) for entry in entries])

    async def add_any(self, caller: Caller, entries: Sequence[Entry]) -> list[SenderRule]:
        """Add rules, each to the owner that it names, all of them or none."""
        _check_count(entries)
        owners: dict[str, Owner] = {}
        pairs = []
        for at, entry in enumerate(entries):
            name = entry.owner or ""
            if name not in owners:
                owners[name] = self._owner(caller, name, f"/{at}/owner")
            pairs.append((owners[name], entry))
        return await self._add(pairs)

    async def replace(self, caller: Caller, place: Place, entries: Sequence[Entry]) -> list[SenderRule]:
        """Put a list in the place of all rules of an owner.

        The new rules are written aside in slices, then one row makes them count; a crash before that leaves the old
        list, and rows that the next replacement removes. Of two replacements at once the later one wins whole; one
        that is overtaken raises CONFLICT.
        """
        owner = self._at(caller, place, "RULES_WRITE")
        rules = await asyncio.to_thread(self._prepared, zip(repeat(owner), entries))
        generation, kept = await self._store.prepare(partial(_aside, owner, rules[:SLICE], 0))
        try:
            for at in range(SLICE, len(rules), SLICE):
                kept += (await self._store.prepare(partial(_aside, owner, rules[at : at + SLICE], generation)))[1]
            before, after = await self._store.read(partial(_told, owner)), spanning(kept)
            await self._store.write(partial(_switch, owner, generation, before, after))
        except Problem:
            with suppress(Problem):
                await _take_away(self._store, every(_owned(owner), eq("generation", generation)))
            raise
        await _take_away(self._store, _superseded(owner, generation))
        return kept

    async def change(self, caller: Caller, place: Place, rule_id: int, entry: Entry) -> SenderRule:
        """Put a rule in the place of one of the owner's; it keeps its id and its day of creation."""
        owner = self._at(caller, place, "RULES_WRITE")
        (new,) = self._prepared([(owner, entry)], pointer="")

        def put(writer: Writer) -> SenderRule:
            old = _get(writer, owner, rule_id)
            _check_absent(writer, owner, new, "/value", but=rule_id)
            fields = {f: getattr(new, f) for f in ("value", "type", "expire_at", "description", "spf_on")}
            return writer.change(SenderRule, old.id, **fields) or old

        return await self._store.write(put)

    async def remove(self, caller: Caller, place: Place, rule_id: int) -> None:
        """Remove one of the owner's rules; raise NOT_FOUND where it has no such rule."""
        owner = self._at(caller, place, "RULES_WRITE")

        def drop(writer: Writer) -> None:
            writer.remove(SenderRule, eq("id", _get(writer, owner, rule_id).id))

        await self._store.write(drop)

    def _at(self, caller: Caller, place: Place, permission: str) -> Owner:
        reader = self._store.reader
        if place.domain_id is not None:
            return Owner(found(caller, permission, reader.get(Domain, place.domain_id), "domain"))
        user = found(caller, permission, reader.get(User, place.user_id or 0), "user")
        domain = reader.get(Domain, user.domain_id)
        if domain is None:
            raise Problem(Kind.NOT_FOUND, "There is no such user.")
        return Owner(domain, user)

    def _owner(self, caller: Caller, name: str, pointer: str) -> Owner:
        """Find an owner by its name; an unknown one is UNPROCESSABLE to those who may know it (contract A52)."""
        reader = self._store.reader
        owner = _by_name(reader, name)
        require(caller, "RULES_WRITE", owner.row if owner else nearest(reader, name))
        if owner is None:
            raise Problem(Kind.UNPROCESSABLE, "There is no such owner.", pointer=pointer)
        return owner

    async def _add(self, pairs: Sequence[tuple[Owner, Entry]]) -> list[SenderRule]:
        _check_count(pairs)
        rules = self._prepared(pairs)

        def put(writer: Writer) -> list[SenderRule]:
            kept = []
            for at, ((owner, _), rule) in enumerate(zip(pairs, rules, strict=True)):
                _check_absent(writer, owner, rule, f"/{at}")
                kept.append(writer.add(msgspec.structs.replace(rule, generation=_generation(writer, owner))))
            return kept

        return await self._store.write(put)

    def _prepared(self, pairs: Iterable[tuple[Owner, Entry]], pointer: str | None = None) -> list[SenderRule]:
        """Make the rules, canonical and checked; raise Problem at the first that can't be."""
        now = self._clock()
        seen: set[tuple[str, str, SenderType]] = set()
        rules = []
        for at, (owner, entry) in enumerate(pairs):
            rule = _rule(owner, entry, now, f"/{at}" if pointer is None else pointer)
            key = (rule.owner, rule.value, rule.type)
            if key in seen:
                raise Problem(Kind.CONFLICT, f"The rule for {rule.value} stands in the list twice.", pointer=f"/{at}")
            seen.add(key)
            rules.append(rule)
        return rules


async def forget_superseded(store: Store, owner: Owner) -> None:
    """Remove what a crash left of an owner's former lists: to the next holder of its name it would count again."""
    await _take_away(store, _superseded(owner, owner.row.sender_generation))


def check_forgotten(reader: Reader, owner: Owner) -> None:
    """Raise CONFLICT while there are rules of an owner's former lists."""
    if reader.first(SenderRule, _superseded(owner, owner.row.sender_generation)) is not None:
        raise Problem(Kind.CONFLICT, f"The rules of {owner.name} are being replaced just now; try again.")


async def _take_away(store: Store, where: Condition) -> None:
    """Remove rules, slice by slice along the index by value."""
    last = ""
    while rules := (await store.read(partial(_next_ones, where, last))).items:
        ids = Where("id", Op.IN, [rule.id for rule in rules])
        await store.prepare(partial(_remove, ids))
        last = rules[-1].value


def _by_name(reader: Reader, name: str) -> Owner | None:
    try:
        user = find_user(reader, name)
        domain = None if "@" in name else reader.domain(domain_name(name))
    except BadAddress:
        return None
    domain = reader.get(Domain, user.domain_id) if user else domain
    return Owner(domain, user) if domain else None


def _rule(owner: Owner, entry: Entry, now: int, pointer: str) -> SenderRule:
    allows = entry.type is SenderType.ALLOW
    if allows and entry.spf_on is None:
        raise Problem(Kind.UNPROCESSABLE, "An ALLOW rule needs spfOn.", pointer=f"{pointer}/spfOn")
    if entry.expire_at is not None and entry.expire_at <= now:
        raise Problem(Kind.UNPROCESSABLE, "expireAt lies in the past.", pointer=f"{pointer}/expireAt")
    return SenderRule(
        domain_id=owner.domain.id,
        user_id=owner.user.id if owner.user else None,
        owner=owner.name,
        value=_value(entry.value, f"{pointer}/value"),
        type=entry.type,
        created_date=now,
        expire_at=entry.expire_at,
        description=entry.description or None,
        spf_on=entry.spf_on if allows else None,
    )


def _value(text: str, pointer: str) -> str:
    """Return an address key or a domain name, the form in which senders are compared."""
    if text.startswith(("@", "*@")):  # the latter is an address, but nobody's
        raise Problem(Kind.MALFORMED, "All senders of a domain are meant by its name alone.", pointer=pointer)
    try:
        return parse_address(text).key if "@" in text else domain_name(text)
    except BadAddress as error:
        raise Problem(Kind.MALFORMED, f"This is neither an address nor a domain: {error}.", pointer=pointer) from error


def _owned(owner: Owner) -> Condition:
    """The rules of an owner, of whatever generation; not those that a former one of his address may have left."""
    return every(eq("owner", owner.name), eq("user_id", owner.user.id if owner.user else None))


def _superseded(owner: Owner, current: int) -> Condition:
    return every(_owned(owner), Where("generation", Op.LT, current))


def _generation(reader: Reader, owner: Owner) -> int:
    """The generation that counts now; raise Problem for an owner that is gone or has another name by now."""
    row = reader.get(type(owner.row), owner.row.id)
    if row is None:
        raise Problem(Kind.NOT_FOUND, f"{owner.name} is gone.")
    if (row.email if isinstance(row, User) else row.name) != owner.name:
        raise Problem(Kind.CONFLICT, f"{owner.name} was given another name meanwhile.")
    return row.sender_generation


def _current(owner: Owner, reader: Reader) -> Condition:
    return every(_owned(owner), eq("generation", _generation(reader, owner)))


def _get(reader: Reader, owner: Owner, rule_id: int) -> SenderRule:
    rule = reader.first(SenderRule, every(eq("id", rule_id), _current(owner, reader)))
    if rule is None:
        raise Problem(Kind.NOT_FOUND, "There is no such rule.")
    return rule


def _check_absent(reader: Reader, owner: Owner, rule: SenderRule, pointer: str, but: int = 0) -> None:
    same = reader.first(SenderRule, every(_current(owner, reader), eq("value", rule.value), eq("type", rule.type)))
    if same is not None and same.id != but:
        raise Problem(Kind.CONFLICT, f"{owner.name} has an identical rule for {rule.value}.", pointer=pointer)


def _aside(owner: Owner, rules: Sequence[SenderRule], generation: int, writer: Writer) -> tuple[int, list[SenderRule]]:
    """Write rules that do not count yet; the first slice (generation 0) takes a new number.

    For an owner who is gone, and took his rules along, none: nobody would take them away.
    """
    _generation(writer, owner)
    generation = generation or _number(writer, owner)
    return generation, [writer.add(msgspec.structs.replace(rule, generation=generation)) for rule in rules]


def _number(writer: Writer, owner: Owner) -> int:
    """Return a generation that no rule ever had: the id of a row made for it, as ids are never given twice."""
    mark = SenderRule(
        domain_id=owner.domain.id, owner=owner.name, value="", type=SenderType.BLOCK, created_date=0, generation=-1
    )
    number = writer.add(mark).id
    writer.remove(SenderRule, eq("id", number))
    return number


def _switch(owner: Owner, generation: int, before: Told, after: Told, writer: Writer) -> None:
    if _generation(writer, owner) >= generation:
        raise Problem(Kind.CONFLICT, "The list was replaced by another request meanwhile.")
    writer.change(type(owner.row), owner.row.id, sender_generation=generation)
    writer.record(REPLACE, owner.row, before=before and {LIST: before}, after=after and {LIST: after})


def _told(owner: Owner, reader: Reader) -> Told:
    """The list that counts, as the audit has it: how many rules, and the first of them (rules 17)."""
    first = reader.find(SenderRule, Query(where=_current(owner, reader), sort="value", limit=SLICE, total=True))
    told = many(first.items)
    return told and {**told, "count": first.total}


def _check_count(entries: Sequence[object]) -> None:
    if len(entries) > AT_ONCE:
        raise Problem(Kind.TOO_LARGE, f"At most {AT_ONCE} rules are added at once; replace the list instead.")


def _remove(where: Condition, writer: Writer) -> int:
    return writer.remove(SenderRule, where)


def _next_ones(where: Condition, after: str, reader: Reader) -> Page[SenderRule]:
    return reader.find(SenderRule, Query(where=every(where, Where("value", Op.GE, after)), sort="value", limit=SLICE))
