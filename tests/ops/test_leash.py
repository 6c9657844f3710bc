"""Daemons that a test has started end with it, also where it is killed and can end nothing."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWNER = """
from tests.peers.leash import Leashed
ended = Leashed(["true"]).wait()
left = Leashed(["sh", "-c", "trap '' TERM HUP INT; sleep 1000 & wait"])
print("started", flush=True)
left.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_test_has_started_ends_with_its_children(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"started\n"
        owner.send_signal(number)
        assert owner.stdout.read() == b""  # to its end: whoever is left holds it open
