"""What is remembered between two requests is given up with the write that changes it: the next request knows."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.api.house import CHEAP, Api

from gatepost.model.access import Admin, Grant, Level, Role, Token
from gatepost.model.policy import Policy
from gatepost.model.query import eq
from gatepost.model.tenant import Customer, Domain, DomainStatus, User, UserStatus
from gatepost.services.access import digest
from gatepost.store.store import Writer

pytestmark = pytest.mark.anyio

DAY = 86_400_000
SECRET = "Needle & thread"


class Seen:
    """A domain with an account, asked for by administrators of all sorts until everything about them is remembered."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def build(self) -> None:
        api = self.api
        self.domain = await api.domain("got.com")
        self.user = await api.user("jon@got.com", self.domain["id"], password=SECRET)
        self.domain_path = f"/domains/{self.domain['id']}"
        self.path = f"/users/{self.user['id']}"
        self.domain_id, self.user_id = api.ids.read(self.domain["id"]), api.ids.read(self.user["id"])
        self.admin = await api.admin("arya", password_hash=CHEAP.hash(SECRET))
        self.granted = await api.store.write(self._grant)
        self.tokens = {
            "token of an administrator": await api.token_of(admin_id=self.admin.id),
            "session of an administrator": await self.session("arya"),
            "token of a user": await api.token_of(user_id=self.user_id),
            "session of a user": await self.session("jon@got.com"),
        }
        for _ in range(2):
            assert {await self.status(token) for token in self.tokens.values()} == {200}

    def _grant(self, writer: Writer) -> Grant:
        writer.add(Role(domain_id=self.domain_id, name="Looker", permissions=["USERS_READ"], created_at=0))
        return writer.add(
            Grant(admin_id=self.admin.id, level=Level.DOMAIN, node_id=self.domain_id, roles=["Looker"], permissions=[])
        )

    async def session(self, login: str) -> str:
        answer = await self.api.ask("POST", "/login", {"login": login, "password": SECRET}, token=None)
        token: str = answer.json()["token"]
        return token

    async def status(self, token: str) -> int:
        return (await self.api.ask("GET", self.path, token=token)).status_code

    async def statuses(self, what: str) -> set[int]:
        """Return how those are answered whose name ends so."""
        return {await self.status(token) for name, token in self.tokens.items() if name.endswith(what)}

    async def write(self, kind: type, row: int, **fields: Any) -> None:
        await self.api.store.write(lambda writer: writer.change(kind, row, **fields))

    async def shown(self) -> tuple[Any, Any]:
        """Return the account and the domain as they are shown, once for sure that the lists show them alike."""
        user, domain = await self.api.get(self.path), await self.api.get(self.domain_path)
        (listed,) = [each for each in await self.api.get(f"{self.domain_path}/users") if each["id"] == user["id"]]
        assert {name: user[name] for name in listed} == listed
        assert [domain] == await self.api.get(f"/domains?name={domain['name']}")
        return user, domain


@pytest.fixture
async def seen(api: Api) -> AsyncIterator[Seen]:
    seen = Seen(api)
    await seen.build()
    yield seen


async def test_a_token_ends_with_its_removal_and_at_its_term(seen: Seen) -> None:
    api, place = seen.api, f"/admins/{seen.api.ids.show(1)}/tokens"
    lasting = await api.make(place, {"name": "one"})
    brief = await api.make(place, {"name": "two", "expiration": api.clock() + 1_000})
    for made in (lasting, brief) * 2:
        assert await seen.status(made["value"]) == 200
    assert (await api.ask("DELETE", f"{place}/{lasting['id']}")).status_code == 204
    assert (await seen.status(lasting["value"]), await seen.status(brief["value"])) == (401, 200)
    api.clock.now += 1_000
    assert await seen.status(brief["value"]) == 401


async def test_a_token_that_was_guessed_before_it_was_made_opens_from_then_on(seen: Seen) -> None:
    assert await seen.status("c" * 32) == 401
    row = Token(admin_id=1, name="late", digest=digest("c" * 32), created_at=0)
    await seen.api.store.write(lambda writer: writer.add(row))
    assert await seen.status("c" * 32) == 200


async def test_a_session_ends_at_its_term(seen: Seen) -> None:
    seen.api.clock.now += 3_599_000
    assert await seen.statuses("administrator") == {200}
    seen.api.clock.now += 1_000
    assert await seen.status(seen.tokens["session of an administrator"]) == 401
    assert await seen.status(seen.tokens["token of an administrator"]) == 200


@pytest.mark.parametrize(
    "fields", [{"permissions": ["RULES_READ"], "roles": []}, {"level": Level.CUSTOMER, "node_id": 9}]
)
async def test_a_withdrawn_right_acts_at_once(seen: Seen, fields: dict[str, Any]) -> None:
    await seen.write(Grant, seen.granted.id, **fields)
    assert await seen.statuses("administrator") == {403}
    assert await seen.statuses("user") == {200}
    await seen.write(Grant, seen.granted.id, level=Level.DOMAIN, node_id=seen.domain_id, permissions=["USERS_READ"])
    assert await seen.statuses("administrator") == {200}


async def test_a_grant_that_is_removed_acts_at_once(seen: Seen) -> None:
    await seen.api.store.write(lambda writer: writer.remove(Grant, eq("id", seen.granted.id)))
    assert await seen.statuses("administrator") == {403}


async def test_a_role_that_says_less_acts_at_once(seen: Seen) -> None:
    role = seen.api.store.reader.first(Role, eq("name", "Looker"))
    assert role
    await seen.write(Role, role.id, permissions=["RULES_READ"])
    assert await seen.statuses("administrator") == {403}


async def test_what_a_domain_grants_its_users_acts_at_once(seen: Seen) -> None:
    await seen.write(Domain, seen.domain_id, user_permissions=["MAILS_READ"])
    assert await seen.statuses("user") == {403}
    await seen.write(Domain, seen.domain_id, user_permissions=None)
    assert await seen.statuses("user") == {200}


async def test_a_new_password_ends_sessions_and_leaves_tokens(seen: Seen) -> None:
    await seen.write(Admin, seen.admin.id, password_hash=CHEAP.hash("other"))
    await seen.api.change(seen.path, {"password": "another one"})
    for name, token in seen.tokens.items():
        assert await seen.status(token) == (401 if name.startswith("session") else 200), name


async def test_a_disabled_account_or_domain_is_nobody_at_once(seen: Seen) -> None:
    await seen.write(Admin, seen.admin.id, enabled=False)
    assert (await seen.statuses("administrator"), await seen.statuses("user")) == ({401}, {200})
    await seen.api.change(seen.path, {"status": "DISABLED"})
    assert await seen.statuses("user") == {401}
    await seen.api.change(seen.path, {"status": "ENABLED"})
    assert await seen.statuses("user") == {200}
    await seen.api.change(seen.domain_path, {"status": "DISABLED"})
    assert await seen.statuses("user") == {401}


async def test_a_removed_account_is_nobody_and_nothing_at_once(seen: Seen) -> None:
    assert (await seen.api.ask("DELETE", seen.path)).status_code == 204
    assert await seen.statuses("user") == {401}
    assert await seen.status(seen.api.token) == 404
    await seen.api.store.write(lambda writer: writer.remove(Admin, eq("id", seen.admin.id)))
    assert await seen.statuses("administrator") == {401}


async def test_every_change_is_shown_at_once(seen: Seen) -> None:
    api = seen.api
    user, domain = await seen.shown()
    assert (user["firstname"], user["status"], domain["activeUsersCount"]) == (None, "ENABLED", 1)
    await api.change(seen.path, {"firstname": "Jon"})
    assert (await seen.shown())[0]["firstname"] == "Jon"
    await api.user("sam@got.com", domain["id"])
    assert (await seen.shown())[1]["activeUsersCount"] == 2
    await api.make(f"{seen.domain_path}/aliases", ["wall.example"])
    assert [alias["name"] for alias in (await seen.shown())[1]["domainAliases"]] == ["wall.example"]
    platform = {**domain["platforms"][0], "name": "other"}
    await api.change(seen.domain_path, {"platforms": [{k: v for k, v in platform.items() if v is not None}]})
    user, domain = await seen.shown()
    assert user["platform"]["name"] == domain["platforms"][0]["name"] == "other"
    await seen.write(Policy, api.ids.read(domain["policy"]["id"]), name="new name")
    user, domain = await seen.shown()
    assert user["policy"]["name"] == domain["policy"]["name"] == "new name"
    await seen.write(Customer, api.ids.read(domain["customer"]["id"]), name="Stark")
    assert (await seen.shown())[1]["customer"]["name"] == "Stark"
    await seen.write(User, seen.user_id, status=UserStatus.DISABLED)
    user, domain = await seen.shown()
    assert (user["status"], domain["activeUsersCount"]) == ("DISABLED", 1)
    await seen.write(Domain, seen.domain_id, status=DomainStatus.PENDING)
    user, domain = await seen.shown()
    assert user["domainStatus"] == domain["status"] == "PENDING"


async def test_a_sign_in_is_shown_though_it_changes_no_configuration(seen: Seen) -> None:
    before = (await seen.api.get(seen.path))["lastConnectionDate"]
    seen.api.clock.now += 5_000
    await seen.session("jon@got.com")
    assert (await seen.api.get(seen.path))["lastConnectionDate"] == before + 5_000


async def test_what_the_purge_erases_is_gone_at_once(seen: Seen) -> None:
    assert (await seen.api.ask("DELETE", seen.domain_path)).status_code == 204
    assert (await seen.api.get(seen.path))["domainStatus"] == "DELETED"
    seen.api.clock.now += 31 * DAY
    while (await seen.api.store.write(lambda writer: writer.purge(seen.api.clock()))).more:
        gone = seen.api.store.reader.get(User, seen.user_id) is None
        assert await seen.status(seen.api.token) == (404 if gone else 200)
    assert (await seen.api.ask("GET", seen.domain_path)).status_code == 404
    assert await seen.status(seen.api.token) == 404


async def test_what_was_asked_for_before_it_was_made_is_found(seen: Seen) -> None:
    coming = f"/users/{seen.api.ids.show(seen.user_id + 1)}"
    assert (await seen.api.ask("GET", coming)).status_code == 404
    made = await seen.api.user("sam@got.com", seen.domain["id"])
    assert coming == f"/users/{made['id']}"
    assert (await seen.api.get(coming))["email"] == "sam@got.com"
