"""Policies, on the wire."""

from typing import Any

import pytest
from tests.api.house import Api
from tests.api.replay import Replay, load

pytestmark = pytest.mark.anyio

BARE = {"quarantine": False, "retention": False, "archive": False, "incoming": True}


async def test_policies_follow_the_contract(api: Api) -> None:
    made = await api.domain("lannister.net")
    replay = Replay(api, {"domain": {"ByE3n": made["id"]}})
    answer = await replay.run("createPolicy", kind="policy")
    assert (await api.get(f"/policies/{answer.json()['id']}")) == answer.json()
    await replay.run("deletePolicy")
    await Replay(api, {"policy": {"ByE3n": made["policy"]["id"]}}).run("updatePolicy")
    assert (await api.get(f"/domains/{made['id']}"))["policy"] == {**made["policy"], "name": "policyC"}


async def test_a_policy_is_shown_as_in_the_contract(api: Api) -> None:
    made = await api.domain("got.com")
    wanted = {
        **{"name": "DefaultTestPolicy", "quarantine": True, "retention": False, "archive": True, "incoming": True},
        **{"mailSizeLimit": 6, "spamScore": 7.6, "relayProps": {"advertPrefix": "[ADVERT]"}},
        **{"quarantineProps": {"duration": 3}, "archiveProps": {"duration": 12}},
    }
    policy = await api.make(f"/domains/{made['id']}/policies", wanted)
    replay = Replay(api, {"policy": {"YyjPn": policy["id"]}, "domain": {"Eygdk": made["id"]}})
    await replay.run("getPolicy")


async def test_policies_are_listed_as_in_the_contract(api: Api) -> None:
    made = await api.domain("lannister.net")
    example = load("listDomainPolicies")["response"]["body"]
    for wanted in example:
        body = {**wanted, "id": None, "domainId": made["id"]}
        if wanted["name"] == "policyB":
            await api.make(f"/domains/{made['id']}/policies", body)
        else:
            await api.change(f"/policies/{made['policy']['id']}", body)
    replay = Replay(api, {"domain": {"ByE3n": made["id"]}, "policy": {"ByE3n": made["policy"]["id"]}})
    await replay.run("listDomainPolicies")


async def test_props_come_and_go_with_their_service(api: Api) -> None:
    made = await api.domain("got.com")
    place = f"/policies/{made['policy']['id']}"
    await api.change(place, {"retention": False, "archive": False, "quarantineProps": {"duration": 7}})
    policy = await api.get(place)
    assert policy["retentionProps"] is None and policy["archiveProps"] is None
    assert policy["quarantineProps"] == {**made["policy"]["quarantineProps"], "duration": 7}
    await api.change(place, {"archive": True, "archiveProps": {"duration": 6}})
    assert (await api.get(place))["archiveProps"] == {**made["policy"]["archiveProps"], "duration": 6}


async def test_a_change_of_nested_settings_is_partial_and_clears_a_prefix_by_empty_text(api: Api) -> None:
    made = await api.domain("got.com")
    place = f"/policies/{made['policy']['id']}"
    await api.change(place, {"relayProps": {"relaySpam": True, "prefixSpam": "[SPAM]", "spamScoreLimit": 20}})
    await api.change(place, {"relayProps": {"prefixSpam": "", "relayAdvert": None}, "name": None})
    relay = (await api.get(place))["relayProps"]
    assert relay == {**made["policy"]["relayProps"], "relaySpam": True, "prefixSpam": "", "spamScoreLimit": 20.0}


async def test_the_limit_of_delivered_spam_never_lies_below_the_spam_score(api: Api) -> None:
    made = await api.domain("got.com")
    place = f"/policies/{made['policy']['id']}"
    await api.change(place, {"spamScore": 9.5})
    assert (await api.get(place))["relayProps"]["spamScoreLimit"] == 9.5
    answer = await api.ask("PATCH", place, {"relayProps": {"spamScoreLimit": 9}})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/relayProps/spamScoreLimit")


@pytest.fixture(scope="module")
async def got(shared: Api) -> Any:
    return await shared.domain("got.com")


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"name": ""}, 400, "/name"),
        ({"name": " \u3000"}, 400, "/name"),
        ({"name": "a\r\nb"}, 400, "/name"),
        ({"mailSizeLimit": 0}, 400, "/mailSizeLimit"),
        ({"mailSizeLimit": 2.5}, 400, "/mailSizeLimit"),
        ({"spamScore": "5"}, 400, "/spamScore"),
        ({"relayProps": {"prefixSpam": "[SPAM]\r\nBcc: all@example.org"}}, 400, "/relayProps/prefixSpam"),
        ({"relayProps": {"advertPrefix": "x\0"}}, 400, "/relayProps/advertPrefix"),
        ({"relayProps": []}, 400, "/relayProps"),
        ({"quarantineProps": {"duration": 0}}, 400, "/quarantineProps/duration"),
        ({"quarantineProps": {"storeSpam": 1}}, 400, "/quarantineProps/storeSpam"),
        ({"archiveProps": {"duration": 5000}}, 400, "/archiveProps/duration"),
        ({"domainId": "zzzzz"}, 422, "/domainId"),
    ],
)
async def test_a_policy_is_checked_member_by_member_threat_119(
    shared: Api, got: Any, change: dict[str, Any], status: int, pointer: str
) -> None:
    new = await shared.ask("POST", f"/domains/{got['id']}/policies", {"name": "n", **BARE, "archive": True, **change})
    assert (new.status_code, new.json()["pointer"]) == (status, pointer), new.text
    old = await shared.ask("PATCH", f"/policies/{got['policy']['id']}", change)
    assert (old.status_code, old.json()["pointer"]) == (status, pointer)
    assert await shared.get(f"/policies/{got['policy']['id']}") == got["policy"]


async def test_a_control_character_is_refused_in_words_for_people_threat_119(api: Api) -> None:
    made = await api.domain("got.com")
    change = {"relayProps": {"prefixSpam": "[SPAM]\r\nX-Injected: yes"}}
    answer = await api.ask("PATCH", f"/policies/{made['policy']['id']}", change)
    assert (answer.status_code, answer.json()["message"]) == (400, "The text has characters that are not allowed here.")
    answer = await api.ask("PATCH", f"/policies/{made['policy']['id']}", {"name": "  "})
    assert answer.json()["message"] == "The text is blank or has characters that are not allowed here."


async def test_names_are_unique_in_a_domain_in_any_case(api: Api) -> None:
    one, two = await api.domain("one.example"), await api.domain("two.example")
    first = await api.make(f"/domains/{one['id']}/policies", {"name": "Strict", **BARE})
    await api.make(f"/domains/{two['id']}/policies", {"name": "Strict", **BARE})
    answer = await api.ask("POST", f"/domains/{one['id']}/policies", {"name": "strict", **BARE})
    assert (answer.status_code, answer.json()["pointer"]) == (409, "/name")
    assert (await api.ask("PATCH", f"/policies/{one['policy']['id']}", {"name": "STRICT"})).status_code == 409
    await api.change(f"/policies/{first['id']}", {"name": "STRICT"})


async def test_a_policy_in_use_stays(api: Api) -> None:
    made = await api.domain("got.com")
    assert (await api.ask("DELETE", f"/policies/{made['policy']['id']}")).status_code == 400
    policy = await api.make(f"/domains/{made['id']}/policies", {"name": "n", **BARE})
    user = await api.user("jon@got.com", made["id"], policyId=policy["id"])
    assert (await api.ask("DELETE", f"/policies/{policy['id']}")).status_code == 400
    await api.change(f"/users/{user['id']}", {"policyId": ""})
    assert (await api.ask("DELETE", f"/policies/{policy['id']}")).status_code == 204
    assert (await api.ask("DELETE", f"/policies/{policy['id']}")).status_code == 404


async def test_what_is_not_there_is_not_found_and_strangers_learn_nothing_threat_107(api: Api) -> None:
    made = await api.domain("got.com")
    token = await api.token_of(admin_id=(await api.admin("plain")).id)
    for method, path, body in [
        ("GET", "/policies/{}", None),
        ("PATCH", "/policies/{}", {}),
        ("DELETE", "/policies/{}", None),
        ("GET", "/domains/{}/policies", None),
        ("POST", "/domains/{}/policies", {"name": "n", **BARE}),
    ]:
        there = made["id"] if "domains" in path else made["policy"]["id"]
        for target in (there, api.ids.show(99), "zzzzz"):
            answer = await api.ask(method, path.format(target), body, token=token)
            assert answer.status_code == 403, (method, path)
        for target in (api.ids.show(99), "zzzzz"):
            assert (await api.ask(method, path.format(target), body)).status_code == 404
