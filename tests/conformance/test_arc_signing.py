"""The public ARC suite's mails to be sealed: each set as the suite has it, octet for octet but for folding."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gatepost.mailauth import keys
from gatepost.mailauth.seal import seal
from gatepost.mailauth.sign import Signer
from gatepost.message.edit import head_end
from gatepost.model.auth import Result
from gatepost.model.envelope import Body

pytestmark = pytest.mark.conformance
TESTDATA = Path(os.environ.get("GATEPOST_TESTDATA") or Path(__file__).parents[3] / "shared/testdata")
SUITE = TESTDATA / "arc-valimail/files/tests/arc-draft-sign-tests.yml"
NAMES = {"AS": "ARC-Seal", "AMS": "ARC-Message-Signature", "AAR": "ARC-Authentication-Results"}


def sealed(scenario: dict[str, Any], case: dict[str, Any]) -> bytes:
    data = case["message"].encode().replace(b"\n", b"\r\n")
    offset = head_end(data)
    results = _results(data[:offset].decode(), case["srv-id"])
    chain = re.search(r"arc=(\w+)", results)
    key = keys.load(keys.read(scenario["privatekey"]).private)
    names = case["sig-headers"].encode().split(b":")
    signer = Signer(scenario["domain"], scenario["sel"], key)
    worth = Result(chain[1]) if chain else Result.NONE
    return seal(data[:offset], Body(len(data), data), offset, signer, results, worth, case["t"], names)


def _results(head: str, host: str) -> str:
    """What Authentication-Results of `host` say, those of several fields together."""
    fields = re.findall(r"^Authentication-Results:((?:.*\r\n)(?:[ \t].*\r\n)*)", head, re.M)
    told = [field.strip().removeprefix(f"{host};").strip() for field in fields if field.strip().startswith(host)]
    return f"{host}; " + "; ".join(told)


def tags(value: str) -> list[str]:
    return sorted(re.sub(r"\s+", "", tag) for tag in value.split(";"))


def test_every_mail_gets_the_set_that_the_suite_has() -> None:
    assert SUITE.is_file(), f"the suite is not at {SUITE}; set GATEPOST_TESTDATA"
    count = 0
    for scenario in yaml.safe_load_all(SUITE.read_text()):
        for name, case in scenario["tests"].items():
            made = sealed(scenario, case).decode()
            for short, field in NAMES.items():
                found = re.findall(rf"^{field}:((?:.*\r\n)(?:[ \t].*\r\n)*)", made, re.M)
                assert [tags(value) for value in found] == ([tags(case[short])] if case[short] else []), (name, short)
            count += 1
    assert count == 17
