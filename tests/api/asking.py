"""Random requests of each operation by our own description; loads what makes them, which only few tests need."""

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from gatepost.api import site
from gatepost.api.openapi import describe

schemathesis.serializer.alias("message/rfc822", "application/octet-stream")
load_all_checks()

SCHEMA = schemathesis.openapi.from_dict(describe(site.operations()))
OPERATIONS = {result.ok().definition.raw["operationId"]: result.ok() for result in SCHEMA.get_all_operations()}
HELD = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


def ask(
    url: str,
    headers: dict[str, str],
    known: dict[str, str],
    name: str,
    mode: str,
    examples: int,
    *,
    every_time_the_same: bool,
) -> int:
    """Send requests of one operation, hold the answers to our description; return how many were sent."""
    operation = OPERATIONS[name]
    spare = operation.method == "delete"  # what is there must stay for the others
    sent = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=every_time_the_same,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)), real=st.booleans())
    def send(case: schemathesis.Case, real: bool) -> None:
        nonlocal sent
        sent += 1
        if real and not spare and case.path_parameters:
            case.path_parameters.update({key: known.get(key, value) for key, value in case.path_parameters.items()})
        case.call_and_validate(base_url=url, headers=headers, checks=HELD, timeout=60)

    send()
    return sent
