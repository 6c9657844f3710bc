"""The directory over a real store: who an address is, who may send, and that changes act at once."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.house import NOW, StillClock, World, client, open_store, settings

from gatepost.model.address import Address, parse_address
from gatepost.model.envelope import Dsn, Login, Role
from gatepost.model.problem import Kind, Problem
from gatepost.model.route import Platform, Transport
from gatepost.model.rules import SenderRule, SenderType
from gatepost.model.suppression import Cause, Suppression
from gatepost.model.tenant import Domain, DomainAlias, DomainStatus, Group, GroupMember, Priority, User, UserStatus
from gatepost.mta import srs
from gatepost.mta.claims import Claims
from gatepost.mta.directory import Directory
from gatepost.store.store import Store

KEY = b"k" * 32
WORLD = parse_address("ada@world.example")
pytestmark = pytest.mark.anyio


class Book:
    """A next hop's knowledge of addresses, asked for real through the `verify` seam."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.silent = False
        self.asked: list[str] = []

    async def verify(self, address: Address, platform: Platform) -> None:
        self.asked.append(address.key)
        if self.silent:
            raise Problem(Kind.UNVERIFIED, "no answer")
        if address.key not in self.known:
            raise Problem(Kind.UNKNOWN_USER, "no such mailbox")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = StillClock()
    store = open_store(tmp_path / "state", clock)
    yield World(store, clock)
    await store.close()


@pytest.fixture
def book() -> Iterator[Book]:
    yield Book()


@pytest.fixture
def directory(world: World, book: Book, tmp_path: Path) -> Directory:
    async def has_mail(domain: str) -> bool:
        return domain != "nomail.example"

    return Directory(
        world.store,
        settings(tmp_path, limits={"group_members": 50}),
        clock=world.clock,
        srs_key=KEY,
        verify=book.verify,
        has_mail=has_mail,
    )


async def refusal(directory: Directory, text: str, **fields: object) -> Kind:
    with pytest.raises(Problem) as caught:
        await directory.resolve(parse_address(text), client(**fields), WORLD)
    return caught.value.kind


async def only(directory: Directory, text: str, **fields: object) -> object:
    (recipient,) = await directory.resolve(parse_address(text), client(**fields), WORLD)
    return recipient


async def test_a_mailbox_is_found_under_every_name_of_its_domain(world: World, directory: Directory) -> None:
    """Threat 41."""
    domain = await world.domain("served.example")
    await world.add(DomainAlias(domain_id=domain.id, name="xn--srved-bsa.example"))
    user = await world.user("bob@served.example")
    for text in ("bob@served.example", "BOB@Served.Example.", '"bob"@sérved.example', "bob@xn--srved-bsa.example"):
        (found,) = await directory.resolve(parse_address(text), client(), WORLD)
        assert (found.user_id, found.address.domain, found.domain_id) == (user.id, "served.example", domain.id), text
        assert found.policy is not None and found.platform_id is not None
        assert found.provision is False


async def test_an_unserved_domain_is_refused(world: World, directory: Directory) -> None:
    await world.domain("served.example")
    for text in ("bob@other.example", "bob@sub.served.example", "bob@[192.0.2.1]", "bob%served.example@other.example"):
        assert await refusal(directory, text) is Kind.RELAYING_DENIED


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (DomainStatus.DISABLED, Kind.DISABLED_DOMAIN),
        (DomainStatus.PENDING, Kind.PENDING_DOMAIN),
        (DomainStatus.DELETED, Kind.DELETED_DOMAIN),
    ],
)
async def test_a_domain_is_answered_by_its_status(
    world: World, directory: Directory, status: DomainStatus, kind: Kind
) -> None:
    await world.domain("served.example", status=status)
    assert await refusal(directory, "bob@served.example") is kind


async def test_a_change_acts_at_once(world: World, directory: Directory) -> None:
    domain = await world.domain("served.example")
    user = await world.user("bob@served.example")
    assert await only(directory, "bob@served.example")
    await world.store.write(lambda writer: writer.change(User, user.id, status=UserStatus.DISABLED))
    assert await refusal(directory, "bob@served.example") is Kind.DISABLED_USER
    await world.store.write(lambda writer: writer.change(Domain, domain.id, status=DomainStatus.DISABLED))
    assert await refusal(directory, "bob@served.example") is Kind.DISABLED_DOMAIN


@pytest.mark.parametrize("at", range(8))
async def test_a_change_that_comes_while_an_address_is_looked_up_acts_on_the_next_mail(
    world: World, directory: Directory, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    domain = await world.domain("served.example")
    await world.user("bob@served.example")
    policy = await world.policy(domain)
    claims = Claims((WORLD,))
    left, generation = at, Store.generation.fget

    def ask(store: Store) -> int:
        nonlocal left
        left -= 1
        if left == -1:  # as the writer's thread may, at any moment
            fields = {"policy_id": policy.id, "wblist_priority": Priority.DOMAIN}
            store.write_sync(lambda writer: writer.change(Domain, domain.id, **fields))
        return generation(store)

    with monkeypatch.context() as watched:
        watched.setattr(Store, "generation", property(ask))
        while left >= 0:
            directory.with_rules(await only(directory, "bob@served.example"), claims)
    found = directory.with_rules(await only(directory, "bob@served.example"), claims)
    assert found.policy == policy
    assert found.rules.wblist_priority == Priority.DOMAIN


async def test_an_address_without_account_is_asked_of_the_platform(
    world: World, directory: Directory, book: Book
) -> None:
    """Rules 7."""
    await world.domain("served.example", auto_provisioning_on=True)
    assert await refusal(directory, "new@served.example") is Kind.UNKNOWN_USER
    book.known.add("new@served.example")
    (found,) = await directory.resolve(parse_address("new@served.example"), client(), WORLD)
    assert (found.user_id, found.provision) == (None, True)
    book.silent = True
    assert await refusal(directory, "new@served.example") is Kind.UNVERIFIED
    assert book.asked == ["new@served.example"] * 3


async def test_a_policy_without_incoming_takes_no_mail(world: World, directory: Directory) -> None:
    await world.domain("served.example", policy={"incoming": False})
    await world.user("bob@served.example")
    assert await refusal(directory, "bob@served.example") is Kind.POLICY_REFUSED


async def test_the_users_policy_and_platform_come_before_the_domains(world: World, directory: Directory) -> None:
    domain = await world.domain("served.example")
    own = await world.policy(domain, mail_size_limit=3)
    await world.user("bob@served.example", policy_id=own.id)
    (found,) = await directory.resolve(parse_address("bob@served.example"), client(), WORLD)
    assert found.policy == own


async def test_a_domainless_postmaster_is_always_taken(world: World, directory: Directory) -> None:
    """Threat 37."""
    await world.domain("served.example")
    (found,) = await directory.resolve(Address("Postmaster", ""), client(), WORLD)
    assert found.address.text == "Postmaster@served.example" or found.address.text == "postmaster@served.example"


async def test_a_domainless_postmaster_is_whoever_the_postmasters_address_stands_for(
    world: World, directory: Directory
) -> None:
    domain = await world.domain("served.example")
    kind = {"transport_type": Transport.SMTP, "transport_port": 25}
    own = await world.add(Platform(domain_id=domain.id, name="own", transport_dest="own.example", **kind))
    assert isinstance(own, Platform)
    for name in ("ann", "bob"):
        await world.user(f"{name}@served.example", platform_id=own.id)
    await group(world, "postmaster@served.example", "ann@served.example", "bob@served.example")
    found = await directory.resolve(Address("postmaster", ""), client(), WORLD)
    assert [(each.address.text, each.platform_id) for each in found] == [
        ("ann@served.example", own.id),
        ("bob@served.example", own.id),
    ]
    assert {each.given for each in found} == {Address("postmaster", "")}


async def group(world: World, email: str, *members: str) -> Group:
    domain = world.store.reader.domain(parse_address(email).domain)
    assert domain is not None
    made = await world.add(Group(domain_id=domain.id, email=email))
    assert isinstance(made, Group)
    for member in members:
        await world.add(GroupMember(group_id=made.id, email=member))
    return made


async def test_a_group_is_opened_and_loops_are_cut(world: World, directory: Directory) -> None:
    """Threat 40, rules 9."""
    await world.domain("served.example")
    await world.domain("second.example")
    for name in ("bob@served.example", "eve@second.example"):
        await world.user(name)
    await group(world, "all@served.example", "team@served.example", "bob@served.example", "all@served.example")
    await group(world, "team@served.example", "all@served.example", "eve@second.example", "out@world.example")
    found = await directory.resolve(parse_address("all@served.example"), client(), WORLD)
    assert {each.address.key for each in found} == {"bob@served.example", "eve@second.example", "out@world.example"}
    outside = next(each for each in found if each.address.domain == "world.example")
    assert outside.clean_only and outside.sender
    assert srs.reverse(parse_address(outside.sender), key=KEY, now=NOW) == WORLD
    assert {each.given.key for each in found} == {"all@served.example"}


async def test_groups_that_lead_to_nobody_but_each_other_are_a_loop(world: World, directory: Directory) -> None:
    await world.domain("served.example")
    await group(world, "one@served.example", "two@served.example")
    await group(world, "two@served.example", "one@served.example")
    await group(world, "empty@served.example")
    assert await refusal(directory, "one@served.example") is Kind.LOOP
    assert await refusal(directory, "empty@served.example") is Kind.UNKNOWN_USER


async def test_a_group_too_large_is_refused(world: World, directory: Directory) -> None:
    await world.domain("served.example")
    await group(world, "big@served.example", *(f"m{index}@world.example" for index in range(60)))
    assert await refusal(directory, "big@served.example") is Kind.LOOP


async def test_a_group_none_of_whose_members_exist_tells_nothing_of_them(world: World, directory: Directory) -> None:
    await world.domain("served.example")
    await group(world, "g@served.example", "gone@served.example")
    with pytest.raises(Problem) as caught:
        await directory.resolve(parse_address("g@served.example"), client(), WORLD)
    assert caught.value.kind is Kind.UNKNOWN_USER
    assert "gone" not in caught.value.detail


async def test_a_bounce_to_a_rewritten_sender_goes_back(world: World, directory: Directory) -> None:
    await world.domain("served.example")
    back = parse_address(srs.rewrite(WORLD, "served.example", key=KEY, now=NOW))
    (found,) = await directory.resolve(back, client(), None)
    assert (found.address, found.platform_id) == (WORLD, None)


async def test_only_a_bounce_goes_to_a_rewritten_sender(world: World, directory: Directory) -> None:
    """Threat 31: such an address is no relay for others."""
    await world.domain("served.example")
    back = srs.rewrite(WORLD, "served.example", key=KEY, now=NOW)
    assert await refusal(directory, back) is Kind.UNKNOWN_USER


async def test_a_groups_outside_member_needs_a_policy_that_takes_mail(world: World, directory: Directory) -> None:
    """Rules 3, 9."""
    await world.domain("served.example", policy={"incoming": False})
    await group(world, "g@served.example", "out@world.example")
    assert await refusal(directory, "g@served.example") is Kind.UNKNOWN_USER


async def test_a_groups_outside_member_who_is_suppressed_gets_no_more_of_its_mail(
    world: World, directory: Directory
) -> None:
    domain = await world.domain("served.example")
    await group(world, "g@served.example", "out@world.example", "zoe@world.example")
    await group(world, "left@served.example", "out@world.example")
    entry = Suppression(domain_id=domain.id, address="out@world.example", cause=Cause.COMPLAINT, created_at=0)
    await world.add(entry)
    (found,) = await directory.resolve(parse_address("g@served.example"), client(), WORLD)
    assert found.address.key == "zoe@world.example"
    assert await refusal(directory, "left@served.example") is Kind.UNKNOWN_USER


async def test_the_reports_that_an_author_asks_for_tell_nothing_of_members(world: World, directory: Directory) -> None:
    """Rules 9."""
    await world.domain("served.example")
    await world.user("bob@served.example")
    await group(world, "g@served.example", "bob@served.example")
    for asked, told in (({"SUCCESS", "FAILURE"}, set()), ({"NEVER"}, {"NEVER"})):
        dsn = Dsn(frozenset(asked), orcpt="rfc822;g@served.example", ret="HDRS", envid="1")
        (found,) = await directory.resolve(parse_address("g@served.example"), client(), WORLD, dsn)
        assert found.dsn == Dsn(frozenset(told), ret="HDRS", envid="1")


OUT = {"outgoing_subnets": ["192.0.2.0/28"], "policy": {"outgoing": True}}


@pytest.mark.parametrize(
    ("ip", "role", "sender", "allowed"),
    [
        ("192.0.2.7", Role.TRUSTED, "bob@served.example", True),
        ("192.0.2.77", Role.TRUSTED, "bob@served.example", False),
        ("192.0.2.7", Role.MX, "bob@served.example", False),
        ("192.0.2.7", Role.TRUSTED, "bob@other.example", False),
        ("192.0.2.7", Role.TRUSTED, None, True),
        ("192.0.2.77", Role.TRUSTED, None, False),
        ("192.0.2.7", Role.MX, None, False),
    ],
)
async def test_relay_to_the_outside_needs_subnet_sender_and_service(
    world: World, directory: Directory, ip: str, role: Role, sender: str | None, allowed: bool
) -> None:
    """Rules 10."""
    await world.domain("served.example", **OUT)
    target = parse_address("ada@world.example")
    origin = parse_address(sender) if sender else None
    if allowed:
        (found,) = await directory.resolve(target, client(ip=ip, role=role), origin)
        assert (found.platform_id, found.domain) == (None, "served.example")
    else:
        with pytest.raises(Problem) as caught:
            await directory.resolve(target, client(ip=ip, role=role), origin)
        assert caught.value.kind is Kind.RELAYING_DENIED


async def test_a_report_of_a_domains_server_names_its_network_in_from(world: World, directory: Directory) -> None:
    """Rules 10: the null sender speaks for nobody, so From must be of a domain that names the network and sends."""
    server = client(ip="192.0.2.7", role=Role.TRUSTED)
    assert directory.may_relay(server, None) is None
    await world.domain("still.example", outgoing_subnets=["192.0.2.0/28"])
    assert directory.may_relay(server, None) is None
    await world.domain("served.example", **OUT)
    view = directory.may_relay(server, None)
    assert view is not None and view.domain.name == "served.example"
    assert directory.may_write(server, None, parse_address("MAILER-DAEMON@served.example"))
    for author in ("ada@world.example", "bob@still.example"):
        assert not directory.may_write(server, None, parse_address(author))


async def test_a_login_may_send_a_receipt_in_its_own_name(world: World, directory: Directory) -> None:
    """Rules 11: receipts have the null sender."""
    domain = await world.domain("served.example", **OUT)
    user = await world.user("bob@served.example")
    login = client(login=Login(user.id, domain.id, user.email), role=Role.SUBMISSION)
    (found,) = await directory.resolve(WORLD, login, None)
    assert found.platform_id is None
    assert directory.may_write(login, None, parse_address("bob@served.example"))
    assert not directory.may_write(login, None, parse_address("eve@served.example"))


async def test_a_login_sends_as_itself_its_aliases_and_its_groups(world: World, directory: Directory) -> None:
    """Rules 11."""
    domain = await world.domain("served.example", **OUT)
    await world.add(DomainAlias(domain_id=domain.id, name="alias.example"))
    user = await world.user("bob@served.example")
    await group(world, "team@served.example", "bob@served.example")
    await group(world, "board@served.example", "eve@served.example")
    login = client(login=Login(user.id, domain.id, user.email), role=Role.SUBMISSION)
    for text in ("bob@served.example", "Bob@alias.example", "team@served.example"):
        await directory.admit(login, parse_address(text))
    for text in ("eve@served.example", "board@served.example", "bob@world.example"):
        with pytest.raises(Problem) as caught:
            await directory.admit(login, parse_address(text))
        assert caught.value.kind is Kind.SENDER_REFUSED
    (found,) = await directory.resolve(WORLD, login, parse_address("bob@served.example"))
    assert found.platform_id is None


async def test_a_sender_whose_domain_takes_no_mail_is_refused(world: World, directory: Directory) -> None:
    """Threat 43."""
    with pytest.raises(Problem) as caught:
        await directory.admit(client(), parse_address("a@nomail.example"))
    assert caught.value.kind is Kind.NULL_MX
    await directory.admit(client(), parse_address("a@world.example"))
    await directory.admit(client(), None)


async def test_only_rules_that_name_a_sender_of_this_mail_are_handed_out(world: World, directory: Directory) -> None:
    domain = await world.domain("served.example")
    user = await world.user("bob@served.example")
    common = {"domain_id": domain.id, "type": SenderType.BLOCK, "created_date": NOW}
    await world.add(SenderRule(owner="served.example", value="world.example", **common))
    await world.add(SenderRule(owner="bob@served.example", user_id=user.id, value="ada@world.example", **common))
    await world.add(SenderRule(owner="served.example", value="ada@world.example", expire_at=NOW - 1, **common))
    await world.add(SenderRule(owner="served.example", value="else.example", **common))
    (found,) = await directory.resolve(parse_address("bob@served.example"), client(), WORLD)
    ruled = directory.with_rules(found, Claims((parse_address("Ada@World.example"),)))
    assert {(rule.owner, rule.value) for rule in ruled.rules.senders} == {
        ("served.example", "world.example"),
        ("bob@served.example", "ada@world.example"),
    }
    assert directory.with_rules(found, Claims()).rules.senders == ()


async def test_what_bears_on_a_mail_of_many_authors_is_found_and_not_remembered(
    world: World, directory: Directory
) -> None:
    domain = await world.domain("served.example")
    await world.user("bob@served.example")
    await world.add(
        SenderRule(
            domain_id=domain.id, owner=domain.name, value="last@far.example", type=SenderType.BLOCK, created_date=0
        )
    )
    (found,) = await directory.resolve(parse_address("bob@served.example"), client(), WORLD)
    for number in range(20):
        authors = [parse_address(f"{number}@{each}.example") for each in range(2 + number)]
        claims = Claims((*authors, parse_address("last@far.example")))
        assert [rule.value for rule in directory.with_rules(found, claims).rules.senders] == ["last@far.example"]
    assert directory._rulebook._rules == {}


SHOWN: list[tuple[str, str, bool]] = [  # what From shows, its address, and whether that claims to be Ada
    ("Ada Lovelace", "x@evil.example", True),
    ("LOVELACE, Ada", "x@evil.example", True),
    ("Dr. Ad\u00e1 K. Lovelace (CEO)", "x@evil.example", True),
    ("\u0410d\u0430 L0v\u0435lace", "x@evil.example", True),  # letters of other alphabets, and a digit
    ("Countess", "x@evil.example", True),
    ("The Countess", "x@evil.example", False),  # a single word must stand alone
    ("Ada", "x@evil.example", False),
    ("ada@served.example", "x@evil.example", True),
    ("Mail <ada@served.example>", "x@evil.example", True),
    ("\u0430da@s\u0435rved.example", "x@evil.example", True),
    ("ada\uff20served.example", "x@evil.example", True),
    ("ada @ served.example", "x@evil.example", True),
    ("ada@also.example", "x@evil.example", True),  # her address by another name of the domain
    ("tea@b\u00fccher.example", "x@evil.example", True),
    ("tea@xn--bcher-kva.example", "x@evil.example", True),
    ("tea@bucher.example", "tea@bucher.example", False),  # who bears a name that is like the protected one
    ("AdaLovelace", "x@evil.example", True),
    ("LovelaceAda", "x@evil.example", True),
    ("Adalbert Lovelacey", "x@evil.example", False),
    ("Susan Miller", "susan@miller.example", False),  # no Su San
    ("San Su", "x@evil.example", True),
    ("\u041b\u044f\u042e\u044d", "x@evil.example", True),
    ("Ada Lovelace", "ada@served.example", False),
    ("Ada Lovelace", "ada@also.example", False),  # her address by another name of the domain
    ("Ann Lovelace", "x@evil.example", False),
    ("", "ada.lovelace@evil.example", False),
    ("Boss of the Bank", "x@evil.example", True),
]


async def test_a_protected_person_is_known_by_name(world: World, directory: Directory) -> None:
    domain = await world.domain("served.example")
    await world.add(DomainAlias(domain_id=domain.id, name="also.example"))
    await world.user("bob@served.example")
    await world.user("ada@served.example", firstname="Ada", lastname="Lovelace")
    common = {"domain_id": domain.id, "owner": "served.example", "type": SenderType.PROTECTED, "created_date": NOW}
    ada = SenderRule(value="ada@served.example", description='our "Countess"', **common)
    await world.add(ada)
    others = '"Boss of the Bank", "Su San", "\u041b\u044f \u042e\u044d"'
    await world.add(SenderRule(value="boss@bank.example", description=others, **common))
    await world.add(SenderRule(value="xn--bcher-kva.example", **common))
    await world.add(SenderRule(value="served.example", **{**common, "type": SenderType.BLOCK}))
    (found,) = await directory.resolve(parse_address("bob@served.example"), client(), WORLD)
    for text, author, claimed in SHOWN:
        claims = Claims((parse_address(author),), (text,) if text else ())
        assert len(directory.with_rules(found, claims).rules.persons) == claimed, (text, author)


async def test_no_tenant_learns_the_names_of_another(world: World, directory: Directory) -> None:
    domain = await world.domain("served.example")
    other = await world.domain("other.example")
    assert other.customer_id == domain.customer_id
    await world.user("bob@served.example")
    await world.user("ada@other.example", firstname="Ada", lastname="Lovelace")
    await world.add(
        SenderRule(
            domain_id=domain.id,
            owner="served.example",
            value="ada@other.example",
            type=SenderType.PROTECTED,
            created_date=NOW,
        )
    )
    (found,) = await directory.resolve(parse_address("bob@served.example"), client(), WORLD)
    claims = Claims((WORLD,), ("Ada Lovelace",))
    assert len(directory.with_rules(found, claims).rules.persons) == 1
    await world.store.write(lambda writer: writer.change(Domain, other.id, customer_id=99))
    assert directory.with_rules(found, claims).rules.persons == ()
