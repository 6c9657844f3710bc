"""Writing mail over HTTP, to a real next hop: what arrives is parsed and compared with what was asked for."""

import asyncio
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from tests.api.kept import GTUBE, Desk, mail, open_desk
from tests.house import living, queued_as
from tests.peers.sink import Mail, Sink

from gatepost.model.outgoing import Submission
from gatepost.model.policy import Policy
from gatepost.model.query import All, Query, eq
from gatepost.model.stored import Delivery, Message
from gatepost.model.tenant import User

pytestmark = pytest.mark.anyio

BOB = "/users/bob@served.example/emails"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        await set_policy(desk, outgoing=True)
        yield desk


async def set_policy(desk: Desk, **fields: Any) -> None:
    policy = desk.house.store.reader.first(Policy, All(()))
    assert policy is not None
    await desk.house.store.write(lambda writer: writer.change(Policy, policy.id, **fields))


async def send(
    desk: Desk, token: str | None = None, *, path: str = BOB, key: str = "", **members: Any
) -> httpx2.Response:
    body = {"to": ["ada@world.example"], "subject": "Hello", "body": "<p>Good day</p>", **members}
    headers = {"Idempotency-Key": key} if key else {}
    return await desk.ask("POST", f"{path}/send", body, token=token or desk.bob, headers=headers)


async def sent(desk: Desk, **members: Any) -> str:
    answer = await send(desk, **members)
    assert answer.status_code == 200, answer.text
    return cast(str, answer.json())


async def arrived(desk: Desk, count: int = 1) -> list[tuple[Mail, EmailMessage]]:
    mails = await desk.house.sink.wait(count)
    return [(each, cast(EmailMessage, message_from_bytes(each.data, policy=policy.default))) for each in mails]


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return cast(str, found.get_content()).replace("\r\n", "\n")


def mails(desk: Desk) -> int:
    return desk.house.store.reader.count(Message, All(()))


# What arrives.


async def test_a_mail_arrives_as_it_was_asked_for(desk: Desk) -> None:
    user = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user is not None
    await desk.house.store.write(lambda writer: writer.change(User, user.id, firstname="Bob", lastname="Bär"))
    mail_id = await sent(
        desk,
        to=["Ada Ä <ada@world.example>", "al@world.example"],
        cc=["carl@world.example"],
        subject="Grüße",
        body='<p>Größe, <a href="https://x.test/">hier</a></p>',
        important=True,
        ack=True,
    )
    ((envelope, mail),) = await arrived(desk)
    assert envelope.sender == "bob@served.example"
    assert sorted(envelope.recipients) == ["ada@world.example", "al@world.example", "carl@world.example"]
    assert str(mail["From"]) == "Bob Bär <bob@served.example>"
    assert str(mail["To"]) == "Ada Ä <ada@world.example>, al@world.example"
    assert str(mail["Cc"]) == "carl@world.example"
    assert mail["Subject"] == "Grüße"
    assert mail["Message-ID"] == f"<{mail_id}@served.example>"
    assert mail["X-Gatepost-Id"] == mail_id
    assert (mail["Importance"], mail["X-Priority"]) == ("high", "1")
    assert "bob@served.example" in mail["Disposition-Notification-To"]
    assert mail.get_content_type() == "multipart/alternative"
    assert part(mail, "plain") == "Größe, hier <https://x.test/>\n"
    assert part(mail, "html").strip() == '<p>Größe, <a href="https://x.test/">hier</a></p>'


async def test_threat_114_blind_copies_stand_in_the_envelope_alone(desk: Desk) -> None:
    await sent(desk, to=[], cc=[], bcc=["secret@world.example"])
    ((envelope, mail),) = await arrived(desk)
    assert envelope.recipients == ["secret@world.example"]
    assert b"secret" not in envelope.data
    assert mail["Bcc"] is None


async def test_a_sent_mail_lies_in_sent_and_the_archive_wherever_it_went(desk: Desk) -> None:
    await desk.house.user("eve@served.example")
    outside = await sent(desk)
    inside = await sent(desk, to=["eve@served.example"], subject="In the house")
    await arrived(desk, 2)
    assert {each["id"] for each in await desk.get(f"{BOB}/Sent", token=desk.bob)} == {outside, inside}
    assert {each["id"] for each in await desk.get(f"{BOB}/Archive", token=desk.bob)} == {outside, inside}
    assert [each["id"] for each in await desk.get("/users/eve@served.example/emails/INBOX")] == [inside]
    assert await desk.get(f"{BOB}/INBOX") == []


async def test_a_policy_without_retention_keeps_no_sent_mail(desk: Desk) -> None:
    await set_policy(desk, retention=False, archive=False)
    await sent(desk)
    await arrived(desk)
    assert desk.house.copies() == []


async def test_an_answer_stands_in_its_thread(desk: Desk) -> None:
    raw = mail(headers=b"References: <0@world.example>\r\n")
    origin = queued_as(await desk.house.send(raw, "bob@served.example"))
    await arrived(desk)
    for name in (origin, "<1@world.example>"):
        await sent(desk, originId=name)
    for _, answer in (await arrived(desk, 3))[1:]:
        assert answer["In-Reply-To"] == "<1@world.example>"
        assert answer["References"] == "<0@world.example> <1@world.example>"
    for folder in ("INBOX", "Archive"):
        assert [each["answered"] for each in await desk.get(f"{BOB}/{folder}") if each["id"] == origin] == [True]
    refused = await send(desk, originId="0" * 32)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/originId")


async def test_of_a_signature_that_grows_as_it_is_cleaned_the_text_is_sent(desk: Desk) -> None:
    user = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user is not None
    sign = "<p>" + "".join(f"<b title={each}>" for each in range(1000)) + "</p>" + "<p>x &amp; y</p>" * 200
    await desk.house.store.write(lambda writer: writer.change(User, user.id, sign=sign))
    await sent(desk)
    ((_, mail),) = await arrived(desk)
    assert part(mail, "html").endswith("x &amp; y<br>x &amp; y</div>\n")


async def test_the_signature_stands_under_a_mail_where_retention_is_on(desk: Desk) -> None:
    user = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user is not None
    sign = "<b>Bob</b><script>alert(1)</script>"
    await desk.house.store.write(lambda writer: writer.change(User, user.id, sign=sign))
    await sent(desk)
    await sent(desk, body=f"<p>Mine</p>{sign}")
    await set_policy(desk, retention=False)
    await sent(desk)
    signed, own, plain = [mail for _, mail in await arrived(desk, 3)]
    assert "<b>Bob</b>" in part(signed, "html")
    assert "script" not in part(signed, "html")
    assert part(signed, "plain") == "Good day\n\n-- \nBob\n"
    assert part(own, "html").count("<b>Bob</b>") == 1
    assert "Bob" not in part(plain, "html")


async def test_an_internationalised_address_is_reached_in_a_mail_of_its_kind(desk: Desk) -> None:
    await sent(desk, to=["Ü <ünï@bücher.example>"])
    ((envelope, _),) = await arrived(desk)
    assert envelope.recipients == ["ünï@xn--bcher-kva.example"]
    assert "SMTPUTF8" in envelope.sender_params
    assert "ünï@xn--bcher-kva.example".encode() in envelope.data


async def test_the_user_may_be_named_by_id_or_address(desk: Desk) -> None:
    assert (await send(desk, path="/users/BOB@Served.Example/emails")).status_code == 200
    user = desk.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user is not None
    assert (await send(desk, path=f"/users/{desk.ids.show(user.id)}/emails")).status_code == 200


# Who may.


async def test_threat_114_nobody_sends_as_another(desk: Desk) -> None:
    await desk.house.user("eve@served.example")
    eve = await desk.token_of("eve@served.example")
    for token in (eve, desk.root):
        assert (await send(desk, token)).status_code == 403
    assert (await send(desk, path="/users/eve@served.example/emails")).status_code == 403
    assert (await send(desk, path="/users/nobody@served.example/emails")).status_code == 403
    assert (await desk.ask("POST", f"{BOB}/send", {}, token=None)).status_code == 401
    assert mails(desk) == 0


# What is refused.


@pytest.mark.parametrize("member", ["subject", "to", "cc", "bcc"])
async def test_threat_119_no_member_brings_a_line_of_its_own(desk: Desk, member: str) -> None:
    for bad in ("\r\nBcc: v@world.example", "\n", "\0", "\u2028"):
        texts = [f"x{bad}"] if member == "subject" else [f"a{bad} <ada@world.example>", f"ada@world.example{bad}"]
        for text in texts:
            answer = await send(desk, **{member: text if member == "subject" else [text]})
            assert answer.status_code == 400, answer.text
            assert answer.json()["pointer"].startswith(f"/{member}")
    assert mails(desk) == 0


async def test_a_mail_needs_recipients_that_mail_can_go_to(desk: Desk) -> None:
    for given, status, pointer in (
        ({"to": []}, 400, "/to"),
        ({"to": None}, 400, "/to"),
        ({"to": ["ada"]}, 400, "/to/0"),
        ({"cc": ["ada@[192.0.2.1]"]}, 400, "/cc/0"),
        ({"bcc": ["x@world.example", "a@b@c"]}, 400, "/bcc/1"),
    ):
        answer = await send(desk, **given)
        assert (answer.status_code, answer.json()["pointer"]) == (status, pointer), given
    await set_policy(desk, outgoing=False)
    answer = await send(desk, to=["bob@served.example", "ada@world.example"])
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/to/1")
    assert mails(desk) == 0


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"attachments": [{"uid": "e" * 32}]}, "/attachments/0/name"),
        ({"attachments": [{"name": "a.txt"}]}, "/attachments/0/uid"),
        ({"attachments": [{"name": "a.txt", "uid": "a\0b"}]}, "/attachments/0/uid"),
        ({"draftId": "a\0b"}, "/draftId"),
        ({"originId": "a\0b"}, "/originId"),
    ],
)
async def test_files_and_mails_are_named_as_the_contract_asks(
    desk: Desk, members: dict[str, Any], pointer: str
) -> None:
    answer = await send(desk, **members)
    assert (answer.status_code, answer.json()["pointer"]) == (400, pointer), answer.text


async def test_an_unknown_mailbox_of_the_house_is_told_at_once(tmp_path: Path) -> None:
    async with open_desk(tmp_path, sink=Sink({"RCPT <nobody@served.example>": ["550 5.1.1 no"] * 3})) as desk:
        answer = await send(desk, to=["nobody@served.example"])
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/to/0")


async def test_a_mail_that_policy_refuses_is_told_with_the_reason(desk: Desk) -> None:
    await set_policy(desk, quarantine=False, quarantine_props=None, archive=False)
    answer = await send(desk, body=GTUBE.decode())
    assert answer.status_code == 422
    assert "refused" in answer.json()["message"]
    await desk.house.gatepost.queue.idle()
    assert desk.house.sink.mails == []


async def test_a_mail_that_the_judge_holds_is_taken_and_kept(desk: Desk) -> None:
    mail_id = await sent(desk, body=GTUBE.decode())
    assert [copy.mail_id for copy in desk.house.copies("Quarantine")] == [mail_id]
    assert desk.house.store.reader.find(Delivery, Query()).items == []


# Once.


async def test_a_key_sends_one_mail_and_answers_the_same(desk: Desk) -> None:
    first = await sent(desk, key="k1")
    assert await sent(desk, key="k1") == first
    assert await sent(desk, key="k2") != first
    assert mails(desk) == 2


async def test_two_requests_at_once_under_one_key_send_one_mail(desk: Desk) -> None:
    answers = await asyncio.gather(*(sent(desk, key="k") for _ in range(5)))
    assert len(set(answers)) == 1
    assert mails(desk) == 1


async def test_a_key_belongs_to_its_account_and_its_request(desk: Desk) -> None:
    await desk.house.user("eve@served.example")
    eve = await desk.token_of("eve@served.example")
    await sent(desk, key="k")
    assert (await send(desk, eve, path="/users/eve@served.example/emails", key="k")).status_code == 200
    assert (await send(desk, key="k", subject="Another")).status_code == 422
    assert (await send(desk, key="x" * 256)).status_code == 400
    assert mails(desk) == 2


async def test_a_refused_request_leaves_its_key_free(desk: Desk) -> None:
    assert (await send(desk, key="k", to=["a@b@c"])).status_code == 400
    await sent(desk, key="k")
    assert mails(desk) == 1


async def test_a_key_lasts_a_day_and_is_swept(desk: Desk) -> None:
    first = await sent(desk, key="k")
    desk.house.clock.now += 24 * 3_600_000
    assert await sent(desk, key="k") != first
    desk.house.clock.now += 24 * 3_600_000
    await desk.house.store.write(lambda writer: writer.purge(desk.house.clock()))
    assert desk.house.store.reader.count(Submission, All(())) == 0


async def test_a_key_outlives_a_restart(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await set_policy(desk, outgoing=True)
        first = await sent(desk, key="k")
        bob = desk.bob
    async with living(tmp_path, http={"listen": []}) as house:
        again = Desk(house)
        assert await sent(again, token=bob, key="k") == first
        assert mails(again) == 1
