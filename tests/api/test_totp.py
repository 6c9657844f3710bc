"""The second factor: enrolled and confirmed by its owner, asked for at sign-in, each code taken once."""

from typing import Any
from xml.etree import ElementTree

import httpx2
import pyotp
import pytest
from tests.api.house import CHEAP, NOW, Api

from gatepost.model.access import Admin
from gatepost.model.query import eq
from gatepost.model.tenant import User

pytestmark = pytest.mark.anyio

SECRET = "Ghost & I"


class Holder:
    """An account that signs in, and its authenticator."""

    def __init__(self, api: Api, login: str) -> None:
        self.api = api
        self.login = login
        self.secret = ""
        self.token = ""

    async def sign_in(self, code: str | None = None, **more: Any) -> httpx2.Response:
        body = {"login": self.login, "password": SECRET, "totp": code}
        answer = await self.api.ask("POST", "/login", body, token=None, **more)
        if answer.status_code == 200:
            self.token = answer.json()["token"]
        return answer

    async def enrol(self) -> Any:
        answer = await self.api.ask("POST", "/account/totp", {"password": SECRET}, token=self.token)
        assert answer.status_code == 200, answer.text
        self.secret = answer.json()["secret"]
        return answer.json()

    async def confirm(self, code: str) -> httpx2.Response:
        return await self.api.ask("POST", "/account/totp/confirm", {"code": code}, token=self.token)

    def code(self, steps: int = 0) -> str:
        """The code that the authenticator shows, some steps of 30 seconds from now."""
        return pyotp.TOTP(self.secret).at(self.api.clock.now // 1000, counter_offset=steps)


@pytest.fixture(params=["arya", "jon@got.com"])
async def holder(api: Api, request: pytest.FixtureRequest) -> Holder:
    """An administrator, then a mailbox user, signed in without a second factor."""
    await api.admin("arya", password_hash=CHEAP.hash(SECRET))
    domain = await api.domain("got.com")
    await api.user("jon@got.com", domain["id"], password=SECRET)
    holder = Holder(api, request.param)
    assert (await holder.sign_in()).status_code == 200
    return holder


@pytest.fixture
async def enrolled(holder: Holder) -> Holder:
    await holder.enrol()
    assert (await holder.confirm(holder.code())).status_code == 204
    holder.api.clock.now += 30_000
    return holder


async def test_enrolment_gives_the_secret_in_three_forms(holder: Holder) -> None:
    answer = await holder.enrol()
    parsed = pyotp.parse_uri(answer["uri"])
    assert isinstance(parsed, pyotp.TOTP)
    assert (parsed.secret, parsed.name, parsed.issuer) == (answer["secret"], holder.login, "Gatepost")
    assert len(answer["secret"]) == 32
    assert ElementTree.fromstring(answer["qr"]).tag.endswith("svg")


async def test_the_secret_is_sealed_in_the_store(holder: Holder) -> None:
    secret = (await holder.enrol())["secret"]
    row = stored(holder)
    assert row.totp_secret and secret not in row.totp_secret
    assert holder.api.store.secrets.unseal(row.totp_secret) == secret
    await holder.api.store.close()
    for path in holder.api.store.path.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


async def test_an_enrolment_counts_once_it_is_confirmed(holder: Holder) -> None:
    await holder.enrol()
    assert (await holder.sign_in()).status_code == 200
    answer = await holder.confirm("000000" if holder.code() != "000000" else "000001")
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/code")
    assert (await holder.confirm(holder.code())).status_code == 204
    assert (await holder.sign_in()).status_code == 401
    shown = stored(holder)
    assert shown.totp if isinstance(shown, Admin) else shown.mfa_type == "TOTP"


async def test_a_second_enrolment_replaces_one_that_was_never_confirmed(holder: Holder) -> None:
    await holder.enrol()
    old = holder.code()
    await holder.enrol()
    assert old == holder.code() or (await holder.confirm(old)).status_code == 422
    assert (await holder.confirm(holder.code())).status_code == 204


async def test_who_has_a_second_factor_can_neither_change_nor_drop_it_alone(enrolled: Holder) -> None:
    answer = await enrolled.api.ask("POST", "/account/totp", {"password": SECRET}, token=enrolled.token)
    assert answer.status_code == 409
    assert (await enrolled.confirm(enrolled.code())).status_code == 409


async def test_enrolment_takes_the_password_and_a_confirmed_one_takes_none(holder: Holder) -> None:
    for _ in range(10):
        answer = await holder.api.ask("POST", "/account/totp", {"password": "wrong"}, token=holder.token)
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/password")
    answer = await holder.api.ask("POST", "/account/totp", {"password": SECRET}, token=holder.token)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
    assert (await holder.sign_in()).status_code == 200  # signing in is not concerned
    assert (await holder.confirm("123456")).status_code == 422


async def test_a_code_of_the_step_before_or_after_is_taken_and_one_further_off_is_not(enrolled: Holder) -> None:
    for steps, status in ((-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)):
        enrolled.api.clock.now += 90_000
        assert (await enrolled.sign_in(enrolled.code(steps))).status_code == status, steps


async def test_a_code_works_once_and_none_before_it_afterwards(enrolled: Holder) -> None:
    before, code = enrolled.code(-1), enrolled.code()
    assert (await enrolled.sign_in(code)).status_code == 200
    assert (await enrolled.sign_in(code)).status_code == 401
    assert (await enrolled.sign_in(before)).status_code == 401
    assert (await enrolled.sign_in(enrolled.code(1))).status_code == 200


async def test_a_missing_or_wrong_code_is_told_like_a_wrong_password(enrolled: Holder) -> None:
    for code in (None, "", "12345", "abcdef", "٠١٢٣٤٥", "\0", "1" * 1000):
        answer = await enrolled.sign_in(code)
        assert (answer.status_code, answer.json()["message"]) == (401, "The login or the password is wrong."), code


async def test_codes_can_not_be_guessed_from_many_addresses(enrolled: Holder) -> None:
    wrong = "000000" if enrolled.code() != "000000" else "000001"
    for index in range(10):
        assert (await enrolled.sign_in(wrong, ip=f"198.51.100.{index}")).status_code == 401
    answer = await enrolled.sign_in(enrolled.code(), ip="203.0.113.1")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
    enrolled.api.clock.now += 600_000
    assert (await enrolled.sign_in(enrolled.code(), ip="203.0.113.1")).status_code == 200


async def test_an_administrator_switches_it_off(enrolled: Holder) -> None:
    row = stored(enrolled)
    if isinstance(row, User):
        mine = f"/users/{enrolled.api.ids.show(row.id)}"
        assert (await enrolled.api.ask("PATCH", mine, {"mfaType": "TOTP"})).status_code == 422
        await enrolled.api.change(mine, {"mfaType": "NONE"})
        assert (await enrolled.sign_in()).status_code == 200
        row = stored(enrolled)
        assert row.totp_secret is None
        assert (await enrolled.confirm(enrolled.code())).status_code == 422  # the old secret is gone


def stored(holder: Holder) -> Admin | User:
    reader = holder.api.store.reader
    if "@" in holder.login:
        row: Admin | User | None = reader.first(User, eq("email", holder.login))
    else:
        row = reader.first(Admin, eq("login", holder.login))
    assert row
    return row


def test_the_clock_stands_in_the_middle_of_a_step() -> None:
    """The tests above count in steps from NOW."""
    assert 0 < NOW // 1000 % 30 < 29
