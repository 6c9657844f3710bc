"""Compiles a Query into SQL: permitted columns only, every value bound."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any as Anything

import msgspec

from gatepost.model.likeness import Likeness
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Any, Condition, Not, Op, Order, Pattern, Query, Where
from gatepost.store.schema import Column, Few, Table

_COMPARE = {Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}
_HOLDS: Condition = All(())
_NEVER: Condition = Any(())
_AT_EQUALS = {  # what comes of comparing a value with its like
    **dict.fromkeys((Op.EQ, Op.GE, Op.LE, Op.NOT_NULL), _HOLDS),
    **dict.fromkeys((Op.LT, Op.GT, Op.NULL), _NEVER),
}
_MANY = 64  # from so many values on they go in as one JSON array
_LARGEST = 2**63
_LAST = "\U0010ffff"  # sorts after every other character


class Compiled(msgspec.Struct, frozen=True):
    """A piece of SQL and the values that it binds, in order."""

    sql: str
    values: list[Anything]


class Columns:
    """The columns that a query over a table, or over tables joined, may name, each with its SQL."""

    def __init__(self, known: dict[str, tuple[Column, str]], few: Few | None = None, prefix: str = "") -> None:
        self._known = known
        self.few = few
        self.fewness = few.sql(prefix) if few else ""

    @classmethod
    @cache
    def of(cls, table: Table[Anything]) -> "Columns":
        """Permit the members of one table's struct."""
        return cls({name: (column, f'"{name}"') for name, column in table.columns.items()}, table.few)

    @classmethod
    @cache
    def of_letters(cls, copies: Table[Anything], messages: Table[Anything]) -> "Columns":
        """Permit the members of a copy (`c`) and of its mail (`m`); what the copy has of it is asked there."""
        known = {name: (column, f'm."{name}"') for name, column in messages.columns.items()}
        known |= {name: (known[name][0], f'c."{name}"') for name in copies.hidden}
        known |= {name: (column, f'c."{name}"') for name, column in copies.columns.items()}
        return cls(known, copies.few, "c.")

    def __getitem__(self, field: str) -> tuple[Column, str]:
        try:
            return self._known[field]
        except KeyError:
            raise Problem(Kind.MALFORMED, f"there is no field {field!r} to search or sort by") from None


def where(columns: Columns, condition: Condition) -> Compiled:
    """Return a condition as SQL; raise Problem(MALFORMED) for a field or value that can't be searched for."""
    values: list[Anything] = []
    sql = _condition(columns, _settled(condition, {part.field: part for part in _fixing(condition)}), values)
    if columns.few and columns.few.parts and _within(columns.few, condition):
        sql = f"({sql}) AND {columns.fewness}"  # said in the index's own words, so that it is used
    return Compiled(sql, values)


def window(columns: Columns, query: Query) -> Compiled:
    """Return the ORDER BY, LIMIT and OFFSET of a query."""
    if query.offset < 0 or (query.limit is not None and query.limit < 0):
        raise Problem(Kind.MALFORMED, "offset and limit count from 0")
    sql, values = order(columns, query), [-1 if query.limit is None else query.limit, query.offset]
    return Compiled(f"{sql} LIMIT ? OFFSET ?", [bind(value) for value in values])


def nearer(columns: Columns, query: Query, total: int) -> Compiled:
    """Return the window of a list that has `total` rows, counted from its end where that is nearer.

    What lies before a window is walked through, and kept sorted; of the rows it says which, not in what order.
    """
    limit = total - query.offset if query.limit is None else min(query.limit, total - query.offset)
    behind = total - query.offset - limit
    if query.keys or query.offset <= behind:
        return window(columns, query)
    sort = query.sort.removeprefix("-") if query.sort.startswith("-") else f"-{query.sort}"
    return window(columns, msgspec.structs.replace(query, sort=sort, offset=behind, limit=limit))


def order(columns: Columns, query: Query) -> str:
    """Return the ORDER BY; ties go by id in the same direction, so that one index serves both directions."""
    if query.keys:
        return f"ORDER BY {', '.join([*(_key(columns, each) for each in query.keys), columns['id'][1]])}"
    sort = query.sort
    way = " DESC" if sort.startswith("-") else ""
    column, sql = columns[sort.removeprefix("-")]
    ties = "" if column.name == "id" else f", {columns['id'][1]}{way}"
    return f"ORDER BY {sql}{way}{ties}"


def _key(columns: Columns, order: Order) -> str:
    column, sql = columns[order.field]
    if column.json:
        raise Problem(Kind.MALFORMED, f"the field {column.name!r} can't be sorted by")
    case = " COLLATE BINARY" if order.case and column.type == "TEXT" else ""
    return f"{sql}{case}{' DESC' if order.descending else ''} NULLS {'LAST' if order.last else 'FIRST'}"


def _condition(columns: Columns, condition: Condition, values: list[Anything]) -> str:
    match condition:
        case All(of=parts):
            return _joined(columns, parts, " AND ", "1", values)
        case Any(of=parts):
            return _joined(columns, parts, " OR ", "0", values)
        case Not(of=part):
            # Not NOT: where a member is NULL the condition does not hold either.
            return f"({_condition(columns, part, values)}) IS NOT TRUE"
        case _:
            return _where(columns, condition, values)


def _joined(columns: Columns, parts: Iterable[Condition], by: str, empty: str, values: list[Anything]) -> str:
    return by.join(f"({_condition(columns, part, values)})" for part in parts) or empty


def _where(columns: Columns, condition: Where, values: list[Anything]) -> str:
    if columns.few and _asked(columns.few, condition) == frozenset(columns.few.values):
        return columns.fewness  # asked again in other words, it would have the rows opened
    column, sql = columns[condition.field]
    op, value = condition.op, condition.value
    if column.json and op not in (Op.EQ, Op.NE, Op.NULL, Op.NOT_NULL):
        raise Problem(Kind.MALFORMED, f"the field {column.name!r} can't be searched")
    if op is Op.NULL or (op is Op.EQ and value is None):
        return f"{sql} IS NULL"
    if op is Op.NOT_NULL or (op is Op.NE and value is None):
        return f"{sql} IS NOT NULL"
    if op is Op.LIKE:
        return _like(column, sql, value, values)
    if op is Op.LIKENESS:
        return _likeness(column, sql, value, values)
    if op is Op.IN:
        return _in(column, sql, value, values)
    values.append(bind(column.dump(value) if column.dump else value))
    if op is Op.EQ:
        return f"{sql} = ?"
    if op is Op.NE:
        return f"{sql} IS NOT ?"
    return f"{sql} {_COMPARE[op]} ?"


def _in(column: Column, sql: str, value: object, values: list[Anything]) -> str:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise Problem(Kind.MALFORMED, f"{column.name!r} must be searched in a list")
    found = [bind(each) for each in value]
    if len(found) < _MANY:
        values.extend(found)
        return f"{sql} IN ({', '.join('?' * len(found))})"
    values.append(msgspec.json.encode(found).decode())
    return f"{sql} IN (SELECT value FROM json_each(?))"


def _like(column: Column, sql: str, value: object, values: list[Anything]) -> str:
    if not isinstance(value, Pattern) or column.type != "TEXT":
        raise Problem(Kind.MALFORMED, f"the field {column.name!r} can't be searched by a pattern")
    text = bind(value.text)
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = f"{'%' * value.open_start}{escaped}{'%' * value.open_end}"
    if not text.isascii():  # SQLite's LIKE folds A-Z alone
        values.append(pattern.casefold())
        return f"fold({sql}) LIKE ? ESCAPE '\\'"
    values.append(pattern)
    like = f"{sql} LIKE ? ESCAPE '\\'"
    if value.open_start or not text:
        return like
    values[-1:] = [text, text + _LAST, pattern]  # the range makes use of an index
    return f"({sql} >= ? AND {sql} <= ? AND {like})"


def _likeness(column: Column, sql: str, value: object, values: list[Anything]) -> str:
    if not isinstance(value, Likeness) or column.type != "TEXT":
        raise Problem(Kind.MALFORMED, f"the field {column.name!r} can't be searched so")
    bind(value.text)
    bind(value.other)
    values.append(msgspec.json.encode(value).decode())
    return f"likes(?, {sql})"


def bind(value: Anything) -> Anything:
    """Return a value that SQLite takes; raise Problem(MALFORMED) for one that it can't hold."""
    if isinstance(value, bool) or (isinstance(value, int) and -_LARGEST <= value < _LARGEST):
        return int(value)
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Problem(Kind.MALFORMED, "the text is no valid Unicode") from None
        if "\0" in value:  # comparing without case ends at it
            raise Problem(Kind.MALFORMED, "the text holds a NUL")
        return str(value)
    raise Problem(Kind.MALFORMED, "the value can't be searched for")


def storable(value: Anything) -> Anything:
    """Return a value fit for a column, None included; raise Problem(MALFORMED) for one that SQLite can't hold."""
    return None if value is None else bind(value)


def _fixing(condition: Condition) -> Iterator[Where]:
    """Yield the parts that give a member one value in all rows that the condition holds for."""
    if isinstance(condition, All):
        for part in condition.of:
            yield from _fixing(part)
    elif isinstance(condition, Where) and condition.op is Op.EQ and condition.value is not None:
        yield condition


def _settled(condition: Condition, fixed: dict[str, Where]) -> Condition:
    """Return a condition without what the members that have one value settle; the empty All holds, the empty Any never.

    A list goes on behind a row by its order and, among equals, by the id. Where all rows are equal the id alone is
    left, by which an index finds the place.
    """
    match condition:
        case All(of=parts) if fixed:
            return All(tuple(rest for part in parts if (rest := _settled(part, fixed)) != _HOLDS))
        case Any(of=parts) if fixed:
            left = tuple(rest for part in parts if (rest := _settled(part, fixed)) != _NEVER)
            return _HOLDS if _HOLDS in left else left[0] if len(left) == 1 else Any(left)
        case Where(field=field, op=op) if field in fixed and condition is not fixed[field] and op in _AT_EQUALS:
            one, other = fixed[field].value, condition.value
            alike = op in (Op.NULL, Op.NOT_NULL) or (type(one) is type(other) and one == other)
            return _AT_EQUALS[op] if alike else condition
    return condition


def _within(few: Few, condition: Condition) -> bool:
    """Tell whether a condition admits none but those few rows."""
    if isinstance(condition, All):
        return any(_within(few, part) for part in condition.of)
    asked = _asked(few, condition)
    return asked is not None and asked.issubset(few.values)


def _asked(few: Few, condition: Condition) -> frozenset[Anything] | None:
    """Return which values of that column a condition asks for, if that is all it does."""
    if not isinstance(condition, Where) or condition.field != few.column:
        return None
    values = condition.value if condition.op is Op.IN else [condition.value] if condition.op is Op.EQ else None
    return frozenset(values) if isinstance(values, (list, tuple, set, frozenset)) else None
