"""The resolver against a real name server: answers, absence, failure, cache and limits."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.peers.names import Fault, Names

from gatepost.dns import FAILURE_TTL, DnsFailure, Missing, Mx, Resolver, Tlsa, reverse_name
from gatepost.settings import Dns, SettingsError

pytestmark = pytest.mark.anyio

ZONE = {
    "example.org": ["MX 20 b.example.org.", "MX 10 A.example.org.", 'TXT "one" "two"', 'TXT "v=spf1 -all"'],
    "a.example.org": ["A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1"],
    "six.example.org": ["AAAA 2001:db8::6"],
    "bare.example.org": ['TXT "no address"'],
    "alias.example.org": ["CNAME a.example.org."],
    "round.example.org": ["CNAME about.example.org."],
    "about.example.org": ["CNAME round.example.org."],
    "null.example.org": ["MX 0 ."],
    "1.2.0.192.in-addr.arpa": ["PTR liar.example.org.", "PTR a.example.org."],
    "9.2.0.192.in-addr.arpa": ["PTR liar.example.org."],
    "liar.example.org": ["A 203.0.113.9"],
    "_25._tcp.mx.example.org": ["TLSA 3 1 1 " + "AB" * 32],
    "broken.example.org": [Fault.SERVFAIL],
    "refused.example.org": [Fault.REFUSED],
    "silent.example.org": [Fault.TIMEOUT],
    "spoofed.example.org": [Fault.WRONG_ID, "A 192.0.2.77"],
    "garbled.example.org": [Fault.GARBAGE],
    "long.example.org": [f'TXT "{"x" * 250}" "{number}"' for number in range(40)],
}


class Ticks:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    async with Names(ZONE) as server:
        yield server


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def resolver(names: Names, ticks: Ticks) -> Resolver:
    return Resolver(Dns(servers=[names.address], timeout=1.5), ticks)


async def test_mx_records_come_by_preference_and_in_lower_case(resolver: Resolver) -> None:
    assert await resolver.mx("Example.ORG.") == [Mx(10, "a.example.org"), Mx(20, "b.example.org")]


async def test_a_null_mx_has_no_host(resolver: Resolver) -> None:
    assert await resolver.mx("null.example.org") == [Mx(0, "")]


async def test_addresses_are_of_both_families(resolver: Resolver) -> None:
    assert sorted(await resolver.addresses("a.example.org")) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert await resolver.addresses("six.example.org") == ["2001:db8::6"]


async def test_an_alias_is_followed(resolver: Resolver) -> None:
    assert "192.0.2.1" in await resolver.addresses("alias.example.org")


@pytest.mark.parametrize("literal", ["192.0.2.5", "[192.0.2.5]"])
async def test_an_address_stands_for_itself(resolver: Resolver, names: Names, literal: str) -> None:
    assert await resolver.addresses(literal) == ["192.0.2.5"]
    assert names.asked == []


async def test_a_literal_of_six_is_read(resolver: Resolver) -> None:
    assert await resolver.addresses("[IPv6:2001:DB8::5]") == ["2001:db8::5"]


async def test_localhost_never_goes_to_a_name_server(resolver: Resolver, names: Names) -> None:
    assert await resolver.addresses("localhost") == ["127.0.0.1", "::1"]
    assert names.asked == []


async def test_strings_of_one_txt_record_are_joined(resolver: Resolver) -> None:
    assert sorted(await resolver.txt("example.org")) == [b"onetwo", b"v=spf1 -all"]


async def test_tlsa_records_are_told_in_lower_case_hex(resolver: Resolver) -> None:
    assert await resolver.tlsa("_25._tcp.mx.example.org") == [Tlsa(3, 1, 1, "ab" * 32)]


@pytest.mark.parametrize(
    ("ip", "place"),
    [("192.0.2.1", "1.2.0.192.in-addr.arpa"), ("2001:db8::1", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa")],
)
def test_the_names_of_an_address_stand_below_arpa(ip: str, place: str) -> None:
    assert reverse_name(ip) == place


async def test_a_name_far_too_long_is_not_kept(resolver: Resolver) -> None:
    """A stranger's signature may name one of 200 KB, and the next one another."""
    with pytest.raises(Missing) as told:
        await resolver.txt(long := "label." * 30_000)
    assert not resolver.good_until(long, "TXT") and len(str(told.value)) < 100


@pytest.mark.parametrize("name", ["nowhere.example.org", "bare.example.org", "round.example.org"])
async def test_no_name_no_record_and_an_alias_loop_are_missing_66(resolver: Resolver, name: str) -> None:
    with pytest.raises(Missing):
        await resolver.addresses(name)


@pytest.mark.parametrize("name", ["x" * 64 + ".org", "a..b", ".".join(["label"] * 60), "b\ufffdd.example"])
async def test_what_can_be_no_name_is_missing_and_not_asked(resolver: Resolver, names: Names, name: str) -> None:
    with pytest.raises(Missing):
        await resolver.mx(name)
    assert names.asked == []


@pytest.mark.parametrize("name", ["broken.example.org", "refused.example.org", "garbled.example.org"])
async def test_a_server_that_cannot_say_is_a_failure_66(resolver: Resolver, name: str) -> None:
    with pytest.raises(DnsFailure):
        await resolver.mx(name)


async def test_a_server_that_is_silent_is_a_failure_in_bounded_time_66(resolver: Resolver) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(DnsFailure):
            await resolver.txt("silent.example.org")


async def test_no_server_at_all_is_a_failure(ticks: Ticks) -> None:
    with pytest.raises(DnsFailure):
        await Resolver(Dns(servers=["127.0.0.1:1"], timeout=0.5), ticks).mx("example.org")


async def test_an_answer_with_a_wrong_id_is_not_believed_66(resolver: Resolver) -> None:
    assert await resolver.addresses("spoofed.example.org") == ["192.0.2.77"]


async def test_a_long_answer_comes_by_tcp_66(resolver: Resolver, names: Names) -> None:
    assert len(await resolver.txt("long.example.org")) == 40
    assert [via for _, _, via in names.asked] == ["udp", "tcp"]


async def test_more_records_than_anybody_needs_are_not_read(resolver: Resolver, names: Names) -> None:
    deep = "a." * 100 + "example.org"
    names.zone[deep] = [f"MX {number} {number}.{deep}." for number in range(300)]
    with pytest.raises(DnsFailure):
        await resolver.mx(deep)
    names.zone["many.example.org"] = [f"A 192.0.2.{number}" for number in range(200)]
    assert len(await resolver.ipv4("many.example.org")) == 200


async def test_an_answer_is_kept_for_its_ttl(resolver: Resolver, names: Names, ticks: Ticks) -> None:
    for _ in range(3):
        await resolver.mx("example.org")
    assert names.count("example.org", "MX") == 1
    ticks.now += names.ttl * 1000
    await resolver.mx("example.org")
    assert names.count("example.org", "MX") == 2


async def test_absence_is_kept_too(resolver: Resolver, names: Names) -> None:
    for _ in range(3):
        with pytest.raises(Missing):
            await resolver.mx("nowhere.example.org")
    assert names.count("nowhere.example.org", "MX") == 1


async def test_a_failure_is_kept_for_a_moment_only(resolver: Resolver, names: Names, ticks: Ticks) -> None:
    for _ in range(3):
        with pytest.raises(DnsFailure):
            await resolver.mx("broken.example.org")
    names.zone = {**names.zone, "broken.example.org": ["MX 5 back.example.org."]}
    ticks.now += 6_000
    assert await resolver.mx("broken.example.org") == [Mx(5, "back.example.org")]


async def test_a_clock_that_goes_back_does_not_keep_answers_for_ever(
    resolver: Resolver, names: Names, ticks: Ticks
) -> None:
    await resolver.mx("example.org")
    ticks.now -= 400 * 86_400_000
    await resolver.mx("example.org")
    assert names.count("example.org", "MX") == 2


async def test_equal_questions_under_way_are_asked_once(resolver: Resolver, names: Names) -> None:
    answers = await asyncio.gather(*(resolver.mx("example.org") for _ in range(50)))
    assert len(answers) == 50
    assert names.count("example.org", "MX") == 1


async def test_one_who_stops_waiting_does_not_spoil_it_for_the_others(resolver: Resolver) -> None:
    first = asyncio.ensure_future(resolver.mx("example.org"))
    second = asyncio.ensure_future(resolver.mx("example.org"))
    await asyncio.sleep(0)
    first.cancel()
    assert len(await second) == 2


async def test_what_the_cache_takes_is_bounded_too(names: Names, ticks: Ticks) -> None:
    """A stranger whose mail has many signatures would fill it with answers of 64 KB."""
    resolver = Resolver(Dns(servers=[names.address], timeout=10), ticks, octets=16_400)
    for _ in range(3):
        for name, other in (("long.example.org", "bare.example.org"), ("bare.example.org", "long.example.org")):
            assert await resolver.txt(name)
            assert resolver.good_until(name, "TXT") and not resolver.good_until(other, "TXT")
    await resolver.addresses("a.example.org")
    assert resolver.good_until("bare.example.org", "TXT") and resolver.good_until("a.example.org", "A")


async def test_the_cache_is_bounded(names: Names, ticks: Ticks) -> None:
    resolver = Resolver(Dns(servers=[names.address], timeout=1, cache=2), ticks)
    for name in ("example.org", "null.example.org", "example.org", "six.example.org"):
        try:
            await resolver.mx(name)
        except Missing:
            continue
    await resolver.mx("example.org")  # used last but one, so still known
    assert names.count("example.org", "MX") == 1
    await resolver.mx("null.example.org")
    assert names.count("null.example.org", "MX") == 2


async def tells(resolver: Resolver) -> bool:
    """Ask what stands in the zone."""
    try:
        return bool(await resolver.mx("example.org"))
    except DnsFailure:
        return False


async def back(resolver: Resolver, ticks: Ticks) -> None:
    """Ask until there is an answer; one that came too late once is not kept for good."""
    async with asyncio.timeout(60):
        while not await tells(resolver):
            ticks.now += FAILURE_TTL
            await asyncio.sleep(0)


async def silence(resolver: Resolver, servers: list[Names]) -> None:
    """Ask until nobody is asked any more."""
    async with asyncio.timeout(60):
        for number in range(1000):
            before = [len(server.asked) for server in servers]
            with pytest.raises(DnsFailure):
                await resolver.txt(f"{number}.example.net")
            asked = [server.asked[count:] for server, count in zip(servers, before, strict=True)]
            if not any(name for each in asked for name, _, _ in each):
                return


async def test_a_resolver_that_is_silent_is_left_alone_and_the_failure_is_at_once_66(
    names: Names, ticks: Ticks
) -> None:
    resolver = Resolver(Dns(servers=[names.address], timeout=0.6, silent=3, rest=3600), ticks)
    names.silent = True
    await silence(resolver, [names])
    assert await asyncio.gather(*(tells(resolver) for _ in range(20))) == [False] * 20
    assert names.count("example.org", "MX") == 0
    assert names.count("", "NS") == 1


async def test_a_resolver_that_answers_a_probe_is_asked_again(names: Names, ticks: Ticks) -> None:
    resolver = Resolver(Dns(servers=[names.address], timeout=0.6, silent=3, rest=0.02), ticks)
    names.silent = True
    await silence(resolver, [names])
    assert names.count("example.org", "MX") == 0
    names.silent = False
    await back(resolver, ticks)
    assert names.count("example.org", "MX") > 0


async def test_names_that_a_living_resolver_finds_nothing_of_put_it_to_no_rest(names: Names, ticks: Ticks) -> None:
    silent = [f"{number}.example.net" for number in range(6)]
    names.zone = {**ZONE, **{name: [Fault.TIMEOUT] for name in silent}, "": ["NS a.root."]}
    resolver = Resolver(Dns(servers=[names.address], timeout=0.6, silent=3, rest=3600), ticks)
    answers = await asyncio.gather(*(resolver.txt(name) for name in silent), return_exceptions=True)
    assert all(isinstance(answer, DnsFailure) for answer in answers)
    assert names.count("", "NS") > 0
    assert await tells(resolver)


async def test_beside_a_silent_resolver_the_next_one_is_asked_at_once(names: Names, ticks: Ticks) -> None:
    async with Names() as dead:
        dead.silent = names.silent = True
        resolver = Resolver(Dns(servers=[dead.address, names.address], timeout=0.6, silent=3, rest=0.02), ticks)
        await silence(resolver, [dead, names])
        names.silent = False
        await back(resolver, ticks)
        assert dead.count("example.org", "MX") == 0


@pytest.mark.parametrize("text", ["ns.example.org", "127.0.0.1:dns", "127.0.0.1:99999", ""])
async def test_a_server_that_is_no_address_is_refused_at_the_start(ticks: Ticks, text: str) -> None:
    with pytest.raises(SettingsError, match=r"dns\.servers"):
        Resolver(Dns(servers=[text]), ticks)


async def test_servers_may_be_named_in_every_form(ticks: Ticks) -> None:
    assert Resolver(Dns(servers=["192.0.2.1", "192.0.2.1:5353", "::1", "[::1]", "[::1]:5353"]), ticks)
