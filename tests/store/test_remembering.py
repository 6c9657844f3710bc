"""Rows of configuration that the loop's reader remembers are as they stand now, whoever changed them and how."""

import pytest
from tests.store.samples import domain, keep, mail_id, user

from gatepost.model.query import Op, Where, eq, every
from gatepost.model.stored import Delivery
from gatepost.model.tenant import Domain, DomainAlias, User
from gatepost.store import remembering
from gatepost.store.remembered import Remembered
from gatepost.store.sqlite import Committer
from gatepost.store.store import Store, Writer

pytestmark = pytest.mark.anyio

BOB = eq("email", "bob@in.test")


def asked(store: Store) -> list[str]:
    """What the loop's reader asks of the database from now on."""
    said: list[str] = []
    store.reader._connection.set_trace_callback(said.append)
    return said


@pytest.fixture
async def filled(store: Store) -> Store:
    await store.write(lambda writer: (writer.add(domain()), writer.add(user())))
    return store


async def test_a_row_is_asked_for_once(filled: Store) -> None:
    said = asked(filled)
    for _ in range(3):
        assert filled.reader.get(User, 1) == filled.reader.first(User, BOB)
        assert filled.reader.get(Domain, 1) == filled.reader.domain("in.test")
    assert len(said) == 4


async def test_a_change_is_seen_by_whoever_waited_for_it(filled: Store) -> None:
    for change in (
        {"firstname": "Ann"},
        {"totp_step": 7},  # quiet: what else was read stays true
        {"email": "ann@in.test"},
    ):
        assert filled.reader.get(User, 1) and filled.reader.first(User, BOB)
        made = await filled.write(lambda writer, fields=change: writer.change(User, 1, **fields))
        assert filled.reader.get(User, 1) == made
    assert filled.reader.first(User, BOB) is None
    await filled.write(lambda writer: writer.remove(User, eq("id", 1)))
    assert filled.reader.get(User, 1) is None


async def test_what_is_not_there_is_found_once_it_is(filled: Store) -> None:
    assert filled.reader.domain("other.test") is filled.reader.get(User, 2) is None
    await filled.write(lambda writer: writer.add(DomainAlias(domain_id=1, name="other.test")))
    assert filled.reader.domain("other.test") == filled.reader.get(Domain, 1)
    await filled.write(lambda writer: writer.add(user("ann@in.test")))
    assert filled.reader.get(User, 2) == filled.reader.first(User, eq("email", "ann@in.test")) is not None


async def test_what_is_not_there_fills_no_memory(filled: Store) -> None:
    kept = dict(filled.reader._kept)
    for number in range(3):
        assert filled.reader.first(User, eq("email", f"{number}" * 100_000)) is None
        assert filled.reader.get(User, 100 + number) is filled.reader.domain(f"{number}.test") is None
    assert filled.reader._kept == kept


async def test_what_was_read_while_something_newer_was_is_not_kept(filled: Store) -> None:
    memory = Remembered(filled)
    cache: dict[int, str] = memory.cache()

    def late() -> str:
        filled.write_sync(lambda writer: writer.change(User, 1, firstname="Ann"))
        memory.known(cache, 2, lambda: "new")
        return "old"

    assert memory.known(cache, 1, late) == "old"
    assert cache == {2: "new"}


async def test_what_is_made_of_a_row_while_a_commit_is_counted_is_not_kept_longer_than_the_row(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Remembered(filled)
    names: dict[int, str | None] = memory.cache()

    def name() -> str | None:
        row = filled.reader.get(User, 1)
        return row and row.firstname

    def ask(committer: Committer, what: str, value: object) -> None:
        object.__setattr__(committer, what, value)
        memory.known(names, 1, name)  # as the loop may, at any moment

    assert memory.known(names, 1, name) is None
    with monkeypatch.context() as watched:
        watched.setattr(Committer, "__setattr__", ask)
        await filled.write(lambda writer: writer.change(User, 1, firstname="Ann"))
    assert memory.known(names, 1, name) == "Ann"


async def test_what_shows_quiet_columns_too_is_kept_no_longer_than_what_it_is_made_of(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    common, exact = Remembered(filled), Remembered(filled, exact=True)
    domains: dict[int, Domain | None] = common.cache()
    views: dict[int, tuple[User | None, Domain | None]] = exact.cache()

    def view() -> tuple[User | None, Domain | None]:
        read = filled.reader
        return read.get(User, 1), common.known(domains, 1, lambda: read.get(Domain, 1))

    def ask(committer: Committer, what: str, value: object) -> None:
        object.__setattr__(committer, what, value)
        exact.known(views, 1, view)  # as the loop may, at any moment

    exact.known(views, 1, view)
    with monkeypatch.context() as watched:
        watched.setattr(Committer, "__setattr__", ask)
        made = await filled.write(lambda writer: writer.change(Domain, 1, policy_id=7))
    assert exact.known(views, 1, view)[1] == made


async def test_what_was_taken_back_is_not_remembered(filled: Store) -> None:
    def fail(writer: Writer) -> None:
        writer.change(User, 1, firstname="Eve")
        raise ValueError

    with pytest.raises(ValueError):
        await filled.write(fail)
    assert filled.reader.get(User, 1) == user(id=1)


async def test_mail_is_never_remembered(filled: Store) -> None:
    await filled.write(lambda writer: keep(writer, 1))
    said = asked(filled)
    for _ in range(2):
        assert filled.reader.first(Delivery, eq("mail_id", mail_id(1)))
    assert len(said) == 2


async def test_a_condition_with_a_list_is_asked_each_time(filled: Store) -> None:
    either = every(Where("id", Op.IN, [1, 2]), BOB)
    said = asked(filled)
    assert filled.reader.first(User, either) == filled.reader.first(User, either) == filled.reader.get(User, 1)
    assert len(said) == 3


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many rows are remembered of a store that is opened behind this."""
    monkeypatch.setattr(remembering, "KEPT", 20)
    return 20


async def test_memory_is_bounded(few: int, filled: Store) -> None:
    await filled.write(lambda writer: [writer.add(user(f"u{number}@in.test")) for number in range(few + 10)])
    for number in range(few + 10):
        assert filled.reader.get(User, number + 1)
        assert 0 < len(filled.reader._kept) <= few
