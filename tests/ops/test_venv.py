"""`make venv`: an environment is kept as long as it is of the same Python."""

import subprocess
import sys
from pathlib import Path

import pytest

MAKE = Path(__file__).parents[2] / "scripts" / "make-venv"
BARE = f"""#!/bin/sh
[ "$1" = -m ] && set -- "$@" --without-pip  # most of the time that it takes
exec {sys.executable} "$@"
"""
OTHER = '#!/bin/sh\necho "3.0.1 (default) /elsewhere"\n'


@pytest.mark.parametrize("theirs", [OTHER, pytest.param("#!/bin/sh\nexit 127\n", marks=pytest.mark.conformance)])
def test_an_environment_of_another_python_or_of_one_that_is_gone_is_made_anew_and_then_kept(
    theirs: str, tmp_path: Path
) -> None:
    made = tmp_path / ".venv"
    bare, python = tmp_path / "python", made / "bin" / "python"
    python.parent.mkdir(parents=True)
    for program, text in ((bare, BARE), (python, theirs)):
        program.write_text(text)
        program.chmod(0o755)
    (made / "pyvenv.cfg").touch()
    installed = made / "lib" / "installed"
    for kept in (False, True):
        installed.parent.mkdir(exist_ok=True)
        installed.touch()
        subprocess.run([MAKE, bare, made], check=True)
        assert installed.exists() == kept
    told = [subprocess.run([each, "-c", "import sys; print(sys.version)"], check=True, capture_output=True).stdout
            for each in (sys.executable, python)]  # fmt: skip
    assert told[0] == told[1]


@pytest.mark.conformance
def test_a_folder_that_is_no_environment_is_not_emptied(tmp_path: Path) -> None:
    """`make venv VENV=` with a folder of somebody's own."""
    precious = tmp_path / "precious"
    precious.touch()
    subprocess.run([MAKE, sys.executable, tmp_path], check=True)
    assert precious.exists() and (tmp_path / "bin" / "python").exists()
