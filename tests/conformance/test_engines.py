"""Debian's ClamAV, Rspamd, SpamAssassin and c-icap: what they find is taken over.

Killed, hung or replaced by what talks nonsense while mail comes in, nothing is lost and nothing passes unscanned.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.filters.engines import engine, examine, spooled, told
from tests.filters.mails import attached, mail, mixed, plain, recipient, zipped
from tests.house import House, living, queued_as
from tests.pace import PATIENCE
from tests.peers import engine as fakes
from tests.peers.scanners import WORM, running

from gatepost.filters.score import GTUBE
from gatepost.filters.virus import EICAR
from gatepost.model.access import Caller
from gatepost.model.address import Address
from gatepost.model.envelope import Client, Login
from gatepost.model.verdict import OnError
from gatepost.services.engines import Engines

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

ADMIN = Caller(sys_admin=True)
FILE = 'attachment; filename="a.zip"'
HEARS = {"clamav": fakes.clamd, "rspamd": fakes.http, "spamassassin": fakes.spamd}
BAD = {"clamav": WORM, "rspamd": GTUBE, "spamassassin": GTUBE}
MAILS = {"clamav": 24, "rspamd": 24, "spamassassin": 12}  # of a load; each second one is bad
AT_ONCE = 6


async def test_clamav_finds_what_lies_deep_and_takes_streams_of_its_size(tmp_path: Path) -> None:
    with running("clamav", tmp_path / "clamd") as scanner:
        tcp = (scanner.folder / "clamd.conf").read_text().partition("TCPSocket ")[2].split()[0]
        for server in (scanner.address, f"127.0.0.1:{tcp}"):
            clamav = engine("clamav", server)
            for data in (
                plain(EICAR),
                mixed(attached(WORM)),
                mixed(attached(zipped(e__com=EICAR), FILE)),
                mixed(attached(zipped(b__zip=zipped(e__com=WORM)), FILE)),
            ):
                assert told(await examine(clamav, mail(data))) == [("VIRUS", "CLAMAV_FOUND")]
            clean = mixed(attached(b"harmless" * 50_000))
            for letter in (mail(clean), spooled(tmp_path / "clean", clean), mail(plain(b""))):
                assert told(await examine(clamav, letter)) == []
            virus = mixed(attached(b"x" * 400_000 + WORM))
            assert told(await examine(clamav, spooled(tmp_path / "virus", virus))) == [("VIRUS", "CLAMAV_FOUND")]
            (large, limit) = await examine(clamav, mail(plain(b"x" * 3_000_000)))
            assert (large.symbol, large.on_error) == ("CLAMAV_TOO_LARGE", OnError.QUARANTINE)
            assert "INSTREAM size limit exceeded" in limit.reason


async def test_eicar_is_found_by_clamav_and_by_the_filter_of_our_own(tmp_path: Path) -> None:
    with running("clamav", tmp_path / "clamd") as scanner:
        filters = {"options": {"clamav": {"servers": [scanner.address]}}}
        async with living(tmp_path, filters=filters, auth={"enabled": False}) as house:
            mail_of_it = mixed(attached(zipped(e__com=EICAR), FILE)).replace(b"bob@ours.test", b"bob@served.example")
            reply = await house.send(mail_of_it, "bob@served.example")
            assert reply.code == 554
            told = [each for event in house.trace(queued_as(reply)) for each in event.data.get("findings", [])]
            assert {"EICAR", "CLAMAV_FOUND"} <= {each["symbol"] for each in told}
            assert any(each["reason"] == "ClamAV found Eicar-Test-Signature.UNOFFICIAL" for each in told)


async def test_rspamd_is_told_the_envelope_and_its_symbols_count(tmp_path: Path) -> None:
    with running("rspamd", tmp_path / "rspamd") as scanner:
        rspamd = engine("rspamd", scanner.address)
        client = Client(ip="192.0.2.1", helo="mx.a.test", login=Login(1, 1, "ann@a.test"))
        zebra = plain(b"Hello\r\n").replace(b"Subject: x", b"Subject: a zebra")
        letter = mail(zebra, client=client, sender=Address("ann", "a.test"), id="f" * 32)
        findings = {each.symbol: each for each in await examine(rspamd, letter)}
        assert (findings["ZEBRA"].score, findings["ZEBRA"].reason) == (5.5, "a zebra in the subject")
        assert findings["RSPAMD_SAID"].reason == "Rspamd says: no action (5.5 of 15 points); without points: TOLD"
        seen = engine("rspamd", scanner.address, virus_symbols=["TOLD"])
        (said,) = [each.reason for each in await examine(seen, letter) if each.symbol == "TOLD"]
        assert said == f"what it was told [ann@a.test bob@ours.test 192.0.2.1 mx.a.test - ann@a.test {'f' * 32}]"
        crowd = tuple(recipient(address=Address(f"{number:064}", "ours.test" * 20)) for number in range(1000))
        assert told(await examine(engine("rspamd", scanner.address), mail(zebra, recipients=crowd))) == [
            ("SCORE", "ZEBRA")
        ]
        rspamd = engine("rspamd", scanner.address, weight=0.5)
        assert told(await examine(rspamd, mail(plain(GTUBE + b"\r\n")))) == [
            ("SCORE", "RSPAMD_OTHER"),
            ("SPAM", "RSPAMD_ACTION"),
        ]
        large = spooled(tmp_path / "mail", zebra + b"x" * 2_000_000)
        assert told(await examine(engine("rspamd", scanner.address), large)) == [("SCORE", "ZEBRA")]


async def test_spamassassin_sees_who_brought_the_mail_and_its_rules_count(tmp_path: Path) -> None:
    with running("spamassassin", tmp_path / "spamd") as scanner:
        spamd = engine("spamassassin", scanner.address, timeout=15.0)
        findings = {each.symbol: each for each in await examine(spamd, mail(plain(GTUBE + b"\r\n")))}
        assert findings["GTUBE"].score == 1000.0
        assert "Generic Test" in findings["GTUBE"].reason
        assert "NO_RECEIVED" not in findings["SPAMASSASSIN_SAID"].reason
        total = sum(each.score for each in findings.values())
        assert f"SpamAssassin says: {total:g} of 5 points" in findings["SPAMASSASSIN_SAID"].reason
        ham = spooled(tmp_path / "ham", plain(b"Hello Bob, see you at six.\r\n"))
        assert abs(sum(each.score for each in await examine(spamd, ham))) < 20.0


async def test_c_icap_finds_by_its_service_and_what_is_no_service_finds_nothing_clean(tmp_path: Path) -> None:
    with (
        running("clamav", tmp_path / "clamd") as clamd,
        running("icap", tmp_path / "icap", clamd=clamd.address) as scanner,
    ):
        icap = engine("icap", scanner.address)
        await icap.ping(icap.place(scanner.address))
        for data in (plain(EICAR), mixed(attached(zipped(e__com=WORM), FILE))):
            assert told(await examine(icap, mail(data))) == [("VIRUS", "ICAP_FOUND")]
        large = mixed(attached(b"harmless" * 50_000))
        for letter in (mail(plain(b"")), mail(large), spooled(tmp_path / "large", large)):
            assert told(await examine(icap, letter)) == []
        for service in ("echo", "nonsense"):  # one that gives the mail back unchanged, and none
            other = engine("icap", scanner.address, service=service)
            assert told(await examine(other, mail(plain(b"")))) == [("UNSURE", "ICAP_UNSURE")]


class Load:
    """Mails to a house, every second one bad; remembers what was said to each."""

    def __init__(self, house: House, bad: bytes) -> None:
        self._house = house
        self._bad = bad
        self._numbers = itertools.count()
        self.taken: set[str] = set()  # good mails that were acknowledged

    async def send(
        self, count: int, at: int = 0, then: Callable[[], object] | None = None, *, tries: int = 1
    ) -> Counter[str]:
        """Send mails, several at once; do `then` after the first `at` answers. Count what was said at last."""
        said: Counter[str] = Counter()
        numbers = list(itertools.islice(self._numbers, count))

        async def client() -> None:
            while numbers:
                number = numbers.pop()
                kind = "bad" if number % 2 else "good"
                code = await self._one(number, kind)
                for _ in range(tries - 1):
                    if code == 451:  # a sender comes again
                        code = await self._one(number, kind)
                said[f"{kind} {code}"] += 1
                if then is not None and said.total() == at:
                    then()

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        return said

    async def _one(self, number: int, kind: str) -> int:
        text = self._bad if kind == "bad" else b"Hello"
        head = f"From: Ada <ada@world.example>\r\nTo: bob@served.example\r\nSubject: {kind} {number}\r\n"
        head += f"Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <{number}@world.example>\r\n\r\n"
        reply = await self._house.send(head.encode() + text + b"\r\n", "bob@served.example")
        if kind == "good" and reply.code == 250:
            self.taken.add(f"good {number}")
        return reply.code

    async def delivered(self) -> set[str]:
        got = await self._house.sink.wait(len(self.taken))
        return {each.data.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0].decode() for each in got}


@pytest.mark.parametrize("kind", ["clamav", "rspamd", "spamassassin"])
async def test_75_killed_hung_and_replaced_under_load_nothing_is_lost_and_nothing_passes_unscanned(
    tmp_path: Path, kind: str
) -> None:
    mails = MAILS[kind]
    own: dict[str, Any] = {
        "servers": [],
        "timeout": 5.0 if kind == "spamassassin" else 2.5,
        "connect_timeout": 0.4,
        "failures": 3,
        "rest": 0.05,
        "on_error": "defer",
    }
    with running(kind, tmp_path / kind) as scanner:
        own["servers"] = [scanner.address]
        others = {name: {"enabled": False} for name in ("virus", "score")}
        filters: dict[str, Any] = {"options": {kind: own, **others}}
        async with living(tmp_path, filters=filters, auth={"enabled": False}) as house:
            load = Load(house, BAD[kind])
            engines = house.gatepost.services.of(Engines)

            async def well() -> None:
                said = await load.send(mails, tries=10)
                assert said["good 250"] == mails // 2, said
                assert not said["bad 451"], said
                assert [server.standing for server in engines.standing(ADMIN)] == ["up"]

            said = await load.send(mails, mails // 4, scanner.kill)
            assert said["good 451"] and said["bad 451"], said
            fake = fakes.Scanner(HEARS[kind], b"nonsense\r\n\r\n\0", path=scanner.path, port=scanner.port)
            async with fake:
                assert set(await load.send(6)) == {"good 451", "bad 451"}
            scanner.start()
            await until_up(engines, load)
            await well()
            said = await load.send(mails, mails // 4, scanner.hang)
            assert said["good 451"] and said["bad 451"], said
            scanner.go_on()
            await until_up(engines, load)
            await well()

            assert await load.delivered() == load.taken, "what was acknowledged is there, and no bad mail"


async def until_up(engines: Engines, load: Load) -> None:
    """Send mails until the server is asked again: one that comes after its rest tries it."""
    async with asyncio.timeout(PATIENCE):
        while [server.standing for server in engines.standing(ADMIN)] != ["up"]:
            await load.send(1)
