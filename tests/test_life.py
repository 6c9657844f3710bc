"""A mail's life, end to end: accepted over SMTP, judged, kept, delivered, released; nothing mocked."""

import asyncio
import base64
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from email.message import EmailMessage
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from tests.house import NOW, House, living, queued_as
from tests.peers.sink import Act, Sink

from gatepost.model.access import Admin, Token
from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.query import All, Query
from gatepost.model.rules import (
    AttachmentAction,
    AttachmentRule,
    CheckType,
    SenderRule,
    SenderType,
    UriAction,
    UriRule,
)
from gatepost.model.stored import Message
from gatepost.model.tenant import Group, GroupMember, User
from gatepost.services.access import Access, digest
from gatepost.services.setup import set_up
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
EICAR = base64.b64decode("WDVPIVAlQEFQWzRcUFpYNTQoUF4pN0NDKTd9JEVJQ0FSLVNUQU5EQVJELUFOVElWSVJVUy1URVNULUZJTEUhJEgrSCo=")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as house:
        yield house


def mail(text: str = "Hello Bob", *, subject: str = "Hi", attach: tuple[str, bytes] | None = None) -> bytes:
    made = EmailMessage()
    made["From"] = "Ada <ada@world.example>"
    made["To"] = "bob@served.example"
    made["Subject"] = subject
    made["Date"] = "Fri, 20 Nov 2026 09:00:00 +0000"
    made["Message-ID"] = "<one@world.example>"
    made.set_content(text)
    if attach:
        made.add_attachment(attach[1], "application", "octet-stream", filename=attach[0])
    return made.as_bytes().replace(b"\n", b"\r\n")


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


async def rule(house: House, kind: type, **fields: object) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    await house.add(kind(domain_id=domain.id, created_date=NOW, **fields))


async def test_a_clean_mail_reaches_the_next_hop_byte_for_byte(house: House) -> None:
    """Threats 3, 25; rules 35."""
    raw = mail("Hello\n..\n.\nbye")
    reply = await house.send(raw, "bob@served.example")
    assert reply.code == 250
    (got,) = await house.sink.wait(1)
    mail_id = queued_as(reply)
    head, _, rest = got.data.partition(b"From: Ada")
    assert b"From: Ada" + rest == raw
    assert f"X-Gatepost-Id: {mail_id}".encode() in head
    assert f"X-Fuglu-Id: {mail_id}".encode() in head
    assert head.startswith(b"Authentication-Results: gate.example;")
    assert b"\r\nReceived: from client.example " in head
    assert (got.sender, got.recipients) == ("ada@world.example", ["bob@served.example"])
    assert {copy.folder for copy in house.copies()} == {"INBOX", "Archive"}


async def test_the_trace_tells_the_whole_life(house: House) -> None:
    reply = await house.send(mail(), "bob@served.example")
    await house.sink.wait(1)
    await house.gatepost.queue.idle()
    events = [event.event for event in house.trace(queued_as(reply))]
    assert events[0] == "received"
    assert {"scanned", "verdict", "kept", "queued"} <= set(events)


async def test_a_blocked_sender_is_refused_and_says_why(house: House) -> None:
    await rule(house, SenderRule, owner="served.example", value="world.example", type=SenderType.BLOCK)
    reply = await house.send(mail(), "bob@served.example")
    assert (reply.code, reply.message.split()[0]) == (550, "5.7.1")
    events = house.trace(queued_as(reply))
    verdict = next(event for event in events if event.event == "verdict")
    assert verdict.data["category"] == "BLOCKED"
    assert house.copies() == []


async def test_gtube_is_held_and_released_without_the_tag_and_once(house: House) -> None:
    """Contract A65."""
    raw = mail(GTUBE)
    reply = await house.send(raw, "bob@served.example")
    assert reply.code == 250
    (held,) = house.copies("Quarantine")
    assert (held.category, held.mailbox) == ("SPAM", "bob@served.example")
    message = house.store.reader.get(Message, held.mail_id)
    assert message is not None
    house.sink.script["banner"] = ["421 4.3.2 not yet"]
    assert await house.gatepost.releases.requeue(held, message) is True
    assert await house.gatepost.releases.requeue(held, message) is False
    await house.gatepost.queue.idle()
    await house.gatepost.queue.moves.flush()
    (got,) = await house.sink.wait(1)
    assert got.data.endswith(raw)
    assert len(house.sink.mails) == 1
    assert house.copies("Quarantine")[0].released_at is not None
    events = [(event.event, event.mailbox) for event in house.trace(held.mail_id)]
    assert events.count(("released", "bob@served.example")) == 1


async def test_an_infected_mail_is_refused_for_the_policy_does_not_keep_it(house: House) -> None:
    reply = await house.send(mail(attach=("eicar.com", EICAR)), "bob@served.example")
    assert (reply.code, reply.message.split()[0]) == (554, "5.7.0")


async def test_an_infected_archive_member_is_found(house: House) -> None:
    reply = await house.send(mail(attach=("a.zip", zipped("x/eicar.com", EICAR))), "bob@served.example")
    assert reply.code == 554


async def test_a_forbidden_name_in_a_zip_is_held(house: House) -> None:
    await rule(
        house,
        AttachmentRule,
        action=AttachmentAction.DENY,
        check_type=CheckType.ARCHIVE_FILENAME,
        filter=r"\.exe$",
        priority=1,
    )
    reply = await house.send(mail(attach=("invoice.zip", zipped("run.exe", b"MZ"))), "bob@served.example")
    assert reply.code == 250
    (held,) = house.copies("Quarantine")
    assert held.category == "BAD_ATTACHMENT"
    assert "run.exe" in held.reason


async def test_a_blocked_host_in_a_link_makes_spam(house: House) -> None:
    await rule(house, UriRule, action=UriAction.BLACKLIST_URI_HOST, filter="bad.example", priority=1)
    await house.send(mail("see https://www.bad.example/x"), "bob@served.example")
    (held,) = house.copies("Quarantine")
    assert held.category == "SPAM" and held.score is not None and held.score >= 100


async def test_recipients_with_unlike_verdicts_are_each_treated_by_their_own(house: House) -> None:
    """Rules 2: a refused minority copy is held, never dropped."""
    user = await house.user("eve@served.example")
    blocked = {"owner": "eve@served.example", "value": "ada@world.example", "type": SenderType.BLOCK}
    await rule(house, SenderRule, user_id=user.id, **blocked)
    reply = await house.send(mail(), "bob@served.example", "eve@served.example")
    assert reply.code == 250
    (got,) = await house.sink.wait(1)
    assert got.recipients == ["bob@served.example"]
    (held,) = house.copies("System")
    assert (held.mailbox, held.category) == ("eve@served.example", "BLOCKED")
    assert held.expires_at == held.stored_at + 31 * 86_400_000


async def test_a_large_mail_is_spooled_and_arrives_whole(house: House) -> None:
    raw = mail(attach=("data.bin", bytes(range(256)) * 8000))
    reply = await house.send(raw, "bob@served.example")
    assert reply.code == 250
    (got,) = await house.sink.wait(1)
    assert got.data.endswith(raw)


async def test_a_mail_over_the_policys_limit_is_refused(house: House) -> None:
    """Threat 10, rules 3."""
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, mail_size_limit=1))
    raw = mail(attach=("data.bin", b"x" * 1_000_000))
    reply = await house.send(raw, "bob@served.example")
    assert (reply.code, reply.message.split()[0]) == (552, "5.3.4")
    assert house.copies() == []
    assert house.sink.mails == []


async def test_an_account_is_made_at_the_first_clean_mail(tmp_path: Path) -> None:
    """Rules 7."""
    async with living(tmp_path) as house:
        await house.domain("new.example", hop=("127.0.0.1", house.sink.port), auto_provisioning_on=True)
        assert (await house.send(mail(GTUBE), "carol@new.example")).code == 250
        assert house.store.reader.count(User, All(())) == 1
        assert (await house.send(mail(), "carol@new.example")).code == 250
        await house.sink.wait(1)
        emails = {user.email for user in house.store.reader.find(User, Query()).items}
        assert emails == {"bob@served.example", "carol@new.example"}


async def test_a_clock_that_is_set_back_does_not_keep_accounts_from_being_made_86(tmp_path: Path) -> None:
    async with living(tmp_path, limits={"provisioned_per_hour": 1}) as house:
        await house.domain("new.example", hop=("127.0.0.1", house.sink.port), auto_provisioning_on=True)
        for name in ("one", "two"):
            assert (await house.send(mail(), f"{name}@new.example")).code == 250
        house.clock.now -= 86_400_000
        assert (await house.send(mail(), "three@new.example")).code == 250
        made = [user.email for user in house.store.reader.find(User, Query()).items if "new" in user.email]
        assert made == ["one@new.example", "three@new.example"]


async def test_the_use_of_a_token_that_is_not_written_yet_outlives_a_stop(tmp_path: Path) -> None:
    async with living(tmp_path) as house:
        row = Token(admin_id=(await house.store.write(_admin)).id, name="t", digest=digest("a" * 32), created_at=NOW)
        made = await house.store.write(lambda writer: writer.add(row))
        await house.gatepost.services.of(Access).caller("a" * 32, "192.0.2.1")
        used = house.clock()
    async with living(tmp_path) as house:
        kept = house.store.reader.get(Token, made.id)
        assert kept and kept.last_use == used


def _admin(writer: Writer) -> Admin:
    return writer.add(Admin(login="arya", created_at=NOW))


async def test_an_unknown_address_is_refused_by_the_platforms_word(tmp_path: Path) -> None:
    sink = Sink({"RCPT <nobody@served.example>": "550 5.1.1 no such user"})
    async with living(tmp_path, sink=sink) as house:
        reply = await house.send(mail(), "nobody@served.example")
        assert (reply.code, reply.message.split()[0]) == (550, "5.1.1")


async def test_a_groups_outside_member_gets_clean_mail_from_an_address_of_ours(house: House) -> None:
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    made = await house.add(Group(domain_id=domain.id, email="team@served.example"))
    assert isinstance(made, Group)
    for member in ("bob@served.example", "out@far.example"):
        await house.add(GroupMember(group_id=made.id, email=member))
    assert (await house.send(mail(), "team@served.example")).code == 250
    got = {each.recipients[0]: each.sender for each in await house.sink.wait(2)}
    assert got["bob@served.example"] == "ada@world.example"
    assert got["out@far.example"].startswith("SRS0=")
    assert got["out@far.example"].endswith("@served.example")


async def test_outgoing_mail_must_be_from_the_domain_in_from_too(house: House) -> None:
    """Rules 10."""
    await house.domain("out.example", outgoing_subnets=["127.0.0.0/24"], policy={"outgoing": True})
    raw = mail().replace(b"ada@world.example>\r\nTo", b"me@out.example>\r\nTo")
    reply = await house.send(raw, "ada@far.example", sender="me@out.example", role=Role.TRUSTED)
    assert reply.code == 250
    (got,) = await house.sink.wait(1)
    assert got.recipients == ["ada@far.example"]
    reply = await house.send(mail(), "ada@far.example", sender="me@out.example", role=Role.TRUSTED)
    assert reply.code == 550
    kept = [copy.mailbox for copy in house.copies("Sent")]
    assert kept == ["me@out.example"]


async def test_a_report_leaves_for_a_domain_that_names_its_network_and_for_no_other(house: House) -> None:
    """Rules 10: the domain's own server returns mail, with the null sender."""
    report = mail().replace(b"ada@world.example>\r\nTo", b"MAILER-DAEMON@out.example>\r\nTo")
    refused = await house.send(report, "ada@far.example", sender="", role=Role.TRUSTED)
    assert (refused.code, refused.message.split()[0]) == (550, "5.7.1")
    await house.domain("out.example", outgoing_subnets=["127.0.0.0/24"], policy={"outgoing": True})
    assert (await house.send(report, "ada@far.example", sender="", role=Role.TRUSTED)).code == 250
    (got,) = await house.sink.wait(1)
    assert (got.sender, got.recipients) == ("", ["ada@far.example"])
    assert (await house.send(mail(), "ada@far.example", sender="", role=Role.TRUSTED)).code == 550
    assert (await house.send(report, "ada@far.example", sender="", role=Role.MX)).code == 550


@pytest.mark.parametrize(
    ("host", "code"), [("mx.out.example", 250), ("mx.in.out.example", 550), ("mx.out.example.far.example", 550)]
)
async def test_a_report_may_come_in_the_name_of_the_domains_mail_server(house: House, host: str, code: int) -> None:
    """Exim, sendmail and OpenSMTPD write MAILER-DAEMON@ and their host's name, unless they are told another."""
    await house.domain("out.example", outgoing_subnets=["127.0.0.0/24"], policy={"outgoing": True})
    await house.domain("in.out.example")  # somebody else's
    report = mail().replace(b"ada@world.example>\r\nTo", b"MAILER-DAEMON@%s>\r\nTo" % host.encode())
    assert (await house.send(report, "ada@far.example", sender="", role=Role.TRUSTED)).code == code


async def test_only_a_report_comes_in_the_name_of_a_host(house: House) -> None:
    """Rules 10: MAIL FROM and From are in the domain that names the network."""
    await house.domain("out.example", outgoing_subnets=["127.0.0.0/24"], policy={"outgoing": True})
    written = mail().replace(b"ada@world.example>\r\nTo", b"root@mx.out.example>\r\nTo")
    reply = await house.send(written, "ada@far.example", sender="me@out.example", role=Role.TRUSTED)
    assert reply.code == 550


async def test_what_was_accepted_outlives_a_restart(tmp_path: Path) -> None:
    """Threats 77, 89: accepted while the next hop is down, delivered by the next start."""
    sink = Sink()
    async with living(tmp_path, sink=sink) as house:
        sink.script["banner"] = ["421 4.3.2 later"] * 3
        assert (await house.send(mail(), "bob@served.example")).code == 250
    sink.script.clear()
    async with living(tmp_path, sink=sink) as house:
        await house.gatepost.queue.moves.flush()
        await house.sink.wait(1)


async def test_a_stop_is_clean_though_there_can_be_no_further_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async with living(tmp_path) as house:
        state = house.store.path
        monkeypatch.setattr("threading.Thread.start", exhausted)
        await house.gatepost.stop()
        monkeypatch.undo()
        assert not (state / "gatepost.db-wal").exists()
    async with living(tmp_path):
        assert (state / "gatepost.db-wal").exists()


async def test_bytes_that_nobody_needs_any_more_go(tmp_path: Path) -> None:
    async with living(tmp_path) as house:
        bare = {"quarantine": False, "retention": False, "archive": False}
        await house.domain("bare.example", hop=("127.0.0.1", house.sink.port), policy=bare)
        await house.user("x@bare.example")
        reply = await house.send(mail(), "x@bare.example")
        await house.sink.wait(1)
        await house.gatepost.queue.idle()
        assert house.store.reader.body(queued_as(reply)) is None
        assert house.trace(queued_as(reply))


async def test_a_stop_keeps_to_its_time_however_many_hang(tmp_path: Path) -> None:
    """Threat 89: one time for all rooms, not one for each."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        sections = {"http": {"listen": ["127.0.0.1:0"] * 6}, "limits": {"shutdown": 1.5}}
        house = await stack.enter_async_context(living(tmp_path, sink=Sink({"dot": Act.HANG}), **sections))
        port = house.port
        assert (await house.send(mail(), "bob@served.example")).code == 250  # hangs at the next hop
        await house.sink.until(lambda: "DATA" in house.sink.commands)
        token = set_up(house.store, house.clock, hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)).token
        for url in house.gatepost.urls:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            head = f"POST /domains HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            more = b"Content-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
            writer.write(head.encode() + more)
            assert (await reader.readline()).startswith(b"HTTP/1.1 100")  # it waits for the body
            stack.callback(writer.close)
        _, sender = await asyncio.open_connection("127.0.0.1", house.port)
        stack.callback(sender.close)
        sender.write(b"HELO x\r\n")
        began = loop.time()
        stop = asyncio.create_task(house.gatepost.stop())
        newcomer, his = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(his.close)
        assert await newcomer.readline() == b"421 4.3.2 shutting down; try later\r\n"  # the API's doors still wait
        await stop
        assert loop.time() - began < 6.0
