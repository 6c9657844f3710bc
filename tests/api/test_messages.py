"""Traces and the queue over HTTP, of mail that really came in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from tests.api.kept import GTUBE, Desk, mail, open_desk
from tests.house import queued_as

from gatepost.model.query import eq
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.stored import Delivery, State
from gatepost.model.tenant import User

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def test_the_life_of_a_held_mail_says_why_it_is_held(desk: Desk) -> None:
    reply = await desk.house.send(mail("Spam", GTUBE), "bob@served.example")
    mail_id = queued_as(reply)
    for name in (mail_id, quote("<1@world.example>", safe="")):
        life = await desk.get(f"/messages/{name}/trace")
        assert life["message"]["id"] == mail_id
        assert (life["message"]["clientIp"], life["message"]["sender"]) == ("127.0.0.1", "ada@world.example")
        (verdict,) = [event for event in life["events"] if event["event"] == "verdict"]
        assert (verdict["mailbox"], verdict["data"]["action"]) == ("bob@served.example", "hold")
        found = [each for event in life["events"] for each in event["data"].get("findings", [])]
        assert "GTUBE" in [each["symbol"] for each in found]
        assert [copy["folder"] for copy in life["copies"]] == ["Quarantine", "Archive"]
        assert (life["deliveries"], life["others"]) == ([], [])


async def test_mails_are_tracked_down_by_what_became_of_them(desk: Desk) -> None:
    held = queued_as(await desk.house.send(mail("Spam", GTUBE), "bob@served.example"))
    desk.house.clock.now += 1
    sent = queued_as(await desk.house.send(mail(message_id="2"), "bob@served.example"))
    query = "sender=ada@world.example&recipient=BOB@served.example&since=2020-01-01T00:00:00Z"
    found = await desk.get(f"/messages?{query}")
    assert ([each["id"] for each in found["mails"]], found["after"], found["counted"]) == ([sent, held], None, 0)
    (mail_held,) = (await desk.get(f"/messages?{query}&status=quarantined"))["mails"]
    (told,) = mail_held["recipients"]
    assert (told["recipient"], told["status"]) == ("bob@served.example", "quarantined")
    assert told["why"] == "; ".join(told["reasons"])
    assert "GTUBE" in mail_held["symbols"]
    assert (await desk.get(f"/messages/{held}/trace"))["recipients"] == [told]
    page = await desk.get(f"/messages?{query}&pageSize=1")
    assert ([each["id"] for each in page["mails"]], page["after"]) == ([sent], sent)
    assert [each["id"] for each in (await desk.get(f"/messages?{query}&after={sent}"))["mails"]] == [held]
    for wrong in ("status=lost", "after=x", "pageSize=0", "since=never"):
        assert (await desk.ask("GET", f"/messages?{wrong}")).status_code == 400, wrong
    assert (await desk.ask("GET", "/messages", token=desk.bob)).status_code == 403


async def test_a_refused_mail_is_explained_by_the_rule_under_its_id_in_the_api(desk: Desk) -> None:
    domain = desk.house.store.reader.domain("served.example")
    assert domain is not None
    rule = await desk.house.add(
        SenderRule(
            domain_id=domain.id,
            owner=domain.name,
            value="ada@world.example",
            type=SenderType.BLOCK,
            created_date=desk.house.clock(),
        )
    )
    assert isinstance(rule, SenderRule)
    reply = await desk.house.send(mail(), "bob@served.example")
    assert reply.code == 550
    life = await desk.get(f"/messages/{queued_as(reply)}/trace")
    assert (life["copies"], life["deliveries"]) == ([], [])
    assert [event["event"] for event in life["events"]][-1] == "rejected"
    found = [each for event in life["events"] for each in event["data"].get("findings", [])]
    assert desk.ids.show(rule.id) in [each.get("rule") for each in found]


async def test_who_may_read_the_audit_is_told_who_made_the_rule_and_what_would_have_changed_the_verdict(
    desk: Desk,
) -> None:
    made = await desk.ask("POST", "/wblist", [{"owner": "served.example", "value": "world.example", "type": "BLOCK"}])
    assert made.status_code == 201, made.text
    mail_id = queued_as(await desk.house.send(mail(), "bob@served.example"))
    life = await desk.get(f"/messages/{mail_id}/trace")
    found = [each for event in life["events"] for each in event["data"].get("findings", [])]
    (finding,) = [each for each in found if each["symbol"] == "SENDER_BLOCKED"]
    assert finding["owner"] == "served.example"
    assert finding["maker"] == {"login": "root", "at": desk.house.clock()}
    (verdict,) = [event["data"] for event in life["events"] if event["event"] == "verdict"]
    (change,) = verdict["nearest"]
    assert (change["without"], change["rules"]) == (["SENDER_BLOCKED"], [finding["rule"]])
    assert (change["action"], change["category"]) == ("deliver", "CLEAN")
    seen_by_bob = (await desk.ask("GET", f"/messages/{mail_id}/trace", token=desk.bob)).json()
    assert "maker" not in str(seen_by_bob)
    assert "SENDER_BLOCKED" in str(seen_by_bob)


async def test_the_maker_of_rules_that_were_written_together_is_named(desk: Desk) -> None:
    helper = await desk.helper("served.example", "DOMAIN_ADMIN")
    domain = desk.house.store.reader.domain("served.example")
    bob = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert domain is not None and bob is not None
    places = {
        "served.example": f"/domains/{desk.ids.show(domain.id)}/wblist",
        "bob@served.example": f"/users/{desk.ids.show(bob.id)}/wblist",
    }

    async def makers() -> list[tuple[str, str]]:
        mail_id = queued_as(await desk.house.send(mail(), "bob@served.example"))
        life = await desk.get(f"/messages/{mail_id}/trace")
        found = [each for event in life["events"] for each in event["data"].get("findings", []) if "rule" in each]
        return [(each["owner"], each["maker"]["login"]) for each in found]

    listed = [{"value": f"{number}.example", "type": "BLOCK"} for number in range(300)]
    listed.append({"value": "world.example", "type": "BLOCK"})
    for owner, place in places.items():
        for token, login in (("", "root"), (helper, "help@served.example")):
            assert (await desk.ask("PUT", place, listed, token=token)).status_code == 200
            assert await makers() == [(owner, login)]
        assert (await desk.ask("PUT", place, [])).status_code == 200
        assert (await desk.ask("POST", place, listed[-30:], token=helper)).status_code == 201
        assert await makers() == [(owner, "help@served.example")]
        assert (await desk.ask("PUT", place, [])).status_code == 200


async def test_a_mail_is_judged_as_if_it_came_in_and_nothing_is_left_of_it(desk: Desk) -> None:
    ask = (
        "/messages/judge?recipient=bob@served.example&sender=ada@world.example&clientIp=192.0.2.7&helo=mx.world.example"
    )
    spam = mail("Spam", GTUBE)
    before = len(desk.house.store.reader.messages("<1@world.example>", 10))
    answer = await desk.ask("POST", ask, spam)
    assert answer.status_code == 200, answer.text
    events = answer.json()["events"]
    assert [each["event"] for each in events if each["event"] in ("received", "verdict")] == ["received", "verdict"]
    assert (events[0]["data"]["client"], events[0]["data"]["helo"]) == ("192.0.2.7", "mx.world.example")
    (verdict,) = [each["data"] for each in events if each["event"] == "verdict"]
    assert (verdict["action"], verdict["category"]) == ("hold", "SPAM")
    assert len(desk.house.store.reader.messages("<1@world.example>", 10)) == before == 0
    assert not desk.house.sink.mails
    metrics = desk.house.gatepost.metrics.registry
    labels = {"direction": "in", "category": "SPAM", "action": "hold"}
    assert metrics.get_sample_value("gatepost_messages_total", labels) is None

    for query, status in {
        "recipient=bob@elsewhere.example": 404,
        "recipient=bob": 400,
        "recipient=bob@served.example&clientIp=here": 400,
        "recipient=bob@served.example&sender=ada": 400,
        "sender=a@b.example": 400,
    }.items():
        assert (await desk.ask("POST", f"/messages/judge?{query}", spam)).status_code == status, query
    helper = await desk.helper("served.example", "DOMAIN_ADMIN")
    assert (await desk.ask("POST", ask, spam, token=helper)).status_code == 200
    assert (await desk.ask("POST", ask.replace("served", "elsewhere"), spam, token=helper)).status_code == 403


async def test_a_delivered_mail_is_found_by_the_next_hops_queue_id_with_every_try(desk: Desk) -> None:
    mail_id = queued_as(await desk.house.send(mail(), "bob@served.example"))
    await desk.house.sink.wait(1)
    async with asyncio.timeout(60):
        while not (life := await desk.get(f"/messages/{mail_id}/trace"))["deliveries"][0]["log"]:
            pass
    (delivery,) = life["deliveries"]
    assert (delivery["state"], delivery["recipient"]) == ("delivered", "bob@served.example")
    assert delivery["log"][0]["code"] == 250
    assert delivery["remoteId"]
    assert (await desk.get(f"/messages/{delivery['remoteId']}/trace"))["message"]["id"] == mail_id


async def test_a_user_sees_his_own_part_alone(desk: Desk) -> None:
    """Rules 12."""
    await desk.house.user("eve@served.example")
    eve = await desk.token_of("eve@served.example")
    both = queued_as(await desk.house.send(mail(), "bob@served.example", "eve@served.example"))
    bobs = queued_as(await desk.house.send(mail(message_id="2"), "bob@served.example"))
    answer = await desk.ask("GET", f"/messages/{both}/trace", token=eve)
    assert answer.status_code == 200
    life = answer.json()
    assert {event["mailbox"] for event in life["events"]} == {None, "eve@served.example"}
    assert {copy["mailbox"] for copy in life["copies"]} == {"eve@served.example"}
    assert (await desk.ask("GET", f"/messages/{bobs}/trace", token=eve)).status_code == 404
    assert (await desk.ask("GET", f"/messages/{'f' * 32}/trace", token=eve)).status_code == 404
    assert (await desk.ask("GET", f"/messages/{both}/trace", token=None)).status_code == 401


async def test_a_name_of_no_mail_is_not_found(desk: Desk) -> None:
    """Threat 121."""
    for name in ("%00", "%ff", "..%2f..", "'", "%25", "x" * 2000):
        assert (await desk.ask("GET", f"/messages/{name}/trace")).status_code == 404, name


async def test_the_queue_is_listed_held_released_tried_and_given_up(desk: Desk) -> None:
    desk.house.sink.script["MAIL"] = ["451 4.3.0 not now"] * 9
    await desk.house.send(mail(), "bob@served.example")
    async with asyncio.timeout(60):
        while not (item := (await desk.get("/queue"))[0])["attempts"] or desk.house.gatepost.queue.under_way:
            pass
    assert (item["state"], item["recipient"], item["release"]) == ("queued", "bob@served.example", False)
    assert "451" in item["lastReply"]
    where = f"/queue/{item['id']}"
    assert (await desk.ask("POST", f"{where}/hold")).status_code == 204
    assert [each["state"] for each in await desk.get("/queue?state=held")] == ["held"]
    assert await desk.get("/queue?state=queued") == []
    assert (await desk.ask("POST", "/queue/flush")).json() == {"done": 0, "busy": 0}
    desk.house.sink.script.clear()
    assert (await desk.ask("POST", f"{where}/release")).status_code == 204
    await desk.house.sink.wait(1)
    async with asyncio.timeout(60):
        while await desk.get("/queue"):
            pass
    for verb in ("hold", "release", "retry"):
        assert (await desk.ask("POST", f"{where}/{verb}")).status_code == 404
    assert (await desk.ask("DELETE", where)).status_code == 404
    assert (await desk.ask("DELETE", "/queue/zzzzz")).status_code == 404


async def test_the_queue_is_looked_into_and_moved_as_a_whole(desk: Desk) -> None:
    desk.house.sink.script["MAIL"] = ["451 4.3.0 not now"] * 9
    await desk.house.send(mail(), "bob@served.example")
    async with asyncio.timeout(60):
        while not (item := (await desk.get("/queue"))[0])["attempts"] or desk.house.gatepost.queue.under_way:
            pass
    where = f"/queue/{item['id']}"
    seen = await desk.get(where)
    assert (seen["recipient"], seen["via"], len(seen["log"])) == ("bob@served.example", "", 1)
    (place,) = await desk.get("/queue/destinations")
    assert (place["name"], place["waiting"], place["paused"]) == (seen["destination"], 1, False)
    assert (await desk.ask("POST", "/queue/pause", {"destination": place["name"]})).status_code == 204
    assert (await desk.get("/queue/destinations"))[0]["paused"]
    assert (await desk.ask("POST", "/queue/resume", {"destination": place["name"]})).status_code == 204
    assert (await desk.ask("POST", "/queue/pause", {"destination": "@Far.Example"})).status_code == 204
    assert [each["name"] for each in await desk.get("/queue/destinations") if each["paused"]] == ["@far.example"]
    assert (await desk.ask("POST", "/queue/resume", {"destination": "@FAR.example"})).status_code == 204
    hop = {"host": "127.0.0.1", "port": 9, "transport": "SMTP"}
    assert (await desk.ask("POST", f"{where}/hold")).status_code == 204
    assert (await desk.ask("POST", f"{where}/reroute", {"hop": hop})).status_code == 204
    assert (await desk.get(where))["via"] == "127.0.0.1:9/SMTP"
    assert (await desk.ask("POST", f"{where}/reroute", {"hop": {**hop, "port": 0}})).status_code == 400

    async def bulk(**body: object) -> tuple[int, dict[str, int]]:
        answer = await desk.ask("POST", "/queue/bulk", body)
        return answer.status_code, answer.json()

    assert (await bulk(act="delete"))[0] == 400  # which ones?
    assert (await bulk(act="delete", ids=[]))[0] == 400
    assert (await bulk(act="delete", domainId="zzzzz"))[0] == 404
    one, none = {"done": 1, "busy": 0}, {"done": 0, "busy": 0}
    assert await bulk(act="hold", ids=["zzzzz"]) == (200, none)
    assert await bulk(act="retry", sender="nobody@*", state="held", mailId=item["mailId"]) == (200, none)
    assert await bulk(act="bounce", all=True, reason="closed") == (200, one)
    assert await desk.get("/queue") == []


async def test_the_queue_is_searched_by_domains_in_their_own_letters(desk: Desk) -> None:
    there = Delivery(mail_id="m", recipient="Zoe@xn--bcher-kva.example", sender="", due=0, expires=0, created=0)
    await desk.house.store.write(lambda writer: writer.add(msgspec.structs.replace(there, state=State.HELD)))
    for recipient, count in (("zoe@bücher.example", 1), ("*@BÜCHER.example", 1), ("zoe@bücherei.example", 0)):
        assert len(await desk.get(f"/queue?recipient={quote(recipient)}")) == count
        moved = await desk.ask("POST", "/queue/bulk", {"act": "reroute", "hop": None, "recipient": recipient})
        assert moved.json() == {"done": count, "busy": 0}


async def test_the_queue_is_read_by_key(desk: Desk) -> None:
    desk.house.sink.script["MAIL"] = ["451 4.3.0 not now"] * 99
    for number in range(5):
        await desk.house.send(mail(message_id=str(number)), "bob@served.example")
    first = await desk.ask("GET", "/queue?pageSize=2")
    rest = await desk.ask("GET", f"/queue?pageSize=9&after={first.json()[-1]['id']}")
    assert len({each["id"] for each in first.json() + rest.json()}) == 5
    assert first.headers["x-total-count"] == rest.headers["x-total-count"] == "5"
    domain = desk.house.store.reader.domain("served.example")
    assert domain is not None
    assert len(await desk.get(f"/queue?domainId={desk.ids.show(domain.id)}")) == 5
    assert (await desk.ask("GET", "/queue?domainId=zzzzz")).status_code == 404
    assert (await desk.ask("GET", "/queue?sort=tag")).status_code == 400
    back = await desk.get(f"/queue?sort=-id&after={rest.json()[0]['id']}")
    assert [each["id"] for each in back] == [each["id"] for each in reversed(first.json())]
    assert len(await desk.get("/queue?after=")) == 5
    for wrong in ("after=zz", "after=zz&destination=x", f"sort=due&after={rest.json()[0]['id']}"):
        answer = await desk.ask("GET", f"/queue?{wrong}")
        assert (answer.status_code, answer.json()["pointer"]) == (400, "/after"), wrong
    assert (await desk.ask("GET", "/queue?state=gone")).status_code == 400


async def test_the_queue_is_not_for_users(desk: Desk) -> None:
    """Threat 107."""
    for method, path in (
        ("GET", "/queue"),
        ("POST", "/queue/flush"),
        ("POST", "/queue/zzzzz/hold"),
        ("DELETE", "/queue/zzzzz"),
    ):
        assert (await desk.ask(method, path, token=desk.bob)).status_code == 403
        assert (await desk.ask(method, path, token=None)).status_code == 401


async def test_suppressed_addresses_are_listed_added_and_removed(desk: Desk) -> None:
    domain = desk.house.store.reader.domain("served.example")
    assert domain is not None
    where = f"/domains/{desk.ids.show(domain.id)}/suppressions"
    made = await desk.ask("POST", where, {"address": "Zoe@Far.example", "reason": "asked us to"})
    assert made.status_code == 201
    assert (await desk.ask("POST", where, {"address": "zoe@far.example"})).status_code == 409
    assert (await desk.ask("POST", where, {"address": "no address"})).status_code == 400
    assert (await desk.ask("POST", where, {"address": "x@y.example", "expiresAt": 1})).status_code == 422
    (entry,) = await desk.get(f"{where}?address=zoe*")
    assert (entry["address"], entry["cause"], entry["expiresAt"]) == ("zoe@far.example", "MANUAL", None)
    assert await desk.get(f"{where}?cause=bounce") == []
    assert (await desk.ask("DELETE", f"{where}/{entry['id']}")).status_code == 204
    assert (await desk.ask("DELETE", f"{where}/{entry['id']}")).status_code == 404
    told = await desk.get("/audit?kind=suppression")
    assert {each["domainId"] for each in told} == {desk.ids.show(domain.id)}
    acts = [each["act"] for each in told]
    assert acts == ["remove", "add"]
    soon = {"address": "soon@far.example", "expiresAt": desk.house.clock() + 1000}
    assert (await desk.ask("POST", where, soon)).status_code == 201
    desk.house.clock.now += 2000
    assert (await desk.ask("POST", where, {"address": "soon@far.example"})).status_code == 201  # its term was over
