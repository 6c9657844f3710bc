"""Any struct goes in and comes out as it was; keys hold; ids are never given twice."""

from typing import Any

import msgspec
import pytest
from tests.store.samples import NOW, copy, domain, full, mail_id, message, user

from gatepost.model.access import Admin, Token
from gatepost.model.audit import Audit
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Pattern, Query, Where, eq, every
from gatepost.model.rules import AttachmentAction, AttachmentRule, CheckType, SenderRule, SenderType
from gatepost.model.stored import Copy, Delivery
from gatepost.model.tenant import Broker, Domain, DomainAlias, Group, GroupMember, User, UserStatus
from gatepost.store.remembered import Remembered
from gatepost.store.schema import TABLES, table
from gatepost.store.store import Store

pytestmark = pytest.mark.anyio


async def add(store: Store, item: Any) -> Any:
    return await store.write(lambda writer: writer.add(item))


async def prepare(store: Store, kind: type[Any], number: int = 1) -> Any:
    """A full row of a kind; a copy needs its mail."""
    item = full(kind, number)
    if kind is Copy:
        await add(store, message(number))
        item = msgspec.structs.replace(item, mail_id=mail_id(number), folder="Quarantine")
    return item


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
async def test_a_row_comes_out_as_it_went_in_is_changed_and_removed(store: Store, kind: type[Any]) -> None:
    item = await prepare(store, kind)
    added = await add(store, item)
    assert msgspec.structs.replace(item, id=added.id) == added
    assert store.reader.get(kind, added.id) == added
    assert store.reader.first(kind, eq("id", added.id)) == added
    assert store.reader.find(kind, Query(total=True)).total == 1
    if kind is not Audit:  # nothing takes that back
        await change_every_member(store, added)
        await remove(store, added)
        assert (await add(store, await prepare(store, kind, 3))).id > added.id, "its id is given again"


async def change_every_member(store: Store, added: Any) -> None:
    kind = type(added)
    other = msgspec.structs.asdict(full(kind, 2))
    fields = {name: other[name] for name in kind.__struct_fields__ if name not in ("id", "mail_id")}
    changed = await store.write(lambda writer: writer.change(kind, added.id, **fields))
    assert changed == msgspec.structs.replace(added, **fields) == store.reader.get(kind, added.id)


async def remove(store: Store, row: Any) -> None:
    kind = type(row)
    assert await store.write(lambda writer: writer.remove(kind, eq("id", row.id))) == 1
    assert store.reader.get(kind, row.id) is None
    assert await store.write(lambda writer: writer.remove(kind, eq("id", row.id))) == 0
    assert await store.write(lambda writer: writer.change(kind, row.id)) is None


async def test_members_without_a_value_come_out_as_none(store: Store) -> None:
    added = await add(store, domain())
    assert store.reader.get(Domain, added.id) == added
    assert added.description is None and added.purge_date is None and added.outgoing_subnets == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (domain("a.test"), domain("a.test")),
        (domain("a.test"), DomainAlias(domain_id=1, name="a.test")),
        (DomainAlias(domain_id=1, name="a.test"), domain("a.test")),
        (DomainAlias(domain_id=1, name="a.test"), DomainAlias(domain_id=2, name="a.test")),
        (user("u@a.test"), user("u@a.test")),
        (user("u@a.test"), Group(domain_id=1, email="u@a.test")),
        (Group(domain_id=1, email="u@a.test"), user("u@a.test")),
        (Group(domain_id=1, email="u@a.test"), Group(domain_id=2, email="u@a.test")),
        (GroupMember(group_id=1, email="u@a.test"), GroupMember(group_id=1, email="U@a.test")),
        (Admin(login="ann", created_at=1), Admin(login="Ann", created_at=1)),
        (Token(name="a", digest="00", created_at=1), Token(name="b", digest="00", created_at=1)),
    ],
)
async def test_a_key_that_exists_is_a_conflict(store: Store, first: Any, second: Any) -> None:
    await add(store, first)
    with pytest.raises(Problem) as raised:
        await add(store, second)
    assert raised.value.kind is Kind.CONFLICT
    assert raised.value.detail.endswith("exists already")


async def test_renaming_onto_a_taken_name_is_a_conflict_too(store: Store) -> None:
    await add(store, domain("a.test"))
    other = await add(store, DomainAlias(domain_id=1, name="b.test"))
    await add(store, user("u@a.test"))
    group = await add(store, Group(domain_id=1, email="g@a.test"))
    for kind, id, fields in ((DomainAlias, other.id, {"name": "a.test"}), (Group, group.id, {"email": "u@a.test"})):
        with pytest.raises(Problem) as raised:
            await store.write(lambda writer, k=kind, i=id, f=fields: writer.change(k, i, **f))
        assert raised.value.kind is Kind.CONFLICT


async def test_sender_rules_are_unique_within_owner_and_generation(store: Store) -> None:
    rule = SenderRule(domain_id=1, owner="a.test", value="x@y.test", type=SenderType.BLOCK, created_date=NOW)
    await add(store, rule)
    for changes in ({"generation": 1}, {"user_id": 7}, {"type": SenderType.ALLOW}, {"value": "z.test"}):
        await add(store, msgspec.structs.replace(rule, **changes))
    with pytest.raises(Problem, match="exists already"):
        await add(store, rule)


async def test_what_belongs_to_a_row_goes_with_it(store: Store) -> None:
    admin = await add(store, Admin(login="ann", created_at=1))
    owner = await add(store, user())
    group = await add(store, Group(domain_id=1, email="g@in.test"))
    for item in (
        Token(admin_id=admin.id, name="a", digest="01", created_at=1),
        Token(user_id=owner.id, name="a", digest="02", created_at=1),
        GroupMember(group_id=group.id, email="x@y.test"),
        SenderRule(
            domain_id=1, user_id=owner.id, owner=owner.email, value="y.test", type=SenderType.BLOCK, created_date=1
        ),
    ):
        await add(store, item)
    for row in (admin, owner, group):
        await store.write(lambda writer, row=row: writer.remove(type(row), eq("id", row.id)))
    await store.write(lambda writer: writer.purge(1))  # rules may be too many to go at once
    for kind in (Token, GroupMember, SenderRule):
        assert store.reader.count(kind, every()) == 0


async def test_values_that_no_column_takes_are_refused(store: Store) -> None:
    for bad in ({"name": "\udc80"}, {"name": "a\0b"}, {"creation_date": 2**63}):
        with pytest.raises(Problem) as raised:
            await add(store, domain(**bad))
        assert raised.value.kind is Kind.MALFORMED


async def test_a_wrong_type_is_never_stored(store: Store) -> None:
    with pytest.raises(Exception, match="cannot store TEXT"):
        await store.write(lambda writer: writer.change(Broker, writer.add(full(Broker)).id, created_at="soon"))
    assert store.reader.count(Broker, every()) == 0


async def test_the_generation_grows_with_configuration_only(store: Store) -> None:
    before = store.generation
    owner = await add(store, user())
    assert store.generation == before + 1
    for change in (
        lambda writer: writer.add(message(1)),
        lambda writer: writer.add(copy(1)),
        lambda writer: writer.change(User, owner.id, last_connection_date=NOW),
        lambda writer: writer.remove(Policy, eq("id", 9)),
        lambda writer: writer.get(User, owner.id),
    ):
        await store.write(change)
    assert store.generation == before + 1
    await store.write(lambda writer: writer.change(User, owner.id, firstname="Bob", last_connection_date=NOW))
    assert store.generation == before + 2
    with pytest.raises(Problem):
        await add(store, user())
    assert store.generation == before + 2


async def test_the_revision_grows_with_every_change_of_a_configuration_row(store: Store) -> None:
    before = store.revision
    owner = await add(store, user())
    assert store.revision == before + 1
    for change in (
        lambda writer: writer.add(message(1)),
        lambda writer: writer.add(copy(1)),
        lambda writer: writer.remove(Policy, eq("id", 9)),
        lambda writer: writer.get(User, owner.id),
    ):
        await store.write(change)
    assert store.revision == before + 1
    await store.write(lambda writer: writer.change(User, owner.id, last_connection_date=NOW))
    assert store.revision == before + 2
    await store.write(lambda writer: writer.remove(User, eq("id", owner.id)))
    assert store.revision == before + 3


async def test_what_is_remembered_holds_until_the_generation_or_the_revision_grows(store: Store) -> None:
    owner = await add(store, user())
    kinds = {exact: Remembered(store, exact=exact) for exact in (False, True)}
    caches = {exact: memory.cache() for exact, memory in kinds.items()}

    def dates() -> list[int | None]:
        rows = [
            kinds[exact].known(cache, 1, lambda: store.reader.get(User, owner.id)) for exact, cache in caches.items()
        ]
        return [row and row.last_connection_date for row in rows]

    assert dates() == [None, None]
    await store.write(lambda writer: writer.change(User, owner.id, last_connection_date=NOW))
    assert dates() == [None, NOW]
    await store.write(lambda writer: writer.change(User, owner.id, firstname="Bob"))
    assert dates() == [NOW, NOW]


async def test_what_is_remembered_is_bounded(store: Store) -> None:
    memory = Remembered(store, most=3)
    cache = memory.cache()
    for number in range(10):
        assert memory.known(cache, number, lambda number=number: -number) == -number
        assert number in cache and len(cache) <= 3


async def test_text_sorts_and_compares_without_case_and_ties_go_by_id(store: Store) -> None:
    for name in ("policyB", "Politique-x", "POLICYa", "policyb"):
        await add(store, Broker(name=name, created_at=1))
    items = store.reader.find(Broker, Query(sort="name")).items
    assert [(item.name, item.id) for item in items] == [
        ("POLICYa", 3),
        ("policyB", 1),
        ("policyb", 4),
        ("Politique-x", 2),
    ]
    assert [item.id for item in store.reader.find(Broker, Query(sort="-name")).items] == [2, 4, 1, 3]
    assert store.reader.count(Broker, eq("name", "PolicyB")) == 2
    assert store.reader.count(Broker, Where("name", Op.LIKE, Pattern("pol", open_end=True))) == 4


async def test_windows_cut_what_was_counted(store: Store) -> None:
    for number in range(25):
        await add(store, Delivery(mail_id=f"{number}", recipient="r", sender="", due=number, expires=1, created=1))
    page = store.reader.find(Delivery, Query(sort="-due", offset=5, limit=10, total=True))
    assert [item.due for item in page.items] == list(range(19, 9, -1))
    assert page.total == 25
    assert store.reader.find(Delivery, Query(offset=30, limit=10, total=True)).items == []
    assert store.reader.find(Delivery, Query(limit=0)).items == []
    assert store.reader.find(Delivery, Query()).total is None


def test_a_domain_s_active_users_are_counted_as_they_change(store: Store) -> None:
    def active() -> dict[int, int]:
        return store.reader.active_users([1, 2, 3])

    ids = [store.write_sync(lambda w, n=n: w.add(user(f"u{n}@in.test", 1 + n % 2)).id) for n in range(5)]
    assert active() == {1: 3, 2: 2}
    store.write_sync(lambda w: w.change(User, ids[0], status=UserStatus.DISABLED))
    store.write_sync(lambda w: w.change(User, ids[1], lastname="Neu"))
    assert active() == {1: 2, 2: 2}
    store.write_sync(lambda w: w.change(User, ids[2], domain_id=3))
    store.write_sync(lambda w: w.change(User, ids[0], status=UserStatus.ENABLED))
    assert active() == {1: 2, 2: 2, 3: 1}
    store.write_sync(lambda w: w.remove(User, eq("domain_id", 2)))
    assert active() == {1: 2, 3: 1}


def test_a_word_of_a_row_is_read_as_its_enumeration_reads_it() -> None:
    known = table(AttachmentRule)
    row = {"id": 1, "domain_id": 2, "action": "deny", "check_type": "FILENAME", "filter": "x", "priority": 3}
    made = known.row([{**row, "description": None, "created_date": 4}[name] for name in known.columns])
    assert made.action is AttachmentAction.DENY and made.check_type is CheckType.FILENAME
    with pytest.raises(ValueError, match="PERHAPS"):
        known.row([1, 2, "PERHAPS", "FILENAME", "x", 3, None, 4])
    with pytest.raises(TypeError):
        known.row([1, 2, "DENY"])
