"""Signing in at a real Postfix with Cyrus SASL: by IQ Server's mail configuration and by Apinizer's connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.api.kept import Desk, open_desk
from tests.conformance.chain import open_folder
from tests.pace import PATIENCE
from tests.peers.postfix import Postfix, running
from tests.peers.sasl import locked
from tests.peers.sink import Mail, Sink, authority

from gatepost.model.policy import Policy
from gatepost.model.query import All, eq
from gatepost.model.stored import Delivery, State
from gatepost.model.tenant import Domain

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

ME, SECRET = "me", "the right words"
IQ = "/api/v2/config/mail"
PLACE = "/apiops/projects/MyProject/connections/relay/"


class Town:
    """A Gatepost, a Postfix that wants a sign-in, and the world behind it."""

    def __init__(self, desk: Desk, postfix: Postfix, world: Sink) -> None:
        self.desk = desk
        self.postfix = postfix
        self.world = world

    async def try_iq(self, **members: Any) -> tuple[int, str]:
        """Have IQ Server's configuration tested."""
        config = {
            "hostname": "127.0.0.1",
            "port": self.postfix.port,
            "username": ME,
            "password": SECRET,
            "passwordIsIncluded": True,
            "startTlsEnabled": True,
            "systemEmail": "noreply@gate.example",
            **members,
        }
        answer = await self.desk.ask("POST", f"{IQ}/test/ada@far.example", config)
        return answer.status_code, answer.text

    def connection(self, password: str = SECRET) -> dict[str, Any]:
        return {
            "type": "email",
            "name": "relay",
            "host": "127.0.0.1",
            "port": self.postfix.port,
            "enableStartTls": True,
            "auth": True,
            "username": ME,
            "password": password,
            "from": "app@served.example",
            "addressToTest": "ada@far.example",
        }


@asynccontextmanager
async def town(directory: Path, mechanisms: str = "PLAIN LOGIN") -> AsyncIterator[Town]:
    ca = authority()
    ca.cert_pem.write_to_path(str(directory / "ca.pem"))
    with open_folder() as folder:
        async with Sink() as world, open_desk(directory, relay={"ca_file": str(directory / "ca.pem")}) as desk:
            made = locked(Postfix(folder / "p", f"[127.0.0.1]:{world.port}"), ca, (ME, SECRET), mechanisms)
            with running(made) as postfix:
                yield Town(desk, postfix, world)


def signed_in(mail: Mail) -> bool:
    """Tell whether Postfix noted TLS and who signed in (RFC 3848)."""
    return b"with ESMTPSA" in mail.data and f"(Authenticated sender: {ME}".encode() in mail.data


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN", "CRAM-MD5 PLAIN", "DIGEST-MD5 SCRAM-SHA-256 PLAIN LOGIN"])
async def test_a_sign_in_succeeds_by_what_the_server_offers(tmp_path: Path, mechanisms: str) -> None:
    async with town(tmp_path, mechanisms) as place:
        assert await place.try_iq() == (204, "")
        (mail,) = await place.world.wait(1)
        assert (mail.sender, mail.recipients) == ("noreply@gate.example", ["ada@far.example"])
        assert signed_in(mail)


async def test_a_refused_sign_in_is_told_in_the_servers_words(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        status, text = await place.try_iq(password="wrong words")
        assert status == 400 and "535 5.7.8 Error: authentication failed" in text and "wrong words" not in text
        status, text = await place.try_iq(username="nobody")
        assert status == 400 and "535 5.7.8" in text
        status, text = await place.try_iq(startTlsEnabled=False)
        assert status == 400 and "offers no sign-in" in text
        status, text = await place.try_iq(username=None, password=None)
        assert status == 400 and "554 5.7.1 <ada@far.example>: Recipient address rejected: Access denied" in text
        assert place.world.mails == []


async def test_what_leaves_goes_by_the_configuration_that_was_saved(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.desk.ask("POST", "/apiops/projects/", {"name": "MyProject"})
        assert (await place.desk.ask("POST", PLACE, place.connection())).status_code == 200
        answer = await place.desk.ask("POST", f"{PLACE}test/")
        assert answer.status_code == 200 and answer.json()["message"].startswith("250 2.0.0 Ok: queued as ")
        (tried,) = await place.world.wait(1)
        assert tried.sender == "app@served.example" and signed_in(tried)

        store = place.desk.house.store
        policy, domain = store.reader.first(Policy, All(())), store.reader.first(Domain, All(()))
        assert policy is not None and domain is not None
        await store.write(lambda writer: writer.change(Policy, policy.id, outgoing=True))
        bind = f"/domains/{place.desk.ids.show(domain.id)}/connection"
        bound = await place.desk.ask("PUT", bind, {"project": "MyProject", "name": "relay"})
        assert bound.status_code == 204
        await send(place.desk)
        mail = (await place.world.wait(2))[1]
        assert (mail.sender, mail.recipients) == ("bob@served.example", ["ada@far.example"])
        assert signed_in(mail)

        # The password is changed over there: the mail waits, and the trace tells why.
        assert (await place.desk.ask("PUT", PLACE, place.connection("wrong words"))).status_code == 200
        refused = await place.desk.ask("POST", f"{PLACE}test/")
        assert refused.status_code == 400 and "535 5.7.8" in refused.text
        await send(place.desk)
        await asyncio.wait_for(place.desk.house.gatepost.queue.idle(), PATIENCE)
        waiting = store.reader.first(Delivery, eq("state", State.QUEUED))
        assert waiting is not None and "535 5.7.8 Error: authentication failed" in (waiting.last_reply or "")


async def send(desk: Desk) -> None:
    body = {"to": ["ada@far.example"], "subject": "Hello", "body": "<p>Good day</p>"}
    answer = await desk.ask("POST", "/users/bob@served.example/emails/send", body, token=desk.bob)
    assert answer.status_code == 200, answer.text
