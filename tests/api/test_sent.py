"""Mail that a user sent: what its author sees of it, how it stands with each recipient, scheduling and recalling."""

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, cast

import pytest
from tests.api.kept import GTUBE, Desk, mail, open_desk
from tests.peers.sink import Act, Sink

from gatepost.model.envelope import TlsWish
from gatepost.model.outgoing import Scheduled, Upload
from gatepost.model.policy import Policy
from gatepost.model.query import All, Query, eq
from gatepost.model.stored import Copy, Delivery, Message
from gatepost.model.tenant import Domain, Group, GroupMember, User, UserStatus
from gatepost.services.outbox import LOOK, Outbox
from gatepost.services.rights import Book
from gatepost.services.uploads import Uploads

pytestmark = pytest.mark.anyio

BOB = "/users/bob@served.example"
HOUR = 3_600_000
DEAF = {
    "RCPT <deaf@world.example>": ["450 4.2.0 later"] * 50,
    "RCPT <gone@world.example>": ["550 5.1.1 no such user"],
    "RCPT <slow@far.example>": [Act.HANG],
}


@pytest.fixture
async def desk(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, sink=Sink(dict(DEAF))) as desk:
        found = desk.house.store.reader.first(Policy, All(()))
        assert found is not None
        await desk.house.store.write(lambda writer: writer.change(Policy, found.id, outgoing=True))
        yield desk


async def send(desk: Desk, **members: Any) -> str:
    body = {"to": ["ada@world.example"], "subject": "Hello", "body": "<p>Good day</p>", **members}
    answer = await desk.ask("POST", f"{BOB}/emails/send", body, token=desk.bob)
    assert answer.status_code == 200, answer.text
    return cast(str, answer.json())


async def stands(desk: Desk, mail_id: str) -> dict[str, tuple[str, str | None]]:
    """Return the state and the last reply of each recipient."""
    await desk.house.gatepost.queue.idle()
    found = await desk.get(f"{BOB}/sent/{mail_id}", token=desk.bob)
    return {each["address"]: (each["state"], each["reply"]) for each in found["recipients"]}


async def recall(desk: Desk, mail_id: str) -> int:
    return (await desk.ask("DELETE", f"{BOB}/sent/{mail_id}", token=desk.bob)).status_code


async def due(desk: Desk, hours: float) -> None:
    """Let time pass, and what is due go."""
    desk.house.clock.now += int(hours * HOUR)
    await desk.house.gatepost.services.of(Outbox).send_due()


async def bring(desk: Desk) -> dict[str, str]:
    """Upload a file of Bob's; return what names it to a mail."""
    uploads, bob = desk.house.gatepost.services.of(Uploads), desk.house.store.reader.get(User, 1)
    assert bob is not None
    incoming = uploads.begin(Book(desk.house.store).caller(bob))
    incoming.write(b"file")
    return {"uid": (await uploads.finish(incoming, "a.txt", "text/plain")).id, "name": "a.txt"}


async def test_a_mail_is_recalled_from_who_waits_while_it_is_handed_to_another(desk: Desk) -> None:
    mail_id = await send(desk, to=["deaf@world.example", "slow@far.example"])
    queue, reader = desk.house.gatepost.queue, desk.house.store.reader
    waits, goes = sorted(
        reader.find(Delivery, Query(where=eq("mail_id", mail_id))).items, key=lambda each: each.recipient
    )
    await desk.house.sink.until(lambda: "RCPT TO:<slow@far.example>" in " ".join(desk.house.sink.commands))
    while queue.moves.is_under_way(waits.id) or not queue.moves.is_under_way(goes.id):
        await desk.house.store.write(lambda writer: None)
    assert await recall(desk, mail_id) == 204
    assert [row and row.state for row in (reader.get(Delivery, each.id) for each in (waits, goes))] == [
        "deleted",
        "queued",
    ]
    assert await recall(desk, mail_id) == 409


async def test_its_author_sees_how_a_mail_stands_and_recalls_what_still_waits(desk: Desk) -> None:
    served = desk.house.store.reader.domain("served.example")
    assert served is not None
    group = cast(Group, await desk.house.add(Group(domain_id=served.id, email="all@served.example")))
    for name in ("eve", "joe"):
        user = await desk.house.user(f"{name}@served.example")
        await desk.house.add(GroupMember(group_id=group.id, email=user.email))
    to = ["ada@world.example", "deaf@world.example", "gone@world.example", "all@served.example"]
    mail_id = await send(desk, to=to)
    found = await stands(desk, mail_id)
    assert {address: state for address, (state, _) in found.items()} == {
        "ada@world.example": "delivered",
        "deaf@world.example": "queued",
        "gone@world.example": "bounced",
        "all@served.example": "delivered",  # its members are not told (rules 9)
    }
    assert "no such user" in (found["gone@world.example"][1] or "")
    eve = await desk.token_of("eve@served.example")
    for path in (BOB, "/users/eve@served.example"):
        assert (await desk.ask("GET", f"{path}/sent/{mail_id}", token=eve)).status_code in (403, 404)
    assert await recall(desk, mail_id) == 204
    assert (await stands(desk, mail_id))["deaf@world.example"][0] == "deleted"
    assert (await recall(desk, mail_id), await recall(desk, "0" * 32)) == (409, 404)


@pytest.mark.parametrize("text", ["Good day", GTUBE.decode()])
async def test_the_trace_of_a_mail_that_left_tells_its_author_no_member_of_a_group_and_nothing_of_others(
    desk: Desk, text: str
) -> None:
    """Rules 9 and 12."""
    other = await desk.house.domain("other.example", hop=("127.0.0.1", desk.house.sink.port))
    group = cast(Group, await desk.house.add(Group(domain_id=other.id, email="all@other.example")))
    for name in ("eve", "joe"):
        await desk.house.user(f"{name}@other.example")
    for email in ("joe@other.example", "member@far.example"):
        await desk.house.add(GroupMember(group_id=group.id, email=email))
    to = ["all@other.example", "eve@other.example", "ada@world.example"]
    mail_id = await send(desk, to=to, body=f"<p>{text}</p>")
    await desk.house.gatepost.queue.idle()
    named = {}
    for token in (desk.bob, await desk.helper("served.example"), await desk.helper("other.example"), ""):
        life = await desk.get(f"/messages/{mail_id}/trace", token=token)
        found = {each["mailbox"] for each in (*life["events"], *life["copies"]) if each["mailbox"]}
        named[token] = found | {each["recipient"] for each in life["deliveries"]}
    mine, theirs = {"ada@world.example", "bob@served.example"}, {*to[:2], "joe@other.example"}
    assert list(named.values()) == [mine, mine, theirs, {*mine, *theirs, "member@far.example"}]


async def test_what_is_handed_in_by_http_tells_its_way_and_blind_copies_to_its_author_alone(desk: Desk) -> None:
    await desk.house.user("eve@served.example")
    await send(desk, to=["eve@served.example"], bcc=["Ada, A. <ada@world.example>"])
    for raw in await desk.house.sink.wait(2):
        head = message_from_bytes(raw.data, policy=policy.default)
        way = " ".join(str(head["Received"]).split())
        assert way.startswith("(Authenticated sender: bob@served.example) by gate.example (Gatepost) with HTTP id ")
        assert b"ada" not in raw.data and "Bcc" not in head
    (sent,) = await desk.get(f"{BOB}/emails/Sent", token=desk.bob)
    (got,) = await desk.get("/users/eve@served.example/emails/INBOX")
    assert (sent["bcc"], got["bcc"]) == (['"Ada, A." <ada@world.example>'], [])


async def test_a_mail_goes_at_its_hour_with_its_files_and_not_before(desk: Desk) -> None:
    at = desk.house.clock() + 48 * HOUR
    mail_id = await send(desk, sendAt=at, attachments=[await bring(desk)], subject="Later")
    listed = await desk.get(f"{BOB}/scheduled", token=desk.bob)
    assert listed == [{"id": mail_id, "subject": "Later", "sentAt": None, "sendAt": at, "recipients": []}]
    await due(desk, 47)
    await desk.house.store.write(lambda writer: writer.purge(desk.house.clock()))
    assert desk.house.sink.mails == []
    await due(desk, 1)
    (raw,) = await desk.house.sink.wait(1)
    mail = message_from_bytes(raw.data, policy=policy.default)
    assert [part.get_filename() for part in mail.walk() if part.get_filename()] == ["a.txt"]
    assert mail["Message-ID"] == f"<{mail_id}@served.example>"
    assert await stands(desk, mail_id) == {"ada@world.example": ("delivered", "250 2.0.0 Ok: queued as SINK000001")}
    assert await desk.get(f"{BOB}/scheduled", token=desk.bob) == []


async def test_a_scheduled_mail_goes_as_its_user_wanted_it_with_tls_required(desk: Desk) -> None:
    later = await send(desk, sendAt=desk.house.clock() + HOUR, requireTls=True)
    now = await send(desk, requireTls=True, subject="Now")
    plain = await send(desk, subject="Plain")
    await due(desk, 1)
    found = [desk.house.store.reader.get(Message, mail_id) for mail_id in (later, now, plain)]
    assert [each and each.tls_wish for each in found] == [TlsWish.REQUIRED, TlsWish.REQUIRED, TlsWish.NONE]


async def test_a_saved_draft_goes_with_tls_required_unless_the_request_says_otherwise(desk: Desk) -> None:
    sent = []
    for more in ({}, {"requireTls": False}, {"requireTls": True}):
        # So many that what is behind them lies beyond the header that is looked into otherwise.
        to = [] if sent else [f"{'Ä' * 60} <a{each}@world.example>" for each in range(600)]
        saved = await desk.ask("POST", f"{BOB}/emails/drafts", {"requireTls": True, "to": to}, token=desk.bob)
        assert saved.status_code == 201, saved.text
        sent.append(await send(desk, draftId=saved.json()["id"], **more))
    found = [desk.house.store.reader.get(Message, mail_id) for mail_id in sent]
    assert [each and each.tls_wish for each in found] == [TlsWish.REQUIRED, TlsWish.NONE, TlsWish.REQUIRED]


async def test_a_scheduled_mail_keeps_what_its_draft_remembered_though_that_is_gone_by_its_hour(desk: Desk) -> None:
    saved = await desk.ask("POST", f"{BOB}/emails/drafts", {"requireTls": True}, token=desk.bob)
    draft = saved.json()["id"]
    mail_id = await send(desk, draftId=draft, sendAt=desk.house.clock() + HOUR)
    assert (await desk.ask("DELETE", f"{BOB}/emails/drafts/{draft}", token=desk.bob)).status_code == 204
    await due(desk, 1)
    kept = desk.house.store.reader.get(Message, mail_id)
    assert kept and kept.tls_wish is TlsWish.REQUIRED


async def test_a_draft_that_there_is_not_is_told_when_a_mail_is_handed_in(desk: Desk) -> None:
    for more in ({}, {"sendAt": desk.house.clock() + HOUR}):
        body = {"to": ["ada@far.example"], "subject": "Hi", "draftId": "gone", **more}
        answer = await desk.ask("POST", f"{BOB}/emails/send", body, token=desk.bob)
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/draftId")
    assert desk.house.store.reader.count(Scheduled, All(())) == 0 == len(desk.house.sink.mails)


async def test_a_key_answers_for_a_scheduled_mail_whose_draft_went_with_it(desk: Desk) -> None:
    saved = await desk.ask("POST", f"{BOB}/emails/drafts", {"subject": "Hi"}, token=desk.bob)
    body = {"to": ["ada@far.example"], "draftId": saved.json()["id"], "sendAt": desk.house.clock() + HOUR}
    key = {"Idempotency-Key": "once"}
    first = await desk.ask("POST", f"{BOB}/emails/send", body, token=desk.bob, headers=key)
    await due(desk, 1)
    await desk.house.sink.wait(1)
    assert await desk.get(f"{BOB}/emails/Drafts", token=desk.bob) == []
    again = await desk.ask("POST", f"{BOB}/emails/send", body, token=desk.bob, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json()) and first.status_code == 200


async def test_a_scheduled_mail_is_recalled_whole(desk: Desk) -> None:
    mail_id = await send(desk, sendAt=desk.house.clock() + HOUR)
    assert await recall(desk, mail_id) == 204
    (entry,) = await desk.get("/audit?act=recall")
    assert (entry["login"], entry["kind"], entry["mailId"]) == ("bob@served.example", "mail", mail_id)
    await due(desk, 2)
    assert (await desk.ask("GET", f"{BOB}/sent/{mail_id}", token=desk.bob)).status_code == 404
    assert desk.house.sink.mails == [] and await desk.get(f"{BOB}/emails/Sent", token=desk.bob) == []


async def test_a_mail_that_can_not_go_at_its_hour_is_given_back(desk: Desk) -> None:
    await send(desk, sendAt=desk.house.clock() + HOUR, subject="Never")
    kept = desk.house.store.reader.first(Policy, All(()))
    assert kept is not None
    await desk.house.store.write(lambda writer: writer.change(Policy, kept.id, outgoing=False))
    await due(desk, 2)
    (notice,) = await desk.house.sink.wait(1)
    assert notice.recipients == ["bob@served.example"] and b"Subject: Not sent: Never\r\n" in notice.data
    assert [each["subject"] for each in await desk.get(f"{BOB}/emails/Drafts", token=desk.bob)] == ["Never"]
    assert desk.house.store.reader.count(Scheduled, All(())) == 0


async def test_the_files_of_a_mail_that_can_not_go_at_its_hour_stay_as_long_as_it_waits(desk: Desk) -> None:
    await send(desk, sendAt=desk.house.clock() + HOUR, attachments=[await bring(desk)])
    await desk.house.store.write(lambda writer: writer.change(User, 1, status=UserStatus.DISABLED))
    for _ in range(5):
        await due(desk, 24)
        await desk.house.store.write(lambda writer: writer.purge(desk.house.clock()))
    await desk.house.store.write(lambda writer: writer.change(User, 1, status=UserStatus.ENABLED))
    await due(desk, 24)
    assert b"a.txt" in (await desk.house.sink.wait(1))[0].data


async def test_a_mail_of_who_may_send_no_longer_is_given_back_once_without_a_file_that_is_gone(desk: Desk) -> None:
    file = await bring(desk)
    await send(desk, sendAt=desk.house.clock() + HOUR, attachments=[file], subject="Never")
    assert (await desk.ask("DELETE", f"/emails/attachments/{file['uid']}/a.txt", token=desk.bob)).status_code == 200
    await desk.house.store.write(lambda writer: writer.change(Domain, 1, user_permissions=["MAILS_READ"]))
    for _ in range(3):
        await due(desk, 25)
    assert [each.recipients for each in await desk.house.sink.wait(1)] == [["bob@served.example"]]
    assert [each["subject"] for each in await desk.get(f"{BOB}/emails/Drafts", token=desk.bob)] == ["Never"]
    assert desk.house.store.reader.count(Scheduled, All(())) == 0


async def test_an_answer_goes_in_its_thread_though_what_it_answers_is_gone_by_its_hour(desk: Desk) -> None:
    policies = desk.house.store.reader.find(Policy, Query()).items
    await desk.house.store.write(lambda writer: [writer.change(Policy, each.id, archive=False) for each in policies])
    await desk.house.send(mail(message_id="asked"), "bob@served.example")
    later = {"sendAt": desk.house.clock() + 48 * HOUR, "to": ["ada@world.example"], "subject": "Re: Hello"}
    await send(desk, **later, originId="<asked@world.example>")
    none = {**later, "originId": "<none@world.example>"}
    told = await desk.ask("POST", f"{BOB}/emails/send", none, token=desk.bob)
    assert (told.status_code, told.json()["pointer"]) == (422, "/originId")
    await desk.house.store.write(lambda writer: writer.remove(Copy, eq("mailbox", "bob@served.example")))
    await due(desk, 48)
    answer = message_from_bytes((await desk.house.sink.wait(2))[1].data, policy=policy.default)
    assert answer["In-Reply-To"] == "<asked@world.example>"


async def test_what_a_user_sent_stays_his_alone_when_his_address_is_given_to_another(desk: Desk) -> None:
    mail_id = await send(desk, to=["deaf@world.example"], bcc=["ada@world.example"])
    draft = await desk.ask("POST", f"{BOB}/emails/drafts", {"bcc": ["eve@world.example"]}, token=desk.bob)
    assert draft.status_code == 201
    await desk.house.gatepost.queue.idle()
    robert = f"/users/{desk.ids.show(1)}"
    assert (await desk.ask("PATCH", robert, {"email": "robert@served.example"})).status_code == 204
    await desk.house.user("bob@served.example")
    another = await desk.token_of("bob@served.example")
    for method in ("GET", "DELETE"):
        assert (await desk.ask(method, f"{BOB}/sent/{mail_id}", token=another)).status_code == 404
    (sent,) = await desk.get(f"{robert}/emails/Sent", token=desk.bob)
    (begun,) = await desk.get(f"{robert}/emails/Drafts", token=desk.bob)
    assert (sent["bcc"], begun["bcc"]) == (["ada@world.example"], ["eve@world.example"])
    assert (await desk.ask("DELETE", f"{robert}/sent/{mail_id}", token=desk.bob)).status_code == 204


async def test_what_was_sent_from_an_address_before_an_account_had_it_is_another_s(desk: Desk) -> None:
    policies = desk.house.store.reader.find(Policy, Query()).items
    off = {"retention": False, "archive": False}
    await desk.house.store.write(lambda writer: [writer.change(Policy, each.id, **off) for each in policies])
    mail_id = await send(desk)
    assert (await desk.ask("GET", f"{BOB}/sent/{mail_id}", token=desk.bob)).status_code == 200
    assert (await desk.ask("DELETE", f"/users/{desk.ids.show(1)}")).status_code == 204
    desk.house.clock.now += 1
    await desk.house.user("bob@served.example")
    another = await desk.token_of("bob@served.example")
    assert (await desk.ask("GET", f"{BOB}/sent/{mail_id}", token=another)).status_code == 404


async def test_a_mail_of_an_account_out_of_use_waits(desk: Desk) -> None:
    await send(desk, sendAt=desk.house.clock() + HOUR)
    await desk.house.store.write(lambda writer: writer.change(User, 1, status=UserStatus.DISABLED))
    await due(desk, 2)
    await desk.house.store.write(lambda writer: writer.change(User, 1, status=UserStatus.ENABLED))
    await due(desk, 25)
    assert len(await desk.house.sink.wait(1)) == 1
    await send(desk, sendAt=desk.house.clock() + HOUR)
    await desk.house.store.write(lambda writer: writer.remove(User, eq("id", 1)))
    await due(desk, 2)
    assert desk.house.store.reader.count(Scheduled, All(())) == 0


async def test_many_that_are_due_at_once_go_one_look_after_the_other(desk: Desk) -> None:
    outbox = desk.house.gatepost.services.of(Outbox)
    await outbox.stop()
    await desk.house.store.write(lambda writer: writer.change(User, 1, status=UserStatus.DISABLED))
    many = [Scheduled(id=f"{n}", user_id=1, draft="", subject="", asked=1, due=1, created_at=1) for n in range(101)]
    await desk.house.store.write(lambda writer: [writer.add(each) for each in many])
    assert (await outbox.send_due(), await outbox.send_due()) == (0.0, LOOK)
    assert desk.house.store.reader.count(Scheduled, eq("due", 1)) == 0  # each was looked at


async def test_what_can_not_be_scheduled_is_told_at_once(desk: Desk) -> None:
    later = desk.house.clock() + HOUR
    hers = Upload(id="e" * 32, user_id=99, name="x", type="a/b", size=1, created_at=0, expires_at=2**50)
    await desk.house.add(hers)
    for members, status in (
        ({"to": []}, 400),
        ({"subject": "x\r\ny"}, 400),
        ({"sendAt": later + 366 * 24 * HOUR}, 400),
        ({"attachments": [{"uid": hers.id, "name": "hers"}]}, 404),
    ):
        body = {"to": ["ada@world.example"], "subject": "Hello", "sendAt": later, **members}
        assert (await desk.ask("POST", f"{BOB}/emails/send", body, token=desk.bob)).status_code == status, members
    assert desk.house.store.reader.count(Scheduled, eq("user_id", 1)) == 0
