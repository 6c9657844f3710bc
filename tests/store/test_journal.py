"""The audit's own store: what is secret, what belongs to whom, and how it goes when its term is over."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.store.samples import DAY, NOW, domain, full, open_store, user

from gatepost.events import Metrics
from gatepost.model.access import Grant, Level
from gatepost.model.audit import Actor, Audit, acting
from gatepost.model.options import OptionValue, Scope
from gatepost.model.query import Query, eq
from gatepost.model.route import Platform
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.tenant import Broker, Customer, Domain, Group, GroupMember, User
from gatepost.mta.sweep import Sweep
from gatepost.store.journal import place_of, shown
from gatepost.store.schema import TABLES
from gatepost.store.store import Store
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio

SECRET = re.compile(r"hash|digest|secret|passw|private|sealed|_data$|pem$|(?<!_)key$", re.IGNORECASE)
PLAIN = {"connection.private", "platform.private"}  # columns that only sound like it


def entries(store: Store) -> list[Audit]:
    return store.reader.find(Audit, Query(sort="id")).items


@pytest.mark.parametrize(
    "kind", [kind for kind, table in TABLES.items() if table.config], ids=lambda kind: kind.__name__
)
def test_every_column_that_sounds_secret_is_masked(kind: type[Any]) -> None:
    table = TABLES[kind]
    sounding = {name for name in table.columns if SECRET.search(name) and f"{table.name}.{name}" not in PLAIN}
    assert sounding <= table.secret | table.inner
    members = shown(full(kind))
    assert all(members[name] == "***" for name in table.secret)
    assert table.secret <= table.columns.keys() and table.inner <= table.columns.keys()


async def test_each_object_stands_under_its_broker_customer_and_domain(store: Store) -> None:
    def make(writer: Writer) -> list[tuple[int | None, int | None, int | None]]:
        broker = writer.add(Broker(name="b", created_at=NOW))
        customer = writer.add(Customer(broker_id=broker.id, name="c", created_at=NOW))
        served = writer.add(domain("got.test", customer_id=customer.id))
        account = writer.add(user("jon@got.test", domain_id=served.id))
        group = writer.add(Group(domain_id=served.id, email="all@got.test"))
        member = writer.add(GroupMember(group_id=group.id, email="jon@got.test"))
        grants = [
            writer.add(Grant(admin_id=1, level=level, node_id=node.id))
            for level, node in ((Level.BROKER, broker), (Level.CUSTOMER, customer), (Level.DOMAIN, served))
        ]
        root = writer.add(Grant(admin_id=1, level=Level.PLATFORM))
        values = [
            OptionValue(scope=scope, owner_id=node.id, name="X", value="1")
            for scope, node in (
                (Scope.URL, broker),
                (Scope.CUSTOMER, customer),
                (Scope.DOMAIN, served),
                (Scope.USER, account),
            )
        ]
        rows: list[Any] = [*grants, broker, customer, served, account, group, member, *values]
        whole = (broker.id, customer.id, served.id)
        above: list[tuple[int | None, int | None, int | None]] = [
            (broker.id, None, None),
            (broker.id, customer.id, None),
            whole,
        ]
        numbers = above * 2 + [whole] * 3 + [*above, whole]
        assert place_of(writer, root) == (None, None, None)
        assert [place_of(writer, row) for row in rows] == numbers
        return numbers

    assert await store.write(make)


async def test_rows_of_several_places_are_told_apart(store: Store) -> None:
    def make(writer: Writer) -> None:
        for name in ("a.test", "b.test"):
            served = writer.add(domain(name))
            for number in range(30):
                rule = SenderRule(
                    domain_id=served.id, owner=name, value=f"{number}.test", type=SenderType.BLOCK, created_date=NOW
                )
                writer.add(rule)

    with acting(Actor(login="somebody")):
        await store.write(make)
    told = [(each.act, each.kind, each.name, (each.after or {}).get("count")) for each in entries(store)]
    assert told == [
        ("add", "domain", "a.test", None),
        ("add", "sender_rule", "", 30),
        ("add", "domain", "b.test", None),
        ("add", "sender_rule", "", 30),
    ]


async def test_an_account_that_acts_before_it_signed_in_answers_for_itself(store: Store) -> None:
    made = await store.write(lambda writer: writer.add(user("jon@got.test")))
    with acting(Actor(ip="192.0.2.1")):
        await store.record("sign-in", made)
    (entry,) = entries(store)
    assert (entry.login, entry.user_id, entry.act, entry.ip) == ("jon@got.test", made.id, "sign-in", "192.0.2.1")


async def test_nobody_is_noted_where_nobody_acts(store: Store) -> None:
    made = await store.write(lambda writer: writer.add(user("jon@got.test")))
    await store.record("sign-in", made)
    await store.write(lambda writer: writer.record("sign-in", made))
    assert entries(store) == []


async def test_what_only_services_understand_and_what_is_prepared_is_left_out(store: Store) -> None:
    with acting(Actor(login="somebody")):
        made = await store.prepare(lambda writer: writer.add(user("jon@got.test")))
        await store.write(lambda writer: writer.change(User, made.id, sender_generation=3))
        await store.write(lambda writer: writer.change(User, made.id, last_connection_date=NOW))
        assert entries(store) == []
        await store.write(lambda writer: writer.change(User, made.id, sender_generation=4, firstname="Jon"))
    assert [each.after for each in entries(store)] == [{"firstname": "Jon"}]


async def test_a_sealed_secret_that_changed_is_told_without_its_value(store: Store) -> None:
    row = msgspec.structs.replace(full(Platform), auth_data="sealed-1")
    with acting(Actor(login="somebody")):
        made = await store.write(lambda writer: writer.add(row))
        await store.write(lambda writer: writer.change(Platform, made.id, auth_data="sealed-2"))
        await store.write(lambda writer: writer.remove(Platform, eq("id", made.id)))
    first, second, third = entries(store)
    assert first.after and first.after["auth_data"] == "***"
    assert (second.before, second.after) == ({"auth_data": "***"}, {"auth_data": "***"})
    assert third.before and "sealed" not in str(third.before)


async def test_the_sweep_takes_entries_whose_term_is_over(tmp_path: Path) -> None:
    now = [NOW]
    store = open_store(tmp_path / "state", clock=lambda: now[0])
    ticks = [0.0]
    sweep = Sweep(store, period=1e9, audit_days=2, clock=lambda: now[0], metrics=Metrics(), monotonic=lambda: ticks[0])
    with acting(Actor(login="somebody")):
        for name in ("a.test", "b.test"):
            await store.write(lambda writer, name=name: writer.add(domain(name)))  # type: ignore[misc]
            now[0] += DAY
    await sweep.run()
    assert len(entries(store)) == 2
    now[0], ticks[0] = now[0] + 1, ticks[0] + 1
    await sweep.run()
    assert [each.name for each in entries(store)] == ["b.test"]
    await store.close()


async def test_a_store_of_before_the_audit_opens(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state")
    await store.write(lambda writer: writer.add(domain("a.test")))
    await store.close()
    with sqlite3.connect(tmp_path / "state" / "gatepost.db") as connection:
        connection.execute("DROP TABLE audit")
        connection.execute("DELETE FROM meta WHERE key = 'audited'")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0006_audit'")
    store = open_store(tmp_path / "state")
    with acting(Actor(login="somebody")):
        await store.write(lambda writer: writer.change(Domain, 1, description="x"))
    assert [each.after for each in entries(store)] == [{"description": "x"}]
    await store.close()
