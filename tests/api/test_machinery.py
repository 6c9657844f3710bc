"""What every operation shares: routing, bodies, errors, headers, ids, lists."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from tests.api.house import Api
from tests.api.replay import VARY

from gatepost.api.endpoint import endpoint
from gatepost.api.ids import Ids
from gatepost.api.site import make_app, operations
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Pattern
from gatepost.model.values import CLEARED, UNKNOWN, Id

pytestmark = pytest.mark.anyio

CONTRACT = Path(__file__).parent.parent / "contract"
IDS = Ids(b"one")
OFF = {"quarantine": False, "retention": False, "archive": False}
DOMAIN = {"name": "got.com", "status": "ENABLED", "defaultLanguage": "EN", **OFF}


# JSON bodies.

MALFORMED = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "a word": b"name",
    "half an object": b'{"name": "got.com"',
    "a comma too many": b'{"name": "got.com",}',
    "a comma too few": b'{"name": "a" "status": "b"}',
    "single quotes": b"{'name': 'got.com'}",
    "bare member": b"{name: 1}",
    "something after": b'{"name": "a"} x',
    "two values": b"{}{}",
    "a comment": b'{"name": "a" /* b */}',
    "NaN": b'{"name": "a", "x": NaN}',
    "Infinity": b'{"name": "a", "x": Infinity}',
    "minus Infinity": b'{"x": [-Infinity]}',
    "a leading zero": b'{"x": 01}',
    "a lone minus": b'{"x": -}',
    "a plus sign": b'{"x": +1}',
    "a hexadecimal": b'{"x": 0x1}',
    "a point at the end": b'{"x": 1.}',
    "a point at the start": b'{"x": .5}',
    "an empty exponent": b'{"x": 1e}',
    "a control character": b'{"name": "a\nb"}',
    "a tab in a text": b'{"name": "a\tb"}',
    "NUL": b'{"name": "a\x00"}',
    "a bad escape": b'{"name": "\\x41"}',
    "half an escape": b'{"name": "\\u00"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a turned surrogate": b'{"name": "\\udc00\\ud800"}',
    "a lone surrogate in what is ignored": b'{"zzz": "\\udfff"}',
    "Latin-1": '{"name": "é"}'.encode("latin-1"),
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "an encoded surrogate": b'{"name": "\xed\xa0\x80"}',
    "cut UTF-8": b'{"name": "\xe2\x82',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "an open text": b'{"name": "a',
    "wrong brackets": b'{"name": ["a"}',
    "a form feed": b'{\x0c"name": "a"}',
    "True": b'{"x": True}',
    "a member twice": b'{"name": "a.example", "name": "b.example"}',
    "a member twice, below": b'{"platforms": [{"name": "a", "name": "b"}]}',
    "a member twice, escaped": b'{"name": "a", "n\\u0061me": "b"}',
    "an ignored member twice": b'{"zzz": 1, "zzz": 2}',
    "65 levels": b"[" * 65 + b"]" * 65,
    "65 levels in what is ignored": b'{"zzz":' * 64 + b"[]" + b"}" * 64,
    "100,000 levels": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "a long number": b'{"name": ' + b"9" * 100_000 + b"}",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_no_strict_json_is_refused_threat_123(shared: Api, raw: bytes) -> None:
    answer = await shared.ask("POST", "/domains", raw=raw)
    assert answer.status_code == answer.json()["status"] == 400, answer.text
    assert await shared.get("/domains") == []


async def test_64_levels_are_read_threat_123(api: Api) -> None:
    body = json.dumps(DOMAIN)[:-1].encode() + b', "zzz": ' + b"[" * 62 + b"]" * 62 + b"}"
    assert (await api.ask("POST", "/domains", raw=body)).status_code == 201


async def test_a_large_body_is_read_beside_the_loop_and_a_larger_one_refused_threat_123(api: Api) -> None:
    large = json.dumps({**DOMAIN, "zzz": ["x" * 70_000]}).encode()
    assert (await api.ask("POST", "/domains", raw=large)).status_code == 201
    answer = await api.ask("POST", "/domains", raw=b" " * 1_000_001)
    assert (answer.status_code, answer.json()["error"]) == (413, "Content Too Large")


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 400),
        ("application/json; charset=utf-8", 400),
        ('Application/JSON;charset="UTF-8"', 400),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_a_body_of_another_type_is_refused_threat_123(shared: Api, media: str, status: int) -> None:
    answer = await shared.ask("POST", "/domains", raw=b"{}", headers={"Content-Type": media})
    assert answer.status_code == status


async def test_a_packed_body_is_refused_threat_123(api: Api) -> None:
    answer = await api.ask("POST", "/domains", raw=b"{}", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"status": None}, "/status"),
        ({"platforms": [{"name": "p"}]}, "/platforms/0/transportDest"),
        ({"platforms": [{}]}, "/platforms/0/name"),
        ({"outgoingSubnets": [None]}, "/outgoingSubnets/0"),
        ({"platforms": {"a": 1}}, "/platforms"),
    ],
)
async def test_the_member_at_fault_is_named_contract_f8(shared: Api, change: dict[str, Any], pointer: str) -> None:
    answer = await shared.ask("POST", "/domains", {**DOMAIN, **change})
    assert (answer.status_code, answer.json()["pointer"]) == (400, pointer)


# Errors.


async def test_every_error_has_the_same_shape_and_headers_threat_134(api: Api) -> None:
    for method, path, status in [
        ("GET", "/nowhere", 404),
        ("GET", "/domains/", 404),
        ("GET", "/domains/zzzzz", 404),
        ("PUT", "/domains", 405),
        ("BREW", "/domains", 405),
        ("GET", "/domains?sort=x", 400),
    ]:
        answer = await api.ask(method, path)
        body = answer.json()
        assert answer.status_code == body["status"] == status, path
        assert body["path"] == path.partition("?")[0] and body["error"] and body["message"]
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers.get_list("vary") == VARY
        assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


async def test_unknown_methods_learn_what_is_offered_threat_133(api: Api) -> None:
    answer = await api.ask("PUT", "/domains")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    answer = await api.ask("OPTIONS", "/domains/zzzzz", token=None)
    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PATCH")
    assert answer.headers.get_list("vary") == VARY


async def test_a_head_request_gets_the_headers_alone(api: Api) -> None:
    await api.domain("got.com")
    full, head = await api.ask("GET", "/domains"), await api.ask("HEAD", "/domains")
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == full.headers["content-length"] == str(len(full.content))
    assert head.headers["x-total-count"] == "1"


@endpoint("GET", "/broken", public=True)
async def broken() -> None:
    """Fail as code fails."""
    raise RuntimeError("SELECT secret FROM place")


@endpoint("GET", "/odd", public=True)
async def odd() -> None:
    """Fail in words that only the mail road has."""
    raise Problem(Kind.LOOP, "secret")


async def test_an_error_of_ours_is_answered_without_its_words_threat_134(api: Api) -> None:
    api.app = make_app(api.counter, api.settings.http, seed=b"x", metrics=api.metrics, more=[broken, odd])
    for path in ("/broken", "/odd"):
        answer = await api.ask("GET", path)
        assert answer.status_code == answer.json()["status"] == 500
        assert "secret" not in answer.text and "RuntimeError" not in answer.text
        assert answer.headers["x-request-id"] and answer.headers.get_list("vary") == VARY
    counted = generate_latest(api.metrics.registry).decode()
    assert 'gatepost_http_requests_total{method="GET",status="500"} 2.0' in counted


async def test_a_store_that_stopped_is_told_as_unavailable_threat_134(api: Api) -> None:
    await api.store.close()
    answer = await api.ask("POST", "/domains", DOMAIN)
    assert answer.status_code in (500, 503)
    assert "sqlite" not in answer.text.lower()


async def test_no_origin_is_let_in_threat_135(api: Api) -> None:
    for method in ("GET", "OPTIONS"):
        answer = await api.ask(method, "/domains", headers={"Origin": "https://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control-allow")]


# Rights.


MINE = [
    item
    for item in operations()
    if item.body is None
    and item.function.__module__.rpartition(".")[2] in ("domains", "policies", "users", "groups", "tokens")
]


async def test_without_the_right_an_object_is_neither_there_nor_not_threats_107_108(api: Api) -> None:
    token = await api.token_of(admin_id=(await api.admin("plain")).id)
    domain = await api.domain("got.com")
    for item in MINE:
        answers = set()
        for target in (domain["id"], api.ids.show(99), "zzzzz"):
            answer = await api.ask(item.method, re.sub(r"\{\w+\}", target, item.path), token=token)
            answers.add((answer.status_code, answer.json()["message"]))
        assert len(answers) == 1 and answers.pop()[0] == 403, f"{item.method} {item.path}"


async def test_every_operation_says_what_it_needs() -> None:
    for item in operations():
        assert item.public or item.permission or item.addition, f"{item.method} {item.path}"
        assert item.function.__doc__, item.name


# Paths and ids.


@pytest.mark.parametrize(
    "segment",
    [
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2f",
        "%00",
        "a%00b",
        "%0d%0aX:%20y",
        "%ff",
        "%c0%af",
        "a" * 500,
        "*",
        "'",
        "%25",
    ],
)
async def test_odd_path_segments_are_found_nowhere_threat_121(shared: Api, segment: str) -> None:
    for path in ("/domains/{}", "/domains/{}/aliases", "/policies/{}", "/groups/{}"):
        method = "DELETE" if "groups" in path else "GET"
        answer = await shared.ask(method, path.format(segment))
        assert answer.status_code == 404, path


async def test_an_encoded_slash_is_no_slash_threat_121(api: Api) -> None:
    made = await api.domain("got.com")
    assert (await api.ask("GET", f"/domains%2F{made['id']}")).status_code == 404
    assert (await api.ask("GET", f"/domains/{made['id']}%2Faliases")).status_code == 404


def test_an_id_is_read_only_in_the_spelling_that_was_shown() -> None:
    ids, others = Ids(b"one"), Ids(b"two")
    shown = [ids.show(number) for number in range(1, 2000)]
    assert len(set(shown)) == len(shown)
    assert all(re.fullmatch("[0-9A-Za-z]{5,}", text) for text in shown)
    assert [ids.read(text) for text in shown] == list(range(1, 2000))
    assert ids.read(ids.show(2**62)) == 2**62
    assert shown[:50] != [others.show(number) for number in range(1, 51)]
    assert shown[0].swapcase() != shown[0]
    assert ids.read("") == CLEARED
    for text in ("1", "zzzzzzzzzzzz", shown[0] + shown[1], shown[0].swapcase(), shown[0] + " ", "ééééé", "z" * 17):
        number = ids.read(text)
        assert number == UNKNOWN or ids.show(number) == text


@given(st.integers(0, 2**63 - 1) | st.integers(0, 2**24))
def test_an_id_is_what_sqids_makes_of_a_number(number: int) -> None:
    assert IDS.show(number) == IDS._codec.encode([number])
    assert IDS.read(IDS.show(number)) == number


def test_an_id_says_no_word_that_sqids_would_not_say() -> None:
    for number in (14_745, 24_193, 31_404, 34_685):  # which would spell one
        assert IDS.show(number) == IDS._codec.encode([number])
        assert IDS.read(IDS.show(number)) == number


def test_what_can_be_no_id_is_not_kept_in_memory() -> None:
    ids = Ids(b"one")
    assert {ids.read("z" * length) for length in range(17, 1000)} == {UNKNOWN}
    assert ids.read(ids.show(7)) == 7
    assert ids._decoded.cache_info().currsize == 1


def test_ids_and_moments_have_one_form_on_the_wire() -> None:
    ids = Ids(b"one")
    decoder = msgspec.json.Decoder(list[Id], dec_hook=ids.decode_hook)
    assert decoder.decode(msgspec.json.encode([Id(7)], enc_hook=ids.encode_hook)) == [Id(7)]
    for raw in (b"[7]", b"[null]", b"[true]", b"[{}]"):
        with pytest.raises(msgspec.ValidationError):
            decoder.decode(raw)


# Lists.


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("offset=-1", "/offset"),
        ("offset=x", "/offset"),
        ("offset=1.0", "/offset"),
        ("offset=%D9%A1", "/offset"),
        ("offset=99999999999999999999", "/offset"),
        ("pageSize=0", "/pageSize"),
        ("pageSize=-5", "/pageSize"),
        ("pageSize=1e3", "/pageSize"),
        ("sort=password", "/sort"),
        ("sort=--name", "/sort"),
        ("sort=name;DROP TABLE domain", "/sort"),
        ("sort=customer_id", "/sort"),
        ("name=a&status=ENABLED", "/status"),
        ("name=a&name=b", "/name"),
        ("name=%ff", None),
    ],
)
async def test_list_parameters_are_checked_threats_125_126(shared: Api, query: str, pointer: str | None) -> None:
    answer = await shared.ask("GET", f"/domains?{query}")
    assert (answer.status_code, answer.json().get("pointer")) == (400, pointer)


async def test_a_page_is_forty_and_at_most_a_thousand_threat_125(api: Api) -> None:
    for index in range(45):
        await api.domain(f"d{index:02}.example")
    answer = await api.ask("GET", "/domains")
    assert (len(answer.json()), answer.headers["x-total-count"]) == (40, "45")
    assert answer.headers["access-control-expose-headers"] == "X-Total-Count"
    assert len(await api.get("/domains?pageSize=99999")) == 45
    assert [each["name"] for each in await api.get("/domains?offset=44&pageSize=5")] == ["d44.example"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x", Pattern("x")),
        ("x*", Pattern("x", open_end=True)),
        ("*x", Pattern("x", open_start=True)),
        ("*x*", Pattern("x", open_start=True, open_end=True)),
        ("a*b", Pattern("a*b")),
        ("*", Pattern("", open_start=True)),
        ("**", Pattern("", open_start=True, open_end=True)),
        ("***", Pattern("*", open_start=True, open_end=True)),
        ("", Pattern("")),
    ],
)
def test_a_star_counts_at_the_ends_only_threat_126(text: str, found: Pattern) -> None:
    assert Pattern.read(text) == found


SQL = [
    "' OR '1'='1",
    "'; DROP TABLE domain; --",
    "1); DELETE FROM user; --",
    '" OR ""="',
    "%' AND 1=1 --",
    "a' UNION SELECT 1 --",
]


@pytest.mark.parametrize("text", SQL)
async def test_sql_in_a_filter_is_a_text_threat_126(api: Api, text: str) -> None:
    await api.domain("got.com")
    for path in ("/domains?name=", "/domains?externalId=", "/domains?platformName=", "/users?email="):
        answer = await api.ask("GET", path + text.replace("%", "%25").replace(";", "%3B").replace("&", "%26"))
        assert (answer.status_code, answer.json()) == (200, [])
    assert len(await api.get("/domains")) == 1


NAUGHTY = [
    "undefined",
    "NULL",
    "\\",
    "1;DROP TABLE users",
    "<script>alert(0)</script>",
    "田中さんにあげて下さい",
    "الكل في المجمو عة",
    "ﷺ",
    "🏳️‍🌈",
    "Ω≈ç√∫˜µ≤≥÷",
    "１２３",
    "̡͓̞ͅI̗̘̦͝n͇͇͙v̮̫ok̲̫̙͈i̖͙̭̹̠̞n̡̻̮̣̺g̲͈͙̭͙̬͎",
    "\u200b\u200e\ufeff",
    "${jndi:ldap://x}",
    "%s%n",
    "{{7*7}}",
    "=1+1",
    "../../etc/passwd",
]


async def test_naughty_texts_round_trip_threat_130(api: Api) -> None:
    for number, text in enumerate(NAUGHTY):
        made = await api.domain(f"got{number}.com", description=text, externalId=text)
        assert (made["description"], made["externalId"]) == (text, text)
        assert await api.get(f"/domains/{made['id']}") == made


@pytest.mark.parametrize("text", ["\x00", "\x1b[31m", "a\rb", "\x7f", "a\u2028b", "\x85"])
async def test_controls_in_a_line_are_refused_threat_130(shared: Api, text: str) -> None:
    answer = await shared.ask("POST", "/domains", {**DOMAIN, "externalId": text})
    assert (answer.status_code, answer.json()["pointer"]) == (400, "/externalId")


# The contract's copy.


def test_the_copy_of_the_contract_is_true() -> None:
    source = Path(__file__).parents[3] / "shared" / "contract"
    if not source.is_dir():
        pytest.skip("the contract itself is not at hand")
    for path in source.rglob("*"):
        copy = CONTRACT / path.relative_to(source)
        if path.is_file() and path.suffix != ".py":
            assert copy.read_bytes() == path.read_bytes(), copy


def test_libraries_for_single_requests_are_not_loaded_before_one_asks() -> None:
    idle = (
        "import sys; import gatepost.cli.serve; from gatepost.api.site import operations; operations();"
        "print(sorted({'cql', 'ply', 'xlsxwriter', 'PIL', 'zxingcpp'} & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", idle], text=True) == "[]\n"


async def test_a_word_that_is_none_of_a_members_is_answered_with_those_there_are(api: Api) -> None:
    answer = await api.ask("POST", "/domains", {**DOMAIN, "defaultLanguage": "IT"})
    assert (answer.status_code, answer.json()["pointer"]) == (400, "/defaultLanguage")
    assert re.fullmatch(r"Invalid enum value 'IT'; there are (\w\w, )*EN(, \w\w)*\.", answer.json()["message"])
