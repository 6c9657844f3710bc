"""A store in a temporary directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ready import lay_store
from tests.store.samples import open_store

from gatepost.store.store import Store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    lay_store(directory)
    opened = open_store(directory)
    yield opened
    opened.close_sync()
