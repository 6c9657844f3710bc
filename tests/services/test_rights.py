"""Rights over a real store: grants inherited down the tree, withdrawn at once, and what lists leave out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.house import NOW, StillClock, World, open_store

from gatepost.model.access import Admin, Caller, Grant, Level, Role
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query
from gatepost.model.rights import OWN, ROLES
from gatepost.model.tenant import Broker, Customer, Domain, Language, User
from gatepost.services import rights
from gatepost.services.access import PLATFORM, Scope, may, visible
from gatepost.services.rights import Book, reach
from gatepost.store.writer import Writer

pytestmark = pytest.mark.anyio


class Tree:
    """Two brokers; the first has two customers, his first customer two domains with a user each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.book = Book(world.store)

    async def build(self) -> None:
        await self.world.store.write(self._fill)

    def _fill(self, writer: Writer) -> None:
        add = writer.add
        brokers = [add(Broker(name=name, created_at=NOW)) for name in ("one", "two")]
        customers = [add(Customer(broker_id=brokers[at].id, name=f"c{at}", created_at=NOW)) for at in (0, 0, 1)]
        self.nodes: dict[str, Scope] = {"platform": PLATFORM}
        for at, broker in enumerate(brokers):
            self.nodes[f"broker{at}"] = broker
        for at, customer in enumerate(customers):
            self.nodes[f"customer{at}"] = customer
        for at, owner in enumerate((0, 0, 1, 2)):
            name = f"d{at}.example"
            domain = add(Domain(customer_id=customers[owner].id, name=name, default_language="EN", creation_date=NOW))
            user = add(User(domain_id=domain.id, email=f"u@{name}", language=Language.EN, creation_date=NOW))
            self.nodes |= {f"domain{at}": domain, f"user{at}": user}

    async def admin(self, *grants: tuple[str, list[str], list[str]]) -> Admin:
        """Make an administrator with grants on nodes."""

        def add(writer: Writer) -> Admin:
            admin = writer.add(Admin(login=f"a{writer.ids(Admin, Query().where)}", created_at=NOW))
            for node, permissions, roles in grants:
                level = Level(node.rstrip("0123456789").upper())
                of = getattr(self.nodes[node], "id", 0)
                writer.add(Grant(admin_id=admin.id, level=level, node_id=of, permissions=permissions, roles=roles))
            return admin

        return await self.world.store.write(add)

    def held(self, caller: Caller, permission: str) -> set[str]:
        return {name for name, node in self.nodes.items() if may(caller, permission, node)}

    def listed(self, kind: type[User], caller: Caller, column: str = "domain_id") -> list[str]:
        where = visible(caller, "USERS_READ", column, own="id")
        return [user.email for user in self.world.store.reader.find(kind, Query(where=where)).items]


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncIterator[Tree]:
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    tree = Tree(World(store, clock))
    await tree.build()
    yield tree
    await store.close()


BELOW = {
    "platform": {
        *("platform", "broker0", "broker1", "customer0", "customer1", "customer2"),
        *(f"{kind}{at}" for kind in ("domain", "user") for at in range(4)),
    },
    "broker0": {
        *("broker0", "customer0", "customer1"),
        *(f"{kind}{at}" for kind in ("domain", "user") for at in range(3)),
    },
    "customer0": {"customer0", "domain0", "domain1", "user0", "user1"},
    "domain0": {"domain0", "user0"},
}


@pytest.mark.parametrize("node", BELOW)
async def test_a_grant_holds_on_its_node_and_below(tree: Tree, node: str) -> None:
    caller = tree.book.caller(await tree.admin((node, ["USERS_READ"], [])))
    assert tree.held(caller, "USERS_READ") == BELOW[node]
    assert tree.held(caller, "USERS_WRITE") == set()
    emails = [f"u@d{name[-1]}.example" for name in sorted(BELOW[node]) if name.startswith("user")]
    assert tree.listed(User, caller) == emails


async def test_grants_add_up_each_permission_for_itself(tree: Tree) -> None:
    admin = await tree.admin(("domain0", ["USERS_READ"], []), ("domain3", [], ["HELPDESK"]))
    caller = tree.book.caller(admin)
    assert tree.held(caller, "USERS_READ") == {"domain0", "user0", "domain3", "user3"}
    assert tree.held(caller, "QUARANTINE_RELEASE") == {"domain3", "user3"}
    assert caller.rights.keys() == ROLES["HELPDESK"].permissions


async def test_a_domains_own_role_counts_on_that_domain_alone(tree: Tree) -> None:
    domain = tree.nodes["domain0"]
    assert isinstance(domain, Domain)
    await tree.world.add(Role(domain_id=domain.id, name="NIGHT", permissions=["QUEUE_READ"], created_at=NOW))
    caller = tree.book.caller(await tree.admin(("domain0", [], ["NIGHT"]), ("domain1", [], ["NIGHT"])))
    assert tree.held(caller, "QUEUE_READ") == {"domain0", "user0"}


async def test_a_withdrawn_right_is_gone_at_once_and_a_new_domain_is_there_at_once_threat_110(tree: Tree) -> None:
    admin = await tree.admin(("customer0", ["USERS_READ"], []))
    assert len(tree.listed(User, tree.book.caller(admin))) == 2
    await tree.world.store.write(lambda writer: writer.change(Domain, 3, customer_id=1))
    assert len(tree.listed(User, tree.book.caller(admin))) == 3
    await tree.world.store.write(lambda writer: writer.change(Grant, 1, permissions=["USERS_WRITE"]))
    caller = tree.book.caller(admin)
    assert not tree.held(caller, "USERS_READ") and tree.held(caller, "USERS_WRITE")
    with pytest.raises(Problem) as raised:
        visible(caller, "USERS_READ")
    assert raised.value.kind is Kind.FORBIDDEN


async def test_the_memory_of_rights_is_bounded(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "REMEMBERED", 2)
    book = Book(tree.world.store)
    admins = [await tree.admin(("domain0", ["GRANT"], [])) for _ in range(3)]
    for _ in range(2):
        for admin in admins:
            assert tree.held(book.caller(admin), "GRANT") == {"domain0", "user0"}
            assert len(book._rights) <= 2


async def test_an_end_user_has_what_his_domain_grants_on_his_own_mailbox_alone(tree: Tree) -> None:
    user, domain = tree.nodes["user0"], tree.nodes["domain0"]
    assert isinstance(user, User) and isinstance(domain, Domain)
    caller = tree.book.caller(user)
    assert caller.rights.keys() == OWN and tree.held(caller, "MAIL_CONTENT") == {"user0"}
    assert tree.listed(User, caller) == ["u@d0.example"]
    given = ["VIRUS_RELEASE", "USERS_WRITE", "GRANT"]  # the last two are nobody's to give to end users
    await tree.world.store.write(lambda writer: writer.change(Domain, domain.id, user_permissions=given))
    caller = tree.book.caller(user)
    assert caller.rights.keys() == {"VIRUS_RELEASE"} and tree.held(caller, "VIRUS_RELEASE") == {"user0"}


async def test_who_administers_an_empty_customer_sees_an_empty_list(tree: Tree) -> None:
    reader = tree.world.store.reader
    assert visible(Caller(admin_id=9, rights={"USERS_READ": reach(reader, [(Level.CUSTOMER, 77)])}), "USERS_READ")
    for kind, column in ((Broker, "id"), (Customer, "broker_id")):
        caller = tree.book.caller(await tree.admin(("broker1", ["DOMAINS_READ"], [])))
        where = visible(caller, "DOMAINS_READ", column, of=Broker)
        assert reader.count(kind, where) == 1
    assert reader.count(Customer, visible(caller, "DOMAINS_READ", "id", of=Customer)) == 1
    assert reader.count(Domain, visible(Caller(sys_admin=True), "DOMAINS_READ", "id")) == 4


async def test_what_hung_on_a_node_or_an_account_goes_with_it(tree: Tree) -> None:
    admin = await tree.admin(("domain0", ["GRANT"], []), ("domain1", ["GRANT"], []))
    await tree.world.add(Role(domain_id=1, name="NIGHT", created_at=NOW))
    store = tree.world.store
    await store.write(lambda writer: writer.remove(Domain, Query(where=rights.eq("id", 1)).where))
    assert [grant.node_id for grant in store.reader.find(Grant, Query()).items] == [2]
    assert store.reader.count(Role, Query().where) == 0
    await store.write(lambda writer: writer.remove(Admin, rights.eq("id", admin.id)))
    assert store.reader.count(Grant, Query().where) == 0
