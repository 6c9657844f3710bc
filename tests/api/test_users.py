"""Accounts, on the wire."""

import base64
from typing import Any
from urllib.parse import quote

import pytest
from tests.api.house import NOW, Api
from tests.api.replay import Replay, load
from tests.store.samples import copy, message

from gatepost.model.access import Token
from gatepost.model.envelope import Body
from gatepost.model.query import All, Query, eq
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.stored import Copy, Relocation
from gatepost.model.tenant import GroupMember, User
from gatepost.services import relocations
from gatepost.services.users import RULES_MOVED
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio


async def lannister(api: Api) -> Any:
    """Make the domain of the examples, with their policy and their platform."""
    westeros = {"name": "Westeros", "transportDest": "smtp.westeros.com", "transportType": "SMTP"}
    made = await api.domain(
        "lannister.net", platforms=[{**westeros, "transportPort": 25, "authType": "local"}], defaultLanguage="EN"
    )
    policy = load("createUser")["response"]["body"]["policy"]
    await api.change(f"/policies/{made['policy']['id']}", {**policy, "id": None, "domainId": None})
    return await api.get(f"/domains/{made['id']}")


async def other(api: Api, name: str) -> Any:
    """Make a second domain of the examples: no services, one plain platform."""
    platform = {"name": "platform", "transportDest": "1.2.3.4", "transportType": "SMTP", "transportPort": 25}
    off = {"quarantine": False, "retention": False, "archive": False}
    return await api.domain(name, **off, platforms=[{**platform, "authType": "local"}])


async def three(api: Api, domain_id: str) -> None:
    for name, status, language in (
        ("cersei", "ENABLED", "FR"),
        ("joffrey", "DISABLED", "EN"),
        ("tommen", "DISABLED", "EN"),
    ):
        names = {"firstname": name.title(), "lastname": "Lannister"}
        await api.user(f"{name}@lannister.net", domain_id, status=status, language=language, **names)


def pairs(domain: Any, theirs: str) -> dict[str, dict[str, str]]:
    """Return the ids of a domain, its policy and its platform beside the example's."""
    return {
        "domain": {theirs: domain["id"]},
        "policy": {theirs: domain["policy"]["id"]},
        "platform": {theirs: domain["platforms"][0]["id"]},
    }


async def test_an_account_is_made_as_in_the_contract(api: Api) -> None:
    replay = Replay(api, pairs(await lannister(api), "ByE3n"))
    answer = await replay.run("createUser")
    assert await api.get(f"/users/{answer.json()['id']}") == answer.json()
    assert "HearMeRoar!" not in answer.text
    row = api.store.reader.first(User, All(()))
    assert row and row.password_hash and row.password_hash.startswith("$argon2id$")


async def test_an_account_is_shown_changed_and_deleted_as_in_the_contract(api: Api) -> None:
    stark = await other(api, "stark.net")
    names = {"firstname": "Sansa", "lastname": "Stark", "language": "EN"}
    made = await api.user("sansa@stark.net", stark["id"], **names)
    replay = Replay(api, pairs(stark, "Eygdk") | {"user": {"By46n": made["id"]}})
    await replay.run("getUser")
    await replay.run("updateUser")
    assert await api.get(f"/users/{made['id']}") == {**made, "language": "DE"}
    await replay.run("deleteUser")
    assert (await api.ask("GET", f"/users/{made['id']}")).status_code == 404


async def test_a_signature_is_shown_and_deleted_as_in_the_contract(api: Api) -> None:
    stark = await api.domain("stark.net")
    made = await api.user("robert@stark.net", stark["id"])
    sign = base64.b64encode(b"Robert Stark<br/>King of the north").decode()
    assert (await api.ask("PUT", f"/users/{made['id']}/sign", {"sign": sign})).status_code == 200
    replay = Replay(api, {"user": {"By46n": made["id"]}})
    await replay.run("getSign")
    await replay.run("deleteSign")
    assert await api.get(f"/users/{made['id']}/sign") == {"sign": None}


async def test_accounts_of_a_domain_are_listed_as_in_the_contract(api: Api) -> None:
    made = await lannister(api)
    await three(api, made["id"])
    await Replay(api, pairs(made, "ByE3n")).run("listDomainUsers")


async def test_accounts_of_all_domains_are_listed_as_in_the_contract(api: Api) -> None:
    one, two = await lannister(api), await other(api, "martell.net")
    for email, domain, more in (
        ("cersei@lannister.net", one, {"firstname": "Cersei", "lastname": "Lannister", "language": "FR"}),
        ("oberyn@martell.net", two, {"firstname": "Oberyn", "lastname": "Martell", "status": "DISABLED"}),
        ("elia@martell.net", two, {"firstname": "Elia", "lastname": "Martell", "status": "DISABLED"}),
    ):
        await api.user(email, domain["id"], **more)
    await Replay(api).run("listUsers")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Jon.Snow@GOT.com", "jon.snow@got.com"),
        ('"jon"@got.com', "jon@got.com"),
        ('"jon snow"@got.com', '"jon snow"@got.com'),
        ("jon@wall.example", "jon@got.com"),
        ("jön@got.com", "jön@got.com"),
    ],
)
async def test_addresses_are_kept_in_their_one_form_threat_128(api: Api, given: str, stored: str) -> None:
    domain = await api.domain("got.com")
    await api.make(f"/domains/{domain['id']}/aliases", ["wall.example"])
    assert (await api.user(given, domain["id"]))["email"] == stored
    answer = await api.ask("POST", "/users", {"email": stored, "domainId": domain["id"], "status": "ENABLED"})
    assert (answer.status_code, answer.json()["pointer"]) == (409, "/email")


@pytest.fixture(scope="module")
async def got(shared: Api) -> str:
    """Make a domain in which two addresses are taken, and another; return its id."""
    domain = await shared.domain("got.com")
    await shared.domain("other.example")
    await shared.user("arya@got.com", domain["id"])
    await shared.make(f"/domains/{domain['id']}/groups", {"email": "group@got.com"})
    return str(domain["id"])


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"email": "jon"}, 400, "/email"),
        ({"email": "jon@"}, 400, "/email"),
        ({"email": "Jon <jon@got.com>"}, 400, "/email"),
        ({"email": "jon@[192.0.2.1]"}, 400, "/email"),
        ({"email": "jon@other.example"}, 400, "/email"),
        ({"email": "jon@got.com\r\n"}, 400, "/email"),
        ({"email": "a" * 65 + "@got.com"}, 400, "/email"),
        ({"email": "group@got.com"}, 409, "/email"),
        ({"email": "arya@got.com"}, 409, "/email"),
        ({"domainId": "zzzzz"}, 400, "/domainId"),
        ({"domainId": ""}, 400, "/domainId"),
        ({"policyId": "zzzzz"}, 422, "/policyId"),
        ({"platformId": "zzzzz"}, 422, "/platformId"),
        ({"authId": "zzzzz"}, 422, "/authId"),
        ({"status": "PENDING"}, 400, "/status"),
        ({"language": "XX"}, 400, "/language"),
        ({"password": "short"}, 422, "/password"),
        ({"password": "x" * 2000}, 422, "/password"),
        ({"password": 12345678}, 400, "/password"),
        ({"sendNotification": "yes"}, 400, "/sendNotification"),
        ({"firstname": "a\nb"}, 400, "/firstname"),
        ({"sign": "x" * 5000}, 400, "/sign"),
    ],
)
async def test_a_new_account_is_checked_member_by_member(
    shared: Api, got: str, change: dict[str, Any], status: int, pointer: str
) -> None:
    body = {"email": "jon@got.com", "domainId": got, "status": "ENABLED", **change}
    answer = await shared.ask("POST", "/users", body)
    assert (answer.status_code, answer.json()["pointer"]) == (status, pointer), answer.text
    assert len(await shared.get("/users")) == 1


async def test_policy_and_platform_of_another_domain_are_refused(api: Api) -> None:
    one, two = await api.domain("one.example"), await api.domain("two.example")
    for change in ({"policyId": two["policy"]["id"]}, {"platformId": two["platforms"][0]["id"]}):
        body = {"email": "jon@one.example", "domainId": one["id"], "status": "ENABLED", **change}
        assert (await api.ask("POST", "/users", body)).status_code == 422


async def test_an_account_has_its_own_policy_and_platform_or_the_domains(api: Api) -> None:
    one = {"name": "one", "transportDest": "mx1.example.org", "transportType": "SMTP", "transportPort": 25}
    two = {**one, "name": "two", "transportDest": "mx2.example.org", "default": True}
    domain = await api.domain("got.com", platforms=[one, two])
    bare = {"name": "n", "quarantine": False, "retention": False, "incoming": True}
    policy = await api.make(f"/domains/{domain['id']}/policies", bare)
    own = await api.user("own@got.com", domain["id"], policyId=policy["id"], platformId=domain["platforms"][0]["id"])
    assert (own["policy"]["name"], own["platform"]["name"]) == ("n", "one")
    assert own["domainPolicyId"] == domain["policy"]["id"]
    assert own["domainPlatformId"] == domain["platforms"][1]["id"]
    await api.change(f"/users/{own['id']}", {"policyId": "", "platformId": ""})
    shown = await api.get(f"/users/{own['id']}")
    assert (shown["policy"]["name"], shown["platform"]["name"]) == ("Politique-got.com", "two")
    await api.change(f"/users/{own['id']}", {"platformId": domain["platforms"][0]["id"]})
    await api.user("by@got.com", domain["id"])
    assert [user["email"] for user in await api.get("/users?platformName=one")] == ["own@got.com"]
    assert [user["email"] for user in await api.get("/users?platformName=two")] == ["by@got.com"]


UNCHANGED: list[Any] = [
    ({"mfaType": "TOTP"}, 422, "/mfaType"),
    ({"mfaType": "SMS"}, 422, "/mfaType"),
    ({"domainId": "zzzzz"}, 422, "/domainId"),
    ({"email": "jon@other.example"}, 400, "/email"),
    ({"email": "arya@got.com"}, 409, "/email"),
    ({"status": "PENDING"}, 400, "/status"),
    ({"sendNotification": "yes"}, 400, "/sendNotification"),
    ({"password": "short"}, 422, "/password"),
]


async def test_a_change_is_checked_member_by_member(api: Api) -> None:
    domain = await api.domain("got.com")
    await api.domain("other.example")
    await api.user("arya@got.com", domain["id"])
    made = await api.user("jon@got.com", domain["id"])
    for change, status, pointer in UNCHANGED:
        answer = await api.ask("PATCH", f"/users/{made['id']}", {"firstname": "Jon", **change})
        assert (answer.status_code, answer.json()["pointer"]) == (status, pointer), answer.text
        assert await api.get(f"/users/{made['id']}") == made


async def test_a_change_leaves_what_is_absent_and_clears_by_empty_text(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"], firstname="Jon", lastname="Snow", sign="<b>Jon</b>")
    await api.change(f"/users/{made['id']}", {"lastname": "", "firstname": None, "mfaType": "NONE", "sign": ""})
    assert await api.get(f"/users/{made['id']}") == {**made, "lastname": None, "mfaType": "NONE"}


async def test_an_empty_password_takes_the_password_away(api: Api) -> None:
    """Contract 3: an empty text clears; what was signed in by it ends."""
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"], password="winter is coming")
    login = {"login": "jon@got.com", "password": "winter is coming"}
    session = (await api.ask("POST", "/login", login, token=None)).json()["token"]
    await api.change(f"/users/{made['id']}", {"password": None})
    assert (await api.ask("GET", f"/users/{made['id']}", token=session)).status_code == 200
    await api.change(f"/users/{made['id']}", {"password": ""})
    assert (await api.ask("GET", f"/users/{made['id']}", token=session)).status_code == 401
    for password in ("winter is coming", ""):
        assert (await api.ask("POST", "/login", {**login, "password": password}, token=None)).status_code == 401
    user = api.store.reader.first(User, eq("email", "jon@got.com"))
    assert user is not None and user.password_hash is user.scram is None


async def test_members_that_are_not_given_to_callers_are_ignored_threat_113(api: Api) -> None:
    domain = await api.domain("got.com")
    extra = {"id": "zzzzz", "creationDate": 1, "lastConnectionDate": 2, "passwordHash": "x", "sysAdmin": True}
    made = await api.user("jon@got.com", domain["id"], **extra)
    assert made["creationDate"] == NOW and made["lastConnectionDate"] is None
    await api.change(f"/users/{made['id']}", extra)
    assert await api.get(f"/users/{made['id']}") == made


def rules(writer: Writer, user: User, count: int, generation: int = 0) -> None:
    for number in range(count):
        writer.add(
            SenderRule(
                domain_id=user.domain_id,
                user_id=user.id,
                owner=user.email,
                value=f"s{number}.example",
                type=SenderType.BLOCK,
                created_date=NOW,
                generation=generation,
            )
        )


async def test_a_new_address_takes_rules_and_group_places_along(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"])
    user = api.store.reader.get(User, api.ids.read(made["id"]))
    assert user
    group = {"email": "all@got.com", "recipients": ["jon@got.com", "away@example.org"]}
    await api.make(f"/domains/{domain['id']}/groups", group)
    await api.store.write(lambda writer: rules(writer, user, 3))
    await api.change(f"/users/{made['id']}", {"email": "aegon@got.com"})
    assert {rule.owner for rule in api.store.reader.find(SenderRule, Query()).items} == {"aegon@got.com"}
    members = {member.email for member in api.store.reader.find(GroupMember, Query()).items}
    assert members == {"aegon@got.com", "away@example.org"}


@pytest.mark.parametrize("kind", ["account", "group"])
async def test_a_new_address_takes_all_its_mail_along(api: Api, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(relocations, "SLICE", 2)
    domain = await api.domain("got.com")
    if kind == "account":
        path = f"/users/{(await api.user('jon@got.com', domain['id']))['id']}"
    else:
        place = f"/domains/{domain['id']}/groups"
        path = f"{place}/{(await api.make(place, {'email': 'jon@got.com'}))['id']}"

    def keep(writer: Writer) -> None:
        for number in range(5):
            writer.keep(message(number), Body(5, b"mail\n"), [copy(number, mailbox="jon@got.com")], [], [], NOW)

    await api.store.write(keep)
    await api.change(path, {"email": "aegon@got.com"})
    assert [each.mailbox for each in api.store.reader.find(Copy, Query()).items] == ["aegon@got.com"] * 5


async def test_an_address_is_free_once_all_mail_of_its_former_holder_has_left_it(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("aegon@got.com", domain["id"])
    left = Relocation(old="jon@got.com", new="aegon@got.com", upto=9)
    await api.store.write(lambda writer: writer.add(left))
    body = {"email": "jon@got.com", "domainId": domain["id"], "status": "ENABLED"}
    answer = await api.ask("POST", "/users", body)
    assert (answer.status_code, answer.json()["pointer"]) == (409, "/email")
    assert (await api.ask("POST", f"/domains/{domain['id']}/groups", {"email": "jon@got.com"})).status_code == 409
    await api.change(f"/users/{made['id']}", {"email": "jon@got.com"})
    await api.change(f"/users/{made['id']}", {"email": "aegon@got.com"})
    assert (await api.ask("POST", "/users", body)).status_code == 201


async def test_what_a_killed_process_left_of_former_lists_bars_no_new_address_and_is_not_the_next_holders(
    api: Api,
) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"])
    user = api.store.reader.get(User, api.ids.read(made["id"]))
    assert user

    def leave(writer: Writer) -> None:
        rules(writer, user, 3)
        rules(writer, user, RULES_MOVED + 1, generation=9999)  # of a replacement that never came to count
        rules(writer, user, 2, generation=5000)
        writer.change(User, user.id, sender_generation=5000)

    await api.store.write(leave)
    await api.change(f"/users/{made['id']}", {"email": "aegon@got.com"})
    assert len(await api.get(f"/users/{made['id']}/wblist")) == 2
    assert api.store.reader.count(SenderRule, eq("generation", 0)) == 0
    other = await api.user("jon@got.com", domain["id"])
    assert await api.get(f"/users/{other['id']}/wblist") == []


async def test_an_account_that_cannot_be_deleted_keeps_its_rules(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"])
    user = api.store.reader.get(User, api.ids.read(made["id"]))
    assert user
    fails = "CREATE TRIGGER no BEFORE DELETE ON user BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: no'); END"
    await api.store.write(lambda writer: (rules(writer, user, 3), writer._connection.execute(fails)))
    assert (await api.ask("DELETE", f"/users/{made['id']}")).status_code == 500
    assert api.store.reader.count(SenderRule, eq("owner", "jon@got.com")) == 3


async def test_an_address_with_very_many_rules_is_not_changed(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"])
    user = api.store.reader.get(User, api.ids.read(made["id"]))
    assert user
    await api.store.write(lambda writer: rules(writer, user, RULES_MOVED + 1))
    answer = await api.ask("PATCH", f"/users/{made['id']}", {"email": "aegon@got.com"})
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/email")
    assert (await api.get(f"/users/{made['id']}"))["email"] == "jon@got.com"


async def test_a_deletion_takes_what_is_the_accounts_alone(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"])
    user = api.store.reader.get(User, api.ids.read(made["id"]))
    assert user
    token = await api.token_of(user_id=user.id)
    group = {"email": "all@got.com", "recipients": ["jon@got.com", "away@example.org"]}
    await api.make(f"/domains/{domain['id']}/groups", group)
    await api.store.write(lambda writer: rules(writer, user, 3))
    assert (await api.ask("DELETE", f"/users/{made['id']}")).status_code == 204
    reader = api.store.reader
    await purge(api)
    assert reader.count(SenderRule, All(())) == 0
    assert reader.count(Token, eq("user_id", user.id)) == 0
    assert [member.email for member in reader.find(GroupMember, Query()).items] == ["away@example.org"]
    assert (await api.ask("GET", "/domains", token=token)).status_code == 401
    assert (await api.ask("DELETE", f"/users/{made['id']}")).status_code == 404


async def purge(api: Api) -> None:
    while (await api.store.write(lambda writer: writer.purge(NOW))).more:
        pass


async def test_an_account_with_very_many_rules_goes_at_once_and_leaves_none_to_the_next_holder(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"])
    other = await api.user("sam@got.com", domain["id"])
    jon, sam = (api.store.reader.get(User, api.ids.read(each["id"])) for each in (made, other))
    assert jon and sam
    await api.store.write(lambda writer: (rules(writer, jon, 1200), rules(writer, sam, 2)))
    assert (await api.ask("DELETE", f"/users/{made['id']}")).status_code == 204
    assert api.store.reader.count(SenderRule, All(())) == 1202, "some went before the account"
    assert api.store.reader.sender_rules([jon.email], ["s1.example"], NOW) == []
    again = await api.user("jon@got.com", domain["id"])
    path = f"/users/{again['id']}/wblist"
    assert await api.get(path) == []
    assert (await api.ask("POST", path, [{"value": "s1.example", "type": "BLOCK"}])).status_code == 201
    await purge(api)
    assert [rule["value"] for rule in await api.get(path)] == ["s1.example"]
    assert len(await api.get(f"/users/{other['id']}/wblist")) == 2
    assert api.store.reader.count(SenderRule, All(())) == 3


async def test_no_account_is_made_in_a_deleted_domain(api: Api) -> None:
    domain = await api.domain("got.com")
    await api.ask("DELETE", f"/domains/{domain['id']}")
    body = {"email": "jon@got.com", "domainId": domain["id"], "status": "ENABLED"}
    assert (await api.ask("POST", "/users", body)).status_code == 422


@pytest.mark.parametrize(
    ("query", "emails"),
    [
        ("", ["arya@got.com", "jon@got.com", "sam@got.com"]),
        ("sort=-email", ["sam@got.com", "jon@got.com", "arya@got.com"]),
        ("sort=lastname", ["jon@got.com", "arya@got.com", "sam@got.com"]),
        ("email=J*", ["jon@got.com"]),
        ("email=*@got.com&pageSize=1&offset=2", ["sam@got.com"]),
        ("name=nobody", ["arya@got.com", "jon@got.com", "sam@got.com"]),
    ],
)
async def test_lists_are_filtered_sorted_and_paged_threat_125(api: Api, query: str, emails: list[str]) -> None:
    domain = await api.domain("got.com")
    for name, last in (("sam", "tarly"), ("jon", "Snow"), ("arya", "Stark")):
        await api.user(f"{name}@got.com", domain["id"], lastname=last)
    for place in ("/users", f"/domains/{domain['id']}/users"):
        assert [user["email"] for user in await api.get(f"{place}?{query}")] == emails


async def test_a_filter_takes_an_address_in_any_spelling_that_an_account_takes(api: Api) -> None:
    domain = await api.domain("bücher.example")
    kept = (await api.user("Jürg@bücher.example", domain["id"]))["email"]
    assert kept == "jürg@xn--bcher-kva.example"
    assert (
        await api.ask(
            "POST", "/users", {"email": f"ju\u0308rg@{domain['name']}", "domainId": domain["id"], "status": "ENABLED"}
        )
    ).status_code == 409
    places = (f"/domains/{domain['id']}/users?email=", f"/domains/{domain['id']}/groups?recipient=")
    await api.make(f"/domains/{domain['id']}/groups", {"email": "g@bücher.example", "recipients": [kept]})
    for text in (
        kept,
        "JÜRG@BÜCHER.example",
        "ju\u0308rg@bücher.example",
        "*@bücher.example",
        "ju\u0308*",
        "*rg@BÜCHER*",
    ):
        found = [len(await api.get(place + quote(text))) for place in places]
        assert found == ([0, 0] if text.endswith("BÜCHER*") else [1, 1]), text
    rules = f"/domains/{domain['id']}/wblist"
    await api.make(
        rules, [{"type": "BLOCK", "value": "müller.example"}, {"type": "BLOCK", "value": "ß@müller.example"}]
    )
    for text, count in (("müller.example", 1), ("*müller.example", 2), ("ß@MÜLLER.example", 1), ("mül*", 0)):
        assert len(await api.get(f"{rules}?value={quote(text)}")) == count, text
    await api.make(f"/domains/{domain['id']}/suppressions", {"address": "ä@müller.example"})
    decomposed = quote("a\u0308@müller.example")
    assert len(await api.get(f"/domains/{domain['id']}/suppressions?address={decomposed}")) == 1


async def test_what_is_not_there_is_not_found_and_strangers_learn_nothing_threat_107(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user("jon@got.com", domain["id"])
    plain = await api.token_of(admin_id=(await api.admin("plain")).id)
    neighbour = await api.user("arya@got.com", domain["id"])
    hers = await api.token_of(user_id=api.ids.read(neighbour["id"]))
    for method, path, body in [
        ("GET", "/users/{}", None),
        ("PATCH", "/users/{}", {}),
        ("DELETE", "/users/{}", None),
        ("GET", "/domains/{}/users", None),
    ]:
        there = domain["id"] if "domains" in path else made["id"]
        for token in (plain, hers):
            for target in (there, api.ids.show(99), "zzzzz"):
                answer = await api.ask(method, path.format(target), body, token=token)
                assert answer.status_code == 403, (method, path)
        assert (await api.ask(method, path.format("zzzzz"), body)).status_code == 404
    body = {"email": "x@got.com", "domainId": domain["id"], "status": "ENABLED"}
    for target in (domain["id"], "zzzzz"):
        assert (await api.ask("POST", "/users", {**body, "domainId": target}, token=plain)).status_code == 403
