"""sqlite3 keeps one table of adapters for the whole process, in which others may have written theirs."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.store.connection import connect

_EMBEDDING = """
import sqlite3
sqlite3.register_adapter(bool, lambda value: "yes" if value else "no")
import gatepost.store.sqlite
print(*sqlite3.connect(":memory:").execute("SELECT ?, ?, ?", (True, None, b"x")).fetchone())
"""


@pytest.mark.parametrize("value", [None, True, False, b"", b"\0x"])
def test_each_type_has_an_adapter_that_changes_nothing(tmp_path: Path, value: object) -> None:
    nothing = object()
    assert sqlite3.adapt(value, sqlite3.PrepareProtocol, nothing) == value
    connection = connect(tmp_path / "one.db", reading=False)
    assert connection.execute("SELECT ?", (value,)).fetchone() == (value,)
    connection.close()


def test_what_an_embedding_program_registered_stays() -> None:
    told = subprocess.run([sys.executable, "-c", _EMBEDDING], capture_output=True, text=True, check=True)
    assert told.stdout == "yes None b'x'\n"
