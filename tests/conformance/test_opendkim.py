"""OpenDKIM as the receiver: it verifies what a whole Gatepost has signed, small and spooled, odd and plain."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.house import House, living
from tests.pace import PATIENCE

from gatepost.mailauth import keys
from gatepost.model.dkim import Algorithm, DkimKey
from gatepost.model.envelope import Role
from gatepost.model.policy import Policy
from gatepost.model.tenant import Domain

pytestmark = [pytest.mark.anyio, pytest.mark.conformance]

PAIR = keys.generate(Algorithm.RSA)
HEAD = (
    "From: Bob <bob@served.example>\r\nTo: zoe@far.example\r\nSubject: {subject}\r\n"
    "Date: Fri, 20 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@served.example>\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\n"
)
BODIES = {
    "plain": "Hello\r\n",
    "empty": "",
    "empty lines": "\r\n\r\nHello\r\n\r\n\r\n",
    "blanks": " a  b\t\tc \r\n\t\r\n \r\n",
    "dots": ".\r\n..\r\n.x\r\n",
    "umlauts": "Grüße \r\n",
    "long line": "x" * 5000 + "\r\n",
    "spooled": "line of a  long mail \r\n" * 20_000,
}


def opendkim() -> str:
    found = shutil.which("opendkim", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert found, "opendkim is missing; .ci/run names the packages that conformance needs"
    return found


async def allow(house: House) -> None:
    """Give served.example a key, and let it send from loopback."""
    domain = house.store.reader.domain("served.example")
    assert domain is not None
    key = DkimKey(
        domain_id=domain.id,
        selector="protect",
        public=PAIR.public,
        private=house.store.secrets.seal(PAIR.private),
        created_at=house.clock(),
    )
    await house.add(key)
    await house.store.write(lambda writer: writer.change(Domain, domain.id, outgoing_subnets=["127.0.0.1/32"]))
    await house.store.write(lambda writer: writer.change(Policy, domain.policy_id, outgoing=True))


def verdict(folder: Path, mail: bytes) -> str:
    """Return what OpenDKIM says of a mail; it answers its own questions of DNS from a file."""
    (folder / "dns").write_text(f"protect._domainkey.served.example v=DKIM1; p={PAIR.public}\n")
    (folder / "conf").write_text(f"Mode v\nSyslog no\nTestDNSData {folder / 'dns'}\n")
    (folder / "mail").write_bytes(mail.replace(b"\r\n", b"\n"))
    command = [opendkim(), "-x", str(folder / "conf"), "-t", str(folder / "mail")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("body", BODIES)
async def test_opendkim_takes_our_signature(tmp_path: Path, body: str) -> None:
    async with living(tmp_path) as house:
        await allow(house)
        subject = "=?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n " * 9 + "end" if body == "umlauts" else f"{body}   with blanks"
        raw = (HEAD.format(subject=subject) + BODIES[body]).encode()
        reply = await house.send(raw, "zoe@far.example", sender="bob@served.example", role=Role.TRUSTED)
        assert reply.code == 250, reply
        (mail,) = await house.sink.wait(1)
    assert "(s=protect, d=served.example, 2048-bit key) succeeded" in verdict(tmp_path, mail.data)


async def test_opendkim_refuses_what_was_changed(tmp_path: Path) -> None:
    async with living(tmp_path) as house:
        await allow(house)
        raw = (HEAD.format(subject="Hi") + "Hello\r\n").encode()
        await house.send(raw, "zoe@far.example", sender="bob@served.example", role=Role.TRUSTED)
        (mail,) = await house.sink.wait(1)
    for changed in (mail.data.replace(b"Hello", b"Hullo"), b"From: eve@served.example\r\n" + mail.data):
        assert "succeeded" not in verdict(tmp_path, changed)
