"""Filters, order and windows of lists beside a naive model: any text, pattern, order, page (threats 125, 126)."""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.api.house import NOW, Api, open_api
from tests.examples import examples

from gatepost.model.tenant import Domain, Language
from gatepost.store.writer import Writer

ALPHABET = "aAbBzZ09%_*\\'\"[]^-.,;é É ßΣσς\u0130ı\U0001f511"
TEXTS = st.text(ALPHABET, max_size=4)
COUNT = 40
SORTS = ("name", "description", "externalId", "creationDate", "id")


class Listed:
    """An API with domains whose texts were drawn once, and a loop to ask it in."""

    def __init__(self, runner: asyncio.Runner, api: Api) -> None:
        self.runner = runner
        self.api = api
        self.rows: list[Domain] = []

    def fill(self, texts: list[tuple[str, str]]) -> None:
        def add(writer: Writer) -> list[Domain]:
            return [
                writer.add(
                    Domain(
                        customer_id=1,
                        name=f"d{number * 7 % COUNT}.example",
                        description=description or None,
                        external_id=external or None,
                        default_language=Language.EN,
                        creation_date=NOW + number % 3,
                    )
                )
                for number, (description, external) in enumerate(texts)
            ]

        self.rows = self.runner.run(self.api.store.write(add))

    def ask(self, query: dict[str, Any]) -> tuple[list[Any], int]:
        answer = self.runner.run(self.api.ask("GET", f"/domains?{urlencode(query)}"))
        assert answer.status_code == 200, answer.text
        return answer.json(), int(answer.headers["x-total-count"])


def texts(number: int) -> tuple[str, str]:
    """Texts that are alike but for case, signs and letters beyond ASCII."""
    some = [
        "",
        "a",
        "A",
        "ab",
        "aB*",
        "a%b",
        "a_b",
        "\\",
        "é",
        "É",
        "ÉA",
        "ß",
        "Σ",
        "ς",
        "0",
        "*",
        "a'b",
        '"',
        "z",
        "Z",
    ]
    return some[number % len(some)], some[number * 3 % len(some)] + some[number * 7 % len(some)]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listed]:
    with asyncio.Runner() as runner:

        async def make() -> Api:
            return open_api(tmp_path_factory.mktemp("lists") / "state")

        listed = Listed(runner, runner.run(make()))
        listed.fill([texts(number) for number in range(COUNT)])
        yield listed
        runner.run(listed.api.store.close())


def fits(value: str | None, given: str) -> bool:
    """Tell whether a text matches a filter, in any case; a star counts at the ends alone."""
    if value is None:
        return False
    start, end = given.startswith("*"), len(given) > 1 and given.endswith("*")
    inner = given[start : len(given) - end]
    text, wanted = (value.casefold(), inner.casefold()) if not inner.isascii() else (lower(value), lower(inner))
    if start and end:
        return wanted in text
    return text.endswith(wanted) if start else text.startswith(wanted) if end else text == wanted


def lower(text: str) -> str:
    """ASCII letters in lower case: how the store compares and sorts."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def key(row: Domain, sort: str) -> tuple[Any, ...]:
    value = {
        "name": row.name,
        "description": row.description,
        "externalId": row.external_id,
        "creationDate": row.creation_date,
        "id": row.id,
    }[sort]
    shown = lower(value).encode() if isinstance(value, str) else value
    return (value is not None, shown if value is not None else 0, row.id)


ORDERS = st.builds(lambda way, sort: way + sort, st.sampled_from(["", "-"]), st.sampled_from(SORTS))
WHOLE = settings(
    max_examples=examples(300), deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@WHOLE
@given(
    wanted=st.builds(
        lambda start, text, end: start + text + end, st.sampled_from(["", "*"]), TEXTS, st.sampled_from("* ")
    ),
    sort=ORDERS,
    offset=st.integers(0, COUNT + 5),
    size=st.integers(1, COUNT + 5),
)
@example(wanted="*", sort="name", offset=0, size=COUNT)
@example(wanted="**", sort="-externalId", offset=3, size=5)
@example(wanted="", sort="externalId", offset=0, size=COUNT)
def test_a_list_is_what_a_naive_reader_finds(listed: Listed, wanted: str, sort: str, offset: int, size: int) -> None:
    wanted = wanted.rstrip(" ")
    matching = [row for row in listed.rows if fits(row.external_id, wanted)]
    matching.sort(key=lambda row: key(row, sort.removeprefix("-")), reverse=sort.startswith("-"))
    items, total = listed.ask({"externalId": wanted, "sort": sort, "offset": offset, "pageSize": size})
    assert total == len(matching)
    assert [each["name"] for each in items] == [row.name for row in matching[offset : offset + size]]


@settings(WHOLE, max_examples=examples(60))
@given(sort=ORDERS, size=st.integers(1, 15))
def test_pages_laid_end_to_end_are_the_whole_list_once(listed: Listed, sort: str, size: int) -> None:
    laid: list[Any] = []
    while page := listed.ask({"sort": sort, "offset": len(laid), "pageSize": size})[0]:
        laid += page
    assert [each["id"] for each in laid] == [each["id"] for each in listed.ask({"sort": sort, "pageSize": 1000})[0]]
    assert len({each["id"] for each in laid}) == COUNT
