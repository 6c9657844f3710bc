"""Proofs of many mails: what DMARC and the client's name are remembered for, and for how long."""

import gc
import sys

import pytest
from tests.house import StillClock
from tests.mailauth.post import envelope
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.mailauth import dmarc, iprev
from gatepost.mailauth.dmarc import Proof
from gatepost.mailauth.examine import Examiner
from gatepost.mailauth.lasting import REMEMBERED, Lasting
from gatepost.message.mail import Mail, Opener
from gatepost.message.parse import dissect
from gatepost.model.auth import Policy, Result
from gatepost.model.envelope import Body
from gatepost.settings import Dns, Filters, Limits

pytestmark = pytest.mark.anyio

ZONE: Zone = {
    "a.example": ['TXT "v=spf1 a:mx.a.example -all"'],
    "_dmarc.a.example": ['TXT "v=DMARC1; p=reject"'],
    "mx.a.example": ["A 192.0.2.7", 'TXT "v=spf1 a -all"'],
    "7.2.0.192.in-addr.arpa": ["PTR mx.a.example."],
    "_dmarc.silent.example": [Fault.SERVFAIL],
}


def resolver(names: Names, clock: StillClock) -> Resolver:
    return Resolver(Dns(servers=[names.address], timeout=5.0), clock)


async def test_what_dmarc_says_is_good_as_long_as_the_records_and_for_the_same_proofs() -> None:
    clock = StillClock()
    async with Names({**ZONE}, ttl=60) as names:
        checks = dmarc.Checks(resolver(names, clock))
        assert (await checks.check(["a.example"], [])).dmarc.policy is Policy.REJECT
        assert (await checks.check(["a.example"], [Proof("spf", "a.example")])).proven
        names.zone["_dmarc.a.example"] = ['TXT "v=DMARC1; p=none"']
        found = await checks.check(["a.example"], [])
        assert (found.dmarc.result, found.dmarc.policy) == (Result.FAIL, Policy.REJECT)
        clock.now += 60_000
        assert (await checks.check(["a.example"], [])).dmarc.policy is Policy.NONE


async def test_dmarc_that_could_not_be_looked_up_is_asked_for_again() -> None:
    clock = StillClock()
    async with Names({**ZONE}) as names:
        checks = dmarc.Checks(resolver(names, clock))
        assert (await checks.check(["silent.example"], [])).dmarc.result is Result.TEMPERROR
        names.zone["_dmarc.silent.example"] = ['TXT "v=DMARC1; p=reject"']
        clock.now += 6_000
        assert (await checks.check(["silent.example"], [])).dmarc.policy is Policy.REJECT


async def test_of_a_mail_with_very_many_authors_nothing_is_kept() -> None:
    async with Names({**ZONE}) as names:
        checks = dmarc.Checks(resolver(names, StillClock()))
        authors = [f"a{number}.example" for number in range(dmarc.AUTHORS + 1)]
        before = sys.getrefcount(authors[-1])
        found = await checks.check(authors, [])
        gc.collect()
        after = sys.getrefcount(authors[-1])
        assert found.dmarc.reason == "too many authors" and after == before


async def test_what_is_found_anew_outlives_what_is_older() -> None:
    async with Names({**ZONE}) as names:
        clock = StillClock()
        known: Lasting[int, str] = Lasting(resolver(names, clock))
        for number in (*range(REMEMBERED), 0, REMEMBERED):
            known.keep(number, "found", clock.now + 60_000)
        assert known.get(0) and known.get(1) is None and known.get(2)


async def test_the_name_of_a_client_is_good_as_long_as_it_leads_back() -> None:
    clock = StillClock()
    async with Names({**ZONE}, ttl=60) as names:
        checks = iprev.Checks(resolver(names, clock))
        assert (await checks.check("192.0.2.7")).name == "mx.a.example"
        names.zone["mx.a.example"] = ["A 192.0.2.8"]
        known = checks.known("192.0.2.7")
        assert known is not None and known.result is Result.PASS
        clock.now += 60_000
        assert checks.known("192.0.2.7") is None
        assert (await checks.check("192.0.2.7")).result is Result.FAIL


async def test_the_second_mail_of_a_sender_is_proven_without_a_question() -> None:
    raw = b"From: ada@a.example\r\nTo: bob@b.example\r\nDate: Fri, 20 Nov 2026 09:00:00 +0000\r\n\r\nHello\r\n"
    async with Names({**ZONE}) as names:
        examiner = Examiner(resolver(names, StillClock()), 10.0)
        proofs = []
        for _ in range(2):
            mail = Mail(
                envelope("ada@a.example", helo="mx.a.example"), Body(len(raw), raw), Opener(Filters(), Limits())
            )
            proofs.append(await examiner.examine(mail, dissect(raw, Limits())))
            asked, names.asked = names.asked, []
        first, second = proofs
        assert first.proven and first.helo.result is first.iprev.result is Result.PASS
        assert second == first
        assert asked == []
