"""Daemons that a test has started end with it, also where it is killed and can end nothing."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEASHED = """
from tests.peers.leash import Leashed
ended = Leashed(["true"]).wait()
left = Leashed(["sh", "-c", "trap '' TERM HUP INT; sleep 1000 & wait"])
print("started", flush=True)
left.wait()
"""
FORKED = """
import os, sys
from tests.peers.forked import Forked
left = Forked(["dev", "--directory", sys.argv[1], "--smtp-port", "0", "--http-port", "0"], env={}, stderr=sys.stdout)
print("started", flush=True)
left.wait()
"""


@pytest.mark.parametrize(
    "owner", [pytest.param(LEASHED, id="leashed"), pytest.param(FORKED, id="forked", marks=pytest.mark.conformance)]
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_test_has_started_ends_with_its_children(
    tmp_path: Path, owner: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", owner, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"started\n"
        killed.send_signal(number)
        for _ in killed.stdout:  # to its end: whoever is left holds it open
            pass
