"""77: killed while an account's mail is moved to its new address, none of it stays where the next holder finds it."""

import sqlite3
from contextlib import closing

import pytest
from tests.faults import mails
from tests.faults.killer import House
from tests.house import StillClock, open_store
from tests.store.samples import DAY, copy, event, message

from gatepost.events import wall_clock
from gatepost.model.envelope import Body
from gatepost.store.writer import Writer

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

COPIES = 2000  # ten slices


def keep(writer: Writer) -> None:
    now = wall_clock()
    copies = [copy(1, mailbox=mails.BOB, stored_at=now, expires_at=now + DAY)] * COPIES
    writer.keep(message(1), Body(5, b"mail\n"), copies, [], [event(at=now)], now + DAY)


@pytest.fixture
async def laden(house: House) -> House:
    """A house whose bob has more mail than one write moves."""
    store = open_store(house.directory, StillClock(wall_clock()), spool_cut=mails.CUT)
    await store.write(keep)
    await store.close()
    return house


def database(house: House) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(house.directory / "gatepost.db", check_same_thread=False))


def mailboxes(house: House) -> dict[str, int]:
    with database(house) as connection:
        return dict(connection.execute("SELECT mailbox, count(*) FROM copy GROUP BY mailbox"))


async def compare(house: House) -> None:
    """Restart, and hold what is there against the address that bob has by now."""
    assert await house.walk([["moved"]]) == 0
    with database(house) as connection:
        (bob,) = connection.execute("SELECT email FROM user WHERE email IN (?, ?)", (mails.BOB, mails.ROB)).fetchone()
    assert mailboxes(house) == {bob: COPIES}
    assert house.flaws() == []


async def test_77_killed_while_mail_is_moved_it_goes_on_after_the_restart(laden: House) -> None:
    with database(laden) as connection:
        under_way = "SELECT count(*) FROM relocation"
        await laden.walk([["rename"]], at=lambda: connection.execute(under_way).fetchone() == (1,))
    await compare(laden)
    assert set(mailboxes(laden)) == {mails.ROB}


@pytest.mark.parametrize("number", [60, 180, 300])
async def test_77_killed_at_a_write_while_mail_is_moved_it_leaves_none_behind(laden: House, number: int) -> None:
    assert await laden.walk([["rename"]], inject=f"pwrite64:signal=SIGKILL:when={number}") == -9
    await compare(laden)
