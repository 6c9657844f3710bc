"""`make venv`: an environment is kept as long as it is of the same Python."""

import subprocess
import sys
from pathlib import Path

import pytest

MAKE = Path(__file__).parents[2] / "scripts" / "make-venv"
OTHER = '#!/bin/sh\necho "3.0.1 (default) /elsewhere"\n'


@pytest.mark.parametrize("theirs", [None, OTHER, "#!/bin/sh\nexit 127\n"], ids=["the same", "another's", "gone"])
def test_an_environment_of_another_python_is_made_anew(theirs: str | None, tmp_path: Path) -> None:
    made = tmp_path / ".venv"
    python = made / "bin" / "python"
    if theirs is None:
        subprocess.run([MAKE, sys.executable, made], check=True)
    else:
        python.parent.mkdir(parents=True)
        python.write_text(theirs)
        python.chmod(0o755)
    installed = made / "lib" / "installed"
    installed.parent.mkdir(exist_ok=True)
    installed.touch()
    subprocess.run([MAKE, sys.executable, made], check=True)
    assert installed.exists() == (theirs is None)
    told = [subprocess.run([each, "-c", "import sys; print(sys.version)"], check=True, capture_output=True).stdout
            for each in (sys.executable, python)]  # fmt: skip
    assert told[0] == told[1]
