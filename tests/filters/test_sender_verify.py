"""Whether a sender can be who he says: DMARC, domains of ours claimed from outside, domains that do not exist."""

from typing import Any

import msgspec
import pytest
from tests.filters.mails import NOW, mail, plain, recipient
from tests.house import StillClock
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.filters.registry import Tools, load
from gatepost.model.address import Address
from gatepost.model.auth import Arc, AuthResults, Dmarc, Policy, Result, Signature, Spf
from gatepost.model.envelope import Client
from gatepost.model.problem import Kind
from gatepost.model.tenant import Domain, Language
from gatepost.model.verdict import Category, Finding, OnError
from gatepost.nameserver import nameservers
from gatepost.settings import Dns, Filters, Limits

pytestmark = pytest.mark.anyio

OURS = Domain(customer_id=1, name="ours.test", default_language=Language.EN, creation_date=NOW)
ALARMS: list[tuple[str, str]] = []
ZONE: Zone = {
    "a.test": ["MX 10 mx.a.test."],
    "host.test": ["A 192.0.2.9"],
    "text.test": ['TXT "hello"'],
    "null.test": ["MX 0 ."],
    "silent.test": [Fault.SERVFAIL],
    "half.test": ["CNAME silent.test."],
}


def auth(author: str = "ann@a.test", *, spf: Result = Result.NONE, signed: str = "", **members: Any) -> AuthResults:
    none = Spf(result=Result.NONE, domain="")
    usual = {
        "authors": (author,) if author else (),
        "mail_from": Spf(result=spf, domain=""),
        "helo": none,
        "dmarc": Dmarc(result=Result.NONE),
        "signatures": (Signature(result=Result.PASS, domain=signed),) if signed else (),
    }
    return AuthResults(**{**usual, **members})


def dmarc(result: Result, policy: Policy) -> Dmarc:
    return Dmarc(result=result, domain="a.test", record="a.test", policy=policy, reason="so it is")


async def found(
    results: AuthResults | None,
    sender: str = "ann@a.test",
    *,
    on: bool = True,
    ours: Domain = OURS,
    trusted: tuple[str, ...] = (),
    system: tuple[Zone, pytest.MonkeyPatch] | None = None,
    **members: Any,
) -> list[Finding]:
    local, _, domain = sender.rpartition("@")
    async with Names(ZONE | (system[0] if system else {})) as names:
        asked_of = Dns(servers=[names.address], timeout=10.0)
        if system:  # as if /etc/resolv.conf named it, which can't name a port
            servers = nameservers(asked_of)
            system[1].setattr("gatepost.dns.nameservers", lambda settings: servers)
            asked_of = Dns(timeout=5.0, trust_ad="never")
        tools = Tools(
            limits=Limits(),
            resolver=Resolver(asked_of, wall_clock),
            alarm=lambda source, why, text: ALARMS.append((source, why)),
            served=lambda name: ours if name in ("ours.test", "also.test") else None,
        )
        options = {"sender_verify": {"trusted_sealers": list(trusted)}}
        (asked,) = [one for one in load(Filters(options=options), tools) if one.name == "sender_verify"]
        one = mail(plain(), results, sender=Address(local, domain) if sender else None, **members)
        return list(await asked.examine(one, recipient(sender_verify=on)))


PROVEN: dict[str, Any] = {"proven": True, "sender_proven": True}
VERIFY, UNSURE, NOTE = Category.SENDER_VERIFY, Category.UNSURE, Category.NOTE


@pytest.mark.parametrize(
    ("result", "policy", "said"),
    [
        (Result.PASS, Policy.REJECT, None),
        (Result.NONE, Policy.NONE, None),
        (Result.FAIL, Policy.NONE, None),
        (Result.FAIL, Policy.QUARANTINE, (VERIFY, "DMARC_POLICY_QUARANTINE")),
        (Result.FAIL, Policy.REJECT, (VERIFY, "DMARC_POLICY_REJECT")),
        (Result.TEMPERROR, Policy.REJECT, (UNSURE, "DMARC_UNSURE")),
        (Result.TEMPERROR, Policy.NONE, (NOTE, "DMARC_TEMPERROR")),
        (Result.PERMERROR, Policy.NONE, (VERIFY, "DMARC_AUTHORS")),
    ],
)
async def test_dmarc_decides_where_the_domain_asks_for_it(
    result: Result, policy: Policy, said: tuple[Category, str] | None
) -> None:
    findings = await found(auth(dmarc=dmarc(result, policy)))
    assert [(one.category, one.symbol) for one in findings] == ([said] if said else [])
    for one in findings:
        if one.category is UNSURE:
            assert (one.on_error, one.kind) == (OnError.DEFER, Kind.SENDER_UNSURE)


@pytest.mark.parametrize(
    ("sender", "results", "symbols"),
    [
        ("bob@ours.test", auth(), ["SERVED_FORGED"]),
        ("bob@also.test", auth(), ["SERVED_FORGED"]),
        ("bob@ours.test", auth(spf=Result.PASS), []),
        ("bob@ours.test", auth(signed="ours.test"), []),
        ("bob@ours.test", auth(signed="evil.test"), ["SERVED_FORGED"]),
        ("bob@ours.test", auth(spf=Result.TEMPERROR), ["SERVED_UNSURE"]),
        ("ann@a.test", auth("bob@ours.test"), ["SERVED_FORGED"]),
        ("ann@a.test", auth("bob@ours.test", spf=Result.PASS), ["SERVED_FORGED"]),
        ("ann@a.test", auth("bob@ours.test", **PROVEN), []),
        ("ann@a.test", auth("bob@ours.test", unsure=True), ["SERVED_UNSURE"]),
        ("", auth("bob@ours.test"), ["SERVED_FORGED"]),
        ("ann@a.test", auth(authors=("ann@a.test", "bob@ours.test")), ["SERVED_FORGED"]),
        ("bob@ours.test", auth("bob@ours.test"), ["SERVED_FORGED", "SERVED_FORGED"]),
    ],
)
async def test_a_domain_of_ours_is_not_claimed_from_outside_without_proof(
    sender: str, results: AuthResults, symbols: list[str]
) -> None:
    assert [one.symbol for one in await found(results, sender)] == symbols


async def test_a_domains_own_networks_may_use_its_name() -> None:
    wide = msgspec.structs.replace(OURS, outgoing_subnets=["192.0.2.0/24"])
    assert await found(auth("bob@ours.test"), "bob@ours.test", ours=wide) == []
    elsewhere = Client(ip="198.51.100.1")
    assert len(await found(auth("bob@ours.test"), "bob@ours.test", ours=wide, client=elsewhere)) == 2


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("a.test", None),
        ("host.test", None),
        ("ours.test", None),  # of ours, whatever DNS says
        ("nowhere.test", (VERIFY, "SENDER_NO_DOMAIN")),
        ("text.test", (VERIFY, "SENDER_NO_HOST")),
        ("null.test", (VERIFY, "SENDER_NULL_MX")),
        ("silent.test", (NOTE, "SENDER_DOMAIN_UNSURE")),
        ("[192.0.2.1]", None),
    ],
)
async def test_a_senders_domain_exists_and_takes_mail(domain: str, said: tuple[Category, str] | None) -> None:
    expected = [said] if said else []
    of_sender = await found(auth(spf=Result.PASS), f"ann@{domain}")
    assert [(one.category, one.symbol) for one in of_sender] == expected
    of_author = [one for one in await found(auth(f"ann@{domain}")) if not one.symbol.startswith("SERVED")]
    assert [(one.category, one.symbol) for one in of_author] == expected


@pytest.mark.parametrize(
    ("domain", "zone", "said"),
    [
        ("nowhere.test", {}, (NOTE, "SENDER_DOMAIN_UNSURE")),
        ("nowhere.test", {"": [Fault.SERVFAIL]}, (NOTE, "SENDER_DOMAIN_UNSURE")),
        ("text.test", {}, (NOTE, "SENDER_DOMAIN_UNSURE")),
        ("null.test", {}, (VERIFY, "SENDER_NULL_MX")),
        ("nowhere.invalid", {}, (VERIFY, "SENDER_NO_DOMAIN")),
        ("nowhere.test", {"": ["NS a.root."]}, (VERIFY, "SENDER_NO_DOMAIN")),
    ],
)
async def test_a_system_whose_dns_knows_no_names_at_all_proves_no_absence(
    domain: str, zone: Zone, said: tuple[Category, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ALARMS.clear()
    findings = await found(auth(spf=Result.PASS), f"ann@{domain}", system=(zone, monkeypatch))
    assert [(one.category, one.symbol) for one in findings] == [said]
    assert ([("dns", "cut_off")] if said[0] is NOTE else []) == ALARMS


async def test_an_author_who_is_proven_by_dns_exists() -> None:
    """News from a name that has nothing but a key above it."""
    assert await found(auth("news@nowhere.test", **PROVEN)) == []


@pytest.mark.parametrize(
    ("chain", "symbols"),
    [
        (Arc(result=Result.PASS, sealers=("list.test",), author="a.test"), ["DMARC_VOUCHED"]),
        (Arc(result=Result.PASS, sealers=("list.test", "List2.test".lower()), author="a.test"), ["DMARC_VOUCHED"]),
        (Arc(result=Result.PASS, sealers=("list.test", "evil.test"), author="a.test"), ["DMARC_POLICY_REJECT"]),
        (Arc(result=Result.PASS, sealers=("list.test",), author="b.test"), ["DMARC_POLICY_REJECT"]),
        (Arc(result=Result.PASS, sealers=("list.test",)), ["DMARC_POLICY_REJECT"]),
        (Arc(result=Result.FAIL, sealers=("list.test",), author="a.test"), ["DMARC_POLICY_REJECT"]),
        (Arc(result=Result.FAIL, sealers=("list.test",), author="a.test", unsure=True), ["DMARC_UNSURE"]),
        (Arc(result=Result.FAIL, sealers=("evil.test",), author="a.test", unsure=True), ["DMARC_POLICY_REJECT"]),
        (Arc(result=Result.FAIL, sealers=("list.test",), author="b.test", unsure=True), ["DMARC_POLICY_REJECT"]),
        (Arc(result=Result.FAIL, author="a.test", unsure=True), ["DMARC_POLICY_REJECT"]),
    ],
)
async def test_a_chain_of_trusted_sealers_stands_for_a_proof(chain: Arc, symbols: list[str]) -> None:
    """RFC 8617 7.2."""
    failed = auth(dmarc=dmarc(Result.FAIL, Policy.REJECT), arc=chain)
    trusted = ("LIST.test", "list2.test")
    assert [one.symbol for one in await found(failed, trusted=trusted)] == symbols
    assert [one.symbol for one in await found(failed)] == ["DMARC_POLICY_REJECT"]


async def test_so_it_does_for_a_domain_of_ours() -> None:
    chain = Arc(result=Result.PASS, sealers=("list.test",), author="ours.test")
    assert await found(auth("bob@ours.test", arc=chain), trusted=("list.test",)) == []
    maybe = Arc(result=Result.FAIL, sealers=("list.test",), author="ours.test", unsure=True)
    findings = await found(auth("bob@ours.test", arc=maybe), trusted=("list.test",))
    assert [one.symbol for one in findings] == ["SERVED_UNSURE"]


async def test_a_report_may_come_from_a_host_that_nobody_knows() -> None:
    assert await found(auth("mailer-daemon@nowhere.test"), "") == []


async def test_what_is_off_or_was_not_looked_at_is_not_asked() -> None:
    bad = auth(dmarc=dmarc(Result.FAIL, Policy.REJECT))
    assert await found(bad, on=False) == []
    assert await found(None, "bob@ours.test") == []


async def test_hostile_names_are_escaped_and_short() -> None:
    name = "x\u202e" * 200
    (one,) = await found(auth(dmarc=Dmarc(result=Result.TEMPERROR, reason=name)))
    assert one.reason.isprintable() and len(one.reason) <= 200


async def test_a_domain_with_a_mail_server_is_asked_for_again_when_its_answer_is_old() -> None:
    clock = StillClock()
    async with Names({"a.test": ["MX 10 mx.a.test."]}) as names:
        resolver = Resolver(Dns(servers=[names.address], timeout=10.0), clock)
        loaded = load(Filters(), Tools(limits=Limits(), resolver=resolver))
        (asked,) = [one for one in loaded if one.name == "sender_verify"]
        one = mail(plain(), auth(), sender=Address("ann", "a.test"))

        async def symbols() -> list[str]:
            return [each.symbol for each in await asked.examine(one, recipient(sender_verify=True))]

        assert await symbols() == []
        names.zone["a.test"] = ["MX 0 ."]
        assert await symbols() == []
        clock.now = resolver.good_until("a.test", "MX") + 1
        assert await symbols() == ["SENDER_NULL_MX"]
