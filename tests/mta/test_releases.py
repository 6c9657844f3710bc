"""Releases: what was held is kept until a server has taken it, and longer where none would."""

from pathlib import Path

import pytest
from tests.house import House, living, queued_as
from tests.peers.sink import Sink

from gatepost.filters.score import GTUBE
from gatepost.model.query import eq
from gatepost.model.stored import Copy, Message
from gatepost.model.tenant import User

pytestmark = pytest.mark.anyio

BOB = "bob@served.example"
DAY = 86_400_000
SPAM = (
    b"From: ada@world.example\r\nTo: bob@served.example\r\nSubject: Hi\r\nMessage-ID: <1@x>\r\n"
    b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\n\r\n" + GTUBE + b"\r\n"
)


async def held(house: House) -> Copy:
    """Have a mail held for bob, whose policy archives nothing, and release it; return the copy as it was."""
    domain, bob = house.store.reader.domain("served.example"), house.store.reader.first(User, eq("email", BOB))
    assert domain is not None and bob is not None
    policy = await house.policy(domain, archive=False)
    await house.store.write(lambda writer: writer.change(User, bob.id, policy_id=policy.id))
    mail_id = queued_as(await house.send(SPAM, BOB))
    (copy,) = house.copies()
    message = house.store.reader.get(Message, mail_id)
    assert message is not None
    assert await house.gatepost.releases.requeue(copy, message)
    await house.gatepost.queue.idle()
    return copy


async def purge(house: House, now: int) -> None:
    await house.store.write(lambda writer: writer.purge(now))


async def test_a_copy_stays_beyond_its_term_until_a_server_has_what_was_released(tmp_path: Path) -> None:
    async with living(tmp_path, sink=Sink({"RCPT": ["451 4.3.0 later"]})) as house:
        copy = await held(house)
        await purge(house, copy.expires_at)
        assert [each.id for each in house.copies()] == [copy.id]
        await house.gatepost.queue.moves.flush()
        await house.sink.wait(1)
        await house.gatepost.queue.idle()
        await purge(house, copy.expires_at)
        assert house.copies() == []


async def test_what_no_server_takes_though_it_was_released_stays_in_its_folder_for_people_to_see(
    tmp_path: Path,
) -> None:
    """Rules 8: its sender can't be told, so the end of its term would be the end of the mail, without a word."""
    async with living(tmp_path, sink=Sink({"RCPT": ["451 4.3.0 later", "550 5.2.0 no"]})) as house:
        copy = await held(house)
        house.clock.now = copy.expires_at
        await purge(house, house.clock.now)
        await house.gatepost.queue.moves.flush()
        await house.gatepost.queue.idle()
        await purge(house, house.clock.now)
        (kept,) = house.copies()
        days = house.gatepost.settings.quarantine.system_days
        assert (kept.id, kept.folder, kept.expires_at) == (copy.id, "Quarantine", house.clock.now + days * DAY)
        await purge(house, kept.expires_at)
        assert house.copies() == []
