"""`gatepost serve` as its own process, with a store, an administrator and a sink as its next hop."""

import asyncio
import contextlib
import http.client
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiosmtplib
from tests.cli.conftest import Daemon
from tests.faults import mails
from tests.faults.killer import furnish
from tests.peers.sink import Sink

from gatepost.cli.init import found
from gatepost.configuration import load

SETTINGS = """
[smtp]
hostname = "gate.example"
verify_recipients = false
[[smtp.listener]]
listen = "127.0.0.1:0"
[http]
listen = ["127.0.0.1:0"]
[store]
directory = "state"
spool_cut = {cut}
reserve_bytes = {reserve}
reserve_percent = 0.0
[dns]
servers = ["127.0.0.1:9"]
timeout = 0.2
[quarantine]
purge_seconds = 1
[log]
format = "json"
"""


class Said(NamedTuple):
    """An answer of the API."""

    status: int
    body: Any


class Served(Daemon):
    """A daemon that mail and requests are sent to from the test's loop."""

    def __init__(self, directory: Path, *, reserve: int = 0, more: str = "") -> None:
        """Use settings of our own; `reserve` is the space that is kept free, in octets."""
        super().__init__(directory)
        self.config.write_text(SETTINGS.format(cut=mails.CUT, reserve=reserve) + more)
        self.token = found(load(self.config, {}).settings).token

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def worked(self) -> float:
        """How many seconds of a processor it has used; no other load on the machine counts."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_text(self) -> str:
        """Return what it has logged since its last start."""
        return self._log.read_text()

    async def api(self, method: str, path: str, body: object = None) -> Said:
        """Ask the API as the administrator."""
        return await asyncio.to_thread(self.ask, method, path, body)

    def ask(self, method: str, path: str, body: object = None) -> Said:
        """The same, for who has no loop."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            data = answer.read()
            return Said(answer.status, json.loads(data) if data else None)
        finally:
            connection.close()

    async def connect(self) -> aiosmtplib.SMTP:
        """Open a session; raise SMTPConnectResponseError where the banner refuses it."""
        host, _, port = self.smtp.rpartition(":")
        client = aiosmtplib.SMTP(hostname=host, port=int(port), local_hostname="client.example", start_tls=False)
        await client.connect(timeout=60)
        return client

    async def send(self, raw: bytes, *recipients: str, client: aiosmtplib.SMTP | None = None) -> str:
        """Hand a mail in; return the reply that settled it, code first."""
        own = client or await self.connect()
        try:
            await own.sendmail(mails.SENDER, recipients, raw)
        except aiosmtplib.SMTPResponseException as refused:
            return f"{refused.code} {refused.message}"
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return f"{refused.recipients[0].code} {refused.recipients[0].message}"
        finally:
            if client is None:
                own.close()
        return "250"

    async def refusal(self) -> str:
        """Return what the banner says to a newcomer, "" where he is let in."""
        try:
            client = await self.connect()
        except aiosmtplib.SMTPConnectResponseError as refused:
            return f"{refused.code} {refused.message}"
        client.close()
        return ""


@contextlib.asynccontextmanager
async def serving(
    directory: Path, sink: Sink, *, reserve: int = 0, more: str = "", afresh: bool = False, **policy: object
) -> AsyncIterator[Served]:
    """Run a daemon in a folder that holds nothing yet; `policy` is bob's and ann's."""
    served = Served(directory, reserve=reserve, more=more)
    served.afresh = afresh
    try:
        await furnish(served.state, sink.port, **policy)
        await asyncio.to_thread(served.start)
        yield served
    finally:
        served.close()
