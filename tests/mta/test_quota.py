"""How much is kept for a domain, and what follows once it has no room left (rules 27)."""

from pathlib import Path

import pytest
from tests.house import House, client, living
from tests.mta.test_intake import BOB, GTUBE, WORLD, login, receive, written

from gatepost.events import Alarms
from gatepost.model.address import parse_address
from gatepost.model.query import Query, eq
from gatepost.model.stored import Copy
from gatepost.mta.intake import Answer
from gatepost.mta.quota import Quota
from gatepost.settings import Limits

EVE = "eve@served.example"
TERMS = 2_000 * 86_400_000  # milliseconds after which nothing of today is kept
MOST = 250  # octets: less than two copies of a mail

pytestmark = pytest.mark.anyio


def folders(house: House, mail_id: str) -> set[str]:
    return {copy.folder for copy in house.store.reader.find(Copy, Query(where=eq("mail_id", mail_id))).items}


async def test_copies_for_retention_and_archive_stop_where_a_domain_is_full_and_go_on_once_it_is_not(
    tmp_path: Path,
) -> None:
    async with living(tmp_path, limits={"domain_bytes": MOST}) as house:
        sender, quota = parse_address(WORLD), house.gatepost.quota
        first = await receive(house, client(), sender, BOB, written())
        assert folders(house, first.id) == {"INBOX", "Archive"}
        assert house.gatepost.metrics.alarms.labels("quota", "full")._value.get() == 1
        second = await receive(house, client(), sender, BOB, written())
        assert (second.answer, folders(house, second.id)) == (Answer.ACCEPTED, set())
        spam = await receive(house, client(), sender, BOB, written(text=GTUBE))
        assert folders(house, spam.id) == {"Quarantine"}
        own = await receive(house, await login(house, EVE), parse_address(EVE), BOB, written(EVE))
        assert folders(house, own.id) == set()
        await quota.count()
        assert quota.is_full(1)
        await house.store.write(lambda writer: writer.purge(house.clock() + TERMS, 200))
        await quota.count()
        assert not quota.is_full(1)
        again = await receive(house, client(), sender, BOB, written())
        assert folders(house, again.id) == {"INBOX", "Archive"}
        afresh = Quota(house.store, MOST, Alarms(house.gatepost.metrics, house.clock))
        await afresh.count()
        assert afresh.is_full(1)


async def test_without_a_bound_no_domain_is_full(tmp_path: Path) -> None:
    assert Limits().domain_bytes == 0
    async with living(tmp_path) as house:
        await receive(house, client(), parse_address(WORLD), BOB, written())
        assert not house.gatepost.quota.is_full(1)
