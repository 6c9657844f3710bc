"""`gatepost serve` as a process: readiness, signals, one process for one store."""

import contextlib
import json
import os
import signal
import smtplib
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Daemon
from tests.ready import lay_store

from gatepost.cli.main import main


@pytest.fixture
def fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    assert made.run("init") == os.EX_OK
    capsys.readouterr()
    made.start()
    yield made
    made.close()


def test_ready_means_that_every_listener_is_bound(daemon: Daemon) -> None:
    with urllib.request.urlopen(f"{daemon.url}/readyz") as answer:
        assert answer.status == 200
    assert daemon.run("health") == os.EX_OK
    assert not any("administrator" in str(line["event"]) for line in daemon.log())  # there is one, from `init`


def test_the_watchdog_hears_of_the_loop(daemon: Daemon) -> None:
    assert daemon.told("WATCHDOG=1")


def test_a_hangup_reloads_and_nothing_stops(daemon: Daemon) -> None:
    for other in (signal.SIGUSR1, signal.SIGUSR2):  # what asks other daemons for a new log file
        daemon.signal(other)
    for _ in range(50):
        daemon.signal(signal.SIGHUP)
    assert daemon.run("health") == os.EX_OK
    assert hung_up(daemon)["event"] == "settings are unchanged"


def hung_up(daemon: Daemon) -> dict[str, object]:
    """Send SIGHUP, and return the last line of the log when that is over."""
    daemon.forget()
    daemon.signal(signal.SIGHUP)
    daemon.told("RELOADING=1")
    daemon.told("READY=1")
    return daemon.log()[-1]


def test_a_hangup_tells_which_settings_wait_for_a_restart(daemon: Daemon) -> None:
    before = daemon.config.read_text()
    try:
        daemon.config.write_text(f"{before.replace('3.0', '4.0')}[filters.virus]\non_error = 'defer'\n")
        told = hung_up(daemon)
        assert (told["level"], told["keys"]) == ("warning", ["limits.shutdown", "filters.virus.on_error"])
        daemon.config.write_text(before.replace("shutdown = 3.0", 'shutdown = "soon"'))
        told = hung_up(daemon)
        assert told["event"] == "settings not read: those in use stay, and a restart would fail"
        assert told["why"] == f"{daemon.config}: limits.shutdown: Expected `float`, got `str`"
    finally:
        daemon.config.write_text(before)
    assert hung_up(daemon)["event"] == "settings are unchanged"


def test_a_hangup_during_the_start_is_kept_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Daemon(tmp_path)
    assert made.run("init") == os.EX_OK
    name, pipe = tmp_path / "name", tmp_path / "key"  # the start waits until somebody writes into each
    for each in (name, pipe):
        os.mkfifo(each)
    monkeypatch.setenv("GATEPOST_SMTP__HOSTNAME_FILE", str(name))
    given = made.config.read_text().replace("[store]", f'[store]\nkey_file = "{pipe}"')
    made.config.write_text(given.replace("gatepost.test", "no name, but for the variable"))
    starting = threading.Thread(target=made.start)
    starting.start()
    with name.open("wb") as host:
        made.signal(signal.SIGHUP)
        host.write(b"gatepost.test")
    with pipe.open("wb") as key:
        made.signal(signal.SIGHUP)
        key.write((made.state / "master.key").read_bytes())
    starting.join()
    made.told("RELOADING=1")
    made.told("READY=1")
    assert made.log()[-1]["event"] == "settings are unchanged"
    assert made.stop() == os.EX_OK
    made.close()


def test_a_second_process_on_the_store_is_refused(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    """Threat 83."""
    assert daemon.run("serve") == os.EX_TEMPFAIL
    assert "another process uses this store" in capsys.readouterr().err


def test_a_check_leaves_a_running_store_alone(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert daemon.run("check") == os.EX_OK
    assert "in use by a running gatepost, which is ready" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() != 0, reason="not root, who can listen as another user")
def test_a_check_beside_the_daemon_tells_of_ports_that_others_have_taken(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEPOST_SMTP__LISTENER", f'[{{listen = "{daemon.smtp}"}}]')
    assert daemon.run("check") == os.EX_OK, "it listens there itself"
    os.seteuid(65534)
    try:
        other = socket.create_server(("127.0.0.1", 0))
    finally:
        os.seteuid(0)
    with other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv("GATEPOST_HTTP__LISTEN", f'["{taken}"]')
        assert daemon.run("check") == os.EX_UNAVAILABLE
    assert f"Error: http.listen: {taken}: Address already in use (" in capsys.readouterr().err


def test_a_stop_is_clean_and_quick(fresh: Daemon) -> None:
    """Threat 89: under 10 s, and the store is closed in good order."""
    began = time.monotonic()
    assert fresh.stop() == os.EX_OK
    assert time.monotonic() - began < 10
    fresh.told("STOPPING=1")
    assert fresh.run("health") == os.EX_UNAVAILABLE
    assert not (fresh.state / "gatepost.db-wal").exists()
    assert fresh.run("check") == os.EX_OK


def test_sigquit_stops_it_as_cleanly(fresh: Daemon) -> None:
    fresh.signal(signal.SIGQUIT)
    fresh.told("STOPPING=1")
    assert fresh.process
    while fresh.process.poll() is None:  # pytest's own limit ends this
        fresh.signal(signal.SIGHUP)
    assert fresh.process.returncode == os.EX_OK, "to the very end a SIGHUP changes nothing"


def test_a_second_sigterm_ends_it_at_once(fresh: Daemon) -> None:
    """Threat 89: a mail under way is waited for, unless the operator insists."""
    assert fresh.run("domain", "add", "example.org", "--next-hop", "127.0.0.1:9") == os.EX_OK
    host, _, port = fresh.smtp.rpartition(":")
    with smtplib.SMTP(host, int(port), local_hostname="client.test") as client:
        client.ehlo()
        client.mail("a@elsewhere.test")
        assert client.rcpt("alice@example.org")[0] == 250
        assert client.docmd("DATA")[0] == 354
        fresh.signal(signal.SIGTERM)
        fresh.told("STOPPING=1")
        assert insist(fresh) == os.EX_TEMPFAIL
        client.close()


def insist(daemon: Daemon) -> int:
    """Send SIGTERM until the process ends, and return its exit code."""
    assert daemon.process
    for _ in range(600):
        daemon.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return daemon.process.wait(timeout=0.1)
    raise AssertionError("it outlived all signals")


def test_a_taken_port_is_told_with_its_name(daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    text = daemon.config.read_text().replace('listen = "127.0.0.1:0"', f'listen = "{daemon.smtp}"')
    (other / "gatepost.toml").write_text(text)
    lay_store(other / "state")
    second = ["serve", "--config", str(other / "gatepost.toml")]
    assert main(second) == os.EX_UNAVAILABLE
    assert f"Error: {daemon.smtp}: Address already in use (`ss -ltnp` shows by whom)\n" in capsys.readouterr().err


def test_files_are_their_owners_alone(daemon: Daemon) -> None:
    """Threat 92."""
    for path in [daemon.state, *daemon.state.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_promised_files_are_made_by_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Daemon(tmp_path)
    assert made.run("init", "--json") == os.EX_OK
    assert set(json.loads(capsys.readouterr().out)) == {"login", "password", "token"}
    assert made.run("init") == os.EX_CANTCREAT
    assert "set up already" in capsys.readouterr().err
    made.close()


@pytest.mark.parametrize("mounted", [False, True])
def test_a_store_is_made_by_init_alone(tmp_path: Path, mounted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Else one whose file system is missing would refuse all mail for good, as a new one with no domains."""
    made = Daemon(tmp_path)
    if mounted:
        made.state.mkdir()
    assert made.run("serve") == os.EX_CONFIG
    assert f"{made.state}: holds no store" in capsys.readouterr().err
    assert not made.state.exists() or list(made.state.iterdir()) == []
    made.close()


def test_a_store_without_administrator_is_told_of_at_the_start(tmp_path: Path) -> None:
    made = Daemon(tmp_path)
    made.afresh = True  # as it is in service
    lay_store(made.state)
    try:
        made.start()
        assert any("there is no administrator yet" in str(line["event"]) for line in made.log())
    finally:
        made.close()


@pytest.mark.parametrize("login", ["", " ", "a\nb", "x" * 256])
def test_the_first_administrator_has_a_name_that_can_be_typed(login: str, tmp_path: Path) -> None:
    (tmp_path / "gatepost.toml").write_text('[store]\ndirectory = "state"\n')
    assert main(["init", "--login", login, "--config", str(tmp_path / "gatepost.toml")]) == os.EX_USAGE
    assert not (tmp_path / "state").exists()
