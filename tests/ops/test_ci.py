"""What CI runs ends as a whole, in its time or when it is stopped: nothing that a step started is left behind."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / ".ci/run"
MAKEFILE = """\
venv check conformance:
\t@true
test:
\t@sh -c 'trap "" TERM; sleep 1000 & echo started; wait' & sleep 1000 & wait
"""


@pytest.mark.parametrize(("limit", "code"), [("240", 143), ("2", 1)])
def test_what_a_step_started_ends_with_it(tmp_path: Path, limit: str, code: int) -> None:
    script = tmp_path / ".ci/run"
    script.parent.mkdir()
    text = RUN.read_text()
    assert text.count("step test 240") == text.count("--kill-after=10") == 1
    script.write_text(
        text.replace("step test 240", f"step test {limit}").replace("--kill-after=10", "--kill-after=0.5")
    )
    (tmp_path / "Makefile").write_text(MAKEFILE)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "dpkg-query").write_text("#!/bin/sh\necho install ok installed\n")
    (tools / "dpkg-query").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    with subprocess.Popen(
        ["bash", str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": path},
        start_new_session=True,
    ) as run:
        late = threading.Timer(30, os.killpg, (run.pid, signal.SIGKILL))
        late.start()
        assert run.stdout is not None
        if code == 143:
            assert any(line == "started\n" for line in run.stdout)
            run.send_signal(signal.SIGTERM)
        run.stdout.read()  # to its end: whoever is left holds it open
        late.cancel()
        assert run.wait() == code
