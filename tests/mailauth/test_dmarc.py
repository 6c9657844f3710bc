"""DMARC by the clauses of RFC 9989: discovery, organisation, alignment, policy, and mail of several authors."""

import pytest
from tests.mailauth.post import resolving
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.mailauth.dmarc import Finding, Judge, Proof
from gatepost.model.auth import Policy, Result
from gatepost.settings import Dns

pytestmark = pytest.mark.anyio


def zone(**records: str) -> Zone:
    """Return a zone of DMARC records; `a__b` stands for a.b."""
    made: Zone = {f"_dmarc.{name.replace('__', '.')}": [f'TXT "{text}"'] for name, text in records.items()}
    return {**made, **{name.removeprefix("_dmarc."): ['TXT "here"'] for name in made}}


async def judge(names: Zone, *authors: str | None, spf: str = "", dkim: str = "", sure: bool = True) -> Finding:
    proofs = [Proof(by, domain, sure) for by, domain in (("spf", spf), ("dkim", dkim)) if domain]
    async with resolving(names) as resolver:
        return await Judge(resolver).judge(authors, proofs)


async def test_a_domain_without_record_has_no_dmarc_and_is_proven_by_its_registered_domain() -> None:
    found = await judge({}, "mail.a.example.com", spf="bounce.example.com")
    assert (found.dmarc.result, found.proven) == (Result.NONE, True)
    other = await judge({}, "mail.a.example.com", spf="example.org")
    assert (other.dmarc.result, other.proven) == (Result.NONE, False)


async def test_neighbours_under_one_public_suffix_do_not_prove_each_other() -> None:
    assert not (await judge({}, "a.co.uk", spf="b.co.uk")).proven
    assert not (await judge({}, "a.github.io", dkim="b.github.io")).proven


@pytest.mark.parametrize(("spf", "dkim", "by"), [("a.example", "", "spf"), ("", "a.example", "dkim")])
async def test_one_aligned_proof_is_enough(spf: str, dkim: str, by: str) -> None:
    """RFC 9989 5.3.5."""
    found = await judge(zone(a__example="v=DMARC1; p=reject"), "a.example", spf=spf, dkim=dkim)
    assert (found.dmarc.result, found.dmarc.by, found.proven) == (Result.PASS, (by,), True)


async def test_a_foreign_proof_is_none() -> None:
    found = await judge(zone(a__example="v=DMARC1; p=reject"), "a.example", spf="evil.example", dkim="evil.example")
    assert (found.dmarc.result, found.dmarc.policy, found.proven) == (Result.FAIL, Policy.REJECT, False)


@pytest.mark.parametrize(("tag", "by"), [("aspf", "spf"), ("adkim", "dkim")])
async def test_relaxed_alignment_takes_a_subdomain_and_strict_does_not(tag: str, by: str) -> None:
    """4.4: relaxed unless aspf or adkim say s."""
    relaxed = zone(a__example="v=DMARC1; p=reject")
    strict = zone(a__example=f"v=DMARC1; p=reject; {tag}=s")
    below = {by: "mail.a.example"}
    assert (await judge(relaxed, "a.example", **below)).dmarc.result is Result.PASS  # type: ignore[arg-type]
    assert (await judge(strict, "a.example", **below)).dmarc.result is Result.FAIL  # type: ignore[arg-type]
    assert (await judge(strict, "a.example", **{by: "a.example"})).dmarc.result is Result.PASS  # type: ignore[arg-type]


async def test_the_authors_own_record_goes_before_its_organisations() -> None:
    """4.10.1."""
    names = zone(a__example="v=DMARC1; p=reject; sp=reject", sub__a__example="v=DMARC1; p=none")
    found = await judge(names, "sub.a.example")
    assert (found.dmarc.record, found.dmarc.policy) == ("sub.a.example", Policy.NONE)
    assert found.dmarc.organisation == "a.example"


async def test_a_subdomain_follows_sp_and_without_it_p() -> None:
    """4.7."""
    names = zone(a__example="v=DMARC1; p=reject; sp=quarantine; np=none")
    names["sub.a.example"] = ["A 192.0.2.1"]
    assert (await judge(names, "sub.a.example")).dmarc.policy is Policy.QUARANTINE
    names = zone(a__example="v=DMARC1; p=reject")
    names["sub.a.example"] = ["A 192.0.2.1"]
    assert (await judge(names, "sub.a.example")).dmarc.policy is Policy.REJECT


@pytest.mark.parametrize(
    ("record", "policy"),
    [
        ("p=none; sp=quarantine; np=reject", Policy.REJECT),
        ("p=none; sp=quarantine", Policy.QUARANTINE),
        ("p=quarantine", Policy.QUARANTINE),
    ],
)
async def test_a_subdomain_that_does_not_exist_follows_np_then_sp_then_p(record: str, policy: Policy) -> None:
    """4.7, RFC 8020."""
    found = await judge(zone(a__example=f"v=DMARC1; {record}"), "no.such.a.example")
    assert found.dmarc.policy is policy


async def test_test_mode_softens_the_policy_by_one_step() -> None:
    """4.7, t=y."""
    for asked, told in (("reject", "quarantine"), ("quarantine", "none"), ("none", "none")):
        found = await judge(zone(a__example=f"v=DMARC1; p={asked}; t=y"), "a.example")
        assert found.dmarc.policy is Policy(told)
        assert found.dmarc.result is Result.FAIL


async def test_pct_of_older_records_changes_nothing() -> None:
    """A.6: the tag is no more."""
    assert (await judge(zone(a__example="v=DMARC1; p=reject; pct=0"), "a.example")).dmarc.policy is Policy.REJECT


async def test_psd_n_makes_an_organisation_of_its_own() -> None:
    """4.10.2 (1)."""
    names = zone(a__example="v=DMARC1; p=none", b__a__example="v=DMARC1; p=reject; psd=n")
    found = await judge(names, "x.b.a.example", spf="y.b.a.example")
    assert (found.dmarc.result, found.dmarc.organisation) == (Result.PASS, "b.a.example")
    assert (await judge(names, "x.b.a.example", spf="a.example")).dmarc.result is Result.FAIL


async def test_psd_y_puts_the_organisation_one_label_below() -> None:
    """4.10.2 (2)."""
    names = zone(bank="v=DMARC1; p=reject; psd=y")
    found = await judge(names, "mail.a.bank", spf="other.a.bank")
    assert (found.dmarc.result, found.dmarc.organisation, found.dmarc.record) == (Result.PASS, "a.bank", "bank")
    assert (await judge(names, "a.bank", spf="b.bank")).dmarc.result is Result.FAIL


async def test_without_psd_the_shortest_name_with_a_record_is_the_organisation() -> None:
    """4.10.2 (3)."""
    names = zone(a__example="v=DMARC1; p=none", c__b__a__example="v=DMARC1; p=reject")
    found = await judge(names, "c.b.a.example", dkim="z.a.example")
    assert (found.dmarc.result, found.dmarc.organisation) == (Result.PASS, "a.example")


async def test_no_more_than_eight_names_are_asked() -> None:
    """4.10: a name of more than eight labels is cut to seven after the first question."""
    name = "k.j.i.h.g.f.e.d.c.b.a.example"
    async with Names({}) as names:
        await Judge(Resolver(Dns(servers=[names.address], timeout=0.5), wall_clock)).judge([name], [])
        asked = sorted({each[0] for each in names.asked}, key=len, reverse=True)
    assert asked[0] == f"_dmarc.{name}"
    assert asked[1] == "_dmarc.f.e.d.c.b.a.example"
    assert len(asked) == 8


async def test_two_records_at_a_name_count_as_none_and_others_are_not_looked_at() -> None:
    """4.10 (2)."""
    names: Zone = {"_dmarc.a.example": ['TXT "v=DMARC1; p=reject"', 'TXT "v=DMARC1; p=none"']}
    assert (await judge(names, "a.example")).dmarc.result is Result.NONE
    names = {"_dmarc.a.example": ['TXT "v=DMARC1; p=reject"', 'TXT "v=spf1 -all"', 'TXT "v=DMARC12"']}
    assert (await judge(names, "a.example")).dmarc.policy is Policy.REJECT


@pytest.mark.parametrize("record", ["p=maybe", "p=reject; sp=maybe", "p=reject; np=maybe", "sp=reject"])
async def test_a_record_with_a_bad_policy_asks_for_nothing(record: str) -> None:
    """5.3.4: with reports it counts as p=none, without it is no record."""
    asked = await judge(zone(a__example=f"v=DMARC1; {record}; rua=mailto:d@a.example"), "a.example")
    assert (asked.dmarc.result, asked.dmarc.policy) == (Result.FAIL, Policy.NONE)
    assert (await judge(zone(a__example=f"v=DMARC1; {record}"), "a.example")).dmarc.result is Result.NONE


async def test_of_several_authors_the_worst_counts() -> None:
    """5.3.1, threat 69."""
    names = zone(a__example="v=DMARC1; p=none", b__example="v=DMARC1; p=reject")
    found = await judge(names, "a.example", "b.example", spf="a.example")
    assert (found.dmarc.result, found.dmarc.domain, found.dmarc.policy) == (Result.FAIL, "b.example", Policy.REJECT)
    assert not found.proven
    both = await judge(names, "a.example", "b.example", spf="a.example", dkim="b.example")
    assert (both.dmarc.result, both.proven) == (Result.PASS, True)


async def test_an_author_that_cannot_be_read_is_never_proven() -> None:
    found = await judge(zone(a__example="v=DMARC1; p=none"), "a.example", None, spf="a.example")
    assert (found.dmarc.result, found.proven) == (Result.PERMERROR, False)


async def test_an_author_does_not_hide_behind_one_that_cannot_be_read_nor_behind_many() -> None:
    """Threat 69."""
    names = zone(a__example="v=DMARC1; p=reject")
    for others in ([None], [f"{number}.example" for number in range(20)]):
        found = await judge(names, "a.example", *others)
        assert (found.dmarc.result, found.dmarc.policy, found.proven) == (Result.FAIL, Policy.REJECT, False)
    many = await judge({}, *(f"{number}.example" for number in range(20)))
    assert (many.dmarc.result, many.dmarc.reason) == (Result.PERMERROR, "too many authors")


async def test_a_mail_without_author_has_no_dmarc() -> None:
    assert (await judge({})).dmarc.result is Result.NONE


async def test_a_server_that_fails_is_a_temporary_error() -> None:
    """Threat 66; whatever the record says, a proof of the very domain is aligned."""
    silent: Zone = {"_dmarc.a.example": [Fault.SERVFAIL]}
    found = await judge(silent, "a.example", spf="mail.a.example")
    assert (found.dmarc.result, found.proven, found.unsure) == (Result.TEMPERROR, False, True)
    found = await judge(silent, "a.example", spf="a.example")
    assert (found.dmarc.result, found.proven, found.unsure) == (Result.TEMPERROR, True, False)


async def test_a_policy_is_known_though_a_proof_is_not() -> None:
    """Threat 66: who fails only for want of an answer must not be taken for one who may pass."""
    names = {**zone(a__example="v=DMARC1; p=reject"), "_dmarc.mail.a.example": [Fault.SERVFAIL]}
    found = await judge(names, "a.example", spf="mail.a.example")
    assert (found.dmarc.result, found.dmarc.policy, found.unsure) == (Result.TEMPERROR, Policy.REJECT, True)


async def test_a_proof_that_may_come_later_is_a_temporary_error() -> None:
    found = await judge(zone(a__example="v=DMARC1; p=reject"), "a.example", spf="a.example", sure=False)
    assert (found.dmarc.result, found.proven, found.unsure) == (Result.TEMPERROR, False, True)
