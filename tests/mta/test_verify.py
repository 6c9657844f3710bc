"""Asking a platform about an address: what counts as yes and no, and for how long it is remembered."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.house import StillClock
from tests.peers.sink import Act, Late, Script, Sink

from gatepost.dns import Resolver
from gatepost.events import Metrics
from gatepost.model.address import parse_address
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Platform, Transport
from gatepost.mta.relay import Relay
from gatepost.mta.verify import Verifier
from gatepost.settings import Dns
from gatepost.settings import Relay as RelaySettings

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def relay(clock: StillClock) -> AsyncIterator[Relay]:
    settings = RelaySettings(connect_timeout=20, command_timeout=20, data_timeout=20)
    resolver = Resolver(Dns(servers=["127.0.0.1:1"], timeout=0.2), clock)
    relay = Relay(settings, "gate.test", resolver, metrics=Metrics(), clock=clock)
    yield relay
    await relay.close()


@pytest.fixture
def verifier(relay: Relay, clock: StillClock) -> Verifier:
    return Verifier(relay, clock)


def at(port: int, host: str = "127.0.0.1", id: int = 1) -> Platform:
    return Platform(
        id=id, domain_id=1, name="p", transport_dest=host, transport_type=Transport.SMTP, transport_port=port
    )


async def kind(verifier: Verifier, text: str, platform: Platform) -> Kind | None:
    try:
        await verifier.verify(parse_address(text), platform)
    except Problem as problem:
        return problem.kind
    return None


def asked(sink: Sink) -> int:
    return sum(command.startswith("RCPT") for command in sink.commands)


async def test_the_platform_is_asked_with_the_null_sender_and_gets_no_mail_7(verifier: Verifier) -> None:
    async with Sink() as sink:
        assert await kind(verifier, "u@d.test", at(sink.port)) is None
        assert sink.commands[1:3] == ["MAIL FROM:<>", "RCPT TO:<u@d.test>"]
        assert sink.mails == []


async def test_a_5xx_means_no_such_user_7(verifier: Verifier) -> None:
    async with Sink({"RCPT": "550 5.1.1 unknown"}) as sink:
        assert await kind(verifier, "u@d.test", at(sink.port)) is Kind.UNKNOWN_USER


DOUBTS = {
    "greylisting": {"RCPT": "450 4.2.0 greylisted"},
    "a refused null sender": {"MAIL": "550 5.7.1 no bounces"},
    "a refusal at the door": {"banner": "554 5.7.1 go away"},
    "421": {"banner": "421 4.3.2 busy"},
    "a dropped connection": {"RCPT": Act.DROP},
}


@pytest.mark.parametrize("script", DOUBTS.values(), ids=DOUBTS.keys())
async def test_anything_else_is_no_answer_7(verifier: Verifier, script: dict[str, object]) -> None:
    async with Sink(script) as sink, asyncio.timeout(15):  # type: ignore[arg-type]
        assert await kind(verifier, "u@d.test", at(sink.port)) is Kind.UNVERIFIED


async def test_silence_is_no_answer_after_ten_seconds_at_most_7(relay: Relay, clock: StillClock) -> None:
    verifier = Verifier(relay, clock, patience=0.1)
    async with Sink({"RCPT": Act.HANG}) as sink, asyncio.timeout(15):
        assert await kind(verifier, "u@d.test", at(sink.port)) is Kind.UNVERIFIED
        await verifier.close()


LATE: dict[str, tuple[Script, Kind | None]] = {
    "a greeting": ({"banner": Late("220 sink.test ESMTP", 0.2)}, None),
    "a no": ({"RCPT": Late("550 5.1.1 unknown", 0.2)}, Kind.UNKNOWN_USER),
}


@pytest.mark.parametrize(("script", "answer"), LATE.values(), ids=LATE.keys())
async def test_an_answer_too_late_for_a_client_is_known_at_his_next_try(
    relay: Relay, clock: StillClock, script: Script, answer: Kind | None
) -> None:
    """Servers pause before they greet, by themselves or while DNS leaves them without a name for us."""
    verifier = Verifier(relay, clock, patience=0.02)
    async with Sink(dict(script)) as sink, asyncio.timeout(15):
        tries = [await kind(verifier, "u@d.test", at(sink.port))]
        while tries[-1] is Kind.UNVERIFIED:
            tries.append(await kind(verifier, "u@d.test", at(sink.port)))
        assert tries[0] is Kind.UNVERIFIED and tries[-1] is answer
        assert asked(sink) == 1


async def test_a_platform_that_cannot_be_found_is_no_answer_7(verifier: Verifier) -> None:
    assert await kind(verifier, "u@d.test", at(25, host="gone.test")) is Kind.UNVERIFIED


async def test_a_yes_is_kept_for_a_day_7(verifier: Verifier, clock: StillClock) -> None:
    async with Sink() as sink:
        for _ in range(3):
            assert await kind(verifier, "U@d.test", at(sink.port)) is None
        clock.now += 24 * HOUR - 1
        await kind(verifier, "u@d.test", at(sink.port))
        assert asked(sink) == 1
        clock.now += 1
        await kind(verifier, "u@d.test", at(sink.port))
        assert asked(sink) == 2


async def test_what_a_server_said_holds_no_more_once_the_platform_has_another(verifier: Verifier) -> None:
    no, yes = (Kind.UNKNOWN_USER, {"RCPT": "550 5.1.1 unknown"}), (None, {})
    for (first, script), (then, other) in ((no, yes), (yes, no)):
        async with Sink(script) as former, Sink(other) as server:  # type: ignore[arg-type]
            assert await kind(verifier, "u@d.test", at(former.port)) is first
            assert await kind(verifier, "u@d.test", at(server.port)) is then


@pytest.mark.parametrize("later", [HOUR // 6, -HOUR], ids=["later", "set back"])
async def test_a_no_is_kept_for_ten_minutes_7(verifier: Verifier, clock: StillClock, later: int) -> None:
    """By a clock that is set back no longer either (threat 86)."""
    async with Sink({"RCPT": ["550 5.1.1 unknown"]}) as sink:
        for _ in range(3):
            assert await kind(verifier, "u@d.test", at(sink.port)) is Kind.UNKNOWN_USER
        assert asked(sink) == 1
        clock.now += later
        assert await kind(verifier, "u@d.test", at(sink.port)) is None


async def test_no_answer_is_not_kept_7(verifier: Verifier) -> None:
    async with Sink({"RCPT": ["450 4.2.0 later"]}) as sink:
        assert await kind(verifier, "u@d.test", at(sink.port)) is Kind.UNVERIFIED
        assert await kind(verifier, "u@d.test", at(sink.port)) is None


async def test_an_address_known_good_stays_good_while_its_platform_is_down_7(
    verifier: Verifier, clock: StillClock
) -> None:
    async with Sink() as sink:
        assert await kind(verifier, "u@d.test", at(sink.port)) is None
    clock.now += 48 * HOUR
    assert await kind(verifier, "u@d.test", at(sink.port)) is None
    assert await kind(verifier, "other@d.test", at(sink.port)) is Kind.UNVERIFIED


async def test_equal_questions_are_asked_once_and_others_only_so_many_at_a_time(verifier: Verifier) -> None:
    async with Sink({"RCPT": Late("250 2.1.5 Ok", 0.02)}) as sink:
        same = [kind(verifier, "u@d.test", at(sink.port)) for _ in range(20)]
        others = [kind(verifier, f"u{number}@d.test", at(sink.port)) for number in range(20)]
        assert set(await asyncio.gather(*same, *others)) == {None}
        assert asked(sink) == 21
        assert sink.most_open <= 10


async def test_what_one_platform_knows_says_nothing_of_another(verifier: Verifier) -> None:
    async with Sink() as yes, Sink({"RCPT": "550 5.1.1 unknown"}) as no:
        assert await kind(verifier, "u@d.test", at(yes.port, id=1)) is None
        assert await kind(verifier, "u@d.test", at(no.port, id=2)) is Kind.UNKNOWN_USER


async def test_an_international_address_at_a_server_that_takes_none_is_unknown(verifier: Verifier) -> None:
    async with Sink(extensions=("PIPELINING",)) as sink, Sink() as able:
        assert await kind(verifier, "jörg@d.test", at(sink.port, id=1)) is Kind.UNKNOWN_USER
        assert await kind(verifier, "jörg@d.test", at(able.port, id=2)) is None
        assert "MAIL FROM:<> SMTPUTF8" in able.commands
