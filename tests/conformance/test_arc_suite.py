"""The public ARC suite: chains of sets, checked with keys from a real name server."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from dnslib import TXT
from tests.house import client
from tests.peers.names import Names

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.mailauth.examine import Examiner
from gatepost.message.mail import Mail, Opener
from gatepost.model.envelope import Body, Direction, Envelope
from gatepost.settings import Dns, Filters, Limits

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]
TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
SUITE = TESTDATA / "arc-valimail/files/tests/arc-draft-validation-tests.yml"


def mail(text: str) -> Mail:
    data = text.encode().replace(b"\n", b"\r\n")
    envelope = Envelope(
        id="0" * 32, client=client(), sender=None, recipients=(), direction=Direction.IN, received=wall_clock()
    )
    return Mail(envelope, Body(len(data), data), Opener(Filters(), Limits()))


async def said(scenario: dict[str, Any]) -> dict[str, tuple[str, str]]:
    zone = {
        name.lower(): [TXT([text[at : at + 250] for at in range(0, len(text), 250)])]
        for name, text in scenario["txt-records"].items()
    }
    found = {}
    async with Names(zone) as names:
        resolver = Resolver(Dns(servers=[names.address], timeout=10.0), wall_clock)
        for name, case in scenario["tests"].items():
            results = await Examiner(resolver, 10.0).examine(mail(case["message"]), None)
            found[name] = (results.arc.result.value, case["cv"].lower())
    return found


async def test_every_chain_has_its_result() -> None:
    assert SUITE.is_file(), f"the suite is not at {SUITE}; set GATEPOST_TESTDATA"
    cases: dict[str, tuple[str, str]] = {}
    for scenario in yaml.safe_load_all(SUITE.read_text()):
        cases |= await said(scenario)
    assert len(cases) == 171
    wrong = {name: case for name, case in cases.items() if case[0] != case[1] and case[1]}
    assert not wrong
