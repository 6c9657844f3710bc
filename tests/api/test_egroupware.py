"""The EGroupware dialect: its examples replayed, what its clients may send, event streams and compose windows."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from tests.api.house import basic
from tests.api.kept import EICAR, GTUBE, Desk, open_desk
from tests.api.spoken import examples, play
from tests.house import CHEAP
from tests.peers.sink import Sink
from tests.steps import steps
from tests.web.browser import Browser

from gatepost.model.outgoing import Composition, Share, Upload
from gatepost.model.policy import Policy
from gatepost.model.query import All, eq
from gatepost.model.stored import Message
from gatepost.model.tenant import DomainAlias, Group, GroupMember, User, UserStatus
from gatepost.services.composing import Composing
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

MAIL = {"to": ["info@world.example"], "subject": "Testmail", "body": "This is a test :)\n\nRegards"}
SENT = {"status": 200, "message": "Mail successful sent"}


async def set_policy(desk: Desk, **fields: Any) -> None:
    found = desk.house.store.reader.first(Policy, All(()))
    assert found is not None
    await desk.house.store.write(lambda writer: writer.change(Policy, found.id, **fields))


@asynccontextmanager
async def opened(directory: Path, **sections: Any) -> AsyncIterator[Desk]:
    """Open a house where bob@served.example signs in with a password."""
    async with open_desk(directory, **sections) as desk:
        await set_policy(desk, outgoing=True)
        bob = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
        assert bob is not None
        change = {"password_hash": CHEAP.hash("secret"), "firstname": "Ralf", "lastname": "Becker"}
        await desk.house.store.write(lambda writer: writer.change(User, bob.id, **change))
        yield desk


@pytest.fixture
async def desk(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as desk:
        yield desk


BOB = basic("bob@served.example", "secret")


async def ask(desk: Desk, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    sent = {**BOB, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await desk.ask(method, path, body, token=None, headers=sent)


async def send(desk: Desk, path: str = "/mail", **members: Any) -> httpx2.Response:
    return await ask(desk, "POST", path, {**MAIL, **members})


async def arrived(desk: Desk, count: int = 1) -> list[EmailMessage]:
    mails = await desk.house.sink.wait(count)
    return [cast(EmailMessage, message_from_bytes(each.data, policy=policy.default)) for each in mails]


async def bring(desk: Desk, name: str, data: bytes, media: str = "text/plain", **headers: str) -> httpx2.Response:
    """Upload a file as the document's curl does: the body is the file."""
    transport = httpx2.ASGITransport(desk.house.gatepost.site, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gatepost.test") as client:
        sent = {**BOB, "Content-Type": media, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return await client.post(f"/mail/attachments/{name}", content=data, headers=sent)


# The document.


async def test_the_examples_are_answered_as_printed(desk: Desk) -> None:
    known = examples("egroupware-mail")
    boulder = await desk.house.domain("boulder.egroupware.org", hop=("127.0.0.1", desk.house.sink.port))
    ralf = await desk.house.user(
        "ralf@boulder.egroupware.org",
        firstname="Ralf Becker",
        lastname="boulder.egroupware.org",
        password_hash=CHEAP.hash("secret"),
    )
    await desk.house.store.write(lambda writer: writer.change(Policy, boulder.policy_id, outgoing=True))
    signed_in = basic(ralf.email, "secret")
    shown = {"responses": {f"/{ralf.email}/mail/1": known["001"]["response"]["body"]["responses"]["/ralf/mail/1"]}}
    await play(desk, known["001"], headers=signed_in, but=shown)
    await play(desk, known["002"], headers=signed_in)
    refused = await play(desk, known["003"], headers={})
    assert {name: refused.headers[name] for name in known["003"]["response"]["headers"]} == (
        known["003"]["response"]["headers"]
    )
    assert refused.content == b""
    offline = {"error": 404, "message": f"User '{ralf.email}' (#{desk.ids.show(ralf.id)}) is NOT online"}
    await play(desk, known["007"], headers=signed_in, but=offline)
    await desk.house.store.write(lambda writer: writer.change(Policy, boulder.policy_id, retention=False))
    kept_nowhere = {
        **SENT,
        "warning": "Mail NOT saved to Sent folder, as the policy of the account keeps no copy, or holds the mail",
    }
    await play(desk, known["004"], headers=signed_in, but=kept_nowhere)
    await desk.house.store.write(lambda writer: writer.change(Policy, boulder.policy_id, outgoing=False))
    (nowhere,) = {(await play(desk, known["005"], headers=signed_in, but=Said())).json()["message"]}
    assert nowhere.startswith("No mail can be sent to the address")


class Said:
    """Equal to an error body of 500 in any words: a relay here is never without its next hop, mail waits for it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and other.keys() == {"error", "message"} and other["error"] == 500

    __hash__ = None  # type: ignore[assignment]


async def test_an_upload_answers_302_with_a_location_that_a_mail_takes(desk: Desk) -> None:
    known = examples("egroupware-mail")["008"]["response"]
    answer = await bring(desk, "Ein%20Plan.txt", b"1. Rest", "text/plain; charset=utf-8")
    body = answer.json()
    assert answer.status_code == known["status"] == 302
    assert body.keys() == known["body"].keys() and (body["status"], body["message"]) == (200, "Attachment stored")
    assert body["location"].startswith("/mail/attachments/Ein%20Plan.txt--")
    assert answer.headers["location"] == f"https://gate.example{body['location']}"
    token = body["location"].rpartition("/")[2]
    got = await ask(desk, "GET", body["location"])
    assert (got.content, got.headers["content-disposition"].partition(";")[0]) == (b"1. Rest", "attachment")
    for spelling in (
        answer.headers["location"],
        f"/egroupware/groupdav.php/mail/attachment/{token}",
        f"/mail/attachments/Ein Plan.txt{token[token.index('--') :]}",
    ):
        if desk.house.store.reader.count(Upload, All(())) == 0:
            token = (await bring(desk, "Ein%20Plan.txt", b"1. Rest")).json()["location"].rpartition("/")[2]
            spelling = spelling.rpartition("/")[0] + f"/{token}"
        assert (await send(desk, attachments=[spelling])).json() == SENT
    mails = await arrived(desk, 3)
    assert "utf-8" in {file.get_content_charset() for mail in mails for file in mail.iter_attachments()}
    for mail in mails:
        (file,) = mail.iter_attachments()
        assert (file.get_filename(), file.get_content_type()) == ("Ein Plan.txt", "text/plain")
        assert file.get_content().strip() == "1. Rest"
    assert (await ask(desk, "GET", f"/mail/attachments/{token}")).status_code == 404  # gone with the mail


async def test_an_upload_answers_as_newer_versions_do_where_that_is_set(tmp_path: Path) -> None:
    async with opened(tmp_path, http={"egroupware_upload_status": 201}) as desk:
        newer = await bring(desk, "a.txt", b"a")
        assert (newer.status_code, newer.json()["status"], "location" in newer.headers) == (201, 201, True)
        bare = await bring(desk, "a.txt", b"a", X_No_Location="true")
        assert (bare.status_code, bare.json()["status"], "location" in bare.headers) == (200, 200, False)


# What is sent.


async def test_every_member_of_a_mail_counts(desk: Desk) -> None:
    answer = await send(
        desk,
        to=["info@world.example", "Ralf Becker <rb@world.example"],  # as the document has it
        cc=["c@world.example"],
        bcc=["secret@world.example"],
        replyto="Answers <answers@world.example>",
        bodyHtml="<p>This is a <b>test</b></p>",
        priority=1,
        folder="Sent",
        unknown="ignored",
    )
    assert answer.json() == SENT
    (mail,) = await arrived(desk)
    assert str(mail["From"]) == "Ralf Becker <bob@served.example>"
    assert str(mail["To"]) == "info@world.example, Ralf Becker <rb@world.example>"
    assert (str(mail["Cc"]), mail["Bcc"]) == ("c@world.example", None)
    assert str(mail["Reply-To"]) == "Answers <answers@world.example>"
    assert (mail["X-Priority"], mail["Importance"]) == ("1", "high")
    assert mail.get_content_type() == "multipart/alternative"  # contract E4
    assert sorted(desk.house.sink.mails[0].recipients)[-1] == "secret@world.example"
    low = await send(desk, priority=5, folder="Projects")
    assert low.json()["warning"] == "Mail saved to the folder Sent, as sent mail lies in no other"
    assert (await arrived(desk, 2))[1]["Importance"] == "low"


async def test_who_is_several_writes_as_each_of_them(desk: Desk) -> None:
    served = desk.house.store.reader.domain("served.example")
    assert served is not None
    alias = cast(DomainAlias, await desk.house.add(DomainAlias(domain_id=served.id, name="also.example")))
    group = cast(Group, await desk.house.add(Group(domain_id=served.id, email="sales@served.example")))
    await desk.house.add(GroupMember(group_id=group.id, email="bob@served.example"))
    await desk.house.add(Group(domain_id=served.id, email="board@served.example"))
    numbers = {
        1: "Ralf Becker <bob@served.example>",
        2 * alias.id: "Ralf Becker <bob@also.example>",
        2 * group.id + 1: "Ralf Becker <sales@served.example>",
    }
    listed = {f"/bob@served.example/mail/{number}": shown for number, shown in numbers.items()}
    for mount in ("", "/egroupware/groupdav.php", "/egroupware/groupdav.php/bob@served.example"):
        assert (await ask(desk, "GET", f"{mount}/mail")).json() == {"responses": listed}
    for number in numbers:
        assert (await send(desk, f"/egroupware/groupdav.php/bob/mail/{number}")).status_code == 200
    assert sorted(str(mail["From"]) for mail in await arrived(desk, 3)) == sorted(numbers.values())
    assert (await send(desk, f"/mail/{2 * group.id + 3}")).json()["error"] == 404  # contract E5
    assert (await ask(desk, "GET", "/egroupware/groupdav.php/eve/mail")).status_code == 403


async def test_a_token_is_as_good_as_the_password(desk: Desk) -> None:
    headers = basic("bob@served.example", desk.bob)
    answer = await desk.ask("POST", "/mail", MAIL, token=None, headers=headers)
    assert answer.json() == SENT


async def test_a_key_sends_one_mail(desk: Desk) -> None:
    for _ in range(2):
        assert (await ask(desk, "POST", "/mail", MAIL, Idempotency_Key="k")).json() == SENT
    other = await ask(desk, "POST", "/mail", {**MAIL, "subject": "Another"}, Idempotency_Key="k")
    assert (other.status_code, other.json()["error"]) == (422, 422)
    assert desk.house.store.reader.count(Message, All(())) == 1


async def test_what_can_not_be_sent_is_said_in_the_documents_shape(desk: Desk) -> None:
    eve = await desk.house.user("eve@served.example")
    hers = cast(
        Upload,
        await desk.house.add(
            Upload(id="e" * 32, user_id=eve.id, name="x", type="a/b", size=1, created_at=0, expires_at=2**50)
        ),
    )
    for members, status in (
        ({"to": None}, 422),
        ({"subject": None}, 422),
        ({"to": []}, 422),
        ({"to": ["a@b@c"]}, 422),
        ({"subject": "x\r\nBcc: v@world.example"}, 422),
        ({"replyto": "nobody"}, 422),
        ({"bodyHtml": "\x00"}, 422),
        ({"priority": 2}, 422),
        ({"attachments": ["/home/bob/file.txt"]}, 400),
        ({"attachments": ["/mail/attachments/x--abc123", "http://[x"]}, 400),
        ({"attachments": ["http://[x"]}, 400),
        ({"attachments": [f"/mail/attachments/x--{hers.id}"]}, 400),
        ({"attachments": ["/mail/attachments/x--" + "0" * 32], "attachmentType": "glue"}, 422),
        ({"attachmentType": "glue"}, 422),
        ({"attachmentType": "share_rw"}, 422),
        ({"body": GTUBE.decode()}, 500),
    ):
        if status == 500:
            await set_policy(desk, quarantine=False, quarantine_props=None, archive=False)
        answer = await send(desk, **members)
        assert (answer.status_code, answer.json()["error"]) == (status, status), members
        assert "bodyHtml" not in members or "(/bodyHtml)" in answer.json()["message"]
    assert (await ask(desk, "PUT", "/mail", {})).json()["error"] == 501
    assert (await ask(desk, "GET", "/mail/nothing/here")).json()["error"] == 404
    for name in ("a%00b", "a%0D%0AX:y", "%FF"):
        answer = await bring(desk, name, b"file", "text/plain")
        assert (answer.status_code, answer.json()["error"]) == (422, 422), name
    await desk.house.gatepost.queue.idle()
    assert desk.house.sink.mails == []


# Shared files.


async def shared(desk: Desk, **members: Any) -> str:
    """Send a mail that links to a file, and return the link."""
    place = (await bring(desk, "Plan%20%26%20Co.pdf", b"%PDF " * 1000, "application/pdf")).json()["location"]
    count = len(desk.house.sink.mails)
    answer = await send(desk, attachments=[place], attachmentType="link", **members)
    assert answer.json() == SENT, answer.text
    mail = (await arrived(desk, count + 1))[-1]
    assert list(mail.iter_attachments()) == []
    part = mail.get_body(("plain",))
    assert part is not None
    text = part.get_content().replace("\r\n", "\n")
    assert text.startswith("This is a test :)\n\nRegards\n\nPlan & Co.pdf (5 kB)\n")
    return cast(str, text.split()[-1])


async def test_a_link_leads_to_the_file_as_long_as_somebody_fetches_it(desk: Desk) -> None:
    link = await shared(desk, bodyHtml="<p>This is a test :)<br><br>Regards</p>")
    assert link.startswith("https://gate.example/share?file=")
    browser = Browser(desk.house.gatepost.site)
    page = await browser.open(link)
    assert (page.status_code, page.headers["content-security-policy"].partition(";")[0]) == (200, "default-src 'none'")
    assert browser.said == "A file for you Plan & Co.pdf (5 kB) Fetch the file"
    browser.client.cookies.clear()  # as where the link of another file was opened, from a mail in another site's page
    assert (await browser.submit()).status_code == 403 and "Fetch the file" in browser.said
    for days in (99, 99, 0):
        await browser.open(link)
        file = await browser.submit()
        assert (file.status_code, file.content) == (200, b"%PDF " * 1000)
        assert file.headers["content-disposition"] == "attachment; filename*=UTF-8''Plan%20%26%20Co.pdf"
        assert file.headers["content-type"] == "application/octet-stream"
        desk.house.clock.now += days * 86_400_000
    desk.house.clock.now += 100 * 86_400_000
    assert (await browser.open(link)).status_code == 404
    await desk.house.store.write(lambda writer: writer.purge(desk.house.clock()))
    reader = desk.house.store.reader
    assert (reader.count(Share, All(())), reader.body(link.partition("=")[2])) == (0, None)


async def test_a_link_has_a_password_and_a_day_where_its_mail_says_so(desk: Desk) -> None:
    link = await shared(desk, sharePassword="s3!", shareExpiration="+2days")
    browser = Browser(desk.house.gatepost.site)
    await browser.open(link)
    assert "It can be fetched until" in browser.said
    assert (await browser.submit(password="wrong")).status_code == 422 and "The password is wrong." in browser.said
    assert (await browser.submit(password="s3!")).content.startswith(b"%PDF")
    assert "s3!" not in str(desk.house.store.reader.first(Share, All(())))
    guessing = [Browser(desk.house.gatepost.site) for _ in range(12)]
    for each in guessing:
        await each.open(link)
    answers = await asyncio.gather(*(each.submit(password="wrong") for each in guessing))
    assert Counter(each.status_code for each in answers) == {422: 9, 429: 3}  # who guesses has to wait
    desk.house.clock.now += 2 * 86_400_000
    assert (await browser.open(link)).status_code == 404
    for members in (
        {"shareExpiration": "2020-01-01"},
        {"shareExpiration": "soon"},
        {"shareExpiration": "+9999years"},
        {"attachmentType": "share_rw"},
        {"sharePassword": "x" * 2000},
    ):
        place = (await bring(desk, "a.txt", b"a")).json()["location"]
        answer = await send(desk, **{"attachments": [place], "attachmentType": "link", **members})
        assert (answer.status_code, answer.json()["error"]) == (422, 422), members


async def test_links_carry_nothing_past_the_filters_nor_beyond_the_limits(tmp_path: Path) -> None:
    async with opened(tmp_path, sending={"share_files": 1}) as desk:
        place = (await bring(desk, "game.txt", EICAR)).json()["location"]
        refused = await send(desk, attachments=[place], attachmentType="link")
        assert (refused.status_code, "refused" in refused.json()["message"]) == (500, True)
        assert desk.house.store.reader.count(Share, All(())) == 0
        await shared(desk)
        place = (await bring(desk, "b.txt", b"b")).json()["location"]
        assert (await send(desk, attachments=[place], attachmentType="share_ro")).status_code == 413
        assert desk.house.store.reader.count(Message, All(())) == 1
    async with opened(tmp_path / "nowhere", http={"base_url": ""}) as desk:
        place = (await bring(desk, "a.txt", b"a")).json()["location"]
        assert "base_url" in (await send(desk, attachments=[place], attachmentType="link")).json()["message"]
    async with opened(tmp_path / "large") as desk:
        await set_policy(desk, mail_size_limit=1)
        place = (await bring(desk, "large.bin", bytes(2_000_000))).json()["location"]
        assert (await send(desk, attachments=[place])).status_code == 500  # the mail itself would be too large
        assert (await send(desk, attachments=[place], attachmentType="link")).json() == SENT


async def test_a_user_withdraws_what_he_shares(desk: Desk) -> None:
    link = await shared(desk)
    path = "/users/bob@served.example/shares"
    (row,) = await desk.get(path, token=desk.bob)
    assert (row["name"], row["protected"], row["fixed"], row["fetchedAt"]) == ("Plan & Co.pdf", False, False, None)
    assert (await desk.ask("DELETE", f"{path}/{row['id']}", token=desk.bob)).status_code == 204
    assert (await Browser(desk.house.gatepost.site).open(link)).status_code == 404
    assert desk.house.store.reader.body(row["id"]) is None
    again = await shared(desk)
    bob = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert bob is not None
    for status, found in ((UserStatus.DISABLED, 404), (UserStatus.ENABLED, 200)):
        await desk.house.store.write(lambda writer, to=status: writer.change(User, bob.id, status=to))
        assert (await Browser(desk.house.gatepost.site).open(again)).status_code == found
    await desk.house.store.write(lambda writer: writer.remove(User, eq("id", bob.id)))
    assert (await Browser(desk.house.gatepost.site).open(again)).status_code == 404


# Compose windows.


class Line:
    """An event stream, read line by line."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._lines = answer.aiter_lines()

    async def event(self) -> tuple[str, dict[str, str]]:
        """Return the next event; comments and blank lines are passed over."""
        name = ""
        async for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                return name, json.loads(value)
        raise AssertionError("the stream ended")

    async def ended(self) -> bool:
        return [line async for line in self._lines if line and not line.startswith(":")] == []


@asynccontextmanager
async def online(desk: Desk) -> AsyncIterator[Line]:
    """Hold bob's event stream open over a real connection."""
    async with (
        httpx2.AsyncClient(base_url=desk.house.gatepost.urls[0], headers=BOB) as client,
        client.stream("GET", "/mail/events") as answer,
    ):
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        line = Line(answer)
        assert (await anext(line._lines)).startswith(":")
        yield line


async def test_a_compose_window_opens_at_the_client_and_sends_once(tmp_path: Path) -> None:
    async with opened(tmp_path, http={"listen": ["127.0.0.1:0"]}, sink=Sink()) as desk:
        place = (await bring(desk, "<b>.txt", b"file")).json()["location"]
        mail = {**MAIL, "bodyHtml": "<p>This is a <i>test</i></p>", "attachments": [place], "subject": "</textarea><b>"}
        known = examples("egroupware-mail")["006"]
        async with online(desk) as first, online(desk) as second:
            assert (await play(desk, known, headers=BOB)).status_code == 200
            example_url = (await first.event())[1]["url"]
            for member, bad in (("subject", "x\r\nBcc: v@world.example"), ("bodyHtml", "\x00")):
                refused = await ask(desk, "POST", "/mail/compose", {**mail, member: bad})
                assert refused.status_code == 422 and f"(/{member})" in refused.json()["message"]
            for kind in ("attach", "link"):
                gone = {**mail, "attachments": [place, place[:-32] + "0" * 32], "attachmentType": kind}
                refused = await ask(desk, "POST", "/mail/compose", gone)
                assert refused.status_code == 400 and "(/attachments/1)" in refused.json()["message"]
            answer = await ask(desk, "POST", "/mail/1/compose", mail)
            assert answer.json() == {"status": 200, "message": "Request to open compose window sent"}
            name, data = await first.event()
            assert (await second.event(), await second.event())[1] == (name, data)
        assert name == "compose" and data["url"].startswith("https://gate.example/compose?token=")
        browser = Browser(desk.house.gatepost.site)
        page = await browser.open(data["url"])
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert "<b>" not in page.text and "&lt;/textarea&gt;&lt;b&gt;" in page.text and "_b_.txt" in page.text
        assert desk.house.sink.mails == []  # looking sends nothing (threat 140)
        text = {"text": MAIL["body"]}
        again = await browser.submit(to="nobody", **text)
        assert again.status_code == 422 and "The mail was not sent." in browser.said
        await browser.open(data["url"])
        await browser.submit(to='"Doe, J." <jd@world.example>, al@world.example', subject="Hello", **text)
        assert browser.said == "Your mail is on its way."
        (sent,) = await arrived(desk)
        assert str(sent["To"]) == '"Doe, J." <jd@world.example>, al@world.example'
        assert sent.get_body(("html",)) is not None and [each.get_filename() for each in sent.iter_attachments()]
        assert (await browser.open(data["url"])).status_code == 404
        await browser.open(example_url)
        await browser.submit(text="Mine alone")
        changed = (await arrived(desk, 2))[1]
        assert (changed.get_content_type(), changed.get_content().strip()) == ("text/plain", "Mine alone")
        assert desk.house.store.reader.count(Composition, All(())) == 0


async def test_what_was_written_in_a_window_is_kept_where_it_can_not_be_sent_now(tmp_path: Path) -> None:
    """It was lost where another window had been opened since, from another site; and where the account was slowed."""
    limits = {"user_mails_per_hour": 1}
    async with opened(tmp_path, http={"listen": ["127.0.0.1:0"]}, outgoing=limits, sink=Sink()) as desk:
        async with online(desk) as line:
            for _ in range(3):
                assert (await ask(desk, "POST", "/mail/compose", MAIL)).status_code == 200
            first, second, third = [(await line.event())[1]["url"] for _ in range(3)]
        browser = Browser(desk.house.gatepost.site)
        await browser.open(first)
        browser.client.cookies.clear()  # from another site the browser shows none, and gets a new one
        await Browser.open(other := Browser(desk.house.gatepost.site), second)
        browser.client.cookies = other.client.cookies
        assert (await browser.submit(text="Long & written")).status_code == 403
        assert "The form has grown old" in browser.said and "Long & written" in browser.said
        assert (await browser.submit(to="a@b.test," * 1001)).status_code == 422
        assert "at most 1000 recipients" in browser.said
        await browser.open(first)
        assert (await browser.submit(text="é" * 4000)).status_code == 200, browser.said
        assert browser.said == "Your mail is on its way."
        await browser.open(third)
        assert (await browser.submit(text="Another")).status_code == 422
        assert "The mail was not sent." in browser.said and "Another" in browser.said
        flood = {**browser.form()[1], "token": "x" * 43, "text": "x" * 20_000}
        assert (await browser.client.post("/compose", data=flood)).status_code == 403


async def test_a_window_of_html_alone_shows_its_text_which_is_made_once(tmp_path: Path) -> None:
    async with opened(tmp_path, http={"listen": ["127.0.0.1:0"]}, sink=Sink()) as desk:
        mail = {"to": MAIL["to"], "subject": "Hello", "bodyHtml": "<p>Good day</p>" * 500}
        async with online(desk) as line:
            assert (await ask(desk, "POST", "/mail/compose", mail)).status_code == 200
            url = (await line.event())[1]["url"]
        composing, token = desk.house.gatepost.services.of(Composing), url.partition("=")[2]
        assert steps(lambda: composing.look(token)) < 5000  # a look at a megabyte took half a second of the loop
        browser = Browser(desk.house.gatepost.site)
        await browser.open(url)
        assert browser.said.count("Good day") == 500
        await browser.submit(text="Good day\n\n" * 500)
        (sent,) = await arrived(desk)
        assert [str(sent.get_body((kind,))).count("Good day") for kind in ("plain", "html")] == [500, 500]


async def test_windows_that_lapsed_bar_no_new_ones(tmp_path: Path) -> None:
    async with opened(tmp_path, http={"listen": ["127.0.0.1:0"]}) as desk:
        store, now = desk.house.store, desk.house.clock()

        def add(writer: Writer) -> None:
            for each in range(100):
                writer.add(Composition(user_id=1, digest=f"{each}", draft="", expires_at=now + 1000))

        await store.write(add)
        async with online(desk):
            assert (await ask(desk, "POST", "/mail/compose", MAIL)).status_code == 429
            desk.house.clock.now += 1000
            assert (await ask(desk, "POST", "/mail/compose", MAIL)).status_code == 200
        assert store.reader.count(Composition, All(())) == 1


async def test_streams_are_few_and_end_with_the_right_and_with_the_house(tmp_path: Path) -> None:
    async with opened(tmp_path, http={"listen": ["127.0.0.1:0"], "event_streams": 1}) as desk:
        async with online(desk) as line:
            assert (await ask(desk, "GET", "/mail/events")).status_code == 429
            await desk.house.store.write(lambda writer: writer.change(User, 1, password_hash=CHEAP.hash("another")))
            other = basic("bob@served.example", desk.bob)
            assert (await desk.ask("POST", "/mail/compose", {}, token=None, headers=other)).status_code == 200
            assert await line.ended()
        assert (await desk.ask("POST", "/mail/compose", {}, token=None, headers=other)).status_code == 404
        async with (
            httpx2.AsyncClient(base_url=desk.house.gatepost.urls[0], headers=other) as client,
            client.stream("GET", "/mail/events") as answer,
        ):
            line = Line(answer)
            await anext(line._lines)
            await desk.house.gatepost.stop()
            assert await line.ended()
