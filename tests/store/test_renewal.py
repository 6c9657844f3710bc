"""A new master key: every secret is sealed with it, and wherever that is broken off the store opens."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from tests.ready import lay_store
from tests.store.samples import open_store

from gatepost.events import Metrics
from gatepost.model.options import OptionValue, Scope
from gatepost.model.outgoing import Scheduled
from gatepost.model.query import Query
from gatepost.model.webhook import Webhook
from gatepost.settings import StoreSettings
from gatepost.store import renewal
from gatepost.store.health import Health, StoreProblem
from gatepost.store.opening import Opened, open_directory
from gatepost.store.secrets import Secrets, is_sealed, read_keys
from gatepost.store.store import Store
from gatepost.store.writer import Writer

MANY = 7
FORGED = Secrets([Fernet.generate_key()]).seal("of another store")


def fill(store: Store) -> None:
    seal = store.secrets.seal

    def change(writer: Writer) -> None:
        for number in range(MANY):
            writer.add(Webhook(domain_id=1, url="https://a.test/", events=[], secret=seal(f"{number}"), created_at=0))
        writer.add(OptionValue(scope=Scope.URL, owner_id=1, name="A", value=seal("option")))
        writer.add(OptionValue(scope=Scope.URL, owner_id=1, name="B", value=FORGED))
        sealed = {"draft": seal("draft"), "subject": "gAAAAA, what a name"}
        writer.add(Scheduled(id="f" * 32, user_id=1, asked=1, due=1, created_at=1, **sealed))

    store.write_sync(change)


def secrets_in(directory: Path) -> tuple[list[str], list[str]]:
    """Open a store; return its secrets in clear, and those values that none of its keys opens."""
    store = open_store(directory)
    try:
        find = store.reader.find
        values = [
            *(each.secret for each in find(Webhook, Query(sort="id")).items),
            *(each.value for each in find(OptionValue, Query(sort="id")).items),
            *(each.draft for each in find(Scheduled, Query()).items),
        ]
        assert all(map(is_sealed, values))
        own = [each for each in values if each != FORGED]
        return [store.secrets.unseal(each) for each in own], [each for each in values if each == FORGED]
    finally:
        store.close_sync()


ALL = ([*map(str, range(MANY)), "option", "draft"], [FORGED])


@pytest.fixture
def filled(directory: Path) -> Path:
    lay_store(directory)
    store = open_store(directory)
    fill(store)
    store.close_sync()
    return directory


def opened(directory: Path) -> Opened:
    return open_directory(directory, StoreSettings(directory=str(directory)), Health(Metrics()))


def finish(directory: Path) -> int:
    store = opened(directory)
    try:
        return [0, *renewal.renew_key(store)][-1]
    finally:
        store.close()


def test_everything_is_sealed_with_the_new_key_and_the_old_one_is_kept_for_backups(filled: Path) -> None:
    (old,) = read_keys(filled / "master.key")
    assert finish(filled) == len(ALL[0])
    (new,) = read_keys(filled / "master.key")
    assert new != old
    assert secrets_in(filled) == ALL
    assert read_keys(filled / "master.key.old") == [old]
    for name in ("master.key", "master.key.old"):
        assert (filled / name).stat().st_mode & 0o777 == 0o600
    finish(filled)
    assert read_keys(filled / "master.key.old") == [old, new]
    assert secrets_in(filled) == ALL


def broken_off(filled: Path, tmp_path: Path) -> Iterator[Path]:
    """Yield a copy of the store as it is on the disc after each commit of a renewal, as a kill would leave it."""
    store = opened(filled)
    for number, _ in enumerate(renewal.renew_key(store)):
        copy = tmp_path / f"after{number}"
        shutil.copytree(filled, copy)
        yield copy
    store.close()


def test_wherever_it_is_broken_off_the_store_opens_and_the_next_one_goes_on(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "SLICE", 2)
    (old,) = read_keys(filled / "master.key")
    copies = list(broken_off(filled, tmp_path))
    assert len(copies) >= 6
    for copy in copies:
        new, below = read_keys(copy / "master.key")
        assert below == old
        assert secrets_in(copy) == ALL
        finish(copy)
        assert read_keys(copy / "master.key") == [new], "no further key is made"
        assert secrets_in(copy) == ALL


def test_a_key_that_was_put_on_top_by_hand_is_the_new_one(filled: Path) -> None:
    key = filled / "master.key"
    (old,) = read_keys(key)
    new = Fernet.generate_key()
    key.write_bytes(new + b"\n" + old + b"\n")
    finish(filled)
    assert read_keys(key) == [new]
    assert secrets_in(filled) == ALL


def test_where_no_key_can_be_written_nothing_is_changed(filled: Path) -> None:
    key = filled / "master.key"
    before = key.read_bytes()
    (filled / "master.key.new").mkdir()
    with pytest.raises(StoreProblem, match="can't be put on top") as refused:
        finish(filled)
    assert refused.value.code == StoreProblem.DENIED
    assert key.read_bytes() == before
    assert secrets_in(filled) == ALL


def test_a_file_of_old_keys_that_cannot_be_read_is_not_written_over(filled: Path) -> None:
    before = (filled / "master.key").read_bytes()
    (filled / "master.key.old").write_text("locked away under a pass phrase")
    with pytest.raises(StoreProblem, match="no valid master key"):
        finish(filled)
    assert (filled / "master.key.old").read_text() == "locked away under a pass phrase"
    assert (filled / "master.key").read_bytes() == before
    assert secrets_in(filled) == ALL


def test_where_old_keys_can_be_kept_nowhere_none_is_taken_out(filled: Path) -> None:
    key = filled / "master.key"
    both = Fernet.generate_key() + b"\n" + key.read_bytes()
    key.write_bytes(both)
    (filled / "master.key.old.new").mkdir()
    with pytest.raises(StoreProblem, match="nor taken out"):
        finish(filled)
    assert key.read_bytes() == both
    key.write_bytes(both.splitlines()[0])
    assert secrets_in(filled) == ALL, "all is sealed with the new key"
