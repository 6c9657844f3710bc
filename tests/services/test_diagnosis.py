"""The diagnosis of a domain as a whole: which tests run, in which order, and what strangers may make it say."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import House, living
from tests.peers.names import Names

from gatepost.model.health import Code, Entity
from gatepost.model.query import All
from gatepost.model.tenant import Domain
from gatepost.services.health import Health, last_checkup

pytestmark = pytest.mark.anyio

ALL = ["MX", "DKIM", "SPF", "DMARC", "PTR", "MTA-STS", "TLS-RPT", "DANE"]


@pytest.fixture
async def names(anyio_backend: str) -> AsyncIterator[Names]:
    async with Names() as names:
        yield names


@pytest.fixture
async def house(tmp_path: Path, names: Names) -> AsyncIterator[House]:
    async with living(tmp_path, dns={"servers": [names.address], "timeout": 5.0}) as house:
        yield house


async def outputs(house: House) -> dict[str, tuple[Code, list[str]]]:
    domain = house.store.reader.first(Domain, All(()))
    assert domain is not None
    found = await house.gatepost.services.of(Health).examine_domain(domain)
    assert last_checkup(house.store.reader, Entity.DOMAIN, domain.id) is not None
    return {entry.type: (entry.result, entry.output) for entry in found.entries}


async def test_every_test_runs_in_the_order_of_the_contract(house: House) -> None:
    assert list(await outputs(house)) == ALL


async def test_without_configured_names_an_mx_is_enough(house: House, names: Names) -> None:
    names.zone["served.example"] = ["MX 10 mx.elsewhere.example."]
    code, output = (await outputs(house))["MX"]
    assert code is Code.OK and "gateway_names is empty" in output[1]


async def test_another_host_beside_this_gateway_is_told_of(tmp_path: Path, names: Names) -> None:
    names.zone["served.example"] = ["MX 10 mx1.gate.example.", "MX 20 backup.example."]
    smtp = {"gateway_names": ["mx1.gate.example"]}
    async with living(tmp_path, dns={"servers": [names.address]}, smtp=smtp) as house:
        found = (await outputs(house))["MX"]
    assert found == (Code.OK, ["Passed", "Note: backup.example takes mail beside this gateway"])


async def test_a_null_mx_is_not_this_gateway(tmp_path: Path, names: Names) -> None:
    names.zone["served.example"] = ["MX 0 ."]
    smtp = {"gateway_names": ["mx1.gate.example", "192.0.2.25"]}
    async with living(tmp_path, dns={"servers": [names.address]}, smtp=smtp) as house:
        found = (await outputs(house))["MX"]
    assert found == (
        Code.MX_INVALID,
        ["Lookup for MX entry in DNS for served.example", "Required: mx1.gate.example or 192.0.2.25", "Fail"],
    )


async def test_what_strangers_publish_is_shown_without_controls_threat_29(house: House, names: Names) -> None:
    names.zone["_dmarc.served.example"] = ['TXT "v=DMARC1; p=\\033[2J\\012x"']
    code, output = (await outputs(house))["DMARC"]
    assert code is Code.ERROR
    assert output[1] == "Fail: p=\\x1b[2J x is none of none, quarantine, reject"


async def test_a_name_server_that_is_silent_is_an_error_and_holds_up_nothing(tmp_path: Path) -> None:
    async with living(tmp_path, dns={"servers": ["127.0.0.1:9"], "timeout": 0.1}) as house:  # a closed port
        found = await outputs(house)
    assert {kind: found[kind][0] for kind in ("MX", "DKIM", "SPF", "DMARC")} == {
        "MX": Code.ERROR,
        "DKIM": Code.DKIM_MISSING,  # there is no key whose record could be asked for
        "SPF": Code.ERROR,
        "DMARC": Code.ERROR,
    }
