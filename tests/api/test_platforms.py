"""Platforms of a domain: sealed secrets, one default, no private ground, and the MX check on the wire."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.house import Api, open_api
from tests.peers.names import Fault, Names, Zone

from gatepost.model.access import Grant, Level
from gatepost.model.query import All, Query
from gatepost.model.route import Platform, platform_route

pytestmark = pytest.mark.anyio

PLATFORM = {"name": "p", "transportDest": "mx.example.org", "transportType": "SMTP", "transportPort": 25}
LDAP = {
    **{"host": "ldap.example.org", "port": 636, "bind_user": "cn=gate", "bind_password": "HearMeRoar!"},
    **{"use_ssl": True, "base_dn": "dc=got", "mail_attribute": "mail"},
}
OFF = {"quarantine": False, "retention": False, "archive": False, "status": "ENABLED", "defaultLanguage": "EN"}


async def refused(api: Api, *platforms: dict[str, Any], token: str = "") -> tuple[int, str]:
    body = {"name": "got.com", **OFF, "platforms": list(platforms)}
    answer = await api.ask("POST", "/domains", body, token=token)
    assert await api.get("/domains") == []
    return answer.status_code, answer.json().get("pointer")


def rows(api: Api) -> list[Platform]:
    return api.store.reader.find(Platform, Query(where=All(()))).items


async def test_secrets_are_sealed_and_never_shown_again_threat_92(api: Api, tmp_path: Path) -> None:
    ews = {"host": "ex.example.org", "login": "svc", "password": "Winterfell1", "testAccount": "jon"}
    wanted = {**PLATFORM, "authType": "ldap", "authData": LDAP, "apiType": "EXCHANGE", "apiData": ews}
    made = await api.domain("got.com", platforms=[wanted])
    (shown,) = made["platforms"]
    assert shown["authData"] == {**LDAP, "bind_password": None, "cert_pem": None, "username_format": None}
    assert shown["apiData"] == {**ews, "password": None}
    (row,) = rows(api)
    assert row.auth_data and "HearMeRoar!" in api.store.secrets.unseal(row.auth_data)
    await api.store.close()
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert b"HearMeRoar!" not in path.read_bytes() and b"Winterfell1" not in path.read_bytes()


async def test_a_platform_sent_back_as_it_was_shown_keeps_its_secrets(api: Api) -> None:
    made = await api.domain("got.com", platforms=[{**PLATFORM, "authType": "ldap", "authData": LDAP}])
    place = f"/domains/{made['id']}"
    (shown,) = made["platforms"]
    await api.change(
        place, {"platforms": [{**shown, "name": "renamed", "authData": {**shown["authData"], "base_dn": "dc=wall"}}]}
    )
    (row,) = rows(api)
    sealed = api.store.secrets.unseal(row.auth_data or "")
    assert row.name == "renamed" and "HearMeRoar!" in sealed and "dc=wall" in sealed
    await api.change(place, {"platforms": [{**PLATFORM, "id": shown["id"], "authType": "ldap"}]})
    assert "HearMeRoar!" in api.store.secrets.unseal(rows(api)[0].auth_data or "")
    await api.change(place, {"platforms": [{**PLATFORM, "id": shown["id"], "authType": "ldap", "authData": ""}]})
    assert rows(api)[0].auth_data is None
    await api.change(place, {"platforms": [{**PLATFORM, "id": shown["id"], "authType": "local"}]})
    assert (await api.get(place))["platforms"][0]["authData"] is None


EWS = {"host": "ex.example.org", "login": "svc", "password": "HearMeRoar!", "testAccount": "jon"}
OIDC = {"issuerUri": "https://login.example.org", "clientId": "gate", "clientSecret": "HearMeRoar!"}


@pytest.mark.parametrize(
    ("kind", "settings", "change", "secret"),
    [
        ({"authType": "ldap"}, {"authData": LDAP}, {"host": "evil.example"}, "authData/bind_password"),
        ({"authType": "ldap"}, {"authData": LDAP}, {"port": 389}, "authData/bind_password"),
        ({"authType": "oidc"}, {"authData": OIDC}, {"issuerUri": "https://evil.example"}, "authData/clientSecret"),
        ({"apiType": "EXCHANGE"}, {"apiData": EWS}, {"host": "evil.example"}, "apiData/password"),
    ],
)
async def test_no_secret_goes_along_to_another_server(
    api: Api, kind: dict[str, Any], settings: dict[str, Any], change: dict[str, Any], secret: str
) -> None:
    """Who may change a platform is not shown its secrets, and would have them sent to himself (contract 12)."""
    ((member, data),) = settings.items()
    made = await api.domain("got.com", platforms=[{**PLATFORM, **kind, **settings}])
    place, name = f"/domains/{made['id']}", secret.rpartition("/")[2]
    given = {**PLATFORM, "id": made["platforms"][0]["id"], **kind}
    for known in (None, ""):
        moved = {**data, **change, name: known}
        answer = await api.ask("PATCH", place, {"platforms": [{**given, member: moved}]})
        assert (answer.status_code, answer.json()["pointer"]) == (400, f"/platforms/0/{secret}")
    for moved in ({**data, **change}, {**data, **change, name: None}):
        await api.change(place, {"platforms": [{**given, member: moved}]})
        sealed = rows(api)[0].auth_data if member == "authData" else rows(api)[0].api_data
        assert "HearMeRoar!" in api.store.secrets.unseal(sealed or "")


async def test_an_empty_sign_in_is_none_contract_a16(api: Api) -> None:
    made = await api.domain("got.com", platforms=[{**PLATFORM, "authType": "local", "authData": ""}])
    assert made["platforms"][0]["authData"] is None


async def test_the_first_platform_is_the_default_contract_a54(api: Api) -> None:
    made = await api.domain("got.com", platforms=[PLATFORM, {**PLATFORM, "name": "q"}])
    assert [each["default"] for each in made["platforms"]] == [True, False]
    chosen = [PLATFORM, {**PLATFORM, "name": "q", "default": True}]
    other = await api.domain("other.example", platforms=chosen)
    assert [each["default"] for each in other["platforms"]] == [False, True]


async def test_several_defaults_are_refused_contract_a54(api: Api) -> None:
    assert await refused(api, {**PLATFORM, "default": True}, {**PLATFORM, "default": True}) == (422, "/platforms")


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"transportPort": 0}, 400, "transportPort"),
        ({"transportPort": 65536}, 400, "transportPort"),
        ({"transportPort": "25"}, 400, "transportPort"),
        ({"transportType": "smtp"}, 400, "transportType"),
        ({"transportDest": ""}, 400, "transportDest"),
        ({"transportDest": "mx example"}, 400, "transportDest"),
        ({"transportDest": "0x7f.0x1"}, 400, "transportDest"),
        ({"transportDest": "2130706433"}, 400, "transportDest"),
        ({"transportDest": "127.1"}, 400, "transportDest"),
        ({"transportDest": "mx.example.org\r\nRSET"}, 400, "transportDest"),
        ({"transportDest": "169.254.169.254"}, 422, "transportDest"),
        ({"transportDest": "[fe80::1]"}, 422, "transportDest"),
        ({"transportDest": "::ffff:169.254.169.254"}, 422, "transportDest"),
        ({"transportDest": "fd00:ec2::254"}, 422, "transportDest"),
        ({"transportDest": "224.0.0.1"}, 422, "transportDest"),
        ({"transportDest": "0.0.0.0"}, 422, "transportDest"),
        ({"fallbackTransportDest": "mx2.example.org"}, 422, "fallbackTransportDest"),
        ({"fallbackTransportPort": 25, "fallbackTransportType": "SMTP"}, 422, "fallbackTransportDest"),
        ({"authType": "ldap", "authData": {"issuerUri": "x"}}, 422, "authData/issuerUri"),
        ({"authType": "local", "authData": {"host": "x"}}, 422, "authData/host"),
        ({"authData": {"host": "x"}}, 422, "authData/host"),
        ({"authType": "ldap", "authData": "x"}, 400, "authData"),
        ({"authType": "ldap", "authData": {"port": "x"}}, 400, "authData/port"),
        ({"authType": "kerberos"}, 400, "authType"),
        ({"apiType": "IMAP", "apiData": {"testAccount": "x"}}, 422, "apiData/testAccount"),
        ({"id": "zzzzz"}, 422, "id"),
    ],
)
async def test_a_platform_is_checked_member_by_member_threat_122(
    shared: Api, change: dict[str, Any], status: int, pointer: str
) -> None:
    assert await refused(shared, PLATFORM, {**PLATFORM, **change}) == (status, f"/platforms/1/{pointer}")


PRIVATE = ("10.0.0.1", "192.168.1.9", "127.0.0.1", "[::1]", "fd00::1", "::ffff:10.0.0.1", "localhost", "mx.localhost")


@pytest.mark.parametrize(("allowed", "status"), [("sysadmin", 201), ("everyone", 201), ("nobody", 422)])
async def test_private_ground_is_for_whom_the_setting_names_contract_a72(
    tmp_path: Path, allowed: str, status: int
) -> None:
    api = open_api(tmp_path / "state", relay={"private_platforms": allowed})
    for number, host in enumerate(PRIVATE):
        body = {"name": f"d{number}.example", **OFF, "platforms": [{**PLATFORM, "transportDest": host}]}
        answer = await api.ask("POST", "/domains", body)
        assert answer.status_code == status, f"{host}: {answer.text}"
    await api.store.close()


async def test_a_name_leads_to_private_ground_only_where_who_saved_it_may_name_that_threat_122(api: Api) -> None:
    """What the name stands for may become another at any time; who changes no server takes nothing away."""
    made = await api.domain("got.com", platforms=[PLATFORM])
    place, (shown,) = f"/domains/{made['id']}", made["platforms"]
    admin = await api.admin("dora")
    node = {"level": Level.DOMAIN, "node_id": api.ids.read(made["id"])}
    await api.store.write(lambda writer: writer.add(Grant(admin_id=admin.id, roles=["DOMAIN_ADMIN"], **node)))
    token = await api.token_of(admin_id=admin.id)
    spare = {"fallbackTransportDest": "mx2.example.org", "fallbackTransportType": "SMTP", "fallbackTransportPort": 25}
    local = {**spare, "fallbackTransportDest": "localhost"}
    for change, by, private in (
        ({}, api.token, True),
        ({"name": "renamed", "transportType": "SMTPS_MAY"}, token, True),
        ({"transportPort": 2525}, token, False),
        ({}, token, False),
        ({"name": "looked over"}, api.token, False),
        (spare, api.token, True),
        ({}, token, True),
        ({**spare, "fallbackTransportDest": "mx3.example.org"}, token, False),
        ({"transportDest": "127.0.0.1", **local}, api.token, True),
        ({"transportDest": "127.0.0.1", **local, "name": "ours"}, token, True),
        ({"transportDest": "127.0.0.1"}, token, True),
        ({"transportDest": "mx4.example.org"}, token, False),
    ):
        await api.change(place, {"platforms": [{**PLATFORM, "id": shown["id"], **change}]}, token=by)
        (row,) = rows(api)
        hops = platform_route(row).hops
        assert {hop.private for hop in hops} == {row.private} == {private}, change
    inside = {"id": shown["id"], "transportDest": "127.0.0.1"}
    await api.change(place, {"platforms": [{**PLATFORM, **inside}]})
    for change in ({"transportDest": "127.0.0.2"}, {"transportPort": 2525}, spare):
        answer = await api.ask("PATCH", place, {"platforms": [{**PLATFORM, **inside, **change}]}, token=token)
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/platforms/0/transportDest"), change


async def test_a_list_of_platforms_replaces_the_old_one(api: Api) -> None:
    fallback = {"fallbackTransportDest": "mx2.example.org", "fallbackTransportType": "SMTPS_MAY"}
    made = await api.domain("got.com", platforms=[PLATFORM, {**PLATFORM, "name": "q"}])
    first, second = made["platforms"]
    new = {**PLATFORM, "name": "new", **fallback, "fallbackTransportPort": 2525}
    await api.change(f"/domains/{made['id']}", {"platforms": [{**second, "default": None}, new]})
    shown = (await api.get(f"/domains/{made['id']}"))["platforms"]
    assert [(each["name"], each["default"]) for each in shown] == [("q", True), ("new", False)]
    assert shown[0]["id"] == second["id"] and shown[1]["id"] not in (first["id"], second["id"])
    assert shown[1]["fallbackTransportPort"] == 2525


async def test_platforms_of_others_and_doubled_ones_are_refused(api: Api) -> None:
    one, two = await api.domain("one.example"), await api.domain("two.example")
    for platforms in ([two["platforms"][0]], [one["platforms"][0]] * 2):
        answer = await api.ask("PATCH", f"/domains/{one['id']}", {"platforms": platforms})
        assert answer.status_code == 422
    assert (await api.get(f"/domains/{two['id']}")) == two


async def test_a_platform_in_use_is_not_left_out(api: Api) -> None:
    made = await api.domain("got.com", platforms=[PLATFORM, {**PLATFORM, "name": "q"}])
    first, second = made["platforms"]
    user = await api.user("jon@got.com", made["id"], platformId=second["id"])
    answer = await api.ask("PATCH", f"/domains/{made['id']}", {"platforms": [first]})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/platforms")
    await api.change(f"/users/{user['id']}", {"platformId": ""})
    await api.change(f"/domains/{made['id']}", {"platforms": [first]})
    assert len((await api.get(f"/domains/{made['id']}"))["platforms"]) == 1


async def test_a_domain_has_at_most_a_hundred_platforms(api: Api) -> None:
    assert await refused(api, *[PLATFORM] * 101) == (422, "/platforms")


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    zone: Zone = {
        "here.example": ["MX 10 mx.gate.example."],
        "away.example": ["MX 10 mx.example.net."],
        "silent.example": [Fault.SERVFAIL],
    }
    async with Names(zone) as names:
        yield names


@pytest.fixture
async def gate(names: Names, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Api]:
    api = open_api(
        tmp_path / "state",
        dns={"servers": [names.address], "timeout": 5.0},
        smtp={"gateway_names": ["mx.gate.example"]},
    )
    yield api
    await api.store.close()


async def test_starting_a_domain_needs_its_mx_here_unless_told_otherwise_contract_a68(gate: Api) -> None:
    for name, status in (("here.example", 204), ("away.example", 422)):
        made = await gate.domain(name, status="DISABLED")
        place = f"/domains/{made['id']}"
        answer = await gate.ask("PATCH", place, {"status": "ENABLED"})
        assert answer.status_code == status
        assert (await gate.ask("PATCH", place, {"status": "ENABLED"}, headers={"X-Ignore-MX": ""})).status_code == 204
        await gate.change(place, {"status": "ENABLED"})  # started already: nothing is checked
        await gate.change(place, {"status": "PENDING"})


async def test_who_has_just_changed_his_mx_is_not_held_to_the_old_one(gate: Api, names: Names) -> None:
    made = await gate.domain("away.example", status="DISABLED")
    place = f"/domains/{made['id']}"
    assert (await gate.ask("PATCH", place, {"status": "ENABLED"})).status_code == 422
    names.zone["away.example"] = names.zone["here.example"]
    await gate.change(place, {"status": "ENABLED"})
    names.zone["away.example"] = ["MX 10 mx.example.net."]
    assert (await gate.ask("DELETE", place)).status_code == 204


async def test_deleting_a_domain_needs_its_mx_elsewhere_unless_told_otherwise_contract_a68(gate: Api) -> None:
    for name, status in (("here.example", 422), ("away.example", 204)):
        made = await gate.domain(name)
        place = f"/domains/{made['id']}"
        answer = await gate.ask("DELETE", place, headers={"X-Ignore-MX": "false"})
        assert answer.status_code == status
        assert (await gate.ask("DELETE", place, headers={"X-Ignore-MX": "1"})).status_code == 204
        answer = await gate.ask("PATCH", place, {"status": "ENABLED"})
        assert answer.status_code == (204 if status == 422 else 422)


async def test_only_a_sysadmin_takes_a_name_whose_mail_does_not_come_here(gate: Api) -> None:
    """Else any domain's administrator has the mail that all who are served here send to that name, and sends as it."""
    made = await gate.domain("got.com")
    place, node = f"/domains/{made['id']}", {"level": Level.DOMAIN, "node_id": gate.ids.read(made["id"])}
    admin = await gate.admin("dora")
    await gate.store.write(lambda writer: writer.add(Grant(admin_id=admin.id, roles=["DOMAIN_ADMIN"], **node)))
    token = await gate.token_of(admin_id=admin.id)
    aliases = f"{place}/aliases"
    assert (await gate.ask("PUT", aliases, ["old.example"])).status_code == 204
    for name in ("away.example", "nowhere.example", "silent.example"):
        for method, path, body, pointer in (
            ("POST", aliases, [name], "/0"),
            ("PUT", aliases, ["old.example", name], "/1"),
            ("PATCH", place, {"name": name}, "/name"),
        ):
            answer = await gate.ask(method, path, body, token=token, headers={"X-Ignore-MX": ""})
            assert (answer.status_code, answer.json()["pointer"]) == (422, pointer), (name, method)
    for method, path, body, status in (
        ("POST", aliases, ["here.example"], 201),
        ("PUT", aliases, ["old.example"], 204),
        ("PATCH", place, {"name": "here.example"}, 204),
        ("PATCH", place, {"name": "got.com"}, 422),
    ):
        assert (await gate.ask(method, path, body, token=token)).status_code == status, (method, body)
    assert (await gate.ask("POST", aliases, ["away.example"])).status_code == 201


async def test_a_domain_without_incoming_mail_starts_unchecked(gate: Api) -> None:
    made = await gate.domain("away.example", status="DISABLED", incoming=False)
    await gate.change(f"/domains/{made['id']}", {"status": "ENABLED"})
