"""`gatepost dev`, whole: every sample's fate, and a second start on the same directory."""

import json
import os
import re
import socket
import tempfile
from pathlib import Path

import pytest
from tests.peers.forked import Forked

from gatepost.cli.dev import dev as relay
from gatepost.cli.dev import sandbox
from gatepost.cli.main import main
from gatepost.cli.running import run

WANTED = {
    "a clean mail": "250 delivered",
    "from a blocked sender": "550 refused",
    "an .exe inside a zip": "250 held in quarantine",
    "a link to a bad host": "250 held in quarantine",
    "spam (GTUBE)": "250 held in quarantine",
    "a virus (EICAR)": "554 refused",
}


def dev(directory: Path) -> str:
    command = ["dev", "--once", "--directory", str(directory), "--smtp-port", "0", "--http-port", "0"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = Forked(command, env=os.environ, stdout=out, stderr=err).wait(60)
        for file in (out, err):
            file.seek(0)
        assert code == os.EX_OK, err.read().decode()
        return out.read().decode()


def fates(out: str) -> dict[str, str]:
    rows = [re.split(r"  +", line) for line in out.splitlines()]
    return {row[0]: f"{row[1].split()[0]} {row[2]}" for row in rows if row[0] in WANTED}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dev") / "a state"


@pytest.fixture(scope="module")
def first(directory: Path) -> str:
    """What the first start on the directory told."""
    return dev(directory)


def test_every_sample_meets_its_fate_and_the_second_start_is_like_the_first(
    first: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fates(first) == WANTED
    assert re.search(r"curl -H 'Authorization: Bearer [0-9a-f]{32}' http://127.0.0.1:\d+/domains", first)
    assert f"explain --config '{directory / 'gatepost.toml'}' ID" in first  # a shell takes it as it stands
    with socket.create_server(("127.0.0.1", 0)) as taken:  # since it was looked for
        run(relay(sandbox(directory, taken.getsockname()[1], 0), once=True))
    assert fates(capsys.readouterr().out) == WANTED


@pytest.mark.usefixtures("first")
def test_a_second_one_on_the_same_directory_is_told_why_it_cannot_be(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = json.loads((directory / "dev.json").read_bytes())["hop_port"]
    with socket.create_server(("127.0.0.1", port)):
        assert main(["dev", "--once", "--directory", str(directory)]) == os.EX_UNAVAILABLE
    told = f"port {port}, its next hop's, is taken: end the `gatepost dev` that runs on it"
    assert told in capsys.readouterr().err


def test_what_is_no_directory_of_its_own_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = ["dev", "--once", "--directory", str(tmp_path)]
    (tmp_path / "dev.json").touch()
    assert main(broken) == os.EX_DATAERR
    assert f"{tmp_path}/dev.json: Input data was truncated: remove the directory" in capsys.readouterr().err
    (tmp_path / "dev.json").unlink()
    (tmp_path / "gatepost.toml").write_text('store.directory = "."')
    assert main(["init", "--config", str(tmp_path / "gatepost.toml")]) == os.EX_OK
    assert main(broken) == os.EX_CANTCREAT
    assert f"{tmp_path}: holds another's store, or that of a `gatepost dev`" in capsys.readouterr().err
