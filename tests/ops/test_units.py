"""The systemd units: what systemd itself says of them (rules 32: on a copy whose ExecStart is the venv's gatepost)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.s*t")) + sorted((ROOT / "systemd").glob("*.service"))


@pytest.fixture
def units(tmp_path: Path) -> Path:
    gatepost = Path(sys.executable).parent / "gatepost"
    for unit in UNITS:
        text = unit.read_text().replace("/opt/gatepost/bin/gatepost", str(gatepost))
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def analyze(*args: object) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("systemd-analyze")
    assert tool, "systemd-analyze is missing: install systemd (.ci/run does)"
    return subprocess.run([tool, *map(str, args)], capture_output=True, text=True, timeout=60)


@pytest.mark.conformance
def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    done = analyze("verify", *sorted(units.iterdir()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.conformance
def test_the_service_is_exposed_by_no_more_than_1_6(units: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=16", "--no-pager", units / "gatepost.service")
    exposure = re.search(r"Overall exposure level for gatepost.service: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) <= 1.6
    assert done.returncode == 0


def test_each_socket_unit_serves_the_service_under_its_own_name() -> None:
    for unit in (ROOT / "systemd").glob("*.socket"):
        name = unit.stem.removeprefix("gatepost-")
        text = unit.read_text()
        assert f"FileDescriptorName={name}\n" in text
        assert "Service=gatepost.service\n" in text
        assert "WantedBy=sockets.target gatepost.service\n" in text  # else a start finds none after five failed ones
        assert f"fd:{name}" in text.splitlines()[0]


def test_the_service_waits_for_readiness_and_is_watched() -> None:
    text = (ROOT / "systemd/gatepost.service").read_text()
    for line in (
        "Type=notify",
        "WatchdogSec=30",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "TimeoutStopSec=15",
        "KillMode=mixed",
        "OOMPolicy=continue",
    ):
        assert f"\n{line}\n" in text
