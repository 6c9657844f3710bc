"""What one write changed in configuration, made into entries of the audit in the same savepoint."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gatepost.model.access import Admin, Grant, Level
from gatepost.model.audit import ADD, CHANGE, MASK, REMOVE, Actor, Audit
from gatepost.model.connection import Project
from gatepost.model.options import OptionValue, Scope
from gatepost.model.outgoing import Scheduled
from gatepost.model.stored import Copy
from gatepost.model.tenant import Broker, Customer, Domain, Group, User
from gatepost.store.reader import Reader
from gatepost.store.schema import table
from gatepost.store.secrets import is_sealed

MANY = 20  # above so many objects of one kind, one entry tells of all
LARGEST = 65_536  # octets of the items that it names (rules 17)
_NAMES = ("name", "email", "login", "value", "filter", "spf_provider", "selector", "recipient", "mailbox", "subject")

_OWNERS = (
    ("domain_id", Domain),
    ("group_id", Group),
    ("user_id", User),
    ("project_id", Project),
    ("customer_id", Customer),
)

Members = dict[str, Any]
Place = tuple[int | None, int | None, int | None]  # broker, customer, domain


class Change(msgspec.Struct, frozen=True, gc=False):
    """A row before and after; None: there was none, or there is none."""

    before: Any
    after: Any

    @property
    def row(self) -> Any:
        return self.before if self.after is None else self.after

    @property
    def act(self) -> str:
        return ADD if self.before is None else REMOVE if self.after is None else CHANGE


class Journal:
    """The changes of one write, by row: what was first found and what was last left of each."""

    def __init__(self, actor: Actor, at: int) -> None:
        self._actor = actor
        self._at = at
        self._rows: dict[tuple[type, Any], Change] = {}
        self._noted: list[Audit] = []

    def saw(self, before: Any, after: Any) -> None:
        """Note how a row changed; its last state counts, its first one is what it changed from."""
        change = Change(before, after)
        first = self._rows.setdefault((type(change.row), change.row.id), change)
        if first is not change:
            self._rows[type(change.row), change.row.id] = Change(first.before, after)

    def note(self, reader: Reader, act: str, about: Any, before: Members | None, after: Members | None) -> None:
        """Note an act that the rows don't show."""
        self._noted.append(self._entry(act, about, place_of(reader, about), before, after))

    def entries(self, reader: Reader) -> Iterator[Audit]:
        """Yield what is to be kept: an entry for each row, one alone for many of a kind in one place."""
        yield from self._noted
        groups: dict[tuple[str, type, Place], list[Change]] = {}
        places: dict[object, Place] = {}
        for (kind, _), change in self._rows.items():
            if change.before != change.after:
                mark = _whereabouts(change.row)
                place = places[mark] if mark in places else places.setdefault(mark, place_of(reader, change.row))
                groups.setdefault((change.act, kind, place), []).append(change)
        for (act, _, place), changes in groups.items():
            yield from self._told(act, place, changes)

    def _told(self, act: str, place: Place, changes: list[Change]) -> Iterator[Audit]:
        if len(changes) > MANY:
            before, after = spanning(each.before for each in changes), spanning(each.after for each in changes)
            entry = self._entry(act, changes[0].row, place, before, after)
            yield msgspec.structs.replace(entry, object_id="", name="")
            return
        for change in changes:
            before, after = _difference(change)
            if before or after:
                yield self._entry(act, change.row, place, before, after)

    def _entry(self, act: str, row: Any, place: Place, before: Members | None, after: Members | None) -> Audit:
        actor = self._actor if self._actor.login else _himself(self._actor, row)
        kind, object_id = _identity(row)
        return Audit(
            at=self._at,
            **msgspec.structs.asdict(actor),
            act=act,
            kind=kind,
            object_id=object_id,
            name=_name(row),
            broker_id=place[0],
            customer_id=place[1],
            domain_id=place[2],
            before=before,
            after=after,
        )


def shown(row: Any) -> Members:
    """Return the members of a row as the audit keeps them."""
    return _masked(row, _members(row))


def many(rows: Iterable[Any]) -> Members | None:
    """Return how many rows there are, and those for which there is room; None where there are none."""
    items: list[Members] = []
    count, room = 0, LARGEST
    for row in rows:
        if row is None:
            continue
        count += 1
        if room > 0:
            item = shown(row)
            room -= len(msgspec.json.encode(item))
            items += [item] if room >= 0 else []
    return {"count": count, "items": items} if count else None


def spanning(rows: Iterable[Any]) -> Members | None:
    """Return the same of rows of one kind that were written together, with the first and the last of their ids."""
    there = [row for row in rows if row is not None]
    told = many(there)
    return told and {**told, "first_id": min(row.id for row in there), "last_id": max(row.id for row in there)}


def place_of(reader: Reader, row: Any) -> Place:
    """Return under which broker, customer and domain an object stands: who may see what befell it."""
    match row:
        case Broker():
            return row.id, None, None
        case Customer():
            return row.broker_id, row.id, None
        case Domain():
            customer = reader.get(Customer, row.customer_id)
            return customer.broker_id if customer else None, row.customer_id, row.id
    above = _above(reader, row)
    return place_of(reader, above) if above is not None else (None, None, None)


def _above(reader: Reader, row: Any) -> Any:
    """Return the object that a row belongs to; None for what belongs to the platform."""
    match row:
        case Grant(level=Level.BROKER, node_id=number) | OptionValue(scope=Scope.URL, owner_id=number):
            return reader.get(Broker, number)
        case Grant(level=Level.CUSTOMER, node_id=number) | OptionValue(scope=Scope.CUSTOMER, owner_id=number):
            return reader.get(Customer, number)
        case Grant(level=Level.DOMAIN, node_id=number) | OptionValue(scope=Scope.DOMAIN, owner_id=number):
            return reader.get(Domain, number)
        case OptionValue(scope=Scope.USER, owner_id=number):
            return reader.get(User, number)
    for member, kind in _OWNERS:
        above = getattr(row, member, None)
        if above is not None:
            return reader.get(kind, above)
    return None


def _whereabouts(row: Any) -> object:
    """Equal for rows of one kind that stand in one place."""
    owners = tuple(getattr(row, member, None) for member in ("domain_id", "group_id", "user_id"))
    return (type(row), *owners) if any(owners) else (type(row), row.id)


def _difference(change: Change) -> tuple[Members | None, Members | None]:
    """Return what changed: the members that differ, or all where there was no row, or is none."""
    if change.before is None or change.after is None:
        return change.before and shown(change.before), change.after and shown(change.after)
    before, after = _members(change.before), _members(change.after)
    names = [name for name in after if before[name] != after[name]]
    old, new = ({name: members[name] for name in names} for members in (before, after))
    return _masked(change.before, old), _masked(change.after, new)


def _members(row: Any) -> Members:
    """Return the members of a row that concern people, as JSON has them."""
    known = table(type(row))
    seen = {name: getattr(row, name) for name in known.columns if name not in known.inner}
    found: Members = msgspec.to_builtins(seen, enc_hook=int)  # ids and moments are numbers with a name
    return found


def _masked(row: Any, members: Members) -> Members:
    secret = table(type(row)).secret
    return {name: MASK if value and (name in secret or is_sealed(value)) else value for name, value in members.items()}


def _identity(row: Any) -> tuple[str, str]:
    """Return the kind and the id of what an act is about; of a copy, and of what waits for its hour, the mail."""
    match row:
        case str():
            return row, ""
        case Copy():
            return "mail", row.mail_id
        case Scheduled():
            return "mail", row.id
    return table(type(row)).name, str(row.id)


def _name(row: Any) -> str:
    return next((str(value) for name in _NAMES if (value := getattr(row, name, None))), "")


def _himself(actor: Actor, row: Any) -> Actor:
    """Where nobody has signed in yet, who acts is the account concerned."""
    match row:
        case Admin():
            return msgspec.structs.replace(actor, login=row.login, admin_id=row.id)
        case User():
            return msgspec.structs.replace(actor, login=row.email, user_id=row.id)
    return actor
