"""A question to the store: conditions, order, a window; and the page that answers it."""

from enum import StrEnum
from typing import Generic, Self, TypeVar

import msgspec

T = TypeVar("T")


class Op(StrEnum):
    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    NULL = "null"  # value is ignored
    NOT_NULL = "not_null"  # value is ignored
    LIKE = "like"  # `value` is a Pattern; any case
    LIKENESS = "likeness"  # `value` is a Likeness


class Pattern(msgspec.Struct, frozen=True):
    """A text to find literally, in any case: `prefix`/`suffix` tell which ends are open (both: contains)."""

    text: str
    open_start: bool = False
    open_end: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """Read `x`, `x*`, `*x`, `*x*`; a star elsewhere is a star (semantics 2)."""
        start, end = text.startswith("*"), len(text) > 1 and text.endswith("*")
        return cls(text[start : len(text) - end], open_start=start, open_end=end)

    def fits(self, text: str) -> bool:
        """Tell whether a text is so."""
        wanted, given = self.text.casefold(), text.casefold()
        if self.open_start:
            return wanted in given if self.open_end else given.endswith(wanted)
        return given.startswith(wanted) if self.open_end else given == wanted


class Where(msgspec.Struct, frozen=True):
    """One condition on one field, named as the struct names it (snake_case)."""

    field: str
    op: Op
    value: object = None


class Any(msgspec.Struct, frozen=True):
    """At least one of the conditions holds."""

    of: tuple["Where | Any | All | Not", ...]


class All(msgspec.Struct, frozen=True):
    """Every condition holds; the empty one holds always."""

    of: tuple["Where | Any | All | Not", ...]


class Not(msgspec.Struct, frozen=True):
    """The condition does not hold."""

    of: "Where | Any | All"


Condition = Where | Any | All | Not


class Order(msgspec.Struct, frozen=True):
    """A key to sort by. Missing values come first, or last with `last`."""

    field: str
    descending: bool = False
    case: bool = False  # does case count?
    last: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to find. `sort` names a field, "-field" is descending; text sorts without case, ties by id.

    `keys` sort by several fields instead.

    `limit` None means all; `total` asks for the count of all matches before the window.
    """

    where: Condition = All(())
    sort: str = "id"
    keys: tuple[Order, ...] = ()
    offset: int = 0
    limit: int | None = None
    total: bool = False


class Page(Generic[T]):
    """The answer: the window's items, and the count of all matches where asked for."""

    def __init__(self, items: list[T], total: int | None = None) -> None:
        self.items = items
        self.total = total


def eq(field: str, value: object) -> Where:
    return Where(field, Op.EQ, value)


def every(*conditions: Condition) -> All:
    return All(conditions)
