"""DMARC by the clauses of RFC 9989, a table in `dmarc_clauses.txt`; and what a table can't say."""

from pathlib import Path
from typing import Any

import pytest
from tests.mailauth.post import resolving
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.mailauth.dmarc import Finding, Judge, Proof
from gatepost.model.auth import Policy, Result
from gatepost.settings import Dns

pytestmark = pytest.mark.anyio

LINES = (Path(__file__).parent / "dmarc_clauses.txt").read_text().splitlines()
CASES = [[cell.strip() for cell in line.split(" | ")] for line in LINES if line and not line.startswith("#")]
TWENTY = [f"{number}.x" for number in range(20)]
LONG = "k.j.i.h.g.f.e.d.c.b.a.x"


def zone(records: str) -> Zone:
    """Return a zone in which each name with a record exists."""
    made: Zone = {}
    for each in filter(None, records.split(" / ")):
        name, _, said = each.strip().partition(" ")
        made.setdefault(name, ['TXT "here"'])
        if said == "!":
            made[f"_dmarc.{name}"] = [Fault.SERVFAIL]
        elif said:
            texts = said.removeprefix("= ").split(" + ") if said.startswith("= ") else [f"v=DMARC1; {said}"]
            made[f"_dmarc.{name}"] = [f'TXT "{text}"' for text in texts]
    return made


async def judge(names: Zone, authors: str, passing: str, *, sure: bool = True) -> Finding:
    proofs = [Proof(*each.split(), sure) for each in passing.split(", ") if each]
    wrote: list[str | None] = []
    for author in filter(None, authors.split(", ")):
        wrote += TWENTY if author == "twenty" else [None if author == "?" else author]
    async with resolving(names) as resolver:
        return await Judge(resolver).judge(wrote, proofs)


def shown(found: Finding, names: list[str]) -> dict[str, Any]:
    dmarc = found.dmarc
    known = {
        "record": dmarc.record,
        "org": dmarc.organisation,
        "domain": dmarc.domain,
        "reason": dmarc.reason,
        "by": "+".join(dmarc.by),
        "proven": "yes" if found.proven else "no",
        "unsure": "yes" if found.unsure else "no",
    }
    return {"result": dmarc.result, "policy": dmarc.policy} | {name: known[name] for name in names}


@pytest.mark.parametrize(("clause", "records", "authors", "passing", "comes"), CASES, ids=[each[0] for each in CASES])
async def test_each_clause(clause: str, records: str, authors: str, passing: str, comes: str) -> None:
    words = comes.split(", ")
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    policy = next((Policy(word) for word in words[1:] if word in list(Policy)), Policy.NONE)
    found = await judge(zone(records), authors, passing)
    assert shown(found, list(pairs)) == {"result": Result(words[0]), "policy": policy, **pairs}


async def test_a_proof_that_may_come_later_is_a_temporary_error() -> None:
    """5.3: SPF or DKIM could not be looked up."""
    found = await judge(zone("a.x p=reject"), "a.x", "spf a.x", sure=False)
    assert (found.dmarc.result, found.dmarc.policy) == (Result.TEMPERROR, Policy.REJECT)
    assert (found.proven, found.unsure) == (False, True)


async def test_no_more_than_eight_names_are_asked() -> None:
    """4.10: a name of more than eight labels is cut to seven after the first question."""
    async with Names({}) as names:
        await Judge(Resolver(Dns(servers=[names.address], timeout=10.0), wall_clock)).judge([LONG], [])
        asked = sorted({each[0] for each in names.asked}, key=len, reverse=True)
    assert asked[:2] == [f"_dmarc.{LONG}", "_dmarc.f.e.d.c.b.a.x"]
    assert len(asked) == 8


async def test_no_silence_of_a_stranger_makes_it_unsure_whether_an_author_is_proven() -> None:
    """Else anybody had a forged mail deferred, or passed, by a signature of a domain whose server is silent."""
    zoned: Zone = {**zone("a.x p=reject"), "_dmarc.c.b.y": [Fault.SERVFAIL], "_dmarc.c.a.x": [Fault.SERVFAIL]}
    found = await judge(zoned, "a.x", "dkim c.b.y")
    assert (found.dmarc.result, found.unsure) == (Result.FAIL, False)
    assert (await judge(zoned, "a.x", "dkim c.a.x")).unsure  # one of its own may


async def test_an_author_whose_servers_are_slow_does_not_hide_another() -> None:
    async with Names({**zone("a.x p=reject"), "_dmarc.b.y": [Fault.TIMEOUT]}) as names:
        resolver = Resolver(Dns(servers=[names.address], timeout=10.0), wall_clock)
        assert (await Judge(resolver).judge(["a.x"], [])).dmarc.result is Result.FAIL  # it is at hand now
        found = await Judge(resolver, 0.05).judge(["b.y", "a.x"], [])
        assert (found.dmarc.result, found.dmarc.domain) == (Result.FAIL, "a.x")
        assert not found.unsure
