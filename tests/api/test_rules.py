"""Sender rules over HTTP: the contract's examples, lists, and what is refused with which words."""

from typing import Any

import pytest
from tests.api.house import Api
from tests.api.replay import Replay, load

from gatepost.services.rules import SenderRules

pytestmark = pytest.mark.anyio

STRANGE = [
    "Ω≈ç√∫˜µ≤≥÷",
    "田中さん 社會科學院語學研究所",
    "ثم نفس سقطت",
    "👾 🙇",
    "%00",
    "%s%x",
    "../../etc/passwd",
    "'; DROP TABLE x; --",
]


@pytest.fixture
async def rules(api: Api) -> Api:
    api.counter.add(SenderRules(api.store, api.clock))
    return api


async def home(api: Api, name: str = "alive.net") -> tuple[str, str]:
    """A domain, and where its rules are."""
    domain = await api.domain(name)
    return domain["id"], f"/domains/{domain['id']}/wblist"


def block(value: str, **more: Any) -> dict[str, Any]:
    return {"value": value, "type": "BLOCK", **more}


async def test_the_contracts_examples_of_a_domain(rules: Api) -> None:
    domain, place = await home(rules)
    replay = Replay(rules, {"domain": {"Eygdk": domain}})
    await replay.run("addDomainSenderRules", kind="rule")
    replay = Replay(rules, {"domain": {"Eygdk": domain}})
    await replay.run("replaceDomainSenderRules", kind="rule")
    await replay.run("updateDomainSenderRule", kind="rule")
    await replay.run("deleteDomainSenderRule")
    assert [rule["value"] for rule in await rules.get(place)] == ["tywin.net"]


@pytest.mark.parametrize("operation", ["listDomainSenderRules", "listUserSenderRules"])
async def test_the_contracts_examples_of_lists(rules: Api, operation: str) -> None:
    domain, place = await home(rules, "alive.net" if "Domain" in operation else "iswittercoming.net")
    pairs = {"domain": {"Eygdk": domain}}
    if "User" in operation:
        user = await rules.user("notyet@iswittercoming.net", domain)
        place, pairs = f"/users/{user['id']}/wblist", {"user": {"By46n": user["id"]}}
    shown = load(operation)["response"]["body"]
    members = ("value", "type", "expireAt", "description", "spfOn")
    await rules.make(place, [{name: rule[name] for name in members} for rule in shown])
    await Replay(rules, pairs).run(operation, kind="rule")


async def test_the_contracts_examples_of_a_user(rules: Api) -> None:
    domain, _ = await home(rules, "iswittercoming.net")
    user = await rules.user("notyet@iswittercoming.net", domain)
    pairs = {"user": {"By46n": user["id"]}}
    await Replay(rules, pairs).run("addUserSenderRules", kind="rule")
    replay = Replay(rules, pairs)
    await replay.run("replaceUserSenderRules", kind="rule")
    await replay.run("updateUserSenderRule", kind="rule")
    await replay.run("deleteUserSenderRule")


async def test_the_contracts_example_for_any_owner(rules: Api) -> None:
    domain, _ = await home(rules, "iswittercoming.net")
    await rules.user("notyet@iswittercoming.net", domain)
    await Replay(rules).run("addSenderRules", kind="rule")
    answer = await rules.ask("POST", "/wblist", [block("a.example", owner="nobody.example")])
    assert answer.status_code == 422
    assert answer.json()["pointer"] == "/0/owner"


REFUSED: list[Any] = [
    ([block("no sender")], 400, "/0/value"),
    ([block("a.example"), block("*@b.example")], 400, "/1/value"),
    ([{"value": "a.example"}], 400, "/0/type"),
    ([{"type": "BLOCK"}], 400, "/0/value"),
    ([block("a.example"), {"value": "b.example", "type": "NONE"}], 400, "/1/type"),
    ([{"value": "a.example", "type": "ALLOW"}], 422, "/0/spfOn"),
    ([{"value": "a.example", "type": "ALLOW", "spfOn": None}], 422, "/0/spfOn"),
    ([block("a.example", expireAt=1000)], 422, "/0/expireAt"),
    ([block("a.example", expireAt="yesterday")], 400, "/0/expireAt"),
    ([block("a.example"), block("A.example")], 409, "/1"),
    ({"value": "a.example", "type": "BLOCK"}, 400, None),
    ([block("a.example", description="x\x00y")], 400, "/0/description"),
    ([block("a.example", description="x" * 5000)], 400, "/0/description"),
]


async def test_what_is_refused_says_where_it_is_wrong(rules: Api) -> None:
    _, place = await home(rules)
    for body, status, pointer in REFUSED:
        for method in ("POST", "PUT"):
            answer = await rules.ask(method, place, body)
            assert (answer.status_code, answer.json().get("pointer") or None) == (status, pointer), body
            assert answer.json()["path"] == place
        assert await rules.get(place) == []


async def test_an_end_may_be_given_as_text(rules: Api) -> None:
    """Contract A2."""
    _, place = await home(rules)
    (rule,) = await rules.make(place, [block("a.example", expireAt="2031-01-01T00:00:00+01:00")])
    assert rule["expireAt"] == 1924988400000


@pytest.mark.parametrize("text", STRANGE)
async def test_strange_texts_come_back_as_they_went_in(rules: Api, text: str) -> None:
    """Threat 130."""
    _, place = await home(rules)
    (rule,) = await rules.make(place, [block("a.example", description=text)])
    assert rule["description"] == text
    assert [each["description"] for each in await rules.get(place)] == [text]


async def test_lists_are_filtered_by_type_or_by_value_and_never_by_both(rules: Api) -> None:
    """Threats 125, 126; contract A37, A38."""
    _, place = await home(rules)
    values = ["one.example", "two.example", "one.test", "x_y.test", "xzy.test"]
    await rules.make(place, [block(value) for value in values])
    await rules.make(place, [{"value": "boss@one.example", "type": "PROTECTED"}])

    async def values_of(query: str) -> list[str]:
        return sorted(rule["value"] for rule in await rules.get(f"{place}?{query}"))

    assert await values_of("type=PROTECTED") == ["boss@one.example"]
    assert await values_of("type=block") == sorted(values)
    assert await values_of("value=ONE.example") == ["one.example"]
    assert await values_of("value=one*") == ["one.example", "one.test"]
    assert await values_of("value=*one.example") == ["boss@one.example", "one.example"]
    assert await values_of("value=x_y.test") == ["x_y.test"]
    assert await values_of("value=x%25.test") == []
    assert await values_of("value='%20OR%201=1%20--") == []
    assert await values_of("unknown=1&value=one.test") == ["one.test"]
    assert (await rules.ask("GET", f"{place}?type=BLOCK&value=one*")).status_code == 400
    assert (await rules.ask("GET", f"{place}?type=NEITHER")).status_code == 400


async def test_lists_are_paged_and_sorted(rules: Api) -> None:
    """Threat 125."""
    _, place = await home(rules)
    await rules.make(place, [block(f"d{number}.example") for number in range(45)])
    first = await rules.ask("GET", place)
    assert (len(first.json()), first.headers["x-total-count"]) == (40, "45")
    rest = await rules.ask("GET", f"{place}?offset=40")
    assert (len(rest.json()), rest.headers["x-total-count"]) == (5, "45")
    beyond = await rules.ask("GET", f"{place}?offset=99999&pageSize=1000")
    assert (beyond.json(), beyond.headers["x-total-count"]) == ([], "45")
    backwards = await rules.get(f"{place}?sort=-id&pageSize=1")
    assert backwards[0]["value"] == "d44.example"
    for query in ("offset=-1", "pageSize=0", "pageSize=x", "offset=1e3", "sort=generation", "sort=domainId"):
        assert (await rules.ask("GET", f"{place}?{query}")).status_code == 400, query


async def test_a_list_of_thousands_is_replaced_in_one_request(rules: Api) -> None:
    _, place = await home(rules)
    answer = await rules.ask("PUT", place, [block(f"d{number}.example") for number in range(1500)])
    assert answer.status_code == 200
    assert [rule["value"] for rule in answer.json()] == [f"d{number}.example" for number in range(1500)]
    assert len({rule["id"] for rule in answer.json()}) == 1500
    listed = await rules.ask("GET", f"{place}?pageSize=1")
    assert listed.headers["x-total-count"] == "1500"
    too_many = await rules.ask("POST", place, [block(f"e{number}.example") for number in range(1001)])
    assert too_many.status_code == 413


async def test_a_rule_is_found_only_where_it_belongs(rules: Api) -> None:
    """Threat 107."""
    domain, place = await home(rules)
    _, elsewhere = await home(rules, "other.example")
    user = await rules.user("a@alive.net", domain)
    (rule,) = await rules.make(place, [block("a.example")])
    for wrong in (elsewhere, f"/users/{user['id']}/wblist"):
        assert (await rules.ask("DELETE", f"{wrong}/{rule['id']}")).status_code == 404
        assert (await rules.ask("PUT", f"{wrong}/{rule['id']}", block("b.example"))).status_code == 404
    assert (await rules.ask("DELETE", f"{place}/zzzzz")).status_code == 404
    assert (await rules.ask("GET", "/domains/zzzzz/wblist")).status_code == 404


async def test_a_mailbox_user_rules_over_his_own_list_alone(rules: Api) -> None:
    """Threat 107: forbidden is the same word for what is there and what is not."""
    domain, place = await home(rules)
    ada = await rules.user("ada@alive.net", domain)
    bob = await rules.user("bob@alive.net", domain)
    token = await rules.token_of(user_id=rules.ids.read(ada["id"]))
    own = f"/users/{ada['id']}/wblist"
    (rule,) = await rules.make(own, [block("a.example")], token=token)
    assert await rules.get(own, token=token) == [rule]
    for wrong in (place, f"/users/{bob['id']}/wblist", "/users/zzzzz/wblist", "/domains/zzzzz/wblist"):
        for method, body in (("GET", None), ("POST", [block("b.example")]), ("PUT", [])):
            assert (await rules.ask(method, wrong, body, token=token)).status_code == 403, (method, wrong)
    for owner in ("alive.net", "bob@alive.net", "nobody@nowhere.example"):
        answer = await rules.ask("POST", "/wblist", [block("b.example", owner=owner)], token=token)
        assert answer.status_code == 403
    assert (await rules.ask("GET", own, token=None)).status_code == 401
