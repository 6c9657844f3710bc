"""The master key is made once, known by its print, and never replaced."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from tests.store.samples import open_store

from gatepost.store.health import StoreProblem
from gatepost.store.secrets import Secrets, Unsealable, fingerprint


def reopened(directory: Path, **changes: str) -> None:
    open_store(directory, **changes).close_sync()


def test_a_sealed_text_comes_out_again_after_a_restart(directory: Path) -> None:
    store = open_store(directory)
    sealed, key = store.secrets.seal("pässword"), store.derived("ids")
    store.close_sync()
    assert "pässword" not in sealed and len(key) == 32
    again = open_store(directory)
    assert again.secrets.unseal(sealed) == "pässword" and again.derived("ids") == key
    again.close_sync()


def test_the_same_text_is_sealed_differently_each_time(directory: Path) -> None:
    store = open_store(directory)
    assert store.secrets.seal("a") != store.secrets.seal("a")
    store.close_sync()


@pytest.mark.parametrize("text", ["", "text", "gAAAAA==", "\ud800"])
def test_what_was_not_sealed_here_is_refused(text: str) -> None:
    with pytest.raises(Unsealable):
        Secrets([Fernet.generate_key()]).unseal(text)
    with pytest.raises(Unsealable):
        Secrets([Fernet.generate_key()]).unseal(Secrets([Fernet.generate_key()]).seal("x"))


def test_a_missing_key_is_never_made_anew(directory: Path) -> None:
    reopened(directory)
    key = directory / "master.key"
    saved = key.read_bytes()
    key.unlink()
    with pytest.raises(StoreProblem, match=r"master\.key: the master key is missing"):
        reopened(directory)
    assert not key.exists()
    key.write_bytes(saved)
    reopened(directory)


def test_another_key_is_refused_and_left_alone(directory: Path) -> None:
    reopened(directory)
    other = Fernet.generate_key()
    (directory / "master.key").write_bytes(other)
    with pytest.raises(StoreProblem, match="not the key that this store was sealed with") as raised:
        reopened(directory)
    assert raised.value.code == StoreProblem.CONFIG
    assert (directory / "master.key").read_bytes() == other


@pytest.mark.parametrize("content", [b"", b"\n", b"not a key", b"AAAA"])
def test_a_file_that_is_no_key_is_refused(directory: Path, content: bytes) -> None:
    directory.mkdir()
    (directory / "master.key").write_bytes(content)
    with pytest.raises(StoreProblem, match="no valid master key"):
        reopened(directory)
    assert (directory / "master.key").read_bytes() == content


def test_a_key_may_lie_elsewhere(directory: Path, tmp_path: Path) -> None:
    key = tmp_path / "given.key"
    key.write_bytes(Fernet.generate_key())
    reopened(directory, key_file=str(key))
    assert not (directory / "master.key").exists()
    with pytest.raises(StoreProblem):
        reopened(directory)
    reopened(directory, key_file=str(key))


def test_a_key_that_can_not_be_made_is_told(directory: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreProblem, match="can't be made") as raised:
        reopened(directory, key_file=str(tmp_path / "nowhere" / "key"))
    assert raised.value.code == StoreProblem.DENIED
    reopened(directory)  # nothing was sealed yet


def test_84_a_start_killed_while_it_made_the_key_is_made_good(directory: Path) -> None:
    directory.mkdir()
    (directory / "master.key.new").write_bytes(b"hal")
    reopened(directory)
    assert sorted(path.name for path in directory.glob("master*")) == ["master.key"]


def test_a_new_key_on_top_seals_and_the_old_one_still_opens(directory: Path) -> None:
    store = open_store(directory)
    sealed = store.secrets.seal("secret")
    store.close_sync()
    key = directory / "master.key"
    old, new = key.read_bytes().strip(), Fernet.generate_key()
    key.write_bytes(new + b"\n" + old + b"\n")
    store = open_store(directory)
    assert store.secrets.unseal(sealed) == "secret"
    renewed = store.secrets.renew(sealed)
    assert Secrets([new]).unseal(renewed) == "secret"
    store.close_sync()
    for missing in (old, new):  # both have sealed by now
        key.write_bytes(missing + b"\n")
        with pytest.raises(StoreProblem):
            reopened(directory)


def test_92_no_key_shows_in_what_may_be_logged() -> None:
    key = Fernet.generate_key()
    secrets = Secrets([key])
    assert key.decode() not in repr(secrets)
    assert fingerprint(key) in repr(secrets) and fingerprint(key) not in key.decode()
