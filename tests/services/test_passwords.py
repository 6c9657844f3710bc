"""Passwords: hashed off the loop, remembered a minute, the same time for nobody."""

import time

import pytest
from argon2 import PasswordHasher

from gatepost.model.problem import Kind, Problem
from gatepost.services.passwords import Passwords

pytestmark = pytest.mark.anyio


class Clock:
    now = 1_000_000

    def __call__(self) -> int:
        return self.now


async def test_a_password_is_kept_as_argon2id_and_verified() -> None:
    passwords = Passwords(Clock(), PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    stored = await passwords.hash("HearMeRoar!")
    assert stored.startswith("$argon2id$") and "HearMeRoar" not in stored
    assert await passwords.verify(stored, "HearMeRoar!")
    assert not await passwords.verify(stored, "hearmeroar!")
    assert not await passwords.verify(None, "HearMeRoar!")
    assert not await passwords.verify("no hash at all", "HearMeRoar!")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
async def test_a_password_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(Problem) as raised:
        await Passwords(Clock()).hash(password)
    assert (raised.value.kind, raised.value.pointer) == (Kind.UNPROCESSABLE, "/password")


async def test_a_right_password_is_remembered_for_a_minute_and_a_wrong_one_never() -> None:
    clock = Clock()
    passwords = Passwords(clock, PasswordHasher(time_cost=4, memory_cost=65_536, parallelism=1))
    stored = await passwords.hash("HearMeRoar!")

    async def spent(password: str) -> float:
        begin = time.perf_counter()
        await passwords.verify(stored, password)
        return time.perf_counter() - begin

    slow = await spent("HearMeRoar!")
    assert await spent("HearMeRoar!") < slow / 10
    assert await spent("wrong password") > slow / 4
    assert await spent("wrong password") > slow / 4
    clock.now += 60_000
    assert await spent("HearMeRoar!") > slow / 4


async def test_nobody_takes_as_long_as_somebody_threat_26() -> None:
    passwords = Passwords(Clock(), PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1))
    stored = await passwords.hash("HearMeRoar!")

    async def spent(known: str | None) -> float:
        best = 1e9
        for number in range(3):
            begin = time.perf_counter()
            assert not await passwords.verify(known, f"wrong {number}")
            best = min(best, time.perf_counter() - begin)
        return best

    somebody, nobody = await spent(stored), await spent(None)
    assert 0.5 < nobody / somebody < 2
