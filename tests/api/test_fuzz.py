"""Random requests by our own description, to a daemon on a socket: no answer of 500 or more, none undocumented."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from tests.api.house import basic
from tests.api.kept import GTUBE, Desk, mail, open_desk

from gatepost.api import site
from gatepost.api.openapi import describe

schemathesis.serializer.alias("message/rfc822", "application/octet-stream")

DOCUMENT = describe(site.operations())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {result.ok().definition.raw["operationId"]: result.ok() for result in SCHEMA.get_all_operations()}
EXAMPLES = int(os.environ.get("GATEPOST_FUZZ_EXAMPLES", "0"))  # of each operation; 0: a few, the same every time
SHARES = 8  # of the many requests, so that they can be asked side by side
load_all_checks()
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


class Daemon:
    """A Gatepost in a thread of its own, with things to be asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.shown: dict[str, dict[str, str]] = {}
        self.known: dict[str, str] = {}
        self._ready: Future[None] = Future()
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self, directory: Any) -> None:
        self._directory = directory
        self._thread.start()
        self._ready.result(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with open_desk(self._directory, http={"listen": ["127.0.0.1:0"], "base_url": ""}) as desk:
                await self._fill(desk)
                self._ready.set_result(None)
                await self._stop.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _fill(self, desk: Desk) -> None:
        self.url = desk.house.gatepost.urls[0]
        bearer, bob = {"Authorization": f"Bearer {desk.root}"}, basic("bob@served.example", desk.bob)
        for each in site.operations():
            self.shown[each.name] = bearer if "bearer" in each.dialect.schemes else bob
        self.shown["streamMailEvents"] = bearer  # which it does not take: a stream that is open never ends
        await desk.house.send(mail(), "bob@served.example")
        await desk.house.send(mail("Spam", GTUBE, message_id="2"), "bob@served.example")
        domain = desk.house.store.reader.domain("served.example")
        assert domain is not None
        domain_id = desk.ids.show(domain.id)
        place = f"/domains/{domain_id}"
        rule = await desk.ask("POST", f"{place}/wblist", [{"value": "a.example", "type": "BLOCK"}])
        entry = {"action": "DENY", "checkType": "FILENAME", "filter": "exe"}
        attachment = await desk.ask("POST", f"{place}/filters/attachments", entry)
        uri = await desk.ask("POST", f"{place}/filters/uris", {"action": "BLACKLIST_URI_HOST", "filter": "a.example"})
        group = await desk.ask("POST", f"{place}/groups", {"email": "all@served.example", "recipients": []})
        (user,) = await desk.get("/users")
        (platform,) = (await desk.get(place))["platforms"]
        self.known = {
            "domainId": domain_id,
            "platformId": platform["id"],
            "userId": user["id"],
            "userIdOrEmail": "bob@served.example",
            "policyId": desk.ids.show(domain.policy_id),
            "adminId": desk.ids.show(1),
            "wbItemId": rule.json()[0]["id"],
            "attachmentId": attachment.json()["id"],
            "uriId": uri.json()["id"],
            "groupId": group.json()["id"],
            "folderPath": "INBOX",
            "path": "Quarantine",
            "fugluIdOrMailId": "<1@world.example>",
            "messageId": "<1@world.example>",
            "emailId": "<1@world.example>",
            "fugluId": "<1@world.example>",
            "partId": "0",
        }


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon()
    daemon.start(tmp_path_factory.mktemp("fuzz"))
    yield daemon
    daemon.stop()


EACH = 6  # in the long form every case is tried as well; by more requests `make conformance` tries them all


def cases() -> list[tuple[str, GenerationMode]]:
    """Every operation with what fits its description, and with what does not where it takes anything at all."""
    found = [(name, GenerationMode.POSITIVE) for name in sorted(OPERATIONS)]
    raw = {name: each.definition.raw for name, each in sorted(OPERATIONS.items())}
    taking = [name for name, each in raw.items() if each["parameters"] or "requestBody" in each]
    return found + [(name, GenerationMode.NEGATIVE) for name in taking]


@pytest.mark.parametrize(
    ("name", "mode"),
    [pytest.param(*case, marks=[pytest.mark.soak] if at % EACH else []) for at, case in enumerate(cases())],
    ids=lambda value: getattr(value, "value", value),
)
def test_no_request_meets_a_failure_or_a_surprise(daemon: Daemon, name: str, mode: GenerationMode) -> None:
    """Threat 134."""
    ask(daemon, name, mode, EXAMPLES or 2, every_time_the_same=not EXAMPLES)


@pytest.mark.conformance
@pytest.mark.timeout(480)
@pytest.mark.parametrize("share", range(SHARES))
def test_five_thousand_requests_meet_neither(daemon: Daemon, share: int) -> None:
    """An operation that takes little has soon been asked all that there is to ask."""
    asked = sum(ask(daemon, name, mode, 13, every_time_the_same=True) for name, mode in cases()[share::SHARES])
    assert asked >= 5000 / SHARES


def ask(daemon: Daemon, name: str, mode: GenerationMode, examples: int, *, every_time_the_same: bool) -> int:
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
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def send(case: schemathesis.Case, real: bool) -> None:
        nonlocal sent
        sent += 1
        if real and not spare and case.path_parameters:
            case.path_parameters.update(
                {key: daemon.known.get(key, value) for key, value in case.path_parameters.items()}
            )
        case.call_and_validate(base_url=daemon.url, headers=daemon.shown[name], checks=HELD, timeout=60)

    send()
    return sent
