"""Domains and their further names, on the wire."""

import asyncio
from typing import Any

import msgspec
import pytest
from tests.api.house import NOW, Api
from tests.api.replay import Replay
from tests.house import overtaking
from tests.store.samples import delivery, message

from gatepost.model.access import Caller, Grant, Level
from gatepost.model.envelope import Body
from gatepost.model.query import Query, eq
from gatepost.model.route import Platform, Transport
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.stored import Copy, Delivery, Message, State
from gatepost.model.tenant import Customer, Domain, DomainStatus, Provider
from gatepost.services.domains import Domains, DomainUpdate
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio

DAY = 86_400_000
OFF = {"quarantine": False, "retention": False, "archive": False}


async def alinto(api: Api) -> str:
    """Name the first customer as the examples do; return its id."""
    await api.store.write(lambda writer: writer.change(Customer, 1, name="Alinto"))
    return api.ids.show(1)


async def crowded(api: Api, name: str, platforms: int, **more: Any) -> Replay:
    """Make the domain of two examples: services off, one provider, many platforms that all say default."""
    await alinto(api)
    provider = await api.store.write(
        lambda writer: writer.add(Provider(name="test1", spf_provider="spf.protection.outlook.com"))
    )
    made = await api.domain(name, **OFF, outgoingProvidersIds=[api.ids.show(provider.id)], **more)
    row = Platform(
        domain_id=api.ids.read(made["id"]),
        name="platform",
        transport_dest="1.2.3.4",
        transport_type=Transport.SMTP,
        transport_port=25,
        auth_type="local",
        default=True,
    )

    def crowd(writer: Writer) -> None:
        (first,) = writer.find(Platform, Query(where=eq("domain_id", row.domain_id))).items
        writer.change(Platform, first.id, auth_type="local")
        for _ in range(platforms - 1):
            writer.add(row)

    await api.store.write(crowd)
    return Replay(api, {"domain": {"Eygdk": made["id"]}})


async def test_a_domain_is_made_as_in_the_contract(api: Api) -> None:
    replay = Replay(api, {"customer": {"ByE3n": await alinto(api)}})
    # contract A53: externalId is kept and answered
    answer = await replay.run("createDomain", but={"/externalId": "HBO-2019"})
    made = answer.json()
    assert made["creationDate"] == NOW
    assert await api.get(f"/domains/{made['id']}") == made


async def test_a_domain_is_shown_as_in_the_contract(api: Api) -> None:
    await (await crowded(api, "got.com", 6)).run("getDomain")


async def test_domains_are_listed_as_in_the_contract(api: Api) -> None:
    replay = await crowded(api, "stark.net", 7, defaultLanguage="FR")
    await api.domain("lannister.net")
    await replay.run("listDomains")


async def test_a_domain_is_changed_and_deleted_as_in_the_contract(api: Api) -> None:
    made = await api.domain("got.com")
    replay = Replay(api, {"domain": {"Eygdk": made["id"]}})
    await replay.run("updateDomain")
    assert await api.get(f"/domains/{made['id']}") == {**made, "defaultLanguage": "ES"}
    await replay.run("deleteDomain")


async def test_a_new_domain_gets_the_defaults_of_its_services(api: Api) -> None:
    made = await api.domain("plain.example", **OFF, incoming=None)
    assert made["incoming"] is True and made["policy"]["outgoing"] is False
    assert made["wblistPriority"] == "USER" and made["senderVerifyOn"] is True and made["autoProvisioningOn"] is False
    assert made["policy"]["relayProps"]["relaySpam"] is True
    assert made["policy"]["relayProps"]["spamScoreLimit"] == 10.0
    assert [made["policy"][name] for name in ("quarantineProps", "retentionProps", "archiveProps")] == [None] * 3
    assert made["customer"]["name"] == "default"


async def test_languages_are_read_in_any_case(api: Api) -> None:
    made = await api.domain("lower.example", defaultLanguage="fr")
    assert made["defaultLanguage"] == "FR"


@pytest.mark.parametrize(
    ("name", "stored"),
    [("Bücher.Example", "xn--bcher-kva.example"), ("UPPER.example.", "upper.example"), ("xn--bcher-kva.a.b", None)],
)
async def test_names_are_kept_as_a_labels_threat_128(api: Api, name: str, stored: str | None) -> None:
    made = await api.domain(name)
    assert made["name"] == (stored or name)
    assert [each["id"] for each in await api.get(f"/domains?name={name}")] == ([made["id"]] if name[-1] != "." else [])


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nodots",
        "a..b",
        "-a.example",
        "a_b.exam ple",
        "1.2.3.4",
        "a" * 64 + ".example",
        "a." * 130 + "b",
        "x\n.example",
    ],
)
async def test_a_malformed_name_is_refused_threat_128(api: Api, name: str) -> None:
    body = {"name": name, **OFF, "status": "ENABLED", "defaultLanguage": "EN"}
    answer = await api.ask("POST", "/domains", body)
    assert answer.status_code == 400
    assert answer.json()["pointer"] == "/name"


@pytest.mark.parametrize("taken", ["Got.com", "alias.got.com", "gone.example"])
async def test_a_name_is_unique_over_domains_aliases_and_the_deleted(api: Api, taken: str) -> None:
    first = await api.domain("got.com")
    await api.make(f"/domains/{first['id']}/aliases", ["alias.got.com"])
    gone = await api.domain("gone.example")
    assert (await api.ask("DELETE", f"/domains/{gone['id']}")).status_code == 204
    body = {"name": taken, **OFF, "status": "ENABLED", "defaultLanguage": "EN"}
    answer = await api.ask("POST", "/domains", body)
    assert (answer.status_code, answer.json()["pointer"]) == (409, "/name")
    other = await api.domain("other.example")
    assert (await api.ask("PATCH", f"/domains/{other['id']}", {"name": taken})).status_code == 409
    assert (await api.ask("POST", f"/domains/{other['id']}/aliases", [taken])).status_code == 409


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"status": "DELETED"}, 400, "/status"),
        ({"status": "PENDING"}, 400, "/status"),
        ({"defaultLanguage": "IT"}, 400, "/defaultLanguage"),
        ({"quarantine": "yes"}, 400, "/quarantine"),
        ({"name": None}, 400, "/name"),
        ({"customerId": "zzzzz"}, 422, "/customerId"),
        ({"customerId": 1}, 400, "/customerId"),
        ({"outgoingProvidersIds": ["zzzzz"]}, 422, "/outgoingProvidersIds"),
        ({"outgoingSubnets": ["1.2.3.4/33"]}, 400, "/outgoingSubnets/0"),
        ({"outgoingSubnets": ["10.0.0.1/24"]}, 400, "/outgoingSubnets/0"),
        ({"externalId": "a\r\nb"}, 400, "/externalId"),
        ({"description": "x" * 4001}, 400, "/description"),
    ],
)
async def test_a_new_domain_is_checked_member_by_member(
    api: Api, change: dict[str, Any], status: int, pointer: str
) -> None:
    body = {"name": "got.com", **OFF, "status": "ENABLED", "defaultLanguage": "EN", **change}
    answer = await api.ask("POST", "/domains", body)
    assert (answer.status_code, answer.json().get("pointer")) == (status, pointer), answer.text
    assert await api.get("/domains") == []


async def test_members_that_are_not_given_to_callers_are_ignored_threat_113(api: Api) -> None:
    wanted = {"id": "ByE3n", "creationDate": 1, "deletionDate": 2, "purgeDate": 3, "policiesCount": 9, "policyId": 7}
    made = await api.domain("got.com", **{**wanted, "policyId": None})
    assert made["creationDate"] == NOW and made["deletionDate"] is None and made["policiesCount"] == 1
    await api.change(f"/domains/{made['id']}", {"id": "zzzzz", "creationDate": 5, "purgeDate": 6})
    assert await api.get(f"/domains/{made['id']}") == made


async def test_a_quota_stops_further_domains(api: Api) -> None:
    await api.store.write(lambda writer: writer.change(Customer, 1, domain_quota=1))
    await api.domain("one.example")
    body = {"name": "two.example", **OFF, "status": "ENABLED", "defaultLanguage": "EN"}
    assert (await api.ask("POST", "/domains", body)).status_code == 403


async def test_a_change_leaves_what_is_absent_or_null_and_clears_by_empty_text(api: Api) -> None:
    made = await api.domain("got.com", description="Winter\nis coming", externalId="HBO")
    place = f"/domains/{made['id']}"
    await api.change(place, {"description": None, "autoProvisioningOn": True, "wblistPriority": "DOMAIN"})
    changed = await api.get(place)
    assert changed == {**made, "autoProvisioningOn": True, "wblistPriority": "DOMAIN"}
    await api.change(place, {"description": "", "externalId": ""})
    assert await api.get(place) == {**changed, "description": None, "externalId": None}


async def test_a_deleted_domain_can_be_restored_until_its_purge(api: Api) -> None:
    made = await api.domain("got.com")
    place = f"/domains/{made['id']}"
    assert (await api.ask("DELETE", place)).status_code == 204
    gone = await api.get(place)
    assert gone == {**made, "status": "DELETED", "deletionDate": NOW, "purgeDate": NOW + 30 * DAY}
    api.clock.now += DAY
    assert (await api.ask("DELETE", place)).status_code == 204
    assert await api.get(place) == gone
    answer = await api.ask("PATCH", place, {"description": "too late"})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/status")
    await api.change(place, {"status": "ENABLED", "description": "back"})
    assert await api.get(place) == {**made, "description": "back"}


async def test_nothing_brings_back_a_domain_whose_day_has_come(api: Api) -> None:
    """Parts of it may be erased by then."""
    made = await api.domain("got.com")
    place = f"/domains/{made['id']}"
    await api.ask("DELETE", place)
    api.clock.now += 30 * DAY - 1
    await api.change(place, {"status": "ENABLED"})
    await api.ask("DELETE", place)
    api.clock.now += 30 * DAY
    answer = await api.ask("PATCH", place, {"status": "ENABLED"})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/status")
    assert (await api.get(place))["status"] == "DELETED"


async def test_deleted_domains_stay_in_lists_and_can_be_filtered(api: Api) -> None:
    for name in ("a.example", "b.example"):
        await api.domain(name)
    (first, _) = await api.get("/domains")
    await api.ask("DELETE", f"/domains/{first['id']}")
    assert [each["status"] for each in await api.get("/domains")] == ["DELETED", "ENABLED"]
    assert [each["name"] for each in await api.get("/domains?status=deleted")] == ["a.example"]
    answer = await api.ask("GET", "/domains?status=lost")
    assert (answer.status_code, answer.json()["pointer"]) == (400, "/status")


async def test_the_purge_erases_what_is_past_its_day(api: Api) -> None:
    made = await api.domain("got.com")
    await api.ask("DELETE", f"/domains/{made['id']}")
    api.clock.now += 30 * DAY + 1
    while (await api.store.write(lambda writer: writer.purge(api.clock()))).more:
        pass
    assert (await api.ask("GET", f"/domains/{made['id']}")).status_code == 404
    await api.domain("got.com")


async def test_a_rename_needs_a_domain_that_nobody_is_named_after(api: Api) -> None:
    made = await api.domain("old.example")
    place = f"/domains/{made['id']}"
    await api.change(place, {"name": "New.example"})
    assert (await api.get(place))["name"] == "new.example"
    await api.user("jon@new.example", made["id"])
    answer = await api.ask("PATCH", place, {"name": "third.example"})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/name")


async def test_a_name_is_not_left_to_others_while_mail_is_kept_or_on_its_way_under_it(api: Api) -> None:
    made = await api.domain("old.example")
    number = api.ids.read(made["id"])
    kept: dict[str, Any] = {"mail_id": "1", "mailbox": "zoe@old.example", "domain_id": number, "user_id": None}
    kept |= {"folder": "Quarantine", "category": "SPAM", "score": 9.0, "infected": False}
    copy = Copy(**kept, stored_at=NOW, expires_at=NOW + DAY)
    head = dict.fromkeys(("helo", "message_id", "subject", "header_from", "header_to", "header_cc", "sender"), "")
    message = Message(id="1", received=NOW, size=1, direction="in", client_ip="", sent=None, **head)
    way = Delivery(
        **{"mail_id": "1", "recipient": "zoe@old.example", "sender": "", "domain_id": number},
        **{"due": NOW, "expires": NOW, "created": NOW},
    )
    await api.store.write(lambda writer: writer.keep(message, Body(data=b"x", size=1), [copy], [way], [], NOW))
    (way,) = api.store.reader.live()

    def deliver(writer: Writer) -> None:
        writer.settle(msgspec.structs.replace(way, state=State.DELIVERED))

    for step in (lambda writer: writer.remove(Copy, eq("mail_id", "1")), deliver):
        answer = await api.ask("PATCH", f"/domains/{made['id']}", {"name": "new.example"})
        assert (answer.status_code, answer.json()["pointer"]) == (422, "/name")
        await api.store.write(step)
    await api.change(f"/domains/{made['id']}", {"name": "new.example"})


async def test_what_a_killed_process_left_of_former_lists_bars_no_new_name_and_is_not_the_next_domains(
    api: Api,
) -> None:
    made = await api.domain("old.example")
    number = api.ids.read(made["id"])

    def leave(writer: Writer) -> None:
        for generation in (0, 7000):
            row = SenderRule(
                domain_id=number,
                owner="old.example",
                value="a.example",
                type=SenderType.BLOCK,
                created_date=NOW,
                generation=generation,
            )
            writer.add(row)
        writer.change(Domain, number, sender_generation=5000)

    await api.store.write(leave)
    await api.change(f"/domains/{made['id']}", {"name": "new.example"})
    other = await api.domain("old.example")
    assert await api.get(f"/domains/{other['id']}/wblist") == []


async def test_a_domain_is_not_renamed_where_mail_came_since_it_was_looked_for(api: Api) -> None:
    made = await api.domain("old.example")
    body = Body(data=b"x", size=1)
    way = delivery(1, domain_id=api.ids.read(made["id"]))
    coming = await overtaking(api.store, lambda writer: writer.keep(message(1), body, [], [way], [], NOW))
    answer = await api.ask("PATCH", f"/domains/{made['id']}", {"name": "new.example"})
    await coming
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/name")


async def test_service_flags_are_switched_in_the_policies(api: Api) -> None:
    made = await api.domain("got.com", **OFF)
    place = f"/domains/{made['id']}"
    await api.change(place, {"quarantine": True})
    changed = await api.get(place)
    assert changed["quarantine"] and changed["policy"]["quarantineProps"]["duration"] == 31
    extra = {"name": "extra", "quarantine": True, "retention": True, "incoming": True}
    policy = await api.make(f"{place}/policies", extra)
    await api.change(place, {"quarantine": False, "retention": True})
    assert (await api.get(place))["quarantine"] is False
    assert (await api.get(place))["policy"]["retention"] is False  # the other policy has it already
    assert (await api.get(f"/policies/{policy['id']}"))["quarantineProps"] is None


async def test_only_a_sysadmin_switches_services(api: Api) -> None:
    """They are the policies', which others don't change; whoever sends a domain back as it is changes none."""
    made = await api.domain("got.com", quarantine=True, retention=False, archive=True)
    place, admin = f"/domains/{made['id']}", await api.admin("dora")
    node = {"level": Level.DOMAIN, "node_id": api.ids.read(made["id"])}
    await api.store.write(lambda writer: writer.add(Grant(admin_id=admin.id, roles=["DOMAIN_ADMIN"], **node)))
    token = await api.token_of(admin_id=admin.id)
    for flags in ({"archive": False}, {"retention": True}, {"quarantine": True, "retention": True}):
        answer = await api.ask("PATCH", place, {"description": "mine", **flags}, token=token)
        assert answer.status_code == 403, flags
    assert await api.get(place) == made
    await api.change(
        place, {"quarantine": True, "retention": False, "archive": True, "description": "ours"}, token=token
    )
    assert await api.get(place) == {**made, "description": "ours"}


async def test_the_default_policy_must_be_the_domains_own(api: Api) -> None:
    one, two = await api.domain("one.example"), await api.domain("two.example")
    answer = await api.ask("PATCH", f"/domains/{one['id']}", {"policyId": two["policy"]["id"]})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/policyId")
    made = await api.make(f"/domains/{one['id']}/policies", {"name": "n", **OFF, "incoming": True})
    await api.change(f"/domains/{one['id']}", {"policyId": made["id"]})
    assert (await api.get(f"/domains/{one['id']}"))["policy"] == made


async def test_counts_and_flags_are_those_of_the_domain(api: Api) -> None:
    made, other = await api.domain("one.example"), await api.domain("two.example")
    await api.user("a@one.example", made["id"])
    await api.user("b@one.example", made["id"], status="DISABLED")
    await api.user("c@two.example", other["id"])
    assert (await api.get(f"/domains/{made['id']}"))["activeUsersCount"] == 1


@pytest.fixture(scope="module")
async def three(shared: Api) -> Api:
    """An API with three domains."""
    platform = {"name": "spare", "transportDest": "mx.beta.example", "transportType": "SMTPS_MAY", "transportPort": 25}
    await shared.domain("alpha.example", externalId="ref-1")
    await shared.domain("beta.example", platforms=[platform])
    await shared.domain("gamma.test")
    return shared


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["alpha.example", "beta.example", "gamma.test"]),
        ("sort=-name", ["gamma.test", "beta.example", "alpha.example"]),
        ("sort=-creationDate", ["gamma.test", "beta.example", "alpha.example"]),
        ("name=BETA.example", ["beta.example"]),
        ("name=*.example", ["alpha.example", "beta.example"]),
        ("name=al*", ["alpha.example"]),
        ("name=*eta*", ["beta.example"]),
        ("name=a*a.example", []),
        ("name=%25", []),
        ("name=_lpha.example", []),
        ("name=' OR 1=1 --", []),
        ("name=alpha.example\\", []),
        ("externalId=ref-1", ["alpha.example"]),
        ("platformName=spare", ["beta.example"]),
        ("platformName=*a*", ["alpha.example", "beta.example", "gamma.test"]),
        ("customerId=zzzzz", []),
        ("unknown=1&name=beta.example", ["beta.example"]),
        ("offset=1", ["beta.example", "gamma.test"]),
        ("offset=1&pageSize=1", ["beta.example"]),
        ("offset=99", []),
        ("pageSize=1000000", ["alpha.example", "beta.example", "gamma.test"]),
    ],
)
async def test_lists_are_filtered_sorted_and_paged_threats_125_126(three: Api, query: str, names: list[str]) -> None:
    answer = await three.ask("GET", f"/domains?{query}")
    assert answer.status_code == 200, answer.text
    assert [each["name"] for each in answer.json()] == names
    paged = "offset" in query or "pageSize" in query
    assert answer.headers["X-Total-Count"] == ("3" if paged else str(len(names)))


async def test_domains_are_found_by_the_id_of_a_platform_or_a_customer(api: Api) -> None:
    one = await api.domain("one.example")
    await api.domain("two.example")
    found = await api.get(f"/domains?platformId={one['platforms'][0]['id']}")
    assert [each["name"] for each in found] == ["one.example"]
    assert len(await api.get(f"/domains?customerId={one['customer']['id']}")) == 2


async def test_only_a_sysadmin_makes_changes_or_sees_domains(api: Api) -> None:
    made = await api.domain("got.com")
    plain = await api.admin("plain")
    token = await api.token_of(admin_id=plain.id)
    missing = api.ids.show(999)
    for method, path, body in [
        ("GET", "/domains", None),
        ("POST", "/domains", {"name": "x.example", **OFF, "status": "ENABLED", "defaultLanguage": "EN"}),
        ("GET", f"/domains/{made['id']}", None),
        ("GET", f"/domains/{missing}", None),
        ("PATCH", f"/domains/{made['id']}", {}),
        ("PATCH", f"/domains/{missing}", {}),
        ("DELETE", f"/domains/{made['id']}", None),
        ("DELETE", f"/domains/{missing}", None),
        ("GET", f"/domains/{made['id']}/aliases", None),
        ("POST", f"/domains/{missing}/aliases", []),
        ("PUT", f"/domains/{made['id']}/aliases", []),
        ("DELETE", f"/domains/{made['id']}/aliases/{missing}", None),
    ]:
        answer = await api.ask(method, path, body, token=token)
        assert answer.status_code == 403, (method, path)
        assert answer.json()["message"] == "This account may not do that."
    assert len(await api.get("/domains")) == 1


async def test_further_names_follow_the_contract(api: Api) -> None:
    made = await api.domain("got.com")
    replay = Replay(api, {"domain": {"Eygdk": made["id"]}})
    await replay.run("addDomainAliases")
    await replay.run("deleteDomainAlias")
    await replay.run("replaceDomainAliases")
    fresh = Replay(api, {"domain": {"Eygdk": made["id"]}})
    await fresh.run("listDomainAliases")
    shown = (await api.get(f"/domains/{made['id']}"))["domainAliases"]
    assert [alias["name"] for alias in shown] == ["lanisters.net", "lions.net"]


async def test_replacing_names_keeps_the_ids_of_those_that_stay(api: Api) -> None:
    made = await api.domain("got.com")
    place = f"/domains/{made['id']}/aliases"
    (stay, _) = await api.make(place, ["stay.example", "go.example"])
    assert (await api.ask("PUT", place, ["new.example", "Stay.example"])).status_code == 204
    names = {alias["name"]: alias["id"] for alias in await api.get(place)}
    assert names.keys() == {"new.example", "stay.example"} and names["stay.example"] == stay["id"]


@pytest.mark.parametrize(
    ("names", "status", "pointer"),
    [
        (["a.example", "A.example"], 409, "/1"),
        (["a.example", "got.com"], 409, "/1"),
        (["a.example", "b..example"], 400, "/1"),
        ([7], 400, "/0"),
        ({"name": "a.example"}, 400, ""),
    ],
)
async def test_names_are_added_all_or_none(api: Api, names: Any, status: int, pointer: str) -> None:
    made = await api.domain("got.com")
    for method in ("POST", "PUT"):
        answer = await api.ask(method, f"/domains/{made['id']}/aliases", names)
        assert (answer.status_code, answer.json()["pointer"]) == (status, pointer)
    assert await api.get(f"/domains/{made['id']}/aliases") == []


async def test_what_two_change_of_a_domain_at_once_both_stands(api: Api) -> None:
    made = await api.domain("got.com")
    domains, row = api.counter.of(Domains), api.store.reader.domain("got.com")
    assert row is not None
    root = Caller(admin_id=1, login="root", sys_admin=True)
    changes = DomainUpdate(name="new.example"), DomainUpdate(description="ours")
    await asyncio.gather(*(domains.update(root, row.id, change) for change in changes))
    found = await api.get(f"/domains/{made['id']}")
    assert (found["name"], found["description"]) == ("new.example", "ours")


async def test_a_deleted_domain_gets_no_names_and_may_lose_some(api: Api) -> None:
    made = await api.domain("got.com")
    place = f"/domains/{made['id']}/aliases"
    await api.make(place, ["a.example", "b.example"])
    assert (await api.ask("DELETE", f"/domains/{made['id']}", headers={"X-Ignore-MX": "true"})).status_code == 204
    for method, names in (("POST", ["c.example"]), ("PUT", ["a.example", "c.example"])):
        assert (await api.ask(method, place, names)).status_code == 422
    assert (await api.ask("PUT", place, ["a.example"])).status_code == 204
    assert [alias["name"] for alias in await api.get(place)] == ["a.example"]


async def test_an_alias_of_another_domain_is_not_found(api: Api) -> None:
    one, two = await api.domain("one.example"), await api.domain("two.example")
    (alias,) = await api.make(f"/domains/{one['id']}/aliases", ["a.example"])
    assert (await api.ask("DELETE", f"/domains/{two['id']}/aliases/{alias['id']}")).status_code == 404
    assert (await api.ask("GET", f"/domains/{api.ids.show(99)}/aliases")).status_code == 404
    assert len(await api.get(f"/domains/{one['id']}/aliases")) == 1


async def test_a_domain_in_the_store_is_one_that_the_road_can_use(api: Api) -> None:
    made = await api.domain("got.com", outgoingSubnets=["192.0.2.0/24", "192.0.2.0/24", "2001:db8::/48"])
    row = api.store.reader.domain("got.com")
    assert row is not None and api.ids.show(row.id) == made["id"]
    assert row.outgoing_subnets == ["192.0.2.0/24", "2001:db8::/48"]
    assert row.status is DomainStatus.ENABLED
    assert msgspec.structs.asdict(row)["policy_id"] and isinstance(row, Domain)
