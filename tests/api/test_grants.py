"""Access on the nodes of the tree: given, changed, taken back (contract 5.5.3 to 5.5.13; the same form above)."""

from typing import Any

import pytest
from tests.api.house import CHEAP, Api

from gatepost.model.access import Admin, Grant, Level
from gatepost.model.query import All, eq

pytestmark = pytest.mark.anyio

NEW = {
    "login": "arya",
    "displayName": "No One",
    "email": "Arya@Stark.net",
    "password": "a girl has no name",
    "enabled": True,
    "language": "FR",
}


class Castle:
    """One domain, and who may do what on it."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def build(self) -> None:
        self.domain = await self.api.domain("stark.net")
        self.other = await self.api.domain("lannister.net")
        self.nodes = {
            "domain": f"/domains/{self.domain['id']}",
            "customer": f"/customers/{self.domain['customer']['id']}",
            "broker": f"/brokers/{self.domain['customer']['brokerId']}",
            "platform": "/platform",
        }
        self.admins = f"{self.nodes['domain']}/admins"

    async def holder(self, *permissions: str, node: str = "domain", login: str = "sansa", **roles: Any) -> str:
        """Make an administrator with permissions and roles on a node; return his token."""
        admin = await self.api.admin(login)
        path = self.nodes[node].rpartition("/")[2]
        level = Level(node.upper())
        of = 0 if level is Level.PLATFORM else self.api.ids.read(path)
        row = Grant(admin_id=admin.id, level=level, node_id=of, permissions=list(permissions), **roles)
        await self.api.store.write(lambda writer: writer.add(row))
        return await self.api.token_of(admin_id=admin.id)

    async def give(self, body: dict[str, Any], *, path: str = "", **more: Any) -> Any:
        answer = await self.api.ask("POST", path or self.admins, body, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, status: int, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = await self.api.ask(method, path, body, **more)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def castle(api: Api) -> Castle:
    castle = Castle(api)
    await castle.build()
    return castle


@pytest.mark.parametrize("node", ["domain", "customer", "broker", "platform"])
async def test_access_lives_from_gift_to_revocation_on_every_node(castle: Castle, node: str) -> None:
    path = f"{castle.nodes[node]}/admins"
    made = await castle.give({**NEW, "permissions": ["USERS_READ", "HELPDESK"]}, path=path)
    assert (made["login"], made["email"], made["language"], made["sysAdmin"]) == ("arya", "arya@stark.net", "FR", False)
    (authority,) = made["authorities"]
    assert made["authoritiesCount"] == 1
    assert (authority["objectType"], authority["roles"]) == (node.upper(), ["HELPDESK"])
    assert {"USERS_READ", "QUARANTINE_RELEASE"} <= set(authority["permissions"])
    assert authority["objectName"] == {"domain": "stark.net", "platform": None}.get(node, "default")
    assert not {"passwordHash", "password", "totpSecret"} & made.keys()
    mine = f"{path}/{made['id']}"
    assert await castle.api.get(mine) == made
    assert made in await castle.api.get(path)
    answer = await castle.api.ask("PUT", f"{mine}/authorities", ["GRANT"])
    assert (answer.status_code, answer.json()) == (200, "set")
    assert (await castle.api.get(mine))["authorities"][0]["permissions"] == ["GRANT"]
    answer = await castle.api.ask("DELETE", mine)
    assert (answer.status_code, answer.json()) == (200, "revoked")
    assert castle.api.store.reader.first(Admin, eq("login", "arya")) is None  # nothing was left to him (5.5.5)


async def test_an_account_with_other_access_outlives_a_revocation(castle: Castle) -> None:
    made = await castle.give({**NEW, "permissions": ["GRANT"]})
    other = f"/domains/{castle.other['id']}/admins"
    assert (await castle.give({"id": made["id"], "permissions": ["USERS_READ"]}, path=other))["id"] == made["id"]
    await castle.refused(409, "POST", other, {"id": made["id"], "permissions": ["USERS_READ"]})
    whole = await castle.api.get(f"/security/admins/{made['id']}")
    assert [each["objectName"] for each in whole["authorities"]] == ["stark.net", "lannister.net"]
    assert (await castle.api.ask("DELETE", f"{castle.admins}/{made['id']}")).status_code == 200
    assert (await castle.api.get(f"/security/admins/{made['id']}"))["authoritiesCount"] == 1
    await castle.refused(404, "DELETE", f"{castle.admins}/{made['id']}")
    await castle.refused(404, "PUT", f"{castle.admins}/{made['id']}/authorities", ["GRANT"])


async def test_a_new_account_needs_every_member(castle: Castle) -> None:
    for missing in NEW:
        body = {name: value for name, value in NEW.items() if name != missing}
        problem = await castle.refused(400, "POST", castle.admins, {**body, "permissions": ["GRANT"]})
        assert problem["pointer"] == f"/{missing}"


UNGIVEN: list[Any] = [
    ({"login": "ADMIN"}, 409, "/login"),
    ({"email": "nowhere"}, 400, "/email"),
    ({"password": "short"}, 422, "/password"),
    ({"language": "XX"}, 400, "/language"),
    ({"permissions": []}, 422, "/permissions"),
    ({"permissions": ["GRANT", "FLY"]}, 422, "/permissions/1"),
    ({"permissions": ["USER"]}, 422, "/permissions/0"),
    ({"permissions": ["SYSADMIN"]}, 422, "/permissions"),
    ({"permissions": ["POLICIES_WRITE"]}, 422, "/permissions/0"),  # sysadmins alone
    ({"permissions": ["GRANT"] * 201}, 422, "/permissions"),
    ({"id": "zzzzz"}, 422, "/id"),
]


async def test_what_cannot_be_given_is_refused_and_leaves_nothing(castle: Castle) -> None:
    for change, status, pointer in UNGIVEN:
        problem = await castle.refused(status, "POST", castle.admins, {**NEW, "permissions": ["GRANT"], **change})
        assert problem["pointer"] == pointer, change
        assert castle.api.store.reader.count(Admin, All(())) == 1


async def test_nobody_gives_what_he_lacks_or_beyond_his_node_threat_109(castle: Castle) -> None:
    token = await castle.holder("GRANT", "ADMINS_READ", "USERS_READ")
    made = await castle.give({**NEW, "permissions": ["USERS_READ", "GRANT"]}, token=token)
    mine = f"{castle.admins}/{made['id']}/authorities"
    for names in (["USERS_WRITE"], ["HELPDESK"], ["USERS_READ", "MAIL_CONTENT"]):
        await castle.refused(403, "POST", castle.admins, {**NEW, "login": "b", "permissions": names}, token=token)
        await castle.refused(403, "PUT", mine, names, token=token)
    for path in (f"/domains/{castle.other['id']}", "/domains/zzzzz", castle.nodes["customer"], "/platform"):
        await castle.refused(403, "POST", f"{path}/admins", {**NEW, "permissions": ["USERS_READ"]}, token=token)
    await castle.refused(403, "POST", "/platform/admins", {**NEW, "permissions": ["SYSADMIN"]}, token=token)
    assert (await castle.api.ask("PUT", mine, ["USERS_WRITE"])).status_code == 200
    kept = await castle.api.ask("PUT", mine, ["USERS_WRITE", "USERS_READ"], token=token)  # what he has, he keeps
    assert kept.status_code == 200


async def test_an_account_out_of_sight_cannot_be_taken_on_nor_told_from_a_missing_one_threat_107(
    castle: Castle,
) -> None:
    token = await castle.holder("GRANT", "USERS_READ")
    foreign = await castle.api.admin("tywin")
    problems = [
        await castle.refused(422, "POST", castle.admins, {"id": each, "permissions": ["USERS_READ"]}, token=token)
        for each in (castle.api.ids.show(foreign.id), "zzzzz")
    ]
    assert problems[0] == problems[1]


async def test_a_withdrawn_right_acts_at_once_threat_110(castle: Castle) -> None:
    token = await castle.holder("USERS_READ")
    admin = castle.api.store.reader.first(Admin, eq("login", "sansa"))
    assert admin
    users = f"{castle.nodes['domain']}/users"
    assert (await castle.api.ask("GET", users, token=token)).status_code == 200
    path = f"{castle.admins}/{castle.api.ids.show(admin.id)}"
    assert (await castle.api.ask("PUT", f"{path}/authorities", ["RULES_READ"])).status_code == 200
    assert (await castle.api.ask("GET", users, token=token)).status_code == 403
    assert (await castle.api.ask("DELETE", path)).status_code == 200
    assert (await castle.api.ask("GET", users, token=token)).status_code == 401


async def test_a_second_sysadmin_is_made_and_unmade_and_the_last_one_stays(castle: Castle) -> None:
    first = castle.api.ids.show(1)
    made = await castle.give({**NEW, "permissions": ["SYSADMIN"]}, path="/platform/admins")
    assert made["sysAdmin"] is True and made["authorities"][0]["roles"] == ["SYSADMIN"]
    assert "POLICIES_WRITE" in made["authorities"][0]["permissions"]
    path = f"/platform/admins/{made['id']}"
    await castle.refused(409, "POST", "/platform/admins", {"id": made["id"], "permissions": ["READER"]})
    assert (await castle.api.ask("PUT", f"{path}/authorities", ["READER"])).status_code == 200
    shown = await castle.api.get(path)
    assert shown["sysAdmin"] is False and shown["authorities"][0]["roles"] == ["READER"]
    for method, way, body in (
        ("PUT", f"/platform/admins/{first}/authorities", ["READER"]),
        ("DELETE", f"/platform/admins/{first}", None),
        ("DELETE", f"/security/admins/{first}", None),
        ("PATCH", f"/security/admins/{first}", {"enabled": False}),
    ):
        assert "last sysadmin" in (await castle.refused(409, method, way, body))["message"]
    assert (await castle.api.ask("PUT", f"{path}/authorities", ["SYSADMIN"])).status_code == 200
    assert (await castle.api.ask("DELETE", f"/platform/admins/{first}")).status_code == 200
    assert castle.api.store.reader.get(Admin, 1) is None


async def test_who_grants_on_the_platform_without_being_sysadmin_touches_no_sysadmin(castle: Castle) -> None:
    token = await castle.holder(node="platform", roles=["BROKER_ADMIN"])
    first = f"/platform/admins/{castle.api.ids.show(1)}"
    assert [each["login"] for each in await castle.api.get("/platform/admins", token=token)] == ["admin", "sansa"]
    await castle.refused(403, "PUT", f"{first}/authorities", ["READER"], token=token)
    await castle.refused(403, "PUT", f"{first}/authorities", ["SYSADMIN"], token=token)
    await castle.refused(403, "DELETE", first, token=token)
    await castle.refused(403, "PATCH", f"/security/admins/{castle.api.ids.show(1)}", {"enabled": True}, token=token)
    body = {**NEW, "permissions": ["SYSADMIN"]}
    await castle.refused(403, "POST", "/platform/admins", body, token=token)


async def test_the_list_of_a_node_names_those_given_access_to_itself(castle: Castle) -> None:
    await castle.holder("GRANT", node="customer", login="Ned")
    await castle.holder("GRANT", login="robb")
    await castle.holder("GRANT", login="Bran")
    answer = await castle.api.ask("GET", castle.admins)
    assert [each["login"] for each in answer.json()] == ["Bran", "robb"]
    assert answer.headers["X-Total-Count"] == "2"
    found = await castle.api.get(f"{castle.admins}?search=RO&sort=-login")
    assert [each["login"] for each in found] == ["robb"]
    await castle.refused(404, "GET", "/domains/zzzzz/admins")
    await castle.refused(404, "GET", f"{castle.admins}/zzzzz")


async def test_authorities_out_of_the_callers_scope_are_neither_shown_nor_counted(castle: Castle) -> None:
    made = await castle.give({**NEW, "permissions": ["GRANT"]})
    await castle.give({"id": made["id"], "permissions": ["GRANT"]}, path=f"/domains/{castle.other['id']}/admins")
    token = await castle.holder("ADMINS_READ", "GRANT")
    (seen,) = [each for each in await castle.api.get("/security/admins", token=token) if each["login"] == "arya"]
    assert seen["authoritiesCount"] == 1 and seen["authorities"][0]["objectName"] == "stark.net"
    assert await castle.api.get(f"/security/admins/{made['id']}", token=token) == seen
    own = await castle.api.token_of(admin_id=castle.api.ids.read(made["id"]))
    assert (await castle.api.get(f"/security/admins/{made['id']}", token=own))["authoritiesCount"] == 2


async def test_permissions_that_can_be_given_are_cut_down_to_the_callers_own(castle: Castle) -> None:
    token = await castle.holder("ADMINS_READ", "USERS_READ")
    place = f"scope=DOMAIN&id={castle.domain['id']}"
    shown = await castle.api.get(f"/security/permissions?{place}", token=token)
    assert shown == [{"name": "ADMINS_READ", "editable": False}, {"name": "USERS_READ", "editable": False}]
    everything = await castle.api.get("/security/permissions?scope=platform&id=")
    names = {each["name"] for each in everything if each["editable"]}
    assert {"GRANT", "MAIL_CONTENT"} <= names and not {"POLICIES_WRITE", "DKIM_WRITE"} & names
    foreign = [
        await castle.refused(403, "GET", f"/security/permissions?scope=DOMAIN&id={each}", token=token)
        for each in (castle.other["id"], "zzzzz")
    ]
    assert foreign[0] == foreign[1]
    await castle.refused(404, "GET", "/security/permissions?scope=BROKER&id=zzzzz")
    await castle.refused(400, "GET", "/security/permissions?scope=MOON&id=zzzzz")
    await castle.refused(400, "GET", "/security/permissions?scope=DOMAIN")


async def test_an_account_is_changed_by_itself_and_by_those_who_hold_more(castle: Castle) -> None:
    made = await castle.give({**NEW, "permissions": ["GRANT", "MAIL_CONTENT"]})
    path, reader = f"/security/admins/{made['id']}", castle.api.store.reader
    own = await castle.api.token_of(admin_id=castle.api.ids.read(made["id"]))
    change = {"email": "", "displayName": "Arya", "password": "valar morghulis", "language": "de", "totp": False}
    answer = await castle.api.ask("PATCH", path, change, token=own)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["email"], answer.json()["displayName"], answer.json()["language"]) == (None, "Arya", "DE")
    admin = reader.get(Admin, castle.api.ids.read(made["id"]))
    assert admin and admin.password_hash and CHEAP.verify(admin.password_hash, "valar morghulis")
    less = await castle.holder("ADMINS_WRITE", "ADMINS_READ", "GRANT")
    as_much = await castle.holder("ADMINS_WRITE", "GRANT", "MAIL_CONTENT", login="robb")
    above = await castle.holder(node="customer", login="ned", roles=["CUSTOMER_ADMIN"])
    await castle.refused(403, "PATCH", path, {"password": "not by him, he lacks"}, token=less)
    await castle.refused(403, "DELETE", path, token=less)
    for token in (as_much, above):
        assert (await castle.api.ask("PATCH", path, {"enabled": True}, token=token)).status_code == 200
    assert (await castle.api.ask("PATCH", path, {"enabled": False}, token=above)).status_code == 200
    assert (await castle.api.ask("GET", path, token=own)).status_code == 401
    answer = await castle.api.ask("DELETE", path, token=above)
    assert (answer.status_code, answer.json()) == (200, "deleted")
    assert reader.count(Grant, eq("admin_id", castle.api.ids.read(made["id"]))) == 0


async def test_changes_that_make_no_sense_are_refused(castle: Castle) -> None:
    path = f"/security/admins/{castle.api.ids.show(1)}"
    for change, status, pointer in (
        ({"totp": True}, 422, "/totp"),
        ({"password": "short"}, 422, "/password"),
        ({"email": "nowhere"}, 400, "/email"),
        ({"displayName": "a\nb"}, 400, "/displayName"),
    ):
        assert (await castle.refused(status, "PATCH", path, change))["pointer"] == pointer
    cleared = await castle.api.ask("PATCH", path, {"displayName": ""})
    assert (cleared.status_code, cleared.json()["displayName"]) == (200, None)  # contract A13
    before = castle.api.store.reader.get(Admin, 1)
    forged = {"id": "zzzzz", "sysAdmin": False, "login": "x", "createdAt": 1, "authorities": [], "passwordHash": "x"}
    assert (await castle.api.ask("PATCH", path, forged)).status_code == 200  # threat 113
    assert castle.api.store.reader.get(Admin, 1) == before
    await castle.refused(404, "PATCH", "/security/admins/zzzzz", {})
    await castle.refused(404, "GET", "/security/admins/zzzzz")


async def test_an_account_that_holds_nothing_is_touched_by_sysadmins_alone(castle: Castle) -> None:
    token = await castle.holder("ADMINS_WRITE", "ADMINS_READ", "GRANT")
    bare = castle.api.ids.show((await castle.api.admin("bare")).id)
    answers = [await castle.refused(403, "GET", f"/security/admins/{each}", token=token) for each in (bare, "zzzzz")]
    assert answers[0]["message"] == answers[1]["message"]
    for each in (bare, "zzzzz"):
        await castle.refused(403, "PATCH", f"/security/admins/{each}", {}, token=token)
        await castle.refused(403, "DELETE", f"/security/admins/{each}", token=token)
    assert (await castle.api.ask("DELETE", f"/security/admins/{bare}")).status_code == 200
