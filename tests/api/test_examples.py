"""No example of the contract is forgotten: each is replayed by a test as soon as its operation is there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.house import Api
from tests.api.replay import EXAMPLES, Replay

from gatepost.api import site

NAMES = {path.stem.partition("-")[2] for path in EXAMPLES.glob("*.json")}
OPERATIONS = {operation.name for operation in site.operations()}


def replayed() -> Iterator[str]:
    """Yield what tests hand to a `run` as its first argument, and what they are parametrized by as `operation`."""
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="run"), args=[ast.Constant(value=str(name)), *_]):
                    yield name
                case ast.Call(
                    func=ast.Attribute(attr="parametrize"),
                    args=[ast.Constant(value="operation"), ast.List(elts=names)],
                ):
                    yield from (name.value for name in names if isinstance(name, ast.Constant))


def test_there_are_63_examples() -> None:
    assert len(NAMES) == 63


def test_every_example_of_an_operation_that_is_offered_is_replayed() -> None:
    assert (NAMES & OPERATIONS) - set(replayed()) == set()


@pytest.mark.anyio
async def test_a_task_is_accepted_as_in_the_contracts_example_045(api: Api) -> None:
    domain = await api.domain("lannister.net")
    await api.user("cersei@lannister.net", domain["id"])
    await Replay(api).run("executeTask")
