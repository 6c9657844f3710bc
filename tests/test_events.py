"""Background loops that end are told of."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gatepost.events import keep

pytestmark = pytest.mark.anyio


async def test_a_loop_that_ends_by_itself_is_told_of_and_a_stopped_one_is_not() -> None:
    async def fails() -> None:
        raise OSError("of its own making")

    with capture_logs() as logs:
        failing = keep(fails(), "failing")
        waiting = keep(asyncio.Event().wait(), "waiting")  # type: ignore[arg-type]
        await asyncio.wait([failing])
        waiting.cancel()
        await asyncio.wait([waiting])
    assert [(line["event"], line["loop"]) for line in logs] == [("a background loop ended", "failing")]
