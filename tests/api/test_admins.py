"""Administrators as callers see them (contract 5.1.2)."""

import pytest
from tests.api.house import Api

pytestmark = pytest.mark.anyio


@pytest.fixture
async def staffed(api: Api) -> Api:
    await api.admin("arya", display_name="No One", email="arya@stark.net")
    await api.admin("Bran")
    return api


async def test_administrators_are_listed_by_login_without_secrets(staffed: Api) -> None:
    answer = await staffed.ask("GET", "/security/admins")
    assert answer.headers["X-Total-Count"] == "3"
    assert [admin["login"] for admin in answer.json()] == ["admin", "arya", "Bran"]
    assert answer.json()[0]["sysAdmin"] is True
    assert not {"passwordHash", "password"} & answer.json()[0].keys()


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ARY", ["arya"]),
        ("no one", ["arya"]),
        ("stark", ["arya"]),
        ("x", []),
        ("b*", ["Bran"]),
        ("*YA", ["arya"]),
        ("ya*", []),
        ("*r*", ["arya", "Bran"]),
    ],
)
async def test_a_search_looks_into_login_name_and_address(staffed: Api, search: str, found: list[str]) -> None:
    admins = await staffed.get(f"/security/admins?search={search.replace(' ', '%20')}")
    assert [admin["login"] for admin in admins] == found


async def test_who_may_grant_nothing_sees_no_administrators(staffed: Api) -> None:
    domain = await staffed.domain("stark.net")
    await staffed.user("sansa@stark.net", domain["id"])
    token = await staffed.token_of(user_id=1)
    assert (await staffed.ask("GET", "/security/admins", token=token)).status_code == 403
