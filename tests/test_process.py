"""The heap of the daemon does not shrink and grow with each mail."""

import subprocess
import sys

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
