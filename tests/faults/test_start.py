"""82, 92: what `gatepost serve` says and does where its store can't be used."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.faults.daemon import Served

PAGE = 8_192


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


def spoil(served: Served, page: int) -> Path:
    database = served.state / "gatepost.db"
    with database.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(b"\x5a" * PAGE)
    return database


def test_82_a_damaged_database_is_refused_with_its_name_and_a_code(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    database = spoil(served, 1)
    before = database.read_bytes()
    assert served.run("serve") == os.EX_DATAERR
    said = capsys.readouterr().err
    assert str(database) in said and "damaged" in said and "Traceback" not in said
    assert database.read_bytes() == before, "what may be rescued was written to"


@pytest.mark.parametrize(
    ("index", "why"), [("delivery_by2", "the queue is taken up"), ("body_spooled", "the spool is put in order")]
)
def test_82_damage_that_is_met_while_the_store_is_taken_up_is_refused_no_less(
    served: Served, capsys: pytest.CaptureFixture[str], index: str, why: str
) -> None:
    database = served.state / "gatepost.db"
    with closing(sqlite3.connect(database)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (index,)).fetchone()
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\x5a" * size)
    assert served.run("serve") == os.EX_DATAERR, why
    said = capsys.readouterr().err
    assert f"{database}: the database is damaged" in said and "Traceback" not in said


def test_82_a_text_that_is_none_any_more_is_damage(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """SQLite's own check passes over it."""
    database = served.state / "gatepost.db"
    values = "printf('%032d', 1), CAST(x'62ff40' AS TEXT), '', 0, 0, 0"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(
            f"INSERT INTO delivery (mail_id, recipient, sender, due, expires, created) VALUES ({values})"
        )
    assert served.run("serve") == os.EX_DATAERR
    said = capsys.readouterr().err
    assert f"{database}: the database is damaged" in said and "Traceback" not in said


def test_82_a_database_that_is_none_is_refused(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    database = spoil(served, 0)
    assert served.run("serve") == os.EX_DATAERR
    assert str(database) in capsys.readouterr().err


def test_92_no_secret_stands_among_the_arguments_or_in_the_log(served: Served) -> None:
    served.start()
    assert served.ask("GET", "/domains").status == 200
    assert served.token not in Path(f"/proc/{served.pid}/cmdline").read_text()
    assert served.token not in served.log_text()
