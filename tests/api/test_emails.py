"""Kept mail over HTTP, from mail that really came in: folders, search, content, attachments, release."""

import asyncio
import base64
import io
import quopri
import random
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from tests.api.kept import BASE, EICAR, GTUBE, Desk, mail, open_desk
from tests.house import queued_as

from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.query import All, eq, every
from gatepost.model.stored import Copy, Delivery, State
from gatepost.model.tenant import Domain, User
from gatepost.services.content import Contents

pytestmark = pytest.mark.anyio

BOB = "/users/bob@served.example/emails"
MIXED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
    b"--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"
    b"--c\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    b"--c\r\nContent-Type: text/html\r\n\r\n<p>Rich<script>alert(1)</script></p>\r\n--c--\r\n"
    b"--b\r\nContent-Type: image/png; name=one.png\r\nContent-Disposition: attachment; filename=one.png\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
    b'--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename="../../one.png"\r\n\r\n'
    b"<script>1</script>\r\n--b--",
)

SEALED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
    b"--b\r\nContent-Type: application/zip; name=a.zip\r\nContent-Disposition: attachment; filename=a.zip\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nUEsDBAo=\r\n--b--",
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    weights = dict.fromkeys(("HTML_SCRIPT", "FILE_HTML", "FILE_HTML_SCRIPT"), 0)  # these mails are delivered here
    async with open_desk(tmp_path, filters={"options": {"score": {"weights": weights}}}) as desk:
        yield desk


async def take(desk: Desk, raw: bytes, *recipients: str) -> str:
    """Have a mail come in; return its id."""
    reply = await desk.house.send(raw, *(recipients or ("bob@served.example",)))
    assert reply.code == 250, reply
    return queued_as(reply)


async def subjects(desk: Desk, folder: str, query: str = "", **more: Any) -> list[str]:
    return [each["subject"] for each in await desk.get(f"{BOB}/{folder}{query}", **more)]


# Folders.


async def test_a_mailbox_has_its_folders_and_the_systems_for_administrators(desk: Desk) -> None:
    paths = [folder["path"] for folder in await desk.get(f"{BOB}/folders")]
    assert paths == ["INBOX", "Sent", "Drafts", "Quarantine", "Archive", "System"]
    own = await desk.get(f"{BOB}/folders", token=desk.bob)
    assert [folder["path"] for folder in own] == paths[:-1]
    assert (await desk.ask("GET", f"{BOB}/System", token=desk.bob)).status_code == 404
    assert (await desk.ask("GET", f"{BOB}/System")).status_code == 200


async def test_a_folders_links_lead_on(desk: Desk) -> None:
    await take(desk, mail())
    for folder in await desk.get(f"{BOB}/folders"):
        for link, expected in ((folder["messagesUri"], list), (folder["childrenUri"], list)):
            assert link.startswith(f"{BASE}/users/")
            assert isinstance(await desk.get(link.removeprefix(BASE)), expected)
    (listed,) = await desk.get(f"{BOB}/INBOX")
    assert (await desk.get(listed["uri"].removeprefix(BASE)))["subject"] == "Hello"


async def test_counts_are_given_only_where_they_are_asked_for(desk: Desk) -> None:
    await take(desk, mail())
    await take(desk, mail(message_id="2"))
    plain = await desk.get(f"{BOB}/folders")
    assert {(each["messageCount"], each["unreadMessageCount"]) for each in plain} == {(None, None)}
    counted = {each["path"]: each for each in await desk.get(f"{BOB}/folders?fields=stats")}
    assert (counted["INBOX"]["messageCount"], counted["INBOX"]["unreadMessageCount"]) == (2, 2)
    assert (counted["Quarantine"]["messageCount"], counted["Quarantine"]["unreadMessageCount"]) == (0, 0)
    assert (await desk.ask("GET", f"{BOB}/folders?fields=SIZES")).status_code == 400


async def test_the_quarantine_has_a_child_for_each_class_and_nothing_else_has_any(desk: Desk) -> None:
    """A43, A44: a child's path is one percent-encoded segment."""
    classes = {
        "Spam": await take(desk, mail("Spam", GTUBE)),
        "Virus": await held_virus(desk),
        "BadHeaders": await take(desk, mail("Headers").replace(b"To: Bob <bob@served.example>\r\n", b"No header\r\n")),
        "BadAttachments": await take(desk, mail("Sealed", SEALED[1], headers=SEALED[0])),
    }
    children = await desk.get(f"{BOB}/folders/Quarantine?fields=STATS")
    names = ["Spam", "Virus", "Advert", "Blacklisted", "SenderVerify", "BadHeaders", "BadEncoding", "BadAttachments"]
    assert [child["name"] for child in children] == names
    for child in children:
        mails = await desk.get(child["messagesUri"].removeprefix(BASE))
        ids = [classes[child["name"]]] if child["name"] in classes else []
        assert child["path"] == f"Quarantine/{child['name']}"
        assert [each["id"] for each in mails] == ids
        assert (child["messageCount"], child["unreadMessageCount"]) == (len(ids), len(ids))
        assert await desk.get(child["childrenUri"].removeprefix(BASE)) == []
        for mail_id in ids:
            assert (await desk.get(f"{BOB}/quarantine%2F{child['name'].lower()}/{mail_id}"))["id"] == mail_id
    assert (await desk.ask("GET", f"{BOB}/Quarantine%2FSpam/{classes['Virus']}")).status_code == 404
    whole = await desk.ask("GET", f"{BOB}/Quarantine")
    assert {each["id"] for each in whole.json()} == set(classes.values())
    counted = {each["path"]: each["messageCount"] for each in await desk.get(f"{BOB}/folders?fields=STATS")}
    assert counted == {"INBOX": 0, "Sent": 0, "Drafts": 0, "Quarantine": 4, "Archive": 3, "System": 0}
    for path in counted:
        assert (await desk.get(f"{BOB}/folders/{path}") == []) is (path != "Quarantine")
    for path in ("elsewhere", "Spam", "INBOX%2FSpam", "Quarantine%2F", "Quarantine%2FClean", "Quarantine%2FSpam%2Fx"):
        assert (await desk.ask("GET", f"{BOB}/folders/{path}")).status_code == 404


async def test_sent_mail_lies_in_sent(desk: Desk) -> None:
    policy = desk.house.store.reader.first(Policy, All(()))
    domain = desk.house.store.reader.domain("served.example")
    assert policy is not None and domain is not None
    await desk.house.store.write(lambda writer: writer.change(Policy, policy.id, outgoing=True))
    await desk.house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
    raw = mail("Out").replace(b"Ada <ada@world.example>", b"bob@served.example")
    reply = await desk.house.send(raw, "ada@world.example", sender="bob@served.example", role=Role.TRUSTED)
    assert reply.code == 250, reply
    assert (await subjects(desk, "Sent"), await subjects(desk, "INBOX")) == (["Out"], [])


async def test_folders_are_known_in_any_case_and_the_inbox_is_what_was_delivered(desk: Desk) -> None:
    await take(desk, mail())
    for path in ("Quarantine", "QUARANTINE", "inbox", "INBOX", "retention"):
        assert await subjects(desk, path) == ([] if path.lower() == "quarantine" else ["Hello"]), path


async def test_a_path_is_one_of_a_few_names_and_nothing_else(desk: Desk) -> None:
    """Threat 121."""
    for path in ("%2e%2e", "..%2f..%2fetc", "quarantine%2f..", "quarantine%00", "%00", "sent%2f", "%ff", "%20"):
        for where in (f"{BOB}/{path}", f"{BOB}/{path}/1", f"{BOB}/folders/{path}", f"{BOB}/{path}/1/attachments/0"):
            assert (await desk.ask("GET", where, token=desk.bob)).status_code == 404, where
        assert (await desk.ask("POST", f"{BOB}/{path}/1/release")).status_code == 404, path


# Whose.


async def test_a_mailbox_is_found_by_id_or_address_even_under_another_name_of_its_domain(desk: Desk) -> None:
    """Contract A45."""
    await take(desk, mail())
    user = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user is not None
    for who in (desk.ids.show(user.id), "bob@served.example", "BOB@Served.Example"):
        assert len(await desk.get(f"/users/{who}/emails/INBOX")) == 1
    for who in ("zzzzz", "nobody@served.example", "bob@nowhere.example", "bob@", "@"):
        assert (await desk.ask("GET", f"/users/{who}/emails/INBOX")).status_code == 404, who


async def test_mail_that_was_kept_for_an_address_without_account_is_the_administrators(desk: Desk) -> None:
    """Rules 7."""
    desk.house.sink.script.clear()
    await take(desk, mail(body=GTUBE), "lost@served.example")
    (kept,) = await desk.get("/users/lost@served.example/emails/Quarantine")
    assert kept["uri"].startswith(f"{BASE}/users/lost@served.example/")
    assert (await desk.ask("GET", "/users/lost@served.example/emails/Quarantine", token=desk.bob)).status_code == 403


async def test_another_users_mail_is_forbidden_whether_it_is_there_or_not(desk: Desk) -> None:
    """Threats 107, 115."""
    mail_id = await take(desk, mail())
    await desk.house.user("eve@served.example")
    eve = await desk.token_of("eve@served.example")
    for path in ("folders", "folders/Quarantine", "INBOX", f"INBOX/{mail_id}", "INBOX/nothing", "nowhere"):
        for who in ("bob@served.example", "nobody@served.example", "zzzzz", "x@nowhere.example"):
            assert (await desk.ask("GET", f"/users/{who}/emails/{path}", token=eve)).status_code == 403, (who, path)
    for path in (f"INBOX/{mail_id}", "INBOX/nothing"):
        assert (await desk.ask("GET", f"{BOB}/{path}/attachments", token=eve)).status_code == 403
        assert (await desk.ask("POST", f"{BOB}/{path}/release", token=eve)).status_code == 403
    assert await desk.get("/users/eve@served.example/emails/INBOX", token=eve) == []


# Lists and searches.


async def test_a_list_shows_what_was_kept_and_why(desk: Desk) -> None:
    mail_id = await take(desk, mail("Spam", GTUBE))
    (shown,) = await desk.get(f"{BOB}/Quarantine")
    assert (shown["id"], shown["subject"], shown["from"]) == (mail_id, "Spam", "Ada <ada@world.example>")
    assert (shown["to"], shown["cc"]) == (["Bob <bob@served.example>"], [])
    assert (shown["infected"], shown["category"]) == (False, "SPAM")
    assert "GTUBE" in shown["reason"]
    assert shown["sentDate"] == 1795082400000
    assert (shown["seen"], shown["hasAttachments"], shown["releasedAt"]) == (False, False, None)
    assert shown["expiresAt"] - shown["receivedDate"] == 31 * 86_400_000


async def test_lists_are_paged_and_sorted_by_the_date_backwards(desk: Desk) -> None:
    """Threats 125, 126; contract A39."""
    for day in (3, 1, 2):
        raw = mail(f"Day {day}", message_id=str(day)).replace(b"19 Nov", b"%02d Nov" % day)
        await take(desk, raw)
    assert await subjects(desk, "INBOX") == ["Day 3", "Day 2", "Day 1"]
    assert await subjects(desk, "INBOX", "?sort=send_date") == ["Day 1", "Day 2", "Day 3"]
    assert await subjects(desk, "INBOX", "?sort=subject&pageSize=2") == ["Day 1", "Day 2"]
    assert await subjects(desk, "INBOX", "?sort=-receivedDate&offset=1") != []
    page = await desk.ask("GET", f"{BOB}/INBOX?offset=2&pageSize=40")
    assert (len(page.json()), page.headers["x-total-count"]) == (1, "3")
    for query in ("?sort=body", "?sort=reason", "?offset=-1", "?pageSize=0", "?pageSize=many", "?operator=XOR"):
        assert (await desk.ask("GET", f"{BOB}/INBOX{query}")).status_code == 400, query


async def test_a_search_combines_its_criteria(desk: Desk) -> None:
    """Contract 2, A37, A40; threat 126: wildcards of SQL are letters."""
    one = await take(desk, mail("Invoice 100%", message_id="one"))
    await take(desk, mail("Holiday_plans", message_id="two").replace(b"Ada <ada@", b"Eve <eve@"))
    cases = {
        "subject=invoice": ["Invoice 100%"],
        "subject=100%25": ["Invoice 100%"],
        "subject=y_p": ["Holiday_plans"],
        "subject=y%25p": [],
        "subject=y-p": [],
        "subject=inv*ice": [],
        "subject=*voice*": ["Invoice 100%"],
        "subject=invoice*": ["Invoice 100%"],
        "subject=*": ["Holiday_plans", "Invoice 100%"],
        "from=*@world.example": ["Holiday_plans", "Invoice 100%"],
        "from=EVE": ["Holiday_plans"],
        "to=bob": ["Holiday_plans", "Invoice 100%"],
        "cc=bob": [],
        f"id={one}": ["Invoice 100%"],
        "id=two@world.example": ["Holiday_plans"],
        "id=%3Ctwo@world.example%3E": ["Holiday_plans"],
        "subject=invoice&from=eve": [],
        "subject=invoice&from=eve&operator=OR": ["Holiday_plans", "Invoice 100%"],
        "subject=invoice&from=nobody&operator=NOT": ["Holiday_plans"],
        "operator=NOT": ["Holiday_plans", "Invoice 100%"],
        "receivedAfter=1": ["Holiday_plans", "Invoice 100%"],
        "receivedBefore=1": [],
        "receivedAfter=2000-01-01T00:00:00Z&receivedBefore=2001-01-01T00:00:00Z": [],
        "subject='%20OR%201=1%20--": [],
        "unknown=1": ["Holiday_plans", "Invoice 100%"],
    }
    for query, expected in cases.items():
        assert sorted(await subjects(desk, "INBOX", f"?{query}")) == expected, query
    for query in (
        "receivedAfter=yesterday",
        "receivedBefore=-1",
        "receivedAfter=1e9",
        "receivedAfter=2000-01-01T00:00:00",
    ):
        answer = await desk.ask("GET", f"{BOB}/INBOX?{query}")
        assert (answer.status_code, answer.json()["pointer"]) == (400, f"/{query.partition('=')[0]}")


async def test_bodies_are_searched_by_their_owner_alone(desk: Desk) -> None:
    """Rules 12."""
    await take(desk, mail("One", b"the secret word", message_id="1"))
    await take(
        desk,
        mail(
            "Two",
            b"=C3=9Cber SECRET things",
            message_id="2",
            headers=b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n",
        ),
    )
    await take(desk, mail("Three", b"nothing", message_id="3"))
    assert (await desk.ask("GET", f"{BOB}/INBOX?body=secret")).status_code == 403
    cases = {
        "body=secret": ["One", "Two"],
        "body=%C3%BCBER": ["Two"],
        "body=secret&subject=one": ["One"],
        "body=word&subject=three&operator=OR": ["One", "Three"],
        "body=secret&operator=NOT": ["Three"],
        "body=secret&subject=three&operator=NOT": [],
        "body=nowhere": [],
        "body=wor*": ["One"],
        "body=secret%20word": ["One"],
        "body=word%20secret": [],
        "body=%25": [],
        "body=": ["One", "Three", "Two"],
    }
    for query, expected in cases.items():
        assert sorted(await subjects(desk, "INBOX", f"?{query}", token=desk.bob)) == sorted(expected), query


async def test_kept_mail_goes_along_with_a_new_address(desk: Desk) -> None:
    """Of every folder, the archive's too, and found by its words as before; the old address is free for another."""
    kept = await take(desk, mail("One", b"the secret word", message_id="1"))
    held = await take(desk, mail("Two", GTUBE, message_id="2"))
    assert await subjects(desk, "INBOX", "?body=secret", token=desk.bob) == ["One"]
    user = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user
    before = {each["path"]: each["messageCount"] for each in await desk.get(f"{BOB}/folders?fields=STATS")}
    assert before["INBOX"] == before["Quarantine"] == 1 and before["Archive"] == 2
    number = desk.ids.show(user.id)
    answer = await desk.ask("PATCH", f"/users/{number}", {"email": "robert@served.example"})
    assert answer.status_code == 204
    assert (await desk.ask("GET", f"{BOB}/folders")).status_code == 404

    new = "/users/robert@served.example/emails"
    after = {each["path"]: each["messageCount"] for each in await desk.get(f"{new}/folders?fields=STATS")}
    assert after == before
    assert [each["id"] for each in await desk.get(f"{new}/INBOX?body=secret", token=desk.bob)] == [kept]
    assert await desk.get(f"{new}/Quarantine/{held}", token=desk.bob)
    assert (await desk.ask("POST", f"{new}/Quarantine/{held}/release", token=desk.bob)).status_code == 204
    made = {"email": "bob@served.example", "domainId": desk.ids.show(user.domain_id), "status": "ENABLED"}
    assert (await desk.ask("POST", "/users", made)).status_code == 201
    assert await subjects(desk, "INBOX") == []


@pytest.mark.parametrize("way", ["made", "renamed", "provisioned"])
async def test_a_former_holders_mail_is_not_shown_to_who_has_the_address_now(desk: Desk, way: str) -> None:
    """It stays for the administrators. What came while nobody had the address is the next holder's."""
    old = await take(desk, mail("Old", b"the secret word"))
    spam = await take(desk, mail("Spam", GTUBE, message_id="2"))
    draft = (await desk.ask("POST", f"{BOB}/drafts", {"subject": "Mine"}, token=desk.bob)).json()["id"]
    await change(desk, "DELETE", "bob@served.example")
    between = await take(desk, mail("Between", GTUBE, message_id="3"))
    domain = desk.house.store.reader.domain("served.example")
    assert domain is not None
    if way == "provisioned":
        await desk.house.store.write(lambda writer: writer.change(Domain, domain.id, auto_provisioning_on=True))
    elif way == "made":
        made = {"email": "bob@served.example", "domainId": desk.ids.show(domain.id)}
        assert (await desk.ask("POST", "/users", {**made, "status": "ENABLED"})).status_code == 201
    else:
        await desk.house.user("eve@served.example")
        await change(desk, "PATCH", "eve@served.example", {"email": "bob@served.example"})
    new = await take(desk, mail("New", b"another secret word", message_id="4"))
    token = await desk.token_of("bob@served.example")

    assert [await subjects(desk, folder, token=token) for folder in ("INBOX", "Quarantine", "Drafts")] == [
        ["New"],
        ["Between"],
        [],
    ]
    for query in ("?body=secret", "?subject=new&id=1&operator=OR", "?subject=old&operator=NOT", "?sort=subject"):
        assert await subjects(desk, "INBOX", query, token=token) == ["New"], query
    answer = await desk.ask("GET", f"{BOB}/INBOX?pageSize=1", token=token)
    counted = {
        each["path"]: each["messageCount"] for each in await desk.get(f"{BOB}/folders?fields=STATS", token=token)
    }
    assert (answer.headers["x-total-count"], counted["INBOX"], counted["Quarantine"]) == ("1", 1, 1)
    assert (await desk.ask("GET", f"{BOB}/INBOX/{old}", token=token)).status_code == 404
    assert (await desk.ask("POST", f"{BOB}/Quarantine/{spam}/release", token=token)).status_code == 404
    assert (await desk.ask("DELETE", f"{BOB}/drafts/{draft}", token=token)).status_code == 404
    answers = {"to": ["bob@served.example"], "subject": "Re", "body": "x", "originId": old}
    assert (await desk.ask("POST", f"{BOB}/send", answers, token=token)).status_code == 422
    for mail_id, folder in ((new, "INBOX"), (between, "Quarantine")):
        assert (await desk.ask("GET", f"{BOB}/{folder}/{mail_id}", token=token)).status_code == 200

    assert await subjects(desk, "INBOX", "?sort=subject") == ["New", "Old"]
    assert await subjects(desk, "Quarantine", "?sort=subject") == ["Between", "Spam"]
    assert (await desk.ask("POST", f"{BOB}/Quarantine/{spam}/release")).status_code == 204


async def test_a_groups_mail_is_not_shown_to_who_has_its_address_next(desk: Desk) -> None:
    """What an outside member did not get is held for the group."""
    domain = desk.house.store.reader.domain("served.example")
    assert domain is not None
    path, group = f"/domains/{desk.ids.show(domain.id)}/groups", "crew@served.example"
    made = await desk.ask("POST", path, {"email": group, "recipients": ["out@far.example"]})
    held = await take(desk, mail("Held", GTUBE), group)
    quarantine = f"/users/{group}/emails/Quarantine"
    assert [each["subject"] for each in await desk.get(quarantine)] == ["Held"]
    assert (await desk.ask("DELETE", f"/groups/{made.json()['id']}")).status_code == 204
    between = await take(desk, mail("Between", GTUBE, message_id="2"), group)
    account = {"email": group, "domainId": desk.ids.show(domain.id), "status": "ENABLED"}
    assert (await desk.ask("POST", "/users", account)).status_code == 201
    token = await desk.token_of(group)
    assert [each["id"] for each in await desk.get(quarantine, token=token)] == [between]
    shelves = await desk.get(f"/users/{group}/emails/folders?fields=STATS", token=token)
    assert {each["path"]: each["messageCount"] for each in shelves}["Quarantine"] == 1
    assert (await desk.ask("GET", f"{quarantine}/{held}", token=token)).status_code == 404
    assert {each["id"] for each in await desk.get(quarantine)} == {held, between}


async def change(desk: Desk, method: str, email: str, body: dict[str, Any] | None = None) -> None:
    user = desk.house.store.reader.first(User, eq("email", email))
    assert user is not None
    assert (await desk.ask(method, f"/users/{desk.ids.show(user.id)}", body)).status_code == 204


async def test_a_body_search_that_can_not_work_says_so_and_is_in_nobodys_way(tmp_path: Path) -> None:
    """Rules 22."""
    (tmp_path / "state" / "search.db").mkdir(parents=True)
    async with open_desk(tmp_path) as desk:
        await take(desk, mail())
        await desk.house.sink.wait(1)
        assert await subjects(desk, "INBOX", "?subject=hello", token=desk.bob) == ["Hello"]
        answer = await desk.ask("GET", f"{BOB}/INBOX?body=day", token=desk.bob)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        (tmp_path / "state" / "search.db").rmdir()
        assert await subjects(desk, "INBOX", "?body=day", token=desk.bob) == ["Hello"]


# One mail.


async def test_a_mail_is_found_by_our_id_or_its_message_id(desk: Desk) -> None:
    mail_id = await take(desk, mail())
    for name in (mail_id, mail_id.upper(), "1@world.example", quote("<1@world.example>", safe="")):
        assert (await desk.get(f"{BOB}/INBOX/{name}"))["id"] == mail_id
    for name in ("f" * 32, "2@world.example", "%25", "*", quote("' OR 1=1 --")):
        assert (await desk.ask("GET", f"{BOB}/INBOX/{name}")).status_code == 404
    assert (await desk.ask("GET", f"{BOB}/Quarantine/{mail_id}")).status_code == 404


async def test_headers_come_unless_other_parts_are_asked_for(desk: Desk) -> None:
    raw = mail("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", headers=b"X-Twice: one\r\nX-Twice: two\r\n")
    mail_id = await take(desk, raw)
    whole = await desk.get(f"{BOB}/INBOX/{mail_id}")
    assert whole["headers"]["Subject"] == "Grüße"
    assert whole["headers"]["X-Twice"] == ["one", "two"]
    assert not {"body", "source", "attachments"} & whole.keys()
    assert "headers" not in await desk.get(f"{BOB}/INBOX/{mail_id}?fields=ATTACHMENTS")
    assert (await desk.ask("GET", f"{BOB}/INBOX/{mail_id}?fields=HEADERS,COLOURS")).status_code == 400


async def test_body_and_source_are_for_the_owner_and_others_get_the_rest(desk: Desk) -> None:
    """Contract 8."""
    raw = mail(body=MIXED[1], headers=MIXED[0])
    mail_id = await take(desk, raw)
    fields = "?fields=headers,attachments,body,source"
    others = await desk.get(f"{BOB}/INBOX/{mail_id}{fields}")
    assert not {"body", "source"} & others.keys()
    assert others["attachments"]["count"] == 2
    own = await desk.get(f"{BOB}/INBOX/{mail_id}{fields}", token=desk.bob)
    assert own["body"].strip() == "Grüße"
    assert own["source"].encode() == raw


async def test_others_read_content_with_the_right_and_a_reason_which_the_audit_keeps(desk: Desk) -> None:
    """Contract 8, issue 3: MAIL_CONTENT and X-Access-Reason."""
    mail_id = await take(desk, mail(body=MIXED[1], headers=MIXED[0]))
    path, reason = f"{BOB}/INBOX/{mail_id}", {"X-Access-Reason": "Ticket 7: Grüße lost".encode()}
    shown = await desk.get(f"{path}?fields=BODY,SOURCE", headers=reason)
    assert shown["body"].strip() == "Grüße" and shown["source"] and shown["seen"] is False
    assert (await desk.ask("GET", f"{path}/attachments/4", headers=reason)).status_code == 200
    assert [each["id"] for each in await desk.get(f"{BOB}/INBOX?body=other", headers=reason)] == []
    entries = [each for each in await desk.get("/audit?sort=id") if each["act"] in ("read", "search")]
    assert [(each["act"], each["kind"]) for each in entries] == [("read", "mail"), ("read", "mail"), ("search", "user")]
    assert {each["reason"] for each in entries} == {"Ticket 7: Grüße lost"}
    assert {each["login"] for each in entries} == {"root"} and entries[2]["after"] == {"body": "other"}
    help_desk = await desk.helper("served.example")
    assert (
        not {"body", "source"} & (await desk.get(f"{path}?fields=BODY,SOURCE", token=help_desk, headers=reason)).keys()
    )
    for place in (f"{path}/attachments", f"{BOB}/INBOX?body=other"):
        assert (await desk.ask("GET", place, token=help_desk, headers=reason)).status_code == 403
        assert (await desk.ask("GET", place, headers={"X-Access-Reason": " "})).status_code == 403


async def test_who_acts_for_the_owner_reads_content_with_a_reason_too_rules_13(desk: Desk) -> None:
    mail_id = await take(desk, mail(body=MIXED[1], headers=MIXED[0]))
    made = await desk.ask("GET", "/token?username=bob@served.example")
    token, path = made.json()["token"], f"{BOB}/INBOX/{mail_id}"
    shown = await desk.get(f"{path}?fields=BODY,SOURCE", token=token)
    assert not {"body", "source"} & shown.keys()
    for place in (f"{path}/attachments", f"{path}/attachments/4", f"{BOB}/INBOX?body=other"):
        assert (await desk.ask("GET", place, token=token)).status_code == 403, place
    reason = {"X-Access-Reason": "Ticket 8"}
    shown = await desk.get(f"{path}?fields=BODY,SOURCE", token=token, headers=reason)
    assert shown["body"].strip() == "Grüße" and shown["seen"] is False
    await desk.get(f"{BOB}/INBOX?body=other", token=token, headers=reason)
    entries = [each for each in await desk.get("/audit?sort=id") if each["act"] in ("read", "search")]
    assert [(each["act"], each["login"], each["maker"], each["reason"]) for each in entries] == [
        (act, "bob@served.example", "root", "Ticket 8") for act in ("read", "search")
    ]
    assert "System" not in [each["name"] for each in await desk.get(f"{BOB}/folders", token=token)]


async def test_an_owner_whose_domain_says_so_reads_no_content_here(desk: Desk) -> None:
    mail_id = await take(desk, mail())
    domain = desk.house.store.reader.domain("served.example")
    assert domain
    change = {"user_permissions": ["MAILS_READ"]}
    await desk.house.store.write(lambda writer: writer.change(Domain, domain.id, **change))
    assert "body" not in await desk.get(f"{BOB}/INBOX/{mail_id}?fields=BODY", token=desk.bob)
    assert (await desk.ask("GET", f"{BOB}/INBOX/{mail_id}/attachments", token=desk.bob)).status_code == 403


async def test_the_text_of_html_is_given_without_what_runs_in_it(desk: Desk) -> None:
    html = b"<html><head><style>p{}</style></head><body><p>Hello <b>you</b></p><script>alert(1)</script></body></html>"
    mail_id = await take(desk, mail(body=html, headers=b"Content-Type: text/html; charset=utf-8\r\n"))
    body = (await desk.get(f"{BOB}/INBOX/{mail_id}?fields=BODY", token=desk.bob))["body"]
    assert "Hello" in body and "you" in body
    assert "<" not in body and "alert" not in body


async def test_a_mail_counts_as_read_once_its_owner_read_it(desk: Desk) -> None:
    mail_id = await take(desk, mail())
    await desk.get(f"{BOB}/INBOX/{mail_id}?fields=BODY")
    await desk.get(f"{BOB}/INBOX/{mail_id}", token=desk.bob)
    (listed,) = await desk.get(f"{BOB}/INBOX")
    assert listed["seen"] is False
    await desk.get(f"{BOB}/INBOX/{mail_id}?fields=BODY", token=desk.bob)
    (listed,) = await desk.get(f"{BOB}/INBOX")
    assert listed["seen"] is True
    counted = {each["path"]: each for each in await desk.get(f"{BOB}/folders?fields=STATS")}
    assert counted["INBOX"]["unreadMessageCount"] == 0


async def test_the_secret_of_a_connector_is_shown_to_nobody(desk: Desk) -> None:
    mail_id = await take(desk, mail(body=b"Hello", headers=b"X-Gatepost-Connector: sixteen letters!\r\n"))
    own = await desk.get(f"{BOB}/INBOX/{mail_id}?fields=HEADERS,SOURCE", token=desk.bob)
    assert "Subject" in own["headers"] and "X-Gatepost-Connector" not in own["headers"]
    assert own["source"].encode() == mail(body=b"Hello")


async def test_a_source_that_is_no_utf8_is_shown_octet_by_octet(desk: Desk) -> None:
    raw = mail(body=b"\xe9t\xe9", headers=b"Content-Type: text/plain; charset=iso-8859-1\r\n")
    mail_id = await take(desk, raw)
    own = await desk.get(f"{BOB}/INBOX/{mail_id}?fields=SOURCE,BODY", token=desk.bob)
    assert own["source"].encode("latin-1") == raw
    assert own["body"].strip() == "été"


async def test_a_spooled_mail_is_read_like_any_other(desk: Desk) -> None:
    filler = b"\r\n".join([b"x" * 76] * 5000)
    mail_id = await take(desk, mail("Large", filler))
    assert (await desk.get(f"{BOB}/INBOX/{mail_id}"))["headers"]["Subject"] == "Large"
    own = await desk.get(f"{BOB}/INBOX/{mail_id}?fields=SOURCE,BODY", token=desk.bob)
    assert len(own["source"]) == own["size"] > 300_000
    assert own["body"].startswith("xxxx")


# Attachments.


async def test_attachments_are_listed_and_downloaded_one_by_one_or_all(desk: Desk) -> None:
    mail_id = await take(desk, mail(body=MIXED[1], headers=MIXED[0]))
    found = (await desk.get(f"{BOB}/INBOX/{mail_id}?fields=ATTACHMENTS"))["attachments"]
    assert [each["type"] for each in found["attachments"]] == ["image/png", "text/html"]
    assert [each["name"] for each in found["attachments"]] == ["one.png", "one.png"]
    image, page = found["attachments"]

    shown = await desk.ask("GET", image["displayUri"].removeprefix(BASE), token=desk.bob)
    assert (shown.status_code, shown.content) == (200, b"\x89PNG\r\n\x1a\n")
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["content-disposition"].startswith("inline")
    saved = await desk.ask("GET", image["downloadUri"].removeprefix(BASE), token=desk.bob)
    assert saved.headers["content-disposition"].startswith("attachment; filename=\"one.png\"; filename*=UTF-8''one.png")

    dangerous = await desk.ask("GET", page["displayUri"].removeprefix(BASE), token=desk.bob)
    assert dangerous.headers["content-type"] == "application/octet-stream"
    assert dangerous.headers["content-disposition"].startswith("attachment")
    for answer in (shown, saved, dangerous):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]

    packed = await desk.ask("GET", found["downloadUri"].removeprefix(BASE), token=desk.bob)
    assert packed.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["one.png", "one (2).png"]
        assert archive.read("one.png") == b"\x89PNG\r\n\x1a\n"


async def test_file_names_of_strangers_are_made_harmless(desk: Desk) -> None:
    """Threat 120."""
    names = {
        "..\\..\\x.exe": "x.exe",
        "C:\\boot.ini": "boot.ini",
        "/etc/passwd": "passwd",
        "con.txt": "_con.txt",
        ".": "part-5",
        "a" * 300 + ".pdf": "a" * 120 + ".pdf",
        "a<b>|c?.txt": "a_b_c_.txt",
    }
    contents = desk.house.gatepost.services.of(Contents)
    for said, shown in names.items():
        body = MIXED[1].replace(b"../../one.png", said.replace("\\", "\\\\").encode())
        mail_id = await take(desk, mail(body=body, headers=MIXED[0]))
        assert [each.name for each in await contents.attachments(mail_id)] == ["one.png", shown]
        with zipfile.ZipFile(io.BytesIO(b"".join(await contents.archive(mail_id)))) as archive:
            assert archive.namelist() == ["one.png", shown]


@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
async def test_an_attached_mail_comes_whole_however_it_is_encoded(desk: Desk, encoding: str) -> None:
    inner = b"From: ann@a.example\r\nSubject: inner\r\n\r\n1 + 1 = 2\r\n"
    coded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(inner)
    part = f"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    mail_id = await take(desk, mail(body=part + coded + b"\r\n--b--", headers=MIXED[0]))
    contents = desk.house.gatepost.services.of(Contents)
    (found,) = await contents.attachments(mail_id)
    assert found.size == len(inner)
    assert (await contents.attachment(mail_id, found.number)).data == inner
    assert "1 + 1 = 2" in await contents.text(mail_id)


async def test_many_attachments_are_packed_one_after_the_other(desk: Desk) -> None:
    """Of a spooled mail too; the archive as a whole is nowhere in memory."""
    files = [random.Random(number).randbytes(300_000) for number in range(5)]
    parts = [
        b"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=data\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data).replace(b"\n", b"\r\n")
        for data in files
    ]
    mail_id = await take(desk, mail(body=b"".join([*parts, b"--b--"]), headers=MIXED[0]))
    pieces = list(await desk.house.gatepost.services.of(Contents).archive(mail_id))
    assert max(map(len, pieces)) < 2 * len(files[0])
    packed = await desk.ask("GET", f"{BOB}/INBOX/{mail_id}/attachments?dl=true", token=desk.bob)
    assert packed.headers["content-disposition"].startswith(f'attachment; filename="{mail_id}.zip"')
    assert packed.headers["x-content-type-options"] == "nosniff"
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == ["data", *(f"data ({number})" for number in range(2, 6))]
        assert [archive.read(name) for name in archive.namelist()] == files
    single = await desk.ask("GET", f"{BOB}/INBOX/{mail_id}/attachments/3", token=desk.bob)
    assert single.content == files[2]


async def test_attachments_are_for_the_owner_alone(desk: Desk) -> None:
    """Contract 8, threat 138."""
    mail_id = await take(desk, mail(body=MIXED[1], headers=MIXED[0]))
    for path in ("attachments", "attachments/4", "attachments/99"):
        assert (await desk.ask("GET", f"{BOB}/INBOX/{mail_id}/{path}")).status_code == 403


async def test_a_part_that_is_no_attachment_is_not_found(desk: Desk) -> None:
    """Threat 121."""
    mail_id = await take(desk, mail(body=MIXED[1], headers=MIXED[0]))
    for part in ("0", "99", "-1", "x", "1e1", "%2e%2e", "..%2f1", "%00", "٣"):
        answer = await desk.ask("GET", f"{BOB}/INBOX/{mail_id}/attachments/{part}", token=desk.bob)
        assert answer.status_code == 404, part


async def test_a_mail_without_attachments_has_no_archive_of_them(desk: Desk) -> None:
    mail_id = await take(desk, mail())
    assert (await desk.ask("GET", f"{BOB}/INBOX/{mail_id}/attachments", token=desk.bob)).status_code == 404
    none = await desk.get(f"{BOB}/INBOX/{mail_id}?fields=ATTACHMENTS")
    assert (none["attachments"]["attachments"], none["attachments"]["count"]) == ([], 0)


# Release.


async def test_a_held_mail_is_released_as_it_came(desk: Desk) -> None:
    """Contract 5.7.9: 204, without a tag, without being filtered again; the copy stays (A65)."""
    raw = mail("Spam", GTUBE)
    mail_id = await take(desk, raw)
    assert desk.house.sink.mails == []
    answer = await desk.ask("POST", f"{BOB}/Quarantine/{mail_id}/release")
    assert (answer.status_code, answer.content) == (204, b"")
    (out,) = await desk.house.sink.wait(1)
    assert out.recipients == ["bob@served.example"]
    assert out.data.endswith(raw)
    (kept,) = await desk.get(f"{BOB}/Quarantine")
    assert kept["releasedAt"] is not None


async def test_a_release_is_followed_to_its_end(desk: Desk) -> None:
    """The next hop's words stand with the mail and in its trace."""
    mail_id = await take(desk, mail("Spam", GTUBE), "bob@served.example", "carol@served.example")
    (held,) = await desk.get(f"{BOB}/Quarantine")
    assert held["releaseStatus"] is None
    desk.house.sink.script["MAIL"] = ["451 4.3.0 not now"]
    assert (await desk.ask("POST", f"{BOB}/Quarantine/{mail_id}/release")).status_code == 204
    waiting = await status(desk, mail_id, "queued", attempts=1)
    assert waiting["reply"] == "451 4.3.0 not now"
    await desk.house.gatepost.queue.moves.flush()
    done = await status(desk, mail_id, "delivered", attempts=2)
    assert done["reply"].startswith("250 2.0.0") and done["at"] >= waiting["at"]
    assert (await desk.get(f"{BOB}/Quarantine/{mail_id}"))["releaseStatus"] == done
    life = await desk.get(f"/messages/{mail_id}/trace")
    (way,) = [each for each in life["deliveries"] if each["release"]]
    assert (way["recipient"], [each["code"] for each in way["log"]]) == ("bob@served.example", [451, 250])
    assert [each["mailbox"] for each in life["events"] if each["event"] == "released"] == ["bob@served.example"]
    (other,) = await desk.get("/users/carol@served.example/emails/Quarantine")
    assert (other["releasedAt"], other["releaseStatus"]) == (None, None)
    (out,) = desk.house.sink.mails
    assert out.recipients == ["bob@served.example"]


async def status(desk: Desk, mail_id: str, state: str, *, attempts: int) -> Any:
    """Wait until the release of a mail has been tried so often; return how the list shows it."""
    tried = every(eq("mail_id", mail_id), eq("release", True), eq("attempts", attempts))
    async with asyncio.timeout(60):
        while desk.house.store.reader.first(Delivery, tried) is None:
            await desk.house.store.write(lambda writer: None)
    (shown,) = await desk.get(f"{BOB}/Quarantine")
    assert shown["releaseStatus"]["state"] == state
    return shown["releaseStatus"]


async def test_the_help_desk_releases_what_it_can_not_read(desk: Desk) -> None:
    """F3: metadata and release of what is no virus, no content."""
    spam, virus = await take(desk, mail("Spam", GTUBE)), await held_virus(desk)
    help_desk = await desk.helper("served.example")
    shown = await desk.get(f"{BOB}/Quarantine/{spam}?fields=HEADERS,BODY,SOURCE", token=help_desk)
    assert shown["headers"]["Subject"] == "Spam" and not {"body", "source"} & shown.keys()
    assert (await desk.ask("GET", f"{BOB}/Quarantine?body=spam", token=help_desk)).status_code == 403
    assert (await desk.ask("POST", f"{BOB}/Quarantine/{spam}/release", token=help_desk)).status_code == 204
    lover = {"X-Virus-Lover": "true"}
    refused = await desk.ask("POST", f"{BOB}/Quarantine/{virus}/release", token=help_desk, headers=lover)
    assert refused.status_code == 403
    (out,) = await desk.house.sink.wait(1)
    assert out.recipients == ["bob@served.example"]
    await desk.house.domain("elsewhere.example")
    await desk.house.user("eve@elsewhere.example")
    eves = await desk.ask("GET", "/users/eve@elsewhere.example/emails/folders", token=help_desk)
    assert eves.status_code == 403


async def test_a_draft_is_not_released(desk: Desk) -> None:
    mail_id = await take(desk, mail("Spam", GTUBE))
    (copy,) = desk.house.copies("Quarantine")
    await desk.house.store.write(lambda writer: writer.change(Copy, copy.id, folder="Drafts"))
    assert (await desk.ask("POST", f"{BOB}/Drafts/{mail_id}/release", token=desk.bob)).status_code == 422


async def test_a_release_is_one_while_it_is_on_its_way_and_may_be_made_again(desk: Desk) -> None:
    """Contract A65, threat 115."""
    mail_id = await take(desk, mail("Spam", GTUBE))
    desk.house.sink.script["MAIL"] = ["451 4.3.0 not now"] * 9
    for _ in range(3):
        assert (await desk.ask("POST", f"{BOB}/Quarantine/{mail_id}/release", token=desk.bob)).status_code == 204
    released = eq("release", True)
    assert desk.house.store.reader.count(Delivery, released) == 1
    desk.house.sink.script.clear()
    async with asyncio.timeout(60):
        while desk.house.gatepost.queue.under_way:
            await desk.house.store.write(lambda writer: None)
        await desk.house.gatepost.queue.moves.flush()
        await desk.house.sink.wait(1)
        while desk.house.store.reader.count(Delivery, eq("state", State.DELIVERED)) < 1:
            await desk.house.store.write(lambda writer: None)
    assert (await desk.ask("POST", f"{BOB}/Quarantine/{mail_id}/release", token=desk.bob)).status_code == 204
    await desk.house.sink.wait(2)
    assert desk.house.store.reader.count(Delivery, released) == 2


async def test_an_infected_mail_must_be_confirmed_and_a_clean_one_must_not(desk: Desk) -> None:
    """Both 412s; threat 115: only the request's own header counts, none of the mail."""
    clean = await take(desk, mail("Clean"))
    virus = await held_virus(desk)
    for header, status in ((None, 412), ("false", 412), ("true", 204), ("", 204)):
        headers = {} if header is None else {"X-Virus-Lover": header}
        answer = await desk.ask("POST", f"{BOB}/Quarantine/{virus}/release", headers=headers)
        assert answer.status_code == status, header
    for header, status in (("yes", 412), ("false", 204), (None, 204)):
        headers = {} if header is None else {"X-Virus-Lover": header}
        answer = await desk.ask("POST", f"{BOB}/INBOX/{clean}/release", headers=headers)
        assert answer.status_code == status, header
    (kept,) = await desk.get(f"{BOB}/Quarantine")
    assert kept["infected"] is True


async def held_virus(desk: Desk) -> str:
    """Have a mail with EICAR come in, under a policy that keeps such mail."""
    raw = mail("Virus", EICAR, headers=b"X-Virus-Lover: true\r\n")
    policy = desk.house.store.reader.first(Policy, All(()))
    assert policy is not None and policy.quarantine_props is not None
    keeps = msgspec.structs.replace(policy.quarantine_props, store_virus=True)
    await desk.house.store.write(lambda writer: writer.change(Policy, policy.id, quarantine_props=keeps))
    mail_id = await take(desk, raw)
    (copy,) = [each for each in desk.house.copies("Quarantine") if each.mail_id == mail_id]
    assert copy.infected
    return mail_id


async def test_an_owner_without_the_right_releases_no_virus_and_opens_none(desk: Desk) -> None:
    """Threats 115, 138."""
    mail_id = await held_virus(desk)
    path = f"{BOB}/Quarantine/{mail_id}"
    assert (await desk.ask("POST", f"{path}/release", token=desk.bob)).status_code == 412
    lover = {"X-Virus-Lover": "true"}
    assert (await desk.ask("POST", f"{path}/release", token=desk.bob, headers=lover)).status_code == 403
    assert (await desk.ask("GET", f"{path}/attachments", token=desk.bob)).status_code == 403
    shown = await desk.get(f"{path}?fields=BODY,SOURCE", token=desk.bob)
    assert "body" in shown and "source" not in shown
    may = ["MAILS_READ", "MAIL_CONTENT", "VIRUS_RELEASE"]
    await desk.house.store.write(lambda writer: writer.change(Domain, 1, user_permissions=may))
    assert EICAR.decode() in (await desk.get(f"{path}?fields=SOURCE", token=desk.bob))["source"]
    assert desk.house.sink.mails == []


async def test_what_is_not_kept_is_not_released(desk: Desk) -> None:
    mail_id = await take(desk, mail())
    for path in (f"Quarantine/{mail_id}", "INBOX/" + "f" * 32, f"elsewhere/{mail_id}"):
        assert (await desk.ask("POST", f"{BOB}/{path}/release")).status_code == 404
    assert (await desk.ask("POST", f"/users/zzzzz/emails/INBOX/{mail_id}/release")).status_code == 404
    assert (await desk.ask("POST", f"{BOB}/INBOX/{mail_id}/release", token=None)).status_code == 401


async def test_a_mail_is_released_by_its_message_id_too(desk: Desk) -> None:
    await take(desk, mail("Spam", GTUBE))
    where = quote("<1@world.example>", safe="")
    assert (await desk.ask("POST", f"{BOB}/Quarantine/{where}/release")).status_code == 204
    await desk.house.sink.wait(1)


async def test_a_mail_that_was_held_on_its_way_out_is_released_to_whom_it_was_written(desk: Desk) -> None:
    domain = desk.house.store.reader.domain("served.example")
    assert domain is not None
    await desk.house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
    await desk.house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))
    raw = mail("Spam", GTUBE).replace(b"Ada <ada@world.example>", b"Bob <bob@served.example>")
    to = ("zoe@far.example", "kim@far.example")
    reply = await desk.house.send(raw, *to, sender="bob@served.example", role=Role.TRUSTED)
    assert reply.code == 250, reply
    mail_id = queued_as(reply)
    own = await desk.ask("POST", f"{BOB}/Quarantine/{mail_id}/release", token=desk.bob)
    assert own.status_code == 403  # else whoever has his password sends past the filters
    answer = await desk.ask("POST", f"{BOB}/Quarantine/{mail_id}/release")
    assert answer.status_code == 204, answer.text
    await desk.house.sink.wait(1)
    assert [each.recipients for each in desk.house.sink.mails] == [list(to)]
    await desk.house.gatepost.queue.idle()
    assert (await desk.get(f"{BOB}/Quarantine/{mail_id}"))["releaseStatus"]["state"] == "delivered"
