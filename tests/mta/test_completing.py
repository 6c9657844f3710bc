"""What a mail that its author hands in lacks of a Date and a Message-ID it is given (RFC 6409 8.2, 8.3), and its blind
copies are taken out."""

from email import message_from_bytes
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from tests.api.kept import Desk
from tests.api.test_hourly import BOB, opened, session
from tests.house import queued_as
from tests.mta.test_signing import key

from gatepost.model.envelope import Role
from gatepost.model.stored import Message

pytestmark = pytest.mark.anyio

FROM = f"From: {BOB}\r\nSubject: bare\r\n".encode()
TEXT = b"\r\nDate: not a field\r\nMessage-ID: <not@one.example>\r\n"


async def hand_in(desk: Desk, data: bytes, to: str = "ada@world.example") -> str:
    """Hand a mail in as bob; return its id."""
    async with session(desk) as client:
        for verb, argument in ((b"MAIL", f"FROM:<{BOB}>"), (b"RCPT", f"TO:<{to}>")):
            assert (await client.execute_command(verb, argument.encode())).code == 250
        return queued_as(await client.data(data))


async def test_a_mail_with_neither_is_given_both_and_signed_with_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        await key(desk.house)
        mail_id = await hand_in(desk, FROM + TEXT)
        (got,) = await desk.house.sink.wait(1)
        mail = message_from_bytes(got.data)
        assert mail.get_all("Message-ID") == [f"<{mail_id}@served.example>"]
        (date,) = mail.get_all("Date") or []
        assert int(parsedate_to_datetime(date).timestamp()) == desk.house.clock.now // 1000
        assert got.data.endswith(FROM + TEXT)
        signed = {name.strip() for name in str(mail["DKIM-Signature"]).split("h=")[1].split(";")[0].lower().split(":")}
        assert {"date", "message-id"} <= signed
        row = desk.house.store.reader.get(Message, mail_id)
        assert row and row.message_id == mail["Message-ID"]  # a report that names it finds the mail


async def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        own = b"DATE : Thu, 19 Nov 2026 10:00:00 +0000\r\nmessage-id: <own@id.example>\r\n"
        await hand_in(desk, FROM + own + TEXT)
        (got,) = await desk.house.sink.wait(1)
        lower = got.data.lower()
        assert lower.count(b"\r\ndate") == lower.count(b"\r\nmessage-id") == 2  # the one, and that of the text
        assert got.data.endswith(FROM + own + TEXT)


async def test_mail_of_others_is_completed_by_nobody(tmp_path: Path) -> None:
    """RFC 5321 6.4: that is for who hands it in; no Date is a fault of it (RFC 5322 3.6)."""
    async with opened(tmp_path) as desk:
        reply = await desk.house.send(FROM + TEXT, "ada@world.example", sender=BOB, role=Role.TRUSTED)
        row = desk.house.store.reader.get(Message, queued_as(reply))
        assert row and row.message_id == ""
        assert desk.house.sink.mails == []
        assert "BAD_HEADERS" in {copy.category for copy in desk.house.copies()}


async def test_blind_copies_are_named_to_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        blind = b"BCC: secret@world.example,\r\n hidden@world.example\r\nResent-Bcc : hidden@world.example\r\n"
        await hand_in(desk, blind + FROM + b"X-Bcc: stays\r\n" + TEXT + b"Bcc: of the text\r\n")
        (got,) = await desk.house.sink.wait(1)
        assert b"secret@" not in got.data and b"hidden@" not in got.data
        assert got.data.endswith(FROM + b"X-Bcc: stays\r\n" + TEXT + b"Bcc: of the text\r\n")


async def test_blind_copies_are_shown_to_the_author_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        await desk.house.user("eve@served.example")
        mail_id = await hand_in(desk, b"Bcc: secret@world.example\r\n" + FROM + TEXT, "eve@served.example")
        for who, folder, blind in (("eve", "INBOX", []), ("bob", "Sent", ["secret@world.example"])):
            path = f"/users/{who}@served.example/emails/{folder}/{mail_id}?fields=HEADERS,SOURCE"
            answer = await desk.ask("GET", path, headers={"X-Access-Reason": "a test"})
            shown = answer.json()
            assert shown["bcc"] == blind
            assert shown["source"].endswith((FROM + TEXT).decode())
            assert ("Bcc" in shown["headers"], "secret@" in answer.text) == (bool(blind), bool(blind))


async def test_blind_copies_in_mail_of_others_stay(tmp_path: Path) -> None:
    async with opened(tmp_path) as desk:
        own = b"Date: Thu, 19 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@served.example>\r\nBcc: b@world.example\r\n"
        await desk.house.send(FROM + own + TEXT, "ada@world.example", sender=BOB, role=Role.TRUSTED)
        (got,) = await desk.house.sink.wait(1)
        assert b"Bcc: b@world.example\r\n" in got.data
