"""swaks, a client of another house: STARTTLS, implicit TLS, sign-in on a submission listener, the PROXY protocol."""

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from tests.pace import PATIENCE
from tests.peers.daemon import Daemon
from tests.peers.daemon import running as running_daemon
from tests.peers.sink import Sink

pytestmark = pytest.mark.conformance

PASSWORD = "correct horse battery staple"
BOB = "bob@served.example"

SETTINGS = """\
[store]
directory = "state"
reserve_bytes = 0
reserve_percent = 0.0
[http]
listen = ["127.0.0.1:0"]
[dns]
servers = ["127.0.0.1:9"]
timeout = 0.1
[log]
format = "json"
[relay]
smarthost = "127.0.0.1:{hop}"
[smtp]
hostname = "gate.example"
certificate = "{certificate}"
[[smtp.listener]]
role = "mx"
listen = "127.0.0.1:0"
[[smtp.listener]]
role = "submission"
listen = "127.0.0.1:0"
[[smtp.listener]]
role = "submission"
tls = "implicit"
listen = "127.0.0.1:0"
[[smtp.listener]]
role = "mx"
listen = "127.0.0.1:0"
proxy_protocol_from = ["127.0.0.1"]
"""


class Hop:
    """A sink in a thread of its own, so that the tests may wait for swaks."""

    def __init__(self) -> None:
        self.sink = Sink()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self._run(self.sink.start())

    def _run(self, work: object) -> object:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)  # type: ignore[arg-type]

    def take(self) -> bytes:
        """Return the next mail, and forget it."""
        self._run(self.sink.wait(1))
        return self.sink.mails.pop().data

    def close(self) -> None:
        self._run(self.sink.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Desk(NamedTuple):
    gatepost: Daemon
    hop: Hop
    authority: Path

    def swaks(self, listener: int, *args: str) -> "Said":
        command = ["swaks", "--server", "127.0.0.1", "--port", str(self.gatepost.ports[listener])]
        usual = {"--helo": "client.example", "--from": "ada@world.example", "--to": BOB, "--timeout": "20"}
        for option, value in usual.items():
            if option not in args:
                command += [option, value]
        done = subprocess.run([*command, *args], capture_output=True, text=True, timeout=PATIENCE)
        return Said(done.returncode, done.stdout + done.stderr)


class Said(NamedTuple):
    """What swaks says: exit code 0 for a mail that was taken, 24 refused recipient, 28 sign-in, 29 TLS."""

    code: int
    text: str


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("swaks")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("gate.example").private_key_and_cert_chain_pem.write_to_path(str(folder / "gate.pem"))
    hop = Hop()
    settings = SETTINGS.format(hop=hop.sink.port, certificate=folder / "gate.pem")
    try:
        with running_daemon(Daemon(folder / "gatepost", settings=settings)) as gatepost:
            made = gatepost.serve("served.example", hop.sink.port)
            for name in ("bob", "carol"):
                account = {"email": f"{name}@served.example", "status": "ENABLED", "domainId": made["id"]}
                gatepost.ask("POST", "/users", {**account, "password": PASSWORD})
            yield Desk(gatepost, hop, folder / "ca.pem")
            assert gatepost.complaints() == []
    finally:
        hop.close()


def test_plain_mail_is_taken(desk: Desk) -> None:
    said = desk.swaks(0)
    assert said.code == 0, said.text
    assert "250 2.0.0 Ok: queued as " in said.text
    assert b"with ESMTP id " in desk.hop.take()


def test_mail_under_starttls_is_taken_with_a_certificate_that_holds(desk: Desk) -> None:
    said = desk.swaks(0, "--tls", "--tls-verify", "--tls-ca-path", str(desk.authority), "--tls-sni", "gate.example")
    assert said.code == 0, said.text
    assert "TLS started with cipher TLSv1.3" in said.text
    assert b"with ESMTPS id " in desk.hop.take()


def test_old_tls_is_refused(desk: Desk) -> None:
    said = desk.swaks(0, "--tls", "--tls-protocol", "tlsv1")
    assert said.code == 29, said.text


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize(("listener", "tls"), [(1, "--tls"), (2, "--tls-on-connect")])
def test_a_user_made_over_the_api_signs_in_and_sends(desk: Desk, listener: int, tls: str, mechanism: str) -> None:
    said = desk.swaks(
        listener, tls, "--auth", mechanism, "--auth-user", BOB, "--auth-password", PASSWORD,
        "--from", BOB, "--to", "far@world.example",
    )  # fmt: skip
    assert said.code == 0, said.text
    got = desk.hop.take()
    assert b"with ESMTPSA id " in got
    assert b"From: bob@served.example" in got


def test_a_wrong_password_is_refused(desk: Desk) -> None:
    said = desk.swaks(1, "--tls", "--auth", "PLAIN", "--auth-user", BOB, "--auth-password", "wrong", "--from", BOB)
    assert said.code == 28, said.text
    assert "535 5.7.8" in said.text


def test_submission_needs_tls_and_a_login(desk: Desk) -> None:
    said = desk.swaks(1, "--auth", "PLAIN", "--auth-user", BOB, "--auth-password", PASSWORD, "--from", BOB)
    assert said.code == 28, said.text  # it is not even offered
    said = desk.swaks(1, "--from", BOB)
    assert said.code != 0 and "530 5.7.0" in said.text, said.text
    said = desk.swaks(1, "--tls", "--from", BOB)
    assert said.code != 0 and "530 5.7.0" in said.text, said.text


def test_a_login_does_not_send_as_another(desk: Desk) -> None:
    """Rules 11: neither in MAIL FROM nor in From."""
    signed_in = ("--tls", "--auth", "PLAIN", "--auth-user", BOB, "--auth-password", PASSWORD)
    said = desk.swaks(1, *signed_in, "--from", "carol@served.example", "--to", "far@world.example")
    assert said.code != 0 and "553 5.7.1" in said.text, said.text
    said = desk.swaks(1, *signed_in, "--from", BOB, "--to", "far@world.example", "--h-From", "carol@served.example")
    assert said.code != 0 and "553 5.7.1" in said.text, said.text


FIRST = ("--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25")
SECOND = ("--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-dest", "192.0.2.1", "--proxy-dest-port", "25")


@pytest.mark.parametrize("version", [FIRST, SECOND], ids=["v1", "v2"])
@pytest.mark.parametrize("tls", [(), ("--tls",)], ids=["plain", "starttls"])
def test_the_client_that_a_proxy_names_is_the_client(
    desk: Desk, version: tuple[str, ...], tls: tuple[str, ...]
) -> None:
    said = desk.swaks(3, *version, "--proxy-source", "198.51.100.7", "--proxy-source-port", "4444", *tls)
    assert said.code == 0, said.text
    got = desk.hop.take()
    assert b"[198.51.100.7]" in got.partition(b"\r\n\tby ")[0]
    mail_id = said.text.rpartition("queued as ")[2].split()[0]
    life = desk.gatepost.ask("GET", f"/messages/{mail_id}/trace")
    assert life["message"]["clientIp"] == "198.51.100.7"


@pytest.mark.parametrize("header", ["TCP4 198.51.100.7", "TCP9 198.51.100.7 192.0.2.1 4444 25", "TCP4 nonsense x y z"])
def test_a_broken_proxy_header_ends_the_connection(desk: Desk, header: str) -> None:
    said = desk.swaks(3, "--proxy", header)
    assert said.code != 0
    assert "250 " not in said.text


def test_a_proxy_header_from_a_peer_that_is_not_named_is_no_command(desk: Desk) -> None:
    said = desk.swaks(0, *FIRST, "--proxy-source", "198.51.100.7", "--proxy-source-port", "4444")
    assert said.code != 0
    assert "queued as" not in said.text


def test_the_longest_and_the_oddest_of_mails_pass(desk: Desk, tmp_path: Path) -> None:
    """A mail from a file, with lines that begin with dots, and an attachment."""
    notes = tmp_path / "notes.txt"
    notes.write_text(".\n..\n" + "x" * 900 + "\n")
    said = desk.swaks(0, "--body", ".first\n.\n..third", "--attach-type", "text/plain", "--attach", f"@{notes}")
    assert said.code == 0, said.text
    assert b"\r\n.first\r\n.\r\n..third\r\n" in desk.hop.take()
