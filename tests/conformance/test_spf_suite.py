"""The public SPF suites (RFC 7208's and RFC 4408's) over a real name server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dnslib import TXT
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.mailauth import spf
from gatepost.settings import Dns

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]
TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
SUITE = TESTDATA / "spf-pyspf/files/test"


def scenarios(file: str) -> list[dict[str, Any]]:
    assert (SUITE / file).is_file(), f"the suite is not at {SUITE}; set GATEPOST_TESTDATA"
    return list(yaml.safe_load_all((SUITE / file).read_text()))


def zone(data: dict[str, list[Any]]) -> Zone:
    made: Zone = {}
    for name, entries in data.items():
        own = [kind for each in entries if isinstance(each, dict) for kind in each]
        made[name.lower().rstrip(".")] = [
            record for each in entries for record in _records(each, copied="TXT" not in own, alone=not own)
        ]
    return made


def _records(entry: Any, *, copied: bool, alone: bool) -> Iterator[Any]:
    if entry == "TIMEOUT":
        yield Fault.TIMEOUT if alone else Fault.ELSE_TIMEOUT
        return
    ((kind, value),) = entry.items()
    if value == "TIMEOUT":
        yield Fault.ELSE_TIMEOUT
    elif kind == "TXT" or (kind == "SPF" and copied):
        if value != "NONE":
            yield TXT([text.encode("utf-8") for text in ([value] if isinstance(value, str) else value or [""])])
    elif kind == "MX":
        yield f"MX {value[0]} {value[1].rstrip('.')}."
    elif kind in ("A", "AAAA"):
        yield f"{kind} {value}"
    elif kind != "SPF":
        yield f"{kind} {value.rstrip('.')}."


async def outcomes(file: str) -> dict[str, tuple[str, list[str]]]:
    """Return for each case what was said, and what may be."""
    said = {}
    for scenario in scenarios(file):
        async with Names(zone(scenario["zonedata"])) as names:
            resolver = Resolver(Dns(servers=[names.address], timeout=2.0), wall_clock)
            for name, case in scenario["tests"].items():
                found = await spf.check(resolver, case["host"], case["mailfrom"] or "", case["helo"])
                wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
                said[name] = (found.result.value, wanted)
    return said


@pytest.mark.parametrize(("file", "number"), [("rfc7208-tests.yml", 203), ("rfc4408-tests.yml", 191)])
async def test_every_case_has_its_result(file: str, number: int) -> None:
    said = await outcomes(file)
    assert len(said) == number
    wrong = {name: case for name, case in said.items() if case[0] not in case[1]}
    assert not wrong
