"""Domains and their further names."""

import pytest
from tests.api.house import Api

pytestmark = pytest.mark.anyio


async def test_a_domain_is_made_with_its_default_policy(api: Api) -> None:
    made = await api.domain("got.com")
    assert made["policy"]["name"] == "Politique-got.com"
    assert await api.get("/domains") == [made]
    assert await api.get(f"/domains/{made['id']}") == made
