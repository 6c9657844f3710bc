"""The description of the API: held against the contract, against what is served, and against random requests."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from tests.api.house import Api

from gatepost.api import site
from gatepost.api.openapi import describe

CONTRACT = Path(__file__).parent.parent / "contract"
METHODS = {"get", "put", "post", "patch", "delete"}
pytestmark = pytest.mark.anyio


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


OURS = operations(describe(each for each in site.operations() if not each.local))
DIALECTS = {each.name: each.dialect.name for each in site.operations()}
COVERAGE = list(csv.DictReader((CONTRACT / "coverage.csv").open(newline="")))
ROWS = {row["operationId"]: row for row in COVERAGE if row["api"] == "cleanmail"}


def row_of(name: str) -> dict[str, str] | None:
    """The contract's row of an operation; those of other dialects are known by their place."""
    method, path, _ = OURS[name]
    if DIALECTS[name] == "native":
        return ROWS.get(name)
    rows = (row for row in COVERAGE if row["api"] == DIALECTS[name])
    return next((row for row in rows if (row["method"], row["path"]) == (method, path)), None)


def test_every_operation_is_the_contracts_or_marked_as_an_addition() -> None:
    known = {(row["method"], row["path"]) for row in ROWS.values()}
    for name, (method, path, operation) in OURS.items():
        row = row_of(name)
        assert operation.get("x-gatepost-addition", False) is (row is None), name
        if row is not None:
            assert (method, path) == (row["method"], row["path"])
            assert row["success_status"] in operation["responses"], name
            assert set(row["error_statuses"].split()) <= set(operation["responses"]), name
        else:
            assert (method, path) not in known


def test_a_dialect_that_is_spoken_is_spoken_whole() -> None:
    found = {(DIALECTS[name], method, path) for name, (method, path, _) in OURS.items()}
    wanted = {(row["api"], row["method"], row["path"]) for row in COVERAGE if row["api"] in DIALECTS.values()}
    assert wanted <= found


@pytest.mark.parametrize("section", ["5.3", "5.4", "5.8", "5.9", "5.10", "5.12", "5.13", "5.15"])
def test_the_sections_of_this_issue_are_whole(section: str) -> None:
    wanted = {name for name, row in ROWS.items() if row["section"].rpartition(".")[0] == section}
    assert wanted <= set(OURS)


def test_every_operation_says_what_it_does_and_what_it_needs() -> None:
    for name, (_, path, operation) in OURS.items():
        assert operation["summary"].endswith((".", ";")), name
        assert len(operation["summary"]) > 10, name
        own = path.startswith(("/version", "/admins", "/account/", "/options", "/roles")) or "/tokens" in path
        assert own or "x-permission" in operation or operation.get("security") == [], name
        declared = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert declared == re.findall(r"(?<=/)\{(\w+)\}(?=/|$)", path), name


async def test_the_description_is_served_without_a_token_and_its_schemas_are_sound(api: Api) -> None:
    document = (await api.ask("GET", "/openapi.json", token=None)).json()
    assert document["openapi"] == "3.1.0"
    assert operations(document).keys() == OURS.keys()
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


def test_generators_of_clients_find_a_class_for_each_schema_and_a_type_for_each_array() -> None:
    document = describe(each for each in site.operations() if not each.local)
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if not name.isidentifier()] == []
    arrays = {name: list(untyped(schema)) for name, schema in schemas.items()}
    assert {name: found for name, found in arrays.items() if found} == {}


def untyped(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from untyped(item)
    elif isinstance(value, dict):
        if value.get("type") == "array" and "items" not in value:
            yield value
        for item in value.values():
            yield from untyped(item)


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(references, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(references, value.values()))
