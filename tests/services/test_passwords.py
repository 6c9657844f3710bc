"""Passwords: hashed off the loop, remembered a minute, as much work for nobody as for somebody."""

import asyncio
import unicodedata
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters

from gatepost.model.problem import Kind, Problem
from gatepost.services.passwords import Passwords

pytestmark = pytest.mark.anyio

IP = "192.0.2.1"


class Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


class Counting(PasswordHasher):
    """The real hasher, cheap, which notes against what it verified."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        self.verified.append(str(hash))
        return super().verify(hash, password)


async def test_a_password_is_kept_as_argon2id_and_verified() -> None:
    passwords = Passwords(Clock(), Counting())
    stored = await passwords.hash("HearMeRoar!")
    assert stored.startswith("$argon2id$") and "HearMeRoar" not in stored
    assert await passwords.verify(stored, "HearMeRoar!", IP)
    assert not await passwords.verify(stored, "hearmeroar!", IP)
    assert not await passwords.verify(None, "HearMeRoar!", IP)
    assert not await passwords.verify("no hash at all", "HearMeRoar!", IP)


@pytest.mark.parametrize("kept", ["Ca\u0301telyn Stark", "C\u00e1telyn Stark"])
async def test_accents_may_come_composed_or_not(kept: str) -> None:
    """Systems type them differently (RFC 8265 4.2); what was hashed uncomposed before is still good for that form."""
    hasher = Counting()
    passwords = Passwords(Clock(), hasher)
    stored = await passwords.hash(kept)
    for form in ("NFC", "NFD"):
        assert await passwords.verify(stored, unicodedata.normalize(form, kept), IP)
        assert not await passwords.verify(stored, unicodedata.normalize(form, "\u00c1" + kept), IP)
    assert await passwords.verify(hasher.hash(kept), kept, IP)


async def test_the_usual_cost_is_that_of_rfc_9106() -> None:
    cost = extract_parameters(await Passwords(Clock()).hash("HearMeRoar!"))
    assert cost.memory_cost >= 65_536 and cost.time_cost >= 3


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
async def test_a_password_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(Problem) as raised:
        await Passwords(Clock(), Counting()).hash(password)
    assert (raised.value.kind, raised.value.pointer) == (Kind.UNPROCESSABLE, "/password")


async def test_a_right_password_is_remembered_for_a_minute_and_a_wrong_one_never() -> None:
    clock, hasher = Clock(), Counting()
    passwords = Passwords(clock, hasher)
    stored = await passwords.hash("HearMeRoar!")
    for right, work in ((True, 1), (True, 1), (False, 2), (False, 3), (True, 3)):
        assert await passwords.verify(stored, "HearMeRoar!" if right else "wrong password", IP) is right
        assert len(hasher.verified) == work
    clock.now += 60_000
    assert await passwords.verify(stored, "HearMeRoar!", IP)
    assert len(hasher.verified) == 4


async def test_what_was_right_is_wrong_once_what_is_stored_changes() -> None:
    passwords = Passwords(Clock(), Counting())
    old, new = await passwords.hash("HearMeRoar!"), await passwords.hash("something new")
    assert await passwords.verify(old, "HearMeRoar!", IP)
    assert not await passwords.verify(new, "HearMeRoar!", IP)


async def test_nobody_costs_as_much_as_somebody_threat_26() -> None:
    hasher = Counting()
    passwords = Passwords(Clock(), hasher)
    stored = await passwords.hash("HearMeRoar!")
    for known in (stored, None, None):
        assert not await passwords.verify(known, "wrong password", IP)
    somebody, nobody, again = map(extract_parameters, hasher.verified)
    assert somebody == nobody == again


async def test_who_tries_many_at_once_keeps_nobody_else_waiting() -> None:
    hasher = Counting()
    passwords = Passwords(Clock(), hasher)
    stored = await passwords.hash("HearMeRoar!")
    guesses = [asyncio.create_task(passwords.verify(stored, f"wrong {number}", IP)) for number in range(40)]
    await asyncio.sleep(0)  # all of them wait, but two
    assert await passwords.verify(stored, "HearMeRoar!", "192.0.2.2")
    assert len(hasher.verified) < 10
    assert not any(await asyncio.gather(*guesses))


async def test_whoever_waits_no_longer_leaves_his_turn_to_the_next() -> None:
    passwords = Passwords(Clock(), Counting())
    stored = await passwords.hash("HearMeRoar!")
    tries = [asyncio.create_task(passwords.verify(stored, "HearMeRoar!", IP)) for _ in range(9)]
    await asyncio.sleep(0)
    for task in tries[:8]:
        task.cancel()
    assert await tries[8]
    again = (passwords.verify(stored, "HearMeRoar!", IP, fresh=True) for _ in range(3))
    assert all(await asyncio.gather(*again))
