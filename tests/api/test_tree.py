"""Brokers and customers: made, changed and removed by who may change the node above (additions)."""

import pytest
from tests.api.house import Api

from gatepost.model.access import Admin, Grant, Level
from gatepost.model.connection import Connection, Project
from gatepost.model.query import eq, every

pytestmark = pytest.mark.anyio


async def token_on(api: Api, level: Level, node: str, *, login: str = "ned", role: str = "BROKER_ADMIN") -> str:
    admin = await api.admin(login)
    row = Grant(admin_id=admin.id, level=level, node_id=api.ids.read(node), roles=[role])
    await api.store.write(lambda writer: writer.add(row))
    return await api.token_of(admin_id=admin.id)


@pytest.mark.parametrize("kind", ["brokers", "customers"])
async def test_a_node_is_made_changed_and_removed(api: Api, kind: str) -> None:
    answer = await api.ask("POST", f"/{kind}", {"name": "North", "description": "cold", "externalId": "N1"})
    assert answer.status_code == 201
    made = answer.json()
    path = f"/{kind}/{made['id']}"
    assert answer.headers["Location"].endswith(path) and await api.get(path) == made
    assert (made["name"], made["description"], made["externalId"]) == ("North", "cold", "N1")
    await api.change(path, {"name": "Winter", "description": "", "id": "zzzzz", "createdAt": 1})
    assert await api.get(path) == {**made, "name": "Winter", "description": None}
    assert [each["name"] for each in await api.get(f"/{kind}?externalId=n*&sort=-name")] == ["Winter"]
    assert [each["name"] for each in await api.get(f"/{kind}")] == ["default", "Winter"]
    assert (await api.ask("DELETE", path)).status_code == 204
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert (await api.ask(method, path, body)).status_code == 404


async def test_what_has_something_below_it_stays(api: Api) -> None:
    domain = await api.domain("stark.net")
    customer, broker = domain["customer"]["id"], domain["customer"]["brokerId"]
    for path in (f"/customers/{customer}", f"/brokers/{broker}"):
        assert (await api.ask("DELETE", path)).status_code == 409


async def test_a_customer_takes_his_projects_along(api: Api) -> None:
    """Else their names would stay taken, and the passwords of their connections in the store."""
    customer = (await api.make("/customers", {"name": "Stark"}))["id"]
    project = {"name": "winter", "customerId": customer}
    relay = {"type": "email", "name": "relay", "host": "192.0.2.1", "port": 25, "enabled": True}
    for path, body in (("", project), ("winter/connections/relay/", relay)):
        assert (await api.ask("POST", f"/apiops/projects/{path}", body)).status_code == 200
    assert [api.store.reader.count(kind, every()) for kind in (Project, Connection)] == [1, 1]
    assert (await api.ask("DELETE", f"/customers/{customer}")).status_code == 204
    assert [api.store.reader.count(kind, every()) for kind in (Project, Connection)] == [0, 0]


async def test_access_to_a_node_goes_with_it_and_accounts_without_any_too(api: Api) -> None:
    broker = (await api.make("/brokers", {"name": "North"}))["id"]
    token = await token_on(api, Level.BROKER, broker)
    await token_on(api, Level.BROKER, broker, login="benjen")
    benjen = api.store.reader.first(Admin, eq("login", "benjen"))
    assert benjen
    await api.store.write(lambda w: w.add(Grant(admin_id=benjen.id, level=Level.BROKER, node_id=1, roles=["READER"])))
    assert (await api.ask("DELETE", f"/brokers/{broker}")).status_code == 204
    assert (await api.ask("GET", "/brokers", token=token)).status_code == 401
    assert api.store.reader.first(Admin, eq("login", "ned")) is None
    assert api.store.reader.get(Admin, benjen.id) == benjen


async def test_a_broker_keeps_his_customers_and_no_others(api: Api) -> None:
    broker = (await api.make("/brokers", {"name": "North"}))["id"]
    token = await token_on(api, Level.BROKER, broker)
    made = await api.make("/customers", {"name": "Stark", "brokerId": broker, "domainQuota": 2}, token=token)
    assert (made["domainQuota"], made["domainsCount"]) == (2, 0)
    path = f"/customers/{made['id']}"
    assert [each["name"] for each in await api.get("/customers", token=token)] == ["Stark"]
    assert [each["name"] for each in await api.get(f"/customers?brokerId={broker}")] == ["Stark"]
    assert [each["name"] for each in await api.get("/brokers", token=token)] == ["North"]
    await api.change(path, {"domainQuota": -1}, token=token)
    assert (await api.get(path, token=token))["domainQuota"] is None
    foreign = (await api.get("/brokers?name=default"))[0]["id"]
    for body in ({"name": "x", "brokerId": foreign}, {"name": "x", "brokerId": "zzzzz"}, {"name": "x"}):
        assert (await api.ask("POST", "/customers", body, token=token)).status_code == 403
    assert (await api.ask("PATCH", path, {"brokerId": foreign}, token=token)).status_code == 403
    answer = await api.ask("PATCH", path, {"brokerId": "zzzzz"})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/brokerId")
    assert (await api.ask("PATCH", path, {"brokerId": foreign})).status_code == 204
    assert (await api.ask("GET", path, token=token)).status_code == 403


async def test_a_customer_does_not_raise_his_own_quota(api: Api) -> None:
    made = await api.make("/customers", {"name": "Stark", "domainQuota": 1})
    token, path = await token_on(api, Level.CUSTOMER, made["id"]), f"/customers/{made['id']}"
    await api.change(path, {"description": "Winter is coming"}, token=token)
    assert (await api.ask("PATCH", path, {"domainQuota": 9}, token=token)).status_code == 403
    assert (await api.ask("DELETE", path, token=token)).status_code == 403
    await api.domain("stark.net", customerId=made["id"])
    assert (await api.get(path, token=token))["domainsCount"] == 1
    body = {"name": "north.net", "status": "ENABLED", "quarantine": False, "retention": False, "archive": False}
    answer = await api.ask("POST", "/domains", {**body, "defaultLanguage": "EN", "customerId": made["id"]})
    assert (answer.status_code, answer.json()["message"]) == (403, "The customer's quota of domains is reached.")
