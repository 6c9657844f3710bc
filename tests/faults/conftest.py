"""What the fault tests share: a furnished store to copy, and a house whose process may be killed."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.faults.killer import House, furnish
from tests.peers.sink import Sink


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("furnished") / "state"
    asyncio.run(furnish(directory, 9))
    return directory


@pytest.fixture
async def house(furnished: Path, tmp_path: Path) -> AsyncIterator[House]:
    shutil.copytree(furnished, tmp_path / "state")
    async with Sink() as sink:
        yield House(tmp_path / "state", sink)
