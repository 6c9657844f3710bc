"""Servers of an engine: failover, the breaker, slots, and mails that fell whoever looks at them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.filters.engines import LETTER, engine, examine, together, told, tried
from tests.filters.mails import mail, make, recipient
from tests.peers.engine import Scanner, clamd

from gatepost.filters.engine import Engine
from gatepost.filters.registry import entries
from gatepost.filters.servers import Patience, Servers, Unanswered
from gatepost.filters.wire import Garbled, Unreachable
from gatepost.model.engine import Standing
from gatepost.model.envelope import Client, Direction, Login
from gatepost.model.verdict import OnError
from gatepost.settings import Filters, SettingsError

OK = b"stream: OK\0"
UNSURE = [("UNSURE", "CLAMAV_UNSURE")]


class Desk:
    """Servers without sockets: each answers, fails or hangs as `does` says; the clock stands until it is moved."""

    def __init__(self, *names: str, seconds: float = 0.2, connections: int = 2) -> None:
        self.now = 0.0
        self.does: dict[str, Any] = {}
        self.pings: dict[str, Any] = {}
        self.asked: list[str] = []
        self.pinged: list[str] = []
        self.told: list[tuple[str, str]] = []
        patience = Patience(seconds, 0.05, connections, 2, 30.0)
        self.servers = Servers(
            "x", [(name, name) for name in names], patience, self._ping, self._alarm, lambda: self.now
        )

    def _alarm(self, source: str, why: str, text: str) -> None:
        self.told.append((source, why))

    async def _ping(self, name: str) -> None:
        self.pinged.append(name)
        await self._do(self.pings.get(name, self.does.get(name)))

    async def _question(self, name: str) -> str:
        self.asked.append(name)
        await self._do(self.does.get(name))
        return name

    async def _do(self, what: Any) -> None:
        if isinstance(what, Exception):
            raise what
        if what is not None:
            await what()

    async def ask(self) -> str:
        return (await self.servers.ask(self._question))[0]

    async def fail(self) -> Unanswered:
        with pytest.raises(Unanswered) as caught:
            await self.ask()
        return caught.value

    @property
    def standing(self) -> list[Standing]:
        return [server.standing for server in self.servers.all]


def test_the_first_that_is_well_is_asked_and_a_failing_one_is_passed_over() -> None:
    desk = Desk("a", "b")

    async def steps() -> None:
        assert await desk.ask() == "a"
        desk.does["a"] = Unreachable("refused")
        for _ in range(3):
            assert await desk.ask() == "b"
        assert desk.standing == [Standing.DOWN, Standing.UP]
        assert desk.told == [("x a", "down")]
        assert desk.asked == ["a", "a", "b", "b", "b"], "the second try is a ping, the third does not reach it"
        assert desk.servers.all[0].told().error == "refused"

    together(steps)


def test_after_its_rest_one_mail_tries_it_by_a_ping() -> None:
    desk = Desk("a")

    async def steps() -> None:
        desk.does["a"] = Garbled("nonsense")
        desk.pings["a"] = Unreachable("refused")
        for _ in range(2):
            await desk.fail()
        assert str(await desk.fail()) == "a is left alone: refused"
        assert len(desk.pinged) == 1
        desk.now = 30.0
        await desk.fail()
        assert (desk.asked, len(desk.pinged)) == (["a"], 2), "the mail itself is not spent on it"
        await desk.fail()
        assert len(desk.pinged) == 2, "left alone again"
        desk.now = 60.0
        desk.does = desk.pings = {}
        assert await desk.ask() == "a"
        assert desk.standing == [Standing.UP]
        assert desk.told == [("x a", "down"), ("x a", "back")]

    together(steps)


def test_while_one_mail_tries_it_the_others_leave_it_alone() -> None:
    desk = Desk("a", seconds=5.0)
    gate = asyncio.Event()

    async def steps() -> None:
        desk.does["a"] = OSError("broken")
        await desk.fail()
        await desk.fail()
        desk.now = 30.0
        desk.does, desk.pings["a"] = {}, gate.wait
        first = asyncio.create_task(desk.ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert desk.standing == [Standing.PROBED]
        await desk.fail()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert desk.standing == [Standing.DOWN], "who gives up leaves the way free for the next"
        gate.set()
        assert await desk.ask() == "a"

    together(steps)


def test_a_server_that_hangs_costs_its_share_of_the_time_alone() -> None:
    desk = Desk("a", "b")

    async def steps() -> None:
        desk.does["a"] = asyncio.Event().wait
        assert await desk.ask() == "b"
        desk.does["b"] = asyncio.Event().wait
        error = await desk.fail()
        assert error.over
        assert "a: no answer to a ping within 0.05 s; b: no answer within" in str(error)

    together(steps)


def test_a_full_server_is_not_blamed_and_the_next_one_helps_out() -> None:
    desk = Desk("a", "b", connections=1, seconds=5.0)
    gate = asyncio.Event()

    async def steps() -> None:
        desk.does["a"] = desk.does["b"] = gate.wait
        first = asyncio.create_task(desk.ask())
        await asyncio.sleep(0)
        second = asyncio.create_task(desk.ask())
        await asyncio.sleep(0)
        desk.servers._patience = desk.servers._patience._replace(seconds=0.05)
        error = await desk.fail()
        assert "busy with" in str(error)
        assert not error.over
        gate.set()
        assert [await first, await second] == ["a", "b"]
        assert desk.standing == [Standing.UP] * 2
        assert [server.busy for server in desk.servers.all] == [0, 0]

    together(steps)


def test_a_mail_over_which_servers_fail_is_not_handed_to_all() -> None:
    desk = Desk("a", "b", "c")

    async def steps() -> None:
        for name in "abc":
            desk.does[name] = EOFError()
        assert (await desk.fail()).over
        assert desk.asked == ["a", "b"]

    together(steps)


def test_76_a_mail_that_fells_the_scanner_is_held_at_the_third_try() -> None:
    async def steps() -> None:
        async with Scanner(clamd, b"") as scanner:
            clamav = engine("clamav", scanner.address)
            seen = []
            for _ in range(3):
                findings = list(await clamav.examine(mail(LETTER), recipient()))
                assert told(findings) == UNSURE
                seen.append(findings[0].on_error)
            assert seen == [OnError.DEFER, OnError.DEFER, OnError.QUARANTINE]
            scanner.said = OK
            assert [server.standing for server in clamav.servers] == [Standing.DOWN]
            assert list(await clamav.examine(mail(LETTER + b"another"), recipient())) == [], "others are heard at once"

    together(steps)


def test_76_mails_that_met_a_dead_server_are_not_blamed_for_it(tmp_path: Path) -> None:
    async def steps() -> None:
        clamav = engine("clamav", str(tmp_path / "socket"), failures=100)
        for _ in range(5):
            findings = list(await clamav.examine(mail(LETTER), recipient()))
            assert findings[0].on_error is OnError.DEFER
        async with Scanner(clamd, OK, path=str(tmp_path / "socket"), hung=True) as scanner:
            quick = engine("clamav", scanner.address, timeout=0.5, connect_timeout=0.25, failures=100)
            seen = [next(iter(await quick.examine(mail(LETTER), recipient()))).on_error for _ in range(5)]
            assert seen == [OnError.DEFER] * 5
            scanner.hung = False
            assert list(await quick.examine(mail(LETTER), recipient())) == []

    together(steps)


def test_75_another_server_takes_over_and_the_trace_says_so() -> None:
    async def steps() -> None:
        async with Scanner(clamd, b"garbage\0") as bad, Scanner(clamd, OK) as good:
            findings = await examine(engine("clamav", bad.address, good.address), mail(LETTER))
            assert [each.symbol for each in findings] == ["CLAMAV_FAILOVER"]
            assert f"{bad.address}: it answers 'garbage'" in findings[0].reason

    together(steps)


def test_a_server_gets_no_more_mails_at_once_than_it_may() -> None:
    async def steps() -> None:
        async with Scanner(clamd, OK) as scanner:
            clamav = engine("clamav", scanner.address, connections=3)
            found = await asyncio.gather(*(clamav.examine(mail(LETTER), recipient()) for _ in range(20)))
            assert [list(each) for each in found] == [[]] * 20
            assert scanner.most <= 3

    together(steps)


LOGIN = Client(ip="192.0.2.1", login=Login(1, 1, "ann@a.test"))


@pytest.mark.parametrize(
    ("options", "members", "found"),
    [
        ({"max_bytes": 20}, {}, [("UNSURE", "CLAMAV_TOO_LARGE", OnError.QUARANTINE)]),
        ({"max_bytes": 20, "too_large": "accept"}, {}, [("UNSURE", "CLAMAV_TOO_LARGE", OnError.ACCEPT)]),
        ({"max_bytes": 20, "too_large": "skip"}, {}, [("NOTE", "CLAMAV_SKIPPED", None)]),
        ({"skip_authenticated": True}, {"client": LOGIN}, [("NOTE", "CLAMAV_SKIPPED", None)]),
        ({"skip_outgoing": True}, {"direction": Direction.OUT}, [("NOTE", "CLAMAV_SKIPPED", None)]),
        ({"skip_authenticated": True, "skip_outgoing": True, "max_bytes": 1000}, {}, []),
    ],
)
def test_whom_an_engine_is_not_asked_about(options: dict[str, Any], members: dict[str, Any], found: list[Any]) -> None:
    scanner = Scanner(clamd, OK)
    findings = tried("clamav", scanner, mail(LETTER, **members), **options)
    assert [(each.category.name, each.symbol, each.on_error) for each in findings][:1] == found
    assert len(scanner.heard) == (not found)


def test_an_engine_is_asked_once_a_server_is_named() -> None:
    listed = {each.name: each.enabled for each in entries(Filters(options={"clamav": {"servers": ["/x"]}}))}
    assert listed["clamav"]
    assert not any(listed[name] for name in ("rspamd", "spamassassin", "icap"))
    assert isinstance(make("clamav", servers=["/x"]), Engine)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"servers": ["a:b:c"]}, "servers: a:b:c: an IPv6 address stands in brackets"),
        ({"servers": ["host:0"]}, "servers: host:0: expected host:port or the path of a socket"),
        ({"timeout": 20.0}, "timeout: 20 s are not less than the 20 s of"),
        ({"connections": 0}, "connections: Expected `int` >= 1"),
        ({"too_large": "maybe"}, "too_large: Invalid enum value 'maybe'"),
    ],
)
def test_options_that_cannot_be_used_are_refused_by_their_key(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=f"filters.clamav.{said}"):
        engine("clamav", "/x", **options)
