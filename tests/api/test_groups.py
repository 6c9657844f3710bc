"""Groups, on the wire."""

from pathlib import Path
from typing import Any

import pytest
from tests.api.house import Api, open_api
from tests.api.replay import Replay

from gatepost.model.query import All
from gatepost.model.tenant import GroupMember

pytestmark = pytest.mark.anyio

NAMES = (("joffrey", "Joffrey", "Baratheon"), ("ramsay", "Ramsay", "Bolton"), ("themontain", "Gregor", "Clegane"))


async def bad_guys(api: Api, *, named: bool, recipients: list[str]) -> tuple[Any, Any]:
    """Make the domain and the group of the examples."""
    domain = await api.domain("got.net")
    for local, first, last in NAMES:
        names = {"firstname": first, "lastname": last} if named else {}
        await api.user(f"{local}@got.net", domain["id"], **names)
    group = {"email": "badguys@got.net", "recipients": [f"{each}@got.net" for each in recipients]}
    return domain, await api.make(f"/domains/{domain['id']}/groups", group)


def replay_of(api: Api, domain: Any, group: Any = None) -> Replay:
    ids = {"domain": {"Eygdk": domain["id"]}}
    return Replay(api, ids | ({"group": {"ByE3n": group["id"]}} if group else {}))


async def test_a_group_is_made_as_in_the_contract(api: Api) -> None:
    domain = await api.domain("stark.net")
    answer = await replay_of(api, domain).run("createEmailAlias")
    assert await api.get(f"/domains/{domain['id']}/groups/{answer.json()['id']}") == answer.json()


async def test_a_group_is_shown_as_in_the_contract(api: Api) -> None:
    domain, group = await bad_guys(api, named=True, recipients=[name for name, *_ in NAMES])
    await replay_of(api, domain, group).run("getEmailAlias")


async def test_groups_are_found_by_a_recipient_as_in_the_contract(api: Api) -> None:
    domain, group = await bad_guys(api, named=False, recipients=["joffrey", "ramsay"])
    await api.make(f"/domains/{domain['id']}/groups", {"email": "good@got.net", "recipients": ["themontain@got.net"]})
    await replay_of(api, domain, group).run("listEmailAliases")
    place = f"/domains/{domain['id']}/groups"
    assert [each["email"] for each in await api.get(f"{place}?recipient=*MONTAIN*")] == ["good@got.net"]
    assert [each["email"] for each in await api.get(f"{place}?email=good*")] == ["good@got.net"]
    assert (await api.ask("GET", f"{place}?email=a&address=b")).status_code == 400


async def test_recipients_are_added_and_removed_as_in_the_contract(api: Api) -> None:
    domain, group = await bad_guys(api, named=False, recipients=[])
    replay = replay_of(api, domain, group)
    await replay.run("addAliasRecipients", kind="group")
    await replay.run("deleteAliasRecipient")
    shown = await api.get(f"/domains/{domain['id']}/groups/{group['id']}")
    assert [each["email"] for each in shown["recipients"]] == ["ramsay@got.net"]


async def test_a_group_is_changed_and_deleted_as_in_the_contract(api: Api) -> None:
    domain, group = await bad_guys(api, named=False, recipients=["ramsay", "themontain"])
    replay = replay_of(api, domain, group)
    await replay.run("updateEmailAlias")
    shown = await api.get(f"/domains/{domain['id']}/groups/{group['id']}")
    assert shown["email"] == "deadguys@got.net"
    assert {each["email"] for each in shown["recipients"]} == {"joffrey@got.net", "ramsay@got.net"}
    kept = next(each for each in shown["recipients"] if each["email"] == "ramsay@got.net")
    assert kept in group["recipients"]
    await replay.run("deleteEmailAlias")
    assert (await api.ask("GET", f"/domains/{domain['id']}/groups/{group['id']}")).status_code == 404
    assert api.store.reader.count(GroupMember, All(())) == 0


async def test_the_kind_of_a_recipient_is_read_off_the_directory(api: Api) -> None:
    one, two = await api.domain("one.example"), await api.domain("two.example")
    await api.user("jon@one.example", one["id"], firstname="Jon")
    await api.user("elsewhere@two.example", two["id"], firstname="Far")
    await api.make(f"/domains/{one['id']}/groups", {"email": "inner@one.example"})
    await api.make(f"/domains/{two['id']}/groups", {"email": "theirs@two.example"})
    emails = ["jon@one.example", "inner@one.example", "elsewhere@two.example", "theirs@two.example", "out@example.org"]
    made = await api.make(f"/domains/{one['id']}/groups", {"email": "all@one.example", "recipients": emails})
    assert [(each["type"], each["firstname"]) for each in made["recipients"]] == [
        ("USER", "Jon"),
        ("ALIAS", None),
        ("EXTERNAL_ADDRESS", None),
        ("EXTERNAL_ADDRESS", None),
        ("EXTERNAL_ADDRESS", None),
    ]


async def test_a_group_takes_its_places_in_other_groups_along_and_leaves_them_when_it_goes(api: Api) -> None:
    domain = await api.domain("got.net")
    place = f"/domains/{domain['id']}/groups"
    inner = await api.make(place, {"email": "inner@got.net", "recipients": ["jon@got.net"]})
    outer = await api.make(place, {"email": "outer@got.net", "recipients": ["inner@got.net", "out@example.org"]})
    await api.change(f"{place}/{inner['id']}", {"email": "new@got.net"})
    shown = (await api.get(f"{place}/{outer['id']}"))["recipients"]
    assert [(each["email"], each["type"]) for each in shown] == [
        ("new@got.net", "ALIAS"),
        ("out@example.org", "EXTERNAL_ADDRESS"),
    ]
    assert (await api.ask("DELETE", f"/groups/{inner['id']}")).status_code == 204
    shown = (await api.get(f"{place}/{outer['id']}"))["recipients"]
    assert [each["email"] for each in shown] == ["out@example.org"]


async def test_recipients_are_kept_once_in_their_one_form(api: Api) -> None:
    domain = await api.domain("got.net")
    emails = ["A@Example.org", "a@example.org", '"a"@example.org', "b@BÜCHER.example"]
    made = await api.make(f"/domains/{domain['id']}/groups", {"email": "all@got.net", "recipients": emails})
    assert [each["email"] for each in made["recipients"]] == ["a@example.org", "b@xn--bcher-kva.example"]
    place = f"/domains/{domain['id']}/groups/{made['id']}/addresses"
    again = await api.make(place, ["a@example.org", "c@example.org"])
    assert [each["email"] for each in again["recipients"]][2:] == ["c@example.org"]
    assert again["recipients"][:2] == made["recipients"]


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"email": "all"}, 400, "/email"),
        ({"email": "all@other.example"}, 400, "/email"),
        ({"email": "jon@got.net"}, 409, "/email"),
        ({"email": "taken@got.net"}, 409, "/email"),
        ({"recipients": ["a@example.org", "b"]}, 400, "/recipients/1"),
        ({"recipients": "a@example.org"}, 400, "/recipients"),
        ({"recipients": [f"u{number}@example.org" for number in range(6)]}, 422, "/recipients"),
    ],
)
async def test_a_group_is_checked_member_by_member(
    tmp_path: Path, change: dict[str, Any], status: int, pointer: str
) -> None:
    api = open_api(tmp_path / "state", limits={"group_members": 5})
    domain = await api.domain("got.net")
    await api.user("jon@got.net", domain["id"])
    await api.make(f"/domains/{domain['id']}/groups", {"email": "taken@got.net"})
    mine = await api.make(f"/domains/{domain['id']}/groups", {"email": "mine@got.net"})
    new = await api.ask("POST", f"/domains/{domain['id']}/groups", {"email": "all@got.net", **change})
    assert (new.status_code, new.json()["pointer"]) == (status, pointer), new.text
    old = await api.ask("PATCH", f"/domains/{domain['id']}/groups/{mine['id']}", change)
    assert (old.status_code, old.json()["pointer"]) == (status, pointer)
    assert len(await api.get(f"/domains/{domain['id']}/groups")) == 2
    await api.store.close()


async def test_a_recipient_under_an_alias_of_the_domain_is_the_account_or_group_that_it_names(api: Api) -> None:
    domain = await api.domain("got.net")
    place = f"/domains/{domain['id']}/groups"
    await api.make(f"/domains/{domain['id']}/aliases", ["wall.example"])
    await api.user("jon@got.net", domain["id"])
    await api.make(place, {"email": "watch@got.net"})
    named = ["jon@wall.example", "JON@got.net", "watch@Wall.example", "a@other.example"]
    made = await api.make(place, {"email": "all@got.net", "recipients": named[:2]})
    added = await api.make(f"{place}/{made['id']}/addresses", named)
    assert [(each["email"], each["type"]) for each in added["recipients"]] == [
        ("jon@got.net", "USER"),
        ("watch@got.net", "ALIAS"),
        ("a@other.example", "EXTERNAL_ADDRESS"),
    ]


async def test_an_address_of_a_group_is_unique_and_may_keep_its_own(api: Api) -> None:
    domain = await api.domain("got.net")
    await api.make(f"/domains/{domain['id']}/aliases", ["wall.example"])
    made = await api.make(f"/domains/{domain['id']}/groups", {"email": "All@wall.example"})
    assert made["email"] == "all@got.net"
    await api.change(f"/domains/{domain['id']}/groups/{made['id']}", {"email": "ALL@got.net"})
    body = {"email": "all@got.net", "domainId": domain["id"], "status": "ENABLED"}
    assert (await api.ask("POST", "/users", body)).status_code == 409


async def test_groups_and_recipients_of_another_domain_are_not_found_threat_107(api: Api) -> None:
    one, two = await api.domain("one.example"), await api.domain("two.example")
    group = await api.make(f"/domains/{one['id']}/groups", {"email": "g@one.example", "recipients": ["a@example.org"]})
    second = await api.make(f"/domains/{one['id']}/groups", {"email": "h@one.example", "recipients": []})
    member = group["recipients"][0]["id"]
    for method, path, body in [
        ("GET", f"/domains/{two['id']}/groups/{group['id']}", None),
        ("PATCH", f"/domains/{two['id']}/groups/{group['id']}", {}),
        ("POST", f"/domains/{two['id']}/groups/{group['id']}/addresses", []),
        ("DELETE", f"/domains/{two['id']}/groups/{group['id']}/addresses/{member}", None),
        ("DELETE", f"/domains/{one['id']}/groups/{second['id']}/addresses/{member}", None),
        ("GET", "/domains/zzzzz/groups", None),
        ("DELETE", "/groups/zzzzz", None),
    ]:
        assert (await api.ask(method, path, body)).status_code == 404, (method, path)
    token = await api.token_of(admin_id=(await api.admin("plain")).id)
    for target in (group["id"], "zzzzz"):
        assert (await api.ask("DELETE", f"/groups/{target}", token=token)).status_code == 403
        assert (await api.ask("GET", f"/domains/{one['id']}/groups/{target}", token=token)).status_code == 403
    assert (await api.get(f"/domains/{one['id']}/groups/{group['id']}")) == group
