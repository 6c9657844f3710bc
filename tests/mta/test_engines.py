"""Engines on the road: nothing passes unscanned, unless somebody said so; then the mail says it too."""

from email import message_from_bytes
from pathlib import Path

import pytest
from tests.house import House, living, queued_as
from tests.peers.engine import Scanner, clamd, http, http_answer

from gatepost.model.access import Caller
from gatepost.services.engines import Engines

pytestmark = pytest.mark.anyio

MAIL = (
    b"From: Ada <ada@world.example>\r\nTo: bob@served.example\r\nSubject: Hi\r\n"
    b"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@world.example>\r\n\r\nHello\r\n"
)
ADMIN = Caller(login="root", sys_admin=True)


def metric(house: House, name: str, **labels: str) -> float | None:
    return house.gatepost.metrics.registry.get_sample_value(name, labels)


async def test_72_without_its_scanner_a_mail_may_come_again(tmp_path: Path) -> None:
    async with Scanner(clamd, b"stream: OK\0", path=str(tmp_path / "clamd")) as scanner:
        options = {"servers": [scanner.address], "failures": 1, "timeout": 2.0, "rest": 0.001}
        async with living(tmp_path, filters={"options": {"clamav": options}}, auth={"enabled": False}) as house:
            scanner.said = b""
            reply = await house.send(MAIL, "bob@served.example")
            assert (reply.code, reply.message.split()[0]) == (451, "4.7.1")
            assert metric(house, "gatepost_engine_up", filter="clamav", server=scanner.address) == 0.0
            assert metric(house, "gatepost_filter_unsure_total", filter="clamav", on_error="defer") == 1.0
            (server,) = house.gatepost.services.of(Engines).standing(ADMIN)
            assert (server.standing, server.error) == ("down", "hung up without an answer")
            assert house.copies() == []

            scanner.said = b"stream: OK\0"
            reply = await house.send(MAIL, "bob@served.example")
            assert reply.code == 250
            (got,) = await house.sink.wait(1)
            assert b"X-Gatepost-Unsure" not in got.data
            assert metric(house, "gatepost_engine_up", filter="clamav", server=scanner.address) == 1.0

            scanner.said = b"stream: Eicar FOUND\0"
            reply = await house.send(MAIL, "bob@served.example")
            assert reply.code == 554
            assert "ClamAV found Eicar" in reply.message


async def test_72_a_mail_that_passes_unscanned_says_so_and_is_counted(tmp_path: Path) -> None:
    options = {"servers": ["/no/such/socket"], "on_error": "accept"}
    async with living(tmp_path, filters={"options": {"clamav": options}}, auth={"enabled": False}) as house:
        forged = b"X-Gatepost-Unsure: nothing\r\n" + MAIL
        assert (await house.send(forged, "bob@served.example")).code == 250
        (got,) = await house.sink.wait(1)
        assert got.data.count(b"X-Gatepost-Unsure: ") == 1
        assert b"X-Gatepost-Unsure: clamav\r\n" in got.data
        assert metric(house, "gatepost_filter_unsure_total", filter="clamav", on_error="accept") == 1.0


async def test_74_points_and_what_they_are_for_stand_in_the_trace(tmp_path: Path) -> None:
    said = b'{"action": "reject", "score": 16, "symbols": {"ZEBRA": {"score": 16, "description": "z"}}}'
    async with Scanner(http, http_answer(said)) as scanner:
        filters = {"options": {"rspamd": {"servers": [scanner.address]}, "score": {"enabled": False}}}
        async with living(tmp_path, filters=filters, auth={"enabled": False}) as house:
            reply = await house.send(MAIL, "bob@served.example")
            assert [(copy.category, copy.score) for copy in house.copies("Quarantine")] == [("SPAM", 16.0)]
            told = [each for event in house.trace(queued_as(reply)) for each in event.data.get("findings", [])]
            assert {"symbol": "ZEBRA", "category": "SCORE", "reason": "z", "score": 16.0} in told
            scanner.said = http_answer(b"", b"500 Internal Server Error")
            assert (await house.send(MAIL, "bob@served.example")).code == 451


async def test_a_delivered_mail_names_what_looked_for_viruses_and_no_host(tmp_path: Path) -> None:
    async with Scanner(clamd, b"stream: OK\0") as scanner:
        scanned = {"servers": [scanner.address], "max_bytes": 1000, "too_large": "skip"}
        told = []
        for options in (
            {},
            {"clamav": scanned},
            {"clamav": scanned, "virus": {"enabled": False}},
            {"virus": {"enabled": False}},
        ):
            filters = {"options": options}
            async with living(tmp_path / str(len(told)), filters=filters, auth={"enabled": False}) as house:
                for more in (b"", b"x" * 900 + b"\r\n"):
                    await house.send(MAIL + more, "bob@served.example")
                mails = [message_from_bytes(each.data) for each in await house.sink.wait(2)]
                told.append({mail["X-Virus-Scanned"] for mail in mails})
    assert told == [{"Gatepost"}, {"Gatepost, ClamAV", "Gatepost"}, {"ClamAV", None}, {None}]
