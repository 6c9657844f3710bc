"""What a session does with its client: the mail that it hands on, the answer after DATA, and where patience ends."""

import asyncio
import errno
import gc
import socket
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.smtp.front import PASSWORD, Front, Talk, front

from gatepost.model.envelope import Direction
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import Group, GroupMember
from gatepost.model.verdict import Category
from gatepost.mta.intake import Answer, Receipt
from gatepost.smtp.connection import Connection
from gatepost.smtp.listener import serve
from gatepost.smtp.throttle import Share
from gatepost.smtp.wire import BUFFER

pytestmark = pytest.mark.anyio
MAIL = b"Subject: x\r\n\r\nx\r\n.\r\n"


async def refused(opened: Front, answer: Receipt | Exception) -> str:
    opened.keeper.answer = answer
    return await (await opened.hello()).mail(MAIL)


# The mail that it hands on.


async def test_the_envelope_tells_what_the_client_said(tmp_path: Path) -> None:
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<Ada@World.Example> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q+2B1")
        await talk.ask("RCPT TO:<BOB@ours.example> NOTIFY=DELAY,FAILURE ORCPT=rfc822;bob@ours.example")
        await talk.ask("RCPT TO:<carol@ours.example>")
        await talk.ask("RCPT TO:<bob@ours.example>")
        await talk.ask("DATA")
        await talk.send(MAIL)
        assert await talk.reply() == f"250 2.0.0 Ok: queued as {1:032x}"
        ((envelope, data),) = opened.mails
        assert data == b"Subject: x\r\n\r\nx\r\n"
        assert envelope.sender is not None and envelope.sender.text == "Ada@world.example"
        assert (envelope.eightbit, envelope.smtputf8, envelope.direction) == (True, True, Direction.IN)
        assert (envelope.dsn.ret, envelope.dsn.envid) == ("HDRS", "q+2B1")
        assert envelope.received == opened.world.clock.now
        bob, carol = envelope.recipients
        assert (bob.given.text, bob.dsn.notify, bob.dsn.orcpt) == (
            "BOB@ours.example",
            {"DELAY", "FAILURE"},
            "rfc822;bob@ours.example",
        )
        assert (carol.dsn.notify, carol.dsn.ret) == (frozenset(), "HDRS")
        client = envelope.client
        assert (client.ip, client.helo, client.esmtp, client.tls, client.login) == (
            "127.0.0.1",
            "client.example",
            True,
            None,
            None,
        )


async def test_many_mails_go_through_one_session(tmp_path: Path) -> None:
    async with front(tmp_path, limits={"junk_commands": 3}) as opened:
        talk = await opened.hello()
        for _ in range(10):
            assert (await talk.mail(MAIL)).startswith("250 ")
            assert (await talk.ask("RSET")).startswith("250 ")
        assert len(opened.mails) == 10


async def test_octets_arrive_as_they_were_sent(tmp_path: Path) -> None:
    """Threats 18, 25: dots, eight bits, an empty body, and a body beyond the spool's cut."""
    bodies = [
        b"",
        b"\r\n",
        b".\r\n..\r\n...\r\n",
        bytes(octet for octet in range(1, 256) if octet not in (10, 13)) + b"\r\n",
        b"Subject: big\r\n\r\n" + b".line\r\n" * 100_000,
    ]
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        for body in bodies:
            wire = body.replace(b"\r\n.", b"\r\n..")
            assert (await talk.mail((b"." + wire if wire.startswith(b".") else wire) + b".\r\n")).startswith("250 ")
            assert opened.mails[-1][1] == body


async def test_a_trusted_listener_sends_mail_out(tmp_path: Path) -> None:
    """Rules 10: the client's network is one of the sender's domain."""
    async with front(tmp_path, listeners=[{"role": "trusted"}]) as opened:
        talk = await opened.hello()
        await talk.begin("<bob@ours.example>", "<ada@world.example>")
        await talk.send(MAIL)
        assert (await talk.reply()).startswith("250 ")
        assert opened.mails[0][0].direction is Direction.OUT
        await talk.begin("<eve@world.example>", "<bob@ours.example>")
        await talk.send(MAIL)
        assert (await talk.reply()).startswith("250 ")
        assert opened.mails[1][0].direction is Direction.IN


async def test_recipients_with_unlike_policies_can_be_kept_apart(tmp_path: Path) -> None:
    """Rules 2, the option `split_policies`."""
    async with front(tmp_path, smtp={"split_policies": True}) as opened:
        await opened.world.domain("second.example")
        await opened.world.user("dan@second.example")
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<>")
        assert (await talk.ask("RCPT TO:<bob@ours.example>")).startswith("250 ")
        assert (await talk.ask("RCPT TO:<dan@second.example>")).startswith("452 4.5.3 ")
        assert (await talk.ask("RCPT TO:<carol@ours.example>")).startswith("250 ")


async def test_a_group_counts_with_all_its_members(tmp_path: Path) -> None:
    """Threat 40: it fits into a mail of its own, not behind others."""
    async with front(tmp_path, limits={"recipients": 2}) as opened:
        group = await opened.world.add(Group(domain_id=1, email="staff@ours.example"))
        assert isinstance(group, Group)
        for name in ("bob", "carol", "postmaster"):
            await opened.world.add(GroupMember(group_id=group.id, email=f"{name}@ours.example"))
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<>")
        await talk.ask("RCPT TO:<o'neil@ours.example>")
        assert (await talk.ask("RCPT TO:<staff@ours.example>")).startswith("452 4.5.3 ")
        await talk.ask("RSET")
        await talk.begin("<>", "<staff@ours.example>")
        await talk.send(MAIL)
        assert (await talk.reply()).startswith("250 ")
        (envelope, _) = opened.mails[0]
        assert len(envelope.recipients) == 3
        assert {recipient.given.text for recipient in envelope.recipients} == {"staff@ours.example"}


async def test_ten_wrong_passwords_are_enough_for_one_address(tmp_path: Path) -> None:
    """Threat 26: over sessions, and a right one is refused too until the time is over."""
    wrong, right = (b64encode(f"\0bob@ours.example\0{word}".encode()).decode() for word in ("wrong word", PASSWORD))
    async with front(tmp_path, certificate=True, listeners=[{"role": "submission", "tls": "implicit"}]) as opened:

        async def sign_in(response: str) -> str:
            talk = await opened.connect()
            assert opened.authority is not None
            await talk.cover(opened.authority)
            await talk.hello()
            said = await talk.ask(f"AUTH PLAIN {response}")
            await talk.close()
            return said

        assert {(await sign_in(wrong))[:9] for _ in range(10)} == {"535 5.7.8"}
        assert (await sign_in(right)).startswith("454 4.7.0 ")
        opened.world.clock.now += 600_001
        assert (await sign_in(right)).startswith("235 2.7.0 ")


async def test_an_address_that_nobody_can_speak_for_is_to_be_tried_again(tmp_path: Path) -> None:
    """Rules 7."""
    async with front(tmp_path) as opened:
        opened.silent.add("maybe@ours.example")
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<>")
        assert (await talk.ask("RCPT TO:<maybe@ours.example>")).startswith("451 4.4.1 ")


# The answer after DATA.


async def test_the_verdict_is_the_answer(tmp_path: Path) -> None:
    async with front(tmp_path) as opened:
        reject = Receipt("", Answer.REJECTED, Category.VIRUS, "Eicar found")
        assert await refused(opened, reject) == f"554 5.7.0 Eicar found id={1:032x}"
        defer = Receipt("", Answer.DEFERRED, Category.CLEAN, "a filter gave no answer")
        assert await refused(opened, defer) == f"451 4.7.1 a filter gave no answer id={2:032x}"
        opened.keeper.mails.clear()
        assert await refused(opened, Problem(Kind.FULL, "no space")) == "452 4.3.1 no space"
        assert await refused(opened, Problem(Kind.UNAVAILABLE, "the store is down")) == "451 4.3.0 the store is down"
        assert opened.mails == []
        assert opened.count("gatepost_smtp_rejected_total", code="554") == 1


async def test_an_error_of_our_own_defers_and_the_session_goes_on(tmp_path: Path) -> None:
    async with front(tmp_path) as opened:
        opened.keeper.answer = ZeroDivisionError("a bug")
        talk = await opened.hello()
        with capture_logs() as logs:
            assert await talk.mail(MAIL) == "451 4.3.0 local error; try later"
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["session failed"]
        opened.keeper.answer = TimeoutError()
        assert (await talk.mail(MAIL)).startswith("451 4.3.0 ")
        opened.keeper.answer = None
        assert (await talk.mail(MAIL)).startswith("250 ")


async def test_no_space_is_said_before_the_data(tmp_path: Path) -> None:
    """Threat 79, and mail is taken again once there is room."""
    async with front(tmp_path) as opened:
        opened.keeper.full = True
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<>")
        await talk.ask("RCPT TO:<bob@ours.example>")
        assert (await talk.ask("DATA")).startswith("452 4.3.1 ")
        opened.keeper.full = False
        assert (await talk.ask("DATA")).startswith("354 ")


async def test_an_unhealthy_store_takes_neither_sessions_nor_mail(tmp_path: Path) -> None:
    """Threat 80."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        opened.healthy = False
        assert (await talk.ask("MAIL FROM:<>")).startswith("451 4.3.0 ")
        newcomer = await opened.connect()
        assert (await newcomer.reply()).startswith("421 4.3.2 ")
        assert await newcomer.rest() == b""
        opened.healthy = True
        assert (await talk.ask("MAIL FROM:<>")).startswith("250 ")


# Clients that leave.


async def test_a_client_that_drops_within_data_leaves_nothing(tmp_path: Path) -> None:
    """Threat 28."""
    async with front(tmp_path, store={"spool_cut": 10}) as opened:
        talk = await opened.hello()
        await talk.begin()
        await talk.send(b"Subject: half of it\r\n\r\n")
        talk.writer.transport.abort()
        await emptied(opened)
        assert opened.mails == []
        assert list((tmp_path / "state/spool/tmp").iterdir()) == []


async def test_a_client_that_closes_its_half_within_data_leaves_nothing(tmp_path: Path) -> None:
    """Threat 28."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        await talk.begin()
        await talk.send(b"Subject: half of it\r\n\r\n.\r")
        talk.writer.write_eof()
        assert await talk.rest() == b""
        assert opened.mails == []


async def test_a_client_that_drops_after_the_dot_has_its_mail_kept_once(tmp_path: Path) -> None:
    """Threat 28: what the house has begun to keep it keeps whole."""
    async with front(tmp_path) as opened:
        opened.keeper.wait = asyncio.Event()
        talk = await opened.hello()
        await talk.begin()
        await talk.send(MAIL)
        await opened.keeper.began.wait()
        talk.writer.transport.abort()
        await asyncio.sleep(0)
        opened.keeper.wait.set()
        await emptied(opened)
        assert len(opened.mails) == 1


async def test_a_client_that_says_all_and_closes_its_half_is_answered(tmp_path: Path) -> None:
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        await talk.begin()
        await talk.send(MAIL + b"QUIT\r\n")
        talk.writer.write_eof()
        said = await talk.rest()
        assert said.startswith(b"250 2.0.0 Ok: queued") and said.endswith(b"221 2.0.0 Bye\r\n")


async def test_a_client_that_resets_its_connection_leaves_no_error_that_nobody_looks_at(tmp_path: Path) -> None:
    """Threat 28: asyncio complains of a future that is collected with an error which nobody has asked it for."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        (session,) = opened.listeners.sessions
        reset(talk)
        await emptied(opened)
        error = session.reader.exception()
        assert isinstance(error, ConnectionResetError)
        assert not [each for each in gc.get_referrers(error) if isinstance(each, asyncio.Future)]


def reset(talk: Talk) -> None:
    """End a connection as a crash does."""
    sock = talk.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.writer.transport.abort()


@pytest.mark.parametrize(
    "listener", [{"proxy_protocol_from": ["127.0.0.1"]}, {"tls": "implicit"}], ids=["before its PROXY header", "in TLS"]
)
async def test_a_client_that_leaves_before_it_is_greeted_is_no_error(tmp_path: Path, listener: dict[str, Any]) -> None:
    """Threat 28: asyncio tells of a task that failed and nobody asked, with all its frames."""
    async with front(tmp_path, certificate=True, listeners=[listener], limits={"idle": 0.3}) as opened:
        begun: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        ((_, door),) = opened.listeners._doors

        async def watched(session: Connection) -> None:
            begun.set_result(session)
            await serve(session)

        door.serve = watched
        talk = await opened.connect()
        session = await begun
        if door.implicit:
            assert await talk.rest() == b""  # its patience ends while TLS is being made
        else:
            reset(talk)
        assert session.task is not None
        await session.task
        assert opened.listeners.sessions == []


async def emptied(opened: Front) -> None:
    """Wait until no session is open."""
    tasks = [session.task for session in opened.listeners.sessions if session.task]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=60)
        assert not late


# Where patience ends.


async def until_421(talk: Talk, line: str, most: int) -> int:
    """Repeat a command until it is answered 421; return how often it was answered otherwise."""
    for count in range(most):
        said = await talk.ask(line)
        if said.startswith("421 "):
            assert await talk.rest() == b""
            return count
    raise AssertionError(f"no 421 after {most} times {line}")


async def test_twenty_errors_are_enough(tmp_path: Path) -> None:
    """Threat 13."""
    async with front(tmp_path) as opened:
        assert await until_421(await opened.hello(), "FROBNICATE", 30) == 20


GROUPS = {
    "no recipient is taken now": ("MAIL FROM:<>\r\nRCPT TO:<bob@soon.example>\r\nDATA\r\n", "250 450 503"),
    "no recipient is taken at all": ("MAIL FROM:<>\r\nRCPT TO:<bob@far.example>\r\nDATA\r\n", "250 550 503"),
    "the sender is refused": (
        "MAIL FROM:<> X=1\r\n" + "RCPT TO:<bob@ours.example>\r\n" * 2 + "DATA\r\n",
        "555 503 503 503",
    ),
}


@pytest.mark.parametrize("case", GROUPS)
async def test_what_is_sent_along_with_a_refused_command_is_no_error(tmp_path: Path, case: str) -> None:
    """RFC 2920 3.1: who sends DATA along does not know yet that nobody is taken; Postfix always does."""
    group, codes = GROUPS[case]
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        with capture_logs() as logs:
            for _ in range(18):
                await talk.send(group.encode())
                assert " ".join([(await talk.reply())[:3] for _ in codes.split()]) == codes
                assert (await talk.ask("RSET")).startswith("250 ")
        assert [entry["command"] for entry in logs if entry["event"] == "refused"] == [
            "MAIL" if codes[0] == "5" else "RCPT"
        ] * 18
        assert opened.count("gatepost_smtp_rejected_total", code="503") == 18 * codes.count("503")
        assert await talk.mail(MAIL) == f"250 2.0.0 Ok: queued as {1:032x}"


async def test_a_command_out_of_turn_is_an_error_though_another_was_refused_before(tmp_path: Path) -> None:
    async with front(tmp_path) as opened:
        assert await until_421(await opened.hello(), "RCPT TO:<bob@ours.example>", 30) == 20
        talk = await opened.hello()
        assert (await talk.ask("MAIL FROM:<> X=1")).startswith("555 ")
        assert await until_421(talk, "RCPT TO:<bob@ours.example>", 130) == 101 + 19
        talk = await opened.hello()
        assert (await talk.ask("MAIL FROM:<> X=1")).startswith("555 ")
        assert await until_421(talk, "DATA", 30) == 1 + 19


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY bob", "HELP"])
async def test_a_hundred_idle_commands_are_enough(tmp_path: Path, command: str) -> None:
    """Threats 13, F4."""
    async with front(tmp_path) as opened:
        assert await until_421(await opened.hello(), command, 120) == 100


async def test_who_asks_for_many_unknown_recipients_is_cut_off_and_slowed(tmp_path: Path) -> None:
    """Threat 39."""
    async with front(tmp_path, limits={"unknown_recipients": 3}) as opened:
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<>")
        assert await until_421(talk, "RCPT TO:<nobody@ours.example>", 10) == 3
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<>")
        began = asyncio.get_running_loop().time()
        assert (await talk.ask("RCPT TO:<nobody@ours.example>")).startswith("550 5.1.1 ")
        assert asyncio.get_running_loop().time() - began >= 0.9


async def test_commands_sent_in_bulk_end_with_421_not_with_a_reset(tmp_path: Path) -> None:
    """Threat 13: the last word is heard although most of what was sent was never read."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        await talk.send(b"FROBNICATE\r\n" * 20_000)
        said = await talk.rest()
        assert said.count(b"500 5.5.1 ") == 20
        assert said.splitlines()[-1] == b"421 4.7.0 too many errors; closing"


async def test_what_is_sent_in_bulk_while_the_house_works_is_read_to_its_end(tmp_path: Path) -> None:
    """Threat 13: so much is held then that no more is read, and the rest would end in a reset."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        opened.keeper.wait = asyncio.Event()
        await talk.begin()
        (session,) = opened.listeners.sessions
        sending = asyncio.create_task(talk.send(MAIL, b"FROBNICATE\r\n" * 400_000))
        await opened.keeper.began.wait()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert len(session.reader.pending) > 2 * BUFFER
        opened.keeper.wait.set()
        await sending
        assert (await talk.rest()).splitlines()[-1] == b"421 4.7.0 too many errors; closing"


async def test_who_says_nothing_is_told_to_go(tmp_path: Path) -> None:
    """Threat 15: octets that make no command don't count."""
    async with front(tmp_path, limits={"idle": 1.0}) as opened:
        talk = await opened.hello()
        for _ in range(3):
            await talk.send(b"N")
            await asyncio.sleep(0.2)
        assert (await talk.reply()).startswith("421 4.4.2 idle")
        assert await talk.rest() == b""


async def test_a_session_ends_one_day(tmp_path: Path) -> None:
    """Threats 15, F4: however busy it is with nothing."""
    async with front(tmp_path, limits={"session": 0.2, "junk_commands": 1_000_000}) as opened:
        talk = await opened.connect()
        said = await talk.reply()
        while said.startswith("2"):
            said = await talk.ask("NOOP")
        assert said == "421 4.4.2 this session lasts too long; closing"


async def test_data_that_drips_is_cut_off(tmp_path: Path) -> None:
    """Threat 15."""
    async with front(tmp_path, window=0.2, limits={"min_data_rate": 500}) as opened:
        talk = await opened.hello()
        await talk.begin()
        await talk.send(b"Subject: slowly\r\n")
        assert (await talk.reply()).startswith("421 4.4.2 data")
        assert await talk.rest() == b""
        await emptied(opened)
        assert opened.mails == []


async def test_a_slow_but_steady_sender_finishes(tmp_path: Path) -> None:
    """Threat 15: longer than the idle time and the session's together, above the least rate all the while."""
    limits = {"min_data_rate": 500, "idle": 0.5, "session": 1.5}
    async with front(tmp_path, window=1.0, limits=limits) as opened:
        talk = await opened.hello()
        await talk.begin()
        for _ in range(20):
            await talk.send(b"x" * 98 + b"\r\n")
            await asyncio.sleep(0.1)
        await talk.send(b".\r\n")
        assert (await talk.reply()).startswith("250 ")


async def test_the_house_may_take_its_time(tmp_path: Path) -> None:
    """No clock runs against the client while its mail is judged."""
    async with front(tmp_path, window=0.5, limits={"idle": 1.0, "session": 1.0}) as opened:
        opened.keeper.wait = asyncio.Event()
        talk = await opened.hello()
        await talk.begin()
        await talk.send(MAIL)
        await opened.keeper.began.wait()
        witness = await opened.hello()
        assert (await witness.reply()).startswith("421 4.4.2")  # both clocks have run out for who keeps silent
        opened.keeper.wait.set()
        assert (await talk.reply()).startswith("250 ")


async def test_who_never_reads_its_replies_is_let_go(tmp_path: Path) -> None:
    """Threat 15: replies pile up no further than the transport's mark."""
    limits = {"idle": 0.3, "junk_commands": 10_000_000}
    async with front(tmp_path, limits=limits) as opened:
        _, host, port = opened.listeners.addresses[0]
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (host, port))
        await loop.sock_recv(sock, 100)
        with pytest.raises(OSError) as caught:
            async with asyncio.timeout(60):
                while True:
                    await loop.sock_sendall(sock, b"HELP\r\n" * 1000)
        sock.close()
        assert caught.value.errno in (errno.ECONNRESET, errno.EPIPE)
        await emptied(opened)


# Early talkers.


@pytest.mark.parametrize(
    ("first", "reply"),
    [
        (b"EHLO client.example\r\n", "554 5.5.1 synchronization error"),
        (b"x", "554 5.5.1 synchronization error"),
        (b"\x16\x03\x01\x02\x00\x01", "502 5.7.0 this is an SMTP server"),
        (b"GET / HTTP/1.1\r\n\r\n", "502 5.7.0 this is an SMTP server"),
    ],
)
async def test_who_speaks_before_the_greeting_is_out_of_step(tmp_path: Path, first: bytes, reply: str) -> None:
    """Threats 5, 14: what was sent before the connection was even accepted."""
    async with front(tmp_path) as opened:
        _, host, port = opened.listeners.addresses[0]
        sock = socket.create_connection((host, port))
        sock.sendall(first)
        talk = Talk(*await asyncio.open_connection(sock=sock))
        began = asyncio.get_running_loop().time()
        assert await talk.reply() == reply
        assert await talk.rest() == b""
        assert asyncio.get_running_loop().time() - began < 10
        await talk.close()


# The log.


async def test_what_a_client_says_is_escaped_in_the_log_and_passwords_never_stand_there(tmp_path: Path) -> None:
    """Threats 22, 29, 141."""
    async with front(tmp_path, certificate=True, listeners=[{"role": "submission"}]) as opened:
        talk = await opened.hello()
        with capture_logs() as logs:
            await talk.ask(b"RCPT TO:<\x1b[2Jforged\x0bline>")
            await talk.ask(b"HE\x1bLO")
            await talk.ask("AUTH PLAIN c2VjcmV0")
        told = [entry for entry in logs if entry["event"] == "refused"]
        assert [entry["command"] for entry in told] == ["RCPT", r"HE\x1bLO", "AUTH"]
        assert told[0]["argument"] == r"TO:<\x1b[2Jforged\x0bline>"
        assert "c2VjcmV0" not in repr(logs)
        await talk.ask(b"EHLO <b>\x1b[31m")
        (session,) = opened.listeners.sessions
        assert session.client.helo == r"<b>\x1b[31m"


async def test_memory_of_many_mails_is_bounded_by_one_budget(tmp_path: Path) -> None:
    """Threats 10, 90: who finds no room waits for the one before; a mail that became a file makes room."""
    async with front(tmp_path, limits={"buffer_bytes": 10_000}, store={"spool_cut": 10_000}) as opened:
        first, second = await opened.hello(), await opened.hello()
        await first.begin()
        for line in ("MAIL FROM:<>", "RCPT TO:<bob@ours.example>"):
            await second.ask(line)
        await second.send(b"DATA\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await second.reader.readexactly(1)
        await first.send(b"x" * 998 + b"\r\n" + b"y\r\n" * 4000)  # beyond the cut: a file now
        assert (await second.reply()).startswith("354 ")
        await second.send(MAIL)
        assert (await second.reply()).startswith("250 ")
        await first.send(b".\r\n")
        assert (await first.reply()).startswith("250 ")
        assert {session.door.budget.free for session in opened.listeners.sessions} == {10_000}


async def test_a_mail_that_finds_no_more_room_in_memory_goes_on_in_a_file(tmp_path: Path) -> None:
    """Threat 90."""
    async with front(tmp_path, limits={"buffer_bytes": 10_000}, store={"spool_cut": 9_000}) as opened:
        first, second = await opened.hello(), await opened.hello()
        await first.begin("<ada@world.example> SIZE=100")
        await second.begin("<ada@world.example> SIZE=9900")
        mail = b"Subject: x\r\n\r\n" + b"x" * 998 + b"\r\n"
        await first.send(mail, b"y\r\n.\r\n")
        assert (await first.reply()).startswith("250 ")
        await second.send(MAIL)
        assert (await second.reply()).startswith("250 ")
        assert [octets for _, octets in opened.mails] == [mail + b"y\r\n", MAIL[:-3]]
        assert [draft.path is not None for draft in opened.keeper.drafts] == [True, False]
        assert {session.door.budget.free for session in opened.listeners.sessions} == {10_000}


async def test_who_sends_nothing_takes_little_of_the_memory_for_mails(tmp_path: Path) -> None:
    """Threat 15: 250 idle connections took all of it, whatever they declared."""
    async with front(tmp_path) as opened:
        for sender in ("<ada@world.example>", "<ada@world.example> SIZE=1000000"):
            await (await opened.hello()).begin(sender)
        (budget,) = {session.door.budget for session in opened.listeners.sessions}
        assert budget.largest - budget.free == 2 * Share.FIRST


async def test_a_refusal_before_data_is_remembered_with_its_code(tmp_path: Path) -> None:
    """Rules 21."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        await talk.ask("MAIL FROM:<ada@world.example>")
        await talk.ask("RCPT TO:<who@elsewhere.example>")
        assert opened.keeper.refusals == [("who@elsewhere.example", "550 5.7.1")]


async def test_data_that_could_not_be_taken_is_remembered_with_its_code(tmp_path: Path) -> None:
    """Rules 21: the life of a refused mail is told too."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        assert (await talk.mail(b"Subject: x\r\n\r\nbare\nline\r\n.\r\n")).startswith("550 5.5.2")
        assert opened.keeper.refusals == [("bob@ours.example", "550 5.5.2")]


async def test_a_declared_size_beyond_the_policy_is_refused_at_rcpt(tmp_path: Path) -> None:
    """Threat 10, RFC 1870 6.1."""
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        assert (await talk.ask("MAIL FROM:<ada@world.example> SIZE=30000000")).startswith("250")
        said = await talk.ask("RCPT TO:<bob@ours.example>")
        assert said.startswith("552 5.3.4 the mail is too big: 28.6 MB, and the policy takes ")
