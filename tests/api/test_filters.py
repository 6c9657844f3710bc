"""Attachment and URI filters over HTTP: the contract's examples, spellings, expressions, order."""

import asyncio
from typing import Any

import pytest
from tests.api.house import Api
from tests.api.replay import Replay

from gatepost.services.filters import AttachmentRules, UriRules

pytestmark = pytest.mark.anyio


@pytest.fixture
async def filters(api: Api) -> Api:
    api.counter.add(AttachmentRules(api.store, api.clock))
    api.counter.add(UriRules(api.store, api.clock))
    return api


async def home(api: Api, name: str = "stark.net") -> tuple[str, str, str]:
    """A domain, and where its attachment and URI filters are."""
    domain = (await api.domain(name))["id"]
    return domain, f"/domains/{domain}/filters/attachments", f"/domains/{domain}/filters/uris"


def deny(filter: str, **more: Any) -> dict[str, Any]:
    return {"action": "DENY", "checkType": "FILENAME", "filter": filter, **more}


def skip(filter: str, **more: Any) -> dict[str, Any]:
    return {"action": "URIDNSBL_SKIP_DOMAIN", "filter": filter, **more}


async def test_the_contracts_examples_of_attachment_filters(filters: Api) -> None:
    domain, place, _ = await home(filters)
    replay = Replay(filters, {"domain": {"Eygdk": domain}})
    await replay.run("addDomainAttachmentFilter", kind="attachment")
    await replay.run("updateAttachmentFilter")
    (changed,) = await filters.get(place)
    assert (changed["action"], changed["filter"], changed["description"]) == ("DENY", ".xls", "Deny xls files")
    assert (changed["checkType"], changed["priority"], changed["scope"]) == ("CONTENTTYPE", 1, "stark.net")
    await replay.run("deleteAttachmentFilter")
    assert await filters.get(place) == []


async def test_the_contracts_examples_of_uri_filters(filters: Api) -> None:
    domain, _, place = await home(filters)
    replay = Replay(filters, {"domain": {"Eygdk": domain}})
    await replay.run("addDomainUriFilter", kind="uri")
    await replay.run("updateUriFilter")
    (changed,) = await filters.get(place)
    assert (changed["action"], changed["filter"]) == ("WHITELIST_URI_HOST", "bulist.com")
    await replay.run("deleteUriFilter")
    assert await filters.get(place) == []


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (("deny", "filename"), ("DENY", "FILENAME")),
        (("Allow", "archive-filename"), ("ALLOW", "ARCHIVE_FILENAME")),
        (("ALLOW", "Archive_ContentType"), ("ALLOW", "ARCHIVE_CONTENTTYPE")),
        (("DENY", "contenttype"), ("DENY", "CONTENTTYPE")),
    ],
)
async def test_words_are_read_in_any_spelling_and_answered_in_one(
    filters: Api, said: tuple[str, str], kept: tuple[str, str]
) -> None:
    """Contract A7."""
    _, place, _ = await home(filters)
    made = await filters.make(place, {"action": said[0], "checkType": said[1], "filter": "x"})
    assert (made["action"], made["checkType"]) == kept


async def test_uri_actions_too(filters: Api) -> None:
    """Contract A8."""
    _, _, place = await home(filters)
    made = await filters.make(place, {"action": "blacklist-uri-host", "filter": "x.example"})
    assert made["action"] == "BLACKLIST_URI_HOST"


FAULTY: list[tuple[str, str]] = [
    ("a(b", "missing )"),
    ("[a-", "missing"),
    ("a**", "character 2"),
    (r"(?<=a)b", "character 1"),
    (r"(a)\1", "invalid escape sequence"),
    ("x" * 1001, "longer than 1000"),
    ("", "empty"),
    ("a\0b", "not allowed here"),
]


async def test_an_expression_that_can_not_be_used_is_refused_with_the_place_of_its_fault(filters: Api) -> None:
    """Threats 60, 127."""
    _, place, _ = await home(filters)
    made = await filters.make(place, deny("good"))
    for expression, said in FAULTY:
        for method, path in (("POST", place), ("PATCH", f"/filters/attachments/{made['id']}")):
            answer = await filters.ask(method, path, deny(expression))
            assert (answer.status_code, answer.json()["pointer"]) == (400, "/filter"), expression
            assert said in answer.json()["message"]
        assert [rule["filter"] for rule in await filters.get(place)] == ["good"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Sub.EXAMPLE.com.", "sub.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:DB8::1]", "2001:db8::1"),
    ],
)
async def test_a_host_is_kept_in_the_form_in_which_links_are_compared(filters: Api, said: str, kept: str) -> None:
    _, _, place = await home(filters)
    assert (await filters.make(place, skip(said)))["filter"] == kept
    assert (await filters.ask("POST", place, skip(kept))).status_code == 409


NO_HOSTS = ["", "no host", "http://a.example/", "a..example", "*.example", "a.example/x", "1.2"]


async def test_what_is_no_host_is_refused(filters: Api) -> None:
    _, _, place = await home(filters)
    for host in NO_HOSTS:
        answer = await filters.ask("POST", place, skip(host))
        assert (answer.status_code, answer.json()["pointer"]) == (400, "/filter"), host


async def test_an_identical_filter_is_a_conflict_in_one_domain(filters: Api) -> None:
    _, place, _ = await home(filters)
    _, elsewhere, _ = await home(filters, "other.example")
    one = await filters.make(place, deny("a"))
    two = await filters.make(place, deny("b"))
    again = await filters.ask("POST", place, deny("a", description="again"))
    assert (again.status_code, again.json()["pointer"]) == (409, "/filter")
    assert (await filters.ask("PATCH", f"/filters/attachments/{two['id']}", {"filter": "a"})).status_code == 409
    assert (await filters.ask("PATCH", f"/filters/attachments/{one['id']}", {"filter": "a"})).status_code == 204
    await filters.make(place, {"action": "ALLOW", "checkType": "FILENAME", "filter": "a"})
    await filters.make(elsewhere, deny("a"))


async def test_expressions_that_differ_in_case_alone_are_two(filters: Api) -> None:
    r"""\S is not \s."""
    _, place, _ = await home(filters)
    await filters.make(place, deny(r"\s"))
    await filters.make(place, deny(r"\S"))


async def test_a_new_filter_comes_behind_the_last(filters: Api) -> None:
    _, place, uris = await home(filters)
    made = [await filters.make(place, deny(f"f{number}")) for number in range(3)]
    assert [rule["priority"] for rule in made] == [1, 2, 3]
    assert (await filters.ask("DELETE", f"/filters/attachments/{made[1]['id']}")).status_code == 204
    assert (await filters.make(place, deny("f9")))["priority"] == 4
    assert (await filters.make(uris, skip("a.example")))["priority"] == 1


async def test_filters_made_at_once_get_places_of_their_own(filters: Api) -> None:
    _, place, _ = await home(filters)
    made = await asyncio.gather(*(filters.make(place, deny(f"f{number}")) for number in range(8)))
    assert sorted(rule["priority"] for rule in made) == list(range(1, 9))


async def test_a_change_leaves_what_it_does_not_name(filters: Api) -> None:
    """Contract A13: null is as good as absent; an empty text clears."""
    _, place, _ = await home(filters)
    made = await filters.make(place, deny("a", description="why"))
    where = f"/filters/attachments/{made['id']}"
    for change in ({}, {"action": None, "filter": None, "description": None}, {"id": "x", "priority": 7, "scope": "y"}):
        await filters.change(where, change)
        assert await filters.get(place) == [made]
    await filters.change(where, {"description": ""})
    assert await filters.get(place) == [{**made, "description": None}]


async def test_lists_are_sorted_by_action_filtered_and_paged(filters: Api) -> None:
    """Threats 125, 126."""
    _, place, uris = await home(filters)
    for number in range(3):
        await filters.make(place, deny(f"d{number}"))
        await filters.make(place, {"action": "ALLOW", "checkType": "CONTENTTYPE", "filter": f"a{number}"})
    assert [rule["filter"] for rule in await filters.get(place)] == ["a0", "a1", "a2", "d0", "d1", "d2"]
    assert [rule["filter"] for rule in await filters.get(f"{place}?action=deny&sort=-priority")] == ["d2", "d1", "d0"]
    page = await filters.ask("GET", f"{place}?offset=5&pageSize=3")
    assert (len(page.json()), page.headers["x-total-count"]) == (1, "6")
    for query in ("sort=scope", "action=NONE", "pageSize=0", "offset=-1"):
        assert (await filters.ask("GET", f"{place}?{query}")).status_code == 400, query
    assert (await filters.ask("GET", f"{uris}?sort=checkType")).status_code == 400


@pytest.mark.parametrize("kind", ["attachments", "uris"])
async def test_what_is_not_there_is_not_found_and_what_is_not_his_forbidden_to_a_user(filters: Api, kind: str) -> None:
    """Threat 107."""
    domain, place, uris = await home(filters)
    made = await filters.make(place, deny("a")) if kind == "attachments" else await filters.make(uris, skip("a.b"))
    user = await filters.user("ada@stark.net", domain)
    token = await filters.token_of(user_id=filters.ids.read(user["id"]))
    wrong = [("GET", "/domains/zzzzz/filters/" + kind), ("DELETE", f"/filters/{kind}/zzzzz")]
    for method, path in wrong:
        assert (await filters.ask(method, path)).status_code == 404
        assert (await filters.ask(method, path, token=token)).status_code == 403
    assert (await filters.ask("DELETE", f"/filters/{kind}/{made['id']}", token=token)).status_code == 403
    assert (await filters.ask("PATCH", f"/filters/{kind}/zzzzz", {})).status_code == 404
    assert (await filters.ask("DELETE", f"/filters/{kind}/{made['id']}")).status_code == 204
    assert (await filters.ask("DELETE", f"/filters/{kind}/{made['id']}")).status_code == 404
