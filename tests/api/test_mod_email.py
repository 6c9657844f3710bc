"""mod-email: the examples replayed, mail handed in and told of until it is delivered or not, and who sees which."""

import base64
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from tests.api.kept import GTUBE, Desk, open_desk
from tests.api.spoken import examples, play
from tests.house import CHEAP
from tests.message.test_returns import mail as report

from gatepost.api.mod_email import SAID
from gatepost.model.access import Admin, Grant, Level
from gatepost.model.audit import Audit
from gatepost.model.email import Email
from gatepost.model.policy import Policy
from gatepost.model.query import All, eq
from gatepost.model.stored import Delivery, Message
from gatepost.model.tenant import Group, GroupMember, UserStatus

pytestmark = pytest.mark.anyio

MAIL = {"notificationId": "7", "to": "ada@far.example", "header": "Hello", "body": "Good day"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, email={"attachment_bytes": 100}) as desk:
        known = desk.house.store.reader.first(Policy, All(()))
        assert known is not None
        await desk.house.store.write(lambda writer: writer.change(Policy, known.id, outgoing=True))
        yield desk


async def post(desk: Desk, *, token: str | None = None, key: str = "", **members: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await desk.ask("POST", "/email", {**MAIL, **members}, token=token or desk.bob, headers=headers)


async def listed(desk: Desk, query: str = "", *, token: str | None = None, **window: int) -> tuple[list[str], int]:
    """Return the ids of the notifications that a query finds, and how many there are."""
    params = httpx2.QueryParams({"query": query, **window} if query else window)
    found = await desk.get(f"/email?{params}", token=token or desk.root)
    return [each["notificationId"] for each in found["emailEntity"]], found["totalRecords"]


async def settled(desk: Desk) -> None:
    await desk.house.gatepost.queue.idle()


async def test_the_examples_are_answered_as_printed(desk: Desk) -> None:
    known, root = examples("mod-email"), {"Authorization": f"Bearer {desk.root}"}
    await desk.house.domain("email.com", policy={"outgoing": True}, hop=("127.0.0.1", desk.house.sink.port))
    await desk.house.user("admin@email.com")
    await desk.house.user("user@email.com")
    printed = known["004"]["response"]["body"]
    known["001"]["request"]["body"] = printed  # the document shows none
    answer = await play(desk, known["001"], headers=root)
    assert answer.headers["content-type"].partition(";")[0] == "text/plain"
    await play(desk, known["002"], headers=root)
    found = await desk.get("/email")
    (shown,) = found["emailEntity"]
    assert found["totalRecords"] == 1
    assert {name: shown[name] for name in printed} == {**printed, "notificationId": "1"}
    await play(desk, known["005"], headers={})
    nobody = await desk.ask("POST", "/email", MAIL, token=None)
    assert (nobody.status_code, nobody.text) == (401, known["005"]["response"]["body"])
    assert nobody.headers["www-authenticate"].startswith("Bearer, Basic")
    # 003 and 007 are faults of ours, 006 a status that no list needs: their words alone are held.
    assert SAID[500] == known["003"]["response"]["body"] and SAID[404] == known["006"]["response"]["body"]


async def test_a_mail_arrives_with_its_files_and_is_told_of_until_it_is_delivered(desk: Desk) -> None:
    logo = base64.b64encode(b"GIF89a").decode()
    parts = [
        {"contentType": "image/gif", "name": "logo.gif", "data": logo, "contentId": "logo", "description": "Our logo"},
        {"contentType": "text/plain", "name": "a.txt", "data": "aGVs\nbG8=", "disposition": "attachment"},
    ]
    desk.house.sink.script["DATA"] = ["451 4.3.0 Later"]
    html = '<p>Hi <img src="cid:logo"></p>'
    answer = await post(
        desk, body=html, outputFormat=" Text/HTML", attachments=parts, bcc='"Al, A." <al@far.example>, '
    )
    assert answer.text == "200 Ok"
    await settled(desk)
    (shown,) = (await desk.get("/email", token=desk.bob))["emailEntity"]
    assert (shown["status"], "date" in shown, "451 4.3.0 Later" in shown["message"]) == ("PROCESSING", False, True)
    desk.house.clock.now += 3_600_000
    desk.house.gatepost.queue.wake()
    (mail,) = await desk.house.sink.wait()
    await settled(desk)
    assert set(mail.recipients) == {"ada@far.example", "al@far.example"}
    parsed = cast(EmailMessage, message_from_bytes(mail.data, policy=policy.default))
    assert (parsed["From"], parsed["To"], parsed["Bcc"]) == ("bob@served.example", "ada@far.example", None)
    assert parsed.get_body(("html",)) and not parsed.get_body(("plain",))
    found = {part.get_filename(): part for part in parsed.walk() if part.get_filename()}
    assert found["logo.gif"]["Content-ID"] == "<logo>" and found["logo.gif"]["Content-Description"] == "Our logo"
    assert found["a.txt"].get_content() == "hello" and found["a.txt"].get_content_disposition() == "attachment"
    (shown,) = (await desk.get("/email", token=desk.bob))["emailEntity"]
    assert (shown["status"], shown["from"], shown["outputFormat"]) == ("DELIVERED", "bob@served.example", " Text/HTML")
    assert shown["attachments"] == parts and "message" not in shown and shown["date"].endswith("Z")
    assert shown["metadata"]["createdByUsername"] == "bob@served.example"


async def test_a_failure_is_told_with_the_server_s_words(desk: Desk) -> None:
    desk.house.sink.script["RCPT <ada@far.example>"] = "550 5.1.1 Nobody of that name"
    assert (await post(desk)).status_code == 200
    await settled(desk)
    for query in ("status==FAILURE", 'message="nobody of that name"', "status==failure and attemptCount==1"):
        assert await listed(desk, query) == (["7"], 1)
    assert await listed(desk, "status==DELIVERED") == ([], 0)


async def test_a_report_that_comes_back_makes_a_failure_of_what_was_delivered(desk: Desk) -> None:
    assert (await post(desk)).status_code == 200
    await settled(desk)
    assert await listed(desk, "status==DELIVERED") == (["7"], 1)
    row = desk.house.store.reader.first(Email, All(()))
    assert row is not None
    status = b"Final-Recipient: rfc822; ada@far.example\r\nAction: failed\r\nStatus: 5.2.2\r\n"
    back = report("message/delivery-status", status, head=f"X-Gatepost-Id: {row.mail_id}\r\n\r\n".encode())
    await desk.house.send(back, "bob@served.example", sender="")
    assert await listed(desk, 'status==FAILURE and message=="5.2.2*"') == (["7"], 1)


async def test_a_mail_that_filters_hold_is_told_of_as_such_until_its_recipient_has_it(desk: Desk) -> None:
    for number, to in enumerate(("ada@far.example", "bob@served.example")):
        assert (await post(desk, notificationId=number, to=to, body=GTUBE.decode())).status_code == 200
        query = f"/email?query=notificationId=={number}"
        (shown,) = (await desk.get(query))["emailEntity"]
        assert shown["status"] == "FAILURE" and shown["message"].startswith("held: ")
        copy = desk.house.copies("Quarantine")[-1]
        place = f"/users/bob@served.example/emails/Quarantine/{copy.mail_id}/release"
        assert (await desk.ask("POST", place)).status_code == 204  # to whom it was written
        await settled(desk)
        (shown,) = (await desk.get(query))["emailEntity"]
        assert shown["status"] == "DELIVERED" and "message" not in shown


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"notificationId": None}, "/notificationId"),
    ({"to": "nobody"}, "(/to)"),
    ({"to": ""}, "/to"),
    ({"header": None}, "/header"),
    ({"header": "a\r\nBcc: x@y.example"}, "header contains a character that is not allowed (/header)"),
    ({"body": "a\x00"}, "body contains a character that is not allowed (/body)"),
    ({"body": None}, "/body"),
    ({"from": "eve@served.example"}, "/from"),
    ({"from": "nobody"}, "/from"),
    ({"bcc": "ada@far.example,nobody"}, "/bcc/1"),
    ({"attachments": [{"contentType": "text/plain", "name": "a", "data": "%"}]}, "/attachments/0/data"),
    ({"attachments": [{"contentType": "text", "name": "a", "data": ""}]}, "/attachments"),
    ({"attachments": [{"name": "a", "data": ""}]}, "/attachments/0"),
    ({"to": "nobody@served.example"}, "(/to)"),
]
"""A member that can't be sent, and what is told of it."""


async def test_what_can_t_be_sent_is_refused_in_plain_text_and_nothing_is_kept(desk: Desk) -> None:
    desk.house.sink.script["RCPT <nobody@served.example>"] = "550 5.1.1 No"
    for change, words in FAULTS:
        answer = await post(desk, **change)
        assert answer.status_code == 400 and answer.text.startswith("Bad request: ") and words in answer.text, change
    assert desk.house.store.reader.first(Email, All(())) is None


async def test_nothing_is_sent_twice_under_one_key(desk: Desk) -> None:
    for _ in range(2):
        assert (await post(desk, key="once")).text == "200 Ok"
    for other in ({"header": "Other"}, {"notificationId": "8"}):
        assert (await post(desk, key="once", **other)).status_code == 400
    assert await listed(desk) == (["7"], 1)
    assert desk.house.store.reader.count(Message, All(())) == 1


async def test_an_administrator_s_program_sends_as_an_account_or_as_the_setting_s(desk: Desk, tmp_path: Path) -> None:
    await desk.house.add(Admin(login="app", password_hash=CHEAP.hash("secret word"), sys_admin=True, created_at=0))
    basic = {"Authorization": "Basic " + base64.b64encode(b"app:secret word").decode()}
    none = await desk.ask("POST", "/email", MAIL, token=None, headers=basic)
    assert none.status_code == 400 and "/from" in none.text
    sent = await desk.ask("POST", "/email", {**MAIL, "from": "bob@served.example"}, token=None, headers=basic)
    assert sent.status_code == 200
    row = desk.house.store.reader.first(Email, All(()))
    assert row is not None and (row.created_by, row.sender) == ("app", "bob@served.example")
    await desk.house.user("gone@served.example", status=UserStatus.DISABLED)
    gone = await desk.ask("POST", "/email", {**MAIL, "from": "gone@served.example"}, token=None, headers=basic)
    assert gone.status_code == 400 and "not in service. (/from)" in gone.text


async def test_a_setting_names_whose_mail_it_is_where_a_program_does_not(tmp_path: Path) -> None:
    async with open_desk(tmp_path, email={"sender": "bob@served.example"}) as desk:
        assert (await post(desk, token=desk.root, to="bob@served.example")).status_code == 200
        (mail,) = await desk.house.sink.wait()
        assert mail.sender == "bob@served.example"


async def test_each_sees_what_his_scope_sent(desk: Desk) -> None:
    other = await desk.house.domain("other.example", policy={"outgoing": True})
    await desk.house.user("kim@other.example")
    await desk.house.user("mate@served.example")
    tokens = {name: await desk.token_of(f"{name}.example") for name in ("kim@other", "mate@served")}
    for number, token in enumerate([desk.bob, tokens["mate@served"], tokens["kim@other"]]):
        assert (await post(desk, token=token, notificationId=number)).status_code == 200
    admin = await desk.house.add(Admin(login="theirs", created_at=0))
    assert isinstance(admin, Admin)
    await desk.house.add(Grant(admin_id=admin.id, level=Level.DOMAIN, node_id=other.id, permissions=["MAILS_READ"]))
    assert await listed(desk) == (["0", "1", "2"], 3)
    assert await listed(desk, token=desk.bob) == (["0"], 1)
    assert await listed(desk, token=await desk._token(admin_id=admin.id)) == (["2"], 1)
    assert (await listed(desk, 'cql.allRecords=1 not to="*"', token=desk.bob))[1] == 0


async def test_content_is_for_who_sent_it_and_for_others_with_the_right_and_a_reason(desk: Desk) -> None:
    parts = [{"contentType": "text/plain", "name": "a.txt", "data": "aGk="}]
    await post(desk, attachments=parts)
    admin = await desk.house.add(Admin(login="theirs", created_at=0))
    assert isinstance(admin, Admin)
    rights = Grant(admin_id=admin.id, level=Level.DOMAIN, node_id=1, permissions=["MAILS_READ"])
    held = cast(Grant, await desk.house.add(rights))
    token = await desk._token(admin_id=admin.id)
    why = {"X-Access-Reason": "a complaint"}

    async def seen(asked: str = "/email", **more: Any) -> list[tuple[str, str]]:
        found = (await desk.get(asked, **more))["emailEntity"]
        return [(each["body"], each["attachments"][0]["data"]) for each in found]

    assert await seen(token=desk.bob) == [("Good day", "aGk=")]
    for asked, count in (("/email", 1), ("/email?query=body=good", 0), ("/email?query=header=hello sortBy body", 0)):
        assert await seen(asked, token=token, headers=why) == [("", "")] * count
    assert await seen(token=desk.root) == [("", "")]
    await desk.house.store.write(
        lambda writer: writer.change(Grant, held.id, permissions=["MAILS_READ", "MAIL_CONTENT"])
    )
    assert await seen(token=token) == [("", "")]
    assert await seen("/email?query=body=good", token=token, headers=why) == [("Good day", "aGk=")]
    told = desk.house.store.reader.first(Audit, eq("act", "read"))
    assert told is not None and (told.login, told.reason) == ("theirs", "a complaint")


async def test_the_members_of_a_group_are_not_told(desk: Desk) -> None:
    group = await desk.house.add(Group(domain_id=1, email="all@served.example"))
    assert isinstance(group, Group)
    await desk.house.add(GroupMember(group_id=group.id, email="bob@served.example"))
    desk.house.sink.script["RCPT <bob@served.example>"] = "550 5.1.1 No bob here"
    assert (await post(desk, to="all@served.example")).status_code == 200
    await settled(desk)
    (shown,) = (await desk.get("/email", token=desk.bob))["emailEntity"]
    assert (shown["status"], shown["message"]) == ("FAILURE", "a member of the group could not be reached")


async def test_lists_have_a_window_and_refuse_what_can_t_be_read(desk: Desk) -> None:
    for number in range(4):
        await post(desk, notificationId=str(number), to=f"{number % 2}@far.example")
    by = "cql.allRecords=1 sortBy to/sort.descending notificationId"
    assert await listed(desk, by) == (["1", "3", "0", "2"], 4)
    assert await listed(desk, by, offset=1, limit=2) == (["3", "0"], 4)
    assert await listed(desk, by, offset=4) == ([], 4) and await listed(desk, limit=0) == ([], 4)
    assert await listed(desk, limit=2147483647) == (["0", "1", "2", "3"], 4)
    for asked, words in (
        ("query=status%3D%3D", "position 9"),
        ("query=password%3D%3Dx", "position 1"),
        ("offset=-1", "/offset"),
        ("limit=2147483648", "/limit"),
        ("lang=eng", "/lang"),
    ):
        answer = await desk.ask("GET", f"/email?{asked}")
        assert answer.status_code == 400 and words in answer.text, answer.text


async def test_records_go_after_their_days_once_their_mail_is_done(desk: Desk) -> None:
    desk.house.sink.script["RCPT <late@far.example>"] = "451 4.3.0 Later"
    await post(desk, attachments=[{"contentType": "text/plain", "name": "a", "data": "A" * 104}])
    await post(desk, notificationId="8", to="late@far.example")
    await settled(desk)
    (shown, _) = (await desk.get("/email"))["emailEntity"]
    assert shown["attachments"] == [{"contentType": "text/plain", "name": "a", "data": ""}]  # too large to be listed
    row = desk.house.store.reader.first(Delivery, eq("recipient", "late@far.example"))
    assert row is not None
    expired = desk.house.clock() + 8 * 86_400_000
    await desk.house.store.write(lambda writer: writer.purge(expired, 200))
    assert await listed(desk) == (["8"], 1)
    await desk.house.gatepost.queue.moves.delete([row.id])
    (shown,) = (await desk.get("/email"))["emailEntity"]
    assert (shown["status"], shown["message"]) == ("FAILURE", row.last_reply)
    await desk.house.store.write(lambda writer: writer.purge(expired, 200))
    assert await listed(desk) == ([], 0)
