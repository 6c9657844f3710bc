"""A Gatepost inside another program: several at once, stopped and started again, and a start that fails."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.ready import lay_store

from gatepost.app import Gatepost
from gatepost.settings import Http, Settings, SettingsError

pytestmark = pytest.mark.anyio

Make = Callable[..., Gatepost]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(name: str, *, http: str = "127.0.0.1:0", smtp: str = "127.0.0.1:0") -> Gatepost:
        lay_store(tmp_path / name)
        sections = {
            "store": {"directory": str(tmp_path / name)},
            "http": {"listen": [http]},
            "smtp": {"hostname": "gate.example", "listener": [{"listen": smtp}]},
        }
        return Gatepost(msgspec.convert(sections, Settings))

    return made


def smtp_port(gatepost: Gatepost) -> int:
    return gatepost.listeners.addresses[0][2]


async def test_two_in_one_process_have_nothing_in_common(make: Make) -> None:
    async with make("one") as one, make("other") as other:
        assert smtp_port(one) != smtp_port(other)
        assert one.urls != other.urls
        assert (one.metrics.registry, one.store) != (other.metrics.registry, other.store)


async def test_one_that_was_stopped_tells_of_no_address_and_starts_again(make: Make) -> None:
    gatepost = make("store")
    await gatepost.stop()  # it never ran: nothing to do
    for _ in range(2):
        await gatepost.start()
        assert len(gatepost.urls) == 1
        await gatepost.stop()
        assert gatepost.urls == []
        assert gatepost.listeners.addresses == []
    await gatepost.stop()


async def test_a_certificate_that_cannot_be_read_is_an_error_of_the_settings(make: Make) -> None:
    gatepost = make("store")
    gatepost.settings = msgspec.structs.replace(gatepost.settings, http=Http(certificate="none.pem"))
    with pytest.raises(SettingsError, match=r"http: certificate 'none\.pem' with key ''"):
        await gatepost.start()


async def test_a_second_start_is_refused_and_harms_nothing(make: Make) -> None:
    async with make("store") as gatepost:
        with pytest.raises(RuntimeError, match="started already"):
            await gatepost.start()
        _, writer = await asyncio.open_connection("127.0.0.1", smtp_port(gatepost))
        writer.close()


@pytest.mark.parametrize("door", ["http", "smtp"])
async def test_a_start_that_finds_a_port_taken_leaves_nothing_open_and_may_be_tried_again(
    make: Make, door: str
) -> None:
    async with make("first") as first:
        port = first.urls[0].rpartition(":")[2] if door == "http" else smtp_port(first)
        late = make("late", **{door: f"127.0.0.1:{port}"})
        tasks = asyncio.all_tasks()
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: Address already in use"):
            await late.start()
        assert asyncio.all_tasks() == tasks
    await late.start()
    await late.stop()
