"""The pages beside the API: the API browser, the files that it is made of, and what every answer tells a browser."""

import hashlib
import re
from pathlib import Path

import pytest
from tests.api.house import Api

import gatepost.web

pytestmark = pytest.mark.anyio

STATIC = Path(gatepost.web.__file__).parent / "static"
BUNDLE = "/static/swagger-ui/swagger-ui-bundle.js"


async def test_the_api_browser_needs_no_token_and_nothing_from_elsewhere(api: Api) -> None:
    answer = await api.ask("GET", "/docs", token=None)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy) and "http" not in str(policy)
    assert not re.search(r"<script(?![^>]* src=)|<style| on\w+=|https?:|//", answer.text)
    named = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', answer.text)
    assert len(named) == 4
    for name in named:
        assert (await api.ask("GET", f"/{name}", token=None)).status_code == 200


async def test_the_bare_address_leads_to_the_api_browser(api: Api) -> None:
    answer = await api.ask("GET", "/", token=None)
    assert (answer.status_code, answer.headers["Location"]) == (303, "docs")


async def test_the_files_are_those_that_were_published() -> None:
    folder = STATIC / "swagger-ui"
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == {path.name for path in folder.iterdir()} - {"SHA256SUMS", "ORIGIN"}
    for name, expected in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name


async def test_a_copy_that_is_still_true_is_not_sent_again(api: Api) -> None:
    first = await api.ask("GET", BUNDLE, token=None)
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers["Content-Type"].startswith("text/javascript")
    again = await api.ask("GET", BUNDLE, headers={"If-None-Match": first.headers["ETag"]}, token=None)
    assert again.status_code == 304 and again.content == b""


@pytest.mark.parametrize(
    "path",
    ["/static", "/static/", "/static/none.js", "/static/../site.py", "/static/%2e%2e/site.py", "/static/swagger-ui"],
)
async def test_nothing_but_the_files_is_served(api: Api, path: str) -> None:
    answer = await api.ask("GET", path, token=None)
    assert answer.status_code == 404 and answer.json()["status"] == 404


@pytest.mark.parametrize("path", ["/docs", BUNDLE])
async def test_pages_are_only_read(api: Api, path: str) -> None:
    refused = await api.ask("POST", path, token=None)
    assert (refused.status_code, set(refused.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert (await api.ask("HEAD", path, token=None)).content == b""


@pytest.mark.parametrize("path", ["/docs", BUNDLE, "/domains", "/openapi.json", "/none", "/domains/none"])
async def test_every_answer_is_guarded(api: Api, path: str) -> None:
    headers = (await api.ask("GET", path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-Id"])
    assert headers["Cache-Control"] in ("no-store", "no-cache")


@pytest.mark.parametrize("path", ["/share?file=", "/compose?token=", "/password?token=", "/signin?token="])
async def test_no_address_makes_a_page_fail(api: Api, path: str) -> None:
    for odd in ("%00", "%ff", "%ed%a0%80", "x" * 4000, "'", "%0d%0a"):
        answer = await api.ask("GET", f"{path}{odd}", token=None)
        assert answer.status_code in (200, 400, 404)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
