"""Postfix, whose SCRAM-SHA-256 is Cyrus SASL's, signs in on a submission listener and hands its mail on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from tests.conformance.chain import open_folder
from tests.conformance.letters import letter
from tests.conformance.talk import Letter, Talk
from tests.peers.daemon import SETTINGS, Daemon
from tests.peers.daemon import running as running_daemon
from tests.peers.postfix import Postfix
from tests.peers.postfix import running as running_postfix

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

BOB = "bob@served.example"
# Blanks, what base64 and SCRAM's own grammar use, and letters beyond ASCII that SASLprep leaves as they are.
PASSWORD = "correct, horse=battery/+ stäple"

SUBMISSION = """\
[dns]
servers = ["127.0.0.1:9"]
timeout = 0.1
[smtp]
hostname = "gate.example"
certificate = "{certificate}"
[[smtp.listener]]
role = "submission"
listen = "127.0.0.1:0"
"""

CLIENT = """\
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = gate.example
smtp_tls_CAfile = {authority}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{passwords}
smtp_sasl_mechanism_filter = {mechanism}
smtp_sasl_security_options = noanonymous
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Desk(NamedTuple):
    folder: Path
    gatepost: Daemon

    @contextlib.contextmanager
    def postfix(self, name: str, password: str, mechanism: str = "scram-sha-256") -> Iterator[Postfix]:
        """Run a Postfix that hands all of its mail to the submission listener as bob."""
        hop = f"[127.0.0.1]:{self.gatepost.ports[0]}"
        passwords = self.folder / f"{name}.passwords"
        passwords.write_text(f"{hop} {BOB}:{password}\n")
        more = CLIENT.format(authority=self.folder / "ca.pem", passwords=passwords, mechanism=mechanism)
        with running_postfix(Postfix(self.folder / name, hop, hostname=f"{name}.served.example", more=more)) as made:
            yield made


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with open_folder() as folder:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        authority.issue_cert("gate.example").private_key_and_cert_chain_pem.write_to_path(str(folder / "gate.pem"))
        before, _, after = SETTINGS.partition("[smtp]")
        settings = before + SUBMISSION.format(certificate=folder / "gate.pem") + after[after.index("[log]") :]
        with running_daemon(Daemon(folder / "gatepost", settings=settings)) as gatepost:
            made = gatepost.serve("served.example", 9)
            account = {"email": BOB, "status": "ENABLED", "domainId": made["id"], "password": PASSWORD}
            gatepost.ask("POST", "/users", account)
            yield Desk(folder, gatepost)
            assert gatepost.complaints() == []


async def give(postfix: Postfix, to: str) -> None:
    talk = await Talk.open(postfix.port)
    raw = letter("<scram@served.example>", sender=BOB, to=to)
    assert (await talk.send(Letter(BOB, [to], raw)))[0] == 250
    await talk.close()


@pytest.mark.parametrize("mechanism", ["scram-sha-256", "plain", "login"])
async def test_a_postfix_signs_in_and_its_mail_is_queued(desk: Desk, mechanism: str) -> None:
    to = f"{mechanism}@world.example"
    with desk.postfix(mechanism, PASSWORD, mechanism) as postfix:
        await give(postfix, to)
        assert desk.gatepost.until_told("signed in", mechanism=mechanism.upper())["login"] == BOB
        assert desk.gatepost.until_told("delivery", to=to)["status"] == "deferred"  # there is no world.example
    (waiting,) = [each for each in desk.gatepost.ask("GET", "/queue") if each["recipient"] == to]
    assert waiting["sender"] == BOB


async def test_a_postfix_with_a_wrong_password_keeps_its_mail(desk: Desk) -> None:
    to = "nobody@world.example"
    with desk.postfix("wrong", "another one") as postfix:
        await give(postfix, to)
        told = desk.gatepost.until_told("refused", command="AUTH")
        assert told["reply"] == "535 5.7.8 The login or the password is wrong."
        assert postfix.queued() == 1
    assert to not in [each["recipient"] for each in desk.gatepost.ask("GET", "/queue")]
