"""Webhooks: a real receiver is told of real mail, signed, again after it failed, and nobody calls into our network."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.kept import GTUBE, Desk, mail, open_desk
from tests.house import queued_as
from tests.peers.names import Names
from tests.peers.sink import authority, server_tls
from tests.peers.web import Web, answer

from gatepost.model.access import Caller, Reach
from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query
from gatepost.model.tenant import Domain
from gatepost.model.webhook import Webhook
from gatepost.mta.caller import signature
from gatepost.services.targets import Targets
from gatepost.services.webhooks import WebhookAdd, Webhooks, WebhookUpdate

pytestmark = pytest.mark.anyio

HOST = "hooks.example"
OK = answer("thanks")


class Receiver:
    """A web server that is `hooks.example`, and a Gatepost whose mail it is told of."""

    def __init__(self, desk: Desk, web: Web) -> None:
        self.desk = desk
        self.web = web
        domain = desk.house.store.reader.domain("served.example")
        assert domain is not None
        self.where = f"/domains/{desk.ids.show(domain.id)}/webhooks"
        self.url = f"https://{HOST}:{web.port}/mail?x=1"

    async def hook(self, **members: Any) -> dict[str, Any]:
        made = await self.desk.ask("POST", self.where, {"url": self.url, **members})
        assert made.status_code == 201, made.text
        found: dict[str, Any] = made.json()
        return found

    async def round(self) -> None:
        await self.begin()
        await self.desk.house.gatepost.caller.idle()

    async def begin(self) -> None:
        await self.desk.house.gatepost.queue.idle()
        await self.desk.house.gatepost.caller.take_up()

    async def calls(self, hook: dict[str, Any], query: str = "?sort=id") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.desk.get(f"{self.where}/{hook['id']}/calls{query}")
        return found


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    ca = authority()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    names = Names({HOST: ["A 127.0.0.1"], "world.example": ["MX 10 mx.world.example."], "other.example": []})
    async with Web(server_tls(ca, HOST), OK) as web, names:
        webhooks = {"private": True, "timeout": 2.0, "ca_file": str(tmp_path / "ca.pem")}
        async with open_desk(tmp_path, webhooks=webhooks, dns={"servers": [names.address]}) as desk:
            await desk.house.gatepost.caller.stop()  # the test makes its rounds
            yield Receiver(desk, web)


async def test_a_webhook_is_told_of_mail_in_order_and_signed(receiver: Receiver) -> None:
    hook = await receiver.hook()
    mail_id = queued_as(await receiver.desk.house.send(mail(), "bob@served.example"))
    await receiver.round()
    told = [json.loads(body) for body in receiver.web.bodies]
    assert [each["event"] for each in told] == ["queued", "delivered"]
    assert {(each["mailId"], each["recipient"], each["subject"]) for each in told} == {
        (mail_id, "bob@served.example", "Hello")
    }
    assert told[1]["reply"].startswith("250")
    head, body = receiver.web.asked[1], receiver.web.bodies[1]
    sent = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    fields = {name.lower(): value for name, value in sent.items()}
    assert head.startswith("POST /mail?x=1 HTTP/1.1")
    assert (fields["host"], fields["x-gatepost-event"]) == (f"{HOST}:{receiver.web.port}", "delivered")
    assert fields["x-gatepost-signature"] == "sha256=" + signature(hook["secret"], fields["x-gatepost-timestamp"], body)
    assert [call["state"] for call in await receiver.calls(hook)] == ["done", "done"]


async def test_what_is_told_is_called_soon_in_order(receiver: Receiver) -> None:
    await receiver.desk.house.gatepost.caller.start()
    await receiver.hook(events=["queued", "delivered"])
    for count in (1, 2):
        await receiver.desk.house.send(mail(message_id=str(count)), "bob@served.example")
        await receiver.web.wait(2 * count)
    told = [json.loads(body) for body in receiver.web.bodies]
    assert [each["event"] for each in told] == ["queued", "delivered"] * 2


async def test_only_what_was_asked_for_is_told(receiver: Receiver) -> None:
    await receiver.hook(events=["quarantined", "released"])
    mail_id = queued_as(await receiver.desk.house.send(mail("Spam", GTUBE), "bob@served.example"))
    await receiver.round()
    released = await receiver.desk.ask("POST", f"/users/bob@served.example/emails/Quarantine/{mail_id}/release")
    assert released.status_code < 300, released.text
    await receiver.round()
    told = [json.loads(body) for body in receiver.web.bodies]
    assert [(each["event"], each["folder"], each["category"]) for each in told] == [
        ("quarantined", "Quarantine", "SPAM"),
        ("released", "Quarantine", "SPAM"),
    ]


async def test_a_call_that_waits_by_a_clock_that_was_ahead_is_made_when_it_is_set_back(receiver: Receiver) -> None:
    clock = receiver.desk.house.clock
    hook = await receiver.hook(events=["delivered"])
    clock.now += 400 * 86_400_000
    receiver.web.said = answer("no", status="500 Sorry")
    await receiver.desk.house.send(mail(), "bob@served.example")
    await receiver.round()
    receiver.web.said = OK
    clock.now -= 400 * 86_400_000
    await receiver.round()
    (call,) = await receiver.calls(hook)
    assert (call["state"], len(receiver.web.bodies)) == ("done", 2)


async def test_a_call_that_fails_is_made_again_later_and_given_up_in_the_end(receiver: Receiver) -> None:
    clock = receiver.desk.house.clock
    hook = await receiver.hook(events=["delivered"])
    receiver.web.said = answer("no", status="500 Sorry")
    await receiver.desk.house.send(mail(), "bob@served.example")
    await receiver.round()
    (call,) = await receiver.calls(hook)
    assert (call["state"], call["attempts"], call["last"]) == ("waiting", 1, "it answers 500")
    await receiver.round()  # not due yet
    assert len(receiver.web.bodies) == 1
    clock.now += 60_000
    receiver.web.said = OK
    await receiver.round()
    (call,) = await receiver.calls(hook)
    assert (call["state"], call["attempts"], call["last"]) == ("done", 2, "200")
    again = f"{receiver.where}/{hook['id']}/calls/{call['id']}/replay"
    assert (await receiver.desk.ask("POST", again)).status_code == 204
    assert (await receiver.desk.ask("POST", again)).status_code == 409
    receiver.web.said = answer("gone", status="410 Gone")
    await receiver.round()
    clock.now += 24 * 3_600_000
    await receiver.round()
    assert (await receiver.calls(hook))[0]["state"] == "failed"
    clock.now += 8 * 86_400_000
    await receiver.round()
    assert await receiver.calls(hook) == []


@pytest.mark.parametrize("down", [answer("no", status="503 Later"), b""], ids=["503", "none"])
async def test_after_an_outage_the_oldest_is_told_first(
    receiver: Receiver, down: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.mta.caller.CHUNK", 1)
    clock = receiver.desk.house.clock
    await receiver.hook(events=["queued", "delivered"])
    receiver.web.said = down
    await receiver.desk.house.send(mail(message_id="1"), "bob@served.example")
    for _ in range(3):
        await receiver.round()
        clock.now += 60_000
    await receiver.desk.house.send(mail(message_id="2"), "bob@served.example")
    receiver.web.said = OK
    receiver.web.bodies.clear()
    for _ in range(4):
        await receiver.round()
    told = [json.loads(body) for body in receiver.web.bodies]
    assert [(each["messageId"], each["event"]) for each in told] == [
        (f"<{count}@world.example>", event) for count in (1, 2) for event in ("queued", "delivered")
    ]


async def test_a_call_that_is_refused_for_what_it_tells_is_put_off_alone(receiver: Receiver) -> None:
    clock = receiver.desk.house.clock
    hook = await receiver.hook(events=["queued", "delivered"])
    receiver.web.said = answer("no", status="500 Sorry")
    await receiver.desk.house.send(mail(), "bob@served.example")
    for _ in range(2):
        await receiver.round()
        clock.now += 59_999
    assert [call["attempts"] for call in await receiver.calls(hook)] == [1, 0]
    receiver.web.said = OK
    clock.now += 1
    await receiver.round()
    assert [call["state"] for call in await receiver.calls(hook)] == ["done", "done"]


async def test_a_report_to_a_sender_is_told_of_as_any_mail_is(receiver: Receiver) -> None:
    house = receiver.desk.house
    await receiver.hook(events=["queued", "delivered", "bounced"])
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
    await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))
    house.sink.script["RCPT <eve@other.example>"] = "550 5.1.1 no such user"
    leaving = mail().replace(b"ada@world.example", b"bob@served.example")
    await house.send(leaving, "eve@other.example", sender="bob@served.example", role=Role.TRUSTED)
    await receiver.round()
    told = [json.loads(body) for body in receiver.web.bodies]
    assert [(each["event"], each["recipient"]) for each in told] == [
        ("queued", "eve@other.example"),
        ("bounced", "eve@other.example"),
        ("queued", "bob@served.example"),
        ("delivered", "bob@served.example"),
    ]


async def test_who_may_not_read_mail_is_told_of_none_by_a_webhook(receiver: Receiver) -> None:
    hook = await receiver.hook()
    webhooks, domain = receiver.desk.house.gatepost.services.of(Webhooks), 1
    options = Reach(domains=frozenset({domain}))
    caller = Caller(admin_id=7, login="other", rights={"OPTIONS_READ": options, "OPTIONS_WRITE": options})
    number = receiver.desk.ids.read(hook["id"])
    assert [each.id for each in await webhooks.find(caller, domain)] == [number]
    for act in (
        webhooks.calls(caller, domain, number, Query()),
        webhooks.create(caller, domain, WebhookAdd(url=receiver.url)),
        webhooks.update(caller, domain, number, WebhookUpdate(active=True)),
    ):
        with pytest.raises(Problem, match="may not do that"):
            await act


async def test_a_dead_webhook_with_much_to_tell_keeps_no_other_from_its_turn(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.mta.caller.CHUNK", 1)
    dead = await receiver.hook(url=f"https://{HOST}:9/")
    await receiver.hook()
    await receiver.desk.house.send(mail(), "bob@served.example")
    await receiver.round()
    await receiver.round()
    assert [json.loads(body)["event"] for body in receiver.web.bodies] == ["queued"]
    assert [call["attempts"] for call in await receiver.calls(dead)] == [1, 0]


async def test_one_that_does_not_answer_holds_up_no_other_and_is_called_once_at_a_time(
    receiver: Receiver, tmp_path: Path
) -> None:
    caller = receiver.desk.house.gatepost.caller
    async with Web(receiver.web.tls) as silent:  # which never answers
        url = f"https://{HOST}:{silent.port}/"
        for _ in range(2):
            await receiver.hook(url=url, events=["delivered"])
        await receiver.hook(events=["delivered"])
        for count in (1, 2, 3):
            await receiver.desk.house.send(mail(message_id=str(count)), "bob@served.example")
            await receiver.begin()
            await receiver.web.wait(count)
        await silent.wait(1)
        assert len(silent.bodies) == 1
        assert [json.loads(body)["messageId"] for body in receiver.web.bodies] == [
            f"<{count}@world.example>" for count in (1, 2, 3)
        ]
        await caller.stop()


async def test_much_to_tell_a_url_that_does_not_answer_keeps_no_other_from_its_turn(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.mta.caller.CHUNK", 1)
    caller = receiver.desk.house.gatepost.caller
    async with Web(receiver.web.tls) as silent:
        for url in (f"https://{HOST}:{silent.port}/", f"https://{HOST}:{silent.port}/", receiver.url):
            await receiver.hook(url=url, events=["delivered"])
        await receiver.desk.house.send(mail(), "bob@served.example")
        await receiver.desk.house.gatepost.queue.idle()
        while await caller.take_up():
            pass
        await receiver.web.wait(1)
        assert len(silent.bodies) <= 1
        await caller.stop()


async def test_a_webhook_whose_secret_can_not_be_read_is_told_of_and_stops_nobody(receiver: Receiver) -> None:
    broken = await receiver.hook(events=["delivered"])
    await receiver.hook(events=["delivered"])
    store = receiver.desk.house.store
    (first, _) = store.reader.find(Webhook, Query()).items
    await store.write(lambda writer: writer.change(Webhook, first.id, secret="of another key"))
    await receiver.desk.house.send(mail(), "bob@served.example")
    await receiver.round()
    assert len(receiver.web.bodies) == 1
    assert [call["state"] for call in await receiver.calls(broken)] == ["waiting"]


async def test_a_webhook_is_kept_changed_switched_off_and_removed(receiver: Receiver) -> None:
    hook = await receiver.hook()
    one = f"{receiver.where}/{hook['id']}"
    (shown,) = await receiver.desk.get(receiver.where)
    assert "secret" not in shown
    assert (await receiver.desk.ask("PATCH", one, {"active": False, "events": ["bounced"]})).status_code == 204
    await receiver.desk.house.send(mail(), "bob@served.example")
    await receiver.round()
    assert await receiver.calls(hook) == []
    assert hook["secret"] not in str(await receiver.desk.get("/audit?kind=webhook"))
    assert (await receiver.desk.ask("DELETE", one)).status_code == 204
    assert (await receiver.desk.ask("DELETE", one)).status_code == 404


NOT_CALLED = [
    ("ftp://hooks.example/", 400, "neither https:// nor http://"),
    ("hooks.example/x", 400, "neither https:// nor http://"),
    ("https://user:pass@hooks.example/", 400, "names credentials"),
    ("https://:pass@hooks.example/", 400, "names credentials"),
    ("https://", 400, "names no host"),
    ("https://hooks.example:0/", 400, "its port is 0"),
    ("https://hooks.example:99999/", 400, "its host or port can't be read"),
    ("https://hooks.example/a b", 400, "has a blank"),
    ("https://hooks.example/\u00e4", 400, "beyond ASCII"),
    ("https://169.254.169.254/latest", 422, "can't be handed to that address"),
    ("http://0.0.0.0/", 422, "can't be handed to that address"),
]


async def test_a_url_that_can_not_be_called_is_refused_with_the_reason_threat_122(receiver: Receiver) -> None:
    for url, status, said in NOT_CALLED:
        answer = await receiver.desk.ask("POST", receiver.where, {"url": url})
        assert (answer.status_code, answer.json()["pointer"]) == (status, "/url"), url
        assert said in answer.json()["message"]


async def test_a_private_address_that_is_never_called_is_refused_at_once(receiver: Receiver) -> None:
    house = receiver.desk.house
    webhooks = Webhooks(house.store, Targets("everyone"), house.clock, private=False)
    for host in ("192.168.0.7", "127.0.0.1:9", "[::1]", "localhost", "[fd00::1]"):
        for scheme in ("http", "https"):
            with pytest.raises(Problem, match=r"\[webhooks\] private does not allow it") as refused:
                await webhooks.create(Caller(sys_admin=True), 1, WebhookAdd(url=f"{scheme}://{host}/"))
            assert (refused.value.kind, refused.value.pointer) == (Kind.UNPROCESSABLE, "/url")


@pytest.mark.parametrize(("ip", "private"), [("127.0.0.1", False), ("169.254.169.254", True)])
async def test_a_name_that_leads_into_our_network_is_not_called_threat_122(
    tmp_path: Path, ip: str, private: bool
) -> None:
    more = {"webhooks": {"private": private}}
    async with (
        Names({HOST: [f"A {ip}"]}) as names,
        open_desk(tmp_path, dns={"servers": [names.address]}, **more) as desk,
    ):
        domain = desk.house.store.reader.domain("served.example")
        assert domain is not None
        where = f"/domains/{desk.ids.show(domain.id)}/webhooks"
        hook = (await desk.ask("POST", where, {"url": f"http://{HOST}:9/", "events": ["delivered"]})).json()
        await desk.house.send(mail(), "bob@served.example", sender="")
        await desk.house.gatepost.queue.idle()
        await desk.house.gatepost.caller.stop()
        await desk.house.gatepost.caller.take_up()
        await desk.house.gatepost.caller.idle()
        (call,) = await desk.get(f"{where}/{hook['id']}/calls")
        assert call["last"] == f"{HOST} has no public address"
