"""Roles that are there for all, a domain's own ones, and what end users may do (contract 5.5.2, 5.5.12)."""

import pytest
from tests.api.house import Api

from gatepost.model.access import Grant, Level
from gatepost.model.rights import END_USERS, OWN, ROLES

pytestmark = pytest.mark.anyio


async def test_the_roles_valid_everywhere_are_told_with_what_they_hold(api: Api) -> None:
    roles = {role["name"]: role for role in await api.get("/roles")}
    assert roles.keys() == ROLES.keys()
    assert set(roles["HELPDESK"]["permissions"]) == ROLES["HELPDESK"].permissions
    assert roles["SYSADMIN"]["scopes"] == ["PLATFORM"] and roles["USER"]["scopes"] == []
    assert roles["READER"]["scopes"] == ["PLATFORM", "BROKER", "CUSTOMER", "DOMAIN"]


async def test_a_domain_makes_and_gives_and_removes_a_role_of_its_own(api: Api) -> None:
    domain = await api.domain("stark.net")
    path = f"/domains/{domain['id']}/roles"
    answer = await api.ask(
        "POST",
        path,
        {"name": "Night watch", "permissions": ["QUEUE_READ", "DOMAINS_READ"], "description": "On the wall"},
    )
    assert answer.status_code == 201 and answer.headers["Location"].endswith(path)
    role = answer.json()
    assert role["permissions"] == ["DOMAINS_READ", "QUEUE_READ"] and role["domainId"] == domain["id"]
    assert role["scopes"] == ["DOMAIN"] and role["description"] == "On the wall" and await api.get(path) == [role]
    admin = await api.admin("jon")
    row = Grant(admin_id=admin.id, level=Level.DOMAIN, node_id=api.ids.read(domain["id"]), permissions=["GRANT"])
    await api.store.write(lambda writer: writer.add(row))
    authorities = f"/domains/{domain['id']}/admins/{api.ids.show(admin.id)}/authorities"
    assert (await api.ask("PUT", authorities, ["Night watch"])).status_code == 200
    token = await api.token_of(admin_id=admin.id)
    assert (await api.ask("GET", f"/domains/{domain['id']}", token=token)).status_code == 200
    assert (await api.ask("DELETE", f"{path}/{role['id']}")).status_code == 409
    assert (await api.ask("PUT", authorities, ["GRANT", "RULES_READ"])).status_code == 200
    assert (await api.ask("GET", f"/domains/{domain['id']}", token=token)).status_code == 403
    assert (await api.ask("POST", path, {"name": "x", "permissions": ["QUEUE_READ"]}, token=token)).status_code == 403
    made = await api.make(path, {"name": "x", "permissions": ["RULES_READ"]}, token=token)
    assert made["permissions"] == ["RULES_READ"]
    assert (await api.ask("DELETE", f"{path}/{role['id']}")).status_code == 204
    assert (await api.ask("DELETE", f"{path}/{role['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("name", "permissions", "status", "pointer"),
    [
        ("reader", ["GRANT"], 409, "/name"),
        ("GRANT", ["GRANT"], 409, "/name"),
        ("NIGHT", ["GRANT"], 409, "/name"),
        (" x", ["GRANT"], 400, "/name"),
        ("x", [], 422, "/permissions"),
        ("x", ["DKIM_WRITE"], 422, "/permissions/0"),
        ("x", ["GRANT", "FLY"], 422, "/permissions/1"),
    ],
)
async def test_a_role_that_cannot_be_is_refused(
    api: Api, name: str, permissions: list[str], status: int, pointer: str
) -> None:
    path = f"/domains/{(await api.domain('stark.net'))['id']}/roles"
    await api.make(path, {"name": "Night", "permissions": ["GRANT"]})
    answer = await api.ask("POST", path, {"name": name, "permissions": permissions})
    assert (answer.status_code, answer.json()["pointer"]) == (status, pointer), answer.text


async def test_end_users_do_what_their_domain_lets_them(api: Api) -> None:
    domain = await api.domain("stark.net")
    user = await api.user("jon@stark.net", domain["id"])
    token, mine = await api.token_of(user_id=api.ids.read(user["id"])), f"/users/{user['id']}"
    path = f"/domains/{domain['id']}/access"
    usual = await api.get(path)
    assert {each["name"] for each in usual} == END_USERS
    assert {each["name"] for each in usual if each["enabled"]} == OWN
    answer = await api.ask("PUT", path, ["RULES_READ", "VIRUS_RELEASE"])
    assert answer.status_code == 200 and answer.json()["username"] == "stark.net"
    assert answer.json()["permissions"] == await api.get(path)
    assert (await api.ask("GET", mine, token=token)).status_code == 403
    assert (await api.ask("GET", f"{mine}/wblist", token=token)).status_code == 200
    assert (await api.ask("PUT", path, [])).status_code == 200
    assert (await api.ask("GET", f"{mine}/wblist", token=token)).status_code == 403
    assert (await api.ask("PUT", path, ["USER"])).status_code == 200
    assert await api.get(path) == usual
    answer = await api.ask("PUT", path, ["RULES_READ", "USERS_WRITE"])
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/1")


async def test_who_grants_end_users_holds_what_he_adds_and_may_take_anything_back(api: Api) -> None:
    domain = await api.domain("stark.net")
    admin = await api.admin("jon")
    row = Grant(admin_id=admin.id, level=Level.DOMAIN, node_id=api.ids.read(domain["id"]), permissions=["GRANT"])
    await api.store.write(lambda writer: writer.add(row))
    token, path = await api.token_of(admin_id=admin.id), f"/domains/{domain['id']}/access"
    assert (await api.ask("PUT", path, [*OWN, "VIRUS_RELEASE"], token=token)).status_code == 403
    assert (await api.ask("PUT", path, [*OWN - {"MAIL_CONTENT"}], token=token)).status_code == 200
    assert (await api.ask("PUT", path, [*OWN], token=token)).status_code == 403
