"""The audit: every change through the API with who, what, before and after, from where; nothing takes it back."""

import sqlite3
from pathlib import Path
from typing import Any

import pyotp
import pytest
from tests.api.house import NOW, Api

from gatepost.model.access import Grant, Level
from gatepost.model.audit import MASK, Actor, Audit, acting
from gatepost.model.query import All, Query, eq
from gatepost.model.rules import SenderRule
from gatepost.model.tenant import Domain, User
from gatepost.services.access import Access

pytestmark = pytest.mark.anyio


async def told(api: Api, query: str = "") -> list[Any]:
    found: list[Any] = await api.get(f"/audit{query}")
    return found


async def test_a_change_is_kept_with_who_what_before_and_after_and_from_where(api: Api) -> None:
    domain = await api.domain("got.com")
    user = await api.user("jon@got.com", domain["id"], firstname="Jon")
    change = {"firstname": "Aegon", "status": "DISABLED"}
    answer = await api.ask("PATCH", f"/users/{user['id']}", change, ip="192.0.2.9")
    entry, made, *_ = await told(api)
    assert entry == {
        "id": entry["id"],
        "at": NOW,
        "login": "admin",
        "adminId": entry["adminId"],
        "userId": None,
        "tokenId": entry["tokenId"],
        "maker": None,
        "ip": "192.0.2.9",
        "requestId": answer.headers["x-request-id"],
        "reason": None,
        "act": "change",
        "kind": "user",
        "objectId": user["id"],
        "mailId": None,
        "name": "jon@got.com",
        "brokerId": entry["brokerId"],
        "customerId": domain["customer"]["id"],
        "domainId": domain["id"],
        "before": {"firstname": "Jon", "status": "ENABLED"},
        "after": {"firstname": "Aegon", "status": "DISABLED"},
    }
    assert (made["act"], made["kind"], made["before"]) == ("add", "user", None)
    assert made["after"]["email"] == "jon@got.com" and made["after"]["domainId"] == domain["id"]


async def test_what_one_request_adds_is_told_whole_and_once(api: Api) -> None:
    await api.domain("got.com")
    entries = await told(api, "?sort=id")
    assert [(each["act"], each["kind"], each["name"]) for each in entries] == [
        ("add", "domain", "got.com"),
        ("add", "policy", "Politique-got.com"),
        ("add", "platform", "platform"),
    ]
    assert entries[0]["after"]["policyId"] == entries[1]["objectId"]
    assert len({each["requestId"] for each in entries}) == 1


async def test_what_is_removed_is_kept_as_it_was(api: Api) -> None:
    domain = await api.domain("got.com")
    user = await api.user("jon@got.com", domain["id"])
    assert (await api.ask("DELETE", f"/users/{user['id']}")).status_code == 204
    gone = (await told(api))[0]
    assert (gone["act"], gone["name"], gone["before"]["email"], gone["after"]) == (
        "remove",
        "jon@got.com",
        "jon@got.com",
        None,
    )


async def test_a_request_that_changes_nothing_or_is_refused_leaves_no_entry(api: Api) -> None:
    domain = await api.domain("got.com")
    before = len(await told(api))
    await api.change(f"/domains/{domain['id']}", {"description": ""})
    assert (await api.ask("POST", "/users", {"email": "x@y.example", "domainId": domain["id"]})).status_code == 400
    assert (await api.ask("DELETE", "/users/zzzzz")).status_code == 404
    assert len(await told(api)) == before


async def test_secrets_are_masked(api: Api, tmp_path: Path) -> None:
    domain = await api.domain("got.com")
    user = await api.user("jon@got.com", domain["id"], password="Winterfell-1")
    await api.change(f"/users/{user['id']}", {"password": "Winterfell-2"})
    changed, made, *_ = await told(api)
    assert made["after"]["passwordHash"] == changed["after"]["passwordHash"] == MASK
    assert changed["before"] == {"passwordHash": MASK}
    await api.make(f"/admins/{api.ids.show(1)}/tokens", {"name": "ci"})
    assert (await told(api))[0]["after"]["digest"] == MASK
    await api.store.close()
    rows = sqlite3.connect(tmp_path / "state" / "gatepost.db").execute("SELECT before, after FROM audit").fetchall()
    assert "argon2" not in str(rows) and rows


async def test_what_nobody_asked_for_is_not_audited(api: Api) -> None:
    await api.get("/domains")  # an actor of a request answers for that request alone
    await api.admin("plain")
    await api.counter.of(Access).settle()
    assert await told(api) == []


async def test_many_rows_make_one_entry(api: Api) -> None:
    domain = await api.domain("got.com")
    rules = [{"value": f"d{number}.example", "type": "BLOCK"} for number in range(300)]
    assert (await api.ask("POST", f"/domains/{domain['id']}/wblist", rules)).status_code == 201
    entry, *others = await told(api, "?kind=sender_rule")
    assert (entry["act"], entry["objectId"], entry["after"]["count"], others) == ("add", None, 300, [])
    assert entry["after"]["items"][0]["value"] == "d0.example"
    assert entry["domainId"] == domain["id"]


async def test_a_long_list_is_replaced_with_a_summary_rules_17(api: Api) -> None:
    domain = await api.domain("got.com")
    place = f"/domains/{domain['id']}/wblist"
    assert (await api.ask("POST", place, [{"value": "old.example", "type": "BLOCK"}])).status_code == 201
    rules = [{"value": f"d{number:04}.example", "type": "BLOCK", "description": "x" * 200} for number in range(1500)]
    assert (await api.ask("PUT", place, rules)).status_code == 200
    entry = (await told(api))[0]
    assert (entry["act"], entry["kind"], entry["objectId"]) == ("replace", "domain", domain["id"])
    before, after = entry["before"]["senderRules"], entry["after"]["senderRules"]
    assert (before["count"], [each["value"] for each in before["items"]]) == (1, ["old.example"])
    assert after["count"] == 1500 and 100 < len(after["items"]) < 300
    assert len(await told(api, "?kind=sender_rule")) == 1  # none of the slices


async def test_the_list_is_filtered_sorted_and_continued(api: Api) -> None:
    first = await api.domain("got.com")
    api.clock.now += 1000
    second = await api.domain("hbo.com")
    assert {each["domainId"] for each in await told(api, f"?domainId={second['id']}")} == {second["id"]}
    assert {each["objectId"] for each in await told(api, f"?objectId={first['id']}&since={NOW}")} == {first["id"]}
    assert len(await told(api, "?login=adm*")) == 6
    assert len(await told(api, "?kind=platform")) == 2
    assert {each["at"] for each in await told(api, f"?since={NOW + 1}")} == {NOW + 1000}
    assert {each["at"] for each in await told(api, f"?until={NOW + 1000}")} == {NOW}
    page = await api.ask("GET", "/audit?pageSize=4")
    assert (len(page.json()), page.headers["x-total-count"]) == (4, "6")
    rest = await told(api, f"?pageSize=4&after={page.json()[-1]['id']}")
    assert [each["id"] for each in page.json() + rest] == [each["id"] for each in await told(api)]
    assert await told(api, "?after=") == await told(api)
    for wrong in (f"sort=login&after={rest[0]['id']}", "after=zz"):
        answer = await api.ask("GET", f"/audit?{wrong}")
        assert (answer.status_code, answer.json()["pointer"]) == (400, "/after"), wrong
    assert (await api.ask("GET", "/audit?kind=user&act=add")).status_code == 400


async def test_the_audit_is_for_those_who_may_read_it(api: Api) -> None:
    domain = await api.domain("got.com")
    user = await api.user("jon@got.com", domain["id"])
    for token in (
        await api.token_of(admin_id=(await api.admin("plain")).id),
        await api.token_of(user_id=api.ids.read(user["id"])),
    ):
        assert (await api.ask("GET", "/audit", token=token)).status_code == 403


async def test_an_entry_neither_changes_nor_goes_before_its_term(api: Api) -> None:
    await api.domain("got.com")
    for change in (
        lambda writer: writer.change(Audit, 1, login="somebody else"),
        lambda writer: writer.remove(Audit, All(())),
    ):
        with pytest.raises(sqlite3.IntegrityError, match="the audit"):
            await api.store.write(change)
    assert await api.store.write(lambda writer: writer.forget_audit(NOW, 2)) == 0
    assert await api.store.write(lambda writer: writer.forget_audit(NOW + 1, 2)) == 2
    assert len(await told(api)) == 1


async def test_the_reason_for_an_access_is_kept(api: Api) -> None:
    headers = {"X-Access-Reason": "ticket 4711 \x1b[2J" + "x" * 1000}
    domain = {"name": "got.com", "status": "ENABLED", "defaultLanguage": "EN"}
    body = {**domain, "quarantine": False, "retention": False, "archive": False}
    assert (await api.ask("POST", "/domains", body, headers=headers)).status_code == 201
    reason = (await told(api))[0]["reason"]
    assert reason.startswith("ticket 4711 [2Jxxx") and len(reason) == 500


async def test_a_row_that_comes_and_goes_in_one_write_leaves_no_entry(api: Api) -> None:
    domain = await api.domain("got.com")
    number = api.ids.read(domain["id"])
    user = User(domain_id=number, email="a@got.com", language="EN", creation_date=NOW)  # type: ignore[arg-type]
    with acting(Actor(login="somebody")):
        await api.store.write(lambda writer: writer.remove(User, eq("id", writer.add(user).id)))
        await api.store.write(lambda writer: writer.change(Domain, number, sender_generation=7))
        await api.store.write(lambda writer: writer.record("read", writer.get(Domain, number)))
    entries = await told(api, "?login=somebody")
    assert [(each["act"], each["kind"], each["name"]) for each in entries] == [("read", "domain", "got.com")]


async def test_a_write_that_fails_leaves_no_entry(api: Api) -> None:
    before = len(await told(api))

    def change(writer: Any) -> None:
        writer.add(User(domain_id=1, email="a@got.com", language="EN", creation_date=NOW))  # type: ignore[arg-type]
        raise RuntimeError("after all")

    with acting(Actor(login="somebody")), pytest.raises(RuntimeError):
        await api.store.write(change)
    assert len(await told(api)) == before
    assert api.store.reader.find(SenderRule, Query()).items == []


async def test_a_sign_in_is_noted_with_where_from_and_a_refused_one_is_not(api: Api) -> None:
    given = {"login": "admin", "password": api.first.password}
    assert (await api.ask("POST", "/login", given, token=None, ip="192.0.2.7")).status_code == 200
    assert (await api.ask("POST", "/login", {**given, "password": "wrong"}, token=None)).status_code == 401
    (entry,) = await told(api)
    assert (entry["act"], entry["kind"], entry["login"], entry["ip"]) == ("sign-in", "admin", "admin", "192.0.2.7")
    assert entry["adminId"] == entry["objectId"]


async def test_administrators_see_what_befell_their_nodes_alone(api: Api) -> None:
    first, second = await api.domain("got.com"), await api.domain("hbo.com")
    number = api.ids.read(first["id"])
    domain = api.store.reader.get(Domain, number)
    assert domain
    nodes = {Level.DOMAIN: number, Level.CUSTOMER: domain.customer_id, Level.BROKER: 1}
    seen = {}
    for level, node in nodes.items():
        admin = await api.admin(level.value)
        grant = Grant(admin_id=admin.id, level=level, node_id=node, permissions=["AUDIT_READ"])
        await api.store.write(lambda writer, grant=grant: writer.add(grant))  # type: ignore[misc]
        entries = await api.get("/audit", token=await api.token_of(admin_id=admin.id))
        seen[level] = {each["domainId"] for each in entries}
    assert seen[Level.DOMAIN] == {first["id"]}
    assert seen[Level.CUSTOMER] == seen[Level.BROKER] == {first["id"], second["id"]}


async def test_what_one_does_to_his_own_account_is_told_without_its_secrets(api: Api) -> None:
    domain = await api.domain("got.com")
    await api.user("jon@got.com", domain["id"], password="Winterfell-1")
    session = await api.ask("POST", "/login", {"login": "jon@got.com", "password": "Winterfell-1"}, token=None)
    token = session.json()["token"]
    enrolled = await api.ask("POST", "/account/totp", {"password": "Winterfell-1"}, token=token)
    code = pyotp.TOTP(enrolled.json()["secret"]).at(api.clock.now // 1000)
    assert (await api.ask("POST", "/account/totp/confirm", {"code": code}, token=token)).status_code == 204
    assert (await api.ask("GET", "/token?validity=1", token=token)).status_code == 202
    change = {"current": "Winterfell-1", "password": "Winterfell-2"}
    assert (await api.ask("POST", "/account/password", change, token=token)).status_code == 204
    changed, made, confirmed, enrol, sign_in, *_ = entries = await told(api)
    assert {(each["login"], each["name"], each["domainId"]) for each in entries[:5]} == {
        ("jon@got.com", "jon@got.com", domain["id"])
    }
    assert sign_in["act"] == "sign-in"
    assert (enrol["act"], enrol["before"], enrol["after"]) == ("enrol-totp", None, None)
    assert (confirmed["act"], confirmed["after"]) == ("change", {"mfaType": "TOTP"})
    assert (made["act"], made["after"]) == ("make-token", {"expireAt": NOW + 3_600_000})
    assert (changed["act"], changed["before"], changed["after"]) == (
        "change",
        {"passwordHash": MASK},
        {"passwordHash": MASK},
    )
    assert enrolled.json()["secret"] not in str(entries) and "argon2" not in str(entries)


async def test_who_acts_for_another_is_named_beside_him_rules_13(api: Api) -> None:
    domain = await api.domain("got.com")
    jon = await api.user("jon@got.com", domain["id"])
    made = await api.ask("GET", "/token?username=jon@got.com")
    rules = [{"value": "spam.example", "type": "BLOCK"}]
    answer = await api.ask("POST", f"/users/{jon['id']}/wblist", rules, token=made.json()["token"])
    assert answer.status_code == 201
    rule, impersonated, *_ = await told(api)
    assert (rule["kind"], rule["login"], rule["maker"]) == ("sender_rule", "jon@got.com", "admin")
    assert (impersonated["act"], impersonated["login"], impersonated["maker"]) == ("impersonate", "admin", None)
    assert impersonated["objectId"] == jon["id"]
