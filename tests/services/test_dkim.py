"""The overlap of DKIM keys: a replacement signs from when it is seen in DNS, name by name; the old key then goes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import House, living
from tests.peers.names import Fault, Names

from gatepost.model.access import Caller
from gatepost.model.dkim import DkimKey, signers
from gatepost.model.query import Query
from gatepost.model.tenant import Domain, DomainAlias
from gatepost.services.dkim import Dkim, DkimAdd, keys_of

pytestmark = pytest.mark.anyio

ROOT = Caller(admin_id=1, login="root", sys_admin=True)
NAME, ALIAS = "served.example", "also.example"


@pytest.fixture
async def names(anyio_backend: str) -> AsyncIterator[Names]:
    async with Names() as names:
        yield names


@pytest.fixture
async def house(tmp_path: Path, names: Names) -> AsyncIterator[House]:
    async with living(tmp_path, dns={"servers": [names.address]}, dkim={"look_seconds": 0}) as house:
        await house.add(DomainAlias(domain_id=domain(house).id, name=ALIAS))
        await keys(house).create(ROOT, domain(house).id, DkimAdd())
        await keys(house).replace(ROOT, domain(house).id, DkimAdd())
        yield house


def domain(house: House) -> Domain:
    found = house.store.reader.domain(NAME)
    assert found is not None
    return found


def keys(house: House) -> Dkim:
    return house.gatepost.services.of(Dkim)


def rows(house: House) -> list[DkimKey]:
    return house.store.reader.find(DkimKey, Query()).items


def publish(names: Names, key: DkimKey, *under: str) -> None:
    for name in under:
        text = key.record
        names.zone[key.place(name)] = ["TXT " + " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))]


def signing(house: House, name: str) -> list[str]:
    return [key.selector for key in signers(keys_of(house.store.reader, domain(house).id), name)]


async def test_the_old_key_signs_until_the_new_one_is_seen(house: House, names: Names) -> None:
    await keys(house).look_for_waiting()
    assert signing(house, NAME) == signing(house, ALIAS) == ["protect"]
    publish(names, rows(house)[1], NAME)
    await keys(house).look_for_waiting()
    assert (signing(house, NAME), signing(house, ALIAS)) == (["protect2"], ["protect"])
    assert len(rows(house)) == 2
    publish(names, rows(house)[1], ALIAS)
    await keys(house).look_for_waiting()
    (left,) = rows(house)
    assert (left.selector, left.seen, left.waiting) == ("protect2", [NAME, ALIAS], False)


async def test_another_key_under_the_new_selector_counts_as_not_seen(house: House, names: Names) -> None:
    old, new = rows(house)
    names.zone[new.place(NAME)] = [f'TXT "{old.record[:200]}" "{old.record[200:]}"']
    await keys(house).look(domain(house))
    assert signing(house, NAME) == ["protect"]


async def test_a_replacement_whose_record_goes_again_gives_way(house: House, names: Names) -> None:
    publish(names, rows(house)[1], NAME)
    await keys(house).look(domain(house))
    names.zone.clear()
    await keys(house).look(domain(house))
    assert signing(house, NAME) == ["protect"]


async def test_a_name_server_that_fails_changes_nothing(house: House, names: Names) -> None:
    new = rows(house)[1]
    publish(names, new, NAME)
    await keys(house).look(domain(house))
    names.zone[new.place(NAME)] = [Fault.SERVFAIL]
    sights = await keys(house).look(domain(house))
    assert [sight.failure for sight in sights if sight.key.id == new.id and sight.name == NAME] != [""]
    assert signing(house, NAME) == ["protect2"]


async def test_what_is_seen_is_asked_for_anew_each_time(house: House, names: Names) -> None:
    """Who has just published a record must not wait until a cache forgets that there was none."""
    await keys(house).look(domain(house))
    asked = names.count(rows(house)[0].place(NAME), "TXT")
    await keys(house).look(domain(house))
    assert names.count(rows(house)[0].place(NAME), "TXT") == asked + 1


async def test_a_replacement_takes_over_by_itself(tmp_path: Path, names: Names) -> None:
    async with living(tmp_path, dns={"servers": [names.address]}, dkim={"look_seconds": 1}) as house:
        await keys(house).create(ROOT, domain(house).id, DkimAdd())
        await keys(house).replace(ROOT, domain(house).id, DkimAdd())
        publish(names, rows(house)[1], NAME)
        async with asyncio.timeout(60):
            while len(rows(house)) > 1:  # noqa: ASYNC110 - the rounds tell nobody what they have done
                await asyncio.sleep(0.05)
        assert signing(house, NAME) == ["protect2"]
