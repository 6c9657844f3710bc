"""Lists on the road: what a list in DNS says of a link decides over the mail, and is told wherever it must be."""

from pathlib import Path

import pytest
from tests.house import living, queued_as
from tests.peers.names import Names, Zone

from gatepost.model.query import Query
from gatepost.model.stored import Copy

pytestmark = pytest.mark.anyio

ZONE: Zone = {
    "bad.example.multi.test": ["A 127.0.0.8"],
    "odd.example.multi.test": ["A 127.0.0.64"],
    "poor.example.multi.test": ["A 127.255.255.254"],
}
LISTS = {
    "uri_lists": {
        "zones": [
            {
                "zone": "multi.test",
                "description": "Multi",
                "answers": [
                    {"mask": 8, "symbol": "MULTI_PHISH", "weight": 20.0},
                    {"mask": 64, "symbol": "MULTI_ABUSE", "weight": 0.5},
                ],
            }
        ]
    }
}


def mail(link: str, number: int) -> bytes:
    head = "From: Ada <ada@world.example>\r\nTo: bob@served.example\r\nSubject: Hi\r\n"
    date = f"Date: Thu, 19 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@world.example>\r\n"
    return f"{head}{date}\r\nHello Bob, see {link} when you have time.\r\n".encode()


async def test_a_listed_link_holds_a_mail_or_is_told_in_it_and_a_list_that_refuses_stops_none(tmp_path: Path) -> None:
    async with Names(ZONE) as names:
        dns = {"servers": [names.address], "timeout": 5.0}
        async with living(tmp_path, dns=dns, auth={"enabled": False}, filters={"options": LISTS}) as house:
            held = queued_as(await house.send(mail("https://www.bad.example/x", 1), "bob@served.example"))
            (copy,) = [each for each in house.store.reader.find(Copy, Query()).items if each.mail_id == held][:1]
            assert (copy.folder, copy.category) == ("Quarantine", "SPAM")
            assert "bad.example is on Multi: bad.example.multi.test is 127.0.0.8" in copy.reason

            told = queued_as(await house.send(mail("https://odd.example/", 2), "bob@served.example"))
            poor = queued_as(await house.send(mail("https://poor.example/", 3), "bob@served.example"))
            got = await house.sink.wait(2)
            fields = {each.data.partition(b"Message-ID: <")[2][:1]: each.data.decode() for each in got}
            assert "MULTI_ABUSE=0.5" in fields[b"2"]
            assert "X-Spam-Flag: NO" in fields[b"3"]
            (found,) = [event for event in house.trace(told) if event.data.get("filter") == "uri_lists"]
            (finding,) = found.data["findings"]  # type: ignore[misc]
            assert (finding["symbol"], finding["seen"], finding["score"]) == ("MULTI_ABUSE", "odd.example", 0.5)
            assert "DNS_LIST_IGNORED" in str([event.data for event in house.trace(poor)])
            alarms = house.gatepost.metrics.registry.get_sample_value
            labels = {"source": "multi.test", "why": "refused"}
            assert alarms("gatepost_alarms_total", labels) == 1
