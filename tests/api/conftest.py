"""The API for every test of its operations."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.house import Api, open_api


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Api]:
    """One API for all cases of a file that leave it as they found it."""
    api = open_api(tmp_path_factory.mktemp("shared") / "state")
    yield api
    await api.store.close()


@pytest.fixture
async def api(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Api]:
    api = open_api(tmp_path / "state")
    yield api
    await api.store.close()
