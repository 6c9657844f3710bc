"""Signing in: session tokens and what is no such token, HTTP Basic, and what slows guesses."""

import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from joserfc import jws
from joserfc.jwk import OctKey, RSAKey
from structlog.testing import capture_logs
from tests.api.house import CHEAP, NOW, Api

from gatepost.api.credentials import basic, bearer_or_basic
from gatepost.api.dialect import NATIVE
from gatepost.api.endpoint import endpoint
from gatepost.api.site import make_app
from gatepost.model.access import Admin, Caller
from gatepost.model.query import eq
from gatepost.model.tenant import User, UserStatus
from gatepost.services.jwt import LIFE
from gatepost.store.secrets import Secrets

pytestmark = pytest.mark.anyio

SECRET = "Ghost & I"
BASIC = replace(NATIVE, prove=basic, challenge='Basic realm="x", charset="UTF-8"')
EITHER = replace(NATIVE, prove=bearer_or_basic)


@pytest.fixture
async def api(api: Api) -> Api:
    """The API with an administrator of no rights and a mailbox user, both with one password."""
    await api.admin("arya", email="arya@stark.example", password_hash=CHEAP.hash(SECRET))
    domain = await api.domain("got.com")
    await api.user("jon@got.com", domain["id"], password=SECRET)
    return api


async def sign_in(api: Api, login: str, password: str = SECRET, **more: Any) -> httpx2.Response:
    given = {"login": login, "password": password, **more.pop("body", {})}
    return await api.ask("POST", "/login", given, token=None, **more)


async def token_of(api: Api, login: str) -> str:
    answer = await sign_in(api, login)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(each + "===")) for each in (header, payload))  # type: ignore[return-value]


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _signed(claims: dict[str, Any], key: Any, alg: str = "HS512", **header: Any) -> str:
    return jws.serialize_compact({"alg": alg, **header}, json.dumps(claims), key, [alg])


def _mac(key: bytes, header: str, payload: str) -> str:
    """Sign by hand: the library takes no public key for a secret."""
    made = hmac.digest(key, f"{header}.{payload}".encode(), "sha512")
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


async def test_a_sysadmin_gets_a_token_of_the_documents_form_contract_f1(api: Api) -> None:
    answer = await sign_in(api, "admin", api.first.password)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"token", "expireAt"}
    assert answer.json()["expireAt"] == (NOW // 1000 + LIFE) * 1000
    header, claims = parts(answer.json()["token"])
    assert header == {"alg": "HS512"}
    expected = {
        "version": 3,
        "sub": "admin",
        "iat": NOW // 1000,
        "exp": NOW // 1000 + 3600,
        "authorities": ["SYSADMIN"],
    }
    assert expected.items() <= claims.items()
    assert await api.get("/domains", token=answer.json()["token"])


@pytest.mark.parametrize("login", ["arya", "ARYA", "arya@stark.example"])
async def test_an_administrator_signs_in_by_login_or_mail_address(api: Api, login: str) -> None:
    token = await token_of(api, login)
    assert parts(token)[1]["authorities"] == ["ADMIN"]
    assert (await api.ask("POST", "/domains", {}, token=token)).status_code in (400, 403)
    row = api.store.reader.first(Admin, eq("login", "arya"))
    assert row and row.last_connection_date == NOW


async def test_a_mailbox_user_signs_in_with_his_own_rights_only(api: Api) -> None:
    token = await token_of(api, "Jon@GOT.com")
    user = api.store.reader.first(User, eq("email", "jon@got.com"))
    assert user and user.last_connection_date == NOW
    assert (await api.get(f"/users/{api.ids.show(user.id)}", token=token))["email"] == "jon@got.com"
    assert parts(token)[1]["authorities"] == ["USER"]
    assert (await api.ask("GET", f"/users/{api.ids.show(999)}", token=token)).status_code == 403


async def test_one_address_may_name_an_administrator_and_a_mailbox(api: Api) -> None:
    await api.admin("jon@got.com", password_hash=CHEAP.hash("the other one"))
    assert parts(await token_of(api, "jon@got.com"))[1]["authorities"] == ["USER"]
    answer = await sign_in(api, "jon@got.com", "the other one")
    assert parts(answer.json()["token"])[1]["authorities"] == ["ADMIN"]


async def test_the_address_of_two_administrators_names_neither(api: Api) -> None:
    await api.admin("sansa", email="arya@stark.example", password_hash=CHEAP.hash("another"))
    assert (await sign_in(api, "arya@stark.example")).status_code == 401
    assert (await sign_in(api, "arya")).status_code == 200


WRONG = [
    ("arya", "wrong"),
    ("arya", ""),
    ("arya", "x" * 5000),
    ("nobody", SECRET),
    ("", ""),
    ("jon@got.com", "wrong"),
    ("jon@got.com\0", SECRET),
    ("nobody@got.com", SECRET),
    ("jon@nowhere.example", SECRET),
]


async def test_what_is_wrong_gets_one_and_the_same_401(api: Api) -> None:
    for login, password in WRONG:
        api.clock.now += 600_000  # guesses are counted
        answer = await sign_in(api, login, password)
        assert answer.status_code == 401, (login, password)
        assert answer.json()["message"] == "The login or the password is wrong."


MALFORMED: list[Any] = [{}, {"login": "arya"}, {"login": 1, "password": SECRET}, [], None]


async def test_what_is_no_sign_in_is_malformed(api: Api) -> None:
    for body in MALFORMED:
        assert (await api.ask("POST", "/login", body, token=None)).status_code == 400, body


async def test_a_disabled_or_deleted_account_loses_its_token_at_once(api: Api) -> None:
    admin, user = await token_of(api, "arya"), await token_of(api, "jon@got.com")
    row = api.store.reader.first(Admin, eq("login", "arya"))
    jon = api.store.reader.first(User, eq("email", "jon@got.com"))
    assert row and jon
    mine = f"/users/{api.ids.show(jon.id)}"
    assert (await api.ask("GET", mine, token=user)).status_code == 200
    await api.store.write(lambda writer: writer.change(Admin, row.id, enabled=False))
    await api.store.write(lambda writer: writer.change(User, jon.id, status=UserStatus.DISABLED))
    assert (await api.ask("GET", "/domains", token=admin)).status_code == 401
    assert (await api.ask("GET", mine, token=user)).status_code == 401
    assert (await sign_in(api, "arya")).status_code == 401
    await api.store.write(lambda writer: writer.change(User, jon.id, status=UserStatus.ENABLED))
    assert (await api.ask("GET", mine, token=user)).status_code == 200
    assert (await api.ask("DELETE", mine)).status_code == 204
    assert (await api.ask("GET", mine, token=user)).status_code == 401


async def test_a_changed_password_ends_the_tokens_that_were_got_with_the_old_one(api: Api) -> None:
    token = await token_of(api, "jon@got.com")
    jon = api.store.reader.first(User, eq("email", "jon@got.com"))
    assert jon
    mine = f"/users/{api.ids.show(jon.id)}"
    await api.change(mine, {"firstname": "Jon"})
    assert (await api.ask("GET", mine, token=token)).status_code == 200
    await api.change(mine, {"password": "you know nothing"})
    assert (await api.ask("GET", mine, token=token)).status_code == 401
    assert (await sign_in(api, "jon@got.com")).status_code == 401
    assert (await sign_in(api, "jon@got.com", "you know nothing")).status_code == 200


async def test_a_right_is_read_at_use_whatever_the_token_says_threat_110(api: Api) -> None:
    token = (await sign_in(api, "admin", api.first.password)).json()["token"]
    await api.store.write(lambda writer: writer.change(Admin, 1, sys_admin=False))
    assert (await api.ask("DELETE", f"/domains/{api.ids.show(1)}", token=token)).status_code == 403


async def test_a_token_lapses_to_the_second(api: Api) -> None:
    token = (await sign_in(api, "admin", api.first.password)).json()["token"]
    api.clock.now = (NOW // 1000 + LIFE) * 1000 - 1
    assert (await api.ask("GET", "/domains", token=token)).status_code == 200
    api.clock.now += 1
    assert (await api.ask("GET", "/domains", token=token)).status_code == 401


async def test_forged_tokens_are_refused_like_any_other_threat_106(api: Api) -> None:
    token = (await sign_in(api, "admin", api.first.password)).json()["token"]
    key = OctKey.import_key(api.store.secrets.derive("jwt"))
    claims = parts(token)[1]
    now = NOW // 1000
    header, payload, signature = token.split(".")
    root = _encoded({**claims, "sub": "root"})
    rsa = RSAKey.generate_key(2048)
    bad = {
        "none": f"{_encoded({'alg': 'none'})}.{payload}.",
        "none with a signature": f"{_encoded({'alg': 'none'})}.{payload}.{signature}",
        "no signature": f"{header}.{payload}.",
        "wrong key": _signed(claims, OctKey.import_key(b"k" * 64)),
        "another algorithm": _signed(claims, key, alg="HS256"),
        "RSA": _signed(claims, rsa, alg="RS256"),
        "its public key as a secret": f"{header}.{payload}.{_mac(rsa.as_pem(private=False), header, payload)}",
        "kid path": _signed(claims, key, kid="../../../../dev/null"),
        "jku": _signed(claims, key, jku="https://evil.example/keys"),
        "embedded key": _signed(claims, key, jwk={"kty": "oct", "k": "AAAA"}),
        "changed payload": f"{header}.{root}.{signature}",
        "signed too early": _signed({**claims, "iat": now + 61, "exp": now + 61 + LIFE}, key),
        "too long a life": _signed({**claims, "exp": now + LIFE + 1}, key),
        "lapsed": _signed({**claims, "iat": now - LIFE, "exp": now}, key),
        "no claims": _signed({}, key),
        "no owner": _signed({name: each for name, each in claims.items() if name != "adminId"}, key),
        "text for numbers": _signed({**claims, "exp": "never"}, key),
        "another's mark": _signed({**claims, "mark": "0" * 16}, key),
        "strange header": f"{_encoded({'alg': ['HS512'], 'crit': 1})}.{payload}.{signature}",
        "dots": ".." * 50,
        "no text": "ab.c\u00e9.de",
    }
    for index, (name, value) in enumerate(bad.items()):
        sent = {"Authorization": f"Bearer {value}".encode("latin-1")}
        answer = await api.ask("GET", "/domains", headers=sent, ip=f"198.51.100.{index}")  # type: ignore[arg-type]
        assert answer.status_code == 401, name
        assert answer.json()["message"] == "A valid bearer token is required.", name
    good = _signed({**claims, "iat": now + 60, "exp": now + 60 + LIFE}, key)
    assert (await api.ask("GET", "/domains", token=good)).status_code == 200


def test_a_new_master_key_makes_another_key_for_sessions() -> None:
    key = b"A" * 43 + b"="
    one, other = Secrets([key]), Secrets([b"B" * 43 + b"=", key])
    assert one.derive("jwt") == Secrets([key]).derive("jwt") != other.derive("jwt")
    assert len(one.derive("jwt")) == 64 and one.derive("jwt") != one.derive("csrf")


async def test_ten_wrong_sign_ins_or_tokens_close_the_door_for_a_minute_threat_112(api: Api) -> None:
    for _ in range(5):
        assert (await sign_in(api, "arya", "wrong")).status_code == 401
        assert (await api.ask("GET", "/domains", token="a.b.c")).status_code == 401
    answer = await sign_in(api, "arya")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert (await sign_in(api, "arya", ip="192.0.2.2")).status_code == 200  # the account is not locked
    api.clock.now += 60_000
    assert (await sign_in(api, "arya")).status_code == 200


async def test_a_refused_sign_in_is_logged_with_the_account_that_was_meant_and_no_secret(api: Api) -> None:
    with capture_logs() as logs:
        await sign_in(api, "ARYA", "wrong")
        await sign_in(api, "Ghost & I", "typed one field too early")
        await api.ask("GET", "/domains", token="0123456789abcdef0123456789abcdef")
    told = {"event": "sign-in refused", "log_level": "info", "door": "http", "ip": "192.0.2.1"}
    assert logs == [{**told, "login": "arya"}, told, told]


async def test_who_signs_in_elsewhere_has_no_password_here_rules_29(api: Api) -> None:
    ldap = {
        "name": "ldap",
        "transportDest": "1.2.3.4",
        "transportType": "SMTP",
        "transportPort": 25,
        "authType": "ldap",
    }
    settings = {"host": "ldap.example", "port": 389, "base_dn": "dc=x", "mail_attribute": "mail"}
    ldap["authData"] = {**settings, "bind_user": "cn=x", "bind_password": "secret", "username_format": "%s"}
    ldap["authType"] = "ldap"
    domain = await api.domain("wall.example", platforms=[ldap])
    await api.user("sam@wall.example", domain["id"], password=SECRET)
    assert (await sign_in(api, "sam@wall.example")).status_code == 401
    user = api.store.reader.first(User, eq("email", "sam@wall.example"))
    assert user
    token = await api.token_of(user_id=user.id)
    assert (await api.ask("GET", f"/users/{api.ids.show(user.id)}", token=token)).status_code == 200


# HTTP Basic, for the dialects that take it.


@endpoint("GET", "/who", addition=True, dialect=BASIC)
async def who(caller: Caller) -> str:
    """Tell who is calling."""
    return caller.login


@endpoint("GET", "/either", addition=True, dialect=EITHER)
async def either(caller: Caller) -> str:
    """Tell who is calling."""
    return caller.login


@pytest.fixture
async def dialects(api: Api) -> Api:
    api.app = make_app(api.counter, api.settings.http, seed=b"s", metrics=api.metrics, more=[who, either])
    return api


def login_header(login: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


async def test_basic_takes_password_or_personal_token_of_any_account(dialects: Api) -> None:
    api = dialects
    jon = api.store.reader.first(User, eq("email", "jon@got.com"))
    assert jon
    token = await api.token_of(user_id=jon.id)
    for login, password, name in (
        ("arya", SECRET, "arya"),
        ("jon@got.com", SECRET, "jon@got.com"),
        ("JON@got.com", token, "jon@got.com"),
        ("admin", api.token, "admin"),
    ):
        for path in ("/who", "/either"):
            assert await api.get(path, headers=login_header(login, password), token=None) == name
    assert await api.get("/either") == "admin"
    assert (await api.ask("GET", "/who")).status_code == 401  # a bearer token is not what is taken there


NO_PROOFS: list[dict[str, str]] = [
    {},
    {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"},
    {"Authorization": "Basic /w=="},
    {"Authorization": "Basic YWJj"},
    login_header("arya", "wrong"),
    login_header("nobody", SECRET),
    login_header("", ""),
    login_header("arya", "0" * 32),
]


async def test_basic_refuses_what_proves_nobody(dialects: Api) -> None:
    for header in NO_PROOFS:
        dialects.clock.now += 600_000  # guesses are counted
        answer = await dialects.ask("GET", "/who", headers=header, token=None)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="x", charset="UTF-8"')
        assert (await dialects.ask("GET", "/either", headers=header, token=None)).status_code == 401, header


async def test_anothers_personal_token_is_no_password(dialects: Api) -> None:
    answer = await dialects.ask("GET", "/who", headers=login_header("arya", dialects.token), token=None)
    assert answer.status_code == 401
