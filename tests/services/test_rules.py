"""Sender rules over a real store: what is accepted, who may, and that a list is replaced whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import NOW, StillClock, World, open_store

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.tenant import Domain, User
from gatepost.services import rules
from gatepost.services.rules import Entry, Place, SenderRules
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio

ROOT = Caller(admin_id=1, login="root", sys_admin=True)
STRANGER = Caller(admin_id=2, login="other")


class Ground:
    """Two domains, one with a mailbox."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rules = SenderRules(world.store, world.clock)
        self.served = Place()
        self.other = Place()
        self.mailbox = Place()
        self.user = Caller()

    async def build(self) -> None:
        domain = await self.world.domain("served.example")
        self.served = Place(domain_id=domain.id)
        self.other = Place(domain_id=(await self.world.domain("other.example")).id)
        user = await self.world.user("ada@served.example")
        self.mailbox = Place(user_id=user.id)
        self.user = self.world.owner(user)

    async def values(self, place: Place) -> list[str]:
        page = await self.rules.find(ROOT, place, Query(total=True))
        assert page.total == len(page.items)
        return [rule.value for rule in page.items]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    ground = Ground(World(store, clock))
    await ground.build()
    yield ground
    await store.close()


def allow(value: str, **fields: object) -> Entry:
    return Entry(**{"value": value, "type": SenderType.ALLOW, "spf_on": True, **fields})  # type: ignore[arg-type]


def block(value: str, **fields: object) -> Entry:
    return Entry(value=value, type=SenderType.BLOCK, **fields)  # type: ignore[arg-type]


async def refused(what: object) -> Problem:
    with pytest.raises(Problem) as caught:
        await what  # type: ignore[misc]
    return caught.value


async def test_rules_are_kept_in_the_form_in_which_senders_are_compared(ground: Ground) -> None:
    asked = [block('"Bad.Guy"@BÜCHER.example'), block("Evil.Example."), allow("ada@GOOD.example", expire_at=NOW + 1)]
    kept = await ground.rules.add(ROOT, ground.served, asked)
    assert [rule.value for rule in kept] == ["bad.guy@xn--bcher-kva.example", "evil.example", "ada@good.example"]
    assert {rule.owner for rule in kept} == {"served.example"}
    assert [rule.spf_on for rule in kept] == [None, None, True]
    assert await ground.values(ground.served) == [rule.value for rule in kept]


@pytest.mark.parametrize(
    "value", ["", "@", "a@", "@b.example", "a b@c.example", "a@b@c.example", "192.0.2.1", "x\r\ny"]
)
async def test_a_value_that_is_no_sender_is_malformed_and_pointed_at(ground: Ground, value: str) -> None:
    problem = await refused(ground.rules.add(ROOT, ground.served, [block("good.example"), block(value)]))
    assert (problem.kind, problem.pointer) == (Kind.MALFORMED, "/1/value")
    assert await ground.values(ground.served) == []


async def test_an_allow_rule_needs_spf_on_and_others_lose_it(ground: Ground) -> None:
    problem = await refused(ground.rules.add(ROOT, ground.served, [allow("a.example", spf_on=None)]))
    assert (problem.kind, problem.pointer) == (Kind.UNPROCESSABLE, "/0/spfOn")
    guard = Entry(value="boss@a.example", type=SenderType.PROTECTED, spf_on=True)
    assert [rule.spf_on for rule in await ground.rules.add(ROOT, ground.served, [guard])] == [None]


async def test_a_rule_that_is_over_before_it_begins_is_refused(ground: Ground) -> None:
    problem = await refused(ground.rules.add(ROOT, ground.served, [block("a.example", expire_at=NOW)]))
    assert (problem.kind, problem.pointer) == (Kind.UNPROCESSABLE, "/0/expireAt")


async def test_an_identical_rule_is_a_conflict_and_none_of_its_company_stays(ground: Ground) -> None:
    await ground.rules.add(ROOT, ground.served, [block("a.example")])
    problem = await refused(ground.rules.add(ROOT, ground.served, [block("b.example"), block("A.example")]))
    assert (problem.kind, problem.pointer) == (Kind.CONFLICT, "/1")
    twice = await refused(ground.rules.add(ROOT, ground.served, [block("c.example"), block("C.EXAMPLE")]))
    assert (twice.kind, twice.pointer) == (Kind.CONFLICT, "/1")
    assert await ground.values(ground.served) == ["a.example"]
    await ground.rules.add(ROOT, ground.served, [allow("a.example")])  # of another type
    await ground.rules.add(ROOT, ground.mailbox, [block("a.example")])  # of another owner
    await ground.rules.add(ROOT, ground.other, [block("a.example")])


async def test_rules_for_any_owner_find_it_by_its_name(ground: Ground) -> None:
    asked = [block("a.example", owner="Served.example"), block("a.example", owner="ADA@served.example")]
    kept = await ground.rules.add_any(ROOT, asked)
    assert [rule.owner for rule in kept] == ["served.example", "ada@served.example"]
    assert await ground.values(ground.mailbox) == ["a.example"]


@pytest.mark.parametrize("owner", ["nowhere.example", "bob@served.example", "", "@", "a@b@c", "served.example.x"])
async def test_an_unknown_owner_can_not_be_served(ground: Ground, owner: str) -> None:
    problem = await refused(ground.rules.add_any(ROOT, [block("a.example", owner=owner)]))
    assert (problem.kind, problem.pointer) == (Kind.UNPROCESSABLE, "/0/owner")


async def test_more_rules_than_are_added_at_once_are_refused_before_anything_is_looked_at(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "AT_ONCE", 100)
    many = [block(f"d{number}.example") for number in range(101)]
    assert (await refused(ground.rules.add(ROOT, ground.served, many))).kind is Kind.TOO_LARGE
    assert len(await ground.rules.add(ROOT, ground.served, many[:100])) == 100


async def test_a_changed_rule_keeps_its_id_and_day_and_loses_the_rest(ground: Ground) -> None:
    (old,) = await ground.rules.add(ROOT, ground.served, [allow("a.example", description="why", expire_at=NOW + 9)])
    ground.world.clock.now += 60_000
    new = await ground.rules.change(ROOT, ground.served, old.id, block("b.example"))
    assert (new.id, new.created_date, new.owner) == (old.id, NOW, "served.example")
    assert (new.value, new.type, new.spf_on, new.description, new.expire_at) == (
        "b.example",
        SenderType.BLOCK,
        None,
        None,
        None,
    )


async def test_a_rule_may_be_changed_into_itself_but_not_into_another(ground: Ground) -> None:
    one, two = await ground.rules.add(ROOT, ground.served, [block("a.example"), block("b.example")])
    same = await ground.rules.change(ROOT, ground.served, one.id, block("a.example", description="again"))
    assert same.description == "again"
    problem = await refused(ground.rules.change(ROOT, ground.served, two.id, block("A.example")))
    assert problem.kind is Kind.CONFLICT


async def test_a_rule_is_reached_only_through_its_owner(ground: Ground) -> None:
    (rule,) = await ground.rules.add(ROOT, ground.served, [block("a.example")])
    for place in (ground.other, ground.mailbox):
        assert (await refused(ground.rules.remove(ROOT, place, rule.id))).kind is Kind.NOT_FOUND
        assert (await refused(ground.rules.change(ROOT, place, rule.id, block("b.example")))).kind is Kind.NOT_FOUND
    await ground.rules.remove(ROOT, ground.served, rule.id)
    assert (await refused(ground.rules.remove(ROOT, ground.served, rule.id))).kind is Kind.NOT_FOUND


async def test_a_stranger_learns_nothing_and_a_user_rules_over_his_own_mailbox_alone(ground: Ground) -> None:
    """Threat 107: the answer is the same for what is there and what is not."""
    nowhere = Place(domain_id=999)
    for caller in (STRANGER, ground.user):
        for place in (ground.served, ground.other, nowhere, Place(user_id=999)):
            for act in (
                ground.rules.find(caller, place, Query()),
                ground.rules.add(caller, place, [block("a.example")]),
                ground.rules.replace(caller, place, []),
                ground.rules.remove(caller, place, 1),
            ):
                assert (await refused(act)).kind is Kind.FORBIDDEN
    for owner in ("served.example", "nowhere.example", "bob@other.example"):
        act = ground.rules.add_any(ground.user, [block("a.example", owner=owner)])
        assert (await refused(act)).kind is Kind.FORBIDDEN
    (own,) = await ground.rules.add(ground.user, ground.mailbox, [block("a.example")])
    assert [rule.id for rule in (await ground.rules.find(ground.user, ground.mailbox, Query())).items] == [own.id]
    assert (await refused(ground.rules.find(ROOT, nowhere, Query()))).kind is Kind.NOT_FOUND


async def test_a_replacement_takes_the_place_of_all_rules_of_that_owner_alone(ground: Ground) -> None:
    await ground.rules.add(ROOT, ground.served, [block("old.example"), allow("kept.example")])
    await ground.rules.add(ROOT, ground.mailbox, [block("mine.example")])
    kept = await ground.rules.replace(ROOT, ground.served, [allow("kept.example"), block("new.example")])
    assert [rule.value for rule in kept] == ["kept.example", "new.example"]
    assert await ground.values(ground.served) == ["kept.example", "new.example"]
    assert await ground.values(ground.mailbox) == ["mine.example"]
    await ground.rules.replace(ROOT, ground.served, [])
    assert await ground.values(ground.served) == []
    assert ground.world.store.reader.count(SenderRule, eq("owner", "served.example")) == 0


async def test_a_replacement_that_names_a_rule_twice_changes_nothing(ground: Ground) -> None:
    await ground.rules.add(ROOT, ground.served, [block("old.example")])
    problem = await refused(ground.rules.replace(ROOT, ground.served, [block("a.example"), block("A.example")]))
    assert problem.kind is Kind.CONFLICT
    assert await ground.values(ground.served) == ["old.example"]


async def test_the_road_sees_the_new_list_at_once_and_never_both(ground: Ground) -> None:
    await ground.rules.add(ROOT, ground.served, [block("a.example")])
    await ground.rules.replace(ROOT, ground.served, [allow("a.example")])
    bearing = ground.world.store.reader.sender_rules({"served.example"}, {"a.example"}, NOW)
    assert [rule.type for rule in bearing] == [SenderType.ALLOW]
    (added,) = await ground.rules.add(ROOT, ground.served, [block("b.example")])
    assert ground.world.store.reader.sender_rules({"served.example"}, {"b.example"}, NOW) == [added]


async def test_of_two_replacements_at_once_one_wins_whole(ground: Ground) -> None:
    """Threat 118."""
    lists = [[block(f"{name}{number}.example") for number in range(450)] for name in ("left", "right")]
    done = await asyncio.gather(
        *(ground.rules.replace(ROOT, ground.served, each) for each in lists), return_exceptions=True
    )
    problems = [each for each in done if isinstance(each, BaseException)]
    assert all(isinstance(each, Problem) and each.kind is Kind.CONFLICT for each in problems)
    assert len(problems) < 2
    values = await ground.values(ground.served)
    assert sorted(values) in [sorted(entry.value for entry in each) for each in lists]


async def test_what_a_replacement_left_half_done_is_never_seen_and_goes_with_the_next(ground: Ground) -> None:
    """Whatever ends it between its first slice and the switch."""
    reader = ground.world.store.reader
    await ground.rules.add(ROOT, ground.served, [block("old.example")])
    entries = [block(f"half{number}.example") for number in range(5000)]
    replacing = asyncio.create_task(ground.rules.replace(ROOT, ground.served, entries))
    while reader.count(SenderRule, eq("owner", "served.example")) < 2:
        await ground.world.store.write(lambda writer: None)
    replacing.cancel()
    await asyncio.gather(replacing, return_exceptions=True)
    assert reader.count(SenderRule, eq("owner", "served.example")) > 1
    assert await ground.values(ground.served) == ["old.example"]
    assert reader.sender_rules({"served.example"}, {"half0.example"}, NOW) == []
    await ground.rules.replace(ROOT, ground.served, [block("new.example")])
    assert await ground.values(ground.served) == ["new.example"]
    assert reader.count(SenderRule, eq("owner", "served.example")) == 1


async def test_a_list_is_not_replaced_under_a_name_that_its_owner_no_longer_has(ground: Ground) -> None:
    store, user_id = ground.world.store, ground.mailbox.user_id or 0
    entries = [block(f"d{number}.example") for number in range(1000)]
    replacing = asyncio.create_task(ground.rules.replace(ROOT, ground.mailbox, entries))
    while not store.reader.count(SenderRule, eq("owner", "ada@served.example")):
        await store.write(lambda writer: None)
    await store.write(lambda writer: writer.change(User, user_id, email="new@served.example"))
    assert (await refused(replacing)).kind is Kind.CONFLICT
    assert await ground.values(ground.mailbox) == []
    assert store.reader.count(SenderRule, eq("owner", "ada@served.example")) == 0, "what was written aside is gone"


@pytest.mark.parametrize("kind", [User, Domain])
async def test_of_a_list_whose_owner_goes_meanwhile_nothing_is_left(
    ground: Ground, kind: type[User] | type[Domain]
) -> None:
    store, user_id = ground.world.store, ground.mailbox.user_id or 0
    place = ground.mailbox if kind is User else ground.other
    owner = "ada@served.example" if kind is User else "other.example"
    entries = [block(f"d{number}.example") for number in range(2000)]
    replacing = asyncio.create_task(ground.rules.replace(ROOT, place, entries))
    while not store.reader.count(SenderRule, eq("owner", owner)):
        await store.write(lambda writer: None)

    def remove(writer: Writer) -> None:
        writer.remove(kind, eq("id", user_id if kind is User else place.domain_id))
        writer.remove(SenderRule, eq("owner", owner))

    await store.write(remove)
    assert (await refused(replacing)).kind is Kind.NOT_FOUND
    assert store.reader.count(SenderRule, eq("owner", owner)) == 0


async def test_the_replacement_of_a_huge_list_lets_other_writes_through(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules 17: no item holds the writer for long, so the list is written in many of them."""
    monkeypatch.setattr(rules, "SLICE", 20)
    entries = [block(f"u{number}@d{number % 997}.example") for number in range(2000)]
    replacing = asyncio.create_task(ground.rules.replace(ROOT, ground.served, entries))
    others = 0
    while not replacing.done():
        await ground.world.store.write(lambda writer: writer.get(Domain, 1))
        others += 1
    assert len(await replacing) == 2000
    assert others > 50


async def test_the_rules_of_a_user_who_is_gone_are_found_nowhere(ground: Ground) -> None:
    await ground.world.store.write(lambda writer: writer.remove(User, eq("id", ground.mailbox.user_id)))
    assert (await refused(ground.rules.find(ROOT, ground.mailbox, Query()))).kind is Kind.NOT_FOUND
