"""From a route to the servers to try: MX order, null MX, loops, private addresses, given hops."""

import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from tests.house import StillClock
from tests.peers.names import Fault, Names

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.model.network import is_public
from gatepost.model.route import Hop, Route, Transport
from gatepost.mta.outcome import Result
from gatepost.mta.routing import Gateway, NullMx, Router, Target, Unroutable, host_and_port
from gatepost.settings import Dns, Relay, SettingsError

pytestmark = pytest.mark.anyio

ZONE = {
    "plain.test": ["MX 10 a.plain.test.", "MX 20 b.plain.test.", "MX 30 c.plain.test."],
    "a.plain.test": ["A 1.0.0.1"],
    "b.plain.test": ["A 1.0.0.2", "AAAA 2606:4700::2"],
    "c.plain.test": ["A 1.0.0.3"],
    "even.test": ["MX 10 a.plain.test.", "MX 10 b.plain.test.", "MX 10 c.plain.test.", "MX 5 d.even.test."],
    "d.even.test": ["A 1.0.0.4"],
    "implicit.test": ["A 1.0.0.9"],
    "null.test": ["MX 0 .", "A 1.0.0.9"],
    "half.test": ["MX 10 gone.half.test.", "MX 20 a.plain.test."],
    "dead.test": ["MX 10 gone.half.test.", "MX 20 gone.dead.test."],
    "unsure.test": ["MX 10 gone.half.test.", "MX 20 fails.test."],
    "fails.test": [Fault.SERVFAIL],
    "ours.test": ["MX 10 a.plain.test.", "MX 20 gate.test.", "MX 20 b.plain.test.", "MX 30 c.plain.test."],
    "best.test": ["MX 10 gate.test.", "MX 10 b.plain.test."],
    "byip.test": ["MX 10 other-name.test."],
    "other-name.test": ["A 1.0.0.200"],
    "gate.test": ["A 1.0.0.201"],
    "private.test": ["MX 10 inside.test."],
    "inside.test": ["A 127.0.0.1", "A 10.0.0.1", "A 192.168.1.1", "AAAA ::1", "AAAA ::ffff:7f00:1"],
    "half-private.test": ["MX 10 inside.test.", "MX 20 fails.test."],
    "mixed.test": ["MX 10 inside.test.", "MX 20 a.plain.test."],
    "many.test": [f"MX {number} m{number}.many.test." for number in range(60)],
    **{f"m{number}.many.test": [f"A 1.0.1.{number}"] for number in range(60)},
}


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    async with Names(ZONE) as server:
        yield server


def router(names: Names, settings: Relay | None = None, seed: int = 1) -> Router:
    resolver = Resolver(Dns(servers=[names.address], timeout=10), lambda: 0)
    gateway = Gateway(["Gate.test", "1.0.0.200"], [("127.0.0.1", 2525)])
    return Router(settings or Relay(), resolver, gateway, chance=random.Random(seed))


async def ips(names: Names, domain: str, settings: Relay | None = None) -> list[str]:
    return [target.ip for target in await router(names, settings).targets(Route(domain=domain))]


async def refusal(names: Names, route: Route, settings: Relay | None = None) -> tuple[Result, str]:
    with pytest.raises(Unroutable) as caught:
        await router(names, settings).targets(route)
    return caught.value.result, caught.value.reply.status


async def test_mx_hosts_come_by_preference_98(names: Names) -> None:
    assert await ips(names, "plain.test") == ["1.0.0.1", "1.0.0.2", "2606:4700::2", "1.0.0.3"]


async def test_hosts_of_equal_preference_are_spread_98(names: Names) -> None:
    firsts: Counter[str] = Counter()
    for seed in range(30):
        found = await router(names, seed=seed).targets(Route(domain="even.test"))
        assert found[0].ip == "1.0.0.4"
        firsts[found[1].ip] += 1
    assert set(firsts) == {"1.0.0.1", "1.0.0.2", "1.0.0.3"}
    assert min(firsts.values()) > 3


async def test_a_target_bears_the_name_of_its_host_and_the_transport_for_mx(names: Names) -> None:
    (target,) = await router(names, Relay(mx_port=2626, mx_transport="SMTP")).targets(Route(domain="implicit.test"))
    assert target == Target("implicit.test", "1.0.0.9", 2626, Transport.SMTP)


async def test_a_domain_without_mx_is_its_own_host(names: Names) -> None:
    assert await ips(names, "implicit.test") == ["1.0.0.9"]


async def test_a_null_mx_fails_for_good_43(names: Names) -> None:
    assert await refusal(names, Route(domain="null.test")) == (Result.FAILED, "5.1.10")


async def test_a_dead_host_is_passed_over(names: Names) -> None:
    assert await ips(names, "half.test") == ["1.0.0.1"]


async def test_hosts_that_all_lack_an_address_fail_for_good_98(names: Names) -> None:
    assert await refusal(names, Route(domain="dead.test")) == (Result.FAILED, "5.4.4")


async def test_a_domain_that_does_not_exist_fails_for_good(names: Names) -> None:
    assert await refusal(names, Route(domain="nowhere.test")) == (Result.FAILED, "5.4.4")


@pytest.mark.parametrize("domain", ["fails.test", "unsure.test", "half-private.test"])
async def test_a_name_server_that_cannot_say_defers_66(names: Names, domain: str) -> None:
    assert await refusal(names, Route(domain=domain)) == (Result.DEFERRED, "4.4.3")


async def test_only_hosts_better_than_this_gateway_are_tried_98(names: Names) -> None:
    assert await ips(names, "ours.test") == ["1.0.0.1"]


@pytest.mark.parametrize("domain", ["best.test", "byip.test"])
async def test_mail_that_would_come_back_is_a_loop_98(names: Names, domain: str) -> None:
    assert await refusal(names, Route(domain=domain)) == (Result.FAILED, "5.4.6")


async def test_an_own_listener_is_this_gateway_whatever_its_name_98(names: Names) -> None:
    settings = Relay(mx_port=2525, allow_private_destinations=True)
    assert await refusal(names, Route(domain="private.test"), settings) == (Result.FAILED, "5.4.6")


async def test_private_and_loopback_addresses_from_dns_are_refused_98(names: Names) -> None:
    assert await refusal(names, Route(domain="private.test")) == (Result.FAILED, "5.4.4")
    assert await ips(names, "mixed.test") == ["1.0.0.1"]


async def test_private_addresses_are_taken_where_the_settings_allow_98(names: Names) -> None:
    found = await ips(names, "private.test", Relay(allow_private_destinations=True))
    assert {"127.0.0.1", "10.0.0.1", "192.168.1.1", "::1"} <= set(found)


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("168.63.129.16", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff0e::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
    ],
)
def test_only_public_addresses_are_public(ip: str, public: bool) -> None:
    assert is_public(ip) is public


async def test_a_literal_is_a_destination_like_another(names: Names) -> None:
    assert await ips(names, "[1.0.0.77]") == ["1.0.0.77"]
    assert await refusal(names, Route(domain="[127.0.0.1]")) == (Result.FAILED, "5.4.4")


async def test_a_domain_with_countless_hosts_is_cut_short(names: Names) -> None:
    assert len(await ips(names, "many.test")) == 20


async def test_given_hops_come_in_their_order_and_may_be_private(names: Names) -> None:
    first = Hop("inside.test", 25, Transport.SMTPS_ENCRYPT)
    second = Hop("127.0.0.2", 2626, Transport.SMTP)
    found = await router(names).targets(Route(hops=(first, second), domain="ignored.test"))
    assert found[0] == Target("inside.test", "127.0.0.1", 25, Transport.SMTPS_ENCRYPT, configured=True)
    assert found[-1] == Target("127.0.0.2", "127.0.0.2", 2626, Transport.SMTP, configured=True)


async def test_a_hop_that_cannot_be_found_gives_way_to_its_fallback(names: Names) -> None:
    hops = (Hop("gone.test", 25, Transport.SMTP), Hop("a.plain.test", 26, Transport.SMTP))
    assert [target.port for target in await router(names).targets(Route(hops=hops))] == [26]


async def test_a_server_of_somebody_s_leads_to_private_addresses_only_where_who_saved_it_may(names: Names) -> None:
    """A name that was public when it was saved may have become another since (threat 122)."""
    for private, host, count in ((True, "inside.test", 5), (False, "a.plain.test", 1), (False, "inside.test", 0)):
        hop = Hop(host, 25, Transport.SMTP, private=private)
        try:
            found = len(await router(names).targets(Route(hops=(hop,))))
        except Unroutable as problem:
            assert problem.result is Result.DEFERRED
            assert problem.reply.text == "inside.test leads to private or loopback addresses only"
            found = 0
        assert found == count, host


async def test_hops_that_cannot_be_found_are_tried_again_later(names: Names) -> None:
    # A customer's server whose name is gone is a mistake that somebody will mend: no mail is lost for it.
    route = Route(hops=(Hop("gone.test", 25, Transport.SMTP),))
    assert await refusal(names, route) == (Result.DEFERRED, "4.4.3")


async def test_the_smarthost_takes_what_has_no_hop(names: Names) -> None:
    settings = Relay(smarthost="[127.0.0.9]:2600", smarthost_transport="SMTP")
    found = await router(names, settings).targets(Route(domain="plain.test"))
    assert found == (Target("[127.0.0.9]", "127.0.0.9", 2600, Transport.SMTP, configured=True),)
    hop = Hop("127.0.0.3", 25, Transport.SMTP)
    assert [target.ip for target in await router(names, settings).targets(Route(hops=(hop,)))] == ["127.0.0.3"]


async def test_a_recipient_without_domain_has_no_way(names: Names) -> None:
    assert await refusal(names, Route()) == (Result.FAILED, "5.1.2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail.test:26", ("mail.test", 26)),
        ("mail.test", ("mail.test", 25)),
        ("[::1]:26", ("[::1]", 26)),
        ("[::1]", ("[::1]", 25)),
        ("::1", ("::1", 25)),
    ],
)
def test_a_host_may_come_with_a_port(text: str, expected: tuple[str, int]) -> None:
    assert host_and_port(text, "key") == expected


@pytest.mark.parametrize("text", ["mail.test:smtp", "mail.test:0", "mail.test:70000", ":25"])
def test_a_smarthost_that_cannot_be_read_is_refused_with_its_key(text: str) -> None:
    with pytest.raises(SettingsError, match=r"relay\.smarthost"):
        host_and_port(text, "relay.smarthost")


def test_an_unknown_transport_is_refused_with_its_key() -> None:
    gateway = Gateway([], [])
    resolver = Resolver(Dns(servers=["127.0.0.1"]), lambda: 0)
    with pytest.raises(SettingsError, match=r"relay\.smarthost_transport"):
        Router(Relay(smarthost="a", smarthost_transport="TLS"), resolver, gateway)
    with pytest.raises(SettingsError, match=r"relay\.mx_transport"):
        Router(Relay(mx_transport="TLS"), resolver, gateway)


def test_any_address_of_the_machine_is_ours_behind_a_listener_for_all() -> None:
    gateway = Gateway([], [("0.0.0.0", 25)])
    assert gateway.is_at("127.0.0.1", 25)
    assert gateway.is_at("127.0.0.77", 25)
    assert not gateway.is_at("127.0.0.1", 26)
    assert not gateway.is_at("192.0.2.1", 25)


async def test_only_a_null_mx_says_that_a_domain_takes_no_mail_43(names: Names) -> None:
    senders = NullMx(Resolver(Dns(servers=[names.address]), wall_clock), wall_clock)
    assert await senders.takes_mail("null.test") is False
    assert await senders.takes_mail("even.test") is True
    assert await senders.takes_mail("nowhere.test") is True


async def test_while_dns_is_silent_nothing_is_asked_and_nobody_waits_66(names: Names) -> None:
    clock = StillClock()
    senders = NullMx(Resolver(Dns(servers=[names.address], timeout=0.1), clock), clock)
    assert await senders.takes_mail("fails.test") is True
    asked = names.count("null.test", "MX")
    assert await senders.takes_mail("null.test") is True
    assert names.count("null.test", "MX") == asked
    clock.now += 30_000
    assert await senders.takes_mail("null.test") is False
    assert await senders.takes_mail("fails.test") is True
    clock.now -= 3_600_000  # set back: what is silent then has ended (threat 86)
    assert await senders.takes_mail("null.test") is False
