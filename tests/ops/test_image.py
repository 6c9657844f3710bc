"""The container image: its steps in a directory of their own, and what the Dockerfile promises."""

import os
import re
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest
from tests.peers.daemon import Daemon, running

ROOT = Path(__file__).parents[2]


def instructions(name: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.removeprefix(f"{name} ") for line in text.splitlines() if line.startswith(f"{name} ")]


def test_the_image_runs_without_root_and_watches_its_health() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("HEALTHCHECK")[0].endswith('CMD ["gatepost", "health"]')
    assert instructions("RUN")[1] == "/src/scripts/image-install"


def test_the_image_gets_every_file_that_its_steps_read() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    read = set(re.findall(r"\$source/([\w./-]+)", (ROOT / "scripts/image-install").read_text()))
    project = {"pyproject.toml", "README.md", "src"}  # what the build of the package reads
    assert read | project | {"scripts/image-install"} <= sent
    assert all((ROOT / name).exists() for name in sent)


@pytest.mark.conformance
def test_its_settings_start_a_daemon_that_takes_mail(tmp_path: Path) -> None:
    shipped = (ROOT / "config/container.toml").read_text()
    here = re.sub(r'"0\.0\.0\.0:\d+"', '"127.0.0.1:0"', shipped).replace('"/var/lib/gatepost"', '"state"')
    with running(Daemon(tmp_path, settings=here)) as daemon, smtplib.SMTP("127.0.0.1", daemon.ports[0]) as client:
        assert client.noop()[0] == 250


@pytest.mark.conformance
@pytest.mark.timeout(400)
def test_its_steps_make_a_gatepost_that_starts(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHON": sys.executable, "GATEPOST_UID": str(os.getuid())}
    step = subprocess.run([ROOT / "scripts/image-install", tmp_path], env=environ, capture_output=True, text=True)
    assert step.returncode == 0, step.stderr
    assert step.stdout.startswith("gatepost ")
    assert (tmp_path / "var/lib/gatepost").stat().st_mode & 0o777 == 0o700
    config = tmp_path / "etc/gatepost/gatepost.toml"
    environ["GATEPOST_STORE__DIRECTORY"] = str(tmp_path / "var/lib/gatepost")
    environ |= {"GATEPOST_SMTP__LISTENER": '[{listen = "127.0.0.1:0"}]', "GATEPOST_HTTP__LISTEN": '["127.0.0.1:0"]'}
    for words in (["check"], ["init", "--json"], ["check"]):
        command = [tmp_path / "opt/gatepost/bin/gatepost", *words, "--config", config]
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
