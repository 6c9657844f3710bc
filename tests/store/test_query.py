"""A Query means in SQL what it means in words; names are permitted ones, values are only ever values."""

import sqlite3
from typing import Any as Anything

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.store.samples import domain, user

from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Any, Condition, Not, Op, Pattern, Query, Where, eq, every
from gatepost.model.stored import Delivery, State
from gatepost.model.tenant import Customer, Domain, User
from gatepost.store import query as compiler
from gatepost.store.connection import _fold
from gatepost.store.migrations import migrate
from gatepost.store.reader import Reader
from gatepost.store.schema import table

NAMES = ["", "a", "A", "ab", "B", "%", "_", "a%b", "a\\b", "É", "é", "été", "ÉTÉ", "x_y", "it's", '"q"', "\U0010ffff"]
NOTES = [None, "a", "Été", "100%"]


def database(items: list[Anything]) -> Reader:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.create_function("fold", 1, _fold, deterministic=True)
    migrate(connection)
    for item in items:
        known = table(type(item))
        connection.execute(known.insert, known.values(item))
    return Reader(connection, str)


CUSTOMERS = [
    Customer(id=at + 1, broker_id=at % 3, name=name, description=NOTES[at % 4], created_at=at)
    for at, name in enumerate(NAMES)
]
READER = database(CUSTOMERS)


# What the words mean, in Python.


def ascii_fold(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def holds(item: Customer, condition: Condition) -> bool:
    match condition:
        case All(of=parts):
            return all(holds(item, part) for part in parts)
        case Any(of=parts):
            return any(holds(item, part) for part in parts)
        case Not(of=part):
            return not holds(item, part)
        case Where(field=field, op=op, value=value):
            return compare(getattr(item, field), op, value)


def compare(mine: Anything, op: Op, value: Anything) -> bool:
    fold = lambda each: ascii_fold(each) if isinstance(each, str) else each  # noqa: E731
    if op is Op.NULL:
        return mine is None
    if op is Op.NOT_NULL:
        return mine is not None
    if op is Op.NE:
        return fold(mine) != fold(value)
    if mine is None:
        return op is Op.EQ and value is None
    if op is Op.LIKE:
        return like(mine, value)
    if op is Op.IN:
        return fold(mine) in [fold(each) for each in value]
    if value is None:
        return False
    mine, value = fold(mine), fold(value)
    return {Op.EQ: mine == value, Op.LT: mine < value, Op.LE: mine <= value, Op.GT: mine > value, Op.GE: mine >= value}[
        op
    ]


def like(text: str, pattern: Pattern) -> bool:
    fold = ascii_fold if pattern.text.isascii() else str.casefold
    text, wanted = fold(text), fold(pattern.text)
    if pattern.open_start and pattern.open_end:
        return wanted in text
    if pattern.open_end:
        return text.startswith(wanted)
    return text.endswith(wanted) if pattern.open_start else text == wanted


texts = st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
patterns = st.builds(Pattern, texts, st.booleans(), st.booleans())
names = st.one_of(
    st.builds(Where, st.just("name"), st.sampled_from([Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE]), texts),
    st.builds(Where, st.sampled_from(["name", "description"]), st.just(Op.LIKE), patterns),
    st.builds(Where, st.just("name"), st.just(Op.IN), st.lists(texts, max_size=80)),
)
numbers = st.one_of(
    st.builds(Where, st.just("broker_id"), st.sampled_from([Op.EQ, Op.NE, Op.LT, Op.GE]), st.integers(0, 3)),
    st.builds(Where, st.just("id"), st.just(Op.IN), st.lists(st.integers(0, 20), max_size=80)),
)
nothing = st.builds(Where, st.just("description"), st.sampled_from([Op.NULL, Op.NOT_NULL, Op.EQ, Op.NE]), st.none())
conditions = st.recursive(
    names | numbers | nothing,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Any, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


@given(conditions, st.sampled_from(["id", "-id", "name", "-broker_id"]), st.integers(0, 5), st.integers(0, 8))
@settings(max_examples=examples(200), deadline=None, derandomize=True)
def test_a_condition_finds_what_it_says(condition: Condition, sort: str, offset: int, limit: int) -> None:
    field = sort.removeprefix("-")
    key = lambda item: (ascii_fold(str(getattr(item, field))) if field == "name" else getattr(item, field), item.id)  # noqa: E731
    wanted = sorted((item for item in CUSTOMERS if holds(item, condition)), key=key, reverse=sort.startswith("-"))
    page = READER.find(Customer, Query(where=condition, sort=sort, offset=offset, limit=limit, total=True))
    assert page.items == wanted[offset : offset + limit]
    assert page.total == len(wanted) == READER.count(Customer, condition)
    assert READER.find(Customer, Query(where=condition, sort=sort)).items == wanted


INJECTIONS = [
    "' OR 1=1 --",
    "'; DROP TABLE customer; --",
    '" OR ""="',
    "%' OR '1'='1",
    "\\",
    "\\%",
    "x'; ATTACH DATABASE '/tmp/x' AS y; --",
    "?1",
    ":name",
    "NULL",
    "1) UNION SELECT * FROM admin --",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_a_value_is_text(text: str) -> None:
    reader = database(
        [Customer(broker_id=1, name=text, created_at=1), Customer(broker_id=1, name="other", created_at=1)]
    )
    for condition in (
        eq("name", text),
        Where("name", Op.IN, [text]),
        Where("name", Op.IN, [text] * 100),
        every(Where("name", Op.GE, text), Where("name", Op.LE, text)),
    ):
        assert [item.name for item in reader.find(Customer, Query(where=condition)).items] == [text]
    for pattern in (Pattern(text), Pattern(text, True, True), Pattern(text, open_end=True)):
        assert reader.count(Customer, Where("name", Op.LIKE, pattern)) == 1


@pytest.mark.parametrize("name", ["nope", "name; DROP TABLE customer", '"name"', "rowid", "1", "", "customer.name"])
def test_an_unknown_field_is_refused(name: str) -> None:
    for query in (Query(where=eq(name, 1)), Query(sort=name), Query(sort=f"-{name}")):
        with pytest.raises(Problem, match="no field") as raised:
            READER.find(Customer, query)
        assert raised.value.kind is Kind.MALFORMED


@pytest.mark.parametrize(
    "condition",
    [
        eq("name", "\ud800"),
        eq("name", "a\0b"),
        Where("name", Op.LIKE, Pattern("a\0b")),
        eq("id", 2**63),
        eq("id", -(2**63) - 1),
        eq("name", b"bytes"),
        eq("name", object()),
        Where("name", Op.IN, "text"),
        Where("name", Op.IN, [None]),
        Where("name", Op.LT, None),
        Where("name", Op.LIKE, "text"),
        Where("id", Op.LIKE, Pattern("1")),
    ],
)
def test_a_value_that_can_not_be_searched_for_is_refused(condition: Where) -> None:
    with pytest.raises(Problem) as raised:
        READER.count(Customer, condition)
    assert raised.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("window", [{"offset": -1}, {"limit": -1}, {"offset": 2**63}, {"limit": 2**64}])
def test_a_window_that_is_none_is_refused(window: dict[str, int]) -> None:
    with pytest.raises(Problem):
        READER.find(Customer, Query(**window))


def test_lists_compare_whole_and_are_not_searched_inside() -> None:
    reader = database([domain("a.test"), domain("b.test", outgoing_subnets=["10.0.0.0/24"])])

    def found(op: Op, value: object) -> list[str]:
        page = reader.find(Domain, Query(where=Where("outgoing_subnets", op, value)))
        return [item.name for item in page.items]

    assert found(Op.EQ, []) == ["a.test"]
    assert found(Op.NE, []) == ["b.test"]
    assert found(Op.EQ, ["10.0.0.0/24"]) == ["b.test"]
    assert found(Op.NOT_NULL, None) == ["a.test", "b.test"]
    with pytest.raises(Problem, match="can't be searched"):
        found(Op.LIKE, Pattern("10", open_end=True))


def test_floats_and_booleans_are_values_too() -> None:
    reader = database([user("a@in.test", sender_verify_on=False), user("b@in.test")])
    assert [item.email for item in reader.find(User, Query(where=eq("sender_verify_on", False))).items] == ["a@in.test"]
    assert reader.count(User, Where("id", Op.GT, 1.5)) == 1


LIVE_ONLY = [
    (eq("state", State.QUEUED), True),
    (Where("state", Op.IN, (State.QUEUED, State.HELD)), True),
    (every(eq("mail_id", "x"), eq("state", "held")), True),
    (eq("state", State.DELIVERED), False),
    (Where("state", Op.IN, (State.QUEUED, State.BOUNCED)), False),
    (Where("state", Op.NE, State.DELIVERED), False),
    (Where("state", Op.IN, ()), True),
    (Any((eq("state", State.QUEUED), eq("mail_id", "x"))), False),
    (Not(eq("state", State.QUEUED)), False),
    (eq("mail_id", "queued"), False),
]


@pytest.mark.parametrize(("condition", "live"), LIVE_ONLY)
def test_asking_for_live_deliveries_uses_their_index(condition: Condition, live: bool) -> None:
    found = compiler.where(compiler.Columns.of(table(Delivery)), condition)
    assert found.sql.endswith("state IN ('queued', 'held')") is live


@given(conditions)
@settings(max_examples=examples(50), deadline=None, derandomize=True)
def test_the_sql_holds_no_value(condition: Condition) -> None:
    found = compiler.where(compiler.Columns.of(table(Customer)), condition)
    assert found.sql.count("?") == len(found.values)
    for value in found.values:
        if isinstance(value, str) and len(value) > 2:
            assert value not in found.sql
    assert msgspec.json.encode(found.sql)
