"""What is kept of a mail that leaves: in a mailbox of the domain on whose account it goes, where it can be found."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import House, living, queued_as
from tests.peers.sink import Sink

from gatepost.filters.score import GTUBE
from gatepost.message.compose import Party
from gatepost.model.access import Caller
from gatepost.model.address import parse_address
from gatepost.model.connection import Connection, Project
from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy, Delivery, Message
from gatepost.model.tenant import Customer, Domain, DomainAlias, User
from gatepost.services.draft import Binding, Draft
from gatepost.services.mailbox import Mailboxes
from gatepost.services.sending import Sending
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

BOB, OUTSIDE = "bob@served.example", "carol@far.example"
SYSADMIN = Caller(admin_id=1, login="root", sys_admin=True)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose domain has a second name, and may send from loopback."""
    async with living(tmp_path) as house:
        domain = house.store.reader.domain("served.example")
        assert domain is not None
        await house.add(DomainAlias(domain_id=domain.id, name="also.example"))
        await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
        await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))
        yield house


def written(author: str, text: bytes) -> bytes:
    head = f"From: {author}\r\nTo: {OUTSIDE}\r\nSubject: Hi\r\nMessage-ID: <1@x>\r\n"
    return head.encode() + b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\n\r\n" + text + b"\r\n"


@pytest.mark.parametrize(
    ("sender", "author", "mailbox"),
    [
        ("bob@served.example", "bob@served.example", "bob@served.example"),
        ("Bob@also.example", "bob@also.example", "bob@served.example"),
        ("", "Bob <bob@also.example>", "bob@served.example"),
        ("", "ann@served.example", "ann@served.example"),
    ],
)
async def test_what_leaves_is_kept_where_its_senders_people_find_it(
    house: House, sender: str, author: str, mailbox: str
) -> None:
    """Held under its recipient's address, or under another name of the domain, nobody could see it, nor release it."""
    for text in (b"Hello", GTUBE):
        reply = await house.send(written(author, text), OUTSIDE, sender=sender, role=Role.TRUSTED)
        assert reply.code == 250
    user = house.store.reader.first(User, eq("email", mailbox))  # who has the address next is not shown it
    assert {(copy.mailbox, copy.user_id, copy.folder) for copy in house.copies()} == {
        (mailbox, user.id if user else None, folder) for folder in ("Sent", "Quarantine", "Archive")
    }
    mailboxes = house.gatepost.services.of(Mailboxes)
    await mailboxes.release(SYSADMIN, mailbox, "Quarantine", queued_as(reply), virus_lover=False)
    sent, released = await house.sink.wait(2)
    assert (released.sender, released.recipients) == (sender, [OUTSIDE])
    assert sent.sender == released.sender


async def test_a_report_on_its_way_back_to_a_foreign_sender_is_kept_for_the_postmaster(house: House) -> None:
    back = house.gatepost.directory.stand_in(parse_address("ada@far.example"), "served.example")
    assert back
    reply = await house.send(written("mailer-daemon@world.example", GTUBE), back, sender="")
    held = house.copies("Quarantine")
    assert [(copy.mailbox, copy.held_for) for copy in held] == [("postmaster@served.example", ["ada@far.example"])]
    message = house.store.reader.get(Message, queued_as(reply))
    assert message is not None
    assert await house.gatepost.releases.requeue(held[0], message)
    (mail,) = await house.sink.wait(1)
    assert (mail.sender, mail.recipients) == ("", ["ada@far.example"])


@pytest.mark.parametrize(
    ("sender", "author", "by"),
    [("Bob@also.example", "bob@also.example", "bobs"), ("", "Bob <bob@served.example>", "domains")],
)
async def test_what_was_held_leaves_by_the_connection_that_its_sender_is_bound_to(
    house: House, sender: str, author: str, by: str
) -> None:
    """By the default way it would come from a server that the domain's SPF record does not name."""
    async with Sink() as domains, Sink() as bobs:
        numbers = await relays(house, domains=domains, bobs=bobs)
        domain, bob = house.store.reader.domain("served.example"), house.store.reader.first(User, eq("email", BOB))
        assert domain is not None and bob is not None
        await house.store.write(lambda writer: writer.change(Domain, domain.id, connection_id=numbers["domains"]))
        await house.store.write(lambda writer: writer.change(User, bob.id, connection_id=numbers["bobs"]))
        reply = await house.send(written(author, GTUBE), OUTSIDE, sender=sender, role=Role.TRUSTED)
        await release(house, queued_as(reply))
        (mail,) = await {"domains": domains, "bobs": bobs}[by].wait(1)
        assert (mail.sender, mail.recipients) == (sender, [OUTSIDE])


async def test_what_was_held_leaves_by_the_connection_that_it_named(house: House) -> None:
    async with Sink() as named:
        await relays(house, named=named)
        bob = house.store.reader.first(User, eq("email", BOB))
        assert bob is not None
        draft = Draft(
            to=(Party(OUTSIDE),), subject="Hi", text=GTUBE.decode(), connection=Binding(project="p", name="named")
        )
        await release(house, await house.gatepost.services.of(Sending).send(house.owner(bob), draft))
        (mail,) = await named.wait(1)
        assert mail.recipients == [OUTSIDE]


async def test_what_was_held_leaves_no_longer_by_a_connection_of_whom_its_domain_has_left(house: House) -> None:
    async with Sink() as named:
        await relays(house, named=named)
        domain, bob = house.store.reader.domain("served.example"), house.store.reader.first(User, eq("email", BOB))
        assert domain is not None and bob is not None
        binding = Binding(project="p", name="named")
        draft = Draft(to=(Party(OUTSIDE),), subject="Hi", text=GTUBE.decode(), connection=binding)
        mail_id = await house.gatepost.services.of(Sending).send(house.owner(bob), draft)
        other = await house.store.write(lambda writer: writer.add(Customer(broker_id=1, name="Other", created_at=0)))
        await house.store.write(lambda writer: writer.change(Domain, domain.id, customer_id=other.id))
        await release(house, mail_id)
        (mail,) = await house.sink.wait(1)
        assert (mail.recipients, named.mails) == ([OUTSIDE], [])


@pytest.mark.parametrize("to", [(BOB, OUTSIDE), (OUTSIDE, BOB)])
async def test_who_writes_to_himself_and_to_others_has_one_copy_held_whose_release_goes_to_all(
    house: House, to: tuple[str, str]
) -> None:
    """It went to the others alone: what he was to get was acknowledged, and lost."""
    reply = await house.send(written(BOB, GTUBE), *to, sender=BOB, role=Role.TRUSTED)
    (copy,) = house.copies("Quarantine")
    bob = house.store.reader.first(User, eq("email", BOB))
    assert bob is not None
    assert (copy.mailbox, copy.user_id, copy.held_for) == (BOB, bob.id, list(to))
    await release(house, queued_as(reply))
    mails = await house.sink.wait(2)
    assert sorted(mail.recipients for mail in mails) == [[BOB], [OUTSIDE]]
    ways = house.store.reader.find(Delivery, Query(where=eq("mail_id", copy.mail_id))).items
    assert {way.recipient: way.platform_id is None for way in ways} == {BOB: False, OUTSIDE: True}


async def test_what_an_older_version_kept_under_another_name_of_a_domain_is_still_its_senders(house: House) -> None:
    """Taken for a group's, it left by the default way, and of a failure nobody was told."""
    sender = "bob@also.example"
    async with Sink() as bobs:
        numbers = await relays(house, bobs=bobs)
        domain = house.store.reader.domain("served.example")
        assert domain is not None
        await house.store.write(lambda writer: writer.change(Domain, domain.id, connection_id=numbers["bobs"]))
        await house.send(written(sender, GTUBE), OUTSIDE, sender=sender, role=Role.TRUSTED)
        (held,) = house.copies("Quarantine")
        older = await house.store.write(lambda writer: writer.change(Copy, held.id, mailbox=sender))
        message = house.store.reader.get(Message, held.mail_id)
        assert older is not None and message is not None
        assert await house.gatepost.releases.requeue(older, message)
        await bobs.wait(1)
        (way,) = house.store.reader.find(Delivery, Query(where=eq("mail_id", held.mail_id))).items
        assert (way.sender, way.group, way.proven) == (sender, None, True)


async def relays(house: House, **sinks: Sink) -> dict[str, int]:
    """Make a connection to each sink; return their ids."""
    domain = house.store.reader.domain("served.example")
    assert domain is not None

    def make(writer: Writer) -> dict[str, int]:
        project = writer.add(Project(customer_id=domain.customer_id, name="p", created_at=0))
        fixed = {"project_id": project.id, "host": "127.0.0.1", "private": True}
        made = [writer.add(Connection(name=name, port=sink.port, **fixed)) for name, sink in sinks.items()]
        return {each.name: each.id for each in made}

    return await house.store.write(make)


async def release(house: House, mail_id: str) -> None:
    await house.gatepost.services.of(Mailboxes).release(SYSADMIN, BOB, "Quarantine", mail_id, virus_lover=False)
