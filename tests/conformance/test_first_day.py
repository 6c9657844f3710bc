"""An administrator's first day, by the settings file and the commands that are promised; and two power cuts in it."""

import asyncio
import os
import re
import urllib.request
from pathlib import Path

import pytest
from tests.conformance.letters import GTUBE
from tests.pace import PATIENCE
from tests.peers.daemon import Daemon
from tests.peers.names import Names
from tests.peers.ports import free_port
from tests.peers.sink import Sink

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

# As it stands in the manual and as users have it, but for the numbers of the ports.
SETTINGS = """\
# gatepost.toml
[store]
directory = "state"
[http]
listen = ["127.0.0.1:{http}"]
[[smtp.listener]]
role = "mx"
listen = "127.0.0.1:{smtp}"
proxy_protocol_from = ["127.0.0.1"]      # optional: peers whose PROXY header is believed (and required)
[dns]
servers = ["{dns}"]             # optional; default: the system's resolvers
[relay]
smarthost = "127.0.0.1:{hop}"             # optional; default: MX
allow_private_destinations = true        # optional; default false: may MX results be private or loopback addresses?
"""


class Day:
    """A daemon that is started, cut off and started again, and what its administrator does meanwhile."""

    def __init__(self, folder: Path, names: Names, hop: Sink) -> None:
        self.http, self.smtp, self.hop = free_port(), free_port(), hop
        settings = SETTINGS.format(http=self.http, smtp=self.smtp, dns=names.address, hop=hop.port)
        self.gatepost = Daemon(folder, settings=settings)
        self.gatepost.url = f"http://127.0.0.1:{self.http}"

    async def start(self) -> None:
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        self.gatepost.launch()
        self.gatepost.until_ready(self.gatepost.url)

    async def ask(self, method: str, path: str, body: object = None) -> object:
        return await asyncio.to_thread(self.gatepost.ask, method, path, body)

    async def run(self, *args: str) -> str:
        return await asyncio.to_thread(self.gatepost.run, *args)

    async def send(self, text: str) -> str:
        """Send a mail as a proxy does; return its id."""
        server = ["--server", f"127.0.0.1:{self.smtp}", "--proxy", "192.0.2.9", "--helo", "client.example"]
        addresses = ["--from", "ada@world.example", "--to", "bob@example.org"]
        said = await asyncio.to_thread(self.gatepost.command, "send", *server, *addresses, "--body", text)
        found = re.search(r"queued as ([0-9a-f]{32})", said)
        assert found, said
        return found[1]


async def test_a_domain_is_made_mail_held_listed_and_released_with_the_power_cut_in_between(tmp_path: Path) -> None:
    async with Names({"world.example": ["MX 10 mx.world.example."]}) as names, Sink() as hop:
        day = Day(tmp_path / "gatepost", names, hop)
        try:
            await first_day(day)
            assert await asyncio.to_thread(day.gatepost.stop) == os.EX_OK
        finally:
            await asyncio.to_thread(day.gatepost.stop)
        assert "ok" in await day.run("check")


async def first_day(day: Day) -> None:
    await day.start()
    platform = {
        "name": "own",
        "transportDest": "127.0.0.1",
        "transportType": "SMTP",
        "transportPort": day.hop.port,
        "default": True,
    }
    domain = {"name": "example.org", "status": "ENABLED", "defaultLanguage": "EN", "quarantine": True}
    await day.ask("POST", "/domains", {**domain, "retention": False, "archive": False, "platforms": [platform]})
    clean = await day.send("Hello\n")
    await day.hop.wait(1)
    assert "delivered: nothing stands against it" in await day.run("explain", clean)

    spam = await day.send(f"{GTUBE}\n")
    await asyncio.to_thread(day.gatepost.kill)
    await day.start()
    (held,) = await day.ask("GET", "/users/bob@example.org/emails/Quarantine")  # type: ignore[misc]
    assert (held["id"], held["category"]) == (spam, "SPAM")

    # Released while the mail server is down: what waits outlives a cut as well.
    day.hop.script["banner"] = "421 4.3.2 not now"
    await day.ask("POST", f"/users/bob@example.org/emails/Quarantine/{spam}/release")
    await asyncio.to_thread(day.gatepost.kill)
    await day.start()
    assert spam in await day.run("queue", "list", "--json")
    day.hop.script.clear()
    await day.run("queue", "flush")
    await day.hop.wait(2)
    assert GTUBE.encode() in day.hop.mails[1].data
    assert "released, though held at first" in await settled(day, spam)
    assert (await day.run("queue", "list", "--json")).strip() == "[]"


async def settled(day: Day, mail_id: str) -> str:
    """Return the mail's story once its delivery is written down."""
    async with asyncio.timeout(PATIENCE):
        while await day.ask("GET", "/queue"):  # costs less than a command
            pass
    return await day.run("explain", mail_id)


def test_ready_is_told_without_a_token(tmp_path: Path) -> None:
    settings = SETTINGS.format(http=free_port(), smtp=free_port(), dns="127.0.0.1:9", hop=9)
    gatepost = Daemon(tmp_path / "gatepost", settings=settings)
    gatepost.url = re.search(r'listen = \["(.*)"\]', settings)[1]  # type: ignore[index]
    gatepost.launch()
    try:
        gatepost.until_ready(f"http://{gatepost.url}")
        with urllib.request.urlopen(f"http://{gatepost.url}/readyz") as answer:
            assert (answer.status, answer.read()) == (200, b'{"status":"ready"}')
    finally:
        assert gatepost.stop() == os.EX_OK
