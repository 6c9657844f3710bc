"""The rounds: everything is diagnosed once in the period, one after another; a stop breaks off at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import House, living
from tests.peers.names import Names

from gatepost.model.health import Checkup, Entity
from gatepost.model.query import Query, eq
from gatepost.model.route import Platform
from gatepost.model.tenant import Domain, DomainStatus
from gatepost.services.dkim import Dkim
from gatepost.services.health import Health
from gatepost.services.rounds import Rounds, Visit
from gatepost.settings import DkimSettings, HealthSettings, Settings

pytestmark = pytest.mark.anyio

PERIOD = 86_400


@pytest.fixture
async def house(tmp_path: Path, anyio_backend: str) -> AsyncIterator[House]:
    async with Names() as names, living(tmp_path, dns={"servers": [names.address]}, health={"period": 0}) as house:
        yield house


def rounds(house: House, period: float = PERIOD) -> Rounds:
    services = house.gatepost.services
    settings = Settings(dkim=DkimSettings(look_seconds=0), health=HealthSettings(period=period))
    return Rounds(house.store, services.of(Dkim), services.of(Health), settings, house.clock)


def rows(house: House) -> list[Checkup]:
    return house.store.reader.find(Checkup, Query()).items


async def test_domains_and_platforms_are_due_once_in_a_period(house: House) -> None:
    made = rounds(house)
    due = await made.due()
    assert [visit.entity for visit in due] == [Entity.DOMAIN, Entity.PLATFORM]
    for visit in due:
        await made.visit(visit)
    assert [(row.entity, row.domain_id) for row in rows(house)] == [(visit.entity, 1) for visit in due]
    assert await made.due() == []
    for step in (
        PERIOD,
        -2 * PERIOD,
    ):  # by a clock that is set back they are to come: nobody waits for that (threat 86)
        house.clock.now += step * 1000
        assert await made.due() == due


async def test_a_platform_on_a_private_address_is_the_systems_to_ask(house: House) -> None:
    """The sink is one: `[relay] private_platforms` names sysadmins."""
    await rounds(house).visit((await rounds(house).due())[1])
    (row,) = rows(house)
    assert not row.failing and house.sink.sessions


async def test_a_platform_that_may_not_be_at_a_private_address_is_not_asked_there_threat_122(house: House) -> None:
    """Its name may lead to any port inside by now; what answers there would be shown to who saved it."""
    await house.store.write(lambda writer: writer.change(Platform, 1, private=False))
    await rounds(house).visit((await rounds(house).due())[1])
    (row,) = rows(house)
    assert row.failing and not house.sink.sessions
    assert row.entries[0].output[-1] == "Fail: Who saved this server may not have mail handed to private addresses."


async def test_what_is_off_or_gone_is_not_visited(house: House) -> None:
    await house.store.write(lambda writer: writer.change(Domain, 1, status=DomainStatus.DELETED))
    assert await rounds(house).due() == []
    for entity in Entity:
        await rounds(house).visit(Visit(entity, 99))
    assert rows(house) == []


async def test_they_go_by_themselves_and_stop_at_once(house: House) -> None:
    made = rounds(house, period=0.3)
    await made.start()
    async with asyncio.timeout(60):
        while len(rows(house)) < 2:  # noqa: ASYNC110 - the rounds tell nobody what they have done
            await asyncio.sleep(0.02)
    await made.stop()
    assert house.store.reader.count(Checkup, eq("entity", Entity.DOMAIN)) == 1
