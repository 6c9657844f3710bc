"""The MX check before a domain's service starts or stops, against a real DNS server."""

from collections.abc import AsyncIterator

import pytest
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.model.problem import Kind, Problem
from gatepost.services.mx import MxCheck
from gatepost.settings import Dns

pytestmark = pytest.mark.anyio

ZONE: Zone = {
    "here.example": ["MX 20 other.example.net.", "MX 10 MX1.Gate.example."],
    "away.example": ["MX 10 mx.example.net."],
    "byaddress.example": ["MX 10 alias.example.net."],
    "alias.example.net": ["A 192.0.2.25"],
    "bare.example": ["A 192.0.2.25"],
    "null.example": ["MX 0 ."],
    "broken.example": [Fault.SERVFAIL],
    "mx.example.net": ["A 198.51.100.1"],
}
GATE = ["mx1.gate.example", "192.0.2.25"]


@pytest.fixture
async def names(anyio_backend: str) -> AsyncIterator[Names]:
    async with Names(ZONE) as names:
        yield names


def check(names: Names, gateway_names: list[str]) -> MxCheck:
    return MxCheck(Resolver(Dns(servers=[names.address], timeout=10.0), wall_clock), gateway_names)


@pytest.mark.parametrize(
    ("domain", "here"),
    [
        ("here.example", True),
        ("byaddress.example", True),
        ("bare.example", True),
        ("away.example", False),
        ("null.example", False),
        ("nowhere.example", False),
    ],
)
async def test_a_domain_starts_only_when_its_mail_comes_here_contract_a68(
    names: Names, domain: str, here: bool
) -> None:
    checks = check(names, GATE)
    allowed, refused = (checks.arriving, checks.leaving) if here else (checks.leaving, checks.arriving)
    await allowed(domain)
    with pytest.raises(Problem) as raised:
        await refused(domain)
    assert raised.value.kind is Kind.UNPROCESSABLE and "X-Ignore-MX" in raised.value.detail


async def test_what_cannot_be_looked_up_stops_both(names: Names) -> None:
    for act in (check(names, GATE).arriving, check(names, GATE).leaving):
        with pytest.raises(Problem) as raised:
            await act("broken.example")
        assert raised.value.kind is Kind.UNPROCESSABLE


async def test_names_alone_need_no_addresses(names: Names) -> None:
    with pytest.raises(Problem):
        await check(names, ["mx1.gate.example"]).arriving("byaddress.example")
    assert ("alias.example.net", "A", "udp") not in names.asked


async def test_without_configured_names_nothing_is_asked_contract_a68(names: Names) -> None:
    checks = check(names, [])
    await checks.arriving("away.example")
    await checks.leaving("here.example")
    assert names.asked == []
