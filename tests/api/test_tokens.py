"""Personal tokens, and what they open."""

import hashlib
import re
from pathlib import Path

import pytest
from tests.api.house import NOW, Api
from tests.api.replay import Replay

from gatepost.model.access import Admin, Token
from gatepost.model.query import All, Query
from gatepost.model.tenant import Domain, DomainStatus, User, UserStatus

pytestmark = pytest.mark.anyio


def me(api: Api) -> str:
    return f"/admins/{api.ids.show(1)}/tokens"


async def test_a_token_is_made_and_revoked_as_in_the_contract(api: Api) -> None:
    replay = Replay(api, {"admin": {"ByE3n": api.ids.show(1)}})
    answer = await replay.run("createToken")
    made = answer.json()
    assert "location" not in answer.headers
    assert made["createdAt"] == NOW and made["expiration"] == 1805993567120
    await replay.run("deleteToken")
    assert [token["name"] for token in await api.get(me(api))] == ["init"]


async def test_tokens_are_listed_as_in_the_contract_without_values(api: Api) -> None:
    admin = await api.admin("arya")
    place = f"/admins/{api.ids.show(admin.id)}/tokens"
    await api.make(place, {"name": "mytoken", "expiration": 1805993566000})
    await api.make(place, {"name": "mytoken2"})
    answer = await Replay(api, {"admin": {"ByE3n": api.ids.show(admin.id)}}).run("listTokens")
    assert "x-total-count" not in answer.headers


async def test_a_token_opens_the_api_and_its_value_is_kept_nowhere_threat_111(api: Api, tmp_path: Path) -> None:
    made = await api.make(me(api), {"name": "ci"})
    value = made["value"]
    assert re.fullmatch("[0-9a-f]{32}", value)
    assert await api.get("/domains", token=value) == []
    rows = api.store.reader.find(Token, Query(where=All(()))).items
    assert hashlib.sha256(value.encode()).hexdigest() in {row.digest for row in rows}
    await api.store.close()
    files = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert files and not any(value.encode() in path.read_bytes() for path in files)


async def test_a_moment_may_be_written_as_a_date(api: Api) -> None:
    made = await api.make(me(api), {"name": "ci", "expiration": "2027-01-01T01:00:00+01:00"})
    assert made["expiration"] == 1_798_761_600_000


UNMADE: list[tuple[object, int, str]] = [
    ({}, 400, "/name"),
    ({"name": ""}, 400, "/name"),
    ({"name": "  "}, 400, "/name"),
    ({"name": "a\0b"}, 400, "/name"),
    ({"name": "x", "expiration": NOW}, 422, "/expiration"),
    ({"name": "x", "expiration": True}, 400, "/expiration"),
    ({"name": "x", "expiration": 1.5}, 400, "/expiration"),
    ({"name": "x", "expiration": "tomorrow"}, 400, "/expiration"),
    ({"name": "x", "expiration": "2027-01-01T00:00:00"}, 400, "/expiration"),
    ({"name": "x", "expiration": -1}, 400, "/expiration"),
    ({"name": "x", "expiration": 10**17}, 400, "/expiration"),
    (
        {"name": "x", "expiration": "9999-12-31T23:59:59-12:00"},
        400,
        "/expiration",
    ),  # no date of any calendar in UTC
    ({"name": "x", "expiration": "9999-12-31T23:59:59.9999Z"}, 400, "/expiration"),
]


async def test_a_token_is_checked_before_it_is_made(api: Api) -> None:
    for body, status, pointer in UNMADE:
        answer = await api.ask("POST", me(api), body)
        assert (answer.status_code, answer.json()["pointer"]) == (status, pointer), answer.text


async def test_an_account_has_at_most_a_hundred_tokens(api: Api) -> None:
    for index in range(99):
        await api.store.write(
            lambda writer, n=index: writer.add(Token(admin_id=1, name="n", digest=f"{n}", created_at=NOW))
        )
    assert (await api.ask("POST", me(api), {"name": "one more"})).status_code == 422


async def test_all_that_is_no_valid_token_gets_one_and_the_same_401_threat_105(api: Api) -> None:
    plain = await api.admin("plain")
    off = await api.admin("off", sys_admin=True, enabled=False)
    lapsed = (await api.make(me(api), {"name": "lapses", "expiration": NOW + 1000}))["value"]
    revoked = await api.make(me(api), {"name": "revoked"})
    await api.ask("DELETE", f"{me(api)}/{revoked['id']}")
    disabled = await api.token_of(admin_id=off.id)
    domain = await api.domain("got.com")
    user = await api.user("jon@got.com", domain["id"], status="DISABLED")
    asleep = await api.token_of(user_id=api.ids.read(user["id"]))
    api.clock.now += 1000
    digest = api.store.reader.first(Token, All(()))
    assert digest and plain
    wrong = [
        None,
        "x",
        "0" * 32,
        api.token.upper(),
        api.token + " ",
        f" {api.token}x",
        digest.digest,
        lapsed,
        revoked["value"],
        disabled,
        asleep,
    ]
    bodies = set()
    for index, token in enumerate(wrong):
        answer = await api.ask("GET", "/domains", token=token, ip=f"198.51.100.{index}")
        if token == api.token + " ":
            assert answer.status_code == 200  # blanks around a header's value are no part of it
            continue
        assert answer.status_code == 401, token
        assert answer.headers["www-authenticate"] == "Bearer"
        bodies.add(answer.content)
    assert len(bodies) == 1
    for header in ("Basic YTpi", f"Token {api.token}", "Bearer", f"Bearer {api.token},{api.token}"):
        answer = await api.ask("GET", "/domains", headers={"Authorization": header}, ip="198.51.100.99")
        assert (answer.status_code, answer.content) == (401, *bodies), header


async def test_a_withdrawn_right_acts_at_once_threat_110(api: Api) -> None:
    admin = await api.admin("arya", sys_admin=True)
    token = await api.token_of(admin_id=admin.id)
    assert (await api.ask("GET", "/domains", token=token)).status_code == 200
    await api.store.write(lambda writer: writer.change(Admin, admin.id, sys_admin=False))
    assert (await api.ask("GET", "/domains", token=token)).status_code == 403
    await api.store.write(lambda writer: writer.change(Admin, admin.id, enabled=False))
    assert (await api.ask("GET", "/domains", token=token)).status_code == 401


async def test_a_users_token_ends_with_his_account_or_domain_threat_110(api: Api) -> None:
    domain = await api.domain("got.com")
    user = api.ids.read((await api.user("jon@got.com", domain["id"]))["id"])
    token = await api.token_of(user_id=user)
    mine = f"/users/{api.ids.show(user)}"
    assert (await api.get(mine, token=token))["email"] == "jon@got.com"
    await api.user("arya@got.com", domain["id"])
    assert [each["email"] for each in await api.get("/users", token=token)] == ["jon@got.com"]
    assert (await api.ask("PATCH", mine, {"firstname": "Jon"}, token=token)).status_code == 403
    await api.store.write(lambda writer: writer.change(User, user, status=UserStatus.DISABLED))
    assert (await api.ask("GET", mine, token=token)).status_code == 401
    await api.store.write(lambda writer: writer.change(User, user, status=UserStatus.ENABLED))
    await api.store.write(lambda w: w.change(Domain, api.ids.read(domain["id"]), status=DomainStatus.DISABLED))
    assert (await api.ask("GET", mine, token=token)).status_code == 401


async def test_guesses_are_slowed_down_for_their_address_alone_threat_112(api: Api) -> None:
    for _ in range(10):
        assert (await api.ask("GET", "/domains", token="0" * 32)).status_code == 401
    answer = await api.ask("GET", "/domains", token="0" * 32)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "60"
    assert (await api.ask("GET", "/domains")).status_code == 200  # nobody is locked out by a neighbour
    assert (await api.ask("GET", "/domains", token="0" * 32, ip="192.0.2.2")).status_code == 401
    api.clock.now += 60_000
    assert (await api.ask("GET", "/domains", token="0" * 32)).status_code == 401


async def test_who_shows_no_token_has_guessed_nothing_threat_112(api: Api) -> None:
    for _ in range(20):
        assert (await api.ask("GET", "/domains", token=None)).status_code == 401
    assert (await api.ask("GET", "/domains", token="0" * 32)).status_code == 401


async def test_only_a_sysadmin_or_the_administrator_himself_sees_tokens_contract_a69(api: Api) -> None:
    arya, sansa = await api.admin("arya"), await api.admin("sansa")
    token = await api.token_of(admin_id=arya.id)
    own = f"/admins/{api.ids.show(arya.id)}/tokens"
    made = await api.make(own, {"name": "mine"}, token=token)
    assert len(await api.get(own, token=token)) == 2
    for other in (api.ids.show(sansa.id), api.ids.show(999), "zzzzz"):
        for method, path, body in (
            ("GET", "tokens", None),
            ("POST", "tokens", {"name": "x"}),
            ("DELETE", f"tokens/{made['id']}", None),
        ):
            answer = await api.ask(method, f"/admins/{other}/{path}", body, token=token)
            assert answer.status_code == 403
    assert (await api.ask("GET", f"/admins/{api.ids.show(999)}/tokens")).status_code == 404
    assert (await api.ask("POST", f"/admins/{api.ids.show(999)}/tokens", {"name": "x"})).status_code == 404
    elsewhere = f"/admins/{api.ids.show(sansa.id)}/tokens/{made['id']}"
    assert (await api.ask("DELETE", elsewhere)).status_code == 404
    assert (await api.ask("DELETE", f"{own}/{made['id']}", token=token)).status_code == 204


async def test_a_mailbox_user_keeps_his_own_tokens_and_nobody_elses(api: Api) -> None:
    domain = await api.domain("got.com")
    jon, arya = [await api.user(f"{name}@got.com", domain["id"]) for name in ("jon", "arya")]
    token, path = await api.token_of(user_id=api.ids.read(jon["id"])), f"/users/{jon['id']}/tokens"
    made = await api.make(path, {"name": "phone"}, token=token)
    assert (await api.get(f"/users/{jon['id']}", token=made["value"]))["email"] == "jon@got.com"
    listed = await api.get(path, token=token)
    assert [each["name"] for each in listed] == ["test", "phone"] and "value" not in listed[1]
    for other in (f"/users/{arya['id']}", "/users/zzzzz", f"/admins/{jon['id']}", f"/admins/{api.ids.show(1)}"):
        assert (await api.ask("GET", f"{other}/tokens", token=token)).status_code == 403
        assert (await api.ask("POST", f"{other}/tokens", {"name": "x"}, token=token)).status_code == 403
        assert (await api.ask("DELETE", f"{other}/tokens/{made['id']}", token=token)).status_code == 403
    plain = await api.token_of(admin_id=(await api.admin("plain")).id)
    assert (await api.ask("GET", path, token=plain)).status_code == 403
    assert (await api.ask("DELETE", f"/users/{arya['id']}/tokens/{made['id']}")).status_code == 404
    assert (await api.ask("DELETE", f"{path}/{made['id']}", token=token)).status_code == 204
    assert (await api.ask("GET", path, token=made["value"])).status_code == 401
    assert (await api.ask("GET", "/users/zzzzz/tokens")).status_code == 404
