"""IQ Server's mail configuration: the examples replayed, the password table, and mail that really leaves by it."""

import base64
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from tests.api.kept import Desk, open_desk
from tests.api.spoken import examples, play, secured
from tests.house import CHEAP
from tests.peers.sink import Sink

from gatepost.message.compose import Party
from gatepost.model.access import Admin
from gatepost.model.connection import Connection
from gatepost.model.query import All
from gatepost.services.sending import Notice, Sending

pytestmark = pytest.mark.anyio

PATH = "/api/v2/config/mail"
CONFIG = {"hostname": "127.0.0.1", "port": 2525, "systemEmail": "noreply@gate.example"}
GIVEN = {"password": "Secret", "passwordIsIncluded": True}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


def basic(login: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


async def test_the_examples_are_answered_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = examples("iq-mail")
    async with secured(tmp_path, monkeypatch, "smtp.server", 587, ("MyUsername", "MySecret")) as (desk, server):
        await desk.house.add(Admin(login="boss", password_hash=CHEAP.hash("admin123"), sys_admin=True, created_at=0))
        boss = basic("boss", "admin123")
        await play(desk, known["003"], headers=boss)
        shown = {
            "hostname": "smtp.server",
            "port": 587,
            "username": "MyUsername",
            "password": None,
            "passwordIsIncluded": False,
            "sslEnabled": False,
            "startTlsEnabled": True,
            "systemEmail": "noreply@smtp.server",
        }
        await play(desk, known["001"], headers=boss, but=shown)
        await play(desk, known["002"], headers=boss)
        (tried,) = server.mails
        assert (tried.sender, tried.recipients, tried.tls) == ("noreply@smtp.server", ["johndoe@example.com"], True)
        assert message_from_bytes(tried.data)["From"] == "noreply@smtp.server"

        # What leaves goes by it, notices bear its address.
        sending = desk.house.gatepost.services.of(Sending)
        await sending.notify(Notice(to=Party("al@far.example"), subject="Hello", text="Good day"))
        left = (await server.wait(2))[1]
        assert (left.recipients, left.tls) == (["al@far.example"], True)
        assert message_from_bytes(left.data)["From"] == "noreply@smtp.server"

        server.script["dot"] = "554 5.7.1 Not today"
        refused = await desk.ask("POST", known["002"]["request"]["path"], known["002"]["request"]["body"])
        assert refused.status_code == 400 and "554 5.7.1 Not today" in refused.text
        wrong = {**known["002"]["request"]["body"], "password": "other"}
        refused = await desk.ask("POST", known["002"]["request"]["path"], wrong)
        assert refused.status_code == 400 and "535" in refused.text and "other" not in refused.text

        await play(desk, known["004"], headers=boss)
        for method in ("GET", "DELETE"):
            assert (await desk.ask(method, PATH)).status_code == 404
        await sending.notify(Notice(to=Party("al@far.example"), subject="Hello", text="Good day"))
        assert message_from_bytes((await desk.house.sink.wait())[0].data)["From"] == "postmaster@gate.example"


PASSWORDS: list[tuple[dict[str, Any], int, str | None]] = [
    (GIVEN, 204, "Secret"),
    ({"passwordIsIncluded": True}, 204, None),
    ({"passwordIsIncluded": True, "password": None, "port": 26}, 204, None),
    ({}, 204, "Old"),
    ({"password": None, "passwordIsIncluded": False}, 204, "Old"),
    ({"hostname": "127.0.0.2"}, 400, "Old"),
    ({"port": 26}, 400, "Old"),
    ({"port": 26, **GIVEN}, 204, "Secret"),
    ({"password": "Secret"}, 400, "Old"),
    ({"password": "Secret", "passwordIsIncluded": False}, 400, "Old"),
    ({"port": 0}, 400, "Old"),
    ({"hostname": ""}, 400, "Old"),
    ({"hostname": "169.254.169.254", **GIVEN}, 400, "Old"),
    ({"systemEmail": "nobody"}, 400, "Old"),
    ({"systemEmail": None}, 400, "Old"),
    ({"sslEnabled": "yes"}, 400, "Old"),
]
"""What is given over known settings with the password "Old", the answer, and the password that is kept then."""


async def test_the_password_goes_by_the_table_of_the_contract(desk: Desk) -> None:
    known = {**CONFIG, "username": "me", "password": "Old", "passwordIsIncluded": True}
    secrets = desk.house.store.secrets
    for change, status, kept in PASSWORDS:
        assert (await desk.ask("PUT", PATH, known)).status_code == 204
        answer = await desk.ask("PUT", PATH, {**CONFIG, "username": "me", **change})
        assert answer.status_code == status, (change, answer.text)
        assert answer.headers.get("content-type", "text/plain").startswith("text/plain")
        row = desk.house.store.reader.first(Connection, All(()))
        assert row is not None
        assert (secrets.unseal(row.password) if row.password else None) == kept, change
        assert row.auth is (kept is not None) and "Old" not in str(row)


async def test_who_is_no_sysadmin_is_told_so_in_plain_text(desk: Desk) -> None:
    none = await desk.ask("GET", PATH, token=None)
    assert (none.status_code, none.headers["www-authenticate"]) == (401, 'Basic realm="Gatepost", charset="UTF-8"')
    assert none.text == "A login and a password, or a bearer token, are required."
    for method, path in (("GET", PATH), ("PUT", PATH), ("DELETE", PATH), ("POST", f"{PATH}/test/al@far.example")):
        answer = await desk.ask(method, path, CONFIG if method in ("PUT", "POST") else None, token=desk.bob)
        assert (answer.status_code, answer.text) == (403, "This account may not do that.")


async def test_a_test_tells_why_no_mail_can_be_sent(desk: Desk) -> None:
    path = f"{PATH}/test/al@far.example"
    async with Sink(login=("me", "right")) as server:
        body = {**CONFIG, "port": server.port, "username": "me", "password": "right", "passwordIsIncluded": True}
        assert (await desk.ask("POST", path, body)).status_code == 204
        secured = await desk.ask("POST", path, {**body, "startTlsEnabled": True})
        assert secured.status_code == 400 and "does not offer TLS" in secured.text
        nobody = await desk.ask("POST", f"{PATH}/test/nobody", body)
        assert nobody.status_code == 400 and "/recipientEmail" in nobody.text
        two_lines = await desk.ask("POST", f"{PATH}/test/al@far.example%0D%0ABcc:x@far.example", body)
        assert two_lines.status_code == 400
    shut = await desk.ask("POST", path, body)
    assert shut.status_code == 400 and "did not take the mail" in shut.text
    lost = await desk.ask("POST", path, {**body, "hostname": "nowhere.example"})
    assert lost.status_code == 400 and "was not found" in lost.text and "(/hostname)" in lost.text
    assert desk.house.store.reader.first(Connection, All(())) is None
