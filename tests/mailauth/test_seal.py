"""Seals, checked as a receiver would: chains that grow, and those that may not."""

import pytest
from tests.mailauth.pairs import PAIRS
from tests.mailauth.post import envelope, long_txt, results
from tests.peers.names import Fault, Zone

from gatepost.mailauth import keys
from gatepost.mailauth.seal import seal
from gatepost.mailauth.sign import Signer, SigningFailed
from gatepost.message.edit import head_end
from gatepost.model.auth import Arc, Result
from gatepost.model.dkim import Algorithm
from gatepost.model.envelope import Body

ZONE: Zone = {
    f"{algorithm.value}._domainkey.gate.example": [long_txt(f"v=DKIM1; k={algorithm.value}; p={pair.public}")]
    for algorithm, pair in PAIRS.items()
}
MAIL = (
    b"DKIM-Signature: v=1; a=rsa-sha256; d=a.example\r\nFrom: Ada <ada@a.example>\r\nSubject: Hi\r\n"
    + b"".join(b"List-Post: <mailto:%d@a.example>\r\n" % number for number in range(20))
    + b"\r\nHello  \r\n\r\n"
)
TOLD = "gate.example;\r\n\tspf=pass smtp.mailfrom=ada@a.example;\r\n\tarc="
NOW = 1_700_000_000


def passed_on(mail: bytes, chain: Result, algorithm: Algorithm = Algorithm.RSA) -> bytes:
    """Return a mail with one more set in front, if it gets one."""
    offset = head_end(mail)
    signer = Signer("gate.example", algorithm.value, keys.load(PAIRS[algorithm].private))
    return seal(mail[:offset], Body(len(mail), mail), offset, signer, TOLD + chain, chain, NOW) + mail


async def worth(mail: bytes) -> Arc:
    return (await results(mail, ZONE, envelope("ada@a.example"))).arc


@pytest.mark.anyio
async def test_a_chain_grows_and_holds_until_somebody_changes_the_mail() -> None:
    one = passed_on(MAIL, Result.NONE)
    assert (await worth(one)).result is Result.PASS
    changed = one.replace(b"Subject: Hi", b"Subject: [List] Hi")
    two = passed_on(changed, Result.PASS)
    found = await worth(two)
    assert (found.result, found.sealers) == (Result.PASS, ("gate.example",) * 2)
    assert (await worth(two.replace(b"Hello", b"Hullo"))).result is Result.FAIL
    assert (await worth(two.replace(b"arc=none", b"arc=fail"))).result is Result.FAIL


@pytest.mark.anyio
@pytest.mark.parametrize(("answer", "unsure"), [(Fault.SERVFAIL, True), ("A 192.0.2.1", False)])
async def test_a_chain_whose_key_is_not_to_be_had_now_may_hold(answer: Fault | str, unsure: bool) -> None:
    one = passed_on(MAIL, Result.NONE)
    zone: Zone = {"rsa._domainkey.gate.example": [answer]}
    found = (await results(one, zone, envelope("ada@a.example"))).arc
    assert (found.result, found.sealers, found.unsure) == (Result.FAIL, ("gate.example",), unsure)


@pytest.mark.anyio
async def test_a_chain_that_lacks_a_set_is_told_in_its_result_and_nowhere_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    two = passed_on(passed_on(MAIL, Result.NONE), Result.PASS)
    found = await worth(two.replace(b"i=1;", b"i=3;"))
    assert found.result is Result.FAIL and found.reason
    assert not caplog.records


@pytest.mark.anyio
@pytest.mark.parametrize("fold", [b";\r\n\t", b"; "])
async def test_a_chain_holds_however_its_fields_are_folded(fold: bytes) -> None:
    one = passed_on(MAIL, Result.NONE)
    assert (await worth(one.replace(b";\r\n ", fold))).result is Result.PASS


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("told", "author"),
    [
        ("dmarc=pass header.from=A.example", "a.example"),
        ("spf=fail; dmarc = pass (p=reject; (dis=none) header.from=b.example", ""),
        ("dmarc=pass (p=reject) policy.dmarc=reject header.from=a.example", "a.example"),
        ("dmarc=fail header.from=a.example", ""),
        ('spf=pass smtp.mailfrom="; dmarc=pass header.from=a.example"; dmarc=fail', ""),
        ("dmarc=fail; dmarc=pass header.from=a.example", ""),
        ('dmarc=pass header.from=a.example; x="', ""),
        ("spf=pass", ""),
    ],
)
async def test_whom_the_first_sealer_proved_is_read_and_nothing_else_is_taken_for_it(told: str, author: str) -> None:
    offset = head_end(MAIL)
    signer = Signer("gate.example", "rsa", keys.load(PAIRS[Algorithm.RSA].private))
    results = f"gate.example; {told}"
    one = seal(MAIL[:offset], Body(len(MAIL), MAIL), offset, signer, results, Result.NONE, NOW) + MAIL
    assert (await worth(passed_on(one, Result.PASS))).author == author


@pytest.mark.anyio
async def test_a_seal_over_a_signature_field_keeps_it() -> None:
    one = passed_on(MAIL, Result.NONE)
    assert (await worth(one.replace(b"d=a.example\r\n", b"d=b.example\r\n"))).result is Result.FAIL


@pytest.mark.anyio
@pytest.mark.parametrize("open_end", ['"' + '\\"' * 60_000, '"' + '\\"' * 60_000 + "\\", "(" + "\\(" * 60_000])
async def test_a_quote_without_an_end_is_read_once(open_end: str) -> None:
    """Read anew from each quote inside it, it would take minutes; the time limit of the tests would tell."""
    offset = head_end(MAIL)
    signer = Signer("gate.example", Algorithm.RSA.value, keys.load(PAIRS[Algorithm.RSA].private))
    told = f"gate.example; dmarc=pass header.from=a.example; x=y {open_end}"
    sealed = seal(MAIL[:offset], Body(len(MAIL), MAIL), offset, signer, told, Result.NONE, NOW)
    found = await worth(sealed + MAIL)
    assert (found.result, found.author) == (Result.PASS, "")


def test_lines_stay_short_but_for_signatures() -> None:
    made = passed_on(MAIL, Result.NONE).partition(b"DKIM-Signature")[0]
    assert max(len(line) for line in made.split(b"\r\n") if b"b=" not in line) <= 100
    assert max(map(len, made.split(b"\r\n"))) < 998


@pytest.mark.parametrize("chain", [Result.NONE, Result.PASS, Result.FAIL])
def test_no_set_is_added_to_a_chain_that_ended_nor_to_one_that_nobody_speaks_of(chain: Result) -> None:
    """Threat 70, RFC 8617 5.1.2."""
    ended = passed_on(passed_on(MAIL, Result.NONE), Result.FAIL)
    assert b"cv=fail" in ended
    assert passed_on(ended, chain) == ended
    if chain is not Result.NONE:
        assert passed_on(MAIL, chain) == MAIL
    else:
        one = passed_on(MAIL, chain)
        assert passed_on(one, chain) == one


def test_the_fiftieth_set_is_the_last() -> None:
    """RFC 8617 4.2.1."""
    one = passed_on(MAIL, Result.NONE)
    assert passed_on(one.replace(b"i=1;", b"i=49;").replace(b"i=1\r", b"i=49\r"), Result.PASS).count(b"i=50;") == 3
    full = one.replace(b"i=1;", b"i=50;")
    assert passed_on(full, Result.PASS) == full


def test_what_cannot_be_sealed_says_why() -> None:
    for mail in (b"Subject: nobody\r\n\r\n", b"From: a@b\r\nno field\r\n\r\n"):
        with pytest.raises(SigningFailed):
            passed_on(mail, Result.NONE)
