"""Debian's own clamd, rspamd, spamd and c-icap, each with the least that it needs, in a folder of the test."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL

from tests.pace import PATIENCE
from tests.peers.leash import Leashed
from tests.peers.ports import free_port

WORM = b"GATEPOST-TEST-WORM-5f1c"
CLAMD = """\
Foreground yes
DatabaseDirectory {folder}/db
LocalSocket {folder}/clamd.ctl
TCPAddr 127.0.0.1
TCPSocket {port}
StreamMaxLength 1M
"""
RSPAMD = """\
options {{
  filters = "";
  one_shot = true;
  dns {{ timeout = 0.2s; retransmits = 1; nameserver = ["127.0.0.1:9"]; }}
  tempdir = "{folder}";
  url_tld = "{folder}/suffixes";
  history_file = "{folder}/history";
  control_socket = "{folder}/control mode=0600";
  disable_hyperscan = true;
}}
logging {{ type = "console"; level = "info"; }}
actions {{ reject = 15; add_header = 6; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; mime = true; task_timeout = 8s; }}
lua = "{folder}/rules.lua";
"""
ICAP = """\
PidFile {folder}/pid
CommandsSocket {folder}/control
StartServers 1
MaxServers 2
Port 127.0.0.1:{port}
TmpDir {folder}
ServerLog {folder}/server.log
AccessLog {folder}/access.log
TemplateDir /usr/share/c_icap/templates/
ModulesDir {libraries}
ServicesDir {libraries}
LoadMagicFile /etc/c-icap/c-icap.magic
Service echo srv_echo.so
Service antivirus_module virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
virus_scan.DefaultEngine clamd
Module common clamd_mod.so
clamd_mod.ClamdSocket {clamd}
"""
RULES = """\
rspamd_config:register_symbol{
  name = 'TOLD', score = 0.0, description = 'what it was told',
  callback = function(task)
    local function shown(value) return tostring(value or '-') end
    local from, to = task:get_from('smtp') or {}, task:get_recipients('smtp') or {}
    local says = { shown((from[1] or {}).addr), shown((to[1] or {}).addr), shown(task:get_from_ip()),
      shown(task:get_helo()), shown(task:get_hostname()), shown(task:get_user()), shown(task:get_queue_id()) }
    return true, 1.0, table.concat(says, ' ')
  end
}
rspamd_config:register_symbol{
  name = 'ZEBRA', score = 5.5, description = 'a zebra in the subject',
  callback = function(task)
    return (task:get_subject() or ''):find('zebra') ~= nil
  end
}
"""


class Scanner:
    """One daemon: `start`, `kill`, `hang`, `go_on`. `address` is what `servers` takes, the same after a restart."""

    def __init__(self, folder: Path, command: list[str], *, path: str = "", port: int = 0) -> None:
        self.folder = folder
        self.path = path
        self.port = port
        self._command = command
        self._process: Leashed | None = None

    @property
    def address(self) -> str:
        return self.path or f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; return when it takes connections."""
        Path(self.path or self.folder / "none").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = Leashed(self._command, stdout=log, stderr=log, stdin=DEVNULL, cwd=self.folder)
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not start: {(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        family, where = (socket.AF_UNIX, self.path) if self.path else (socket.AF_INET, ("127.0.0.1", self.port))
        with socket.socket(family) as probe:
            return probe.connect_ex(where) == 0

    def kill(self) -> None:
        """End it as a power cut would, with the processes that it made."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def hang(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def clamav(folder: Path) -> Scanner:
    """clamd with two signatures: EICAR in any file, and a worm of the test's own."""
    from gatepost.filters.virus import EICAR

    (folder / "db").mkdir()
    names = {"Eicar-Test-Signature": EICAR, "Test.Worm": WORM}
    lines = [f"{name}:0:*:{data.hex()}\n" for name, data in names.items()]
    (folder / "db/test.ndb").write_text("".join(lines))
    config = folder / "clamd.conf"
    config.write_text(CLAMD.format(folder=folder, port=free_port()))
    return Scanner(folder, ["clamd", "-c", str(config)], path=str(folder / "clamd.ctl"))


def rspamd(folder: Path) -> Scanner:
    """A normal worker with two rules; GTUBE is built in."""
    port = free_port()
    (folder / "rules.lua").write_text(RULES)
    (folder / "suffixes").write_text(
        "com\norg\ntest\n"
    )  # to compile the public ones takes it ten seconds of the processor
    config = folder / "rspamd.conf"
    config.write_text(RSPAMD.format(folder=folder, port=port))
    return Scanner(folder, ["rspamd", "--insecure", "--no-fork", "--config", str(config)], port=port)


def spamassassin(folder: Path) -> Scanner:
    """spamd with the rules that need no network."""
    port = free_port()
    command = ["spamd", "-L", "-x", "-c", "-i", "127.0.0.1", "-A", "127.0.0.1", "-p", str(port), "-m", "2"]
    (folder / "home").mkdir()
    return Scanner(folder, [*command, "-s", "stderr", "-H", str(folder / "home")], port=port)


def icap(folder: Path, clamd: str) -> Scanner:
    """c-icap with the service `avscan`, which asks a clamd."""
    port = free_port()
    config = folder / "c-icap.conf"
    libraries = next(Path("/usr/lib").glob("*/c_icap"))
    config.write_text(ICAP.format(folder=folder, port=port, libraries=libraries, clamd=clamd))
    return Scanner(folder, ["c-icap", "-N", "-f", str(config)], port=port)


KINDS: dict[str, Callable[..., Scanner]] = {
    "icap": icap,
    "clamav": clamav,
    "rspamd": rspamd,
    "spamassassin": spamassassin,
}


@contextlib.contextmanager
def running(kind: str, folder: Path, **more: str) -> Iterator[Scanner]:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    scanner = KINDS[kind](folder, **more)
    try:
        scanner.start()
        yield scanner
    finally:
        scanner.kill()
