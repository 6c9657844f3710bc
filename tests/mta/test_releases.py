"""Releases: what was held is kept until a server has taken it, and longer where none would."""

from pathlib import Path

import pytest
from tests.house import House, living, queued_as
from tests.peers.sink import Sink

from gatepost.filters.score import GTUBE
from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.query import eq, every
from gatepost.model.route import Platform, platform_route
from gatepost.model.stored import Copy, Message
from gatepost.model.tenant import Domain, Group, GroupMember, User
from gatepost.services.members import rename
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio

BOB, OUTSIDE = "bob@served.example", "carol@far.example"
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


@pytest.mark.parametrize("tried", [True, False])
async def test_what_was_released_goes_to_the_address_that_its_owner_has_by_then(tmp_path: Path, tried: bool) -> None:
    """The former one may be another's by then."""
    async with living(tmp_path, sink=Sink({"RCPT": ["451 4.3.0 later"]} if tried else {})) as house:
        queue, platform = house.gatepost.queue, house.store.reader.first(Platform, every())
        assert platform is not None
        place = platform_route(platform).destination
        if not tried:
            await queue.moves.pause(place)
        await held(house)
        assert house.sink.mails == []
        bob = house.store.reader.first(User, eq("email", BOB))
        assert bob is not None

        def move(writer: Writer) -> None:
            writer.change(User, bob.id, email="rob@served.example")
            rename(writer, bob, "rob@served.example")

        await house.store.write(move)
        await queue.moves.resume(place)
        await queue.moves.flush()
        (mail,) = await house.sink.wait(1)
        assert mail.recipients == ["rob@served.example"]
        await queue.idle()


@pytest.mark.parametrize("team", [False, True])
async def test_what_leaves_with_the_null_sender_stays_where_its_release_fails(tmp_path: Path, team: bool) -> None:
    """Nobody can be told of it: the end of its term was the end of the mail, be it its author's or a group's."""
    async with living(tmp_path, sink=Sink({"RCPT": "550 5.2.0 no"})) as house:
        domain = house.store.reader.domain("served.example")
        assert domain is not None
        to = OUTSIDE
        if team:
            to = "team@served.example"
            group = await house.store.write(lambda writer: writer.add(Group(domain_id=domain.id, email=to)))
            await house.add(GroupMember(group_id=group.id, email=OUTSIDE))
        else:
            await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
        await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True, archive=False))
        receipt = SPAM if team else SPAM.replace(b"ada@world.example", BOB.encode())
        role = Role.MX if team else Role.TRUSTED
        mail_id = queued_as(await house.send(receipt, to, sender="", role=role))
        (copy,) = house.copies()
        assert (copy.mailbox, copy.held_for) == (to if team else BOB, [OUTSIDE])
        message = house.store.reader.get(Message, mail_id)
        assert message is not None
        house.clock.now = copy.expires_at
        assert await house.gatepost.releases.requeue(copy, message)
        await house.gatepost.queue.idle()
        (kept,) = house.copies()
        days = house.gatepost.settings.quarantine.system_days
        assert (kept.id, kept.expires_at) == (copy.id, house.clock.now + days * DAY)
        assert "dropped" not in [event.event for event in house.trace(mail_id)]
