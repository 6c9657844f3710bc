"""Temporary tokens: for oneself and to act for a user, bounded in time, purpose and rights; and one's own password."""

import asyncio
from collections import Counter
from typing import Any

import httpx2
import pytest
from tests.api.house import BASE, CHEAP, NOW, Api

from gatepost.model.access import Admin, Caller, Grant, Level
from gatepost.model.policy import Policy
from gatepost.model.problem import Problem
from gatepost.model.query import All, eq
from gatepost.model.route import Platform
from gatepost.model.tenant import User, UserStatus
from gatepost.services.access import Access, may
from gatepost.services.temporary import TemporaryTokens, TokenWish

pytestmark = pytest.mark.anyio

SECRET = "Ghost & I"
HOUR = 3_600_000


class Jon:
    """A mailbox user with a session token."""

    def __init__(self, api: Api, view: Any) -> None:
        self.api = api
        self.place = f"/users/{view['id']}"
        self.id = api.ids.read(view["id"])
        self.domain = view["domainId"]
        self.token = ""

    async def sign_in(self, password: str = SECRET) -> httpx2.Response:
        given = {"login": "jon@got.com", "password": password}
        answer = await self.api.ask("POST", "/login", given, token=None)
        if answer.status_code == 200:
            self.token = answer.json()["token"]
        return answer

    async def status(self, token: str) -> int:
        return (await self.api.ask("GET", self.place, token=token)).status_code


@pytest.fixture
async def jon(api: Api) -> Jon:
    domain = await api.domain("got.com")
    jon = Jon(api, await api.user("jon@got.com", domain["id"], password=SECRET))
    assert (await jon.sign_in()).status_code == 200
    return jon


async def ask(api: Api, query: str = "", **more: Any) -> Any:
    answer = await api.ask("GET", f"/token{query}", **more)
    assert answer.status_code == 202, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


@pytest.mark.parametrize(("query", "hours"), [("", 4), ("?validity=1", 1), ("?username=JON@got.com&validity=168", 168)])
async def test_a_token_for_oneself_works_for_its_hours(jon: Jon, query: str, hours: int) -> None:
    made = await ask(jon.api, query, token=jon.token)
    assert made.keys() == {"token", "expireAt", "url"}
    assert made["expireAt"] == NOW + hours * HOUR
    assert made["url"].startswith(f"{BASE}/signin?token=") and made["token"] not in made["url"]
    jon.api.clock.now = made["expireAt"] - 1
    assert await jon.status(made["token"]) == 200
    jon.api.clock.now += 1
    assert await jon.status(made["token"]) == 401


async def test_a_temporary_token_makes_neither_tokens_nor_passwords_rules_13(jon: Jon) -> None:
    token = (await ask(jon.api, token=jon.token))["token"]
    for method, path, body in (
        ("GET", "/token", None),
        ("GET", "/token?username=jon@got.com", None),
        ("POST", "/account/password", {"current": SECRET, "password": "another one"}),
        ("POST", "/account/totp", {"password": SECRET}),
        ("POST", "/account/totp/confirm", {"code": "123456"}),
    ):
        assert (await jon.api.ask(method, path, body, token=token)).status_code == 403, path
    admin = (await ask(jon.api))["token"]
    mine = f"/admins/{jon.api.ids.show(1)}/tokens"
    assert (await jon.api.ask("POST", mine, {"name": "x"}, token=admin)).status_code == 403
    assert (await jon.api.ask("GET", "/token?username=jon@got.com", token=admin)).status_code == 403


async def test_a_temporary_token_opens_no_lasting_way_in_rules_13(jon: Jon) -> None:
    """Where reset links go, the second factor, accounts and what they hold outlive the token."""
    api = jon.api
    other = await api.admin("other")
    me, accomplice = (f"/security/admins/{api.ids.show(number)}" for number in (1, other.id))
    await api.store.write(lambda writer: writer.change(Admin, 1, totp=True))
    await api.store.write(lambda writer: writer.change(User, jon.id, mfa_type="TOTP"))
    account = {"login": "new", "displayName": "New", "email": "x@y.example", "password": SECRET, "enabled": True}
    user = {"email": "arya@got.com", "status": "ENABLED", "domainId": jon.domain, "password": SECRET}
    disabled = f"/security/admins/{api.ids.show((await api.admin('disabled')).id)}"
    assert (await api.ask("PATCH", disabled, {"enabled": False})).status_code == 200
    barred = f"/users/{(await api.user('sansa@got.com', jon.domain, status='DISABLED'))['id']}"
    closed = f"/domains/{(await api.domain('closed.example', status='DISABLED'))['id']}"
    deleted = f"/domains/{(await api.domain('deleted.example'))['id']}"
    assert (await api.ask("DELETE", deleted)).status_code == 204
    new = {**account, "language": "EN", "permissions": ["SYSADMIN"]}
    asked: tuple[tuple[str, str, Any], ...] = (
        ("PATCH", me, {"email": "thief@evil.example"}),
        ("PATCH", me, {"password": "another one"}),
        ("PATCH", me, {"totp": False}),
        ("PATCH", accomplice, {"email": "thief@evil.example"}),
        ("PATCH", disabled, {"enabled": True}),
        ("POST", "/platform/admins", new),
        ("POST", "/platform/admins", {"id": api.ids.show(other.id), "permissions": ["SYSADMIN"]}),
        ("PUT", f"/platform/admins/{api.ids.show(1)}/authorities", ["SYSADMIN"]),
        ("PATCH", jon.place, {"email": "robb@got.com"}),
        ("PATCH", jon.place, {"password": "another one"}),
        ("PATCH", jon.place, {"mfaType": "NONE"}),
        ("PATCH", barred, {"status": "ENABLED"}),
        ("POST", "/users", user),
        ("PUT", f"/domains/{jon.domain}/access", ["USER", "VIRUS_RELEASE"]),
        ("PATCH", closed, {"status": "ENABLED"}),
        ("PATCH", deleted, {"status": "ENABLED"}),
    )
    token = (await ask(api))["token"]
    for each in asked:
        assert (await api.ask(*each, token=token)).status_code == 403, each
    await api.store.write(lambda writer: writer.change(User, jon.id, mfa_type=None))
    for place, change in (
        (me, {"displayName": "Me", "enabled": True}),
        (accomplice, {"enabled": False}),
        (jon.place, {"firstname": "Jon", "email": "jon@got.com", "mfaType": "NONE", "status": "ENABLED"}),
        (f"/domains/{jon.domain}", {"status": "ENABLED"}),
        (f"/domains/{jon.domain}", {"status": "DISABLED"}),
    ):
        assert (await api.ask("PATCH", place, change, token=token)).status_code < 300, place
    assert (await api.ask("PUT", f"/domains/{jon.domain}/access", [], token=token)).status_code == 200


async def test_an_administrator_acts_for_a_user_with_the_rights_of_both_rules_13(jon: Jon) -> None:
    api = jon.api
    made = await ask(api, "?username=jon@got.com")
    assert await jon.status(made["token"]) == 200
    assert (await api.ask("GET", "/domains", token=made["token"])).status_code == 403
    caller = await api.counter.of(Access).caller(made["token"], "192.0.2.1")
    assert (caller.user_id, caller.temporary) == (jon.id, True)
    assert caller.maker and caller.maker.login == "admin"
    user = api.store.reader.get(User, jon.id)
    assert may(caller, "MAILS_READ", user)
    await api.store.write(lambda writer: writer.change(Admin, 1, sys_admin=False))
    caller = await api.counter.of(Access).caller(made["token"], "192.0.2.1")
    assert not may(caller, "MAILS_READ", user)  # what the maker lost, his token lost with it
    await api.store.write(lambda writer: writer.change(Admin, 1, enabled=False))
    assert await jon.status(made["token"]) == 401


async def test_acting_for_others_needs_the_right_and_tells_nothing_without_it(jon: Jon) -> None:
    plain = await jon.api.admin("plain")
    token = await jon.api.token_of(admin_id=plain.id)
    answers = set()
    for name in ("jon@got.com", "arya@got.com", "x", "jon@nowhere.example"):
        for who in (token, jon.token) if name != "jon@got.com" else (token,):
            answer = await jon.api.ask("GET", f"/token?username={name}", token=who)
            answers.add((answer.status_code, answer.content))
    assert len(answers) == 1 and answers.pop()[0] == 403
    assert (await jon.api.ask("GET", "/token?username=arya@got.com")).status_code == 404


async def test_who_rules_a_domain_is_told_that_an_account_is_missing_there(api: Api, jon: Jon) -> None:
    """GET /token: "unknown user: 404"; tasks and rules: 422 (contract A52), for who may know the domain's accounts."""
    other = await api.domain("wall.com")
    await api.user("sam@wall.com", other["id"])
    helper = await api.admin("tyrion")
    domain = api.ids.read(jon.domain)
    await api.store.write(
        lambda writer: writer.add(Grant(admin_id=helper.id, level=Level.DOMAIN, node_id=domain, roles=["DOMAIN_ADMIN"]))
    )
    token = await api.token_of(admin_id=helper.id)

    async def statuses(name: str) -> list[int]:
        task = {"command": "send_welcome_mail", "params": {"recipient": name}}
        rule = {"owner": name, "type": "BLOCK", "value": "a.example"}
        asked = [("GET", f"/token?username={name}", None), ("POST", "/tasks", task), ("POST", "/wblist", [rule])]
        return [(await api.ask(*each, token=token)).status_code for each in asked]

    assert await statuses("arya@got.com") == [404, 422, 422]
    for foreign in ("sam@wall.com", "arya@wall.com", "x@nowhere.example"):
        assert await statuses(foreign) == [403, 403, 403]


async def test_an_empty_name_is_not_the_caller(jon: Jon) -> None:
    assert (await jon.api.ask("GET", "/token?username=")).status_code == 404
    assert (await jon.api.ask("GET", "/token?username=", token=jon.token)).status_code == 403


@pytest.mark.parametrize("query", ["validity=0", "validity=169", "validity=x", "validity=1.5", "validity="])
async def test_a_life_is_bounded(jon: Jon, query: str) -> None:
    answer = await jon.api.ask("GET", f"/token?{query}", token=jon.token)
    assert (answer.status_code, answer.json()["pointer"]) == (400, "/validity")


async def test_an_account_that_keeps_no_mail_or_is_off_gets_none(jon: Jon) -> None:
    services = {"quarantine": False, "retention": False, "archive": False}
    policy = jon.api.store.reader.first(Policy, All(()))
    assert policy
    await jon.api.store.write(lambda writer: writer.change(Policy, policy.id, **services))
    assert (await jon.api.ask("GET", "/token", token=jon.token)).status_code == 400
    assert (await jon.api.ask("GET", "/token?username=jon@got.com")).status_code == 400
    await jon.api.store.write(lambda writer: writer.change(Policy, policy.id, archive=True))
    await jon.api.store.write(lambda writer: writer.change(User, jon.id, status=UserStatus.DISABLED))
    assert (await jon.api.ask("GET", "/token?username=jon@got.com")).status_code == 400


async def test_who_is_no_account_acts_for_nobody(jon: Jon) -> None:
    local = Caller(login="local control", sys_admin=True)
    for username in (None, "jon@got.com"):
        with pytest.raises(Problem):
            await jon.api.counter.of(TemporaryTokens).make(local, TokenWish(username=username), BASE)


# One's own password.


async def change(jon: Jon, current: str, password: str, **more: Any) -> httpx2.Response:
    body = {"current": current, "password": password}
    return await jon.api.ask("POST", "/account/password", body, token=more.get("token", jon.token))


async def test_a_password_is_changed_by_who_knows_the_old_one(jon: Jon) -> None:
    old, temporary = jon.token, (await ask(jon.api, token=jon.token))["token"]
    personal = await jon.api.token_of(user_id=jon.id)
    assert (await change(jon, SECRET, "you know nothing")).status_code == 204
    assert [await jon.status(each) for each in (old, temporary, personal)] == [401, 401, 200]
    assert (await jon.sign_in()).status_code == 401
    assert (await jon.sign_in("you know nothing")).status_code == 200
    assert (await change(jon, "you know nothing", SECRET, token=personal)).status_code == 204


async def test_a_stolen_session_can_not_guess_the_password(jon: Jon) -> None:
    answers = await asyncio.gather(*(change(jon, "wrong", "another one") for _ in range(14)))  # at once
    assert Counter((each.status_code, each.json().get("pointer")) for each in answers) == {
        (422, "/current"): 10,
        (429, None): 4,
    }
    answer = await change(jon, SECRET, "another one")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "600")
    assert (await jon.sign_in()).status_code == 200  # signing in is not concerned


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
async def test_a_new_password_has_its_length(jon: Jon, password: str) -> None:
    answer = await change(jon, SECRET, password)
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/password")


async def test_a_password_that_is_kept_elsewhere_is_not_changed_here_rules_29(jon: Jon) -> None:
    platform = jon.api.store.reader.first(Platform, All(()))
    assert platform
    await jon.api.store.write(lambda writer: writer.change(Platform, platform.id, auth_type="imap"))
    assert (await change(jon, SECRET, "another one")).status_code == 422


async def test_an_administrator_changes_his_own(api: Api) -> None:
    await api.admin("arya", password_hash=CHEAP.hash(SECRET))
    given = {"login": "arya", "password": SECRET}
    token = (await api.ask("POST", "/login", given, token=None)).json()["token"]
    body = {"current": SECRET, "password": "another one"}
    assert (await api.ask("POST", "/account/password", body, token=token)).status_code == 204
    row = api.store.reader.first(Admin, eq("login", "arya"))
    assert row and row.password_hash and CHEAP.verify(row.password_hash, "another one")
