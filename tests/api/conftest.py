"""The API for every test of its operations."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.house import Api, open_api


@pytest.fixture
async def api(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Api]:
    api = open_api(tmp_path / "state")
    yield api
    await api.store.close()
