"""The command line as a whole: help, exit codes, and what it says without a daemon."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.cli import eml, health
from gatepost.cli.control import SOCKET_NAME
from gatepost.cli.failure import Failure
from gatepost.cli.main import COMMANDS, gatepost, main


def test_every_command_is_listed_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == os.EX_OK
    out = capsys.readouterr().out
    for name, said in COMMANDS.items():
        assert f"  {name}" in out
        assert main([name, "--help"]) == os.EX_OK
        assert said.rstrip(".") in " ".join(capsys.readouterr().out.split())


def test_a_command_is_named_as_its_file() -> None:
    import click

    context = click.Context(gatepost)
    for name in COMMANDS:
        command = gatepost.get_command(context, name)
        assert command is not None
        assert command.help


@pytest.mark.parametrize(
    "args", [["serve", "--nonsense"], ["nonsense"], ["send"], ["explain"], ["dev", "--smtp-port", "65536"]]
)
def test_wrong_usage_is_told_as_such(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == os.EX_USAGE
    assert "Error: " in capsys.readouterr().err
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize(
    "args",
    [
        ["queue", "list"],
        ["queue", "flush"],
        ["domain", "list"],
        ["user", "list", "example.org"],
        ["token", "list"],
        ["explain", "0" * 32],
        ["health"],
    ],
)
def test_without_a_daemon_a_command_says_so(
    args: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gatepost.toml").write_text('[store]\ndirectory = "state"\n')
    code = main([*args, "--config", str(tmp_path / "gatepost.toml")])
    err = capsys.readouterr().err
    assert code == os.EX_UNAVAILABLE
    assert f"no gatepost is running on {tmp_path}/state" in err


def test_a_daemon_that_hangs_is_not_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.01)
    settings = tmp_path / "gatepost.toml"
    settings.write_text(f'[store]\ndirectory = "{tmp_path}"\n')
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / SOCKET_NAME))
        silent.listen()
        assert main(["health", "--config", str(settings)]) == os.EX_UNAVAILABLE
    assert "does not answer" in capsys.readouterr().err


def test_what_has_no_end_is_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eml, "LARGEST", 1000)
    with pytest.raises(Failure, match="/dev/zero: larger than any mail"):
        list(eml.read_mails(Path("/dev/zero")))


def test_a_mail_may_come_through_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"Subject: hi\n\nHello\n")
    os.close(writer)
    assert list(eml.read_mails(Path(f"/proc/self/fd/{reader}"))) == [b"Subject: hi\r\n\r\nHello\r\n"]
    os.close(reader)


def test_the_installed_command_prints_its_version_as_json() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "gatepost", "version", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["gatepost"]


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "gatepost", "version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("gatepost ")


def test_the_version_is_also_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == os.EX_OK
    assert capsys.readouterr().out.startswith("gatepost ")


def run(args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell's that may call `gatepost`."""
    line = f'gatepost() {{ "$0" -m gatepost "$@"; }}; {args}'
    command = ["bash", "-c", line, sys.executable]
    return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["version", "config default"])
def test_an_output_that_takes_nothing_is_told_in_a_sentence(command: str) -> None:
    done = run(f"gatepost {command} > /dev/full")
    assert (done.returncode, done.stderr) == (os.EX_IOERR, "Error: No space left on device\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("version --none", os.EX_USAGE),
        ("config show --config /none", os.EX_CONFIG),
        ("send --to $'\\xff@example.org'", os.EX_USAGE),
    ],
)
@pytest.mark.parametrize(
    "gone",
    ["2>&-", *(pytest.param(each, marks=pytest.mark.conformance) for each in ("2> /dev/full", "2> >(exec true)"))],
)
def test_a_command_that_nobody_hears_fails_with_its_own_code(command: str, code: int, gone: str) -> None:
    done = run(f"gatepost {command} {gone}")
    assert (done.returncode, done.stdout) == (code, "")


def test_a_reader_that_goes_away_is_met_with_silence() -> None:
    done = run("gatepost config default | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (os.EX_IOERR, "")


@pytest.mark.parametrize("args", [["domain", "list", "--name"], ["explain"], ["send", "--to"]])
def test_an_argument_that_is_no_utf8_is_wrong_usage(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*args, "\udcff@example.org"]) == os.EX_USAGE
    assert re.search(r"'\\udcff.*' is no UTF-8", capsys.readouterr().err)


@pytest.mark.skipif(os.geteuid() != 0, reason="not root, whose rights are taken away")
@pytest.mark.parametrize(
    "command",
    ["domain list", *(pytest.param(each, marks=pytest.mark.conformance) for each in ("check", "serve", "key renew"))],
)
def test_a_store_of_another_user_is_no_permission(command: str, tmp_path: Path) -> None:
    config, state = tmp_path / "gatepost.toml", tmp_path / "state"
    config.write_text(f'[store]\ndirectory = "{state}"\n')
    state.mkdir(mode=0o700)
    os.chown(state, 65534, 65534)
    done = run(f'setpriv --bounding-set=-all --inh-caps=-all "$0" -m gatepost {command} --config {config}')
    assert done.returncode == os.EX_NOPERM
    assert "ermission denied" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.conformance
@pytest.mark.skipif(os.geteuid() != 0, reason="not root, whose rights are taken away")
def test_a_port_that_only_the_service_may_open_is_no_fault(tmp_path: Path) -> None:
    config = tmp_path / "gatepost.toml"
    config.write_text('store.directory = "state"\nhttp.listen = []\nsmtp.listener = [{listen = "127.0.0.1:24"}]\n')
    done = run(f'setpriv --bounding-set=-all --inh-caps=-all "$0" -m gatepost check --config {config}')
    assert (done.returncode, done.stderr) == (os.EX_OK, "")
    assert "smtp.listener: 127.0.0.1:24 can't be tried by this user" in done.stdout
