"""Members of the API's objects on a command line: MEMBER=VALUE, those of parts as PART.MEMBER."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import click
import msgspec
from msgspec import inspect

from gatepost.cli.failure import Failure
from gatepost.cli.output import clean
from gatepost.cli.toml import toml_value
from gatepost.model.meant import meant

members_argument = click.argument("given", metavar="MEMBER=VALUE...", nargs=-1)

_PLAIN = (inspect.BoolType, inspect.IntType, inspect.FloatType)
_WORDS = (inspect.StrType, inspect.EnumType, inspect.CustomType)


def change(
    kind: type[msgspec.Struct],
    given: Iterable[str],
    but: frozenset[str] = frozenset(),
    elsewhere: Mapping[str, type[msgspec.Struct]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the partial change that the pairs ask for; raise Failure for a member that `kind` has not, or `but` names.

    What is no number, true or false is taken as it stands; lists are separated by commas. `elsewhere` are commands
    that change members of another kind, for whoever looks for those here.
    """
    known = {name: read for name, read in _members(inspect.type_info(kind)) if name not in but}
    body: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or name not in known:
            raise Failure(_unknown(pair, name, known, elsewhere), os.EX_USAGE)
        *part, member = name.split(".")
        into = body.setdefault(part[0], {}) if part else body
        try:
            into[member] = known[name](text)
        except msgspec.DecodeError as error:
            raise Failure(f"{pair!r}: a number, true or false is needed", os.EX_USAGE) from error
    return body


def require_members(kind: type[msgspec.Struct], names: Iterable[str]) -> None:
    """Raise Failure for a name that no member of `kind` has."""
    known = dict(_members(inspect.type_info(kind)))
    for name in names:
        if name not in known:
            raise Failure(f"there is no {name!r}{_choice(name, known)}", os.EX_DATAERR)


def show_members(item: Mapping[str, Any]) -> None:
    """Print an object, one `member = value` a line; what it has not is an empty text."""
    for name, value in _flat(item):
        click.echo(clean(f"{name} = {toml_value('' if value is None else value)}"))


def _unknown(pair: str, name: str, known: Iterable[str], elsewhere: Mapping[str, type[msgspec.Struct]]) -> str:
    for command, kind in elsewhere.items():
        if name in dict(_members(inspect.type_info(kind))):
            return f"{name!r} is changed by `gatepost {command}`"
    return f"{pair!r} is no MEMBER=VALUE{_choice(name, known)}"


def _choice(name: str, known: Iterable[str]) -> str:
    return meant(name, known) or f"; there are {', '.join(known)}"


def _members(info: inspect.Type, before: str = "") -> Iterator[tuple[str, Callable[[str], Any]]]:
    for field in info.fields if isinstance(info, inspect.StructType) else ():
        kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        name = before + field.encode_name
        for each in kinds:
            if isinstance(each, inspect.StructType):
                yield from _members(each, f"{name}.")
            elif isinstance(each, _PLAIN):
                yield name, _plain
            elif isinstance(each, _WORDS):
                yield name, str
            elif isinstance(each, inspect.ListType) and isinstance(each.item_type, _WORDS):
                yield name, _list


def _plain(text: str) -> bool | float:
    return msgspec.json.decode(text, type=bool | int | float)


def _list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _flat(item: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in item.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value
