"""The sweep has the whole store checked once a day, by the clock that never leaps."""

from pathlib import Path

import pytest
from tests.house import StillClock, open_store
from tests.store.test_opening import damage_index, filled

from gatepost.events import Metrics
from gatepost.mta.sweep import CHECK, Sweep

pytestmark = pytest.mark.anyio


async def test_damage_is_found_when_a_day_is_over_and_not_before(tmp_path: Path) -> None:
    """Rules 24."""
    directory = tmp_path / "state"
    filled(directory)
    damage_index(directory)
    store = open_store(directory, StillClock())
    ticks = [0.0]
    sweep = Sweep(store, period=1e9, audit_days=1, clock=StillClock(), metrics=Metrics(), monotonic=lambda: ticks[0])
    ticks[0] = CHECK - 1
    await sweep.check()
    assert store.healthy
    ticks[0] = CHECK
    await sweep.check()
    assert not store.healthy
    await store.close()
