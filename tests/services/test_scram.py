"""Verifiers for SCRAM: made wherever a password is set, of no use for another one, seen by nobody."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from scramp import ScramClient
from tests.api.house import Api, open_api
from tests.house import make_sign_in

from gatepost.events import Metrics
from gatepost.model.access import Purpose
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.model.tenant import User
from gatepost.services.recovery import Recovery, Reset
from gatepost.services.scram import Exchange, Verifier
from gatepost.services.signin import SignIn
from gatepost.services.tickets import HOUR, Tickets

pytestmark = pytest.mark.anyio

JON = "jon@got.com"
IP = "192.0.2.9"


@pytest.fixture
async def api(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Api]:
    api = open_api(tmp_path / "state", limits={"auth_failures_per_ip": 100})
    yield api
    await api.gatepost.stop()


async def passes(api: Api, password: str) -> bool:
    """Tell whether jon signs in by SCRAM with a password."""
    sign_in, client = api.counter.of(SignIn), ScramClient(["SCRAM-SHA-256"], JON, password)
    exchange = await sign_in.challenge(client.get_client_first(), IP)
    client.set_server_first(exchange.challenge)
    try:
        login, proof = sign_in.prove(exchange, client.get_client_final(), IP)
    except Problem as problem:
        assert problem.kind is Kind.UNAUTHENTICATED
        return False
    client.set_server_final(proof)
    return login.email == JON


def jon(api: Api) -> User:
    found = api.store.reader.first(User, eq("email", JON))
    assert found
    return found


async def test_wherever_a_password_is_set_scram_goes_by_it_and_by_no_older_one(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user(JON, domain["id"], password="Ghost & I 1")
    assert await passes(api, "Ghost & I 1")
    await api.change(f"/users/{made['id']}", {"password": "Ghost & I 2"})
    assert await passes(api, "Ghost & I 2") and not await passes(api, "Ghost & I 1")
    change = {"current": "Ghost & I 2", "password": "Ghost & I 3"}
    token = await api.token_of(user_id=jon(api).id)
    assert (await api.ask("POST", "/account/password", change, token=token)).status_code == 204
    assert await passes(api, "Ghost & I 3") and not await passes(api, "Ghost & I 2")
    link, _ = await api.counter.of(Tickets).make(jon(api), Purpose.PASSWORD, HOUR)
    await api.counter.of(Recovery).reset(Reset(token=link, password="Ghost & I 4"), IP)
    assert await passes(api, "Ghost & I 4") and not await passes(api, "Ghost & I 3")


async def test_a_sign_in_over_http_makes_the_verifier_of_an_account_of_before(api: Api) -> None:
    domain = await api.domain("got.com")
    await api.user(JON, domain["id"], password="Ghost & I")
    await api.store.write(lambda writer: writer.change(User, jon(api).id, scram=None))
    assert not await passes(api, "Ghost & I")
    wrong = await api.ask("POST", "/login", {"login": JON, "password": "Ghost & me"}, token=None)
    assert (wrong.status_code, jon(api).scram) == (401, None)
    right = await api.ask("POST", "/login", {"login": JON, "password": "Ghost & I"}, token=None)
    assert right.status_code == 200
    assert await passes(api, "Ghost & I")


class Waits(PasswordHasher):
    """Begins to verify, and ends when it may."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.begun, self.may = threading.Event(), threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.begun.set()
        self.may.wait()
        return super().verify(hash, password)


async def test_a_sign_in_does_not_undo_a_password_that_is_set_meanwhile(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user(JON, domain["id"], password="Ghost & I 1")
    await api.store.write(lambda writer: writer.change(User, jon(api).id, scram=None))
    hasher = Waits()
    _, sign_in = make_sign_in(api.store, api.gatepost.settings, api.clock, Metrics(), hasher)
    late = asyncio.create_task(sign_in.sign_in(JON, "Ghost & I 1", IP))
    try:
        await asyncio.to_thread(hasher.begun.wait)
        await api.change(f"/users/{made['id']}", {"password": "Ghost & I 2"})
    finally:
        hasher.may.set()
    assert not sign_in.holds(await late)
    assert await passes(api, "Ghost & I 2")


async def test_a_verifier_is_shown_to_nobody_and_stands_in_no_audit(api: Api) -> None:
    domain = await api.domain("got.com")
    made = await api.user(JON, domain["id"], password="Ghost & I")
    await api.change(f"/users/{made['id']}", {"password": "something new"})
    told = [await api.get(f"/users/{made['id']}"), await api.get("/users"), await api.get("/audit")]
    assert "scram" not in repr(told).lower() and str(jon(api).scram) not in repr(told)


# What a client may say.

PIECES = st.sampled_from(
    ["n", "y", "p=tls-unique", ",", "=", "n=jon", "r=abc", "a=", "m=", "c=biws", "p=", "\0", "=2C", "é"]
)
MESSAGES = st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(",".join))


def verifier(login: str) -> Verifier:
    return Verifier(b"salt" * 4, b"s" * 32, b"k" * 32, 4096)


@given(MESSAGES)
def test_no_first_message_fails_otherwise_than_as_malformed(text: str) -> None:
    try:
        assert Exchange(text, verifier).challenge.startswith("r=")
    except Problem as problem:
        assert problem.kind is Kind.MALFORMED


@given(MESSAGES, st.binary(max_size=40))
def test_no_last_message_passes_or_fails_otherwise_than_as_malformed(text: str, proof: bytes) -> None:
    for last in (text, f"c=biws,{{nonce}},p={b64encode(proof).decode()}", f"c=biws,{{nonce}},{text}"):
        exchange = Exchange("n,,n=jon,r=abc", verifier)
        nonce = exchange.challenge.partition(",")[0]
        try:
            assert exchange.prove(last.replace("{nonce}", nonce)) is None
        except Problem as problem:
            assert problem.kind is Kind.MALFORMED


def test_a_look_up_that_fails_is_told_as_it_failed() -> None:
    def broken(login: str) -> Verifier:
        raise Problem(Kind.UNAVAILABLE, "the store is broken")

    with pytest.raises(Problem) as raised:
        Exchange("n,,n=jon,r=abc", broken)
    assert raised.value.kind is Kind.UNAVAILABLE
