"""A DNSSEC-signed zone for tests: Knot signs it, Unbound validates it with its trust anchor."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rdatatype
from tests.pace import PATIENCE
from tests.peers.leash import Leashed
from tests.peers.ports import free_port

KNOT = """\
server:
    rundir: "{folder}"
    listen: 127.0.0.1@{signer}
database:
    storage: "{folder}/keys"
policy:
  - id: small
    algorithm: ecdsap256sha256
    single-type-signing: on
zone:
  - domain: {zone}
    storage: "{folder}"
    file: "zone"
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    dnssec-signing: on
    dnssec-policy: small
log:
  - target: stderr
    any: warning
"""

UNBOUND = """\
server:
  interface: 127.0.0.1@{port}
  port: {port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  use-syslog: no
  do-not-query-localhost: no
  trust-anchor: "{anchor}"
  module-config: "validator iterator"
  access-control: 127.0.0.0/8 allow
stub-zone:
  name: "{zone}"
  stub-addr: 127.0.0.1@{signer}
remote-control:
  control-enable: no
"""


@contextlib.contextmanager
def signed_zone(folder: Path, zone: str, records: Sequence[str]) -> Iterator[str]:
    """Serve a zone signed; yield the address of a validating resolver that trusts its key."""
    (folder / "keys").mkdir()
    soa = f"{zone}. 60 SOA ns.{zone}. host.{zone}. 1 3600 600 86400 60"
    (folder / "zone").write_text(
        "\n".join([soa, f"{zone}. 60 NS ns.{zone}.", f"ns.{zone}. 60 A 127.0.0.1", *records, ""])
    )
    signer, port = free_port(), free_port()
    knot, unbound = folder / "knot.conf", folder / "unbound.conf"
    knot.write_text(KNOT.format(folder=folder, zone=zone, signer=signer))
    with _running(folder / "knot.log", _found("knotd"), "-c", str(knot)):
        _wait(signer, zone, folder / "knot.log", dns.flags.AA)
        asked = [_found("keymgr"), "-c", str(knot), zone, "ds"]
        anchor = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        unbound.write_text(UNBOUND.format(folder=folder, zone=zone, signer=signer, port=port, anchor=anchor))
        with _running(folder / "unbound.log", _found("unbound"), "-c", str(unbound)):
            _wait(port, zone, folder / "unbound.log", dns.flags.AD)
            yield f"127.0.0.1:{port}"


def _found(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert found, f"{name} is missing; .ci/run names the packages that conformance needs"
    return found


@contextlib.contextmanager
def _running(log: Path, *command: str) -> Iterator[None]:
    with log.open("wb") as file, Leashed(command, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait(port: int, zone: str, log: Path, flag: dns.flags.Flag) -> None:
    """Wait until a server answers for the zone with a flag."""
    query = dns.message.make_query(f"{zone}.", dns.rdatatype.SOA)
    query.flags |= dns.flags.AD
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(OSError, dns.exception.DNSException):
            answer = dns.query.udp(query, "127.0.0.1", timeout=0.2, port=port)
            if answer.answer and answer.flags & flag:
                return
    raise AssertionError(f"no answer from port {port}: {log.read_text()}")
