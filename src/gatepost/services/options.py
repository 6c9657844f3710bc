"""Options: which there are, what is set at each scope, and what holds for a tenant in the end."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from gatepost.model.access import Caller
from gatepost.model.options import DEFINITIONS, SECRET, Definition, OptionType, OptionValue, Scope
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Any, Condition, Page, Query, eq, every
from gatepost.model.tenant import Broker, Customer, Domain, User
from gatepost.services.access import found, require, require_sysadmin
from gatepost.services.option_values import LARGEST_DOC, read_value
from gatepost.services.records import unprocessable
from gatepost.store.store import Reader, Store, Writer

Tenant = Broker | Customer | Domain | User
_ABOVE: Mapping[Scope, tuple[type[Tenant], str, Scope]] = {
    Scope.USER: (User, "domain_id", Scope.DOMAIN),
    Scope.DOMAIN: (Domain, "customer_id", Scope.CUSTOMER),
    Scope.CUSTOMER: (Customer, "broker_id", Scope.URL),
}
_SCOPE: Mapping[type[Tenant], Scope] = {
    Broker: Scope.URL,
    Customer: Scope.CUSTOMER,
    Domain: Scope.DOMAIN,
    User: Scope.USER,
}


class Place(msgspec.Struct, frozen=True):
    """Whose options are meant: a scope and the row there; the platform has none."""

    scope: Scope
    id: int = 0


PLATFORM = Place(Scope.PLATFORM)
Values = Mapping[tuple[Place, str], str]
"""What is set, by place and name of the option."""


class OptionAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A value to set; its form is the type's."""

    name: Annotated[str, Meta(max_length=100)]
    value: Annotated[str, Meta(max_length=2 * LARGEST_DOC)]


class OptionDef(msgspec.Struct, kw_only=True, rename="camel"):
    """What there is to know of an option: its type, where it can be set, which values it takes."""

    ptf_scope: bool
    url_scope: bool
    customer_scope: bool
    domain_scope: bool
    user_scope: bool
    restricted: bool
    group: str | None
    name: str
    type: OptionType
    values: Sequence[str] | None
    description: str | None


class OptionView(msgspec.Struct, kw_only=True, rename="camel"):
    """An option at one scope; `parentValue` holds while `value` is null. Secret values are null in both."""

    value: str | None
    parent_value: str | None
    option: OptionDef


class Options:
    """The options of all scopes. A value holds for everything below its scope that sets none of its own."""

    def __init__(self, store: Store, definitions: Mapping[str, Definition] = DEFINITIONS) -> None:
        self._store = store
        self._definitions = definitions

    def value(self, reader: Reader, name: str, of: Tenant | None = None) -> str | None:
        """Return what holds for a tenant (None: for the platform): the nearest value, else the default, in clear.

        KeyError for an option that Gatepost does not know.
        """
        definition = self._definitions[name]
        chain = _chain(reader, Place(_SCOPE[type(of)], of.id) if of else PLATFORM)
        value = _nearest(definition, chain, _set(reader, chain))
        if value is None:
            return definition.default
        return self._store.secrets.unseal(value) if definition.type in SECRET else value

    async def defined(self) -> Page[OptionDef]:
        """Return every option; any account may ask."""
        items = [_shown(definition) for definition in self._definitions.values()]
        return Page(items, len(items))

    async def find(self, caller: Caller, place: Place) -> Page[OptionView]:
        """Return the options that can be set at a scope, with what is set there and what holds without it."""

        def ask(reader: Reader) -> Page[OptionView]:
            _check(reader, caller, "OPTIONS_READ", place)
            chain = _chain(reader, place)
            there = _set(reader, chain)
            items = [_view(each, chain, there) for each in self._definitions.values() if place.scope in each.scopes]
            return Page(items, len(items))

        return await self._store.read(ask)

    async def put(self, caller: Caller, place: Place, wanted: OptionAdd) -> OptionView:
        """Set a value; raise UNPROCESSABLE for an unknown option or one not of this scope, MALFORMED for the value."""
        _check(self._store.reader, caller, "OPTIONS_WRITE", place)
        definition = self._definitions.get(wanted.name)
        if definition is None:
            raise unprocessable("There is no such option.", "/name")
        if place.scope not in definition.scopes:
            raise unprocessable(f"{definition.name} can't be set at this scope.", "/name")
        _check_restricted(caller, definition)
        value = await asyncio.to_thread(read_value, definition, wanted.value)  # time zones are files

        def change(writer: Writer) -> OptionView:
            _check(writer, caller, "OPTIONS_WRITE", place)
            self._save(writer, definition, place, value)
            chain = _chain(writer, place)
            return _view(definition, chain, _set(writer, chain))

        return await self._store.write(change)

    async def remove(self, caller: Caller, place: Place, name: str) -> None:
        """Take the value of a scope away, so that the one above holds; nothing happens where there is none."""

        def change(writer: Writer) -> None:
            _check(writer, caller, "OPTIONS_WRITE", place)
            definition = self._definitions.get(name)
            if definition is None or place.scope not in definition.scopes:
                raise Problem(Kind.NOT_FOUND, "There is no such option at this scope.")
            _check_restricted(caller, definition)
            writer.remove(OptionValue, _at(place, name))

        await self._store.write(change)

    def _save(self, writer: Writer, definition: Definition, place: Place, value: str) -> None:
        kept = self._store.secrets.seal(value) if definition.type in SECRET else value
        old = writer.first(OptionValue, _at(place, definition.name))
        if old:
            writer.change(OptionValue, old.id, value=kept)
        else:
            writer.add(OptionValue(scope=place.scope, owner_id=place.id, name=definition.name, value=kept))


def _check(reader: Reader, caller: Caller, permission: str, place: Place) -> None:
    """Raise FORBIDDEN unless the caller holds the permission at the scope, NOT_FOUND where there is no such scope."""
    match place.scope:
        case Scope.PLATFORM:
            require(caller, permission)
        case Scope.URL:
            found(caller, permission, reader.get(Broker, place.id), "broker")
        case Scope.CUSTOMER:
            found(caller, permission, reader.get(Customer, place.id), "customer")
        case Scope.DOMAIN:
            found(caller, permission, reader.get(Domain, place.id), "domain")
        case Scope.USER:
            found(caller, permission, reader.get(User, place.id), "user")


def _check_restricted(caller: Caller, definition: Definition) -> None:
    if definition.restricted:
        require_sysadmin(caller)


def _chain(reader: Reader, place: Place) -> list[Place]:
    """Return a place and those above it, up to the platform."""
    chain = [place]
    while (scope := chain[-1].scope) in _ABOVE:
        kind, member, above = _ABOVE[scope]
        row = reader.get(kind, chain[-1].id)
        chain.append(Place(above, getattr(row, member) if row else 0))
    return [*chain, PLATFORM] if place != PLATFORM else chain


def _at(place: Place, name: str) -> Condition:
    return every(eq("scope", place.scope), eq("owner_id", place.id), eq("name", name))


def _set(reader: Reader, chain: Iterable[Place]) -> Values:
    """Return all that is set along a chain."""
    where = Any(tuple(every(eq("scope", place.scope), eq("owner_id", place.id)) for place in chain))
    rows = reader.find(OptionValue, Query(where=where)).items
    return {(Place(row.scope, row.owner_id), row.name): row.value for row in rows}


def _nearest(definition: Definition, chain: Iterable[Place], there: Values) -> str | None:
    """Return the value of the first place of a chain that has one; None where none has."""
    values = (there.get((place, definition.name)) for place in chain if place.scope in definition.scopes)
    return next((value for value in values if value is not None), None)


def _view(definition: Definition, chain: Sequence[Place], there: Values) -> OptionView:
    if definition.type in SECRET:
        return OptionView(value=None, parent_value=None, option=_shown(definition))
    parent = _nearest(definition, chain[1:], there)
    return OptionView(
        value=_nearest(definition, chain[:1], there),
        parent_value=definition.default if parent is None else parent,
        option=_shown(definition),
    )


def _shown(definition: Definition) -> OptionDef:
    return OptionDef(
        ptf_scope=Scope.PLATFORM in definition.scopes,
        url_scope=Scope.URL in definition.scopes,
        customer_scope=Scope.CUSTOMER in definition.scopes,
        domain_scope=Scope.DOMAIN in definition.scopes,
        user_scope=Scope.USER in definition.scopes,
        restricted=definition.restricted,
        group=definition.group,
        name=definition.name,
        type=definition.type,
        values=definition.values,
        description=definition.description,
    )
