"""The check that every answer in these tests goes through: it knows the whole contract and notices what deviates."""

from typing import Any

import httpx2
import jsonschema_rs
import pytest
from tests.api.contract import ELSEWHERE, METHODS, VARY, cleanmail, hold, ours

from gatepost.api import site
from gatepost.api.openapi import describe

ALIAS = {"id": "ByE3n", "name": "got.example"}
REFUSED = {"status": 404, "error": "Not Found", "message": "There is no such domain.", "path": "/domains/zzzzz"}
LIST = {"X-Total-Count": "1", "Access-Control-Expose-Headers": "X-Total-Count"}


def answer(
    method: str, path: str, status: int, body: Any = None, headers: dict[str, str] | None = None, *, vary: bool = True
) -> httpx2.Response:
    sent = [("Vary", value) for value in VARY if vary] + list((headers or {}).items())
    request = httpx2.Request(method, f"http://gatepost.test{path}")
    if body is None:
        return httpx2.Response(status, headers=sent, request=request)
    return httpx2.Response(status, headers=sent, json=body, request=request)


FITTING = [
    answer("GET", "/domains/ByE3n/aliases", 200, [ALIAS], LIST),
    answer("GET", "/domains/zzzzz", 404, REFUSED),
    answer("DELETE", "/domains/zzzzz", 204),
    answer("OPTIONS", "/domains", 204, headers={"Allow": "GET"}),
    answer("HEAD", "/domains/ByE3n/aliases", 200, headers=LIST),
]
DEVIATING = {
    "a status that the contract has not for success": answer("DELETE", "/domains/zzzzz", 200, {}),
    "a status that our description lacks": answer("GET", "/domains/zzzzz", 410, REFUSED | {"status": 410}),
    "a status of another kind at no path": answer("GET", "/nowhere", 409, REFUSED | {"status": 409}),
    "a member that nobody named": answer("GET", "/domains/ByE3n/aliases", 200, [{**ALIAS, "more": 1}], LIST),
    "a member of another type": answer("GET", "/domains/ByE3n/aliases", 200, [{**ALIAS, "name": 1}], LIST),
    "a member that is missing": answer("GET", "/domains/ByE3n/aliases", 200, [{"id": "ByE3n"}], LIST),
    "no total": answer("GET", "/domains/ByE3n/aliases", 200, [ALIAS]),
    "a total that scripts can't read": answer("GET", "/domains/ByE3n/aliases", 200, [], {"X-Total-Count": "0"}),
    "a Location that the contract has not": answer("DELETE", "/domains/zzzzz", 204, headers={"Location": "/domains"}),
    "no Vary": answer("DELETE", "/domains/zzzzz", 204, vary=False),
    "an error body without a reason": answer("GET", "/domains/zzzzz", 404, {"status": 404}),
    "an error body of another status": answer("GET", "/domains/zzzzz", 404, REFUSED | {"status": 403}),
    "an error body of another path": answer("GET", "/domains/zzzzz", 404, REFUSED | {"path": "/domains"}),
}


@pytest.mark.parametrize("fitting", FITTING, ids=lambda each: f"{each.request.method} {each.status_code}")
def test_an_answer_of_the_contract_passes(fitting: httpx2.Response) -> None:
    hold(fitting)


@pytest.mark.parametrize("deviating", DEVIATING.values(), ids=DEVIATING)
def test_an_answer_that_deviates_is_noticed(deviating: httpx2.Response) -> None:
    with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
        hold(deviating)


def statuses() -> list[tuple[str, int, bool]]:
    """Every status of our description, and whether the contract has it."""
    found = []
    for path, item in describe(site.operations())["paths"].items():
        for method in set(METHODS) & set(item):
            agreed = cleanmail().item(path).get(method)
            found += [
                (item[method]["operationId"], int(status), agreed is None or status in agreed["responses"])
                for status in item[method]["responses"]
            ]
    return sorted(found)


def test_what_the_contract_does_not_list_stands_in_the_one_table_rules_34() -> None:
    beyond = {(name, status) for name, status, agreed in statuses() if not agreed and status not in ELSEWHERE}
    assert beyond == set()


def test_literal_segments_win_in_the_description_too_contract_a43() -> None:
    for description in (cleanmail(), ours()):
        assert description.item("/users/ByE3n/emails/folders")["get"]["operationId"] == "listFolders"
