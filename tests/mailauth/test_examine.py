"""Who sent a mail, asked of a real name server: SPF of both names, what is aligned, and answers that do not come."""

import os
from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.mailauth.pairs import PAIRS
from tests.mailauth.post import envelope, examined, long_txt, resolving, results
from tests.peers.names import Fault, Zone

from gatepost.mailauth import examine, keys, sign
from gatepost.message.edit import head_end
from gatepost.model.auth import Arc, Policy, Result
from gatepost.model.dkim import Algorithm
from gatepost.model.envelope import Body

pytestmark = pytest.mark.anyio

MAIL = b"From: Ada <ada@a.example>\r\nTo: bob@b.example\r\nSubject: Hi\r\n\r\nHello\r\n"
ZONE: Zone = {
    "a.example": ['TXT "v=spf1 ip4:192.0.2.7 -all"'],
    "_dmarc.a.example": ['TXT "v=DMARC1; p=reject"'],
    "mx.a.example": ['TXT "v=spf1 a -all"', "A 192.0.2.7"],
}


async def test_an_aligned_spf_pass_proves_the_author() -> None:
    found = await results(MAIL, ZONE, envelope("ada@a.example"))
    assert (found.mail_from.result, found.helo.result, found.dmarc.result) == (Result.PASS,) * 3
    assert found.mail_from.matched == "ip4:192.0.2.7"
    assert found.proven


async def test_the_steps_and_the_answers_of_spf_are_told() -> None:
    found = await results(MAIL, ZONE, envelope("ada@a.example"))
    assert found.mail_from.steps == (
        "a.example is asked about 192.0.2.7",
        "its record is v=spf1 ip4:192.0.2.7 -all",
        "ip4:192.0.2.7 matches: pass",
    )
    assert found.mail_from.answers == ("a.example TXT: v=spf1 ip4:192.0.2.7 -all",)
    assert "mx.a.example A: 192.0.2.7" in found.helo.answers


@pytest.mark.parametrize(
    ("names", "result"),
    [
        (["PTR mx.a.example."], Result.PASS),
        (["PTR other.example.", "PTR mx.a.example."], Result.PASS),
        (["PTR other.example."], Result.FAIL),
        (["PTR nowhere.example."], Result.FAIL),
        (["PTR silent.example."], Result.TEMPERROR),
        ([Fault.SERVFAIL], Result.TEMPERROR),
        (None, Result.PERMERROR),
    ],
)
async def test_the_clients_name_must_lead_back_to_its_address(names: list[str | Fault] | None, result: Result) -> None:
    """RFC 8601 3."""
    zone: Zone = {**ZONE, "other.example": ["A 192.0.2.99"], "silent.example": [Fault.SERVFAIL]}
    if names is not None:
        zone["7.2.0.192.in-addr.arpa"] = [*names]
    found = await results(MAIL, zone, envelope("ada@a.example"))
    assert (found.iprev.result, found.iprev.ip) == (result, "192.0.2.7")
    assert found.iprev.name == ("mx.a.example" if result is Result.PASS else "")


async def test_an_address_of_six_is_compared_however_it_is_written() -> None:
    zone: Zone = {**ZONE, "mx.a.example": ["AAAA 2001:db8::7"]}
    zone["7.0.0.0." + "0." * 20 + "8.b.d.0.1.0.0.2.ip6.arpa"] = ["PTR mx.a.example."]
    found = await results(MAIL, zone, envelope("ada@a.example", ip="2001:0db8::0007"))
    assert found.iprev.result is Result.PASS


async def test_a_stranger_fails_and_the_policy_is_told() -> None:
    found = await results(MAIL, ZONE, envelope("ada@a.example", ip="203.0.113.5"))
    assert (found.mail_from.result, found.dmarc.result) == (Result.FAIL, Result.FAIL)
    assert found.dmarc.policy is Policy.REJECT
    assert not found.proven and not found.unsure


async def test_a_pass_for_another_domain_proves_nothing() -> None:
    zone = {**ZONE, "evil.example": ['TXT "v=spf1 +all"']}
    found = await results(MAIL, zone, envelope("x@evil.example", ip="203.0.113.5"))
    assert (found.mail_from.result, found.dmarc.result, found.proven) == (Result.PASS, Result.FAIL, False)


async def test_the_null_sender_stands_for_the_host_that_it_names() -> None:
    """RFC 7208 2.4."""
    found = await results(MAIL, ZONE, envelope(helo="mx.a.example"))
    assert (found.mail_from.result, found.mail_from.domain, found.proven) == (Result.PASS, "mx.a.example", True)


@pytest.mark.parametrize("helo", ["[192.0.2.7]", "localhost", "", "bad..name", "192.0.2.7"])
async def test_a_host_that_names_no_domain_has_no_record(helo: str) -> None:
    found = await results(MAIL, ZONE, envelope(helo=helo))
    assert (found.helo.result, found.mail_from.result) == (Result.NONE, Result.NONE)


async def test_a_sender_at_an_address_literal_has_no_record() -> None:
    found = await results(MAIL, ZONE, envelope("ada@[192.0.2.7]"))
    assert found.mail_from.result is Result.NONE


async def test_threat_66_a_server_that_fails_is_a_temporary_error() -> None:
    zone: Zone = {**ZONE, "a.example": [Fault.SERVFAIL]}
    found = await results(MAIL, zone, envelope("ada@a.example"))
    assert (found.mail_from.result, found.dmarc.result) == (Result.TEMPERROR, Result.TEMPERROR)
    assert found.unsure and not found.proven


async def test_what_does_not_come_in_time_is_a_temporary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "ASKING", 0.01)
    zone: Zone = {**ZONE, "a.example": [Fault.TIMEOUT]}
    found = await results(MAIL, zone, envelope("ada@a.example"))
    assert {found.mail_from.result, found.dmarc.result} == {Result.TEMPERROR}
    assert "time limit" in found.mail_from.reason
    assert found.unsure and not found.proven


@pytest.mark.parametrize("silent", ["liar.example", "8.2.0.192.in-addr.arpa", "s._domainkey.liar.example"])
async def test_slow_servers_of_a_strangers_do_not_hide_what_dmarc_says(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a forged mail was let in as one of which nothing can be known."""
    signed = b"DKIM-Signature: v=1; a=rsa-sha256; d=liar.example; s=s; h=from; bh=AAAA; b=AAAA\r\n" + MAIL
    async with resolving({**ZONE, silent: [Fault.TIMEOUT]}) as resolver:
        await examined(MAIL, envelope("ada@a.example"), resolver)  # now what DMARC asks is at hand
        monkeypatch.setattr(examine, "ASKING", 0.01)
        found = await examined(signed, envelope("x@liar.example", ip="192.0.2.8"), resolver)
    assert (found.dmarc.result, found.dmarc.policy) == (Result.FAIL, Policy.REJECT)
    assert not found.unsure


CHAIN = (
    b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=list.example; s=s; b=AAAA\r\n"
    b"ARC-Message-Signature: i=1; a=rsa-sha256; d=list.example; s=s; h=from; bh=AAAA; b=AAAA\r\n"
    b"ARC-Authentication-Results: i=1; list.example; dmarc=pass header.from=a.example\r\n"
)
LATE = "not hashed within 0.1 s"
HOPED = Arc(result=Result.FAIL, sealers=("list.example",), author="a.example", reason=LATE, unsure=True)


@pytest.mark.parametrize(("chain", "told"), [(b"", Arc()), (CHAIN, HOPED)])
async def test_a_body_that_is_not_read_in_time_does_not_hide_it_either(
    chain: bytes, told: Arc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = b"DKIM-Signature: v=1; a=rsa-sha256; d=liar.example; s=s; h=from; bh=AAAA; b=AAAA\r\n" + chain + MAIL
    os.mkfifo(slow := tmp_path / "mail")
    public = PAIRS[Algorithm.RSA].public
    async with resolving({**ZONE, "s._domainkey.liar.example": [long_txt(f"p={public}")]}) as resolver:
        for about in (envelope("ada@a.example"), envelope("x@liar.example")):
            await examined(signed, about, resolver)  # now all answers are at hand
        body = Body(len(signed), path=str(slow), start=signed)
        monkeypatch.setattr(examine, "HASHING", 0.01)
        found = await examined(signed, about, resolver, body=body)
        writer = os.open(slow, os.O_RDWR)  # lets the thread go, wherever it is
        slow.unlink()
        os.close(writer)
    assert [(each.result, each.domain) for each in found.signatures] == [(Result.TEMPERROR, "liar.example")]
    assert (found.dmarc.result, found.unsure, found.arc) == (Result.FAIL, False, told)


async def test_a_mail_that_is_not_read_in_time_waits_where_its_author_asks_for_proof(tmp_path: Path) -> None:
    os.mkfifo(slow := tmp_path / "mail")
    async with resolving(ZONE) as resolver:
        await examined(MAIL, envelope("ada@a.example"), resolver)  # now what DMARC asks is at hand
        body = Body(len(MAIL), path=str(slow), start=MAIL[:10])
        found = await examined(MAIL, envelope("ada@a.example"), resolver, seconds=0.1, body=body)
        writer = os.open(slow, os.O_RDWR)  # lets the thread go, wherever it is
        slow.unlink()
        os.close(writer)
    assert (found.dmarc.result, found.dmarc.policy) == (Result.TEMPERROR, Policy.REJECT)
    assert found.unsure and not found.proven


async def test_an_author_beyond_the_fields_that_are_looked_at_is_not_nobody() -> None:
    found = await results(b"X: y\r\n" * 2000 + MAIL, ZONE, envelope("x@liar.example"))
    assert found.dmarc.result is Result.PERMERROR


async def test_a_header_beyond_what_is_looked_at_proves_nothing() -> None:
    raw = b"DKIM-Signature: v=1\r\n" + b"X-Long: " + b"x" * 300_000 + b"\r\n" + MAIL
    found = await results(raw, ZONE, envelope("ada@a.example"))
    assert [each.result for each in found.signatures] == [Result.PERMERROR]
    assert found.arc.result is Result.FAIL


@pytest.mark.parametrize("at_hand", [0, 32_768, 1_000_000])
async def test_a_spooled_mail_is_proven_as_one_in_memory_however_much_of_it_is_at_hand(
    tmp_path: Path, at_hand: int
) -> None:
    pair, end = keys.generate(Algorithm.ED25519), head_end(MAIL)
    signer = sign.Signer("a.example", "s", keys.load(pair.private))
    raw = b"X-Filler: x\r\n" * 4_000 + sign.sign(MAIL[:end], Body(len(MAIL), MAIL), end, [signer], 1) + MAIL
    zone: Zone = {**ZONE, "s._domainkey.a.example": [long_txt(f"v=DKIM1; k=ed25519; p={pair.public}")]}
    (file := tmp_path / "mail").write_bytes(raw)
    spooled = Body(len(raw), path=str(file), start=raw[:at_hand])
    found = await results(raw, zone, envelope("ada@a.example"), body=spooled)
    assert [each.result for each in found.signatures] == [Result.PASS]


async def test_a_key_is_found_beside_another_record_that_a_wildcard_gives() -> None:
    pair, end = keys.generate(Algorithm.ED25519), head_end(MAIL)
    signer = sign.Signer("a.example", "s", keys.load(pair.private))
    raw = sign.sign(MAIL[:end], Body(len(MAIL), MAIL), end, [signer], 1) + MAIL
    texts = ["v=spf1 exp=why.example -all", f"v=DKIM1; k=ed25519; p={pair.public}"]
    zone: Zone = {**ZONE, "s._domainkey.a.example": [f'TXT "{text}"' for text in texts]}
    found = await results(raw, zone, envelope("ada@a.example"))
    assert [each.result for each in found.signatures] == [Result.PASS]


async def test_several_froms_are_proven_only_all_together() -> None:
    raw = b"From: eve@evil.example\r\n" + MAIL
    found = await results(raw, ZONE, envelope("ada@a.example"))
    assert not found.proven


async def test_a_mail_of_several_authors_in_one_from() -> None:
    made = EmailMessage()
    made["From"] = "ada@a.example, eve@evil.example"
    raw = bytes(made).replace(b"\n", b"\r\n") + b"\r\n"
    assert not (await results(raw, ZONE, envelope("ada@a.example"))).proven
