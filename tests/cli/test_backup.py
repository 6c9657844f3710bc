"""`gatepost backup`: a copy of a working store, and what is restored from it."""

import asyncio
import json
import shutil
import urllib.error
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from email.utils import formatdate
from pathlib import Path
from smtplib import SMTP

import pytest
from tests.peers.daemon import Daemon, running
from tests.peers.ports import free_port
from tests.peers.sink import Sink

LARGE = 300_000  # octets: over `[store] spool_cut`


def send(port: int, number: int, size: int) -> bytes:
    mail = EmailMessage(policy=SMTP_LINES)
    mail["From"], mail["To"], mail["Subject"] = "zoe@far.example", "alice@sample.test", f"mail {number}"
    mail["Date"], mail["Message-ID"] = formatdate(), f"<{number}@far.example>"
    mail.set_content(f"{number}\n" + "a line of text\n" * (size // 15))
    with SMTP("127.0.0.1", port) as client:
        client.sendmail("zoe@far.example", ["alice@sample.test"], mail.as_bytes())
    return str(mail["Subject"]).encode()


def exit_code(daemon: Daemon, *args: str) -> int:
    with pytest.raises(RuntimeError) as failed:
        daemon.run(*args)
    return int(str(failed.value).split(": ")[1])


@pytest.mark.anyio
@pytest.mark.conformance
async def test_what_is_restored_delivers_the_same_mails(tmp_path: Path) -> None:
    hop, target = free_port(), tmp_path / "backup"
    daemon = Daemon(tmp_path / "old")
    with running(daemon):
        daemon.serve("sample.test", hop, "alice", retention=True)
        told = [
            await asyncio.to_thread(send, daemon.ports[0], number, LARGE if number % 2 else 10) for number in range(6)
        ]
        made = json.loads(await asyncio.to_thread(daemon.run, "backup", str(target), "--json"))
        assert made["directory"] == str(target) and made["bodies"] == 3
        assert made["octets"] == sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        waiting = daemon.ask("GET", "/queue")
        daemon.kill()
    restored = Daemon(tmp_path / "new")
    shutil.rmtree(restored.state)
    shutil.copytree(target, restored.state)
    shutil.copy(daemon.state / "master.key", restored.state)
    restored.token = daemon.token
    restored.run("check")
    async with Sink(port=hop) as sink:
        with running(restored):
            await asyncio.to_thread(restored.run, "queue", "flush")
            mails = await sink.wait(6)
        assert len(mails) == len(waiting) == 6
        subjects = [line for mail in mails for line in mail.data.splitlines() if line.startswith(b"Subject: ")]
        assert sorted(subjects) == sorted(b"Subject: " + subject for subject in told)
        assert sorted(len(mail.data) > LARGE for mail in mails) == [False] * 3 + [True] * 3


@pytest.mark.conformance
def test_a_backup_is_refused_with_the_reason(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "one")
    assert exit_code(daemon, "backup", str(tmp_path / "copy")) == 69
    with running(daemon):
        daemon.run("backup", str(tmp_path / "copy"), "--with-key")
        assert (tmp_path / "copy/master.key").read_bytes() == (daemon.state / "master.key").read_bytes()
        for taken in (tmp_path / "copy", daemon.state):
            assert exit_code(daemon, "backup", str(taken)) == 73
        (tmp_path / "second.unfinished").mkdir()
        assert exit_code(daemon, "backup", str(tmp_path / "second")) == 73
        assert exit_code(daemon, "backup", str(tmp_path / "missing/copy")) == 65
        assert exit_code(daemon, "backup", str(daemon.config / "copy")) == 65
        with pytest.raises(urllib.error.HTTPError, match="403"):  # nobody makes one over HTTP
            daemon.ask("POST", "/backups", {"directory": str(tmp_path / "third")})
        assert not (tmp_path / "third").exists()
        acts = [entry["act"] for entry in daemon.ask("GET", "/audit") if entry["kind"] == "store"]
        assert acts == ["backup"]
