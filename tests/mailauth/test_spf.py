"""SPF of many mails: what is remembered, for how long, and for whom."""

import itertools

import pytest
from tests.house import StillClock
from tests.mailauth.post import long_txt
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.mailauth.spf import Checks
from gatepost.model.auth import Result
from gatepost.settings import Dns

pytestmark = pytest.mark.anyio

ZONE: Zone = {
    "a.example": ['TXT "v=spf1 ip4:192.0.2.7 include:b.example -all"'],
    "b.example": ['TXT "v=spf1 a:host.example ?all"'],
    "host.example": ["A 192.0.2.8"],
    "macro.example": ['TXT "v=spf1 exists:%{l}.macro.example -all"'],
    "ada.macro.example": ["A 127.0.0.2"],
    "two.example": ['TXT "v=spf1 include:none.example include:b.example -all"'],
    "none.example": ['TXT "v=spf1 -all"'],
    "open.example": ['TXT "v=spf1 include:none.example"'],
    "broken.example": ['TXT "v=spf1 include:none.example foo:bar"'],
    "silent.example": [Fault.SERVFAIL],
    "number.example": ['TXT "v=spf1 exists:%{i} -all"'],
    "told.example": ['TXT "v=spf1 exp=why.example -all"'],
    "long.example": [long_txt("v=spf1 " + "a= " * 6_000 + "+all")],
}


async def test_a_result_is_good_as_long_as_the_answers_it_stands_on() -> None:
    clock = StillClock()
    async with Names({**ZONE}, ttl=60) as names:
        checks = Checks(Resolver(Dns(servers=[names.address], timeout=10.0), clock))
        for local in ("ada", "bob"):
            found = await checks.check("192.0.2.8", f"{local}@A.example.", "mx.example")
            assert (found.result, found.matched) == (Result.PASS, "a:host.example")
        names.zone["host.example"] = ["A 192.0.2.9"]
        assert (await checks.check("192.0.2.8", "ada@a.example", "")).result is Result.PASS
        assert (await checks.check("192.0.2.6", "ada@a.example", "")).result is Result.FAIL
        clock.now += 60_000
        assert (await checks.check("192.0.2.8", "ada@a.example", "")).result is Result.FAIL


async def test_what_depends_on_the_mail_or_failed_is_asked_each_time() -> None:
    clock = StillClock()
    async with Names({**ZONE}) as names:
        checks = Checks(Resolver(Dns(servers=[names.address], timeout=10.0), clock))
        assert (await checks.check("192.0.2.8", "ada@macro.example", "")).result is Result.PASS
        assert (await checks.check("192.0.2.8", "bob@macro.example", "")).result is Result.FAIL
        assert (await checks.check("192.0.2.8", "ada@silent.example", "")).result is Result.TEMPERROR
        names.zone["silent.example"] = ['TXT "v=spf1 +all"']
        clock.now += 6_000
        assert (await checks.check("192.0.2.8", "ada@silent.example", "")).result is Result.PASS


@pytest.mark.parametrize(
    ("domain", "result", "term"),
    [
        ("two.example", Result.PASS, "a:host.example"),
        ("open.example", Result.NEUTRAL, ""),
        ("broken.example", Result.PERMERROR, ""),
        ("silent.example", Result.TEMPERROR, ""),
        ("number.example", Result.FAIL, "-all"),  # 192.0.2.8 is a name there, and no address
        ("long.example", Result.PERMERROR, ""),
    ],
)
async def test_a_term_of_a_record_that_was_included_in_vain_decided_nothing(
    domain: str, result: Result, term: str
) -> None:
    async with Names({**ZONE}) as names:
        checks = Checks(Resolver(Dns(servers=[names.address], timeout=5.0), StillClock()))
        found = await checks.check("192.0.2.8", f"ada@{domain}", "")
        assert (found.result, found.matched) == (result, term)


async def test_what_a_record_holds_beside_its_terms_costs_nothing() -> None:
    """Explanations (exp=) are not asked for. Modifiers that nobody knows were sought among all before them: minutes."""
    words = ["".join(letters) for letters in itertools.product("abcdefghijklmnopqrst", repeat=4)]
    zone: Zone = {**ZONE}
    for at in range(10):
        some = "= ".join(words[at * 2_700 : (at + 1) * 2_700])
        zone[f"{at}.example"] = [long_txt(f"v=spf1 {some}= redirect={at + 1}.example")]
    zone["10.example"] = zone["told.example"]
    async with Names(zone) as names:
        checks = Checks(Resolver(Dns(servers=[names.address], timeout=10.0), StillClock()))
        assert (await checks.check("192.0.2.8", "ada@0.example", "")).result is Result.FAIL
        assert names.count("10.example", "TXT") == 1
        assert names.count("why.example", "TXT") == 0
