"""A process of ours: its heap stays, its garbage is found, and nothing of its own is numbered as a standard file."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from gatepost.process import loaded

# Many blocks that are too large for Python's own arenas, and free again at once.
WORK = """
import resource, sys
from gatepost.process import keep_the_heap
if sys.argv[1] == "kept":
    keep_the_heap()
def mail():
    return [bytes(1000) for _ in range(2000)]
mail()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    mail()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", WORK, how], check=True, capture_output=True, text=True, timeout=60)
    return int(done.stdout)


def test_what_a_mail_took_is_there_for_the_next_one() -> None:
    assert faults("kept") * 10 < faults("trimmed")


CLOSED = """
import os, sys
from gatepost.cli.main import main
code = main(["version"])
print(code, repr(sys.stdin.read()), *(os.readlink(f"/proc/self/fd/{number}") for number in (0, 1)), file=sys.stderr)
"""


def test_standard_files_that_are_closed_are_held_by_the_null_device() -> None:
    """Else the first connection is number 0, and libuv ends the process when that is closed."""
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&-', sys.executable, CLOSED]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.stderr == "0 '' /dev/null /dev/null\n"


def test_garbage_is_looked_for_again_whether_or_not_a_module_could_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "gatepost_sound.py").write_text("import gc\nlooked = gc.isenabled()\n")
    (tmp_path / "gatepost_broken.py").write_text("1 / 0\n")
    found = loaded("gatepost_sound")
    assert not found.looked and loaded("gatepost_sound") is found
    with pytest.raises(ZeroDivisionError):
        loaded("gatepost_broken")
    assert gc.isenabled()
