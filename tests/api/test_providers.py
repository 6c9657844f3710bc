"""Outgoing providers: kept by the platform's administrators, named by domains, not removed while one is named."""

from typing import Any

import pytest
from tests.api.house import Api

from gatepost.model.access import Grant, Level

pytestmark = pytest.mark.anyio

GIANT = {"name": "Giant Mail", "spfProvider": "_spf.Giant.example"}


async def made(api: Api, **more: Any) -> Any:
    return await api.make("/providers", {**GIANT, **more})


async def test_a_provider_is_made_listed_changed_and_deleted(api: Api) -> None:
    answer = await api.ask("POST", "/providers", GIANT)
    shown = {"id": answer.json()["id"], "name": "Giant Mail", "spfProvider": "_spf.giant.example", "active": True}
    assert answer.status_code == 201 and answer.json() == shown
    assert answer.headers["Location"].endswith(f"/providers/{shown['id']}")
    other = await made(api, name="another", spfProvider="spf.small.example", active=False)
    assert await api.get("/providers") == [other, shown]
    assert await api.get("/providers?sort=-name&pageSize=1") == [shown]
    assert await api.get("/providers?spfProvider=*giant*") == await api.get("/providers?name=giant*") == [shown]
    place = f"/providers/{shown['id']}"
    await api.change(place, {"name": "Giant", "active": False, "spfProvider": "_spf.giant.example"})
    assert (await api.get("/providers?name=giant"))[0] == {**shown, "name": "Giant", "active": False}
    await api.change(place, {"name": None, "spfProvider": "new.giant.example"})
    assert (await api.get("/providers?name=giant"))[0]["spfProvider"] == "new.giant.example"
    assert (await api.ask("DELETE", place)).status_code == 204
    assert await api.get("/providers") == [other]
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        assert (await api.ask(method, place, body)).status_code == 404


async def test_one_that_a_domain_names_stays(api: Api) -> None:
    ids = [(await made(api, spfProvider=f"{name}.example"))["id"] for name in ("one", "two")]
    domain = await api.domain("got.com", outgoingProvidersIds=[ids[1]])
    assert [each["id"] for each in domain["outgoingProviders"]] == [ids[1]]
    assert (await api.ask("DELETE", f"/providers/{ids[1]}")).status_code == 409
    assert (await api.ask("DELETE", f"/providers/{ids[0]}")).status_code == 204
    await api.change(f"/domains/{domain['id']}", {"outgoingProvidersIds": []})
    assert (await api.ask("DELETE", f"/providers/{ids[1]}")).status_code == 204


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"spfProvider": "_SPF.giant.example."}, 409, "/spfProvider"),
        ({"spfProvider": "giant"}, 400, "/spfProvider"),
        ({"spfProvider": "192.0.2.1"}, 400, "/spfProvider"),
        ({"spfProvider": None}, 400, "/spfProvider"),
        ({"name": ""}, 400, "/name"),
        ({"name": "a\r\nb"}, 400, "/name"),
        ({"active": "yes"}, 400, "/active"),
    ],
)
async def test_a_provider_is_checked_member_by_member(
    api: Api, change: dict[str, Any], status: int, pointer: str
) -> None:
    await made(api)
    answer = await api.ask("POST", "/providers", {"name": "n", "spfProvider": "free.example", **change})
    assert (answer.status_code, answer.json().get("pointer")) == (status, pointer), answer.text
    assert len(await api.get("/providers")) == 1


async def test_no_two_share_an_spf_domain_after_a_change_either(api: Api) -> None:
    await made(api)
    other = await made(api, spfProvider="spf.small.example")
    answer = await api.ask("PATCH", f"/providers/{other['id']}", {"spfProvider": "_spf.giant.example"})
    assert (answer.status_code, answer.json()["pointer"]) == (409, "/spfProvider")


async def test_a_domain_s_administrator_sees_providers_and_changes_none(api: Api) -> None:
    domain = await api.domain("got.com")
    shown = await made(api)
    admin = await api.admin("varys")
    rights = Grant(
        admin_id=admin.id,
        level=Level.DOMAIN,
        node_id=api.ids.read(domain["id"]),
        permissions=["DOMAINS_READ", "DOMAINS_WRITE"],
    )
    await api.store.write(lambda writer: writer.add(rights))
    token = await api.token_of(admin_id=admin.id)
    assert await api.get("/providers", token=token) == [shown]
    place = f"/domains/{domain['id']}"
    await api.change(place, {"outgoingProvidersIds": [shown["id"]]}, token=token)
    for method, path, body in (
        ("POST", "/providers", GIANT),
        ("PATCH", f"/providers/{shown['id']}", {"active": False}),
    ):
        assert (await api.ask(method, path, body, token=token)).status_code == 403


async def test_a_mailbox_user_neither_sees_nor_changes_providers(api: Api) -> None:
    domain = await api.domain("got.com")
    user = await api.user("jon@got.com", domain["id"])
    token = await api.token_of(user_id=int(api.ids.read(user["id"])))
    place = f"/providers/{(await made(api))['id']}"
    for method, path, body in (
        ("GET", "/providers", None),
        ("POST", "/providers", GIANT),
        ("PATCH", place, {"active": False}),
        ("DELETE", place, None),
        ("DELETE", "/providers/none", None),
    ):
        assert (await api.ask(method, path, body, token=token)).status_code == 403, (method, path)
