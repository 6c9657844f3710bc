"""A list's entries as columns of cells: what a member's type says is found out once, values are read many at once."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from functools import partial
from itertools import product
from operator import attrgetter
from types import NoneType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from gatepost.api.ids import Ids
from gatepost.model.values import Id, Millis
from gatepost.turns import paced

C = TypeVar("C")

FEW = 32  # entries of which a column's cells are made at once: within a turn
Values = list[Any]


class Sort(Enum):
    """What the cells of a column hold, where they are not None."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    MOMENT = auto()  # epoch milliseconds


class Column(NamedTuple):
    """A column, called `name`; `read` returns its cells for some entries."""

    name: str
    sort: Sort
    read: Callable[[Sequence[Any]], Values]


def columns_of(kind: type[msgspec.Struct], ids: Ids) -> list[Column]:
    """Return the columns of a list of `kind`: of an object its name, of a list its items one after another."""
    hints = get_type_hints(kind)
    return [_column(field, hints[field.name], ids) for field in msgspec.structs.fields(kind)]


def few(entries: Sequence[Any], columns: Sequence[C]) -> Iterator[tuple[Sequence[Any], C]]:
    """Yield some entries after others, all columns of some before the next ones, giving way in between."""
    return paced(product((entries[at : at + FEW] for at in range(0, len(entries), FEW)), columns))


def _column(field: msgspec.structs.FieldInfo, hint: Any, ids: Ids) -> Column:
    sort, text = _cell(_bare(hint), ids)
    return Column(field.encode_name, sort, partial(_read, attrgetter(field.name), text))


def _read(member: Callable[[Any], Any], text: Callable[[Any], str] | None, entries: Sequence[Any]) -> Values:
    if text is None:
        return [*map(member, entries)]
    return [None if value is None else text(value) for value in map(member, entries)]


def _bare(hint: Any) -> Any:
    """Return a type without None beside it."""
    given = get_args(hint)
    if NoneType not in given:
        return hint
    (kind,) = (each for each in given if each is not NoneType)
    return kind


def _cell(kind: Any, ids: Ids) -> tuple[Sort, Callable[[Any], str] | None]:
    """Return what cells of a type hold, and how a text is made of a value; None: it is one."""
    if get_origin(kind) is list:
        each = _cell(get_args(kind)[0], ids)[1] or str
        return Sort.TEXT, lambda values: ", ".join(map(each, values))
    if issubclass(kind, Id):
        return Sort.TEXT, ids.show
    if issubclass(kind, Millis):
        return Sort.MOMENT, None
    if issubclass(kind, Enum):
        return Sort.TEXT, {word: str(word.value) for word in kind}.__getitem__
    if issubclass(kind, msgspec.Struct):
        return Sort.TEXT, attrgetter(next(name for name in ("name", "email") if name in kind.__struct_fields__))
    if issubclass(kind, bool):
        return Sort.FLAG, None
    return (Sort.TEXT if issubclass(kind, str) else Sort.NUMBER), None
