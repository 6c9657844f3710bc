"""Hourly limits on the whole road: over SMTP and each API that sends, by settings and options, told and traced."""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx2
import pytest
from tests.api.kept import GTUBE, Desk, open_desk
from tests.house import CHEAP, living
from tests.peers.engine import Scanner, clamd
from tests.peers.sink import Mail
from tests.smtp.front import issue

from gatepost.model.envelope import Role
from gatepost.model.options import OptionValue, Scope
from gatepost.model.policy import Policy
from gatepost.model.query import All, Query, eq
from gatepost.model.stored import Message
from gatepost.model.tenant import Domain, Group, GroupMember, User
from gatepost.services.outbox import Outbox

pytestmark = pytest.mark.anyio

BOB = "bob@served.example"
HOUR = 3_600_000
REFUSED = {"native": 422, "mod-email": 400, "egroupware": 500}  # a mail that can't be sent, in each API's words
HEADER = f"From: {BOB}\r\nSubject: x\r\nDate: Mon, 24 Nov 2025 12:00:00 +0000\r\n\r\n".encode()


@asynccontextmanager
async def opened(folder: Path, filters: dict[str, Any] | None = None, **outgoing: Any) -> AsyncIterator[Desk]:
    """Open a house where bob signs in by SMTP and HTTP, and a network that is trusted sends for his domain."""
    _, certificate = issue(folder)
    listener = [{"role": role, "listen": "127.0.0.1:0"} for role in ("mx", "trusted", "submission")]
    settings = {"report_to": "admin@served.example", **outgoing}
    smtp = {"certificate": certificate, "listener": listener}
    async with open_desk(folder, outgoing=settings, smtp=smtp, filters=filters or {}) as desk:
        store = desk.house.store
        policy, bob = store.reader.first(Policy, All(())), store.reader.first(User, eq("email", BOB))
        assert policy and bob
        await store.write(lambda writer: writer.change(Policy, policy.id, outgoing=True))
        await store.write(lambda writer: writer.change(User, bob.id, password_hash=CHEAP.hash("secret")))
        await store.write(lambda writer: writer.change(Domain, bob.domain_id, outgoing_subnets=["127.0.0.0/24"]))
        yield desk


@asynccontextmanager
async def session(desk: Desk) -> AsyncIterator[aiosmtplib.SMTP]:
    """Open a session in which bob has signed in."""
    port = next(port for role, _, port in desk.house.gatepost.listeners.addresses if role is Role.SUBMISSION)
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=True, validate_certs=False)
    async with client:
        await client.ehlo()
        said = await client.execute_command(b"AUTH", b"PLAIN", b64encode(f"\0{BOB}\0secret".encode()))
        assert said.code == 235
        yield client


async def tell(client: aiosmtplib.SMTP, verb: str, argument: str) -> str:
    said = await client.execute_command(verb.encode(), argument.encode())
    return f"{said.code} {said.message}"


async def hand_in(desk: Desk, *recipients: str) -> list[str]:
    """Hand a mail in as bob; return what each command but the last was answered, up to MAIL's refusal."""
    async with session(desk) as client:
        said = [await tell(client, "MAIL", f"FROM:<{BOB}>")]
        if not said[0].startswith("250"):
            return said
        for recipient in recipients or ("ada@world.example",):
            said.append(await tell(client, "RCPT", f"TO:<{recipient}>"))
        if any(each.startswith("250") for each in said[1:]):
            assert (await client.data(HEADER)).code == 250
        return said


async def send(desk: Desk, way: str, *to: str) -> httpx2.Response:
    """Send a mail by one of the APIs as bob."""
    to = to or ("ada@world.example",)
    if way == "mod-email":
        body = {"notificationId": "7", "to": ",".join(to), "header": "Hello", "body": "Good day"}
        return await desk.ask("POST", "/email", body, token=desk.bob)
    body = {"to": to, "subject": "Hello", "body": "Good day"}
    if way == "egroupware":
        basic = {"Authorization": "Basic " + b64encode(f"{BOB}:secret".encode()).decode()}
        return await desk.ask("POST", "/mail", body, token=None, headers=basic)
    return await desk.ask("POST", f"/users/{BOB}/emails/send", body, token=desk.bob)


async def option(desk: Desk, scope: Scope, owner: int, name: str, value: int) -> None:
    await desk.house.add(OptionValue(scope=scope, owner_id=owner, name=name, value=str(value)))


def reports(desk: Desk) -> list[Mail]:
    return [each for each in desk.house.sink.mails if each.recipients == ["admin@served.example"]]


async def test_smtp_defers_what_is_over_the_limit_until_the_hour_is_over(tmp_path: Path) -> None:
    async with opened(tmp_path, user_mails_per_hour=2) as desk:
        assert (await hand_in(desk))[0][:3] == "250" and (await hand_in(desk))[0][:3] == "250"
        for _ in range(2):
            assert await hand_in(desk) == ["450 4.7.1 the account's limit of mails an hour (2) is reached; try later"]
        (mails := await desk.house.sink.wait(3)) and await desk.house.gatepost.queue.idle()
        (report,) = reports(desk)
        assert len(mails) == 3 and f"Subject: {BOB} has reached a limit".encode() in report.data
        assert b"USER_MAILS_PER_HOUR" in report.data
        desk.house.clock.now += HOUR
        assert (await hand_in(desk))[0][:3] == "250"


async def test_what_is_refused_is_traced_with_the_reason(tmp_path: Path) -> None:
    async with opened(tmp_path, user_mails_per_hour=1) as desk:
        await hand_in(desk)
        await hand_in(desk)
        assert (await send(desk, "native")).status_code == 429
        await desk.house.gatepost.refusals.write()
        traces = [desk.house.trace(each.id) for each in desk.house.store.reader.find(Message, Query()).items]
        told = sorted(trace[0].text for trace in traces if trace[0].event == "rejected")
        reason = "the account's limit of mails an hour (1) is reached; try later"
        assert told == [f"450 4.7.1 {reason}", f"slowed {reason}"]


async def test_recipients_over_the_limit_are_deferred_and_the_others_get_the_mail(tmp_path: Path) -> None:
    async with opened(tmp_path, user_recipients_per_hour=3) as desk:
        said = await hand_in(desk, *(f"{name}@world.example" for name in "abcd"))
        assert [each[:9] for each in said[1:]] == ["250 2.1.5"] * 3 + ["450 4.7.1"]
        (got,) = [each for each in await desk.house.sink.wait(2) if each not in reports(desk)]
        assert len(got.recipients) == 3


async def test_a_group_that_no_hour_could_serve_is_refused_for_good(tmp_path: Path) -> None:
    async with opened(tmp_path, user_recipients_per_hour=2) as desk:
        group = await desk.house.add(Group(domain_id=1, email="all@served.example"))
        assert isinstance(group, Group)
        for name in "abc":
            await desk.house.user(f"{name}@served.example")
            await desk.house.add(GroupMember(group_id=group.id, email=f"{name}@served.example"))
        said = await hand_in(desk, "all@served.example", "ada@world.example")
        assert [each[:9] for each in said[1:]] == ["550 5.7.1", "250 2.1.5"]


@pytest.mark.parametrize("way", ["native", "mod-email", "egroupware"])
async def test_each_api_answers_429_in_its_own_shape_and_says_when_to_come_again(tmp_path: Path, way: str) -> None:
    async with opened(tmp_path, user_mails_per_hour=1, user_recipients_per_hour=2) as desk:
        many = await send(desk, way, *(f"{name}@world.example" for name in "abc"))
        assert many.status_code == REFUSED[way], many.text
        assert (await send(desk, way)).status_code == 200
        desk.house.clock.now += 600_000
        answer = await send(desk, way)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3000"), answer.text
        text = "the account's limit of mails an hour (1) is reached; try later"
        if way == "mod-email":
            assert answer.headers["content-type"].startswith("text/plain") and text in answer.text
        else:
            assert answer.json()["message"] == text
        desk.house.clock.now += 3_000_000
        assert (await send(desk, way)).status_code == 200


async def test_a_slowed_account_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with opened(tmp_path, burst=1, slow_mails=2) as desk:
        for status in (200, 200, 429):
            answer = await send(desk, "native")
            assert answer.status_code == status
            desk.house.clock.now += 1_500
        assert answer.headers["retry-after"] == "3597"


async def test_a_scheduled_mail_waits_for_the_next_hour(tmp_path: Path) -> None:
    async with opened(tmp_path, user_mails_per_hour=1) as desk:
        at = desk.house.clock.now + 60_000
        body = {"to": ["ada@world.example"], "subject": "Later", "body": "Good day", "sendAt": at}
        answer = await desk.ask("POST", f"/users/{BOB}/emails/send", body, token=desk.bob)
        assert answer.status_code == 200, answer.text
        assert (await send(desk, "native")).status_code == 200
        desk.house.clock.now = at
        outbox = desk.house.gatepost.services.of(Outbox)
        await outbox.send_due()
        await desk.house.gatepost.queue.idle()
        assert [b"Later" in each.data for each in desk.house.sink.mails if each not in reports(desk)] == [False]
        desk.house.clock.now = at + HOUR
        await outbox.send_due()
        await desk.house.gatepost.queue.idle()
        assert any(b"Subject: Later" in each.data for each in desk.house.sink.mails)


async def test_a_domain_s_limit_is_for_its_accounts_and_networks_together(tmp_path: Path) -> None:
    async with opened(tmp_path, domain_mails_per_hour=2, user_mails_per_hour=1) as desk:
        assert (await send(desk, "native")).status_code == 200
        trusted = {"sender": "app@served.example", "role": Role.TRUSTED}
        header = HEADER.replace(BOB.encode(), b"app@served.example")
        assert (
            await desk.house.send(header, "ada@world.example", **trusted)
        ).code == 250  # no account: no limit of its own
        reply = await desk.house.send(header, "ada@world.example", **trusted)
        assert (reply.code, reply.message) == (
            450,
            "4.7.1 the domain's limit of mails an hour (2) is reached; try later",
        )
        assert (await desk.house.send(header, BOB)).code == 250  # from the world


async def test_the_null_sender_of_a_trusted_network_spends_its_domain_s_hour(tmp_path: Path) -> None:
    """Else a program that names no sender could send without end."""
    async with opened(tmp_path, domain_mails_per_hour=1) as desk:
        null = {"sender": "", "role": Role.TRUSTED}
        assert (await desk.house.send(HEADER, "ada@world.example", **null)).code == 250
        reply = await desk.house.send(HEADER, "ada@world.example", **null)
        assert (reply.code, reply.message[:5]) == (450, "4.7.1")
        assert (await desk.house.send(HEADER, BOB, sender="")).code == 250  # from the world


async def test_who_claims_a_sender_from_elsewhere_spends_nobody_s_hour(tmp_path: Path) -> None:
    """A listener for trusted networks takes mail for our mailboxes from others too, whatever sender they name."""
    async with opened(tmp_path, domain_mails_per_hour=1, spam_per_hour=1, slow_mails=0) as desk:
        elsewhere = {"outgoing_subnets": ["192.0.2.0/24"], "policy": {"outgoing": True}}
        await desk.house.domain("other.example", **elsewhere)
        served = desk.house.store.reader.domain("served.example")
        assert served
        await desk.house.store.write(lambda writer: writer.change(Domain, served.id, sender_verify_on=False))
        spam = b"From: app@other.example\r\nDate: Mon, 24 Nov 2025 12:00:00 +0000\r\n\r\n" + GTUBE + b"\r\n"
        for _ in range(3):
            reply = await desk.house.send(spam, BOB, sender="app@other.example", role=Role.TRUSTED)
            assert reply.code == 250, reply
        assert not desk.house.gatepost.outgoing.slowed("app@other.example")


async def test_an_option_goes_before_the_setting_and_the_nearest_before_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path, user_mails_per_hour=1) as desk:
        bob = desk.house.store.reader.first(User, eq("email", BOB))
        assert bob
        name = "USER_MAILS_PER_HOUR"
        await option(desk, Scope.CUSTOMER, 1, name, 2)
        assert [(await send(desk, "native")).status_code for _ in range(3)] == [200, 200, 429]
        await option(desk, Scope.DOMAIN, bob.domain_id, name, 3)
        assert [(await send(desk, "native")).status_code for _ in range(2)] == [200, 429]
        await option(desk, Scope.USER, bob.id, name, 0)
        assert [(await send(desk, "native")).status_code for _ in range(5)] == [200] * 5


async def test_an_option_is_a_number_that_a_sysadmin_sets(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        path = f"/domains/{desk.ids.show(1)}/options"
        for value, status in (("many", 400), ("-1", 400), ("1.5", 400), ("9" * 10, 400), ("٣", 400), ("250", 201)):
            answer = await desk.ask("POST", path, {"name": "DOMAIN_MAILS_PER_HOUR", "value": value})
            assert answer.status_code == status, value
        helper = await desk.helper("served.example")
        answer = await desk.ask("POST", path, {"name": "DOMAIN_MAILS_PER_HOUR", "value": "0"}, token=helper)
        assert answer.status_code == 403


async def test_a_restart_goes_on_counting(tmp_path: Path) -> None:
    async with opened(tmp_path, user_mails_per_hour=2) as desk:
        assert [(await send(desk, "native")).status_code for _ in range(2)] == [200, 200]
        clock, token = desk.house.clock.now, desk.bob
    async with living(tmp_path, outgoing={"user_mails_per_hour": 2}) as house:
        house.clock.now = clock
        again = Desk(house)
        again.bob = token
        assert (await send(again, "native")).status_code == 429


async def test_mail_that_has_to_come_again_is_not_counted(tmp_path: Path) -> None:
    async with Scanner(clamd, b"", path=str(tmp_path / "clamd")) as scanner:
        clamav = {"servers": [scanner.address], "failures": 1, "timeout": 2.0, "rest": 0.001}
        async with opened(tmp_path, {"options": {"clamav": clamav}}, user_mails_per_hour=1) as desk:
            assert [(await send(desk, "native")).status_code for _ in range(2)] == [503, 503]
            scanner.said = b"stream: OK\0"
            assert [(await send(desk, "native")).status_code for _ in range(2)] == [200, 429]
