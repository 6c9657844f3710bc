"""What an answer is written to: as few packets as there can be, and nothing held back."""

import asyncio

import pytest

from gatepost.api.outlet import SMALL, Outlet

pytestmark = pytest.mark.anyio


class Wire(asyncio.Transport):
    """Keeps each packet."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.packets.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def outlet(wire: Wire) -> Outlet:
    return Outlet(wire, asyncio.get_running_loop())


async def test_a_head_and_its_body_leave_in_one_packet(wire: Wire, outlet: Outlet) -> None:
    outlet.write(b"head ")
    outlet.write(b"body")
    assert wire.packets == [b"head body"]
    await asyncio.sleep(0)
    assert wire.packets == [b"head body"]


async def test_a_head_whose_body_comes_later_does_not_wait_for_it(wire: Wire, outlet: Outlet) -> None:
    outlet.write(b"head")
    await asyncio.sleep(0)
    assert wire.packets == [b"head"]
    outlet.write(b"event")
    outlet.flush()
    assert wire.packets == [b"head", b"event"]


async def test_a_large_piece_is_not_copied_unless_something_stands_before_it(wire: Wire, outlet: Outlet) -> None:
    outlet.write(bytes(SMALL))
    assert [len(packet) for packet in wire.packets] == [SMALL]


async def test_what_waits_is_written_before_the_end_and_nothing_after_it(wire: Wire, outlet: Outlet) -> None:
    outlet.write(b"last")
    outlet.close()
    assert wire.packets == [b"last"]
    assert outlet.is_closing()


async def test_what_waits_is_forgotten_where_the_connection_is_gone(wire: Wire, outlet: Outlet) -> None:
    outlet.write(b"too late")
    wire.close()
    await asyncio.sleep(0)
    assert wire.packets == []
