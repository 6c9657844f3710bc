"""Sign-in, tokens in place of passwords, throttles, and the one check of rights."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.house import CHEAP, make_sign_in
from tests.ready import lay_store

from gatepost.events import Metrics
from gatepost.model.access import PERMISSIONS, Admin, Caller, Token
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, eq
from gatepost.model.rights import OWN
from gatepost.model.tenant import Customer, Domain, DomainAlias, DomainStatus, Language, User, UserStatus
from gatepost.services.access import PLATFORM, digest, found, may, require
from gatepost.services.rights import Book
from gatepost.services.setup import set_up
from gatepost.services.signin import Credentials, Session
from gatepost.services.throttle import Throttle
from gatepost.settings import Settings, StoreSettings
from gatepost.store.store import Store, Writer

pytestmark = pytest.mark.anyio

NOW = 1_774_457_446_695
IP = "192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Place:
    """A store with one domain, its alias and one account, and the access over it."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        settings = Settings()
        stored = StoreSettings(directory=str(directory))
        lay_store(directory)
        self.store = Store.open(directory, clock=self.clock, metrics=self.metrics, settings=stored)
        self.access, self.sign_in = make_sign_in(self.store, settings, self.clock, self.metrics)
        self.first = set_up(self.store, self.clock, hasher=CHEAP)
        self.user = self.store.write_sync(self._fill)

    def _fill(self, writer: Writer) -> User:
        domain = writer.add(Domain(customer_id=1, name="got.com", default_language=Language.EN, creation_date=NOW))
        writer.add(DomainAlias(domain_id=domain.id, name="wall.example"))
        return writer.add(
            User(
                domain_id=domain.id,
                email="jon@got.com",
                language=Language.EN,
                creation_date=NOW,
                password_hash=CHEAP.hash("Ghost & I"),
            )
        )

    def change(self, kind: type[object], row: int, **fields: object) -> None:
        self.store.write_sync(lambda writer: writer.change(kind, row, **fields))

    async def refusal(self, login: str, password: str, ip: str = IP) -> Problem:
        with pytest.raises(Problem) as raised:
            await self.sign_in.sign_in(login, password, ip)
        return raised.value

    async def log_in(self, login: str, password: str, ip: str) -> Session:
        return await self.sign_in.login(Credentials(login=login, password=password), ip)


@pytest.fixture
async def place(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Place]:
    place = Place(tmp_path / "state")
    yield place
    await place.access.settle()
    await place.store.close()


@pytest.mark.parametrize("login", ["jon@got.com", "JON@Got.com", "jon@wall.example", '"jon"@got.com'])
async def test_an_account_signs_in_by_its_address_in_any_spelling(place: Place, login: str) -> None:
    signed = await place.sign_in.sign_in(login, "Ghost & I", IP)
    assert (signed.user_id, signed.email) == (place.user.id, "jon@got.com")


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("jon@got.com", "ghost & i"),
        ("jon@got.com", ""),
        ("jon@got.com", "\ud800"),
        ("jon@got.com", "x" * 100_000),
        ("arya@got.com", "Ghost & I"),
        ("jon@nowhere.example", "Ghost & I"),
        ("jon", "Ghost & I"),
        ("", ""),
        ("admin", "Ghost & I"),
        ("jon@got.com\0", "Ghost & I"),
    ],
)
async def test_what_is_wrong_is_refused_in_the_same_words_threat_26(place: Place, login: str, password: str) -> None:
    refusal = await place.refusal(login, password)
    assert (refusal.kind, refusal.detail) == (Kind.UNAUTHENTICATED, "The login or the password is wrong.")


async def test_a_disabled_account_or_domain_does_not_sign_in(place: Place) -> None:
    await place.sign_in.sign_in("jon@got.com", "Ghost & I", IP)
    place.change(User, place.user.id, status=UserStatus.DISABLED)
    assert (await place.refusal("jon@got.com", "Ghost & I")).kind is Kind.UNAUTHENTICATED
    place.change(User, place.user.id, status=UserStatus.ENABLED)
    place.change(Domain, place.user.domain_id, status=DomainStatus.DELETED)
    assert (await place.refusal("jon@got.com", "Ghost & I")).kind is Kind.UNAUTHENTICATED


async def test_who_may_not_send_does_not_sign_in_to_send(place: Place) -> None:
    place.change(Domain, place.user.domain_id, user_permissions=["MAILS_READ"])
    assert (await place.refusal("jon@got.com", "Ghost & I")).kind is Kind.FORBIDDEN
    place.change(Domain, place.user.domain_id, user_permissions=None)
    await place.sign_in.sign_in("jon@got.com", "Ghost & I", IP)


async def test_a_changed_password_is_forgotten_at_once(place: Place) -> None:
    await place.sign_in.sign_in("jon@got.com", "Ghost & I", IP)
    place.change(User, place.user.id, password_hash=CHEAP.hash("something new"))
    assert (await place.refusal("jon@got.com", "Ghost & I")).kind is Kind.UNAUTHENTICATED
    await place.sign_in.sign_in("jon@got.com", "something new", IP)


async def test_a_personal_token_works_as_the_password_of_its_own_account_rules_11(place: Place) -> None:
    mine, root = "a" * 32, place.first.token
    row = Token(user_id=place.user.id, name="t", digest=digest(mine), created_at=NOW, expiration=NOW + 10)
    place.store.write_sync(lambda writer: writer.add(row))
    assert (await place.sign_in.sign_in("jon@got.com", mine, IP)).user_id == place.user.id
    assert (await place.refusal("jon@got.com", root)).kind is Kind.UNAUTHENTICATED
    place.clock.now += 10
    assert (await place.refusal("jon@got.com", mine)).kind is Kind.UNAUTHENTICATED


async def test_ten_refusals_of_an_address_close_the_door_for_ten_minutes_threat_26(place: Place) -> None:
    for _ in range(10):
        assert (await place.refusal("jon@got.com", "wrong")).kind is Kind.UNAUTHENTICATED
    refusal = await place.refusal("jon@got.com", "Ghost & I")
    assert (refusal.kind, refusal.context["retry_after"]) == (Kind.TOO_MANY, 600)
    await place.sign_in.sign_in("jon@got.com", "Ghost & I", "192.0.2.2")  # the account is not locked
    place.clock.now += 600_000
    await place.sign_in.sign_in("jon@got.com", "Ghost & I", IP)


async def test_who_guesses_many_at_once_learns_of_no_more_than_ten(place: Place) -> None:
    """All of them begin while none is refused yet; the right one comes last."""
    guesses = [*["wrong"] * 19, "Ghost & I"]
    for way in (place.sign_in.sign_in, place.sign_in.basic, place.log_in):
        said = await asyncio.gather(*(way("jon@got.com", each, IP) for each in guesses), return_exceptions=True)
        kinds = Counter(each.kind for each in said if isinstance(each, Problem))
        assert kinds == {Kind.UNAUTHENTICATED: 10, Kind.TOO_MANY: 10}
        place.clock.now += 600_000


async def test_each_door_counts_for_itself(place: Place) -> None:
    for _ in range(10):
        with pytest.raises(Problem):
            await place.sign_in.basic("jon@got.com", "wrong", IP)
    await place.sign_in.sign_in("jon@got.com", "Ghost & I", IP)
    with pytest.raises(Problem) as raised:
        await place.sign_in.basic("jon@got.com", "Ghost & I", IP)
    assert raised.value.kind is Kind.TOO_MANY
    place.clock.now += 60_000
    await place.sign_in.basic("jon@got.com", "Ghost & I", IP)


async def test_nothing_of_a_password_is_remembered_as_if_it_were_a_token(place: Place) -> None:
    for password in ("Ghost & I", "wrong"):
        with suppress(Problem):
            await place.sign_in.basic("jon@got.com", password, IP)
    assert place.access._proven == {}
    await place.access.caller(place.first.token, IP)
    assert len(place.access._proven) == 1


async def test_the_use_of_a_token_is_noted_once_a_minute_rules_17(place: Place) -> None:
    def last_use() -> int | None:
        row = place.store.reader.first(Token, eq("digest", digest(place.first.token)))
        assert row
        return row.last_use

    for step, noted in ((0, NOW), (59_999, NOW), (1, NOW + 60_000), (1, NOW + 60_000), (-70_000, NOW - 9_999)):
        place.clock.now += step
        await place.access.caller(place.first.token, IP)
        await place.access.settle()
        assert last_use() == noted


async def test_a_use_that_cannot_be_noted_does_not_matter(place: Place) -> None:
    await place.access.caller(place.first.token, IP)
    await place.store.close()
    await place.access.settle()


async def test_concurrent_sign_ins_give_each_his_own_answer(place: Place) -> None:
    async def attempt(number: int) -> bool:
        try:
            await place.sign_in.sign_in("jon@got.com", "Ghost & I" if number % 2 else "wrong", f"198.51.100.{number}")
        except Problem:
            return False
        return True

    assert await asyncio.gather(*map(attempt, range(20))) == [bool(number % 2) for number in range(20)]


async def test_a_sysadmin_may_everything_others_only_with_their_own_mailbox_threat_108(place: Place) -> None:
    domain = place.store.reader.get(Domain, place.user.domain_id)
    assert domain
    root, plain = Caller(admin_id=1, sys_admin=True), Caller(admin_id=2)
    owner, neighbour = Book(place.store).caller(place.user), Caller(user_id=99)
    for permission in PERMISSIONS:
        for scope in (PLATFORM, domain, place.user, None):
            assert may(root, permission, scope)
            assert not may(plain, permission, scope) and not may(neighbour, permission, scope)
            assert may(owner, permission, scope) == (scope is place.user and permission in OWN)
    assert OWN <= PERMISSIONS


async def test_the_right_is_asked_for_before_the_object_threat_107(place: Place) -> None:
    with pytest.raises(Problem) as raised:
        found(Caller(admin_id=2), "USERS_READ", None, "user")
    assert raised.value.kind is Kind.FORBIDDEN
    with pytest.raises(Problem) as raised:
        found(Caller(sys_admin=True), "USERS_READ", None, "user")
    assert raised.value.kind is Kind.NOT_FOUND
    require(Caller(sys_admin=True), "DOMAINS_READ")
    with pytest.raises(AssertionError):
        require(Caller(sys_admin=True), "DOMAIN_READ")


def test_a_clock_that_is_set_back_ends_the_wait_of_a_throttle_86() -> None:
    clock = Clock()
    throttle = Throttle(2, 1000, clock)
    for _ in range(2):
        throttle.refuse("192.0.2.1")
    clock.now -= 86_400_000
    assert throttle.wait("192.0.2.1") == 0
    for _ in range(2):
        throttle.refuse("192.0.2.1")
    assert throttle.wait("192.0.2.1") == 1


def test_a_throttle_counts_networks_in_a_sliding_time_and_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    throttle = Throttle(2, 1000, clock)
    throttle.refuse("2001:db8::1")
    clock.now += 600
    throttle.refuse("2001:db8::2")
    assert throttle.wait("2001:db8::ffff") == 1 and throttle.wait("2001:db8:0:1::1") == 0
    clock.now += 400
    assert throttle.wait("2001:db8::1") == 0  # the first refusal is past, the second is not
    throttle.refuse("2001:db8::3")
    assert throttle.wait("2001:db8::1") == 1
    for _ in range(2):
        throttle.refuse("::ffff:192.0.2.1")
    assert throttle.wait("192.0.2.1") == 1
    monkeypatch.setattr("gatepost.services.throttle._ADDRESSES", 100)
    for number in range(99):
        throttle.refuse(f"host-{number}")
    assert throttle.wait("192.0.2.1") == 1
    throttle.refuse("host-99")
    assert throttle.wait("192.0.2.1") == 0


async def test_the_first_set_up_is_made_once(place: Place) -> None:
    reader = place.store.reader
    admin = reader.first(Admin, All(()))
    assert admin and admin.sys_admin and admin.login == place.first.login == "admin"
    assert admin.password_hash and CHEAP.verify(admin.password_hash, place.first.password)
    assert reader.count(Customer, All(())) == 1
    assert (await place.access.caller(place.first.token, IP)).sys_admin
    with pytest.raises(Problem) as raised:
        set_up(place.store, place.clock, hasher=CHEAP)
    assert raised.value.kind is Kind.CONFLICT
    assert reader.count(Admin, All(())) == 1
