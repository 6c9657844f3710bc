"""The matrix of rights (threats 107, 108): every operation x role x own, foreign and parent object, from rights.csv.

A row is `operation,path,body` and a cell for each role. A cell holds the statuses expected for an object that is the
role's own, a foreign one (another broker's) and one of the node above it that is not his (the neighbour's), such as
`200 403 403`; one status alone where the request names no object. Names in <> stand for the object (matrix.Spot.names).
Everybody else than sysadmins is told the same of a foreign object and of one that is missing; that is tried too.

An operation without a row fails. To add one, write its `operation,path,body` with empty cells, run

    python -m tests.api.test_matrix

which fills empty cells with what happens now, and read every cell of the row before you keep it: the table says what
must be, not what is.
"""

import asyncio
import csv
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.api.house import open_api
from tests.api.matrix import ROLES, TABLE, WHERE, World, operations, rows

pytestmark = pytest.mark.anyio

OPERATIONS = operations()
ROWS = rows()
SETTINGS = {
    "dns": {"servers": ["127.0.0.1:9"], "timeout": 0.05},
    "relay": {"private_platforms": "everyone"},
}


async def open_world(directory: Path) -> World:
    world = World(open_api(directory, **SETTINGS))
    await world.build()
    return world


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[World]:
    world = await open_world(tmp_path_factory.mktemp("matrix") / "state")
    yield world
    await world.close()


def about(row: dict[str, str]) -> tuple[str, ...]:
    """Return which objects a request can be about: one of each sort, or none."""
    return WHERE if "<" in row["path"] + row["body"] else ("own",)


def test_every_operation_has_its_row_and_every_row_its_operation() -> None:
    assert ROWS.keys() == OPERATIONS.keys()


def test_each_row_is_whole() -> None:
    """Its request is the operation's, and no cell is unstated."""
    for name, row in ROWS.items():
        shape = re.sub(r"\\{\w+\\}", "[^/?]+", re.escape(OPERATIONS[name].path))
        assert re.fullmatch(rf"{shape}(\?.*)?", row["path"]), name
        for role in ROLES:
            assert re.fullmatch(r"[1-5]\d\d( [1-5]\d\d)*", row[role]), (name, role)
            assert len(row[role].split()) == len(about(row)), (name, role)


@pytest.mark.parametrize("name", ROWS)
async def test_each_role_gets_what_the_table_says_and_of_a_missing_object_the_same_as_of_a_foreign_one_threat_107(
    world: World, name: str
) -> None:
    row, found = ROWS[name], {}
    for role in ROLES:
        answers = {where: await world.ask(OPERATIONS[name], row, role, where) for where in about(row)}
        found[role] = " ".join(str(answer.status_code) for answer in answers.values())
        if "foreign" in answers and role != ROLES[0]:
            missing = await world.ask(OPERATIONS[name], row, role, "missing")
            assert _told(missing) == _told(answers["foreign"]), role
    assert found == {role: row[role] for role in ROLES}


def _told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, _words(answer)


def _words(answer: httpx2.Response) -> str:
    """Return what an answer says, without the path that it speaks of."""
    native = answer.content and answer.headers["content-type"] == "application/json" and answer.json()
    return native["message"] if isinstance(native, dict) and "message" in native else answer.text


async def test_nobody_is_let_in_without_a_token_threat_105(world: World) -> None:
    world.tokens["stranger"] = "f" * 32
    for name, row in ROWS.items():
        path = row["path"].replace("<", "").replace(">", "")
        answer = await world.api.ask(OPERATIONS[name].method, path, token=None)
        assert answer.status_code == 401, name


BOUND = [
    name
    for name, item in OPERATIONS.items()
    if item.method in ("POST", "PUT", "PATCH") and item.permission and not item.others
]


@pytest.mark.parametrize(
    ("name", "role", "where"),
    [
        *((name, "nobody", "own") for name in BOUND),
        ("learnMail", "domain", "foreign"),
        ("judgeMail", "user", "foreign"),
    ],
)
async def test_a_body_is_not_read_of_who_has_no_right(world: World, name: str, role: str, where: str) -> None:
    read = False

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"{}"

    answer = await world.ask(OPERATIONS[name], ROWS[name], role, where, pieces=pieces())
    assert (answer.status_code, read) == (403, False)


async def fill() -> None:
    """Put what happens now into the empty cells of the table."""
    with tempfile.TemporaryDirectory() as directory:
        world = await open_world(Path(directory) / "state")
        for name, row in ROWS.items():
            for role in ROLES:
                if not row[role]:
                    answers = [await world.ask(OPERATIONS[name], row, role, where) for where in about(row)]
                    row[role] = " ".join(str(answer.status_code) for answer in answers)
        await world.close()
    with TABLE.open("w", newline="") as file:
        table = csv.DictWriter(file, ["operation", "path", "body", *ROLES], lineterminator="\n")
        table.writeheader()
        table.writerows(ROWS[name] for name in sorted(ROWS, key=lambda name: (ROWS[name]["path"], name)))
    sys.stdout.write("".join(f"no row: {name}\n" for name in OPERATIONS.keys() - ROWS.keys()))


if __name__ == "__main__":
    asyncio.run(fill())
