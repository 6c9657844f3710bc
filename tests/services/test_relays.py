"""The time that a diagnostic of relays may take in all, whatever the servers do."""

from collections.abc import AsyncIterator

import pytest
from tests.peers.names import Fault, Names
from tests.peers.sink import Drip, Sink

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.model.access import Caller
from gatepost.model.health import Code
from gatepost.model.route import Hop, Transport
from gatepost.mta.probe import Prober
from gatepost.services.relays import Relays, stored_only
from gatepost.services.targets import Targets
from gatepost.settings import Dns, Relay

pytestmark = pytest.mark.anyio

ROOT = Caller(sys_admin=True)


@pytest.fixture
async def relays(anyio_backend: str) -> AsyncIterator[Relays]:
    async with Names({"slow.example": [Fault.TIMEOUT], "near.example": ["A 127.0.0.1"]}) as names:
        resolver = Resolver(Dns(servers=[names.address], timeout=30.0), wall_clock)
        yield Relays(Prober(Relay(), "gate.example"), Targets("sysadmin"), resolver, seconds=0.5)


async def test_a_server_that_drips_its_words_is_left_and_the_other_is_heard(relays: Relays) -> None:
    async with Sink({"banner": Drip("220 " + "slow " * 100, gap=0.1)}) as slow, Sink() as quick:
        hops = [Hop("near.example", sink.port, Transport.SMTP) for sink in (slow, quick)]
        main, fallback = await relays.run(ROOT, hops)
        assert (main.result, main.output[-1]) == (Code.ERROR, "Fail: it took longer than 0.5 seconds")
        assert fallback.result is Code.OK
        await slow.until(lambda: slow.open_sessions == 0)


async def test_a_name_server_that_is_silent_uses_up_the_time(relays: Relays) -> None:
    (entry,) = await relays.run(ROOT, [Hop("slow.example", 25, Transport.SMTP)], ref=7)
    assert (entry.result, entry.ref) == (Code.ERROR, 7)
    assert entry.output == ["Connecting to slow.example:25", "Fail: no answer in time for slow.example"]


def test_settings_that_are_only_stored_are_told_of() -> None:
    assert stored_only("local", None, None) == stored_only(None, "", None) == []
    assert [entry.type for entry in stored_only("oidc", "IMAP", None)] == ["AUTH", "API"]
