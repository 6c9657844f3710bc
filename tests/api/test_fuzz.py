"""Random requests by our own description, to a daemon on a socket: no answer of 500 or more, none undocumented."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from tests.api.house import basic
from tests.api.kept import GTUBE, Desk, mail, open_desk

from gatepost.api import site
from gatepost.api.openapi import describe

DOCUMENT = describe(site.operations())
EXAMPLES = int(os.environ.get("GATEPOST_FUZZ_EXAMPLES", "0"))  # of each operation; 0: a few, the same every time
SHARES = 4  # of the many requests, so that they can be asked side by side


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


def cases() -> list[tuple[str, str]]:
    """Every operation with what fits its description, and with what does not where it takes anything at all."""
    operations = sorted((each["operationId"], each) for item in DOCUMENT["paths"].values() for each in item.values())
    taking = [name for name, each in operations if each.get("parameters") or "requestBody" in each]
    return [(name, "positive") for name, _ in operations] + [(name, "negative") for name in taking]


@pytest.mark.parametrize(
    ("name", "mode"),
    [pytest.param(*case, marks=[pytest.mark.soak] if at % EACH else []) for at, case in enumerate(cases())],
)
def test_no_request_meets_a_failure_or_a_surprise(daemon: Daemon, name: str, mode: str) -> None:
    """Threat 134."""
    ask(daemon, name, mode, EXAMPLES or 2, every_time_the_same=not EXAMPLES)


@pytest.mark.timeout(480)
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize(
    ("each", "wanted"),
    [pytest.param(3, 1000, marks=pytest.mark.conformance), pytest.param(13, 5000, marks=pytest.mark.soak)],
)
def test_thousands_of_requests_meet_neither(daemon: Daemon, each: int, wanted: int, share: int) -> None:
    """An operation that takes little has soon been asked all that there is to ask."""
    asked = sum(ask(daemon, name, mode, each, every_time_the_same=True) for name, mode in cases()[share::SHARES])
    assert asked >= wanted / SHARES


def ask(daemon: Daemon, name: str, mode: str, examples: int, *, every_time_the_same: bool) -> int:
    from tests.api import asking  # not by each worker that collects this file

    return asking.ask(
        daemon.url, daemon.shown[name], daemon.known, name, mode, examples, every_time_the_same=every_time_the_same
    )
