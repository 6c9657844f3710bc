"""`gatepost key renew`: a new master key for a store that nobody uses."""

import os
from pathlib import Path

import pytest
from tests.store.samples import open_store

from gatepost.cli.main import main
from gatepost.store.secrets import fingerprint, read_keys


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gatepost.toml"
    file.write_text(f'[store]\ndirectory = "{tmp_path}/state"\nreserve_bytes = 0\nreserve_percent = 0.0\n')
    return file


def renew(config: Path) -> int:
    return main(["key", "renew", "--config", str(config)])


def test_it_tells_which_key_seals_and_where_the_old_one_is(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_store(tmp_path / "state").close_sync()
    assert renew(config) == os.EX_OK
    told = capsys.readouterr().out
    (new,) = read_keys(tmp_path / "state/master.key")
    assert f"0 secrets are sealed with the new key {fingerprint(new)} in {tmp_path}/state/master.key." in told
    assert f"The old one is in {tmp_path}/state/master.key.old" in told
    assert new.decode() not in told


def test_a_store_that_is_in_use_or_missing_is_left_alone(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert renew(config) == os.EX_NOINPUT
    assert not (tmp_path / "state").exists()
    store = open_store(tmp_path / "state")
    before = read_keys(tmp_path / "state/master.key")
    assert renew(config) == os.EX_TEMPFAIL
    assert "another process uses this store" in capsys.readouterr().err
    store.close_sync()
    assert read_keys(tmp_path / "state/master.key") == before
