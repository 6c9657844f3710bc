"""The whole site, pages and API, for tests of the pages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.conftest import api
from tests.web.browser import Place, opened

__all__ = ["api"]


@pytest.fixture
async def place(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Place]:
    async with opened(tmp_path) as place:
        yield place
