"""Bad input, swept over every operation: what holds for one holds for all (threats 105, 119, 121 to 134)."""

import re
from collections.abc import AsyncIterator, Callable

import pytest
from tests.api.house import Api, basic, open_api

from gatepost.api import site
from gatepost.api.dialect import NATIVE
from gatepost.api.endpoint import Endpoint
from gatepost.model.problem import Kind

pytestmark = pytest.mark.anyio

OPERATIONS = site.operations()
BODIES = {
    "nothing": b"",
    "no JSON": b"{'a': 1}",
    "half an object": b'{"a": 1',
    "NaN": b'{"a": NaN}',
    "a doubled member": b'{"a": 1, "a": 2}',
    "65 levels": b"[" * 65 + b"]" * 65,
    "a lone surrogate": b'{"a": "\\ud800"}',
    "NUL as it is": b'{"a": "\x00"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a number": b"17",
}
SEGMENTS = ("%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "%0d%0aX:%20y", "%ff", "a" * 500, "'%20OR%201=1--", "%25")
WINDOWS = ("offset=-1", "offset=x", "offset=99999999999999999999", "pageSize=0", "pageSize=-1", "pageSize=1e3")
ORDERS = ("sort=password", "sort=--id", "sort=id;DROP%20TABLE%20user", "sort=%ff")
SQL = ("' OR '1'='1", "'; DROP TABLE user; --", "%' AND 1=1 --", 'x" UNION SELECT 1 --')


def those(fits: Callable[[Endpoint], object]) -> pytest.MarkDecorator:
    """Run a test for each operation that fits."""
    found = [operation for operation in OPERATIONS if fits(operation)]
    assert found
    return pytest.mark.parametrize("operation", found, ids=lambda operation: operation.name)


def shown(api: Api, operation: Endpoint) -> dict[str, str]:
    """Return the sysadmin's credentials where an operation takes no bearer token."""
    return {} if "bearer" in operation.dialect.schemes else basic(api.first.login, api.token)


def place(operation: Endpoint, segment: str = "zzzzz") -> str:
    return re.sub(r"\{\w+\}", segment, operation.path)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def swept(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Api]:
    api = open_api(tmp_path_factory.mktemp("swept") / "state")
    await api.domain("got.com")
    yield api
    assert len(await api.get("/domains")) == 1  # none of it had an effect
    await api.store.close()


@those(lambda operation: operation.needs_body)
async def test_a_body_that_is_no_strict_json_is_refused_everywhere_threats_119_123(
    swept: Api, operation: Endpoint
) -> None:
    for name, raw in BODIES.items():
        answer = await swept.ask(operation.method, place(operation), raw=raw, headers=shown(swept, operation))
        assert answer.status_code == operation.dialect.status_of(Kind.MALFORMED), f"{name}: {answer.text}"


@those(lambda operation: operation.needs_body)
async def test_a_body_of_another_type_or_size_is_refused_everywhere_threat_123(swept: Api, operation: Endpoint) -> None:
    where = place(operation)
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"):
        headers = {"Content-Type": media, **shown(swept, operation)}
        answer = await swept.ask(operation.method, where, raw=b"{}", headers=headers)
        assert answer.status_code == 415
    large = b" " * ((operation.max_body or swept.settings.http.max_json_bytes) + 1)
    if len(large) < 10_000_000:
        answer = await swept.ask(operation.method, where, raw=large, headers=shown(swept, operation))
        assert answer.status_code == 413


@those(lambda operation: operation.names and not operation.body)
async def test_odd_segments_find_nothing_anywhere_threat_121(swept: Api, operation: Endpoint) -> None:
    for segment in SEGMENTS:
        answer = await swept.ask(operation.method, place(operation, segment), headers=shown(swept, operation))
        assert answer.status_code in (400, 403, 404, 422), f"{segment}: {answer.status_code}"


@those(lambda operation: operation.listing and not operation.names)
async def test_windows_and_orders_that_are_none_are_refused_everywhere_threats_125_126(
    swept: Api, operation: Endpoint
) -> None:
    for query in (*WINDOWS, *ORDERS):
        answer = await swept.ask("GET", f"{operation.path}?{query}")
        assert answer.status_code == 400, query
    assert (await swept.ask("GET", f"{operation.path}?unknown=1&Sort=x")).status_code == 200


@those(lambda operation: operation.listing and operation.listing.filters and not operation.names)
async def test_sql_in_a_filter_is_a_text_everywhere_threat_126(swept: Api, operation: Endpoint) -> None:
    assert operation.listing
    for name in operation.listing.filters:
        for text in SQL:
            answer = await swept.ask("GET", f"{operation.path}?{name}={text.replace('%', '%25').replace(' ', '%20')}")
            assert answer.status_code == 400 or answer.json() == [], f"{name}={text}"


async def test_a_verb_that_is_not_offered_learns_which_are_threat_133(swept: Api) -> None:
    for operation in OPERATIONS:
        answer = await swept.ask("BREW", place(operation))
        assert answer.status_code == operation.dialect.unoffered, operation.name
        assert operation.method in answer.headers["allow"].split(", "), operation.name


async def test_who_shows_no_token_is_told_the_same_everywhere_threat_105(swept: Api) -> None:
    for operation in OPERATIONS:
        if operation.public:
            continue
        answer = await swept.ask(operation.method, place(operation), token=None)
        assert answer.status_code == 401, operation.name
        assert answer.headers["www-authenticate"] == operation.dialect.challenge, operation.name
        if operation.dialect is NATIVE:
            assert answer.json()["message"] == "A valid bearer token is required.", operation.name
